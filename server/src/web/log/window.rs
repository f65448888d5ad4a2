//! Bytes of a log cut into whole lines.

use memchr::memmem;

use super::ansi::{self, Look, Span};

/// Lines in a window.
pub(super) const WINDOW_LINES: usize = 2_000;
/// What the lines of the worker and of the machine's first process begin with: each begins a part.
pub(super) const PART: &[u8] = b"firstbad: ";
/// What a line has that tells an error, of compilers and of the kernel.
pub(super) const ERRORS: &[&str] = &[
    "error:",
    "Error ",
    "BUG:",
    "Kernel panic",
    "Oops",
    "Call Trace:",
    "undefined reference",
    "WRONG DATA",
    "FAIL: ",
    " ends: Fail",
    " ends: Timeout",
];
const WARNINGS: &[&str] = &["warning:", "WARNING:"];

/// One line, ready to show.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Offset of its first byte in the log: its address.
    pub offset: u64,
    pub spans: Vec<Span>,
    /// `err`, `warn`, `part` (the head of a part) or nothing.
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

/// Lines of one part: its head, if the window holds it, and what follows.
#[derive(Debug, PartialEq, Eq)]
pub struct Part<'a> {
    pub head: Option<&'a Line>,
    pub lines: &'a [Line],
}

/// Which lines to keep when there are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
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

    /// The lines by parts; a head without lines is a line among those before it.
    pub fn parts(&self) -> Vec<Part<'_>> {
        let begins = |at: usize| {
            let head = self.lines[at].class == "part";
            head && self
                .lines
                .get(at + 1)
                .is_some_and(|next| next.class != "part")
        };
        let heads: Vec<usize> = (0..self.lines.len()).filter(|at| begins(*at)).collect();
        let before = &self.lines[..heads.first().copied().unwrap_or(self.lines.len())];
        let mut parts = Vec::new();
        if !before.is_empty() {
            let lines = before;
            parts.push(Part { head: None, lines });
        }
        let ends = heads.iter().skip(1).copied().chain([self.lines.len()]);
        parts.extend(heads.iter().zip(ends).map(|(head, end)| Part {
            head: Some(&self.lines[*head]),
            lines: &self.lines[head + 1..end],
        }));
        parts
    }

    pub(super) fn cut(bytes: &[u8], offset: u64, total: u64, keep: Keep) -> Window {
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
        let mut look = Look::default();
        let lines = parts
            .into_iter()
            .map(|(at, part)| line(at, part, &mut look))
            .collect();
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

fn line(offset: u64, bytes: &[u8], look: &mut Look) -> Line {
    let class = match bytes {
        _ if bytes.starts_with(PART) => "part",
        _ if is_marked(bytes, ERRORS) => "err",
        _ if is_marked(bytes, WARNINGS) => "warn",
        _ => "",
    };
    Line {
        offset,
        spans: ansi::spans(bytes, look),
        class,
    }
}

fn is_marked(line: &[u8], marks: &[&str]) -> bool {
    let has = |mark: &&str| memmem::find(line, mark.as_bytes()).is_some();
    marks.iter().any(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(window: &Window) -> Vec<String> {
        let text = |line: &Line| line.spans.iter().map(|s| s.text.as_str()).collect();
        window.lines.iter().map(text).collect()
    }

    #[test]
    fn torn_lines_are_left_to_the_neighbouring_windows() {
        let log = b"one\ntwo\nthree\nfour";
        let first = Window::forward(&log[..10], 0, 18);
        assert_eq!(texts(&first), ["one", "two"]);
        let next = first.end;
        let second = Window::forward(&log[next as usize - 1..], next - 1, 18);
        assert_eq!(texts(&second), ["three", "four"]);
        assert_eq!((second.start, second.end), (8, 18));
    }

    #[test]
    fn lines_belong_to_the_part_whose_head_is_before_them() {
        let log = b"a\nfirstbad: one\nfirstbad: two\nb\nc\nfirstbad: three\nd\nfirstbad: end\n";
        let window = Window::forward(log, 0, log.len() as u64);
        let told = window.parts();
        let told: Vec<(Option<u64>, usize)> = told
            .iter()
            .map(|part| (part.head.map(|head| head.offset), part.lines.len()))
            .collect();
        assert_eq!(told, [(None, 2), (Some(16), 2), (Some(34), 2)]);
        assert!(Window::forward(b"", 0, 0).parts().is_empty());
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
    fn a_line_says_what_it_is() {
        let log = b"firstbad: case a starts\n[ 1.0] BUG: x\nwarning: y\nplain\n";
        let window = Window::forward(log, 0, log.len() as u64);
        let classes: Vec<&str> = window.lines.iter().map(|l| l.class).collect();
        assert_eq!(classes, ["part", "err", "warn", ""]);
    }
}
