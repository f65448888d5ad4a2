//! Modules of a packaged kernel: loaded before any case runs.
//!
//! Owns the parameters that make them like what our own kernels have built in.

use std::ffi::CStr;
use std::fs::{self, File};
use std::path::Path;

use firstbad_api::artefact::MODULES_PATH;
use rustix::system::finit_module;

/// As in the configuration of the suites: eight RAM disks of 512 MiB.
const RAM_DISKS: &CStr = c"rd_nr=8 rd_size=524288";

/// Loads what is there, in the order of the names. Kernels of our own have no modules.
///
/// # Errors
/// That of the first one that the kernel refuses.
pub fn load() -> Result<(), String> {
    let Ok(entries) = fs::read_dir(MODULES_PATH) else {
        return Ok(());
    };
    let mut names: Vec<_> = entries.filter_map(|e| Some(e.ok()?.file_name())).collect();
    names.sort();
    for name in names {
        let path = Path::new(MODULES_PATH).join(&name);
        let say = |e: &dyn std::fmt::Display| format!("load {}: {e}", name.display());
        let file = File::open(&path).map_err(|e| say(&e))?;
        let parameters = match name.to_string_lossy().ends_with("-brd.ko") {
            true => RAM_DISKS,
            false => c"",
        };
        finit_module(file, parameters, 0).map_err(|e| say(&e))?;
    }
    Ok(())
}
