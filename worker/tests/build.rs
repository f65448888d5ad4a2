//! Builds of a stand-in tree in the real sandbox with the real compiler.

#![allow(clippy::unwrap_used)] // a test may panic

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{MAIN, MAKEFILE, SELFTESTS, files, work};
use firstbad_api::lease::{BuildWork, ConfigBase};
use firstbad_worker::buildlog::BuildLog;
use firstbad_worker::dirs::{DirLock, Dirs};
use firstbad_worker::error::InfraError;
use firstbad_worker::kbuild::{Built, Kbuild, Step};
use firstbad_worker::kselftest;
use firstbad_worker::process::Until;
use firstbad_worker::sandbox::{Sandbox, Spec};
use firstbad_worker::selftest;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Writes the stand-in below `dir`; unchanged files keep their time stamps.
fn write_tree(dir: &Path, changes: &[(&str, &str)]) -> PathBuf {
    let tree = dir.join("tree");
    fs::create_dir_all(&tree).unwrap();
    for (name, text) in files(changes) {
        let path = tree.join(name);
        if fs::read_to_string(&path).ok().as_ref() != Some(&text) {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
    tree
}

fn until() -> Until {
    Until {
        deadline: Instant::now() + Duration::from_secs(60),
        cancel: CancellationToken::new(),
    }
}

struct Bench {
    home: tempfile::TempDir,
    dirs: Dirs,
    _lock: DirLock,
    kbuild: Kbuild,
}

impl Bench {
    async fn new() -> Bench {
        let home = tempfile::tempdir().unwrap();
        let (dirs, lock) = Dirs::open(&home.path().join("worker")).unwrap();
        let sandbox = Sandbox::new().unwrap();
        let kbuild = Kbuild::new(&sandbox, &dirs, &until()).await.unwrap();
        Bench {
            home,
            dirs,
            _lock: lock,
            kbuild,
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dirs.scratch(1, 1).join("build.log")).unwrap()
    }

    async fn build(
        &self,
        changes: &[(&str, &str)],
        fragment: &str,
    ) -> Result<Step<Built>, InfraError> {
        self.build_until(changes, fragment, &until()).await
    }

    async fn build_until(
        &self,
        changes: &[(&str, &str)],
        fragment: &str,
        until: &Until,
    ) -> Result<Step<Built>, InfraError> {
        self.build_work(changes, &work("0", fragment), until).await
    }

    async fn build_work(
        &self,
        changes: &[(&str, &str)],
        work: &BuildWork,
        until: &Until,
    ) -> Result<Step<Built>, InfraError> {
        let tree = write_tree(self.home.path(), changes);
        let scratch = self.dirs.scratch(1, 1);
        let _absent = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch).unwrap();
        let mut log = BuildLog::create(&scratch.join("build.log")).unwrap();
        let mut build = self.kbuild.begin(work, &tree, &scratch)?;
        let done = match build.configure(&mut log, until).await? {
            Step::Done(lost) => build.build(lost, &mut log, until).await,
            Step::Failed(line) => build.finish().map(|()| Step::Failed(line)),
        };
        log.close().unwrap();
        done
    }

    async fn built(&self, changes: &[(&str, &str)], fragment: &str) -> Built {
        match self.build(changes, fragment).await {
            Ok(Step::Done(built)) => built,
            other => panic!("{other:?}\n{}", self.log()),
        }
    }

    /// The object directories: there is one per configuration.
    fn objects(&self) -> Vec<PathBuf> {
        fs::read_dir(self.dirs.root().join("build"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect()
    }
}

#[tokio::test]
async fn a_comment_keeps_the_signature_and_an_unchanged_tree_builds_nothing() {
    let bench = Bench::new().await;
    let first = bench.built(&[], "CONFIG_A=y\n").await;
    assert_eq!(first.release, "6.12.0-fixture");
    assert_eq!((first.objects_built, first.ccache_hits), (1, 0));
    assert_eq!(first.lost_symbols, Vec::<String>::new());
    assert_eq!(
        fs::read_to_string(&first.config).unwrap(),
        "CONFIG_A=y\n# CONFIG_B is not set\n"
    );

    let again = bench.built(&[], "CONFIG_A=y\n").await;
    assert_eq!(again.objects_built, 0, "{}", bench.log());
    assert_eq!(
        (&again.signature, &again.image_sha256),
        (&first.signature, &first.image_sha256)
    );

    let comment = format!("/* a comment */ {MAIN}");
    let commented = bench.built(&[("main.c", &comment)], "CONFIG_A=y\n").await;
    assert_eq!(commented.objects_built, 1);
    assert_eq!(commented.signature, first.signature);

    let changed = bench
        .built(&[("main.c", &MAIN.replace('1', "2"))], "CONFIG_A=y\n")
        .await;
    assert_ne!(changed.signature, first.signature);

    for dir in bench.objects() {
        fs::remove_dir_all(dir).unwrap();
    }
    let back = bench.built(&[], "CONFIG_A=y\n").await;
    assert_eq!(
        (back.objects_built, back.ccache_hits),
        (1, 1),
        "{}",
        bench.log()
    );
    assert_eq!(back.signature, first.signature);
}

#[tokio::test]
async fn lost_symbols_are_reported_and_another_configuration_has_its_own_objects() {
    let bench = Bench::new().await;
    let built = bench
        .built(&[], "CONFIG_A=y\nCONFIG_NEW=y\n# CONFIG_OLD is not set\n")
        .await;
    assert_eq!(built.lost_symbols, ["CONFIG_NEW: wanted y, got n"]);
    assert!(
        bench
            .log()
            .contains("firstbad: lost symbol: CONFIG_NEW: wanted y, got n")
    );
    bench.built(&[], "CONFIG_B=y\n").await;
    assert_eq!(bench.objects().len(), 2);
}

#[tokio::test]
async fn a_configuration_of_the_tree_is_the_base_and_its_absence_the_trees_failure() {
    let bench = Bench::new().await;
    let path = ".firstbad/config";
    let mut asked = work("0", "CONFIG_B=y\n");
    asked.config.base = ConfigBase::Tree(path.to_owned());
    for line in ["CONFIG_A=y", "# CONFIG_A is not set"] {
        let done = bench.build_work(&[(path, line)], &asked, &until()).await;
        let Ok(Step::Done(built)) = done else {
            panic!("{done:?}\n{}", bench.log())
        };
        let config = fs::read_to_string(&built.config).unwrap();
        assert_eq!(config, format!("{line}\nCONFIG_B=y\n"));
    }
    assert_eq!(bench.objects().len(), 1, "they share their objects");
    let large = "#".repeat(firstbad_api::limits::CONFIG_BYTES + 1);
    let end = bench.build_work(&[(path, &large)], &asked, &until()).await;
    assert!(
        matches!(&end, Ok(Step::Failed(line)) if line.contains("more than")),
        "{end:?}"
    );
    let tree = bench.home.path().join("tree");
    let secret = bench.dirs.root().join("token");
    fs::write(&secret, "CONFIG_A=y\n").unwrap();
    fs::remove_file(tree.join(path)).unwrap();
    std::os::unix::fs::symlink(&secret, tree.join(path)).unwrap();
    for name in [path, "none", "../token", "/etc/passwd", ".firstbad"] {
        asked.config.base = ConfigBase::Tree(name.to_owned());
        let end = bench.build_work(&[], &asked, &until()).await;
        let Ok(Step::Failed(line)) = end else {
            panic!("{name}: {end:?}")
        };
        assert!(line.contains("no configuration in the tree"), "{line}");
        assert!(bench.log().contains(&line), "{line}");
    }
}

/// A tree laid out like Microsoft's, and what the preset `wsl2` asks of it.
#[tokio::test]
async fn the_fragment_of_wsl2_is_laid_over_the_configuration_in_its_tree() {
    let bench = Bench::new().await;
    let path = "Microsoft/config-wsl";
    let mut asked = work("0", include_str!("../../presets/wsl2.config"));
    asked.config.base = ConfigBase::Tree(path.to_owned());
    let known = "KNOWN := CONFIG_HYPERV CONFIG_WERROR CONFIG_DEBUG_INFO_NONE";
    let makefile = MAKEFILE.replace("KNOWN := CONFIG_A CONFIG_B", known);
    let changes = [
        ("Makefile", makefile.as_str()),
        (
            path,
            "CONFIG_HYPERV=y\nCONFIG_WERROR=y\n# CONFIG_DEBUG_INFO_NONE is not set\n",
        ),
    ];
    let done = bench.build_work(&changes, &asked, &until()).await;
    let Ok(Step::Done(built)) = done else {
        panic!("{done:?}\n{}", bench.log())
    };
    assert_eq!(built.lost_symbols, Vec::<String>::new());
    let config = fs::read_to_string(&built.config).unwrap();
    assert_eq!(
        config,
        "CONFIG_HYPERV=y\n# CONFIG_WERROR is not set\nCONFIG_DEBUG_INFO_NONE=y\n"
    );
    fs::remove_file(bench.home.path().join("tree").join(path)).unwrap();
    let end = bench.build_work(&changes[..1], &asked, &until()).await;
    let Ok(Step::Failed(line)) = end else {
        panic!("{end:?}")
    };
    assert!(
        line.contains("no configuration in the tree") && line.contains(path),
        "{line}"
    );
}

#[tokio::test]
async fn a_compile_error_is_the_trees_failure_and_is_confirmed_in_an_empty_directory() {
    let bench = Bench::new().await;
    bench.built(&[], "").await;
    let broken = bench
        .build(&[("main.c", "int go(void) { return gone; }\n")], "")
        .await;
    let Ok(Step::Failed(line)) = broken else {
        panic!("{broken:?}")
    };
    assert!(
        line.contains("main.c:1:23: error: 'gone' undeclared"),
        "{line}"
    );
    assert!(bench.log().contains("once more in an empty one"));
    bench.built(&[], "").await;
}

#[tokio::test]
async fn a_killed_compiler_or_a_missing_one_is_our_failure() {
    let bench = Bench::new().await;
    let killed = MAKEFILE.replace("\nextra:\n", "\nextra:\n\tsh -c 'kill -9 $$$$'\n");
    let missing = MAKEFILE.replace(
        "\nextra:\n",
        "\nextra:\n\tno-such-compiler -c x.c || exit 1\n",
    );
    for (makefile, said) in [
        (killed, "[Makefile:19: extra] Killed"),
        (missing, "no-such-compiler: not found"),
    ] {
        let end = bench.build(&[("Makefile", &makefile)], "").await;
        let Err(InfraError::Failed(why)) = end else {
            panic!("{end:?}\n{}", bench.log())
        };
        assert!(why.contains(said), "{why}");
    }
}

#[tokio::test]
async fn a_cancelled_build_leaves_nothing_running_and_its_objects_are_not_trusted() {
    let bench = Bench::new().await;
    bench.built(&[], "").await;
    let slow = MAKEFILE.replace(
        "\nextra:\n",
        "\nextra:\n\tsleep 47.11 & echo half >$(O)/main.o; sleep 47.11\n",
    );
    let stop = until();
    let cancel = stop.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        cancel.cancel();
    });
    let began = std::time::Instant::now();
    let end = bench.build_until(&[("Makefile", &slow)], "", &stop).await;
    assert_eq!(end, Err(InfraError::Cancelled), "{}", bench.log());
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(!running("47.11"), "something of the build is still alive");
    // main.o is newer than its source and would be taken for finished.
    let after = bench.built(&[], "").await;
    assert_eq!(after.objects_built, 1);
}

/// Whether a process with this argument exists.
fn running(argument: &str) -> bool {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .any(|e| {
            let line = fs::read(e.path().join("cmdline")).unwrap_or_default();
            line.split(|b| *b == 0).any(|a| a == argument.as_bytes())
        })
}

#[tokio::test]
async fn a_makefile_reaches_no_network_no_token_and_nothing_outside_its_scratch() {
    let bench = Bench::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let token = bench.dirs.root().join("token");
    fs::write(&token, "fb_secret_token").unwrap();
    let outside = bench.home.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::set_permissions(
        &outside,
        std::os::unix::fs::PermissionsExt::from_mode(0o777),
    )
    .unwrap();
    let escape = format!(
        "\nextra:\n\
         \t-bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo ESCAPED tcp'\n\
         \t-cat {token} && echo ESCAPED read\n\
         \t-echo x >{outside}/x && echo ESCAPED write\n\
         \t-echo x >/src/x && echo ESCAPED source\n\
         \t-echo x >/usr/x && echo ESCAPED usr\n",
        token = token.display(),
        outside = outside.display(),
    );
    let makefile = MAKEFILE.replace("\nextra:\n", &escape);
    let end = bench.build(&[("Makefile", &makefile)], "").await;
    let log = bench.log();
    assert!(matches!(end, Ok(Step::Done(_))), "{end:?}\n{log}");
    assert!(listener.accept().is_err(), "a connection arrived");
    assert!(fs::read_dir(&outside).unwrap().next().is_none());
    assert!(!log.contains("fb_secret_token"), "{log}");
    assert!(!log.lines().any(|l| l.starts_with("ESCAPED")), "{log}");
    for said in [
        format!("connect: Network is unreachable|/dev/tcp/127.0.0.1/{port}"),
        format!("cat: {}: No such file or directory", token.display()),
        format!("cannot create {}/x", outside.display()),
        "cannot create /src/x: Read-only file system".to_owned(),
        "cannot create /usr/x".to_owned(),
    ] {
        assert!(
            said.split('|').any(|s| log.contains(s)),
            "missing: {said}\n{log}"
        );
    }
}

#[tokio::test]
async fn a_link_in_place_of_the_image_is_not_followed() {
    let bench = Bench::new().await;
    let secret = bench.dirs.root().join("token");
    fs::write(&secret, "fb_secret_token").unwrap();
    let makefile = MAKEFILE.replace(
        "cp $(O)/vmlinux $(O)/arch/x86/boot/bzImage",
        &format!("ln -sf {} $(O)/arch/x86/boot/bzImage", secret.display()),
    );
    let end = bench.build(&[("Makefile", &makefile)], "").await;
    let Ok(Step::Failed(line)) = end else {
        panic!("{end:?}")
    };
    assert!(line.contains("no usable file"), "{line}");
}

#[tokio::test]
async fn the_sandbox_holds_on_this_machine_and_two_workers_cannot_share_a_directory() {
    let bench = Bench::new().await;
    selftest::run(&Sandbox::new().unwrap(), &bench.dirs)
        .await
        .unwrap();
    let second = Dirs::open(bench.dirs.root()).unwrap_err().to_string();
    assert!(second.contains("another worker uses it"), "{second}");
}

/// Not a test by itself: [`everything_dies_with_a_killed_worker`] runs it in a process to be killed.
#[tokio::test]
async fn sleeper() {
    if std::env::var_os("FIRSTBAD_TEST_SLEEPER").is_none() {
        return;
    }
    let script = ["-c", "sleep 49.37 & sleep 49.37"].map(str::to_owned);
    let mut command = Sandbox::new()
        .unwrap()
        .command(&Spec::default(), "sh", &script);
    command.process_group(0).status().await.unwrap();
}

#[test]
fn everything_dies_with_a_killed_worker() {
    let mut worker = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sleeper"])
        .env("FIRSTBAD_TEST_SLEEPER", "1")
        .spawn()
        .unwrap();
    let wait = |what: &str, is: bool| {
        let found = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            running("49.37") == is
        });
        assert!(found, "{what}");
    };
    wait("the sleeper never ran", true);
    worker.kill().unwrap();
    worker.wait().unwrap();
    wait("the sandbox outlived its worker", false);
}

