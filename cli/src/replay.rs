//! `replay`: a recorded run once more on this machine, compared byte for byte.
//!
//! Owns the comparison and the instructions for people who do it by hand. Must
//! not know QEMU: the recording holds the arguments, the worker runs them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use firstbad_api::artefact::{INITRAMFS_BASE, INITRAMFS_RUN};
use firstbad_api::attempt::Attempt;
use firstbad_api::limits::ARTEFACT_BYTES;
use firstbad_api::observation::TestObservation;
use firstbad_api::qemu::{self, IMAGE, INITRAMFS};
use firstbad_worker::vm::{self, Recorded, RunResult};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::args::{Common, Mode, ReplayArgs};
use crate::client::{self, Client};
use crate::fail::{Done, Fail};
use crate::run_suite::{Place, describe, machine};
use crate::text::line;

/// The replay was the recording, byte for byte.
const IDENTICAL: u8 = 0;
/// It was not.
const DIFFERENT: u8 = 1;
/// Characters shown of a line that differs.
const SHOWN: usize = 300;

/// A recorded run as the server knows it.
struct Recording {
    id: i64,
    suite: String,
    seen: TestObservation,
    /// Hashes of the initramfs' archives, in order.
    initramfs: [String; 2],
    /// Hash of `results.json`.
    results: String,
}

pub async fn run(common: &Common, args: &ReplayArgs) -> Done {
    let client = Client::new(common, Some(&args.attempt))?;
    let id = client::id(&args.attempt, "attempts")?;
    let recording = Recording::of(client.get(&format!("/api/v1/attempts/{id}")).await?)?;
    if args.print {
        print!("{}", by_hand(&recording, &client));
        return Ok(IDENTICAL);
    }
    let place = Place::new(args.dir.as_deref())?;
    let image = fetch(&client, &recording.seen.run.image_sha256, &place.dir).await?;
    let mut parts = Vec::new();
    for sha256 in &recording.initramfs {
        parts.push(fetch(&client, sha256, &place.dir).await?);
    }
    let machine = machine(args.guest_dir.as_deref(), &place.dir, Mode::Exact).await?;
    let recorded = Recorded {
        run: &recording.seen.run,
        image: &image,
        initramfs: &parts,
        deadline: Duration::from_secs(args.deadline),
        gdb: args.gdb,
    };
    if args.gdb {
        eprint!("{}", how_to_debug(&vm::gdb_socket(&place.dir)));
    }
    let never = CancellationToken::new();
    let again = vm::replay(&machine, &recorded, &place.dir, &never)
        .await
        .map_err(|e| Fail::Infrastructure(e.to_string()))?;
    compare(&client, &recording, &again).await
}

impl Recording {
    fn of(attempt: Attempt) -> Result<Recording, Fail> {
        let id = attempt.id;
        let absent = |what: &str| Fail::Data(format!("attempt {id} {what}"));
        let seen = attempt
            .observation
            .filter(|_| attempt.kind == "test")
            .ok_or_else(|| absent("is no finished test"))?;
        let seen: TestObservation = serde_json::from_value(seen)
            .map_err(|e| absent(&format!("has an observation of another version: {e}")))?;
        let artefact = |name: &str| {
            let found = attempt.artefacts.iter().find(|a| a.name == name);
            found
                .map(|a| a.sha256.clone())
                .ok_or_else(|| absent(&format!("has no artefact {name}, so it cannot be replayed")))
        };
        Ok(Recording {
            id,
            suite: attempt.suite.clone().unwrap_or_default(),
            initramfs: [artefact(INITRAMFS_BASE)?, artefact(INITRAMFS_RUN)?],
            results: artefact("results.json")?,
            seen,
        })
    }
}

/// Downloads a file into `dir`; what is not what was asked for is refused.
async fn fetch(client: &Client, sha256: &str, dir: &Path) -> Result<PathBuf, Fail> {
    let bytes = client.bytes(&address(sha256), ARTEFACT_BYTES).await?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != sha256 {
        return Err(Fail::Data(format!(
            "the server sent a file with the SHA-256 {found} instead of {}",
            line(sha256)
        )));
    }
    let path = dir.join(&found);
    std::fs::write(&path, bytes)
        .map_err(|e| Fail::Infrastructure(format!("cannot write {}: {e}", path.display())))?;
    Ok(path)
}

fn address(sha256: &str) -> String {
    format!("/api/v1/artefacts/{}", client::segment(sha256))
}

