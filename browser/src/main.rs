//! The pages of a server in a real browser.
//!
//! Owns what is looked at: pictures, accessibility and errors of each page, and what texts from
//! elsewhere do on them. Knows the server by its pages alone.

mod driver;
mod flows;
mod hostile;
mod look;
mod person;
mod trap;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The pages of a server in headless Chromium.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Looks at every kind of page: light, dark and 390 pixels wide
    Look(look::LookArgs),
    /// Looks at pages that show hostile texts: nothing of them may run, load or break a page
    Hostile(hostile::HostileArgs),
    /// Does what people do: submits, watches, marks, cancels, retracts and reads logs
    Flows(flows::FlowsArgs),
}

/// Where the server is.
#[derive(clap::Args)]
pub struct Server {
    /// Address of the server
    #[arg(long, env = "FIRSTBAD_SERVER")]
    server: String,
    /// Folder for pictures
    #[arg(long)]
    out: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Args::parse().what {
        What::Look(args) => look::run(&args).await,
        What::Hostile(args) => hostile::run(&args).await,
        What::Flows(args) => flows::run(&args).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}
