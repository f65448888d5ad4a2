//! The authorisation table: every principal × every route × what is public and what is private,
//! generated from the routes and asked of a real server.

use std::collections::BTreeMap;
use std::sync::Arc;

use firstbad_api::user::Role;
use firstbad_server::access::{self, Access, Gate, Object, Route, Surface};
use firstbad_server::{db, run};
use futures_util::stream::{self, StreamExt};
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::common::{Seen, TestServer};

/// In every text that must stay private.
const SECRET: &str = "SECRET";

/// Who asks, in the order of the columns of [`expected`].
const PRINCIPALS: [&str; 17] = [
    "anonymous",
    "anonymous, reading closed",
    "viewer",
    "submitter, the owner",
    "submitter, another",
    "operator",
    "admin",
    "admin's token",
    "owner's token",
    "admin's token of a viewer",
    "worker",
    "worker, reading closed",
    "disabled account",
    "token of a disabled account",
    "revoked token",
    "expired token",
    "forged token",
];

/// `+` passes, `L` has to sign in (401), `F` is forbidden (403), `H`: there is no such thing (404).
fn expected(access: Access, private: bool) -> &'static str {
    match (access, private) {
        (Access::Open, _) => "+++++++++++++++++",
        (Access::Read, false) => "+L+++++++++F+LLLL",
        (Access::Read, true) => "HLH+H++++HHFHLLLL",
        (Access::Fetch, false) => "+L+++++++++++LLLL",
        (Access::Fetch, true) => "HLH+H++++H++HLLLL",
        (Access::Mirror, _) => "LLFFF+++FF++LLLLL",
        (Access::Submit, false) => "LLF++++++FFFLLLLL",
        (Access::Submit, true) => "LLF+H++++FFFLLLLL",
        (Access::Own, false) => "LLF+F++++FFFLLLLL",
        (Access::Own, true) => "LLF+H++++FFFLLLLL",
        (Access::Operate, _) => "LLFFF+++FFFFLLLLL",
        (Access::Administer, _) => "LLFFFF++FFFFLLLLL",
        (Access::Work, _) => "LLFFFFFFFF++LLLLL",
        (Access::SignedIn, _) => "LL+++++FFFFFLLLLL",
    }
}

/// What a principal sends.
#[derive(Clone)]
enum Credential {
    Nothing,
    Session(String),
    Bearer(String),
}

