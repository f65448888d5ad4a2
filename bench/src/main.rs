//! Asks a server for pages at a fixed rate and says how long they take.
//!
//! A request begins when its time has come, however long those before it take, and its time counts from
//! then: a server that falls behind is not spared. Must not know what a page is about.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use reqwest::Client;

/// Measures pages of a server; exits 1 when one of them takes longer than it may.
#[derive(Debug, Parser)]
#[command(name = "firstbad-bench")]
struct Args {
    /// Address of the server.
    #[arg(long)]
    url: String,
    /// Requests in a second.
    #[arg(long, default_value_t = 50)]
    rate: u32,
    /// Requests in all, of a page and of the mix.
    #[arg(long, default_value_t = 500)]
    requests: usize,
    /// Milliseconds within which 95 of 100 answers have to be there.
    #[arg(long, default_value_t = 100.0)]
    most_ms: f64,
    /// Only the mix of all pages, not each by itself.
    #[arg(long)]
    mix: bool,
    /// Name of the line of the mix.
    #[arg(long, default_value = "mix")]
    title: String,
    /// A page: `NAME=/path`, where `{10-90/5}` stands for another number each time, by fives.
    #[arg(required = true)]
    pages: Vec<String>,
}

/// A page, and the numbers its address takes.
struct Target {
    name: String,
    before: String,
    after: String,
    /// First, how many, and how far apart.
    numbers: Option<(u64, u64, u64)>,
}

impl Target {
    fn read(text: &str) -> anyhow::Result<Target> {
        let wrong = || format!("{text}: use NAME=/path, or NAME=/path/{{10-90/5}}");
        let (name, path) = text.split_once('=').with_context(wrong)?;
        let Some((before, rest)) = path.split_once('{') else {
            return Ok(Target {
                name: name.to_owned(),
                before: path.to_owned(),
                after: String::new(),
                numbers: None,
            });
        };
        let (numbers, after) = rest.split_once('}').with_context(wrong)?;
        let (first, last) = numbers.split_once('-').with_context(wrong)?;
        let (last, step) = last.split_once('/').unwrap_or((last, "1"));
        let (first, last, step): (u64, u64, u64) = (first.parse()?, last.parse()?, step.parse()?);
        if first > last || step == 0 {
            bail!(wrong());
        }
        Ok(Target {
            name: name.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
            numbers: Some((first, (last - first) / step + 1, step)),
        })
    }

    /// The address of the n-th request: scattered, and the same each time.
    fn path(&self, n: usize) -> String {
        match self.numbers {
            None => self.before.clone(),
            Some((first, many, step)) => {
                let scattered = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
                let number = first + scattered % many * step;
                format!("{}{number}{}", self.before, self.after)
            }
        }
    }
}

/// Times of a page in milliseconds, in order, and the bytes of its largest answer.
struct Measured {
    times: Vec<f64>,
    bytes: usize,
}

impl Measured {
    /// The time within which this share of the answers was there.
    fn within(&self, share: f64) -> f64 {
        let rank = (share * self.times.len() as f64).ceil() as usize;
        let at = rank.clamp(1, self.times.len().max(1)) - 1;
        self.times.get(at).copied().unwrap_or(f64::NAN)
    }
}

/// Requests at a fixed rate, the targets by turns.
async fn measure(http: &Client, args: &Args, targets: &[&Target]) -> anyhow::Result<Measured> {
    let pace = Duration::from_secs(1) / args.rate.max(1);
    let begun = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for n in 0..args.requests {
        let Some(target) = targets.get(n % targets.len().max(1)) else {
            bail!("no page to ask for");
        };
        let due = begun + pace * u32::try_from(n)?;
        tokio::time::sleep_until(due.into()).await;
        let url = format!("{}{}", args.url, target.path(n));
        let http = http.clone();
        running.spawn(async move {
            let answer = http.get(&url).send().await?;
            let status = answer.status();
            let bytes = answer.bytes().await?.len();
            if !status.is_success() {
                bail!("{url}: {status}");
            }
            Ok((due.elapsed().as_secs_f64() * 1000.0, bytes))
        });
    }
    let mut measured = Measured {
        times: Vec::new(),
        bytes: 0,
    };
    while let Some(done) = running.join_next().await {
        let (ms, bytes) = done??;
        measured.times.push(ms);
        measured.bytes = measured.bytes.max(bytes);
    }
    measured.times.sort_by(f64::total_cmp);
    Ok(measured)
}

/// Prints one line; false when the page takes too long.
fn tell(name: &str, measured: &Measured, most_ms: f64) -> bool {
    let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|share| measured.within(share));
    let met = p95 <= most_ms;
    let word = if met { "met" } else { "MISSED" };
    let kib = measured.bytes as f64 / 1024.0;
    println!(
        "{name:<16} {p50:>8.1} {p95:>8.1} {p99:>8.1} {most_ms:>8.0} {kib:>8.1} {:>5}  {word}",
        measured.times.len()
    );
    met
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let targets = args.pages.iter().map(|text| Target::read(text));
    let targets: Vec<Target> = targets.collect::<Result<_, _>>()?;
    let http = Client::builder().timeout(Duration::from_secs(60)).build()?;
    let mut met = true;
    if !args.mix {
        for target in &targets {
            let measured = measure(&http, &args, &[target]).await?;
            met &= tell(&target.name, &measured, args.most_ms);
        }
    }
    if targets.len() > 1 {
        let all: Vec<&Target> = targets.iter().collect();
        let measured = measure(&http, &args, &all).await?;
        met &= tell(&args.title, &measured, args.most_ms);
    }
    Ok(match met {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_target_takes_numbers_in_turn_and_shares_count_from_the_least() {
        let job = Target::read("job=/jobs/{7-9}/log").unwrap();
        let paths: Vec<String> = (0..50).map(|n| job.path(n)).collect();
        for id in 7..10 {
            assert!(paths.contains(&format!("/jobs/{id}/log")), "{paths:?}");
        }
        let fives = Target::read("x=/{10-20/5}").unwrap();
        let fives: Vec<String> = (0..50).map(|n| fives.path(n)).collect();
        for path in ["/10", "/15", "/20"] {
            assert!(fives.iter().any(|p| p == path), "{fives:?}");
        }
        assert_eq!(fives.iter().filter(|p| p.len() != 3).count(), 0);
        assert_eq!(Target::read("home=/?q=a").unwrap().path(3), "/?q=a");
        for wrong in [
            "home",
            "x=/{1",
            "x=/{1}",
            "x=/{9-7}",
            "x=/{1-9/0}",
            "x=/{a-b}",
        ] {
            assert!(Target::read(wrong).is_err(), "{wrong}");
        }
        let times = (1..=100).map(f64::from).collect();
        let measured = Measured { times, bytes: 0 };
        let shares = [0.5, 0.95, 0.99, 1.0].map(|share| measured.within(share));
        assert_eq!(shares, [50.0, 95.0, 99.0, 100.0]);
    }
}
