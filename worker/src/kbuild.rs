//! Configures and builds a kernel in the sandbox.
//!
//! Owns the recipe: fixed names and times, one object directory per tree,
//! configuration and toolchain, `ccache`, and the judgement whose fault a
//! failure is. A failure in a used object directory is confirmed in an empty
//! one before it counts. Must not know where the source came from or what the
//! kernel is for.

use std::fs;
use std::path::{Path, PathBuf};

use firstbad_api::artefact::COMPILED;
use firstbad_api::lease::{BuildWork, ConfigBase};
use firstbad_api::limits::{ARTEFACT_BYTES, CONFIG_BYTES};
use firstbad_api::observation::GuestArchive;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::buildlines::BuildLines;
use crate::buildlog::BuildLog;
use crate::dirs::{DISK_FULL, Dirs, DirtyMark, remove_dir, sandbox_dir};
use crate::error::{Context, InfraError};
use crate::process::{Until, output, run_logged, signal_of};
use crate::sandbox::{Sandbox, Spec};
use crate::{compiled, installed, kconfig, kselftest, signature, untrusted};

/// Part of the key of object directories: raise it when the recipe changes.
const RECIPE: &str = "1";
/// ccache's statistics, in the scratch directory.
const STATS: &str = "stats";
const CONFIGURE: &str = include_str!("configure.sh");
/// Size of one tree's compiler cache.
const CCACHE_SIZE: &str = "6G";
/// Programs a kernel build needs, with the Debian package of each.
const NEEDED: &[(&str, &str)] = &[
    ("make", "make"),
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("ccache", "ccache"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("perl", "perl-base"),
];

/// Builds kernels on this machine.
#[derive(Debug, Clone)]
pub struct Kbuild {
    sandbox: Sandbox,
    dirs: Dirs,
    jobs: usize,
    toolchain: String,
}

/// A built kernel; the files are in the attempt's scratch directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub signature: String,
    pub image: PathBuf,
    pub image_sha256: String,
    pub config: PathBuf,
    pub config_sha256: String,
    /// The sources that were compiled: paths in the tree, one on each line.
    pub compiled: PathBuf,
    pub compiled_sha256: String,
    pub release: String,
    pub lost_symbols: Vec<String>,
    pub objects_built: u64,
    pub ccache_hits: u64,
    /// For the guest, in the scratch directory under their names.
    pub archives: Vec<GuestArchive>,
}

/// How a step ended when it was not our failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<T> {
    Done(T),
    /// The tree's failure: one line of the log.
    Failed(String),
}

/// One build, from its object directory to its files.
pub struct Build<'a> {
    kbuild: &'a Kbuild,
    source: &'a Path,
    scratch: &'a Path,
    work: &'a BuildWork,
    objects: PathBuf,
    mark: DirtyMark,
    fresh: bool,
    lines: BuildLines,
}

impl Kbuild {
    /// Checks the compilers, as seen from inside the sandbox.
    pub async fn new(sandbox: &Sandbox, dirs: &Dirs, until: &Until) -> Result<Kbuild, InfraError> {
        for (program, package) in NEEDED {
            if !["/usr/bin", "/usr/sbin"]
                .iter()
                .any(|d| Path::new(d).join(program).exists())
            {
                return Err(InfraError::Failed(format!(
                    "kernel builds need `{program}`: run `apt-get install {package}`"
                )));
            }
        }
        let mut toolchain = Vec::new();
        for program in ["gcc", "ld"] {
            let command = sandbox.command(&Spec::default(), program, &["--version".to_owned()]);
            let said = output(command, &format!("{program} --version"), until).await?;
            toolchain.push(said.lines().next().unwrap_or_default().trim().to_owned());
        }
        Ok(Kbuild {
            sandbox: sandbox.clone(),
            dirs: dirs.clone(),
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            toolchain: toolchain.join("; "),
        })
    }

    /// Where what comes from a tree runs.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// First lines of `gcc --version` and `ld --version`: part of the build identity.
    pub fn toolchain(&self) -> &str {
        &self.toolchain
    }

    /// Runs a step; its failure is the tree's unless a line or the machine says that it is ours.
    pub(crate) async fn run(
        &self,
        command: Command,
        what: &str,
        lines: &mut BuildLines,
        log: &mut BuildLog,
        until: &Until,
    ) -> Result<Step<()>, InfraError> {
        let status = run_logged(command, what, log, &mut |line| lines.see(line), until).await?;
        if status.success() {
            return Ok(Step::Done(()));
        }
        if let Some(line) = lines.ours() {
            return Err(InfraError::failed(
                format!("{what} failed on this machine"),
                line,
            ));
        }
        if let Some(signal) = signal_of(status) {
            return Err(InfraError::Failed(format!(
                "{what} was ended by signal {signal}"
            )));
        }
        if self.dirs.free_bytes()? < DISK_FULL {
            return Err(InfraError::Failed(format!(
                "{what} failed and the disk is full"
            )));
        }
        Ok(Step::Failed(lines.first_error()))
    }

