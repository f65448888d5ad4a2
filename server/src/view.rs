//! What pages and programs are shown: rows turned into the wire types.

mod evidence;

use std::collections::{BTreeMap, BTreeSet};

use firstbad_api::amend::{Mend, Retraction};
use firstbad_api::attempt::Attempt;
use firstbad_api::job::{
    Candidate, CandidateTest, Cost, Exactness, Find, Job, Likely, Outcome, Related, Walk,
};
use firstbad_api::limits;
use firstbad_api::observation::BuildObservation;
use firstbad_api::tree::Tree;
use firstbad_api::worker::Worker;
use firstbad_bisect::{Found, Mark, Node, Plan};
use regex::bytes::Regex;

use crate::db::{self, job::JobRow, rfc3339, sight::Sight};
use crate::error::AppError;
use crate::judge::Raw;
use crate::picture::{Picture, Standing};
use crate::repo::{CommitInfo, RefInfo, RepoError};
use crate::search::{Chances, Inquiry};
use crate::state::App;
use crate::store::Grep;
use crate::tasks::walk;

/// A verdict with a larger chance to be wrong is weak.
const WEAK: f64 = 0.02;
/// How often a run fails without the culprit, for estimates.
const CLEAN_FAILS: f64 = 0.01;
/// Bytes of a diff that are shown.
const DIFF_BYTES: usize = 256 << 10;
/// Likeliest commits shown, and the least chance of one.
const LIKELY_SHOWN: usize = 8;
const LIKELY_LEAST: f64 = 0.0005;

/// Added to the sentence of a job that no connected worker can take up.
const STRANDED: &str = " No connected worker can go on with it: the job began with another compiler, QEMU or other \
    programs than any has now, and runs of both cannot be compared. Connect such a worker again, or cancel \
    the job and submit it anew: builds of the same compiler are reused.";

/// Bytes of a log from an offset.
pub struct LogWindow {
    pub bytes: Vec<u8>,
    pub offset: u64,
    pub total: u64,
    /// The attempt still runs, so more may come.
    pub live: bool,
}

pub async fn jobs(app: &App, sight: &Sight, state: Option<&str>) -> Result<Vec<Job>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let rows = db::job::list(&mut conn, sight, state).await?;
    let mut jobs = Vec::with_capacity(rows.len());
    for row in rows {
        // An open job's sentence needs the whole picture; an ended one tells itself.
        if row.outcome.is_none() {
            if let Some(mut job) = load(&mut conn, sight, row.id, app.timing.ttl_ms).await? {
                job.candidates.clear();
                jobs.push(job);
            }
        } else {
            jobs.push(ended(&row));
        }
    }
    // Left to the job alone, as the candidates are: it may have megabytes.
    for test in jobs
        .iter_mut()
        .filter_map(|job| job.request.custom.as_mut())
    {
        test.content.clear();
    }
    Ok(jobs)
}

/// The job; which of those it leads to are told depends on who looks.
pub async fn job(app: &App, sight: &Sight, id: i64) -> Result<Option<Job>, AppError> {
    let mut job = load(
        &mut *app.pool.acquire().await?,
        sight,
        id,
        app.timing.ttl_ms,
    )
    .await?;
    if let Some(job) = &mut job {
        job.confounders = evidence::confounders(app, job).await?;
    }
    Ok(job)
}

pub async fn attempt(app: &App, id: i64) -> Result<Option<Attempt>, AppError> {
    Ok(db::attempt::find(&mut *app.pool.acquire().await?, id).await?)
}

pub async fn log_window(
    app: &App,
    attempt: i64,
    name: &str,
    offset: u64,
    length: u64,
) -> Result<Option<LogWindow>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let Some((epoch, live)) = db::attempt::log_epoch(&mut conn, attempt, name).await? else {
        return Ok(None);
    };
    drop(conn);
    let read = app
        .store
        .read_log(attempt, epoch, name, offset, length)
        .await;
    let (bytes, total) = read.map_err(|e| AppError::Internal(e.to_string()))?;
    Ok(Some(LogWindow {
        bytes,
        offset: offset.min(total),
        total,
        live,
    }))
}

/// Logs of a job that are looked at while they are written.
const RUNNING_LOGS: i64 = 4;

/// A log that is being written.
pub struct RunningLog {
    pub attempt: i64,
    pub name: String,
    pub log: LogWindow,
}

