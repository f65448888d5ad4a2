//! Sign-ins that went to an identity provider. Only hashes are stored.

use sqlx::PgConnection;

/// A sign-in that came back.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Begun {
    /// Page to go to afterwards.
    pub next: String,
    /// It did not take too long.
    pub in_time: bool,
}

/// Notes that a sign-in began, and forgets those that did not come back.
pub async fn begin(
    conn: &mut PgConnection,
    hash: &[u8],
    next: &str,
    most_s: i64,
) -> sqlx::Result<()> {
    // A while longer than they last, so that who comes late is told so.
    sqlx::query("DELETE FROM sign_in WHERE created_at < now() - 2 * make_interval(secs => $1)")
        .bind(most_s as f64)
        .execute(&mut *conn)
        .await?;
    sqlx::query("INSERT INTO sign_in (hash, next) VALUES ($1, $2)")
        .bind(hash)
        .bind(next)
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes one away: it comes back once only.
pub async fn take(
    conn: &mut PgConnection,
    hash: &[u8],
    most_s: i64,
) -> sqlx::Result<Option<Begun>> {
    sqlx::query_as(
        "DELETE FROM sign_in WHERE hash = $1
         RETURNING next, created_at > now() - make_interval(secs => $2) AS in_time",
    )
    .bind(hash)
    .bind(most_s as f64)
    .fetch_optional(conn)
    .await
}
