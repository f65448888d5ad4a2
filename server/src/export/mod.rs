//! What a job found, in the words of others: KCIDB's and JUnit's. Pure but for what is loaded here.

mod junit;
mod kcidb;

use std::collections::BTreeMap;

use firstbad_api::job::Job;
use firstbad_api::tree::Tree;

use crate::db::{self, sight::Sight};
use crate::error::AppError;
use crate::state::App;
use crate::view;

pub use junit::junit;
pub use kcidb::{is_origin, kcidb};

/// A job and what belongs to it.
pub struct Whole {
    pub job: Job,
    pub tree: Option<Tree>,
    /// Hashes of the configurations, by build attempt.
    pub configs: BTreeMap<i64, String>,
    /// Address of this server, without a slash at the end; none that others can use.
    pub server: Option<String>,
    /// Tells this server's numbers from those of others.
    pub instance: String,
}

/// Loads a job with what belongs to it; `None` when there is no such job.
pub async fn load(app: &App, id: i64) -> Result<Option<Whole>, AppError> {
    let Some(job) = view::job(app, &Sight::nobody(), id).await? else {
        return Ok(None);
    };
    let mut conn = app.pool.acquire().await?;
    let builds: Vec<i64> = job.candidates.iter().filter_map(|c| c.build).collect();
    let configs = db::attempt::named(&mut conn, &builds, "config").await?;
    Ok(Some(Whole {
        tree: db::tree::find(&mut conn, &job.request.tree).await?,
        configs: configs.into_iter().collect(),
        server: app.gate.url.clone(),
        instance: app.incarnation.simple().to_string(),
        job,
    }))
}

/// Text without what neither format can hold.
pub(crate) fn plain(text: &str) -> String {
    let usable = |c: char| !c.is_control() && !('\u{fffe}'..='\u{ffff}').contains(&c);
    text.chars()
        .map(|c| if usable(c) { c } else { ' ' })
        .collect()
}
