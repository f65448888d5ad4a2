//! On what terms a job is done: what it may cost, how urgent it is, and who is told of its end.

use serde::{Deserialize, Serialize};

/// Labels of a job, at most, and characters of one.
pub const LABELS: usize = 20;
pub const LABEL_CHARS: usize = 64;

/// What a job may cost; what is left out is not limited. It ends with the best answer so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Builds that were not there already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builds: Option<u32>,
    /// Minutes of virtual machines, added up over its runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm_minutes: Option<u32>,
    /// Minutes since it was submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_minutes: Option<u32>,
}

impl Budget {
    pub fn is_unlimited(&self) -> bool {
        *self == Budget::default()
    }
}

/// Whose work is taken first when workers are few.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    /// For operators.
    High,
}

impl Priority {
    pub const ALL: [Priority; 3] = [Priority::Low, Priority::Normal, Priority::High];

    pub fn is_normal(&self) -> bool {
        *self == Priority::Normal
    }

    /// More is taken first.
    pub fn rank(self) -> i16 {
        match self {
            Priority::Low => -1,
            Priority::Normal => 0,
            Priority::High => 1,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
        }
    }

    /// The one spelt so.
    pub fn read(text: &str) -> Option<Priority> {
        Priority::ALL.into_iter().find(|p| p.as_str() == text)
    }
}

/// Who is told of the end of this job alone, as a webhook is. It is never shown with the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Callback {
    /// `https://`, unless the server's operator allows others.
    pub url: String,
    /// What deliveries are signed with: `whsec_` and 24 to 64 bytes in base64 (Standard Webhooks). Without
    /// one the server makes it, and tells it once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}
