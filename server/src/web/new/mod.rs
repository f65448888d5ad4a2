//! The form for a new job: what its range is and what it would cost, before anybody asks for it.
//!
//! The form's fields are the page's query, so that a question can be sent to somebody as a link. Must
//! not know how a request is checked: the API's own check says what is wrong with which field.

mod asked;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect};
use axum::{Form, Json};
use firstbad_api::job::NewJob;
use firstbad_api::known::Answered;
use firstbad_api::tree::NewSeries;
use serde_json::{Value, json};

use asked::{Asked, Wrong, ended, lines};

use super::command::command;
use super::error::{Page, page};
use super::format::{self, shell};
use crate::access::{self, Principal, Role};
use crate::api::jobs::Checked;
use crate::api::{histories, jobs};
use crate::db;
use crate::error::AppError;
use crate::forecast::Forecast;
use crate::known;
use crate::state::App;

/// Longest query of a link to a form.
const LINK_BYTES: usize = 6 << 10;

/// The suite of a form in which nothing is written yet.
const FIRST_SUITE: &str = "btrfs/smoke";

/// Fields that few questions need.
const RARE: &str = "base config fragment mode vcpus shift runs confidence seed skip paths first_parent every_flip \
                    two_point fixup title labels priority max_builds max_vm_minutes max_wall_minutes";

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
    answered: Option<Answered>,
    /// The job that looks for this already.
    looking: Option<i64>,
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
            answered: None,
            looking: None,
            command: String::new(),
            curl: String::new(),
            asked,
        };
        if out.asked.is_empty() {
            out.asked.suite = FIRST_SUITE.to_owned();
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
            Ok(checked) => {
                let who = access::current().principal;
                out.answered = known::answered(app, &who.sight(), &checked).await?;
                out.looking = looking(app, &who, &checked).await?;
                out.forecast = Some(Forecast::of(app, &checked).await?);
            }
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
        let wrong = self.wrong.as_ref()?;
        (!Asked::names().contains(&wrong.field)).then_some(&wrong.why)
    }

    /// Whether some of these fields say something that they do not say by themselves, or are wrong.
    fn opens(&self, fields: &str) -> bool {
        let written = self.asked.fields();
        let wrong = self.wrong.as_ref().map(|wrong| wrong.field.as_str());
        let untouched = |value: &str| value == "exact";
        let says = |field: &str| {
            let mut values = written.iter().filter(|(name, _)| name == field);
            values.any(|(_, value)| !untouched(value))
        };
        fields
            .split(' ')
            .any(|field| wrong == Some(field) || says(field))
    }

    fn is(&self, value: &str, choice: &str) -> bool {
        value == choice
    }
}

/// The running job that a submission would join.
async fn looking(app: &App, who: &Principal, checked: &Checked) -> Result<Option<i64>, AppError> {
    if checked.request.fresh {
        return Ok(None);
    }
    let mut conn = app.pool.acquire().await?;
    let (question, private) = (&checked.question, checked.request.private);
    let found = db::question::looking(&mut conn, question, private, &who.owner()).await?;
    Ok(found.map(|(job, _)| job))
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
    address(&Asked::of(request)?)
}

/// The address of the form with these fields; `None` when it would be too long.
fn address(asked: &Asked) -> Option<String> {
    let fields = asked.fields();
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

/// `POST /jobs/new`: the same for what is too long for an address. What is not gets one, so that it
/// can be loaded again and sent to somebody.
pub(super) async fn ask(
    State(app): State<App>,
    who: Principal,
    Form(mut asked): Form<Asked>,
) -> Page {
    if let Err(wrong) = write_series(&app, &who, &mut asked).await? {
        let mut page_of = NewPage::of(&app, asked).await?;
        page_of.wrong = Some(wrong);
        return page(&page_of);
    }
    match address(&asked) {
        Some(address) => Ok(Redirect::to(&address).into_response()),
        None => page(&NewPage::of(&app, asked).await?),
    }
}

/// A patch series becomes commits, and its ends those of the form.
async fn write_series(
    app: &App,
    who: &Principal,
    asked: &mut Asked,
) -> Result<Result<(), Wrong>, AppError> {
    if asked.mbox.trim().is_empty() {
        return Ok(Ok(()));
    }
    if !who.may(Role::Submitter) {
        let why = "mbox: sign in as a submitter first: the series is written beside the tree";
        return Ok(Err(Wrong::of("mbox", why)));
    }
    let new = NewSeries {
        base: asked.at.trim().to_owned(),
        mbox: ended(lines(&asked.mbox)),
        squash: false,
    };
    match histories::add_series(app, who, asked.tree.trim(), &new).await {
        Ok(history) => {
            asked.good = history.base;
            asked.bad = history.tip;
            asked.mbox.clear();
            asked.at.clear();
            Ok(Ok(()))
        }
        Err(AppError::Problem(problem)) => Ok(Err(Wrong::from_problem(*problem))),
        Err(error) => Err(error),
    }
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
