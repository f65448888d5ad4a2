//! `firstbad`: the command line.
//!
//! Owns arguments, exit codes and what a terminal shows. Must not know SQL,
//! git or QEMU: it asks the server, or starts server and worker.

mod act;
mod args;
mod attempts;
mod b4;
mod client;
mod config;
mod custom;
mod daemon;
mod export;
mod fail;
mod input;
mod log;
mod oidc;
mod place;
mod presets;
mod receive;
mod replay;
mod rule;
mod run_suite;
mod search;
mod show;
mod submit;
mod survey;
mod terms;
mod text;
mod token;
mod tree;
mod up;
mod user;
mod watch;
mod written;

use std::process::ExitCode;

use clap::Parser;
use firstbad_api::job::Job;
use firstbad_api::list::{JobList, JobsQuery};
use firstbad_api::worker::Worker;

use args::{Cli, Command, Common, JobsArgs, ListArgs};
use client::Client;
use fail::{Done, Fail};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            let alone = std::env::args_os().any(|a| a == "run-suite");
            let wrong = if alone { run_suite::INFRASTRUCTURE } else { 64 };
            return ExitCode::from(if error.use_stderr() { wrong } else { 0 });
        }
    };
    ends_with_its_reader(&cli.command);
    let result = match &cli.command {
        Command::Server(args) => daemon::server(args),
        Command::Worker(args) => daemon::worker(&cli.common, args),
        Command::Search(command) => search::run(command),
        _ => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Fail::Infrastructure(format!("no runtime: {e}")))
            .and_then(|runtime| runtime.block_on(command(&cli))),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(fail) => {
            eprintln!("firstbad: {fail}");
            ExitCode::from(fail.code())
        }
    }
}

/// A command whose output nobody reads any more ends, as in `firstbad jobs | head`. Those that feed
/// other programs must learn of a closed pipe by an error.
fn ends_with_its_reader(command: &Command) {
    let feeds = matches!(
        command,
        Command::Server(_)
            | Command::Worker(_)
            | Command::Up(_)
            | Command::Replay(_)
            | Command::RunSuite(_)
    );
    if !feeds {
        sigpipe::reset();
    }
}

async fn command(cli: &Cli) -> Done {
    let common = &cli.common;
    match &cli.command {
        Command::Up(args) => up::run(args).await,
        Command::Tree(command) => tree::run(common, command).await,
        Command::Submit(args) => submit::run(common, args).await,
        Command::Survey(command) => survey::run(common, command).await,
        Command::Watch(args) => watch::run(common, args).await,
        Command::Log(args) => log::run(common, args).await,
        Command::Report { job } => print(common, job, "report").await,
        Command::B4Check => b4::check(common).await,
        Command::Export(args) => export::run(common, args).await,
        Command::BisectLog { job } => print(common, job, "bisect-log").await,
        Command::Jobs(args) => jobs(common, args).await,
        Command::Attempts(args) => attempts::run(common, args).await,
        Command::Receive(args) => receive::run(args).await,
        Command::Replay(args) => replay::run(common, args).await,
        Command::RunSuite(args) => run_suite::run(args).await,
        Command::Workers { json } => workers(common, *json).await,
        Command::Act(command) => act::run(common, command).await,
        Command::User(command) => user::run(common, command).await,
        Command::Token(command) => token::run(common, command).await,
        Command::Rule(command) => rule::run(common, command).await,
        Command::Regression(command) => rule::regressions(common, command).await,
        // `main` runs these itself.
        Command::Server(_) | Command::Worker(_) | Command::Search(_) => Ok(0),
    }
}

/// Prints a text about a job.
async fn print(common: &Common, job: &str, what: &str) -> Done {
    let client = Client::new(common, Some(job))?;
    let id = client::id(job, "jobs")?;
    let said = client.text(&format!("/api/v1/jobs/{id}/{what}")).await?;
    println!("{}", text::lines(&said).trim_end());
    Ok(0)
}

async fn jobs(common: &Common, args: &JobsArgs) -> Done {
    let client = Client::new(common, args.job.as_deref())?;
    let Some(typed) = &args.job else {
        let list: JobList = client.get(&list_path(&args.list)).await?;
        if args.json {
            return show::json(&list);
        }
        println!("{}", show::jobs(&list.jobs));
        if let Some(next) = &list.next {
            println!("There are more: --cursor {}", text::line(next));
        }
        return Ok(0);
    };
    let id = client::id(typed, "jobs")?;
    let job: Job = client.get(&format!("/api/v1/jobs/{id}")).await?;
    if args.json {
        return show::json(&job);
    }
    if args.answer {
        print!("{}", show::answer(&job));
    } else {
        println!("{}", show::job(&job, &client.page(&format!("/jobs/{id}"))));
    }
    Ok(0)
}

fn list_path(args: &ListArgs) -> String {
    let query = JobsQuery {
        q: args.search.clone(),
        group: args.group.clone(),
        state: args.state.clone(),
        tree: args.tree.clone(),
        suite: args.suite.clone(),
        outcome: args.outcome.clone(),
        signal: args.signal.clone(),
        label: args.label.clone(),
        mine: if args.mine { "1" } else { "" }.to_owned(),
        limit: args.limit.to_string(),
        cursor: args.cursor.clone(),
    };
    format!("/api/v1/jobs?{}", query.encoded())
}

async fn workers(common: &Common, json: bool) -> Done {
    let workers: Vec<Worker> = Client::new(common, None)?.get("/api/v1/workers").await?;
    if json {
        return show::json(&workers);
    }
    println!("{}", show::workers(&workers));
    Ok(0)
}
