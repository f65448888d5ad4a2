//! Reads KTAP (and TAP) from the lines a case prints: counts the results, and keeps them by name.

use firstbad_api::observation::{CaseStatus, Subtest};

/// Deepest nesting that is told apart.
const DEPTH: usize = 16;
/// Bytes of the results that are kept, with what each costs besides its name: a frame holds them all.
const RESULT_BYTES: usize = 28 << 10;
const RESULT_COSTS: usize = 32;
/// Longest name without its parents, characters.
const NAME: usize = 100;

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
    /// Results by depth that no parent has claimed yet.
    open: [Vec<Subtest>; DEPTH],
    kept: usize,
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
        self.keep(depth, rest, failed, skipped);
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

    /// Keeps a result, with those below it that came since the last one at its depth.
    fn keep(&mut self, depth: usize, rest: &str, failed: bool, skipped: bool) {
        let name = name(rest);
        let status = match (failed, skipped) {
            (true, _) => CaseStatus::Fail,
            (false, true) => CaseStatus::Skip,
            (false, false) => CaseStatus::Pass,
        };
        let below = &mut self.open[depth + 1..];
        let children: Vec<Subtest> = below.iter_mut().flat_map(std::mem::take).collect();
        let costs = RESULT_COSTS + name.len() * (children.len() + 1);
        // What does not fit is only counted: its children too, since their names would be others.
        if self.kept + costs > RESULT_BYTES || name.is_empty() {
            return;
        }
        self.kept += costs;
        let children = children.into_iter().map(|child| Subtest {
            name: format!("{name}/{}", child.name),
            ..child
        });
        let children: Vec<Subtest> = children.collect();
        self.open[depth].push(Subtest { name, status });
        self.open[depth].extend(children);
    }

    /// The results that were kept, a parent before its children.
    pub fn take_results(&mut self) -> Vec<Subtest> {
        self.open.iter_mut().flat_map(std::mem::take).collect()
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

/// The name in `3 - name # SKIP why`, of printable characters that cost one byte each.
fn name(rest: &str) -> String {
    let name = rest.split_once('#').map_or(rest, |(name, _)| name).trim();
    let name = name
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start();
    let name = name.strip_prefix("- ").unwrap_or(name).trim();
    let plain = |c: char| match c {
        '"' | '\\' | '/' => '_',
        ' '..='~' => c,
        _ => '?',
    };
    name.chars().take(NAME).map(plain).collect()
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

    fn results(text: &str) -> Vec<(String, CaseStatus)> {
        let mut ktap = Ktap::default();
        text.lines().for_each(|l| ktap.line(l));
        let results = ktap.take_results().into_iter();
        results.map(|s| (s.name, s.status)).collect()
    }

    #[test]
    fn results_have_the_names_of_their_parents() {
        use CaseStatus::*;
        let text = "KTAP version 1\n1..3\n    ok 1 global.a\n    not ok 2 global.b\nnot ok 1 first # ended with 1\n\
                    ok 2 - second # SKIP no\n    TAP version 13\n    ok 1 x/y\"z # SKIP listns() not there\nok 3 third";
        let want = [
            ("first", Fail),
            ("first/global.a", Pass),
            ("first/global.b", Fail),
            ("second", Skip),
            ("third", Pass),
            ("third/x_y_z", Skip),
        ];
        assert_eq!(results(text), want.map(|(n, s)| (n.to_owned(), s)));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "n".repeat(300);
        let many: String = (1..5000).map(|n| format!("ok {n} {long}{n}\n")).collect();
        let kept = results(&format!("KTAP version 1\n1..4999\n{many}"));
        assert!(kept.len() > 100 && kept.iter().all(|(name, _)| name.len() <= NAME));
        let bytes: usize = kept.iter().map(|(name, _)| name.len() + RESULT_COSTS).sum();
        assert!(bytes <= RESULT_BYTES);
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
