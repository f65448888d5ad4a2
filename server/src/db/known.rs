//! What commits change and say, and answers by their questions.

use firstbad_api::job::{NewJob, Outcome};
use firstbad_api::known::{Likeness, LookedThrough, Same};
use sqlx::PgConnection;
use sqlx::types::Json;
use time::OffsetDateTime;

use super::rfc3339;
use super::sight::Sight;

/// Lines of each kind that are told, at most.
const TOLD: i64 = 100;
/// Answers that are compared with a question, newest first.
const ANSWERS: i64 = 2_000;

/// A tree whose last fetch is not looked through.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Due {
    pub tree_id: i64,
    pub tree: String,
    pub fetched_at: OffsetDateTime,
    /// Those whose commits are all there.
    pub heads: Vec<String>,
}

/// Trees with commits that may not be there; none of a ladder, whose commits are its own.
pub async fn due(conn: &mut PgConnection) -> sqlx::Result<Vec<Due>> {
    sqlx::query_as(
        "SELECT t.id AS tree_id, t.name AS tree, t.fetched_at, coalesce(l.heads, '{}') AS heads
           FROM tree t LEFT JOIN looked_through l ON l.tree_id = t.id
          WHERE t.fetched_at IS NOT NULL AND t.fetched_at IS DISTINCT FROM l.fetched_at
            AND t.url NOT LIKE 'debian:%' ORDER BY t.id",
    )
    .fetch_all(conn)
    .await
}

/// Of these commits, the first `most` that are not there.
pub async fn missing(
    conn: &mut PgConnection,
    tree: i64,
    revs: &[String],
    most: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT r.rev FROM unnest($2::text[]) WITH ORDINALITY AS r (rev, n)
          WHERE NOT EXISTS (SELECT FROM change c WHERE c.tree_id = $1 AND c.rev = r.rev)
          ORDER BY r.n LIMIT $3",
    )
    .bind(tree)
    .bind(revs)
    .bind(most)
    .fetch_all(conn)
    .await
}

/// Patch ids of these commits as another tree has them.
pub async fn patch_ids(
    conn: &mut PgConnection,
    revs: &[String],
) -> sqlx::Result<Vec<(String, Option<String>)>> {
    sqlx::query_as("SELECT DISTINCT ON (rev) rev, patch_id FROM change WHERE rev = ANY($1)")
        .bind(revs)
        .fetch_all(conn)
        .await
}

/// A commit to be stored.
pub struct NewChange {
    pub rev: String,
    /// Unix seconds.
    pub when: i64,
    pub title: String,
    pub patch_id: Option<String>,
}

/// A commit that another one names.
pub struct NewMention {
    pub rev: String,
    pub how: &'static str,
    pub named: String,
    pub title: String,
}

/// Stores commits and whom they name; those that are there stay.
pub async fn add(
    conn: &mut PgConnection,
    tree: i64,
    changes: &[NewChange],
    mentions: &[NewMention],
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO change (tree_id, rev, at, title, patch_id)
         SELECT $1, rev, to_timestamp(at), title, patch_id
           FROM unnest($2::text[], $3::float8[], $4::text[], $5::text[]) AS c (rev, at, title, patch_id)
         ON CONFLICT DO NOTHING",
    )
    .bind(tree)
    .bind(changes.iter().map(|c| c.rev.clone()).collect::<Vec<_>>())
    .bind(changes.iter().map(|c| c.when as f64).collect::<Vec<_>>())
    .bind(changes.iter().map(|c| c.title.clone()).collect::<Vec<_>>())
    .bind(
        changes
            .iter()
            .map(|c| c.patch_id.clone())
            .collect::<Vec<_>>(),
    )
    .execute(&mut *conn)
    .await?;
    let column =
        |f: fn(&NewMention) -> &str| mentions.iter().map(|m| f(m).to_owned()).collect::<Vec<_>>();
    sqlx::query(
        "INSERT INTO mention (tree_id, rev, how, named, title)
         SELECT $1, m.* FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) m
         ON CONFLICT DO NOTHING",
    )
    .bind(tree)
    .bind(column(|m| &m.rev))
    .bind(column(|m| m.how))
    .bind(column(|m| &m.named))
    .bind(column(|m| &m.title))
    .execute(conn)
    .await?;
    Ok(())
}

/// Notes that all commits of a fetch are there; `cut`: but for those that are too many.
pub async fn looked_through(
    conn: &mut PgConnection,
    due: &Due,
    heads: &[String],
    cut: bool,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO looked_through AS l (tree_id, fetched_at, heads, commits, since)
         SELECT $1, $2, $3, count(*), CASE WHEN $4 THEN min(at) END FROM change WHERE tree_id = $1
         ON CONFLICT (tree_id) DO UPDATE SET fetched_at = excluded.fetched_at, heads = excluded.heads,
            commits = excluded.commits, since = coalesce(l.since, excluded.since)",
    )
    .bind(due.tree_id)
    .bind(due.fetched_at)
    .bind(heads)
    .bind(cut)
    .execute(conn)
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct LookedRow {
    tree: String,
    commits: i64,
    since: Option<OffsetDateTime>,
    done: bool,
}

