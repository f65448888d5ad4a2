//! The command line as typed. Must not know what the commands do.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Which commit changed the answer? Bisects Linux kernel trees with real builds and boots.
#[derive(Debug, Parser)]
#[command(name = "firstbad", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command that talks to a server.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Address of the server.
    #[arg(
        long,
        global = true,
        env = "FIRSTBAD_SERVER",
        value_name = "URL",
        default_value = "http://127.0.0.1:8610"
    )]
    pub server: String,
    /// File with the API token [default: DATA/token, where `firstbad up` puts it].
    #[arg(long, global = true, env = "FIRSTBAD_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// How long an unreachable server is waited for while following a job, in seconds.
    #[arg(
        long,
        global = true,
        env = "FIRSTBAD_PATIENCE",
        value_name = "SECONDS",
        default_value_t = 600
    )]
    pub patience: u64,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a server and a worker on this machine, and keep them running.
    Up(UpArgs),
    /// Run the server only.
    Server(ServerArgs),
    /// Run a worker only: lease builds and tests from a server.
    Worker(WorkerArgs),
    /// Kernel repositories the server mirrors.
    #[command(subcommand)]
    Tree(TreeCommand),
    /// Ask which commit changed the answer.
    Submit(Box<SubmitArgs>),
    /// Run suites on a row of releases, and see what changed between them.
    #[command(subcommand)]
    Survey(crate::survey::SurveyCommand),
    /// Follow a job until it ends.
    Watch(JobArgs),
    /// Print the log of an attempt.
    Log(LogArgs),
    /// Print the report of a job: a text fit for a mail.
    Report {
        /// Number or page address of the job.
        job: String,
    },
    /// Read a patch mail and say what jobs found about it, as b4 wants its review checks: set
    /// `b4.review-perpatch-check-cmd` (and `b4.review-series-check-cmd`) to `firstbad b4-check`.
    B4Check,
    /// Write what a job found in the form of another program to standard output.
    Export(crate::export::ExportArgs),
    /// Print a job as `git bisect log` tells it: `git bisect replay` takes it.
    BisectLog {
        /// Number or page address of the job.
        job: String,
    },
    /// Print one job, or list all.
    Jobs(JobsArgs),
    /// List the attempts of a job with their stages.
    Attempts(AttemptsArgs),
    /// List the workers.
    Workers {
        /// Print what the server answers.
        #[arg(long)]
        json: bool,
    },
    /// Wait for what a server posts to a webhook or callback, check its signature, and print it.
    Receive(crate::receive::ReceiveArgs),
    /// Run a recorded test again, byte for byte; exit 0 only if it was identical.
    Replay(ReplayArgs),
    /// Run one suite on a kernel image, on this machine alone: no server, no database.
    RunSuite(RunSuiteArgs),
    #[command(flatten)]
    Search(crate::search::SearchCommand),
    #[command(flatten)]
    Act(crate::act::ActCommand),
    /// Accounts of people, for who signs in with a browser.
    #[command(subcommand)]
    User(crate::user::UserCommand),
    /// Tokens of programs.
    #[command(subcommand)]
    Token(crate::token::TokenCommand),
    /// What is run when a branch moves or a tag appears.
    #[command(subcommand)]
    Rule(crate::rule::RuleCommand),
    /// Failures that the last good head of a branch did not have.
    #[command(subcommand)]
    Regression(crate::rule::RegressionCommand),
}

#[derive(Debug, Args)]
pub struct UpArgs {
    /// State of server and worker [default: /var/lib/firstbad as root, else
    /// $XDG_DATA_HOME/firstbad].
    #[arg(long, env = "FIRSTBAD_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8610")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub gate: GateArgs,
    /// Start no worker on this machine.
    #[arg(long)]
    pub no_worker: bool,
    /// Machines at once: one worker builds and tests, the others only test [default: one per
    /// processor, as memory allows, at most 8].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: Option<u8>,
    #[command(flatten, next_help_heading = "Signing in with an identity provider")]
    pub oidc: crate::oidc::OidcArgs,
}

