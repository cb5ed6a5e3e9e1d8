//! `linux`: namespaces, control groups, devices, filters.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::IdMapping;

/// What only Linux has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Linux {
    /// Namespaces of its own; of those that are not named it has the caller's.
    pub namespaces: Vec<Namespace>,
    /// Of the user namespace.
    pub uid_mappings: Vec<IdMapping>,
    /// Of the user namespace.
    pub gid_mappings: Vec<IdMapping>,
    /// Of the time namespace, by clock.
    pub time_offsets: BTreeMap<String, TimeOffset>,
    /// Further device nodes.
    pub devices: Vec<Device>,
    /// Where its control group is; how that is read is the caller's choice.
    pub cgroups_path: Option<String>,
    /// What the group of control may use.
    pub resources: Resources,
    /// Kernel parameters by name.
    pub sysctl: BTreeMap<String, String>,
    /// System call filter, unread: [`Seccomp`] is large, and only the process itself needs it.
    pub seccomp: Option<Box<RawValue>>,
    /// `private`, `slave`, `shared`, `unbindable`, each with `r` before it as well.
    pub rootfs_propagation: Option<String>,
    /// Paths that cannot be read.
    pub masked_paths: Vec<String>,
    /// Paths that cannot be written.
    pub readonly_paths: Vec<String>,
    /// SELinux label of its mounts.
    pub mount_label: Option<String>,
    /// Which system it believes to run on.
    pub personality: Option<Personality>,
    /// From which nodes it gets memory.
    pub memory_policy: Option<MemoryPolicy>,
    /// Share of the processors' caches, unread: who has no such control refuses it.
    pub intel_rdt: Option<Box<RawValue>>,
    /// Network devices of the host that move in, by name.
    pub net_devices: BTreeMap<String, NetDevice>,
    /// A user namespace that the process enters when all else is set up with the host's rights. The specification has
    /// none such; systemd.exec(5) has, PrivateUsers=.
    #[serde(skip)]
    pub private_users: Option<PrivateUsers>,
}

/// See [`Linux::private_users`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrivateUsers {
    /// Users by number.
    pub uids: Vec<IdMapping>,
    /// Groups by number.
    pub gids: Vec<IdMapping>,
    /// The process may choose among them for its further groups.
    pub may_set_groups: bool,
}

impl PartialEq for Linux {
    fn eq(&self, other: &Self) -> bool {
        let seccomp = |linux: &Self| linux.seccomp.as_deref().map(RawValue::get).map(str::to_owned);
        self.namespaces == other.namespaces
            && (&self.uid_mappings, &self.gid_mappings) == (&other.uid_mappings, &other.gid_mappings)
            && (&self.devices, &self.resources) == (&other.devices, &other.resources)
            && self.private_users == other.private_users
            && seccomp(self) == seccomp(other)
    }
}

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "namespaces(7)")]
pub enum NamespaceKind {
    Pid,
    Network,
    Mount,
    Ipc,
    Uts,
    User,
    Cgroup,
    Time,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Namespace {
    /// Which.
    #[serde(rename = "type")]
    pub kind: NamespaceKind,
    /// One that is there already.
    #[serde(default)]
    pub path: Option<String>,
}

/// personality(2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Personality {
    /// `LINUX` or `LINUX32`.
    pub domain: String,
    /// None are defined.
    pub flags: Vec<String>,
}

/// set_mempolicy(2).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct MemoryPolicy {
    /// `MPOL_…`.
    pub mode: String,
    /// A list such as `0-3,7`.
    pub nodes: String,
    /// `MPOL_F_…`.
    pub flags: Vec<String>,
}

/// A network device that moves in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct NetDevice {
    /// Its name there, if that is another.
    pub name: String,
}

/// How far a clock is ahead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TimeOffset {
    /// Seconds.
    pub secs: i64,
    /// Nanoseconds.
    pub nanosecs: u32,
}

/// A device node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Device {
    /// Where.
    pub path: String,
    /// `c`, `b`, `u` or `p`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Number.
    pub major: i64,
    /// Number.
    pub minor: i64,
    /// Permissions.
    pub file_mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Owner.
    pub gid: Option<u32>,
}

