//! What a job may still cost. Must not know what is wanted next, only whether it can be had.

use firstbad_api::job::Outcome;
use firstbad_api::terms::Budget;
use time::OffsetDateTime;

use crate::answer;
use crate::picture::Picture;

/// What is left of a job's budget in one pass of the planner.
pub struct Purse {
    builds: Option<u32>,
    machines: bool,
    /// Something was wanted that cannot be had any more.
    pub refused: bool,
}

impl Purse {
    /// `times`: (attempt kind, stage, ms) of what the job caused.
    pub fn of(picture: &Picture, times: &[(String, String, i64)]) -> Purse {
        let Budget {
            builds, vm_minutes, ..
        } = picture.job.request.budget;
        let built = picture
            .probes()
            .filter(|probe| probe.kind == "build" && !probe.reused);
        let built = u32::try_from(built.count()).unwrap_or(u32::MAX);
        let ms: i64 = times
            .iter()
            .filter(|(kind, _, _)| kind == "test")
            .map(|(_, _, ms)| ms)
            .sum();
        Purse {
            builds: builds.map(|most| most.saturating_sub(built)),
            machines: vm_minutes.is_none_or(|most| ms < i64::from(most) * 60_000),
            refused: false,
        }
    }

    /// Whether another attempt of this kind may be made.
    pub fn has(&self, kind: &str) -> bool {
        match kind {
            "build" => self.builds != Some(0),
            _ => self.machines,
        }
    }

    /// One was made.
    pub fn spend(&mut self, kind: &str) {
        if kind == "build"
            && let Some(left) = &mut self.builds
        {
            *left = left.saturating_sub(1);
        }
    }
}

/// The end of a job that has come to the end of its budget: with its time, or when what it wants next
/// cannot be had and nothing goes on that could still answer it.
pub fn used_up(
    picture: &Picture,
    purse: &Purse,
    enqueued: usize,
    now: OffsetDateTime,
) -> Option<Outcome> {
    let budget = &picture.job.request.budget;
    if let Some(minutes) = budget.wall_minutes
        && now - picture.job.created_at >= time::Duration::minutes(i64::from(minutes))
    {
        let spent = format!("the {minutes} minutes allowed since it was submitted did not suffice");
        return Some(answer::best_so_far(picture, &spent));
    }
    let goes_on = picture
        .probes()
        .any(|probe| matches!(probe.state.as_str(), "ready" | "leased"));
    if !purse.refused || enqueued > 0 || goes_on {
        return None;
    }
    let spent = match (purse.machines, budget.vm_minutes, budget.builds) {
        (false, Some(minutes), _) => {
            format!("the {minutes} minutes of virtual machines allowed did not suffice")
        }
        (_, _, builds) => format!("the {} builds allowed did not suffice", builds.unwrap_or(0)),
    };
    Some(answer::best_so_far(picture, &spent))
}
