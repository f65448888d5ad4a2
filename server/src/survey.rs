//! Surveys as they are stored, put together.
//!
//! Owns which jobs belong to a survey and what a bisection of a change asks. Must not know how a
//! change is told from noise.

use firstbad_api::job::{Find, NewJob, Signal};
use firstbad_api::survey::{Column, Edge, Matrix, NewSurvey, Row, Survey, What};
use sqlx::PgConnection;

use crate::confounders::{self, Described};
use crate::db::sight::Sight;
use crate::db::survey::Member;
use crate::db::{self, rfc3339};
use crate::error::AppError;
use crate::picture::Picture;
use crate::state::App;
use crate::{matrix, view};

/// The request of one suite's job.
pub fn job_of(survey: &NewSurvey, suite: &str) -> NewJob {
    let (good, only) = match survey.releases.as_slice() {
        [first, others @ ..] if !others.is_empty() => (vec![first.clone()], others.to_vec()),
        _ => (Vec::new(), Vec::new()),
    };
    NewJob {
        good,
        bad: survey.releases.last().cloned().unwrap_or_default(),
        only,
        survey: true,
        runs: survey.runs,
        title: Some(format!("Survey of {suite} in {}", survey.tree)),
        ..asked(survey, suite)
    }
}

/// What all jobs about a suite of a survey have in common.
fn asked(survey: &NewSurvey, suite: &str) -> NewJob {
    NewJob {
        config: survey.config.clone(),
        mode: survey.mode,
        vcpus: survey.vcpus,
        private: survey.private,
        ..NewJob::of(&survey.tree, suite)
    }
}

/// The request that finds out where between two columns a row changed.
pub fn bisection_of(survey: &NewSurvey, row: &Row, edge: &Edge) -> NewJob {
    let signal = match &row.what {
        What::Case { case } => Signal::Cases {
            cases: vec![case.clone()],
        },
        What::Metric { name, .. } => Signal::Metric {
            name: name.clone(),
            threshold: None,
        },
    };
    let release = |n: usize| survey.releases.get(n).cloned().unwrap_or_default();
    NewJob {
        good: vec![release(edge.from)],
        bad: release(edge.to),
        find: match edge.worse {
            true => Find::Regression,
            false => Find::Fix,
        },
        signal,
        ..asked(survey, &row.suite)
    }
}

/// How a job remembers the change it looks into: releases and not columns, since more may come.
pub fn edge_key(survey: &NewSurvey, row: &Row, edge: &Edge) -> String {
    let release = |n: usize| survey.releases.get(n).map_or("", String::as_str);
    let what = match &row.what {
        What::Case { case } => format!("case {case}"),
        What::Metric { name, .. } => format!("metric {name}"),
    };
    format!(
        "{} {what} {} {}",
        row.suite,
        release(edge.from),
        release(edge.to)
    )
}

/// A survey with its matrix; `None` when there is none. Jobs that cannot be seen are left out.
pub async fn load(app: &App, sight: &Sight, id: i64) -> Result<Option<Matrix>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let Some(row) = db::survey::find(&mut conn, id).await? else {
        return Ok(None);
    };
    let members = db::survey::members(&mut conn, sight, id).await?;
    let mut matrix = Matrix {
        survey: told(&row, &members),
        columns: Vec::new(),
        rows: Vec::new(),
    };
    for job in matrix.survey.jobs.clone() {
        let picture = Picture::load(&mut conn, job).await;
        let Some(picture) = picture.map_err(|e| AppError::Internal(format!("{e:#}")))? else {
            continue;
        };
        add_columns(&mut matrix, &picture);
        if matrix.rows.is_empty() {
            compare_builds(app, &mut conn, &mut matrix, &picture).await?;
        }
        matrix.rows.extend(matrix::rows(&picture));
    }
    looked_into(&mut conn, &mut matrix, &members).await?;
    Ok(Some(matrix))
}

/// The surveys that can be seen, newest first.
pub async fn list(app: &App, sight: &Sight) -> Result<Vec<Survey>, AppError> {
    let mut conn = app.pool.acquire().await?;
    let mut surveys = Vec::new();
    for row in db::survey::list(&mut conn, sight).await? {
        let members = db::survey::members(&mut conn, sight, row.id).await?;
        surveys.push(told(&row, &members));
    }
    Ok(surveys)
}

