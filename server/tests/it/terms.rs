//! On what terms a job is done: who asks the same pays nothing, what it may cost is kept to, and whoever
//! waits for it is told.

use std::time::{Duration, Instant};

use firstbad_api::job::{Created, Job, Outcome};
use firstbad_api::lease::Work;
use firstbad_api::limits;
use firstbad_api::list::JobList;
use firstbad_server::access::Principal;
use firstbad_server::tasks;
use reqwest::{Response, StatusCode, header};
use serde_json::{Value, json};

use crate::common::browser::{Browser, PASSWORD, account};
use crate::common::{Seen, TestServer, request};

/// A token of an account.
async fn token(server: &TestServer, name: &str, role: &str) -> String {
    account(server, name, role).await;
    let mut browser = Browser::new(server);
    browser.sign_in(name, PASSWORD).await;
    let form_token = browser.form_token("/tokens").await;
    let form = [
        ("form_token", form_token.as_str()),
        ("name", "ci"),
        ("role", role),
    ];
    let page = browser.post("/tokens", &form).await.text().await.unwrap();
    let code = page.split("<pre class=\"command\"><code>").nth(1).unwrap();
    code.split('<').next().unwrap().to_owned()
}

async fn post_as(server: &TestServer, token: &str, key: Option<&str>, body: &Value) -> Response {
    let url = format!("{}/api/v1/jobs", server.url);
    let mut asked = server.http.post(url).bearer_auth(token).json(body);
    if let Some(key) = key {
        asked = asked.header("Idempotency-Key", key);
    }
    asked.send().await.unwrap()
}

async fn created(answer: Response) -> (StatusCode, Created) {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    let created = serde_json::from_str(&text);
    (
        status,
        created.unwrap_or_else(|_| panic!("{status} {text}")),
    )
}

fn with(mut body: Value, more: Value) -> Value {
    let (body_fields, more) = (body.as_object_mut().unwrap(), more.as_object().unwrap());
    body_fields.extend(more.clone());
    body
}

#[tokio::test]
async fn who_asks_the_same_joins_the_job_that_looks_for_it() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let body = request("line", &revs[0], &revs[7]);
    let first = server.submit(&body).await;
    let other = token(&server, "mia", "submitter").await;

    // Under another name of an end, with another title, by somebody else, with a key.
    let same = json!({ "tree": "line", "good": [&revs[0][..12]], "bad": "HEAD", "suite": "btrfs/direct-io",
                       "title": "mine", "labels": ["ci/42"] });
    let (status, joined) = created(post_as(&server, &other, Some("k"), &same).await).await;
    assert_eq!((status, joined.id), (StatusCode::OK, first));
    assert!(joined.joined && !joined.created);
    // The key stands for the job it joined, and for no other request.
    let (status, again) = created(post_as(&server, &other, Some("k"), &same).await).await;
    assert_eq!(
        (status, again.id, again.joined),
        (StatusCode::OK, first, true)
    );
    let another = post_as(&server, &other, Some("k"), &body).await;
    assert_eq!(another.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let job = server.job(first).await;
    let who: Vec<&str> = job.also_asked.iter().map(|a| a.who.as_str()).collect();
    assert_eq!(who, ["user:mia"]);
    let (_, page) = Browser::new(&server).get(&format!("/jobs/{first}")).await;
    assert!(page.contains("also asked by user:mia"), "{page}");
    let form = |bad: &str| {
        format!(
            "/jobs/new?tree=line&good={}&bad={bad}&suite=btrfs/direct-io",
            revs[0]
        )
    };
    let told = format!("joins <a href=\"/jobs/{first}\">");
    let (_, page) = Browser::new(&server).get(&form("HEAD")).await;
    assert!(page.contains(&told), "{page}");
    let (_, page) = Browser::new(&server).get(&form(&revs[6])).await;
    assert!(!page.contains("joins <a"), "{page}");

    // Other questions, and who wants a job of its own, do not join.
    for more in [
        json!({ "bad": revs[6] }),
        json!({ "runs": 7 }),
        json!({ "mode": "real" }),
        json!({ "private": true }),
        json!({ "fresh": true }),
        json!({ "budget": { "builds": 3 } }),
    ] {
        let (status, own) =
            created(post_as(&server, &other, None, &with(body.clone(), more.clone())).await).await;
        assert_eq!((status, own.joined), (StatusCode::CREATED, false), "{more}");
    }
    // Of a private job only its owner can know.
    let private = with(body.clone(), json!({ "private": true }));
    let (status, hidden) = created(server.post("/jobs", &private).await).await;
    assert_eq!((status, hidden.joined), (StatusCode::CREATED, false));
    let (status, mine) = created(server.post("/jobs", &private).await).await;
    assert_eq!((status, mine.id), (StatusCode::OK, hidden.id));

    // What a person has said is not part of the question, so such a job is not its answer.
    let mark = json!({ "rev": revs[3], "mark": "skip", "why": "known" });
    server.post(&format!("/jobs/{first}/marks"), &mark).await;
    let (_, own) = created(
        post_as(
            &server,
            &other,
            None,
            &with(same, json!({ "fresh": false })),
        )
        .await,
    )
    .await;
    assert_ne!(own.id, first);
}

