//! Watches trees: fetches them when it is time or somebody pushed, checks what moved, opens a
//! regression for what the last good head did not have, and has it looked into.
//!
//! All of it is told from rows, so a pass may stop anywhere. Must not know what a check looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use firstbad_api::job::Outcome;
use firstbad_api::regression::{Fix, FixedBy, Signature};
use firstbad_api::rule::{On, matches};
use serde_json::json;
use sqlx::PgConnection;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::check::{self, Seen};
use crate::db::regression::{Open, Unfixed, Unsought};
use crate::db::rule::{Call, HeadRow, NewHead, Row};
use crate::db::sight::Sight;
use crate::error::AppError;
use crate::picture::Picture;
use crate::rule::{self, Ends};
use crate::state::App;
use crate::status::{self, State};
use crate::{api, db, known};

/// Who does it, in the record.
const WHO: &str = "watcher";
/// Older heads that a new one is compared with, at most.
const BEFORE: i64 = 20;
/// Between two passes that nothing woke.
const PAUSE: Duration = Duration::from_secs(2);

/// Passes until shutdown. A tree that is slow to fetch keeps no other waiting.
pub async fn run(app: App, shutdown: CancellationToken) {
    let mut fetches = JoinSet::new();
    let mut changes = app.changes();
    let freed = async { db::rule::fetches_died(&mut *app.pool.acquire().await?).await };
    if let Err(error) = freed.await {
        tracing::warn!(%error, "trees that were being fetched stay as they are");
    }
    while !shutdown.is_cancelled() {
        let passed = async {
            for name in due(&app).await? {
                fetches.spawn(fetch(app.clone(), name));
            }
            pass(&app).await
        };
        if let Err(error) = passed.await {
            tracing::warn!(%error, "trees could not be watched; the next pass does");
            tokio::time::sleep(PAUSE).await;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = changes.changed() => {}
            Some(_) = fetches.join_next() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Fetches what is due, and does all that follows.
pub async fn tick(app: &App) -> sqlx::Result<()> {
    for name in due(app).await? {
        fetch(app.clone(), name).await;
    }
    pass(app).await
}

async fn due(app: &App) -> sqlx::Result<Vec<String>> {
    db::rule::due(&mut *app.pool.acquire().await?).await
}

async fn fetch(app: App, name: String) {
    // The tree's row says why a fetch failed.
    if let Err(error) = api::trees::refresh(&app, &name).await {
        tracing::warn!(tree = name, %error, "a tree could not be fetched");
    }
    let ended = async { db::rule::fetch_ended(&mut *app.pool.acquire().await?, &name).await };
    if let Err(error) = ended.await {
        tracing::warn!(tree = name, %error, "the end of a fetch could not be noted");
    }
    app.wake();
}

/// One pass over rules, heads and regressions. What goes wrong with one keeps no other waiting.
async fn pass(app: &App) -> sqlx::Result<()> {
    let mut conn = app.pool.acquire().await?;
    let rules = db::rule::unseen(&mut conn).await?;
    let calls = db::rule::calls(&mut conn).await?;
    drop(conn);
    for rule in &rules {
        told(see(app, rule).await, "rule", rule.id);
    }
    for call in &calls {
        told(answer(app, call).await, "call", call.id);
    }
    let checked = db::rule::checked(&mut *app.pool.acquire().await?).await?;
    for head in &checked {
        told(judge(app, head).await, "head", head.id);
    }
    let waiting = db::rule::waiting(&mut *app.pool.acquire().await?).await?;
    for head in &waiting {
        told(start(app, head).await, "head", head.id);
    }
    let unsought = db::regression::unsought(&mut *app.pool.acquire().await?).await?;
    for regression in &unsought {
        told(seek(app, regression).await, "regression", regression.id);
    }
    let mut conn = app.pool.acquire().await?;
    let Some(known) = db::regression::what_is_known(&mut conn).await? else {
        return Ok(());
    };
    let unfixed = db::regression::unfixed(&mut conn, &known).await?;
    drop(conn);
    for regression in &unfixed {
        told(
            find_fix(app, regression, &known).await,
            "regression",
            regression.id,
        );
    }
    Ok(())
}

fn told(done: anyhow::Result<()>, what: &str, id: i64) {
    if let Err(error) = done {
        let error = format!("{error:#}");
        tracing::error!(what, id, error, "could not go on with it");
    }
}

/// Stores what the branches or tags of a rule name now.
async fn see(app: &App, rule: &Row) -> anyhow::Result<()> {
    let refs = app.repos.refs_of(&rule.tree, rule.rule.on).await?;
    let mut conn = app.pool.acquire().await?;
    let known = db::rule::known(&mut conn, rule.id).await?;
    drop(conn);
    let known: BTreeSet<(String, String)> = known.into_iter().collect();
    let first = rule.looked_at.is_none();
    let named = refs.iter().filter(|r| matches(&rule.rule.refs, &r.name));
    // Newest first: of tags that were there before the rule, that one is what later ones are compared
    // with.
    let new: Vec<(usize, _)> = named
        .enumerate()
        .filter(|(_, r)| !known.contains(&(r.name.clone(), r.rev.clone())))
        .collect();
    let mut tx = app.pool.begin().await?;
    for (nth, found) in new.into_iter().rev() {
        let head = NewHead {
            reference: &found.name,
            rev: &found.rev,
            subject: &found.subject,
            told_by: "fetch",
            runs: rule.rule.on == On::Branch || !first || nth == 0,
        };
        let added = db::rule::add_head(&mut tx, rule.id, &head).await?;
        if let (Some(id), On::Branch) = (added, rule.rule.on) {
            db::rule::leave_out(&mut tx, rule.id, &found.name, id).await?;
        }
    }
    db::rule::looked(&mut tx, rule.id, rule.fetched_at).await?;
    Ok(tx.commit().await?)
}

/// Has run what somebody asked for or pushed.
async fn answer(app: &App, call: &Call) -> anyhow::Result<()> {
    let mut conn = app.pool.acquire().await?;
    let Some(rule) = db::rule::find(&mut conn, call.rule_id).await? else {
        return Ok(());
    };
    drop(conn);
    let wanted: Vec<(String, String)> = match (&call.reference, &call.rev) {
        (reference, Some(rev)) => {
            let name = reference.clone().unwrap_or_else(|| rev.clone());
            vec![(name, rev.clone())]
        }
        (Some(reference), None) => vec![(reference.clone(), reference.clone())],
        (None, None) => {
            let refs = app.repos.refs_of(&rule.tree, rule.rule.on).await?;
            let named = refs
                .into_iter()
                .filter(|r| matches(&rule.rule.refs, &r.name));
            named.map(|r| (r.name, r.rev)).collect()
        }
    };
    let mut heads = Vec::new();
    for (name, rev) in wanted {
        match app.repos.resolve(&rule.tree, &rev).await {
            Ok(resolved) => heads.push((name, resolved)),
            Err(error) => {
                let mut conn = app.pool.acquire().await?;
                let why = error.to_string();
                db::rule::called(&mut conn, call.id, "failed", &why, None).await?;
                return Ok(());
            }
        }
    }
    let mut tx = app.pool.begin().await?;
    let mut last = None;
    for (name, resolved) in &heads {
        let head = NewHead {
            reference: name,
            rev: &resolved.rev,
            subject: &resolved.subject,
            told_by: &call.told_by,
            runs: true,
        };
        last = db::rule::add_head(&mut tx, rule.id, &head).await?.or(last);
    }
    let why = match last {
        Some(_) => "",
        None => "nothing is new there",
    };
    db::rule::called(&mut tx, call.id, "done", why, last).await?;
    Ok(tx.commit().await?)
}

/// Begins the check of a head, if the budget allows.
async fn start(app: &App, head: &HeadRow) -> anyhow::Result<()> {
    let mut conn = app.pool.acquire().await?;
    let Some(rule) = db::rule::find(&mut conn, head.rule_id).await? else {
        return Ok(());
    };
    drop(conn);
    if rule.left <= 0 {
        return Ok(());
    }
    let request = rule::check(&rule.rule, &head.reference, &head.rev);
    let checked = match api::jobs::check(app, request).await {
        Ok(checked) => checked,
        Err(AppError::Problem(problem)) => {
            let mut tx = app.pool.begin().await?;
            db::rule::end(&mut tx, head.id, "nothing", &problem.detail).await?;
            write_status(app, &mut tx, &rule, head, State::Error, &problem.detail).await?;
            return Ok(tx.commit().await?);
        }
        Err(error) => return Err(error.into()),
    };
    let mut tx = app.pool.begin().await?;
    let Some(job) = api::jobs::insert(&mut tx, &checked, &rule.owner, None, None).await? else {
        return Ok(());
    };
    if !db::rule::start(&mut tx, head.id, job).await? {
        return Ok(());
    }
    db::rule::adopt(&mut tx, rule.id, job).await?;
    let detail = json!({ "rule": rule.id, "ref": head.reference, "rev": head.rev });
    db::audit(&mut tx, WHO, "head checked", Some(job), None, detail).await?;
    let head = HeadRow {
        job_id: Some(job),
        ..head.clone()
    };
    write_status(
        app,
        &mut tx,
        &rule,
        &head,
        State::Pending,
        "it is being run",
    )
    .await?;
    tx.commit().await?;
    app.wake();
    Ok(())
}

/// Says what became of a head, and opens regressions.
async fn judge(app: &App, head: &HeadRow) -> anyhow::Result<()> {
    let mut conn = app.pool.acquire().await?;
    let Some(rule) = db::rule::find(&mut conn, head.rule_id).await? else {
        return Ok(());
    };
    let signal = &rule.rule.run.signal;
    let picture = match head.job_id {
        Some(job) => Picture::load(&mut conn, job).await?,
        None => None,
    };
    drop(conn);
    let seen = match picture.filter(|p| p.job.state == "done") {
        Some(picture) => Seen::of(&picture, signal),
        None => Seen::nothing("its check was cancelled"),
    };
    if !seen.nothing.is_empty() {
        let mut tx = app.pool.begin().await?;
        db::rule::end(&mut tx, head.id, "nothing", &seen.nothing).await?;
        write_status(app, &mut tx, &rule, head, State::Error, &seen.nothing).await?;
        return Ok(tx.commit().await?);
    }
    let failing = seen.failing(signal);
    let new = new_ones(app, &rule, head, &seen, failing.clone()).await?;
    let compared = matches!(
        signal,
        firstbad_api::job::Signal::Metric {
            threshold: None,
            ..
        }
    );
    let bad: Vec<Signature> = match compared {
        true => new.iter().map(|(s, _)| s.clone()).collect(),
        false => failing,
    };
    let open = db::regression::open(&mut *app.pool.acquire().await?, rule.id).await?;
    let repaired = repaired(app, &rule, head, &seen, &open).await?;
    let says = match bad.is_empty() {
        true => "it passes".to_owned(),
        false => {
            let all: Vec<String> = check::grouped(bad.clone())
                .iter()
                .map(ToString::to_string)
                .collect();
            all.join("; ")
        }
    };
    let mut tx = app.pool.begin().await?;
    let verdict = if bad.is_empty() { "good" } else { "bad" };
    if !db::rule::end(&mut tx, head.id, verdict, &says).await? {
        return Ok(());
    }
    open_new(&mut tx, &rule, head, &open, &bad, new).await?;
    for regression in repaired {
        let fix = Fix {
            how: FixedBy::Passes,
            tree: rule.tree.clone(),
            rev: head.rev.clone(),
            subject: head.subject.clone(),
            job: head.job_id,
        };
        db::regression::set_fix(&mut tx, regression, &fix).await?;
        let why = format!("{} passes again", head.rev);
        db::regression::set_state(&mut tx, regression, "fixed", WHO, &why).await?;
        let detail = json!({ "regression": regression, "rev": head.rev });
        db::audit(&mut tx, WHO, "regression fixed", head.job_id, None, detail).await?;
    }
    let state = if bad.is_empty() {
        State::Success
    } else {
        State::Failure
    };
    write_status(app, &mut tx, &rule, head, state, &says).await?;
    tx.commit().await?;
    app.wake();
    Ok(())
}

/// Of what fails, what the last head that says something did not have, with that head.
async fn new_ones(
    app: &App,
    rule: &Row,
    head: &HeadRow,
    seen: &Seen,
    mut failing: Vec<Signature>,
) -> anyhow::Result<Vec<(Signature, HeadRow)>> {
    let signal = &rule.rule.run.signal;
    let mut new = Vec::new();
    for older in in_line(app, rule, head).await? {
        if failing.is_empty() {
            break;
        }
        let Some(job) = older.job_id else { continue };
        let picture = Picture::load(&mut *app.pool.acquire().await?, job).await?;
        let Some(picture) = picture else { continue };
        let was = Seen::of(&picture, signal);
        failing.retain(|signature| match was.had(signature, signal, seen) {
            None => true,
            Some(true) => false,
            Some(false) => {
                new.push((signature.clone(), older.clone()));
                false
            }
        });
    }
    Ok(new)
}

/// Older heads that a new one is compared with: those below it, then the last ones of its branch that
/// was rewritten.
async fn in_line(app: &App, rule: &Row, head: &HeadRow) -> anyhow::Result<Vec<HeadRow>> {
    let before = db::rule::before(&mut *app.pool.acquire().await?, head, BEFORE).await?;
    let (mut below, mut beside) = (Vec::new(), Vec::new());
    for older in before {
        let is_below = app.repos.is_ancestor(&rule.tree, &older.rev, &head.rev);
        if is_below.await? {
            below.push(older);
        } else if older.reference == head.reference {
            beside.push(older);
        }
    }
    below.append(&mut beside);
    Ok(below)
}

/// Whether an open regression is about this branch; tags of a rule are one line.
fn concerns(rule: &Row, head: &HeadRow, open: &Open) -> bool {
    rule.rule.on == On::Tag || open.reference == head.reference
}

/// Whether an open regression shows this.
fn shows(open: &Open, signature: &Signature) -> bool {
    match (&open.signature.0, signature) {
        (Signature::Cases { cases }, Signature::Cases { cases: seen }) => {
            seen.iter().any(|c| cases.contains(c))
        }
        (known, seen) => known == seen,
    }
}

/// Opens a regression for what is new and in no open one, and notes that others are seen again.
async fn open_new(
    conn: &mut PgConnection,
    rule: &Row,
    head: &HeadRow,
    open: &[Open],
    bad: &[Signature],
    new: Vec<(Signature, HeadRow)>,
) -> sqlx::Result<()> {
    let concerned = || open.iter().filter(|o| concerns(rule, head, o));
    for regression in concerned().filter(|o| bad.iter().any(|s| shows(o, s))) {
        db::regression::seen_again(conn, regression.id, &head.rev).await?;
    }
    // Those with the same last good head are looked into together.
    let mut by_good: BTreeMap<String, Vec<Signature>> = BTreeMap::new();
    for (signature, good) in new {
        if !concerned().any(|o| shows(o, &signature)) {
            by_good.entry(good.rev).or_default().push(signature);
        }
    }
    for (good, signatures) in by_good {
        for signature in check::grouped(signatures) {
            let new = db::regression::New {
                rule: rule.id,
                tree: rule.tree_id,
                owner: &rule.owner,
                private: rule.rule.run.private,
                suite: &rule.rule.run.suite,
                signature: &signature,
                reference: &head.reference,
                good: &good,
                bad: &head.rev,
            };
            let id = db::regression::insert(conn, &new).await?;
            let detail =
                json!({ "regression": id, "rule": rule.id, "good": good, "bad": head.rev });
            db::audit(conn, WHO, "regression opened", head.job_id, None, detail).await?;
        }
    }
    Ok(())
}

/// The open regressions that this head, which comes after them, does not have any more.
async fn repaired(
    app: &App,
    rule: &Row,
    head: &HeadRow,
    seen: &Seen,
    open: &[Open],
) -> anyhow::Result<Vec<i64>> {
    let signal = &rule.rule.run.signal;
    let mut repaired = Vec::new();
    for regression in open.iter().filter(|o| concerns(rule, head, o)) {
        if seen.had(&regression.signature, signal, seen) != Some(false) {
            continue;
        }
        let (tree, bad) = (&rule.tree, &regression.bad_rev);
        let after = app.repos.is_ancestor(tree, bad, &head.rev).await?;
        let back = app.repos.is_ancestor(tree, &head.rev, bad).await?;
        // A branch that was rewritten goes on beside the head that had it.
        if after || (!back && regression.reference == head.reference) {
            repaired.push(regression.id);
        }
    }
    Ok(repaired)
}

/// Writes the state of a check back, where the rule says.
async fn write_status(
    app: &App,
    conn: &mut PgConnection,
    rule: &Row,
    head: &HeadRow,
    state: State,
    says: &str,
) -> sqlx::Result<()> {
    let Some(to) = &rule.rule.status else {
        return Ok(());
    };
    let page = match (&app.gate.url, head.job_id) {
        (Some(url), Some(job)) => Some(format!("{url}/jobs/{job}")),
        _ => None,
    };
    let body = status::body(to, &rule.rule.name, state, says, page.as_deref());
    let url = status::address(to, &head.rev);
    db::rule::tell(conn, rule.id, &url, &body.to_string(), head.job_id).await
}

/// Has a regression looked into: by a job that answered this already, or by a new one within the budget.
async fn seek(app: &App, regression: &Unsought) -> anyhow::Result<()> {
    let mut conn = app.pool.acquire().await?;
    let Some(rule) = db::rule::find(&mut conn, regression.rule_id).await? else {
        return Ok(());
    };
    drop(conn);
    if rule.left <= 0 {
        return Ok(());
    }
    let (ends, note) = ends(app, &rule, regression).await?;
    let request = rule::bisection(&rule.rule, &regression.signature, &ends);
    let checked = match api::jobs::check(app, request).await {
        Ok(checked) => checked,
        Err(AppError::Problem(problem)) => {
            let mut conn = app.pool.acquire().await?;
            db::regression::sought(&mut conn, regression.id, None, &problem.detail).await?;
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let sight = sight(rule.rule.run.private, &rule.owner);
    let known = known::answered(app, &sight, &checked).await?;
    let mut tx = app.pool.begin().await?;
    let (job, note) = match known {
        Some(known) => (Some(known.job), "it was answered already".to_owned()),
        None => {
            let job = api::jobs::insert(&mut tx, &checked, &rule.owner, None, None).await?;
            if let Some(job) = job {
                db::rule::adopt(&mut tx, rule.id, job).await?;
            }
            (job, note)
        }
    };
    if !db::regression::sought(&mut tx, regression.id, job, &note).await? {
        return Ok(());
    }
    let detail = json!({ "regression": regression.id, "rule": rule.id, "note": note });
    db::audit(&mut tx, WHO, "regression looked into", job, None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(())
}

/// Between what it is looked for, and what is special about that.
async fn ends(app: &App, rule: &Row, regression: &Unsought) -> anyhow::Result<(Ends, String)> {
    let (tree, good, bad) = (&rule.tree, &regression.good_rev, &regression.bad_rev);
    let plain = |good: &str, two_point: bool| Ends {
        good: good.to_owned(),
        bad: bad.clone(),
        two_point,
    };
    if app.repos.is_ancestor(tree, good, bad).await? {
        return Ok((plain(good, false), String::new()));
    }
    let base = app.repos.merge_base(tree, good, bad).await?;
    Ok(match base.filter(|base| base != bad) {
        Some(base) => {
            let note = format!(
                "{} was rewritten: it is searched from what both have in common, {base}",
                regression.reference
            );
            (plain(&base, false), note)
        }
        None => {
            let note = format!(
                "{} was rewritten, and nothing lies between: the two are compared",
                regression.reference
            );
            (plain(good, true), note)
        }
    })
}

/// Looks for what repairs a regression in what is known now.
async fn find_fix(app: &App, regression: &Unfixed, known: &str) -> anyhow::Result<()> {
    let mut fix = None;
    if let Some(culprit) = &regression.culprit {
        let told = known::of(app, &regression.tree, culprit).await?;
        let own = told.later.iter().find(|l| l.tree == regression.tree);
        fix = own.or(told.later.first()).map(|later| Fix {
            how: match later.reverts {
                true => FixedBy::Reverts,
                false => FixedBy::Fixes,
            },
            tree: later.tree.clone(),
            rev: later.rev.clone(),
            subject: later.subject.clone(),
            job: None,
        });
    }
    if fix.is_none() {
        fix = named_by_a_job(app, regression).await?;
    }
    let mut tx = app.pool.begin().await?;
    if let Some(fix) = &fix {
        db::regression::set_fix(&mut tx, regression.id, fix).await?;
        let detail = json!({ "regression": regression.id, "fix": fix });
        db::audit(&mut tx, WHO, "fix found", fix.job, None, detail).await?;
    }
    db::regression::looked_for(&mut tx, regression.id, known).await?;
    Ok(tx.commit().await?)
}

/// The commit that a job named which looked for the repair of this.
async fn named_by_a_job(app: &App, regression: &Unfixed) -> anyhow::Result<Option<Fix>> {
    let sight = sight(regression.private, &regression.owner);
    let mut conn = app.pool.acquire().await?;
    let repairs = db::regression::repairs(&mut conn, regression, &sight).await?;
    drop(conn);
    let since = regression.culprit.as_ref().unwrap_or(&regression.bad_rev);
    for repair in repairs {
        let Outcome::Culprit { rev, subject, .. } = repair.outcome.0 else {
            continue;
        };
        let about = rule::looks_at(&repair.request.signal, &regression.signature);
        if about && app.repos.is_ancestor(&regression.tree, since, &rev).await? {
            return Ok(Some(Fix {
                how: FixedBy::Job,
                tree: regression.tree.clone(),
                rev,
                subject,
                job: Some(repair.id),
            }));
        }
    }
    Ok(None)
}

/// The jobs that a regression may name: a public one tells nothing of a private job.
fn sight(private: bool, owner: &str) -> Sight {
    match private {
        true => Sight::Of(owner.to_owned()),
        false => Sight::nobody(),
    }
}