    /// What a step sees: a source, a directory to build in, the caches.
    pub(crate) fn spec(&self, tree: &str, source: &Path, objects: &Path, scratch: &Path) -> Spec {
        let [objects, ccache, stats] = self.work_dirs(tree, objects, scratch);
        Spec {
            ro: vec![(source.to_owned(), "/src".into())],
            rw: vec![
                (objects, "/build".into()),
                (ccache, "/ccache".into()),
                (stats, "/stats".into()),
            ],
            env: ENVIRONMENT
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            cwd: Some("/build".into()),
            ..Spec::default()
        }
    }

    /// Directories that a step writes to: they have to be the sandbox's.
    pub(crate) fn work_dirs(&self, tree: &str, objects: &Path, scratch: &Path) -> [PathBuf; 3] {
        [
            objects.to_owned(),
            self.dirs.ccache(tree),
            scratch.join(STATS),
        ]
    }

    /// Processors of this machine.
    pub(crate) fn jobs(&self) -> usize {
        self.jobs
    }

    /// What every `make` is told.
    pub(crate) fn make_args(&self) -> Vec<String> {
        make_args(self.jobs)
    }

    /// Takes the object directory for `work` into use.
    pub fn begin<'a>(
        &'a self,
        work: &'a BuildWork,
        source: &'a Path,
        scratch: &'a Path,
    ) -> Result<Build<'a>, InfraError> {
        kselftest::check(&work.kselftest)?;
        let request = serde_json::to_vec(&work.config).context("the configuration request")?;
        let mut hash = Sha256::new();
        for part in [RECIPE.as_bytes(), self.toolchain.as_bytes(), &request] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let key = format!("{}-{}", work.tree, &hex::encode(hash.finalize())[..16]);
        let objects = self.dirs.objects(&key);
        fs::create_dir_all(&objects).context("cannot make the object directory")?;
        // A killed make leaves half-written objects that look finished.
        let (mark, was_dirty) = DirtyMark::set(objects.join("in-use"))?;
        let fresh = was_dirty || !objects.join("obj").exists();
        let build = Build {
            kbuild: self,
            source,
            scratch,
            work,
            objects,
            mark,
            fresh,
            lines: BuildLines::default(),
        };
        build.make_dirs(fresh)?;
        self.dirs.prune();
        Ok(build)
    }
}

