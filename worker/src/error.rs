//! The worker's own failures.
//!
//! Owns the difference between "ours" and "the kernel's": what is here never
//! says anything about a kernel. What the kernel did is an observation.

use std::fmt::Display;

/// Our failure, never the kernel's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InfraError {
    /// The attempt is no longer wanted: stop and do not report.
    #[error("cancelled")]
    Cancelled,
    /// The lease was lost: stop silently, another worker may hold it.
    #[error("the lease was lost")]
    Fenced,
    /// Anything else; the sentence is shown to people.
    #[error("{0}")]
    Failed(String),
}

impl InfraError {
    /// Makes a failure that says what was tried and why it did not work.
    pub fn failed(tried: impl Display, why: impl Display) -> InfraError {
        InfraError::Failed(format!("{tried}: {why}"))
    }
}

/// Adds "what was tried" to an error on its way to [`InfraError::Failed`].
pub trait Context<T> {
    /// Turns the error into a failure that begins with `tried`.
    fn context(self, tried: impl Display) -> Result<T, InfraError>;
}

impl<T, E: Display> Context<T> for Result<T, E> {
    fn context(self, tried: impl Display) -> Result<T, InfraError> {
        self.map_err(|why| InfraError::failed(tried, why))
    }
}
