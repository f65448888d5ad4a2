//! What somebody may see: private jobs and surveys are there for their owner and for operators.
//!
//! An attempt is shared by all jobs that need it, so it can be seen by who sees one of them.

use sqlx::PgConnection;

/// Whose jobs are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// Everything.
    All,
    /// What is not private, and what this owner asked for; empty: nobody's.
    Of(String),
}

impl Sight {
    /// What anybody sees.
    pub fn nobody() -> Sight {
        Sight::Of(String::new())
    }

    /// For a query: whether all is seen, and whose private things are.
    pub(super) fn args(&self) -> (bool, &str) {
        match self {
            Sight::All => (true, ""),
            Sight::Of(owner) => (false, owner),
        }
    }
}

/// The owner of a job that can be seen.
pub async fn job(conn: &mut PgConnection, sight: &Sight, id: i64) -> sqlx::Result<Option<String>> {
    let (all, owner) = sight.args();
    sqlx::query_scalar("SELECT owner FROM job WHERE id = $1 AND (NOT private OR $2 OR owner = $3)")
        .bind(id)
        .bind(all)
        .bind(owner)
        .fetch_optional(conn)
        .await
}

/// The owner of a survey that can be seen.
pub async fn survey(
    conn: &mut PgConnection,
    sight: &Sight,
    id: i64,
) -> sqlx::Result<Option<String>> {
    let (all, owner) = sight.args();
    let query = "SELECT owner FROM survey WHERE id = $1 AND (NOT private OR $2 OR owner = $3)";
    sqlx::query_scalar(query)
        .bind(id)
        .bind(all)
        .bind(owner)
        .fetch_optional(conn)
        .await
}

/// The owner of a regression that can be seen.
pub async fn regression(
    conn: &mut PgConnection,
    sight: &Sight,
    id: i64,
) -> sqlx::Result<Option<String>> {
    let (all, owner) = sight.args();
    let query = "SELECT owner FROM regression WHERE id = $1 AND (NOT private OR $2 OR owner = $3)";
    sqlx::query_scalar(query)
        .bind(id)
        .bind(all)
        .bind(owner)
        .fetch_optional(conn)
        .await
}

/// Whether an attempt can be seen. A second run is seen where the first is.
pub async fn attempt(conn: &mut PgConnection, sight: &Sight, id: i64) -> sqlx::Result<bool> {
    let (all, owner) = sight.args();
    sqlx::query_scalar(
        "SELECT CASE WHEN $2 THEN EXISTS (SELECT FROM attempt WHERE id = $1)
                ELSE EXISTS (SELECT FROM probe p JOIN job j ON j.id = p.job_id
                              WHERE (p.attempt_id = $1 OR p.attempt_id IN
                                        (SELECT r.attempt_id FROM repeat r WHERE r.again_id = $1))
                                AND (NOT j.private OR j.owner = $3)) END",
    )
    .bind(id)
    .bind(all)
    .bind(owner)
    .fetch_one(conn)
    .await
}

/// Whether an attempt that can be seen lists this artefact.
pub async fn artefact(conn: &mut PgConnection, sight: &Sight, sha256: &str) -> sqlx::Result<bool> {
    let lists = "SELECT attempt_id FROM artefact WHERE sha256 = $1 ORDER BY attempt_id";
    let attempts: Vec<i64> = sqlx::query_scalar(lists)
        .bind(sha256)
        .fetch_all(&mut *conn)
        .await?;
    if *sight == Sight::All {
        return Ok(!attempts.is_empty());
    }
    for id in attempts {
        if attempt(conn, sight, id).await? {
            return Ok(true);
        }
    }
    Ok(false)
}
