//! QEMU's argument vector, and with it everything a run is a function of.
//!
//! Owns every flag of the virtual machine; the exact mode's flags are measured
//! and must not be changed one by one. The worker runs what is written here and
//! the server compares what a worker says it ran with it. Must not know how a
//! machine is started or what it printed.

use crate::lease::{RunMode, TestWork, VmShape};
use crate::limits::SHIFT_MAX;
use crate::observation::RunInputs;

/// The program.
pub const PROGRAM: &str = "qemu-system-x86_64";
/// Name of the console's file in the working directory.
pub const CONSOLE: &str = "console";
/// Name of the result port's file in the working directory.
pub const FRAMES: &str = "frames";
/// What stands for the two files in a recorded argument vector.
pub const IMAGE: &str = "IMAGE";
pub const INITRAMFS: &str = "INITRAMFS";
/// Kernel command line before the suite's own words. The time stamps tell the
/// kernel's lines from what a program printed on the console.
const CMDLINE: &str = "console=ttyS0,115200 earlyprintk=serial,ttyS0,115200 printk.time=1 \
                       ignore_loglevel panic=-1 rdinit=/init";
/// In exact mode nothing may depend on the host's entropy or CPU. Programs that always are at the
/// same addresses are translated once instead of at every start: see [`translator`].
const CMDLINE_EXACT: &str = "nokaslr norandmaps mitigations=off";
/// QEMU's buffer of translated code in exact mode, MiB: the most that it takes.
const TRANSLATED_MIB: u32 = 2048;
/// What a kernel has by default, and suites/kernel.config for tasks that hang, seconds; see [`patience`].
const SOFT_LOCKUP_S: u64 = 10;
const RCU_STALL_S: u64 = 21;
const HUNG_TASK_S: u64 = 60;
/// Longest command line the kernel accepts on x86, bytes.
const CMDLINE_BYTES: usize = 2047;

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    TcgExact,
    Tcg,
    Kvm,
}

impl Engine {
    /// The engine of a mode, given whether KVM is trusted.
    pub fn of(mode: RunMode, kvm: bool) -> Engine {
        match (mode, kvm) {
            (RunMode::Exact, _) => Engine::TcgExact,
            (RunMode::Real, true) => Engine::Kvm,
            (RunMode::Real, false) => Engine::Tcg,
        }
    }

    /// The engine of a run's inputs.
    pub fn named(name: &str) -> Option<Engine> {
        [Engine::TcgExact, Engine::Tcg, Engine::Kvm]
            .into_iter()
            .find(|engine| engine.name() == name)
    }

    /// The name in a run's inputs.
    pub fn name(self) -> &'static str {
        match self {
            Engine::TcgExact => "tcg-exact",
            Engine::Tcg => "tcg",
            Engine::Kvm => "kvm",
        }
    }
}

/// What lets as many instructions pass with a shifted clock as with the usual one before the kernel
/// complains about work that takes long; of RCU's stalls it takes no more than 300 s.
fn patience(shift: u8) -> String {
    let stretched = |seconds: u64| seconds << shift.min(SHIFT_MAX);
    format!(
        "watchdog_thresh={} rcupdate.rcu_cpu_stall_timeout={} \
         sysctl.kernel.hung_task_timeout_secs={}",
        stretched(SOFT_LOCKUP_S),
        stretched(RCU_STALL_S).min(300),
        stretched(HUNG_TASK_S),
    )
}

/// The kernel's whole command line, or why the suite's part cannot be used.
pub fn cmdline(engine: Engine, shift: u8, suite: &str) -> Result<String, String> {
    if !suite.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return Err("the suite's kernel command line holds unprintable characters".to_owned());
    }
    let exact = match engine {
        Engine::TcgExact => CMDLINE_EXACT,
        Engine::Tcg | Engine::Kvm => "",
    };
    let patience = match (engine, shift) {
        (Engine::TcgExact, 1..) => patience(shift),
        _ => String::new(),
    };
    let words: Vec<&str> = [CMDLINE, exact, &patience, suite]
        .iter()
        .flat_map(|part| part.split(' '))
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    match line.len() {
        0..=CMDLINE_BYTES => Ok(line),
        n => Err(format!(
            "the kernel command line has {n} bytes; at most {CMDLINE_BYTES} are allowed"
        )),
    }
}

