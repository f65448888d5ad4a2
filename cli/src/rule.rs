//! `rule` and `regression`: what is watched, and what was found.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use firstbad_api::job::Signal;
use firstbad_api::lease::RunMode;
use firstbad_api::regression::{Regression, SetState};
use firstbad_api::rule::{
    Head, MadeRule, NewRule, On, Rule, RuleChange, SERVICES, StatusTo, Template, Trigger,
    Triggered, hook_path,
};
use reqwest::Method;

use crate::args::{Common, Mode};
use crate::client::{self, Client, segment};
use crate::fail::{Done, Fail};
use crate::text::{line, short};
use crate::{input, show};

/// Pause between two looks.
const LOOK: Duration = Duration::from_secs(2);
/// After so long a commit that was asked for must have been fetched.
const FETCHED: Duration = Duration::from_secs(1800);
/// Longest token of a service, bytes.
const TOKEN_BYTES: usize = 4096;

#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// Run a suite when a branch moves or a tag appears, and search what broke.
    Add(Box<AddArgs>),
    /// List your rules; as an operator, all.
    List {
        /// Print what the server answers.
        #[arg(long)]
        json: bool,
    },
    /// Print what a rule saw.
    Heads {
        rule: i64,
        /// Print what the server answers.
        #[arg(long)]
        json: bool,
    },
    /// Change a rule; what is left out stays.
    Change {
        rule: i64,
        #[arg(long, value_name = "PATTERN")]
        refs: Option<String>,
        /// Jobs a day.
        #[arg(long, value_name = "N")]
        budget: Option<u32>,
        /// Switch it on or off.
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
        #[command(flatten)]
        status: StatusArgs,
    },
    /// Remove a rule; its jobs and regressions stay.
    Remove { rule: i64 },
    /// Fetch and look now, or run one revision.
    Trigger {
        rule: i64,
        /// A branch or tag of the rule.
        #[arg(long = "ref", value_name = "NAME")]
        reference: Option<String>,
        /// A tag, branch or commit of the tree.
        #[arg(long)]
        rev: Option<String>,
        /// Wait for this commit, given by its full id: 0 good, 1 bad, 2 it says nothing.
        #[arg(long, requires = "rev")]
        wait: bool,
    },
    /// Make a new secret for the hooks of a rule and print it.
    Secret { rule: i64 },
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("counts").args(["failing", "crash", "metric"]))]
pub struct AddArgs {
    name: String,
    #[arg(long)]
    tree: String,
    /// Names of branches or tags; `*` stands for anything.
    #[arg(long, value_name = "PATTERN")]
    refs: String,
    /// Tags that appear, and not branches that move.
    #[arg(long)]
    tags: bool,
    #[arg(long, value_name = "AREA/NAME")]
    suite: String,
    /// Only these cases of the suite.
    #[arg(long = "case", num_args = 1.., value_name = "CASE")]
    cases: Vec<String>,
    /// Only these cases or sub-tests count.
    #[arg(long, num_args = 1.., value_name = "CASE")]
    failing: Vec<String>,
    /// Only a crash with this title counts.
    #[arg(long, value_name = "TITLE")]
    crash: Option<String>,
    /// Only this number counts: worse than the threshold, or, without one, than before.
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    #[arg(
        long,
        value_name = "X",
        requires = "metric",
        allow_negative_numbers = true
    )]
    threshold: Option<f64>,
    #[command(flatten)]
    config: crate::config::ConfigArgs,
    #[arg(long, value_enum, default_value_t = Mode::Exact)]
    mode: Mode,
    #[arg(long, default_value_t = 1)]
    vcpus: u32,
    /// Runs of a check.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Jobs a day: checks and bisections.
    #[arg(long, default_value_t = 20, value_name = "N")]
    budget: u32,
    /// Only you and operators see its jobs and regressions.
    #[arg(long)]
    private: bool,
    #[command(flatten)]
    status: StatusArgs,
}

/// Where the state of a check is written back.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Service that takes a commit status of each check.
    #[arg(long = "status", value_parser = SERVICES, value_name = "SERVICE",
          requires_all = ["status_url", "project"])]
    service: Option<String>,
    /// Such as `https://api.github.com`.
    #[arg(long, value_name = "URL", requires = "service")]
    status_url: Option<String>,
    /// `OWNER/REPOSITORY`.
    #[arg(long, requires = "service")]
    project: Option<String>,
    /// File with a token that may write statuses there.
    #[arg(long, value_name = "FILE", requires = "service")]
    status_token: Option<PathBuf>,
}

impl StatusArgs {
    fn read(&self) -> Result<Option<StatusTo>, Fail> {
        let Some(service) = self.service.clone() else {
            return Ok(None);
        };
        let token = match &self.status_token {
            Some(path) => input::text(path, TOKEN_BYTES)?.trim().to_owned(),
            None => String::new(),
        };
        Ok(Some(StatusTo {
            service,
            url: self.status_url.clone().unwrap_or_default(),
            project: self.project.clone().unwrap_or_default(),
            token,
        }))
    }
}