#[tokio::test]
async fn two_who_ask_at_once_have_one_job() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let body = request("line", &revs[0], &revs[7]);
    let asked = (0..4).map(|_| server.post("/jobs", &body));
    let answers = futures_util::future::join_all(asked).await;
    let mut ids = std::collections::BTreeSet::new();
    let mut made = 0;
    for answer in answers {
        let (status, created) = created(answer).await;
        ids.insert(created.id);
        made += usize::from(status == StatusCode::CREATED);
    }
    assert_eq!((ids.len(), made), (1, 1));
}

fn why(job: &Job) -> &str {
    match &job.outcome {
        Some(Outcome::Unresolved { why }) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_job_keeps_to_its_budget_and_says_what_it_knows() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 64).await;
    let mut worker = server.register().await;
    let seen = |rev: &str, _: u64| match revs.iter().position(|r| r == rev).unwrap_or(0) {
        at if at >= 40 => Seen::Fails,
        _ => Seen::Clean,
    };
    let body = request("line", &revs[0], &revs[63]);
    let short = with(body.clone(), json!({ "budget": { "builds": 4 } }));
    let ended = worker.work(server.submit(&short).await, seen).await;
    assert_eq!(ended.cost.builds, 4);
    assert!(
        why(&ended).starts_with("the 4 builds allowed did not suffice; the likeliest commit is"),
        "{}",
        why(&ended)
    );

    // What is built already costs nothing: the same budget goes further the second time.
    let ended = worker.work(server.submit(&short).await, seen).await;
    assert!(ended.cost.builds_reused >= 4, "{:?}", ended.cost);

    // A budget that suffices changes nothing, and an answer that is there counts.
    let enough = with(
        body.clone(),
        json!({ "budget": { "builds": 64, "vm_minutes": 1000, "wall_minutes": 1000 } }),
    );
    let ended = worker.work(server.submit(&enough).await, seen).await;
    assert!(
        matches!(&ended.outcome, Some(Outcome::Culprit { rev, .. }) if *rev == revs[40]),
        "{:?}",
        ended.outcome
    );

    // Time runs from the request on.
    let late = with(body, json!({ "budget": { "wall_minutes": 5 }, "seed": 77 }));
    let job = server.submit(&late).await;
    sqlx::query("UPDATE job SET created_at = created_at - interval '6 minutes' WHERE id = $1")
        .bind(job)
        .execute(&server.app.pool)
        .await
        .unwrap();
    let ended = worker.work(job, seen).await;
    assert!(
        why(&ended).starts_with("the 5 minutes allowed since it was submitted"),
        "{}",
        why(&ended)
    );

    let refused = server
        .refusal("/jobs", &with(late, json!({ "budget": { "builds": 0 } })))
        .await;
    assert_eq!(refused.pointer.as_deref(), Some("/budget/builds"));
}

#[tokio::test]
async fn urgent_work_is_taken_first_and_only_operators_have_some() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let mut worker = server.register().await;
    let other = token(&server, "mia", "submitter").await;
    let of = |priority: &str, bad: usize| {
        with(
            request("line", &revs[0], &revs[bad]),
            json!({ "priority": priority }),
        )
    };
    server.submit(&of("low", 5)).await;
    server.submit(&of("normal", 6)).await;
    let urgent = server.submit(&of("high", 7)).await;
    tasks::advance_jobs::tick(&server.app).await.unwrap();
    let lease = worker.lease().await.unwrap();
    let job = server.job(urgent).await;
    let builds: Vec<i64> = job.candidates.iter().filter_map(|c| c.build).collect();
    assert!(
        builds.contains(&lease.fence.attempt),
        "{builds:?} {}",
        lease.fence.attempt
    );
    let refused = post_as(&server, &other, None, &of("high", 4)).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        refused.json::<Value>().await.unwrap()["pointer"],
        "/priority"
    );
}

#[tokio::test]
async fn who_asks_for_one_thing_does_not_wait_for_anothers_many() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 12).await;
    let mut worker = server.register().await;
    let other = token(&server, "mia", "submitter").await;
    let of = |good: usize| request("line", &revs[good], &revs[good + 1]);
    for good in [0, 2, 4, 6] {
        server.submit(&of(good)).await;
    }
    let (_, hers) = created(post_as(&server, &other, None, &of(8)).await).await;
    tasks::advance_jobs::tick(&server.app).await.unwrap();
    let mut jobs = vec![];
    while let Some(lease) = worker.lease().await {
        let Work::Build(build) = &lease.work else {
            panic!("{:?}", lease.work);
        };
        let at = revs.iter().position(|rev| *rev == build.rev).unwrap();
        jobs.push(at / 2);
    }
    // Hers is the fifth (4); it and the four of the other owner take turns, and so do the four.
    assert_eq!(jobs, [0, 4, 1, 4, 2, 3, 0, 1, 2, 3], "{}", hers.id);
}

