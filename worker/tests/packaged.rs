//! A kernel out of a package: real packages, made here, unpacked in the real sandbox.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use firstbad_api::lease::{BuildWork, ConfigBase, ConfigRequest, Fragment, Packaged};
use firstbad_worker::buildlog::BuildLog;
use firstbad_worker::error::InfraError;
use firstbad_worker::kbuild::{Built, Step};
use firstbad_worker::packaged::unpack;
use firstbad_worker::process::Until;
use firstbad_worker::sandbox::Sandbox;

fn run(command: &mut Command) {
    let done = command.output().expect("scripts/setup.sh installs it");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {said}");
}

/// An object file that says of itself what a module does.
fn module(dir: &Path, name: &str, needs: &str) {
    let source = dir.join(format!("{name}.c"));
    let text = format!(
        "__attribute__((section(\".modinfo\"), used)) static const char a[] = \"depends={needs}\";\n\
         __attribute__((section(\".modinfo\"), used)) static const char n[] = \"name={name}\";\n\
         __attribute__((section(\".modinfo\"), used)) static const char l[] = \"alias=crypto-{name}\";\n\
         extern int {needs}_entry(void);\n\
         int {name}_entry(void) {{ return {call}; }}\n\
         __attribute__((section(\"__ksymtab_strings\"), used)) \
         static const char s[] = \"{name}_entry\";\n\
         asm(\".globl __ksymtab_{name}_entry\\n__ksymtab_{name}_entry: .quad 0\\n\");\n",
        call = if needs.is_empty() {
            "0".to_owned()
        } else {
            format!("{needs}_entry()")
        },
    );
    let text = text.replace("extern int _entry(void);\n", "");
    fs::write(&source, text).unwrap();
    let object = dir.join(format!("{name}.ko"));
    run(Command::new("gcc")
        .arg("-c")
        .arg("-o")
        .arg(&object)
        .arg(&source));
    fs::remove_file(source).unwrap();
}

/// `packages/NAME.deb` with the files that `fill` puts into its root.
fn package(source: &Path, name: &str, fill: impl Fn(&Path)) {
    let root = source.join(format!("root-{name}"));
    fs::create_dir_all(root.join("DEBIAN")).unwrap();
    let control = format!(
        "Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: A <a@example.org>\nDescription: t\n"
    );
    fs::write(root.join("DEBIAN/control"), control).unwrap();
    fill(&root);
    fs::create_dir_all(source.join("packages")).unwrap();
    let to = source.join(format!("packages/{name}.deb"));
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .arg(&root)
        .arg(to));
    fs::remove_dir_all(root).unwrap();
}

async fn unpacked(fill: impl Fn(&Path)) -> (tempfile::TempDir, Step<Built>) {
    let (home, step) = unpacked_in(fill, |_| {}).await;
    (home, step.unwrap())
}

/// The same, after `prepare` has seen the scratch directory.
async fn unpacked_in(
    fill: impl Fn(&Path),
    prepare: impl Fn(&Path),
) -> (tempfile::TempDir, Result<Step<Built>, InfraError>) {
    let home = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(home.path(), open).unwrap();
    let source = home.path().join("source");
    fs::create_dir(&source).unwrap();
    fill(&source);
    let scratch = home.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    prepare(&scratch);
    let until = Until {
        deadline: tokio::time::Instant::now() + Duration::from_secs(60),
        cancel: tokio_util::sync::CancellationToken::new(),
    };
    let sandbox = Sandbox::new().unwrap();
    let mut log = BuildLog::create(&scratch.join("build.log")).unwrap();
    let packaged = Packaged {
        modules: ["crypto-hash", "disk", "none"].map(str::to_owned).into(),
    };
    let work = BuildWork {
        tree: "fixture".to_owned(),
        rev: "0".to_owned(),
        config: ConfigRequest {
            base: ConfigBase::Tinyconfig,
            fragments: vec![Fragment {
                name: "user".to_owned(),
                text: "CONFIG_EXT4_FS=y\nCONFIG_OVERLAY_FS=y\nCONFIG_BTRFS_FS=y\n".to_owned(),
            }],
        },
        fixups: vec![],
        packaged: Some(packaged.clone()),
        kselftest: vec![],
        kselftest_rev: None,
        fstests: None,
        deadline_s: 60,
    };
    let step = unpack(
        &sandbox, &work, &packaged, &source, &scratch, &mut log, &until,
    )
    .await;
    (home, step)
}

