//! A browser without a screen: it keeps one cookie, and says where its forms come from.

use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde_json::{Value, json};

use super::TestServer;

pub const PASSWORD: &str = "correct horse battery";

/// A browser: one cookie, and the origin it is at.
pub struct Browser<'a> {
    server: &'a TestServer,
    http: Client,
    pub cookie: Option<String>,
}

impl<'a> Browser<'a> {
    pub fn new(server: &'a TestServer) -> Browser<'a> {
        Browser {
            server,
            http: Client::builder().redirect(Policy::none()).build().unwrap(),
            cookie: None,
        }
    }

    pub async fn get(&self, path: &str) -> (StatusCode, String) {
        let mut asked = self.http.get(format!("{}{path}", self.server.url));
        if let Some(cookie) = &self.cookie {
            asked = asked.header("cookie", cookie);
        }
        let answer = asked.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    pub async fn post_from(&self, origin: &str, path: &str, form: &[(&str, &str)]) -> Response {
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let mut asked = self.http.post(format!("{}{path}", self.server.url));
        if let Some(cookie) = &self.cookie {
            asked = asked.header("cookie", cookie);
        }
        asked
            .header("origin", origin)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .unwrap()
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        self.post_from(&self.server.url, path, form).await
    }

    /// Tries to sign in, and takes the cookie if there is one.
    pub async fn sign_in(&mut self, name: &str, password: &str) -> Response {
        let form = [("name", name), ("password", password), ("next", "/workers")];
        let answer = self.post("/login", &form).await;
        if let Some(cookie) = answer.headers().get("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            self.cookie = Some(pair.to_owned());
        }
        answer
    }

    /// What the forms of a page carry.
    pub async fn form_token(&self, path: &str) -> String {
        let (_, page) = self.get(path).await;
        let value = page.split("name=\"form_token\" value=\"").nth(1).unwrap();
        value.split('"').next().unwrap().to_owned()
    }
}

pub async fn account(server: &TestServer, name: &str, role: &str) {
    let body = json!({ "name": name, "role": role, "password": PASSWORD });
    let answer = server.post("/users", &body).await;
    assert_eq!(answer.status(), StatusCode::CREATED);
}

pub async fn audited(server: &TestServer, who: &str, what: &str) -> Vec<Value> {
    let sql = "SELECT detail FROM audit WHERE who = $1 AND what = $2 ORDER BY id";
    let found = sqlx::query_scalar(sql).bind(who).bind(what);
    found.fetch_all(&server.app.pool).await.unwrap()
}
