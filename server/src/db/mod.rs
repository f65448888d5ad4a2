//! All SQL. Functions take a connection; the caller owns the transaction.
//!
//! Must not know: HTTP, git, templates. Rows become domain values here.

pub mod account;
pub mod attempt;
pub mod audit;
pub mod forecast;
pub mod job;
pub mod known;
pub mod lease;
pub mod list;
pub mod live;
pub mod mark;
pub mod mend;
pub mod patch;
pub mod question;
pub mod regression;
pub mod release;
pub mod repeat;
pub mod rule;
pub mod sight;
pub mod sign_in;
pub mod survey;
pub mod token;
pub mod tree;
pub mod walk;
pub mod webhook;
pub mod worker;

pub use audit::audit;
use sqlx::PgConnection;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// The schema, applied at start.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// The identity of this database.
pub async fn incarnation(conn: &mut PgConnection) -> sqlx::Result<Uuid> {
    sqlx::query_scalar("SELECT id FROM incarnation")
        .fetch_one(conn)
        .await
}

/// True when writes are possible here (false on a demoted primary).
pub async fn writable(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let read_only: String = sqlx::query_scalar("SHOW transaction_read_only")
        .fetch_one(conn)
        .await?;
    Ok(read_only == "off")
}

/// The same of unix seconds; empty when there is no such moment.
pub fn rfc3339_of(seconds: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(seconds);
    at.map(rfc3339).unwrap_or_default()
}

/// RFC 3339 in UTC, whole seconds.
pub fn rfc3339(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0)
        .unwrap_or(at)
        .format(&Rfc3339)
        .unwrap_or_default()
}
