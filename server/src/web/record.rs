//! The record of what was done: of one job, and of all.

use askama::Template;
use axum::extract::{Query, State};
use firstbad_api::amend::Done;
use serde::Deserialize;
use serde_json::Value;

use super::error::{Page, page};
use super::format;
use crate::api::amend::RECORD;
use crate::db::audit::{self, Wanted};
use crate::state::App;

/// Longest value that is shown, characters.
const VALUE: usize = 200;

/// `job_record.html`: also a part of the job's page.
pub struct Entry {
    pub done: Done,
    pub detail: String,
}

impl From<Done> for Entry {
    fn from(done: Done) -> Entry {
        Entry {
            detail: told(&done.detail),
            done,
        }
    }
}

/// The parts of a detail that are said in a word or a line.
fn told(detail: &Value) -> String {
    let Some(fields) = detail.as_object() else {
        return String::new();
    };
    let each = fields.iter().filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(true) => "yes".to_owned(),
            Value::Array(list) => {
                let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
                texts?.join(", ")
            }
            Value::Bool(false) | Value::Null | Value::Object(_) => return None,
        };
        let text: String = text.chars().take(VALUE).collect();
        (!text.is_empty()).then(|| format!("{}: {text}", name.replace('_', " ")))
    });
    // The order of a value's fields is nothing that can be relied on.
    let mut each: Vec<String> = each.collect();
    each.sort();
    each.join("; ")
}

/// The record of a job, newest first.
pub(super) async fn of_job(app: &App, job: i64) -> sqlx::Result<Vec<Entry>> {
    let wanted = Wanted {
        job: Some(job),
        ..Wanted::default()
    };
    let mut conn = app.pool.acquire().await?;
    let done = audit::list(&mut conn, &wanted, RECORD).await?;
    Ok(done.into_iter().map(Entry::from).collect())
}

/// Query of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    who: String,
    what: String,
    before: Option<i64>,
}

/// `audit.html`.
#[derive(Template)]
#[template(path = "audit.html")]
pub struct AuditPage {
    who: String,
    what: String,
    record: Vec<Entry>,
    /// The last entry shown, when there may be older ones.
    older: Option<i64>,
}

/// `GET /audit`.
pub(super) async fn show(State(app): State<App>, Query(asked): Query<Asked>) -> Page {
    let some = |text: &str| Some(text.trim().to_owned()).filter(|t| !t.is_empty());
    let wanted = Wanted {
        job: None,
        who: some(&asked.who),
        what: some(&asked.what),
        before: asked.before,
    };
    let mut conn = app
        .pool
        .acquire()
        .await
        .map_err(crate::error::AppError::from)?;
    let done = audit::list(&mut conn, &wanted, RECORD).await;
    let done = done.map_err(crate::error::AppError::from)?;
    let full = i64::try_from(done.len()).is_ok_and(|n| n == RECORD);
    page(&AuditPage {
        older: done.last().filter(|_| full).map(|last| last.id),
        record: done.into_iter().map(Entry::from).collect(),
        who: asked.who,
        what: asked.what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_told_by_what_it_says() {
        let detail = serde_json::json!({
            "reason": "wrong tree", "max_runs": 40, "good": ["a", "b"], "retry": false, "why": "",
            "outcome": { "x": 1 },
        });
        assert_eq!(
            told(&detail),
            "good: a, b; max runs: 40; reason: wrong tree"
        );
    }
}
