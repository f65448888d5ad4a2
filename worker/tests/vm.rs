//! Boots a real kernel in QEMU: every way a run can end, and the shipped suites.
//!
//! Needs a kernel with the suites' configuration and the guest's static
//! programs: `make test` builds both and says where they are.

#![allow(clippy::unwrap_used)] // a test may panic

mod suites;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use firstbad_api::lease::{RunMode, TestWork, VmShape};
use firstbad_api::observation::{
    BootOutcome, CaseStatus, CrashKind, GuestArchive, RunEnd, TestObservation,
};
use firstbad_api::suite::{CaseSpec, FileKind, Patterns, SuiteBundle, SuiteFile, SuiteSpec};
use firstbad_worker::error::InfraError;
use firstbad_worker::sandbox::Sandbox;
use firstbad_worker::vm::{self, Accel, Progress, Recorded, RunResult, Vm, VmConfig, run_test};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A machine to try, with a directory that lives as long.
struct Lab {
    vm: Vm,
    dir: TempDir,
    image: PathBuf,
    kselftest: Option<PathBuf>,
}

impl Lab {
    async fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let config = VmConfig {
            dir: dir.path().join("vm"),
            guest_dir: wanted("FIRSTBAD_TEST_GUEST_DIR"),
            accel: Accel::Tcg,
        };
        let vm = Vm::new(config, &Sandbox::new().unwrap()).await.unwrap();
        Lab {
            vm,
            dir,
            image: wanted("FIRSTBAD_TEST_BZIMAGE"),
            kselftest: None,
        }
    }

    fn work(&self, suite: SuiteBundle, mode: RunMode, seed: u64) -> TestWork {
        TestWork {
            archives: self.kselftest.iter().map(|p| archive(p)).collect(),
            image_sha256: sha256(&self.image),
            shape: VmShape {
                mode,
                vcpus: 1,
                memory_mib: suite.spec.memory_mib,
                shift: 0,
                calm: false,
            },
            suite,
            cases: Vec::new(),
            seed,
            deadline_s: 600,
        }
    }

    async fn run(&self, work: &TestWork) -> RunResult {
        self.run_until(work, CancellationToken::new())
            .await
            .unwrap()
            .0
    }

    async fn run_until(
        &self,
        work: &TestWork,
        cancel: CancellationToken,
    ) -> Result<(RunResult, Vec<Progress>), InfraError> {
        let scratch = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        let (send, mut seen) = mpsc::channel(64);
        let files: Vec<PathBuf> = self.kselftest.iter().cloned().collect();
        let result = run_test(&self.vm, &self.image, &files, work, &scratch, send, cancel).await?;
        let mut steps = Vec::new();
        while let Some(step) = seen.recv().await {
            steps.push(step);
        }
        Ok((result, steps))
    }

    /// Runs one exact case that is this script.
    async fn script(&self, script: &str) -> TestObservation {
        let work = self.work(suite(&[("case", script)], ""), RunMode::Exact, 1);
        let run = self.run(&work).await;
        println!("{}", tail(&run.console));
        run.observation
    }
}

fn wanted(name: &str) -> PathBuf {
    let value = std::env::var_os(name).unwrap_or_else(|| {
        panic!(
            "{name} is not set: run `make test`, which builds the kernel and the guest and sets it"
        )
    });
    PathBuf::from(value)
}

fn archive(path: &Path) -> GuestArchive {
    GuestArchive {
        name: "kselftest.cpio".to_owned(),
        sha256: sha256(path),
    }
}

fn sha256(path: &Path) -> String {
    hex::encode(Sha256::digest(std::fs::read(path).unwrap()))
}

