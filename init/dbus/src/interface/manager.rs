//! org.freedesktop.systemd1.Manager.

use ashlar_config::systemd::FOLDERS;
use ashlar_control::message::Method as Ask;
use zbus::Variant;

use super::exec::inherited;
use super::settings::real_of;
use super::{Interface, Property, absent, emits, fixed, silent, text, texts, written};
use crate::actions::done;
use crate::fault::{self, Fault};
use crate::value::get;
use crate::wire::Body;
use crate::world::{MachineView, World};

mod methods;

/// What runs here has the interfaces of this version of systemd. Programs read the number in front.
const VERSION: &str = "257.13-ashlar";

pub static INTERFACE: Interface<MachineView> = Interface {
    name: "org.freedesktop.systemd1.Manager",
    properties: &[PROPERTIES, PHASES, LIMITS, absent::MANAGER],
    methods: methods::METHODS,
    signals: &[
        ("UnitNew", "so"),
        ("UnitRemoved", "so"),
        ("JobNew", "uos"),
        ("JobRemoved", "uoss"),
        ("StartupFinished", "tttttt"),
        ("UnitFilesChanged", ""),
        ("Reloading", "b"),
    ],
};

const LOG_TARGET: &str = "journal-or-kmsg";

/// What systemctl log-level reads and sets.
pub static LOG_CONTROL: Interface<MachineView> = Interface {
    name: "org.freedesktop.LogControl1",
    properties: &[&[
        written("LogLevel", "s", |view| text(&view.machine.log_level)),
        fixed("LogTarget", "s", |_| text(LOG_TARGET)),
        fixed("SyslogIdentifier", "s", |_| text("systemd")),
    ]],
    methods: &[],
    signals: &[],
};

/// Sets a property that may be set.
pub fn write(world: &mut World, name: &str, value: &Variant<'_>) -> Result<Body, Fault> {
    match name {
        "LogLevel" => done(world, &Ask::SetLogLevel { level: get(name, value)? }),
        _ => Err(Fault::new(fault::PROPERTY_READ_ONLY, format!("Property '{name}' is not writable."))),
    }
}

static PROPERTIES: &[Property<MachineView>] = &[
    fixed("Version", "s", |_| text(VERSION)),
    fixed("Features", "s", |_| text("+SECCOMP +BLKID +KMOD default-hierarchy=unified")),
    fixed("Virtualization", "s", |_| text("")),
    fixed("ConfidentialVirtualization", "s", |_| text("")),
    fixed("Architecture", "s", |_| text(if cfg!(target_arch = "aarch64") { "arm64" } else { "x86-64" })),
    fixed("Tainted", "s", |_| text("")),
    fixed("FirmwareTimestamp", "t", |_| Variant::U64(0)),
    fixed("FirmwareTimestampMonotonic", "t", |_| Variant::U64(0)),
    fixed("LoaderTimestamp", "t", |_| Variant::U64(0)),
    fixed("LoaderTimestampMonotonic", "t", |_| Variant::U64(0)),
    fixed("KernelTimestamp", "t", |_| Variant::U64(real_of(0))),
    fixed("KernelTimestampMonotonic", "t", |_| Variant::U64(0)),
    fixed("InitRDTimestamp", "t", |view| Variant::U64(real(view.machine.boot_usec))),
    fixed("InitRDTimestampMonotonic", "t", |view| Variant::U64(view.machine.boot_usec)),
    fixed("UserspaceTimestamp", "t", |view| Variant::U64(real(view.machine.init_usec))),
    fixed("UserspaceTimestampMonotonic", "t", |view| Variant::U64(view.machine.init_usec)),
    fixed("FinishTimestamp", "t", |view| Variant::U64(real(finish(view)))),
    fixed("FinishTimestampMonotonic", "t", |view| Variant::U64(finish(view))),
    written("LogLevel", "s", |view| text(&view.machine.log_level)),
    silent("LogTarget", "s", |_| text(LOG_TARGET)),
    silent("NNames", "u", |view| Variant::U32(view.units)),
    emits("NFailedUnits", "u", |view| Variant::U32(view.failed)),
    silent("NJobs", "u", |view| Variant::U32(view.jobs)),
    silent("NInstalledJobs", "u", |view| Variant::U32(view.jobs)),
    silent("NFailedJobs", "u", |_| Variant::U32(0)),
    silent("Progress", "d", |view| Variant::F64(if finish(view) == 0 { 0.5 } else { 1.0 })),
    silent("Environment", "as", |view| {
        texts(view.machine.environment.iter().map(|(key, value)| format!("{key}={value}")))
    }),
    fixed("ConfirmSpawn", "b", |_| Variant::Bool(false)),
    fixed("ShowStatus", "b", |_| Variant::Bool(false)),
    fixed("UnitPath", "as", |_| texts(FOLDERS)),
    fixed("DefaultStandardOutput", "s", |_| text("journal")),
    fixed("DefaultStandardError", "s", |_| text("inherit")),
    fixed("WatchdogDevice", "s", |_| text("")),
    fixed("RuntimeWatchdogUSec", "t", |_| Variant::U64(0)),
    fixed("RebootWatchdogUSec", "t", |_| Variant::U64(0)),
    fixed("KExecWatchdogUSec", "t", |_| Variant::U64(0)),
    fixed("ServiceWatchdogs", "b", |_| Variant::Bool(true)),
    silent("ControlGroup", "s", |_| text("")),
    silent("SystemState", "s", |view| text(&view.machine.state)),
    fixed("SoftRebootsCount", "u", |view| Variant::U32(view.machine.soft_reboots)),
    silent("ExitCode", "y", |_| Variant::U8(0)),
    fixed("DefaultTimerAccuracyUSec", "t", |_| Variant::U64(0)),
    fixed("DefaultTimeoutStartUSec", "t", |_| Variant::U64(90_000_000)),
    fixed("DefaultTimeoutStopUSec", "t", |_| Variant::U64(90_000_000)),
    fixed("DefaultRestartUSec", "t", |_| Variant::U64(100_000)),
    fixed("DefaultStartLimitIntervalUSec", "t", |_| Variant::U64(10_000_000)),
    fixed("DefaultStartLimitBurst", "u", |_| Variant::U32(5)),
    fixed("DefaultOOMPolicy", "s", |_| text("stop")),
    fixed("DefaultTasksMax", "t", |_| Variant::U64(u64::MAX)),
    fixed("DefaultMemoryAccounting", "b", |_| Variant::Bool(true)),
    fixed("DefaultTasksAccounting", "b", |_| Variant::Bool(true)),
    fixed("DefaultCPUAccounting", "b", |_| Variant::Bool(true)),
    fixed("DefaultIOAccounting", "b", |_| Variant::Bool(true)),
    fixed("DefaultIPAccounting", "b", |_| Variant::Bool(false)),
];

