//! Units that every machine has, since PID 1 brings them: names that no image may give to something else.

/// Targets, and our own two programs.
pub const BUILTIN: [&str; 23] = [
    "ashlar-provision.service",
    "ashlar-state.service",
    "basic.target",
    "default.target",
    "graphical.target",
    "halt.target",
    "kexec.target",
    "local-fs.target",
    "multi-user.target",
    "network-online.target",
    "network-pre.target",
    "network.target",
    "nss-lookup.target",
    "nss-user-lookup.target",
    "poweroff.target",
    "reboot.target",
    "remote-fs.target",
    "shutdown.target",
    "sockets.target",
    "sysinit.target",
    "time-set.target",
    "time-sync.target",
    "timers.target",
];
