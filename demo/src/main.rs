//! Plants histories with known culprits on a real kernel tree.
//!
//! Owns the command line only.

mod edits;
mod history;
mod import;
mod plan;
mod plant;
#[cfg(test)]
mod plant_tests;
mod scenario;
mod tar;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Planted kernel histories for the demo and the tests.
#[derive(Debug, Parser)]
#[command(name = "firstbad-demo", version)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Make DIR/linux-demo.git and DIR/plan.json; does nothing when both are complete.
    Plant {
        /// Kernel source archive, .tar.xz with one top directory.
        #[arg(long, value_name = "TAR.XZ")]
        source: PathBuf,
        /// Where to put repository and plan.
        #[arg(long)]
        dir: PathBuf,
        /// Only this scenario; repeatable. Default: all.
        #[arg(long, value_name = "NAME")]
        culprit: Vec<String>,
        /// Also plant the short history of the test-suite.
        #[arg(long)]
        short: bool,
    },
}

fn main() -> Result<()> {
    let Cli {
        command:
            Task::Plant {
                source,
                dir,
                culprit,
                short,
            },
    } = Cli::parse();
    let done = plant::plant(&source, &dir, &culprit, short)?;
    match done.took {
        None => println!("planted histories are complete in {}", dir.display()),
        Some((base, all)) => println!(
            "planted in {}: base import {:.1} s, all {:.1} s",
            dir.display(),
            base.as_secs_f64(),
            all.as_secs_f64()
        ),
    }
    for s in &done.plan.scenarios {
        println!(
            "{:<12} {} commits, {} merges, {} {}",
            s.name,
            s.commits,
            s.merges,
            &s.culprit[..12.min(s.culprit.len())],
            s.subject
        );
    }
    Ok(())
}
