//! Requests that wait for the end of a job: each holds a place, and strangers never hold all of them.

use firstbad_api::limits;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Principal;

/// The places.
#[derive(Debug)]
pub struct Waiters {
    all: Semaphore,
    strangers: Semaphore,
}

impl Default for Waiters {
    fn default() -> Waiters {
        Waiters {
            all: Semaphore::new(limits::WAITERS),
            strangers: Semaphore::new(limits::WAITING_STRANGERS),
        }
    }
}

/// A place, held for as long as this lives.
pub struct Waiting<'a> {
    _all: SemaphorePermit<'a>,
    _stranger: Option<SemaphorePermit<'a>>,
}

impl Waiters {
    /// A place, if there is one for who asks.
    pub fn enter(&self, who: &Principal) -> Option<Waiting<'_>> {
        let stranger = match who {
            Principal::Anonymous => Some(self.strangers.try_acquire().ok()?),
            _ => None,
        };
        Some(Waiting {
            _stranger: stranger,
            _all: self.all.try_acquire().ok()?,
        })
    }
}
