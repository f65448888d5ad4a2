//! Rules: made, listed, changed, removed; what they saw, and triggers.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use firstbad_api::rule::{
    BUDGET_MOST, FETCH_MINUTES, Head, MadeRule, NewRule, On, Rule, RuleChange, SERVICES, Schedule,
    StatusTo, Trigger, Triggered, matches,
};
use firstbad_api::tree::Tree;
use firstbad_api::user::Role;
use serde_json::json;

use super::sent::Sent;
use super::{jobs, trees, webhooks};
use crate::access::Principal;
use crate::db::rule::{NewCall, Row};
use crate::error::AppError;
use crate::state::App;
use crate::{db, outgoing, rule};

/// Rules of one owner, at most.
const MOST: usize = 100;
/// Longest pattern, reference or project, bytes.
const TEXT: usize = 200;

/// `GET /rules`.
pub async fn list(State(app): State<App>, who: Principal) -> Result<Json<Vec<Rule>>, AppError> {
    Ok(Json(of(&app, &who).await?))
}

/// Those that somebody may know of.
pub(crate) async fn of(app: &App, who: &Principal) -> Result<Vec<Rule>, AppError> {
    let owner = who.owner();
    let mine = (!who.may(Role::Operator)).then_some(owner.as_str());
    Ok(db::rule::list(&mut *app.pool.acquire().await?, mine).await?)
}

/// A rule that is there for who asks.
pub(crate) async fn own(app: &App, who: &Principal, id: i64) -> Result<Row, AppError> {
    let found = db::rule::find(&mut *app.pool.acquire().await?, id).await?;
    found
        .filter(|row| who.may_act_on(&row.owner))
        .ok_or_else(|| AppError::not_found(format!("there is no rule {id}")))
}

/// `POST /rules`.
pub async fn create(
    State(app): State<App>,
    who: Principal,
    Sent(new): Sent<NewRule>,
) -> Result<(StatusCode, Json<MadeRule>), AppError> {
    Ok((StatusCode::CREATED, Json(make(&app, &who, new).await?)))
}

