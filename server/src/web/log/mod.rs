//! The log page: one window of a log by byte offset, never the whole log.
//!
//! Owns what is read of a log for a page, and what is found in it.

mod ansi;
mod window;

use std::io;

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use firstbad_api::attempt::Attempt;
use serde::Deserialize;

use super::attempt::load;
use super::error::{Page, PageError, page};
use super::format;
use crate::state::App;
use crate::store::Grep;
use window::{ERRORS, Keep, PART, Part};

pub use window::{Line, Window};

/// Bytes in a window.
const WINDOW_BYTES: u64 = 256 << 10;
/// Bytes shown before the byte asked for with `?at=`.
const BEFORE_BYTES: u64 = 16 << 10;
/// Bytes read at once for the raw download.
const RAW_BYTES: u64 = 1 << 20;
/// Lines listed that were found at once.
const FOUND_LINES: usize = 200;
/// Characters of what is looked for.
const SOUGHT_CHARS: usize = 200;
/// A log up to this size lists its parts and errors unasked.
const SMALL_BYTES: u64 = 8 << 20;

/// Query: at most one of the fields is used, in this order.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Span {
    /// Window around this byte, whose line is marked.
    at: Option<u64>,
    /// Window ending here.
    end: Option<u64>,
    /// Window from here, or `tail`.
    offset: Option<String>,
    job: Option<i64>,
    /// Lists the lines with this text, in either case.
    q: Option<String>,
    /// Lists `errors` or `parts`.
    list: Option<String>,
    /// Lists from this byte on.
    from: Option<u64>,
    /// With 1 only the parts with errors are unfolded.
    fold: Option<u8>,
}

/// Lines that were found.
struct Found {
    /// What they are, for people.
    what: String,
    /// What to add to a link so that they are found again.
    query: String,
    lines: Vec<Hit>,
    /// Where to go on, when there may be more.
    more: Option<u64>,
}

struct Hit {
    offset: u64,
    text: String,
}

/// Where to read.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    offset: u64,
    len: u64,
    keep: Keep,
    tail: bool,
}

impl Span {
    /// The window again, as a query.
    fn place(&self) -> String {
        match (self.at, self.end, self.offset.as_deref()) {
            (Some(at), _, _) => format!("at={at}"),
            (_, Some(end), _) => format!("end={end}"),
            (_, _, Some(offset)) => format!("offset={}", urlencode(offset)),
            (_, _, None) => "offset=0".to_owned(),
        }
    }

    fn plan(&self, total: u64) -> Result<Plan, PageError> {
        let backward = |end: u64, tail| {
            let offset = end.saturating_sub(WINDOW_BYTES + 1);
            let (len, keep) = (end - offset, Keep::Last);
            Plan {
                offset,
                len,
                keep,
                tail,
            }
        };
        let forward = |from: u64| {
            // One byte more in front tells whether `from` begins a line.
            let offset = from.min(total).saturating_sub(1);
            let (len, keep, tail) = (WINDOW_BYTES + 1, Keep::First, false);
            Plan {
                offset,
                len,
                keep,
                tail,
            }
        };
        match (self.at, self.end, self.offset.as_deref()) {
            (Some(at), _, _) => Ok(forward(at.min(total).saturating_sub(BEFORE_BYTES))),
            (_, Some(end), _) => Ok(backward(end.min(total), false)),
            (_, _, Some("tail")) => Ok(backward(total, true)),
            (_, _, None | Some("")) => Ok(forward(0)),
            (_, _, Some(text)) => {
                let from = text.parse().map_err(|_| {
                    PageError::query(
                        format!("“{text}” is not a byte offset."),
                        "Give ?offset= a number of bytes, or “tail”.",
                    )
                })?;
                Ok(forward(from))
            }
        }
    }
}

