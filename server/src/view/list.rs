//! The list of jobs: what is asked of it, checked, and its rows told.

use std::collections::BTreeMap;

use firstbad_api::job::Outcome;
use firstbad_api::list::{
    Counts, GROUPS, JOBS, JOBS_MOST, JobList, JobsQuery, Listed, OUTCOMES, SIGNALS, STATES,
    TEXT_CHARS,
};

use super::job::STRANDED;
use super::sentence::{outcome_sentence, retracted_sentence, waiting};
use crate::access::Principal;
use crate::db::list::{Filter, Found, Row};
use crate::db::{self, rfc3339};
use crate::error::AppError;
use crate::state::App;

/// What is asked for cannot be: the field, and a sentence that begins with it.
#[derive(Debug, PartialEq, Eq)]
pub struct Wrong {
    pub field: &'static str,
    pub why: String,
}

impl From<Wrong> for AppError {
    fn from(wrong: Wrong) -> AppError {
        AppError::bad("bad-query", &format!("/{}", wrong.field), wrong.why)
    }
}

/// The groups of a list, in the order they are read.
pub struct Grouped {
    pub counts: Counts,
    /// One of [`GROUPS`] with its jobs and the cursor of more of them.
    pub groups: Vec<(&'static str, Vec<Listed>, Option<String>)>,
}

/// A query that has been read.
struct Asked<'a> {
    filter: Filter<'a>,
    before: Option<i64>,
    limit: usize,
}

/// Newest first, of one group or of all.
///
/// # Errors
/// When the query cannot be read, naming the field.
pub async fn list(app: &App, who: &Principal, query: &JobsQuery) -> Result<JobList, AppError> {
    let owner = who.owner();
    let asked = read(query, &owner, JOBS)?;
    let found = find(app, who, &asked, &[&query.group]).await?;
    let ids = found.iter().find(|f| f.lot == query.group);
    let (ids, next) = cut(ids, asked.limit);
    let mut told = tell(app, ids.iter().copied()).await?;
    Ok(JobList {
        jobs: ids.iter().filter_map(|id| told.remove(id)).collect(),
        next,
        counts: counts(&found),
    })
}

/// The same by group: some of each, or the page of one.
///
/// # Errors
/// When the query cannot be read, naming the field.
pub async fn grouped(
    app: &App,
    who: &Principal,
    query: &JobsQuery,
    each: usize,
) -> Result<Grouped, AppError> {
    let owner = who.owner();
    let one = !query.group.is_empty();
    let asked = read(query, &owner, if one { JOBS } else { each })?;
    let wanted = GROUPS.into_iter().filter(|g| !one || *g == query.group);
    let wanted: Vec<&str> = wanted.collect();
    let found = find(app, who, &asked, &wanted).await?;
    let wanted: Vec<(&str, &[i64], Option<String>)> = wanted
        .into_iter()
        .map(|group| {
            let of = found.iter().find(|f| f.lot == group);
            let (ids, next) = cut(of, asked.limit);
            (group, ids, next)
        })
        .collect();
    let ids = wanted.iter().flat_map(|(_, ids, _)| ids.iter().copied());
    let mut told = tell(app, ids).await?;
    let groups = wanted.into_iter().map(|(group, ids, next)| {
        let jobs = ids.iter().filter_map(|id| told.remove(id));
        (group, jobs.collect::<Vec<_>>(), next)
    });
    Ok(Grouped {
        counts: counts(&found),
        groups: groups.filter(|(_, jobs, _)| !jobs.is_empty()).collect(),
    })
}

async fn find(
    app: &App,
    who: &Principal,
    asked: &Asked<'_>,
    groups: &[&str],
) -> Result<Vec<Found>, AppError> {
    // One more than is told says whether there are more.
    let limit = i64::try_from(asked.limit + 1).unwrap_or(i64::MAX);
    let mut conn = app.pool.acquire().await?;
    let sight = who.sight();
    Ok(db::list::find(
        &mut conn,
        &sight,
        &asked.filter,
        groups,
        asked.before,
        limit,
    )
    .await?)
}

fn cut(found: Option<&Found>, limit: usize) -> (&[i64], Option<String>) {
    let ids = found.map_or(&[][..], |found| &found.ids);
    match ids.get(..limit) {
        Some(page) if ids.len() > limit => (page, page.last().map(|last| format!("b{last}"))),
        _ => (ids, None),
    }
}

fn counts(found: &[Found]) -> Counts {
    let of = |group: &str| {
        let lot = found.iter().find(|f| f.lot == group);
        lot.map_or(0, |f| f.count)
    };
    Counts {
        person: of("person"),
        now: of("now"),
        answered: of("answered"),
    }
}