impl Build<'_> {
    fn make_dirs(&self, empty: bool) -> Result<(), InfraError> {
        let sandbox = &self.kbuild.sandbox;
        for dir in [self.obj(), self.conf()] {
            if empty {
                remove_dir(&dir)?;
            }
            sandbox_dir(sandbox, &dir)?;
        }
        sandbox_dir(sandbox, &self.kbuild.dirs.ccache(&self.work.tree))?;
        remove_dir(&self.stats())?;
        sandbox_dir(sandbox, &self.stats())?;
        self.write_request()
    }

    fn obj(&self) -> PathBuf {
        self.objects.join("obj")
    }
    fn conf(&self) -> PathBuf {
        self.objects.join("conf")
    }
    fn stats(&self) -> PathBuf {
        self.scratch.join(STATS)
    }

    fn write_request(&self) -> Result<(), InfraError> {
        let dir = self.scratch.join("request");
        let write = || {
            fs::create_dir_all(&dir)?;
            if let ConfigBase::File(text) = &self.work.config.base {
                fs::write(dir.join("base"), text)?;
            }
            // The newline ends an unfinished last line of the base.
            let fragments = format!("\n{}", kconfig::joined(&self.work.config.fragments));
            fs::write(dir.join("fragments"), fragments)
        };
        write().context("cannot write the configuration request")
    }

    /// Takes the base configuration out of the source. That it is not there is the tree's doing.
    fn base_of_the_tree(&self, path: &str) -> Result<Step<()>, InfraError> {
        let limit = CONFIG_BYTES as u64;
        let text = match untrusted::text(self.source, path, limit + 1) {
            Ok(text) if text.len() as u64 <= limit => text,
            Ok(_) => {
                let why = format!("{path}: the configuration has more than {limit} bytes");
                return Ok(Step::Failed(why));
            }
            Err(why) => {
                return Ok(Step::Failed(format!("no configuration in the tree: {why}")));
            }
        };
        let to = self.scratch.join("request").join("base");
        fs::write(to, text).context("cannot write the configuration request")?;
        Ok(Step::Done(()))
    }

    /// Makes `.config`; the value is the list of requested symbols that were lost.
    pub async fn configure(
        &mut self,
        log: &mut BuildLog,
        until: &Until,
    ) -> Result<Step<Vec<String>>, InfraError> {
        let step = self.configure_once(log, until).await?;
        let Step::Failed(_) = &step else {
            return Ok(step);
        };
        if self.fresh {
            return Ok(step);
        }
        self.start_over(log)?;
        self.configure_once(log, until).await
    }

    async fn configure_once(
        &mut self,
        log: &mut BuildLog,
        until: &Until,
    ) -> Result<Step<Vec<String>>, InfraError> {
        let base = match &self.work.config.base {
            ConfigBase::Tinyconfig => "tinyconfig",
            ConfigBase::X8664Defconfig => "x86_64_defconfig",
            ConfigBase::File(_) => "file",
            ConfigBase::Tree(path) => match self.base_of_the_tree(path)? {
                Step::Done(()) => "file",
                Step::Failed(line) => {
                    log.note(&line).context("log")?;
                    return Ok(Step::Failed(line));
                }
            },
        };
        let mut args = vec!["-c", CONFIGURE, "configure", base]
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>();
        args.extend(make_args(self.kbuild.jobs));
        let mut spec = self.spec();
        spec.rw.push((self.conf(), "/conf".into()));
        spec.ro
            .push((self.scratch.join("request"), "/request".into()));
        let command = self.kbuild.sandbox.command(&spec, "sh", &args);
        if let Step::Failed(line) = self.run(command, "configuring", log, until).await? {
            return Ok(Step::Failed(line));
        }
        let config = match untrusted::text(&self.obj(), ".config", 4 * CONFIG_BYTES as u64) {
            Ok(text) => text,
            Err(why) => return Ok(Step::Failed(format!("no configuration was made: {why}"))),
        };
        let lost = kconfig::lost(&self.work.config.fragments, &config);
        for line in &lost {
            log.note(&format!("lost symbol: {line}")).context("log")?;
        }
        Ok(Step::Done(lost))
    }

    /// Builds the image and takes what is wanted of it out of the object directory.
    pub async fn build(
        mut self,
        lost_symbols: Vec<String>,
        log: &mut BuildLog,
        until: &Until,
    ) -> Result<Step<Built>, InfraError> {
        let mut step = self.make(log, until).await?;
        if matches!(step, Step::Failed(_)) && !self.fresh {
            self.start_over(log)?;
            step = match self.configure_once(log, until).await? {
                Step::Done(_) => self.make(log, until).await?,
                Step::Failed(line) => Step::Failed(line),
            };
        }
        let step = match step {
            Step::Done(()) => {
                let selftests = self.selftests(log, until).await?;
                self.collect(lost_symbols, selftests)?
            }
            Step::Failed(line) => Step::Failed(line),
        };
        self.finish()?;
        Ok(step)
    }

    /// The object directory is whole: no process uses it and make ended by itself.
    pub fn finish(self) -> Result<(), InfraError> {
        self.mark.clear()
    }

    fn start_over(&mut self, log: &mut BuildLog) -> Result<(), InfraError> {
        log.note("this failed in a used object directory; once more in an empty one")
            .context("log")?;
        self.lines = BuildLines::default();
        self.fresh = true;
        self.make_dirs(true)
    }

    async fn make(&mut self, log: &mut BuildLog, until: &Until) -> Result<Step<()>, InfraError> {
        // A machine that runs beside it comes first: its time may be what is measured. The vCPUs of
        // an exact one may have this class, too.
        let mut args: Vec<String> = ["--idle", "0", "make", "-C", "/src", "O=/build"]
            .map(str::to_owned)
            .into();
        args.extend(make_args(self.kbuild.jobs));
        args.push("bzImage".to_owned());
        let command = self.kbuild.sandbox.command(&self.spec(), "chrt", &args);
        self.run(command, "building", log, until).await
    }

    /// Builds the tree's own selftests, if any are asked for.
    async fn selftests(
        &mut self,
        log: &mut BuildLog,
        until: &Until,
    ) -> Result<Vec<GuestArchive>, InfraError> {
        if self.work.kselftest.is_empty() || self.work.kselftest_rev.is_some() {
            return Ok(Vec::new());
        }
        let objects = self.obj();
        let places = (self.source, objects.as_path());
        let made = kselftest::build(self.kbuild, self.work, places, self.scratch, log, until);
        Ok(vec![made.await?])
    }

    async fn run(
        &mut self,
        command: Command,
        what: &str,
        log: &mut BuildLog,
        until: &Until,
    ) -> Result<Step<()>, InfraError> {
        self.kbuild
            .run(command, what, &mut self.lines, log, until)
            .await
    }

    fn spec(&self) -> Spec {
        self.kbuild
            .spec(&self.work.tree, self.source, &self.obj(), self.scratch)
    }

    fn collect(
        &self,
        lost_symbols: Vec<String>,
        archives: Vec<GuestArchive>,
    ) -> Result<Step<Built>, InfraError> {
        let obj = self.obj();
        // What make called a success but left incomplete is the tree's doing.
        let (image, config, vmlinux, release) = match (
            untrusted::open(&obj, "arch/x86/boot/bzImage"),
            untrusted::open(&obj, ".config"),
            untrusted::open(&obj, "vmlinux"),
            untrusted::text(&obj, "include/config/kernel.release", 256),
        ) {
            (Ok(a), Ok(b), Ok(c), Ok(d)) => (a, b, c, d),
            (Err(e), ..) | (_, Err(e), ..) | (_, _, Err(e), _) | (.., Err(e)) => {
                return Ok(Step::Failed(format!("the build left no usable file: {e}")));
            }
        };
        let signature = match signature::of_vmlinux(vmlinux) {
            // The selftests are tested too.
            Ok(kernel) => match &archives[..] {
                [tests, ..] => installed::signature(&kernel, tests),
                [] => kernel,
            },
            Err(e) if e.kind() == std::io::ErrorKind::InvalidData => {
                return Ok(Step::Failed(format!("vmlinux: {e}")));
            }
            Err(e) => return Err(InfraError::failed("reading vmlinux", e)),
        };
        let image_to = self.scratch.join("bzImage");
        let config_to = self.scratch.join("config");
        let compiled_to = self.scratch.join(COMPILED);
        let mut compiled: String = String::new();
        for path in compiled::sources(&obj) {
            compiled.push_str(&path);
            compiled.push('\n');
        }
        fs::write(&compiled_to, &compiled).context("cannot write the list of sources")?;
        Ok(Step::Done(Built {
            signature,
            image_sha256: untrusted::copy(image, &image_to, ARTEFACT_BYTES)?,
            config_sha256: untrusted::copy(config, &config_to, ARTEFACT_BYTES)?,
            image: image_to,
            config: config_to,
            compiled_sha256: hex::encode(Sha256::digest(&compiled)),
            compiled: compiled_to,
            release: release.trim().chars().filter(|c| !c.is_control()).collect(),
            lost_symbols,
            objects_built: self.lines.objects,
            ccache_hits: self.ccache_hits(),
            archives,
        }))
    }

    /// Results in ccache's statistics log since this build began.
    fn ccache_hits(&self) -> u64 {
        let Ok(text) = untrusted::text(&self.stats(), "ccache", 64 << 20) else {
            return 0;
        };
        text.lines()
            .filter(|l| matches!(*l, "direct_cache_hit" | "preprocessed_cache_hit"))
            .count() as u64
    }
}

