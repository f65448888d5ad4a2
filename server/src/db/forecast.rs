//! What work has cost so far, and what of it is stored.

use sqlx::PgConnection;

/// Attempts whose times tell of the next one.
const LAST: i64 = 50;

/// How many of these builds are there.
pub async fn stored(conn: &mut PgConnection, identities: &[String]) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "SELECT count(*) FROM attempt
          WHERE kind = 'build' AND state = 'done' AND identity = ANY($1)",
    )
    .bind(identities)
    .fetch_one(conn)
    .await
}

/// The middle time of a tree's last builds, ms.
pub async fn build_ms(conn: &mut PgConnection, tree: i64) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FROM
            (SELECT sum(s.duration_ms) AS ms FROM stage s JOIN attempt a ON a.id = s.attempt_id
              WHERE a.kind = 'build' AND a.state = 'done' AND a.tree_id = $1
              GROUP BY a.id ORDER BY a.id DESC LIMIT $2) AS last",
    )
    .bind(tree)
    .bind(LAST)
    .fetch_one(conn)
    .await
}

/// The same of a suite's last runs.
pub async fn test_ms(conn: &mut PgConnection, suite: &str) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FROM
            (SELECT sum(s.duration_ms) AS ms FROM stage s JOIN attempt a ON a.id = s.attempt_id
              WHERE a.kind = 'test' AND a.state = 'done' AND a.suite = $1
              GROUP BY a.id ORDER BY a.id DESC LIMIT $2) AS last",
    )
    .bind(suite)
    .bind(LAST)
    .fetch_one(conn)
    .await
}
