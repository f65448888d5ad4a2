//! Times in the guest's own clock: of commands, and as metrics.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Failure;

/// Runs a command and adds the nanoseconds it took to `file`; its failure is a wrong result.
pub fn timed(file: &str, command: &[&str]) -> Result<(), Failure> {
    let [program, args @ ..] = command else {
        return Err(Failure::Call("timed: no command".into()));
    };
    let start = Instant::now();
    let status = Command::new(program).args(args).status();
    let took = start.elapsed();
    let status = status.map_err(|e| Failure::call(program, e))?;
    if !status.success() {
        return Err(Failure::Wrong(format!("{program} ended with {status}")));
    }
    let mut log = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(file)
        .map_err(|e| Failure::call(file, e))?;
    writeln!(log, "{}", took.as_nanos()).map_err(|e| Failure::call(file, e))
}

/// Prints the percentiles of the times in `file` as metrics of `name`.
pub fn percentiles(file: &str, name: &str) -> Result<(), Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::call(file, e))?;
    let times: Result<Vec<u64>, _> = text.lines().map(str::parse).collect();
    let times = times.map_err(|e| Failure::call(file, e))?;
    latency(name, times.into_iter().map(Duration::from_nanos).collect())
}

/// Prints `NAME_p50_us` and `NAME_p99_us`.
pub fn latency(name: &str, mut times: Vec<Duration>) -> Result<(), Failure> {
    times.sort_unstable();
    for percent in [50, 99] {
        let Some(time) = percentile(&times, percent) else {
            return Err(Failure::Call(format!("{name}: no times")));
        };
        let micros = time.as_nanos() as f64 / 1e3;
        println!("::metric name={name}_p{percent}_us value={micros:.1} unit=us better=lower");
    }
    Ok(())
}

/// Prints `NAME_mb_s`.
pub fn throughput(name: &str, bytes: u64, took: Duration) {
    let rate = bytes as f64 / 1e6 / took.as_secs_f64().max(1e-9);
    println!("::metric name={name}_mb_s value={rate:.3} unit=MB/s better=higher");
}

/// The nearest-rank percentile of sorted times.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_nanos).collect();
        assert_eq!(percentile(&times, 50), Some(Duration::from_nanos(100)));
        assert_eq!(percentile(&times, 99), Some(Duration::from_nanos(198)));
        assert_eq!(percentile(&times[..1], 99), Some(Duration::from_nanos(1)));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn a_command_that_fails_is_wrong_and_not_timed() {
        let name = format!("fbtool-timed-{}", std::process::id());
        let file = std::env::temp_dir().join(name);
        let file = file.to_str().unwrap();
        assert!(matches!(timed(file, &["false"]), Err(Failure::Wrong(_))));
        assert!(matches!(timed(file, &["/no/such"]), Err(Failure::Call(_))));
        timed(file, &["true"]).unwrap();
        assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 1);
        percentiles(file, "x").unwrap();
        std::fs::remove_file(file).unwrap();
    }
}