/// The last bytes of the logs that are being written for a job.
pub async fn running_logs(app: &App, job: i64, bytes: u64) -> Result<Vec<RunningLog>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let running = db::live::logs(&mut conn, job, RUNNING_LOGS).await?;
    drop(conn);
    let mut out = Vec::new();
    for (attempt, name) in running {
        let Some(size) = log_window(app, attempt, &name, 0, 0).await? else {
            continue;
        };
        let from = size.total.saturating_sub(bytes);
        let log = match bytes {
            0 => Some(size),
            _ => log_window(app, attempt, &name, from, bytes).await?,
        };
        out.extend(log.map(|log| RunningLog { attempt, name, log }));
    }
    Ok(out)
}

/// The first lines of a log that match, from an offset on; `None` when there is no such log.
pub async fn log_lines(
    app: &App,
    attempt: i64,
    name: &str,
    pattern: &str,
    from: u64,
    most: usize,
) -> Result<Option<Grep>, AppError> {
    let pattern = Regex::new(pattern).map_err(|e| AppError::Internal(e.to_string()))?;
    let mut conn = app.pool.acquire().await?;
    let Some((epoch, _)) = db::attempt::log_epoch(&mut conn, attempt, name).await? else {
        return Ok(None);
    };
    drop(conn);
    let store = &app.store;
    let found = store
        .grep_log(attempt, epoch, name, pattern, from, most)
        .await;
    Ok(Some(found.map_err(|e| AppError::Internal(e.to_string()))?))
}

pub async fn trees(app: &App) -> Result<Vec<Tree>, AppError> {
    Ok(db::tree::list(&mut *app.pool.acquire().await?).await?)
}

pub async fn refs(app: &App, tree: &str, limit: usize) -> Result<Vec<RefInfo>, AppError> {
    app.repos
        .refs(tree, limit)
        .await
        .map_err(|e| AppError::repo(e, "/tree"))
}

/// Positions in a job's range of merges (without a name) and of what `named` names, by full id.
pub async fn landmarks(
    app: &App,
    job: i64,
    named: &BTreeMap<String, String>,
) -> Result<Vec<(i32, Option<String>)>, AppError> {
    let revs: Vec<&str> = named.keys().map(String::as_str).collect();
    let rows = db::job::landmarks(&mut *app.pool.acquire().await?, job, &revs).await?;
    let told = |(position, rev): (i32, String)| (position, named.get(&rev).cloned());
    Ok(rows.into_iter().map(told).collect())
}

pub async fn workers(app: &App, sight: &Sight) -> Result<Vec<Worker>, AppError> {
    let mut conn = app.pool.acquire().await?;
    Ok(db::worker::list(&mut conn, sight, app.timing.ttl_ms).await?)
}

pub async fn commit(app: &App, tree: &str, rev: &str) -> Result<Option<CommitInfo>, AppError> {
    match app.repos.commit(tree, rev).await {
        Ok(info) => Ok(Some(info)),
        Err(RepoError::NotFound | RepoError::UnknownRef { .. }) => Ok(None),
        Err(error) => Err(AppError::repo(error, "/rev")),
    }
}

/// What a tree says of a commit besides itself.
pub struct Change {
    pub commit: CommitInfo,
    pub diff: String,
    /// The merge that brought it to the bad end.
    pub merge: Option<(String, String)>,
    /// The first tag that has it.
    pub tag: Option<String>,
}

/// The change of a commit on the way to `head`; `None` when the tree does not have it.
pub async fn change(
    app: &App,
    tree: &str,
    rev: &str,
    head: &str,
) -> Result<Option<Change>, AppError> {
    let Some(commit) = commit(app, tree, rev).await? else {
        return Ok(None);
    };
    let repos = &app.repos;
    let found = async {
        Ok::<_, RepoError>(Change {
            commit,
            diff: repos.diff(tree, rev, DIFF_BYTES).await?,
            merge: repos.brought_by(tree, rev, head).await?,
            tag: repos.first_tag(tree, rev).await?,
        })
    };
    found.await.map(Some).map_err(|e| AppError::repo(e, "/rev"))
}

/// The job as `git bisect log` tells it; `None` when there is no such job.
pub async fn bisect_log(app: &App, id: i64) -> Result<Option<String>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let picture = Picture::load(&mut conn, id)
        .await
        .map_err(|e| AppError::Internal(format!("{e:#}")))?;
    Ok(picture.map(|p| crate::bisect_log::render(&p)))
}

