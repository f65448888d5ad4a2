//! `b4-check`: a mail on standard input, and what jobs say of its patch as b4's review checks.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use firstbad_api::limits::PATCH_BYTES;
use firstbad_api::patch::PatchVerdict;
use serde_json::{Value, json};

use crate::args::Common;
use crate::client::{self, Client};
use crate::fail::{Done, Fail};

/// What b4 calls us.
const TOOL: &str = "firstbad";

/// Prints a JSON array of `{tool, status, summary, url, details}`; none when no job knows the patch.
pub async fn check(common: &Common) -> Done {
    let mut mail = Vec::new();
    let most = PATCH_BYTES as u64 + 1;
    let read = std::io::stdin().lock().take(most).read_to_end(&mut mail);
    read.map_err(|e| Fail::NoInput(format!("cannot read the mail: {e}")))?;
    if mail.len() > PATCH_BYTES {
        let why = format!("the mail has more than {PATCH_BYTES} bytes");
        return Err(Fail::Data(why));
    }
    // What b4 is told must not look like a verdict on the patch when there is none.
    let said = match ask(common, &mail).await {
        Ok(said) => said,
        Err(fail) => vec![json!({
            "tool": TOOL, "status": "warn", "summary": fail.to_string(), "url": "", "details": "",
        })],
    };
    println!("{}", Value::Array(said));
    Ok(0)
}

async fn ask(common: &Common, mail: &[u8]) -> Result<Vec<Value>, Fail> {
    let message_id = message_id(mail).unwrap_or_default();
    let patch_id = patch_id(mail).unwrap_or_default();
    if message_id.is_empty() && patch_id.is_empty() {
        let why = "there is no Message-ID: and no diff on standard input";
        return Err(Fail::Data(why.to_owned()));
    }
    let client = Client::new(common, None)?;
    let asked = format!(
        "/api/v1/patches?patch_id={}&message_id={}",
        client::segment(&patch_id),
        client::segment(&message_id)
    );
    let found: Vec<PatchVerdict> = client.get(&asked).await?;
    let told = found.into_iter().map(|verdict| {
        json!({
            "tool": TOOL,
            "status": verdict.status,
            "summary": verdict.summary,
            "url": client.page(&verdict.path),
            "details": verdict.details,
        })
    });
    Ok(told.collect())
}

/// `Message-ID:` without its brackets; it may stand on the line after the name.
fn message_id(mail: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(mail);
    let head = text.lines().take_while(|line| !line.trim().is_empty());
    let mut head = head.skip_while(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !name.eq_ignore_ascii_case("message-id")
    });
    let first = head.next()?.split_once(':')?.1.trim();
    let id = match first.is_empty() {
        true => head.next()?.trim(),
        false => first,
    };
    Some(id.strip_prefix('<')?.split('>').next()?.to_owned())
}

/// As git tells it; `None` without a diff, or without git.
fn patch_id(mail: &[u8]) -> Option<String> {
    let mut git = Command::new("git")
        .args(["patch-id", "--stable"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    // It may stop reading before the end of the mail.
    let _ = git.stdin.take()?.write_all(mail);
    let said = git.wait_with_output().ok()?.stdout;
    let said = String::from_utf8(said).ok()?;
    Some(said.split_whitespace().next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_known_by_its_id_wherever_it_stands() {
        let id = |text: &str| message_id(text.as_bytes());
        assert_eq!(id("From: a\nMessage-Id: <x@y>\n\n"), Some("x@y".to_owned()));
        assert_eq!(
            id("MESSAGE-ID:\n <x@y> \nFrom: a\n"),
            Some("x@y".to_owned())
        );
        assert_eq!(id("From: a\n\nMessage-ID: <x@y>\n"), None);
    }
}
