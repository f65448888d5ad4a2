//! The commands that search without a server: files and pipes in, JSON out. Must not know HTTP.

mod args;
mod ask;
mod engine;
mod input;
mod simulate;

use crate::fail::Done;

pub use args::SearchCommand;

/// Runs one of them.
pub fn run(command: &SearchCommand) -> Done {
    match command {
        SearchCommand::Engine(args) => engine::run(args),
        SearchCommand::Simulate(args) => simulate::run(args),
        SearchCommand::Plan(args) => ask::plan(args),
        SearchCommand::Posterior(args) => ask::posterior(args),
        SearchCommand::Weights { dag } => ask::weights(dag),
    }
}
