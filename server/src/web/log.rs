//! The log page: one window of a log by byte offset, never the whole log.
//!
//! Owns cutting bytes into whole lines and making them harmless to look at.

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

/// Bytes in a window.
const WINDOW_BYTES: u64 = 256 << 10;
/// Lines in a window.
const WINDOW_LINES: usize = 2_000;
/// Bytes shown before the byte asked for with `?at=`.
const BEFORE_BYTES: u64 = 16 << 10;
/// Bytes read at once for the raw download.
const RAW_BYTES: u64 = 1 << 20;

/// One line, ready to show.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Offset of its first byte in the log: its address.
    pub offset: u64,
    pub text: String,
    /// `err`, `warn` or nothing.
    pub class: &'static str,
}

/// Whole lines out of a stretch of bytes.
#[derive(Debug, PartialEq, Eq)]
pub struct Window {
    pub lines: Vec<Line>,
    /// Offset of the first line shown.
    pub start: u64,
    /// Offset after the last line shown.
    pub end: u64,
}

/// Which lines to keep when there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    First,
    Last,
}

impl Window {
    /// The first lines of `bytes`, which begin at `offset` and may begin inside a line.
    /// `total` is the length of the log: only there may the last line lack its newline.
    pub fn forward(bytes: &[u8], offset: u64, total: u64) -> Window {
        Window::cut(bytes, offset, total, Keep::First)
    }

    /// The last lines of `bytes`.
    pub fn backward(bytes: &[u8], offset: u64, total: u64) -> Window {
        Window::cut(bytes, offset, total, Keep::Last)
    }

    fn cut(bytes: &[u8], offset: u64, total: u64, keep: Keep) -> Window {
        let whole = whole_lines(bytes, offset, total);
        let base = offset + (whole.as_ptr() as usize - bytes.as_ptr() as usize) as u64;
        let mut parts = Vec::new();
        let mut at = 0;
        for part in whole.split_inclusive(|b| *b == b'\n') {
            parts.push((base + at as u64, part));
            at += part.len();
        }
        let extra = parts.len().saturating_sub(WINDOW_LINES);
        match keep {
            Keep::First => parts.truncate(WINDOW_LINES),
            Keep::Last => drop(parts.drain(..extra)),
        }
        let start = parts.first().map_or(base, |(at, _)| *at);
        let end = parts
            .last()
            .map_or(base, |(at, part)| at + part.len() as u64);
        let lines = parts.into_iter().map(|(at, part)| line(at, part)).collect();
        Window { lines, start, end }
    }
}

/// Drops the torn line at the front (when the stretch does not begin at byte 0 or after a newline;
/// callers read one byte more for that) and at the back (when it is not the end of the log). A
/// stretch without any newline is shown as it is: a line longer than a window is still readable.
fn whole_lines(bytes: &[u8], offset: u64, total: u64) -> &[u8] {
    let front = match bytes.iter().position(|b| *b == b'\n') {
        Some(newline) if offset > 0 && newline + 1 < bytes.len() => newline + 1,
        _ => 0,
    };
    let rest = &bytes[front..];
    if offset + bytes.len() as u64 >= total {
        return rest;
    }
    match rest.iter().rposition(|b| *b == b'\n') {
        Some(newline) => &rest[..=newline],
        None => rest,
    }
}

fn line(offset: u64, bytes: &[u8]) -> Line {
    let text = readable(bytes);
    let has = |marks: &[&str]| marks.iter().any(|mark| text.contains(mark));
    let class = if has(&[
        "error:",
        "Error ",
        "BUG:",
        "Kernel panic",
        "Oops",
        "Call Trace:",
        "undefined reference",
    ]) {
        "err"
    } else if has(&["warning:", "WARNING:"]) {
        "warn"
    } else {
        ""
    };
    Line {
        offset,
        text,
        class,
    }
}

/// Text without escape sequences and control bytes; what is not UTF-8 shows as U+FFFD.
pub fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim_end_matches(['\n', '\r']).chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => skip_escape(&mut rest),
            '\t' => out.push('\t'),
            '\0'..='\x1f' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
            '\x7f'..='\u{9f}' => out.push('\u{fffd}'),
            // Direction overrides could make a line read as another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Eats what follows ESC: a CSI sequence, an OSC string, or one character.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => while rest.next_if(|c| !('@'..='~').contains(c)).is_some() {},
        Some(']') => {
            while let Some(c) = rest.next_if(|c| *c != '\x07') {
                if c == '\x1b' {
                    break;
                }
            }
        }
        // `ESC ( B` and its like carry one character more.
        Some('(' | ')' | '#' | '%') => {}
        _ => return,
    }
    rest.next();
}

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
        }
    }

    fn busy(&self) -> bool {
        self.live && self.tail
    }

    /// Appended to links, so that the way back to the job stays.
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
    let marked = span.at.and_then(|at| {
        let before = window.lines.iter().rev();
        before.map(|line| line.offset).find(|offset| *offset <= at)
    });
    page(&LogPage {
        live: read.live,
        tail: plan.tail,
        marked,
        job: span.job,
        ..LogPage::new(&attempt, &name, window, read.total)
    })
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
    use super::*;

    fn texts(window: &Window) -> Vec<&str> {
        window.lines.iter().map(|l| l.text.as_str()).collect()
    }

    #[test]
    fn torn_lines_are_left_to_the_neighbouring_windows() {
        let log = b"one\ntwo\nthree\nfour";
        let first = Window::forward(&log[..10], 0, 18);
        assert_eq!(texts(&first), ["one", "two"]);
        let next = first.end;
        let second = Window::forward(&log[next as usize - 1..], next - 1, 18);
        assert_eq!(
            (texts(&second), second.start, second.end),
            (vec!["three", "four"], 8, 18)
        );
    }

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
                assert_eq!(line.text, format!("line {seen}"));
                seen += 1;
            }
            at = window.end;
        }
        assert_eq!(seen, 9_000);
    }

    #[test]
    fn the_tail_keeps_the_last_lines() {
        let log = "x\n".repeat(5_000);
        let window = Window::backward(log.as_bytes(), 0, 10_000);
        assert_eq!(
            (window.lines.len(), window.start, window.end),
            (2_000, 6_000, 10_000)
        );
    }

    #[test]
    fn a_line_longer_than_a_window_is_still_shown() {
        let window = Window::forward(&[b'a'; 100], 50, 1_000);
        assert_eq!((window.start, window.end, window.lines.len()), (50, 150, 1));
        assert!(Window::forward(b"", 0, 0).lines.is_empty());
    }

    #[test]
    fn escapes_and_control_bytes_do_not_reach_the_page() {
        assert_eq!(readable(b"\x1b[1;31merror\x1b[0m: x\r\n"), "error: x");
        assert_eq!(readable(b"\x1b]0;title\x07a\x1b(Bb"), "ab");
        assert_eq!(readable(b"\x1b]8;;u\x1b\\link"), "link");
        assert_eq!(readable(b"a\x00\x08\xffb"), "a\u{2400}\u{2408}\u{fffd}b");
        assert_eq!(readable("x\u{202e}y".as_bytes()), "x\u{fffd}y");
        assert_eq!(readable(b"\x1b["), "");
    }
}
