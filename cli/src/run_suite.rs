//! `run-suite`: one suite on one kernel image, on this machine, without a server.
//!
//! Owns the exit codes that `git bisect run` understands and what is printed of
//! a run. Must not know QEMU: the machine is the worker's, the very path that
//! an attempt takes.

use std::path::{Path, PathBuf};

use firstbad_api::artefact::{FSTESTS, KSELFTEST};
use firstbad_api::lease::{RunMode, TestWork, VmShape};
use firstbad_api::limits::TEST_DEADLINE_S;
use firstbad_api::observation::{
    BootOutcome, CaseResult, CaseStatus, GuestArchive, Metric, RunEnd, TestObservation,
};
use firstbad_api::suite::SuiteBundle;
use firstbad_server::suites::Suites;
use firstbad_worker::error::InfraError;
use firstbad_worker::kbuild::Step;
use firstbad_worker::sandbox::Sandbox;
use firstbad_worker::vm::{self, Accel, Vm, VmConfig};
use firstbad_worker::{fstests, kselftest};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::args::{Mode, RunSuiteArgs};
use crate::fail::{Done, Fail};
use crate::replay::with_qemu_alone;
use crate::text::{self, line};
use crate::{custom, daemon};

/// Every case passed.
const GOOD: u8 = 0;
/// A case failed, or the kernel crashed or stopped.
const BAD: u8 = 1;
/// The run says nothing about the suite: no boot, or a case that could not run.
const SKIP: u8 = 125;
/// Our side failed. `git bisect run` stops at any code from 128 on, and takes
/// the lower ones for a bad kernel.
pub const INFRASTRUCTURE: u8 = 128;

/// Runs the suite; every failure of ours has one code that stops `git bisect run`.
pub async fn run(args: &RunSuiteArgs) -> Done {
    match attempt(args).await {
        Ok(code) => Ok(code),
        Err(fail) => {
            eprintln!("firstbad: {fail}");
            Ok(INFRASTRUCTURE)
        }
    }
}

async fn attempt(args: &RunSuiteArgs) -> Done {
    let (suite, name) = suite(args)?;
    check_cases(args, &suite, &name)?;
    let place = Place::new(args.dir.as_deref())?;
    let archives = archives(args, &suite, &place.dir).await?;
    let work = work(args, suite, &archives)?;
    let archives: Vec<PathBuf> = archives.into_iter().map(|(_, path)| path).collect();
    let machine = machine(args.guest_dir.as_deref(), &place.dir, args.mode).await?;
    let (steps, _nobody) = mpsc::channel(1);
    let never = CancellationToken::new();
    let run = vm::run_test(
        &machine,
        &args.kernel,
        &archives,
        &work,
        &place.dir,
        steps,
        never,
    )
    .await
    .map_err(|e| Fail::Infrastructure(e.to_string()))?;
    let seen = run.observation;
    let json = serde_json::to_string_pretty(&seen)
        .map_err(|e| Fail::Infrastructure(format!("the results: {e}")))?;
    if args.dir.is_some() {
        let keep = |name: &str, text: &str| {
            std::fs::write(place.dir.join(name), text)
                .map_err(|e| Fail::Infrastructure(format!("cannot write {name}: {e}")))
        };
        keep("results.json", &json)?;
        if work.shape.mode == RunMode::Exact {
            keep("run.sh", &script(&name, &seen, &run.initramfs))?;
        }
    }
    if args.json {
        println!("{json}");
    } else {
        print!("{}", describe(&name, &seen));
    }
    Ok(verdict(&seen))
}

/// Runs it again with QEMU alone, in the directory that it is kept in.
fn script(suite: &str, seen: &TestObservation, initramfs: &Path) -> String {
    let initramfs = initramfs.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "# {}, seed {}; recorded with {}.\nset -e\ncd \"$(dirname \"$0\")\"\n{}",
        line(suite),
        seen.run.seed,
        line(&seen.run.qemu_version),
        with_qemu_alone(seen, vm::IMAGE_FILE, &initramfs),
    )
}

