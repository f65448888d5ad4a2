//! Webhooks out, as Standard Webhooks has them: <https://www.standardwebhooks.com>.

use serde::{Deserialize, Serialize};

/// Events that are told. A body is `{"type", "timestamp", "data"}`, with the job in short in `data`.
pub const EVENTS: [&str; 4] = [
    "bisection.completed",
    "bisection.cancelled",
    "bisection.retracted",
    "bisection.restored",
];

/// Sent when somebody asks for it, to see whether a receiver is there.
pub const TEST_EVENT: &str = "webhook.test";

/// `POST /api/v1/webhooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// `https://`, port 443 or 8443, unless the server allows the address (`--webhook-allow`).
    pub url: String,
    /// Of [`EVENTS`]; none: all.
    #[serde(default)]
    pub events: Vec<String>,
    /// All public jobs, not only those of who asks; for operators.
    #[serde(default)]
    pub every: bool,
    /// It is a Patchwork: checks are written to the patches that jobs name. For operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patchwork: Option<Patchwork>,
}

/// How to write to a Patchwork.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Patchwork {
    /// Of an account that may write checks there.
    pub token: String,
}

// The token is a secret.
impl std::fmt::Debug for Patchwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Patchwork")
    }
}

/// Answer to [`NewWebhook`]: the only time that the secret is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MadeWebhook {
    pub id: i64,
    /// `whsec_<base64>`: the key of the HMAC-SHA256 over `id.timestamp.body`. Empty for a Patchwork.
    pub secret: String,
}

/// `GET /api/v1/webhooks`: those of who asks, for operators all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Webhook {
    pub id: i64,
    /// Told of this job alone: the callback of a request.
    pub job: Option<i64>,
    /// `standard`, or `patchwork`.
    #[serde(default = "standard")]
    pub kind: String,
    pub url: String,
    pub owner: String,
    pub events: Vec<String>,
    pub every: bool,
    pub created_at: String,
    /// Why nothing is sent any more.
    pub disabled: Option<String>,
    /// Deliveries that wait, and those that were given up.
    pub waiting: i64,
    pub failed: i64,
}

/// `GET /api/v1/webhooks/{id}/deliveries`, newest first; `POST /api/v1/deliveries/{id}/replay` sends
/// one again under the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delivery {
    pub id: uuid::Uuid,
    /// Of the event.
    pub kind: String,
    pub job: Option<i64>,
    /// `waiting`, `delivered` or `failed`.
    pub state: String,
    pub tries: i32,
    /// Status of the last answer.
    pub status: Option<i32>,
    /// Why the last try was no success.
    pub error: Option<String>,
    pub created_at: String,
    /// Of the next try, or of the last when it has ended.
    pub at: String,
}

fn standard() -> String {
    "standard".to_owned()
}