pub async fn run(common: &Common, command: &RuleCommand) -> Done {
    let client = Client::new(common, None)?;
    match command {
        RuleCommand::Add(args) => {
            let made: MadeRule = client.post("/api/v1/rules", &new(args)?, &[]).await?;
            println!(
                "rule {}: {}",
                made.id,
                client.page(&format!("/rules/{}", made.id))
            );
            secret(&client, &made);
        }
        RuleCommand::List { json } => {
            let rules: Vec<Rule> = client.get("/api/v1/rules").await?;
            if *json {
                return show::json(&rules);
            }
            println!("{}", rows(&rules));
        }
        RuleCommand::Heads { rule, json } => {
            let heads: Vec<Head> = client.get(&format!("/api/v1/rules/{rule}/heads")).await?;
            if *json {
                return show::json(&heads);
            }
            println!("{}", seen(&heads));
        }
        RuleCommand::Change {
            rule,
            refs,
            budget,
            enabled,
            status,
        } => {
            let body = RuleChange {
                refs: refs.clone(),
                budget: *budget,
                enabled: *enabled,
                status: status.read()?,
                run: None,
            };
            let path = format!("/api/v1/rules/{rule}");
            client.put(Method::PATCH, &path, &body).await?;
            println!("rule {rule}: changed");
        }
        RuleCommand::Remove { rule } => {
            let path = format!("/api/v1/rules/{rule}");
            client.call(Method::DELETE, &path).await?;
            println!("rule {rule}: removed");
        }
        RuleCommand::Trigger {
            rule,
            reference,
            rev,
            wait,
        } => {
            let full =
                |rev: &&String| rev.len() >= 40 && rev.bytes().all(|b| b.is_ascii_hexdigit());
            let waits_for = rev.as_ref().filter(|_| *wait);
            if waits_for.is_some_and(|rev| !full(&rev)) {
                let why = "--wait: give the full id of the commit as --rev";
                return Err(Fail::Usage(why.to_owned()));
            }
            let body = Trigger {
                reference: reference.clone(),
                rev: rev.clone(),
            };
            let path = format!("/api/v1/triggers/{rule}");
            let told: Triggered = client.post(&path, &body, &[]).await?;
            println!("rule {rule}: {}", line(&told.state));
            if let Some(rev) = waits_for {
                return wait_for(&client, *rule, rev).await;
            }
        }
        RuleCommand::Secret { rule } => {
            let path = format!("/api/v1/rules/{rule}/secret");
            let made: MadeRule = client.post(&path, &serde_json::json!({}), &[]).await?;
            secret(&client, &made);
        }
    }
    Ok(0)
}

/// Looks until a head is judged, and ends as it is.
async fn wait_for(client: &Client, rule: i64, rev: &str) -> Done {
    let path = format!("/api/v1/rules/{rule}/heads");
    let began = Instant::now();
    loop {
        let ask = async || client.get::<Vec<Head>>(&path).await;
        let heads = client.patiently(ask, |said| eprintln!("{said}")).await?;
        let head = heads.iter().find(|h| h.rev.eq_ignore_ascii_case(rev));
        match head.and_then(|h| h.verdict.as_deref().map(|v| (h, v))) {
            Some((head, verdict)) => {
                println!("{}: {}", line(verdict), line(&head.why));
                return Ok(match verdict {
                    "good" => 0,
                    "bad" => 1,
                    _ => 2,
                });
            }
            None if head.is_none() && began.elapsed() > FETCHED => {
                let why = "the server's mirror does not have this commit: look at the rule's page";
                return Err(Fail::Data(why.to_owned()));
            }
            None => tokio::time::sleep(LOOK).await,
        }
    }
}

/// The secret, and where services tell of pushes.
fn secret(client: &Client, made: &MadeRule) {
    println!("secret, which is not shown again: {}", line(&made.secret));
    for service in SERVICES {
        println!("{service}: {}", client.page(&hook_path(service, made.id)));
    }
}

fn new(args: &AddArgs) -> Result<NewRule, Fail> {
    let signal = match (&args.crash, &args.metric) {
        (Some(title), _) => Signal::Crash {
            title: title.clone(),
        },
        (None, Some(name)) => Signal::Metric {
            name: name.clone(),
            threshold: args.threshold,
        },
        (None, None) if !args.failing.is_empty() => Signal::Cases {
            cases: args.failing.clone(),
        },
        (None, None) => Signal::Failure,
    };
    Ok(NewRule {
        tree: args.tree.clone(),
        name: args.name.clone(),
        refs: args.refs.clone(),
        on: match args.tags {
            true => On::Tag,
            false => On::Branch,
        },
        run: Template {
            suite: args.suite.clone(),
            cases: args.cases.clone(),
            signal,
            config: args.config.read()?,
            mode: match args.mode {
                Mode::Exact => RunMode::Exact,
                Mode::Real => RunMode::Real,
            },
            vcpus: args.vcpus,
            runs: args.runs,
            private: args.private,
        },
        budget: args.budget,
        enabled: true,
        status: args.status.read()?,
    })
}