/// The environment of every step: nothing of the host's.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("LC_ALL", "C"),
    ("TZ", "UTC"),
    ("CCACHE_DIR", "/ccache"),
    ("CCACHE_MAXSIZE", CCACHE_SIZE),
    ("CCACHE_STATSLOG", "/stats/ccache"),
    ("CCACHE_COMPILERCHECK", "content"),
    // A miss costs one compiler run instead of a preprocessor run and a compiler run.
    ("CCACHE_DEPEND", "1"),
    ("KCONFIG_NOTIMESTAMP", "1"),
];

/// Variables that make the result a function of source, configuration and toolchain.
fn make_args(jobs: usize) -> Vec<String> {
    let fixed = [
        "--no-print-directory",
        // Jobs write at once: without it two lines can become one that nobody understands.
        "--output-sync=line",
        "ARCH=x86_64",
        "CC=ccache gcc",
        "HOSTCC=ccache gcc",
        "LOCALVERSION=",
        "KBUILD_BUILD_TIMESTAMP=Wed Jan  1 00:00:00 UTC 2025",
        "KBUILD_BUILD_USER=firstbad",
        "KBUILD_BUILD_HOST=firstbad",
        "KBUILD_BUILD_VERSION=1",
    ];
    let mut args = vec![format!("-j{jobs}")];
    args.extend(fixed.map(str::to_owned));
    args
}