/// Everything a run of `work` on `engine` is a function of; the error says why
/// the suite's command line cannot be used.
pub fn inputs(
    work: &TestWork,
    engine: Engine,
    initramfs_sha256: String,
    qemu_version: String,
) -> Result<RunInputs, String> {
    let cmdline = cmdline(engine, work.shape.shift, &work.suite.spec.cmdline)?;
    let mut argv = vec![PROGRAM.to_owned()];
    argv.extend(args(
        engine,
        &work.shape,
        work.seed,
        &cmdline,
        IMAGE,
        INITRAMFS,
    ));
    Ok(RunInputs {
        image_sha256: work.image_sha256.clone(),
        initramfs_sha256,
        cmdline,
        qemu_version,
        accel: engine.name().to_owned(),
        vcpus: work.shape.vcpus,
        memory_mib: work.shape.memory_mib,
        seed: work.seed,
        argv,
    })
}

/// Whether `run` is a run of `work`; the error names what differs.
pub fn is_run_of(work: &TestWork, run: &RunInputs) -> Result<(), &'static str> {
    let engine = Engine::named(&run.accel)
        .filter(|engine| (*engine == Engine::TcgExact) == (work.shape.mode == RunMode::Exact))
        .ok_or("accelerator")?;
    let (initramfs, version) = (run.initramfs_sha256.clone(), run.qemu_version.clone());
    let asked = inputs(work, engine, initramfs, version).map_err(|_| "kernel command line")?;
    let differs = [
        ("kernel image", asked.image_sha256 != run.image_sha256),
        ("seed", asked.seed != run.seed),
        ("number of CPUs", asked.vcpus != run.vcpus),
        ("memory", asked.memory_mib != run.memory_mib),
        ("kernel command line", asked.cmdline != run.cmdline),
        ("argument vector", asked.argv != run.argv),
    ];
    match differs.into_iter().find(|(_, differs)| *differs) {
        Some((what, _)) => Err(what),
        None => Ok(()),
    }
}

/// The arguments of a run; `image` and `initramfs` are paths as QEMU sees them.
pub fn args(
    engine: Engine,
    shape: &VmShape,
    seed: u64,
    cmdline: &str,
    image: &str,
    initramfs: &str,
) -> Vec<String> {
    let mut a = common(shape.memory_mib);
    a.extend(match engine {
        Engine::TcgExact => words(&[
            "-cpu",
            "max",
            "-accel",
            &translator(),
            "-icount",
            &clock(shape.shift),
            "-rtc",
            "base=2025-01-01,clock=vm",
        ]),
        Engine::Tcg => words(&["-cpu", "max", "-accel", "tcg,thread=multi"]),
        Engine::Kvm => words(&["-cpu", "host", "-accel", "kvm"]),
    });
    a.extend(match engine {
        Engine::TcgExact => plugged(shape.vcpus),
        Engine::Tcg | Engine::Kvm => vec!["-smp".to_owned(), shape.vcpus.to_string()],
    });
    // QEMU reads the seed as a 64-bit number and spreads it over its generators.
    a.extend(["-seed".to_owned(), seed.to_string()]);
    a.extend(["-kernel".to_owned(), image.to_owned()]);
    a.extend(["-initrd".to_owned(), initramfs.to_owned()]);
    a.extend(["-append".to_owned(), cmdline.to_owned()]);
    a.extend(serial("s0", CONSOLE));
    a.extend(serial("s1", FRAMES));
    a
}

/// The translator of an exact run, with so much room for what it translated that it is hardly ever full.
///
/// When it is, QEMU drops all of it and ends the slice of the vCPU that ran: another one is next.
/// So with more vCPUs the run would be a function of the room too, by default a part of the host's
/// memory, and of how long its code is for the host's processor.
fn translator() -> String {
    format!("tcg,tb-size={TRANSLATED_MIB}")
}

/// The clock of an exact run: instructions, with a jump to the next timer when all vCPUs idle.
///
/// Nobody needs the record. But without `rr=record` QEMU's main thread may jump while a vCPU that
/// has just halted has not yet accounted for its instructions: from then on the clock is wrong by
/// those, now and then, as the host schedules the two. While it records, both take turns.
/// `make bench-determinism SUITES=explore/naps` sees the difference.
fn clock(shift: u8) -> String {
    format!("shift={shift},sleep=off,rr=record,rrfile=/dev/null")
}