async fn load(
    conn: &mut sqlx::PgConnection,
    sight: &Sight,
    id: i64,
    ttl_ms: u64,
) -> Result<Option<Job>, AppError> {
    let picture = Picture::load(&mut *conn, id)
        .await
        .map_err(|e| AppError::Internal(format!("{e:#}")))?;
    let Some(picture) = picture else {
        return Ok(None);
    };
    let times = db::job::stage_ms(&mut *conn, id).await?;
    let mut job = show(&picture, &times);
    if picture.job.state == "running" && db::attempt::stranded(&mut *conn, id, ttl_ms).await? {
        job.sentence += STRANDED;
        job.eta_s = None;
    }
    job.exactness = evidence::exactness(db::repeat::of_job(&mut *conn, id).await?);
    if job.outcome.is_none()
        && let Some(row) = db::release::missed(&mut *conn, id, limits::RELEASE_FETCHES).await?
    {
        let (version, why) = (&row.version, &row.why);
        let more = format!(" Linux {version} could not be fetched, and is tried again: {why}.");
        job.sentence.push_str(&more);
    }
    if let Some(origin) = picture.job.origin
        && db::sight::job(&mut *conn, sight, origin).await?.is_some()
    {
        let row = db::job::find(&mut *conn, origin).await?;
        job.origin = row.map(|row| related(&row, &picture.job.origin_why));
    }
    let further = db::job::further(conn, sight, id).await?;
    job.further = further
        .iter()
        .map(|row| related(row, &row.origin_why))
        .collect();
    Ok(Some(job))
}

fn related(row: &JobRow, why: &str) -> Related {
    let told = ended(row);
    Related {
        id: row.id,
        why: why.to_owned(),
        sentence: told.outcome.is_some().then_some(told.sentence),
        state: told.state,
    }
}

fn retracted(row: &JobRow) -> Option<Retraction> {
    Some(Retraction {
        who: row.retracted_by.clone()?,
        why: row.retracted_why.clone()?,
        at: rfc3339(row.retracted_at?),
    })
}

/// A job without its candidates, from the row alone.
fn ended(row: &JobRow) -> Job {
    let outcome = row.outcome.as_ref().map(|o| o.0.clone());
    Job {
        id: row.id,
        title: row.title.clone(),
        owner: row.owner.clone(),
        state: row.state.clone(),
        sentence: outcome
            .as_ref()
            .map(|o| outcome_sentence(o, row.request.find))
            .map(|told| match retracted(row) {
                Some(by) => {
                    let why = by.why.trim_end_matches('.');
                    format!("Retracted by {}: {why}. It had said: {told}", by.who)
                }
                None => told,
            })
            .unwrap_or_default(),
        request: row.request.0.clone(),
        range: row.range.0.clone(),
        left: match &outcome {
            Some(Outcome::Culprit { .. }) => 1,
            Some(Outcome::Range { candidates, .. }) => candidates.len(),
            _ => row.range.revisions,
        },
        step: 0,
        steps: row.range.steps as usize,
        eta_s: None,
        outcome,
        cost: Cost::default(),
        candidates: vec![],
        likely: vec![],
        relevant: None,
        narrowed: row.narrowed.clone().unwrap_or_default(),
        exactness: Exactness::default(),
        confounders: None,
        difference: row.difference.as_ref().map(|d| d.0.clone()),
        mends: vec![],
        held: 0,
        retracted: retracted(row),
        origin: None,
        further: vec![],
        stage_ms: BTreeMap::new(),
        created_at: rfc3339(row.created_at),
        ended_at: row.ended_at.map(rfc3339),
    }
}

