//! Errors by systemd's names and with systemd's words, which programs read (systemd's bus-common-errors).

use ashlar_control::client;
use ashlar_control::message::Refusal;

/// An error reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub name: &'static str,
    pub text: String,
}

macro_rules! names {
    ($($constant:ident = $name:literal;)*) => { $(pub const $constant: &str = $name;)* };
}

names! {
    UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject";
    UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod";
    UNKNOWN_PROPERTY = "org.freedesktop.DBus.Error.UnknownProperty";
    PROPERTY_READ_ONLY = "org.freedesktop.DBus.Error.PropertyReadOnly";
    INVALID_ARGUMENTS = "org.freedesktop.DBus.Error.InvalidArgs";
    ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied";
    NOT_SUPPORTED = "org.freedesktop.DBus.Error.NotSupported";
    FAILED = "org.freedesktop.DBus.Error.Failed";
    FILE_NOT_FOUND = "org.freedesktop.DBus.Error.FileNotFound";
    NO_SUCH_PROCESS = "org.freedesktop.DBus.Error.UnixProcessIdUnknown";
    NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit";
    NO_UNIT_FOR_PID = "org.freedesktop.systemd1.NoUnitForPID";
    NO_UNIT_FOR_INVOCATION = "org.freedesktop.systemd1.NoUnitForInvocationID";
    UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists";
    UNIT_BUSY = "org.freedesktop.systemd1.UnitBusy";
    UNIT_INACTIVE = "org.freedesktop.systemd1.UnitInactive";
    NO_SUCH_JOB = "org.freedesktop.systemd1.NoSuchJob";
    NOT_SUBSCRIBED = "org.freedesktop.systemd1.NotSubscribed";
    ALREADY_SUBSCRIBED = "org.freedesktop.systemd1.AlreadySubscribed";
    NOT_REFERENCED = "org.freedesktop.systemd1.NotReferenced";
    DESTRUCTIVE = "org.freedesktop.systemd1.TransactionIsDestructive";
    NOT_APPLICABLE = "org.freedesktop.systemd1.JobTypeNotApplicable";
    SCOPE_NOT_RUNNING = "org.freedesktop.systemd1.ScopeNotRunning";
    UNIT_MASKED = "org.freedesktop.systemd1.UnitMasked";
    BAD_UNIT = "org.freedesktop.systemd1.BadUnitSetting";
    ONLY_BY_DEPENDENCY = "org.freedesktop.systemd1.OnlyByDependency";
    STORE_DISABLED = "org.freedesktop.systemd1.FileDescriptorStoreDisabled";
    NO_DYNAMIC_USER = "org.freedesktop.systemd1.NoSuchDynamicUser";
    NOTHING_TO_CLEAN = "org.freedesktop.systemd1.NothingToClean";
}

impl Fault {
    pub fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into() }
    }

    /// The arguments make no sense.
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(INVALID_ARGUMENTS, text)
    }

    /// A call about a unit that is not there.
    pub fn not_loaded(unit: &str) -> Self {
        Self::new(NO_SUCH_UNIT, format!("Unit {unit} not loaded."))
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::NoSuchUnit { unit, .. } => Self::new(NO_SUCH_UNIT, format!("Unit {unit} not found.")),
            Refusal::NoSuchProcess { pid } => {
                Self::new(NO_SUCH_PROCESS, format!("Process with ID {pid} does not exist."))
            }
            Refusal::NoSuchJob { id } => Self::new(NO_SUCH_JOB, format!("Job {id} does not exist.")),
            Refusal::UnitExists { unit } => {
                Self::new(UNIT_EXISTS, format!("Unit {unit} was already loaded or has a fragment file."))
            }
            Refusal::Masked { unit } => Self::new(UNIT_MASKED, format!("Unit {unit} is masked.")),
            Refusal::BadUnit { unit, .. } => Self::new(BAD_UNIT, format!("Unit {unit} has a bad unit file setting.")),
            Refusal::OnlyByDependency { unit } => Self::new(
                ONLY_BY_DEPENDENCY,
                format!(
                    "Operation refused, unit {unit} may be requested by dependency only (it is configured to refuse \
                     manual start/stop)."
                ),
            ),
            Refusal::NoSuchFile { .. } => Self::new(NO_SUCH_UNIT, text),
            Refusal::FileExists { .. } => Self::new(UNIT_EXISTS, text),
            Refusal::PermissionDenied { .. } => Self::new(ACCESS_DENIED, text),
            Refusal::Destructive { .. } => Self::new(DESTRUCTIVE, text),
            Refusal::NotApplicable { .. } => Self::new(NOT_APPLICABLE, text),
            Refusal::Busy { .. } => Self::new(UNIT_BUSY, "Unit is not inactive or has pending job."),
            Refusal::NotRunning { unit } => Self::new(
                UNIT_INACTIVE,
                format!("Live mounting for unit '{unit}' cannot be scheduled: service not running"),
            ),
            Refusal::NothingToClean { .. } => Self::new(NOTHING_TO_CLEAN, "No matching resources found."),
            Refusal::Invalid { .. } => Self::new(INVALID_ARGUMENTS, text),
            Refusal::Failed { .. } => Self::new(FAILED, text),
        }
    }
}

impl From<client::Error> for Fault {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Refused(refusal) => refusal.into(),
            other => Self::new(FAILED, format!("PID 1 cannot be asked: {other}")),
        }
    }
}
