//! A command on the host as the runtime takes it: systemd.exec(5)'s settings in the words of the OCI runtime
//! specification. A service that hides nothing from itself gets no namespace at all.

mod filter;
mod view;

use std::path::Path;

use ashlar_config::unit::{CAPABILITIES, Exec, FOLDERS, FolderKind, HostSeal, IoClass, Policy, PrivateUsers};
use ashlar_runtime::Bundle;
use ashlar_runtime::spec::{
    self, Capabilities, ExecCpuAffinity, IdMapping, IoPriority, Linux, Namespace, NamespaceKind, Process, Rlimit,
    Scheduler, Spec, User,
};

use crate::accounts::Accounts;
use crate::small_file;

/// Where commands on the host are looked for.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Users that are there only as long as their service have these numbers, as systemd's have.
const DYNAMIC: std::ops::Range<u32> = 61_184..65_520;

/// A command that cannot be started: the reason, and the exit code that systemd gives it.
#[derive(Debug)]
pub struct Failure {
    pub reason: String,
    pub code: i32,
}

/// Exit codes of processes that did not become their program (systemd.exec(5)).
pub mod code {
    pub const CHDIR: i32 = 200;
    pub const EXEC: i32 = 203;
    pub const STDIN: i32 = 208;
    pub const STDOUT: i32 = 209;
    pub const GROUP: i32 = 216;
    pub const USER: i32 = 217;
    pub const CAPABILITIES: i32 = 218;
    pub const NAMESPACE: i32 = 226;
    pub const SECCOMP: i32 = 228;
    pub const DIRECTORIES: i32 = 238;
    pub const CREDENTIALS: i32 = 243;
    pub const LIMITS: i32 = 205;
}

/// Who a service is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    /// Its name and home, if it says that it is somebody.
    pub person: Option<(String, String)>,
}

/// Looks a service's user and groups up.
pub fn identity(unit: &str, exec: &Exec, accounts: &Accounts) -> Result<Identity, Failure> {
    let unknown = |what: &str, name: &str, code| Failure { reason: format!("unknown {what} {name}"), code };
    let mut identity = Identity::default();
    if let Some(name) = &exec.user {
        match accounts.uid(name) {
            Some(uid) => identity.uid = uid,
            None if exec.dynamic_user => (identity.uid, identity.gid) = (dynamic(name), dynamic(name)),
            None => return Err(unknown("user", name, code::USER)),
        }
        if let Some(user) = accounts.user(identity.uid) {
            identity.gid = user.gid;
            identity.groups = accounts.memberships(&user.name);
            identity.person = Some((user.name, user.home));
        }
    } else if exec.dynamic_user {
        let name = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
        (identity.uid, identity.gid) = (dynamic(name), dynamic(name));
    }
    if exec.dynamic_user && identity.person.is_none() {
        let name = exec.user.clone().unwrap_or_else(|| unit.rsplit_once('.').map_or(unit, |(stem, _)| stem).to_owned());
        identity.person = Some((name, "/".to_owned()));
    }
    if let Some(name) = &exec.group {
        identity.gid = accounts.gid(name).ok_or_else(|| unknown("group", name, code::GROUP))?;
    }
    for name in &exec.groups {
        identity.groups.push(accounts.gid(name).ok_or_else(|| unknown("group", name, code::GROUP))?);
    }
    identity.groups.sort_unstable();
    identity.groups.dedup();
    Ok(identity)
}

/// A number that only this name has, or hardly another one (FNV-1a).
fn dynamic(name: &str) -> u32 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    DYNAMIC.start + hash % (DYNAMIC.end - DYNAMIC.start)
}

/// How one command runs.
pub struct Terms<'a> {
    pub exec: &'a Exec,
    pub identity: &'a Identity,
    /// `+`: none of the seal, and root.
    pub privileged: bool,
    /// `!`: root, with the rest of the seal.
    pub keep_user: bool,
    pub words: Vec<String>,
    pub environment: Vec<(String, String)>,
}