/// The whole job as its picture shows it. `times`: (attempt kind, stage, ms).
pub fn show(picture: &Picture, times: &[(String, String, i64)]) -> Job {
    let mut job = ended(&picture.job);
    let mut stage_ms = BTreeMap::new();
    for (kind, stage, ms) in times {
        *stage_ms.entry(stage.clone()).or_insert(0) += ms;
        match kind.as_str() {
            "build" => job.cost.build_ms += ms,
            _ => job.cost.test_ms += ms,
        }
    }
    job.stage_ms = stage_ms;
    job.mends = picture.mends.iter().map(Mend::from).collect();
    let sites = picture.sites.values().chain(picture.reverts.values());
    let probes = sites.flat_map(|s| s.build.iter().chain(s.tests.iter().map(|t| &t.probe)));
    job.held = probes.filter(|p| p.state == "held").count();
    let candidates = picture.revisions.range(0..).map(|(_, r)| r);
    let suspected = candidates.filter(|r| r.eligible && r.weight > Some(1));
    job.relevant = picture.weights().map(|_| suspected.count());
    job.range.walk = walk::walk(picture);
    count(picture, &mut job.cost);
    // Between two points there is nothing to be likely, and before there are two neither.
    let searched = picture.ends_settled() && !picture.job.request.two_point && !picture.walks();
    let chances = searched
        .then(|| Inquiry::new(picture, 1).ok())
        .flatten()
        .map(|inquiry| inquiry.chances());
    let touched: BTreeSet<i32> = picture
        .sites
        .keys()
        .chain(picture.marks.keys())
        .copied()
        .collect();
    job.candidates = touched.iter().map(|p| candidate(picture, *p)).collect();
    if let Some(chances) = chances
        .as_ref()
        .filter(|_| !picture.calibration.deterministic)
    {
        weaken(picture, chances, &mut job.candidates);
    }
    let settled = touched
        .iter()
        .filter(|p| picture.mark(**p).is_some())
        .count();
    job.step = settled;
    if let Some(chances) = &chances {
        job.likely = likely(picture, chances);
    }
    let (left, more) = remaining(picture, chances.as_ref());
    if job.outcome.is_none() {
        job.left = left;
        job.steps = settled + more;
        job.sentence = running_sentence(picture, left, settled, more);
        let done_ms = job.cost.build_ms + job.cost.test_ms;
        job.eta_s = (settled > 0)
            .then(|| u64::try_from(done_ms).unwrap_or(0) / 1000 * more as u64 / settled as u64);
    }
    job
}

/// Candidates left, and the revisions still to be tested as far as one can say.
fn remaining(picture: &Picture, chances: Option<&Chances>) -> (usize, usize) {
    if let (true, Some(walk)) = (picture.walks(), &picture.job.range.walk) {
        let left = walk
            .releases
            .saturating_sub(picture.sites.len().saturating_sub(1));
        return (left, (left + 1).ilog2() as usize + 1);
    }
    let bad = Node::try_from(picture.bad()).unwrap_or_default();
    let open_ends = picture
        .present_ends()
        .into_iter()
        .chain(picture.absent_ends())
        .filter(|p| picture.mark(*p).is_none())
        .count();
    if let Some(chances) = chances.filter(|_| !picture.calibration.deterministic) {
        return remaining_under_flakes(picture, chances);
    }
    match firstbad_bisect::plan(&picture.graph, bad, &picture.history(), &picture.policy(1)) {
        Ok(
            Plan::Probe {
                left, steps_left, ..
            }
            | Plan::Wait { left, steps_left },
        ) => (left.len(), steps_left as usize + open_ends),
        Ok(Plan::Done(Found::Culprit { .. })) => (1, 1),
        Ok(Plan::Done(Found::Range { nodes })) => (nodes.len(), 0),
        Err(_) => (0, 0),
    }
}

/// The smallest set that holds the answer nearly surely, and the revisions still to test at as many
/// runs each as so far.
fn remaining_under_flakes(picture: &Picture, chances: &Chances) -> (usize, usize) {
    let mut sorted: Vec<f64> = chances.culprit.values().copied().collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut held = 0.0;
    let enough = sorted.iter().position(|p| {
        held += p;
        held >= picture.job.request.confidence
    });
    let left = enough.map_or(sorted.len(), |last| last + 1);
    let (shown, all) = picture.pooled();
    let rate = (f64::from(shown) + 1.0) / (f64::from(all) + 2.0);
    let made: usize = picture.sites.values().map(|s| s.tests.len()).sum();
    let each = made as f64 / picture.sites.len().max(1) as f64;
    let doubt = 1.0 - picture.job.request.confidence;
    let more = runs_to_go(chances.entropy, rate, doubt) / each.max(1.0);
    (left, (more.ceil() as usize).max(1))
}

