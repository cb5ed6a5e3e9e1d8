//! The process that becomes a tool: our own program, started again, shuts itself into new namespaces and executes the
//! tool there. It sees the tools' files, read-only, and one working folder; no network; and it is nobody but the
//! caller. Everything is a safe call, since nothing else runs in this process.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, getgid, getuid, pivot_root};

use crate::cli::SandboxArgs;

/// Exit code for: there is no sandbox to be had here.
pub const REFUSED: u8 = 125;

const REMEDY: &str = "allow unprivileged user namespaces (as root: sysctl kernel.unprivileged_userns_clone=1, \
    sysctl user.max_user_namespaces=15000, and on kernels with AppArmor's restriction \
    sysctl kernel.apparmor_restrict_unprivileged_userns=0), or go on without with --no-sandbox";

const NOTHING: Option<&str> = None;

/// Becomes the tool; returns only when that fails.
///
/// # Errors
/// No namespaces, no mounts, or no such program.
pub fn enter(args: &SandboxArgs) -> anyhow::Result<()> {
    leave_the_host().map_err(|error| anyhow!("make a sandbox for the build's tools: {error:#}; {REMEDY}"))?;
    shut_in(&args.root, &args.work).context("make a sandbox for the build's tools")?;
    let (program, arguments) = args.command.split_first().context("no program is named")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("execute {program} of the tools"))
}

/// What hosts may forbid: namespaces of one's own, and mounts in them.
fn leave_the_host() -> anyhow::Result<()> {
    let (uid, gid) = (getuid(), getgid());
    let namespaces = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    unshare(namespaces).context("make a user namespace")?;
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {uid} 1"))?;
    write("/proc/self/gid_map", &format!("0 {gid} 1"))?;
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING).context("make mounts private")
}

fn shut_in(root: &Path, work: &Path) -> anyhow::Result<()> {
    bind(root, root)?;
    bind(Path::new("/dev/null"), &root.join("dev/null"))?;
    bind(work, &root.join("work"))?;
    read_only(root)?;
    chdir(root).with_context(|| format!("enter {}", root.display()))?;
    // The old root lands on top of the new one, and is taken off there.
    pivot_root(".", ".").context("change the root")?;
    umount2(".", MntFlags::MNT_DETACH).context("leave the old root")?;
    chdir("/work").context("enter the working folder")
}

fn write(path: &str, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("write {path}"))
}

fn bind(source: &Path, target: &Path) -> anyhow::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source), target, NOTHING, flags, NOTHING).with_context(|| format!("mount {}", source.display()))
}

/// A mount from outside keeps the restrictions that it has there; leaving one out would be refused.
fn read_only(root: &Path) -> anyhow::Result<()> {
    let now = statvfs(root).map_err(io::Error::from).with_context(|| format!("look at {}", root.display()))?.flags();
    let kept = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    for (_, flag) in kept.into_iter().filter(|(has, _)| now.contains(*has)) {
        flags |= flag;
    }
    mount(NOTHING, root, NOTHING, flags, NOTHING).with_context(|| format!("make {} read-only", root.display()))
}
