//! The mail about a culprit, against what the kernel's documents ask of one.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use firstbad_api::report::Mail;
use serde_json::{Value, json};

use crate::common::{FakeWorker, Seen, TestServer, git, request};

const SERVER: &str = "https://bisect.example.org";
const CULPRIT: usize = 9;
const COMMITS: usize = 14;

const MAINTAINERS: &str = "\
List of maintainers
===================

BTRFS FILE SYSTEM
M:\tChris Mason <clm@example.org>
R:\tJérôme Müller <jm@example.org>
L:\tlinux-btrfs@vger.kernel.org
L:\tmembers@example.org (subscribers-only)
F:\tfs/btrfs/

EXT4 FILE SYSTEM
M:\tNot Told <ext4@example.org>
F:\tfs/ext4/

THE REST
M:\tLinus Torvalds <torvalds@linux-foundation.org>
L:\tlinux-kernel@vger.kernel.org
F:\t*
F:\t*/
";

/// A line of commits whose last maintainers are others than those of the culprit's time.
fn history(repo: &Path) -> Vec<String> {
    std::fs::create_dir_all(repo.join("fs/btrfs")).unwrap();
    git(repo, &["init", "-q", "-b", "main"]);
    let write = |path: &str, text: &str| std::fs::write(repo.join(path), text).unwrap();
    write("Kconfig", "config BTRFS_FS\n\tbool \"b\"\n");
    write("MAINTAINERS", "OLD\nM:\tGone <gone@example.org>\nF:\tfs/\n");
    let mut revs = vec![];
    for n in 0..COMMITS {
        write("fs/btrfs/super.c", &format!("{n}\n"));
        write(
            "Makefile",
            &format!("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = {}\n", n / 7),
        );
        if n + 1 == COMMITS {
            write("MAINTAINERS", MAINTAINERS);
        }
        git(repo, &["add", "."]);
        let subject = match n {
            CULPRIT => {
                "btrfs: drop the \"no\u{a0}longer\" needed check of a réserve before the transaction \
                        is joined, so that a subject is longer than one line of a mail"
            }
            _ => "btrfs: step",
        };
        let body = "Words about it.\n\nSigned-off-by: Ünal Ä. Öz <oz@example.org>\n\
                    Reviewed-by: \"Quincy, Q.\" <qq@example.org>\nReported-by: Hidden <hidden@example.org>\n\
                    Signed-off-by: Chris Mason <CLM@example.org>";
        let author = "--author=Ünal Ä. Öz <oz@example.org>";
        git(repo, &["commit", "-q", author, "-m", subject, "-m", body]);
        revs.push(git(repo, &["rev-parse", "HEAD"]));
    }
    git(repo, &["tag", "v6.12", &revs[0]]);
    git(repo, &["tag", "v6.12.1", &revs[COMMITS - 1]]);
    revs
}

async fn get(server: &TestServer, path: &str) -> reqwest::Response {
    let url = format!("{}{path}", server.url);
    server.http.get(url).send().await.unwrap()
}

async fn ended(server: &TestServer, more: Value) -> (i64, Vec<String>) {
    let repo = server.dir.path().join("linux");
    let revs = history(&repo);
    let tree = json!({ "name": "linux", "url": repo.to_str().unwrap() });
    assert!(server.post("/trees", &tree).await.status().is_success());
    let mut body = request("linux", "v6.12", "v6.12.1");
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let job = server.submit(&body).await;
    let mut worker = FakeWorker {
        config: Some(|_| "CONFIG_X=y\n"),
        ..server.register().await
    };
    let seen = |rev: &str, _: u64| {
        let at = revs.iter().position(|r| r == rev);
        match at.is_some_and(|at| at >= CULPRIT) {
            true => Seen::FailsAndWarns,
            false => Seen::Clean,
        }
    };
    worker.work_all(seen).await;
    (job, revs)
}

