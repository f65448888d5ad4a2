//! The planner: what to test next, and when a job is answered.
//!
//! Everything is derived from rows each time, so a pass may stop anywhere and the
//! next one goes on. A job that fails to advance does not keep the others waiting.

use std::collections::BTreeMap;

use firstbad_api::job::{Check, Outcome};
use firstbad_api::lease::RunMode;
use firstbad_bisect::search::{Decision, Probe, Purpose};
use firstbad_bisect::{Found, Node, Plan};
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::answer;
use crate::db;
use crate::picture::{Picture, REVERTS, Standing};
use crate::search::Inquiry;
use crate::state::App;
use crate::tasks::budget::{self, Purse};
use crate::tasks::leads_on;
use crate::tasks::queue::Queue;
use crate::tasks::revert::{Revert, Wanted};
use crate::tasks::walk;
use crate::tasks::weigh::Weighing;
use crate::two_point;
use crate::view;
use crate::walk::Step;

/// Runs of one revision, at most, to be surer of a range.
const SURER_RUNS: u32 = 20;

/// One pass over every open job.
pub async fn tick(app: &App) -> anyhow::Result<()> {
    let mut conn = app.pool.acquire().await?;
    let open = db::job::open(&mut conn).await?;
    drop(conn);
    let mut moved = false;
    for id in open {
        match advance(app, id).await {
            Ok(changed) => moved |= changed,
            Err(error) => tracing::error!(
                job = id,
                error = format!("{error:#}"),
                "could not advance the job"
            ),
        }
    }
    if moved {
        app.wake();
    }
    Ok(())
}

/// Advances one job; true when something was enqueued or the job ended.
pub async fn advance(app: &App, id: i64) -> anyhow::Result<bool> {
    let mut revert = None;
    loop {
        // git works outside of the transaction, and the next pass begins anew with its answer.
        match pass(app, id, revert.as_ref()).await? {
            Passed::Quiet => return Ok(false),
            Passed::Moved => return Ok(true),
            Passed::Wants(Want::Revert(wanted)) => revert = Some(wanted.answer(app).await),
            Passed::Wants(Want::Weights(asked)) => asked.answer(app).await?,
            Passed::Wants(Want::Range(found)) => {
                if !found.answer(app).await? {
                    return Ok(false);
                }
            }
        }
    }
}

/// How a pass ended.
enum Passed {
    Quiet,
    Moved,
    Wants(Want),
}

/// What a pass cannot find out within its transaction.
enum Want {
    Revert(Wanted),
    Weights(Weighing),
    /// Of a walk that has found a good release.
    Range(Box<walk::Found>),
}

async fn pass(app: &App, id: i64, revert: Option<&Revert>) -> anyhow::Result<Passed> {
    let mut tx = app.pool.begin().await?;
    let Some(mut picture) = Picture::load(&mut tx, id).await? else {
        return Ok(Passed::Quiet);
    };
    if picture.job.state == "queued" {
        let toolchain = picture.job.request.toolchain.as_deref();
        let Some(caps) = db::attempt::newest_caps(&mut tx, app.timing.ttl_ms, toolchain).await?
        else {
            return Ok(Passed::Quiet);
        };
        db::job::start(&mut tx, id, &caps.0).await?;
        picture.job.state = "running".to_owned();
        picture.job.toolchain = Some(caps.0.toolchain);
        picture.job.toolset = Some(caps.0.toolset);
        picture.job.qemu_version = Some(caps.0.qemu_version);
    }
    if !picture.job.request.survey && !picture.walks() && leads_on::part(&mut tx, &picture).await? {
        tx.commit().await?;
        return Ok(Passed::Moved);
    }
    let builders = db::attempt::live_workers(&mut tx, app.timing.ttl_ms, "build").await?;
    let testers = db::attempt::live_workers(&mut tx, app.timing.ttl_ms, "test").await?;
    let most = picture.job.request.parallelism.unwrap_or(u32::MAX);
    let most = usize::try_from(most)?;
    let times = match picture.job.request.budget.is_unlimited() {
        true => Vec::new(),
        false => db::job::stage_ms(&mut tx, id).await?,
    };
    let mut pass = Pass {
        picture: &picture,
        queue: Queue {
            picture: &picture,
            conn: &mut tx,
            testers: usize::try_from(testers)?.clamp(1, most),
            purse: Purse::of(&picture, &times),
            enqueued: 0,
        },
        builders: usize::try_from(builders)?.clamp(1, most),
        revert,
        wants: None,
    };
    let outcome = pass.step().await?;
    let (purse, enqueued) = (&pass.queue.purse, pass.queue.enqueued);
    let now = OffsetDateTime::now_utc();
    let outcome = outcome.or_else(|| budget::used_up(&picture, purse, enqueued, now));
    if let Some(wanted) = pass.wants {
        return Ok(Passed::Wants(wanted));
    }
    let mut moved = pass.queue.enqueued > 0;
    note_progress(&mut tx, &picture).await?;
    // An answer waits for the second runs of its evidence: it does not rest on one that differs.
    let checked = !db::repeat::of_job(&mut tx, id)
        .await?
        .iter()
        .any(|r| r.open);
    if let Some(outcome) = outcome.filter(|_| checked) {
        db::job::end(&mut tx, id, "done", &outcome).await?;
        db::attempt::cancel_for_job(&mut tx, id).await?;
        let detail = serde_json::to_value(&outcome)?;
        db::audit(&mut tx, "server", "job ended", Some(id), None, detail).await?;
        moved = true;
    }
    tx.commit().await?;
    Ok(match moved {
        true => Passed::Moved,
        false => Passed::Quiet,
    })
}