fn told(row: &db::survey::Row, members: &[Member]) -> Survey {
    // With more releases each suite has a new job, and the newest tells all.
    let newest = row.request.suites.iter().filter_map(|suite| {
        let mut own = members.iter().filter(|m| m.survey_edge.is_none());
        own.rfind(|m| &m.suite == suite)
    });
    let newest: Vec<&Member> = newest.collect();
    let ended = |m: &&Member| matches!(m.state.as_str(), "done" | "cancelled");
    Survey {
        id: row.id,
        title: row.title.clone(),
        owner: row.owner.clone(),
        request: row.request.0.clone(),
        state: match newest.iter().all(ended) {
            true => "done".to_owned(),
            false => "running".to_owned(),
        },
        jobs: newest.iter().map(|m| m.id).collect(),
        created_at: rfc3339(row.created_at),
    }
}

fn add_columns(matrix: &mut Matrix, picture: &Picture) {
    let positions = picture.surveyed();
    if matrix.columns.is_empty() {
        let releases = matrix.survey.request.releases.iter();
        matrix.columns = releases
            .zip(&positions)
            .map(|(release, position)| Column {
                release: release.clone(),
                rev: picture.rev(*position).to_owned(),
                kernel: None,
                compiler: None,
                options_changed: None,
            })
            .collect();
    }
    for (column, position) in matrix.columns.iter_mut().zip(positions) {
        let built = picture.site(position).and_then(|s| s.built.as_ref());
        if let Some(firstbad_api::observation::BuildObservation::Built { release, .. }) = built {
            column.kernel = Some(release.clone());
        }
    }
}

/// Says of each column what else its kernel has not in common with the one before.
async fn compare_builds(
    app: &App,
    conn: &mut PgConnection,
    matrix: &mut Matrix,
    picture: &Picture,
) -> Result<(), AppError> {
    let mut before: Option<Described> = None;
    for (column, position) in matrix.columns.iter_mut().zip(picture.surveyed()) {
        let build = picture.site(position).and_then(|s| s.build.as_ref());
        let build: Vec<i64> = build.map(|b| b.attempt_id).into_iter().collect();
        let configs = db::attempt::artefacts(conn, &build, "config").await?;
        let Some(sha256) = configs.first() else {
            before = None;
            continue;
        };
        let Ok(config) = tokio::fs::read(app.store.artefact_path(sha256)).await else {
            before = None;
            continue;
        };
        let now = Described::by_config(String::from_utf8_lossy(&config).into_owned());
        column.compiler.clone_from(&now.compiler);
        column.options_changed = before.map(|before| {
            let differ = confounders::differences(&before, &now);
            differ.iter().filter(|d| d.what == "configuration").count()
        });
        before = Some(now);
    }
    Ok(())
}

/// Puts the jobs that look into changes beside them.
async fn looked_into(
    conn: &mut PgConnection,
    matrix: &mut Matrix,
    members: &[Member],
) -> Result<(), AppError> {
    let request = matrix.survey.request.clone();
    for row in &mut matrix.rows {
        for n in 0..row.edges.len() {
            let key = edge_key(&request, row, &row.edges[n]);
            let looks = |m: &&Member| m.survey_edge.as_deref() == Some(key.as_str());
            let Some(member) = members.iter().rfind(looks) else {
                continue;
            };
            row.edges[n].job = Some(member.id);
            row.edges[n].found = match db::job::find(conn, member.id).await? {
                Some(job) => match job.outcome.as_deref() {
                    Some(outcome) => Some(view::outcome_sentence(outcome, job.request.find)),
                    None => Some("running".to_owned()),
                },
                None => None,
            };
        }
    }
    Ok(())
}

/// The matrix for a spreadsheet: one line a row, one column a release.
pub fn csv(matrix: &Matrix) -> String {
    use firstbad_api::survey::Cell;
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let mut lines = Vec::new();
    let head = ["suite", "case or metric", "unit"].map(str::to_owned);
    let names = matrix.columns.iter().map(|c| quoted(&c.release));
    lines.push(head.into_iter().chain(names).collect::<Vec<_>>().join(","));
    for row in &matrix.rows {
        let (name, unit) = match &row.what {
            What::Case { case } => (case, ""),
            What::Metric { name, unit, .. } => (name, unit.as_str()),
        };
        let head = [row.suite.as_str(), name, unit].map(quoted);
        let cells = row.cells.iter().map(|cell| match cell {
            Cell::Open => String::new(),
            Cell::Nothing { why } => quoted(why),
            Cell::Runs { failed: 0, .. } => "pass".to_owned(),
            Cell::Runs { failed, passed, .. } => {
                quoted(&format!("{failed} of {} fail", failed + passed))
            }
            Cell::Values { values, .. } => {
                let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
                format!("{mean}")
            }
        });
        lines.push(head.into_iter().chain(cells).collect::<Vec<_>>().join(","));
    }
    lines.push(String::new());
    lines.join("\n")
}