fn tail(path: &Path) -> String {
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

fn suite(cases: &[(&str, &str)], cmdline: &str) -> SuiteBundle {
    let spec = SuiteSpec {
        name: "test/own".to_owned(),
        about: "One test.".to_owned(),
        memory_mib: 512,
        tools: Vec::new(),
        sources: Vec::new(),
        kselftest: Vec::new(),
        deadline_s: None,
        config: Vec::new(),
        cmdline: cmdline.to_owned(),
        case: cases
            .iter()
            .map(|(name, _)| CaseSpec {
                name: (*name).to_owned(),
                about: "A script.".to_owned(),
                script: format!("{name}.sh"),
                timeout_s: 60,
                since: None,
                until: None,
                excluded: Vec::new(),
                patterns: Patterns::default(),
            })
            .collect(),
    };
    let files = cases
        .iter()
        .map(|(name, script)| SuiteFile {
            path: format!("{name}.sh"),
            content: (*script).to_owned(),
            kind: FileKind::Text,
        })
        .collect();
    bundle(spec, files)
}

fn bundle(spec: SuiteSpec, files: Vec<SuiteFile>) -> SuiteBundle {
    let text = serde_json::to_vec(&(&spec, &files)).unwrap();
    SuiteBundle {
        spec,
        files,
        digest: hex::encode(Sha256::digest(text)),
    }
}

#[tokio::test]
async fn good_and_failing_cases_and_the_same_bytes_again() {
    let lab = Lab::new().await;
    let cases = [
        (
            "good",
            "echo fine; echo '::metric name=speed value=12.5 unit=MB/s better=higher'",
        ),
        ("bad", "echo wrong; exit 1"),
        ("skipped", "exit 125"),
        ("absent", "no-such-program"),
        (
            "racing",
            "for i in 1 2 3 4; do (for j in 1 2 3; do echo $i$j; done) & done; wait",
        ),
    ];
    let mut work = lab.work(suite(&cases, ""), RunMode::Exact, 5);
    work.shape.vcpus = 2;
    let (first, steps) = lab
        .run_until(&work, CancellationToken::new())
        .await
        .unwrap();
    let seen = &first.observation;
    assert_eq!((seen.boot, seen.end), (BootOutcome::Up, RunEnd::PowerOff));
    let statuses: Vec<CaseStatus> = seen.cases.iter().map(|c| c.status).collect();
    use CaseStatus::{Broken, Fail, Pass, Skip};
    assert_eq!(statuses, [Pass, Fail, Skip, Broken, Pass]);
    assert_eq!(seen.cases[0].metrics[0].value, 12.5);
    assert_eq!(
        (seen.stray_lines, seen.crashes.len()),
        (0, 0),
        "{:?}",
        seen.crashes
    );
    assert_eq!(steps.len(), 1 + 2 * cases.len());
    assert_eq!(steps[0], Progress::Booted);

    assert_eq!(seen.run.accel, "tcg-exact");
    assert_eq!(seen.run.initramfs_sha256, sha256(&first.initramfs));
    assert_eq!(seen.console_sha256, sha256(&first.console));
    assert_eq!(seen.run.argv[0], "qemu-system-x86_64");
    for word in ["IMAGE", "INITRAMFS"] {
        assert!(
            seen.run.argv.iter().any(|a| a == word),
            "{word} in {:?}",
            seen.run.argv
        );
    }

    let again = lab.run(&work).await;
    assert_eq!(
        again.observation, first.observation,
        "the console's hash is in it"
    );
    let parts: Vec<PathBuf> = first
        .initramfs_parts
        .iter()
        .map(|part| part.path.clone())
        .collect();
    let recorded = Recorded {
        run: &first.observation.run,
        image: &lab.image,
        initramfs: &parts,
        deadline: Duration::from_secs(600),
        gdb: false,
    };
    let dir = tempfile::tempdir_in(lab.dir.path()).unwrap();
    let never = CancellationToken::new();
    let third = vm::replay(&lab.vm, &recorded, dir.path(), &never).await;
    assert_eq!(third.unwrap().observation, first.observation);
    let short = Recorded {
        initramfs: &parts[1..],
        ..recorded
    };
    let dir = tempfile::tempdir_in(lab.dir.path()).unwrap();
    let refused = vm::replay(&lab.vm, &short, dir.path(), &never).await;
    let refused = refused.map(|_| ()).unwrap_err().to_string();
    assert!(
        refused.starts_with("the initramfs has the SHA-256"),
        "{refused}"
    );
    let replayed = replay(&lab, &first);
    assert_eq!(
        replayed,
        [&first.console, &first.frames].map(|p| std::fs::read(p).unwrap())
    );
    assert_eq!(
        std::fs::read(&again.frames).unwrap(),
        std::fs::read(&first.frames).unwrap()
    );
}

#[tokio::test]
async fn a_case_for_other_kernels_is_skipped_and_says_why() {
    let lab = Lab::new().await;
    let mut suite = suite(&[("new", "exit 1"), ("old", "exit 1"), ("now", "true")], "");
    let spec = &mut suite.spec;
    spec.case[0].since = Some("99.1".parse().unwrap());
    spec.case[0].patterns.passes_when = Some("never".to_owned());
    spec.case[1].until = Some("4.19".parse().unwrap());
    spec.case[2].since = Some("5.0".parse().unwrap());
    let seen = lab
        .run(&lab.work(suite, RunMode::Exact, 1))
        .await
        .observation;
    use CaseStatus::{Pass, Skip};
    let statuses: Vec<CaseStatus> = seen.cases.iter().map(|c| c.status).collect();
    assert_eq!(statuses, [Skip, Skip, Pass], "{:#?}", seen.cases);
    let why = |n: usize| seen.cases[n].outside.clone().unwrap_or_default();
    assert!(
        why(0).starts_with("needs Linux 99.1, this is 6."),
        "{}",
        why(0)
    );
    assert!(
        why(1).starts_with("is for Linux up to 4.19, this is 6."),
        "{}",
        why(1)
    );
    assert_eq!(seen.cases[2].outside, None);
}

/// Runs the recorded arguments by hand, without the worker: both ports' bytes.
fn replay(lab: &Lab, run: &RunResult) -> [Vec<u8>; 2] {
    let dir = tempfile::tempdir().unwrap();
    let argv = run
        .observation
        .run
        .argv
        .iter()
        .map(|word| match word.as_str() {
            "IMAGE" => lab.image.as_os_str().to_owned(),
            "INITRAMFS" => run.initramfs.as_os_str().to_owned(),
            word => word.into(),
        });
    let argv: Vec<_> = argv.collect();
    let status = std::process::Command::new(&argv[0])
        .args(&argv[1..])
        .current_dir(dir.path())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    ["console", "frames"].map(|name| std::fs::read(dir.path().join(name)).unwrap())
}

#[tokio::test]
async fn a_panic_in_a_case_is_seen_with_its_title() {
    let lab = Lab::new().await;
    let seen = lab
        .script("echo before; echo c >/proc/sysrq-trigger; echo after")
        .await;
    assert_eq!((seen.boot, seen.end), (BootOutcome::Up, RunEnd::Panic));
    assert!(seen.cases.is_empty());
    assert_eq!(seen.crashes[0].title, "kernel panic: sysrq triggered crash");
    assert!(seen.crashes[0].excerpt.contains("Call Trace:"));
}

#[tokio::test]
async fn a_panic_that_does_not_reboot_ends_soon() {
    let lab = Lab::new().await;
    let began = Instant::now();
    let work = lab.work(
        suite(&[("case", "echo c >/proc/sysrq-trigger")], "panic=0"),
        RunMode::Real,
        1,
    );
    let seen = lab.run(&work).await.observation;
    assert_eq!((seen.boot, seen.end), (BootOutcome::Up, RunEnd::Panic));
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(seen.run.accel, "tcg");
}

#[tokio::test]
async fn a_panic_at_boot_is_a_crashed_boot() {
    let lab = Lab::new().await;
    let work = lab.work(
        suite(&[("case", "true")], "rdinit=/missing root=/dev/nothing"),
        RunMode::Exact,
        1,
    );
    let seen = lab.run(&work).await.observation;
    assert_eq!((seen.boot, seen.end), (BootOutcome::Crashed, RunEnd::Panic));
    assert_eq!(seen.crashes[0].kind, CrashKind::Panic);
    assert!(
        seen.crashes[0].title.starts_with("kernel panic: "),
        "{:?}",
        seen.crashes
    );
}

#[tokio::test]
async fn a_reboot_without_bye_is_silent() {
    let lab = Lab::new().await;
    let seen = lab.script("echo b >/proc/sysrq-trigger").await;
    assert_eq!(
        (seen.boot, seen.end),
        (BootOutcome::Up, RunEnd::SilentReboot)
    );
    assert!(seen.cases.is_empty() && seen.crashes.is_empty());
}

#[tokio::test]
async fn a_case_that_says_nothing_hangs_and_one_that_talks_meets_the_deadline() {
    let mut lab = Lab::new().await;
    lab.vm.silence = Duration::from_secs(8);
    let mut quiet = suite(&[("case", "sleep 10000")], "");
    quiet.spec.case[0].timeout_s = 20_000;
    let seen = lab
        .run(&lab.work(quiet, RunMode::Real, 1))
        .await
        .observation;
    assert_eq!((seen.boot, seen.end), (BootOutcome::Up, RunEnd::Hang));

    let mut talking = suite(&[("case", "while :; do echo here; sleep 1; done")], "");
    talking.spec.case[0].timeout_s = 20_000;
    let mut work = lab.work(talking, RunMode::Real, 1);
    work.deadline_s = 20;
    let seen = lab.run(&work).await.observation;
    assert_eq!((seen.boot, seen.end), (BootOutcome::Up, RunEnd::Deadline));
}

#[tokio::test]
async fn a_silent_console_is_a_silent_boot() {
    let mut lab = Lab::new().await;
    lab.vm.boot = Duration::from_secs(5);
    lab.image = lab.dir.path().join("silent");
    std::fs::write(&lab.image, silent_kernel()).unwrap();
    let mut work = lab.work(suite(&[("case", "true")], ""), RunMode::Exact, 1);
    for vcpus in [1, 2] {
        work.shape.vcpus = vcpus;
        let run = lab.run(&work).await;
        let seen = run.observation;
        assert_eq!(
            (seen.boot, seen.end),
            (BootOutcome::Silent, RunEnd::Deadline)
        );
        assert_eq!(std::fs::read(run.console).unwrap(), b"");
    }
}

/// An image in the boot protocol's form whose first instruction jumps to itself.
fn silent_kernel() -> Vec<u8> {
    let mut image = vec![0u8; 16 << 10];
    image[0x1f1] = 1; // sectors of setup
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x200..0x202].copy_from_slice(&[0xeb, 0xfe]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&[0x0c, 0x02]); // protocol 2.12
    image[0x211] = 1; // loaded high
    image[0x22c..0x230].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes()); // highest initrd byte
    image[0x238..0x23c].copy_from_slice(&2047_u32.to_le_bytes()); // longest command line
    image
}

