//! Surveys: a matrix of cases and releases, its changes, and what looks into them.

use axum::http::StatusCode;
use firstbad_api::job::{Created, Outcome};
use firstbad_api::metric::MetricOfJob;
use firstbad_api::survey::{Cell, Matrix, Row, What};
use serde_json::{Value, json};

use crate::common::{REVERTED, Seen, TestServer};

async fn matrix(server: &TestServer, id: i64) -> Matrix {
    server.get(&format!("/surveys/{id}")).await
}

async fn text(server: &TestServer, path: &str) -> String {
    let url = format!("{}{path}", server.url);
    server
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap()
}

async fn created(server: &TestServer, path: &str, body: &Value) -> (StatusCode, Created) {
    let answer = server.post(path, body).await;
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")),
    )
}

/// Builds and boots that a job paid for itself.
async fn paid(server: &TestServer, job: i64) -> (i64, i64) {
    let cost = server.job(job).await.cost;
    (cost.builds, cost.boots)
}

fn row<'a>(matrix: &'a Matrix, name: &str) -> (usize, &'a Row) {
    let is = |row: &Row| match &row.what {
        What::Case { case } => case == name,
        What::Metric { name: metric, .. } => metric == name,
    };
    let found = matrix.rows.iter().position(is).unwrap();
    (found, &matrix.rows[found])
}

#[tokio::test]
async fn a_case_that_begins_to_fail_is_a_change_whose_commit_is_found_and_more_releases_cost_only_themselves()
 {
    let server = TestServer::start().await;
    let revs = server.tree("line", 10).await;
    let body = json!({
        "tree": "line", "releases": [revs[0], revs[2], revs[6]], "suites": ["btrfs/direct-io"],
        "runs": 2,
    });
    let (status, survey) = created(&server, "/surveys", &body).await;
    assert_eq!(
        (status, survey.url.as_str()),
        (StatusCode::CREATED, "/surveys/1")
    );
    assert!(matches!(
        row(&matrix(&server, 1).await, "eof").1.cells[0],
        Cell::Open
    ));

    let mut worker = server.register().await;
    let oracle = |rev: &str, _: u64| match revs.iter().position(|r| r == rev) {
        Some(at) if at >= 5 => Seen::Failing(&["eof"]),
        None => {
            assert_eq!(rev, REVERTED);
            Seen::Failing(&[])
        }
        Some(_) => Seen::Failing(&[]),
    };
    worker.work_all(oracle).await;
    assert_eq!(
        paid(&server, 1).await,
        (3, 6),
        "three builds, two runs of each"
    );
    let before = matrix(&server, 1).await;
    assert_eq!(before.survey.state, "done");
    let (n, eof) = row(&before, "eof");
    let [edge] = eof.edges.as_slice() else {
        panic!("{:?}", eof.edges);
    };
    assert_eq!((edge.from, edge.to, edge.worse), (1, 2, true));
    assert!(matches!(
        eof.cells[2],
        Cell::Runs {
            passed: 0,
            failed: 2,
            ..
        }
    ));
    assert!(row(&before, "aligned").1.edges.is_empty());

    let change = json!({ "row": n, "column": 2 });
    let (status, job) = created(&server, "/surveys/1/bisect", &change).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, again) = created(&server, "/surveys/1/bisect", &change).await;
    assert_eq!(
        (status, again.id),
        (StatusCode::OK, job.id),
        "asked once, paid once"
    );
    worker.work_all(oracle).await;
    match server.job(job.id).await.outcome {
        Some(Outcome::Culprit { rev, .. }) => assert_eq!(rev, revs[5]),
        other => panic!("{other:?}"),
    }
    let after = matrix(&server, 1).await;
    let edge = &row(&after, "eof").1.edges[0];
    assert_eq!(edge.job, Some(job.id));
    assert!(
        edge.found.as_ref().unwrap().contains("broke it"),
        "{edge:?}"
    );
    let page = text(&server, "/surveys/1").await;
    assert!(
        page.contains("passes → fails") && page.contains("broke it"),
        "{page}"
    );

    let more = json!({ "releases": [revs[9]] });
    let (status, _) = created(&server, "/surveys/1/releases", &more).await;
    assert_eq!(status, StatusCode::OK);
    worker.work_all(oracle).await;
    let wide = matrix(&server, 1).await;
    let newest = wide.survey.jobs[0];
    assert_eq!(paid(&server, newest).await, (1, 2), "the new release alone");
    assert_eq!(wide.columns.len(), 4);
    let eof = row(&wide, "eof").1;
    assert_eq!(eof.edges.len(), 1);
    assert_eq!(eof.edges[0].job, Some(job.id), "it is the same change");
    let csv = text(&server, "/api/v1/surveys/1/csv").await;
    let line = csv.lines().find(|l| l.contains("\"eof\"")).unwrap();
    assert!(
        line.ends_with(",pass,pass,\"2 of 2 fail\",\"2 of 2 fail\""),
        "{line}"
    );
}