/// What a lease would have asked for, and what people call it.
fn work(
    args: &RunSuiteArgs,
    suite: SuiteBundle,
    archives: &[(&str, PathBuf)],
) -> Result<TestWork, Fail> {
    let archives = archives.iter().map(|(name, path)| {
        Ok(GuestArchive {
            name: (*name).to_owned(),
            sha256: sha256(path)?,
        })
    });
    Ok(TestWork {
        archives: archives.collect::<Result<_, Fail>>()?,
        image_sha256: sha256(&args.kernel)?,
        cases: args.cases.clone(),
        shape: VmShape {
            mode: match args.mode {
                Mode::Exact => RunMode::Exact,
                Mode::Real => RunMode::Real,
            },
            vcpus: args.vcpus,
            memory_mib: suite.spec.memory_mib,
            shift: args.shift,
            calm: args.calm,
        },
        deadline_s: args
            .deadline
            .or(suite.spec.deadline_s)
            .unwrap_or(TEST_DEADLINE_S),
        suite,
        seed: args.seed,
    })
}

/// What the guest gets besides the suite: names as artefacts, files.
async fn archives(
    args: &RunSuiteArgs,
    suite: &SuiteBundle,
    dir: &Path,
) -> Result<Vec<(&'static str, PathBuf)>, Fail> {
    let ours = |e: InfraError| Fail::Infrastructure(e.to_string());
    let mut archives = Vec::new();
    for (name, given) in [(KSELFTEST, &args.kselftest), (FSTESTS, &args.fstests)] {
        let Some(given) = given else { continue };
        if !given.is_dir() {
            archives.push((name, given.clone()));
            continue;
        }
        let sandbox = Sandbox::new().map_err(ours)?;
        let source = std::fs::canonicalize(given)
            .map_err(|e| Fail::NoInput(format!("cannot read {}: {e}", given.display())))?;
        let built = match name {
            KSELFTEST if !source.join(kselftest::TESTS).is_dir() => {
                return Err(Fail::NoInput(format!(
                    "--kselftest: {} is no kernel source: it has no {}",
                    given.display(),
                    kselftest::TESTS
                )));
            }
            KSELFTEST => kselftest::of_source(&sandbox, &source, &suite.spec.kselftest, dir).await,
            _ => fstests::of_checkout(&sandbox, &source, dir).await,
        };
        match built.map_err(ours)? {
            Step::Done(archive) => archives.push((name, dir.join(archive.name))),
            Step::Failed(line) => return Err(Fail::Data(text::line(&line))),
        }
    }
    Ok(archives)
}

/// The cases that are asked for are there.
fn check_cases(args: &RunSuiteArgs, suite: &SuiteBundle, name: &str) -> Result<(), Fail> {
    let known = |name: &&String| !suite.spec.case.iter().any(|c| c.name == **name);
    if let Some(case) = args.cases.iter().find(known) {
        let names: Vec<&str> = suite.spec.case.iter().map(|c| c.name.as_str()).collect();
        return Err(Fail::Usage(format!(
            "{name} has no case {}; it has: {}",
            line(case),
            names.join(", ")
        )));
    }
    Ok(())
}

/// The shipped suite, or what the user's own test becomes.
fn suite(args: &RunSuiteArgs) -> Result<(SuiteBundle, String), Fail> {
    if let Some(test) = custom::test(&args.own)? {
        let (suite, _fragments) = firstbad_server::custom::suite(&test).map_err(|refused| {
            let field = refused.pointer.trim_start_matches('/').replace('/', ".");
            Fail::Data(format!("{}: {field}: {}", line(&test.name), refused.why))
        })?;
        return Ok((suite, line(&test.name)));
    }
    // Without a test of one's own it is required.
    let name = args.suite.as_deref().unwrap_or_default();
    let suites = Suites::load().map_err(Fail::Infrastructure)?;
    let (suite, _fragments) = suites.get(name).ok_or_else(|| {
        let names: Vec<&str> = suites.names().collect();
        Fail::Usage(format!(
            "there is no suite {}; there are: {}",
            line(name),
            names.join(", ")
        ))
    })?;
    if name == firstbad_api::fstests::SUITE {
        return Ok((of_fstests(args, suite)?, name.to_owned()));
    }
    if args.fstests.is_some() {
        return Err(Fail::Usage(format!(
            "--fstests: the suite {name} has no use for it"
        )));
    }
    Ok((suite.clone(), name.to_owned()))
}

