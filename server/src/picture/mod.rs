//! A job as its rows tell it: what stands where. Pure after loading.
//!
//! The planner and the pages both read this, so that a page never tells another
//! story than the search.

mod again;
mod metric;
mod seen;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use firstbad_api::job::{Find, HumanMark, Signal, Word};
use firstbad_api::observation::{BuildObservation, TestObservation};
use firstbad_bisect::{Graph, History, Mark, Node, Observation, Policy};
use sqlx::PgConnection;

use crate::db::job::{self, JobRow, ProbeRow, RevisionRow};
use crate::db::mend::MendRow;
use crate::judge::{Raw, Reference, judge};
use crate::luck;
use crate::scale::{self, Ends, Levels};

/// Runs at the end that shows the behaviour before it counts as deterministic.
pub const FIRST_RUNS: u32 = 3;
/// Runs there when the first ones disagree or show nothing.
pub const CALIBRATION_RUNS: u32 = 20;
/// Runs at most of a clean end, or release, that is compared with another and nothing between.
const SURE_RUNS: u32 = 200;
/// Unusable runs after which a flaky candidate is given up.
const UNUSABLE_RUNS: u32 = 3;

/// Added to the position of a commit: the probe of the end named `bad` without that commit.
pub const REVERTS: i32 = 1 << 30;

/// One run at a revision.
pub struct Test {
    pub probe: ProbeRow,
    /// None too for an exact run that was not the same when it was run again.
    pub observation: Option<Arc<TestObservation>>,
    pub raw: Option<Raw>,
}

/// What a job knows about one revision.
#[derive(Default)]
pub struct Site {
    pub build: Option<ProbeRow>,
    pub built: Option<BuildObservation>,
    pub tests: Vec<Test>,
}

/// Where a revision stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Untested,
    Running,
    Present(String),
    Absent(String),
    Unusable(String),
    /// Our failure, too often.
    Held(String),
}

/// How often a run shows the behaviour where it is, as far as known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calibration {
    /// Runs wanted at the end that shows it.
    pub wanted: u32,
    /// Whether these are in and showed it.
    pub known: bool,
    /// Runs wanted at the ends that do not show it.
    pub wanted_clean: u32,
    /// Clean runs that make a candidate *absent* where every run tells the same.
    pub needed: u32,
    /// No run was clean at a revision that shows the behaviour.
    pub deterministic: bool,
}

/// A job with everything observed for it.
pub struct Picture {
    pub job: JobRow,
    pub revisions: BTreeMap<i32, RevisionRow>,
    pub sites: BTreeMap<i32, Site>,
    /// What people say of revisions: it counts instead of the runs.
    pub marks: BTreeMap<i32, HumanMark>,
    /// Patches for candidates that cannot be built or run without them.
    pub mends: Vec<MendRow>,
    /// The end named `bad` with one commit taken back, by that commit's position.
    pub reverts: BTreeMap<i32, Site>,
    pub graph: Graph,
    pub calibration: Calibration,
    /// What a metric without a threshold is at both ends.
    pub ends: Ends,
    /// What its runs have in common with those of the ends besides the kernel.
    levels: Levels,
    /// Titles of crashes that come and go at one revision.
    comes_and_goes: BTreeSet<String>,
}

impl Picture {
    /// Loads a job; `None` when there is no such job.
    ///
    /// # Errors
    /// The database's, or a sentence about rows that contradict each other.
    pub async fn load(conn: &mut PgConnection, id: i64) -> anyhow::Result<Option<Picture>> {
        let Some(job) = job::find(&mut *conn, id).await? else {
            return Ok(None);
        };
        let revisions = job::revisions(&mut *conn, id).await?;
        let probes = job::probes(&mut *conn, id).await?;
        let seen = seen::of_runs(&mut *conn, &probes).await?;
        let marks = crate::db::mark::standing(&mut *conn, id).await?;
        let mut picture = Picture::assemble(job, revisions, (probes, &seen), marks)?;
        picture.mends = crate::db::mend::of_job(conn, id).await?;
        Ok(Some(picture))
    }

