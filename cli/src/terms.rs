//! On what terms a job is asked for: what it may cost, how urgent it is, who is told.

use clap::{Args, ValueEnum};
use firstbad_api::patch::PatchworkPatch;
use firstbad_api::terms::{Budget, Callback, Priority};

#[derive(Debug, Args)]
pub struct Terms {
    /// Words to find it by.
    #[arg(long = "label", num_args = 1.., value_name = "LABEL")]
    pub labels: Vec<String>,
    /// Whose work is taken first; `high` is for operators.
    #[arg(long, value_enum, default_value_t = Urgency::Normal)]
    pub priority: Urgency,
    /// End with the best answer so far when another build is wanted after so many.
    #[arg(long, value_name = "N")]
    pub max_builds: Option<u32>,
    /// The same with minutes of virtual machines.
    #[arg(long, value_name = "MINUTES")]
    pub max_vm_minutes: Option<u32>,
    /// The same with minutes since it was submitted.
    #[arg(long, value_name = "MINUTES")]
    pub max_wall_minutes: Option<u32>,
    /// Plan for so many workers, even if there are more.
    #[arg(long, value_name = "N")]
    pub parallelism: Option<u32>,
    /// Only workers whose compiler is called so, such as "gcc (Debian 12.2".
    #[arg(long, value_name = "PART")]
    pub toolchain: Option<String>,
    /// Post the end of this job to this address, signed as webhooks are.
    #[arg(long, value_name = "URL")]
    pub callback: Option<String>,
    /// What it is signed with [default: made by the server, and printed].
    #[arg(
        long,
        value_name = "whsec_…",
        requires = "callback",
        env = "FIRSTBAD_CALLBACK_SECRET",
        hide_env_values = true
    )]
    pub callback_secret: Option<String>,
    /// Write what becomes of this job to the checks of --patch there, a Patchwork that you made known.
    #[arg(long, value_name = "URL", requires = "patch")]
    pub patchwork: Option<String>,
    /// Number of the patch at --patchwork.
    #[arg(long, value_name = "NUMBER", requires = "patchwork")]
    pub patch: Option<i64>,
    /// A job of its own, even while another one looks for the same answer.
    #[arg(long)]
    pub fresh: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Urgency {
    Low,
    Normal,
    High,
}

impl Terms {
    pub fn priority(&self) -> Priority {
        match self.priority {
            Urgency::Low => Priority::Low,
            Urgency::Normal => Priority::Normal,
            Urgency::High => Priority::High,
        }
    }

    pub fn budget(&self) -> Budget {
        Budget {
            builds: self.max_builds,
            vm_minutes: self.max_vm_minutes,
            wall_minutes: self.max_wall_minutes,
        }
    }

    pub fn callback(&self) -> Option<Callback> {
        let url = self.callback.clone()?;
        let secret = self.callback_secret.clone();
        Some(Callback { url, secret })
    }

    pub fn patchwork(&self) -> Option<PatchworkPatch> {
        let (url, patch) = (self.patchwork.clone()?, self.patch?);
        Some(PatchworkPatch { url, patch })
    }
}
