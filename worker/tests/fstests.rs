//! fstests from a checkout, with a fake one: a Makefile that makes what the real one would.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use firstbad_worker::fstests::of_checkout;
use firstbad_worker::kbuild::Step;
use firstbad_worker::sandbox::Sandbox;

/// A checkout that the sandbox may read.
fn fake(dir: &Path, makefile: &str) {
    for folder in [
        "common",
        "ltp",
        "src",
        "tests/generic",
        "tests/btrfs",
        "tests/xfs",
    ] {
        std::fs::create_dir_all(dir.join(folder)).unwrap();
    }
    for file in [
        "check",
        "randomize.awk",
        "tests/generic/001",
        "tests/xfs/001",
        "src/left.c",
    ] {
        std::fs::write(dir.join(file), format!("this is {file}\n")).unwrap();
    }
    std::fs::write(dir.join("Makefile"), makefile).unwrap();
}

#[tokio::test]
async fn a_checkout_is_built_and_what_the_tests_need_is_archived() {
    let (checkout, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fake(
        checkout.path(),
        "all:\n\techo made >ltp/fsstress\n\ttouch src/x.o\n\techo 001 auto >tests/generic/group.list\n",
    );
    // As in a clone whose packs may be completed later.
    let packs = checkout.path().join(".git/objects/pack");
    std::fs::create_dir_all(&packs).unwrap();
    let pack = packs.join("pack-1.promisor");
    std::fs::write(&pack, "").unwrap();
    std::fs::set_permissions(&pack, Permissions::from_mode(0o600)).unwrap();
    let sandbox = Sandbox::new().unwrap();
    let built = of_checkout(&sandbox, checkout.path(), dir.path())
        .await
        .unwrap();
    let Step::Done(archive) = built else {
        panic!("{built:?}");
    };
    let bytes = std::fs::read(dir.path().join(archive.name)).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for there in [
        "fstests/check",
        "fstests/ltp/fsstress",
        "001 auto",
        "tests/generic/001",
    ] {
        assert!(text.contains(there), "{there}");
    }
    for absent in ["x.o", "left.c", "tests/xfs/001", "Makefile"] {
        assert!(!text.contains(absent), "{absent}");
    }
    assert!(
        !checkout.path().join("ltp/fsstress").exists(),
        "the checkout stays as it was"
    );
    let again = tempfile::tempdir().unwrap();
    let Step::Done(same) = of_checkout(&sandbox, checkout.path(), again.path())
        .await
        .unwrap()
    else {
        panic!("built once, and then not");
    };
    assert_eq!(same.sha256, archive.sha256);
}

#[tokio::test]
async fn one_that_cannot_be_built_says_so() {
    let (checkout, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fake(
        checkout.path(),
        "all:\n\t@echo 'a.c:1: error: no' >&2; exit 1\n",
    );
    let sandbox = Sandbox::new().unwrap();
    let built = of_checkout(&sandbox, checkout.path(), dir.path())
        .await
        .unwrap();
    let Step::Failed(line) = built else {
        panic!("{built:?}");
    };
    assert!(
        line.starts_with("fstests cannot be built: a.c:1: error: no"),
        "{line}"
    );
}
