//! Verdicts of people: good, bad or skip a revision of a running job, and take that back.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use firstbad_api::job::{HumanMark, NewMark};
use sqlx::PgConnection;

use super::jobs::check_line;
use super::sent::Sent;
use crate::access::Principal;
use crate::db;
use crate::error::AppError;
use crate::state::App;

/// Least length of an abbreviated commit id.
const SHORTEST: usize = 7;

/// `POST /jobs/{id}/marks`.
pub async fn create(
    State(app): State<App>,
    who: Principal,
    Path(id): Path<i64>,
    Sent(new): Sent<NewMark>,
) -> Result<(StatusCode, Json<HumanMark>), AppError> {
    let mark = set(&app, who.name(), id, &new).await?;
    Ok((StatusCode::CREATED, Json(mark)))
}

/// Replaces what was said of the revision before.
pub(crate) async fn set(
    app: &App,
    who: &str,
    id: i64,
    new: &NewMark,
) -> Result<HumanMark, AppError> {
    check_line(&new.why, "why")?;
    let mut tx = app.pool.begin().await?;
    let position = find(&mut tx, id, &new.rev).await?;
    db::mark::undo(&mut tx, id, position, who).await?;
    let mark = db::mark::insert(&mut tx, id, position, new.mark, who, &new.why).await?;
    let detail = serde_json::json!({ "rev": new.rev, "mark": new.mark, "why": new.why });
    db::audit(&mut tx, who, "revision marked", Some(id), None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(mark)
}

/// `DELETE /jobs/{id}/marks/{rev}`.
pub async fn undo(
    State(app): State<App>,
    who: Principal,
    Path((id, rev)): Path<(i64, String)>,
) -> Result<StatusCode, AppError> {
    take_back(&app, who.name(), id, &rev).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes back what was said of a revision.
pub(crate) async fn take_back(app: &App, who: &str, id: i64, rev: &str) -> Result<(), AppError> {
    let mut tx = app.pool.begin().await?;
    let position = find(&mut tx, id, rev).await?;
    if !db::mark::undo(&mut tx, id, position, who).await? {
        return Err(AppError::not_found(format!("nobody has marked {rev}")));
    }
    let detail = serde_json::json!({ "rev": rev });
    db::audit(&mut tx, who, "mark undone", Some(id), None, detail).await?;
    tx.commit().await?;
    app.wake();
    Ok(())
}

/// The position of a revision of an open job.
async fn find(conn: &mut PgConnection, job: i64, rev: &str) -> Result<i32, AppError> {
    let Some(row) = db::job::find(&mut *conn, job).await? else {
        return Err(AppError::not_found(format!("there is no job {job}")));
    };
    if row.outcome.is_some() {
        return Err(AppError::refused(
            StatusCode::CONFLICT,
            "job-ended",
            "/id",
            format!("id: job {job} has ended; submit it again to search with other marks"),
        ));
    }
    let hex = rev
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !hex || rev.len() < SHORTEST {
        let why = format!("rev: use a commit id of at least {SHORTEST} hexadecimal digits");
        return Err(AppError::bad("bad-rev", "/rev", why));
    }
    match db::mark::positions(conn, job, rev).await?[..] {
        [position] => Ok(position),
        [] => {
            let why = format!("rev: {rev} is neither a candidate nor an end of job {job}");
            Err(AppError::bad("unknown-rev", "/rev", why))
        }
        _ => Err(AppError::bad(
            "ambiguous-rev",
            "/rev",
            format!("rev: several commits begin with {rev}"),
        )),
    }
}
