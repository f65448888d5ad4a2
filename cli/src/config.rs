//! The kernel configuration as named on the command line. Must not know what is configured with it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use firstbad_api::job::JobConfig;
use firstbad_api::lease::ConfigBase;
use firstbad_api::limits;

use crate::fail::Fail;
use crate::input;

/// A base and what is laid over it.
// clap makes a group of this name, so it is unlike that of every other struct.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// A whole .config as the base.
    #[arg(long, value_name = "FILE", conflicts_with = "base")]
    config: Option<PathBuf>,
    /// Base configuration [default: the tree's; if it has none, tinyconfig].
    #[arg(long, value_enum)]
    base: Option<Base>,
    /// The base configuration is this file of each revision.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["config", "base"])]
    config_in_tree: Option<String>,
    /// Configuration fragment merged after the suite's.
    #[arg(long, value_name = "FILE")]
    fragment: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Base {
    Tinyconfig,
    Defconfig,
}

impl ConfigArgs {
    /// Reads the files.
    pub fn read(&self) -> Result<JobConfig, Fail> {
        Ok(JobConfig {
            base: self.base()?,
            fragment: match &self.fragment {
                Some(path) => input::text(path, limits::CONFIG_BYTES)?,
                None => String::new(),
            },
        })
    }

    fn base(&self) -> Result<Option<ConfigBase>, Fail> {
        if let Some(path) = &self.config {
            let text = input::text(path, limits::CONFIG_BYTES)?;
            return Ok(Some(ConfigBase::File(text)));
        }
        if let Some(path) = &self.config_in_tree {
            return Ok(Some(ConfigBase::Tree(path.clone())));
        }
        Ok(self.base.map(|base| match base {
            Base::Tinyconfig => ConfigBase::Tinyconfig,
            Base::Defconfig => ConfigBase::X8664Defconfig,
        }))
    }
}
