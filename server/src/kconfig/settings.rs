//! Lines of a `.config` or of a fragment.

use std::collections::BTreeMap;

/// Symbol (`CONFIG_…`) → value, `n` for "is not set".
pub type Settings = BTreeMap<String, String>;

/// All settings of a text; the last one of a symbol counts.
///
/// # Errors
/// The number of the line, from 1, and why it is refused.
pub fn settings(text: &str) -> Result<Settings, (usize, String)> {
    let mut settings = Settings::new();
    for (index, line) in text.lines().enumerate() {
        let read = setting(line.trim()).map_err(|why| (index + 1, why))?;
        settings.extend(read.map(|(symbol, value)| (symbol.to_owned(), value.to_owned())));
    }
    Ok(settings)
}

/// The symbol and value that a line sets; `None` for a comment.
///
/// # Errors
/// Why the line is refused.
pub fn setting(line: &str) -> Result<Option<(&str, &str)>, String> {
    if let Some(comment) = line.strip_prefix('#') {
        let unset = comment.trim().strip_suffix(" is not set").map(str::trim);
        return Ok(unset.filter(|s| is_symbol(s)).map(|s| (s, "n")));
    }
    if line.is_empty() {
        return Ok(None);
    }
    let shown: String = line.chars().take(60).collect();
    let Some((symbol, value)) = line.split_once('=') else {
        return Err(format!("{shown:?} is not CONFIG_NAME=value"));
    };
    if !is_symbol(symbol) {
        let symbol: String = symbol.chars().take(60).collect();
        return Err(format!("{symbol:?} is not a CONFIG_ symbol"));
    }
    if is_value(value) {
        Ok(Some((symbol, value)))
    } else {
        Err(format!(
            "the value of {symbol} is not y, m, n, a number or a quoted string without $ and `"
        ))
    }
}

fn is_symbol(text: &str) -> bool {
    text.strip_prefix("CONFIG_").is_some_and(|name| {
        (1..=120).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

fn is_value(value: &str) -> bool {
    if let Some(quoted) = value.strip_prefix('"') {
        // The kernel's make files read this text: nothing that make or a shell expands.
        let Some(inner) = quoted.strip_suffix('"') else {
            return false;
        };
        let mut escaped = false;
        let closed_early = inner.chars().any(|c| {
            let stray = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            stray
        });
        return !closed_early
            && !escaped
            && !inner.contains(|c: char| c == '$' || c == '`' || c.is_control());
    }
    let digits = value.strip_prefix('-').unwrap_or(value);
    let hex = value
        .strip_prefix("0x")
        .or_else(|| value.strip_prefix("0X"));
    matches!(value, "y" | "m" | "n")
        || (!digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        || hex.is_some_and(|h| {
            (1..=16).contains(&h.len()) && h.bytes().all(|b| b.is_ascii_hexdigit())
        })
}
