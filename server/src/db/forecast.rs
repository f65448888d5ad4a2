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

/// The middle time of the last attempts of a kind, of a tree or of a suite, ms.
pub async fn middle_ms(
    conn: &mut PgConnection,
    kind: &str,
    tree: Option<i64>,
    suite: Option<&str>,
) -> sqlx::Result<Option<f64>> {
    sqlx::query_scalar(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FROM
            (SELECT sum(s.duration_ms) AS ms FROM stage s JOIN attempt a ON a.id = s.attempt_id
              WHERE a.kind = $1::attempt_kind AND a.state = 'done'
                AND ($2::bigint IS NULL OR a.tree_id = $2) AND ($3::text IS NULL OR a.suite = $3)
              GROUP BY a.id ORDER BY a.id DESC LIMIT $4) AS last",
    )
    .bind(kind)
    .bind(tree)
    .bind(suite)
    .bind(LAST)
    .fetch_one(conn)
    .await
}
