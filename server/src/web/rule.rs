//! The pages of rules: what is run when a branch moves or a tag appears, and what they saw.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect};
use firstbad_api::job::{JobConfig, Signal};
use firstbad_api::lease::RunMode;
use firstbad_api::rule::{
    Head, NewRule, On, Rule, RuleChange, SERVICES, Schedule, StatusTo, Template as Run, Trigger,
    hook_path,
};
use serde::Deserialize;

use super::error::{Page, PageError, page, page_as, secret_page};
use super::format;
use crate::access::Principal;
use crate::api::rules;
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// The fields, as they were written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Written {
    tree: String,
    name: String,
    refs: String,
    on: String,
    suite: String,
    cases: String,
    crash: String,
    metric: String,
    threshold: String,
    fragment: String,
    real: Option<String>,
    runs: String,
    budget: String,
    private: Option<String>,
    service: String,
    url: String,
    project: String,
    token: String,
}

impl Written {
    fn rule(&self) -> Result<NewRule, AppError> {
        let signal = match (self.crash.trim(), self.metric.trim()) {
            ("", "") => Signal::Failure,
            (title, "") => Signal::Crash {
                title: title.to_owned(),
            },
            (_, name) => Signal::Metric {
                name: name.to_owned(),
                threshold: match self.threshold.trim() {
                    "" => None,
                    text => Some(number("threshold", text)?),
                },
            },
        };
        let status = (!self.service.is_empty()).then(|| StatusTo {
            service: self.service.clone(),
            url: self.url.trim().to_owned(),
            project: self.project.trim().to_owned(),
            token: self.token.trim().to_owned(),
        });
        let words = self.cases.split([' ', ',']).filter(|w| !w.is_empty());
        Ok(NewRule {
            tree: self.tree.clone(),
            name: self.name.trim().to_owned(),
            refs: self.refs.trim().to_owned(),
            on: match self.on.as_str() {
                "tag" => On::Tag,
                _ => On::Branch,
            },
            run: Run {
                suite: self.suite.clone(),
                cases: words.map(str::to_owned).collect(),
                signal,
                config: JobConfig {
                    base: None,
                    fragment: self.fragment.replace("\r\n", "\n"),
                },
                mode: match self.real {
                    Some(_) => RunMode::Real,
                    None => RunMode::Exact,
                },
                vcpus: 1,
                runs: or("runs", &self.runs, 3)?,
                private: self.private.is_some(),
            },
            budget: or("budget", &self.budget, 20)?,
            enabled: true,
            status,
        })
    }
}

fn number<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, AppError> {
    text.parse().map_err(|_| {
        let why = format!("{field}: {text:?} is no number that fits here");
        AppError::bad("bad-number", &format!("/{field}"), why)
    })
}

fn or(field: &str, text: &str, other: u32) -> Result<u32, AppError> {
    match text.trim() {
        "" => Ok(other),
        text => number(field, text),
    }
}

/// `rules.html`.
#[derive(Template)]
#[template(path = "rules.html")]
pub struct RulesPage {
    rules: Vec<Rule>,
    trees: Vec<String>,
    suites: Vec<String>,
    wrong: Option<String>,
    written: Written,
}

impl RulesPage {
    async fn of(app: &App, who: &Principal, written: Written) -> Result<RulesPage, AppError> {
        let trees = crate::view::trees(app).await?;
        Ok(RulesPage {
            rules: rules::of(app, who).await?,
            trees: trees.into_iter().map(|t| t.name).collect(),
            suites: app.suites.names().map(|n| n.to_string()).collect(),
            wrong: None,
            written,
        })
    }

    fn services(&self) -> &'static [&'static str] {
        &SERVICES
    }

    fn is(&self, value: &str, choice: &str) -> bool {
        value == choice
    }
}

/// `GET /rules`.
pub(super) async fn list(State(app): State<App>, who: Principal) -> Page {
    page(&RulesPage::of(&app, &who, Written::default()).await?)
}

/// `POST /rules`: shows the secret of the new one, once.
pub(super) async fn make(
    State(app): State<App>,
    who: Principal,
    Form(written): Form<Written>,
) -> Page {
    let made = match written.rule() {
        Ok(rule) => rules::make(&app, &who, rule).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(made) => secret_page(&RulePage::of(&app, &who, made.id, Some(made.secret)).await?),
        Err(error @ AppError::Problem(_)) => {
            let problem = error.into_problem();
            let mut shown = RulesPage::of(&app, &who, written).await?;
            shown.wrong = Some(problem.detail);
            // The page is there; a tree that it was sent may not be.
            page_as(problem.status.max(422), &shown)
        }
        Err(error) => Err(error.into()),
    }
}

