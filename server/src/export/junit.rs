//! JUnit's XML: a suite for each revision, a case for its build and each of its runs. The first case
//! is the answer, and fails when something is to blame.

use askama::Template;
use firstbad_api::job::{Candidate, Find, Job, Outcome};

use super::{Whole, plain};
use crate::view::short;

/// `junit.xml`.
#[derive(Template)]
#[template(path = "junit.xml")]
struct Junit {
    title: String,
    suites: Vec<Suite>,
    tests: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

struct Suite {
    name: String,
    cases: Vec<Case>,
}

impl Suite {
    fn count(&self, how: &str) -> usize {
        self.cases.iter().filter(|c| c.how == how).count()
    }
}

struct Case {
    class: String,
    name: String,
    /// `passed`, `failure`, `error` or `skipped`.
    how: &'static str,
    why: String,
}

/// The job as JUnit's XML.
pub fn junit(whole: &Whole) -> askama::Result<String> {
    let job = &whole.job;
    let mut suites = vec![answer(job)];
    suites.extend(job.candidates.iter().filter_map(|c| suite(job, c)));
    let sum = |how: &str| suites.iter().map(|s| s.count(how)).sum();
    let page = Junit {
        title: plain(&job.title),
        tests: suites.iter().map(|s| s.cases.len()).sum(),
        failures: sum("failure"),
        errors: sum("error"),
        skipped: sum("skipped"),
        suites,
    };
    page.render()
}

fn answer(job: &Job) -> Suite {
    let how = match (&job.outcome, job.request.find) {
        (None, _) => "skipped",
        (Some(Outcome::Culprit { .. } | Outcome::Range { .. }), Find::Regression) => "failure",
        (Some(Outcome::Differs { .. }), Find::Regression) => "failure",
        (Some(Outcome::Unresolved { .. } | Outcome::NoGoodEnd { .. }), _) => "error",
        (Some(Outcome::Cancelled), _) => "skipped",
        (Some(_), _) => "passed",
    };
    Suite {
        name: format!("job {}", job.id),
        cases: vec![Case {
            class: plain(&job.request.suite),
            name: "answer".to_owned(),
            how,
            why: plain(&job.sentence),
        }],
    }
}

/// A revision of which something has ended.
fn suite(job: &Job, c: &Candidate) -> Option<Suite> {
    let class = plain(&job.request.suite);
    let built = match c.build_state.as_str() {
        "done" => "passed",
        "failed" => "error",
        _ => return None,
    };
    let mut cases = vec![Case {
        class: "build".to_owned(),
        name: "build".to_owned(),
        how: built,
        why: match built {
            "error" => plain(&c.why),
            _ => String::new(),
        },
    }];
    for t in c.tests.iter().filter(|t| !t.verdict.is_empty()) {
        cases.push(Case {
            class: class.clone(),
            name: format!("attempt {}, seed {}", t.attempt, t.seed),
            how: match t.verdict.as_str() {
                "bad" => "failure",
                "good" => "passed",
                _ => "skipped",
            },
            why: plain(&t.why),
        });
    }
    Some(Suite {
        name: format!("{} {}", short(&c.rev), plain(&c.subject)),
        cases,
    })
}
