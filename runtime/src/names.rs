//! What this runtime knows by name, for whoever asks what it can do: the tables that it works by.

use crate::{capabilities, mounts, scheduling, seccomp};

/// Names, as configurations have them.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Names {
    pub capabilities: Vec<String>,
    pub mount_options: Vec<String>,
    pub seccomp_actions: Vec<&'static str>,
    pub seccomp_operators: Vec<&'static str>,
    pub seccomp_flags: Vec<&'static str>,
    pub seccomp_architectures: Vec<&'static str>,
    pub memory_modes: Vec<&'static str>,
    pub memory_flags: Vec<&'static str>,
}

/// All of them.
pub fn names() -> Names {
    let first = |table: &[(&'static str, u32)]| table.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    Names {
        capabilities: capabilities::NAMES.iter().map(|name| format!("CAP_{name}")).collect(),
        mount_options: mounts::option_names(),
        seccomp_actions: first(&seccomp::ACTIONS),
        seccomp_operators: seccomp::OPERATORS.to_vec(),
        seccomp_flags: first(&seccomp::FLAGS),
        seccomp_architectures: seccomp::ARCHITECTURES.iter().map(|(name, ..)| *name).collect(),
        memory_modes: first(&scheduling::MEMORY_MODES),
        memory_flags: first(&scheduling::MEMORY_FLAGS),
    }
}
