//! A finished run as an archive that runs it again with QEMU alone: kernel, configuration, initramfs
//! and a script. The same run gives the same bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use firstbad_api::observation::{RunEnd, RunInputs, TestObservation};
use firstbad_api::qemu::{self, CONSOLE, IMAGE, INITRAMFS};

/// The kernel in the archive.
const BZIMAGE: &str = "bzImage";
const INITRAMFS_FILE: &str = "initramfs.cpio";
/// The script's text before the run's own words.
const SCRIPT: &str = include_str!("reproduce.sh");

/// What an archive is made of.
pub struct Parts {
    pub attempt: i64,
    pub tree: String,
    pub rev: String,
    pub suite: String,
    pub seen: TestObservation,
    pub image: PathBuf,
    /// Of a packaged kernel there may be none.
    pub config: Option<PathBuf>,
    /// The archives of the initramfs, in order.
    pub initramfs: Vec<PathBuf>,
}

impl Parts {
    /// The directory that everything in the archive is in.
    pub fn directory(&self) -> String {
        format!("firstbad-attempt-{}", self.attempt)
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// When a file cannot be read or the archive not be written.
    pub fn write(&self, to: impl Write) -> io::Result<()> {
        let mut tar = tar::Builder::new(to);
        let mut add = |name: &str, mode: u32, size: u64, bytes: &mut dyn Read| {
            let mut header = tar::Header::new_ustar();
            header.set_size(size);
            header.set_mode(mode);
            // Nothing of when or by whom: the same run is the same archive.
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            let path = format!("{}/{name}", self.directory());
            tar.append_data(&mut header, path, bytes)
        };
        let readme = self.readme();
        add("README", 0o644, readme.len() as u64, &mut readme.as_bytes())?;
        let script = self.script();
        add("run.sh", 0o755, script.len() as u64, &mut script.as_bytes())?;
        let files: [(&str, Vec<&PathBuf>); 3] = [
            (BZIMAGE, vec![&self.image]),
            ("config", self.config.iter().collect()),
            (INITRAMFS_FILE, self.initramfs.iter().collect()),
        ];
        for (name, parts) in files.into_iter().filter(|(_, parts)| !parts.is_empty()) {
            let (mut joined, mut size): (Box<dyn Read>, u64) = (Box::new(io::empty()), 0);
            for part in parts {
                let file = File::open(part)?;
                size += file.metadata()?.len();
                joined = Box::new(joined.chain(file));
            }
            add(name, 0o644, size, &mut joined)?;
        }
        tar.into_inner()?.flush()
    }

    /// The command that runs it again, for a shell.
    pub fn command(run: &RunInputs) -> String {
        let word = |word: &String| match word.as_str() {
            IMAGE => BZIMAGE.to_owned(),
            INITRAMFS => INITRAMFS_FILE.to_owned(),
            other => quoted(other),
        };
        let words: Vec<String> = run.argv.iter().map(word).collect();
        qemu::shell(&run.argv, &words)
    }

    fn script(&self) -> String {
        let run = &self.seen.run;
        let exact = run.accel == qemu::Engine::TcgExact.name();
        let ended = !matches!(self.seen.end, RunEnd::Hang | RunEnd::Deadline);
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let word = |name: &str| match name {
            "COMMAND" => Parts::command(run),
            "IMAGE_SHA256" => quoted(&run.image_sha256),
            "INITRAMFS_SHA256" => quoted(&run.initramfs_sha256),
            "CONSOLE_SHA256" => quoted(&self.seen.console_sha256),
            "QEMU_VERSION" => quoted(&one_line(&run.qemu_version)),
            "MEMORY_MIB" => run.memory_mib.to_string(),
            "VCPUS" => run.vcpus.to_string(),
            "ENDED" => yes(ended),
            "EXACT" => yes(exact && ended),
            other => format!("{{{{{other}}}}}"),
        };
        // In one pass: what is put in is not looked at again.
        let mut parts = SCRIPT.split("{{");
        let mut script = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once("}}").unwrap_or((part, ""));
            script += &word(name);
            script += rest;
        }
        script
    }

    fn readme(&self) -> String {
        let run = &self.seen.run;
        let exact = match run.accel == qemu::Engine::TcgExact.name() {
            true => {
                "It was an exact run: with the same version of QEMU the console is the same, byte for \
                 byte, and the script says whether it is."
            }
            false => "It was a run in real time: no two of them are quite the same.",
        };
        format!(
            "One run of a kernel test, to be run again.\n\n\
             attempt {}: suite {}, revision {} of the tree {}, seed {}\n\
             recorded with: {}\n\n\
             ./run.sh        runs it with QEMU alone, and compares\n\
             ./run.sh --vng  boots the kernel on your own files with virtme-ng, if that is installed and\n\
             {:16}the kernel can do it\n\n\
             {exact}\n\
             What the kernel says is in the file {CONSOLE}, what the test says in {}.\n\
             Files: bzImage, config (of the kernel), initramfs.cpio, run.sh.\n",
            self.attempt,
            one_line(&self.suite),
            self.rev,
            one_line(&self.tree),
            run.seed,
            one_line(&run.qemu_version),
            "",
            qemu::FRAMES,
        )
    }

    /// The first file that is not there.
    pub fn missing(&self) -> Option<&Path> {
        let files = [&self.image].into_iter().chain(&self.initramfs);
        let mut files = files.chain(&self.config).map(PathBuf::as_path);
        files.find(|f| !f.is_file())
    }
}

fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}