    /// All builds and runs.
    pub fn probes(&self) -> impl Iterator<Item = &ProbeRow> {
        let sites = self.sites.values().chain(self.reverts.values());
        sites.flat_map(|s| s.build.iter().chain(s.tests.iter().map(|t| &t.probe)))
    }

    /// Another text when the rows tell something else of where the job stands.
    pub fn told_from(&self) -> String {
        let sites = self.sites.values().chain(self.reverts.values());
        let (mut builds, mut runs, mut seen) = (0, 0, 0);
        for site in sites {
            builds += usize::from(site.built.is_some());
            runs += site.tests.len();
            seen += site.tests.iter().filter(|t| t.raw.is_some()).count();
        }
        let marks: Vec<String> = self
            .marks
            .iter()
            .map(|(position, said)| format!("{position}{}", said.mark.as_str()))
            .collect();
        format!(
            "{} {} {builds} {runs} {seen} {} {}",
            self.revisions.len(),
            self.mends.len(),
            self.job.weighed,
            marks.join(" ")
        )
    }

    fn assemble(
        job: JobRow,
        revisions: Vec<RevisionRow>,
        (probes, seen): (Vec<ProbeRow>, &HashMap<i64, Arc<TestObservation>>),
        marks: Vec<(i32, HumanMark)>,
    ) -> anyhow::Result<Picture> {
        let revisions: BTreeMap<i32, RevisionRow> =
            revisions.into_iter().map(|r| (r.position, r)).collect();
        let mut parents = Vec::new();
        for row in revisions.range(0..).map(|(_, r)| r) {
            parents.push(
                row.parents
                    .iter()
                    .map(|p| Node::try_from(*p))
                    .collect::<Result<Vec<_>, _>>()?,
            );
        }
        let mut sites: BTreeMap<i32, Site> = BTreeMap::new();
        for mut probe in probes {
            let site = sites.entry(probe.position).or_default();
            let built = probe.built.take().filter(|_| probe.state == "done");
            if probe.kind == "build" {
                site.built = built.as_deref().map(serde_json::from_str).transpose()?;
                site.build = Some(probe);
            } else {
                let mut test = Test {
                    probe,
                    observation: None,
                    raw: None,
                };
                test.raw = test.not_exact();
                if test.raw.is_none() {
                    test.observation = seen.get(&test.probe.attempt_id).cloned();
                }
                site.tests.push(test);
            }
        }
        let reverts = sites.split_off(&REVERTS);
        let mut picture = Picture {
            job,
            revisions,
            sites,
            marks: marks.into_iter().collect(),
            mends: Vec::new(),
            reverts: reverts.into_iter().map(|(p, s)| (p - REVERTS, s)).collect(),
            graph: Graph::new(parents)?,
            calibration: Calibration {
                wanted: FIRST_RUNS,
                known: false,
                wanted_clean: 1,
                needed: 1,
                deterministic: true,
            },
            ends: Ends::Open,
            levels: Levels::None,
            comes_and_goes: BTreeSet::new(),
        };
        picture.comes_and_goes = picture.passing_crashes();
        picture.levels = picture.find_levels();
        picture.ends = picture.compare_ends();
        picture.judge_all();
        picture.calibrate();
        Ok(picture)
    }

    /// Last node: the end named `bad`.
    pub fn bad(&self) -> i32 {
        i32::try_from(self.graph.len()).unwrap_or(i32::MAX) - 1
    }

    /// Positions of the ends named `good`.
    pub fn goods(&self) -> Vec<i32> {
        self.revisions.range(..0).map(|(p, _)| *p).rev().collect()
    }

    pub fn find(&self) -> Find {
        self.job.request.find
    }

    /// Whether a good end is still looked for: the revisions are releases then.
    pub fn walks(&self) -> bool {
        self.job.range.walk.is_some() && self.job.range.good.is_empty()
    }

    /// What counts as the behaviour: as requested, or what is left of it.
    pub fn signal(&self) -> Signal {
        match self.job.narrowed.clone() {
            Some(cases) => Signal::Cases { cases },
            None => self.job.request.signal.clone(),
        }
    }