/// `log.html`.
#[derive(Template)]
#[template(path = "log.html")]
pub struct LogPage<'a> {
    attempt: &'a Attempt,
    name: &'a str,
    window: Window,
    total: u64,
    /// Still being written.
    live: bool,
    /// The end of the log: follows it while it is live.
    tail: bool,
    /// The line that holds the byte asked for.
    marked: Option<u64>,
    job: Option<i64>,
    /// The text looked for.
    sought: String,
    found: Option<Found>,
    /// Parts without errors are folded.
    folded: bool,
    /// What the query says of the window.
    place: String,
}

impl<'a> LogPage<'a> {
    /// A page for one window.
    pub fn new(attempt: &'a Attempt, name: &'a str, window: Window, total: u64) -> LogPage<'a> {
        LogPage {
            attempt,
            name,
            window,
            total,
            live: false,
            tail: false,
            marked: None,
            job: None,
            sought: String::new(),
            found: None,
            folded: false,
            place: String::new(),
        }
    }

    /// A part with an error, or with the line asked for, is always to be seen.
    fn opens(&self, part: &Part<'_>) -> bool {
        let matters = |line: &Line| line.class == "err" || self.is_marked(line);
        !self.folded || part.lines.iter().any(matters)
    }

    fn busy(&self) -> bool {
        self.live && self.tail
    }

    /// Appended to links, so that the way back to the job stays, and what was found.
    fn kept(&self) -> String {
        let job = self.job_query();
        let found = self.found.as_ref().map_or("", |found| &found.query);
        let fold = if self.folded { "&fold=1" } else { "" };
        format!("{job}{found}{fold}")
    }

    /// The same, with no part folded.
    fn unfolded(&self) -> String {
        self.kept().replace("&fold=1", "")
    }

    fn has_parts(&self) -> bool {
        self.window.lines.iter().any(|line| line.class == "part")
    }

    fn job_query(&self) -> String {
        self.job
            .map(|job| format!("&job={job}"))
            .unwrap_or_default()
    }

    fn is_marked(&self, line: &Line) -> bool {
        self.marked == Some(line.offset)
    }

    fn class(&self, line: &Line) -> String {
        if self.is_marked(line) {
            format!("{} mark", line.class)
        } else {
            line.class.to_string()
        }
    }
}

fn missing(name: &str, attempt: i64) -> PageError {
    PageError::missing(
        &format!("The log “{name}” of attempt {attempt}"),
        "It appears when the stage that writes it begins; the attempt's page lists the logs there are.",
    )
}

/// `GET /attempts/{id}/log/{name}`.
pub(super) async fn show(
    State(app): State<App>,
    Path((text, name)): Path<(String, String)>,
    Query(span): Query<Span>,
) -> Page {
    let attempt = load(&app, &text).await?;
    let size = crate::view::log_window(&app, attempt.id, &name, 0, 0).await?;
    let total = size.ok_or_else(|| missing(&name, attempt.id))?.total;
    let plan = span.plan(total)?;
    let read = crate::view::log_window(&app, attempt.id, &name, plan.offset, plan.len).await?;
    let read = read.ok_or_else(|| missing(&name, attempt.id))?;
    let window = Window::cut(&read.bytes, read.offset, read.total, plan.keep);
    let found = found(&app, &attempt, &name, total, &span).await?;
    let marked = span.at.and_then(|at| {
        let before = window.lines.iter().rev();
        before.map(|line| line.offset).find(|offset| *offset <= at)
    });
    page(&LogPage {
        live: read.live,
        tail: plan.tail,
        marked,
        job: span.job,
        folded: span.fold == Some(1),
        place: span.place(),
        sought: span.q.unwrap_or_default(),
        found,
        ..LogPage::new(&attempt, &name, window, read.total)
    })
}