/// Says "identical", or shows the first difference.
async fn compare(client: &Client, recording: &Recording, again: &RunResult) -> Done {
    let read = |e: std::io::Error| Fail::Infrastructure(format!("cannot read the console: {e}"));
    let results = serde_json::to_vec_pretty(&again.observation)
        .map_err(|e| Fail::Infrastructure(format!("the results: {e}")))?;
    let console = again.observation.console_sha256 == recording.seen.console_sha256;
    let same = console && hex::encode(Sha256::digest(&results)) == recording.results;
    print!("{}", describe(&recording.suite, &again.observation));
    if same {
        println!(
            "identical: console and results are those of attempt {}",
            recording.id
        );
        return Ok(IDENTICAL);
    }
    println!("DIFFERENT from attempt {}", recording.id);
    let stored = address(&recording.results);
    let stored = client.bytes(&stored, ARTEFACT_BYTES).await?;
    show("results.json", &stored, &results);
    if !console {
        let stored = client.whole_log(recording.id, "console").await?;
        show(
            "console",
            &stored,
            &std::fs::read(&again.console).map_err(read)?,
        );
    }
    Ok(DIFFERENT)
}

fn show(what: &str, stored: &[u8], now: &[u8]) {
    match difference(stored, now) {
        Some((number, stored, now)) => {
            println!("{what}, line {number}:\n  recorded: {stored}\n  now:      {now}");
        }
        None => println!("{what}: the stored bytes are the same"),
    }
}

/// The first line that differs: its number, as recorded, as it is now.
fn difference(stored: &[u8], now: &[u8]) -> Option<(usize, String, String)> {
    let split = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect()
    };
    let (stored, now) = (split(stored), split(now));
    let at = (0..stored.len().max(now.len())).find(|n| stored.get(*n) != now.get(*n))?;
    let text = |lines: &[Vec<u8>]| match lines.get(at) {
        Some(bytes) => line(&String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)])),
        None => "(the end)".to_owned(),
    };
    Some((at + 1, text(&stored), text(&now)))
}

/// The same for a person without this program: a shell script.
fn by_hand(recording: &Recording, client: &Client) -> String {
    let run = &recording.seen.run;
    let get = |sha256: &str, to: &str| {
        format!("curl -sSf {} {to}\n", quote(&client.page(&address(sha256))))
    };
    format!(
        "# Attempt {}: {}, seed {}; recorded with {}.\n\
         # In an empty directory:\nset -e\n{}{}{}{}",
        recording.id,
        line(&recording.suite),
        run.seed,
        line(&run.qemu_version),
        get(&run.image_sha256, &format!("-o {IMAGE}")),
        get(&recording.initramfs[0], &format!(">{INITRAMFS}")),
        get(&recording.initramfs[1], &format!(">>{INITRAMFS}")),
        with_qemu_alone(&recording.seen, IMAGE, INITRAMFS),
    )
}

/// A shell's lines that run it again with these files and end well if it was the same.
pub fn with_qemu_alone(seen: &TestObservation, image: &str, initramfs: &str) -> String {
    let run = &seen.run;
    let word = |word: &String| match word.as_str() {
        IMAGE => image.to_owned(),
        INITRAMFS => initramfs.to_owned(),
        other => quote(&line(other)),
    };
    let words: Vec<String> = run.argv.iter().map(word).collect();
    format!(
        "printf '%s  %s\\n' {} {image} {} {initramfs} | sha256sum -c\n\
         {}\n\
         # The file `console` is the recorded one, byte for byte, if this says OK:\n\
         echo '{}  console' | sha256sum -c\n",
        quote(&line(&run.image_sha256)),
        quote(&line(&run.initramfs_sha256)),
        qemu::shell(&run.argv, &words),
        line(&seen.console_sha256).replace('\'', ""),
    )
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

fn how_to_debug(socket: &Path) -> String {
    format!(
        "The machine waits before its first instruction. In another terminal:\n  \
         gdb vmlinux -ex 'target remote {}'\n\
         then set breakpoints (hbreak FUNCTION) and type: continue\n\
         (vmlinux: build the attempt's revision with its artefact `config`; without it gdb \
         still shows registers and memory. Time in the machine stands still while it is \
         stopped, so the run stays the recorded one.)\n",
        socket.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_shown() {
        assert_eq!(difference(b"a\nb", b"a\nb"), None);
        assert_eq!(
            difference(b"a\nb\nc", b"a\nx\nc"),
            Some((2, "b".into(), "x".into()))
        );
        assert_eq!(
            difference(b"a", b"a\n\x1b"),
            Some((2, "(the end)".into(), "\u{fffd}".into()))
        );
    }

    #[test]
    fn words_stay_words_in_a_shell() {
        assert_eq!(quote("-M"), "-M");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("$(x)'"), "'$(x)'\\'''");
        assert_eq!(quote(""), "''");
    }
}