fn rows(rules: &[Rule]) -> String {
    let row = |r: &Rule| {
        let on = match r.rule.on {
            On::Branch => "branches",
            On::Tag => "tags",
        };
        let state = if r.rule.enabled { "on" } else { "off" };
        vec![
            r.id.to_string(),
            line(&r.rule.name),
            line(&format!("{} {on} {}", r.rule.tree, r.rule.refs)),
            line(&r.rule.run.suite),
            format!("{} of {}", r.jobs_today, r.rule.budget),
            state.to_owned(),
        ]
    };
    let head = ["id", "name", "watches", "runs", "jobs today", ""];
    show::table(&head, rules.iter().map(row))
}

fn seen(heads: &[Head]) -> String {
    let row = |h: &Head| {
        let job = h.job.map(|job| format!("job {job}"));
        vec![
            line(&h.reference),
            short(&h.rev).to_string(),
            line(h.verdict.as_deref().unwrap_or(&h.state)),
            job.unwrap_or_default(),
            line(&h.why),
        ]
    };
    show::table(&["head", "commit", "is", "", "why"], heads.iter().map(row))
}

#[derive(Debug, Subcommand)]
pub enum RegressionCommand {
    /// List them, newest first.
    List {
        #[arg(long, value_enum)]
        state: Option<StateName>,
        #[arg(long)]
        tree: Option<String>,
        /// Print what the server answers.
        #[arg(long)]
        json: bool,
    },
    /// Print one.
    Show {
        /// Number or page address of the regression.
        regression: String,
        /// Print what the server answers.
        #[arg(long)]
        json: bool,
    },
    /// Say what one is, and why.
    Set {
        /// Number or page address of the regression.
        regression: String,
        state: StateName,
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    Open,
    Fixed,
    Invalid,
}

impl StateName {
    fn word(self) -> &'static str {
        match self {
            StateName::Open => "open",
            StateName::Fixed => "fixed",
            StateName::Invalid => "invalid",
        }
    }
}

pub async fn regressions(common: &Common, command: &RegressionCommand) -> Done {
    match command {
        RegressionCommand::List { state, tree, json } => {
            let client = Client::new(common, None)?;
            let state = state.map_or("", StateName::word);
            let tree = segment(tree.as_deref().unwrap_or_default());
            let path = format!("/api/v1/regressions?state={state}&tree={tree}");
            let all: Vec<Regression> = client.get(&path).await?;
            if *json {
                return show::json(&all);
            }
            let row = |g: &Regression| {
                let culprit = g.culprit.as_ref().map(|c| line(&c.subject));
                vec![
                    g.id.to_string(),
                    line(&g.state),
                    line(&g.title),
                    culprit.unwrap_or_default(),
                ]
            };
            println!(
                "{}",
                show::table(&["id", "is", "what", "culprit"], all.iter().map(row))
            );
        }
        RegressionCommand::Show { regression, json } => {
            let client = Client::new(common, Some(regression))?;
            let id = client::id(regression, "regressions")?;
            let one: Regression = client.get(&format!("/api/v1/regressions/{id}")).await?;
            if *json {
                return show::json(&one);
            }
            println!("{}", told(&one));
        }
        RegressionCommand::Set {
            regression,
            state,
            reason,
        } => {
            let client = Client::new(common, Some(regression))?;
            let id = client::id(regression, "regressions")?;
            let body = SetState {
                state: state.word().to_owned(),
                reason: reason.clone(),
            };
            let path = format!("/api/v1/regressions/{id}/state");
            client.put(Method::POST, &path, &body).await?;
            println!("regression {id}: {}", state.word());
        }
    }
    Ok(0)
}

fn told(g: &Regression) -> String {
    let mut lines = vec![
        format!("{} ({})", line(&g.title), line(&g.state)),
        format!(
            "last good {}, first seen at {}",
            short(&g.good),
            short(&g.bad)
        ),
    ];
    if let Some(job) = g.job {
        lines.push(
            format!("job {job} {}", line(&g.job_why))
                .trim_end()
                .to_owned(),
        );
    }
    if let Some(culprit) = &g.culprit {
        lines.push(format!(
            "culprit {} {}",
            line(&culprit.rev),
            line(&culprit.subject)
        ));
    }
    if let Some(fix) = &g.fix {
        let words = format!("fix {} {} in {}", fix.rev, fix.subject, fix.tree);
        lines.push(line(&words));
    }
    if !g.duplicates.is_empty() {
        let all: Vec<String> = g.duplicates.iter().map(ToString::to_string).collect();
        lines.push(format!("the same culprit as of {}", all.join(", ")));
    }
    lines.join("\n")
}
