//! `log`: the bytes of a build log or a console, with `-f` until it ends.

use std::io::Write;
use std::time::Duration;

use firstbad_api::attempt::Attempt;
use rustix::termios;

use crate::args::{Common, LogArgs};
use crate::client::{self, Client};
use crate::fail::{Done, Fail};
use crate::text;

const LOOK: Duration = Duration::from_secs(1);

pub async fn run(common: &Common, args: &LogArgs) -> Done {
    let client = Client::new(common, Some(&args.attempt))?;
    let id = client::id(&args.attempt, "attempts")?;
    let name = match &args.name {
        Some(name) => name.clone(),
        None => own(&client.get(&format!("/api/v1/attempts/{id}")).await?),
    };
    let mut offset = 0;
    let mut out = Out::new();
    loop {
        let ask = async || client.log(id, &name, offset).await;
        let piece = if args.follow {
            client
                .patiently(ask, |s| eprintln!("firstbad: {s}"))
                .await?
        } else {
            ask().await?
        };
        offset += piece.bytes.len() as u64;
        if !out.write(&piece.bytes)? {
            return Ok(0);
        }
        if !piece.bytes.is_empty() && offset < piece.total {
            continue;
        }
        if !(args.follow && piece.live) {
            out.end()?;
            return Ok(0);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The log that belongs to the kind of the attempt.
fn own(attempt: &Attempt) -> String {
    match attempt.kind.as_str() {
        "test" => "console".into(),
        _ => "build".into(),
    }
}

/// Standard output. A file gets the very bytes, a terminal gets harmless text.
struct Out {
    terminal: bool,
    /// The end of the last piece, when it broke a character.
    rest: Vec<u8>,
}

impl Out {
    fn new() -> Out {
        Out {
            terminal: termios::isatty(rustix::stdio::stdout()),
            rest: Vec::new(),
        }
    }

    /// False when nobody reads any more.
    fn write(&mut self, bytes: &[u8]) -> Result<bool, Fail> {
        if !self.terminal {
            return put(bytes);
        }
        self.rest.extend_from_slice(bytes);
        let keep = unfinished(&self.rest);
        let rest = self.rest.split_off(self.rest.len() - keep);
        let whole = std::mem::replace(&mut self.rest, rest);
        put(text::lines(&String::from_utf8_lossy(&whole)).as_bytes())
    }

    fn end(&mut self) -> Result<bool, Fail> {
        put(text::lines(&String::from_utf8_lossy(&self.rest)).as_bytes())
    }
}

/// Bytes at the end that may be the start of one character.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(e) if e.error_len().is_none() => bytes.len() - e.valid_up_to(),
        Ok(_) => 0,
        // Garbage before the end: look at the last three bytes only.
        Err(_) => (1..=3.min(bytes.len()))
            .find(|n| {
                std::str::from_utf8(&bytes[bytes.len() - n..])
                    .is_err_and(|e| e.valid_up_to() == 0 && e.error_len().is_none())
            })
            .unwrap_or(0),
    }
}

fn put(bytes: &[u8]) -> Result<bool, Fail> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Fail::Infrastructure(format!("cannot write the log: {e}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_character_waits_for_its_rest() {
        assert_eq!(unfinished(b"abc"), 0);
        assert_eq!(unfinished("aä".as_bytes()), 0);
        assert_eq!(unfinished(&"aä".as_bytes()[..2]), 1);
        assert_eq!(unfinished(&[0xff, b'a', 0xe2, 0x82]), 2);
        assert_eq!(unfinished(&[0xff, b'a']), 0);
    }
}