macro_rules! at_the_start {
    ($($real:literal $monotonic:literal)*) => {
        &[$(
            fixed($real, "t", |view: &MachineView| Variant::U64(real(view.machine.init_usec))),
            fixed($monotonic, "t", |view: &MachineView| Variant::U64(view.machine.init_usec)),
        )*]
    };
}

/// Phases of systemd's that take no time here. Without the first one systemd-analyze takes the machine for a container.
static PHASES: &[Property<MachineView>] = at_the_start! {
    "SecurityStartTimestamp" "SecurityStartTimestampMonotonic"
    "SecurityFinishTimestamp" "SecurityFinishTimestampMonotonic"
    "GeneratorsStartTimestamp" "GeneratorsStartTimestampMonotonic"
    "GeneratorsFinishTimestamp" "GeneratorsFinishTimestampMonotonic"
    "UnitsLoadStartTimestamp" "UnitsLoadStartTimestampMonotonic"
    "UnitsLoadFinishTimestamp" "UnitsLoadFinishTimestampMonotonic"
    "UnitsLoadTimestamp" "UnitsLoadTimestampMonotonic"
};

macro_rules! rlimits {
    ($($hard:literal $soft:literal $kind:literal)*) => {
        &[$(
            fixed($hard, "t", |_: &MachineView| Variant::U64(inherited($kind).1)),
            fixed($soft, "t", |_: &MachineView| Variant::U64(inherited($kind).0)),
        )*]
    };
}

/// What units get that say nothing of it.
static LIMITS: &[Property<MachineView>] = rlimits! {
    "DefaultLimitCPU" "DefaultLimitCPUSoft" "RLIMIT_CPU"
    "DefaultLimitFSIZE" "DefaultLimitFSIZESoft" "RLIMIT_FSIZE"
    "DefaultLimitDATA" "DefaultLimitDATASoft" "RLIMIT_DATA"
    "DefaultLimitSTACK" "DefaultLimitSTACKSoft" "RLIMIT_STACK"
    "DefaultLimitCORE" "DefaultLimitCORESoft" "RLIMIT_CORE"
    "DefaultLimitRSS" "DefaultLimitRSSSoft" "RLIMIT_RSS"
    "DefaultLimitNOFILE" "DefaultLimitNOFILESoft" "RLIMIT_NOFILE"
    "DefaultLimitAS" "DefaultLimitASSoft" "RLIMIT_AS"
    "DefaultLimitNPROC" "DefaultLimitNPROCSoft" "RLIMIT_NPROC"
    "DefaultLimitMEMLOCK" "DefaultLimitMEMLOCKSoft" "RLIMIT_MEMLOCK"
    "DefaultLimitLOCKS" "DefaultLimitLOCKSSoft" "RLIMIT_LOCKS"
    "DefaultLimitSIGPENDING" "DefaultLimitSIGPENDINGSoft" "RLIMIT_SIGPENDING"
    "DefaultLimitMSGQUEUE" "DefaultLimitMSGQUEUESoft" "RLIMIT_MSGQUEUE"
    "DefaultLimitNICE" "DefaultLimitNICESoft" "RLIMIT_NICE"
    "DefaultLimitRTPRIO" "DefaultLimitRTPRIOSoft" "RLIMIT_RTPRIO"
    "DefaultLimitRTTIME" "DefaultLimitRTTIMESoft" "RLIMIT_RTTIME"
};

fn real(monotonic: u64) -> u64 {
    if monotonic == 0 { 0 } else { real_of(monotonic) }
}

fn finish(view: &MachineView) -> u64 {
    match view.machine.userspace_usec {
        0 => 0,
        span => view.machine.boot_usec + span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_have_the_types_that_are_said() {
        for property in INTERFACE.properties.iter().copied().flatten() {
            let value = (property.get)(&MachineView::default());
            assert_eq!(value.value_signature().to_string(), property.signature, "{}", property.name);
        }
    }
}
