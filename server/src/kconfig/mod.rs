//! Kernel configurations as text: settings, what options need, and the way from one configuration
//! to another in steps.
//!
//! Pure. Must not know git, or what a configuration is for.

mod language;
mod settings;
mod steps;

pub use language::{Symbol, Symbols, parse};
pub use settings::{Settings, setting, settings};
pub use steps::{Change, Steps, steps};
