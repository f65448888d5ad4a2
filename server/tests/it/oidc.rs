//! Signing in with an identity provider, which is a fake one that also lies.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{Extensions, HeaderMap};
use firstbad_api::limits;
use firstbad_server::access::{Address, Role};
use firstbad_server::oidc::OidcConfig;
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde_json::{Value, json};

use crate::common::TestServer;
use crate::common::browser::{Browser, PASSWORD, account, audited};
use crate::oidc_provider::{CLIENT, FakeProvider, SECRET, Signed};

/// A browser that keeps cookies and follows nothing by itself.
struct Visitor {
    http: Client,
    server: String,
    cookies: BTreeMap<String, String>,
}

/// What a page was answered with.
struct Seen {
    status: StatusCode,
    to: String,
    page: String,
}

impl Visitor {
    fn new(server: &TestServer) -> Visitor {
        Visitor {
            http: Client::builder().redirect(Policy::none()).build().unwrap(),
            server: server.url.clone(),
            cookies: BTreeMap::new(),
        }
    }

    async fn get(&mut self, path: &str) -> Seen {
        let pairs = self.cookies.iter().map(|(n, v)| format!("{n}={v}"));
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        let asked = self.http.get(format!("{}{path}", self.server));
        let answer = asked.header("cookie", cookies).send().await.unwrap();
        self.keep(&answer);
        let to = answer.headers().get("location");
        Seen {
            status: answer.status(),
            to: to.map_or_else(String::new, |v| v.to_str().unwrap().to_owned()),
            page: answer.text().await.unwrap(),
        }
    }

