//! Every limit and constant of the system, each with its unit.
//!
//! The server sends the ones a worker needs in [`Timing`], so one file (and, in
//! drills, one environment variable) scales both sides.

use serde::{Deserialize, Serialize};

/// Most that a part of a job's budget can be, builds or minutes.
pub const BUDGET_MOST: u32 = 1_000_000;
/// Longest that a program is let wait for the end of a job in one request, seconds.
pub const WAIT_MOST_S: u64 = 300;
/// Requests that wait at once for the ends of jobs.
pub const WAITERS: usize = 500;
/// Of these, at most so many of those who did not sign in.
pub const WAITING_STRANGERS: usize = WAITERS / 2;
/// Callbacks of one job that one owner asks for.
pub const CALLBACKS_OF_OWNER: i64 = 3;
/// Callbacks of one job in all.
pub const CALLBACKS_OF_JOB: i64 = 20;

/// Times of the lease protocol, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Timing {
    /// Interval between two renewals.
    pub beat_ms: u64,
    /// Time a lease lives without renewal.
    pub ttl_ms: u64,
    /// The worker stops this long before the lease ends.
    pub self_fence_ms: u64,
    /// Interval between two scans for expired leases.
    pub scan_ms: u64,
    /// Longest time a lease request waits for work.
    pub long_poll_ms: u64,
    /// Planner tick when nothing woke it.
    pub tick_ms: u64,
}

impl Timing {
    /// Production values.
    pub const DEFAULT: Timing = Timing {
        beat_ms: 10_000,
        ttl_ms: 60_000,
        self_fence_ms: 15_000,
        scan_ms: 5_000,
        long_poll_ms: 25_000,
        tick_ms: 1_000,
    };
    /// Values for drills and tests: thirty times faster.
    pub const DRILL: Timing = Timing {
        beat_ms: 300,
        ttl_ms: 2_000,
        self_fence_ms: 500,
        scan_ms: 200,
        long_poll_ms: 1_000,
        tick_ms: 100,
    };
}

