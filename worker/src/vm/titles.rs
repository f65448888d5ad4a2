//! Crash headers and their normalised titles, in syzbot's style.
//!
//! Owns which kernel messages begin a crash and how its title is made: the
//! function at fault without offset, suffix or address. Must not know files,
//! offsets or what came from which run.

use firstbad_api::observation::CrashKind::{self, *};

/// Longest title, bytes.
const TITLE: usize = 160;

/// How the function at fault is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The header says all.
    Whole,
    /// The instruction pointer, else the first frame of the call trace.
    Rip,
    /// The first frame of the call trace.
    Trace,
    /// The first frame of the call trace that does not merely wait.
    Sleeper,
    /// The first `, at: function` of a lock.
    Lock,
    /// First `Read of size`, then the call trace.
    Access,
    /// The header names the function; `Read of size` completes the title.
    AccessIn,
}

/// The beginning of a crash.
pub struct Start {
    pub kind: CrashKind,
    /// The title without its function.
    pub head: String,
    pub rule: Rule,
    /// The whole title when the header says all.
    pub title: Option<String>,
    /// May also follow another header of the same crash.
    pub secondary: bool,
}

/// Header prefix, kind, head of the title, rule.
type Row = (&'static str, CrashKind, &'static str, Rule);

const NULL: &str = "BUG: unable to handle kernel NULL pointer dereference";
const PAGING: &str = "BUG: unable to handle kernel paging request";
const DEADLOCK: &str = "possible deadlock";

/// Read in order: a longer prefix stands before its own beginning.
#[rustfmt::skip]
const HEADERS: &[Row] = &[
    ("BUG: kernel NULL pointer dereference", Oops, NULL, Rule::Rip),
    (NULL, Oops, NULL, Rule::Rip),
    ("BUG: unable to handle page fault", Oops, PAGING, Rule::Rip),
    (PAGING, Oops, PAGING, Rule::Rip),
    ("BUG: sleeping function called from invalid context", Bug, "BUG: sleeping function called from invalid context", Rule::Trace),
    ("BUG: scheduling while atomic", Bug, "BUG: scheduling while atomic", Rule::Trace),
    ("BUG: using smp_processor_id() in preemptible", Bug, "BUG: using smp_processor_id() in preemptible code", Rule::Trace),
    ("BUG: using __this_cpu", Bug, "BUG: using __this_cpu in preemptible code", Rule::Trace),
    ("BUG: Bad page state", Bug, "BUG: Bad page state", Rule::Whole),
    ("BUG: Bad page map", Bug, "BUG: Bad page map", Rule::Whole),
    ("BUG: Bad rss-counter state", Bug, "BUG: Bad rss-counter state", Rule::Whole),
    ("BUG: non-zero pgtables_bytes on freeing mm", Bug, "BUG: non-zero pgtables_bytes on freeing mm", Rule::Whole),
    ("BUG: soft lockup", Stall, "BUG: soft lockup", Rule::Rip),
    ("BUG: workqueue lockup", Stall, "BUG: workqueue lockup", Rule::Whole),
    ("BUG: workqueue leaked lock", Lockdep, "BUG: workqueue leaked lock or atomic", Rule::Whole),
    ("BUG: spinlock ", Bug, "BUG: spinlock bug", Rule::Trace),
    ("Watchdog detected hard LOCKUP", Stall, "BUG: hard lockup", Rule::Rip),
    ("WARNING: possible circular locking dependency", Lockdep, DEADLOCK, Rule::Lock),
    ("WARNING: possible recursive locking", Lockdep, DEADLOCK, Rule::Lock),
    ("WARNING: possible irq lock inversion", Lockdep, DEADLOCK, Rule::Lock),
    ("WARNING: HARDIRQ-safe ->", Lockdep, DEADLOCK, Rule::Lock),
    ("WARNING: SOFTIRQ-safe ->", Lockdep, DEADLOCK, Rule::Lock),
    ("WARNING: inconsistent lock state", Lockdep, "inconsistent lock state", Rule::Lock),
    ("WARNING: suspicious RCU usage", Lockdep, "WARNING: suspicious RCU usage", Rule::Trace),
    ("WARNING: bad unlock balance detected", Lockdep, "WARNING: bad unlock balance", Rule::Trace),
    ("WARNING: lock held when returning to user space", Lockdep, "WARNING: lock held when returning to user space", Rule::Lock),
    ("WARNING: held lock freed", Lockdep, "WARNING: held lock freed", Rule::Trace),
    ("BUG: held lock freed", Lockdep, "WARNING: held lock freed", Rule::Trace),
    ("unchecked MSR access error", Warning, "unchecked MSR access error", Rule::Trace),
    ("PANIC: double fault", Oops, "double fault", Rule::Rip),
];

