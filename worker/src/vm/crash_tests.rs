use super::*;

/// Titles found in console text whose lines have no time stamp yet.
fn titles(text: &str) -> Vec<String> {
    crashes(text).into_iter().map(|c| c.title).collect()
}

fn crashes(text: &str) -> Vec<Crash> {
    let mut console = String::new();
    for (n, line) in text.trim_matches('\n').lines().enumerate() {
        console.push_str(&format!("[   12.{n:06}] {line}\r\n"));
    }
    let mut whole = Detector::default();
    whole.push(console.as_bytes());
    let whole = whole.finish();
    let mut chopped = Detector::default();
    for piece in console.as_bytes().chunks(5) {
        chopped.push(piece);
    }
    assert_eq!(chopped.finish(), whole, "chopping must not matter");
    whole
}

/// Each excerpt with the kind and the title it must get.
fn check(cases: &[(CrashKind, &str, &str)]) {
    for (kind, title, text) in cases {
        let found = crashes(text);
        assert_eq!(found.len(), 1, "{title}: {found:#?}");
        assert_eq!((found[0].kind, found[0].title.as_str()), (*kind, *title));
    }
}

const NULL_DEREF: &str = "
BUG: kernel NULL pointer dereference, address: 0000000000000018
#PF: supervisor read access in kernel mode
#PF: error_code(0x0000) - not-present page
PGD 0 P4D 0
Oops: 0000 [#1] PREEMPT SMP NOPTI
CPU: 1 PID: 214 Comm: umount Not tainted 6.12.9 #1
RIP: 0010:btrfs_evict_inode+0x12f/0x4a0
Code: 48 8b 45 10 48 85 c0 74 0a
RSP: 0018:ffffc900004e3d68 EFLAGS: 00010246
Call Trace:
 <TASK>
 ? __die+0x23/0x70
 evict+0xd1/0x1a0
 </TASK>
---[ end trace 0000000000000000 ]---
Kernel panic - not syncing: Fatal exception";

#[test]
fn memory_faults() {
    check(&[
        (
            CrashKind::Oops,
            "BUG: unable to handle kernel NULL pointer dereference in btrfs_evict_inode",
            NULL_DEREF,
        ),
        (
            CrashKind::Oops,
            "BUG: unable to handle kernel paging request in ovl_lookup",
            "
BUG: unable to handle page fault for address: ffffffffdeadbeef
#PF: supervisor write access in kernel mode
Oops: Oops: 0002 [#1] SMP NOPTI
RIP: 0010:ovl_lookup.cold+0x7/0x3e [overlay]
Call Trace:
 <TASK>
 __lookup_slow+0x7b/0x130
---[ end trace 0000000000000000 ]---",
        ),
        (
            CrashKind::Oops,
            "general protection fault in list_lru_add",
            "
general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1] PREEMPT SMP
RIP: 0010:list_lru_add+0x42/0x90
---[ end trace 0000000000000000 ]---",
        ),
        (
            CrashKind::Oops,
            "general protection fault in d_walk",
            "
Oops: general protection fault, probably for non-canonical address 0xdffffc0000000001: 0000 [#1] SMP KASAN NOPTI
KASAN: null-ptr-deref in range [0x0000000000000008-0x000000000000000f]
RIP: 0010:d_walk+0x12/0x90
---[ end trace 0000000000000000 ]---",
        ),
        (
            CrashKind::Oops,
            "divide error in bdi_ratio",
            "
divide error: 0000 [#1] PREEMPT SMP
RIP: 0010:bdi_ratio+0x1/0x90
---[ end trace 0000000000000000 ]---",
        ),
    ]);
}

#[test]
fn a_call_to_nowhere_is_named_by_its_caller() {
    check(&[(
        CrashKind::Oops,
        "BUG: unable to handle kernel NULL pointer dereference in vfs_fsync_range",
        "
BUG: kernel NULL pointer dereference, address: 0000000000000000
Oops: 0010 [#1] PREEMPT SMP
RIP: 0010:0x0
Code: Unable to access opcode bytes at 0xffffffffffffffd6.
Call Trace:
 <TASK>
 ? show_regs+0x1/0x2
 vfs_fsync_range+0x4b/0xb0
 </TASK>",
    )]);
}

#[test]
fn bugs_and_warnings() {
    check(&[
        (
            CrashKind::Bug,
            "kernel BUG in btrfs_finish_ordered_io",
            "
------------[ cut here ]------------
kernel BUG at fs/btrfs/inode.c:3122!
Oops: invalid opcode: 0000 [#1] PREEMPT SMP NOPTI
CPU: 0 UID: 0 PID: 61 Comm: kworker/u8:3 Not tainted 6.12.9 #1
RIP: 0010:btrfs_finish_ordered_io.isra.0+0x9d/0xa0
---[ end trace 0000000000000000 ]---",
        ),
        (
            CrashKind::Bug,
            "BUG: sleeping function called from invalid context in do_user_addr_fault",
            "
BUG: sleeping function called from invalid context at kernel/locking/rwsem.c:1523
in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 142, name: fio
preempt_count: 1, expected: 0
Call Trace:
 <TASK>
 dump_stack_lvl+0x5d/0x80
 __might_resched.cold+0xd1/0x10f
 do_user_addr_fault+0x3a2/0x6b0
 exc_page_fault+0x64/0x140",
        ),
        (
            CrashKind::Bug,
            "BUG: scheduling while atomic in msleep",
            "
BUG: scheduling while atomic: sh/88/0x00000002
Call Trace:
 <TASK>
 dump_stack_lvl+0x5d/0x80
 __schedule_bug.cold+0x3e/0x4a
 __schedule+0x8e6/0xa20
 schedule+0x27/0xd0
 msleep+0x2c/0x40",
        ),
        (
            CrashKind::Warning,
            "WARNING in btrfs_put_block_group",
            "
------------[ cut here ]------------
WARNING: CPU: 0 PID: 97 at fs/btrfs/block-group.c:151 btrfs_put_block_group+0xe7/0xf0
Modules linked in:
RIP: 0010:btrfs_put_block_group+0xe7/0xf0
---[ end trace 0000000000000000 ]---",
        ),
        (
            CrashKind::Warning,
            "WARNING in close_ctree",
            "
------------[ cut here ]------------
WARNING: fs/btrfs/disk-io.c:4412 at close_ctree+0x11/0x20, CPU#1: umount/311
---[ end trace 0000000000000000 ]---",
        ),
        (
            CrashKind::Warning,
            "WARNING: refcount bug in put_cred_rcu",
            "
------------[ cut here ]------------
refcount_t: underflow; use-after-free.
WARNING: CPU: 1 PID: 14 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110
RIP: 0010:refcount_warn_saturate+0xba/0x110
Call Trace:
 <TASK>
 ? __warn+0x7f/0x120
 ? refcount_warn_saturate+0xba/0x110
 put_cred_rcu+0xa1/0xb0
---[ end trace 0000000000000000 ]---",
        ),
        (
            CrashKind::Bug,
            "BUG: Bad page state",
            "
BUG: Bad page state in process fio  pfn:10a2f3
page: refcount:0 mapcount:0 mapping:0000000000000000 index:0x1 pfn:0x10a2f3",
        ),
        (
            CrashKind::Bug,
            "BUG: Objects remaining in btrfs_inode on __kmem_cache_shutdown()",
            "
BUG btrfs_inode (Tainted: G        W         ): Objects remaining in btrfs_inode on __kmem_cache_shutdown()
-----------------------------------------------------------------------------",
        ),
        (
            CrashKind::Bug,
            "BUG: Poison overwritten (kmalloc-64)",
            "
BUG kmalloc-64 (Not tainted): Poison overwritten",
        ),
        (
            CrashKind::Bug,
            "BUG: Dentry ADDR{i=NUM,n=file}  still in use (NUM) [unmount of btrfs loop0]",
            "
BUG: Dentry ffff888004a1c3c0{i=257,n=file}  still in use (1) [unmount of btrfs loop0]",
        ),
        (
            CrashKind::Warning,
            "unchecked MSR access error in init_intel",
            "
unchecked MSR access error: WRMSR to 0x10a (tried to write 0x0000000000000069) at rIP: 0xffffffff8106 (native_write_msr+0x4/0x20)
Call Trace:
 <TASK>
 native_write_msr+0x4/0x20
 init_intel+0x12/0x30",
        ),
    ]);
}

#[test]
fn sanitizers() {
    check(&[
        (
            CrashKind::Kasan,
            "KASAN: slab-use-after-free Read in btrfs_get_alloc_profile",
            "
==================================================================
BUG: KASAN: slab-use-after-free in btrfs_get_alloc_profile+0x12c/0x140
Read of size 8 at addr ffff8880094d2c10 by task mount/102

CPU: 0 UID: 0 PID: 102 Comm: mount Not tainted 6.12.9 #3
Call Trace:
 <TASK>
 dump_stack_lvl+0x68/0xa0
 print_report+0xd0/0x620
 btrfs_reserve_extent+0x1c/0x30",
        ),
        (
            CrashKind::Kasan,
            "KASAN: slab-out-of-bounds Write in copy_folio_from_iter_atomic",
            "
BUG: KASAN: slab-out-of-bounds in memcpy+0x3c/0x60
Write of size 4096 at addr ffff888008b50000 by task fbtool/99
Call Trace:
 <TASK>
 dump_stack_lvl+0x68/0xa0
 kasan_report+0xda/0x110
 memcpy+0x3c/0x60
 copy_folio_from_iter_atomic+0x2b1/0x8d0",
        ),
        (
            CrashKind::Other,
            "KCSAN: data-race in inode_add_bytes / inode_get_bytes",
            "
BUG: KCSAN: data-race in inode_add_bytes / inode_get_bytes

write to 0xffff88800b1c5b28 of 8 bytes by task 120 on cpu 1:
 inode_add_bytes+0x30/0x70",
        ),
        (
            CrashKind::Other,
            "KMSAN: uninit-value in crc32c_le",
            "
BUG: KMSAN: uninit-value in crc32c_le+0x11/0x22
 crc32c_le+0x11/0x22",
        ),
        (
            CrashKind::Other,
            "UBSAN: array-index-out-of-bounds in btrfs_read_sys_array",
            "
------------[ cut here ]------------
UBSAN: array-index-out-of-bounds in fs/btrfs/volumes.c:7123:9
index 9 is out of range for type 'u8 [8]'
Call Trace:
 <TASK>
 dump_stack_lvl+0x5d/0x80
 ubsan_epilogue+0x5/0x2b
 __ubsan_handle_out_of_bounds.cold+0x46/0x4b
 btrfs_read_sys_array+0x1e2/0x210
---[ end trace ]---",
        ),
        (
            CrashKind::Kasan,
            "KFENCE: use-after-free read in ovl_free_fs",
            "
BUG: KFENCE: use-after-free read in ovl_free_fs+0x1a/0x90

Use-after-free read at 0x(____ptrval____) (in kfence-#42):
 ovl_free_fs+0x1a/0x90",
        ),
    ]);
}

#[test]
fn locks_and_stalls() {
    check(&[
        (
            CrashKind::HungTask,
            "INFO: task hung in btrfs_wait_ordered_extents",
            "
INFO: task btrfs-cleaner:91 blocked for more than 120 seconds.
      Not tainted 6.12.9 #1
\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.
task:btrfs-cleaner   state:D stack:0     pid:91    tgid:91    ppid:2
Call Trace:
 <TASK>
 __schedule+0x3f2/0xa20
 schedule+0x27/0xd0
 io_schedule+0x46/0x70
 wait_for_completion+0x8a/0x140
 btrfs_wait_ordered_extents+0x2a4/0x3d0",
        ),
        (
            CrashKind::Lockdep,
            "possible deadlock in btrfs_page_mkwrite",
            "
======================================================
WARNING: possible circular locking dependency detected
6.12.9 #2 Not tainted
------------------------------------------------------
fio/133 is trying to acquire lock:
ffff888006f3a2c8 (&ei->i_mmap_lock){++++}-{3:3}, at: btrfs_page_mkwrite+0x1fa/0x8c0

but task is already holding lock:
ffff888006f3a518 (sb_pagefaults){.+.+}-{0:0}, at: do_page_mkwrite+0x51/0x80",
        ),
        (
            CrashKind::Lockdep,
            "inconsistent lock state in fput",
            "
================================
WARNING: inconsistent lock state
6.12.9 #2 Not tainted
inconsistent {SOFTIRQ-ON-W} -> {IN-SOFTIRQ-W} usage.
swapper/0/0 [HC0[0]:SC1[1]:HE1:SE0] takes:
ffff888006f3a2c8 (&f->f_lock){+.?.}-{2:2}, at: fput+0x1a/0x80",
        ),
        (
            CrashKind::Lockdep,
            "WARNING: suspicious RCU usage in cgroup_css",
            "
=============================
WARNING: suspicious RCU usage
6.12.9 #2 Not tainted
-----------------------------
kernel/cgroup/cgroup.c:493 suspicious rcu_dereference_check() usage!
stack backtrace:
Call Trace:
 <TASK>
 dump_stack_lvl+0x68/0xa0
 lockdep_rcu_suspicious+0x154/0x1a0
 cgroup_css+0x91/0xa0",
        ),
        (
            CrashKind::Stall,
            "BUG: soft lockup in btrfs_search_slot",
            "
watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [btrfs-transacti:93]
Modules linked in:
RIP: 0010:btrfs_search_slot+0x8f3/0xd20
Call Trace:",
        ),
        (
            CrashKind::Stall,
            "INFO: rcu detected stall in shrink_dcache_parent",
            "
rcu: INFO: rcu_preempt self-detected stall on CPU
rcu: \t0-....: (20999 ticks this GP) idle=b5c4/1/0x4000000000000000 softirq=3021/3021 fqs=5249
RIP: 0010:_raw_spin_lock+0x13/0x20
Call Trace:
 <IRQ>
 ? rcu_dump_cpu_stacks+0xc3/0x100
 </IRQ>
 <TASK>
 _raw_spin_lock+0x13/0x20
 shrink_dcache_parent+0x3f/0x120",
        ),
        (
            CrashKind::Vfs,
            "VFS: Busy inodes after unmount (btrfs)",
            "
VFS: Busy inodes after unmount of loop0 (btrfs)",
        ),
        (
            CrashKind::Vfs,
            "VFS: Busy inodes after unmount",
            "
VFS: Busy inodes after unmount of sdb. Self-destruct in 5 seconds.  Have a nice day...",
        ),
        (
            CrashKind::Warning,
            "BTRFS: Transaction aborted (error -28)",
            "
BTRFS error (device loop0 state A): Transaction aborted (error -28)",
        ),
    ]);
}

#[test]
fn panics() {
    check(&[
        (
            CrashKind::Panic,
            "kernel panic: VFS: Unable to mount root fs on unknown-block(NUM,NUM)",
            "
Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
        ),
        (
            CrashKind::Panic,
            "kernel panic: Attempted to kill init!",
            "
Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
        ),
        (
            CrashKind::Panic,
            "kernel panic: sysrq triggered crash",
            "
sysrq: Trigger a crash
Kernel panic - not syncing: sysrq triggered crash
CPU: 0 UID: 0 PID: 1 Comm: sh Not tainted 6.12.9 #1
Call Trace:
 <TASK>
 dump_stack_lvl+0x5d/0x80
 panic+0x112/0x2d0
---[ end Kernel panic - not syncing: sysrq triggered crash ]---",
        ),
    ]);
}

#[test]
fn a_panic_after_an_oops_is_no_second_crash_but_is_known() {
    let mut d = Detector::default();
    for line in NULL_DEREF.trim().lines() {
        d.push(format!("[    1.000000][   T91] {line}\n").as_bytes());
    }
    assert!(d.panicked());
    assert_eq!(d.finish().len(), 1);
}

#[test]
fn only_the_kernels_own_lines_count() {
    let mut d = Detector::default();
    d.push(b"BUG: kernel NULL pointer dereference, address: 0\nKernel panic - not syncing: no\n");
    d.push(b"[test] WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2\n[ 1.x] BUG: Bad page state\n");
    assert!(!d.panicked());
    assert!(d.finish().is_empty());
}

#[test]
fn a_kernel_line_behind_an_unfinished_one_counts() {
    let mut d = Detector::default();
    d.push(b"writing [1/9] ... [    2.000000][   T91] BUG: Bad page state in process x\n");
    assert_eq!(d.finish()[0].title, "BUG: Bad page state");
}

#[test]
fn harmless_messages_are_no_crash() {
    let quiet = "
Linux version 6.12.9 (firstbad@firstbad) #1 SMP
WARNING: Deprecated option used
warning: `fio' uses 32-bit capabilities (legacy support in use)
BTRFS warning (device loop0): csum failed root 5 ino 257 off 0 csum 0x98f94189 expected csum 0x0 mirror 1
BTRFS error (device loop0): bdev /dev/loop1 errs: wr 0, rd 0, flush 0, corrupt 1, gen 0
Out of memory: Killed process 141 (tail) total-vm:10240kB, anon-rss:8192kB
memory: usage 32768kB, limit 32768kB, failcnt 41
Call Trace:
 <TASK>
 dump_stack_lvl+0x5d/0x80
 oom_kill_process+0x101/0x160
 ---[ end trace 0000000000000000 ]---
reboot: Power down";
    assert_eq!(titles(quiet), Vec::<String>::new());
}

#[test]
fn several_crashes_keep_their_order_and_their_place() {
    let console = "[    1.000000] ok\n\
         [    2.000000] WARNING: CPU: 0 PID: 1 at a.c:1 first+0x1/0x2\n\
         [    2.000001] ---[ end trace 0000000000000000 ]---\n\
         [    3.000000] kernel BUG at b.c:2!\n\
         [    3.000001] RIP: 0010:second+0x1/0x2\n\
         [    3.000002] ---[ end trace 0000000000000000 ]---\n\
         [    4.000000] WARNING: CPU: 0 PID: 1 at a.c:1 first+0x1/0x2\n";
    let mut d = Detector::default();
    d.push(console.as_bytes());
    let found = d.finish();
    let titles: Vec<&str> = found.iter().map(|c| c.title.as_str()).collect();
    assert_eq!(titles, ["WARNING in first", "kernel BUG in second"]);
    for crash in &found {
        let at = crash.offset as usize;
        let line = console[at..].lines().next().unwrap();
        assert!(crash.excerpt.contains(line), "{line}");
    }
    assert!(found[0].excerpt.starts_with("[    1.000000] ok\n"));
}

#[test]
fn a_flood_is_bounded() {
    let mut d = Detector::default();
    for n in 0..5_000 {
        d.push(format!("[    1.0{n:05}] BUG: Strange{n}x thing\n").as_bytes());
        d.push(&[b'x'; 3000]);
        d.push(b"\n");
    }
    let found = d.finish();
    assert_eq!(found.len(), CRASHES);
    assert!(found.iter().all(|c| c.excerpt.len() <= EXCERPT));
    assert!(found.iter().all(|c| c.title.len() <= 200));
}

#[test]
fn damaged_reports_do_no_harm() {
    let mut state = 1u32;
    for _ in 0..2_000 {
        let mut bytes: Vec<u8> = NULL_DEREF
            .trim()
            .lines()
            .flat_map(|line| format!("[    1.000000] {line}\n").into_bytes())
            .collect();
        for _ in 0..8 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = state as usize / 7 % bytes.len();
            bytes[at] = (state >> 24) as u8;
        }
        let mut d = Detector::default();
        d.push(&bytes);
        for crash in d.finish() {
            assert!(crash.title.len() <= 400 && !crash.title.contains('\n'));
        }
    }
}
