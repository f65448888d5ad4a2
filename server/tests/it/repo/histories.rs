//! Series and configurations, written as commits of a mirror.

use firstbad_api::tree::CONFIG_PATH;
use firstbad_server::kconfig::{self, Steps};
use firstbad_server::repo::RepoError;

use super::fixture::{Fixture, git};
use super::http::{fetched, serve};

/// `n` commits on a branch of the source that the mirror does not have, as an mbox on top of v2.
fn series(f: &Fixture, n: usize) -> String {
    let source = f.source();
    git(&source, &["checkout", "-q", "-b", "topic", "v2"]);
    for i in 0..n {
        f.write(&format!("fs/new{i}.c"), &format!("{i}\n"));
        f.write("fs/file.c", &format!("one\n2\nthree\nfour\n{i}\n"));
        git(&source, &["add", "-A"]);
        let subject = format!("fs: step {i}\n\nBecause of Zoë.\n\nFixes: 123456789012 (\"x\")");
        git(&source, &["commit", "-q", "-m", &subject]);
    }
    let args = ["format-patch", "--stdout", "--cover-letter", "-v3", "v2"];
    let mbox = git(&source, &args) + "\n";
    git(&source, &["checkout", "-q", "main"]);
    mbox
}

fn in_mirror(f: &Fixture, args: &[&str]) -> String {
    git(&f.repos.path("linux"), args)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_series_becomes_commits_that_stay_and_can_be_fetched() {
    let f = Fixture::new().await;
    let mbox = series(&f, 5);
    let write = async |squash| {
        let written = f.repos.write_series("linux", &f.ids[5], &mbox, squash);
        written.await.unwrap().history
    };
    let history = write(false).await;
    let subjects: Vec<&str> = history.commits.iter().map(|c| c.subject.as_str()).collect();
    let expected = [0, 1, 2, 3, 4].map(|i| format!("fs: step {i}"));
    assert_eq!(subjects, expected);
    assert_eq!(history.base, f.ids[5]);
    assert_eq!(history.tip, history.commits[4].rev);
    let info = f
        .repos
        .commit("linux", &history.commits[2].rev)
        .await
        .unwrap();
    assert_eq!(
        (info.author.as_str(), info.ours),
        ("Ada <ada@example.org>", true)
    );
    assert_eq!(info.body, "Because of Zoë.\n\nFixes: 123456789012 (\"x\")");
    assert_eq!(info.parents, [history.commits[1].rev.clone()]);
    let paths: Vec<&str> = info.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["fs/file.c", "fs/new2.c"]);
    let told = in_mirror(&f, &["log", "-1", "--format=%cn %ce|%ad|%cd", &history.tip]);
    let mut parts = told.split('|');
    assert_eq!(parts.next(), Some("firstbad firstbad@localhost"));
    assert_eq!(parts.next(), parts.next());
    let same = |rev: &str| in_mirror(&f, &["rev-parse", &format!("{rev}^{{tree}}")]);
    assert_eq!(
        same(&history.tip),
        git(&f.source(), &["rev-parse", "topic^{tree}"])
    );

    // The same once more is the same, and costs no object.
    let objects = || in_mirror(&f, &["count-objects", "-v"]);
    let before = objects();
    assert_eq!(write(false).await, history);
    assert_eq!(objects(), before);
    let squashed = write(true).await;
    assert_eq!(squashed.commits.len(), 1);
    assert_eq!(squashed.commits[0].subject, "*** SUBJECT HERE ***");
    assert_eq!(same(&squashed.tip), same(&history.tip));

    // A fetch that prunes and a collection leave them, and a range goes through them.
    git(&f.source(), &["branch", "-q", "-D", "topic", "side"]);
    f.fetch().await.unwrap();
    in_mirror(&f, &["gc", "-q", "--prune=now"]);
    let kept = f.repos.resolve("linux", &history.reference).await.unwrap();
    assert_eq!(kept.rev, history.tip);
    let goods = [f.ids[4].clone()];
    let range = f.repos.range("linux", &goods, &history.tip, false, &[]);
    assert_eq!(range.await.unwrap().len(), 6);
    let refs = f.repos.refs("linux", usize::MAX).await.unwrap();
    assert_eq!(
        refs.len(),
        3,
        "references of ours are not the tree's: {refs:?}"
    );
    let url = format!("{}/linux.git", serve(&f.repos).await);
    for rev in [&history.commits[1].rev, &history.tip] {
        assert!(fetched(&f, &url, rev).await, "{rev}");
    }
    let left = std::fs::read_dir(f.temp.path().join("trees"))
        .unwrap()
        .count();
    assert_eq!(left, 1, "scratch directories are removed");
}

