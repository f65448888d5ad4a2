//! Jobs: preview, submit, cancel. A refused request changes nothing.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use firstbad_api::job::{Cancel, Created, Find, NewJob, Outcome, Range, Signal};
use firstbad_api::lease::{ConfigRequest, RunMode};
use firstbad_api::limits::SHIFT_MAX;
use firstbad_api::patch::PatchworkPatch;
use firstbad_api::suite::SuiteBundle;
use firstbad_api::terms::{Callback, Priority};
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::sent::Sent;
use super::{config, fstests, ranges, suite, terms, trees};
use crate::access::Principal;
use crate::db;
use crate::db::job::{NewRow, RevisionRow};
use crate::db::patch::PatchOf;
use crate::error::AppError;
use crate::known;
use crate::state::App;

/// Longest reason of what somebody does, characters.
const REASON: usize = 500;

/// A request that passed every check.
pub(crate) struct Checked {
    pub(crate) tree_id: i64,
    pub(crate) range: Range,
    pub(crate) revisions: Vec<RevisionRow>,
    pub(crate) suite: SuiteBundle,
    pub(crate) config: ConfigRequest,
    pub(crate) request: NewJob,
    /// Taken out of the request, which everybody may see.
    callback: Option<Callback>,
    /// The same.
    patchwork: Option<PatchworkPatch>,
    digest: String,
    /// Tells questions apart, however they are asked.
    pub(crate) question: String,
}

pub async fn preview(
    State(app): State<App>,
    who: Principal,
    Sent(new): Sent<NewJob>,
) -> Result<Json<Range>, AppError> {
    let checked = check(&app, new).await?;
    patchwork(&app, &who, &checked).await?;
    let answered = known::answered(&app, &who.sight(), &checked).await?;
    Ok(Json(Range {
        answered,
        ..checked.range
    }))
}

pub async fn create(
    State(app): State<App>,
    who: Principal,
    headers: HeaderMap,
    Sent(new): Sent<NewJob>,
) -> Result<(StatusCode, Json<Created>), AppError> {
    let key = headers.get("idempotency-key").and_then(|v| v.to_str().ok());
    if key.is_some_and(|k| k.is_empty() || k.len() > 255) {
        return Err(AppError::bad(
            "bad-key",
            "/idempotency-key",
            "Idempotency-Key: use 1 to 255 characters",
        ));
    }
    submit(&app, &who, key, new).await
}

/// Stores a job, or names the one that its owner made with the same key.
pub(crate) async fn submit(
    app: &App,
    who: &Principal,
    key: Option<&str>,
    new: NewJob,
) -> Result<(StatusCode, Json<Created>), AppError> {
    let (digest, owner) = (digest(&new)?, who.owner());
    if let Some(key) = key
        && let Some(known) = joined(app, &owner, key, &digest).await?
    {
        return Ok(known);
    }
    terms::check_priority(who, &new)?;
    let checked = check(app, new).await?;
    let patch = patchwork(app, who, &checked).await?;
    let answered = known::answered(app, &who.sight(), &checked).await?;
    let mut tx = app.pool.begin().await?;
    if !checked.request.fresh {
        let private = checked.request.private;
        let looking = db::question::looking(&mut tx, &checked.question, private, &owner).await?;
        if let Some((job, asked_by)) = looking {
            let answer = join(&mut tx, &checked, (&owner, key), job, patch).await?;
            let Some(answer) = answer else {
                tx.rollback().await?;
                return known_by(app, &owner, key, &digest).await;
            };
            if asked_by != owner {
                let detail = serde_json::json!({});
                db::audit(&mut tx, who.name(), "job joined", Some(job), None, detail).await?;
            }
            tx.commit().await?;
            return Ok((StatusCode::OK, Json(answer)));
        }
    }
    let Some(id) = insert(&mut tx, &checked, &owner, key, None).await? else {
        tx.rollback().await?;
        return known_by(app, &owner, key, &digest).await;
    };
    let mut answer = created(id, true);
    if let Some(callback) = &checked.callback {
        answer.callback_secret = terms::call_back(&mut tx, &owner, id, callback).await?;
    }
    if let Some(patch) = patch {
        db::patch::about(&mut tx, id, patch).await?;
    }
    let detail = serde_json::json!({});
    db::audit(&mut tx, who.name(), "job submitted", Some(id), None, detail).await?;
    tx.commit().await?;
    app.wake();
    answer.answered = answered;
    Ok((StatusCode::CREATED, Json(answer)))
}

