//! Where state lives on this machine.

use std::path::PathBuf;

use crate::fail::Fail;

/// The data directory: as given, `FIRSTBAD_DATA`, /var/lib/firstbad for root, else
/// `$XDG_DATA_HOME/firstbad`.
pub fn data(given: Option<PathBuf>) -> Result<PathBuf, Fail> {
    if let Some(given) = given {
        return Ok(given);
    }
    let var = |name: &str| {
        std::env::var_os(name)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    if let Some(data) = var("FIRSTBAD_DATA") {
        return Ok(data);
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/firstbad"));
    }
    var("XDG_DATA_HOME")
        .or_else(|| var("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("firstbad"))
        .ok_or_else(|| Fail::Usage("neither --data nor HOME says where to keep state".into()))
}
