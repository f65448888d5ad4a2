//! A processor of the host for a machine whose threads must share one.
//!
//! Owns which of the host's processors are taken by machines, of this process and of others. Must
//! not know how a machine is bound to one.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity};

/// Machines of this process that found no free processor.
static LATE: AtomicUsize = AtomicUsize::new(0);

/// A processor, kept from other machines until this is dropped.
pub struct Seat {
    pub cpu: usize,
    _held: Option<UnixDatagram>,
}

impl Seat {
    /// The first free processor; when all are taken, each of them in turn.
    ///
    /// Taken is what has its name bound: a name that needs no file and is free again when its
    /// process ends, however it ends.
    pub fn take() -> Seat {
        let allowed = allowed();
        let free = allowed.iter().find_map(|&cpu| Some((cpu, hold(cpu).ok()?)));
        match free {
            Some((cpu, held)) => Seat {
                cpu,
                _held: Some(held),
            },
            None => {
                let late = std::process::id() as usize + LATE.fetch_add(1, Ordering::Relaxed);
                let any = late % allowed.len().max(1);
                Seat {
                    cpu: allowed.get(any).copied().unwrap_or_default(),
                    _held: None,
                }
            }
        }
    }
}

fn hold(cpu: usize) -> std::io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(format!(
        "firstbad-cpu-{cpu}"
    ))?)
}

/// The processors that this process may use.
fn allowed() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|&n| set.is_set(n)).collect(),
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_free_again_when_its_seat_is_left() {
        let cpu = CpuSet::MAX_CPU + std::process::id() as usize;
        let held = hold(cpu).unwrap();
        assert!(hold(cpu).is_err());
        drop(held);
        hold(cpu).unwrap();
        assert!(allowed().contains(&Seat::take().cpu));
    }
}