fn read<'a>(query: &'a JobsQuery, owner: &'a str, each: usize) -> Result<Asked<'a>, Wrong> {
    let wrong = |field, why: String| Err(Wrong { field, why });
    let words = query.q.trim();
    if words.chars().count() > TEXT_CHARS {
        let why = format!("q: use at most {TEXT_CHARS} characters");
        return wrong("q", why);
    }
    if words.contains('\0') {
        return wrong("q", "q: leave out the NUL character".to_owned());
    }
    // `7` may be a word as well; `#7` is not.
    let hashed = words.starts_with('#');
    let number = words.trim_start_matches('#').parse().ok();
    one_of("group", &query.group, &GROUPS)?;
    let mine = match query.mine.as_str() {
        "" | "0" => None,
        "1" if owner.is_empty() => {
            let why = "mine: nobody is signed in, so no job is yours; sign in first";
            return wrong("mine", why.to_owned());
        }
        "1" => Some(owner),
        _ => return wrong("mine", "mine: use 1, or leave it out".to_owned()),
    };
    let limit = match query.limit.as_str() {
        "" => Some(each),
        text => text.parse().ok(),
    };
    let Some(limit) = limit.filter(|n| (1..=JOBS_MOST).contains(n)) else {
        return wrong("limit", format!("limit: use 1 to {JOBS_MOST}"));
    };
    let before = match query.cursor.as_str() {
        "" => None,
        text => match text.strip_prefix('b').and_then(|n| n.parse().ok()) {
            Some(before) => Some(before),
            None => {
                let why = "cursor: use one that an answer gave, or leave it out";
                return wrong("cursor", why.to_owned());
            }
        },
    };
    Ok(Asked {
        filter: Filter {
            words: Some(words).filter(|w| !w.is_empty() && (number.is_none() || !hashed)),
            number,
            state: one_of("state", &query.state, &STATES)?,
            tree: name("tree", &query.tree)?,
            suite: name("suite", &query.suite)?,
            outcome: one_of("outcome", &query.outcome, &OUTCOMES)?,
            signal: one_of("signal", &query.signal, &SIGNALS)?,
            owner: mine,
            label: name("label", &query.label)?,
        },
        before,
        limit,
    })
}

/// A name that may be unknown: then nothing matches.
fn name<'a>(field: &'static str, text: &'a str) -> Result<Option<&'a str>, Wrong> {
    if text.len() > TEXT_CHARS || text.contains('\0') {
        let why = format!("{field}: use at most {TEXT_CHARS} bytes and no NUL character");
        return Err(Wrong { field, why });
    }
    Ok(Some(text).filter(|t| !t.is_empty()))
}

fn one_of<'a>(
    field: &'static str,
    text: &'a str,
    known: &[&str],
) -> Result<Option<&'a str>, Wrong> {
    if text.is_empty() {
        return Ok(None);
    }
    if !known.contains(&text) {
        let why = format!("{field}: use one of {}", known.join(", "));
        return Err(Wrong { field, why });
    }
    Ok(Some(text))
}

/// What the rows of these jobs say, by number.
async fn tell(
    app: &App,
    ids: impl Iterator<Item = i64>,
) -> Result<BTreeMap<i64, Listed>, AppError> {
    let ids: Vec<i64> = ids.collect();
    let mut conn = app.pool.acquire().await?;
    let rows = db::list::rows(&mut conn, &ids).await?;
    let running = rows.iter().filter(|row| row.state == "running");
    let running: Vec<i64> = running.map(|row| row.id).collect();
    let stranded = db::attempt::stranded(&mut conn, &running, app.timing.ttl_ms).await?;
    let told = rows.into_iter().map(|row| {
        let mut listed = listed(row);
        if stranded.contains(&listed.id) {
            listed.sentence += STRANDED;
            listed.eta_s = None;
        }
        (listed.id, listed)
    });
    Ok(told.collect())
}

fn listed(row: Row) -> Listed {
    let (asked, range) = (row.asked.0, row.range.0);
    let outcome = row.outcome.map(|o| o.0);
    let progress = row.progress.map(|p| p.0).filter(|_| outcome.is_none());
    let sentence = match (&outcome, &progress) {
        (Some(outcome), _) => {
            let told = outcome_sentence(outcome, asked.find);
            match (&row.retracted_by, &row.retracted_why) {
                (Some(who), Some(why)) => retracted_sentence(who, why, &told),
                _ => told,
            }
        }
        (None, Some(progress)) if row.state != "queued" => progress.sentence.clone(),
        (None, _) if row.state == "queued" => waiting(asked.toolchain.as_deref()),
        (None, _) => "It has just begun.".to_owned(),
    };
    let named = match asked.good.is_empty() {
        true => range.good.iter().take(1).cloned().collect(),
        false => asked.good,
    };
    Listed {
        id: row.id,
        title: row.title,
        owner: row.owner,
        private: row.private,
        state: row.state,
        group: row.lot,
        sentence,
        tree: row.tree,
        good: named,
        bad: asked.bad,
        two_point: asked.two_point,
        survey: asked.survey,
        suite: asked.custom.map_or(asked.suite, |test| test.name),
        signal: row.signal,
        left: match (&outcome, &progress) {
            (Some(Outcome::Culprit { .. }), _) => 1,
            (Some(Outcome::Range { candidates, .. }), _) => candidates.len(),
            (None, Some(progress)) => progress.left,
            _ => range.revisions,
        },
        outcome: outcome.map(|o| o.name().to_owned()),
        revisions: range.revisions,
        step: progress.as_ref().map_or(0, |p| p.step),
        steps: progress.as_ref().map_or(range.steps as usize, |p| p.steps),
        eta_s: progress.and_then(|p| p.eta_s),
        labels: asked.labels,
        created_at: rfc3339(row.created_at),
        ended_at: row.ended_at.map(rfc3339),
    }
}
