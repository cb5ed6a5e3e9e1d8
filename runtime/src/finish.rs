//! The last steps of every process: identity, rights, descriptors, program. The order is forced: rights are given up
//! when nothing needs them any more, the filter comes last because it may forbid what is done before.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ashlar_sys::credentials::Capabilities as Sets;
use ashlar_sys::{credentials, mounts, process};

use crate::bundle::Bundle;
use crate::error::{Failure, InStep, Step};
use crate::request::Request;
use crate::seccomp::Filter;
use crate::setup::Reporter;
use crate::spec::Process;
use crate::{capabilities, limits, scheduling, users};

/// EACCES.
const ACCESS: i32 = 13;
const DEFAULT_UMASK: u32 = 0o022;
/// Where programs are looked for if the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// For a container that shares the host's mounts.
pub(crate) fn change_root(bundle: &Bundle) -> Result<(), Failure> {
    let root = bundle.root();
    if root == Path::new("/") || bundle.spec.root.is_none() {
        return Ok(());
    }
    mounts::change_root(&root).step(Step::Pivot, root.display().to_string())
}

/// What is made ready while the host's files are there, of which the container's may pretend to be others.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Files of security modules that take the program's label, and the text for each.
    labels: Vec<(File, String)>,
    filter: Option<Filter>,
    sets: Option<Sets>,
}

impl Prepared {
    /// For the process `pid`, as the host sees it.
    pub(crate) fn new(request: &Request<'_>, pid: u32) -> Result<Self, Failure> {
        let filter = request.bundle.spec.linux.seccomp.as_deref().map(|json| Filter::new(json.get(), request, pid));
        let process = request.bundle.process();
        let sets = process.capabilities.as_ref().map(capabilities::sets).transpose()?;
        Ok(Self { labels: labels(process)?, filter: filter.transpose()?, sets })
    }

    fn has_listener(&self) -> bool {
        self.filter.as_ref().is_some_and(Filter::has_listener)
    }

    /// Whether nothing can be given up before the start.
    fn is_late(&self, process: &Process) -> bool {
        self.needs_rights(process) && !self.has_listener()
    }

    /// Whether there is a filter that only root can put in force.
    fn needs_rights(&self, process: &Process) -> bool {
        self.filter.is_some() && !process.no_new_privileges
    }

    fn label(&self) -> Result<(), Failure> {
        self.labels.iter().try_for_each(|(file, text)| (&mut &*file).write_all(text.as_bytes()).step(Step::Label, text))
    }

    fn install_filter(&self) -> Result<(), Failure> {
        self.filter.as_ref().map_or(Ok(()), Filter::install)
    }
}

/// Becomes who the process shall be, where it shall be: before it waits to be started, so that whoever makes it is told
/// what cannot be. Not if a filter has to be put in force with rights that are gone then, and might forbid the waiting;
/// but one with a listener is in force from here on, because whoever listens waits for it.
pub(crate) fn prepare(request: &Request<'_>, prepared: &Prepared) -> Result<(), Failure> {
    let (bundle, written) = (request.bundle, request.bundle.process());
    if prepared.is_late(written) {
        return Ok(());
    }
    become_it(bundle, written, request, prepared)?;
    if written.no_new_privileges {
        credentials::no_new_privileges().step(Step::Capabilities, "no_new_privileges")?;
        if prepared.has_listener() {
            prepared.install_filter()?;
        }
    }
    Ok(())
}

/// What [`prepare`] has left for now.
pub(crate) fn prepare_late(request: &Request<'_>, prepared: &Prepared) -> Result<(), Failure> {
    let (bundle, written) = (request.bundle, request.bundle.process());
    if prepared.is_late(written) { become_it(bundle, written, request, prepared) } else { Ok(()) }
}

fn become_it(bundle: &Bundle, written: &Process, request: &Request<'_>, prepared: &Prepared) -> Result<(), Failure> {
    if !request.keep_keyring {
        credentials::new_keyring();
    }
    credentials::set_umask(written.user.umask.unwrap_or(DEFAULT_UMASK));
    prepared.label()?;
    let arrived = arrive(&written.cwd);
    scheduling::apply(written)?;
    bundle.spec.linux.memory_policy.as_ref().map_or(Ok(()), scheduling::set_memory_policy)?;
    bundle.spec.linux.personality.as_ref().map_or(Ok(()), scheduling::set_personality)?;
    // The specification says it of processes that join; what shares its maker's files is said nothing of.
    if request.join.is_some() || bundle.spec.root.is_none() {
        scheduling::pin(written.exec_cpu_affinity.as_ref().and_then(|affinity| affinity.last.as_ref()))?;
    }
    let users = bundle.spec.linux.private_users.as_ref();
    users.map_or(Ok(()), |users| users::enter(users, &written.user.additional_gids))?;
    if prepared.needs_rights(written) {
        prepared.install_filter()?;
    }
    take_identity(written, prepared.sets.as_ref(), users.is_some())?;
    if arrived.is_err() {
        // It may be the user's own.
        arrive(&written.cwd).step(Step::WorkingDirectory, &written.cwd)?;
    }
    Ok(())
}