#[tokio::test]
async fn a_job_waits_for_the_compiler_it_asks_for() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let _worker = server.register().await;
    let body = with(
        request("line", &revs[0], &revs[7]),
        json!({ "toolchain": "clang version 99" }),
    );
    let job = server.submit(&body).await;
    tasks::advance_jobs::tick(&server.app).await.unwrap();
    let now = server.job(job).await;
    assert_eq!(now.state, "queued");
    assert_eq!(
        now.sentence,
        "Waiting for a worker whose compiler is called \"clang version 99\": none is connected."
    );
}

#[tokio::test]
async fn jobs_are_found_by_label() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let labelled = with(
        request("line", &revs[0], &revs[7]),
        json!({ "labels": ["ci/42", "nightly"] }),
    );
    let job = server.submit(&labelled).await;
    server.submit(&request("line", &revs[0], &revs[6])).await;
    let list = |label: &'static str| {
        let url = format!("{}/api/v1/jobs?label={label}", server.url);
        async {
            server
                .http
                .get(url)
                .send()
                .await
                .unwrap()
                .json::<JobList>()
                .await
                .unwrap()
        }
    };
    let found = list("ci/42").await;
    assert_eq!(found.jobs.iter().map(|j| j.id).collect::<Vec<_>>(), [job]);
    assert_eq!(found.jobs[0].labels, ["ci/42", "nightly"]);
    assert!(list("ci").await.jobs.is_empty());
    let wrong = with(labelled, json!({ "labels": ["two words"] }));
    assert_eq!(
        server.refusal("/jobs", &wrong).await.pointer.as_deref(),
        Some("/labels/0")
    );
}

#[tokio::test]
async fn a_program_waits_for_the_end_in_one_request() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let job = server.submit(&request("line", &revs[0], &revs[3])).await;
    let url = format!("{}/api/v1/jobs/{job}", server.url);
    let began = Instant::now();
    let now: Job = server
        .http
        .get(format!("{url}?wait=1"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(now.state, "queued");
    assert!(began.elapsed() >= Duration::from_secs(1));
    let waiting = tokio::spawn(server.http.get(format!("{url}?wait=60")).send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    server
        .post(&format!("/jobs/{job}/cancel"), &json!({}))
        .await;
    let ended: Job = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(ended.state, "cancelled");
    assert!(began.elapsed() < Duration::from_secs(10));
    let refused = server
        .http
        .get(format!("{url}?wait=301"))
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn strangers_never_take_the_places_of_all_who_wait() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let job = server.submit(&request("line", &revs[0], &revs[3])).await;
    let url = format!("{}/api/v1/jobs/{job}", server.url);
    let waiters = &server.app.gate.waiters;
    let mut strangers = Vec::new();
    while let Some(place) = waiters.enter(&Principal::Anonymous) {
        strangers.push(place);
    }
    assert_eq!(strangers.len(), limits::WAITERS / 2);
    // One more is answered at once; who has a token waits.
    let waited = async |ask: reqwest::RequestBuilder, seconds: u64| {
        let began = Instant::now();
        let answer = ask.query(&[("wait", seconds)]).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        began.elapsed() >= Duration::from_secs(seconds)
    };
    let known = || server.http.get(&url).bearer_auth(&server.token);
    assert!(!waited(server.http.get(&url), 30).await);
    assert!(waited(known(), 1).await);
    strangers.pop();
    assert!(waited(server.http.get(&url), 1).await, "a place was left");
    // With all places taken nobody waits, and nobody is refused.
    let worker = Principal::Worker {
        name: "fake".to_owned(),
    };
    let mut others = Vec::new();
    while let Some(place) = waiters.enter(&worker) {
        others.push(place);
    }
    assert_eq!(strangers.len() + others.len(), limits::WAITERS);
    assert!(!waited(known(), 30).await);
}

#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let job = server.submit(&request("line", &revs[0], &revs[3])).await;
    let url = format!("{}/api/v1/jobs/{job}", server.url);
    let first = server.http.get(&url).send().await.unwrap();
    let tag = first.headers()[header::ETAG].clone();
    let ask = || {
        server
            .http
            .get(&url)
            .header(header::IF_NONE_MATCH, tag.clone())
            .send()
    };
    let again = ask().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.text().await.unwrap(), "");
    server
        .post(&format!("/jobs/{job}/cancel"), &json!({}))
        .await;
    assert_eq!(ask().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_list_says_where_it_goes_on() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 6).await;
    for bad in 1..6 {
        server.submit(&request("line", &revs[0], &revs[bad])).await;
    }
    let mut url = "/api/v1/jobs?limit=2&tree=line".to_owned();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = server
            .http
            .get(format!("{}{url}", server.url))
            .send()
            .await
            .unwrap();
        let link = answer.headers().get(header::LINK).cloned();
        let list: JobList = answer.json().await.unwrap();
        seen.extend(list.jobs.iter().map(|j| j.id));
        let Some(link) = link else { break };
        let link = link.to_str().unwrap();
        assert!(link.ends_with("; rel=\"next\""), "{link}");
        url = link[1..link.find('>').unwrap()].to_owned();
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.windows(2).all(|w| w[0] > w[1]));
}
