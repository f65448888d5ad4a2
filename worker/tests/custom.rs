//! Tests of a user's own in a real machine: whatever they do, their run is the only one they can
//! spoil, and it is told as what it was.
//!
//! Needs what `worker/tests/vm.rs` needs.

#![allow(clippy::unwrap_used)] // a test may panic

use std::path::PathBuf;

use firstbad_api::lease::{RunMode, TestWork, VmShape};
use firstbad_api::observation::{CaseResult, CaseStatus, RunEnd};
use firstbad_api::suite::{CaseSpec, FileKind, Patterns, SuiteBundle, SuiteFile, SuiteSpec};
use firstbad_worker::sandbox::Sandbox;
use firstbad_worker::vm::{Accel, RunResult, Vm, VmConfig, run_test};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn wanted(name: &str) -> PathBuf {
    let value = std::env::var_os(name);
    PathBuf::from(value.unwrap_or_else(|| panic!("{name} is not set: run `make test`")))
}

/// A case: its name, kind, source, and the patterns `fails_when` and `passes_when`.
struct Own(
    &'static str,
    FileKind,
    &'static str,
    [Option<&'static str>; 2],
);

fn script(name: &'static str, text: &'static str) -> Own {
    Own(name, FileKind::Text, text, [None, None])
}

/// One machine for all cases, as the server would ask for it.
fn work(cases: &[Own], image: &[u8]) -> TestWork {
    let mut files = Vec::new();
    let mut specs = Vec::new();
    for Own(name, kind, content, [fails, passes]) in cases {
        let mut file = |path: String, content: &str, kind| {
            let content = content.to_owned();
            files.push(SuiteFile {
                path,
                content,
                kind,
            });
        };
        let run = format!("exec /suite/{name}\n");
        match kind {
            FileKind::Text => file(format!("{name}.sh"), content, *kind),
            _ => {
                file((*name).to_owned(), content, *kind);
                file(format!("{name}.sh"), &run, FileKind::Text);
            }
        }
        specs.push(CaseSpec {
            name: (*name).to_owned(),
            about: String::new(),
            script: format!("{name}.sh"),
            timeout_s: 5,
            since: None,
            until: None,
            excluded: Vec::new(),
            patterns: Patterns {
                fails_when: fails.map(str::to_owned),
                passes_when: passes.map(str::to_owned),
            },
        });
    }
    let spec = SuiteSpec {
        kselftest: Vec::new(),
        deadline_s: None,
        name: "custom".to_owned(),
        about: String::new(),
        memory_mib: 512,
        tools: Vec::new(),
        config: Vec::new(),
        sources: Vec::new(),
        cmdline: String::new(),
        case: specs,
    };
    let digest = hex::encode(Sha256::digest(
        serde_json::to_vec(&(&spec, &files)).unwrap(),
    ));
    TestWork {
        archives: Vec::new(),
        image_sha256: hex::encode(Sha256::digest(image)),
        shape: VmShape {
            mode: RunMode::Exact,
            vcpus: 1,
            memory_mib: spec.memory_mib,
            shift: 0,
            calm: false,
        },
        suite: SuiteBundle {
            spec,
            files,
            digest,
        },
        cases: Vec::new(),
        seed: 1,
        deadline_s: 300,
    }
}

async fn run(cases: &[Own]) -> RunResult {
    let dir = tempfile::tempdir().unwrap();
    let config = VmConfig {
        dir: dir.path().join("vm"),
        guest_dir: wanted("FIRSTBAD_TEST_GUEST_DIR"),
        accel: Accel::Tcg,
    };
    let vm = Vm::new(config, &Sandbox::new().unwrap()).await.unwrap();
    let image = wanted("FIRSTBAD_TEST_BZIMAGE");
    let work = work(cases, &std::fs::read(&image).unwrap());
    let scratch = dir.path().join("run");
    std::fs::create_dir(&scratch).unwrap();
    let (steps, _nobody) = mpsc::channel(1);
    let never = CancellationToken::new();
    let run = run_test(&vm, &image, &[], &work, &scratch, steps, never).await;
    let run = run.unwrap();
    let console = std::fs::read(&run.console).unwrap();
    println!(
        "{}",
        String::from_utf8_lossy(&console[console.len().saturating_sub(2000)..])
    );
    run
}

const FLOOD: &str = "i=0; while [ $i -lt 200 ]; do echo junk $i >/dev/ttyS1; i=$((i+1)); done";
/// A loop that the compiler may not leave out, and what depends on when it is compiled.
const C: &str = r#"#define _GNU_SOURCE
    #include <pthread.h>
    #include <stdio.h>
    #include <unistd.h>
    #include <sys/syscall.h>
    static void *run(void *arg) { return arg; }
    int main(void) {
        pthread_t thread;
        void *got = 0;
        if (pthread_create(&thread, 0, run, &thread) || pthread_join(thread, &got)) return 1;
        printf("compiled at %s %s %s, pid %ld\n", __DATE__, __TIME__, __TIMESTAMP__,
               syscall(SYS_getpid));
        return got == &thread ? 0 : 2;
    }"#;

/// What each of them is, as `(status, exit)`. The last one takes /proc away from PID 1.
const TABLE: &[(Own, CaseStatus, i32)] = {
    use CaseStatus::{Broken, Fail, Pass, Skip, Timeout};
    use FileKind::{C as Source, Text};
    const NONE: [Option<&str>; 2] = [None, None];
    &[
        (
            Own("missing", Text, "no-such-tool --version", NONE),
            Broken,
            127,
        ),
        (
            Own("not-executable", Text, "exec /suite", NONE),
            Broken,
            126,
        ),
        (Own("killed", Text, "kill -SEGV $$", NONE), Broken, 139),
        (Own("skips", Text, "exit 125", NONE), Skip, 125),
        (
            Own("never-ends", Text, "while :; do sleep 1; done", NONE),
            Timeout,
            137,
        ),
        (
            Own(
                "hides",
                Text,
                "trap '' TERM INT HUP; (setsid sleep 99 &) ; sleep 99",
                NONE,
            ),
            Timeout,
            137,
        ),
        (
            Own(
                "flood",
                Text,
                "yes 'not ok 1 fake' | head -c 300000; exit 3",
                NONE,
            ),
            Fail,
            3,
        ),
        (
            Own(
                "kills-init",
                Text,
                "for s in TERM KILL SEGV INT; do kill -$s 1; done; true",
                NONE,
            ),
            Pass,
            0,
        ),
        (Own("kills-all", Text, "kill -KILL -1; true", NONE), Pass, 0),
        (
            Own(
                "forges",
                Text,
                "echo 'FB1 00 {\"frame\":\"bye\",\"clean\":true,\"left\":[]}' >/dev/ttyS1
                 echo 'firstbad: case forges ends: Pass'
                 echo '::metric name=fake value=nan unit=s better=lower'
                 echo 'ok 1 fake'; ls /firstbad/plan.json && exit 3; exit 1",
                NONE,
            ),
            Fail,
            1,
        ),
        (Own("junk", Text, FLOOD, NONE), Pass, 0),
        (
            Own("no-line-end", Text, "printf 'FB1 half' >/dev/ttyS1", NONE),
            Pass,
            0,
        ),
        (
            Own(
                "hangs-up",
                Text,
                "exec 3<>/dev/ttyS1; echo mine >&3; exit 4",
                NONE,
            ),
            Fail,
            4,
        ),
        (
            Own(
                "new-mode",
                Text,
                "stty -F /dev/ttyS1 300 crtscts olcuc opost; exit 5",
                NONE,
            ),
            Fail,
            5,
        ),
        (Own("c", Source, C, NONE), Pass, 0),
        (
            Own("wrong-c", Source, "int main(void) { return x; }", NONE),
            Broken,
            126,
        ),
        (
            Own("seen", Text, "echo all is LOST", [Some("LOST$"), None]),
            Fail,
            0,
        ),
        (
            Own(
                "logged",
                Text,
                "echo '<4>LOST it' >/dev/kmsg",
                [Some("^LOST"), None],
            ),
            Fail,
            0,
        ),
        (
            Own("unseen", Text, "echo well", [Some("LOST"), Some("we?ll")]),
            Pass,
            0,
        ),
        (
            Own("unproved", Text, "echo nothing", [None, Some("DONE")]),
            Fail,
            0,
        ),
        (
            Own(
                "takes-proc",
                Text,
                "umount -l /proc; rm -rf /dev /bin /suite; exit 6",
                NONE,
            ),
            Fail,
            6,
        ),
    ]
};

#[tokio::test]
async fn each_test_gets_its_class_and_disturbs_no_other() {
    let cases: Vec<Own> = TABLE
        .iter()
        .map(|(Own(name, kind, text, patterns), ..)| Own(name, *kind, text, *patterns))
        .collect();
    let first = run(&cases).await;
    let seen = &first.observation;
    let found: Vec<(&str, CaseStatus, i32)> = seen
        .cases
        .iter()
        .map(|c| (c.case.as_str(), c.status, c.exit))
        .collect();
    let expected: Vec<(&str, CaseStatus, i32)> = TABLE
        .iter()
        .map(|(Own(name, ..), status, exit)| (*name, *status, *exit))
        .collect();
    assert_eq!(found, expected);
    assert_eq!((seen.end, seen.crashes.len()), (RunEnd::PowerOff, 0));
    // One forged frame, the junk, half a line, one line of the case that hung up.
    assert_eq!(seen.stray_lines, 1 + 200 + 1 + 1);
    assert!(seen.cases.iter().all(|c| c.metrics.is_empty()));
    let of = |name: &str| seen.cases.iter().find(|c| c.case == name).unwrap();
    let tail = |case: &CaseResult| case.tail.lines().last().unwrap_or_default().to_owned();
    assert!(tail(of("missing")).ends_with("no-such-tool: not found"));
    assert_eq!(
        tail(of("wrong-c")),
        "the C source does not compile: custom.c:1:25: error: 'x' undeclared (first use in this function)"
    );
    assert!(tail(of("c")).starts_with("compiled at Jan  1 1970 00:00:00 Thu Jan  1 00:00:00 1970"));
    let pattern = |name: &str| of(name).pattern.clone().unwrap();
    assert_eq!(pattern("seen"), "fails_when matched: all is LOST");
    assert_eq!(pattern("logged"), "fails_when matched: LOST it");
    assert_eq!(pattern("unproved"), "no line matched passes_when");
    assert!(
        seen.left.iter().any(|l| l.starts_with("takes-proc: ")),
        "{:?}",
        seen.left
    );

    let again = run(&cases).await;
    assert_eq!(
        again.observation, first.observation,
        "compiled anew, to the same bytes"
    );
}

#[tokio::test]
async fn a_test_that_ends_the_machine_is_told_so() {
    let seen = run(&[script("case", "reboot -f")]).await.observation;
    assert_eq!((seen.end, seen.cases.len()), (RunEnd::Stopped, 0));
    assert_eq!(seen.crashes, []);
    let fails = [Some("sysrq triggered"), None];
    let dies = Own("case", FileKind::Text, "echo c >/proc/sysrq-trigger", fails);
    let seen = run(&[dies]).await.observation;
    assert_eq!(
        (seen.end, seen.cases[0].status),
        (RunEnd::Panic, CaseStatus::Fail)
    );
    assert_eq!(seen.crashes[0].title, "kernel panic: sysrq triggered crash");
}