/// `rule.html`.
#[derive(Template)]
#[template(path = "rule.html")]
pub struct RulePage {
    rule: Rule,
    heads: Vec<Head>,
    /// Told once.
    secret: Option<String>,
}

impl RulePage {
    async fn of(
        app: &App,
        who: &Principal,
        id: i64,
        secret: Option<String>,
    ) -> Result<RulePage, AppError> {
        rules::own(app, who, id).await?;
        let found = rules::of(app, who).await?.into_iter().find(|r| r.id == id);
        let missing = || AppError::not_found(format!("there is no rule {id}"));
        let rule = found.ok_or_else(missing)?;
        let heads = db::rule::heads(&mut *app.pool.acquire().await?, id).await?;
        Ok(RulePage {
            rule,
            heads,
            secret,
        })
    }

    fn hooks(&self) -> Vec<String> {
        let path = |service: &&str| hook_path(service, self.rule.id);
        SERVICES.iter().map(path).collect()
    }

    fn watches(&self) -> &'static str {
        watches(&self.rule)
    }

    fn looks_at(&self) -> String {
        match &self.rule.rule.run.signal {
            Signal::Failure => "any case that fails, any crash".to_owned(),
            Signal::Cases { cases } => cases.join(", "),
            Signal::Crash { title } => format!("a crash: {title}"),
            Signal::Metric {
                name,
                threshold: None,
            } => format!("{name}, worse than before"),
            Signal::Metric {
                name,
                threshold: Some(threshold),
            } => format!("{name} beyond {threshold}"),
        }
    }
}

fn watches(rule: &Rule) -> &'static str {
    match rule.rule.on {
        On::Branch => "branches",
        On::Tag => "tags",
    }
}

/// `GET /rules/{id}`.
pub(super) async fn show(State(app): State<App>, who: Principal, Path(id): Path<i64>) -> Page {
    page(&RulePage::of(&app, &who, id, None).await?)
}

/// What may be changed on the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Changed {
    refs: String,
    budget: String,
    enabled: Option<String>,
}

/// `POST /rules/{id}/change`.
pub(super) async fn change(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Form(changed): Form<Changed>,
) -> Page {
    let change = RuleChange {
        refs: Some(changed.refs.trim().to_owned()),
        budget: Some(number("budget", changed.budget.trim())?),
        enabled: Some(changed.enabled.is_some()),
        ..RuleChange::default()
    };
    rules::amend(&app, &who, id, change).await?;
    back(id)
}

/// `POST /rules/{id}/secret`: shows the new one, once.
pub(super) async fn renew(State(app): State<App>, who: Principal, Path(id): Path<i64>) -> Page {
    let made = rules::renewed(&app, &who, id).await?;
    secret_page(&RulePage::of(&app, &who, id, Some(made.secret)).await?)
}

/// `POST /rules/{id}/trigger`.
pub(super) async fn trigger(State(app): State<App>, who: Principal, Path(id): Path<i64>) -> Page {
    rules::pull(&app, &who, id, &Trigger::default()).await?;
    back(id)
}

/// `POST /rules/{id}/remove`.
pub(super) async fn remove(State(app): State<App>, who: Principal, Path(id): Path<i64>) -> Page {
    rules::end(&app, &who, id).await?;
    Ok(Redirect::to("/rules").into_response())
}

fn back(id: i64) -> Page {
    Ok(Redirect::to(&format!("/rules/{id}")).into_response())
}

/// How often a tree is fetched, as it was written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Often {
    minutes: String,
}

/// `POST /trees/{name}/schedule`.
pub(super) async fn schedule(
    State(app): State<App>,
    who: Principal,
    Path(name): Path<String>,
    Form(often): Form<Often>,
) -> Page {
    let minutes = match often.minutes.trim() {
        "" => None,
        text => Some(number("minutes", text).map_err(PageError::from)?),
    };
    rules::set_schedule(&app, &who, &name, &Schedule { minutes }).await?;
    let name: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
    Ok(Redirect::to(&format!("/trees/{name}")).into_response())
}
