//! The control group that a case starts in: bounds its processes, ends them at once.
//!
//! A kernel without cgroups works too, less sharply: see [`crate::procs`].

use std::fs;

const ROOT: &str = "/sys/fs/cgroup";
const CASE: &str = "/sys/fs/cgroup/case";
/// Processes of one case outside containers: a fork bomb must not starve PID 1.
const PROCESSES: u32 = 1000;

/// Creates the group, where the kernel can.
pub fn prepare() {
    // Without the controller the group still serves to kill.
    let _ = fs::write(format!("{ROOT}/cgroup.subtree_control"), "+pids");
    make();
    // A task dump for each kill would fill the console.
    let _ = fs::write("/proc/sys/vm/oom_dump_tasks", "0");
}

fn make() {
    let _ = fs::create_dir(CASE);
    let _ = fs::write(format!("{CASE}/pids.max"), PROCESSES.to_string());
}

/// Puts a new group in the place of the one that [`kill`] was used on: some kernels also kill what
/// is started from such a group afterwards.
pub fn renew() {
    if fs::remove_dir(CASE).is_ok() {
        make();
    }
}

/// Moves the calling process into the group.
pub fn join() {
    let _ = fs::write(format!("{CASE}/cgroup.procs"), "0");
}

/// Kills all in the group in one go, however fast they fork.
pub fn kill() {
    let _ = fs::write(format!("{CASE}/cgroup.kill"), "1");
}
