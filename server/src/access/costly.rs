//! What takes the server some work, and how much of it somebody whom nobody knows may ask for at once.
//!
//! A few requests of an address run side by side, more of them wait a moment, and the rest are told to
//! come later. Whoever signed in or has a token is known and can be stopped otherwise.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use firstbad_api::limits;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Address;
use super::guard::Surface;
use crate::error::AppError;
use crate::web::PageError;

/// Routes that ask git, or read logs through, each time.
pub const COSTLY: [(Method, &str); 11] = [
    (Method::GET, "/api/v1/jobs/{id}/known"),
    (Method::GET, "/api/v1/jobs/{id}/mail"),
    (Method::GET, "/api/v1/jobs/{id}/report"),
    (Method::GET, "/api/v1/jobs/{id}/report.eml"),
    (Method::GET, "/api/v1/trees/{name}/resolve"),
    (Method::GET, "/attempts/{id}/log/{name}"),
    (Method::GET, "/jobs/{id}/culprit"),
    (Method::GET, "/jobs/{id}/report"),
    (Method::POST, "/api/v1/jobs/preview"),
    (Method::POST, "/jobs/new"),
    (Method::GET, "/trees/{name}"),
];

/// Whether a route is one of them.
pub(super) fn is(method: &Method, path: &str) -> bool {
    COSTLY.iter().any(|(m, p)| m == method && *p == path)
}

/// The costly requests of strangers that are under way.
#[derive(Debug)]
pub struct Costly {
    all: Arc<Semaphore>,
    of: Mutex<HashMap<Address, Arc<Semaphore>>>,
    patience: Duration,
}

impl Default for Costly {
    fn default() -> Costly {
        Costly::waiting(Duration::from_secs(limits::COSTLY_WAIT_S))
    }
}

/// Holds a place for as long as the request takes.
pub(super) struct Place {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Costly {
    fn waiting(patience: Duration) -> Costly {
        Costly {
            all: Arc::new(Semaphore::new(limits::COSTLY_AT_ONCE)),
            of: Mutex::default(),
            patience,
        }
    }

    /// Waits for a place, a while; which status says that there was none.
    pub(super) async fn enter(&self, address: Address) -> Result<Place, StatusCode> {
        let own = self.of(address).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        let own = tokio::time::timeout(self.patience, own.acquire_owned()).await;
        let own = own.ok().and_then(Result::ok);
        let own = own.ok_or(StatusCode::TOO_MANY_REQUESTS)?;
        let all = tokio::time::timeout(self.patience, self.all.clone().acquire_owned()).await;
        let all = all.ok().and_then(Result::ok);
        let all = all.ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
        Ok(Place {
            _own: own,
            _all: all,
        })
    }

    /// The places of an address; those of who asks for nothing are forgotten.
    fn of(&self, address: Address) -> Option<Arc<Semaphore>> {
        let mut of = self.of.lock().ok()?;
        of.retain(|other, places| {
            *other == address || Arc::strong_count(places) > 1 || {
                places.available_permits() < limits::COSTLY_OF_ADDRESS
            }
        });
        let places = of
            .entry(address)
            .or_insert_with(|| Arc::new(Semaphore::new(limits::COSTLY_OF_ADDRESS)));
        Some(places.clone())
    }
}

/// The answer to who is to come later.
pub(super) fn later(surface: Surface, status: StatusCode) -> Response {
    let why = match status {
        StatusCode::TOO_MANY_REQUESTS => {
            "too many requests of this address are under way; wait for their answers, or sign in"
        }
        _ => {
            "the server has enough to do for those who did not sign in; try again in a few seconds"
        }
    };
    let error = AppError::refused(status, "too-busy", "", why);
    let mut response = match surface {
        Surface::Page => PageError::from(error).into_response(),
        Surface::Program => error.into_response(),
    };
    let wait = HeaderValue::from_static("5");
    response.headers_mut().insert(header::RETRY_AFTER, wait);
    response
}

#[cfg(test)]
mod tests {
    use axum::http::{Extensions, HeaderMap};

    use super::super::Gate;
    use super::*;

    fn address(of: &str) -> Address {
        let mut extensions = Extensions::new();
        let peer = std::net::SocketAddr::new(of.parse().unwrap(), 1);
        extensions.insert(axum::extract::ConnectInfo(peer));
        Address::of(&Gate::default(), &HeaderMap::new(), &extensions)
    }

    #[tokio::test]
    async fn one_address_does_not_take_the_places_of_others() {
        let costly = Costly::waiting(Duration::from_millis(20));
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let mut places = Vec::new();
        for _ in 0..limits::COSTLY_OF_ADDRESS {
            places.push(costly.enter(one).await.ok().unwrap());
        }
        let refused = costly.enter(one).await.err();
        assert_eq!(refused, Some(StatusCode::TOO_MANY_REQUESTS));
        assert!(costly.enter(other).await.is_ok());
        places.pop();
        assert!(costly.enter(one).await.is_ok(), "a place was left");
        drop(places);
        assert!(costly.enter(other).await.is_ok());
        assert_eq!(
            costly.of.lock().unwrap().len(),
            1,
            "who is gone is forgotten"
        );
    }

    #[tokio::test]
    async fn all_of_them_together_take_only_so_much() {
        let costly = Costly::waiting(Duration::from_millis(20));
        let mut places = Vec::new();
        for n in 0..limits::COSTLY_AT_ONCE {
            let place = costly.enter(address(&format!("192.0.2.{n}"))).await;
            places.push(place.ok().unwrap());
        }
        let late = address("198.51.100.1");
        let refused = costly.enter(late).await.err();
        assert_eq!(refused, Some(StatusCode::SERVICE_UNAVAILABLE));
        places.pop();
        assert!(costly.enter(late).await.is_ok());
    }
}