/// Who may read a server, and under which address.
#[derive(Debug, Clone, Args)]
pub struct GateArgs {
    /// Reading needs an account or a token too.
    #[arg(long, env = "FIRSTBAD_PRIVATE", value_parser = clap::builder::FalseyValueParser::new())]
    pub private: bool,
    /// Address that people use when a proxy with a certificate stands before the server, such as
    /// `https://bisect.example.org`.
    #[arg(long, env = "FIRSTBAD_URL", value_name = "URL", value_parser = origin)]
    pub url: Option<String>,
    /// Networks that webhooks may go to besides the public internet, without TLS too, such as
    /// `10.1.0.0/16`.
    #[arg(
        long,
        env = "FIRSTBAD_WEBHOOK_ALLOW",
        value_name = "NETWORK",
        value_delimiter = ','
    )]
    pub webhook_allow: Vec<ipnet::IpNet>,
}

/// Scheme and host alone.
fn origin(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let ok = |host: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:[]".contains(&b);
        !host.is_empty() && host.bytes().all(plain)
    };
    match host.is_some_and(ok) {
        true => Ok(text.to_lowercase()),
        false => Err("use https://HOST or https://HOST:PORT, without a path".to_owned()),
    }
}

#[derive(Debug, Args)]
pub struct ServerArgs {
    /// State of the server.
    #[arg(long, env = "FIRSTBAD_DATA", value_name = "DIR")]
    pub data: PathBuf,
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8610")]
    pub listen: SocketAddr,
    #[command(flatten)]
    pub gate: GateArgs,
    /// Postgres to use; without it the server runs a private one below DATA.
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Times of the lease protocol: `drill` is for tests.
    #[arg(long, env = "FIRSTBAD_TIMING", value_enum, default_value_t = Pace::Default, hide = true)]
    pub timing: Pace,
    #[command(flatten, next_help_heading = "Signing in with an identity provider")]
    pub oidc: crate::oidc::OidcArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Pace {
    Default,
    Drill,
}

#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// Mirrors, build trees and caches of this worker.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// Name shown on the workers page [default: the host's name].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Stop after one attempt.
    #[arg(long)]
    pub once: bool,
    /// Kinds of attempts to take.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Build, Kind::Test])]
    pub kinds: Vec<Kind>,
    /// Where the static PID 1 of the virtual machines is [default: beside this program].
    #[arg(long, env = "FIRSTBAD_GUEST_DIR", value_name = "DIR")]
    pub guest_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Build,
    Test,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Build => "build",
            Kind::Test => "test",
        })
    }
}

#[derive(Debug, Subcommand)]
pub enum TreeCommand {
    /// Mirror a repository; waits for the first fetch.
    Add(AddArgs),
    /// List the mirrored repositories.
    List {
        /// Print what the server answers.
        #[arg(long)]
        json: bool,
    },
    /// Fetch now.
    Fetch { name: String },
    /// Fetch by itself every so many minutes, or, with 0, only when somebody asks.
    Schedule { name: String, minutes: u32 },
    /// Forget a repository that no job uses.
    Remove { name: String },
}

/// What jobs on the tree are configured with is given in the same words as for a job.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// [default: the preset's]
    #[arg(required_unless_present = "preset")]
    pub name: Option<String>,
    /// `https://` URL, an absolute path on the server, or `debian:SUITE,SUITE` for the releases that
    /// Debian's archive has [default: the preset's].
    #[arg(required_unless_present = "preset")]
    pub url: Option<String>,
    /// A tree that is known by name, with the configuration its kernels need.
    #[arg(long, value_name = "PRESET", value_parser = crate::presets::names(),
          conflicts_with_all = ["config", "base", "config_in_tree", "fragment"])]
    pub preset: Option<String>,
    /// Print what the server answers.
    #[arg(long)]
    pub json: bool,
    #[command(flatten, next_help_heading = "For jobs on the tree that name no base")]
    pub config: crate::config::ConfigArgs,
}

