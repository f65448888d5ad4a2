//! Commit statuses of GitHub, GitLab and Forgejo: where they go and what they say.
//!
//! Pure. Sources: GitHub's "REST API endpoints for commit statuses", GitLab's "Commits API, set the
//! pipeline status of a commit", Forgejo's `repoCreateStatus`.

use firstbad_api::rule::StatusTo;
use serde_json::{Value, json};

/// Longest description that GitHub takes, characters.
const DESCRIPTION: usize = 140;

/// How a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Pending,
    Success,
    Failure,
    /// It says nothing about the commit.
    Error,
}

impl State {
    fn word(self, service: &str) -> &'static str {
        match (service, self) {
            ("gitlab", State::Pending) => "running",
            (_, State::Pending) => "pending",
            (_, State::Success) => "success",
            ("gitlab", State::Failure) => "failed",
            (_, State::Failure) => "failure",
            ("gitlab", State::Error) => "canceled",
            (_, State::Error) => "error",
        }
    }
}

/// Where the status of a commit, given by its full id, goes.
pub fn address(to: &StatusTo, rev: &str) -> String {
    let base = to.url.trim_end_matches('/');
    let project = &to.project;
    match to.service.as_str() {
        "github" => format!("{base}/repos/{project}/statuses/{rev}"),
        "gitlab" => {
            let project = project.replace('/', "%2F");
            format!("{base}/api/v4/projects/{project}/statuses/{rev}")
        }
        _ => format!("{base}/api/v1/repos/{project}/statuses/{rev}"),
    }
}

/// What is sent there.
pub fn body(to: &StatusTo, rule: &str, state: State, says: &str, page: Option<&str>) -> Value {
    let says: String = says.chars().take(DESCRIPTION).collect();
    let context = format!("firstbad/{rule}");
    let name = match to.service.as_str() {
        "gitlab" => "name",
        _ => "context",
    };
    let mut body = json!({ "state": state.word(&to.service), "description": says, name: context });
    if let Some(page) = page {
        body["target_url"] = json!(page);
    }
    body
}

/// How a token is shown to a service.
pub fn credential(service: &str, token: &str) -> (&'static str, String) {
    match service {
        "github" => ("authorization", format!("Bearer {token}")),
        "gitlab" => ("private-token", token.to_owned()),
        "patchwork" => ("authorization", format!("Token {token}")),
        _ => ("authorization", format!("token {token}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_service_has_its_own_words() {
        let to = |service: &str| StatusTo {
            service: service.to_owned(),
            url: "https://host/".to_owned(),
            project: "group/linux".to_owned(),
            token: String::new(),
        };
        for (service, address, failure, name) in [
            (
                "github",
                "https://host/repos/group/linux/statuses/ab",
                "failure",
                "context",
            ),
            (
                "gitlab",
                "https://host/api/v4/projects/group%2Flinux/statuses/ab",
                "failed",
                "name",
            ),
            (
                "forgejo",
                "https://host/api/v1/repos/group/linux/statuses/ab",
                "failure",
                "context",
            ),
        ] {
            let to = to(service);
            assert_eq!(super::address(&to, "ab"), address);
            let body = body(&to, "smoke", State::Failure, &"x".repeat(200), None);
            assert_eq!(body["state"], failure);
            assert_eq!(body[name], "firstbad/smoke");
            assert_eq!(body["description"].as_str().map(str::len), Some(140));
            assert_eq!(body.get("target_url"), None);
        }
    }
}