/// The bundle of a command.
pub fn bundle(terms: Terms<'_>) -> Result<Bundle, Failure> {
    let exec = terms.exec;
    let seal = if terms.privileged { HostSeal::default() } else { sealed(exec) };
    let root = terms.privileged || terms.keep_user;
    let user = if root { Identity::default() } else { terms.identity.clone() };
    let cwd = directory(exec, &user);
    let process = Process {
        user: User {
            uid: user.uid,
            gid: user.gid,
            umask: Some(exec.umask.unwrap_or(0o022)),
            additional_gids: user.groups,
        },
        args: terms.words,
        env: terms.environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        cwd,
        capabilities: capabilities(&seal, user.uid == 0),
        rlimits: exec
            .rlimits
            .iter()
            .map(|(kind, soft, hard)| Rlimit { kind: kind.clone(), soft: *soft, hard: *hard })
            .collect(),
        no_new_privileges: seal.no_new_privileges || (filter::is_needed(&seal) && user.uid != 0),
        oom_score_adj: exec.oom_score_adjust,
        scheduler: scheduler(exec),
        io_priority: exec.io_priority.map(|(class, priority)| {
            let class = match class {
                IoClass::Realtime => "IOPRIO_CLASS_RT",
                IoClass::BestEffort => "IOPRIO_CLASS_BE",
                IoClass::Idle => "IOPRIO_CLASS_IDLE",
            };
            IoPriority { class: class.into(), priority }
        }),
        exec_cpu_affinity: (!exec.processors.is_empty()).then(|| ExecCpuAffinity {
            initial: None,
            last: Some(exec.processors.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
        }),
        apparmor_profile: seal.apparmor_profile.as_ref().and_then(|(name, optional)| apparmor(name, *optional)),
        ..Process::default()
    };
    let private_users = users(seal.private_users, process.user.uid, process.user.gid);
    let (namespaces, seccomp) = (namespaces(&seal), filter::write(&seal));
    let mut linux = Linux { namespaces, seccomp, private_users, ..Linux::default() };
    let mut spec = Spec { oci_version: "1.2.0".into(), process: Some(process), ..Spec::default() };
    if seal.has_own_mounts() {
        view::lay_out(&seal, &writable(exec), &mut spec.mounts, &mut linux);
    }
    spec.linux = linux;
    Bundle::of(Path::new("/run/ashlar"), spec)
        .map_err(|error| Failure { reason: error.to_string(), code: code::NAMESPACE })
}

/// How it is given the processor; none: as others are.
fn scheduler(exec: &Exec) -> Option<Scheduler> {
    let own = &exec.scheduling;
    if exec.nice.is_none() && own.policy.is_none() && !own.reset_on_fork {
        return None;
    }
    let policy = own.policy.unwrap_or(Policy::Other);
    let name = match policy {
        Policy::Other => "SCHED_OTHER",
        Policy::Batch => "SCHED_BATCH",
        Policy::Idle => "SCHED_IDLE",
        Policy::Fifo => "SCHED_FIFO",
        Policy::Rr => "SCHED_RR",
    };
    Some(Scheduler {
        policy: name.into(),
        nice: exec.nice.filter(|_| !policy.is_of_real_time()),
        priority: policy.is_of_real_time().then_some(own.priority as i32),
        flags: own.reset_on_fork.then(|| "SCHED_FLAG_RESET_ON_FORK".to_owned()).into_iter().collect(),
        ..Scheduler::default()
    })
}

/// The profile that is asked for, where there are profiles; one that need not be there counts if it is.
fn apparmor(name: &str, optional: bool) -> Option<String> {
    let is_on =
        small_file::read(Path::new("/sys/module/apparmor/parameters/enabled")).is_ok_and(|text| text.starts_with('Y'));
    let loaded = || {
        let list = small_file::read(Path::new("/sys/kernel/security/apparmor/profiles")).unwrap_or_default();
        list.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" (")))
    };
    (is_on && (!optional || loaded())).then(|| name.to_owned())
}

/// A user that comes and goes must leave nothing behind: it is sealed whether it says so or not (systemd.exec(5),
/// DynamicUser=).
fn sealed(exec: &Exec) -> HostSeal {
    use ashlar_config::unit::Protect;
    let mut seal = exec.seal.clone();
    if exec.dynamic_user {
        (seal.private_tmp, seal.no_new_privileges, seal.no_suid) = (true, true, true);
        seal.system = Protect::Strict;
        if seal.home == Protect::No {
            seal.home = Protect::ReadOnly;
        }
    }
    seal
}

