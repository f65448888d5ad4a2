//! Trees that say how their kernels are configured, such as the one of WSL2.

use firstbad_api::job::{JobConfig, Outcome};
use firstbad_api::lease::{ConfigBase, Work};
use firstbad_api::observation::Finish;
use firstbad_api::tree::Tree;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::{Seen, TestServer, git, request};

const PATH: &str = "Microsoft/config-wsl";
const FRAGMENT: &str = include_str!("../../../presets/wsl2.config");
const KCONFIG: &str = "config BTRFS_FS\n\tbool \"b\"\nconfig WERROR\n\tbool \"w\"\n\
                       config DEBUG_INFO_NONE\n\tbool \"d\"\nconfig MINE\n\tbool \"m\"\n";

/// What `firstbad tree add --preset wsl2` sends, for a repository of the same layout: seven commits,
/// of which the third has no configuration.
async fn tree(server: &TestServer) -> Vec<String> {
    let repo = server.dir.path().join("wsl2");
    std::fs::create_dir_all(repo.join("Microsoft")).unwrap();
    git(&repo, &["init", "-q", "-b", "linux-msft-wsl-6.18.y"]);
    std::fs::write(repo.join("Kconfig"), KCONFIG).unwrap();
    let mut revs = Vec::new();
    for n in 0..7 {
        match n {
            2 => std::fs::remove_file(repo.join(PATH)).unwrap(),
            n => std::fs::write(repo.join(PATH), format!("CONFIG_WERROR=y\n# {n}\n")).unwrap(),
        }
        git(&repo, &["add", "."]);
        git(&repo, &["commit", "-q", "-m", &format!("commit {n}")]);
        revs.push(git(&repo, &["rev-parse", "HEAD"]));
    }
    let body = registration("wsl2", &repo.display().to_string(), FRAGMENT);
    let answer = server.post("/trees", &body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let tree: Tree = answer.json().await.unwrap();
    assert_eq!(tree.config, config(FRAGMENT));
    revs
}

fn registration(name: &str, url: &str, fragment: &str) -> Value {
    json!({
        "name": name, "url": url,
        "config": { "base": { "tree": PATH }, "fragment": fragment },
    })
}

fn config(fragment: &str) -> JobConfig {
    JobConfig {
        base: Some(ConfigBase::Tree(PATH.to_owned())),
        fragment: fragment.to_owned(),
    }
}

async fn page(server: &TestServer, path: &str) -> String {
    let answer = server
        .http
        .get(format!("{}{path}", server.url))
        .send()
        .await;
    answer.unwrap().text().await.unwrap()
}

/// The configuration that a job's first build asks for: its base, and its fragments by name.
async fn asked(server: &TestServer) -> (ConfigBase, Vec<String>, String) {
    let mut worker = server.register().await;
    firstbad_server::tasks::advance_jobs::tick(&server.app)
        .await
        .unwrap();
    let lease = worker.lease().await.unwrap();
    let Work::Build(work) = &lease.work else {
        panic!("{lease:?}");
    };
    let config = work.config.clone();
    worker.finish(&lease, Finish::Released).await;
    let last = config.fragments.last().unwrap().text.clone();
    let names = config.fragments.into_iter().map(|f| f.name);
    (config.base, names.collect(), last)
}

#[tokio::test]
async fn a_job_gets_the_configuration_of_its_tree_and_shows_it() {
    let server = TestServer::start().await;
    let revs = tree(&server).await;
    let job = server.submit(&request("wsl2", &revs[3], &revs[6])).await;
    assert_eq!(server.job(job).await.request.config, config(FRAGMENT));
    let (base, names, last) = asked(&server).await;
    assert_eq!(base, ConfigBase::Tree(PATH.to_owned()));
    assert_eq!(names, ["kernel.config", "user"]);
    assert_eq!(last, FRAGMENT);
    let shown = page(&server, &format!("/jobs/{job}")).await;
    assert!(
        shown.contains("--config-in-tree Microsoft/config-wsl"),
        "{shown}"
    );
    assert!(shown.contains("CONFIG_DEBUG_INFO_NONE=y"), "{shown}");
    let shown = page(&server, "/trees/wsl2").await;
    assert!(
        shown.contains("Microsoft/config-wsl of each revision"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_fragment_of_the_job_comes_last_and_a_base_of_its_own_replaces_all() {
    let server = TestServer::start().await;
    let revs = tree(&server).await;
    let mut body = request("wsl2", &revs[3], &revs[6]);
    body["config"] = json!({ "fragment": "CONFIG_MINE=y\n" });
    let job = server.submit(&body).await;
    let both = format!("{FRAGMENT}CONFIG_MINE=y\n");
    let stored = server.job(job).await.request;
    assert_eq!(stored.config, config(&both));

    // The same request again, as it is shown, means the same.
    let again = server.submit(&serde_json::to_value(&stored).unwrap()).await;
    assert_eq!(server.job(again).await.request.config, config(&both));
    for job in [job, again] {
        let end = server
            .post(&format!("/jobs/{job}/cancel"), &json!({}))
            .await;
        assert!(end.status().is_success(), "{}", end.status());
    }

    body["config"] = json!({ "base": "tinyconfig" });
    let job = server.submit(&body).await;
    assert_eq!(server.job(job).await.request.config.fragment, "");
    let (base, names, _) = asked(&server).await;
    assert_eq!(base, ConfigBase::Tinyconfig);
    assert_eq!(names, ["kernel.config", "tiny.config"]);
    let shown = page(&server, &format!("/jobs/{job}")).await;
    assert!(shown.contains("--base tinyconfig"), "{shown}");
}

#[tokio::test]
async fn a_candidate_without_the_configuration_is_a_skip_and_an_end_without_it_refused() {
    let server = TestServer::start().await;
    let revs = tree(&server).await;
    let job = server.submit(&request("wsl2", &revs[0], &revs[6])).await;
    let mut worker = server.register().await;
    let place = |rev: &str| revs.iter().position(|r| r == rev);
    let seen = |rev: &str, _: u64| match place(rev) {
        Some(2) => Seen::NoConfig,
        Some(n) if n >= 3 => Seen::Fails,
        _ => Seen::Clean,
    };
    let ended = worker.work(job, seen).await;
    let Some(Outcome::Range { candidates, .. }) = &ended.outcome else {
        panic!("{:?}", ended.outcome);
    };
    let left: Vec<Option<usize>> = candidates.iter().map(|c| place(&c.rev)).collect();
    assert_eq!(left, [Some(2), Some(3)]);
    let without = ended.candidates.iter().find(|c| c.rev == revs[2]).unwrap();
    assert_eq!(without.verdict, "skip");
    assert!(
        without.why.contains("no configuration in the tree"),
        "{}",
        without.why
    );

    for (good, bad) in [(2, 6), (0, 2)] {
        let body = request("wsl2", &revs[good], &revs[bad]);
        let problem = server.refusal("/jobs", &body).await;
        assert_eq!(problem.pointer.as_deref(), Some("/config/base"));
        let said = problem.detail;
        assert!(
            said.contains(&revs[2]) && said.contains(PATH) && said.contains("jobs on wsl2"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn what_no_job_could_use_is_refused_with_the_tree() {
    let server = TestServer::start().await;
    let body = registration("wsl2", "/nowhere", "CONFIG_A\n");
    let problem = server.refusal("/trees", &body).await;
    assert_eq!(problem.pointer.as_deref(), Some("/config/fragment"));
    let body = registration(
        "wsl2",
        "/nowhere",
        &"#".repeat(firstbad_api::limits::CONFIG_BYTES),
    );
    let problem = server.refusal("/trees", &body).await;
    assert_eq!(problem.pointer.as_deref(), Some("/config"));
}
