//! A whole worker against a fake server: real git, real sandbox, real compiler.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;
mod fake;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{MAIN, MAKEFILE, SELFTESTS, files, work};
use fake::{Fake, OnRenew, TOKEN};
use firstbad_api::lease::{BuildWork, Packaged, Work};
use firstbad_api::observation::{BuildObservation, Finish};
use firstbad_worker::{WorkerConfig, run};
use tokio_util::sync::CancellationToken;

struct Stage {
    home: tempfile::TempDir,
    fake: Fake,
}

impl Stage {
    async fn new() -> Stage {
        let home = tempfile::tempdir().unwrap();
        let bare = home.path().join("git/fixture.git");
        std::fs::create_dir_all(&bare).unwrap();
        git(
            &bare,
            &["init", "--quiet", "--bare", "--initial-branch=main"],
        );
        git(&bare, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        let fake = Fake::start(&home.path().join("git")).await;
        Stage { home, fake }
    }

    /// Commits the stand-in with `changes` and returns the commit's id.
    fn commit(&self, changes: &[(&str, &str)]) -> String {
        let tree = self.home.path().join("checkout");
        std::fs::create_dir_all(&tree).unwrap();
        let bare = self.home.path().join("git/fixture.git");
        for (name, text) in files(changes) {
            let file = tree.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let at = format!("--work-tree={}", tree.display());
        git(&bare, &[&at, "add", "--all"]);
        git(
            &bare,
            &[&at, "commit", "--quiet", "--allow-empty", "-m", "change"],
        );
        git(&bare, &["rev-parse", "HEAD"])
    }

    fn give(&self, work: BuildWork) {
        self.fake.books().work.push_back(Work::Build(work));
    }

    fn config(&self) -> WorkerConfig {
        WorkerConfig {
            server: self.fake.url.clone(),
            token: TOKEN.to_owned(),
            dir: self.dir(),
            name: "test".to_owned(),
            kinds: vec!["build".to_owned()],
            once: false,
            guest_dir: PathBuf::from("/nonexistent"),
        }
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("worker")
    }

    /// Runs a worker until `finishes` reports have arrived.
    async fn until_finished(&self, finishes: usize) {
        let stop = CancellationToken::new();
        let worker = tokio::spawn(run(self.config(), stop.clone()));
        self.fake
            .wait("reports", |b| b.finishes.len() >= finishes)
            .await;
        stop.cancel();
        worker.await.unwrap().unwrap();
    }

    /// Entries of a folder of the worker's directory.
    fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(self.dir().join(folder)).unwrap().count()
    }

    fn observation(&self, n: usize) -> BuildObservation {
        match &self.fake.books().finishes[n].finish {
            Finish::Build { observation } => observation.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn log(&self, attempt: i64) -> String {
        let books = self.fake.books();
        String::from_utf8_lossy(&books.logs[&format!("{attempt}/build")]).into_owned()
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let out = Command::new("git")
        .args([
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@t",
            "-c",
            "core.bare=false",
            "--git-dir",
        ])
        .arg(dir)
        .args(args)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_are_fetched_built_followed_and_reported() {
    let stage = Stage::new().await;
    let one = stage.commit(&[]);
    let two = stage.commit(&[("Documentation.txt", "words")]);
    let three = stage.commit(&[
        ("main.c", "int go(void) { return gone; }\n"),
        ("Documentation.txt", "words"),
    ]);
    stage.fake.books().finish_failures = 2;
    stage.fake.books().forget_worker = true;
    for rev in [&one, &two, &three] {
        stage.give(work(rev, "CONFIG_A=y\nCONFIG_GONE=y\n"));
    }
    stage.until_finished(3).await;

    let BuildObservation::Built {
        signature,
        lost_symbols,
        release,
        image_sha256,
        objects_built,
        ..
    } = stage.observation(0)
    else {
        panic!("{}", stage.log(2))
    };
    assert_eq!(release, "6.12.0-fixture");
    assert_eq!(lost_symbols, ["CONFIG_GONE: wanted y, got n"]);
    assert_eq!(objects_built, 1);
    let BuildObservation::Built {
        signature: second,
        objects_built,
        ..
    } = stage.observation(1)
    else {
        panic!("{}", stage.log(3))
    };
    assert_eq!(second, signature);
    assert_eq!(
        objects_built,
        0,
        "time stamps of unchanged files were not kept\n{}",
        stage.log(3)
    );
    let BuildObservation::Failed {
        stage: failed,
        first_error,
    } = stage.observation(2)
    else {
        panic!()
    };
    assert_eq!(failed, "build");
    assert!(first_error.contains("'gone' undeclared"), "{first_error}");
    assert!(stage.log(2).contains(&format!("firstbad: fixture {one}")));
    assert!(stage.log(2).contains("  CC      main.o"));

    let books = stage.fake.books();
    assert_eq!(
        books.registered.len(),
        2,
        "the forgotten worker registers again"
    );
    assert!(books.registered[0].caps.toolchain.contains("gcc"));
    assert_eq!(books.artefacts["bzImage"].0, image_sha256);
    assert!(books.artefacts["config"].1.starts_with(b"CONFIG_A=y\n"));
    let stages: Vec<(&str, bool)> = books
        .stages
        .iter()
        .filter(|s| s.fence.attempt == 2)
        .map(|s| (s.stage.as_str(), s.ok))
        .collect();
    assert_eq!(
        stages,
        [
            ("source", true),
            ("configure", true),
            ("build", true),
            ("upload", true)
        ]
    );
    let last = books.stages.last().unwrap();
    assert_eq!(
        (last.fence.attempt, last.stage.as_str(), last.ok),
        (4, "build", false)
    );
    drop(books);
    assert_eq!((stage.count("spool"), stage.count("scratch")), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn fix_ups_are_applied_and_links_in_them_are_refused() {
    let stage = Stage::new().await;
    let rev = stage.commit(&[]);
    let fix = "--- a/main.c\n+++ b/main.c\n@@ -1,4 +1,4 @@\n int go(void)\n {\n-\treturn 1;\n+\treturn 7;\n }\n";
    let link = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n";
    for fixups in [vec![], vec![fix], vec![link], vec![fix, fix]] {
        let fixups = fixups.into_iter().map(str::to_owned).collect();
        stage.give(BuildWork {
            fixups,
            ..work(&rev, "")
        });
    }
    stage.give(work(&rev, ""));
    stage.until_finished(5).await;
    let signature = |n| match stage.observation(n) {
        BuildObservation::Built { signature, .. } => signature,
        other => panic!("{other:?}"),
    };
    assert_ne!(signature(0), signature(1));
    assert_eq!(
        signature(0),
        signature(4),
        "the fix-up is still in the work tree"
    );
    for (n, said) in [
        (2, "mode 120000"),
        (3, "fix-up 2 does not apply: error: patch failed: main.c:1"),
    ] {
        let BuildObservation::Failed {
            stage: at,
            first_error,
        } = stage.observation(n)
        else {
            panic!()
        };
        assert_eq!(at, "source");
        assert!(first_error.contains(said), "{first_error}");
    }
}

/// A package with a kernel in the checkout; the next commit holds it.
fn package(stage: &Stage) {
    let root = stage.home.path().join("root");
    let lib = root.join("usr/lib/modules/9.9.9-cloud");
    std::fs::create_dir_all(&lib).unwrap();
    std::fs::create_dir_all(root.join("DEBIAN")).unwrap();
    std::fs::write(lib.join("vmlinuz"), "an image").unwrap();
    std::fs::write(lib.join("config"), "CONFIG_A=y\n").unwrap();
    let control = "Package: linux\nVersion: 1\nArchitecture: all\nMaintainer: t\nDescription: t\n";
    std::fs::write(root.join("DEBIAN/control"), control).unwrap();
    let to = stage.home.path().join("checkout/packages");
    std::fs::create_dir_all(&to).unwrap();
    let made = Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .arg(&root)
        .arg(to.join("linux.deb"))
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn selftests_of_one_revision_go_with_every_kernel_also_with_a_packaged_one() {
    let stage = Stage::new().await;
    let other = "int main(void) { return 1; }\n";
    let pin = stage.commit(&SELFTESTS);
    let mut changes = SELFTESTS.to_vec();
    changes[2].1 = other;
    changes.push(("main.c", "int go(void) { return 2; }\n"));
    let newer = stage.commit(&changes);
    package(&stage);
    let packaged = stage.commit(&[]);
    let asked = |rev: &str, from: Option<&String>| BuildWork {
        kselftest: vec!["a".to_owned()],
        kselftest_rev: from.cloned(),
        ..work(rev, "")
    };
    stage.give(asked(&pin, None));
    stage.give(asked(&pin, Some(&pin)));
    stage.give(asked(&newer, Some(&pin)));
    stage.give(asked(&newer, None));
    let modules = Packaged { modules: vec![] };
    for from in [Some(&pin), None] {
        stage.give(BuildWork {
            packaged: Some(modules.clone()),
            ..asked(&packaged, from)
        });
    }
    stage.give(asked(&newer, Some(&newer)));
    stage.until_finished(7).await;
    let built = |n: usize| match stage.observation(n) {
        BuildObservation::Built {
            signature,
            archives,
            ..
        } => {
            let mut tests = archives.into_iter().filter(|a| a.name == "kselftest.cpio");
            (signature, tests.next().map(|a| a.sha256))
        }
        other => panic!("{other:?}\n{}", stage.log(n as i64 + 1)),
    };
    let (own, tests) = built(0);
    assert!(tests.is_some());
    assert_eq!(
        built(1),
        (own.clone(), tests.clone()),
        "the same kernel and the same tests"
    );
    assert_eq!(built(2).1, tests, "{}", stage.log(3));
    assert_ne!(built(2).0, own);
    assert_ne!(built(3).1, tests);
    let (with, without) = (built(4), built(5));
    assert_eq!((&with.1, &without.1), (&tests, &None), "{}", stage.log(5));
    assert_ne!(with.0, without.0);
    assert_eq!(
        built(6).1,
        built(3).1,
        "another revision takes the place of the first"
    );
}

/// A build that takes long enough to lose its lease.
fn slow() -> String {
    MAKEFILE.replace("\nextra:\n", "\nextra:\n\tsleep 51.3\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_stops_the_work_without_a_report() {
    for on_renew in [OnRenew::Cancel, OnRenew::Stale, OnRenew::Broken] {
        let stage = Stage::new().await;
        stage.give(work(&stage.commit(&[("Makefile", &slow())]), ""));
        let stop = CancellationToken::new();
        let worker = tokio::spawn(run(stage.config(), stop.clone()));
        stage
            .fake
            .wait("the build", |b| {
                b.renewals.iter().any(|r| r.stage == "build")
            })
            .await;
        stage.fake.books().on_renew = on_renew;
        stage
            .fake
            .wait("the end", |_| stage.count("scratch") == 0)
            .await;
        stage.fake.books().on_renew = OnRenew::Fine;
        stage.give(work(
            &stage.commit(&[("main.c", MAIN), ("Makefile", MAKEFILE)]),
            "",
        ));
        stage
            .fake
            .wait("the next report", |b| !b.finishes.is_empty())
            .await;
        stop.cancel();
        worker.await.unwrap().unwrap();
        let books = stage.fake.books();
        assert_eq!(books.finishes.len(), 1);
        assert_eq!(
            books.finishes[0].fence.attempt, 3,
            "only the second attempt is reported"
        );
        assert!(matches!(books.finishes[0].finish, Finish::Build { .. }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_gives_the_attempt_back_even_if_the_server_is_away() {
    let stage = Stage::new().await;
    stage.give(work(&stage.commit(&[("Makefile", &slow())]), ""));
    let stop = CancellationToken::new();
    let worker = tokio::spawn(run(stage.config(), stop.clone()));
    stage
        .fake
        .wait("the build", |b| {
            b.renewals.iter().any(|r| r.stage == "build")
        })
        .await;
    stage.fake.books().finish_failures = 1;
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(60), worker)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(stage.fake.books().finishes.is_empty());
    // The next process finds the report on disk.
    stage.until_finished(1).await;
    let books = stage.fake.books();
    assert_eq!(books.finishes[0].finish, Finish::Released);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_the_server_does_not_have_is_our_failure() {
    let stage = Stage::new().await;
    stage.commit(&[]);
    stage.give(work("0123456789012345678901234567890123456789", ""));
    stage.until_finished(1).await;
    let books = stage.fake.books();
    let Finish::Infrastructure { what } = &books.finishes[0].finish else {
        panic!()
    };
    assert!(what.contains("git fetch failed"), "{what}");
    assert!(!what.contains(TOKEN));
}
