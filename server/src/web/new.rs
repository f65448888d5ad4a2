//! The form for a new job: what its range is and what it would cost, before anybody asks for it.
//!
//! The form's fields are the page's query, so that a question can be sent to somebody as a link. Must
//! not know how a request is checked: the API's own check says what is wrong with which field.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect};
use axum::{Form, Json};
use firstbad_api::bisect_log;
use firstbad_api::job::{Find, NewJob, Signal};
use firstbad_api::lease::{ConfigBase, RunMode};
use firstbad_api::problem::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::command;
use super::error::{Page, page};
use super::format::{self, shell};
use crate::access::Principal;
use crate::api::jobs;
use crate::error::AppError;
use crate::forecast::Forecast;
use crate::state::App;

/// Longest query of a link to a form.
const LINK_BYTES: usize = 6 << 10;

/// The fields, as they were written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Asked {
    tree: String,
    good: String,
    bad: String,
    find: String,
    suite: String,
    cases: String,
    signal: String,
    crash: String,
    metric: String,
    threshold: String,
    base: String,
    fragment: String,
    mode: String,
    vcpus: String,
    runs: String,
    confidence: String,
    seed: String,
    skip: String,
    paths: String,
    first_parent: Option<String>,
    bisect_log: String,
    title: String,
    private: Option<String>,
    /// Of the form that submits: sent twice, it is one job.
    #[serde(skip_serializing)]
    key: String,
}

/// What is wrong, and with which field.
struct Wrong {
    field: String,
    why: String,
}

impl Wrong {
    fn of(field: &str, why: impl Into<String>) -> Wrong {
        Wrong {
            field: field.to_owned(),
            why: why.into(),
        }
    }

    /// The API's word for a field is the form's, but for the parts of a signal and of a configuration.
    fn from_problem(problem: Problem) -> Wrong {
        let pointer = problem.pointer.unwrap_or_default();
        let parts: Vec<&str> = pointer.trim_start_matches('/').split('/').collect();
        let field = match parts[..] {
            ["signal", "title", ..] => "crash",
            ["signal", "name", ..] => "metric",
            ["signal", "threshold", ..] => "threshold",
            ["config", "fragment", ..] => "fragment",
            ["config", ..] => "base",
            [field, ..] => field,
            [] => "",
        };
        Wrong::of(field, problem.detail)
    }
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',');
    words.filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

impl Asked {
    fn is_empty(&self) -> bool {
        self.bad.trim().is_empty() && self.bisect_log.trim().is_empty()
    }

    /// The form that means a request; `None` when no form can.
    fn of(request: &NewJob) -> Option<Asked> {
        let plain = request.custom.is_none()
            && request.fstests.is_none()
            && request.selftests_from.is_none()
            && request.fixups.is_empty()
            && request.only.is_empty()
            && !(request.survey || request.two_point || request.merge_first || request.every_flip);
        let base = match &request.config.base {
            None => "",
            Some(ConfigBase::Tinyconfig) => "tinyconfig",
            Some(ConfigBase::X8664Defconfig) => "x86_64_defconfig",
            Some(ConfigBase::File(_) | ConfigBase::Tree(_)) => return None,
        };
        let mut asked = Asked {
            tree: request.tree.clone(),
            good: request.good.join(" "),
            bad: request.bad.clone(),
            find: if request.find == Find::Fix { "fix" } else { "" }.to_owned(),
            suite: request.suite.clone(),
            cases: request.cases.join(" "),
            base: base.to_owned(),
            fragment: request.config.fragment.clone(),
            mode: if request.mode == RunMode::Real {
                "real"
            } else {
                ""
            }
            .to_owned(),
            vcpus: request.vcpus.to_string(),
            runs: request.runs.to_string(),
            confidence: crate::view::percent(request.confidence),
            seed: request.seed.to_string(),
            skip: request.skip.join(" "),
            paths: request.paths.join(" "),
            first_parent: request.first_parent.then(|| "on".to_owned()),
            ..Asked::default()
        };
        match &request.signal {
            Signal::Failure => {}
            Signal::Cases { .. } => return None,
            Signal::Crash { title } => {
                asked.signal = "crash".to_owned();
                asked.crash = title.clone();
            }
            Signal::Metric { name, threshold } => {
                asked.signal = "metric".to_owned();
                asked.metric = name.clone();
                asked.threshold = threshold.map(|t| t.to_string()).unwrap_or_default();
            }
        }
        plain.then_some(asked)
    }