pub(crate) async fn make(
    app: &App,
    who: &Principal,
    mut new: NewRule,
) -> Result<MadeRule, AppError> {
    let tree = trees::get(app, &new.tree).await?;
    if !trees::valid_name(&new.name) {
        return Err(AppError::bad(
            "bad-name",
            "/name",
            "name: use 1 to 63 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit",
        ));
    }
    check(app, &new).await?;
    let status = new.status.clone();
    forget_token(&mut new);
    let (owner, secret) = (who.owner(), webhooks::secret());
    let mut tx = app.pool.begin().await?;
    if db::rule::list(&mut tx, Some(&owner)).await?.len() >= MOST {
        let why = format!("there are {MOST} rules of yours already; remove one");
        return Err(AppError::refused(StatusCode::CONFLICT, "too-many", "", why));
    }
    let Some(id) = db::rule::insert(&mut tx, tree.id, &owner, &new, &secret).await? else {
        let why = format!(
            "name: the tree {} has a rule {} already",
            new.tree, new.name
        );
        return Err(AppError::refused(
            StatusCode::CONFLICT,
            "name-taken",
            "/name",
            why,
        ));
    };
    db::rule::set_status(&mut tx, id, &owner, status.as_ref()).await?;
    let detail = json!({ "rule": id, "tree": new.tree, "name": new.name, "refs": new.refs });
    db::audit(&mut tx, who.name(), "rule made", None, None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(MadeRule { id, secret })
}

fn forget_token(rule: &mut NewRule) {
    if let Some(status) = &mut rule.status {
        status.token.clear();
    }
}

/// Whether a rule can do what it says, as far as the tree tells now.
async fn check(app: &App, new: &NewRule) -> Result<(), AppError> {
    let bad = |field: &str, why: String| {
        AppError::bad(
            &format!("bad-{field}"),
            &format!("/{field}"),
            format!("{field}: {why}"),
        )
    };
    let odd = |text: &str| {
        text.is_empty()
            || text.len() > TEXT
            || text.chars().any(|c| c.is_whitespace() || c.is_control())
    };
    if odd(&new.refs) {
        let why = format!(
            "name branches or tags in 1 to {TEXT} bytes without a space; * stands for anything"
        );
        return Err(bad("refs", why));
    }
    if !(1..=BUDGET_MOST).contains(&new.budget) {
        return Err(bad("budget", format!("use 1 to {BUDGET_MOST} jobs a day")));
    }
    if let Some(status) = &new.status {
        check_status(app, status)?;
    }
    let refs = app.repos.refs_of(&new.tree, new.on).await;
    let refs = refs.map_err(|e| AppError::repo(e, "/tree"))?;
    let named = refs.iter().find(|r| matches(&new.refs, &r.name));
    // A pattern may mean what is not there yet: then another head shows whether the rest is right.
    let Some(head) = named.or(refs.first()) else {
        return Ok(());
    };
    let request = rule::check(new, &head.name, &head.rev);
    let checked = jobs::check(app, request).await;
    checked.map(drop).map_err(below_run)
}

/// What is wrong with the request of a check is wrong with the rule's template.
fn below_run(error: AppError) -> AppError {
    match error {
        AppError::Problem(mut problem) => {
            problem.pointer = problem.pointer.map(|p| format!("/run{p}"));
            AppError::Problem(problem)
        }
        other => other,
    }
}

fn check_status(app: &App, to: &StatusTo) -> Result<(), AppError> {
    let bad = |field: &str, why: String| {
        AppError::bad(
            "bad-status",
            &format!("/status/{field}"),
            format!("status.{field}: {why}"),
        )
    };
    if !SERVICES.contains(&to.service.as_str()) {
        return Err(bad("service", format!("use {}", SERVICES.join(", "))));
    }
    outgoing::address(&to.url, &app.gate.webhook_allow).map_err(|why| bad("url", why))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let parts: Vec<&str> = to.project.split('/').collect();
    let named = parts
        .iter()
        .all(|p| !p.is_empty() && *p != "." && *p != "..");
    let number = to.service == "gitlab" && to.project.bytes().all(|b| b.is_ascii_digit());
    if to.project.len() > TEXT
        || !to.project.chars().all(plain)
        || !named
        || (parts.len() < 2 && !number)
    {
        return Err(bad("project", "use OWNER/REPOSITORY".to_owned()));
    }
    if to.token.len() > 4096 || to.token.chars().any(|c| c.is_control() || !c.is_ascii()) {
        return Err(bad(
            "token",
            "use at most 4096 characters of one line".to_owned(),
        ));
    }
    Ok(())
}

/// `PATCH /rules/{id}`.
pub async fn change(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Sent(change): Sent<RuleChange>,
) -> Result<StatusCode, AppError> {
    amend(&app, &who, id, change).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn amend(
    app: &App,
    who: &Principal,
    id: i64,
    change: RuleChange,
) -> Result<(), AppError> {
    let row = own(app, who, id).await?;
    let before = row.rule.0;
    let mut rule = NewRule {
        refs: change.refs.unwrap_or_else(|| before.refs.clone()),
        run: change.run.unwrap_or_else(|| before.run.clone()),
        budget: change.budget.unwrap_or(before.budget),
        enabled: change.enabled.unwrap_or(before.enabled),
        status: change.status.clone().or(before.status.clone()),
        ..before.clone()
    };
    check(app, &rule).await?;
    forget_token(&mut rule);
    let mut tx = app.pool.begin().await?;
    db::rule::update(&mut tx, id, &rule).await?;
    if rule.refs != before.refs {
        db::rule::begin_anew(&mut tx, id).await?;
    }
    if let Some(status) = &change.status {
        db::rule::set_status(&mut tx, id, &row.owner, Some(status)).await?;
    }
    let detail = json!({ "rule": id, "now": rule });
    db::audit(&mut tx, who.name(), "rule changed", None, None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(())
}

/// `DELETE /rules/{id}`: its jobs and regressions stay.
pub async fn remove(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
) -> Result<StatusCode, AppError> {
    end(&app, &who, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn end(app: &App, who: &Principal, id: i64) -> Result<(), AppError> {
    own(app, who, id).await?;
    let mut tx = app.pool.begin().await?;
    db::rule::remove(&mut tx, id).await?;
    let detail = json!({ "rule": id });
    db::audit(&mut tx, who.name(), "rule removed", None, None, detail).await?;
    Ok(tx.commit().await?)
}

/// `POST /rules/{id}/secret`: a new one; the old one means nothing any more.
pub async fn renew(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
) -> Result<Json<MadeRule>, AppError> {
    Ok(Json(renewed(&app, &who, id).await?))
}

pub(crate) async fn renewed(app: &App, who: &Principal, id: i64) -> Result<MadeRule, AppError> {
    own(app, who, id).await?;
    let secret = webhooks::secret();
    let mut tx = app.pool.begin().await?;
    db::rule::set_secret(&mut tx, id, &secret).await?;
    let detail = json!({ "rule": id });
    db::audit(
        &mut tx,
        who.name(),
        "rule's secret renewed",
        None,
        None,
        detail,
    )
    .await?;
    tx.commit().await?;
    Ok(MadeRule { id, secret })
}

/// `GET /rules/{id}/heads`.
pub async fn heads(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
) -> Result<Json<Vec<Head>>, AppError> {
    own(&app, &who, id).await?;
    Ok(Json(
        db::rule::heads(&mut *app.pool.acquire().await?, id).await?,
    ))
}

/// `POST /triggers/{id}`.
pub async fn trigger(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    body: Option<Sent<Trigger>>,
) -> Result<(StatusCode, Json<Triggered>), AppError> {
    let wanted = body.map(|Sent(body)| body).unwrap_or_default();
    Ok((
        StatusCode::ACCEPTED,
        Json(pull(&app, &who, id, &wanted).await?),
    ))
}

/// Has run what somebody names.
pub(crate) async fn pull(
    app: &App,
    who: &Principal,
    id: i64,
    wanted: &Trigger,
) -> Result<Triggered, AppError> {
    let row = own(app, who, id).await?;
    for (field, text) in [("ref", &wanted.reference), ("rev", &wanted.rev)] {
        let odd = |t: &String| t.is_empty() || t.len() > TEXT || t.chars().any(char::is_control);
        if text.as_ref().is_some_and(odd) {
            let why = format!("{field}: use 1 to {TEXT} bytes");
            return Err(AppError::bad("bad-ref", &format!("/{field}"), why));
        }
    }
    let reference = wanted.reference.as_deref().map(plain_name);
    if let Some(reference) = reference
        && wanted.rev.is_none()
        && !matches(&row.rule.refs, reference)
    {
        let why = format!("ref: the rule is about {}", row.rule.refs);
        return Err(AppError::bad("bad-ref", "/ref", why));
    }
    if !row.rule.enabled {
        let why = format!("rule {id} is switched off; switch it on first");
        return Err(AppError::refused(StatusCode::CONFLICT, "rule-off", "", why));
    }
    let mut tx = app.pool.begin().await?;
    let call = NewCall {
        told_by: "trigger",
        delivery: None,
        reference,
        rev: wanted.rev.as_deref(),
        ignored: None,
    };
    db::rule::call(&mut tx, id, &call).await?;
    let detail = json!({ "rule": id, "ref": wanted.reference, "rev": wanted.rev });
    db::audit(&mut tx, who.name(), "rule triggered", None, None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(Triggered {
        state: "accepted".to_owned(),
        why: String::new(),
    })
}

/// A branch or tag without what git writes before it.
pub(super) fn plain_name(reference: &str) -> &str {
    let name = reference.strip_prefix("refs/heads/");
    name.or(reference.strip_prefix("refs/tags/"))
        .unwrap_or(reference)
}

/// What kind of reference a full name is.
pub(super) fn kind(reference: &str) -> Option<On> {
    match reference {
        r if r.starts_with("refs/heads/") => Some(On::Branch),
        r if r.starts_with("refs/tags/") => Some(On::Tag),
        _ => None,
    }
}

/// `PUT /trees/{name}/schedule`.
pub async fn schedule(
    State(app): State<App>,
    who: Principal,
    Path(name): Path<String>,
    Sent(schedule): Sent<Schedule>,
) -> Result<Json<Tree>, AppError> {
    set_schedule(&app, &who, &name, &schedule).await?;
    Ok(Json(trees::get(&app, &name).await?))
}

pub(crate) async fn set_schedule(
    app: &App,
    who: &Principal,
    name: &str,
    schedule: &Schedule,
) -> Result<(), AppError> {
    trees::get(app, name).await?;
    let (least, most) = FETCH_MINUTES;
    if schedule
        .minutes
        .is_some_and(|m| !(least..=most).contains(&m))
    {
        let why = format!("minutes: use {least} to {most}, or null for never");
        return Err(AppError::bad("bad-minutes", "/minutes", why));
    }
    let mut tx = app.pool.begin().await?;
    db::rule::schedule(&mut tx, name, schedule).await?;
    let detail = json!({ "tree": name, "minutes": schedule.minutes });
    db::audit(&mut tx, who.name(), "tree scheduled", None, None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(())
}
