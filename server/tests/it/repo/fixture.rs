//! A small source repository with a side branch, and its mirror.

use std::path::{Path, PathBuf};
use std::process::Command;

use firstbad_server::repo::{RepoError, Repos};

/// A source repository and the mirrors made of it.
pub struct Fixture {
    pub temp: tempfile::TempDir,
    pub repos: Repos,
    /// Commits in the order they were made.
    pub ids: Vec<String>,
}

pub fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Ada")))
        .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "ada@example.org")))
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {err}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Fixture {
    /// main: 0 - 1 - 4(merge of 3) - 5; side: 0 - 2 - 3. Tags v1 at 0 (annotated) and v2 at 5.
    pub async fn new() -> Fixture {
        let temp = tempfile::tempdir().unwrap();
        let source = temp.path().join("source");
        std::fs::create_dir(&source).unwrap();
        git(&source, &["init", "-q", "-b", "main"]);
        let mut fixture = Fixture {
            repos: Repos::new(temp.path().join("trees")),
            temp,
            ids: Vec::new(),
        };
        fixture.write(
            "fs/btrfs/Kconfig",
            "config BTRFS_FS\n\ttristate \"Btrfs\"\n\nmenuconfig  MENU\n",
        );
        fixture.write("fs/file.c", "one\ntwo\nthree\n");
        fixture.commit("base");
        git(
            &fixture.source(),
            &["tag", "-a", "-m", "first release", "v1"],
        );
        fixture.write("Documentation/a.rst", "text\n");
        fixture.commit("docs: say it");
        git(&fixture.source(), &["checkout", "-q", "-b", "side", "v1"]);
        fixture.write("fs/file.c", "one\n2\nthree\n");
        fixture.commit("fs: change the second line");
        fixture.write("drivers/x.c", "x\n");
        fixture.commit("drivers: x");
        git(&fixture.source(), &["checkout", "-q", "main"]);
        git(
            &fixture.source(),
            &["merge", "-q", "--no-ff", "-m", "Merge side", "side"],
        );
        fixture.note();
        fixture.write("fs/file.c", "one\n2\nthree\nfour\n");
        fixture.commit("fs: add a line");
        git(&fixture.source(), &["tag", "v2"]);
        fixture.fetch().await.unwrap();
        fixture
    }

    pub fn source(&self) -> PathBuf {
        self.temp.path().join("source")
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.source().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn commit(&mut self, subject: &str) {
        git(&self.source(), &["add", "-A"]);
        git(
            &self.source(),
            &["commit", "-q", "-m", &format!("{subject}\n\nBecause.")],
        );
        self.note();
    }

    fn note(&mut self) {
        self.ids.push(git(&self.source(), &["rev-parse", "HEAD"]));
    }

    pub async fn fetch(&self) -> Result<(), RepoError> {
        self.repos
            .fetch("linux", self.source().to_str().unwrap())
            .await
    }

    pub fn diff(&self, edit: impl FnOnce(&Path)) -> String {
        edit(&self.source());
        git(&self.source(), &["add", "-A"]);
        let diff = git(&self.source(), &["diff", "--cached", "--binary"]) + "\n";
        git(&self.source(), &["reset", "-q", "--hard"]);
        diff
    }
}