/// What Python's mail library reads in a message: headers decoded, and the text.
fn parsed(eml: &[u8]) -> Value {
    let script = "import email, email.policy, json, sys\n\
        m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)\n\
        box = lambda h: [[a.display_name, a.addr_spec] for a in m[h].addresses] if m[h] else []\n\
        print(json.dumps({'subject': m['subject'], 'to': box('to'), 'cc': box('cc'), 'from': box('from'),\n\
          'id': m['message-id'], 'kind': m.get_content_type(), 'text': m.get_content(),\n\
          'defects': [str(d) for h in m.keys() for d in m[h].defects] + [str(d) for d in m.defects]}))";
    let mut python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3: scripts/setup.sh installs it");
    python.stdin.take().unwrap().write_all(eml).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn the_mail_is_what_the_kernels_documents_ask_for() {
    let server = TestServer::start_as(false, Some(SERVER)).await;
    let (job, revs) = ended(&server, json!({})).await;
    let bad = &revs[CULPRIT];
    let from = "?from=Re%20Porter%20%3Cre%40example.org%3E";
    let mail: Mail = get(&server, &format!("/api/v1/jobs/{job}/mail{from}"))
        .await
        .json()
        .await
        .unwrap();
    let lines: Vec<&str> = mail.body.lines().collect();
    let at = |start: &str| lines.iter().position(|l| l.starts_with(start));
    let alone = |start: &str| {
        at(start).is_some_and(|n| {
            n > 0 && lines[n - 1].is_empty() && lines.get(n + 1).is_none_or(|l| l.is_empty())
        })
    };
    let once = |start: &str| lines.iter().filter(|l| l.starts_with(start)).count() == 1;
    let follows = |a: &str, b: &str| at(a).is_some() && at(a).map(|n| n + 1) == at(b);
    let copied = |who: &str| mail.cc.iter().any(|c| c == who);
    let fixes = lines[at("Fixes: ").unwrap()];
    let subject = git(
        &server.dir.path().join("linux"),
        &["log", "-1", "--format=%s", bad],
    );
    // Each rule is one of reporting-regressions.rst, handling-regressions.rst or
    // submitting-patches.rst of the kernel's documentation, in other words.
    let rules: Vec<(&str, bool)> = vec![
        (
            "the subject begins with [REGRESSION]",
            mail.subject.starts_with("[REGRESSION] "),
        ),
        (
            "the mail goes to who wrote the culprit",
            mail.to == ["\"Ünal Ä. Öz\" <oz@example.org>"],
        ),
        (
            "the list of regressions gets a copy",
            copied("regressions@lists.linux.dev"),
        ),
        (
            "within a stable series the list of stable gets one",
            copied("stable@vger.kernel.org"),
        ),
        (
            "everyone who signed the culprit off gets one, once",
            mail.cc
                .iter()
                .filter(|c| c.to_lowercase().contains("clm@example.org"))
                .count()
                == 1,
        ),
        ("so do reviewers", copied("\"Quincy, Q.\" <qq@example.org>")),
        (
            "nobody gets two, not even the author",
            !mail.cc.iter().any(|c| c.contains("oz@example.org")),
        ),
        (
            "nobody is told whom the culprit only thanks",
            !mail.cc.iter().any(|c| c.contains("hidden")),
        ),
        (
            "who looks after the files now gets one",
            copied("Jérôme Müller <jm@example.org>"),
        ),
        (
            "who did so once does not",
            !mail.cc.iter().any(|c| c.contains("gone@")),
        ),
        (
            "nor who looks after other files",
            !mail.cc.iter().any(|c| c.contains("ext4@")),
        ),
        (
            "the list of the subsystem gets one",
            copied("linux-btrfs@vger.kernel.org"),
        ),
        (
            "and that of everything",
            copied("linux-kernel@vger.kernel.org"),
        ),
        (
            "but not who looks after everything",
            !mail.cc.iter().any(|c| c.contains("torvalds")),
        ),
        (
            "nor a list that takes no mail of others",
            !mail.cc.iter().any(|c| c.contains("members@")),
        ),
        (
            "the version that worked is named",
            lines.contains(&format!("Worked with: v6.12 ({})", revs[0]).as_str()),
        ),
        (
            "the version that does not is named",
            lines.contains(&format!("Broken with: v6.12.1 ({})", revs[COMMITS - 1]).as_str()),
        ),
        (
            "the culprit is named in full",
            lines.contains(&format!("commit {bad}").as_str()),
        ),
        ("the tracker is told when it began, once", once("#regzbot ")),
        (
            "by the culprit's id",
            lines.contains(&format!("#regzbot introduced: {bad}").as_str()),
        ),
        ("in a paragraph of its own", alone("#regzbot ")),
        (
            "a fix should say Fixes: with 12 digits or more and the subject in brackets",
            fixes == format!("Fixes: {} (\"{subject}\")", &bad[..12]),
        ),
        (
            "on one line, however long",
            fixes.len() > 100 && once("Fixes: "),
        ),
        (
            "and who reported it",
            lines.contains(&"Reported-by: Re Porter <re@example.org>"),
        ),
        ("followed by where", follows("Reported-by: ", "Closes: ")),
        (
            "which is a page",
            lines.contains(&format!("Closes: {SERVER}/jobs/{job}").as_str()),
        ),
        (
            "no permission is claimed for others",
            !mail.body.contains("Tested-by") && !mail.body.contains("Acked-by"),
        ),
        (
            "the way it was found is there to be replayed",
            at("git bisect start").is_some() && once(&format!("# first bad commit: [{bad}]")),
        ),
        (
            "the configuration can be had",
            lines
                .iter()
                .any(|l| l.starts_with(&format!("Configuration: {SERVER}/api/v1/artefacts/"))),
        ),
        (
            "so can the kernel's log",
            lines
                .iter()
                .any(|l| l.starts_with("Console: ") && l.ends_with("/log/console/raw")),
        ),
        (
            "what the kernel said is quoted",
            lines.contains(&"WARNING in elsewhere"),
        ),
        ("how sure it is is said", at("Confidence: 99.").is_some()),
        (
            "with what was checked",
            at("Checks:").is_some() && lines.iter().any(|l| l.contains(": as expected (")),
        ),
        (
            "it can be reproduced",
            lines
                .iter()
                .any(|l| l.starts_with(&format!("  firstbad replay --server {SERVER} ")))
                && lines.iter().any(|l| l.starts_with("  qemu-system-x86_64 ")),
        ),
        (
            "the text is plain",
            !mail.body.contains("</") && !mail.body.contains('\t'),
        ),
    ];
    for (rule, kept) in &rules {
        assert!(kept, "{rule}:\n{mail:#?}\n{}", mail.body);
    }

    // The file is the same mail for other programs.
    let answer = get(&server, &format!("{}{from}", mail.eml)).await;
    assert_eq!(answer.headers()["content-type"], "message/rfc822");
    let name = answer.headers()["content-disposition"].to_str().unwrap();
    assert_eq!(name, format!("attachment; filename=\"firstbad-{job}.eml\""));
    let eml = answer.bytes().await.unwrap();
    let read = parsed(&eml);
    assert_eq!(read["defects"], json!([]));
    assert_eq!(read["kind"], "text/plain");
    assert_eq!(read["subject"], mail.subject);
    assert_eq!(read["from"], json!([["Re Porter", "re@example.org"]]));
    assert_eq!(read["to"], json!([["Ünal Ä. Öz", "oz@example.org"]]));
    let copies: Vec<&str> = read["cc"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c[1].as_str().unwrap())
        .collect();
    assert_eq!(copies.len(), mail.cc.len());
    assert!(copies.contains(&"jm@example.org"), "{copies:?}");
    assert_eq!(
        read["cc"][copies.iter().position(|c| *c == "jm@example.org").unwrap()][0],
        "Jérôme Müller"
    );
    assert_eq!(
        read["text"].as_str().unwrap().replace("\r\n", "\n"),
        mail.body
    );
    let text = String::from_utf8(eml.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.is_ascii(), "{head}");
    assert!(head.lines().all(|l| l.len() <= 78), "{head}");
    assert!(body.contains(&format!("\r\n{fixes}\r\n")), "{body}");

    // The draft that people read has the same in it.
    let draft = get(&server, &format!("/jobs/{job}/report"))
        .await
        .text()
        .await
        .unwrap();
    assert!(draft.starts_with(&format!(
        "Subject: {}\nTo: {}\nCc: ",
        mail.subject, mail.to[0]
    )));
    assert!(draft.contains("\nReported-by: YOUR NAME <YOUR ADDRESS>\n"));
    let page = get(&server, &format!("/jobs/{job}/culprit"))
        .await
        .text()
        .await
        .unwrap();
    assert!(
        page.contains("href=\"mailto:oz@example.org?cc=regressions@lists.linux.dev,"),
        "{page}"
    );
    assert!(page.contains(&format!("href=\"{}\"", mail.eml)));
    let link = url::Url::parse(&mail.mailto).unwrap();
    let field = |name: &str| {
        let mut fields = link.query_pairs();
        fields.find(|(n, _)| n == name).unwrap().1.into_owned()
    };
    assert_eq!(field("subject"), mail.subject);
    assert!(field("body").contains(&format!("\r\n#regzbot introduced: {bad}\r\n")));
    assert!(mail.mailto.len() <= firstbad_api::limits::MAILTO_BYTES);
    assert!(!mail.mailto.contains(['+', ' ', '"']));

    let wrong = get(&server, &format!("/api/v1/jobs/{job}/mail?from=nobody")).await;
    assert_eq!(wrong.status(), 422);
    let wrong: Value = wrong.json().await.unwrap();
    assert_eq!(
        (&wrong["type"], &wrong["pointer"]),
        (&json!("bad-address"), &json!("/from"))
    );
}

#[tokio::test]
async fn a_repair_is_no_regression_and_a_result_taken_back_is_told_to_nobody() {
    let server = TestServer::start().await;
    let (job, _) = ended(&server, json!({ "private": true })).await;
    let path = format!("/jobs/{job}/mail");
    let mail = async || -> Mail { server.get(&path).await };
    // Nobody else can see it, so there is no page that a fix could close.
    let private = mail().await;
    assert!(private.body.contains("\nFixes: ") && !private.body.contains("Closes:"));
    let retract = json!({ "reason": "the test was wrong" });
    let done = server.post(&format!("/jobs/{job}/retract"), &retract).await;
    assert!(done.status().is_success());
    let retracted = mail().await;
    assert!(retracted.subject.starts_with("[RETRACTED] "));
    assert!(
        retracted.to.is_empty() && retracted.cc.is_empty(),
        "{retracted:?}"
    );
    for tag in ["#regzbot", "Fixes:", "Reported-by:"] {
        assert!(!retracted.body.contains(tag), "{}", retracted.body);
    }
}
