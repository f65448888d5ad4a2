//! Accounts and the sessions of those who are signed in. Only hashes are stored.

use firstbad_api::user::User;
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::rfc3339;

/// An account that can sign in.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Account {
    pub id: i64,
    pub name: String,
    /// As [`crate::access::Role`] spells it.
    pub role: String,
    /// Argon2id in PHC form.
    pub password: Option<String>,
}

/// The account of this name, unless it is disabled.
pub async fn find(conn: &mut PgConnection, name: &str) -> sqlx::Result<Option<Account>> {
    sqlx::query_as(
        "SELECT id, name, role, password FROM account WHERE name = $1 AND disabled_at IS NULL",
    )
    .bind(name)
    .fetch_optional(conn)
    .await
}

/// The account of who signs in with an identity provider.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Linked {
    pub id: i64,
    pub name: String,
    pub role: String,
    pub disabled: bool,
}

/// The account of this subject, kept as it is until the transaction ends.
pub async fn linked(
    conn: &mut PgConnection,
    issuer: &str,
    subject: &str,
) -> sqlx::Result<Option<Linked>> {
    sqlx::query_as(
        "SELECT id, name, role, disabled_at IS NOT NULL AS disabled FROM account
          WHERE issuer = $1 AND subject = $2 FOR UPDATE",
    )
    .bind(issuer)
    .bind(subject)
    .fetch_optional(conn)
    .await
}

/// Stores an account without a password; false when the name or the subject has one.
pub async fn link(
    conn: &mut PgConnection,
    name: &str,
    role: &str,
    (issuer, subject): (&str, &str),
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "INSERT INTO account (name, role, issuer, subject) VALUES ($1, $2, $3, $4)
             ON CONFLICT DO NOTHING",
    )
    .bind(name)
    .bind(role)
    .bind(issuer)
    .bind(subject)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

/// The identity provider that an account signs in with, if it does.
pub async fn issuer(conn: &mut PgConnection, name: &str) -> sqlx::Result<Option<String>> {
    let found = sqlx::query_scalar("SELECT issuer FROM account WHERE name = $1").bind(name);
    let found: Option<Option<String>> = found.fetch_optional(conn).await?;
    Ok(found.flatten())
}

/// Stores an account; false when the name is taken.
pub async fn insert(
    conn: &mut PgConnection,
    name: &str,
    role: &str,
    password: &str,
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "INSERT INTO account (name, role, password) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING",
    )
    .bind(name)
    .bind(role)
    .bind(password)
    .execute(conn)
    .await?
    .rows_affected();
    Ok(rows == 1)
}

/// Changes what is given; false when there is no such account. Who is disabled or has another
/// password is signed out everywhere.
pub async fn update(
    conn: &mut PgConnection,
    name: &str,
    role: Option<&str>,
    password: Option<&str>,
    disabled: Option<bool>,
) -> sqlx::Result<bool> {
    let rows = sqlx::query(
        "UPDATE account SET role = coalesce($2, role), password = coalesce($3, password),
                disabled_at = CASE WHEN $4 THEN coalesce(disabled_at, now())
                                   WHEN NOT $4 THEN NULL ELSE disabled_at END
          WHERE name = $1",
    )
    .bind(name)
    .bind(role)
    .bind(password)
    .bind(disabled)
    .execute(&mut *conn)
    .await?
    .rows_affected();
    if password.is_some() || disabled == Some(true) {
        sign_out_everywhere(conn, name).await?;
    }
    Ok(rows == 1)
}

/// Ends all sessions of an account.
pub async fn sign_out_everywhere(conn: &mut PgConnection, name: &str) -> sqlx::Result<()> {
    let all = "DELETE FROM session USING account a WHERE a.id = account_id AND a.name = $1";
    sqlx::query(all).bind(name).execute(conn).await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    role: String,
    disabled: bool,
    issuer: Option<String>,
    created_at: OffsetDateTime,
    seen_at: Option<OffsetDateTime>,
}

/// All accounts by name.
pub async fn list(conn: &mut PgConnection) -> sqlx::Result<Vec<User>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT a.name, a.role, a.disabled_at IS NOT NULL AS disabled, a.issuer, a.created_at,
                (SELECT max(s.seen_at) FROM session s WHERE s.account_id = a.id) AS seen_at
           FROM account a ORDER BY a.name",
    )
    .fetch_all(conn)
    .await?;
    let user = |r: Row| User {
        name: r.name,
        role: r.role,
        disabled: r.disabled,
        issuer: r.issuer,
        created_at: rfc3339(r.created_at),
        seen_at: r.seen_at.map(rfc3339),
    };
    Ok(rows.into_iter().map(user).collect())
}

/// Begins a session, and forgets those that ended by themselves.
pub async fn sign_in(
    conn: &mut PgConnection,
    hash: &[u8],
    account: i64,
    (idle_s, most_s): (i64, i64),
) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM session WHERE seen_at <= now() - make_interval(secs => $1)
             OR created_at <= now() - make_interval(secs => $2)",
    )
    .bind(idle_s as f64)
    .bind(most_s as f64)
    .execute(&mut *conn)
    .await?;
    sqlx::query("INSERT INTO session (hash, account_id) VALUES ($1, $2)")
        .bind(hash)
        .bind(account)
        .execute(conn)
        .await?;
    Ok(())
}

/// Who has this session, if it goes on; notes once a minute that it was seen.
pub async fn of_session(
    conn: &mut PgConnection,
    hash: &[u8],
    (idle_s, most_s): (i64, i64),
) -> sqlx::Result<Option<Account>> {
    sqlx::query(
        "UPDATE session SET seen_at = now()
          WHERE hash = $1 AND seen_at > now() - make_interval(secs => $2)
            AND seen_at < now() - interval '1 minute'",
    )
    .bind(hash)
    .bind(idle_s as f64)
    .execute(&mut *conn)
    .await?;
    sqlx::query_as(
        "SELECT a.id, a.name, a.role, a.password
           FROM session s JOIN account a ON a.id = s.account_id
          WHERE s.hash = $1 AND a.disabled_at IS NULL
            AND s.seen_at > now() - make_interval(secs => $2)
            AND s.created_at > now() - make_interval(secs => $3)",
    )
    .bind(hash)
    .bind(idle_s as f64)
    .bind(most_s as f64)
    .fetch_optional(conn)
    .await
}

/// Ends a session.
pub async fn sign_out(conn: &mut PgConnection, hash: &[u8]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM session WHERE hash = $1")
        .bind(hash)
        .execute(conn)
        .await?;
    Ok(())
}