/// The patch of a Patchwork that a request is about, if who asks may have checks written there.
async fn patchwork(
    app: &App,
    who: &Principal,
    checked: &Checked,
) -> Result<Option<PatchOf>, AppError> {
    match &checked.patchwork {
        None => Ok(None),
        Some(asked) => terms::patchwork(app, who, asked, checked.request.private)
            .await
            .map(Some),
    }
}

/// What a request with this key, which won the race, was answered.
async fn known_by(
    app: &App,
    owner: &str,
    key: Option<&str>,
    digest: &str,
) -> Result<(StatusCode, Json<Created>), AppError> {
    let known = joined(app, owner, key.unwrap_or_default(), digest).await?;
    known.ok_or_else(|| AppError::Internal("a job with this key vanished".to_owned()))
}

/// Lets a request have the job that looks for its answer already; `None` when another request had its
/// key meanwhile.
async fn join(
    conn: &mut PgConnection,
    checked: &Checked,
    (owner, key): (&str, Option<&str>),
    job: i64,
    patch: Option<PatchOf>,
) -> Result<Option<Created>, AppError> {
    if !db::question::join(conn, job, owner, key, &checked.digest).await? {
        return Ok(None);
    }
    let mut answer = Created {
        joined: true,
        ..created(job, false)
    };
    if let Some(callback) = &checked.callback {
        answer.callback_secret = terms::call_back(conn, owner, job, callback).await?;
    }
    if let Some(patch) = patch {
        db::patch::about(conn, job, patch).await?;
    }
    db::question::hurry(conn, job, checked.request.priority).await?;
    Ok(Some(answer))
}

/// Stores a checked job; `None` when its owner has used the idempotency key before.
pub(crate) async fn insert(
    conn: &mut PgConnection,
    checked: &Checked,
    owner: &str,
    idempotency_key: Option<&str>,
    origin: Option<(i64, &str)>,
) -> Result<Option<i64>, AppError> {
    let row = NewRow {
        tree_id: checked.tree_id,
        title: &title(&checked.request),
        owner,
        request: &checked.request,
        range: &checked.range,
        suite: &checked.suite,
        config: &checked.config,
        idempotency_key,
        request_digest: &checked.digest,
        question: (!checked.request.survey).then_some(&checked.question),
        origin,
    };
    Ok(db::job::insert(conn, &row, &checked.revisions).await?)
}

/// Tells questions apart by what is looked for and where, however the ends are called and whoever is
/// told of it.
fn question(
    request: &NewJob,
    range: &Range,
    suite: &SuiteBundle,
    config: &ConfigRequest,
) -> Result<String, AppError> {
    let mut good = range.good.clone();
    good.sort();
    let asked = NewJob {
        good,
        bad: range.bad.clone(),
        title: None,
        labels: Vec::new(),
        priority: Priority::Normal,
        private: false,
        fresh: false,
        ..request.clone()
    };
    digest(&(asked, &suite.digest, config))
}

/// Tells requests apart.
pub(crate) fn digest(request: &impl serde::Serialize) -> Result<String, AppError> {
    let body = serde_json::to_vec(request).map_err(|e| AppError::Internal(e.to_string()))?;
    Ok(hex::encode(Sha256::digest(body)))
}

