//! The list of jobs: found, counted and told without loading a job.
//!
//! What a running job's row says of where it stands is written here too, by the planner.

use firstbad_api::job::{Find, Outcome, Range};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;
use sqlx::{Connection, PgConnection, Postgres, QueryBuilder};
use time::OffsetDateTime;

use super::sight::Sight;

/// Where a job that goes on stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub sentence: String,
    /// Candidates that could still be the answer.
    pub left: usize,
    /// Revisions with a verdict, and the expected total.
    pub step: usize,
    pub steps: usize,
    pub eta_s: Option<u64>,
}

/// What narrows the list. Texts are bound, never written into a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter<'a> {
    /// Words to look for.
    pub words: Option<&'a str>,
    /// The number of a job: it is found too; without words, only it.
    pub number: Option<i64>,
    pub state: Option<&'a str>,
    pub tree: Option<&'a str>,
    pub suite: Option<&'a str>,
    pub outcome: Option<&'a str>,
    pub signal: Option<&'a str>,
    pub owner: Option<&'a str>,
    pub label: Option<&'a str>,
}

/// The jobs of a group, counted, and the first of them below a number.
#[derive(Debug, sqlx::FromRow)]
pub struct Found {
    /// Empty: those of all groups, not counted.
    pub lot: String,
    pub count: i64,
    pub ids: Vec<i64>,
}

/// What the list tells of a job.
#[derive(Debug, sqlx::FromRow)]
pub struct Row {
    pub id: i64,
    pub tree: String,
    pub title: String,
    pub owner: String,
    pub private: bool,
    pub state: String,
    pub lot: String,
    pub signal: String,
    pub asked: Json<Asked>,
    pub range: Json<Range>,
    pub outcome: Option<Json<Outcome>>,
    pub progress: Option<Json<Progress>>,
    pub retracted_by: Option<String>,
    pub retracted_why: Option<String>,
    pub created_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
}

/// What is left of a request when its large parts are left out.
#[derive(Debug, Deserialize)]
pub struct Asked {
    #[serde(default)]
    pub good: Vec<String>,
    pub bad: String,
    #[serde(default)]
    pub find: Find,
    pub suite: String,
    pub custom: Option<Named>,
    #[serde(default)]
    pub two_point: bool,
    #[serde(default)]
    pub survey: bool,
    #[serde(default)]
    pub labels: Vec<String>,
    #[serde(default)]
    pub toolchain: Option<String>,
}

/// A user's own test.
#[derive(Debug, Deserialize)]
pub struct Named {
    pub name: String,
}

/// How many jobs there are of each group, and the newest `limit` below `before` of these groups.
pub async fn find(
    conn: &mut PgConnection,
    sight: &Sight,
    filter: &Filter<'_>,
    lots: &[&str],
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<Found>> {
    let mut query =
        QueryBuilder::new("WITH hit AS MATERIALIZED (SELECT j.id, j.lot FROM job j WHERE ");
    narrow(&mut query, sight, filter);
    query.push(
        ") SELECT g.lot, coalesce(c.count, 0) AS count,
                  ARRAY(SELECT hit.id FROM hit WHERE (g.lot = '' OR hit.lot = g.lot) AND g.lot = ANY(",
    );
    let lots: Vec<String> = lots.iter().map(|lot| (*lot).to_owned()).collect();
    query.push_bind(lots).push(") AND hit.id < ");
    query.push_bind(before.unwrap_or(i64::MAX));
    query.push(" ORDER BY hit.id DESC LIMIT ").push_bind(limit);
    query.push(
        ") AS ids FROM (VALUES (''), ('person'), ('now'), ('answered')) AS g (lot)
                       LEFT JOIN (SELECT lot, count(*) FROM hit GROUP BY lot) AS c ON c.lot = g.lot",
    );
    // By the index whatever the planner thinks: it knows what reading these rows costs, and not
    // what unpacking their words does.
    let mut looking = conn.begin().await?;
    sqlx::query("SET LOCAL enable_seqscan = off")
        .execute(&mut *looking)
        .await?;
    let found = query.build_query_as().fetch_all(&mut *looking).await?;
    looking.rollback().await?;
    Ok(found)
}

/// The condition of the jobs that can be seen and that the filter leaves.
fn narrow<'a>(query: &mut QueryBuilder<Postgres>, sight: &'a Sight, filter: &Filter<'a>) {
    let (all, owner) = sight.args();
    match all {
        true => query.push("true"),
        false => query
            .push("(NOT j.private OR j.owner = ")
            .push_bind(owner.to_owned())
            .push(")"),
    };
    let columns = [
        (" AND j.state::text = ", filter.state),
        (" AND j.suite_name = ", filter.suite),
        (" AND j.answer = ", filter.outcome),
        (" AND j.signal = ", filter.signal),
        (" AND j.owner = ", filter.owner),
    ];
    for (condition, value) in columns {
        if let Some(value) = value {
            query.push(condition).push_bind(value.to_owned());
        }
    }
    if let Some(label) = filter.label {
        query
            .push(" AND j.asked -> 'labels' ? ")
            .push_bind(label.to_owned());
    }
    if let Some(tree) = filter.tree {
        query
            .push(" AND j.tree_id = (SELECT id FROM tree WHERE name = ")
            .push_bind(tree.to_owned())
            .push(")");
    }
    if filter.words.is_some() || filter.number.is_some() {
        query.push(" AND (j.id = ").push_bind(filter.number);
        if let Some(words) = filter.words {
            query
                .push(" OR j.id IN (SELECT job_id FROM job_words WHERE words @@ words_asked(")
                .push_bind(words.to_owned())
                .push("))");
        }
        query.push(")");
    }
}

/// These jobs, newest first.
pub async fn rows(conn: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as(
        "SELECT j.id, t.name AS tree, j.title, j.owner, j.private, j.state::text AS state, j.lot, j.signal,
                j.asked, j.range, j.outcome, j.progress,
                j.retracted_by, j.retracted_why, j.created_at, j.ended_at
           FROM job j JOIN tree t ON t.id = j.tree_id
          WHERE j.id = ANY($1) ORDER BY j.id DESC",
    )
    .bind(ids)
    .fetch_all(conn)
    .await
}

/// Notes where a job stands, and what that was told from.
pub async fn progress(
    conn: &mut PgConnection,
    job: i64,
    progress: &Progress,
    of: &str,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE job SET progress = $2, progress_of = $3 WHERE id = $1")
        .bind(job)
        .bind(Json(progress))
        .bind(of)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes further words by which a job is found.
pub async fn add_words(conn: &mut PgConnection, job: i64, words: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO job_words (job_id, words) SELECT $1, array_to_tsvector(words_of($2))")
        .bind(job)
        .bind(words)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes by what words a job is found, whenever its range is another.
pub(super) async fn note_words(conn: &mut PgConnection, job: i64) -> sqlx::Result<()> {
    sqlx::query("SELECT note_words($1)")
        .bind(job)
        .execute(conn)
        .await?;
    Ok(())
}
