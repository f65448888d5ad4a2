//! The arguments of the commands that need no server. Must not know what the commands do.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub enum SearchCommand {
    /// The production search over stdin and stdout, one JSON object a line.
    Engine(EngineArgs),
    /// The search against a built-in tester.
    Simulate(Box<SimulateArgs>),
    /// Print the next probes.
    Plan(PlanArgs),
    /// Print the chance of every commit.
    Posterior(PosteriorArgs),
    /// Print the distance of every commit, as `git rev-list --bisect-all` does.
    Weights {
        /// Commits, one a line: id and parents inside the range; parents first, the bad tip last.
        #[arg(long, value_name = "FILE")]
        dag: PathBuf,
    },
}

/// What the search is about.
#[derive(Debug, Clone, Args)]
pub struct SearchArgs {
    /// Commits, one a line: id and parents inside the range; parents first, the bad tip last.
    #[arg(long, value_name = "FILE")]
    pub dag: PathBuf,
    /// Chance that a run fails with the culprit. With `--rates unknown` only the tester of `simulate`
    /// knows it.
    #[arg(long, value_name = "P", requires = "p_good")]
    pub p_bad: Option<f64>,
    /// Chance that a run fails without it.
    #[arg(long, value_name = "P", requires = "p_bad")]
    pub p_good: Option<f64>,
    /// `unknown`: learn both chances.
    #[arg(long, value_enum)]
    pub rates: Option<Rates>,
    /// Runs measure a number, which the culprit moves up by so many standard deviations.
    #[arg(long, value_name = "D", conflicts_with_all = ["p_bad", "rates"])]
    pub metric_shift: Option<f64>,
    /// Lines `id weight`: commits that are likelier than others. Ids left out have weight 1.
    #[arg(long, value_name = "FILE")]
    pub prior: Option<PathBuf>,
    /// Runs under way at once.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub workers: u16,
    /// Chance at which a commit is named.
    #[arg(long, value_name = "C", default_value_t = 0.995)]
    pub confidence: f64,
    /// Prior chance that there is no culprit; 0: there is one.
    #[arg(long, value_name = "P", default_value_t = 0.02)]
    pub none_prior: f64,
    /// Concentration of each revision's own failure rate, or `off` [default: off with given rates,
    /// 20 with unknown ones].
    #[arg(long, value_name = "K")]
    pub dispersion: Option<String>,
    /// Run the culprit and its parents until each is sure.
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub verify: Switch,
    /// Runs of the bad tip before the search, with unknown rates.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub calibration: u32,
    /// Cost of building a revision, in runs, that the choice weighs.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub build_cost: f64,
    /// Give the best answer after so many results.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub max_runs: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rates {
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

#[derive(Debug, Args)]
pub struct EngineArgs {
    #[command(flatten)]
    pub search: SearchArgs,
}

#[derive(Debug, Args)]
pub struct SimulateArgs {
    #[command(flatten)]
    pub search: SearchArgs,
    /// Commit that is at fault, `none`, `random`: another one each time, or `each`: one after the other
    /// from the one with the number of the seed, counted from 0.
    #[arg(long, value_name = "ID", default_value = "random")]
    pub culprit: String,
    /// Chance that a revision cannot be tested.
    #[arg(long, value_name = "Z", default_value_t = 0.0)]
    pub skip_rate: f64,
    /// Seed of the first run; later ones count up.
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub repeat: u32,
    /// The kind of history.
    #[arg(long, value_enum, default_value_t = CaseArg::One)]
    pub case: CaseArg,
    /// Share of the revisions that do not build, with `--case broken` or `in-broken`.
    #[arg(long, value_name = "X", default_value_t = 0.2)]
    pub stretch: f64,
    /// The tester draws each revision's failure rate with this concentration.
    #[arg(long, value_name = "K")]
    pub vary: Option<f64>,
    /// Run times are lognormal with this deviation, mean 1; without it workers go in rounds.
    #[arg(long, value_name = "S")]
    pub time_sigma: Option<f64>,
    /// Cost of building a revision as charged [default: as weighed].
    #[arg(long, value_name = "X")]
    pub build_charged: Option<f64>,
    /// A prior with nine tenths of the mass on a tenth of the commits, new each time.
    #[arg(long, value_enum, conflicts_with = "prior")]
    pub hint: Option<HintArg>,
    /// Search as git does, judging each revision by votes: `majority:5`, `any:10`.
    #[arg(long, value_name = "VOTE")]
    pub votes: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Leave the single runs out.
    #[arg(long)]
    pub summary: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CaseArg {
    One,
    Two,
    Refixed,
    HalfHidden,
    InBroken,
    Broken,
    Merge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HintArg {
    /// The culprit is drawn from the prior.
    Right,
    /// The culprit is drawn evenly.
    Useless,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub search: SearchArgs,
    /// Lines `id good|bad|skip`, several an id allowed.
    #[arg(long, value_name = "FILE")]
    pub results: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PosteriorArgs {
    #[command(flatten)]
    pub search: SearchArgs,
    /// Lines `id good|bad|skip`, several an id allowed.
    #[arg(long, value_name = "FILE")]
    pub results: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