/// What the query asks to list; the errors of a small log unasked.
async fn found(
    app: &App,
    attempt: &Attempt,
    name: &str,
    total: u64,
    span: &Span,
) -> Result<Option<Found>, PageError> {
    let asked = span.q.as_deref().filter(|text| !text.is_empty());
    let list = match (asked, span.list.as_deref()) {
        (None, None | Some("")) if total <= SMALL_BYTES => Some("errors"),
        (_, list) => list.filter(|list| !list.is_empty()),
    };
    let (what, query, pattern) = match (asked, list) {
        (Some(text), _) if text.chars().count() > SOUGHT_CHARS => {
            return Err(PageError::query(
                format!("What is looked for has more than {SOUGHT_CHARS} characters."),
                "Look for a part of it.",
            ));
        }
        (Some(text), _) => (
            format!("“{text}”"),
            format!("&q={}", urlencode(text)),
            format!("(?i-u){}", regex::escape(text)),
        ),
        (None, Some("errors")) => {
            let any = ERRORS.iter().map(|mark| regex::escape(mark));
            let any = any.collect::<Vec<_>>().join("|");
            ("errors".to_owned(), "&list=errors".to_owned(), any)
        }
        (None, Some("parts")) => {
            let head = format!("(?m)^{}", String::from_utf8_lossy(PART));
            ("parts".to_owned(), "&list=parts".to_owned(), head)
        }
        (None, Some(other)) => {
            return Err(PageError::query(
                format!("There is no list “{other}” of a log."),
                "Give ?list= the word “errors” or “parts”.",
            ));
        }
        (None, None) => return Ok(None),
    };
    let from = span.from.unwrap_or(0);
    let seen = crate::view::log_lines(app, attempt.id, name, &pattern, from, FOUND_LINES).await?;
    let Grep { lines, more } = seen.ok_or_else(|| missing(name, attempt.id))?;
    // Nobody asked for a list of nothing.
    if lines.is_empty() && span.list.is_none() && asked.is_none() {
        return Ok(None);
    }
    let hit = |(offset, line): (u64, Vec<u8>)| Hit {
        offset,
        text: ansi::readable(&line),
    };
    Ok(Some(Found {
        what,
        query,
        lines: lines.into_iter().map(hit).collect(),
        more,
    }))
}

/// A text as the value of a query.
fn urlencode(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let byte = |b: u8| match plain(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// `GET /attempts/{id}/log/{name}/raw`: the bytes as they came, streamed.
pub(super) async fn raw(
    State(app): State<App>,
    Path((text, name)): Path<(String, String)>,
) -> Page {
    let attempt = load(&app, &text).await?;
    let size = crate::view::log_window(&app, attempt.id, &name, 0, 0).await?;
    let total = size.ok_or_else(|| missing(&name, attempt.id))?.total;
    let stream = futures_util::stream::try_unfold(0, move |offset| {
        let (app, name, attempt) = (app.clone(), name.clone(), attempt.id);
        async move {
            if offset >= total {
                return Ok(None);
            }
            let len = RAW_BYTES.min(total - offset);
            let read = crate::view::log_window(&app, attempt, &name, offset, len).await;
            let read = read.map_err(io::Error::other)?;
            let bytes = read.map(|window| window.bytes).filter(|b| !b.is_empty());
            let next = |b: Vec<u8>| (Bytes::from(b.clone()), offset + b.len() as u64);
            Ok::<_, io::Error>(bytes.map(next))
        }
    });
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, Body::from_stream(stream)).into_response())
}

#[cfg(test)]
mod tests {
    use super::window::WINDOW_LINES;
    use super::*;

    #[test]
    fn paging_forward_sees_every_line_once() {
        let log: Vec<u8> = (0..9_000)
            .flat_map(|i| format!("line {i}\r\n").into_bytes())
            .collect();
        let total = log.len() as u64;
        let (mut at, mut seen) = (0, 0);
        while at < total {
            let span = Span {
                offset: Some(at.to_string()),
                ..Span::default()
            };
            let plan = span.plan(total).ok().unwrap();
            let to = (plan.offset + plan.len).min(total);
            let bytes = &log[plan.offset as usize..to as usize];
            let window = Window::cut(bytes, plan.offset, total, plan.keep);
            assert!(window.lines.len() <= WINDOW_LINES && window.start == at);
            for line in &window.lines {
                assert_eq!(line.spans[0].text, format!("line {seen}"));
                seen += 1;
            }
            at = window.end;
        }
        assert_eq!(seen, 9_000);
    }
}