    /// All that was written, by field.
    fn fields(&self) -> Vec<(String, String)> {
        let fields = match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            _ => return Vec::new(),
        };
        let texts = fields.into_iter().filter_map(|(name, value)| match value {
            Value::String(text) if name != "private" && !text.is_empty() => Some((name, text)),
            _ => None,
        });
        texts.collect()
    }

    /// The request that the form means.
    fn request(&self) -> Result<NewJob, Wrong> {
        let mut body = json!({
            "tree": self.tree.trim(),
            "good": words(&self.good),
            "bad": self.bad.trim(),
            "find": if self.find == "fix" { "fix" } else { "regression" },
            "suite": self.suite.trim(),
            "cases": words(&self.cases),
            "signal": self.signal()?,
            "mode": if self.mode == "real" { "real" } else { "exact" },
            "skip": words(&self.skip),
            "paths": words(&self.paths),
            "first_parent": self.first_parent.is_some(),
            "private": self.private.is_some(),
            "config": { "fragment": self.fragment.replace("\r\n", "\n") },
        });
        let mut set = |name: &str, value: Value| body[name] = value;
        for (name, text) in [
            ("vcpus", &self.vcpus),
            ("runs", &self.runs),
            ("seed", &self.seed),
        ] {
            if !text.trim().is_empty() {
                let number: u64 = number(name, text)?;
                set(name, json!(number));
            }
        }
        if !self.confidence.trim().is_empty() {
            let percent: f64 = number("confidence", self.confidence.trim_end_matches(['%', ' ']))?;
            set("confidence", json!((percent * 1e4).round() / 1e6));
        }
        if !self.title.trim().is_empty() {
            set("title", json!(self.title.trim()));
        }
        match self.base.as_str() {
            "tinyconfig" | "x86_64_defconfig" => body["config"]["base"] = json!(self.base),
            _ => {}
        }
        self.take_log(&mut body)?;
        serde_json::from_value(body).map_err(|e| Wrong::of("", e.to_string()))
    }

    fn signal(&self) -> Result<Value, Wrong> {
        Ok(match self.signal.as_str() {
            "crash" => json!({ "kind": "crash", "title": self.crash.trim() }),
            "metric" => {
                let mut signal = json!({ "kind": "metric", "name": self.metric.trim() });
                if !self.threshold.trim().is_empty() {
                    let threshold: f64 = number("threshold", &self.threshold)?;
                    signal["threshold"] = json!(threshold);
                }
                signal
            }
            _ => json!({ "kind": "failure" }),
        })
    }

    /// A bisection by hand that has begun: its ends are nearer than those of the form.
    fn take_log(&self, body: &mut Value) -> Result<(), Wrong> {
        if self.bisect_log.trim().is_empty() {
            return Ok(());
        }
        let stands =
            bisect_log::read(&self.bisect_log).map_err(|why| Wrong::of("bisect_log", why))?;
        body["bad"] = json!(stands.bad);
        body["good"] = json!(stands.good);
        let skip = words(&self.skip).into_iter().chain(stands.skip);
        body["skip"] = json!(skip.collect::<Vec<_>>());
        let paths = words(&self.paths).into_iter().chain(stands.paths);
        body["paths"] = json!(paths.collect::<Vec<_>>());
        if stands.first_parent {
            body["first_parent"] = json!(true);
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Wrong> {
    let text = text.trim();
    text.parse().map_err(|_| {
        Wrong::of(
            field,
            format!("{field}: “{text}” is no number that fits here"),
        )
    })
}

/// A suite to choose.
struct Choice {
    name: String,
    about: String,
    cases: String,
}

/// `new.html`.
#[derive(Template)]
#[template(path = "new.html")]
pub struct NewPage {
    asked: Asked,
    trees: Vec<String>,
    suites: Vec<Choice>,
    wrong: Option<Wrong>,
    forecast: Option<Forecast>,
    command: String,
    curl: String,
}

impl NewPage {
    async fn of(app: &App, asked: Asked) -> Result<NewPage, AppError> {
        let trees = crate::view::trees(app).await?;
        let mut out = NewPage {
            trees: trees.into_iter().map(|tree| tree.name).collect(),
            suites: suites(app),
            wrong: None,
            forecast: None,
            command: String::new(),
            curl: String::new(),
            asked,
        };
        if out.asked.is_empty() {
            return Ok(out);
        }
        let request = match out.asked.request() {
            Ok(request) => request,
            Err(wrong) => {
                out.wrong = Some(wrong);
                return Ok(out);
            }
        };
        out.command = command(&request);
        out.curl = curl(&request);
        match jobs::check(app, request).await {
            Ok(checked) => out.forecast = Some(Forecast::of(app, &checked).await?),
            Err(AppError::Problem(problem)) => out.wrong = Some(Wrong::from_problem(*problem)),
            Err(error) => return Err(error),
        }
        Ok(out)
    }

    /// All that was written, for the form that submits it.
    fn fields(&self) -> Vec<(String, String)> {
        self.asked.fields()
    }

    fn key(&self) -> uuid::Uuid {
        uuid::Uuid::new_v4()
    }

    /// What is wrong with a field.
    fn wrong_with(&self, field: &str) -> Option<&str> {
        let wrong = self.wrong.as_ref().filter(|wrong| wrong.field == field)?;
        Some(&wrong.why)
    }

    /// What is wrong with none of the form's fields.
    fn wrong_besides(&self) -> Option<&str> {
        const FIELDS: [&str; 19] = [
            "tree",
            "good",
            "bad",
            "suite",
            "cases",
            "crash",
            "metric",
            "threshold",
            "base",
            "fragment",
            "mode",
            "vcpus",
            "runs",
            "confidence",
            "seed",
            "skip",
            "paths",
            "bisect_log",
            "title",
        ];
        let wrong = self.wrong.as_ref()?;
        (!FIELDS.contains(&wrong.field.as_str())).then_some(&wrong.why)
    }

    fn is(&self, value: &str, choice: &str) -> bool {
        value == choice
    }
}

fn suites(app: &App) -> Vec<Choice> {
    let all = app.suites.names().filter_map(|name| app.suites.get(name));
    let choice = |(bundle, _): &(firstbad_api::suite::SuiteBundle, _)| Choice {
        name: bundle.spec.name.clone(),
        about: bundle.spec.about.clone(),
        cases: {
            let names = bundle.spec.case.iter().map(|case| case.name.as_str());
            names.collect::<Vec<_>>().join(", ")
        },
    };
    all.map(choice).collect()
}

/// The address of a form with the fields of a request; `None` when no form can ask it.
pub(super) fn link(request: &NewJob) -> Option<String> {
    let fields = Asked::of(request)?.fields();
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish();
    (query.len() <= LINK_BYTES).then(|| format!("/jobs/new?{query}"))
}

/// The same question to the API.
fn curl(request: &NewJob) -> String {
    let body = serde_json::to_value(request).map(|mut body| {
        // What is as it is by itself need not be said.
        if let (Some(fields), Ok(Value::Object(plain))) = (body.as_object_mut(), plain()) {
            fields.retain(|name, value| plain.get(name) != Some(value));
        }
        body.to_string()
    });
    format!(
        "curl -H \"Authorization: Bearer $FIRSTBAD_TOKEN\" -H 'Content-Type: application/json' \
         -d {} $FIRSTBAD_SERVER/api/v1/jobs",
        shell(&body.unwrap_or_default())
    )
}

/// A request in which nothing is said that can be left out.
fn plain() -> serde_json::Result<Value> {
    let request: NewJob = serde_json::from_value(json!({ "tree": "", "bad": "", "suite": "" }))?;
    serde_json::to_value(request)
}

/// `GET /jobs/new`.
pub(super) async fn show(State(app): State<App>, Query(asked): Query<Asked>) -> Page {
    page(&NewPage::of(&app, asked).await?)
}

/// `POST /jobs`: what the form means is submitted, or the form says why not.
pub(super) async fn submit(
    State(app): State<App>,
    who: Principal,
    Form(asked): Form<Asked>,
) -> Page {
    let request = match asked.request() {
        Ok(request) => request,
        Err(_) => return page(&NewPage::of(&app, asked).await?),
    };
    let key = Some(asked.key.as_str()).filter(|key| !key.is_empty());
    match jobs::submit(&app, &who, key, request).await {
        Ok((_, Json(created))) => Ok(Redirect::to(&created.url).into_response()),
        Err(AppError::Problem(_)) => page(&NewPage::of(&app, asked).await?),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_the_request_that_it_means() {
        let asked = Asked {
            tree: " linux ".into(),
            good: "v6.18, v6.18.1".into(),
            bad: "v7.2".into(),
            suite: "btrfs/direct-io".into(),
            signal: "metric".into(),
            metric: "mb_s".into(),
            threshold: "90".into(),
            confidence: "99.9 %".into(),
            runs: "3".into(),
            first_parent: Some("on".into()),
            fragment: "CONFIG_KASAN=y\r\n".into(),
            ..Asked::default()
        };
        let request = asked.request().ok().unwrap();
        assert_eq!(request.tree, "linux");
        assert_eq!(request.good, ["v6.18", "v6.18.1"]);
        assert_eq!((request.runs, request.confidence), (3, 0.999));
        assert_eq!(request.config.fragment, "CONFIG_KASAN=y\n");
        assert!(request.first_parent);
        let line = command(&request);
        assert!(line.contains("--metric mb_s --threshold 90"), "{line}");
        let curl = curl(&request);
        assert!(
            curl.contains("\"runs\":3") && !curl.contains("max_runs"),
            "{curl}"
        );
        let odd = Asked {
            vcpus: "two".into(),
            ..asked.clone()
        };
        assert_eq!(odd.request().err().unwrap().field, "vcpus");
        let by_hand = Asked {
            bisect_log: "git bisect start\ngit bisect bad b\ngit bisect good g\ngit bisect skip s"
                .into(),
            ..asked
        };
        let request = by_hand.request().ok().unwrap();
        assert_eq!(
            (request.bad.as_str(), &request.good[..]),
            ("b", &["g".to_owned()][..])
        );
        assert_eq!(request.skip, ["s"]);
    }
}
