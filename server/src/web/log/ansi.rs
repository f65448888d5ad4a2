//! Text of a log made harmless to look at, and its colours as classes.
//!
//! Owns what becomes of escape sequences (ECMA-48) and control bytes. Nothing of a log reaches a
//! page but its text, and class names that are written here.

use std::iter::Peekable;
use std::str::Chars;

use super::super::visible;

/// Text of one look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Class names, or nothing.
    pub class: &'static str,
    pub text: String,
}

/// What an escape sequence has set for the text after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    bold: bool,
    /// 0 to 7, as the terminal's colours are numbered.
    colour: Option<u8>,
}

impl Look {
    fn class(self) -> &'static str {
        const PLAIN: [&str; 8] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"];
        const BOLD: [&str; 8] = [
            "c0 bold", "c1 bold", "c2 bold", "c3 bold", "c4 bold", "c5 bold", "c6 bold", "c7 bold",
        ];
        match (self.colour, self.bold) {
            (None, false) => "",
            (None, true) => "bold",
            (Some(colour), false) => PLAIN[usize::from(colour & 7)],
            (Some(colour), true) => BOLD[usize::from(colour & 7)],
        }
    }

    /// Selects what `CSI parameters m` says; colours of 256 and of 24 bits are left out.
    fn select(&mut self, parameters: &str) {
        let mut codes = parameters.split(';');
        while let Some(code) = codes.next() {
            match code.parse::<u8>().ok().or(code.is_empty().then_some(0)) {
                Some(0) => *self = Look::default(),
                Some(1) => self.bold = true,
                Some(22) => self.bold = false,
                Some(code @ (30..=37 | 90..=97)) => self.colour = Some(code % 10),
                Some(39) => self.colour = None,
                Some(38 | 48) => {
                    let more = match codes.next() {
                        Some("5") => 1,
                        Some("2") => 3,
                        _ => 0,
                    };
                    codes.by_ref().take(more).for_each(drop);
                }
                _ => {}
            }
        }
    }
}

/// A line as spans of one look each. `look` is what the lines before have set, and then what this
/// one leaves. What is not UTF-8 shows as U+FFFD, control bytes as their pictures.
pub fn spans(bytes: &[u8], look: &mut Look) -> Vec<Span> {
    let text = String::from_utf8_lossy(bytes);
    let mut out: Vec<Span> = Vec::new();
    let mut rest = text.trim_end_matches(['\n', '\r']).chars().peekable();
    while let Some(c) = rest.next() {
        let shown = match c {
            '\x1b' => {
                escape(&mut rest, look);
                continue;
            }
            // In a line it is no end of one.
            '\r' | '\n' => char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}'),
            c => visible::sign(c),
        };
        let class = look.class();
        match out.last_mut().filter(|span| span.class == class) {
            Some(span) => span.text.push(shown),
            None => out.push(Span {
                class,
                text: shown.to_string(),
            }),
        }
    }
    out
}

/// The same without colours.
pub fn readable(bytes: &[u8]) -> String {
    let spans = spans(bytes, &mut Look::default());
    spans.into_iter().map(|span| span.text).collect()
}

/// Eats what follows ESC: a CSI sequence, an OSC string, or one character.
fn escape(rest: &mut Peekable<Chars<'_>>, look: &mut Look) {
    match rest.next() {
        Some('[') => {
            let mut parameters = String::new();
            while let Some(c) = rest.next_if(|c| !('@'..='~').contains(c)) {
                parameters.push(c);
            }
            if rest.next() == Some('m') {
                look.select(&parameters);
            }
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_control_bytes_do_not_reach_the_page() {
        assert_eq!(readable(b"\x1b[1;31merror\x1b[0m: x\r\n"), "error: x");
        assert_eq!(readable(b"\x1b]0;title\x07a\x1b(Bb"), "ab");
        assert_eq!(readable(b"\x1b]8;;u\x1b\\link"), "link");
        assert_eq!(readable(b"a\x00\x08\xffb"), "a\u{2400}\u{2408}\u{fffd}b");
        assert_eq!(readable("x\u{202e}y".as_bytes()), "x\u{fffd}y");
        assert_eq!(readable(b"\x1b["), "");
    }

    #[test]
    fn colours_become_classes_and_last_until_they_are_taken_back() {
        let mut look = Look::default();
        let line = spans(b"a\x1b[1;31mred\x1b[39m b\x1b[92m", &mut look);
        let told: Vec<(&str, &str)> = line.iter().map(|s| (s.class, s.text.as_str())).collect();
        assert_eq!(told, [("", "a"), ("c1 bold", "red"), ("bold", " b")]);
        assert_eq!(spans(b"next", &mut look)[0].class, "c2 bold");
        spans(b"\x1b[m", &mut look);
        assert_eq!(look, Look::default());
        // A colour of another palette, and nonsense.
        let line = spans(
            b"\x1b[38;5;31mx\x1b[48;2;1;31;3my\x1b[999;;1m\x1b[<3mz",
            &mut look,
        );
        let classes: Vec<&str> = line.iter().map(|s| s.class).collect();
        assert_eq!(classes, ["", "bold"]);
    }
}
