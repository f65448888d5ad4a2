//! API tokens: only a hash is stored.

use firstbad_api::user;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::rfc3339;

/// A token that matched.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Token {
    pub name: String,
    pub hash: Vec<u8>,
    /// As [`crate::access::Role`] spells it, or `worker`.
    pub role: String,
    /// The account it belongs to, and what that may do.
    pub account: Option<String>,
    pub account_role: Option<String>,
}

/// The token with this id, unless it has expired, is revoked or belongs to a disabled account.
pub async fn find(conn: &mut PgConnection, id: &str) -> sqlx::Result<Option<Token>> {
    sqlx::query_as(
        "SELECT t.name, t.hash, t.role, a.name AS account, a.role AS account_role
           FROM token t LEFT JOIN account a ON a.id = t.account_id
          WHERE t.id = $1 AND (t.expires_at IS NULL OR t.expires_at > now())
            AND t.revoked_at IS NULL AND a.disabled_at IS NULL",
    )
    .bind(id)
    .fetch_optional(conn)
    .await
}

/// Notes that a token is used.
pub async fn used(conn: &mut PgConnection, id: &str) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE token SET used_at = now()
          WHERE id = $1 AND (used_at IS NULL OR used_at < now() - interval '1 minute')",
    )
    .bind(id)
    .execute(conn)
    .await?;
    Ok(())
}

/// A token to be stored, by its hash alone.
pub struct New<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub hash: &'a [u8],
    pub role: &'a str,
    /// Name of the account that it belongs to.
    pub account: Option<&'a str>,
    pub days: i32,
}

/// Stores a token; false when its owner has one of this name that can be used.
pub async fn insert(conn: &mut PgConnection, new: &New<'_>) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "INSERT INTO token (id, name, hash, role, account_id, expires_at)
         SELECT $1, $2, $3, $4, (SELECT id FROM account WHERE name = $5), now() + make_interval(days => $6)
          WHERE NOT EXISTS (SELECT FROM token WHERE name = $2 AND revoked_at IS NULL
                                                AND (expires_at IS NULL OR expires_at > now()))",
    )
    .bind(new.id)
    .bind(new.name)
    .bind(new.hash)
    .bind(new.role)
    .bind(new.account)
    .bind(new.days)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    role: String,
    created_at: OffsetDateTime,
    expires_at: Option<OffsetDateTime>,
    revoked_at: Option<OffsetDateTime>,
    used_at: Option<OffsetDateTime>,
}

/// The tokens of an account, newest first; of all without one.
pub async fn list(
    conn: &mut PgConnection,
    account: Option<&str>,
) -> sqlx::Result<Vec<user::Token>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT t.id, t.name, t.role, t.created_at, t.expires_at, t.revoked_at, t.used_at
           FROM token t LEFT JOIN account a ON a.id = t.account_id
          WHERE $1::text IS NULL OR a.name = $1 ORDER BY t.created_at DESC, t.id LIMIT 500",
    )
    .bind(account)
    .fetch_all(conn)
    .await?;
    let token = |r: Row| user::Token {
        id: r.id,
        name: r.name,
        role: r.role,
        created_at: rfc3339(r.created_at),
        expires_at: r.expires_at.map(rfc3339),
        revoked_at: r.revoked_at.map(rfc3339),
        used_at: r.used_at.map(rfc3339),
    };
    Ok(rows.into_iter().map(token).collect())
}

/// Revokes a token, of an account only when one is named; its name, or `None` when there is no such
/// token that can be used.
pub async fn revoke(
    conn: &mut PgConnection,
    id: &str,
    account: Option<&str>,
) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar(
        "UPDATE token SET revoked_at = now()
          WHERE id = $1 AND revoked_at IS NULL
            AND ($2::text IS NULL OR account_id = (SELECT id FROM account WHERE name = $2))
         RETURNING name",
    )
    .bind(id)
    .bind(account)
    .fetch_optional(conn)
    .await
}

/// Stores a token's hash; the same id again replaces it.
pub async fn put(
    conn: &mut PgConnection,
    id: &str,
    name: &str,
    hash: &[u8],
    role: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO token (id, name, hash, role) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET name = $2, hash = $3, role = $4",
    )
    .bind(id)
    .bind(name)
    .bind(hash)
    .bind(role)
    .execute(conn)
    .await?;
    Ok(())
}