#[tokio::test]
async fn what_is_ours_is_an_error_and_no_observation() {
    let lab = Lab::new().await;
    let good = lab.work(suite(&[("case", "true")], ""), RunMode::Exact, 1);
    let failure = |work: TestWork| {
        let lab = &lab;
        async move {
            let run = lab.run_until(&work, CancellationToken::new()).await;
            run.map(|_| ()).unwrap_err().to_string()
        }
    };

    let mut work = good.clone();
    work.image_sha256 = "0".repeat(64);
    assert!(failure(work).await.contains("expected 0000"));

    let mut work = good.clone();
    work.suite.spec.tools = vec!["no-such-tool".to_owned()];
    assert!(failure(work).await.contains("`no-such-tool`"));

    let mut work = good.clone();
    work.cases = vec!["elsewhere".to_owned()];
    assert!(failure(work).await.contains("no case \"elsewhere\""));

    let mut work = good.clone();
    work.suite.files[0].path = "../outside".to_owned();
    assert!(failure(work).await.contains("plain relative path"));

    let mut work = good.clone();
    work.shape.memory_mib = 1 << 30;
    assert!(failure(work).await.contains("cannot run on this host"));

    let mut work = good;
    work.shape.vcpus = 0;
    assert!(failure(work).await.contains("has no CPU"));
}

#[tokio::test]
async fn a_cancelled_run_ends_at_once() {
    let lab = Lab::new().await;
    let work = lab.work(suite(&[("case", "sleep 1000")], ""), RunMode::Real, 1);
    let cancel = CancellationToken::new();
    let began = Instant::now();
    let later = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        later.cancel();
    });
    let run = lab.run_until(&work, cancel).await;
    assert_eq!(run.map(|_| ()).unwrap_err(), InfraError::Cancelled);
    assert!(began.elapsed() < Duration::from_secs(10));
}
