//! From observations to verdicts: pure, no I/O.
//!
//! "Present" means the behaviour the job looks for was seen; what that says about
//! old and new is decided once, by the caller. Another crash than the one looked
//! for never counts as present: two thirds of syzbot's wrong answers came from
//! unrelated bugs (research, syzkaller's 2019 audit).

use std::collections::BTreeSet;

use firstbad_api::job::Signal;
use firstbad_api::observation::{BootOutcome, CaseResult, CaseStatus, RunEnd, TestObservation};

use crate::scale::round;

/// A number measured while the machine waited for the host's processors for a larger share of its
/// time says nothing about the kernel.
const BUSY: f64 = 0.1;
/// Characters told of the last line that a case printed.
const LAST_WORDS: usize = 200;

/// What one run says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    Present(String),
    Absent(String),
    /// Says nothing about the behaviour: boot failure, other crash, skipped case.
    Unusable(String),
}

/// What the end that shows the behaviour looked like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    pub cases: BTreeSet<String>,
    pub titles: BTreeSet<String>,
    /// A case failed in every run that showed anything: a crash beside it may be another matter.
    pub cases_decide: bool,
}

impl Reference {
    /// Learns from the runs at the end where the behaviour should be.
    pub fn learn<'a>(runs: impl Iterator<Item = &'a TestObservation>) -> Reference {
        let mut reference = Reference::default();
        let mut only_crashed = false;
        for run in runs {
            only_crashed |= failing(run).next().is_none() && !run.crashes.is_empty();
            reference.cases.extend(failing(run).map(|c| c.case.clone()));
            reference
                .titles
                .extend(run.crashes.iter().map(|c| c.title.clone()));
        }
        reference.cases_decide = !reference.cases.is_empty() && !only_crashed;
        reference
    }
}

fn failing(run: &TestObservation) -> impl Iterator<Item = &CaseResult> {
    run.cases
        .iter()
        .filter(|c| matches!(c.status, CaseStatus::Fail | CaseStatus::Timeout))
}

/// Judges one run. `reference` is `None` for runs at the end that should show the behaviour. A number
/// is divided by `level`, what the machine measured at that time: 1 is as always. The answer is
/// `None` for a number without a threshold.
pub fn judge(
    signal: &Signal,
    reference: Option<&Reference>,
    level: f64,
    run: &TestObservation,
) -> Option<Raw> {
    Some(match signal {
        Signal::Failure => match reference {
            None => first_look(run),
            Some(reference) => compare(reference, run),
        },
        Signal::Cases { cases } => {
            let cases = cases.iter().cloned().collect();
            let reference = Reference {
                cases,
                ..Reference::default()
            };
            compare(&reference, run)
        }
        Signal::Crash { title } => crash(title, reference, run),
        Signal::Metric { name, threshold } => return metric(name, *threshold, level, run),
    })
}

/// A crash whose title holds `title`. Once the end that shows the behaviour has given such titles,
/// only these count, and only the very one that was asked for if it is among them.
fn crash(title: &str, reference: Option<&Reference>, run: &TestObservation) -> Raw {
    let titles = reference.into_iter().flat_map(|r| &r.titles);
    let known: Vec<&str> = titles
        .map(String::as_str)
        .filter(|t| t.contains(title))
        .collect();
    let wanted = |seen: &str| match known.as_slice() {
        [] => seen.contains(title),
        known if known.contains(&title) => seen == title,
        known => known.contains(&seen),
    };
    match run.crashes.iter().find(|c| wanted(&c.title)) {
        Some(crash) => Raw::Present(crash.title.clone()),
        None => without_crash(run),
    }
}

