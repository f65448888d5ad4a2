//! Text for a terminal: hostile strings made harmless, durations made short.
//!
//! Must not know what the text means.

use firstbad_api::bidi;

/// One line without control characters: names, subjects and messages come from
/// trees and guests, and a terminal obeys escape sequences.
pub fn line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' | '\r' => ' ',
            c if hostile(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Several lines, the same way: newlines and tabs stay.
pub fn lines(text: &str) -> String {
    text.chars()
        .filter(|c| *c != '\r')
        .map(|c| match c {
            '\n' | '\t' => c,
            c if hostile(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Controls and the marks that reorder text.
fn hostile(c: char) -> bool {
    c.is_control() || bidi::is_control(c)
}

/// First twelve digits of a commit id.
pub fn short(rev: &str) -> &str {
    rev.get(..12).unwrap_or(rev)
}

/// `95` → `1 min 35 s`.
pub fn seconds(s: u64) -> String {
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        _ => format!("{} h {} min", s / 3600, s % 3600 / 60),
    }
}

/// `12345` → `12.3 s`.
pub fn millis(ms: i64) -> String {
    let ms = ms.max(0);
    if ms < 60_000 {
        format!("{}.{} s", ms / 1000, ms % 1000 / 100)
    } else {
        seconds(ms.unsigned_abs() / 1000)
    }
}

/// Cut to `width` characters, with an ellipsis when something was lost.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_string();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(line("a\x1b[2Jb\nc\u{202e}d"), "a\u{fffd}[2Jb c\u{fffd}d");
        assert_eq!(lines("a\r\n\x07b\u{9b}c"), "a\n\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(seconds(59), "59 s");
        assert_eq!(seconds(95), "1 min 35 s");
        assert_eq!(seconds(7260), "2 h 1 min");
        assert_eq!(millis(12_345), "12.3 s");
        assert_eq!(millis(61_000), "1 min 1 s");
    }

    #[test]
    fn cutting_counts_characters() {
        assert_eq!(cut("äöüß", 4), "äöüß");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