const DIFF: &str = "diff --git a/fs/file.c b/fs/file.c\n--- a/fs/file.c\n+++ b/fs/file.c\n\
    @@ -1,2 +1,2 @@\n-one\n+1\n 2\n";

fn mail(subject: &str, body: &str) -> String {
    format!(
        "From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001\n\
         From: Ada <ada@example.org>\nDate: Thu, 1 Jan 2026 10:00:00 +0100\n\
         Subject: {subject}\n\nWhy.\n---\n{body}-- \n2.47\n\n"
    )
}

#[tokio::test]
async fn odd_headers_are_read_and_hold_nothing_that_git_would_take_for_more() {
    let f = Fixture::new().await;
    let written = async |mbox: &str| {
        let series = f.repos.write_series("linux", &f.ids[5], mbox, false).await;
        series.map(|s| s.history)
    };
    // One mail without a line "From …" before it, encoded, with line ends of another system.
    let odd = "From: =?UTF-8?q?Zo=C3=AB_=0Acommitter_evil?= <zoe@example.org>\r\n\
         Date: Thu, 1 Jan 2026 10:00:00\r\n\
         Subject: [PATCH] =?UTF-8?q?fs=3A_=E2=82=AC_=0Aparent_x?=\r\n  $(id) `id` 'x'\r\n\r\n\
         -F /etc/passwd\r\n---\r\n"
        .to_owned()
        + &DIFF.replace('\n', "\r\n");
    let history = written(&odd).await.unwrap();
    assert_eq!(history.commits.len(), 1);
    let raw = in_mirror(&f, &["cat-file", "commit", &history.tip]);
    let mut lines = raw.lines().skip(1);
    assert_eq!(lines.next(), Some(format!("parent {}", f.ids[5]).as_str()));
    let author = lines.next().unwrap();
    assert!(author.starts_with("author Zoë committer evil <"), "{raw}");
    assert!(
        author.ends_with("<zoe@example.org> 1767261600 +0000"),
        "{raw}"
    );
    assert!(
        lines.next().unwrap().starts_with("committer firstbad <"),
        "{raw}"
    );
    assert!(raw.contains("$(id) `id` 'x'"), "{raw}");
    assert!(raw.ends_with("-F /etc/passwd"), "{raw}");
    assert_eq!(written(&odd).await.unwrap(), history);
}

#[tokio::test]
async fn a_series_that_is_refused_names_the_patch_and_changes_nothing() {
    let f = Fixture::new().await;
    let objects = || in_mirror(&f, &["count-objects", "-v"]);
    let before = objects();
    let good = mail("[PATCH 1/2] fs: first", DIFF);
    let link = "diff --git a/link b/link\nnew file mode 120000\n--- /dev/null\n+++ b/link\n\
                @@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file\n";
    let binary = "diff --git a/x b/x\nnew file mode 100644\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\n";
    let second = |diff: &str| good.clone() + &mail("[PATCH 2/2] fs: second", diff);
    let headless = format!("Subject: x\n\n---\n{DIFF}");
    let undated = mail("x", DIFF).replace("Thu, 1 Jan 2026 10:00:00 +0100", "the day before");
    let nameless = mail("x", DIFF).replace("Ada <ada@example.org>", "<> <>");
    let hidden = "From: a <a@b>\nDate: Thu, 1 Jan 2026 10:00:00 +0100\nSubject: x\n\
                  Content-Transfer-Encoding: quoted-printable\n\n---\n"
        .to_owned()
        + &DIFF.replace("+1", "+1=00").replace("+++ ", "=2B++ ");
    for (mbox, number, said) in [
        (second(DIFF), 2, "does not apply"),
        (
            second(&DIFF.replace("fs/file.c", "../../etc/x")),
            2,
            "../../etc/x",
        ),
        (
            second(&DIFF.replace("fs/file.c", ".git/config")),
            2,
            ".git/config",
        ),
        (
            second(&DIFF.replace("fs/file.c", "fs/none.c")),
            2,
            "fs/none.c",
        ),
        (second(link), 2, "link is not a plain file"),
        (second(binary), 2, "it changes a binary file"),
        (second(&DIFF[..DIFF.len() - 6]), 2, "patch"),
        (second("no diff here\n"), 2, "it has no diff"),
        (mail("[PATCH 0/1] cover", ""), 1, "no mail with a diff"),
        ("please apply\n".to_owned(), 1, ""),
        (String::new(), 1, ""),
        (headless, 1, "no From: line"),
        (undated, 1, "invalid date"),
        (nameless, 1, ""),
        (hidden, 1, "NUL byte"),
        (mail("=?UTF-8?q?x=00y?=", DIFF), 1, "NUL byte"),
        (
            mail("x", DIFF).replace("Subject: x\n", ""),
            1,
            "no Subject: line",
        ),
        (good.repeat(257), 257, "more than 256 mails"),
        ("x".repeat((10 << 20) + 1), 1, "bytes"),
    ] {
        let shown: String = mbox.chars().take(600).collect();
        let refused = f.repos.write_series("linux", &f.ids[5], &mbox, false).await;
        let Err(error) = refused else {
            panic!("taken: {shown}")
        };
        assert!(
            matches!(
                error,
                RepoError::BadPatch { .. } | RepoError::PatchDoesNotApply { .. }
            ),
            "{error}: {shown}"
        );
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("patch {number} ")),
            "{text}: {shown}"
        );
        assert!(text.contains(said), "{text}: {shown}");
    }
    assert_eq!(objects(), before);
    assert_eq!(in_mirror(&f, &["for-each-ref", "refs/firstbad"]), "");
    let left = std::fs::read_dir(f.temp.path().join("trees"))
        .unwrap()
        .count();
    assert_eq!(left, 1);
}

