//! Mirrors, with real git on both sides.

mod fixture;
mod histories;
mod http;

use std::process::Command;
use std::time::Instant;

use firstbad_server::repo::{RepoError, Repos};
use fixture::{Fixture, git};

#[tokio::test]
async fn references_resolve_to_commits() {
    let f = Fixture::new().await;
    let short = &f.ids[2][..10];
    for (reference, at) in [
        ("v1", 0),
        ("v2", 5),
        ("main", 5),
        ("side", 3),
        ("refs/heads/side", 3),
        ("HEAD", 5),
        (f.ids[4].as_str(), 4),
        (short, 2),
        ("v2~1", 4),
        ("main~1^2", 3),
    ] {
        let resolved = f.repos.resolve("linux", reference).await.unwrap();
        assert_eq!(resolved.rev, f.ids[at], "{reference}");
    }
    assert_eq!(
        f.repos.resolve("linux", "v1").await.unwrap().subject,
        "base"
    );
    let zeros = "0".repeat(40);
    for unknown in [
        "v3",
        "abcdef0",
        "main~99",
        zeros.as_str(),
        "FETCH_HEAD",
        "é",
    ] {
        let error = f.repos.resolve("linux", unknown).await.unwrap_err();
        assert!(
            matches!(error, RepoError::UnknownRef { .. }),
            "{unknown}: {error}"
        );
    }
    let long = "v".repeat(201);
    for bad in [
        "",
        "-v1",
        "--output=x",
        "v1..v2",
        "v1\nv2",
        "v1 v2",
        "a\0b",
        "main@{1}",
        "main:fs",
        "^main",
        "v1^{tree}",
        "main^{/x}",
        ":/x",
        "v*",
        long.as_str(),
    ] {
        let error = f.repos.resolve("linux", bad).await.unwrap_err();
        assert!(matches!(error, RepoError::BadRef { .. }), "{bad}: {error}");
    }
    for tree in ["other", "../trees/linux", "", "linux.git", "Linux"] {
        let error = f.repos.resolve(tree, "v1").await.unwrap_err();
        assert_eq!(error, RepoError::NotFound, "{tree}");
    }
    let refs = f.repos.refs("linux", 10).await.unwrap();
    let mut names: Vec<&str> = refs.iter().map(|r| r.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["main", "side", "v1", "v2"]);
    let v1 = refs.iter().find(|r| r.name == "v1").unwrap();
    assert_eq!(
        (v1.rev.as_str(), v1.subject.as_str()),
        (f.ids[0].as_str(), "base")
    );
    assert_eq!(f.repos.refs("linux", 2).await.unwrap().len(), 2);
    assert_eq!(f.repos.refs("linux", usize::MAX).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_fetch_follows_its_source_and_failures_change_nothing() {
    let mut f = Fixture::new().await;
    git(&f.source(), &["branch", "-q", "-D", "side"]);
    f.write("fs/file.c", "new\n");
    f.commit("fs: new");
    // Not mirrored: it would rewrite history for every reader.
    git(&f.source(), &["replace", &f.ids[1], &f.ids[2]]);
    let (one, two) = tokio::join!(f.fetch(), f.fetch());
    one.unwrap();
    two.unwrap();
    assert_eq!(
        f.repos.resolve("linux", "main").await.unwrap().rev,
        f.ids[6]
    );
    assert!(f.repos.resolve("linux", "side").await.is_err());
    assert!(!f.repos.path("linux").join("refs/replace").exists());
    assert!(
        f.repos
            .path("linux")
            .join("objects/info/commit-graphs")
            .exists()
    );

    let missing = f.temp.path().join("missing");
    for url in [
        missing.to_str().unwrap(),
        "relative/path",
        "ssh://git@host/x",
        "git://host/x",
        "ext::sh -c id",
        "--upload-pack=id",
        "http://example.org/x.git",
        "http://127.0.0.1@example.org/x.git",
        "file:///etc",
        "",
    ] {
        let error = f.repos.fetch("fresh", url).await.unwrap_err();
        assert!(matches!(error, RepoError::Fetch { .. }), "{url}: {error}");
        let again = f.repos.fetch("linux", url).await.unwrap_err();
        assert!(matches!(again, RepoError::Fetch { .. }), "{url}: {again}");
    }
    let error = f
        .repos
        .fetch("fresh", "http://me:secret@127.0.0.1:1/x")
        .await
        .unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    let names: Vec<_> = std::fs::read_dir(f.temp.path().join("trees"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["linux.git"]);
    assert_eq!(
        f.repos.resolve("linux", "main").await.unwrap().rev,
        f.ids[6]
    );

    f.repos.remove("linux").await.unwrap();
    assert_eq!(f.repos.remove("linux").await, Err(RepoError::NotFound));
    assert_eq!(
        std::fs::read_dir(f.temp.path().join("trees"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn commits_weigh_what_their_heaviest_file_weighs() {
    let mut f = Fixture::new().await;
    f.write(
        "fs/super.c",
        "int a_mount(void);\n\nstatic int a_mount(void)\n{\n\treturn 0;\n}\n",
    );
    f.commit("fs: mount");
    f.fetch().await.unwrap();
    let tip = f.repos.resolve("linux", "main").await.unwrap().rev;
    let good = [f.ids[0].clone()];
    let weight = |path: &str| match path {
        "fs/file.c" => 64,
        path if path.starts_with("fs/") => 16,
        _ => 1,
    };
    let heaviest = f.repos.heaviest("linux", &good, &tip, false, weight).await;
    let heaviest = heaviest.unwrap();
    assert_eq!(heaviest.get(&tip), Some(&16));
    let at = |i: usize| heaviest.get(&f.ids[i]).copied();
    // As in the range below: the second and the fifth touch fs, the fourth is a clean merge.
    assert_eq!((at(2), at(3), at(4)), (Some(64), Some(1), None));
    let line = f.repos.heaviest("linux", &good, &tip, true, weight).await;
    assert!(line.unwrap().contains_key(&f.ids[4]));

    let found = async |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        f.repos.defining("linux", &tip, &names).await.unwrap()
    };
    assert_eq!(found(&["a_mount", "nobody"]).await, ["fs/super.c"]);
    assert!(found(&["mount"]).await.is_empty());
    assert!(found(&[]).await.is_empty());
}

#[tokio::test]
async fn a_range_is_the_whole_graph_between_good_and_bad() {
    let f = Fixture::new().await;
    let good = [f.ids[0].clone()];
    let range = f
        .repos
        .range("linux", &good, &f.ids[5], false, &[])
        .await
        .unwrap();
    assert_eq!(range.len(), 5);
    assert_eq!(range[4].rev, f.ids[5]);
    assert_eq!(range[4].author, "Ada <ada@example.org>");
    assert!(range.iter().all(|c| c.eligible && c.when > 1_500_000_000));
    let position = |rev: &str| range.iter().position(|c| c.rev == rev).unwrap();
    let at = |i: usize| u32::try_from(position(&f.ids[i])).unwrap();
    assert!(range[position(&f.ids[1])].parents.is_empty());
    assert_eq!(range[position(&f.ids[4])].parents, [at(1), at(3)]);
    assert_eq!(range[position(&f.ids[4])].subject, "Merge side");
    for (i, c) in range.iter().enumerate() {
        assert!(c.parents.iter().all(|p| (*p as usize) < i));
        assert_eq!(c.tree_oid, f.repos.tree_oid("linux", &c.rev).await.unwrap());
    }
    let eligible = async |first_parent, paths: &[&str]| -> Vec<usize> {
        let paths: Vec<String> = paths.iter().map(|p| (*p).to_owned()).collect();
        let range = f
            .repos
            .range("linux", &good, &f.ids[5], first_parent, &paths)
            .await
            .unwrap();
        assert_eq!(range.len(), 5);
        let mut kept: Vec<usize> = range
            .iter()
            .filter(|c| c.eligible)
            .map(|c| f.ids.iter().position(|id| *id == c.rev).unwrap())
            .collect();
        kept.sort_unstable();
        kept
    };
    assert_eq!(eligible(false, &["fs"]).await, [2, 5]);
    assert_eq!(eligible(false, &["fs/file.c", "drivers/"]).await, [2, 3, 5]);
    assert_eq!(
        eligible(false, &[":(exclude)fs", "--all"]).await,
        [0_usize; 0]
    );
    assert_eq!(eligible(true, &[]).await, [1, 4, 5]);
    assert_eq!(eligible(true, &["fs"]).await, [5]);
    let two = [f.ids[1].clone(), f.ids[2].clone()];
    assert_eq!(
        f.repos
            .range("linux", &two, &f.ids[5], false, &[])
            .await
            .unwrap()
            .len(),
        3
    );
    let same = [f.ids[5].clone()];
    assert!(
        f.repos
            .range("linux", &same, &f.ids[5], false, &[])
            .await
            .unwrap()
            .is_empty()
    );
    let name = ["v1".to_owned()];
    assert!(
        f.repos
            .range("linux", &name, &f.ids[5], false, &[])
            .await
            .is_err()
    );

    let r = &f.repos;
    assert!(r.is_ancestor("linux", &f.ids[2], &f.ids[5]).await.unwrap());
    assert!(!r.is_ancestor("linux", &f.ids[1], &f.ids[3]).await.unwrap());
    let base = r.merge_base("linux", &f.ids[1], &f.ids[3]).await.unwrap();
    assert_eq!(base.as_ref(), Some(&f.ids[0]));
    assert!(r.is_ancestor("linux", "v1", &f.ids[3]).await.is_err());
}

#[tokio::test]
async fn a_commit_tells_its_files_and_diff() {
    let f = Fixture::new().await;
    let info = f.repos.commit("linux", &f.ids[2]).await.unwrap();
    assert_eq!(info.subject, "fs: change the second line");
    assert_eq!(info.body, "Because.");
    assert_eq!(info.parents, [f.ids[0].clone()]);
    assert_eq!(info.files.len(), 1);
    assert_eq!(info.files[0].path, "fs/file.c");
    assert_eq!(
        (info.files[0].added, info.files[0].removed),
        (Some(1), Some(1))
    );
    let root = f.repos.commit("linux", &f.ids[0]).await.unwrap();
    assert_eq!(root.files.len(), 2);
    let merge = f.repos.commit("linux", &f.ids[4]).await.unwrap();
    assert_eq!(merge.files.len(), 2);
    let diff = f.repos.diff("linux", &f.ids[2], 10_000).await.unwrap();
    assert!(diff.contains("-two\n+2\n"), "{diff}");
    let cut = f.repos.diff("linux", &f.ids[2], 20).await.unwrap();
    assert!(cut.contains("cut here"), "{cut}");
    let unknown = f.repos.commit("linux", &"0".repeat(40)).await.unwrap_err();
    assert!(matches!(unknown, RepoError::UnknownRef { .. }), "{unknown}");
}

#[tokio::test]
async fn patches_are_tried_without_touching_the_mirror() {
    let f = Fixture::new().await;
    let check = async |patches: &[&String]| {
        let patches: Vec<String> = patches.iter().map(|p| (*p).clone()).collect();
        f.repos.check_patches("linux", &f.ids[5], &patches).await
    };
    let one = f.diff(|d| std::fs::write(d.join("fs/file.c"), "1\n2\nthree\nfour\n").unwrap());
    let mail = git(&f.source(), &["format-patch", "--stdout", "-1", "v2"]) + "\n";
    let reverse = git(&f.source(), &["diff", "v2", "v2~1"]) + "\n";
    let objects = || git(&f.repos.path("linux"), &["count-objects", "-v"]);
    let before = objects();
    check(&[&one]).await.unwrap();
    check(&[&reverse, &mail]).await.unwrap();
    let twice = check(&[&one, &one]).await.unwrap_err();
    assert!(
        matches!(twice, RepoError::PatchDoesNotApply { index: 1, .. }),
        "{twice}"
    );
    assert!(twice.to_string().contains("fs/file.c"), "{twice}");

    let link = f.diff(|d| std::os::unix::fs::symlink("/etc/passwd", d.join("link")).unwrap());
    let binary = f.diff(|d| std::fs::write(d.join("blob"), [0, 1, 2, 0]).unwrap());
    let hook = one.replace("fs/file.c", ".git/config");
    let outside = one.replace("fs/file.c", "../file.c");
    let module = "diff --git a/m b/m\nnew file mode 160000\nindex 0000000..1111111\n--- /dev/null\n\
         +++ b/m\n@@ -0,0 +1 @@\n+Subproject commit 1111111111111111111111111111111111111111\n";
    let words = "please fix this\n".to_owned();
    let torn = one[..one.len() - 5].to_owned();
    let huge = "x".repeat(firstbad_api::limits::PATCH_BYTES + 1);
    let nul = format!("{one}\0");
    for patch in [
        &link,
        &binary,
        &module.to_owned(),
        &words,
        &torn,
        &huge,
        &nul,
    ] {
        let shown: String = patch.chars().take(200).collect();
        let error = check(&[patch]).await.unwrap_err();
        assert!(
            matches!(error, RepoError::BadPatch { index: 0, .. }),
            "{error}: {shown}"
        );
    }
    for patch in [&hook, &outside] {
        let error = check(&[patch]).await.unwrap_err();
        assert!(!matches!(error, RepoError::Failed(_)), "{error}");
    }
    let error = check(&vec![&mail; 33]).await.unwrap_err();
    assert!(
        matches!(error, RepoError::BadPatch { index: 32, .. }),
        "{error}"
    );
    assert_eq!(objects(), before);
    assert_eq!(
        std::fs::read_dir(f.temp.path().join("trees"))
            .unwrap()
            .count(),
        1
    );
}

#[tokio::test]
async fn configuration_symbols_are_known_or_named() {
    let f = Fixture::new().await;
    let wanted = ["CONFIG_BTRFS_FS", "MENU", "CONFIG_NOPE"].map(str::to_owned);
    let unknown = f
        .repos
        .unknown_symbols("linux", &f.ids[5], &wanted)
        .await
        .unwrap();
    assert_eq!(unknown, ["CONFIG_NOPE"]);

    let text = "# a comment\n\nCONFIG_A=y\n  CONFIG_B=m\r\n# CONFIG_C is not set\nCONFIG_D=\"a \\\"b\\\"\"\n\
        CONFIG_E=0x1F\nCONFIG_F=-3\n";
    let symbols = Repos::parse_fragment(text).unwrap();
    assert_eq!(
        symbols,
        [
            "CONFIG_A", "CONFIG_B", "CONFIG_C", "CONFIG_D", "CONFIG_E", "CONFIG_F"
        ]
    );
    for (bad, line) in [
        ("CONFIG_A", 1),
        ("\nA=y", 2),
        ("CONFIG_A=", 1),
        ("CONFIG_A=yes", 1),
        ("CONFIG_A =y", 1),
        ("CONFIG_A=\"x", 1),
        ("CONFIG_A=\"x\"y\"", 1),
        ("CONFIG_A=\"x\\\"", 1),
        ("CONFIG_A=y\nCONFIG_B=\"$(shell id)\"", 2),
        ("CONFIG_A=\"`id`\"", 1),
        ("CONFIG_A-B=y", 1),
        ("include x", 1),
    ] {
        assert_eq!(Repos::parse_fragment(bad).unwrap_err().0, line, "{bad}");
    }
}

#[tokio::test]
async fn a_long_range_is_read_in_seconds() {
    let temp = tempfile::tempdir().unwrap();
    let source = temp.path().join("source");
    std::fs::create_dir(&source).unwrap();
    git(&source, &["init", "-q", "--bare", "-b", "main"]);
    // 65,000 commits, every tenth one a merge.
    let mut stream = String::from("blob\nmark :1\ndata 2\nx\n\n");
    let count = 65_000;
    for n in 2..count + 2 {
        let side = if n > 22 && n % 10 == 0 {
            format!("merge :{}\n", n - 15)
        } else {
            String::new()
        };
        let from = if n > 2 {
            format!("from :{}\n", n - 1)
        } else {
            String::new()
        };
        let path = if n % 3 == 0 { "fs/a" } else { "drivers/a" };
        let text = format!("commit {n}");
        stream.push_str(&format!(
            "commit refs/heads/main\nmark :{n}\ncommitter A <a@b> {} +0000\ndata {}\n{text}\n\
             {from}{side}M 100644 :1 {path}{}\n",
            1_600_000_000 + n,
            text.len(),
            n % 50
        ));
    }
    std::fs::write(temp.path().join("stream"), stream).unwrap();
    let input = std::fs::File::open(temp.path().join("stream")).unwrap();
    let mut import = Command::new("git");
    import
        .args(["fast-import", "--quiet"])
        .current_dir(&source)
        .stdin(input);
    assert!(import.status().unwrap().success());
    let repos = Repos::new(temp.path().join("trees"));
    let begun = Instant::now();
    repos.fetch("long", source.to_str().unwrap()).await.unwrap();
    println!("first fetch of {count} commits: {:?}", begun.elapsed());
    let bad = repos.resolve("long", "main").await.unwrap().rev;
    let begun = Instant::now();
    let range = repos
        .range("long", &[], &bad, false, &["fs".to_owned()])
        .await
        .unwrap();
    println!("range of {count} commits: {:?}", begun.elapsed());
    assert_eq!(range.len(), count);
    assert!(begun.elapsed().as_secs() < 10);
    let merges = range.iter().filter(|c| c.parents.len() == 2).count();
    assert!(merges > 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_says_which_merge_brought_it_and_which_tag_has_it_first() {
    let f = Fixture::new().await;
    let (repos, head) = (&f.repos, &f.ids[5]);
    let merge = async |at: usize| repos.brought_by("linux", &f.ids[at], head).await.unwrap();
    let brought = Some((f.ids[4].clone(), "Merge side".to_owned()));
    assert_eq!(merge(2).await, brought);
    assert_eq!(merge(3).await, brought);
    // On the first parents themselves, and the end itself.
    assert_eq!(merge(5).await, None);
    let tag = async |at: usize| repos.first_tag("linux", &f.ids[at]).await.unwrap();
    assert_eq!(tag(0).await.as_deref(), Some("v1"));
    assert_eq!(tag(2).await.as_deref(), Some("v2"));
}