/// Becomes the program, with a terminal of the container's own instead of the descriptors that were passed.
pub(crate) fn execute(
    request: &Request<'_>,
    program: &str,
    terminal: Option<&OwnedFd>,
    prepared: &Prepared,
    reporter: &Reporter,
) -> Result<Infallible, Failure> {
    let written = request.bundle.process();
    limits::set(0, &written.rlimits)?;
    let strings = |list: &[String], what: &str| {
        let strings = list.iter().map(|text| CString::new(text.as_str()));
        strings
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Failure::because(Step::Execute, program, format!("a NUL byte in its {what}")))
    };
    let arguments = strings(request.program(), "arguments")?;
    let variables = strings(&environment(request), "environment")?;
    let path = strings(&[program.to_owned()], "path")?.remove(0);
    let mut passed = request.passed();
    if let Some(terminal) = terminal {
        passed[..3].fill(Some(terminal.as_fd()));
    }
    process::arrange(&passed).step(Step::Descriptors, "the descriptors")?;
    reporter.executing();
    if written.no_new_privileges && !prepared.has_listener() {
        // It need allow nothing but the execution.
        prepared.install_filter()?;
    }
    Err(Failure::new(Step::Execute, program, &process::execute(&path, &arguments, &variables)))
}

/// Goes where the process shall be. A descriptor that leaked could lead out of the container: then there is no way to
/// say where that is.
fn arrive(directory: &str) -> io::Result<()> {
    std::env::set_current_dir(directory)?;
    std::env::current_dir().map(drop)
}

/// Opens what takes the labels that security modules give to the program.
fn labels(written: &Process) -> Result<Vec<(File, String)>, Failure> {
    let labels = [
        (&written.apparmor_profile, "/proc/self/attr/apparmor/exec", "exec "),
        (&written.selinux_label, "/proc/self/attr/exec", ""),
    ];
    let mut files = Vec::new();
    for (name, path, verb) in labels {
        let Some(name) = name.as_ref().filter(|name| !name.is_empty()) else { continue };
        let file = OpenOptions::new().write(true).open(path).step(Step::Label, name)?;
        files.push((file, format!("{verb}{name}")));
    }
    Ok(files)
}

/// `grouped`: it has its further groups already, and may have no others.
fn take_identity(written: &Process, sets: Option<&Sets>, grouped: bool) -> Result<(), Failure> {
    let user = &written.user;
    if let Some(sets) = sets {
        credentials::bound_capabilities(sets.bounding).step(Step::Capabilities, "the bounding set of capabilities")?;
    }
    let subject = || format!("user {} of group {}", user.uid, user.gid);
    let become_user = match grouped {
        true => credentials::set_ids(user.uid, user.gid),
        false => credentials::become_user(user.uid, user.gid, &user.additional_gids),
    };
    become_user.step(Step::Identity, subject())?;
    sets.map_or(Ok(()), |sets| credentials::set_capabilities(sets).step(Step::Capabilities, "capabilities"))
}

/// The bundle's variables, the caller's over them, then those that only this process can know.
fn environment(request: &Request<'_>) -> Vec<String> {
    let own = std::process::id();
    let added = request.environment.iter().map(|(key, value)| (key.as_str(), value.clone()));
    let added = added.chain(request.own_pid.iter().map(|key| (*key, own.to_string())));
    merge(&request.bundle.process().env, added)
}

fn merge<'a>(base: &[String], added: impl Iterator<Item = (&'a str, String)>) -> Vec<String> {
    let mut environment = base.to_vec();
    for (key, value) in added {
        environment.retain(|pair| pair.split_once('=').is_none_or(|(known, _)| known != key));
        environment.push(format!("{key}={value}"));
    }
    environment
}

/// The program's path, as the container sees it: asked for while a mistake can still be told to whoever makes the
/// container.
pub(crate) fn locate(request: &Request<'_>) -> Result<String, Failure> {
    find(request.program(), &environment(request))
}

/// A program without a slash in its name is looked for in PATH. The words are those that engines look for.
fn find(arguments: &[String], environment: &[String]) -> Result<String, Failure> {
    let name = arguments.first().map_or("", String::as_str);
    if name.is_empty() {
        return Err(Failure::because(Step::Execute, "nothing", "the command is empty"));
    }
    if name.starts_with('/') {
        let meta = fs::metadata(name).step(Step::Execute, name)?;
        return match meta.is_file() && meta.mode() & 0o111 != 0 {
            true => Ok(name.to_owned()),
            false => Err(Failure::new(Step::Execute, name, &io::Error::from_raw_os_error(ACCESS))),
        };
    }
    if name.contains('/') {
        return Ok(name.to_owned());
    }
    let path = environment.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let candidates = path.split(':').map(|folder| format!("{folder}/{name}"));
    let found = candidates
        .into_iter()
        .find(|candidate| fs::metadata(candidate).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0));
    let nowhere = || format!("executable file not found in $PATH ({path})");
    found.ok_or_else(|| Failure::because(Step::Execute, name, nowhere()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let base = ["PATH=/bin".to_owned(), "A=1".to_owned(), "AB=2".to_owned()];
        let check = |added: &[(&str, &str)], expect: &str| {
            let got = merge(&base, added.iter().map(|(key, value)| (*key, (*value).to_owned())));
            assert_eq!(got.join(" "), expect);
        };
        check(&[], "PATH=/bin A=1 AB=2");
        check(&[("A", "x=y"), ("C", "")], "PATH=/bin AB=2 A=x=y C=");
        check(&[("C", "1"), ("C", "2")], "PATH=/bin A=1 AB=2 C=2");
    }

    #[test]
    fn programs() {
        let check = |name: &str, path: &str, expect: &str| {
            let got = find(&[name.to_owned()], &[format!("PATH={path}")]);
            assert_eq!(got.unwrap_or_else(|failure| failure.to_string()), expect);
        };
        check("x/y", "", "x/y");
        check("/bin/sh", "", "/bin/sh");
        check("/x/y", "", "cannot execute /x/y: no such file or directory");
        check("/etc/passwd", "", "cannot execute /etc/passwd: permission denied");
        check("sh", "/nowhere:/bin", "/bin/sh");
        check("nonsense", "/bin", "cannot execute nonsense: executable file not found in $PATH (/bin)");
        check("", "/bin", "cannot execute nothing: the command is empty");
    }
}
