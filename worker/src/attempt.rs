//! One attempt, stage by stage.
//!
//! Owns the order of the stages and what is uploaded. Must not know how a stage
//! works, or what its observation means.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firstbad_api::artefact::COMPILED;
use firstbad_api::lease::{BuildWork, RunMode, TestWork, Work};
use firstbad_api::observation::{
    BootOutcome, BuildObservation, Finish, GuestArchive, TestObservation,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::buildlog::BuildLog;
use crate::client::Client;
use crate::dirs::{Dirs, remove_dir};
use crate::error::{Context, InfraError};
use crate::kbuild::{Built, Kbuild, Step};
use crate::lease::Held;
use crate::process::Until;
use crate::source::{self, Source};
use crate::stages::Stages;
use crate::upload::Follower;
use crate::{fstests, images, kselftest, packaged, vm};

/// Where [`vm::run_test`] writes the console in the scratch directory, as it comes.
const CONSOLE: &str = "console.log";
/// How often a worker looks whether another one of its host still measures.
const MEASURING_LOOK: Duration = Duration::from_millis(200);

/// What this machine works with.
pub struct Machine {
    pub dirs: Dirs,
    pub client: Client,
    /// Present when build attempts are taken.
    pub kbuild: Option<Kbuild>,
    /// Present when test attempts are taken.
    pub vm: Option<vm::Vm>,
}

/// Does what the lease asks for. The scratch directory is gone afterwards.
pub async fn run(machine: &Machine, held: &Held, work: &Work) -> Result<Finish, InfraError> {
    let scratch = machine.dirs.scratch(held.fence.attempt, held.fence.epoch);
    remove_dir(&scratch)?;
    std::fs::create_dir_all(&scratch).context("cannot make the scratch directory")?;
    let mut attempt = Attempt {
        machine,
        held,
        scratch: scratch.clone(),
        stages: Stages::new(&machine.client, held),
    };
    let done = match work {
        Work::Build(work) => attempt.build(work).await,
        Work::Test(work) => attempt.test(work).await,
    };
    // Nobody waits for the reports of a stopped attempt.
    if !held.stop.is_cancelled() {
        attempt.stages.finish(done.is_ok()).await;
    }
    if let Err(why) = remove_dir(&scratch) {
        tracing::warn!(%why, "left-over scratch; the next start tries again");
    }
    done
}

/// A build, or the stage and the line at which the tree failed.
enum Outcome {
    Built(Box<Built>),
    Failed { stage: String, first_error: String },
}

struct Attempt<'a> {
    machine: &'a Machine,
    held: &'a Held,
    scratch: PathBuf,
    stages: Stages<'a>,
}