/// Each of these says what the ends are.
const ENDS: [&str; 3] = ["bisect_log", "series", "config_good"];

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("signal").args(["crash", "metric"]))]
pub struct SubmitArgs {
    /// Only these revisions between the ends are candidates.
    #[arg(long, num_args = 1.., value_name = "REV")]
    pub only: Vec<String>,
    /// The mirrored repository, or ladder of releases.
    #[arg(long, visible_alias = "ladder")]
    pub tree: String,
    /// Revisions without the problem (with `--find fix`: with it) [default: a release before `--bad`
    /// that turns out to be good: they are walked back over].
    #[arg(long, num_args = 1.., value_name = "REV")]
    pub good: Vec<String>,
    /// The revision with the problem (with `--find fix`: without it).
    #[arg(long, required_unless_present_any = ENDS, value_name = "REV")]
    pub bad: Option<String>,
    #[command(flatten)]
    pub written: crate::written::Asked,
    /// Run only the two ends and say whether they differ; `--good` need not be an ancestor.
    #[arg(long, conflicts_with_all = ["paths", "first_parent", "skip", "bisect_log"])]
    pub two_point: bool,
    /// Go on where a `git bisect log` stands: its steps give the range, skips and paths.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["good", "bad", "paths", "first_parent"])]
    pub bisect_log: Option<PathBuf>,
    /// `area/name` of the suite to run.
    #[arg(long, required_unless_present = "own", conflicts_with = "own")]
    pub suite: Option<String>,
    #[command(flatten)]
    pub own: crate::custom::Own,
    /// Only these cases of the suite.
    #[arg(long = "case", num_args = 1.., value_name = "CASE")]
    pub cases: Vec<String>,
    /// What to look for.
    #[arg(long, value_enum, default_value_t = Find::Regression)]
    pub find: Find,
    /// Bad means: one of these cases, or sub-tests named CASE/SUB-TEST, fails, however the others end.
    #[arg(long, num_args = 1.., value_name = "CASE", conflicts_with_all = ["crash", "metric"])]
    pub failing: Vec<String>,
    /// Bad means: a crash with this title (or a part of it).
    #[arg(long, value_name = "TITLE")]
    pub crash: Option<String>,
    /// Bad means: this metric is worse than the threshold, or, without one, as at the bad end.
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    #[arg(
        long,
        value_name = "X",
        requires = "metric",
        allow_negative_numbers = true
    )]
    pub threshold: Option<f64>,
    #[command(flatten)]
    pub config: crate::config::ConfigArgs,
    /// Build the suite's selftests from this revision for every candidate, not from each one's own
    /// tree. In a tree of releases: from a source release, also for packaged ones.
    #[arg(long, value_name = "REV")]
    pub selftests_from: Option<String>,
    /// For the suite btrfs/fstests: the registered tree that holds fstests, and its revision; the
    /// cases are tests of it, such as generic/001.
    #[arg(long, value_name = "TREE@REV", value_parser = tree_at_rev)]
    pub fstests: Option<(String, String)>,
    /// All its tests of this group too, such as quick.
    #[arg(long = "group", num_args = 1.., value_name = "GROUP", requires = "fstests")]
    pub groups: Vec<String>,
    /// Tests of it that are skipped.
    #[arg(long, num_args = 1.., value_name = "TEST", requires = "fstests")]
    pub exclude: Vec<String>,
    /// Patches applied to every candidate before it is built.
    #[arg(long = "fixup", num_args = 1.., value_name = "PATCH")]
    pub fixups: Vec<PathBuf>,
    /// Runs per candidate; 0: decided from the rate seen at the bad end.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub runs: u32,
    /// Name a commit at this chance.
    #[arg(long, value_name = "C", default_value_t = 0.995)]
    pub confidence: f64,
    /// End with the best answer so far after so many runs.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    pub max_runs: u32,
    /// First seed; further runs count up from it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub vcpus: u32,
    /// Exact mode: an instruction takes 2^N ns of guest time. 3 or more reaches more schedules, for a
    /// race that seldom fails.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub shift: u8,
    /// `exact`: virtual time, replayable; `real`: wall clock, KVM where it works.
    #[arg(long, value_enum, default_value_t = Mode::Exact)]
    pub mode: Mode,
    /// Revisions not to test.
    #[arg(long, num_args = 1.., value_name = "REV")]
    pub skip: Vec<String>,
    /// Only commits that touch one of these paths are candidates.
    #[arg(long = "path", num_args = 1.., value_name = "PATH")]
    pub paths: Vec<String>,
    /// Follow only the first parent of merges.
    #[arg(long)]
    pub first_parent: bool,
    /// Follow the first parents; when the answer is a merge, look into it with a second job.
    #[arg(long)]
    pub merge_first: bool,
    /// When the answer changed more than once, search every change with a job of its own.
    #[arg(long)]
    pub every_flip: bool,
    /// Only you and operators see the job, and those it leads to.
    #[arg(long)]
    pub private: bool,
    #[arg(long)]
    pub title: Option<String>,
    #[command(flatten, next_help_heading = "On what terms")]
    pub terms: crate::terms::Terms,
    /// The same key and request again joins the first job.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Follow the job and exit with its outcome.
    #[arg(long)]
    pub wait: bool,
    /// Only say what the request means: range, steps.
    #[arg(long, conflicts_with = "wait")]
    pub preview: bool,
    /// Print what the server answers; with --wait, the finished job.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Find {
    Regression,
    Fix,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    Exact,
    Real,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Number or page address of the attempt.
    pub attempt: String,
    /// Stop before the first instruction and wait for gdb.
    #[arg(long)]
    pub gdb: bool,
    /// Only print a shell script that does it with curl and QEMU alone.
    #[arg(long, conflicts_with_all = ["gdb", "dir"])]
    pub print: bool,
    /// Keep console, initramfs and kernel here [default: nothing is kept].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Longest time of the whole run, wall clock.
    #[arg(long, value_name = "SECONDS", default_value_t = firstbad_api::limits::TEST_DEADLINE_S)]
    pub deadline: u64,
    /// Where the static PID 1 of the virtual machines is [default: beside this program].
    #[arg(long, env = "FIRSTBAD_GUEST_DIR", value_name = "DIR")]
    pub guest_dir: Option<PathBuf>,
}

