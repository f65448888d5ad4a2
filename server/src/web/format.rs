//! How times, sizes, hashes and shares are written for people.
//!
//! Owns British dates in UTC and shell quoting. Must not know: jobs, HTTP or the database.

use askama::Template;
use askama::filters::HtmlSafe;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

pub use crate::view::short;

/// A moment as a `<time>` element: British date in UTC, relative time in the title.
#[derive(Debug, Clone, Template)]
#[template(
    ext = "html",
    source = r#"<time datetime="{{ iso }}" title="{{ ago }}">{{ text }}</time>"#
)]
pub struct When {
    iso: String,
    ago: String,
    text: String,
}

// The inner template escapes its own fields.
impl HtmlSafe for When {}

impl When {
    fn new(at: OffsetDateTime, now: OffsetDateTime) -> When {
        let at = at.to_offset(time::UtcOffset::UTC);
        let shape = format_description!(
            "[day padding:none] [month repr:short] [year], [hour]:[minute] UTC"
        );
        let iso = at.format(&Rfc3339).unwrap_or_default();
        When {
            text: at.format(&shape).unwrap_or_else(|_| iso.clone()),
            ago: ago((now - at).whole_seconds()),
            iso,
        }
    }
}

/// An RFC 3339 moment; `None` when it cannot be read.
pub fn when(rfc3339: &str) -> Option<When> {
    let at = OffsetDateTime::parse(rfc3339, &Rfc3339).ok()?;
    Some(When::new(at, OffsetDateTime::now_utc()))
}

/// Whether an RFC 3339 moment is over.
pub fn is_past(rfc3339: &str) -> bool {
    OffsetDateTime::parse(rfc3339, &Rfc3339).is_ok_and(|at| at < OffsetDateTime::now_utc())
}

/// A moment in Unix seconds.
pub fn when_unix(seconds: i64) -> Option<When> {
    let at = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    Some(When::new(at, OffsetDateTime::now_utc()))
}

fn ago(seconds: i64) -> String {
    let (span, future) = (seconds.unsigned_abs(), seconds < 0);
    let words = match span {
        0..10 => return "just now".to_string(),
        10..90 => format!("{span} seconds"),
        90..5_400 => format!("{} minutes", (span + 30) / 60),
        5_400..129_600 => format!("{} hours", (span + 1_800) / 3_600),
        _ => format!("{} days", (span + 43_200) / 86_400),
    };
    if future {
        format!("in {words}")
    } else {
        format!("{words} ago")
    }
}

/// An end of a range: full ids are shortened, names such as `v6.18` stay whole.
pub fn end(name: &str) -> &str {
    if name.len() >= 40 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        short(name)
    } else {
        name
    }
}

/// Milliseconds as `850 ms`, `12.3 s`, `4 min 05 s` or `1 h 12 min`.
pub fn duration(ms: impl TryInto<u64>) -> String {
    let ms = ms.try_into().unwrap_or(0);
    let s = ms / 1_000;
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", s, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {:02} s", s / 60, s % 60),
        _ => format!("{} h {:02} min", s / 3_600, s % 3_600 / 60),
    }
}

/// Seconds to go, roughly.
pub fn eta(seconds: u64) -> String {
    match seconds {
        0..60 => "under a minute".to_string(),
        60..5_400 => format!("about {} min", (seconds + 30) / 60),
        _ => format!("about {:.1} h", seconds as f64 / 3_600.0),
    }
}

/// Bytes as `812 B`, `4.2 KiB`, `11.0 MiB` or `1.3 GiB`.
pub fn bytes(n: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < units.len() {
        value /= 1_024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{n} B")
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

/// As [`bytes`], for signed counters from the database.
pub fn size(n: i64) -> String {
    bytes(u64::try_from(n).unwrap_or(0))
}

/// A count with thousands separators: `12,345`; a negative one is zero.
pub fn number(n: impl TryInto<u64>) -> String {
    let digits = n.try_into().unwrap_or(0).to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 commit`, `12,345 commits`.
pub fn count(n: impl TryInto<u64>, noun: &str) -> String {
    let n = n.try_into().unwrap_or(0);
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", number(n))
}

/// A share of 1 as the width of a bar of 100.
pub fn percentage(share: f64) -> String {
    format!("{:.1}", (share * 100.0).clamp(0.0, 100.0))
}

/// A metric value without a tail of noise digits.
pub fn value(v: f64) -> String {
    if v.abs() >= 1_000.0 || v == v.trunc() {
        format!("{v:.0}")
    } else {
        format!("{v:.3}")
    }
}

/// One word for a POSIX shell, quoted only where needed.
pub fn shell(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,+@%^~".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) && !word.starts_with('~') {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_british_and_in_utc() {
        let at = OffsetDateTime::parse("2026-11-21T15:05:59+01:00", &Rfc3339).unwrap();
        let now = OffsetDateTime::parse("2026-11-21T14:08:59Z", &Rfc3339).unwrap();
        let shown = When::new(at, now).render().unwrap();
        assert_eq!(
            shown,
            r#"<time datetime="2026-11-21T14:05:59Z" title="3 minutes ago">21 Nov 2026, 14:05 UTC</time>"#
        );
        assert!(when("yesterday").is_none());
    }

    #[test]
    fn spans_sizes_and_shares() {
        assert_eq!(duration(-5_i64), "0 ms");
        assert_eq!(duration(12_340_u64), "12.3 s");
        assert_eq!(duration(245_000_u64), "4 min 05 s");
        assert_eq!(duration(4_320_000_u64), "1 h 12 min");
        assert_eq!(bytes(812), "812 B");
        assert_eq!(bytes(11 << 20), "11.0 MiB");
        assert_eq!(number(1_234_567_u64), "1,234,567");
        assert_eq!(count(1_u64, "commit"), "1 commit");
    }

    #[test]
    fn short_never_splits_a_character() {
        assert_eq!(short("0123456789abcdef"), "0123456789ab");
        assert_eq!(short("ééééééé"), "éééééé");
        assert_eq!(short("aéééééé"), "aéééééé");
    }

    #[test]
    fn shell_words_survive_hostile_names() {
        assert_eq!(shell("v6.18-rc1"), "v6.18-rc1");
        assert_eq!(shell("a b; rm -rf $HOME"), "'a b; rm -rf $HOME'");
        assert_eq!(shell("it's"), r"'it'\''s'");
        assert_eq!(shell(""), "''");
    }
}