/// The suite with the tests that are named.
fn of_fstests(args: &RunSuiteArgs, shipped: &SuiteBundle) -> Result<SuiteBundle, Fail> {
    if args.fstests.is_none() || args.cases.is_empty() {
        let why = "the suite btrfs/fstests wants fstests and tests of it: \
                   --fstests DIR --case generic/001";
        return Err(Fail::Usage(why.to_owned()));
    }
    let is_test = |case: &&String| firstbad_server::fstests::is_test(case);
    if let Some(case) = args.cases.iter().find(|case| !is_test(case)) {
        return Err(Fail::Usage(format!(
            "--case: no test of fstests is named {}; they are named like generic/001 and btrfs/001",
            line(case)
        )));
    }
    firstbad_server::fstests::suite(shipped, &args.cases, &[]).map_err(Fail::Infrastructure)
}

fn sha256(path: &Path) -> Result<String, Fail> {
    let bytes = std::fs::read(path)
        .map_err(|e| Fail::NoInput(format!("cannot read {}: {e}", path.display())))?;
    Ok(hex::encode(Sha256::digest(&bytes)))
}

/// The directory of a run: the user's, or one that goes with the run.
pub struct Place {
    pub dir: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

impl Place {
    /// A named directory must be empty or new: a leftover must not be taken for a result.
    pub fn new(named: Option<&Path>) -> Result<Place, Fail> {
        let failed = |e: std::io::Error| Fail::Infrastructure(format!("no directory: {e}"));
        let Some(dir) = named else {
            let temporary = tempfile::tempdir().map_err(failed)?;
            return Ok(Place {
                dir: temporary.path().to_owned(),
                _temporary: Some(temporary),
            });
        };
        std::fs::create_dir_all(dir).map_err(failed)?;
        if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
            return Err(Fail::Usage(format!(
                "--dir: {} is not empty",
                dir.display()
            )));
        }
        Ok(Place {
            dir: std::fs::canonicalize(dir).map_err(failed)?,
            _temporary: None,
        })
    }
}

/// A machine of this host; KVM is only looked for where it could be used.
pub async fn machine(guest_dir: Option<&Path>, dir: &Path, mode: Mode) -> Result<Vm, Fail> {
    let ours = |e: firstbad_worker::error::InfraError| Fail::Infrastructure(e.to_string());
    let config = VmConfig {
        dir: dir.join("machines"),
        guest_dir: daemon::guest(guest_dir)?,
        accel: match mode {
            Mode::Exact => Accel::Tcg,
            Mode::Real => Accel::Auto,
        },
    };
    Vm::new(config, &Sandbox::new().map_err(ours)?)
        .await
        .map_err(ours)
}

/// The code for `git bisect run`.
fn verdict(seen: &TestObservation) -> u8 {
    // A case for other kernels is no part of the run.
    let part = || seen.cases.iter().filter(|c| c.outside.is_none());
    let of = |wanted: &[CaseStatus]| part().any(|c| wanted.contains(&c.status));
    if seen.boot != BootOutcome::Up {
        return SKIP;
    }
    let tests_fault = matches!(seen.end, RunEnd::Stopped | RunEnd::Deadline);
    let stopped = !tests_fault && seen.end != RunEnd::PowerOff;
    if stopped || !seen.crashes.is_empty() || of(&[CaseStatus::Fail, CaseStatus::Timeout]) {
        return BAD;
    }
    let unusable = of(&[CaseStatus::Skip, CaseStatus::Broken]);
    if unusable || part().next().is_none() || tests_fault {
        return SKIP;
    }
    GOOD
}

/// What a person reads; every word of the guest is made harmless.
pub fn describe(suite: &str, seen: &TestObservation) -> String {
    let run = &seen.run;
    let mut out = format!(
        "{suite}, seed {}, {} vCPU, {} ({})\n",
        run.seed, run.vcpus, run.accel, run.qemu_version
    );
    for case in &seen.cases {
        out += &format!(
            "  {:<24} {:<8} {}\n",
            line(&case.case),
            word(case.status),
            text::millis(i64::try_from(case.duration_ms).unwrap_or(i64::MAX))
        );
        out.extend(case.metrics.iter().map(metric));
        if let Some(pattern) = &case.pattern {
            out += &format!("    {}\n", line(pattern));
        }
        if matches!(case.status, CaseStatus::Skip | CaseStatus::Broken) {
            out += &format!("    {}\n", line(&firstbad_server::judge::no_answer(case)));
        }
        if !matches!(case.status, CaseStatus::Pass) {
            out += &said(case);
        }
    }
    for crash in &seen.crashes {
        out += &format!("crash: {}\n", line(&crash.title));
    }
    for left in &seen.left {
        out += &format!("left behind: {}\n", line(left));
    }
    if seen.stray_lines > 0 {
        out += &format!("stray lines on the result port: {}\n", seen.stray_lines);
    }
    out += &format!("{}\n", firstbad_server::judge::describe_end(seen));
    out += &format!("console sha256 {}\n", seen.console_sha256);
    out + match verdict(seen) {
        GOOD => "good\n",
        BAD => "bad\n",
        _ => "skip\n",
    }
}

