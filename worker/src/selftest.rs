//! Proves the sandbox on this machine before anything foreign runs in it.
//!
//! Owns the list of escapes that must fail. Must not know what will run there.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::dirs::{Dirs, remove_dir, sandbox_dir};
use crate::error::{Context, InfraError};
use crate::process::{Until, output};
use crate::sandbox::{Sandbox, Spec};

const SCRIPT: &str = include_str!("selftest.sh");
/// Every probe must be reported as held; a missing line is a failure too.
const PROBES: &[&str] = &[
    "tcp",
    "unix-socket",
    "secret",
    "write-worker",
    "write-usr",
    "write-root",
    "host-run",
    "host-var",
    "setuid",
    "user-namespace",
    "mount",
    "no-new-privs",
    "capabilities",
    "scratch",
];

/// Runs every probe in the sandbox; an error says which walls do not stand.
pub async fn run(sandbox: &Sandbox, dirs: &Dirs) -> Result<(), InfraError> {
    let dir = dirs.root().join("selftest");
    remove_dir(&dir)?;
    fs::create_dir_all(&dir).context("cannot make the self-test directory")?;
    let result = probe(sandbox, dirs.root(), &dir).await;
    remove_dir(&dir)?;
    result
}

async fn probe(sandbox: &Sandbox, root: &Path, dir: &Path) -> Result<(), InfraError> {
    let tcp = TcpListener::bind("127.0.0.1:0").context("self-test listener")?;
    let port = tcp.local_addr().context("self-test listener")?.port();
    let socket = dir.join("socket");
    let _unix = UnixListener::bind(&socket).context("self-test socket")?;
    let secret = dir.join("secret");
    fs::write(&secret, "secret").context("self-test secret")?;
    let scratch = dir.join("scratch");
    sandbox_dir(sandbox, &scratch)?;

    let spec = Spec {
        rw: vec![(scratch.clone(), "/scratch".into())],
        ..Spec::default()
    };
    let mut args = vec![
        "-c".to_owned(),
        SCRIPT.to_owned(),
        "selftest".to_owned(),
        port.to_string(),
    ];
    args.extend([&socket, &secret, &root.to_owned()].map(|p| p.display().to_string()));
    let until = Until {
        deadline: Instant::now() + Duration::from_secs(60),
        cancel: CancellationToken::new(),
    };
    let said = output(sandbox.command(&spec, "bash", &args), "the sandbox", &until)
        .await
        .map_err(|why| {
            InfraError::failed(
                "the sandbox does not start (are unprivileged user namespaces allowed here?)",
                why,
            )
        })?;
    let fallen = fallen(&said);
    if !fallen.is_empty() {
        return Err(InfraError::Failed(format!(
            "the sandbox does not hold on this machine ({}); no work is taken",
            fallen.join(", ")
        )));
    }
    let written = fs::metadata(scratch.join("written")).context("self-test scratch")?;
    if written.uid() == 0 {
        return Err(InfraError::Failed(
            "the sandbox runs as root; no work is taken".to_owned(),
        ));
    }
    Ok(())
}

/// Probes that were not reported as held.
fn fallen(said: &str) -> Vec<&'static str> {
    PROBES
        .iter()
        .copied()
        .filter(|name| !said.lines().any(|l| l == format!("{name} held")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_and_a_missing_line_both_count() {
        let all: String = PROBES.iter().map(|p| format!("{p} held\n")).collect();
        assert!(fallen(&all).is_empty());
        assert_eq!(
            fallen(
                &all.replace("tcp held", "tcp breach")
                    .replace("mount held\n", "")
            ),
            ["tcp", "mount"]
        );
    }
}
