//! What people do to jobs and workers: mark, change, cancel, retract, drain.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use firstbad_api::amend::{Amend, Retract};
use firstbad_api::job::{self, Created, HumanMark, NewMark};
use firstbad_api::limits;
use firstbad_api::worker::Worker;
use reqwest::Method;

use crate::args::Common;
use crate::client::{self, Client};
use crate::fail::{Done, Fail};
use crate::input;

#[derive(Debug, Subcommand)]
pub enum ActCommand {
    /// Say yourself whether a revision of a running job is good or bad, or to be skipped.
    Mark(MarkArgs),
    /// Take such a mark back.
    Unmark {
        /// Number or page address of the job.
        job: String,
        /// Commit id, at least seven digits of it.
        rev: String,
    },
    /// Change how a job goes on, or go on from one that has ended; nothing it observed is lost.
    Amend(AmendArgs),
    /// Stop a job; what it has observed stays.
    Cancel {
        /// Number or page address of the job.
        job: String,
        /// Why, for the record.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Say that nobody should rely on the result of a job.
    Retract {
        /// Number or page address of the job.
        job: String,
        /// Why.
        #[arg(long, required_unless_present = "undo", conflicts_with = "undo")]
        reason: Option<String>,
        /// It holds after all.
        #[arg(long)]
        undo: bool,
    },
    /// Give a worker no more work; it ends what it does.
    Drain {
        /// Its id or, if no other live worker has it, its name.
        worker: String,
        /// Give it work again.
        #[arg(long)]
        undo: bool,
    },
}

#[derive(Debug, Args)]
pub struct MarkArgs {
    /// Number or page address of the job.
    pub job: String,
    /// Commit id, at least seven digits of it.
    pub rev: String,
    /// With `--find fix` bad means that the problem is still there.
    #[arg(value_enum)]
    pub mark: Word,
    /// The reason, shown with the result.
    #[arg(long, default_value = "")]
    pub why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Word {
    Good,
    Bad,
    Skip,
}

#[derive(Debug, Args)]
pub struct AmendArgs {
    /// Number or page address of the job.
    pub job: String,
    /// Runs per candidate from now on.
    #[arg(long, value_name = "N")]
    pub runs: Option<u32>,
    /// Name a commit at this chance.
    #[arg(long, value_name = "C")]
    pub confidence: Option<f64>,
    /// End with the best answer so far after so many runs.
    #[arg(long, value_name = "N")]
    pub max_runs: Option<u32>,
    /// A patch for the candidates that could not be built or run, and for no other.
    #[arg(long = "fixup", value_name = "PATCH", num_args = 1..)]
    pub fixups: Vec<PathBuf>,
    /// Other good (old) ends: a wider or narrower range, as another job.
    #[arg(long, value_name = "REV", num_args = 1..)]
    pub good: Vec<String>,
    /// Another bad (new) end.
    #[arg(long, value_name = "REV")]
    pub bad: Option<String>,
    /// Try attempts again that were given up because of failures of the service.
    #[arg(long)]
    pub retry: bool,
    /// Why, for the record.
    #[arg(long, default_value = "")]
    pub why: String,
}

pub async fn run(common: &Common, command: &ActCommand) -> Done {
    match command {
        ActCommand::Mark(args) => mark(common, args).await,
        ActCommand::Unmark { job, rev } => unmark(common, job, rev).await,
        ActCommand::Amend(args) => amend(common, args).await,
        ActCommand::Cancel { job, reason } => cancel(common, job, reason).await,
        ActCommand::Retract { job, reason, .. } => retract(common, job, reason.as_deref()).await,
        ActCommand::Drain { worker, undo } => drain(common, worker, *undo).await,
    }
}

/// The number of a job, and where it is.
fn job(common: &Common, typed: &str) -> Result<(Client, i64), Fail> {
    let client = Client::new(common, Some(typed))?;
    Ok((client, client::id(typed, "jobs")?))
}

async fn mark(common: &Common, args: &MarkArgs) -> Done {
    let (client, id) = job(common, &args.job)?;
    let new = NewMark {
        rev: args.rev.clone(),
        mark: match args.mark {
            Word::Good => job::Word::Good,
            Word::Bad => job::Word::Bad,
            Word::Skip => job::Word::Skip,
        },
        why: args.why.clone(),
    };
    let path = format!("/api/v1/jobs/{id}/marks");
    let _stored: HumanMark = client.post(&path, &new, &[]).await?;
    println!("{} is marked {}", args.rev, new.mark.as_str());
    Ok(0)
}

async fn unmark(common: &Common, typed: &str, rev: &str) -> Done {
    let (client, id) = job(common, typed)?;
    let path = format!("/api/v1/jobs/{id}/marks/{}", client::segment(rev));
    client.call(Method::DELETE, &path).await?;
    println!("the mark of {rev} is taken back");
    Ok(0)
}

async fn amend(common: &Common, args: &AmendArgs) -> Done {
    let (client, id) = job(common, &args.job)?;
    let mut left = limits::PATCH_BYTES;
    let mut fixups = Vec::with_capacity(args.fixups.len());
    for path in &args.fixups {
        let patch = input::text(path, left)?;
        left -= patch.len();
        fixups.push(patch);
    }
    let new = Amend {
        good: args.good.clone(),
        bad: args.bad.clone(),
        runs: args.runs,
        confidence: args.confidence,
        max_runs: args.max_runs,
        fixups,
        retry: args.retry,
        why: args.why.clone(),
    };
    let path = format!("/api/v1/jobs/{id}/amend");
    let created: Created = client.post(&path, &new, &[]).await?;
    let page = client.page(&created.url);
    match created.id == id {
        true => println!("job {id} goes on with it: {page}"),
        false => println!("job {id} goes on as job {}: {page}", created.id),
    }
    Ok(0)
}

async fn cancel(common: &Common, typed: &str, reason: &str) -> Done {
    let (client, id) = job(common, typed)?;
    let path = format!("/api/v1/jobs/{id}/cancel");
    let reason = reason.to_owned();
    client
        .put(Method::POST, &path, &job::Cancel { reason })
        .await?;
    println!("job {id} is cancelled");
    Ok(0)
}

/// Without a reason the result is put back.
async fn retract(common: &Common, typed: &str, reason: Option<&str>) -> Done {
    let (client, id) = job(common, typed)?;
    let path = format!("/api/v1/jobs/{id}/retract");
    match reason {
        Some(reason) => {
            let reason = reason.to_owned();
            client.put(Method::POST, &path, &Retract { reason }).await?;
            println!("the result of job {id} is retracted");
        }
        None => {
            client.call(Method::DELETE, &path).await?;
            println!("the result of job {id} holds");
        }
    }
    Ok(0)
}

async fn drain(common: &Common, named: &str, undo: bool) -> Done {
    let client = Client::new(common, None)?;
    let workers: Vec<Worker> = client.get("/api/v1/workers").await?;
    let live = |w: &&Worker| w.live && w.name == named;
    let by_name: Vec<&Worker> = workers.iter().filter(live).collect();
    let found = workers.iter().find(|w| w.worker.to_string() == named);
    let worker = match (found, &by_name[..]) {
        (Some(worker), _) => worker,
        (None, [worker]) => worker,
        (None, []) => {
            let why = format!("no live worker is called {named}, and none has that id");
            return Err(Fail::Usage(why));
        }
        (None, several) => {
            let ids: Vec<String> = several.iter().map(|w| w.worker.to_string()).collect();
            let why = format!(
                "several workers are called {named}: use an id: {}",
                ids.join(", ")
            );
            return Err(Fail::Usage(why));
        }
    };
    let path = format!("/api/v1/workers/{}/drain", worker.worker);
    let (method, told) = match undo {
        false => (Method::POST, "gets no more work"),
        true => (Method::DELETE, "gets work again"),
    };
    client.call(method, &path).await?;
    println!("{} {told}", worker.name);
    Ok(0)
}
