//! PID 1 of the test machine: mounts, runs the cases of the plan, reports, powers off.
//!
//! Owns the order of events. Must not know how a result is judged. Nothing here
//! depends on host time or unseeded randomness, so that exact runs stay exact.

mod case;
mod cgroup;
mod jitter;
mod kmsg;
mod ktap;
mod leftovers;
mod modules;
mod output;
mod port;
mod procs;
mod root;
mod seed;

use std::panic::{AssertUnwindSafe, catch_unwind};

use firstbad_api::guest::{Frame, GuestPlan, PLAN_PATH};
use rustix::system::{RebootCommand, reboot, uname};

use crate::leftovers::Baseline;
use crate::port::Port;

/// First argument that turns this binary into the child that becomes a case.
const EXEC_CASE: &str = "--exec-case";

fn main() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|a| a == EXEC_CASE) {
        case::exec(args.next());
    }
    if std::process::id() != 1 {
        eprintln!("firstbad-guest is PID 1 of a test machine and does nothing elsewhere");
        std::process::exit(64);
    }
    if let Err(what) = session() {
        println!("firstbad: fault: {what}");
    }
    rustix::fs::sync();
    // Output of the last frames must leave the machine before it stops.
    port::drain();
    let _ = reboot(RebootCommand::PowerOff);
    loop {
        std::thread::park();
    }
}

/// Everything between the kernel's hand-over and power-off.
///
/// A failure of ours is told as [`Frame::Fault`]: as a dying PID 1 it would
/// read as a kernel panic.
fn session() -> Result<(), String> {
    root::enter()?;
    let plan = read_plan()?;
    let mut port = Port::open(&plan.nonce)?;
    let done = catch_unwind(AssertUnwindSafe(|| run(&plan, &mut port)))
        .unwrap_or_else(|_| Err("PID 1 panicked, see the console".into()));
    if let Err(what) = &done {
        port.send(&Frame::Fault { what: what.clone() })?;
    }
    done
}

fn run(plan: &GuestPlan, port: &mut Port) -> Result<(), String> {
    let name = uname();
    let release = name.release().to_string_lossy().into_owned();
    port.send(&Frame::Hello {
        release: release.clone(),
        version: name.version().to_string_lossy().into_owned(),
    })?;
    root::install_applets()?;
    modules::load()?;
    cgroup::prepare();
    let baseline = Baseline::take()?;
    let mut left = Vec::new();
    for case in &plan.cases {
        port.send(&Frame::CaseStart {
            case: case.name.clone(),
        })?;
        println!("firstbad: case {} starts", case.name);
        let end = match case.outside(&release) {
            Some(why) => case::not_run(case, why),
            None => case::run(case, plan.seed, plan.calm)?,
        };
        println!("firstbad: case {} ends: {:?}", case.name, end.status);
        port.send(&Frame::CaseEnd(end))?;
        // A case can take away what is needed to look: that is its doing, not a failure of ours.
        let swept = baseline.sweep().unwrap_or_else(|why| vec![why]);
        left.extend(
            swept
                .into_iter()
                .map(|what| format!("{}: {what}", case.name)),
        );
    }
    left.truncate(leftovers::REPORTED);
    port.send(&Frame::Bye {
        clean: left.is_empty(),
        left,
    })
}

/// Reads the plan and removes it: the nonce in it is for PID 1 alone.
fn read_plan() -> Result<GuestPlan, String> {
    let text = std::fs::read(PLAN_PATH).map_err(|e| format!("read {PLAN_PATH}: {e}"))?;
    std::fs::remove_file(PLAN_PATH).map_err(|e| format!("remove {PLAN_PATH}: {e}"))?;
    serde_json::from_slice(&text).map_err(|e| format!("parse {PLAN_PATH}: {e}"))
}
