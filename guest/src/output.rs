//! What a case prints: the tail, metrics, KTAP and why it does not apply, all bounded.

use firstbad_api::observation::Metric;

use crate::ktap::Ktap;

/// Bytes of the tail.
const TAIL_BYTES: usize = 4096;
/// Bytes looked at in one line; the rest of a longer line is passed over.
const LINE_BYTES: usize = 4096;
/// Metrics of one case.
const METRICS: usize = 32;
const NAME_BYTES: usize = 64;
const UNIT_BYTES: usize = 16;
const PREFIX: &str = "::metric ";
/// Begins the reason of a case that ends with the exit code of a skip.
const SKIP: &str = "::skip ";
const SKIP_CHARS: usize = 200;

/// Collects the output of one case as it comes.
#[derive(Default)]
pub struct Output {
    tail: Vec<u8>,
    line: Vec<u8>,
    /// Metrics by order of appearance; a repeated name keeps the last value.
    pub metrics: Vec<Metric>,
    pub ktap: Ktap,
    /// Why the case does not apply here, as it said last.
    pub skip: Option<String>,
}

impl Output {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        if self.tail.len() > 4 * TAIL_BYTES {
            self.tail.drain(..self.tail.len() - TAIL_BYTES);
        }
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else if self.line.len() < LINE_BYTES {
                self.line.push(byte);
            }
        }
    }

    /// Takes an unfinished last line and returns the tail, at most 4 KiB of text.
    pub fn finish(&mut self) -> String {
        self.end_line();
        let start = self.tail.len().saturating_sub(TAIL_BYTES);
        let mut text = String::from_utf8_lossy(&self.tail[start..]).into_owned();
        // Replacement characters are longer than the bytes they stand for.
        while text.len() > TAIL_BYTES {
            text.remove(0);
        }
        text
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&line);
        if let Some(metric) = text.trim_end().strip_prefix(PREFIX).and_then(metric) {
            if let Some(same) = self.metrics.iter_mut().find(|m| m.name == metric.name) {
                *same = metric;
            } else if self.metrics.len() < METRICS {
                self.metrics.push(metric);
            }
        }
        if let Some(why) = text.trim_end().strip_prefix(SKIP) {
            let plain = why.chars().filter(|c| !c.is_control());
            self.skip = Some(plain.take(SKIP_CHARS).collect());
        }
        self.ktap.line(&text);
    }
}

/// Parses `name=… value=… unit=… better=…`; None when any part is missing or wrong.
fn metric(fields: &str) -> Option<Metric> {
    let (mut name, mut value, mut unit, mut better) = (None, None, None, None);
    for field in fields.split_ascii_whitespace() {
        let (key, text) = field.split_once('=')?;
        match key {
            "name" => name = Some(text),
            "value" => value = text.parse::<f64>().ok().filter(|v| v.is_finite()),
            "unit" => unit = Some(text),
            "better" => better = Some(text).filter(|b| matches!(*b, "higher" | "lower")),
            _ => return None,
        }
    }
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"_.-".contains(&c);
    let name = name.filter(|n| !n.is_empty() && n.len() <= NAME_BYTES && n.bytes().all(plain))?;
    let unit = unit.filter(|u| !u.is_empty() && u.len() <= UNIT_BYTES)?;
    Some(Metric {
        name: name.to_owned(),
        value: value?,
        unit: unit.to_owned(),
        better: better?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_read_bounded_and_replaced() {
        let mut out = Output::default();
        out.push(b"x\n::metric name=a value=1.5 unit=MB/s better=high");
        out.push(b"er\n::metric name=a value=2 unit=MB/s better=higher\n");
        out.push(b"::metric name=b value=NaN unit=s better=lower\n");
        out.push(b"::metric name=b value=1 unit=s better=up\n::metric name=c value=1\n");
        out.push(b"::metric name=../x value=1 unit=s better=lower\n");
        for i in 0..100 {
            out.push(format!("::metric name=n{i} value=1 unit=s better=lower\n").as_bytes());
        }
        out.finish();
        assert_eq!(out.metrics.len(), METRICS);
        assert_eq!(
            (out.metrics[0].name.as_str(), out.metrics[0].value),
            ("a", 2.0)
        );
    }

    #[test]
    fn a_reason_to_skip_is_one_line_of_text() {
        let mut out = Output::default();
        out.push(b"::skip first\n ::skip no\n::skip needs \x1b[2Ja disk\n");
        out.finish();
        assert_eq!(out.skip.as_deref(), Some("needs [2Ja disk"));
        out.push(&[b"::skip ".as_slice(), &[b'x'; 1000]].concat());
        out.finish();
        assert_eq!(out.skip.unwrap().len(), SKIP_CHARS);
    }

    #[test]
    fn last_line_without_newline_counts() {
        let mut out = Output::default();
        out.push(b"::metric name=a value=1 unit=s better=lower");
        assert_eq!(out.finish(), "::metric name=a value=1 unit=s better=lower");
        assert_eq!(out.metrics.len(), 1);
    }

    #[test]
    fn memory_and_tail_stay_bounded() {
        let mut out = Output::default();
        for _ in 0..1000 {
            out.push(&[0xff; 1000]);
        }
        assert!(out.tail.len() <= 5 * TAIL_BYTES && out.line.len() <= LINE_BYTES);
        assert!(out.finish().len() <= TAIL_BYTES);
    }
}
