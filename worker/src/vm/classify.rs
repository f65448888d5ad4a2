//! From how a machine stopped to what was observed.
//!
//! Owns the line between the kernel's failure (an observation) and ours (an
//! error): QEMU that does not start, dies by itself or cannot run the guest
//! says nothing about the kernel. Must not know files or processes.

use firstbad_api::observation::{BootOutcome, RunEnd};

use super::console::Ended;
use super::frames::Frames;
use crate::error::InfraError;

/// Why the machine is no longer running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// QEMU exited with 0: the guest powered off or asked for a reboot.
    Exited,
    /// We ended it: it panicked and did not reboot.
    Panicked,
    /// We ended it: neither port said anything for too long.
    Silent,
    /// We ended it: no hello within the boot time.
    BootDeadline,
    /// We ended it: the whole time was used.
    Deadline,
}

/// What QEMU says on its standard error when the host is at fault.
const HOST_FAULTS: &[&str] = &[
    "KVM internal error",
    "error: failed to set MSR",
    "failed to initialize kvm",
    "Could not access KVM kernel module",
    "kvm run failed",
    "cannot set up guest memory",
    "Cannot allocate memory",
    "No space left on device",
];

/// The outcome of boot and the end of the run.
pub fn outcome(stop: Stop, panicked: bool, ended: &Ended) -> (BootOutcome, RunEnd) {
    let frames = &ended.frames;
    let boot = match (frames.hello, ended.crashes.is_empty()) {
        (true, _) => BootOutcome::Up,
        (false, false) => BootOutcome::Crashed,
        (false, true) => BootOutcome::Silent,
    };
    let by_the_guest = ended.stopped && frames.hello && frames.bye.is_none();
    let end = match stop {
        _ if panicked => RunEnd::Panic,
        Stop::Exited if frames.bye.is_some() => RunEnd::PowerOff,
        Stop::Exited | Stop::Silent if by_the_guest => RunEnd::Stopped,
        Stop::Exited => RunEnd::SilentReboot,
        Stop::Panicked => RunEnd::Panic,
        Stop::Silent => RunEnd::Hang,
        Stop::BootDeadline | Stop::Deadline => RunEnd::Deadline,
    };
    (boot, end)
}

/// Whether what happened was our failure: QEMU's messages or PID 1's own fault tell.
pub fn ours(stderr: &str, frames: &Frames) -> Result<(), InfraError> {
    if let Some(line) = stderr
        .lines()
        .find(|line| HOST_FAULTS.iter().any(|fault| line.contains(fault)))
    {
        return Err(InfraError::Failed(format!(
            "the virtual machine cannot run on this host: {}",
            line.trim()
        )));
    }
    match &frames.fault {
        Some(what) => Err(InfraError::Failed(format!(
            "the guest's PID 1 failed: {what}"
        ))),
        None => Ok(()),
    }
}

/// QEMU ended by itself with another status than 0: always ours.
pub fn died(status: std::process::ExitStatus, stderr: &str) -> InfraError {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty());
    InfraError::failed(
        format!("QEMU did not run to its end ({status})"),
        last.unwrap_or("it said nothing"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstbad_api::observation::{Crash, CrashKind};

    fn frames(hello: bool, bye: bool) -> Frames {
        let mut frames = Frames::default();
        frames.hello = hello;
        frames.bye = bye.then(Vec::new);
        frames
    }

    fn crash() -> Vec<Crash> {
        vec![Crash {
            kind: CrashKind::Oops,
            title: "t".to_owned(),
            offset: 0,
            excerpt: String::new(),
        }]
    }

    /// A machine that said hello and bye, or did not; with a crash; stopped by the guest.
    fn ended([hello, bye, crashed, stopped]: [bool; 4]) -> Ended {
        Ended {
            sha256: String::new(),
            crashes: if crashed { crash() } else { vec![] },
            frames: frames(hello, bye),
            cases: vec![],
            stopped,
        }
    }

    #[test]
    fn every_way_to_stop_has_its_outcome() {
        use BootOutcome::{Crashed, Silent, Up};
        use RunEnd::{Deadline, Hang, Panic, PowerOff, SilentReboot, Stopped};
        const NO: bool = false;
        const YES: bool = true;
        let table = [
            (Stop::Exited, false, [YES, YES, NO, NO], (Up, PowerOff)),
            (Stop::Exited, false, [YES, NO, NO, NO], (Up, SilentReboot)),
            (Stop::Exited, false, [YES, NO, NO, YES], (Up, Stopped)),
            (Stop::Silent, false, [YES, NO, NO, YES], (Up, Stopped)),
            (Stop::Exited, false, [YES, YES, NO, YES], (Up, PowerOff)),
            (Stop::Silent, false, [YES, YES, NO, YES], (Up, Hang)),
            (Stop::Exited, true, [YES, NO, YES, NO], (Up, Panic)),
            (Stop::Exited, true, [NO, NO, YES, NO], (Crashed, Panic)),
            (Stop::Panicked, true, [NO, NO, YES, NO], (Crashed, Panic)),
            (
                Stop::Exited,
                false,
                [NO, NO, NO, NO],
                (Silent, SilentReboot),
            ),
            (Stop::Silent, false, [NO, NO, NO, NO], (Silent, Hang)),
            (Stop::Silent, false, [YES, YES, NO, NO], (Up, Hang)),
            (
                Stop::BootDeadline,
                false,
                [NO, NO, YES, NO],
                (Crashed, Deadline),
            ),
            (Stop::Deadline, false, [YES, NO, NO, NO], (Up, Deadline)),
        ];
        for (stop, panicked, seen, expected) in table {
            let outcome = outcome(stop, panicked, &ended(seen));
            assert_eq!(outcome, expected, "{stop:?} {seen:?}");
        }
    }

    #[test]
    fn the_hosts_fault_and_pid_1s_fault_are_ours() {
        let up = frames(true, true);
        assert!(ours("qemu: warning: something\n", &up).is_ok());
        assert!(ours("KVM internal error. Suberror: 1\nemulation failure", &up).is_err());
        let mut fault = Frames::default();
        fault.fault = Some("no /proc".to_owned());
        let error = ours("", &fault).unwrap_err().to_string();
        assert_eq!(error, "the guest's PID 1 failed: no /proc");
    }
}