fn directory(exec: &Exec, user: &Identity) -> String {
    let home = || user.person.as_ref().map_or("/root", |(_, home)| home).to_owned();
    let wanted = match exec.working_directory.as_deref() {
        None => return "/".to_owned(),
        Some("~") => home(),
        Some(path) => path.to_owned(),
    };
    if exec.working_directory_optional && !Path::new(&wanted).is_dir() { "/".to_owned() } else { wanted }
}

/// The sets of capabilities; none: as root or as nobody in particular, the kernel's way.
fn capabilities(seal: &HostSeal, is_root: bool) -> Option<Capabilities> {
    let mut dropped: Vec<&str> = Vec::new();
    let mut drop = |asked: bool, names: &[&'static str]| {
        if asked {
            dropped.extend(names);
        }
    };
    drop(seal.kernel_modules, &["CAP_SYS_MODULE"]);
    drop(seal.kernel_logs, &["CAP_SYSLOG"]);
    drop(seal.clock, &["CAP_SYS_TIME", "CAP_WAKE_ALARM"]);
    drop(seal.private_devices, &["CAP_MKNOD", "CAP_SYS_RAWIO"]);
    if dropped.is_empty() && seal.bounding.is_none() && seal.ambient.is_empty() {
        return None;
    }
    let all = || CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
    let mut bounding: Vec<String> = seal.bounding.clone().unwrap_or_else(all);
    bounding.retain(|name| !dropped.contains(&name.as_str()));
    let ambient: Vec<String> = seal.ambient.iter().filter(|name| bounding.contains(name)).cloned().collect();
    let own = if is_root { bounding.clone() } else { ambient.clone() };
    Some(Capabilities { bounding, effective: own.clone(), permitted: own, inheritable: ambient.clone(), ambient })
}

fn namespaces(seal: &HostSeal) -> Vec<Namespace> {
    let kinds = [
        (seal.has_own_mounts(), NamespaceKind::Mount),
        (seal.private_network, NamespaceKind::Network),
        (seal.private_ipc, NamespaceKind::Ipc),
        (seal.hostname, NamespaceKind::Uts),
    ];
    let asked = kinds.into_iter().filter(|(asked, _)| *asked);
    asked.map(|(_, kind)| Namespace { kind, path: None }).collect()
}

/// The user namespace that it gets, with nobody in it who is somebody else outside.
fn users(kind: PrivateUsers, uid: u32, gid: u32) -> Option<spec::PrivateUsers> {
    let range = |first, size| IdMapping { container: first, host: first, size };
    let own = |id| [range(0, 1), range(id, 1)].into_iter().take(if id == 0 { 1 } else { 2 }).collect();
    let (uids, gids) = match kind {
        PrivateUsers::No => return None,
        PrivateUsers::Own => (own(uid), own(gid)),
        PrivateUsers::Identity => (vec![range(0, 1 << 16)], vec![range(0, 1 << 16)]),
        PrivateUsers::Full => (vec![range(0, u32::MAX)], vec![range(0, u32::MAX)]),
    };
    Some(spec::PrivateUsers { uids, gids, may_set_groups: kind == PrivateUsers::Full })
}