/// Exceptions; since 6.10 with `Oops: ` before them, and always after a BUG of their own.
const EXCEPTIONS: &[&str] = &[
    "general protection fault",
    "divide error",
    "invalid opcode",
    "stack segment",
    "double fault",
    "int3",
    "control protection",
    "alignment check",
];

/// The crash that begins with this kernel message, given the lines before it.
pub fn start(message: &str, before: &[String]) -> Option<Start> {
    let message = ["watchdog: ", "NMI watchdog: ", "rcu: ", "traps: "]
        .iter()
        .fold(message.trim_start(), |m, p| m.strip_prefix(p).unwrap_or(m));
    let header = HEADERS.iter().find(|row| message.starts_with(row.0));
    if let Some((_, kind, head, rule)) = header {
        return Some(found(*kind, head, *rule));
    }
    exception(message)
        .or_else(|| sanitizer(message))
        .or_else(|| warning(message, before))
        .or_else(|| stall(message))
        .or_else(|| file_system(message))
        .or_else(|| other_bug(message))
}

fn found(kind: CrashKind, head: &str, rule: Rule) -> Start {
    Start {
        kind,
        head: head.to_owned(),
        rule,
        title: (rule == Rule::Whole).then(|| head.to_owned()),
        secondary: false,
    }
}

fn whole(kind: CrashKind, title: String) -> Start {
    found(kind, &cut(title), Rule::Whole)
}

/// A title whose function the header names, unless that is only a helper.
fn named(kind: CrashKind, head: &str, site: &str, rule: Rule) -> Start {
    match function(site).filter(|f| !is_helper(f)) {
        Some(f) => Start {
            title: Some(format!("{head} in {f}")),
            ..found(kind, head, rule)
        },
        None => found(kind, head, rule),
    }
}

fn exception(message: &str) -> Option<Start> {
    let after_oops = message.strip_prefix("Oops: ");
    let text = after_oops.unwrap_or(message);
    let name = EXCEPTIONS.iter().find(|name| {
        text.strip_prefix(**name)
            .is_some_and(|rest| rest.starts_with([':', ',']))
    });
    match name {
        Some(name) => Some(Start {
            secondary: true,
            ..found(Oops, name, Rule::Rip)
        }),
        None => after_oops.map(|_| Start {
            secondary: true,
            ..found(Oops, "Oops", Rule::Rip)
        }),
    }
}

fn sanitizer(message: &str) -> Option<Start> {
    if let Some(rest) = message.strip_prefix("UBSAN: ") {
        let what = rest.split_once(" in ").map_or(rest, |(what, _)| what);
        return Some(found(Other, &cut(format!("UBSAN: {what}")), Rule::Trace));
    }
    let report = message.strip_prefix("BUG: ")?;
    let name = ["KASAN", "KCSAN", "KMSAN", "KFENCE"]
        .into_iter()
        .find(|n| report.strip_prefix(n).is_some_and(|r| r.starts_with(": ")))?;
    let (what, site) = report.split_once(" in ").unwrap_or((report, ""));
    let head = cut(what.to_owned());
    if name == "KCSAN" {
        let (a, b) = site.split_once(" / ").unwrap_or((site, ""));
        let sites: Vec<String> = [a, b]
            .iter()
            .filter_map(|s| symbol(s.split_whitespace().next()?))
            .collect();
        return Some(whole(Other, format!("{head} in {}", sites.join(" / "))));
    }
    let kind = if name == "KMSAN" { Other } else { Kasan };
    if name != "KASAN" {
        return Some(named(kind, &head, site, Rule::Trace));
    }
    Some(match function(site).filter(|f| !is_helper(f)) {
        Some(f) => found(kind, &format!("{head} in {f}"), Rule::AccessIn),
        None => found(kind, &head, Rule::Access),
    })
}

/// `WARNING: CPU: 0 PID: 1 at file:line function+…`, or since 6.19 `WARNING: file:line at function+…`.
fn warning(message: &str, before: &[String]) -> Option<Start> {
    let rest = message.strip_prefix("WARNING: ")?;
    let (left, right) = rest.split_once(" at ")?;
    let site = match left.starts_with("CPU: ") {
        true => right.split_once(' ').map_or("", |(_, site)| site),
        false if left.contains(':') && !left.contains(' ') => right,
        false => return None,
    };
    let since_cut = before
        .iter()
        .rev()
        .take_while(|l| !l.contains("[ cut here ]"));
    let head = since_cut
        .filter_map(|line| {
            [("refcount_t:", "refcount"), ("ODEBUG:", "ODEBUG")]
                .into_iter()
                .find(|(mark, _)| line.contains(mark))
        })
        .map(|(_, name)| format!("WARNING: {name} bug"))
        .next()
        .unwrap_or_else(|| "WARNING".to_owned());
    Some(named(Warning, &head, site, Rule::Trace))
}

