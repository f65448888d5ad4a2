//! A job that looked for a good release becomes a job between two ends.

use firstbad_api::job::Range;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::job::{self, RevisionRow};

/// Added to the positions of a walk while those of the range take their place.
const ASIDE: i32 = 1 << 29;

/// Puts a range in the place of the releases of a walk; what was run or marked at a revision stays
/// with it. False when another pass did it, or the job has ended.
pub async fn end(
    conn: &mut PgConnection,
    id: i64,
    range: &Range,
    revisions: &[RevisionRow],
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE job SET range = $2
          WHERE id = $1 AND state IN ('queued', 'running') AND range -> 'good' = '[]'::jsonb",
    )
    .bind(id)
    .bind(Json(range))
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if rows != 1 {
        return Ok(false);
    }
    let walked = job::revisions(&mut *conn, id).await?;
    sqlx::query("DELETE FROM job_revision WHERE job_id = $1")
        .bind(id)
        .execute(&mut *conn)
        .await?;
    job::insert_revisions(&mut *conn, id, revisions).await?;
    // Positions are keys: out of the way first.
    for statement in [
        "UPDATE probe SET position = position + $2 WHERE job_id = $1",
        "UPDATE mark SET position = position + $2 WHERE job_id = $1",
    ] {
        let moved = sqlx::query(statement).bind(id).bind(ASIDE);
        moved.execute(&mut *conn).await?;
    }
    let (mut from, mut to) = (Vec::new(), Vec::new());
    for row in &walked {
        if let Some(now) = revisions.iter().find(|r| r.rev == row.rev) {
            from.push(row.position + ASIDE);
            to.push(now.position);
        }
    }
    for statement in [
        "UPDATE probe p SET position = m.now FROM unnest($2::int[], $3::int[]) AS m (before, now)
          WHERE p.job_id = $1 AND p.position = m.before",
        "UPDATE mark p SET position = m.now FROM unnest($2::int[], $3::int[]) AS m (before, now)
          WHERE p.job_id = $1 AND p.position = m.before",
    ] {
        let moved = sqlx::query(statement).bind(id).bind(&from).bind(&to);
        moved.execute(&mut *conn).await?;
    }
    // Older than the good release: not in the range, and of no more use.
    for statement in [
        "DELETE FROM probe WHERE job_id = $1 AND position >= $2",
        "DELETE FROM mark WHERE job_id = $1 AND position >= $2",
    ] {
        let gone = sqlx::query(statement).bind(id).bind(ASIDE);
        gone.execute(&mut *conn).await?;
    }
    Ok(true)
}