/// How far each tree is looked through.
pub async fn looked(conn: &mut PgConnection) -> sqlx::Result<Vec<LookedThrough>> {
    let rows: Vec<LookedRow> = sqlx::query_as(
        "SELECT t.name AS tree, coalesce(l.commits, 0) AS commits, l.since,
                coalesce(t.fetched_at = l.fetched_at, false) AS done
           FROM tree t LEFT JOIN looked_through l ON l.tree_id = t.id
          WHERE t.url NOT LIKE 'debian:%' ORDER BY t.name",
    )
    .fetch_all(conn)
    .await?;
    let told = |r: LookedRow| LookedThrough {
        tree: r.tree,
        commits: r.commits,
        since: r.since.map(rfc3339),
        done: r.done,
    };
    Ok(rows.into_iter().map(told).collect())
}

/// A commit whose change is looked for.
pub struct Of<'a> {
    pub tree: &'a str,
    pub rev: &'a str,
    pub patch_id: Option<&'a str>,
    /// None: it says nothing.
    pub title: Option<&'a str>,
    /// Commits that it says it is a copy of.
    pub sources: &'a [&'a str],
}

#[derive(sqlx::FromRow)]
struct SameRow {
    tree: String,
    rev: String,
    title: String,
    at: OffsetDateTime,
    how: i32,
}

/// The same change as other commits, or in other trees, surest first.
pub async fn same(conn: &mut PgConnection, of: &Of<'_>) -> sqlx::Result<Vec<Same>> {
    let rows: Vec<SameRow> = sqlx::query_as(
        "SELECT * FROM (
            SELECT t.name AS tree, c.rev, c.title, c.at,
                   CASE WHEN c.rev = $2 THEN 0 WHEN c.patch_id = $3 THEN 1
                        WHEN c.rev = ANY($5)
                          OR EXISTS (SELECT FROM mention m
                                      WHERE m.tree_id = c.tree_id AND m.rev = c.rev AND m.how = 'copies'
                                        AND (m.named = $2 OR m.named = ANY($5))) THEN 2
                        ELSE 3 END AS how
              FROM change c JOIN tree t ON t.id = c.tree_id
             WHERE (t.name <> $1 OR c.rev <> $2)
               AND (c.rev = $2 OR c.rev = ANY($5) OR c.patch_id = $3
                    OR (md5(c.title) = md5($4) AND c.title = $4 AND c.patch_id IS NOT NULL)
                    OR (c.tree_id, c.rev) IN (SELECT m.tree_id, m.rev FROM mention m
                                               WHERE m.how = 'copies'
                                                 AND left(m.named, 12) = left($2, 12) AND m.named = $2))
         ) AS s ORDER BY how, tree, at LIMIT $6",
    )
    .bind(of.tree)
    .bind(of.rev)
    .bind(of.patch_id)
    .bind(of.title)
    .bind(of.sources)
    .bind(TOLD)
    .fetch_all(conn)
    .await?;
    let told = |r: SameRow| Same {
        tree: r.tree,
        rev: r.rev,
        subject: r.title,
        at: rfc3339(r.at),
        how: match r.how {
            0 => Likeness::Commit,
            1 => Likeness::Patch,
            2 => Likeness::Named,
            _ => Likeness::Title,
        },
    };
    Ok(rows.into_iter().map(told).collect())
}

/// A commit that names another one.
pub struct Naming {
    pub tree: String,
    pub rev: String,
    pub subject: String,
    pub at: String,
    pub how: String,
    /// As it is written beside the id.
    pub named_title: String,
    /// Which of those that were looked for.
    pub names: String,
}

#[derive(sqlx::FromRow)]
struct NamingRow {
    tree: String,
    rev: String,
    subject: String,
    at: OffsetDateTime,
    how: String,
    named_title: String,
    names: String,
}

/// The commits that say they repair or take back one of these, oldest first.
pub async fn naming(conn: &mut PgConnection, revs: &[String]) -> sqlx::Result<Vec<Naming>> {
    let rows: Vec<NamingRow> = sqlx::query_as(
        "SELECT t.name AS tree, c.rev, c.title AS subject, c.at, m.how, m.title AS named_title,
                r.rev AS names
           FROM unnest($1::text[]) AS r (rev)
                JOIN mention m ON left(m.named, 12) = left(r.rev, 12) AND starts_with(r.rev, m.named)
                              AND m.how IN ('fixes', 'reverts')
                JOIN change c ON c.tree_id = m.tree_id AND c.rev = m.rev
                JOIN tree t ON t.id = m.tree_id
          ORDER BY c.at, t.name, m.how LIMIT $2",
    )
    .bind(revs)
    .bind(TOLD)
    .fetch_all(conn)
    .await?;
    let naming = |r: NamingRow| Naming {
        tree: r.tree,
        rev: r.rev,
        subject: r.subject,
        at: rfc3339(r.at),
        how: r.how,
        named_title: r.named_title,
        names: r.names,
    };
    Ok(rows.into_iter().map(naming).collect())
}

/// A job that named a commit.
#[derive(sqlx::FromRow)]
pub struct Answer {
    pub id: i64,
    pub request: Json<NewJob>,
    pub outcome: Json<Outcome>,
}

/// Jobs of a tree that named a commit, that nobody took back and that can be seen, newest first.
pub async fn answers(
    conn: &mut PgConnection,
    sight: &Sight,
    tree: i64,
) -> sqlx::Result<Vec<Answer>> {
    let (all, owner) = sight.args();
    sqlx::query_as(
        "SELECT id, request, outcome FROM job
          WHERE tree_id = $1 AND state = 'done' AND outcome ->> 'outcome' = 'culprit'
            AND retracted_at IS NULL AND (NOT private OR $2 OR owner = $3)
          ORDER BY id DESC LIMIT $4",
    )
    .bind(tree)
    .bind(all)
    .bind(owner)
    .bind(ANSWERS)
    .fetch_all(conn)
    .await
}