/// A tree and a revision of it.
fn tree_at_rev(text: &str) -> Result<(String, String), String> {
    match text.split_once('@') {
        Some((tree, rev)) if !tree.is_empty() && !rev.is_empty() => {
            Ok((tree.to_owned(), rev.to_owned()))
        }
        _ => Err("write a tree's name, @ and a revision, such as fstests@v2025.12.07".to_owned()),
    }
}

/// Exit codes as `git bisect run` wants them: 0 good, 1 bad, 125 skip, 128 our own failure.
#[derive(Debug, Args)]
pub struct RunSuiteArgs {
    /// `area/name` of the suite.
    #[arg(required_unless_present = "own", conflicts_with = "own")]
    pub suite: Option<String>,
    #[command(flatten)]
    pub own: crate::custom::Own,
    /// The kernel: a bzImage with the suite's configuration built in.
    #[arg(long, value_name = "BZIMAGE")]
    pub kernel: PathBuf,
    /// For container/kselftest: the kernel's source, whose selftests are built in the sandbox first, or
    /// the `kselftest.cpio` of a build (one of a source is kept in --dir). Without it, its cases are
    /// skipped.
    #[arg(long, value_name = "DIR|CPIO")]
    pub kselftest: Option<PathBuf>,
    /// For btrfs/fstests: a checkout, which is built in the sandbox first, or the `fstests.cpio` of a
    /// build (one of a checkout is kept in --dir).
    #[arg(long, value_name = "DIR|CPIO")]
    pub fstests: Option<PathBuf>,
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Only these cases of the suite.
    #[arg(long = "case", num_args = 1, value_name = "CASE")]
    pub cases: Vec<String>,
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub vcpus: u32,
    /// `exact`: virtual time, replayable; `real`: wall clock, KVM where it works.
    #[arg(long, value_enum, default_value_t = Mode::Exact)]
    pub mode: Mode,
    /// Exact mode: an instruction takes 2^N ns of guest time.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=i64::from(firstbad_api::limits::SHIFT_MAX)))]
    pub shift: u8,
    /// Without the thread of PID 1 that spreads schedules.
    #[arg(long)]
    pub calm: bool,
    /// Longest time of the whole run, wall clock [default: 20 minutes, and 2 for each test of fstests].
    #[arg(long, value_name = "SECONDS")]
    pub deadline: Option<u64>,
    /// Keep kernel, initramfs, console and results here and, of an exact run, `run.sh`, which runs
    /// it again with QEMU alone [default: nothing is kept].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Where the static PID 1 of the virtual machines is [default: beside this program].
    #[arg(long, env = "FIRSTBAD_GUEST_DIR", value_name = "DIR")]
    pub guest_dir: Option<PathBuf>,
    /// Print the whole observation.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct JobsArgs {
    /// Number or page address of one job.
    pub job: Option<String>,
    #[command(flatten, next_help_heading = "Of all jobs")]
    pub list: ListArgs,
    /// Print what the server answers.
    #[arg(long)]
    pub json: bool,
    /// For scripts: the outcome's name and full commit ids, one line each.
    #[arg(long, requires = "job", conflicts_with = "json")]
    pub answer: bool,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    /// Words of the title, the ends, or a commit of the range and its author; or a commit's id.
    #[arg(long, value_name = "WORDS", default_value = "", conflicts_with = "job")]
    pub search: String,
    /// person (ended without an answer), now or answered.
    #[arg(long, default_value = "", conflicts_with = "job")]
    pub group: String,
    /// running, queued, done or cancelled.
    #[arg(long, default_value = "", conflicts_with = "job")]
    pub state: String,
    #[arg(long, default_value = "", conflicts_with = "job")]
    pub tree: String,
    #[arg(long, default_value = "", conflicts_with = "job")]
    pub suite: String,
    /// culprit, range, differs, surveyed, not-reproduced, no-good-end, unresolved or cancelled.
    #[arg(long, default_value = "", conflicts_with = "job")]
    pub outcome: String,
    /// failure, cases, crash or metric.
    #[arg(long, default_value = "", conflicts_with = "job")]
    pub signal: String,
    /// Those with this label.
    #[arg(long, default_value = "", conflicts_with = "job")]
    pub label: String,
    /// Only what you asked for.
    #[arg(long, conflicts_with = "job")]
    pub mine: bool,
    /// At most so many, to 200.
    #[arg(long, default_value_t = 50, conflicts_with = "job")]
    pub limit: u32,
    /// Go on where an answer ended.
    #[arg(long, default_value = "", conflicts_with = "job")]
    pub cursor: String,
}