/// Runs that a search needs with feedback: bits / C + log2(1 / error) / D (Burnashev 1976), of a
/// test that fails with `rate` where the culprit is and hardly ever elsewhere.
fn runs_to_go(bits: f64, rate: f64, doubt: f64) -> f64 {
    let h = |p: f64| match p > 0.0 && p < 1.0 {
        true => -p * p.log2() - (1.0 - p) * (1.0 - p).log2(),
        false => 0.0,
    };
    let clean = CLEAN_FAILS;
    let mixed = |share: f64| {
        h(share * rate + (1.0 - share) * clean) - share * h(rate) - (1.0 - share) * h(clean)
    };
    let capacity = (1..100)
        .map(|percent| mixed(f64::from(percent) / 100.0))
        .fold(1e-3, f64::max);
    let distance =
        rate * (rate / clean).log2() + (1.0 - rate) * ((1.0 - rate) / (1.0 - clean)).log2();
    bits / capacity - doubt.log2() / distance.max(1e-3)
}

/// Runs that flakes may have told are weak until the rest agrees with them.
fn weaken(picture: &Picture, chances: &Chances, candidates: &mut [Candidate]) {
    for c in candidates.iter_mut().filter(|c| c.mark.is_none()) {
        let Some(inside) = chances.inside.get(&c.position) else {
            continue;
        };
        let unsure = match picture.mark(c.position) {
            Some(Mark::Good) => *inside > WEAK,
            Some(Mark::Bad) => *inside < 1.0 - WEAK,
            Some(Mark::Skip) | None => false,
        };
        if unsure {
            c.verdict = "weak".to_owned();
        }
    }
}

fn likely(picture: &Picture, chances: &Chances) -> Vec<Likely> {
    let mut sorted: Vec<(i32, f64)> = chances.culprit.iter().map(|(p, c)| (*p, *c)).collect();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let shown = sorted.iter().take(LIKELY_SHOWN);
    shown
        .filter(|(_, chance)| *chance >= LIKELY_LEAST)
        .map(|(position, chance)| Likely {
            rev: picture.rev(*position).to_owned(),
            subject: picture.subject(*position).to_owned(),
            chance: *chance,
        })
        .collect()
}

fn count(picture: &Picture, cost: &mut Cost) {
    let mut seen = std::collections::BTreeSet::new();
    for site in picture.sites.values().chain(picture.reverts.values()) {
        let tests = site.tests.iter().map(|t| (&t.probe, true));
        for (probe, test) in site.build.iter().map(|b| (b, false)).chain(tests) {
            // A kernel equal to another one of this job shares its attempt: a reuse, not a boot.
            let reused = probe.reused || !seen.insert(probe.attempt_id);
            let counter = match (test, reused) {
                (false, false) => &mut cost.builds,
                (false, true) => &mut cost.builds_reused,
                (true, false) => &mut cost.boots,
                (true, true) => &mut cost.boots_reused,
            };
            *counter += 1;
        }
    }
}

fn candidate(picture: &Picture, position: i32) -> Candidate {
    let empty = crate::picture::Site::default();
    let site = picture.sites.get(&position).unwrap_or(&empty);
    let (verdict, why) = match picture.standing(position) {
        Standing::Untested => ("untested", String::new()),
        // An answered job leaves what it no longer needed.
        Standing::Running if picture.job.outcome.is_some() => ("untested", String::new()),
        Standing::Running => ("running", String::new()),
        Standing::Present(why) => ("bad", why),
        Standing::Absent(why) => ("good", why),
        Standing::Unusable(why) => ("skip", why),
        Standing::Held(why) => ("skip", format!("infrastructure: {why}")),
    };
    let (present, absent, _) = picture.tally(position);
    let build_state = match (&site.built, &site.build) {
        (Some(BuildObservation::Failed { .. }), _) => "failed".to_owned(),
        (_, Some(build)) => build.state.clone(),
        (_, None) => "untested".to_owned(),
    };
    Candidate {
        rev: picture.rev(position).to_owned(),
        subject: picture.subject(position).to_owned(),
        position,
        verdict: verdict.to_owned(),
        why,
        mark: picture.marks.get(&position).cloned(),
        bad_runs: present,
        runs: present + absent,
        build: site.build.as_ref().map(|b| b.attempt_id),
        build_state,
        build_reused: site.build.as_ref().is_some_and(|b| b.reused),
        signature: match &site.built {
            Some(BuildObservation::Built { signature, .. }) => Some(signature.clone()),
            _ => None,
        },
        tests: site
            .tests
            .iter()
            .map(|t| {
                let (verdict, why) = match &t.raw {
                    Some(Raw::Present(why)) => ("bad", why.clone()),
                    Some(Raw::Absent(why)) => ("good", why.clone()),
                    Some(Raw::Unusable(why)) => ("skip", why.clone()),
                    None => ("", String::new()),
                };
                CandidateTest {
                    attempt: t.probe.attempt_id,
                    seed: t.probe.seed.unwrap_or_default(),
                    state: t.probe.state.clone(),
                    verdict: verdict.to_owned(),
                    why,
                    reused: t.probe.reused,
                    value: picture.number(t).filter(|v| v.is_finite()),
                }
            })
            .collect(),
        metric: picture.metric(position),
        reason: site
            .build
            .as_ref()
            .map(|b| b.reason.clone())
            .unwrap_or_default(),
        round: site
            .build
            .as_ref()
            .and_then(|b| u32::try_from(b.round).ok())
            .unwrap_or_default(),
    }
}

