//! The last steps of every process: identity, rights, descriptors, program. The order is forced: rights are given up
//! when nothing needs them any more, the filter comes last because it may forbid what is done before.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::path::Path;

use ashlar_sys::{credentials, mounts, process};

use crate::begin::Request;
use crate::bundle::Bundle;
use crate::error::{Failure, InStep, Step};
use crate::setup::Reporter;
use crate::spec::Process;
use crate::{capabilities, limits, seccomp};

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

/// Becomes the program.
pub(crate) fn execute(request: &Request<'_>, reporter: &Reporter) -> Result<Infallible, Failure> {
    let written = request.bundle.process();
    let filter = request.bundle.spec.linux.seccomp.as_deref().map(serde_json::value::RawValue::get);
    credentials::new_keyring();
    credentials::set_umask(written.user.umask.unwrap_or(DEFAULT_UMASK));
    label(written)?;
    let arrived = std::env::set_current_dir(&written.cwd);
    limits::set(0, &written.rlimits)?;
    schedule(written)?;
    if !written.no_new_privileges {
        install(filter)?;
    }
    take_identity(written)?;
    if arrived.is_err() {
        // It may be the user's own.
        std::env::set_current_dir(&written.cwd).step(Step::WorkingDirectory, &written.cwd)?;
    }
    let environment = environment(request);
    let program = find(request.program(), &environment)?;
    let strings = |list: &[String], what: &str| {
        let strings = list.iter().map(|text| CString::new(text.as_str()));
        strings
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| Failure::because(Step::Execute, &program, format!("a NUL byte in its {what}")))
    };
    let arguments = strings(request.program(), "arguments")?;
    let variables = strings(&environment, "environment")?;
    let path = strings(std::slice::from_ref(&program), "path")?.remove(0);
    process::arrange(&request.passed()).step(Step::Descriptors, "the descriptors")?;
    if written.no_new_privileges {
        credentials::no_new_privileges().step(Step::Capabilities, "no_new_privileges")?;
        // The filter need allow nothing but the execution.
        reporter.executing();
        install(filter)?;
    } else {
        reporter.executing();
    }
    Err(Failure::new(Step::Execute, program, &process::execute(&path, &arguments, &variables)))
}

fn install(filter: Option<&str>) -> Result<(), Failure> {
    filter.map_or(Ok(()), seccomp::install)
}

/// How it is given the processor. Before rights are given up: only root may ask for more than the others have.
fn schedule(written: &Process) -> Result<(), Failure> {
    let Some(scheduler) = &written.scheduler else { return Ok(()) };
    if scheduler.policy != "SCHED_OTHER" {
        let policy = &scheduler.policy;
        return Err(Failure::because(Step::ProcessLimit, format!("scheduler {policy}"), "it is not supported"));
    }
    match scheduler.nice {
        Some(nice) => credentials::set_nice(nice).step(Step::ProcessLimit, format!("nice {nice}")),
        None => Ok(()),
    }
}

/// Labels that security modules give to the program.
fn label(written: &Process) -> Result<(), Failure> {
    let labels = [
        (&written.apparmor_profile, "/proc/self/attr/apparmor/exec", "exec "),
        (&written.selinux_label, "/proc/self/attr/exec", ""),
    ];
    for (name, file, verb) in labels {
        if let Some(name) = name.as_ref().filter(|name| !name.is_empty()) {
            fs::write(file, format!("{verb}{name}")).step(Step::Label, name)?;
        }
    }
    Ok(())
}

fn take_identity(written: &Process) -> Result<(), Failure> {
    let user = &written.user;
    let sets = written.capabilities.as_ref().map(capabilities::sets).transpose()?;
    if let Some(sets) = &sets {
        credentials::bound_capabilities(sets.bounding).step(Step::Capabilities, "the bounding set of capabilities")?;
    }
    let subject = || format!("user {} of group {}", user.uid, user.gid);
    credentials::become_user(user.uid, user.gid, &user.additional_gids).step(Step::Identity, subject())?;
    match &sets {
        Some(sets) => credentials::set_capabilities(sets).step(Step::Capabilities, "capabilities"),
        None => Ok(()),
    }
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

/// A program without a slash in its name is looked for in PATH.
fn find(arguments: &[String], environment: &[String]) -> Result<String, Failure> {
    let name = arguments.first().map_or("", String::as_str);
    if name.is_empty() {
        return Err(Failure::because(Step::Execute, "nothing", "the command is empty"));
    }
    if name.contains('/') {
        return Ok(name.to_owned());
    }
    let path = environment.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let candidates = path.split(':').map(|folder| format!("{folder}/{name}"));
    let found = candidates.into_iter().find(|candidate| Path::new(candidate).is_file());
    found.ok_or_else(|| Failure::because(Step::Execute, name, format!("it is nowhere in PATH ({path})")))
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
        check("/x/y", "", "/x/y");
        check("sh", "/nowhere:/bin", "/bin/sh");
        check("nonsense", "/bin", "cannot execute nonsense: it is nowhere in PATH (/bin)");
        check("", "/bin", "cannot execute nothing: the command is empty");
    }
}
