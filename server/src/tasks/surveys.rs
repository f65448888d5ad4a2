//! Surveys that look into their changes by themselves, within what they were allowed.

use firstbad_api::survey::{Edge, Row};

use crate::db::sight::Sight;
use crate::state::App;
use crate::{api, db, survey};

/// Who asks for these jobs.
const WHO: &str = "survey";

/// One pass over surveys that may still look into a change.
pub async fn tick(app: &App) -> anyhow::Result<()> {
    let eager = db::survey::eager(&mut *app.pool.acquire().await?).await?;
    for id in eager {
        if let Err(error) = look(app, id).await {
            let error = format!("{error:#}");
            tracing::error!(survey = id, error, "could not look into a survey's changes");
        }
    }
    Ok(())
}

async fn look(app: &App, id: i64) -> anyhow::Result<()> {
    let Some(matrix) = survey::load(app, &Sight::All, id).await? else {
        return Ok(());
    };
    if matrix.survey.state != "done" {
        return Ok(());
    }
    let mut conn = app.pool.acquire().await?;
    let row = db::survey::find(&mut conn, id).await?;
    let left = row.map_or(0, |r| usize::try_from(r.bisect).unwrap_or(0));
    // First: a job that cannot be made is not tried for ever.
    db::survey::left_to_bisect(&mut conn, id, 0).await?;
    drop(conn);
    let edges = matrix
        .rows
        .iter()
        .flat_map(|r| r.edges.iter().map(move |e| (r, e)));
    let mut edges: Vec<(&Row, &Edge)> = edges
        .filter(|(_, e)| e.significant && e.job.is_none())
        .collect();
    // Cases first, then the largest changes.
    edges.sort_by(|a, b| size(b.1).total_cmp(&size(a.1)));
    let who = (WHO, matrix.survey.owner.as_str());
    for (row, edge) in edges.into_iter().take(left) {
        if let Err(error) = api::surveys::look_into(app, &matrix.survey, row, edge, who).await {
            tracing::warn!(survey = id, %error, change = edge.text, "no job for a change");
        }
    }
    Ok(())
}

fn size(edge: &Edge) -> f64 {
    edge.change.map_or(f64::INFINITY, f64::abs)
}
