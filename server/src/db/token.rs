//! API tokens: only a hash is stored.

use sqlx::PgConnection;

/// A token that matched.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Token {
    pub name: String,
    pub hash: Vec<u8>,
    pub scopes: Vec<String>,
}

/// The unexpired token with this id.
pub async fn find(conn: &mut PgConnection, id: &str) -> sqlx::Result<Option<Token>> {
    sqlx::query_as(
        "SELECT name, hash, scopes FROM token WHERE id = $1 AND (expires_at IS NULL OR expires_at > now())",
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
    scopes: &[String],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO token (id, name, hash, scopes) VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET name = $2, hash = $3, scopes = $4",
    )
    .bind(id)
    .bind(name)
    .bind(hash)
    .bind(scopes)
    .execute(conn)
    .await?;
    Ok(())
}