/// The functions in the call traces of a run's crashes, the innermost first, at most `most`.
pub fn traced(run: &TestObservation, most: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let excerpts = run.crashes.iter().map(|c| c.excerpt.as_str());
    for word in excerpts.flat_map(str::split_whitespace) {
        // Such as `RIP: 0010:btrfs_sync_file.cold+0x1a/0x30`.
        let Some((symbol, _)) = word.split_once("+0x") else {
            continue;
        };
        let symbol = symbol.rsplit(':').next().unwrap_or(symbol);
        let name = symbol.split('.').next().unwrap_or(symbol);
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.is_empty() && name.chars().all(plain) && !names.iter().any(|n| n == name) {
            names.push(name.to_owned());
        }
    }
    names.truncate(most);
    names
}

/// The metric's values in one run, in case order, with their direction.
pub fn metric_value(name: &str, run: &TestObservation) -> Option<(f64, bool)> {
    run.cases
        .iter()
        .flat_map(|c| &c.metrics)
        .find(|m| m.name == name)
        .map(|m| (m.value, m.better != "lower"))
}

/// That the host was too busy for a run's numbers to be a measure of its kernel.
pub fn busy(run: &TestObservation) -> Option<String> {
    let waited = run.waited.filter(|w| *w > BUSY)?;
    Some(format!(
        "the host was busy: for {:.0} % of its time the machine waited for a processor",
        waited * 100.0
    ))
}

fn metric(name: &str, threshold: Option<f64>, level: f64, run: &TestObservation) -> Option<Raw> {
    if let Some(crash) = run.crashes.first() {
        return Some(Raw::Unusable(format!("another crash: {}", crash.title)));
    }
    if let Some(why) = busy(run) {
        return Some(Raw::Unusable(why));
    }
    match metric_value(name, run) {
        None => {
            let why = format!("no metric {name} ({})", describe_end(run));
            Some(Raw::Unusable(why))
        }
        Some((value, higher_is_better)) => {
            let threshold = threshold?;
            let value = value / level;
            let beyond = if higher_is_better {
                value < threshold
            } else {
                value > threshold
            };
            let [told, limit] = apart(value, threshold);
            let text = format!("{name} = {told} (threshold {limit})");
            Some(match beyond {
                true => Raw::Present(text),
                false => Raw::Absent(text),
            })
        }
    }
}

/// Two numbers for people, with as many digits as it takes to tell them apart.
fn apart(a: f64, b: f64) -> [String; 2] {
    let alike = round(a) == round(b);
    [a, b].map(|x| match x.to_string() {
        whole if alike || whole.len() < round(x).len() => whole,
        _ => round(x),
    })
}

fn first_look(run: &TestObservation) -> Raw {
    if let Some(crash) = run.crashes.first() {
        return Raw::Present(crash.title.clone());
    }
    let failed: Vec<&CaseResult> = failing(run).collect();
    how_they_failed(&failed).map_or_else(|| without_crash(run), Raw::Present)
}

fn how_they_failed(cases: &[&CaseResult]) -> Option<String> {
    match cases {
        [] => None,
        [one] => Some(how_it_failed(one)),
        more => {
            let names: Vec<&str> = more.iter().map(|c| c.case.as_str()).collect();
            Some(format!("{} failed", names.join(", ")))
        }
    }
}

fn how_it_failed(case: &CaseResult) -> String {
    match (&case.pattern, case.status) {
        (Some(pattern), _) => format!("{} failed: {pattern}", case.case),
        (None, CaseStatus::Timeout) => format!("{} did not end in its time", case.case),
        (None, _) => format!("{} failed", case.case),
    }
}

/// Why a case says nothing about the kernel. Its last words are in it: they mostly say what is
/// missing.
pub fn no_answer(case: &CaseResult) -> String {
    if case.status == CaseStatus::Skip {
        return match &case.outside {
            Some(why) => format!("case {} was skipped: it {why}", case.case),
            None => format!("case {} was skipped", case.case),
        };
    }
    let how = match case.exit {
        126 => "exit 126, it could not be executed".to_owned(),
        127 => "exit 127, a program is missing".to_owned(),
        n @ 129..=192 => format!("ended by signal {}", n - 128),
        n => format!("exit {n}, which is no answer: 0 is good, 1 to 124 bad, 125 skip"),
    };
    let mut said = case.tail.lines().rev().map(str::trim);
    let last = said.find(|l| !l.is_empty() && !l.starts_with("::"));
    let last: String = last.unwrap_or_default().chars().take(LAST_WORDS).collect();
    let last = if last.is_empty() {
        last
    } else {
        format!(": {last}")
    };
    format!("case {} could not run ({how}){last}", case.case)
}

