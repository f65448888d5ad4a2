//! The frames a guest sent over the result port.
//!
//! Owns telling PID 1's frames from everything else on that port: a line
//! counts only with the run's nonce, within the size limit and in an order
//! that PID 1 could have sent. Everything else is a stray line. Must not know
//! QEMU or what an observation makes of the frames.

use firstbad_api::guest::{Frame, GuestCase, MAGIC};
use firstbad_api::limits::FRAME_BYTES;
use firstbad_api::observation::CaseResult;

/// What the guest has told so far.
#[derive(Debug, Default)]
pub struct Frames {
    nonce: String,
    planned: Vec<String>,
    partial: Vec<u8>,
    /// The partial line is already too long: skip to its end.
    overlong: bool,
    /// PID 1 said hello.
    pub hello: bool,
    /// The case that runs now.
    pub running: Option<String>,
    /// Results in the order they came.
    pub cases: Vec<CaseResult>,
    /// PID 1 said bye, with what was left behind.
    pub bye: Option<Vec<String>>,
    /// PID 1 itself failed.
    pub fault: Option<String>,
    /// Lines that are no frame.
    pub stray_lines: u64,
}

/// A step worth telling a person who watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Booted,
    CaseStarted(String),
    CaseEnded(String),
}

impl Frames {
    /// Expects frames with `nonce` about the `planned` cases.
    pub fn new(nonce: &str, planned: &[GuestCase]) -> Frames {
        Frames {
            nonce: nonce.to_owned(),
            planned: planned.iter().map(|c| c.name.clone()).collect(),
            ..Frames::default()
        }
    }

