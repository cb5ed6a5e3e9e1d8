//! Hooks: programs that read the container's state and must end well in time.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::bundle::Bundle;
use crate::error::{Failure, InStep, Step};
use crate::spec::Hook;

/// How often a running hook is looked at.
const PAUSE: Duration = Duration::from_millis(2);

/// A container's state, as hooks read it (runtime.md, State).
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct State<'a> {
    oci_version: &'a str,
    id: &'a str,
    status: &'a str,
    /// A container that has ended has none.
    #[serde(skip_serializing_if = "is_none")]
    pid: u32,
    bundle: &'a Path,
    annotations: &'a std::collections::BTreeMap<String, String>,
}

fn is_none(pid: &u32) -> bool {
    *pid == 0
}

impl<'a> State<'a> {
    pub(crate) fn of(bundle: &'a Bundle, id: &'a str, status: &'a str, pid: u32) -> Self {
        let Bundle { directory, spec } = bundle;
        Self { oci_version: &spec.oci_version, id, status, pid, bundle: directory, annotations: &spec.annotations }
    }
}

/// Runs hooks in order and waits for each; the first that fails ends it. `status` is the container's: `creating`,
/// `created`, `running` or `stopped`.
///
/// `prestart` to `startContainer` are run by [`begin`](crate::begin()); `poststart` and `poststop` are for whoever knows
/// when that is.
pub fn run_hooks(hooks: &[Hook], bundle: &Bundle, id: &str, status: &str, pid: u32) -> Result<(), Failure> {
    run_all(hooks, None, &State::of(bundle, id, status, pid))
}

/// Runs `startContainer`: within the container there is nothing of the runtime's environment.
pub(crate) fn run_last_hooks(bundle: &Bundle, id: &str, pid: u32) -> Result<(), Failure> {
    let state = State::of(bundle, id, "created", pid);
    run_all(&bundle.spec.hooks.start_container, Some(&bundle.process().env), &state)
}

fn run_all(hooks: &[Hook], inherited: Option<&[String]>, state: &State<'_>) -> Result<(), Failure> {
    if hooks.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_vec(state).map_err(|e| Failure::because(Step::Hook, state.id, e.to_string()))?;
    hooks.iter().try_for_each(|hook| run(hook, inherited, &text))
}

fn run(hook: &Hook, inherited: Option<&[String]>, state: &[u8]) -> Result<(), Failure> {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(&hook.path);
    if let Some((name, arguments)) = hook.args.split_first() {
        command.arg0(name).args(arguments);
    }
    if let Some(env) = hook.env.as_deref().or(inherited) {
        command.env_clear().envs(env.iter().filter_map(|pair| pair.split_once('=')));
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().step(Step::Hook, &hook.path)?;
    if let Some(mut input) = child.stdin.take() {
        // It need not read what it does not want to know.
        let _ = input.write_all(state);
    }
    let end = hook.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    loop {
        match child.try_wait().step(Step::Hook, &hook.path)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Failure::because(Step::Hook, &hook.path, format!("it ended with {status}"))),
            None if end.is_some_and(|end| Instant::now() >= end) => {
                let _ = child.kill();
                let _ = child.wait();
                let limit = hook.timeout.unwrap_or_default();
                return Err(Failure::because(Step::Hook, &hook.path, format!("it took longer than {limit} s")));
            }
            None => std::thread::sleep(PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        let check = |script: &str, expect: &str| {
            let hook = Hook {
                path: "/bin/sh".into(),
                args: vec!["sh".into(), "-c".into(), script.into()],
                env: Some(vec!["A=b".into()]),
                timeout: Some(1),
            };
            let got = run(&hook, None, b"{\"pid\":5}").err().map(|failure| failure.reason).unwrap_or_default();
            assert_eq!(got, expect, "{script}");
        };
        check(r#"read x; [ "$x" = '{"pid":5}' ] && [ "$A" = b ]"#, "");
        check("exit 3", "it ended with exit status: 3");
        check("exec sleep 9", "it took longer than 1 s");
    }
}
