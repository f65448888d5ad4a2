//! The result port: framed lines on the second serial port.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use firstbad_api::guest::{Frame, MAGIC};
use firstbad_api::limits::FRAME_BYTES;
use rustix::fs::OFlags;
use rustix::termios::{OptionalActions, Termios, tcdrain, tcgetattr, tcsetattr};

const DEVICE: &str = "/dev/ttyS1";

/// The open result port with the nonce that every frame carries.
pub struct Port {
    tty: File,
    mode: Termios,
    nonce: String,
}

impl Port {
    /// Opens the port raw: a terminal's line discipline would change the bytes.
    pub fn open(nonce: &str) -> Result<Port, String> {
        let tty = open()?;
        let mut mode = tcgetattr(&tty).map_err(|e| format!("read the mode of {DEVICE}: {e}"))?;
        mode.make_raw();
        tcsetattr(&tty, OptionalActions::Now, &mode)
            .map_err(|e| format!("set {DEVICE} raw: {e}"))?;
        Ok(Port {
            tty,
            mode,
            nonce: nonce.to_owned(),
        })
    }

    /// Sends one frame, whole.
    pub fn send(&mut self, frame: &Frame) -> Result<(), String> {
        let json = serde_json::to_string(frame).map_err(|e| format!("encode a frame: {e}"))?;
        // A case may have left an unfinished line on the port.
        let line = format!("\n{MAGIC} {} {json}\n", self.nonce);
        if line.len() > FRAME_BYTES {
            return Err(format!("a frame of {} bytes is too long", line.len()));
        }
        self.write(&line).or_else(|_| {
            // A case that took the port as its terminal hung it up when it ended.
            self.tty = open()?;
            self.write(&line)
        })
    }

    fn write(&mut self, line: &str) -> Result<(), String> {
        let err = |e: std::io::Error| format!("write {DEVICE}: {e}");
        // A case may have changed the mode.
        tcsetattr(&self.tty, OptionalActions::Now, &self.mode).map_err(|e| err(e.into()))?;
        self.tty.write_all(line.as_bytes()).map_err(err)?;
        tcdrain(&self.tty).map_err(|e| err(e.into()))
    }
}

fn open() -> Result<File, String> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(DEVICE)
        .map_err(|e| format!("open {DEVICE}: {e}"))
}

/// Waits until the console has sent what it holds.
pub fn drain() {
    let _ = std::io::stdout().flush();
    let _ = tcdrain(std::io::stdout());
}