    /// What a survey runs: the first release, and the others that were asked for.
    pub fn surveyed(&self) -> Vec<i32> {
        let others = self.revisions.range(0..).filter(|(_, r)| r.eligible);
        let others = others.map(|(p, _)| *p);
        self.goods().into_iter().chain(others).collect()
    }

    /// Whether a survey has all it wants of a release, or cannot have it.
    pub fn is_surveyed(&self, position: i32) -> bool {
        match self.standing(position) {
            Standing::Untested => false,
            Standing::Unusable(_) | Standing::Held(_) => true,
            Standing::Present(_) | Standing::Absent(_) | Standing::Running => {
                let tests = self.site(position).map_or(&[][..], |s| &s.tests);
                let told = tests.iter().filter(|t| t.observation.is_some()).count();
                told >= self.job.request.runs as usize
            }
        }
    }

    /// Ends where the behaviour should be seen.
    pub fn present_ends(&self) -> Vec<i32> {
        match self.find() {
            Find::Regression => vec![self.bad()],
            Find::Fix => self.goods(),
        }
    }

    /// Ends where it should not.
    pub fn absent_ends(&self) -> Vec<i32> {
        match self.find() {
            Find::Regression => self.goods(),
            Find::Fix => vec![self.bad()],
        }
    }

    fn judge_all(&mut self) {
        let mut signal = self.signal();
        if let (Signal::Metric { threshold, .. }, Ends::Differ(scale)) = (&mut signal, &self.ends) {
            *threshold = Some(scale.threshold());
        }
        let ends = self.present_ends();
        let observed = ends
            .iter()
            .filter_map(|p| self.sites.get(p))
            .flat_map(|s| &s.tests);
        let reference = Reference::learn(observed.filter_map(|t| t.observation.as_deref()));
        let levels = &self.levels;
        let sites = self
            .sites
            .iter_mut()
            .map(|(p, site)| (ends.contains(p), site));
        let reverts = self.reverts.values_mut().map(|site| (false, site));
        for (end, site) in sites.chain(reverts) {
            let reference = (!end).then_some(&reference);
            for test in &mut site.tests {
                if let Some(seen) = &test.observation {
                    let level = levels.of(test.probe.attempt_id, test.probe.seed);
                    test.raw = judge(&signal, reference, level, seen);
                }
            }
        }
    }

    /// What is known at a position; a position from [`REVERTS`] on is that of a revert.
    pub fn site(&self, position: i32) -> Option<&Site> {
        match position.checked_sub(REVERTS) {
            Some(reverted) if reverted >= 0 => self.reverts.get(&reverted),
            _ => self.sites.get(&position),
        }
    }

    /// The patches a revision is built with: those of all, and `mends` of those of some.
    pub fn patches(&self, mends: usize) -> Vec<String> {
        let some = self.mends.iter().take(mends).map(|m| m.patch.clone());
        self.job
            .request
            .fixups
            .iter()
            .cloned()
            .chain(some)
            .collect()
    }

    /// How many patches for those that need them the build of a revision has.
    pub fn mended(&self, position: i32) -> usize {
        let build = self.sites.get(&position).and_then(|s| s.build.as_ref());
        build.map_or(0, |b| usize::try_from(b.mends).unwrap_or(0))
    }

    /// Revisions that could not be built or run, and for which there is a patch that was not tried.
    pub fn to_mend(&self) -> Vec<i32> {
        let needs = |p: &i32| {
            self.mended(*p) < self.mends.len()
                && !self.marks.contains_key(p)
                && matches!(self.standing(*p), Standing::Unusable(_))
        };
        self.sites.keys().copied().filter(needs).collect()
    }

    /// `(present, absent, unusable)` runs at a position.
    pub fn tally(&self, position: i32) -> (u32, u32, u32) {
        let mut tally = (0, 0, 0);
        for test in self
            .site(position)
            .map(|s| s.tests.as_slice())
            .unwrap_or_default()
        {
            match test.raw {
                Some(Raw::Present(_)) => tally.0 += 1,
                Some(Raw::Absent(_)) => tally.1 += 1,
                Some(Raw::Unusable(_)) => tally.2 += 1,
                None => {}
            }
        }
        tally
    }