/// `-smp VCPUS` for a machine that records, which QEMU refuses with more than one CPU on that
/// option: the others are plugged in before the machine starts, and it prints the same. The thread
/// of the vCPUs is named, for [`TOGETHER`].
fn plugged(vcpus: u32) -> Vec<String> {
    let mut a = words(&[
        "-smp",
        &format!("cpus=1,maxcpus={vcpus},sockets=1,cores={vcpus},threads=1"),
    ]);
    if vcpus > 1 {
        a.extend(words(&["-name", "debug-threads=on"]));
    }
    for core in 1..vcpus {
        a.push("-device".to_owned());
        a.push(format!("{PLUGGED},socket-id=0,core-id={core},thread-id=0"));
    }
    a
}

/// The model of a vCPU that is plugged in.
const PLUGGED: &str = "max-x86_64-cpu";

/// Whether a machine with these arguments must be run by [`TOGETHER`].
pub fn wants_together(args: &[String]) -> bool {
    args.iter().any(|a| a.starts_with(PLUGGED))
}

/// Runs QEMU, `$2` and what follows, with all its threads on the host's processor `$1`, the vCPUs'
/// behind all others.
///
/// That thread wakes the main one at every timer that is due, and so asks it for a turn at the
/// clock. With more than one vCPU their order depends on when that turn is, in a window that the
/// record does not close. A thread of the idle class is left at once for any other that wakes on
/// its processor: the turn is always the next one, and no host's timer has a say in it. Where they
/// cannot be put in order, the machine is ended and the code is 125.
pub const TOGETHER: &str = r#"together() {
    taskset -cp "$1" $$ >/dev/null || return 125
    shift
    "$@" &
    qemu=$! vcpus='' tries=0
    while [ -z "$vcpus" ] && [ -d "/proc/$qemu/task" ] && [ "$tries" -lt 1000 ]; do
        tries=$((tries + 1))
        sleep 0.01
        vcpus=$(grep -ls CPU "/proc/$qemu/task/"*/comm || :)
    done
    vcpus=${vcpus%/comm}
    [ ! -d "/proc/$qemu" ] || chrt --idle --pid 0 "${vcpus##*/}" || {
        echo "the vCPUs' thread was not found or cannot come last: no exact run" >&2
        kill "$qemu" || :
        wait "$qemu" || :
        return 125
    }
    wait "$qemu"
}
"#;

/// The shell's lines that run the command `words`, already quoted, with these arguments.
pub fn shell(args: &[String], words: &[String]) -> String {
    let line = words.join(" ");
    match wants_together(args) {
        true => format!("{TOGETHER}together \"$(cut -d ' ' -f 39 /proc/$$/stat)\" {line}"),
        false => line,
    }
}

/// How machines are made, in a text that another one of this module's programs may not have: part of
/// what a worker's tools are, so that no job mixes runs of two.
pub fn recipe() -> String {
    let mut text = TOGETHER.to_owned();
    for (engine, mode) in [
        (Engine::TcgExact, RunMode::Exact),
        (Engine::Tcg, RunMode::Real),
        (Engine::Kvm, RunMode::Real),
    ] {
        for (vcpus, shift) in [(1, 0), (2, SHIFT_MAX)] {
            let shape = VmShape {
                mode,
                vcpus,
                memory_mib: 1024,
                shift,
                calm: false,
            };
            // The suite's own words are none, which cannot be refused.
            let line = cmdline(engine, shift, "").unwrap_or_default();
            text += &args(engine, &shape, 1, &line, IMAGE, INITRAMFS).join("\n");
            text.push('\n');
        }
    }
    text
}

/// What every machine has, the canary's too: no network, no disk, no display.
pub fn common(memory_mib: u32) -> Vec<String> {
    let mut a = words(&[
        "-M",
        "q35,hpet=off",
        "-nodefaults",
        "-no-user-config",
        "-nic",
        "none",
        "-display",
        "none",
        "-no-reboot",
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-m",
    ]);
    a.push(memory_mib.to_string());
    a
}