#[tokio::test]
async fn a_metric_that_moves_is_looked_into_unasked_when_that_was_allowed() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 8).await;
    let body = json!({
        "tree": "line", "releases": [revs[0], revs[3], revs[7]], "suites": ["btrfs/direct-io"],
        "bisect": 1,
    });
    created(&server, "/surveys", &body).await;
    let mut worker = server.register().await;
    let oracle = |rev: &str, seed: u64| {
        let slow = revs.iter().position(|r| r == rev).is_some_and(|at| at >= 6);
        let base = if slow { 90.0 } else { 100.0 };
        Seen::Speed(base + (seed % 3) as f64 * 0.2)
    };
    worker.work_all(oracle).await;
    server_surveys_tick(&server).await;
    worker.work_all(oracle).await;
    let told = matrix(&server, 1).await;
    let edge = &row(&told, "mb_s").1.edges[0];
    assert_eq!(
        (edge.from, edge.to, edge.worse, edge.significant),
        (1, 2, true, true)
    );
    assert!((edge.change.unwrap() + 0.0998).abs() < 0.001, "{edge:?}");
    assert!(edge.noise.unwrap() < 0.005, "{edge:?}");
    match server.job(edge.job.unwrap()).await.outcome {
        Some(Outcome::Culprit { rev, .. }) => assert_eq!(rev, revs[6]),
        other => panic!("{other:?}"),
    }
    metric_page(&server, &revs, edge.job.unwrap()).await;
}

/// The numbers of a cell, run by run, and those of the job that looked into the change.
async fn metric_page(server: &TestServer, revs: &[String], bisected: i64) {
    let page = text(server, "/surveys/1?all=1").await;
    let link = format!("/jobs/1/metric?name=mb_s#r-{}", &revs[7][..12]);
    assert!(page.contains(&format!("href=\"{link}\"")), "{link}: {page}");
    let page = text(server, "/jobs/1/metric?name=mb_s").await;
    for rev in [&revs[0], &revs[3], &revs[7]] {
        assert!(page.contains(&format!("id=\"r-{}\"", &rev[..12])));
    }
    assert!(page.contains("class=\"interval"), "{page}");
    let csv = text(server, "/api/v1/jobs/1/metric/csv").await;
    let mut lines = csv.lines();
    let head = "position,revision,subject,verdict,attempt,seed,\"mb_s (MB/s)\",compared";
    assert_eq!(lines.next(), Some(head));
    assert_eq!(lines.count(), 9, "three runs of three releases: {csv}");
    let told = text(server, "/api/v1/jobs/1/metric?name=nope").await;
    assert!(told.contains("name: use one of mb_s"), "{told}");
    let told = text(server, "/jobs/1/metric?name=nope").await;
    assert!(told.contains("name: use one of mb_s"), "{told}");

    let page = text(server, &format!("/jobs/{bisected}")).await;
    let link = format!("href=\"/jobs/{bisected}/metric\"");
    assert!(page.contains(&link), "{page}");
    let page = text(server, &format!("/jobs/{bisected}/metric")).await;
    assert!(page.contains("threshold 9"), "{page}");
    let url = format!("/api/v1/jobs/{bisected}/metric");
    let metric: MetricOfJob = serde_json::from_str(&text(server, &url).await).unwrap();
    let row = metric.rows.iter().find(|row| row.rev == revs[6]).unwrap();
    let (low, high) = row.interval.unwrap();
    assert!(
        low < row.mean && row.mean < high && row.verdict == "bad",
        "{row:?}"
    );
}