/// Keeps where the job stands for the list of jobs, once its rows tell something new.
async fn note_progress(conn: &mut PgConnection, picture: &Picture) -> anyhow::Result<()> {
    let of = picture.told_from();
    if picture.job.progress_of.as_ref() == Some(&of) {
        return Ok(());
    }
    let pace = db::job::pace_ms(conn, picture.job.id).await?;
    let progress = view::progress(picture, pace);
    db::list::progress(conn, picture.job.id, &progress, &of).await?;
    Ok(())
}

/// One planning pass over one job.
struct Pass<'a> {
    picture: &'a Picture,
    queue: Queue<'a>,
    /// Live workers that take builds: each new revision of a section needs one.
    builders: usize,
    revert: Option<&'a Revert>,
    wants: Option<Want>,
}

impl Pass<'_> {
    async fn step(&mut self) -> anyhow::Result<Option<Outcome>> {
        if self.picture.job.request.survey {
            return self.survey().await;
        }
        let to_mend = self.picture.to_mend();
        if !to_mend.is_empty() {
            for position in to_mend {
                self.queue.mend(position).await?;
            }
            return Ok(None);
        }
        if let Some(outcome) = self.ends().await? {
            return Ok(Some(outcome));
        }
        if self.picture.job.request.two_point {
            return Ok(two_point::outcome(self.picture));
        }
        if !self.picture.ends_settled() {
            return Ok(None);
        }
        if self.picture.walks() {
            return self.walk().await;
        }
        if !self.picture.job.weighed {
            self.wants = Some(Want::Weights(Weighing::of(self.picture)));
            return Ok(None);
        }
        let changed = answer::drift(self.picture).or_else(|| answer::never_quiet(self.picture));
        if changed.is_some() {
            return Ok(changed);
        }
        if let Some(outcome) = answer::out_of_runs(self.picture) {
            return Ok(Some(outcome));
        }
        self.references().await?;
        // Where every run tells the same, sections by one run each are best, and skips leave exact
        // ranges. The last word always belongs to the probabilities.
        if self.picture.calibration.deterministic
            && let Some(next) = self.section().await?
        {
            return Ok(next);
        }
        self.inquire().await
    }

    /// Runs every release as often as asked.
    async fn survey(&mut self) -> anyhow::Result<Option<Outcome>> {
        let picture = self.picture;
        let runs = picture.job.request.runs;
        let releases = picture.surveyed();
        for position in &releases {
            self.queue.drive(*position, runs, "survey").await?;
        }
        let done = releases.iter().all(|p| picture.is_surveyed(*p));
        Ok(done.then_some(Outcome::Surveyed {
            releases: releases.len(),
        }))
    }

    /// Looks at releases before the bad end until one is good, which ends the walk and not the job.
    async fn walk(&mut self) -> anyhow::Result<Option<Outcome>> {
        let picture = self.picture;
        let releases = db::release::list(self.queue.conn, picture.job.tree_id).await?;
        let next = match answer::runs_used_up(picture) {
            true => Step::Over,
            false => walk::step(picture, &releases),
        };
        match next {
            Step::Over => return Ok(Some(walk::nothing(picture))),
            Step::Found(index) => {
                let found = walk::Found::of(picture, walk::position(picture, index)?);
                self.wants = Some(Want::Range(Box::new(found)));
            }
            Step::Look(index) => {
                let position = walk::position(picture, index)?;
                let runs = picture.calibration.wanted_clean;
                let reason = walk::reason(picture, position);
                self.queue.drive(position, runs, &reason).await?;
            }
        }
        Ok(None)
    }

    /// A search without flakes; `None` when one candidate is left.
    async fn section(&mut self) -> anyhow::Result<Option<Option<Outcome>>> {
        let picture = self.picture;
        let bad = Node::try_from(picture.bad())?;
        let plan = firstbad_bisect::plan(
            &picture.graph,
            bad,
            &picture.history(),
            &picture.policy(self.builders),
        );
        let runs = picture.calibration.needed;
        match plan {
            Err(contradiction) => Ok(Some(Some(Outcome::Unresolved {
                why: contradiction.to_string(),
            }))),
            Ok(Plan::Probe { probes, left, .. }) => {
                self.carry_on(&left).await?;
                for probe in probes {
                    let position = i32::try_from(probe.node)?;
                    self.queue.drive(position, runs, &probe.reason).await?;
                }
                Ok(Some(None))
            }
            Ok(Plan::Wait { left, .. }) => {
                self.carry_on(&left).await?;
                Ok(Some(None))
            }
            Ok(Plan::Done(Found::Culprit { .. })) => Ok(None),
            Ok(Plan::Done(Found::Range { nodes })) => {
                let positions: Vec<i32> = nodes
                    .iter()
                    .map(|n| i32::try_from(*n))
                    .collect::<Result<_, _>>()?;
                let inquiry = Inquiry::new(picture, self.queue.testers)?;
                if inquiry.chance(&positions) < picture.job.request.confidence
                    && self.surer(&inquiry).await?
                {
                    return Ok(Some(None));
                }
                Ok(Some(Some(answer::range(picture, &inquiry, &positions))))
            }
        }
    }

    /// One more run around a range: where the search wants it, else at the tested revision where it
    /// tells most. False when enough was tried.
    async fn surer(&mut self, inquiry: &Inquiry) -> anyhow::Result<bool> {
        match inquiry.decide() {
            Decision::Start(probes) => self.start(inquiry, probes).await?,
            Decision::Wait => {}
            Decision::Done(_) => {
                let picture = self.picture;
                let tested = picture.sites.keys().copied().filter(|p| {
                    let (present, absent, _) = picture.tally(*p);
                    (1..SURER_RUNS).contains(&(present + absent))
                });
                let Some(position) = inquiry.most_telling(tested) else {
                    return Ok(false);
                };
                let (present, absent, _) = picture.tally(position);
                self.queue
                    .drive(position, present + absent + 1, "to be surer of the range")
                    .await?;
            }
        }
        Ok(true)
    }

    /// The search under flakes: what it asks for, or its answer.
    async fn inquire(&mut self) -> anyhow::Result<Option<Outcome>> {
        self.test_what_was_built().await?;
        let inquiry = Inquiry::new(self.picture, self.queue.testers)?;
        match inquiry.decide() {
            Decision::Wait => Ok(None),
            Decision::Start(probes) => {
                self.start(&inquiry, probes).await?;
                Ok(None)
            }
            Decision::Done(answer) => {
                let mut revert = None;
                let named = answer::named_commit(&inquiry, &answer);
                if named.is_some() && !self.ends_again().await? {
                    return Ok(None);
                }
                if let Some(position) = named {
                    revert = self.reverted(position).await?;
                    if revert.is_none() {
                        return Ok(None);
                    }
                }
                answer::of_the_search(self.picture, &inquiry, &answer, revert).map(Some)
            }
        }
    }

    /// Runs both ends once more as often as at first, where a run is a sample of its time: a machine
    /// or an environment may have changed since. True when that is done; exact runs do not change.
    async fn ends_again(&mut self) -> anyhow::Result<bool> {
        let picture = self.picture;
        if picture.job.request.mode == RunMode::Exact {
            return Ok(true);
        }
        let mut done = true;
        for position in picture
            .present_ends()
            .into_iter()
            .chain(picture.absent_ends())
        {
            let runs = 2 * picture.first_runs(position);
            let (present, absent, _) = picture.tally(position);
            done &= present + absent >= runs;
            self.queue
                .drive(position, runs, "end again: is it still the same?")
                .await?;
        }
        Ok(done)
    }

    /// Runs the ends between the candidates of a metric in real mode.
    async fn references(&mut self) -> anyhow::Result<()> {
        let picture = self.picture;
        let more = picture.wanted_references();
        let ends = picture
            .present_ends()
            .into_iter()
            .chain(picture.absent_ends());
        for position in ends.filter(|_| more > 0) {
            let runs = picture.first_runs(position) + more;
            let reason = "reference: what does the machine measure now?";
            self.queue.drive(position, runs, reason).await?;
        }
        Ok(())
    }

    /// Starts the first run of every revision that was chosen and built for one.
    async fn test_what_was_built(&mut self) -> anyhow::Result<()> {
        for (position, site) in &self.picture.sites {
            if site.built.is_some() && site.tests.is_empty() {
                let reason = site.build.as_ref().map_or("", |b| b.reason.as_str());
                self.queue.drive(*position, 1, reason).await?;
            }
        }
        Ok(())
    }

    /// Builds and runs the last end without one commit; its check once that is done.
    async fn reverted(&mut self, position: i32) -> anyhow::Result<Option<Check>> {
        let picture = self.picture;
        let rev = picture.rev(position);
        if let Some(check) = answer::revert_check(picture, position) {
            return Ok(Some(check));
        }
        let at = position + REVERTS;
        if picture.site(at).is_some() {
            self.queue
                .drive(at, answer::revert_runs(picture), "revert")
                .await?;
            return Ok(None);
        }
        match self.revert.filter(|r| r.rev == rev).map(|r| &r.patch) {
            Some(Ok(patch)) => {
                let mut patches = picture.patches(picture.mended(picture.bad()));
                patches.push(patch.clone());
                let reason = format!("without {rev}");
                self.queue
                    .build(at, picture.bad(), &patches, &reason, 0)
                    .await?;
                Ok(None)
            }
            Some(Err(why)) => Ok(Some(answer::no_revert(picture, why.clone()))),
            None => {
                self.wants = Some(Want::Revert(Wanted {
                    tree: picture.job.tree.clone(),
                    rev: rev.to_owned(),
                    on: picture.rev(picture.bad()).to_owned(),
                    fixups: picture.patches(picture.mended(picture.bad())),
                }));
                Ok(None)
            }
        }
    }

    async fn start(&mut self, inquiry: &Inquiry, probes: Vec<Probe>) -> anyhow::Result<()> {
        let mut asked: BTreeMap<i32, (u32, String)> = BTreeMap::new();
        for probe in probes {
            let reason = match probe.purpose {
                Purpose::Calibrate => "how often the end shows it".to_owned(),
                Purpose::Search => format!("tells {:.2} bits", probe.gain),
                Purpose::Verify => "verification".to_owned(),
            };
            let at = inquiry.probe_at(probe.node);
            asked.entry(at).or_insert((0, reason)).0 += 1;
        }
        for (position, (more, reason)) in asked {
            let (_, _, unusable) = self.picture.tally(position);
            let site = self.picture.sites.get(&position);
            let begun = u32::try_from(site.map_or(0, |s| s.tests.len()))?;
            self.queue
                .drive(position, (begun + more).saturating_sub(unusable), &reason)
                .await?;
        }
        Ok(())
    }

    /// Goes on with candidates that have begun and still matter.
    async fn carry_on(&mut self, left: &[Node]) -> anyhow::Result<()> {
        for node in left {
            let position = i32::try_from(*node)?;
            let begun = self.picture.sites.contains_key(&position);
            if begun && self.picture.standing(position) == Standing::Running {
                self.queue
                    .drive(
                        position,
                        self.picture.calibration.needed,
                        "still a candidate",
                    )
                    .await?;
            }
        }
        Ok(())
    }

    /// Runs the ends; an outcome when they already answer the job.
    async fn ends(&mut self) -> anyhow::Result<Option<Outcome>> {
        let picture = self.picture;
        for position in picture.present_ends() {
            self.queue
                .drive(
                    position,
                    picture.calibration.wanted,
                    "end that should show the behaviour",
                )
                .await?;
        }
        for position in picture.absent_ends() {
            self.queue
                .drive(
                    position,
                    self.picture.calibration.wanted_clean,
                    "end that should not show the behaviour",
                )
                .await?;
        }
        Ok(answer::of_the_ends(picture))
    }
}