    /// Takes the next bytes of the port and returns the steps they hold.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.keep(&rest[..end]);
            rest = &rest[end + 1..];
            steps.extend(self.line());
        }
        self.keep(rest);
        steps
    }

    /// Takes the end of the port: what has no line end is a stray line.
    pub fn finish(&mut self) {
        if self.overlong || !self.partial.is_empty() {
            self.stray_lines += 1;
        }
        self.partial.clear();
        self.overlong = false;
    }

    fn keep(&mut self, part: &[u8]) {
        if self.partial.len() + part.len() > FRAME_BYTES {
            self.overlong = true;
            self.partial.clear();
        }
        if !self.overlong {
            self.partial.extend_from_slice(part);
        }
    }

    fn line(&mut self) -> Option<Step> {
        let line = std::mem::take(&mut self.partial);
        if std::mem::take(&mut self.overlong) {
            self.stray_lines += 1;
            return None;
        }
        match self.parse(&line) {
            // PID 1 ends whatever stands on the port before it speaks.
            None if line.is_empty() => None,
            Some(frame) => self.accept(frame),
            None => {
                self.stray_lines += 1;
                None
            }
        }
    }

    fn parse(&self, line: &[u8]) -> Option<Frame> {
        let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
        let json = line
            .strip_prefix(MAGIC)?
            .strip_prefix(' ')?
            .strip_prefix(self.nonce.as_str())?
            .strip_prefix(' ')?;
        serde_json::from_str(json).ok()
    }

    /// Takes a frame if PID 1 could have sent it now.
    fn accept(&mut self, frame: Frame) -> Option<Step> {
        let step = match frame {
            Frame::Hello { .. } if !self.hello => {
                self.hello = true;
                Some(Step::Booted)
            }
            Frame::CaseStart { case } if self.may_start(&case) => {
                self.running = Some(case.clone());
                Some(Step::CaseStarted(case))
            }
            Frame::CaseEnd(result) if self.running.as_deref() == Some(result.case.as_str()) => {
                self.running = None;
                let case = result.case.clone();
                self.cases.push(result);
                Some(Step::CaseEnded(case))
            }
            Frame::Bye { left, .. } if self.hello && self.bye.is_none() => {
                self.bye = Some(left);
                return None;
            }
            Frame::Fault { what } if self.fault.is_none() => {
                self.fault = Some(what.chars().take(500).collect());
                return None;
            }
            _ => None,
        };
        if step.is_none() {
            self.stray_lines += 1;
        }
        step
    }

    fn may_start(&self, case: &str) -> bool {
        self.hello
            && self.bye.is_none()
            && self.running.is_none()
            && self.planned.iter().any(|p| p == case)
            && !self.cases.iter().any(|c| c.case == case)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use firstbad_api::observation::CaseStatus;

    const NONCE: &str = "0123456789abcdef0123456789abcdef";

    fn frames() -> Frames {
        let case = |name: &str| GuestCase {
            name: name.to_owned(),
            script: String::new(),
            timeout_s: 1,
            versions: Default::default(),
            excluded: Vec::new(),
            patterns: Default::default(),
        };
        Frames::new(NONCE, &["one", "two"].map(case))
    }

    fn wire(frame: &Frame) -> Vec<u8> {
        format!(
            "{MAGIC} {NONCE} {}\n",
            serde_json::to_string(frame).unwrap()
        )
        .into_bytes()
    }

    fn hello() -> Frame {
        Frame::Hello {
            release: "6.12".to_owned(),
            version: "#1".to_owned(),
        }
    }

    fn start(case: &str) -> Frame {
        Frame::CaseStart {
            case: case.to_owned(),
        }
    }

    fn end(case: &str) -> Frame {
        Frame::CaseEnd(CaseResult {
            case: case.to_owned(),
            status: CaseStatus::Pass,
            exit: 0,
            duration_ms: 1,
            metrics: Vec::new(),
            ktap: None,
            subtests: vec![],
            pattern: None,
            outside: None,
            tail: String::new(),
            dmesg: Vec::new(),
        })
    }

    #[test]
    fn a_whole_run_arrives_in_any_chopping() {
        let bye = Frame::Bye {
            clean: true,
            left: Vec::new(),
        };
        let all: Vec<u8> = [
            hello(),
            start("one"),
            end("one"),
            start("two"),
            end("two"),
            bye,
        ]
        .iter()
        .flat_map(wire)
        .collect();
        for size in [1, 7, 100, all.len()] {
            let mut f = frames();
            let steps: Vec<Step> = all.chunks(size).flat_map(|c| f.push(c)).collect();
            f.finish();
            assert_eq!(steps.len(), 5);
            assert_eq!(f.cases.len(), 2);
            assert_eq!((f.bye.is_some(), f.stray_lines), (true, 0));
        }
    }

    #[test]
    fn a_line_without_the_nonce_is_counted_and_ignored() {
        let mut f = frames();
        f.push(b"hello\nFB1 ffff {\"frame\":\"bye\"}\nFB1\n\xff\xfe\n");
        f.push(format!("FB1 {NONCE} not json\n").as_bytes());
        f.push(b"no end");
        f.finish();
        assert_eq!(f.stray_lines, 6);
        assert!(!f.hello && f.bye.is_none());
    }

    #[test]
    fn frames_that_pid_1_could_not_send_are_stray() {
        let mut f = frames();
        for frame in [start("one"), end("one")] {
            f.push(&wire(&frame));
        }
        assert_eq!(f.stray_lines, 2, "nothing may come before hello");
        for frame in [hello(), hello(), start("three"), start("one"), end("two")] {
            f.push(&wire(&frame));
        }
        assert_eq!(f.stray_lines, 5);
        f.push(&wire(&end("one")));
        f.push(&wire(&start("one")));
        assert_eq!((f.cases.len(), f.stray_lines), (1, 6));
    }

    #[test]
    fn an_overlong_line_costs_one_stray_line_and_no_memory() {
        let mut f = frames();
        for _ in 0..100 {
            f.push(&[b'x'; 4096]);
            assert!(f.partial.len() <= FRAME_BYTES);
        }
        f.push(b"\n");
        f.push(&wire(&hello()));
        assert_eq!((f.stray_lines, f.hello), (1, true));
    }

    #[test]
    fn a_carriage_return_before_the_line_end_does_no_harm() {
        let mut line = wire(&hello());
        line.pop();
        line.extend(b"\r\n");
        let mut f = frames();
        assert_eq!(f.push(&line), [Step::Booted]);
    }
}