async fn server_surveys_tick(server: &TestServer) {
    firstbad_server::tasks::surveys::tick(&server.app)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_survey_that_cannot_be_run_is_refused_with_the_field_and_changes_nothing() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let survey = |releases: Value, suites: Value| json!({ "tree": "line", "releases": releases, "suites": suites });
    let smoke = json!(["btrfs/smoke"]);
    for (body, pointer, said) in [
        (survey(json!([]), smoke.clone()), "/releases", "1 to 200"),
        (
            survey(json!([revs[1], revs[0]]), smoke.clone()),
            "/releases",
            "oldest first",
        ),
        (
            survey(json!([revs[0], revs[0]]), smoke.clone()),
            "/releases/1",
            "name it once",
        ),
        (
            survey(json!([revs[0], "v9"]), smoke.clone()),
            "/releases/1",
            "v9",
        ),
        (
            survey(json!([revs[0], revs[1]]), json!([])),
            "/suites",
            "1 to 40",
        ),
        (
            survey(json!([revs[0], revs[1]]), json!(["no/such"])),
            "/suite",
            "no/such",
        ),
    ] {
        let problem = server.refusal("/surveys", &body).await;
        assert_eq!(problem.pointer.as_deref(), Some(pointer), "{problem:?}");
        assert!(problem.detail.contains(said), "{problem:?}");
    }
    let counted =
        sqlx::query_scalar("SELECT (SELECT count(*) FROM survey) + (SELECT count(*) FROM job)");
    let counted: i64 = counted.fetch_one(&server.app.pool).await.unwrap();
    assert_eq!(counted, 0);
    let problem = server
        .refusal("/surveys/7/bisect", &json!({ "row": 0, "column": 1 }))
        .await;
    assert_eq!(problem.status, 404);
}

#[tokio::test]
async fn one_release_is_a_survey_and_a_second_one_makes_a_change() {
    let server = TestServer::start().await;
    let revs = server.tree("line", 4).await;
    let body = json!({
        "tree": "line", "releases": [revs[1]], "suites": ["btrfs/direct-io"], "runs": 1,
    });
    let (_, survey) = created(&server, "/surveys", &body).await;
    let mut worker = server.register().await;
    let oracle = |rev: &str, _: u64| match rev == revs[3] {
        true => Seen::Failing(&["eof"]),
        false => Seen::Failing(&[]),
    };
    worker.work_all(oracle).await;
    let alone = matrix(&server, survey.id).await;
    assert_eq!(alone.survey.state, "done");
    let revs_of = |m: &Matrix| m.columns.iter().map(|c| c.rev.clone()).collect::<Vec<_>>();
    assert_eq!(revs_of(&alone), [revs[1].clone()]);
    let cells = &row(&alone, "eof").1.cells;
    assert!(
        matches!(
            cells[..],
            [Cell::Runs {
                passed: 1,
                failed: 0,
                ..
            }]
        ),
        "{cells:?}"
    );
    for shown in ["/surveys/1", "/jobs/1", "/jobs/1/report"] {
        assert!(text(&server, shown).await.contains("urvey"), "{shown}");
    }

    let more = json!({ "releases": [revs[3]] });
    created(&server, "/surveys/1/releases", &more).await;
    worker.work_all(oracle).await;
    let both = matrix(&server, survey.id).await;
    assert_eq!(revs_of(&both), [revs[1].clone(), revs[3].clone()]);
    assert_eq!(row(&both, "eof").1.edges.len(), 1);
}
