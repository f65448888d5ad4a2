//! KCIDB's report, schema 5.3: each tested revision is a checkout with a build and its runs; the
//! culprit is an issue, and each run that showed the behaviour an incident of it.
//!
//! Nothing may be null there, and nothing be beside its fields but under `misc`.

use firstbad_api::job::{Candidate, CandidateTest, Find, Outcome};
use serde_json::{Map, Value, json};

use super::{Whole, plain};

/// An origin as KCIDB has them: `[a-z0-9_]+`.
pub fn is_origin(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// The report; `origin` is what KCIDB calls who sends it.
pub fn kcidb(whole: &Whole, origin: &str) -> Value {
    let writer = Writer { whole, origin };
    let tested: Vec<&Candidate> = whole.job.candidates.iter().filter(|c| ended(c)).collect();
    let issue = writer.issue();
    let incidents: Vec<Value> = match &issue {
        Some(_) => tested.iter().flat_map(|c| writer.incidents(c)).collect(),
        None => vec![],
    };
    json!({
        "version": { "major": 5, "minor": 3 },
        "checkouts": tested.iter().map(|c| writer.checkout(c)).collect::<Vec<_>>(),
        "builds": tested.iter().map(|c| writer.build(c)).collect::<Vec<_>>(),
        "tests": tested.iter().flat_map(|c| writer.tests(c)).collect::<Vec<_>>(),
        "issues": Vec::from_iter(issue),
        "incidents": incidents,
    })
}

/// Its build has ended, one way or the other.
fn ended(candidate: &Candidate) -> bool {
    candidate.build.is_some() && matches!(candidate.build_state.as_str(), "done" | "failed")
}

/// A suite as a path of KCIDB's tree of tests.
fn path(suite: &str) -> String {
    let part = |part: &str| -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        part.chars()
            .map(|c| if plain(c) { c } else { '_' })
            .collect()
    };
    let parts = suite.split('/').filter(|p| !p.is_empty()).map(part);
    parts.collect::<Vec<_>>().join(".")
}

struct Writer<'a> {
    whole: &'a Whole,
    origin: &'a str,
}