#[derive(Debug, Args)]
pub struct AttemptsArgs {
    /// Number or page address of the job.
    pub job: String,
    /// Print what the server answers.
    #[arg(long)]
    pub json: bool,
    /// For scripts, a line a stage: attempt, kind, lease, stage, ok or failed, milliseconds.
    #[arg(long, conflicts_with = "json")]
    pub stages: bool,
}

#[derive(Debug, Args)]
pub struct JobArgs {
    /// Number or page address of the job.
    pub job: String,
    /// Print the finished job as the server answers it.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LogArgs {
    /// Number or page address of the attempt.
    pub attempt: String,
    /// `build` or `console` [default: the attempt's own].
    #[arg(long)]
    pub name: Option<String>,
    /// Go on until the log ends.
    #[arg(short, long)]
    pub follow: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn submit_takes_several_goods_and_cases() {
        let cli = parse(
            "firstbad submit --tree t --good v1 v2 --good v3 --bad v4 --suite btrfs/smoke \
             --case a b --skip s --wait",
        )
        .unwrap();
        let Command::Submit(args) = cli.command else {
            panic!("not submit");
        };
        assert_eq!(args.good, ["v1", "v2", "v3"]);
        assert_eq!(args.cases, ["a", "b"]);
        assert!(args.wait && !args.json);
    }