    /// The signature of its kernel, once it is built.
    pub fn kernel(&self, position: i32) -> Option<&str> {
        match self.site(position)?.built.as_ref()? {
            BuildObservation::Built { signature, .. } => Some(signature),
            BuildObservation::Failed { .. } => None,
        }
    }

    fn calibrate(&mut self) {
        if self.between_the_ends() {
            return self.calibrate_metric();
        }
        let fixed = self.job.request.runs;
        let Some(&end) = self.present_ends().first() else {
            return;
        };
        let (present, absent, _) = self.tally(end);
        let (shown, all) = self.pooled();
        let deterministic = shown == all && absent == 0;
        let wanted = match fixed {
            0 if deterministic => FIRST_RUNS,
            0 => CALIBRATION_RUNS,
            n => n,
        };
        let known = present > 0 && present + absent >= wanted;
        let wanted_clean = match fixed {
            // Enough to be no luck, since nothing between the ends says more.
            0 if known && (self.job.request.two_point || self.walks()) => {
                luck::clean_runs((shown, all), SURE_RUNS)
            }
            n => n.max(1),
        };
        self.calibration = Calibration {
            wanted,
            known,
            wanted_clean,
            needed: if self.walks() {
                wanted_clean
            } else {
                fixed.max(1)
            },
            deterministic,
        };
    }

    /// `(shown, all)` runs at the revisions where the behaviour was seen.
    pub fn pooled(&self) -> (u32, u32) {
        let mut pooled = (0, 0);
        for position in self.sites.keys() {
            let (present, absent, _) = self.tally(*position);
            if present > 0 {
                pooled = (pooled.0 + present, pooled.1 + present + absent);
            }
        }
        pooled
    }

    /// Where a revision stands now.
    pub fn standing(&self, position: i32) -> Standing {
        if let Some(said) = self.marks.get(&position) {
            let why = match said.why.as_str() {
                "" => format!("marked by {}", said.who),
                why => format!("marked by {}: {why}", said.who),
            };
            return match said.mark {
                Word::Bad => Standing::Present(why),
                Word::Good => Standing::Absent(why),
                Word::Skip => Standing::Unusable(why),
            };
        }
        let Some(site) = self.site(position) else {
            return Standing::Untested;
        };
        let Some(build) = &site.build else {
            return Standing::Untested;
        };
        match build.state.as_str() {
            "held" => return Standing::Held(build.infra_what.clone().unwrap_or_default()),
            "cancelled" => return Standing::Untested,
            _ => {}
        }
        if let Some(BuildObservation::Failed { stage, first_error }) = &site.built {
            return Standing::Unusable(format!("{stage} fails: {first_error}"));
        }
        self.standing_of_tests(position, site)
    }

    fn standing_of_tests(&self, position: i32, site: &Site) -> Standing {
        let (present, absent, unusable) = self.tally(position);
        let why = |wanted: fn(&Raw) -> Option<&String>| {
            let text = site
                .tests
                .iter()
                .filter_map(|t| t.raw.as_ref())
                .find_map(wanted);
            text.cloned().unwrap_or_default()
        };
        if let Some(shows) = self.mean_shows(position) {
            let mean = self.metric(position).unwrap_or_default();
            let text = format!("{} on average", scale::round(mean));
            return match shows {
                true => Standing::Present(text),
                false => Standing::Absent(text),
            };
        }
        if present > 0 {
            return Standing::Present(why(|r| {
                if let Raw::Present(w) = r {
                    Some(w)
                } else {
                    None
                }
            }));
        }
        let needed = match position {
            p if self.present_ends().contains(&p) => self.calibration.wanted,
            p if self.absent_ends().contains(&p) => self.calibration.wanted_clean,
            _ => self.calibration.needed,
        };
        if absent >= needed {
            return Standing::Absent(why(|r| {
                if let Raw::Absent(w) = r {
                    Some(w)
                } else {
                    None
                }
            }));
        }
        let least = if self.calibration.deterministic && !self.job.request.two_point {
            1
        } else {
            UNUSABLE_RUNS
        };
        if unusable >= least.max(self.patience(position)) {
            return Standing::Unusable(why(|r| {
                if let Raw::Unusable(w) = r {
                    Some(w)
                } else {
                    None
                }
            }));
        }
        if let Some(held) = site.tests.iter().find(|t| t.probe.state == "held") {
            return Standing::Held(held.probe.infra_what.clone().unwrap_or_default());
        }
        Standing::Running
    }

