//! Finds crashes on a console.
//!
//! Owns cutting the console into reports and giving each its title. Only lines
//! with a kernel time stamp count, so what a program prints is not mistaken
//! for the kernel's word. Everything is bounded: the console is hostile input.
//! Must not know QEMU, the guest or what a crash means for a verdict.

use std::collections::VecDeque;

use firstbad_api::observation::{Crash, CrashKind};

use super::titles::{self, Rule, Start};

/// Crashes kept of one run; the first matter.
const CRASHES: usize = 32;
/// Console lines kept from before a report.
const BEFORE: usize = 6;
/// Characters of each of them.
const BEFORE_CHARS: usize = 200;
/// Longest excerpt, bytes.
const EXCERPT: usize = 8 << 10;
/// Lines of one report.
const REPORT_LINES: usize = 120;
/// Longest line looked at, bytes.
const LINE: usize = 1024;
/// A second header this close to the first belongs to the same crash.
const SAME_REPORT_LINES: usize = 15;

/// Reads a console as it grows.
#[derive(Default)]
pub struct Detector {
    offset: u64,
    line_at: u64,
    partial: Vec<u8>,
    before: VecDeque<String>,
    open: Option<Report>,
    crashes: Vec<Crash>,
    panicked: bool,
    stopped: bool,
}

/// A crash whose lines are still coming.
struct Report {
    kind: CrashKind,
    head: String,
    rule: Rule,
    title: Option<String>,
    offset: u64,
    excerpt: String,
    lines: usize,
    in_trace: bool,
}

impl Detector {
    /// Takes the next bytes of the console.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let room = LINE.saturating_sub(self.partial.len());
            self.partial
                .extend_from_slice(&piece[..piece.len().min(room)]);
            self.offset += piece.len() as u64;
            if piece.ends_with(b"\n") {
                self.line();
                self.line_at = self.offset;
            }
        }
    }

    /// Whether the kernel has panicked.
    pub fn panicked(&self) -> bool {
        self.panicked
    }

    /// Whether the kernel said that it was asked to reboot, to power off or to halt.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// The crashes, in console order.
    pub fn finish(mut self) -> Vec<Crash> {
        if !self.partial.is_empty() {
            self.line();
        }
        self.close();
        self.crashes
    }

    fn line(&mut self) {
        let bytes = std::mem::take(&mut self.partial);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end();
        if let Some(message) = message(text) {
            self.message(message, text);
        } else if let Some(report) = &mut self.open {
            report.keep(text);
        }
        if self.before.len() == BEFORE {
            self.before.pop_front();
        }
        self.before.push_back(text.to_owned());
    }

    fn message(&mut self, message: &str, text: &str) {
        self.stopped |= message.starts_with("reboot: ");
        if let Some(what) = message.strip_prefix("Kernel panic - not syncing") {
            return self.panic(what.trim_start_matches(':').trim(), text);
        }
        let start = titles::start(message, self.before.make_contiguous());
        match (start, &mut self.open) {
            (Some(start), Some(report)) if report.continues(&start) => report.feed(message, text),
            (Some(start), _) => self.begin(start, text),
            (None, Some(report)) => {
                report.feed(message, text);
                if report.ends(message) {
                    self.close();
                }
            }
            (None, None) => {}
        }
    }

    /// A panic is a crash of its own unless it only says what came before it.
    fn panic(&mut self, what: &str, text: &str) {
        let first = !std::mem::replace(&mut self.panicked, true);
        let follows = self.open.is_some() || !self.crashes.is_empty();
        if !first || (follows && titles::is_consequence(what)) {
            if let Some(report) = &mut self.open {
                report.keep(text);
            }
            return;
        }
        self.begin(titles::panic(what), text);
    }

    fn begin(&mut self, start: Start, text: &str) {
        self.close();
        let mut excerpt = String::new();
        for line in &self.before {
            excerpt.extend(line.chars().take(BEFORE_CHARS));
            excerpt.push('\n');
        }
        let mut report = Report {
            kind: start.kind,
            head: start.head,
            rule: start.rule,
            title: start.title,
            offset: self.line_at,
            excerpt,
            lines: 0,
            in_trace: false,
        };
        report.keep(text);
        self.open = Some(report);
    }

    fn close(&mut self) {
        let Some(report) = self.open.take() else {
            return;
        };
        let title = report.title.unwrap_or(report.head);
        if self.crashes.len() < CRASHES && !self.crashes.iter().any(|c| c.title == title) {
            self.crashes.push(Crash {
                kind: report.kind,
                title,
                offset: report.offset,
                excerpt: report.excerpt,
            });
        }
    }
}

impl Report {
    /// Whether `start` is a second header of the same crash, such as `Oops:` after `BUG:`.
    fn continues(&self, start: &Start) -> bool {
        start.secondary
            && self.lines <= SAME_REPORT_LINES
            && matches!(
                self.kind,
                CrashKind::Oops | CrashKind::Bug | CrashKind::Kasan
            )
    }

    fn ends(&self, message: &str) -> bool {
        message.trim_start().starts_with("---[ end ") || self.lines >= REPORT_LINES
    }

    fn keep(&mut self, text: &str) {
        self.lines += 1;
        if self.excerpt.len() + text.len() < EXCERPT {
            self.excerpt.push_str(text);
            self.excerpt.push('\n');
        }
    }

    fn feed(&mut self, message: &str, text: &str) {
        self.keep(text);
        if self.title.is_some() {
            return;
        }
        let message = message.trim_start();
        self.in_trace |= message.starts_with("Call Trace:") || message == "<TASK>";
        let function = match self.rule {
            Rule::Whole => None,
            Rule::Lock => titles::lock_site(message),
            Rule::Access => {
                if let Some(access) = titles::access(message) {
                    self.head = format!("{} {access}", self.head);
                    self.rule = Rule::Trace;
                }
                None
            }
            Rule::AccessIn => {
                if let Some(access) = titles::access(message)
                    && let Some((what, function)) = self.head.rsplit_once(" in ")
                {
                    self.title = Some(format!("{what} {access} in {function}"));
                }
                None
            }
            Rule::Rip => titles::rip(message).or_else(|| self.frame(message)),
            Rule::Trace | Rule::Sleeper => self.frame(message),
        };
        if let Some(function) = function {
            self.title = Some(format!("{} in {function}", self.head));
        }
    }

    fn frame(&self, message: &str) -> Option<String> {
        let function = titles::frame(message).filter(|_| self.in_trace)?;
        let waits = self.rule == Rule::Sleeper && titles::is_wait(&function);
        (!waits).then_some(function)
    }
}

/// The text after the kernel's time stamp (and caller), or `None` if the line has none.
///
/// A program may have left an unfinished line on the console before the kernel spoke.
pub fn message(line: &str) -> Option<&str> {
    line.match_indices('[')
        .find_map(|(at, _)| stamped(&line[at..]))
}

fn stamped(line: &str) -> Option<&str> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once(']')?;
    let (seconds, micros) = stamp.trim_start().split_once('.')?;
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if seconds.is_empty() || micros.len() != 6 || !digits(seconds) || !digits(micros) {
        return None;
    }
    let rest = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        Some((caller, rest)) if is_caller(caller) => rest,
        _ => rest,
    };
    rest.strip_prefix(' ')
}

/// `T123` or `C0`, as CONFIG_PRINTK_CALLER prints it.
fn is_caller(text: &str) -> bool {
    let text = text.trim_start();
    text.strip_prefix(['T', 'C'])
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
#[path = "crash_tests.rs"]
mod tests;
