//! Properties of what cannot be set here: as they are on a systemd that was told nothing of it (systemd.exec(5),
//! systemd.resource-control(5), org.freedesktop.systemd1(5)). Programs that ask for all of an interface find theirs there.

use zbus::Variant;

use super::{Property, emits, fixed, none_of, silent, text};
use crate::cgroup::NONE;
use crate::world::{MachineView, UnitView};

/// No error number was said: the process is killed.
pub const KILL: i32 = i32::MAX - 1;

macro_rules! untold {
    ($($change:ident $name:literal $signature:literal = $value:expr;)*) => {
        &[$($change($name, $signature, |_| $value),)*]
    };
}

fn no() -> Variant<'static> {
    Variant::Bool(false)
}

fn number(value: u64) -> Variant<'static> {
    Variant::U64(value)
}

/// A list of what is meant, or with `true` of what is not: here of nothing.
fn nothing() -> Variant<'static> {
    Variant::new((false, Vec::<String>::new()))
}

fn label() -> Variant<'static> {
    Variant::new((false, String::new()))
}

fn no_bytes() -> Variant<'static> {
    Variant::new(Vec::<u8>::new())
}

pub static UNIT: &[Property<UnitView>] = untold! {
    fixed "AccessSELinuxContext" "s" = text("");
    silent "Markers" "as" = none_of("s");
    silent "DebugInvocation" "b" = no();
};

pub static SERVICE: &[Property<UnitView>] = untold! {
    // The pause is doubled until it is the longest; there is no number of steps.
    fixed "RestartSteps" "u" = Variant::U32(0);
    fixed "USBFunctionDescriptors" "s" = text("");
    fixed "USBFunctionStrings" "s" = text("");
    fixed "OpenFile" "a(sst)" = none_of("(sst)");
    fixed "ExtraFileDescriptorNames" "as" = none_of("s");
};

pub static EXEC: &[Property<UnitView>] = untold! {
    fixed "RootImage" "s" = text("");
    fixed "RootImageOptions" "a(ss)" = none_of("(ss)");
    fixed "RootHash" "ay" = no_bytes();
    fixed "RootHashPath" "s" = text("");
    fixed "RootHashSignature" "ay" = no_bytes();
    fixed "RootHashSignaturePath" "s" = text("");
    fixed "RootVerity" "s" = text("");
    fixed "RootEphemeral" "b" = no();
    fixed "ExtensionDirectories" "as" = none_of("s");
    fixed "ExtensionImages" "a(sba(ss))" = none_of("(sba(ss))");
    fixed "MountImages" "a(ssba(ss))" = none_of("(ssba(ss))");
    // None is accepted.
    fixed "RootImagePolicy" "s" = text("-");
    fixed "MountImagePolicy" "s" = text("-");
    fixed "ExtensionImagePolicy" "s" = text("-");
    // The kernel's own.
    fixed "CoredumpFilter" "t" = number(0x33);
    fixed "TimerSlackNSec" "t" = number(50_000);
    fixed "CPUAffinityFromNUMA" "b" = no();
    fixed "NUMAPolicy" "i" = Variant::I32(-1);
    fixed "NUMAMask" "ay" = no_bytes();
    fixed "StandardInputFileDescriptorName" "s" = text("");
    fixed "StandardOutputFileDescriptorName" "s" = text("");
    fixed "StandardErrorFileDescriptorName" "s" = text("");
    fixed "TTYReset" "b" = no();
    fixed "TTYVHangup" "b" = no();
    fixed "TTYVTDisallocate" "b" = no();
    fixed "TTYRows" "q" = Variant::U16(u16::MAX);
    fixed "TTYColumns" "q" = Variant::U16(u16::MAX);
    fixed "SyslogLevelPrefix" "b" = Variant::Bool(true);
    fixed "LogLevelMax" "i" = Variant::I32(-1);
    fixed "LogRateLimitIntervalUSec" "t" = number(0);
    fixed "LogRateLimitBurst" "u" = Variant::U32(0);
    fixed "LogExtraFields" "aay" = none_of("ay");
    fixed "LogFilterPatterns" "a(bs)" = none_of("(bs)");
    fixed "LogNamespace" "s" = text("");
    fixed "SecureBits" "i" = Variant::I32(0);
    fixed "SetCredentialEncrypted" "a(say)" = none_of("(say)");
    fixed "LoadCredentialEncrypted" "a(ss)" = none_of("(ss)");
    fixed "PAMName" "s" = text("");
    fixed "PassEnvironment" "as" = none_of("s");
    fixed "ExecSearchPath" "as" = none_of("s");
    fixed "MountFlags" "t" = number(0);
    fixed "PrivatePIDs" "s" = text("no");
    fixed "SameProcessGroup" "b" = no();
    fixed "UtmpIdentifier" "s" = text("");
    fixed "UtmpMode" "s" = text("init");
    fixed "SELinuxContext" "(bs)" = label();
    fixed "SmackProcessLabel" "(bs)" = label();
    // Every program starts as a shell's would.
    fixed "IgnoreSIGPIPE" "b" = no();
    fixed "SystemCallArchitectures" "as" = none_of("s");
    fixed "SystemCallLog" "(bas)" = nothing();
    fixed "Personality" "s" = text("");
    fixed "RuntimeDirectorySymlink" "a(sst)" = none_of("(sst)");
    fixed "StateDirectorySymlink" "a(sst)" = none_of("(sst)");
    fixed "CacheDirectorySymlink" "a(sst)" = none_of("(sst)");
    fixed "LogsDirectorySymlink" "a(sst)" = none_of("(sst)");
    fixed "TimeoutCleanUSec" "t" = number(NONE);
    fixed "RestrictFileSystems" "(bas)" = nothing();
    fixed "MountAPIVFS" "b" = no();
    fixed "BindLogSockets" "b" = no();
    fixed "KeyringMode" "s" = text("private");
    fixed "MemoryKSM" "b" = no();
    fixed "NetworkNamespacePath" "s" = text("");
    fixed "IPCNamespacePath" "s" = text("");
};

