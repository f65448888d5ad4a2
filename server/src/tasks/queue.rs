//! The attempts that a planning pass asks for.
//!
//! Owns what an attempt needs and when it is the same as another. Must not know why it is wanted.

use firstbad_api::fstests::Pinned;
use firstbad_api::job::Word;
use firstbad_api::lease::{BuildWork, Packaged, TestWork, VmShape, Work};
use firstbad_api::limits;
use firstbad_api::observation::{BuildObservation, GuestArchive};
use sqlx::PgConnection;

use crate::db;
use crate::db::attempt::NewAttempt;
use crate::identity::{self, Selftests};
use crate::ladder::Kind;
use crate::picture::{Picture, REVERTS};
use crate::tasks::budget::Purse;

/// Modules that packaged kernels are to bring.
const MODULES: &str = include_str!("../../../suites/modules");

/// Where the files of a revision are.
enum Held {
    Here {
        rev: String,
        packaged: Option<Packaged>,
    },
    /// They are being fetched: the next pass asks again.
    Coming,
    Gone,
}

fn modules() -> Packaged {
    let names = MODULES.lines().filter(|l| !l.starts_with('#'));
    Packaged {
        modules: names.map(str::to_owned).collect(),
    }
}

/// Takes the wishes of one pass over one job.
pub struct Queue<'a> {
    pub picture: &'a Picture,
    pub conn: &'a mut PgConnection,
    /// Live workers that take tests.
    pub testers: usize,
    /// What may still be asked for.
    pub purse: Purse,
    /// Wishes so far.
    pub enqueued: usize,
}