fn running_sentence(picture: &Picture, left: usize, settled: usize, more: usize) -> String {
    if picture.job.state == "queued" {
        return "Waiting for a worker: none is connected; the command firstbad worker starts one."
            .to_owned();
    }
    if picture.job.request.survey {
        return format!("Running {} releases.", picture.surveyed().len());
    }
    if picture.job.request.two_point {
        return "Running the two ends until they differ for sure, or do not.".to_owned();
    }
    if let (true, Some(walk)) = (picture.walks(), walk::walk(picture)) {
        return walking_sentence(&walk);
    }
    let ends_open = picture
        .present_ends()
        .into_iter()
        .chain(picture.absent_ends());
    if ends_open.into_iter().any(|p| picture.mark(p).is_none()) {
        return format!(
            "Testing both ends of {} candidates.",
            picture.job.range.revisions
        );
    }
    if left == 1 {
        return "One candidate is left: verifying it and its parent.".to_owned();
    }
    format!("{left} candidates are left; {settled} revisions tested, about {more} to go.")
}

/// What a walk looked at, the newest first: `7.2.12 bad, 6.18.15 good`.
pub fn looked(walk: &Walk) -> String {
    let each = walk
        .looked
        .iter()
        .map(|l| format!("{} {}", l.release, l.verdict));
    each.collect::<Vec<_>>().join(", ")
}

fn walking_sentence(walk: &Walk) -> String {
    match walk.looked.iter().find(|l| l.verdict == "running") {
        Some(now) => format!(
            "Walking back to a good release: {}; now {}.",
            walk::told(walk),
            now.release
        ),
        None => format!("Walking back to a good release: {}.", walk::told(walk)),
    }
}

/// One sentence that tells an outcome.
pub fn outcome_sentence(outcome: &Outcome, find: Find) -> String {
    let verb = if find == Find::Fix {
        "repaired it"
    } else {
        "broke it"
    };
    match outcome {
        Outcome::Culprit {
            rev,
            subject,
            confidence,
            sides,
            ..
        } => {
            let short = rev.get(..12).unwrap_or(rev);
            let both = match sides.is_empty() {
                true => "",
                false => " It is a merge, and each of its sides alone did not: they clash.",
            };
            format!(
                "{short} (\"{subject}\") {verb}, with {} confidence.{both}",
                percent(*confidence)
            )
        }
        Outcome::Range {
            candidates,
            confidence,
            ..
        } => format!(
            "One of {} commits {verb} ({} confidence); the rest between them cannot be tested.",
            candidates.len(),
            percent(*confidence)
        ),
        Outcome::Differs {
            why, confidence, ..
        } => format!(
            "The two ends differ, with {} confidence: {why}.",
            percent(*confidence)
        ),
        Outcome::Surveyed { releases } => format!("All {releases} releases were run."),
        Outcome::NotReproduced { why, .. } => format!("Not reproduced: {why}."),
        Outcome::NoGoodEnd { why, .. } => format!("No good release was found: {why}."),
        Outcome::Unresolved { why } => format!("Unresolved: {why}."),
        Outcome::Cancelled => "Cancelled.".to_owned(),
    }
}

/// Never rounds up to certainty.
pub fn percent(p: f64) -> String {
    let p = (p * 10_000.0).floor() / 100.0;
    format!("{:.2} %", p.min(99.99))
}