pub static RESOURCES: &[Property<UnitView>] = untold! {
    silent "StartupCPUWeight" "t" = number(NONE);
    silent "CPUShares" "t" = number(NONE);
    silent "StartupCPUShares" "t" = number(NONE);
    silent "StartupAllowedCPUs" "ay" = no_bytes();
    silent "StartupAllowedMemoryNodes" "ay" = no_bytes();
    silent "StartupIOWeight" "t" = number(NONE);
    silent "IODeviceWeight" "a(st)" = none_of("(st)");
    silent "IOReadBandwidthMax" "a(st)" = none_of("(st)");
    silent "IOWriteBandwidthMax" "a(st)" = none_of("(st)");
    silent "IOReadIOPSMax" "a(st)" = none_of("(st)");
    silent "IOWriteIOPSMax" "a(st)" = none_of("(st)");
    silent "IODeviceLatencyTargetUSec" "a(st)" = none_of("(st)");
    silent "BlockIOAccounting" "b" = no();
    silent "BlockIOWeight" "t" = number(NONE);
    silent "StartupBlockIOWeight" "t" = number(NONE);
    silent "BlockIODeviceWeight" "a(st)" = none_of("(st)");
    silent "BlockIOReadBandwidth" "a(st)" = none_of("(st)");
    silent "BlockIOWriteBandwidth" "a(st)" = none_of("(st)");
    silent "DefaultMemoryLow" "t" = number(0);
    silent "DefaultStartupMemoryLow" "t" = number(0);
    silent "DefaultMemoryMin" "t" = number(0);
    silent "StartupMemoryLow" "t" = number(0);
    silent "StartupMemoryHigh" "t" = number(NONE);
    silent "StartupMemoryMax" "t" = number(NONE);
    silent "StartupMemorySwapMax" "t" = number(NONE);
    silent "StartupMemoryZSwapMax" "t" = number(NONE);
    silent "MemoryZSwapWriteback" "b" = Variant::Bool(true);
    silent "MemoryLimit" "t" = number(NONE);
    silent "IPIngressFilterPath" "as" = none_of("s");
    silent "IPEgressFilterPath" "as" = none_of("s");
    silent "DisableControllers" "as" = none_of("s");
    silent "ManagedOOMSwap" "s" = text("auto");
    silent "ManagedOOMMemoryPressure" "s" = text("auto");
    silent "ManagedOOMMemoryPressureLimit" "u" = Variant::U32(0);
    silent "ManagedOOMMemoryPressureDurationUSec" "t" = number(NONE);
    silent "ManagedOOMPreference" "s" = text("none");
    silent "BPFProgram" "a(ss)" = none_of("(ss)");
    silent "SocketBindAllow" "a(iiqq)" = none_of("(iiqq)");
    silent "SocketBindDeny" "a(iiqq)" = none_of("(iiqq)");
    silent "RestrictNetworkInterfaces" "(bas)" = nothing();
    silent "MemoryPressureWatch" "s" = text("skip");
    silent "MemoryPressureThresholdUSec" "t" = number(200_000);
    silent "NFTSet" "a(iiss)" = none_of("(iiss)");
    silent "CoredumpReceive" "b" = no();
};

