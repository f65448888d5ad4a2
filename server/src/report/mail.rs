//! A report as a mail: a draft, a file for a mail program, and a link. It is never sent from here.

use std::fmt::Write;

use firstbad_api::limits;
use firstbad_api::report::Mail;
use mail_builder::MessageBuilder;
use mail_builder::headers::address::Address;
use mail_builder::mime::MimePart;

use super::recipients::Recipients;
use crate::maintainers::Mailbox;
use crate::state::App;

/// Longest line of a mail that needs no encoding, bytes: RFC 5322, section 2.1.1.
const LINE_BYTES: usize = 998;

/// A whole report.
#[derive(Debug)]
pub struct Report {
    pub job: i64,
    /// Whose mail it is, when that is known.
    pub from: Option<Mailbox>,
    pub recipients: Recipients,
    pub subject: String,
    /// Paragraphs; those that say least come last.
    pub parts: Vec<String>,
    /// Unique among all reports of all servers, and the same for the same report.
    pub message_id: String,
}

impl Report {
    /// The text, without headers.
    pub fn body(&self) -> String {
        let mut body = self.parts.join("\n\n");
        body.push('\n');
        body
    }

    /// The draft that people read: headers as they are, then the text.
    pub fn text(&self) -> String {
        let mut out = format!("Subject: {}\n", self.subject);
        for (name, all) in [("To", &self.recipients.to), ("Cc", &self.recipients.cc)] {
            if !all.is_empty() {
                let all: Vec<String> = all.iter().map(Mailbox::to_string).collect();
                // Writing to a String cannot fail.
                let _ = writeln!(out, "{name}: {}", all.join(",\n    "));
            }
        }
        out.push('\n');
        out + &self.body()
    }

    /// A message for a mail program, by RFC 5322; without a `From:` unless it is known whose it is.
    ///
    /// # Errors
    /// Never, as it is written to memory.
    pub fn eml(&self) -> std::io::Result<Vec<u8>> {
        let mut message = MessageBuilder::new();
        if let Some(from) = &self.from {
            message = message.from(address(from));
        }
        if !self.recipients.to.is_empty() {
            message = message.to(addresses(&self.recipients.to));
        }
        if !self.recipients.cc.is_empty() {
            message = message.cc(addresses(&self.recipients.cc));
        }
        // Mail programs open a message with this header for writing.
        let message = message
            .subject(self.subject.as_str())
            .message_id(self.message_id.as_str())
            .header("X-Unsent", mail_builder::headers::raw::Raw::new("1"));
        message.body(part(self.body())).write_to_vec()
    }

    /// Where [`Report::eml`] is had.
    pub fn eml_path(&self) -> String {
        format!("/api/v1/jobs/{}/report.eml", self.job)
    }

    /// A `mailto:` link, RFC 6068, with as much of the text as links may hold.
    pub fn mailto(&self, app: &App) -> String {
        let list = |all: &[Mailbox]| {
            let all: Vec<String> = all.iter().map(|m| escaped(&m.mail)).collect();
            all.join(",")
        };
        let mut link = format!("mailto:{}?", list(&self.recipients.to));
        if !self.recipients.cc.is_empty() {
            let _ = write!(link, "cc={}&", list(&self.recipients.cc));
        }
        let _ = write!(link, "subject={}&body=", escaped(&self.subject));
        let server = super::address(app.gate.url.as_deref());
        let end = format!("The whole report: {server}/jobs/{}/report\n", self.job);
        let end = escaped(&end);
        let mut cut = false;
        for part in &self.parts {
            let part = escaped(&format!("{part}\n\n"));
            let fits = link.len() + part.len() + end.len() <= limits::MAILTO_BYTES;
            cut |= !fits;
            if fits && !cut {
                link.push_str(&part);
            }
        }
        if cut {
            link.push_str(&end);
        }
        link
    }

    /// The same for programs.
    pub fn wire(&self, app: &App) -> Mail {
        let words = |all: &[Mailbox]| all.iter().map(Mailbox::to_string).collect();
        Mail {
            to: words(&self.recipients.to),
            cc: words(&self.recipients.cc),
            left_out: self.recipients.left_out,
            subject: self.subject.clone(),
            body: self.body(),
            mailto: self.mailto(app),
            eml: self.eml_path(),
        }
    }
}

fn address(mailbox: &Mailbox) -> Address<'_> {
    let name = Some(mailbox.name.as_str()).filter(|n| !n.is_empty());
    Address::new_address(name, mailbox.mail.as_str())
}

fn addresses(all: &[Mailbox]) -> Address<'_> {
    Address::new_list(all.iter().map(address).collect())
}

/// As it is, when its lines are no longer than mail allows: who looks at the file sees no wrapped tag.
fn part(body: String) -> MimePart<'static> {
    let long = body.lines().any(|line| line.len() > LINE_BYTES);
    match long {
        true => MimePart::new("text/plain", body),
        false => {
            let body = body.replace('\n', "\r\n");
            MimePart::new("text/plain", body).transfer_encoding("8bit")
        }
    }
}

/// Percent-encoded, lines ended as mail ends them.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.replace('\n', "\r\n").bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' => {
                out.push(char::from(byte));
            }
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}