fn metric(m: &Metric) -> String {
    format!(
        "    {} {} {} ({} is better)\n",
        line(&m.name),
        m.value,
        line(&m.unit),
        line(&m.better)
    )
}

fn said(case: &CaseResult) -> String {
    let lines = text::lines(&case.tail);
    let lines: Vec<&str> = lines.lines().collect();
    let last = &lines[lines.len().saturating_sub(12)..];
    let dmesg = case
        .dmesg
        .iter()
        .map(|l| format!("    kernel: {}\n", line(l)));
    last.iter()
        .map(|l| format!("    | {l}\n"))
        .chain(dmesg)
        .collect()
}

fn word(status: CaseStatus) -> &'static str {
    match status {
        CaseStatus::Pass => "pass",
        CaseStatus::Fail => "FAIL",
        CaseStatus::Skip => "skip",
        CaseStatus::Timeout => "TIMEOUT",
        CaseStatus::Broken => "broken",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstbad_api::observation::{Crash, CrashKind, RunInputs};

    fn seen(statuses: &[CaseStatus]) -> TestObservation {
        TestObservation {
            boot: BootOutcome::Up,
            end: RunEnd::PowerOff,
            cases: statuses
                .iter()
                .map(|status| CaseResult {
                    case: "a\u{1b}[2J".to_owned(),
                    status: *status,
                    exit: 0,
                    duration_ms: 1,
                    metrics: vec![],
                    ktap: None,
                    subtests: vec![],
                    pattern: None,
                    outside: None,
                    tail: "said\u{7}".to_owned(),
                    dmesg: vec![],
                })
                .collect(),
            crashes: vec![],
            stray_lines: 0,
            left: vec![],
            run: RunInputs {
                image_sha256: String::new(),
                initramfs_sha256: String::new(),
                cmdline: String::new(),
                qemu_version: String::new(),
                accel: String::new(),
                vcpus: 1,
                memory_mib: 1,
                seed: 1,
                argv: vec![],
            },
            console_sha256: String::new(),
            waited: None,
        }
    }

    #[test]
    fn the_codes_are_those_of_git_bisect_run() {
        use CaseStatus::{Broken, Fail, Pass, Skip, Timeout};
        for (statuses, code) in [
            (&[Pass, Pass][..], GOOD),
            (&[Pass, Fail], BAD),
            (&[Timeout], BAD),
            (&[Skip, Fail], BAD),
            (&[Pass, Skip], SKIP),
            (&[Broken], SKIP),
            (&[], SKIP),
        ] {
            assert_eq!(verdict(&seen(statuses)), code, "{statuses:?}");
        }
        let mut crashed = seen(&[Pass]);
        crashed.crashes.push(Crash {
            kind: CrashKind::Warning,
            title: "WARNING in f".to_owned(),
            offset: 0,
            excerpt: String::new(),
        });
        assert_eq!(verdict(&crashed), BAD);
        crashed.boot = BootOutcome::Crashed;
        assert_eq!(
            verdict(&crashed),
            SKIP,
            "what does not boot cannot be tested"
        );
        for (end, code) in [
            (RunEnd::Hang, BAD),
            (RunEnd::Panic, BAD),
            (RunEnd::SilentReboot, BAD),
            (RunEnd::Deadline, SKIP),
            (RunEnd::Stopped, SKIP),
        ] {
            let mut stopped = seen(&[Pass]);
            stopped.end = end;
            assert_eq!(verdict(&stopped), code, "{end:?}");
        }
    }

    #[test]
    fn what_the_guest_says_cannot_steer_the_terminal() {
        let text = describe("a/b", &seen(&[CaseStatus::Fail]));
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{text}");
        assert!(text.contains("FAIL") && text.ends_with("bad\n"), "{text}");
    }

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Place::new(Some(dir.path())).is_ok());
        std::fs::write(dir.path().join("x"), "").unwrap();
        assert!(Place::new(Some(dir.path())).is_err());
    }
}
