//! A job's report as a mail.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/jobs/{id}/mail`: a draft for a person to send; this server sends none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mail {
    /// `Name <address>` or an address: the culprit's author. Empty: there is nothing to tell.
    pub to: Vec<String>,
    /// Lists, those who signed the culprit off, and those who look after its files.
    pub cc: Vec<String>,
    /// People beyond what one mail goes to.
    pub left_out: usize,
    pub subject: String,
    pub body: String,
    /// A `mailto:` link, with as much of the text as links may hold.
    pub mailto: String,
    /// Where the same is as a file for a mail program.
    pub eml: String,
}

/// Query of the report, its mail and its file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ReportQuery {
    /// Whose mail it will be, `Name <address>`: for `From:` and `Reported-by:`.
    pub from: String,
}