impl Writer<'_> {
    /// An id that no other object of its kind has, from any of these servers.
    fn id(&self, what: &str) -> String {
        format!("{}:{}.{what}", self.origin, self.whole.instance)
    }

    fn object(&self, id: String) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("id".to_owned(), json!(id));
        object.insert("origin".to_owned(), json!(self.origin));
        object
    }

    /// A page or file of this server, if others can reach it.
    fn url(&self, object: &mut Map<String, Value>, field: &str, path: &str) {
        if let Some(server) = &self.whole.server {
            object.insert(field.to_owned(), json!(format!("{server}{path}")));
        }
    }

    fn checkout_id(&self, c: &Candidate) -> String {
        self.id(&format!("checkout.{}", c.rev))
    }

    fn build_id(&self, c: &Candidate) -> String {
        let build = c.build.unwrap_or_default();
        self.id(&format!("job.{}.build.{build}", self.whole.job.id))
    }

    fn test_id(&self, t: &CandidateTest) -> String {
        self.id(&format!("job.{}.test.{}", self.whole.job.id, t.attempt))
    }

    fn issue_id(&self) -> String {
        self.id(&format!("job.{}", self.whole.job.id))
    }

    fn checkout(&self, c: &Candidate) -> Value {
        let mut checkout = self.object(self.checkout_id(c));
        let tree = &self.whole.job.request.tree;
        checkout.insert("tree_name".to_owned(), json!(plain(tree)));
        checkout.insert("git_commit_hash".to_owned(), json!(c.rev));
        checkout.insert("comment".to_owned(), json!(plain(&c.subject)));
        checkout.insert("valid".to_owned(), json!(true));
        let url = self.whole.tree.as_ref().map(|t| t.url.as_str());
        let url = url.and_then(|u| url::Url::parse(u).ok());
        if let Some(url) = url.filter(|u| u.scheme() == "https" && u.password().is_none()) {
            checkout.insert("git_repository_url".to_owned(), json!(url.as_str()));
        }
        Value::Object(checkout)
    }

    fn build(&self, c: &Candidate) -> Value {
        let mut build = self.object(self.build_id(c));
        build.insert("checkout_id".to_owned(), json!(self.checkout_id(c)));
        build.insert("architecture".to_owned(), json!("x86_64"));
        let status = match c.build_state.as_str() {
            "failed" => "FAIL",
            _ => "PASS",
        };
        build.insert("status".to_owned(), json!(status));
        if let Some(attempt) = c.build {
            let log = format!("/attempts/{attempt}/log/build/raw");
            self.url(&mut build, "log_url", &log);
            if let Some(config) = self.whole.configs.get(&attempt) {
                let config = format!("/api/v1/artefacts/{config}");
                self.url(&mut build, "config_url", &config);
            }
        }
        Value::Object(build)
    }

    fn tests<'b>(&'b self, c: &'b Candidate) -> impl Iterator<Item = Value> + 'b {
        let ended = c.tests.iter().filter(|t| !t.verdict.is_empty());
        ended.map(move |t| self.test(c, t))
    }

    fn test(&self, c: &Candidate, t: &CandidateTest) -> Value {
        let mut test = self.object(self.test_id(t));
        test.insert("build_id".to_owned(), json!(self.build_id(c)));
        let suite = path(&self.whole.job.request.suite);
        test.insert("path".to_owned(), json!(suite));
        let status = match t.verdict.as_str() {
            "bad" => "FAIL",
            "good" => "PASS",
            // It says nothing about what is looked for.
            _ => "ERROR",
        };
        test.insert("status".to_owned(), json!(status));
        test.insert("comment".to_owned(), json!(plain(&t.why)));
        if let Some(value) = t.value {
            test.insert("number".to_owned(), json!({ "value": value }));
        }
        let environment = json!({ "comment": "QEMU q35", "misc": { "seed": t.seed } });
        test.insert("environment".to_owned(), environment);
        let log = format!("/attempts/{}/log/console/raw", t.attempt);
        self.url(&mut test, "log_url", &log);
        Value::Object(test)
    }

    /// A result that was taken back is a newer version of the same issue.
    fn version(&self) -> u32 {
        match self.whole.job.retracted {
            Some(_) => 2,
            None => 1,
        }
    }

    fn issue(&self) -> Option<Value> {
        let job = &self.whole.job;
        let confidence = match (&job.outcome, job.request.find) {
            (
                Some(Outcome::Culprit { confidence, .. } | Outcome::Range { confidence, .. }),
                Find::Regression,
            ) => *confidence,
            _ => return None,
        };
        let mut issue = self.object(self.issue_id());
        issue.insert("version".to_owned(), json!(self.version()));
        issue.insert("report_subject".to_owned(), json!(plain(&job.title)));
        issue.insert("comment".to_owned(), json!(plain(&job.sentence)));
        let code = json!({ "code": true, "tool": false, "harness": false });
        issue.insert("culprit".to_owned(), code);
        let category = path(&job.request.suite);
        issue.insert("categories".to_owned(), json!([category]));
        self.url(&mut issue, "report_url", &format!("/jobs/{}", job.id));
        let named: Vec<&str> = match &job.outcome {
            Some(Outcome::Culprit { rev, .. }) => vec![rev],
            Some(Outcome::Range { candidates, .. }) => {
                candidates.iter().map(|c| c.rev.as_str()).collect()
            }
            _ => vec![],
        };
        let misc = json!({ "confidence": confidence, "culprit_commits": named });
        issue.insert("misc".to_owned(), misc);
        Some(Value::Object(issue))
    }

    fn incidents<'b>(&'b self, c: &'b Candidate) -> impl Iterator<Item = Value> + 'b {
        let showed = c.tests.iter().filter(|t| t.verdict == "bad");
        showed.map(|t| {
            let id = self.id(&format!("job.{}.incident.{}", self.whole.job.id, t.attempt));
            let mut incident = self.object(id);
            incident.insert("issue_id".to_owned(), json!(self.issue_id()));
            incident.insert("issue_version".to_owned(), json!(self.version()));
            incident.insert("test_id".to_owned(), json!(self.test_id(t)));
            let present = self.whole.job.retracted.is_none();
            incident.insert("present".to_owned(), json!(present));
            Value::Object(incident)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_a_path_whatever_it_is_called() {
        assert_eq!(path("btrfs/direct-io"), "btrfs.direct-io");
        assert_eq!(path("a b/ä.c//"), "a_b.__c");
        assert!(is_origin("my_ci2") && !is_origin("My-CI") && !is_origin(""));
    }
}