fn stall(message: &str) -> Option<Start> {
    let rest = message.strip_prefix("INFO: ")?;
    let hung = rest.contains(" blocked for more than ") || rest.contains(" blocked in I/O wait ");
    if rest.starts_with("task ") && hung {
        return Some(found(HungTask, "INFO: task hung", Rule::Sleeper));
    }
    let rcu = rest.starts_with("rcu") && rest.contains("detected") && rest.contains("stall");
    rcu.then(|| found(Stall, "INFO: rcu detected stall", Rule::Rip))
}

/// What file systems say when they lost track; only the kinds that are a kernel bug.
fn file_system(message: &str) -> Option<Start> {
    if message.starts_with("VFS: Busy inodes after unmount") {
        let kind = message
            .rsplit_once('(')
            .and_then(|(_, k)| k.split_once(')'))
            .map(|(k, _)| k)
            .filter(|k| {
                !k.is_empty() && k.len() <= 20 && k.bytes().all(|b| b.is_ascii_alphanumeric())
            });
        let title = "VFS: Busy inodes after unmount";
        return Some(whole(
            Vfs,
            kind.map_or_else(|| title.to_owned(), |k| format!("{title} ({k})")),
        ));
    }
    if message.starts_with("BTRFS")
        && let Some((_, error)) = message.split_once("Transaction aborted (error ")
    {
        let number: String = error.chars().take_while(|c| *c != ')').take(8).collect();
        return Some(whole(
            Warning,
            format!("BTRFS: Transaction aborted (error {number})"),
        ));
    }
    None
}

fn other_bug(message: &str) -> Option<Start> {
    if message.starts_with("kernel BUG at ") {
        return Some(found(Bug, "kernel BUG", Rule::Rip));
    }
    if message.starts_with("BUG: ") {
        return Some(whole(Bug, numbers(message)));
    }
    // The slab allocator: `BUG name (Tainted: …): what`.
    let rest = message.strip_prefix("BUG ")?;
    let (cache, what) = rest.split_once("): ")?;
    let cache = cache.split_once(' ').map_or(cache, |(name, _)| name);
    let what = match what.contains(cache) {
        true => what.to_owned(),
        false => format!("{what} ({cache})"),
    };
    Some(whole(Bug, format!("BUG: {}", addresses(&what))))
}

/// The crash of `Kernel panic - not syncing: what`.
pub fn panic(what: &str) -> Start {
    let what = what.split_once(" exitcode=").map_or(what, |(w, _)| w);
    whole(Panic, format!("kernel panic: {}", numbers(what)))
}

/// Whether a panic only follows from the crash before it.
pub fn is_consequence(what: &str) -> bool {
    [
        "Fatal exception",
        "Fatal hardware error",
        "hung_task: blocked tasks",
        "softlockup: hung tasks",
        "Hard LOCKUP",
        "RCU Stall",
        "Attempted to kill init! exitcode=0x0000000b",
        "Attempted to kill init! exitcode=0x00000009",
    ]
    .iter()
    .any(|begin| what.starts_with(begin))
        || what.contains("panic_on_warn set")
}

/// `Read` or `Write` of a KASAN report.
pub fn access(message: &str) -> Option<&'static str> {
    ["Read", "Write"]
        .into_iter()
        .find(|a| {
            message
                .strip_prefix(a)
                .is_some_and(|r| r.starts_with(" of size "))
        })
        .or_else(|| message.starts_with("Free of addr").then_some("Free"))
}

/// The function of `RIP: 0010:function+0x1/0x2`; none for user space and helpers.
pub fn rip(message: &str) -> Option<String> {
    let site = message.strip_prefix("RIP: 0010:")?;
    function(site).filter(|f| !is_helper(f))
}

/// The function of a reliable line of a call trace that is not a helper.
pub fn frame(message: &str) -> Option<String> {
    function(message).filter(|f| !is_helper(f))
}

/// The function of a lock's `, at: function+0x1/0x2`.
pub fn lock_site(message: &str) -> Option<String> {
    let (_, site) = message.split_once(", at: ")?;
    function(site)
}