    fn keep(&mut self, answer: &Response) {
        for set in answer.headers().get_all("set-cookie") {
            let set = set.to_str().unwrap();
            let (name, rest) = set.split_once('=').unwrap();
            let (value, rules) = rest.split_once(';').unwrap();
            assert!(rules.contains("HttpOnly; SameSite=Lax"), "{set}");
            match value {
                "" => self.cookies.remove(name),
                _ => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
    }

    /// Goes to the provider and comes back to this path and query, which is not asked for yet.
    async fn go(&mut self, next: &str) -> String {
        let begun = self.get(&format!("/login/oidc?next={next}")).await;
        assert_eq!(begun.status, StatusCode::SEE_OTHER, "{}", begun.page);
        let there = self.http.get(&begun.to).send().await.unwrap();
        let back = there.headers()["location"].to_str().unwrap();
        back.strip_prefix(&self.server).unwrap().to_owned()
    }

    async fn sign_in(&mut self) -> Seen {
        let back = self.go("/workers").await;
        self.get(&back).await
    }

    /// Name and role that the pages show.
    async fn signed_in(&mut self) -> Option<String> {
        let page = self.get("/help").await.page;
        let (_, rest) = page.split_once("Signed in as <strong>")?;
        let (name, rest) = rest.split_once("</strong> <span class=\"quiet\">(")?;
        Some(format!("{name} {}", rest.split_once(')')?.0))
    }
}

async fn serve(provider: &FakeProvider, change: impl FnOnce(&mut OidcConfig)) -> TestServer {
    let mut oidc = provider.config();
    change(&mut oidc);
    TestServer::start_with(|config| {
        config.url = Some(format!("http://{}", config.listen));
        config.oidc = Some(oidc);
    })
    .await
}

async fn both() -> (Arc<FakeProvider>, TestServer) {
    let provider = FakeProvider::start().await;
    let server = serve(&provider, |_| {}).await;
    (provider, server)
}

/// Where tests come from.
fn here(server: &TestServer) -> Address {
    Address::of(&server.app.gate, &HeaderMap::new(), &Extensions::new())
}

async fn count(server: &TestServer, what: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {what}");
    let count = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    count.fetch_one(&server.app.pool).await.unwrap()
}

#[tokio::test]
async fn who_signs_in_elsewhere_has_an_account_here() {
    let (provider, server) = both().await;
    let mut visitor = Visitor::new(&server);
    let page = visitor.get("/login?next=/workers").await.page;
    let button =
        r#"<a class="button" href="/login/oidc?next=/workers">Sign in with Kernel SSO</a>"#;
    assert!(page.contains(button), "{page}");
    let came = visitor.sign_in().await;
    assert_eq!(
        (came.status, came.to.as_str()),
        (StatusCode::SEE_OTHER, "/workers")
    );
    let names: Vec<_> = visitor.cookies.keys().collect();
    assert_eq!(names, ["firstbad"], "the cookie of the way is gone");
    assert_eq!(
        visitor.signed_in().await.unwrap(),
        "alice@kernel-sso viewer"
    );
    let stored = "account WHERE issuer IS NOT NULL AND subject = '1' AND password IS NULL";
    assert_eq!(count(&server, stored).await, 1);
    assert_eq!(count(&server, "sign_in").await, 0);

    let mut other = Visitor::new(&server);
    provider.somebody(json!({ "preferred_username": "al", "aud": [CLIENT] }));
    assert_eq!(other.sign_in().await.status, StatusCode::SEE_OTHER);
    assert_eq!(other.signed_in().await.unwrap(), "alice@kernel-sso viewer");
    assert_eq!(
        count(&server, "account").await,
        1,
        "known by the subject alone"
    );
    let who = "alice@kernel-sso";
    assert_eq!(audited(&server, who, "account made").await.len(), 1);
    let noted = audited(&server, who, "signed in").await;
    assert_eq!(noted.len(), 2);
    assert_eq!(noted[0]["with"], provider.url);
}

/// Each lie, its status and a part of what the page says.
fn lies() -> Vec<(Value, Signed, &'static str)> {
    let well = Signed::Well;
    vec![
        (json!({ "nonce": "other" }), well, "from another sign-in"),
        (json!({ "nonce": null }), well, "from another sign-in"),
        (json!({ "aud": "other" }), well, "for another program"),
        (
            json!({ "aud": [CLIENT, "other"] }),
            well,
            "for another program",
        ),
        (json!({ "azp": "other" }), well, "for another program"),
        (json!({ "aud": [] }), well, "for another program"),
        (json!({ "aud": null }), well, "not of the form"),
        (json!({ "exp": 1_000_000_000 }), well, "has expired"),
        (json!({ "exp": null }), well, "not of the form"),
        (json!({ "nbf": 9_000_000_000_u64 }), well, "for later"),
        (
            json!({ "iss": "https://other.example" }),
            well,
            "from another issuer",
        ),
        (json!({ "sub": "" }), well, "names nobody"),
        (json!({ "sub": null }), well, "not of the form"),
        (json!({ "sub": "x".repeat(300) }), well, "names nobody"),
        (json!({}), Signed::Not, "not signed as it should be"),
        (json!({}), Signed::ByAnother, "not signed by it"),
        (
            json!({}),
            Signed::Hmac(SECRET),
            "not signed with a key of its own",
        ),
        (
            json!({}),
            Signed::Hmac(""),
            "not signed with a key of its own",
        ),
    ]
}

#[tokio::test]
async fn an_answer_that_proves_nothing_leaves_nothing() {
    let (provider, server) = both().await;
    for (claims, signed, why) in lies() {
        server.app.gate.sign_ins.came_back(here(&server));
        provider.somebody(claims.clone());
        provider.plays().signed = signed;
        let mut visitor = Visitor::new(&server);
        let came = visitor.sign_in().await;
        assert_eq!(came.status, StatusCode::BAD_GATEWAY, "{claims}");
        let said =
            came.page.contains("Kernel SSO did not prove who you are") && came.page.contains(why);
        assert!(said, "{claims}: {}", came.page);
        assert!(
            came.page.contains("Sign in with Kernel SSO"),
            "one can try again"
        );
        assert!(visitor.cookies.is_empty(), "{:?}", visitor.cookies);
    }
    provider.somebody(json!({}));
    provider.plays().signed = Signed::Well;
    for (status, text) in [
        (StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#),
        (StatusCode::OK, "<html>"),
        (StatusCode::OK, r#"{"access_token":"x"}"#),
        (StatusCode::FOUND, ""),
    ] {
        server.app.gate.sign_ins.came_back(here(&server));
        provider.plays().token_answer = Some((status, text.to_owned()));
        let came = Visitor::new(&server).sign_in().await;
        assert_eq!(came.status, StatusCode::BAD_GATEWAY, "{status} {text}");
    }
    for table in ["account", "session", "sign_in"] {
        assert_eq!(count(&server, table).await, 0, "{table}");
    }
    let noted = audited(&server, "unknown", "sign-in refused").await;
    assert_eq!(noted.len(), lies().len() + 4);
    provider.plays().token_answer = None;
    provider.somebody(json!({ "aud": [CLIENT, "other"], "azp": CLIENT }));
    server.app.gate.sign_ins.came_back(here(&server));
    let came = Visitor::new(&server).sign_in().await;
    assert_eq!(came.status, StatusCode::SEE_OTHER, "{}", came.page);
}

#[tokio::test]
async fn a_sign_in_comes_back_once_in_time_and_to_the_browser_it_began_in() {
    let (provider, server) = both().await;
    let refused = |seen: &Seen, why: &str| {
        assert_eq!(seen.status, StatusCode::BAD_REQUEST, "{why}: {}", seen.page);
        assert!(seen.page.contains(why), "{why}: {}", seen.page);
    };
    let mut visitor = Visitor::new(&server);
    let back = visitor.go("/workers").await;
    refused(
        &Visitor::new(&server).get(&back).await,
        "did not begin in this browser",
    );
    let kept = visitor.cookies.clone();
    for wrong in [
        back.replace("state=", "state=x"),
        "/login/oidc/callback".to_owned(),
        "/login/oidc/callback?code=x&code=y&state=z".to_owned(),
    ] {
        visitor.cookies = kept.clone();
        refused(&visitor.get(&wrong).await, "belongs to another sign-in");
    }
    visitor.cookies = kept.clone();
    assert_eq!(visitor.get(&back).await.status, StatusCode::SEE_OTHER);
    assert_eq!(
        provider.plays().tokens,
        1,
        "the code was sent for the right one only"
    );
    visitor.cookies = kept;
    refused(&visitor.get(&back).await, "has come back already");
    assert_eq!(provider.plays().tokens, 1);

    let mut late = Visitor::new(&server);
    let back = late.go("/workers").await;
    let sql = format!(
        "UPDATE sign_in SET created_at = now() - interval '{} s'",
        limits::SIGN_IN_S + 1
    );
    let pool = &server.app.pool;
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .execute(pool)
        .await
        .unwrap();
    refused(&late.get(&back).await, "took longer than ten minutes");
    // The state of one sign-in does not fit another one of the same browser.
    let first = late.go("/workers").await;
    late.go("/workers").await;
    refused(&late.get(&first).await, "belongs to another sign-in");

    let mut mixed = Visitor::new(&server);
    let back = mixed.go("/workers").await;
    let came = mixed
        .get(&format!("{back}&iss=https://other.example"))
        .await;
    assert!(came.page.contains("from another issuer"), "{}", came.page);
    let mut denied = Visitor::new(&server);
    let back = denied.go("/workers").await;
    let came = denied
        .get(&back.replace("code=", "error=access_denied&x="))
        .await;
    assert_eq!(came.status, StatusCode::FORBIDDEN);
    let mut vague = Visitor::new(&server);
    let back = vague.go("/workers").await;
    let came = vague
        .get(&back.replace("code=", "error=%3Cb%3Ecall+me&x="))
        .await;
    assert!(came.page.contains("without an answer") && !came.page.contains("call me"));
}

#[tokio::test]
async fn nobody_is_sent_to_another_site() {
    let (_provider, server) = both().await;
    for next in [
        "https://evil.example/",
        "//evil.example",
        "/%5Cevil.example",
    ] {
        let mut visitor = Visitor::new(&server);
        let back = visitor.go(next).await;
        assert_eq!(visitor.get(&back).await.to, "/", "{next}");
    }
}

#[tokio::test]
async fn a_new_key_is_asked_for_when_it_is_used() {
    let (provider, server) = both().await;
    assert_eq!(
        Visitor::new(&server).sign_in().await.status,
        StatusCode::SEE_OTHER
    );
    provider.plays().key = 1;
    let came = Visitor::new(&server).sign_in().await;
    assert!(came.page.contains("an unknown key"), "{}", came.page);
    provider.plays().published = vec![0, 1];
    assert_eq!(
        Visitor::new(&server).sign_in().await.status,
        StatusCode::SEE_OTHER
    );
    // The old one counts until it is no longer published.
    provider.plays().key = 0;
    assert_eq!(
        Visitor::new(&server).sign_in().await.status,
        StatusCode::SEE_OTHER
    );
}

#[tokio::test]
async fn a_provider_that_is_away_keeps_nothing_else_from_working() {
    let provider = FakeProvider::start().await;
    provider.plays().down = true;
    let server = serve(&provider, |_| {}).await;
    account(&server, "bob", "viewer").await;
    let mut visitor = Visitor::new(&server);
    let away = |seen: &Seen| {
        assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(
            seen.page.contains("Kernel SSO does not answer just now"),
            "{}",
            seen.page
        );
    };
    away(&visitor.get("/login/oidc").await);
    assert_eq!(count(&server, "sign_in").await, 0);
    let mut local = Browser::new(&server);
    assert_eq!(
        local.sign_in("bob", PASSWORD).await.status(),
        StatusCode::SEE_OTHER
    );
    provider.plays().down = false;
    away(&visitor.get("/login/oidc").await);
    tokio::time::sleep(std::time::Duration::from_millis(3_100)).await;
    let back = visitor.go("/").await;
    provider.plays().down = true;
    away(&visitor.get(&back).await);
    assert_eq!(count(&server, "session").await, 1, "that of bob");

    let nobody = serve(&provider, |config| {
        config.issuer = "http://127.0.0.1:1".to_owned()
    })
    .await;
    away(&Visitor::new(&nobody).get("/login/oidc").await);
    provider.plays().down = false;
    provider.plays().issuer = Some("https://other.example".to_owned());
    let other = serve(&provider, |_| {}).await;
    let came = Visitor::new(&other).get("/login/oidc").await;
    assert!(
        came.page.contains("describes itself as another issuer"),
        "{}",
        came.page
    );
}

fn mapped(config: &mut OidcConfig) {
    config.claim = Some("groups".to_owned());
    config.map = vec![
        ("kernel".to_owned(), Role::Submitter),
        ("root".to_owned(), Role::Admin),
    ];
}

#[tokio::test]
async fn roles_are_those_of_the_groups_at_each_sign_in() {
    let provider = FakeProvider::start().await;
    let server = serve(&provider, |config| {
        mapped(config);
        config.role = None;
    })
    .await;
    let groups = |groups: Value| provider.somebody(json!({ "groups": groups }));
    let mut visitor = Visitor::new(&server);
    groups(json!(["others"]));
    let came = visitor.sign_in().await;
    assert_eq!(came.status, StatusCode::FORBIDDEN);
    assert!(came.page.contains("a member of no group"), "{}", came.page);
    assert_eq!(count(&server, "account").await, 0);

    groups(json!(["kernel", "root"]));
    visitor.sign_in().await;
    assert_eq!(visitor.signed_in().await.unwrap(), "alice@kernel-sso admin");
    let mut second = Visitor::new(&server);
    groups(json!(["kernel"]));
    second.sign_in().await;
    assert_eq!(
        visitor.signed_in().await.unwrap(),
        "alice@kernel-sso submitter",
        "at once"
    );
    groups(json!([]));
    assert_eq!(
        Visitor::new(&server).sign_in().await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        visitor.signed_in().await,
        None,
        "who left the groups is signed out"
    );
    assert_eq!(second.signed_in().await, None);
    let role = "account WHERE role = 'viewer'";
    assert_eq!(
        count(&server, role).await,
        1,
        "nor do tokens of the account do more"
    );
    let changed = audited(&server, "alice@kernel-sso", "account changed").await;
    let roles: Vec<_> = changed
        .iter()
        .map(|d| d["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["submitter", "viewer"]);

    groups(json!("kernel"));
    visitor.sign_in().await;
    assert_eq!(
        visitor.signed_in().await.unwrap(),
        "alice@kernel-sso submitter"
    );
    let url = format!("{}/api/v1/users/alice@kernel-sso", server.url);
    let change = |body: Value| {
        let asked = server.http.patch(&url).bearer_auth(&server.token);
        asked.json(&body).send()
    };
    let answer = change(json!({ "password": PASSWORD })).await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let answer = change(json!({ "disabled": true })).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(visitor.signed_in().await, None);
    let came = visitor.sign_in().await;
    assert_eq!(came.status, StatusCode::FORBIDDEN);
    assert!(came.page.contains("is disabled"), "{}", came.page);
    assert_eq!(visitor.signed_in().await, None);
}

#[tokio::test]
async fn an_account_from_elsewhere_is_never_a_local_one() {
    let (provider, server) = both().await;
    account(&server, "alice", "admin").await;
    let mut visitor = Visitor::new(&server);
    visitor.sign_in().await;
    assert_eq!(
        visitor.signed_in().await.unwrap(),
        "alice@kernel-sso viewer"
    );
    provider.somebody(json!({ "sub": "2", "email": "alice@example.org", "email_verified": true }));
    let mut second = Visitor::new(&server);
    second.sign_in().await;
    let name = second.signed_in().await.unwrap();
    assert!(
        name.starts_with("alice-") && name.ends_with("@kernel-sso viewer"),
        "{name}"
    );
    // A role that is set by hand stays where none are mapped.
    let url = format!("{}/api/v1/users/alice@kernel-sso", server.url);
    let asked = server.http.patch(url).bearer_auth(&server.token);
    asked
        .json(&json!({ "role": "operator" }))
        .send()
        .await
        .unwrap();
    provider.somebody(json!({}));
    visitor.sign_in().await;
    assert_eq!(
        visitor.signed_in().await.unwrap(),
        "alice@kernel-sso operator"
    );

    let mut browser = Browser::new(&server);
    for password in ["", PASSWORD] {
        let answer = browser.sign_in("alice@kernel-sso", password).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    let taken = json!({ "name": "bob@kernel-sso", "role": "viewer", "password": PASSWORD });
    server.refusal("/users", &taken).await;
    let asked = server.http.get(format!("{}/api/v1/users", server.url));
    let users: Value = asked
        .bearer_auth(&server.token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(users[0]["issuer"], Value::Null);
    assert_eq!(users[2]["issuer"], provider.url);
}

#[tokio::test]
async fn many_tries_from_one_address_wait() {
    let (_provider, server) = both().await;
    let mut visitor = Visitor::new(&server);
    for _ in 0..limits::SIGN_INS_OF_ADDRESS {
        visitor.go("/").await;
    }
    assert_eq!(
        visitor.get("/login/oidc").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    let came = visitor.get("/login/oidc/callback").await;
    assert_eq!(came.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn without_a_provider_there_is_no_such_way() {
    let server = TestServer::start().await;
    let mut visitor = Visitor::new(&server);
    assert!(!visitor.get("/login").await.page.contains("/login/oidc"));
    for path in ["/login/oidc", "/login/oidc/callback?code=x&state=y"] {
        let seen = visitor.get(path).await;
        assert_eq!(seen.status, StatusCode::BAD_REQUEST);
        assert!(seen.page.contains("no other place to sign in with"));
    }
}
