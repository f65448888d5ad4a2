//! The description of the API says what the routes are and what they answer.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::common::{TestServer, request};

/// Every reference in a document leads somewhere.
fn dangling(document: &Value, at: &Value, found: &mut BTreeSet<String>) {
    match at {
        Value::Object(fields) => {
            if let Some(named) = fields.get("$ref").and_then(Value::as_str) {
                let there = named.strip_prefix('#').and_then(|p| document.pointer(p));
                if there.is_none() {
                    found.insert(named.to_owned());
                }
            }
            fields.values().for_each(|v| dangling(document, v, found));
        }
        Value::Array(all) => all.iter().for_each(|v| dangling(document, v, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_json_route_is_described_and_nothing_else() {
    let server = TestServer::start().await;
    let url = format!("{}/api/v1/openapi.json", server.url);
    let document: Value = server
        .http
        .get(url)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.insert(format!("{} {path}", method.to_uppercase()));
        }
    }
    let table = firstbad_server::run::routes(&server.app);
    let routes: BTreeSet<String> = table
        .table()
        .iter()
        .filter(|r| r.path.starts_with("/api/v1/") && !r.path.ends_with("/openapi.json"))
        .map(|r| format!("{} {}", r.method, r.path))
        .collect();
    assert_eq!(described, routes);
    let mut found = BTreeSet::new();
    dangling(&document, &document, &mut found);
    assert_eq!(found, BTreeSet::new());
    let ids: Vec<&Value> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|methods| methods.as_object().unwrap().values())
        .map(|operation| &operation["operationId"])
        .collect();
    assert_eq!(
        ids.iter()
            .map(|id| id.as_str().unwrap())
            .collect::<BTreeSet<_>>()
            .len(),
        ids.len()
    );
    let submit = &document["paths"]["/api/v1/jobs"]["post"];
    assert_eq!(submit["security"], json!([{ "token": [] }]));
    let schema = &document["components"]["schemas"]["NewJob"];
    assert_eq!(schema["additionalProperties"], false);
    assert!(
        schema["required"]
            .as_array()
            .unwrap()
            .contains(&json!("bad"))
    );
}

#[tokio::test]
async fn the_page_tells_the_fields_of_a_job() {
    let server = TestServer::start().await;
    let page = server
        .http
        .get(format!("{}/api", server.url))
        .send()
        .await
        .unwrap();
    let page = page.text().await.unwrap();
    for words in [
        "/jobs/preview",
        "max_runs",
        "for its owner and operators",
        "list of string",
    ] {
        assert!(page.to_lowercase().contains(words), "{words}");
    }
    // What the page says works.
    let revs = server.tree("line", 4).await;
    server.submit(&request("line", &revs[0], &revs[3])).await;
}

/// Whatever stands in its fields, a body is an object: a list of values is not taken for one.
#[tokio::test]
async fn what_the_description_does_not_allow_is_refused() {
    let server = TestServer::start().await;
    server.tree("line", 4).await;
    let rule = json!({ "tree": "line", "name": "smoke", "refs": "main", "run": { "suite": "btrfs/smoke" } });
    assert_eq!(server.post("/rules", &rule).await.status(), 201);
    let user = json!({ "name": "alice", "role": "viewer", "password": "a long password" });
    assert_eq!(server.post("/users", &user).await.status(), 201);
    let base = &server.url;
    let document = server.http.get(format!("{base}/api/v1/openapi.json"));
    let document: Value = document.send().await.unwrap().json().await.unwrap();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let there = path
            .replace("{id}", "1")
            .replace("/trees/{name}", "/trees/line");
        let there = there.replace("{name}", "alice");
        for (method, operation) in methods.as_object().unwrap() {
            let body = &operation["requestBody"]["content"]["application/json"];
            // What a service sends is its own matter: that is told by its signature.
            if body.is_null() || path.contains("/hooks/") {
                continue;
            }
            let worker = operation["tags"] == json!(["for workers"]);
            let token = if worker {
                &server.worker_token
            } else {
                &server.token
            };
            let method = method.to_uppercase().parse::<reqwest::Method>().unwrap();
            for list in [json!([]), json!([null, null]), json!([[], "x"])] {
                let answer = server
                    .http
                    .request(method.clone(), format!("{base}{there}"));
                let answer = answer.bearer_auth(token).json(&list).send().await.unwrap();
                assert!(answer.status().is_client_error(), "{method} {path} {list}");
                assert_eq!(answer.headers()["content-type"], "application/problem+json");
                asked += 1;
            }
        }
    }
    assert!(asked > 60, "{asked}");
    for query in ["job=-1", "before=-1"] {
        let answer = server
            .http
            .get(format!("{base}/api/v1/regressions?{query}"));
        assert_eq!(answer.send().await.unwrap().status(), 422, "{query}");
    }
    // Who may read without a token is said so.
    let read = |path: &str| &document["paths"][path]["get"]["security"];
    assert_eq!(*read("/api/v1/artefacts/{sha256}"), *read("/api/v1/jobs"));
    let trigger = &document["paths"]["/api/v1/triggers/{id}"]["post"];
    assert_eq!(trigger["requestBody"]["required"], false);
}
