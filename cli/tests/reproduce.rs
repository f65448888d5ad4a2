//! A run of a real kernel, had as an archive and run again by its script alone.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use firstbad_api::observation::TestObservation;
use firstbad_server::reproduce::Parts;
use sha2::{Digest, Sha256};

fn wanted(name: &str) -> PathBuf {
    let value = std::env::var_os(name).unwrap_or_else(|| {
        panic!(
            "{name} is not set: run `make test`, which builds the kernel and the guest and sets it"
        )
    });
    PathBuf::from(value)
}

fn sha256(path: &Path) -> String {
    hex::encode(Sha256::digest(std::fs::read(path).unwrap()))
}

/// A file below a directory that has these bytes.
fn find(dir: &Path, hash: &str) -> Option<PathBuf> {
    let mut below: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    below.sort();
    below.into_iter().find_map(|path| match path.is_dir() {
        true => find(&path, hash),
        false => (path.is_file() && sha256(&path) == hash).then_some(path),
    })
}

#[test]
fn the_script_alone_sees_what_the_run_saw() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let image = wanted("FIRSTBAD_TEST_BZIMAGE");
    let ran = Command::new(env!("CARGO_BIN_EXE_firstbad"))
        .args(["run-suite", "btrfs/smoke", "--vcpus", "2", "--kernel"])
        .arg(&image)
        .arg("--dir")
        .arg(&run)
        .arg("--guest-dir")
        .arg(wanted("FIRSTBAD_TEST_GUEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let why = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{why}");
    let kept = Command::new("sh").arg(run.join("run.sh")).output().unwrap();
    let said = String::from_utf8_lossy(&kept.stdout);
    assert!(kept.status.success(), "{kept:?}");
    assert!(said.ends_with("console: OK\n"), "{said}");
    let seen = std::fs::read(run.join("results.json")).unwrap();
    let seen: TestObservation = serde_json::from_slice(&seen).unwrap();
    let initramfs = find(&run, &seen.run.initramfs_sha256).unwrap();
    let parts = Parts {
        attempt: 7,
        tree: "test".to_owned(),
        rev: "0".repeat(40),
        suite: "btrfs/smoke".to_owned(),
        image,
        config: None,
        initramfs: vec![initramfs],
        seen,
    };
    assert_eq!(parts.missing(), None);
    let tar = dir.path().join("it.tar");
    parts.write(std::fs::File::create(&tar).unwrap()).unwrap();
    let unpacked = Command::new("tar")
        .arg("xf")
        .arg(&tar)
        .current_dir(dir.path())
        .status();
    assert!(unpacked.unwrap().success());
    let script = dir.path().join(parts.directory()).join("run.sh");
    let again = || {
        let output = Command::new(&script).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, said) = again();
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("identical: the console is the recorded one"),
        "{said}"
    );
    // Another kernel is not run in its place.
    std::fs::write(script.with_file_name("bzImage"), "other").unwrap();
    let (code, said) = again();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("not those that were recorded"), "{said}");
}
