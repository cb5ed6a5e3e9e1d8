//! The command line: what there is to say, and what is taken where nothing is said.

use std::env;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

use crate::debian::{Arch, Freshness, Trust};

/// Builds Ashlar images out of Debian packages, as an ordinary user.
#[derive(Debug, Parser)]
#[command(name = "ashlar", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Pin every package of an image, and the tools that its build runs.
    Lock(LockArgs),
    /// Build an image from its lock.
    Build(BuildArgs),
    /// Show what is in an image: a folder of `ashlar build`, or any disk.
    Inspect(InspectArgs),
    /// Run a tool in a sandbox; only for `ashlar` itself.
    #[command(hide = true)]
    Sandbox(SandboxArgs),
}

/// Which image, and from where.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// The image's file.
    pub image: PathBuf,
    /// Architecture of the image: x86_64 or aarch64; this machine's unless said otherwise.
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Address of a Debian mirror, ending in /debian; the one of this machine's apt unless said otherwise.
    #[arg(long, value_name = "URL")]
    pub mirror: Option<String>,
    /// Folder of downloads and of steps already done; ~/.cache/ashlar unless said otherwise.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

/// `ashlar lock`
#[derive(Debug, Args)]
pub struct LockArgs {
    /// Which image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// A keyring that may sign the suites, instead of Debian's own; may be given several times.
    #[arg(long, value_name = "FILE")]
    pub keyring: Vec<PathBuf>,
    /// Take a release whose time is up, as snapshots of the past are.
    #[arg(long)]
    pub allow_expired: bool,
}

/// `ashlar build`
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Which image.
    #[command(flatten)]
    pub image: ImageArgs,
    /// Folder of our own programs for the image; `programs/ARCH` beside this program unless said otherwise.
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
    /// Folder to build into; target/images/NAME-ARCH unless said otherwise.
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Version of the image, instead of the one in its file.
    #[arg(long)]
    pub version: Option<String>,
    /// Leave out what only a release needs: disk.qcow2, the bill of materials and SHA256SUMS.
    #[arg(long)]
    pub quick: bool,
    /// Run the tools without a sandbox, where user namespaces cannot be had.
    #[arg(long)]
    pub no_sandbox: bool,
}

/// `ashlar inspect`
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The folder, one of its files, or a disk.
    pub path: PathBuf,
    /// As JSON, with the expanded units.
    #[arg(long)]
    pub json: bool,
    /// Only the expanded units.
    #[arg(long)]
    pub units: bool,
}

/// `ashlar sandbox`
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// Root file system of the tools.
    #[arg(long)]
    pub root: PathBuf,
    /// The only folder that the tool can write to.
    #[arg(long)]
    pub work: PathBuf,
    /// The program, by its path in the tools' root, and its arguments.
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

impl ImageArgs {
    /// The architecture to build for.
    ///
    /// # Errors
    /// None is said, and this machine's is none that images are built for.
    pub fn arch(&self) -> anyhow::Result<Arch> {
        self.arch.map_or_else(crate::locking::host, Ok)
    }

    /// The cache folder.
    ///
    /// # Errors
    /// None is said, and the environment names no home.
    pub fn cache(&self) -> anyhow::Result<PathBuf> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = self.cache.clone().or_else(|| Some(set("XDG_CACHE_HOME")?.join("ashlar")));
        let cache = cache.or_else(|| Some(set("HOME")?.join(".cache/ashlar")));
        cache.context("find a cache folder: HOME is not set; name one with --cache")
    }
}

impl LockArgs {
    /// Whose signatures count, and how fresh they have to be.
    pub fn trust(&self) -> Trust {
        let freshness = if self.allow_expired { Freshness::ExpiredAllowed } else { Freshness::Required };
        Trust { keyrings: self.keyring.clone(), freshness }
    }
}
