//! API tokens: only a hash is stored.

use sqlx::PgConnection;

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