    #[test]
    fn submit_refuses_what_contradicts_itself() {
        let base = "firstbad submit --tree t --good a --bad b --suite s";
        for more in [
            "--threshold 3",
            "--metric m --threshold x",
            "--metric m --threshold 3 --crash c",
            "--config f --base defconfig",
            "--find sideways",
            "--mode both",
            "--wait --preview",
        ] {
            assert!(parse(&format!("{base} {more}")).is_err(), "{more}");
        }
        assert!(parse(&format!("{base} --metric m --threshold -3.5")).is_ok());
    }

    #[test]
    fn a_tree_is_known_by_name_or_given_in_full() {
        let add = |more: &str| parse(&format!("firstbad tree add {more}"));
        for fine in [
            "--preset wsl2",
            "mine --preset wsl2",
            "mine https://x.org/y.git --preset btrfs",
            "mine https://x.org/y.git --config-in-tree Microsoft/config-wsl --fragment f",
        ] {
            assert!(add(fine).is_ok(), "{fine}");
        }
        for wrong in ["mine", "--preset wsl2 --base defconfig"] {
            assert!(add(wrong).is_err(), "{wrong}");
        }
        let refused = add("--preset windows").unwrap_err().to_string();
        assert!(
            refused.contains("windows") && refused.contains("linux-next"),
            "{refused}"
        );
    }

    #[test]
    fn submit_needs_the_bad_end() {
        assert!(parse("firstbad submit --tree t --good a --suite s").is_err());
        assert!(parse("firstbad submit --tree t --bad a --suite s").is_ok());
    }

    #[test]
    fn run_suite_takes_its_options_before_the_suite() {
        let line = "firstbad run-suite --kernel b --case x --case y --vcpus 2 btrfs/smoke";
        let Command::RunSuite(args) = parse(line).unwrap().command else {
            panic!("not run-suite");
        };
        assert_eq!((args.suite.as_deref(), args.seed), (Some("btrfs/smoke"), 1));
        assert_eq!(args.cases, ["x", "y"]);
        assert!(parse("firstbad run-suite btrfs/smoke").is_err());
        assert!(parse("firstbad run-suite --kernel b --vcpus 0 btrfs/smoke").is_err());
    }

    #[test]
    fn a_test_of_ones_own_takes_the_place_of_a_suite() {
        let submit = "firstbad submit --tree t --good a --bad b";
        let run = "firstbad run-suite --kernel b";
        for own in [
            "--script f --fails-when x --timeout 9",
            "--reproducer f.c --memory 512",
            "--program f --passes-when y",
        ] {
            assert!(parse(&format!("{submit} {own}")).is_ok(), "{own}");
            assert!(parse(&format!("{run} {own}")).is_ok(), "{own}");
            assert!(
                parse(&format!("{submit} --suite s {own}")).is_err(),
                "{own}"
            );
            assert!(parse(&format!("{run} s {own}")).is_err(), "{own}");
        }
        for wrong in ["", "--script f --program f", "--fails-when x"] {
            assert!(
                parse(format!("{submit} {wrong}").trim()).is_err(),
                "{wrong}"
            );
        }
        assert!(parse(&format!("{submit} --suite s --timeout 9")).is_err());
        assert!(parse(run).is_err());
    }

    #[test]
    fn worker_kinds_are_a_list() {
        let cli = parse("firstbad worker --dir d --kinds test").unwrap();
        let Command::Worker(args) = cli.command else {
            panic!("not worker");
        };
        assert_eq!(args.kinds, [Kind::Test]);
        assert!(parse("firstbad worker --dir d --kinds cook").is_err());
    }
}