/// A serial port whose output goes to a file in the working directory.
pub fn serial(id: &str, file: &str) -> Vec<String> {
    words(&[
        "-chardev",
        &format!("file,id={id},path={file}"),
        "-serial",
        &format!("chardev:{id}"),
    ])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: VmShape = VmShape {
        mode: RunMode::Exact,
        vcpus: 2,
        memory_mib: 512,
        shift: 0,
        calm: false,
    };

    #[test]
    fn the_exact_mode_has_the_measured_flags() {
        let a = args(Engine::TcgExact, &SHAPE, 7, "quiet", IMAGE, INITRAMFS).join(" ");
        for part in [
            "-M q35,hpet=off -nodefaults",
            "-cpu max -accel tcg,tb-size=2048 -icount shift=0,sleep=off,rr=record,rrfile=/dev/null",
            "-rtc base=2025-01-01,clock=vm -smp cpus=1,maxcpus=2,sockets=1,cores=2,threads=1",
            "threads=1 -name debug-threads=on -device max-x86_64-cpu,socket-id=0,core-id=1,thread-id=0",
            "-seed 7",
            "-kernel IMAGE -initrd INITRAMFS -append quiet",
            "-nic none",
        ] {
            assert!(a.contains(part), "{part} in {a}");
        }
        assert!(!a.contains("virtio"), "host-timed devices break exact runs");
    }

    #[test]
    fn the_recipe_has_every_way_that_a_machine_is_made() {
        let recipe = recipe();
        for part in [
            TOGETHER,
            "\ntcg,tb-size=2048\n",
            "\ntcg,thread=multi\n",
            "\nkvm\n",
            "norandmaps",
            "rcu_cpu_stall_timeout=300",
            "\n-sandbox\n",
            "cpus=1,maxcpus=1,",
            PLUGGED,
        ] {
            assert!(recipe.contains(part), "{part} in {recipe}");
        }
    }

    #[test]
    fn only_with_more_vcpus_the_threads_of_qemu_are_ordered() {
        let of = |vcpus| {
            let shape = VmShape { vcpus, ..SHAPE };
            args(Engine::TcgExact, &shape, 7, "quiet", IMAGE, INITRAMFS)
        };
        let words = ["sh".to_owned(), "-c".to_owned(), "'exit 3'".to_owned()];
        assert_eq!(shell(&of(1), &words), "sh -c 'exit 3'");
        let run = |words: &[String]| {
            let mut sh = std::process::Command::new("sh");
            sh.args(["-e", "-c", &shell(&of(2), words)])
                .output()
                .unwrap()
        };
        // A program that ends at once: its code, and nothing else is said.
        let done = run(&words);
        assert_eq!(done.status.code(), Some(3), "{done:?}");
        assert!(done.stderr.is_empty(), "{done:?}");
        // One with a thread of that name: it is the one that comes last, and bound to one CPU.
        let named = "'echo ALL CPUs/TCG >/proc/$$/comm; sleep 1; chrt -p $$; taskset -cp $$'";
        let done = run(&["sh".to_owned(), "-c".to_owned(), named.to_owned()]);
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(said.contains("SCHED_IDLE"), "{done:?}");
        let list = said.trim().rsplit(' ').next().unwrap_or_default();
        assert!(list.parse::<u32>().is_ok(), "{done:?}");
        assert!(done.stderr.is_empty(), "{done:?}");
        // One whose thread cannot be put there does not go on without order.
        let fake = shell(&of(2), &["sleep".to_owned(), "3600".to_owned()]).replace("chrt", "false");
        let mut sh = std::process::Command::new("sh");
        let done = sh
            .args(["-e", "-c", &fake.replace("CPU ", "sleep ")])
            .output();
        let done = done.unwrap();
        assert_eq!(done.status.code(), Some(125), "{done:?}");
        assert!(String::from_utf8_lossy(&done.stderr).contains("no exact run"));
    }

    #[test]
    fn only_the_real_mode_may_use_kvm() {
        assert_eq!(Engine::of(RunMode::Exact, true), Engine::TcgExact);
        assert_eq!(Engine::of(RunMode::Real, true), Engine::Kvm);
        assert_eq!(Engine::of(RunMode::Real, false), Engine::Tcg);
    }

    #[test]
    fn a_command_line_with_a_newline_or_without_end_is_refused() {
        assert!(cmdline(Engine::Tcg, 0, "a\nb").is_err());
        assert!(cmdline(Engine::Tcg, 0, &"a".repeat(2048)).is_err());
        let line = cmdline(Engine::TcgExact, 0, " loop.max_loop=4  ").unwrap();
        assert!(line.ends_with("mitigations=off loop.max_loop=4"), "{line}");
    }

    #[test]
    fn with_a_shifted_clock_the_kernel_waits_as_many_instructions() {
        let line = cmdline(Engine::TcgExact, 6, "quiet").unwrap();
        let end = "mitigations=off watchdog_thresh=640 rcupdate.rcu_cpu_stall_timeout=300 \
                   sysctl.kernel.hung_task_timeout_secs=3840 quiet";
        assert!(line.ends_with(end), "{line}");
        let real = cmdline(Engine::Tcg, 6, "quiet").unwrap();
        assert_eq!(real, cmdline(Engine::Tcg, 0, "quiet").unwrap());
    }
}