struct World {
    server: TestServer,
    http: Client,
    /// The same server with reading closed.
    closed: String,
    credentials: Vec<Credential>,
    /// The paths' `{id}` and the like: of what is public, and of what is private.
    named: [BTreeMap<&'static str, String>; 2],
    style: String,
}

#[tokio::test]
async fn every_cell_of_the_authorisation_table_holds() {
    let world = World::new().await;
    let table = run::routes(&world.server.app).table().to_vec();
    let mut cells = Vec::new();
    for route in &table {
        let objects: &[bool] = match route.object {
            Object::None => &[false],
            _ => &[false, true],
        };
        for private in objects {
            let wanted = expected(route.access, *private);
            assert_eq!(wanted.len(), PRINCIPALS.len());
            for (who, want) in wanted.chars().enumerate() {
                cells.push((route, who, *private, want));
            }
        }
    }
    let asked = stream::iter(&cells).map(|cell| world.check(cell));
    let wrong: Vec<String> = asked
        .buffer_unordered(8)
        .filter_map(std::future::ready)
        .collect()
        .await;
    let seen = world.http.get(format!("{}/api/v1/jobs", world.server.url));
    let Credential::Bearer(owner) = &world.credentials[8] else {
        panic!("no token of the owner");
    };
    let seen = seen.bearer_auth(owner).send().await.unwrap();
    assert!(
        seen.text().await.unwrap().contains(SECRET),
        "its owner sees it"
    );
    println!(
        "{} cells: {} routes, {} principals",
        cells.len(),
        table.len(),
        PRINCIPALS.len()
    );
    assert!(
        wrong.is_empty(),
        "{} cells are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn the_table_is_the_one_that_was_agreed_on() {
    let server = TestServer::start().await;
    let routes = run::routes(&server.app);
    let lines = routes.table().iter().map(|route| {
        let Route {
            method,
            path,
            access,
            object,
            ..
        } = route;
        let method = method.as_str();
        format!("{method:<6} {path:<34} {access:?} {object:?}\n")
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    let now = lines.concat();
    assert_eq!(now, include_str!("access.txt"), "now it is:\n{now}");
}

#[test]
fn routes_are_added_with_their_access_alone() {
    let mut open = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    let mut found = Vec::new();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
        } else if std::fs::read_to_string(&path).unwrap().contains(".route(") {
            found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        }
    }
    found.sort();
    // The second is a router without access, which the first puts behind a guard as a whole.
    assert_eq!(found, ["git_http.rs", "routes.rs"]);
}

impl World {
    async fn new() -> World {
        let server = TestServer::start().await;
        let mut app = server.app.clone();
        app.gate = Arc::new(Gate {
            private: true,
            ..Gate::default()
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = format!("http://{}", listener.local_addr().unwrap());
        let service = run::router(app);
        tokio::spawn(async move { axum::serve(listener, service).await });
        let credentials = credentials(&server).await;
        let Credential::Bearer(owner) = &credentials[8] else {
            panic!("no token of the owner");
        };
        let named = fill(&server, owner).await;
        let help = server
            .http
            .get(format!("{}/help", server.url))
            .send()
            .await
            .unwrap();
        let help = help.text().await.unwrap();
        let from = help.find("/static/site.").unwrap();
        let style = help[from + 8..].split('"').next().unwrap().to_owned();
        World {
            server,
            http: Client::builder().redirect(Policy::none()).build().unwrap(),
            closed,
            credentials,
            named,
            style,
        }
    }

    fn base(&self, who: usize) -> &str {
        match PRINCIPALS[who].ends_with("closed") {
            true => &self.closed,
            false => &self.server.url,
        }
    }

    /// The address of a route's page about what is public or private.
    fn path(&self, route: &Route, private: bool) -> String {
        let named = &self.named[usize::from(private)];
        let mut path = route.path.clone();
        let id = match route.object {
            Object::Attempt => "attempt",
            Object::Survey => "survey",
            Object::Regression => "regression",
            _ => "job",
        };
        let tree = if route.path.starts_with("/git") {
            "line.git"
        } else {
            "line"
        };
        let name = match route.object {
            Object::Attempt => "build",
            _ if route.path.contains("/users/") => "dan",
            _ => "line",
        };
        for (key, value) in [
            ("{id}", named[id].as_str()),
            ("{sha256}", named["sha256"].as_str()),
            ("{name}", name),
            ("{tree}", tree),
            ("{rev}", "0123456"),
            ("{file}", self.style.as_str()),
        ] {
            path = path.replace(key, value);
        }
        assert!(!path.contains('{'), "{path}");
        match route.object {
            Object::Followed => format!("{path}?of=job/{}", named["job"]),
            _ => path,
        }
    }

    async fn request(&self, route: &Route, who: usize, path: &str) -> RequestBuilder {
        let base = self.base(who);
        let method: Method = route.method.as_str().parse().unwrap();
        let query = if path.contains("/git/") {
            "?service=git-upload-pack"
        } else {
            ""
        };
        let request = self
            .http
            .request(method.clone(), format!("{base}{path}{query}"));
        let write = method != Method::GET;
        let mut form_token = String::new();
        let request = match &self.credentials[who] {
            Credential::Nothing => request,
            Credential::Bearer(token) => request.bearer_auth(token),
            Credential::Session(secret) if path == "/logout" => {
                // It ends there: one of its own.
                let other = copy_of(&self.server, secret).await;
                form_token = access::form_token(&other);
                request.header("cookie", format!("firstbad={other}"))
            }
            Credential::Session(secret) => {
                form_token = access::form_token(secret);
                request.header("cookie", format!("firstbad={secret}"))
            }
        };
        match (write, route.surface) {
            (false, _) => request,
            (true, Surface::Page) => request
                .header("origin", base)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("form_token={form_token}")),
            (true, Surface::Program) => request
                .header("origin", base)
                .header("x-form-token", form_token)
                .json(&json!({})),
        }
    }

    /// What is wrong with a cell.
    async fn check(
        &self,
        (route, who, private, want): &(&Route, usize, bool, char),
    ) -> Option<String> {
        let path = self.path(route, *private);
        let answer = self.request(route, *who, &path).await.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = |name: &str| headers.get(name).map_or("", |v| v.to_str().unwrap());
        let got = match status {
            // It passed, but its sender did not sign it: that is asserted in triggers.rs.
            StatusCode::UNAUTHORIZED if path.contains("/hooks/") => '+',
            StatusCode::UNAUTHORIZED => 'L',
            StatusCode::SEE_OTHER if text("location").starts_with("/login") => 'L',
            // git's own refusals are plain text.
            StatusCode::FORBIDDEN if !text("content-type").starts_with("text/plain") => 'F',
            // It passed: whose tokens, webhooks and rules there are is asserted in tokens.rs,
            // webhooks.rs and watch.rs.
            StatusCode::NOT_FOUND
                if [
                    "/tokens/",
                    "/webhooks/",
                    "/deliveries/",
                    "/rules/",
                    "/triggers/",
                ]
                .iter()
                .any(|p| path.contains(p)) =>
            {
                '+'
            }
            StatusCode::NOT_FOUND => 'H',
            status if status.is_server_error() => '!',
            _ => '+',
        };
        // A stream that is followed does not end.
        let body = match text("content-type") {
            "text/event-stream" => String::new(),
            _ => answer.text().await.unwrap(),
        };
        let sees = "345678".contains(&who.to_string()) && *who != 4;
        let cell = format!("{} {path}, {}", route.method, PRINCIPALS[*who]);
        if got != *want {
            return Some(format!(
                "{cell}: {want} wanted, {got} got ({status}): {body:.300}"
            ));
        }
        if !sees && body.contains(SECRET) {
            return Some(format!("{cell}: tells a secret: {body}"));
        }
        if got == 'H' {
            let missing = path.replace(&self.named[1][named_by(route)], "987654");
            let asked = self
                .request(route, *who, &missing)
                .await
                .send()
                .await
                .unwrap();
            let said = asked
                .text()
                .await
                .unwrap()
                .replace("987654", &self.named[1][named_by(route)]);
            if said != body {
                return Some(format!(
                    "{cell}: not in the words of what is missing: {body} {said}"
                ));
            }
        }
        None
    }
}

fn named_by(route: &Route) -> &'static str {
    match route.object {
        Object::Artefact => "sha256",
        Object::Attempt => "attempt",
        Object::Survey => "survey",
        Object::Regression => "regression",
        _ => "job",
    }
}

/// A second session of the same account.
async fn copy_of(server: &TestServer, secret: &str) -> String {
    let copy = access::new_session();
    let sql =
        "INSERT INTO session (hash, account_id) SELECT $1, account_id FROM session WHERE hash = $2";
    sqlx::query(sql)
        .bind(&Sha256::digest(&copy)[..])
        .bind(&Sha256::digest(secret)[..])
        .execute(&server.app.pool)
        .await
        .unwrap();
    copy
}

async fn session(server: &TestServer, name: &str, role: Role) -> Credential {
    let mut conn = server.app.pool.acquire().await.unwrap();
    db::account::insert(&mut conn, name, role.as_str(), "no password")
        .await
        .unwrap();
    let account = db::account::find(&mut conn, name).await.unwrap().unwrap();
    let secret = access::new_session();
    let hash = Sha256::digest(&secret);
    db::account::sign_in(&mut conn, &hash, account.id, (60, 60))
        .await
        .unwrap();
    Credential::Session(secret)
}

/// A token, and what is then done to it.
async fn token(server: &TestServer, id: &str, role: Role, then: &str) -> Credential {
    let mut conn = server.app.pool.acquire().await.unwrap();
    let text = access::make_token(id);
    access::put_token(&mut conn, id, &text, Some(role))
        .await
        .unwrap();
    let update = format!("UPDATE token SET {then} WHERE id = '{id}'");
    sqlx::query(sqlx::AssertSqlSafe(update))
        .execute(&mut *conn)
        .await
        .unwrap();
    Credential::Bearer(text)
}

/// In the order of [`PRINCIPALS`].
async fn credentials(server: &TestServer) -> Vec<Credential> {
    let of = |name: &str| format!("account_id = (SELECT id FROM account WHERE name = '{name}')");
    let viewer = session(server, "vera", Role::Viewer).await;
    let owner = session(server, "olga", Role::Submitter).await;
    let other = session(server, "sam", Role::Submitter).await;
    let operator = session(server, "otto", Role::Operator).await;
    let admin = session(server, "ada", Role::Admin).await;
    let disabled = session(server, "dan", Role::Admin).await;
    let own = token(server, "own", Role::Submitter, &of("olga")).await;
    let capped = token(server, "capped", Role::Admin, &of("vera")).await;
    let dead = token(server, "dead", Role::Admin, &of("dan")).await;
    let revoked = token(server, "revoked", Role::Admin, "revoked_at = now()").await;
    let expired = token(server, "expired", Role::Admin, "expires_at = now()").await;
    let disable = "UPDATE account SET disabled_at = now() WHERE name = 'dan'";
    sqlx::query(disable)
        .execute(&server.app.pool)
        .await
        .unwrap();
    let worker = Credential::Bearer(server.worker_token.clone());
    vec![
        Credential::Nothing,
        Credential::Nothing,
        viewer,
        owner,
        other,
        operator,
        admin,
        Credential::Bearer(server.token.clone()),
        own,
        capped,
        worker.clone(),
        worker,
        disabled,
        dead,
        revoked,
        expired,
        Credential::Bearer(access::make_token("local")),
    ]
}

/// A public and a private job, attempt, artefact and survey.
async fn fill(server: &TestServer, owner: &str) -> [BTreeMap<&'static str, String>; 2] {
    let revs = server.tree("line", 8).await;
    let submit = async |path: &str, body: Value| -> i64 {
        let request = server.http.post(format!("{}/api/v1{path}", server.url));
        let answer = request.bearer_auth(owner).json(&body).send().await.unwrap();
        let created: Value = answer.json().await.unwrap();
        created["id"]
            .as_i64()
            .unwrap_or_else(|| panic!("{created}"))
    };
    let job = |more: Value| {
        let mut body = json!({ "tree": "line", "good": [revs[0]], "bad": revs[7] });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    let survey = |title: &str, private: bool| {
        json!({ "tree": "line", "releases": [revs[0], revs[7]], "suites": ["btrfs/direct-io"],
                "title": title, "private": private, "runs": 1 })
    };
    let public = submit("/jobs", job(json!({ "suite": "btrfs/direct-io" }))).await;
    // Needs the same builds and runs as the public one, and must not be told by them.
    let sharing = json!({ "suite": "btrfs/direct-io", "title": SECRET, "private": true });
    submit("/jobs", job(sharing)).await;
    let own = json!({ "kind": "script", "name": SECRET, "content": format!("echo {SECRET}") });
    let own = json!({ "suite": "custom", "custom": own, "title": SECRET, "private": true });
    let private = submit("/jobs", job(own)).await;
    let open = submit("/surveys", survey("open", false)).await;
    let hidden = submit("/surveys", survey(SECRET, true)).await;
    let mut worker = server.register().await;
    let bad = |rev: &str| revs.iter().position(|r| r == rev).is_some_and(|at| at >= 5);
    worker
        .work_all(|rev, _| match bad(rev) {
            true => Seen::Failing(&["eof", "custom"]),
            false => Seen::Failing(&[]),
        })
        .await;
    let named = async |job: i64, survey: i64, sha256: &str| {
        let attempt = attempt_of(server, job).await;
        put(server, attempt, sha256).await;
        BTreeMap::from([
            ("job", job.to_string()),
            ("attempt", attempt.to_string()),
            ("survey", survey.to_string()),
            ("regression", regression(server, job).await.to_string()),
            ("sha256", sha256.to_owned()),
        ])
    };
    [
        named(public, open, &"a".repeat(64)).await,
        named(private, hidden, &"b".repeat(64)).await,
    ]
}

/// A regression as private as its job.
async fn regression(server: &TestServer, job: i64) -> i64 {
    let sql =
        "INSERT INTO regression (tree_id, owner, private, suite, signature, ref, good_rev, bad_rev,
                                       last_rev, job_id)
               SELECT tree_id, owner, private, 'btrfs/direct-io',
                      json_build_object('kind', 'crash', 'title', title), 'main', 'a', 'b', 'b', id
                 FROM job WHERE id = $1 RETURNING id";
    let made = sqlx::query_scalar(sql).bind(job);
    made.fetch_one(&server.app.pool).await.unwrap()
}

/// An attempt of a job that no job of the other kind needs.
async fn attempt_of(server: &TestServer, job: i64) -> i64 {
    let sql = "SELECT attempt_id FROM probe WHERE job_id = $1 AND kind = 'test' ORDER BY 1 LIMIT 1";
    let found = sqlx::query_scalar(sql)
        .bind(job)
        .fetch_one(&server.app.pool);
    found.await.unwrap()
}

/// A log and an artefact of an attempt.
async fn put(server: &TestServer, attempt: i64, sha256: &str) {
    let pool = &server.app.pool;
    let log = "INSERT INTO log (attempt_id, epoch, name) SELECT id, epoch, 'build' FROM attempt WHERE id = $1";
    sqlx::query(log).bind(attempt).execute(pool).await.unwrap();
    let epoch = sqlx::query_scalar("SELECT epoch FROM attempt WHERE id = $1");
    let epoch: i32 = epoch.bind(attempt).fetch_one(pool).await.unwrap();
    let store = &server.app.store;
    store
        .append_log(attempt, epoch, "build", 0, b"a log\n")
        .await
        .unwrap();
    let artefact =
        "INSERT INTO artefact (attempt_id, name, sha256, bytes) VALUES ($1, 'file', $2, 2)";
    sqlx::query(artefact)
        .bind(attempt)
        .bind(sha256)
        .execute(pool)
        .await
        .unwrap();
    let path = store.artefact_path(sha256);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, "x\n").unwrap();
}
