//! The patterns of cases, looked for in the console's lines and in what a case printed.
//!
//! Owns what a match means for a case's status. The lines of a case are those
//! between PID 1's two words about it on the console: the kernel's and the
//! case's own. Must not know files or processes.

use firstbad_api::guest::GuestCase;
use firstbad_api::limits::PATTERN_MEMORY;
use firstbad_api::observation::{CaseResult, CaseStatus};
use regex::{Regex, RegexBuilder};

use super::crash::message;
use crate::error::{Context, InfraError};
use crate::process::Lines;

/// Characters told of a line that matched.
const TOLD: usize = 200;
/// Exit of a case that ended with its machine: as killed.
const CUT_SHORT: i32 = 128 + 9;

/// Looks for the patterns of a run's cases.
#[derive(Debug, Default)]
pub struct Patterns {
    watched: Vec<Watched>,
    /// Which of them runs now.
    running: Option<usize>,
    lines: Lines,
}

#[derive(Debug)]
struct Watched {
    case: String,
    fails: Option<Regex>,
    passes: Option<Regex>,
    /// The first line that matched `fails`.
    failed: Option<String>,
    passed: bool,
}

impl Patterns {
    /// The patterns of these cases.
    pub fn new(cases: &[GuestCase]) -> Result<Patterns, InfraError> {
        let compile = |pattern: &Option<String>| {
            let compiled = pattern
                .as_ref()
                .map(|p| RegexBuilder::new(p).size_limit(PATTERN_MEMORY).build());
            compiled.transpose().context("a pattern of the suite")
        };
        let mut watched = Vec::new();
        for case in cases.iter().filter(|c| !c.patterns.is_empty()) {
            watched.push(Watched {
                case: case.name.clone(),
                fails: compile(&case.patterns.fails_when)?,
                passes: compile(&case.patterns.passes_when)?,
                failed: None,
                passed: false,
            });
        }
        Ok(Patterns {
            watched,
            ..Patterns::default()
        })
    }

    /// Takes the next bytes of the console.
    pub fn push(&mut self, console: &[u8]) {
        if self.watched.is_empty() {
            return;
        }
        let (watched, running) = (&mut self.watched, &mut self.running);
        self.lines.push(console, &mut |line| {
            if let Some(case) = word_of_pid_1(line, " starts") {
                *running = watched.iter().position(|w| w.case == case);
            } else if word_of_pid_1(line, "").is_some() {
                *running = None;
            } else if let Some(case) = running.and_then(|n| watched.get_mut(n)) {
                case.look(line);
                message(line).into_iter().for_each(|said| case.look(said));
            }
        });
    }

    /// Lets the patterns decide, once the machine is gone. A case that ended with its machine has
    /// no result of its own; it has failed if its pattern was seen before.
    pub fn decide(mut self, cases: &mut Vec<CaseResult>) {
        for watched in &mut self.watched {
            match cases.iter_mut().find(|c| c.case == watched.case) {
                Some(case) => {
                    case.tail.lines().for_each(|line| watched.look(line));
                    watched.decide(case);
                }
                None => cases.extend(watched.failed.take().map(|line| CaseResult {
                    case: watched.case.clone(),
                    status: CaseStatus::Fail,
                    exit: CUT_SHORT,
                    duration_ms: 0,
                    metrics: Vec::new(),
                    ktap: None,
                    subtests: vec![],
                    pattern: Some(format!("fails_when matched: {line}")),
                    outside: None,
                    tail: String::new(),
                    dmesg: Vec::new(),
                })),
            }
        }
    }
}

impl Watched {
    fn look(&mut self, line: &str) {
        let is_match = |pattern: &Option<Regex>| pattern.as_ref().is_some_and(|p| p.is_match(line));
        if self.failed.is_none() && is_match(&self.fails) {
            self.failed = Some(line.chars().take(TOLD).collect());
        }
        self.passed = self.passed || is_match(&self.passes);
    }

    fn decide(&mut self, case: &mut CaseResult) {
        if case.outside.is_some() {
            return;
        }
        let why = match self.failed.take() {
            Some(line) => format!("fails_when matched: {line}"),
            None if self.passes.is_some() && !self.passed && case.status == CaseStatus::Pass => {
                "no line matched passes_when".to_owned()
            }
            None => return,
        };
        case.status = CaseStatus::Fail;
        case.pattern = Some(why);
    }
}

/// The case of a line `firstbad: case NAME starts`, or of any such line without `end`.
fn word_of_pid_1<'a>(line: &'a str, end: &str) -> Option<&'a str> {
    line.strip_prefix("firstbad: case ")?.strip_suffix(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstbad_api::suite::Patterns as Wanted;

    fn case(fails: Option<&str>, passes: Option<&str>) -> GuestCase {
        GuestCase {
            name: "a".to_owned(),
            script: "/suite/a.sh".to_owned(),
            timeout_s: 1,
            versions: Default::default(),
            excluded: Vec::new(),
            patterns: Wanted {
                fails_when: fails.map(str::to_owned),
                passes_when: passes.map(str::to_owned),
            },
        }
    }

    fn ended(status: CaseStatus, tail: &str) -> CaseResult {
        CaseResult {
            case: "a".to_owned(),
            status,
            exit: 0,
            duration_ms: 1,
            metrics: Vec::new(),
            ktap: None,
            subtests: vec![],
            pattern: None,
            outside: None,
            tail: tail.to_owned(),
            dmesg: Vec::new(),
        }
    }

    fn decided(case: &GuestCase, console: &str, mut cases: Vec<CaseResult>) -> Vec<CaseResult> {
        let mut patterns = Patterns::new(std::slice::from_ref(case)).unwrap();
        for bytes in console.as_bytes().chunks(7) {
            patterns.push(bytes);
        }
        patterns.decide(&mut cases);
        cases
    }

    #[test]
    fn a_line_of_the_kernel_or_of_the_case_decides() {
        use CaseStatus::{Broken, Fail, Pass, Timeout};
        let during = |line: &str| {
            format!(
                "lost at boot\nfirstbad: case a starts\n{line}\nfirstbad: case a ends: Pass\nlost\n"
            )
        };
        let fails = case(Some("^lost"), None);
        let passes = case(None, Some("^found"));
        for (case, console, status, tail, want) in [
            (&fails, during("all is well"), Pass, "", Pass),
            (&fails, during("lost it"), Pass, "", Fail),
            (&fails, during("[    1.234567] lost it"), Timeout, "", Fail),
            (&fails, during("x"), Broken, "a\nlost", Fail),
            (&passes, during("x"), Pass, "", Fail),
            (&passes, during("found"), Pass, "", Pass),
            (&passes, during("found"), Timeout, "", Timeout),
            (&passes, during("x"), Broken, "", Broken),
        ] {
            let seen = decided(case, &console, vec![ended(status, tail)]);
            assert_eq!(seen[0].status, want, "{console}");
            assert_eq!(seen[0].pattern.is_some(), want == Fail, "{console}");
        }
    }

    #[test]
    fn a_machine_that_ends_after_the_match_has_failed() {
        let fails = case(Some("KASAN"), None);
        let seen = decided(
            &fails,
            "firstbad: case a starts\r\nBUG: KASAN: x\r\n",
            vec![],
        );
        assert_eq!(
            seen[0].pattern.as_deref(),
            Some("fails_when matched: BUG: KASAN: x")
        );
        assert_eq!(seen[0].status, CaseStatus::Fail);
        assert!(decided(&fails, "firstbad: case a starts\nx\n", vec![]).is_empty());
    }
}