#[tokio::test]
async fn a_kvm_that_root_can_open_can_be_opened_in_the_sandbox_and_only_on_request() {
    let open = |path: &str| fs::File::options().read(true).write(true).open(path);
    if open("/dev/kvm").is_err() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::new().unwrap().lend_kvm(home.path());
    let script = ["-c", "test -c /dev/kvm && exec 3<>/dev/kvm"].map(str::to_owned);
    for kvm in [true, false] {
        let spec = Spec {
            kvm,
            ..Spec::default()
        };
        let status = sandbox
            .command(&spec, "sh", &script)
            .status()
            .await
            .unwrap();
        assert_eq!(status.success(), kvm);
    }
}

#[tokio::test]
async fn selftests_are_what_is_tested_too_and_never_fail_a_build() {
    let bench = Bench::new().await;
    let plain = bench.built(&SELFTESTS, "CONFIG_A=y\n").await;
    assert_eq!(plain.archives, []);
    let mut asked = work("0", "CONFIG_A=y\n");
    asked.kselftest = vec!["a".to_owned(), "not/there".to_owned()];
    let build = async |changes: Vec<(&str, &str)>| {
        let done = bench.build_work(&changes, &asked, &until()).await;
        let Ok(Step::Done(built)) = done else {
            panic!("{done:?}\n{}", bench.log());
        };
        let [archive] = &built.archives[..] else {
            panic!("{built:?}");
        };
        let bytes = fs::read(bench.dirs.scratch(1, 1).join(&archive.name)).unwrap();
        (built.signature.clone(), archive.sha256.clone(), bytes)
    };
    let holds = |bytes: &[u8], name: &str| bytes.windows(name.len()).any(|w| w == name.as_bytes());

    let (signature, first, bytes) = build(SELFTESTS.to_vec()).await;
    assert_ne!(signature, plain.signature);
    assert!(holds(&bytes, "kselftest/a/good"), "{}", bench.log());
    assert!(!holds(&bytes, "broken"), "{}", bench.log());
    assert!(bench.log().contains("the tree has no not/there"));

    let mut changes = SELFTESTS.to_vec();
    changes[2].1 = "int main(void) { return 1; }\n";
    let (other, second, _) = build(changes).await;
    assert_ne!((&other, &second), (&signature, &first));
    let (again, third, _) = build(SELFTESTS.to_vec()).await;
    assert_eq!((again, third), (signature, first));

    // A tree whose selftests are gone says that it has none.
    fs::remove_dir_all(bench.home.path().join("tree/tools")).unwrap();
    let (_, _, bytes) = build(vec![]).await;
    assert!(!holds(&bytes, "good"));
}

#[tokio::test]
async fn selftests_of_a_source_are_built_without_a_worker() {
    let (home, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tree = write_tree(home.path(), &SELFTESTS);
    let targets = ["a".to_owned()];
    let sandbox = Sandbox::new().unwrap();
    let built = kselftest::of_source(&sandbox, &tree, &targets, dir.path()).await;
    let Ok(Step::Done(archive)) = built else {
        panic!("{built:?}");
    };
    let bytes = fs::read(dir.path().join(archive.name)).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("kselftest/a/good"));

    let dir = tempfile::tempdir().unwrap();
    fs::write(tree.join("Makefile"), "nothing:\n").unwrap();
    let built = kselftest::of_source(&sandbox, &tree, &targets, dir.path()).await;
    let Ok(Step::Failed(line)) = built else {
        panic!("{built:?}");
    };
    assert!(line.starts_with("no selftests: make: "), "{line}");
}