impl Attempt<'_> {
    fn until(&self, deadline_s: u64) -> Until {
        Until {
            deadline: Instant::now() + Duration::from_secs(deadline_s),
            cancel: self.held.stop.clone(),
        }
    }

    async fn build(&mut self, work: &BuildWork) -> Result<Finish, InfraError> {
        let path = self.scratch.join("build.log");
        let mut log = BuildLog::create(&path).context("cannot make the build log")?;
        let follower = Follower::start(&self.machine.client, self.held.fence, "build", &path);
        let until = self.until(work.deadline_s);
        let done = self.build_steps(work, &mut log, &until).await;
        if let Err(why) = &done {
            log.note(&why.to_string()).context("build log")?;
        }
        log.close().context("build log")?;
        if self.held.stop.is_cancelled() {
            return Err(done.err().unwrap_or(InfraError::Cancelled));
        }
        sent(follower).await?;
        let observation = match done? {
            Outcome::Built(built) => self.upload_build(*built).await?,
            Outcome::Failed { stage, first_error } => {
                BuildObservation::Failed { stage, first_error }
            }
        };
        Ok(Finish::Build { observation })
    }

    async fn build_steps(
        &mut self,
        work: &BuildWork,
        log: &mut BuildLog,
        until: &Until,
    ) -> Result<Outcome, InfraError> {
        let machine = self.machine;
        let Some(kbuild) = &machine.kbuild else {
            return Err(InfraError::Failed("this worker takes no builds".to_owned()));
        };
        self.stages.enter("source");
        log.note(&format!("{} {}", work.tree, work.rev))
            .context("build log")?;
        log.note(&format!("toolchain: {}", kbuild.toolchain()))
            .context("build log")?;
        let source = match source::prepare(&machine.dirs, &machine.client, work, until).await? {
            Source::Ready(path) => path,
            Source::Unpatchable(why) => {
                log.note(&why).context("build log")?;
                return Ok(self.failed("source", why));
            }
        };
        let pinned = match &work.kselftest_rev {
            Some(rev) => {
                log.note(&format!("selftests of {rev}")).context("log")?;
                let of = (work.tree.as_str(), rev.as_str());
                Some(source::pinned(&machine.dirs, &machine.client, of, until).await?)
            }
            None => None,
        };
        let fstests = match self.fstests(kbuild, work, log, until).await? {
            Some(Step::Done(archive)) => Some(archive),
            Some(Step::Failed(line)) => return Ok(self.failed("source", line)),
            None => None,
        };
        let mut done = self.kernel(kbuild, work, &source, log, until).await?;
        if let (Outcome::Built(built), Some(source)) = (&mut done, &pinned) {
            let scratch = &self.scratch;
            kselftest::add_pinned(kbuild, work, source, scratch, built, log, until).await?;
        }
        if let (Outcome::Built(built), Some(archive)) = (&mut done, fstests) {
            fstests::add(built, archive);
        }
        Ok(done)
    }

    /// The fstests that goes with the kernel, if one does.
    async fn fstests(
        &self,
        kbuild: &Kbuild,
        work: &BuildWork,
        log: &mut BuildLog,
        until: &Until,
    ) -> Result<Option<Step<GuestArchive>>, InfraError> {
        let Some(pinned) = &work.fstests else {
            return Ok(None);
        };
        let here = (&self.machine.dirs, &self.machine.client);
        let made = fstests::archive(kbuild, here, pinned, &self.scratch, log, until).await?;
        Ok(Some(made))
    }

    /// The kernel, unpacked or built.
    async fn kernel(
        &mut self,
        kbuild: &Kbuild,
        work: &BuildWork,
        source: &Path,
        log: &mut BuildLog,
        until: &Until,
    ) -> Result<Outcome, InfraError> {
        let scratch = self.scratch.clone();
        if let Some(packaged) = &work.packaged {
            self.stages.enter("build");
            let sandbox = kbuild.sandbox();
            let step = packaged::unpack(sandbox, work, packaged, source, &scratch, log, until);
            return Ok(match step.await? {
                Step::Done(built) => Outcome::Built(Box::new(built)),
                Step::Failed(line) => self.failed("build", line),
            });
        }
        self.stages.enter("configure");
        log.note("configure").context("build log")?;
        let mut build = kbuild.begin(work, source, &scratch)?;
        let lost = match build.configure(log, until).await? {
            Step::Done(lost) => lost,
            Step::Failed(line) => {
                build.finish()?;
                return Ok(self.failed("configure", line));
            }
        };
        self.stages.enter("build");
        log.note("build").context("build log")?;
        match build.build(lost, log, until).await? {
            Step::Done(built) => Ok(Outcome::Built(Box::new(built))),
            Step::Failed(line) => Ok(self.failed("build", line)),
        }
    }

    fn failed(&mut self, stage: &str, first_error: String) -> Outcome {
        self.stages.leave(false);
        Outcome::Failed {
            stage: stage.to_owned(),
            first_error,
        }
    }

    async fn upload_build(&mut self, built: Built) -> Result<BuildObservation, InfraError> {
        self.stages.enter("upload");
        let files = [
            ("bzImage", &built.image_sha256, &built.image),
            ("config", &built.config_sha256, &built.config),
            (COMPILED, &built.compiled_sha256, &built.compiled),
        ];
        for (name, sha256, path) in files {
            self.upload(name, sha256, path).await?;
        }
        for archive in &built.archives {
            let path = self.scratch.join(&archive.name);
            self.upload(&archive.name, &archive.sha256, &path).await?;
        }
        images::keep(&self.machine.dirs, &built.image, &built.image_sha256);
        Ok(BuildObservation::Built {
            signature: built.signature,
            image_sha256: built.image_sha256,
            config_sha256: built.config_sha256,
            release: built.release,
            lost_symbols: built.lost_symbols,
            objects_built: built.objects_built,
            ccache_hits: built.ccache_hits,
            archives: built.archives,
        })
    }

    async fn upload(&self, name: &str, sha256: &str, path: &Path) -> Result<(), InfraError> {
        let client = &self.machine.client;
        tokio::select! {
            done = client.put_artefact(&self.held.fence, name, sha256, path) => Ok(done?),
            () = self.held.stop.cancelled() => Err(InfraError::Cancelled),
        }
    }

    async fn test(&mut self, work: &TestWork) -> Result<Finish, InfraError> {
        let machine = self.machine;
        let Some(vm) = &machine.vm else {
            return Err(InfraError::Failed("this worker takes no tests".to_owned()));
        };
        self.stages.enter("source");
        let image = self.stored(&work.image_sha256).await?;
        let mut archives = Vec::new();
        for archive in &work.archives {
            archives.push(self.stored(&archive.sha256).await?);
        }
        // Two machines on the clock of one host would measure each other.
        let alone = match work.shape.mode {
            RunMode::Real => Some(self.alone().await?),
            RunMode::Exact => None,
        };
        self.stages.enter("boot");
        let console = self.scratch.join(CONSOLE);
        let follower = Follower::start(&machine.client, self.held.fence, "console", &console);
        let result = self.run_vm(vm, &image, &archives, work).await;
        drop(alone);
        if self.held.stop.is_cancelled() {
            return Err(result.err().unwrap_or(InfraError::Cancelled));
        }
        sent(follower).await?;
        let result = result?;
        self.stages
            .leave(result.observation.boot == BootOutcome::Up);
        self.stages.enter("upload");
        for part in &result.initramfs_parts {
            self.upload(part.name, &part.sha256, &part.path).await?;
        }
        self.upload_results(&result.observation).await?;
        Ok(Finish::Test {
            observation: result.observation,
        })
    }

    /// Waits until no other worker of this host measures.
    async fn alone(&self) -> Result<File, InfraError> {
        loop {
            if let Some(file) = self.machine.dirs.measuring()? {
                return Ok(file);
            }
            tokio::select! {
                () = tokio::time::sleep(MEASURING_LOOK) => {}
                () = self.held.stop.cancelled() => return Err(InfraError::Cancelled),
            }
        }
    }

    /// A file of a build, by its hash.
    async fn stored(&self, sha256: &str) -> Result<PathBuf, InfraError> {
        tokio::select! {
            file = images::get(&self.machine.dirs, &self.machine.client, sha256) => file,
            () = self.held.stop.cancelled() => Err(InfraError::Cancelled),
        }
    }

    async fn run_vm(
        &mut self,
        vm: &vm::Vm,
        image: &Path,
        archives: &[PathBuf],
        work: &TestWork,
    ) -> Result<vm::RunResult, InfraError> {
        let (progress, mut seen) = mpsc::channel(16);
        let scratch = self.scratch.clone();
        let run = vm::run_test(
            vm,
            image,
            archives,
            work,
            &scratch,
            progress,
            self.held.stop.clone(),
        );
        let mut run = std::pin::pin!(run);
        loop {
            tokio::select! {
                biased;
                Some(step) = seen.recv() => if matches!(step, vm::Progress::Booted) {
                    self.stages.enter("test");
                },
                done = &mut run => return done,
            }
        }
    }

    async fn upload_results(&self, observation: &TestObservation) -> Result<(), InfraError> {
        let path = self.scratch.join("results.json");
        let text = serde_json::to_vec_pretty(observation).context("the results")?;
        std::fs::write(&path, &text).context("cannot write the results")?;
        let sha256 = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&text));
        self.upload("results.json", &sha256, &path).await
    }
}

/// Waits until a log is with the server. A log that cannot be sent costs no result, a lost lease does.
async fn sent(follower: Follower) -> Result<(), InfraError> {
    match follower.finish().await {
        Err(InfraError::Failed(why)) => {
            tracing::warn!(%why, "a log could not be sent");
            Ok(())
        }
        done => done.map(drop),
    }
}