async fn steps(f: &Fixture, rev: &str, good: &str, bad: &str) -> Steps {
    let symbols = f.repos.symbols("linux", rev).await.unwrap().unwrap();
    let read = |text: &str| kconfig::settings(text).unwrap();
    kconfig::steps(&read(good), &read(bad), &symbols)
}

#[tokio::test(flavor = "multi_thread")]
async fn configurations_become_commits_of_one_file() {
    let mut f = Fixture::new().await;
    assert_eq!(f.repos.symbols("linux", &f.ids[5]).await.unwrap(), None);
    f.write(
        "Kconfig",
        "config BLOCK\n\tbool \"b\"\nif BLOCK\nsource \"fs/btrfs/Kconfig\"\nendif\n",
    );
    // In the way of what is written.
    f.write(CONFIG_PATH, "CONFIG_FROM_THE_TREE=y\n");
    f.commit("Kconfig");
    f.fetch().await.unwrap();
    let rev = f.ids[6].clone();
    let (good, bad) = (
        "CONFIG_X=\"a\"\n# CONFIG_BLOCK is not set\n",
        "CONFIG_X=\"a\"\nCONFIG_BLOCK=y\nCONFIG_BTRFS_FS=m\n",
    );
    let write = async || {
        let steps = steps(&f, &rev, good, bad).await;
        f.repos.write_configs("linux", &rev, steps).await.unwrap()
    };
    let history = write().await;
    let subjects: Vec<&str> = history.commits.iter().map(|c| c.subject.as_str()).collect();
    assert_eq!(
        subjects,
        ["CONFIG_BLOCK: n -> y", "CONFIG_BTRFS_FS: n -> m"]
    );
    let file = |rev: &str| {
        let text = in_mirror(&f, &["show", &format!("{rev}:{CONFIG_PATH}")]);
        kconfig::settings(&text).unwrap()
    };
    let read = |text: &str| kconfig::settings(text).unwrap();
    let mut first = read(good);
    first.extend(read("CONFIG_BTRFS_FS=n\n"));
    assert_eq!(file(&history.base), first);
    assert_eq!(file(&history.tip), read(bad));
    let base = f.repos.commit("linux", &history.base).await.unwrap();
    assert_eq!(base.parents, std::slice::from_ref(&rev));
    let changed = f.repos.commit("linux", &history.tip).await.unwrap().files;
    assert_eq!((changed.len(), changed[0].path.as_str()), (1, CONFIG_PATH));
    assert_ne!(
        f.repos.tree_oid("linux", &history.base).await.unwrap(),
        f.repos.tree_oid("linux", &history.tip).await.unwrap(),
        "the tree is part of the build identity"
    );
    assert_eq!(write().await, history);
    assert_eq!(
        in_mirror(&f, &["for-each-ref", "refs/firstbad"])
            .lines()
            .count(),
        1
    );
    // One step taken back on the last: that is the last check of a named option.
    let one = &history.commits[0].rev;
    let patch = f
        .repos
        .revert("linux", one, &history.tip, &[])
        .await
        .unwrap();
    assert!(patch.contains("+# CONFIG_BLOCK is not set"), "{patch}");
    for (path, there) in [(CONFIG_PATH, true), (".firstbad", false), ("../x", false)] {
        let found = f.repos.has_file("linux", &history.tip, path).await.unwrap();
        assert_eq!(found, there, "{path}");
    }
    let url = format!("{}/linux.git", serve(&f.repos).await);
    assert!(fetched(&f, &url, one).await);
}
