//! Reads KTAP (and TAP) from the lines a case prints, and counts the results.

/// Deepest nesting that is told apart.
const DEPTH: usize = 16;

/// Counts of one case's stream.
#[derive(Debug, Clone, Default)]
pub struct Ktap {
    started: bool,
    passed: u32,
    failed: u32,
    skipped: u32,
    /// Results seen below each depth since the last result at that depth: count and failures.
    below: [(u32, u32); DEPTH],
    /// The plan at depth 0, and how many results it got.
    planned: Option<u32>,
    seen: u32,
}

impl Ktap {
    /// Takes one line, without its newline.
    pub fn line(&mut self, line: &str) {
        let indent = line.len() - line.trim_start_matches(' ').len();
        let depth = (indent / 2).min(DEPTH - 1);
        let text = line.trim();
        if let Some(version) = text
            .strip_prefix("KTAP version ")
            .or_else(|| text.strip_prefix("TAP version "))
        {
            self.started |= version.trim().parse::<u32>().is_ok();
        } else if !self.started {
        } else if let Some(n) = text.strip_prefix("1..") {
            let digits = n.split_ascii_whitespace().next().unwrap_or_default();
            if depth == 0 {
                self.planned = digits.parse().ok();
            }
        } else if text.starts_with("Bail out!") {
            self.failed = self.failed.saturating_add(1);
        } else if let Some((ok, rest)) = result(text) {
            self.result(depth, ok, rest);
        }
    }

    fn result(&mut self, depth: usize, ok: bool, rest: &str) {
        let (children, child_failures) = self.below[depth];
        for level in &mut self.below[depth..] {
            *level = (0, 0);
        }
        let directive = rest
            .split_once('#')
            .map(|(_, d)| d.trim_start().to_ascii_uppercase())
            .unwrap_or_default();
        let skipped = directive.starts_with("SKIP")
            || (!ok && (directive.starts_with("TODO") || directive.starts_with("XFAIL")));
        let failed = !ok && !skipped;
        for level in &mut self.below[..depth] {
            level.0 = level.0.saturating_add(1);
            level.1 = level.1.saturating_add(u32::from(failed));
        }
        if depth == 0 {
            self.seen = self.seen.saturating_add(1);
        }
        // A parent's line sums up its children; it counts only when it fails by itself.
        let counted = match (children, failed) {
            (0, true) => &mut self.failed,
            (0, false) if skipped => &mut self.skipped,
            (0, false) => &mut self.passed,
            (_, true) if child_failures == 0 => &mut self.failed,
            _ => return,
        };
        *counted = counted.saturating_add(1);
    }

    /// Passed, failed and skipped; None when the case printed no KTAP. Results
    /// that the plan promised and that never came count as failed.
    pub fn counts(&self) -> Option<[u32; 3]> {
        let missing = self
            .planned
            .map_or(0, |planned| planned.saturating_sub(self.seen));
        self.started.then_some([
            self.passed,
            self.failed.saturating_add(missing),
            self.skipped,
        ])
    }
}

/// Splits `ok 3 - name` into its verdict and the rest.
fn result(text: &str) -> Option<(bool, &str)> {
    let (ok, rest) = match text.strip_prefix("not ok") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok")?),
    };
    let rest = rest.strip_prefix(' ')?;
    rest.starts_with(|c: char| c.is_ascii_digit())
        .then_some((ok, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Option<[u32; 3]> {
        let mut ktap = Ktap::default();
        text.lines().for_each(|l| ktap.line(l));
        ktap.counts()
    }

    #[test]
    fn flat_with_directives() {
        let text = "KTAP version 1\n1..5\nok 1 a\nnot ok 2 b\nok 3 c # SKIP no\nnot ok 4 d # TODO x\nnot ok 5 # XFAIL";
        assert_eq!(counts(text), Some([1, 1, 3]));
    }

    #[test]
    fn nested_counts_leaves() {
        let text = "KTAP version 1\n1..2\n  KTAP version 1\n  1..2\n  ok 1 a\n  not ok 2 b\nnot ok 1 s\n  KTAP version 1\n  1..1\n  ok 1 c\nok 2 t";
        assert_eq!(counts(text), Some([2, 1, 0]));
        let own = "KTAP version 1\n1..1\n  KTAP version 1\n  1..1\n  ok 1 a\nnot ok 1 s";
        assert_eq!(counts(own), Some([1, 1, 0]));
    }

    #[test]
    fn missing_results_and_bail_out_fail() {
        assert_eq!(counts("TAP version 13\n1..3\nok 1 - a"), Some([1, 2, 0]));
        assert_eq!(counts("TAP version 13\nBail out! x"), Some([0, 1, 0]));
        assert_eq!(counts("TAP version 13\n1..0 # SKIP x"), Some([0, 0, 0]));
    }

    #[test]
    fn plain_text_is_not_ktap() {
        assert_eq!(counts("ok 1 a\nnot ok 2 b"), None);
        assert_eq!(
            counts("KTAP version 1\nokay then\nok then"),
            Some([0, 0, 0])
        );
    }
}
