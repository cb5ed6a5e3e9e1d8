//! The format tools that a build runs: packages of the tools' lock, laid out once as files in the cache, so that a
//! build depends on no version of the machine it runs on. Each run sees the tools and one working folder, no more.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::thread;

use anyhow::{Context as _, bail};
use ashlar_fetch::Digest;

use crate::debian::{Arch, Lock};
use crate::packs::Packs;
use crate::sandbox;
use crate::tree::{Kind, Tree};

/// Changes with how the tools are laid out.
const FORMAT: u32 = 1;
const LAST_WORDS: usize = 600;

/// Tools, ready to run.
pub struct Tools {
    root: PathBuf,
    arch: Arch,
    sandbox: bool,
}

/// Feeds a tool's standard input.
pub type Feed<'a> = &'a (dyn Fn(ChildStdin) -> io::Result<()> + Sync);

impl Tools {
    /// Lays the tools of a lock out below `folder`, unless they are there.
    ///
    /// # Errors
    /// A package cannot be got, or the folder cannot be written.
    pub fn prepare(lock: &Lock, packs: &Packs, folder: &Path, sandbox: bool) -> anyhow::Result<Self> {
        let digest = Digest::of(format!("{FORMAT}{lock}").as_bytes());
        let root = absolute(&folder.join(digest.to_string()))?;
        let tools = Self { root, arch: lock.arch, sandbox };
        if !tools.root.is_dir() {
            let packages: Vec<_> = lock.packages.iter().collect();
            let mut tree = Tree::default();
            for package in packs.trees(&packages)?.values() {
                tree.overlay(package)?;
            }
            let write = || format!("write the tools to {}", tools.root.display());
            lay_out(&tree, &tools.root).with_context(write)?;
        }
        Ok(tools)
    }

    /// Runs a tool in `work`, which it sees as `/work` and its current folder.
    ///
    /// # Errors
    /// There is no sandbox to be had, or the tool fails; with what it said.
    pub fn run(&self, work: &Path, program: &str, arguments: &[&str], feed: Option<Feed<'_>>) -> anyhow::Result<()> {
        let name = program.rsplit('/').next().unwrap_or(program);
        let work = &absolute(work)?;
        let mut command = if self.sandbox { self.sandboxed(work, program)? } else { self.bare(program) };
        command.args(arguments).current_dir(work).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin").env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command.env("TMPDIR", if self.sandbox { Path::new("/work") } else { work });
        command.stdin(if feed.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("run {name}"))?;
        let input = child.stdin.take();
        let (fed, output) = thread::scope(|scope| {
            let fed = scope.spawn(|| feed.zip(input).map_or(Ok(()), |(feed, input)| feed(input)));
            let output = child.wait_with_output();
            (fed.join(), output)
        });
        let output = output.with_context(|| format!("wait for {name}"))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).trim().to_owned();
            let tail: String = said.chars().skip(said.chars().count().saturating_sub(LAST_WORDS)).collect();
            if output.status.code() == Some(sandbox::REFUSED.into()) {
                bail!("{tail}");
            }
            bail!("run {name} in {}: {}: {tail}", work.display(), output.status);
        }
        fed.map_err(|_| anyhow::anyhow!("feed {name}: its thread panicked"))?.with_context(|| format!("feed {name}"))
    }

    fn sandboxed(&self, work: &Path, program: &str) -> anyhow::Result<Command> {
        let ourselves = std::env::current_exe().context("find this program's own file")?;
        let mut command = Command::new(ourselves);
        command.arg("sandbox").arg("--root").arg(&self.root).arg("--work").arg(work).arg("--").arg(program);
        Ok(command)
    }

    /// The tool with its own loader and libraries, and the machine's files around it.
    fn bare(&self, program: &str) -> Command {
        let (loader, libraries) = match self.arch {
            Arch::X86_64 => ("usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu"),
            Arch::Aarch64 => ("usr/lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu"),
        };
        let mut command = Command::new(self.root.join(loader));
        command.arg("--library-path").arg(self.root.join(libraries));
        // Some tools are several by their name.
        command.arg("--argv0").arg(program).arg(self.root.join(program.trim_start_matches('/')));
        command
    }
}

/// Tools run in folders of their own, where a relative path would lead elsewhere.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("find {}", path.display()))
}

/// Writes a tree as files of our own, whole or not at all.
fn lay_out(tree: &Tree, root: &Path) -> io::Result<()> {
    let part = root.with_extension(format!("part{}", std::process::id()));
    let written = write_files(tree, &part).and_then(|()| match fs::rename(&part, root) {
        // Another build was faster.
        Err(_) if root.is_dir() => Ok(()),
        outcome => outcome,
    });
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    written
}

fn write_files(tree: &Tree, root: &Path) -> io::Result<()> {
    let links = [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")];
    for folder in ["usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "work", "dev", "proc", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("dev/null"), "")?;
    for (link, target) in links {
        symlink(target, root.join(link))?;
    }
    let of_programs =
        |path: &str| ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64"].iter().any(|top| path.starts_with(top));
    for (path, node) in tree.iter().filter(|(path, _)| of_programs(path)) {
        let at = root.join(path);
        match &node.kind {
            Kind::Directory => fs::create_dir_all(&at)?,
            Kind::Symlink(target) => symlink(target, &at)?,
            Kind::File(content) => {
                let mut file = fs::File::create(&at)?;
                file.write_all(content)?;
                file.set_permissions(fs::Permissions::from_mode(node.mode & 0o755))?;
            }
        }
    }
    Ok(())
}