/// A run without the crash looked for: good only when it ran to its end.
fn without_crash(run: &TestObservation) -> Raw {
    if run.boot != BootOutcome::Up || run.end != RunEnd::PowerOff {
        return Raw::Unusable(describe_end(run));
    }
    if let Some(crash) = run.crashes.first() {
        return Raw::Unusable(format!("another crash: {}", crash.title));
    }
    // What is for other kernels is no part of this run, unless there is nothing else.
    let outside = run.cases.iter().filter(|c| c.outside.is_some()).count();
    let other = outside == run.cases.len();
    let unusable = run.cases.iter().find(|c| {
        let is_part = other || c.outside.is_none();
        is_part && matches!(c.status, CaseStatus::Broken | CaseStatus::Skip)
    });
    match unusable {
        Some(case) => Raw::Unusable(no_answer(case)),
        None if run.cases.is_empty() => Raw::Unusable("no case ran".to_owned()),
        None => Raw::Absent(match (failing(run).count(), run.cases.len() - outside) {
            (0, n) => passed(n),
            (failed, n) => format!("ended without the crash; {failed} of {n} cases failed"),
        }),
    }
}

fn passed(cases: usize) -> String {
    match cases {
        1 => "the case passed".to_owned(),
        n => format!("the {n} cases passed"),
    }
}

fn compare(reference: &Reference, run: &TestObservation) -> Raw {
    let known = |title: &String| reference.titles.contains(title);
    let status = |name: &str| run.cases.iter().find_map(|c| c.status_of(name));
    let mut cases = reference.cases.iter();
    let in_order = reference.cases_decide && cases.all(|c| status(c) == Some(CaseStatus::Pass));
    if let Some(crash) = run.crashes.iter().find(|c| known(&c.title))
        && !in_order
    {
        return Raw::Present(crash.title.clone());
    }
    if let Some(other) = run.crashes.iter().find(|c| !known(&c.title)) {
        return Raw::Unusable(format!("another crash: {}", other.title));
    }
    let known_to_fail = failing(run).filter(|c| reference.cases.contains(&c.case));
    if let Some(how) = how_they_failed(&known_to_fail.collect::<Vec<_>>()) {
        return Raw::Present(how);
    }
    let mut cases = reference.cases.iter();
    if let Some(sub) = cases.find(|c| status(c) == Some(CaseStatus::Fail)) {
        return Raw::Present(format!("{sub} failed"));
    }
    if run.boot != BootOutcome::Up || run.end != RunEnd::PowerOff {
        return Raw::Unusable(describe_end(run));
    }
    for name in &reference.cases {
        let whole = run.cases.iter().find(|c| &c.case == name);
        match (status(name), whole) {
            (Some(CaseStatus::Pass), _) => {}
            (_, Some(case)) => return Raw::Unusable(no_answer(case)),
            (Some(_), None) => return Raw::Unusable(format!("{name} was skipped")),
            (None, None) => return Raw::Unusable(format!("{name} did not run")),
        }
    }
    match reference.cases.len() {
        0 if reference.titles.is_empty() => Raw::Absent("ran to the end".to_owned()),
        0 => Raw::Absent("ran to the end without the crash".to_owned()),
        1 => Raw::Absent("the case that counts passed".to_owned()),
        n => Raw::Absent(format!("the {n} cases that count passed")),
    }
}