    /// Runs of an end before the search begins.
    pub fn first_runs(&self, position: i32) -> u32 {
        match self.present_ends().contains(&position) {
            true => self.calibration.wanted,
            false => self.calibration.wanted_clean,
        }
    }

    /// Whether both ends are known and differ.
    pub fn ends_settled(&self) -> bool {
        let shows = |p: &i32| matches!(self.standing(*p), Standing::Present(_));
        let clean = |p: &i32| matches!(self.standing(*p), Standing::Absent(_));
        self.calibration.known
            && self.present_ends().iter().all(shows)
            && self.absent_ends().iter().all(clean)
    }

    /// The verdict in the search's terms: bad = new behaviour. `None` while open.
    pub fn mark(&self, position: i32) -> Option<Mark> {
        let mark = match self.standing(position) {
            Standing::Present(_) => Mark::Bad,
            Standing::Absent(_) => Mark::Good,
            Standing::Unusable(_) | Standing::Held(_) => Mark::Skip,
            Standing::Untested | Standing::Running => return None,
        };
        Some(if self.find() == Find::Fix {
            mark.invert()
        } else {
            mark
        })
    }

    /// What the search may know: verdicts and running probes of the range.
    pub fn history(&self) -> History {
        let mut history = History {
            marks: Vec::new(),
            running: Vec::new(),
        };
        for (position, row) in self.revisions.range(0..) {
            let Ok(node) = Node::try_from(*position) else {
                continue;
            };
            match self.mark(*position) {
                Some(mark) => history.marks.push(Observation { node, mark }),
                None if self.job.request.skip.contains(&row.rev) => {
                    let mark = Mark::Skip;
                    history.marks.push(Observation { node, mark });
                }
                None if self.sites.contains_key(position) => history.running.push(node),
                None => {}
            }
        }
        history
    }

    /// How the search goes about it.
    pub fn policy(&self, workers: usize) -> Policy {
        let eligible = if self.job.request.paths.is_empty() && self.job.request.only.is_empty() {
            None
        } else {
            let nodes = self.revisions.range(0..).filter(|(_, r)| r.eligible);
            let mut set = firstbad_bisect::FixedBitSet::with_capacity(self.graph.len());
            nodes
                .filter_map(|(p, _)| usize::try_from(*p).ok())
                .for_each(|p| set.insert(p));
            Some(set)
        };
        Policy {
            workers,
            first_parent: self.job.request.first_parent,
            eligible,
            weights: self.weights(),
        }
    }

    /// How likely each candidate is beforehand, by node, if that is known.
    pub fn weights(&self) -> Option<Vec<u32>> {
        let rows = self.revisions.range(0..).map(|(_, r)| r.weight);
        rows.map(|w| w.and_then(|w| u32::try_from(w).ok()))
            .collect()
    }

    /// Symbols of the user's fragment that an end's configuration lost.
    pub fn lost_user_symbols(&self) -> Option<String> {
        let asked = crate::repo::Repos::parse_fragment(&self.job.request.config.fragment).ok()?;
        let ends = self.goods().into_iter().chain([self.bad()]);
        for position in ends {
            if let Some(BuildObservation::Built { lost_symbols, .. }) =
                self.sites.get(&position).and_then(|s| s.built.as_ref())
            {
                let bare = |s: &str| s.trim_start_matches("CONFIG_").to_owned();
                let lost = lost_symbols.iter().find(|l| {
                    asked
                        .iter()
                        .any(|a| l.split(':').next().is_some_and(|n| bare(n) == bare(a)))
                });
                if let Some(lost) = lost {
                    return Some(lost.clone());
                }
            }
        }
        None
    }

    pub fn subject(&self, position: i32) -> &str {
        self.revisions
            .get(&position)
            .map_or("", |r| r.subject.as_str())
    }

    pub fn rev(&self, position: i32) -> &str {
        self.revisions.get(&position).map_or("", |r| r.rev.as_str())
    }
}
