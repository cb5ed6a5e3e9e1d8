//! The command line: what there is to say, and what is taken where nothing is said.

mod keys;

use std::env;
use std::path::PathBuf;

use anyhow::Context as _;
use ashlar_config::quantity::Span;
use ashlar_formats::tuf::Wave;
use clap::{Args, Parser, Subcommand};

use crate::debian::{Arch, Freshness, Trust};
pub use keys::{KeysCommand, Quorum};

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
    /// Make the keys that releases are signed with, exchange them, sign with one's own.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Add releases to a published folder, or renew its signatures.
    Publish(PublishArgs),
    /// Take a release back: nobody installs it any more.
    Withdraw(WithdrawArgs),
    /// Copy what is published to another folder or registry, as it is signed.
    Mirror(MirrorArgs),
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
    /// Folder of our own programs for the image; `programs/ARCH` beside this program, or beside its folder, unless
    /// said otherwise.
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

/// Where releases are published, and by whom.
#[derive(Debug, Args)]
pub struct ShopArgs {
    /// The published folder, which any HTTP server serves, or a repository of an OCI registry: oci://HOST[:PORT]/NAME,
    /// or oci+http://… without TLS.
    #[arg(long, value_name = "DIR|ADDRESS")]
    pub to: String,
    /// Folder of `ashlar keys new`.
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
    /// Days until devices stop believing that nothing is held back, unless it is published again by then.
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub fresh: u32,
    /// How a registry is reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// How a registry is reached.
#[derive(Debug, Args)]
pub struct RegistryArgs {
    /// What `podman login` has written for the registry; what REGISTRY_AUTH_FILE names, or podman's or docker's own file
    /// unless said otherwise.
    #[arg(long, value_name = "FILE")]
    pub authfile: Option<PathBuf>,
    /// Folder of what patches are made from and only a registry has; ~/.cache/ashlar unless said otherwise.
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

/// `ashlar publish`
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// Output folders of `ashlar build`; none: only the signatures are renewed.
    pub releases: Vec<PathBuf>,
    /// Where, and by whom.
    #[command(flatten)]
    pub shop: ShopArgs,
    /// Who gets it; may be given several times.
    #[arg(long, default_value = "stable")]
    pub channel: Vec<String>,
    /// The oldest version that can be left for it.
    #[arg(long, value_name = "VERSION")]
    pub minimum: Option<String>,
    /// What its users should know.
    #[arg(long, default_value = "")]
    pub notes: String,
    /// How it spreads over machines that upgrade by themselves, as percent@delay: 1%@0h,10%@1d,100%@3d.
    #[arg(long, value_name = "WAVES", value_delimiter = ',', value_parser = wave)]
    pub rollout: Vec<Wave>,
    /// Make patches from so many versions before it; others fetch the blocks that they have not.
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    pub patches: usize,
    /// Publish nothing: say what it would cost those who run these versions.
    #[arg(long, requires = "releases")]
    pub plan: bool,
}

/// `ashlar withdraw`
#[derive(Debug, Args)]
pub struct WithdrawArgs {
    /// The version.
    pub version: String,
    /// Where, and by whom.
    #[command(flatten)]
    pub shop: ShopArgs,
    /// Why; devices show it.
    #[arg(long)]
    pub why: String,
    /// Only of this image.
    #[arg(long)]
    pub image: Option<String>,
}

/// `ashlar mirror`
#[derive(Debug, Args)]
pub struct MirrorArgs {
    /// A published folder, or a repository.
    #[arg(value_name = "DIR|ADDRESS")]
    pub from: String,
    /// Another one.
    #[arg(long, value_name = "DIR|ADDRESS")]
    pub to: String,
    /// How a registry is reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
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
        cache(self.cache.as_ref())
    }
}

impl RegistryArgs {
    /// The cache folder.
    ///
    /// # Errors
    /// As [`ImageArgs::cache`].
    pub fn cache(&self) -> anyhow::Result<PathBuf> {
        cache(self.cache.as_ref())
    }
}

fn cache(said: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = said.cloned().or_else(|| Some(set("XDG_CACHE_HOME")?.join("ashlar")));
    let cache = cache.or_else(|| Some(set("HOME")?.join(".cache/ashlar")));
    cache.context("find a cache folder: HOME is not set; name one with --cache")
}

impl LockArgs {
    /// Whose signatures count, and how fresh they have to be.
    pub fn trust(&self) -> Trust {
        let freshness = if self.allow_expired { Freshness::ExpiredAllowed } else { Freshness::Required };
        Trust { keyrings: self.keyring.clone(), freshness }
    }
}

/// Reads `10%@1d`.
fn wave(text: &str) -> Result<Wave, String> {
    let read = || {
        let (percent, after) = text.trim().split_once("%@")?;
        let percent = percent.parse().ok().filter(|percent| (1..=100).contains(percent))?;
        let after = Span::parse(after).ok().filter(|after| *after != Span::INFINITY)?.0 / 1_000_000;
        Some(Wave { percent, after })
    };
    read().ok_or_else(|| format!("`{text}` is no wave; write it like 10%@1d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves() {
        let check = |text, percent, after| assert_eq!(wave(text), Ok(Wave { percent, after }), "{text}");
        check("1%@0h", 1, 0);
        check("100%@3d", 100, 259_200);
        for bad in ["", "10%", "10@1d", "0%@1d", "101%@1d", "10%@infinity", "10%@soon"] {
            assert!(wave(bad).unwrap_err().contains("is no wave"), "{bad}");
        }
    }
}