/// Folders of its own, which it may write to whatever is around them.
fn writable(exec: &Exec) -> Vec<String> {
    let place = |kind: FolderKind| FOLDERS.iter().find(|(known, ..)| *known == kind).map_or("", |(_, place, _)| place);
    let folders = exec.folders.iter().filter(|folder| folder.kind != FolderKind::Configuration);
    folders.map(|folder| format!("{}/{}", place(folder.kind), folder.name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_config::unit::{Protect, Scheduling, SealedPath, Treatment};

    fn spec(exec: &Exec) -> Spec {
        let identity = Identity { uid: 1000, gid: 1000, ..Identity::default() };
        let terms = Terms {
            exec,
            identity: &identity,
            privileged: false,
            keep_user: false,
            words: vec!["/bin/true".into()],
            environment: Vec::new(),
        };
        bundle(terms).unwrap().spec
    }

    #[test]
    fn what_hides_nothing_has_no_namespace() {
        let spec = spec(&Exec::default());
        assert!(spec.linux.namespaces.is_empty() && spec.mounts.is_empty() && spec.root.is_none());
        let process = spec.process.unwrap();
        assert_eq!((process.capabilities, process.cwd.as_str(), process.user.uid), (None, "/", 1000));
    }

    #[test]
    fn a_seal_is_a_view_of_its_own() {
        let mut exec = Exec { nice: Some(5), ..Exec::default() };
        exec.seal.system = Protect::Strict;
        exec.seal.private_tmp = true;
        exec.seal.clock = true;
        exec.seal.paths = vec![SealedPath {
            treatment: Treatment::Writable,
            path: "/var/x".into(),
            source: String::new(),
            optional: true,
        }];
        let spec = spec(&exec);
        assert_eq!(spec.linux.namespaces.len(), 1);
        let places: Vec<&str> = spec.mounts.iter().map(|mount| mount.destination.as_str()).collect();
        assert!(places.contains(&"/tmp") && places.contains(&"/var"), "{places:?}");
        let place = |path| places.iter().position(|place| *place == path);
        assert!(place("/var/x") > place("/var"), "what may be written to comes later: {places:?}");
        let capabilities = spec.process.unwrap().capabilities.unwrap();
        assert!(!capabilities.bounding.contains(&"CAP_SYS_TIME".to_owned()));
        assert!(capabilities.bounding.contains(&"CAP_SYS_ADMIN".to_owned()));
    }

    #[test]
    fn how_it_is_given_the_processor_and_disks() {
        let check = |scheduling: Scheduling, nice, expect: Option<(&str, Option<i32>, Option<i32>, usize)>| {
            let exec = Exec { scheduling, nice, ..Exec::default() };
            let got = scheduler(&exec);
            let got = got.as_ref().map(|s| (s.policy.as_str(), s.nice, s.priority, s.flags.len()));
            assert_eq!(got, expect, "{exec:?}");
        };
        let policy = |policy, priority| Scheduling { policy: Some(policy), priority, ..Scheduling::default() };
        check(Scheduling::default(), None, None);
        check(Scheduling::default(), Some(5), Some(("SCHED_OTHER", Some(5), None, 0)));
        check(policy(Policy::Batch, 0), Some(5), Some(("SCHED_BATCH", Some(5), None, 0)));
        check(policy(Policy::Fifo, 50), Some(5), Some(("SCHED_FIFO", None, Some(50), 0)));
        let reset = Scheduling { reset_on_fork: true, ..policy(Policy::Rr, 1) };
        check(reset, None, Some(("SCHED_RR", None, Some(1), 1)));
        let exec = Exec { io_priority: Some((IoClass::Idle, 7)), processors: vec![0, 2], ..Exec::default() };
        let process = spec(&exec).process.unwrap();
        assert_eq!(process.io_priority.unwrap().class, "IOPRIO_CLASS_IDLE");
        assert_eq!(process.exec_cpu_affinity.unwrap().last.as_deref(), Some("0,2"));
    }

    #[test]
    fn users_of_its_own() {
        let check = |kind, uid, expect: &[(u32, u32)]| {
            let maps = super::users(kind, uid, uid).map(|users| users.uids).unwrap_or_default();
            assert!(maps.iter().all(|map| map.container == map.host));
            assert_eq!(maps.iter().map(|map| (map.host, map.size)).collect::<Vec<_>>(), expect, "{kind:?} {uid}");
        };
        check(PrivateUsers::No, 7, &[]);
        check(PrivateUsers::Own, 7, &[(0, 1), (7, 1)]);
        check(PrivateUsers::Own, 0, &[(0, 1)]);
        check(PrivateUsers::Identity, 7, &[(0, 65_536)]);
        check(PrivateUsers::Full, 7, &[(0, u32::MAX)]);
    }

    #[test]
    fn users() {
        let accounts = Accounts::of("root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n", "a:x:7:ann\n");
        let named = |name: &str| Exec { user: Some(name.into()), ..Exec::default() };
        let ann = identity("x.service", &named("ann"), &accounts).unwrap();
        assert_eq!((ann.uid, ann.gid, ann.groups), (1000, 1000, vec![7]));
        assert_eq!(identity("x.service", &named("bob"), &accounts).unwrap_err().code, code::USER);
        let dynamic = Exec { dynamic_user: true, ..Exec::default() };
        assert!(DYNAMIC.contains(&identity("x.service", &dynamic, &accounts).unwrap().uid));
    }
}