/// One sentence on how the machine stopped.
pub fn describe_end(run: &TestObservation) -> String {
    let crash = run
        .crashes
        .first()
        .map(|c| format!(": {}", c.title))
        .unwrap_or_default();
    match (run.boot, run.end) {
        (BootOutcome::Crashed, _) => format!("does not boot{crash}"),
        (BootOutcome::Silent, _) => "does not boot: silent until the deadline".to_owned(),
        (BootOutcome::Up, RunEnd::PowerOff) => "ran to the end".to_owned(),
        (BootOutcome::Up, RunEnd::Panic) => format!("panic{crash}"),
        (BootOutcome::Up, RunEnd::Stopped) => {
            "the test rebooted the machine or switched it off".to_owned()
        }
        (BootOutcome::Up, RunEnd::SilentReboot) => "rebooted silently".to_owned(),
        (BootOutcome::Up, RunEnd::Hang) => "hung".to_owned(),
        (BootOutcome::Up, RunEnd::Deadline) => "ran into the deadline".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstbad_api::observation::{Crash, CrashKind, Metric, RunInputs, Subtest};

    fn judge(signal: &Signal, reference: Option<&Reference>, run: &TestObservation) -> Raw {
        super::judge(signal, reference, 1.0, run).unwrap()
    }

    fn run(cases: &[(&str, CaseStatus)], crashes: &[&str]) -> TestObservation {
        TestObservation {
            boot: BootOutcome::Up,
            end: RunEnd::PowerOff,
            cases: cases
                .iter()
                .map(|(name, status)| CaseResult {
                    case: (*name).to_owned(),
                    status: *status,
                    exit: 0,
                    duration_ms: 1,
                    metrics: vec![],
                    ktap: None,
                    subtests: vec![],
                    pattern: None,
                    outside: None,
                    tail: String::new(),
                    dmesg: vec![],
                })
                .collect(),
            crashes: crashes
                .iter()
                .map(|title| Crash {
                    kind: CrashKind::Warning,
                    title: (*title).to_owned(),
                    offset: 0,
                    excerpt: String::new(),
                })
                .collect(),
            stray_lines: 0,
            left: vec![],
            run: RunInputs {
                image_sha256: String::new(),
                initramfs_sha256: String::new(),
                cmdline: String::new(),
                qemu_version: String::new(),
                accel: "tcg-exact".to_owned(),
                vcpus: 1,
                memory_mib: 1,
                seed: 1,
                argv: vec![],
            },
            console_sha256: String::new(),
            waited: None,
        }
    }

    use CaseStatus::{Broken, Fail, Pass, Skip};

    #[test]
    fn one_sub_test_is_judged_by_itself() {
        let sub = |name: &str, status| Subtest {
            name: name.to_owned(),
            status,
        };
        let signal = Signal::Cases {
            cases: vec!["ns/listns".to_owned()],
        };
        let with = |case: CaseStatus, subtests: Vec<Subtest>| {
            let mut run = run(&[("ns", case)], &[]);
            run.cases[0].subtests = subtests;
            judge(&signal, None, &run)
        };
        let failed = with(Fail, vec![sub("other", Pass), sub("listns", Fail)]);
        assert_eq!(failed, Raw::Present("ns/listns failed".to_owned()));
        // What fails beside it does not matter.
        let passed = with(Fail, vec![sub("other", Fail), sub("listns", Pass)]);
        assert_eq!(
            passed,
            Raw::Absent("the case that counts passed".to_owned())
        );
        let skipped = with(Pass, vec![sub("listns", Skip)]);
        assert_eq!(skipped, Raw::Unusable("ns/listns was skipped".to_owned()));
        let missing = with(Pass, vec![]);
        assert_eq!(missing, Raw::Unusable("ns/listns did not run".to_owned()));
    }

    fn reference() -> Reference {
        Reference::learn([run(&[("a", Fail), ("b", Pass)], &[])].iter())
    }

    #[test]
    fn call_traces_name_their_functions_once() {
        let mut crashed = run(&[], &["WARNING in f"]);
        crashed.crashes[0].excerpt = "RIP: 0010:ovl_release.cold+0x1a/0x30\nCall Trace:\n \
            <TASK>\n ? __warn+0x81/0x130\n ovl_release+0x2/0x9\n __fput+0xe3/0x2b0 [x$(y)]"
            .to_owned();
        assert_eq!(traced(&crashed, 8), ["ovl_release", "__warn", "__fput"]);
        assert_eq!(traced(&crashed, 1), ["ovl_release"]);
    }

    #[test]
    fn the_failing_case_of_the_bad_end_decides() {
        let r = reference();
        let judge = |run: &TestObservation| judge(&Signal::Failure, Some(&r), run);
        assert!(matches!(
            judge(&run(&[("a", Fail), ("b", Pass)], &[])),
            Raw::Present(_)
        ));
        assert!(matches!(
            judge(&run(&[("a", Pass), ("b", Fail)], &[])),
            Raw::Absent(_)
        ));
        assert!(matches!(judge(&run(&[("a", Skip)], &[])), Raw::Unusable(_)));
        assert!(matches!(
            judge(&run(&[("a", Broken)], &[])),
            Raw::Unusable(_)
        ));
        assert!(matches!(judge(&run(&[("b", Pass)], &[])), Raw::Unusable(_)));
    }

    #[test]
    fn a_case_for_other_kernels_is_no_part_of_a_run() {
        let first = |run: &TestObservation| judge(&Signal::Failure, None, run);
        let mut part = run(&[("a", Pass), ("new", Skip)], &[]);
        part.cases[1].outside = Some("needs Linux 6.19, this is 6.18.15".to_owned());
        assert_eq!(first(&part), Raw::Absent("the case passed".to_owned()));
        part.cases.remove(0);
        let why = "case new was skipped: it needs Linux 6.19, this is 6.18.15";
        assert_eq!(first(&part), Raw::Unusable(why.to_owned()));
        let looked_for = Reference::learn([run(&[("new", Fail)], &[])].iter());
        let old = judge(&Signal::Failure, Some(&looked_for), &part);
        assert_eq!(old, Raw::Unusable(why.to_owned()), "never bad");
    }

    #[test]
    fn another_crash_is_never_present() {
        let r = reference();
        let other = run(&[("a", Fail)], &["WARNING in elsewhere"]);
        assert!(matches!(
            judge(&Signal::Failure, Some(&r), &other),
            Raw::Unusable(_)
        ));
    }

    #[test]
    fn a_crash_beside_the_failing_case_is_not_what_is_looked_for() {
        let ends = [
            run(&[("a", Fail), ("b", Pass)], &["WARNING in noise"]),
            run(&[("a", Fail), ("b", Pass)], &[]),
        ];
        let r = Reference::learn(ends.iter());
        let judge = |run: &TestObservation| judge(&Signal::Failure, Some(&r), run);
        let noise = &["WARNING in noise"];
        assert!(matches!(
            judge(&run(&[("a", Fail)], noise)),
            Raw::Present(_)
        ));
        assert!(matches!(judge(&run(&[("a", Pass)], noise)), Raw::Absent(_)));
        // What it did to the case cannot be told when the case did not run.
        assert!(matches!(judge(&run(&[], noise)), Raw::Present(_)));
        let other = run(&[("a", Pass)], &["WARNING in noise", "WARNING in other"]);
        assert!(matches!(judge(&other), Raw::Unusable(_)));
        // Without a failing case the crash is all there is.
        let r = Reference::learn([run(&[("a", Pass)], noise)].iter());
        let crashed = super::judge(&Signal::Failure, Some(&r), 1.0, &run(&[("a", Pass)], noise));
        assert!(matches!(crashed, Some(Raw::Present(_))));
    }

    #[test]
    fn the_exact_title_decides_once_the_bad_end_has_given_it() {
        let signal = |title: &str| Signal::Crash {
            title: title.to_owned(),
        };
        let at_bad = |titles: &[&str]| Reference::learn([run(&[("a", Pass)], titles)].iter());
        let short = run(&[("a", Pass)], &["WARNING in foo"]);
        let long = run(&[("a", Pass)], &["WARNING in foo_bar"]);
        let asked = signal("WARNING in foo");
        for (reference, run, present) in [
            (None, &long, true),
            (Some(at_bad(&[])), &long, true),
            (Some(at_bad(&["WARNING in foo"])), &short, true),
            (Some(at_bad(&["WARNING in foo"])), &long, false),
            (Some(at_bad(&["WARNING in foo_bar"])), &long, true),
            (Some(at_bad(&["WARNING in foo_bar"])), &short, false),
            (
                Some(at_bad(&["WARNING in foo_bar", "WARNING in foo"])),
                &long,
                false,
            ),
        ] {
            let raw = judge(&asked, reference.as_ref(), run);
            assert_eq!(
                matches!(raw, Raw::Present(_)),
                present,
                "{raw:?} {reference:?}"
            );
            assert!(
                present || matches!(raw, Raw::Unusable(_)),
                "another crash is no answer"
            );
        }
    }

    #[test]
    fn what_decided_is_told() {
        let mut seen = run(&[("a", CaseStatus::Timeout)], &[]);
        let said = |seen: &TestObservation| judge(&Signal::Failure, None, seen);
        assert_eq!(
            said(&seen),
            Raw::Present("a did not end in its time".to_owned())
        );
        seen.cases[0].status = Fail;
        seen.cases[0].pattern = Some("fails_when matched: lost".to_owned());
        let text = "a failed: fails_when matched: lost";
        assert_eq!(said(&seen), Raw::Present(text.to_owned()));
        let mut broken = run(&[("a", Broken)], &[]);
        broken.cases[0].exit = 200;
        let text = "case a could not run (exit 200, which is no answer: 0 is good, 1 to 124 bad, 125 skip)";
        assert_eq!(said(&broken), Raw::Unusable(text.to_owned()));
    }

    #[test]
    fn a_boot_failure_is_unusable_unless_it_is_the_reference() {
        let mut dead = run(&[], &["kernel panic: no init"]);
        dead.boot = BootOutcome::Crashed;
        dead.end = RunEnd::Panic;
        assert!(matches!(
            judge(&Signal::Failure, Some(&reference()), &dead),
            Raw::Unusable(_)
        ));
        let r = Reference::learn([dead.clone()].iter());
        assert!(matches!(
            judge(&Signal::Failure, Some(&r), &dead),
            Raw::Present(_)
        ));
    }

    #[test]
    fn metrics_follow_their_direction() {
        let mut fast = run(&[("a", Pass)], &[]);
        fast.cases[0].metrics.push(Metric {
            name: "mb".to_owned(),
            value: 100.0,
            unit: "MB/s".to_owned(),
            better: "higher".to_owned(),
        });
        let signal = |threshold| Signal::Metric {
            name: "mb".to_owned(),
            threshold: Some(threshold),
        };
        assert!(matches!(judge(&signal(80.0), None, &fast), Raw::Absent(_)));
        assert!(matches!(
            judge(&signal(120.0), None, &fast),
            Raw::Present(_)
        ));
        let told = |value, threshold| {
            let mut run = fast.clone();
            run.cases[0].metrics[0].value = value;
            judge(&signal(threshold), None, &run)
        };
        for (value, threshold, text) in [
            (1361.1427793, 819.8853633, "mb = 1361 (threshold 819.9)"),
            (100.001, 100.0, "mb = 100.001 (threshold 100)"),
            (9.5, 9.0, "mb = 9.5 (threshold 9)"),
        ] {
            assert_eq!(told(value, threshold), Raw::Absent(text.to_owned()));
        }
        fast.cases[0].metrics[0].better = "lower".to_owned();
        assert!(matches!(judge(&signal(80.0), None, &fast), Raw::Present(_)));
        assert!(matches!(
            judge(&signal(80.0), None, &run(&[("a", Pass)], &[])),
            Raw::Unusable(_)
        ));
    }
}
