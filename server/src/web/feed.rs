//! The jobs that have ended, as an Atom feed: <https://www.rfc-editor.org/rfc/rfc4287>.

use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use firstbad_api::list::{JobsQuery, Listed};
use uuid::Uuid;

use super::error::Page;
use crate::access::Principal;
use crate::error::AppError;
use crate::export::plain;
use crate::state::App;

/// Jobs in the feed.
const ENTRIES: usize = 50;
/// When nothing has happened yet.
const NEVER: &str = "1970-01-01T00:00:00Z";

/// `jobs.atom.xml`.
#[derive(Template)]
#[template(path = "jobs.atom.xml")]
struct Feed {
    id: Uuid,
    /// Address of this server; empty: addresses are relative to where the feed was found.
    server: String,
    updated: String,
    entries: Vec<Entry>,
}

struct Entry {
    uuid: Uuid,
    id: i64,
    title: String,
    outcome: String,
    sentence: String,
    created: String,
    ended: String,
}

impl Entry {
    fn of(job: Listed, instance: Uuid) -> Option<Entry> {
        // Ids of one server differ in their last digits alone, and from those of all others.
        let number = u128::try_from(job.id).ok()?;
        Some(Entry {
            uuid: Uuid::from_u128(instance.as_u128() ^ number),
            id: job.id,
            title: plain(&job.title),
            outcome: job.outcome.unwrap_or_default(),
            sentence: plain(&job.sentence),
            created: job.created_at,
            ended: job.ended_at?,
        })
    }
}

/// `GET /jobs.atom`: public jobs alone, whoever asks.
pub(super) async fn jobs(State(app): State<App>) -> Page {
    let query = JobsQuery {
        state: "done".to_owned(),
        limit: ENTRIES.to_string(),
        ..JobsQuery::default()
    };
    let found = crate::view::list(&app, &Principal::Anonymous, &query).await?;
    let entries = found.jobs.into_iter();
    let entries: Vec<Entry> = entries
        .filter_map(|job| Entry::of(job, app.incarnation))
        .collect();
    let last = entries.iter().map(|e| e.ended.clone()).max();
    let feed = Feed {
        id: app.incarnation,
        server: app.gate.url.clone().unwrap_or_default(),
        updated: last.unwrap_or_else(|| NEVER.to_owned()),
        entries,
    };
    let text = feed.render();
    let text = text.map_err(|e| AppError::Internal(format!("the feed: {e}")))?;
    let kind = [(header::CONTENT_TYPE, "application/atom+xml; charset=utf-8")];
    Ok((kind, text).into_response())
}