pub async fn cancel(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    body: Option<Sent<Cancel>>,
) -> Result<StatusCode, AppError> {
    let reason = body.map(|Sent(cancel)| cancel.reason).unwrap_or_default();
    stop(&app, who.name(), id, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Cancels a job; what it has observed stays.
pub(crate) async fn stop(app: &App, who: &str, id: i64, reason: &str) -> Result<(), AppError> {
    check_line(reason, "reason")?;
    let mut tx = app.pool.begin().await?;
    if db::job::find(&mut tx, id).await?.is_none() {
        return Err(AppError::not_found(format!("there is no job {id}")));
    }
    if !db::job::end(&mut tx, id, "cancelled", &Outcome::Cancelled).await? {
        return Err(AppError::refused(
            StatusCode::CONFLICT,
            "job-ended",
            "/id",
            format!("id: job {id} has ended already; its result stays"),
        ));
    }
    db::attempt::cancel_for_job(&mut tx, id).await?;
    let detail = serde_json::json!({ "reason": reason });
    db::audit(&mut tx, who, "job cancelled", Some(id), None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(())
}

/// What somebody wrote in one line.
pub(super) fn check_line(text: &str, field: &str) -> Result<(), AppError> {
    if text.chars().count() > REASON || text.chars().any(char::is_control) {
        let why = format!("{field}: use at most {REASON} characters on one line");
        return Err(AppError::bad(
            &format!("bad-{field}"),
            &format!("/{field}"),
            why,
        ));
    }
    Ok(())
}

pub(super) fn created(id: i64, created: bool) -> Created {
    Created {
        id,
        url: format!("/jobs/{id}"),
        created,
        joined: false,
        callback_secret: None,
        answered: None,
    }
}

async fn joined(
    app: &App,
    owner: &str,
    key: &str,
    digest: &str,
) -> Result<Option<(StatusCode, Json<Created>)>, AppError> {
    let known = db::question::by_key(&mut *app.pool.acquire().await?, owner, key).await?;
    let Some(known) = known else { return Ok(None) };
    if known.digest == digest {
        let answer = Created {
            joined: known.joined,
            ..created(known.job, false)
        };
        return Ok(Some((StatusCode::OK, Json(answer))));
    }
    Err(AppError::bad(
        "idempotency-conflict",
        "/idempotency-key",
        format!(
            "Idempotency-Key: job {} was made with this key and another body; use a new key",
            known.job
        ),
    ))
}

/// What the job is called: as asked, or the question in words.
pub(crate) fn title(request: &NewJob) -> String {
    if let Some(title) = request.title.as_ref().filter(|t| !t.trim().is_empty()) {
        return title.chars().take(200).collect();
    }
    let what = match (&request.signal, request.find) {
        (Signal::Failure, Find::Regression) => "breaks".to_owned(),
        (Signal::Failure, Find::Fix) => "is repaired".to_owned(),
        (Signal::Cases { cases }, Find::Regression) => format!("({}) breaks", cases.join(", ")),
        (Signal::Cases { cases }, Find::Fix) => format!("({}) is repaired", cases.join(", ")),
        (Signal::Crash { title }, _) => format!("crashes with {title}"),
        (Signal::Metric { name, threshold }, _) => match threshold {
            Some(threshold) => format!("moves {name} across {threshold}"),
            None => format!("changes {name}"),
        },
    };
    let suite = request.custom.as_ref().map(|test| test.name.as_str());
    let suite = suite.unwrap_or(&request.suite);
    let ends = match &request.good[..] {
        [] => format!("up to {}", request.bad),
        good => format!("between {} and {}", good.join(", "), request.bad),
    };
    format!("{suite} {what} {ends} in {}", request.tree)
}

/// What a request means.
///
/// # Errors
/// When it cannot be done, naming the field.
pub(crate) async fn check(app: &App, mut new: NewJob) -> Result<Checked, AppError> {
    let tree = trees::get(app, &new.tree).await?;
    let digest = digest(&new)?;
    terms::check(app, &new)?;
    let (callback, patchwork) = (new.callback.take(), new.patchwork.take());
    new.first_parent |= new.merge_first;
    let of_tree = config::complete(&mut new, &tree)?;
    fstests::complete(app, &mut new).await?;
    let suite = suite::check(app, &new)?;
    check_numbers(&new)?;
    new.selftests_from = suite::selftests(app, &new, tree.id, &suite.0).await?;
    let config = config::check(&new, &suite.1)?;
    let (good, bad) = ranges::resolve_ends(app, &new).await?;
    config::check_symbols(app, &new, &bad, of_tree).await?;
    if !new.fixups.is_empty() {
        let checked = app.repos.check_patches(&new.tree, &bad, &new.fixups).await;
        checked.map_err(|e| AppError::repo(e, "/fixups"))?;
    }
    config::check_file(app, &new, &config, (&good, &bad), of_tree).await?;
    new.only = ranges::resolve_all(app, &new.tree, &new.only, "/only").await?;
    let (range, revisions) = match good.is_empty() && !new.survey {
        true => ranges::releases_before(app, &new, &bad).await?,
        false => ranges::range(app, &new, &good, &bad).await?,
    };
    let mut request = new;
    request.skip = ranges::resolve_all(app, &request.tree, &request.skip, "/skip").await?;
    Ok(Checked {
        tree_id: tree.id,
        question: question(&request, &range, &suite.0, &config)?,
        callback,
        patchwork,
        range,
        revisions,
        suite: suite.0,
        config,
        request,
        digest,
    })
}

pub(super) fn check_numbers(new: &NewJob) -> Result<(), AppError> {
    if new.good.is_empty() && !new.survey {
        check_walk(new)?;
    }
    if !(1..=8).contains(&new.vcpus) {
        return Err(AppError::bad("bad-vcpus", "/vcpus", "vcpus: use 1 to 8"));
    }
    if new.shift > SHIFT_MAX {
        let why = format!("shift: use 0 to {SHIFT_MAX}");
        return Err(AppError::bad("bad-shift", "/shift", why));
    }
    if new.shift > 0 && new.mode == RunMode::Real {
        return Err(AppError::bad(
            "bad-shift",
            "/shift",
            "shift: only exact runs have it; leave it out, or use the mode exact",
        ));
    }
    if !(0.9..=0.9999).contains(&new.confidence) {
        return Err(AppError::bad(
            "bad-confidence",
            "/confidence",
            "confidence: use 0.9 to 0.9999",
        ));
    }
    if !(10..=100_000).contains(&new.max_runs) {
        return Err(AppError::bad(
            "bad-max-runs",
            "/max_runs",
            "max_runs: use 10 to 100000",
        ));
    }
    if new.runs > 200 {
        return Err(AppError::bad(
            "bad-runs",
            "/runs",
            "runs: use 0 (decided from the bad end) to 200",
        ));
    }
    let searched = new.first_parent || new.merge_first || new.every_flip;
    if new.survey && (new.two_point || searched || !(1..=50).contains(&new.runs)) {
        return Err(AppError::bad(
            "bad-survey",
            "/survey",
            "survey: give runs from 1 to 50, and leave out two_point, first_parent, merge_first and \
             every_flip",
        ));
    }
    if new.two_point && (searched || !new.paths.is_empty() || !new.skip.is_empty()) {
        return Err(AppError::bad(
            "no-range",
            "/two_point",
            "two_point: only the ends are run; leave out paths, skip, first_parent, merge_first and \
             every_flip",
        ));
    }
    if let Signal::Metric {
        threshold: Some(threshold),
        ..
    } = &new.signal
        && !threshold.is_finite()
    {
        return Err(AppError::bad(
            "bad-threshold",
            "/signal/threshold",
            "signal.threshold: use a finite number",
        ));
    }
    Ok(())
}

/// Without a good end, what is asked has to make sense at the bad end alone.
fn check_walk(new: &NewJob) -> Result<(), AppError> {
    let needs = |pointer: &str, why: &str| {
        let why = format!("good: {why}, so name at least one good (old) end");
        Err(AppError::bad("no-good", pointer, why))
    };
    if new.find == Find::Fix {
        return needs("/good", "what the old end shows is what is looked for");
    }
    if new.two_point {
        return needs("/good", "without a search nothing looks for it");
    }
    if let Signal::Metric {
        threshold: None, ..
    } = &new.signal
    {
        let why = "a metric without a threshold is compared between both ends";
        return needs("/good", why);
    }
    Ok(())
}