pub static SOCKET: &[Property<UnitView>] = untold! {
    fixed "BindToDevice" "s" = text("");
    // Of the folders that are made on the way.
    fixed "DirectoryMode" "u" = Variant::U32(0o755);
    fixed "FlushPending" "b" = no();
    fixed "Writable" "b" = no();
    fixed "IPTOS" "i" = Variant::I32(-1);
    fixed "IPTTL" "i" = Variant::I32(-1);
    fixed "PipeSize" "t" = number(0);
    fixed "PassFileDescriptorsToExec" "b" = no();
    fixed "RemoveOnStop" "b" = no();
    fixed "MessageQueueMaxMessages" "x" = Variant::I64(0);
    fixed "MessageQueueMessageSize" "x" = Variant::I64(0);
    fixed "TCPCongestion" "s" = text("");
    fixed "SmackLabel" "s" = text("");
    fixed "SmackLabelIPIn" "s" = text("");
    fixed "SmackLabelIPOut" "s" = text("");
    fixed "SocketProtocol" "i" = Variant::I32(0);
    // What it starts is limited, not how often it is asked to.
    fixed "TriggerLimitIntervalUSec" "t" = number(0);
    fixed "TriggerLimitBurst" "u" = Variant::U32(0);
    fixed "PollLimitIntervalUSec" "t" = number(0);
    fixed "PollLimitBurst" "u" = Variant::U32(0);
    fixed "TimeoutUSec" "t" = number(90_000_000);
    silent "ExecStartPre" "a(sasbttttuii)" = none_of("(sasbttttuii)");
    silent "ExecStartPost" "a(sasbttttuii)" = none_of("(sasbttttuii)");
    silent "ExecStopPre" "a(sasbttttuii)" = none_of("(sasbttttuii)");
    silent "ExecStopPost" "a(sasbttttuii)" = none_of("(sasbttttuii)");
    emits "UID" "u" = Variant::U32(u32::MAX);
    emits "GID" "u" = Variant::U32(u32::MAX);
};

pub static MANAGER: &[Property<MachineView>] = untold! {
    fixed "InitRDSecurityStartTimestamp" "t" = number(0);
    fixed "InitRDSecurityStartTimestampMonotonic" "t" = number(0);
    fixed "InitRDSecurityFinishTimestamp" "t" = number(0);
    fixed "InitRDSecurityFinishTimestampMonotonic" "t" = number(0);
    fixed "InitRDGeneratorsStartTimestamp" "t" = number(0);
    fixed "InitRDGeneratorsStartTimestampMonotonic" "t" = number(0);
    fixed "InitRDGeneratorsFinishTimestamp" "t" = number(0);
    fixed "InitRDGeneratorsFinishTimestampMonotonic" "t" = number(0);
    fixed "InitRDUnitsLoadStartTimestamp" "t" = number(0);
    fixed "InitRDUnitsLoadStartTimestampMonotonic" "t" = number(0);
    fixed "InitRDUnitsLoadFinishTimestamp" "t" = number(0);
    fixed "InitRDUnitsLoadFinishTimestampMonotonic" "t" = number(0);
    fixed "ShutdownStartTimestamp" "t" = number(0);
    fixed "ShutdownStartTimestampMonotonic" "t" = number(0);
    silent "WatchdogLastPingTimestamp" "t" = number(0);
    silent "WatchdogLastPingTimestampMonotonic" "t" = number(0);
    silent "RuntimeWatchdogPreUSec" "t" = number(0);
    silent "RuntimeWatchdogPreGovernor" "s" = text("");
    silent "DefaultTimeoutAbortUSec" "t" = number(90_000_000);
    fixed "DefaultDeviceTimeoutUSec" "t" = number(90_000_000);
    fixed "DefaultBlockIOAccounting" "b" = no();
    silent "DefaultMemoryPressureThresholdUSec" "t" = number(200_000);
    silent "DefaultMemoryPressureWatch" "s" = text("skip");
    fixed "TimerSlackNSec" "t" = number(50_000);
    fixed "DefaultOOMScoreAdjust" "i" = Variant::I32(0);
    fixed "CtrlAltDelBurstAction" "s" = text("none");
};
