//! Surveys and their jobs.

use firstbad_api::survey::NewSurvey;
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::sight::Sight;

/// One survey.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Row {
    pub id: i64,
    pub title: String,
    pub owner: String,
    pub request: Json<NewSurvey>,
    pub created_at: OffsetDateTime,
    /// Changes still to be looked into.
    pub bisect: i32,
}

/// A job of a survey.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Member {
    pub id: i64,
    pub suite: String,
    pub state: String,
    /// What it looks into; none for the survey's own.
    pub survey_edge: Option<String>,
}

pub async fn insert(
    conn: &mut PgConnection,
    title: &str,
    owner: &str,
    request: &NewSurvey,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO survey (title, request, bisect, owner) VALUES ($1, $2, $3, $4) RETURNING id",
    )
    .bind(title)
    .bind(Json(request))
    .bind(i32::try_from(request.bisect).unwrap_or(i32::MAX))
    .bind(owner)
    .fetch_one(conn)
    .await
}

pub async fn find(conn: &mut PgConnection, id: i64) -> sqlx::Result<Option<Row>> {
    sqlx::query_as("SELECT id, title, owner, request, created_at, bisect FROM survey WHERE id = $1")
        .bind(id)
        .fetch_optional(conn)
        .await
}

/// Those that can be seen, newest first.
pub async fn list(conn: &mut PgConnection, sight: &Sight) -> sqlx::Result<Vec<Row>> {
    let (all, owner) = sight.args();
    sqlx::query_as(
        "SELECT id, title, owner, request, created_at, bisect FROM survey
          WHERE NOT private OR $1 OR owner = $2 ORDER BY id DESC",
    )
    .bind(all)
    .bind(owner)
    .fetch_all(conn)
    .await
}

/// Stores what is asked now.
pub async fn update(conn: &mut PgConnection, id: i64, request: &NewSurvey) -> sqlx::Result<()> {
    sqlx::query("UPDATE survey SET request = $2 WHERE id = $1")
        .bind(id)
        .bind(Json(request))
        .execute(conn)
        .await?;
    Ok(())
}

/// Makes a job one of a survey's.
pub async fn adopt(
    conn: &mut PgConnection,
    survey: i64,
    job: i64,
    edge: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE job SET survey = $2, survey_edge = $3 WHERE id = $1")
        .bind(job)
        .bind(survey)
        .bind(edge)
        .execute(conn)
        .await?;
    Ok(())
}

/// The jobs of a survey that can be seen, oldest first.
pub async fn members(
    conn: &mut PgConnection,
    sight: &Sight,
    survey: i64,
) -> sqlx::Result<Vec<Member>> {
    let (all, owner) = sight.args();
    sqlx::query_as(
        "SELECT id, suite -> 'spec' ->> 'name' AS suite, state::text AS state, survey_edge
           FROM job WHERE survey = $1 AND (NOT private OR $2 OR owner = $3) ORDER BY id",
    )
    .bind(survey)
    .bind(all)
    .bind(owner)
    .fetch_all(conn)
    .await
}

/// The survey that a job belongs to.
pub async fn of_job(conn: &mut PgConnection, job: i64) -> sqlx::Result<Option<i64>> {
    let survey = sqlx::query_scalar("SELECT survey FROM job WHERE id = $1").bind(job);
    Ok(survey.fetch_optional(conn).await?.flatten())
}

/// Surveys that may look into a change by themselves.
pub async fn eager(conn: &mut PgConnection) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("SELECT id FROM survey WHERE bisect > 0")
        .fetch_all(conn)
        .await
}

/// Sets how many changes are still to be looked into.
pub async fn left_to_bisect(conn: &mut PgConnection, id: i64, left: i32) -> sqlx::Result<()> {
    sqlx::query("UPDATE survey SET bisect = $2 WHERE id = $1")
        .bind(id)
        .bind(left)
        .execute(conn)
        .await?;
    Ok(())
}
