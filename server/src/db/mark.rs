//! What people say of revisions.

use firstbad_api::job::{HumanMark, Word};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::rfc3339;

#[derive(sqlx::FromRow)]
struct Row {
    position: i32,
    mark: String,
    who: String,
    why: String,
    created_at: OffsetDateTime,
}

/// The marks of a job that count, by position.
pub async fn standing(conn: &mut PgConnection, job: i64) -> sqlx::Result<Vec<(i32, HumanMark)>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT position, mark, who, why, created_at FROM mark
          WHERE job_id = $1 AND undone_at IS NULL ORDER BY position",
    )
    .bind(job)
    .fetch_all(conn)
    .await?;
    Ok(rows
        .into_iter()
        .filter_map(|r| {
            let mark = HumanMark {
                mark: Word::read(&r.mark)?,
                who: r.who,
                why: r.why,
                at: rfc3339(r.created_at),
            };
            Some((r.position, mark))
        })
        .collect())
}

/// Takes the mark at a position back; false when there is none.
pub async fn undo(
    conn: &mut PgConnection,
    job: i64,
    position: i32,
    who: &str,
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE mark SET undone_at = now(), undone_by = $3
          WHERE job_id = $1 AND position = $2 AND undone_at IS NULL",
    )
    .bind(job)
    .bind(position)
    .bind(who)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

/// Marks a position; [`undo`] what stood there before.
pub async fn insert(
    conn: &mut PgConnection,
    job: i64,
    position: i32,
    word: Word,
    who: &str,
    why: &str,
) -> sqlx::Result<HumanMark> {
    let at: OffsetDateTime = sqlx::query_scalar(
        "INSERT INTO mark (job_id, position, mark, who, why) VALUES ($1, $2, $3, $4, $5)
         RETURNING created_at",
    )
    .bind(job)
    .bind(position)
    .bind(word.as_str())
    .bind(who)
    .bind(why)
    .fetch_one(conn)
    .await?;
    Ok(HumanMark {
        mark: word,
        who: who.to_owned(),
        why: why.to_owned(),
        at: rfc3339(at),
    })
}

/// Positions of the revisions of a job whose id begins so, at most two.
pub async fn positions(conn: &mut PgConnection, job: i64, prefix: &str) -> sqlx::Result<Vec<i32>> {
    sqlx::query_scalar(
        "SELECT position FROM job_revision
          WHERE job_id = $1 AND starts_with(rev, $2) ORDER BY position LIMIT 2",
    )
    .bind(job)
    .bind(prefix)
    .fetch_all(conn)
    .await
}
