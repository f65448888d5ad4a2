//! The pages of a server in a real browser.
//!
//! Owns what is looked at: pictures, accessibility and errors of each page. Knows the server by its
//! pages alone.

mod driver;
mod look;

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