/// The name in `function.part.0+0x12/0x34 [module]`, without compiler suffixes.
fn function(site: &str) -> Option<String> {
    let site = match site.strip_prefix("[<") {
        Some(old) => old.split_once("] ").map_or(site, |(_, rest)| rest),
        None => site,
    };
    let (name, offset) = site.split_whitespace().next()?.split_once("+0x")?;
    offset.contains('/').then(|| symbol(name)).flatten()
}

/// A C identifier of sane length, without compiler suffixes.
fn symbol(name: &str) -> Option<String> {
    let name = name.split_once('.').map_or(name, |(name, _)| name);
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let ok = name.len() <= 100 && name.bytes().all(word);
    (ok && name.starts_with(|c: char| !c.is_ascii_digit())).then(|| name.to_owned())
}

/// Functions that report, allocate, copy or lock for the one at fault.
fn is_helper(name: &str) -> bool {
    const BEGIN: &[&str] = &[
        "__asan_",
        "__kasan_",
        "__kcsan_",
        "__msan_",
        "__ubsan_",
        "__list_add_valid",
        "__list_del_entry_valid",
        "__might_",
        "__warn",
        "_raw_",
        "__raw_spin_",
        "asm_exc_",
        "asm_sysvec_",
        "check_preemption_disabled",
        "debug_",
        "do_raw_",
        "dump_stack",
        "exc_",
        "kasan_",
        "kcsan_",
        "kmsan_",
        "list_del",
        "lockdep_",
        "nmi_",
        "print_",
        "queued_spin_",
        "refcount_",
        "report_bug",
        "show_",
        "spin_bug",
        "ubsan_",
        "warn_slowpath",
        "watchdog_",
        "arch_trigger_",
        "trigger_",
        "rcu_dump_cpu_stacks",
        "rcu_check_gp_",
        "rcu_sched_clock_irq",
        "update_process_times",
        "tick_",
        "hrtimer_",
        "__hrtimer_",
        "sysvec_",
        "__sysvec_",
        "native_write_msr",
        "native_read_msr",
        "do_error_trap",
    ];
    const EXACT: &[&str] = &[
        "__die",
        "__schedule_bug",
        "__schedule",
        "die",
        "dump_page",
        "fortify_panic",
        "handle_bug",
        "__fortify_panic",
        "kfree",
        "kmem_cache_free",
        "lock_acquire",
        "__lock_acquire",
        "lock_release",
        "memcmp",
        "memcpy",
        "memmove",
        "memset",
        "memcpy_orig",
        "schedule",
        "panic",
        "page_fault_oops",
        "rep_movs_alternative",
        "strcmp",
        "strlen",
        "__memcpy",
        "__memset",
        "preempt_schedule",
        "preempt_schedule_common",
    ];
    BEGIN.iter().any(|begin| name.starts_with(begin)) || EXACT.contains(&name)
}

/// Functions in which a task merely waits for what it asked for.
pub fn is_wait(name: &str) -> bool {
    const BEGIN: &[&str] = &[
        "__down_",
        "__mutex_",
        "__wait_",
        "bit_wait",
        "context_switch",
        "do_wait_for_",
        "down_read",
        "down_write",
        "io_schedule",
        "mutex_lock",
        "out_of_line_wait_",
        "preempt_schedule",
        "rwsem_",
        "schedule",
        "wait_for_",
        "wait_on_",
        "folio_wait_",
        "kthread_stop",
        "__rwsem_",
        "percpu_rwsem_",
        "__percpu_rwsem_",
    ];
    BEGIN.iter().any(|begin| name.starts_with(begin))
}

/// Replaces addresses by `ADDR`.
fn addresses(text: &str) -> String {
    map_words(text, |word| {
        let hex = word.strip_prefix("0x").unwrap_or(word);
        let is_hex = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
        (is_hex && (word.len() != hex.len() || hex.len() >= 12)).then_some("ADDR")
    })
}

/// Replaces addresses by `ADDR` and numbers by `NUM`.
fn numbers(text: &str) -> String {
    map_words(&addresses(text), |word| {
        word.bytes().all(|b| b.is_ascii_digit()).then_some("NUM")
    })
}

/// Replaces whole words; everything else stays as it is.
fn map_words(text: &str, to: impl Fn(&str) -> Option<&'static str>) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut rest = text;
    while let Some(begin) = rest.find(is_word) {
        let (gap, tail) = rest.split_at(begin);
        let end = tail.find(|c| !is_word(c)).unwrap_or(tail.len());
        let (word, tail) = tail.split_at(end);
        out.push_str(gap);
        out.push_str(to(word).unwrap_or(word));
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Cuts a title to its bound and drops what no title should hold.
fn cut(title: String) -> String {
    title
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(TITLE)
        .collect()
}