/// A session that is not used ends, seconds.
pub const SESSION_IDLE_S: i64 = 12 * 3600;
/// Longest session, seconds.
pub const SESSION_S: i64 = 7 * 24 * 3600;
/// Failed sign-ins in a minute, of one name from one address; more are refused unheard.
pub const SIGN_INS_OF_NAME: usize = 5;
/// The same of all names from one address.
pub const SIGN_INS_OF_ADDRESS: usize = 30;
/// Requests at once that cost some work, of one address that nobody signed in from.
pub const COSTLY_OF_ADDRESS: usize = 4;
/// The same of all such addresses.
pub const COSTLY_AT_ONCE: usize = 16;
/// More of them wait so long before they are refused, seconds.
pub const COSTLY_WAIT_S: u64 = 5;
/// A sign-in with an identity provider comes back within, seconds.
pub const SIGN_IN_S: i64 = 600;
/// An identity provider answers within, seconds.
pub const OIDC_TIMEOUT_S: u64 = 10;
/// An address that a user names, bytes.
pub const URL_BYTES: usize = 2048;
/// A receiver of a webhook answers within, seconds.
pub const WEBHOOK_TIMEOUT_S: u64 = 20;
/// Waits before the tries of a delivery, seconds: the schedule of Standard Webhooks.
pub const WEBHOOK_WAITS_S: [u64; 10] = [
    0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400,
];
/// Deliveries made at once.
pub const WEBHOOKS_AT_ONCE: usize = 16;
/// A push that a service tells of, bytes.
pub const HOOK_BYTES: usize = 8 << 20;
/// A form posted by a page, bytes.
pub const FORM_BYTES: usize = 1 << 20;
/// The same with a patch series, a configuration or a test, written as a browser writes them.
pub const LONG_FORM_BYTES: usize = 32 << 20;
/// A password, characters: least and most.
pub const PASSWORD_CHARS: (usize, usize) = (10, 200);
/// JSON request body, bytes.
pub const JSON_BODY_BYTES: usize = 1 << 20;
/// One log or artefact chunk, bytes.
pub const CHUNK_BYTES: usize = 8 << 20;
/// Head of a log that is kept, bytes.
pub const LOG_HEAD_BYTES: u64 = 64 << 20;
/// Last bytes of a log that are kept when there are more.
pub const LOG_TAIL_BYTES: u64 = 1 << 20;
/// A whole log: head, a line that says what is missing, tail.
pub const LOG_BYTES: u64 = LOG_HEAD_BYTES + 4096 + LOG_TAIL_BYTES;
/// One artefact, bytes.
pub const ARTEFACT_BYTES: u64 = 512 << 20;
/// Exact mode: an instruction takes 2 to the power of at most this ns of guest time. With 8 a tick of
/// 250 Hz comes every 15,625 instructions; with 10 the tests' kernel did not boot in 20 minutes.
pub const SHIFT_MAX: u8 = 8;
/// Selftests of one build, bytes in all: the guest holds them in memory.
pub const KSELFTEST_BYTES: u64 = 128 << 20;
/// Tests of fstests that one job runs.
pub const FSTESTS_CASES: usize = 100;
/// Time for each of them beyond [`TEST_DEADLINE_S`], wall seconds.
pub const FSTESTS_CASE_S: u64 = 120;
/// fstests as the guest gets it, bytes in all.
pub const FSTESTS_BYTES: u64 = 128 << 20;
/// Patches of one job: count.
pub const PATCH_COUNT: usize = 32;
/// Patches of one job: bytes in all.
pub const PATCH_BYTES: usize = 10 << 20;
/// Mails of one patch series.
pub const SERIES_MAILS: usize = 256;
/// All configurations between two of them, written out, bytes.
pub const CONFIGS_BYTES: usize = 1 << 30;
/// Kernel configuration supplied by a user, bytes.
pub const CONFIG_BYTES: usize = 512 << 10;
/// Script or C source that a user brings, bytes.
pub const CUSTOM_TEXT_BYTES: usize = 256 << 10;
/// Static program that a user brings, bytes.
pub const CUSTOM_PROGRAM_BYTES: usize = 2 << 20;
/// Guest memory of a user's own test, MiB: least and most.
pub const CUSTOM_MEMORY_MIB: (u32, u32) = (256, 4096);
/// Guest time of a user's own test, seconds, most: a busy guest in exact mode takes several times
/// as long by the clock, and must end before [`TEST_DEADLINE_S`].
pub const CUSTOM_TIMEOUT_S: u64 = 300;
/// A pattern on a test's lines, bytes.
pub const PATTERN_BYTES: usize = 1000;
/// A compiled pattern, bytes of memory.
pub const PATTERN_MEMORY: usize = 1 << 20;
/// Time to compile a user's C source, wall seconds.
pub const COMPILE_DEADLINE_S: u64 = 120;
/// People and lists that a copy of a report goes to.
pub const REPORT_COPIES: usize = 60;
/// Files of a commit of which it is asked who looks after them.
pub const REPORT_FILES: usize = 200;
/// A MAINTAINERS file that is read, bytes.
pub const MAINTAINERS_BYTES: usize = 4 << 20;
/// A kernel's Makefile that is read, bytes.
pub const MAKEFILE_BYTES: usize = 1 << 20;
/// A `mailto:` link, bytes: browsers and mail programs cut longer ones.
pub const MAILTO_BYTES: usize = 7_500;
/// Infrastructure failures of one attempt before it is held.
pub const INFRA_RETRIES: i32 = 3;
/// Lost leases of one attempt before it is held.
pub const LEASE_LOSSES: i32 = 3;
/// Of so many exact runs one is run again, to see whether it is the same.
pub const REPEATED_ONE_IN: u32 = 32;
/// Revisions in one range.
pub const RANGE_REVISIONS: usize = 200_000;
/// The newest commits of a tree that are looked through for changes known from elsewhere.
pub const CHANGES_LOOKED_THROUGH: usize = 100_000;
/// Of these, so many in one pass.
pub const CHANGES_AT_ONCE: usize = 1_000;
/// Tries at which an archive has to be without a release before it is skipped.
pub const RELEASE_FETCHES: i32 = 3;
/// Time before a release that could not be fetched is tried again, after each try, seconds.
pub const RELEASE_PAUSES_S: [u64; 4] = [30, 120, 600, 1800];
/// One frame between guest and worker, bytes.
pub const FRAME_BYTES: usize = 64 << 10;
/// Time for a build attempt, seconds: a distribution's configuration on two busy processors.
pub const BUILD_DEADLINE_S: u64 = 3 * 60 * 60;
/// Time from power-on to the guest's hello, wall seconds.
pub const BOOT_DEADLINE_S: u64 = 5 * 60;
/// Time for a test attempt unless the suite says otherwise, wall seconds.
pub const TEST_DEADLINE_S: u64 = 20 * 60;
/// A running guest without a byte on either port this long is a hang, wall seconds.
pub const SILENCE_S: u64 = 120;
/// Free space below which a worker takes no lease, bytes.
pub const FREE_BYTES_MIN: u64 = 2 << 30;
