//! Signing in, and how often it may fail.
//!
//! Failures count for a name from one address, and for an address: nobody can lock out others by
//! trying their names from elsewhere.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};
use firstbad_api::limits;

use super::{Gate, password};
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// Failures older than this are forgotten.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses and names remembered at most; beyond that all of them are forgotten.
const REMEMBERED: usize = 100_000;

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address(IpAddr);

impl Address {
    /// The address of the connection. Where a proxy on this machine ends TLS, what that says of it.
    pub fn of(gate: &Gate, headers: &HeaderMap, extensions: &Extensions) -> Address {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V6(Ipv6Addr::LOCALHOST), |c| c.0.ip());
        let told = headers.get_all("x-forwarded-for").iter().next_back();
        let told = told.and_then(|v| v.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
        Address::prefix(match told {
            Some(told) if gate.https() && peer.is_loopback() => told,
            _ => peer,
        })
    }

    /// Who has one IPv6 address has 2^64 of them.
    fn prefix(of: IpAddr) -> Address {
        match of.to_canonical() {
            IpAddr::V6(v6) => {
                let network = u128::from(v6) & (u128::MAX << 64);
                Address(IpAddr::V6(Ipv6Addr::from(network)))
            }
            v4 => Address(v4),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What failures count for: an address, or a name from there.
type Key = (Address, Option<String>);

/// Sign-ins that failed lately.
#[derive(Debug, Default)]
pub struct SignIns {
    failed: Mutex<HashMap<Key, Vec<Instant>>>,
}

impl SignIns {
    /// Counts a try beforehand; false when there were too many. Without a name it counts for the
    /// address alone.
    fn begin(&self, address: Address, name: Option<&str>, now: Instant) -> bool {
        let Ok(mut failed) = self.failed.lock() else {
            return false;
        };
        if failed.len() > REMEMBERED {
            failed.clear();
        }
        let of_name = name.map(|n| ((address, Some(n.to_owned())), limits::SIGN_INS_OF_NAME));
        let of_address = ((address, None), limits::SIGN_INS_OF_ADDRESS);
        let keys: Vec<(Key, usize)> = of_name.into_iter().chain([of_address]).collect();
        for (key, most) in &keys {
            let times = failed.entry(key.clone()).or_default();
            times.retain(|at| now.duration_since(*at) < WINDOW);
            if times.len() >= *most {
                return false;
            }
        }
        for (key, _) in keys {
            failed.entry(key).or_default().push(now);
        }
        true
    }

    /// The try was none that failed.
    fn succeeded(&self, address: Address, name: Option<&str>) {
        if let Ok(mut failed) = self.failed.lock() {
            if let Some(name) = name {
                failed.remove(&(address, Some(name.to_owned())));
            }
            failed.entry((address, None)).or_default().pop();
        }
    }

    /// Counts a request of a sign-in elsewhere as a try; false when there were too many.
    pub fn elsewhere(&self, address: Address) -> bool {
        self.begin(address, None, Instant::now())
    }

    /// Such a sign-in came to its end: neither of its two requests was one that failed.
    pub fn came_back(&self, address: Address) {
        self.succeeded(address, None);
        self.succeeded(address, None);
    }
}

/// How a try to sign in ended.
pub enum Tried {
    /// The account's id and name.
    In(i64, String),
    Wrong,
    TooOften,
}

/// Tries a name and a password.
///
/// # Errors
/// The database's.
pub async fn sign_in(
    app: &App,
    address: Address,
    name: &str,
    given: String,
) -> Result<Tried, AppError> {
    let sign_ins = &app.gate.sign_ins;
    if !sign_ins.begin(address, Some(name), Instant::now()) {
        return Ok(Tried::TooOften);
    }
    let account = db::account::find(&mut *app.pool.acquire().await?, name).await?;
    let stored = account.as_ref().and_then(|a| a.password.clone());
    let right = password::verify(stored, given).await?;
    Ok(match (right, account) {
        (Ok(()), Some(account)) => {
            sign_ins.succeeded(address, Some(name));
            Tried::In(account.id, account.name)
        }
        _ => Tried::Wrong,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        Address::prefix(text.parse().unwrap())
    }

    #[test]
    fn who_fails_too_often_waits_a_minute_and_nobody_else_does() {
        let sign_ins = SignIns::default();
        let now = Instant::now();
        for _ in 0..limits::SIGN_INS_OF_NAME {
            assert!(sign_ins.begin(at("192.0.2.1"), Some("alice"), now));
        }
        assert!(!sign_ins.begin(at("192.0.2.1"), Some("alice"), now));
        assert!(sign_ins.begin(at("192.0.2.2"), Some("alice"), now));
        assert!(sign_ins.begin(at("192.0.2.1"), Some("bob"), now));
        assert!(sign_ins.begin(at("192.0.2.1"), Some("alice"), now + WINDOW));
    }

    #[test]
    fn an_address_cannot_try_many_names() {
        let sign_ins = SignIns::default();
        let now = Instant::now();
        let tried = |n: usize| {
            let name = format!("u{n}");
            sign_ins.begin(at(&format!("2001:db8::{n:x}")), Some(&name), now)
        };
        assert_eq!(
            (0..100).filter(|n| tried(*n)).count(),
            limits::SIGN_INS_OF_ADDRESS
        );
    }

    #[test]
    fn what_succeeds_does_not_count() {
        let sign_ins = SignIns::default();
        let now = Instant::now();
        for _ in 0..100 {
            assert!(sign_ins.begin(at("192.0.2.1"), Some("alice"), now));
            sign_ins.succeeded(at("192.0.2.1"), Some("alice"));
        }
    }

    #[test]
    fn only_a_proxy_on_this_machine_is_believed() {
        let headers = HeaderMap::from_iter([(
            "x-forwarded-for".parse().unwrap(),
            "203.0.113.9, 198.51.100.7".parse().unwrap(),
        )]);
        let from = |ip: &str| {
            let mut extensions = Extensions::new();
            extensions.insert(ConnectInfo(SocketAddr::new(ip.parse().unwrap(), 1)));
            extensions
        };
        let tls = Gate {
            url: Some("https://x.example".to_owned()),
            ..Gate::default()
        };
        let told = |gate, ip| Address::of(gate, &headers, &from(ip)).to_string();
        assert_eq!(told(&tls, "127.0.0.1"), "198.51.100.7");
        assert_eq!(told(&tls, "192.0.2.1"), "192.0.2.1");
        assert_eq!(told(&Gate::default(), "127.0.0.1"), "127.0.0.1");
    }
}