/// What a group may use.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// Rules about devices; the last one that fits holds.
    pub devices: Vec<DeviceRule>,
    /// Memory.
    pub memory: Memory,
    /// Processors.
    pub cpu: Cpu,
    /// Processes.
    pub pids: Pids,
    /// Disks.
    #[serde(rename = "blockIO")]
    pub block_io: BlockIo,
    /// Large pages.
    pub hugepage_limits: Vec<HugepageLimit>,
    /// Remote direct memory access, by device.
    pub rdma: BTreeMap<String, Rdma>,
    /// Files of the group and what to write to them.
    pub unified: BTreeMap<String, String>,
}

/// A rule about devices. What is absent stands for all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DeviceRule {
    /// Allowed, or not.
    pub allow: bool,
    /// `a`, `c` or `b`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Number.
    pub major: Option<i64>,
    /// Number.
    pub minor: Option<i64>,
    /// Out of `r`, `w` and `m` (make a node).
    pub access: Option<String>,
}

/// Limits in bytes; -1 is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// memory.max.
    pub limit: Option<i64>,
    /// memory.low.
    pub reservation: Option<i64>,
    /// Memory and swap together.
    pub swap: Option<i64>,
    /// A limit below what is in use now is refused.
    pub check_before_update: bool,
}

/// Processor time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Cpu {
    /// Weight as in control groups v1, 2 to 262144.
    pub shares: Option<u64>,
    /// Microseconds in each period; -1 is no limit.
    pub quota: Option<i64>,
    /// Microseconds.
    pub period: Option<u64>,
    /// Microseconds that may be saved up.
    pub burst: Option<u64>,
    /// 0 or 1.
    pub idle: Option<i64>,
    /// cpuset.cpus.
    pub cpus: Option<String>,
    /// cpuset.mems.
    pub mems: Option<String>,
}

/// Number of processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pids {
    /// pids.max; 0 and less are no limit.
    pub limit: Option<i64>,
}

/// Disks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockIo {
    /// 10 to 1000.
    pub weight: Option<u64>,
    /// By disk.
    pub weight_device: Vec<DiskWeight>,
    /// Bytes a second.
    pub throttle_read_bps_device: Vec<Throttle>,
    /// Bytes a second.
    pub throttle_write_bps_device: Vec<Throttle>,
    /// Operations a second.
    #[serde(rename = "throttleReadIOPSDevice")]
    pub throttle_read_iops_device: Vec<Throttle>,
    /// Operations a second.
    #[serde(rename = "throttleWriteIOPSDevice")]
    pub throttle_write_iops_device: Vec<Throttle>,
}

/// A disk's weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct DiskWeight {
    /// Number.
    pub major: i64,
    /// Number.
    pub minor: i64,
    /// 10 to 1000.
    pub weight: Option<u64>,
}

/// A limit of large pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HugepageLimit {
    /// Such as `2MB`.
    pub page_size: String,
    /// Bytes.
    pub limit: u64,
}

/// Limits of a device for remote direct memory access.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rdma {
    /// Handles.
    pub hca_handles: Option<u32>,
    /// Objects.
    pub hca_objects: Option<u32>,
}

/// A disk's limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Throttle {
    /// Number.
    pub major: i64,
    /// Number.
    pub minor: i64,
    /// A second.
    pub rate: u64,
}

/// A system call filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Seccomp {
    /// For calls that no rule is about.
    pub default_action: String,
    /// Error number of a default action `SCMP_ACT_ERRNO`.
    pub default_errno_ret: Option<u32>,
    /// `SCMP_ARCH_…`; calls of others end the process. None: the machine's own.
    pub architectures: Vec<String>,
    /// `SECCOMP_FILTER_FLAG_…`.
    pub flags: Vec<String>,
    /// Socket of whoever decides about calls with `SCMP_ACT_NOTIFY`.
    pub listener_path: Option<String>,
    /// What it is told besides.
    pub listener_metadata: Option<String>,
    /// Rules; the first one that fits holds.
    pub syscalls: Vec<SyscallRule>,
}

/// A rule about system calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyscallRule {
    /// Their names; those that the machine does not have are skipped.
    pub names: Vec<String>,
    /// `SCMP_ACT_…`.
    pub action: String,
    /// Error number.
    pub errno_ret: Option<u32>,
    /// Conditions.
    pub args: Vec<SyscallArgument>,
}

/// A condition on an argument.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyscallArgument {
    /// Which, from 0.
    pub index: u8,
    /// To compare with; the mask of `SCMP_CMP_MASKED_EQ`.
    pub value: u64,
    /// What a masked argument must be.
    pub value_two: u64,
    /// `SCMP_CMP_…`.
    pub op: String,
}