/// A small disk; gone with this.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> SmallDisk {
        fs::create_dir(at).unwrap();
        let size = ["-t", "tmpfs", "-o", "size=512k", "small"];
        run(Command::new("mount").args(size).arg(at));
        SmallDisk(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_no_failure_of_the_packages() {
    let disk = std::cell::OnceCell::new();
    let large = |source: &Path| {
        package(source, "linux-image", |root| {
            let lib = root.join("usr/lib/modules/9.9.9-cloud");
            fs::create_dir_all(&lib).unwrap();
            fs::write(lib.join("vmlinuz"), vec![7; 4 << 20]).unwrap();
        })
    };
    let full = |scratch: &Path| {
        let _first = disk.set(SmallDisk::mount(&scratch.join("unpacked")));
    };
    let (_home, step) = unpacked_in(large, full).await;
    let why = step.unwrap_err().to_string();
    drop(disk);
    let said = ["the disk is full", "No space left on device"];
    assert!(said.iter().any(|s| why.contains(s)), "{why}");
}

#[tokio::test]
async fn image_configuration_and_modules_in_the_order_they_are_loaded() {
    let (_home, step) = unpacked(|source| {
        package(source, "linux-modules", |root| {
            let lib = root.join("usr/lib/modules/9.9.9-cloud");
            fs::create_dir_all(lib.join("kernel")).unwrap();
            for (name, needs) in [
                ("hash", ""),
                ("queue", ""),
                ("disk", "queue"),
                ("other", ""),
            ] {
                module(&lib.join("kernel"), name, needs);
            }
            run(Command::new("xz").arg(lib.join("kernel/queue.ko")));
            fs::write(lib.join("config"), "CONFIG_EXT4_FS=y\nCONFIG_BTRFS_FS=m\n").unwrap();
        });
        package(source, "linux-binary", |root| {
            let lib = root.join("usr/lib/modules/9.9.9-cloud");
            fs::create_dir_all(&lib).unwrap();
            fs::write(lib.join("vmlinuz"), "an image").unwrap();
        });
    })
    .await;
    let Step::Done(built) = step else {
        panic!("{step:?}");
    };
    assert_eq!(fs::read_to_string(&built.image).unwrap(), "an image");
    assert_eq!(built.release, "9.9.9-cloud");
    assert_eq!(built.lost_symbols, ["CONFIG_OVERLAY_FS: wanted y, got n"]);
    let archive = fs::read(built.image.with_file_name(&built.archives[0].name)).unwrap();
    let text = String::from_utf8_lossy(&archive);
    let at = |name: &str| text.find(&format!("lib/firstbad/{name}\0")).unwrap();
    assert!(at("101-hash.ko") < at("102-queue.ko") && at("102-queue.ko") < at("103-disk.ko"));
    assert!(!text.contains("other.ko"));
}

#[tokio::test]
async fn packages_without_a_kernel_are_the_releases_failure() {
    for (said, name) in [
        ("none of these is in the packages", "usr/lib/modules/9.9.9"),
        ("no kernel", "usr/lib/modules"),
    ] {
        let (_home, step) = unpacked(|source| {
            package(source, "linux-image", |root| {
                fs::create_dir_all(root.join(name)).unwrap()
            });
        })
        .await;
        let Step::Failed(line) = step else {
            panic!("{step:?}");
        };
        assert!(line.contains(said), "{line}");
    }
}