impl Queue<'_> {
    /// Makes sure that a revision is built and has its runs, a few at a time.
    pub async fn drive(&mut self, position: i32, runs: u32, reason: &str) -> anyhow::Result<()> {
        let picture = self.picture;
        let Some(site) = picture.site(position).filter(|s| s.build.is_some()) else {
            let fixups = &picture.job.request.fixups;
            return self.build(position, position, fixups, reason, 0).await;
        };
        let Some(BuildObservation::Built {
            signature,
            image_sha256,
            archives,
            ..
        }) = &site.built
        else {
            return Ok(());
        };
        let (_, _, unusable) = picture.tally(position);
        let target = usize::try_from(runs + unusable)?;
        let open = site
            .tests
            .iter()
            .filter(|t| t.observation.is_none() && t.raw.is_none())
            .count();
        let more = target
            .saturating_sub(site.tests.len())
            .min(self.testers.saturating_sub(open));
        for run in site.tests.len()..site.tests.len() + more {
            let kernel = (
                signature.as_str(),
                image_sha256.as_str(),
                archives.as_slice(),
            );
            self.test(position, run, kernel, reason).await?;
        }
        Ok(())
    }

    /// Builds a revision anew, with the patches for those that need them.
    pub async fn mend(&mut self, position: i32) -> anyhow::Result<()> {
        let picture = self.picture;
        let mends = picture.mends.len();
        let patches = picture.patches(mends);
        self.build(position, position, &patches, "", mends).await
    }

    /// Builds `of` with patches for the probe at `position`. With `mends` of these for revisions that
    /// need them, it takes the place of the build there is.
    pub async fn build(
        &mut self,
        position: i32,
        of: i32,
        fixups: &[String],
        reason: &str,
        mends: usize,
    ) -> anyhow::Result<()> {
        let job = &self.picture.job;
        let (Some(row), Some(toolchain)) = (self.picture.revisions.get(&of), &job.toolchain) else {
            return Ok(());
        };
        let Held::Here { rev, packaged } = self.held(position, &row.rev).await? else {
            return Ok(());
        };
        let from = match &job.request.selftests_from {
            None => None,
            Some(from) => match self.held(position, from).await? {
                Held::Here { rev, .. } => Some(rev),
                Held::Coming | Held::Gone => return Ok(()),
            },
        };
        let job = &self.picture.job;
        let fstests = job.request.fstests.as_ref();
        let tests = Selftests {
            targets: &job.suite.spec.kselftest,
            from: from.as_deref(),
            fstests: fstests.map(|f| f.rev.as_str()),
        };
        let work = Work::Build(BuildWork {
            tree: job.tree.clone(),
            rev,
            config: job.config.0.clone(),
            fixups: fixups.to_vec(),
            packaged: packaged.clone(),
            kselftest: job.suite.spec.kselftest.clone(),
            kselftest_rev: from.clone(),
            fstests: fstests.map(|f| Pinned {
                tree: f.tree.clone(),
                rev: f.rev.clone(),
            }),
            deadline_s: limits::BUILD_DEADLINE_S,
        });
        let new = NewAttempt {
            kind: "build",
            identity: &match &packaged {
                Some(packaged) => identity::packaged(&row.tree_oid, packaged, toolchain, tests),
                None => identity::build(&row.tree_oid, fixups, &job.config, toolchain, tests),
            },
            tree_id: job.tree_id,
            tree: &job.tree,
            rev: &row.rev,
            suite: None,
            seed: None,
            work: &work,
            deadline_s: i32::try_from(limits::BUILD_DEADLINE_S)?,
            needs_toolchain: Some(toolchain),
            needs_toolset: None,
            needs_qemu: None,
            priority: job.request.priority.rank(),
        };
        if mends == 0 {
            return self.enqueue(position, 0, reason, &new).await;
        }
        let Some((attempt, existed)) = self.afford(&new).await? else {
            return Ok(());
        };
        let probe = (self.picture.job.id, position);
        db::mend::rebuilt(self.conn, probe, attempt, existed, i32::try_from(mends)?).await?;
        self.enqueued += 1;
        Ok(())
    }

    /// Where the files of a revision are. Those of a release are fetched when a build first wants
    /// them; one that cannot be fetched is skipped, as if a person had said so.
    async fn held(&mut self, position: i32, rev: &str) -> anyhow::Result<Held> {
        let here = |rev: String, packaged| Ok(Held::Here { rev, packaged });
        let tree = self.picture.job.tree_id;
        let Some(release) = db::release::find(self.conn, tree, rev).await? else {
            return here(rev.to_owned(), None);
        };
        if let Some(made) = release.made {
            let packaged = release.kind == Kind::Packaged.as_str();
            return here(made, packaged.then(modules));
        }
        if release.gone < limits::RELEASE_FETCHES {
            db::release::want(self.conn, tree, rev).await?;
            return Ok(Held::Coming);
        }
        if !self.picture.marks.contains_key(&position) {
            let why = format!("{} cannot be had: {}", release.version, release.why);
            let job = self.picture.job.id;
            db::mark::insert(self.conn, job, position, Word::Skip, "archive", &why).await?;
            self.enqueued += 1;
        }
        Ok(Held::Gone)
    }

    async fn test(
        &mut self,
        position: i32,
        run: usize,
        (signature, image_sha256, archives): (&str, &str, &[GuestArchive]),
        reason: &str,
    ) -> anyhow::Result<()> {
        let job = &self.picture.job;
        let (Some(toolset), Some(qemu)) = (&job.toolset, &job.qemu_version) else {
            return Ok(());
        };
        let request = &job.request;
        let seed = request.seed.wrapping_add(run as u64);
        let shape = VmShape {
            mode: request.mode,
            vcpus: request.vcpus,
            memory_mib: job.suite.spec.memory_mib,
            shift: request.shift,
            calm: false,
        };
        let same = identity::Run {
            signature,
            suite_digest: &job.suite.digest,
            cases: &request.cases,
            shape,
            toolset,
            qemu_version: qemu,
            seed,
        };
        let deadline_s = job.suite.spec.deadline_s.unwrap_or(limits::TEST_DEADLINE_S);
        let work = Work::Test(TestWork {
            image_sha256: image_sha256.to_owned(),
            archives: archives.to_vec(),
            suite: job.suite.0.clone(),
            cases: request.cases.clone(),
            shape,
            seed,
            deadline_s,
        });
        let new = NewAttempt {
            kind: "test",
            identity: &same.identity(job.id),
            tree_id: job.tree_id,
            tree: &job.tree,
            rev: match position < REVERTS {
                true => self.picture.rev(position),
                false => self.picture.rev(self.picture.bad()),
            },
            suite: Some(&job.suite.spec.name),
            seed: Some(i64::from_ne_bytes(seed.to_ne_bytes())),
            work: &work,
            deadline_s: i32::try_from(deadline_s + limits::BOOT_DEADLINE_S)?,
            needs_toolchain: None,
            needs_toolset: Some(toolset),
            needs_qemu: Some(qemu),
            priority: request.priority.rank(),
        };
        self.enqueue(position, i32::try_from(run)?, reason, &new)
            .await
    }

    /// The attempt and whether it existed, which costs nothing; `None` when the budget is used up.
    async fn afford(&mut self, new: &NewAttempt<'_>) -> anyhow::Result<Option<(i64, bool)>> {
        if !self.purse.has(new.kind)
            && !db::attempt::known(self.conn, new.kind, new.identity).await?
        {
            self.purse.refused = true;
            return Ok(None);
        }
        let (attempt, existed) = db::attempt::ensure(self.conn, new).await?;
        if !existed {
            self.purse.spend(new.kind);
        }
        Ok(Some((attempt, existed)))
    }

    async fn enqueue(
        &mut self,
        position: i32,
        run: i32,
        reason: &str,
        new: &NewAttempt<'_>,
    ) -> anyhow::Result<()> {
        let Some((attempt, existed)) = self.afford(new).await? else {
            return Ok(());
        };
        let job = self.picture.job.id;
        db::job::insert_probe(
            self.conn, job, position, new.kind, run, attempt, existed, reason,
        )
        .await?;
        self.enqueued += 1;
        Ok(())
    }
}
