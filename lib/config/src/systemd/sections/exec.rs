//! How commands run (systemd.exec(5)), but for what seals them.

use super::{Draft, Taken, put};
use crate::systemd::value;
use crate::systemd::words::split;
use crate::unit::{
    Credential, CredentialSource, Folder, FolderKind, IoClass, Keep, Output, Policy, Scheduling, Stream,
};

/// The kernel's own for what says only its class.
const DISK_PRIORITY: u32 = 4;

/// Limits of processes that the kernel has.
const RLIMITS: [&str; 16] = [
    "AS",
    "CORE",
    "CPU",
    "DATA",
    "FSIZE",
    "LOCKS",
    "MEMLOCK",
    "MSGQUEUE",
    "NICE",
    "NOFILE",
    "NPROC",
    "RSS",
    "RTPRIO",
    "RTTIME",
    "SIGPENDING",
    "STACK",
];

pub fn take(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    if let Some(kind) = key.strip_prefix("Limit").filter(|kind| RLIMITS.contains(kind)) {
        return rlimit(draft, kind, text);
    }
    if let Some(taken) = folder(draft, key, text)? {
        return Ok(taken);
    }
    match key {
        "User" => draft.exec.user = Some(draft.expand(text)?).filter(|name| !name.is_empty()),
        "Group" => draft.exec.group = Some(draft.expand(text)?).filter(|name| !name.is_empty()),
        "SupplementaryGroups" => {
            let words = draft.words(text)?;
            if words.is_empty() {
                draft.exec.groups.clear();
            }
            draft.exec.groups.extend(words);
        }
        "DynamicUser" => return put(&mut draft.exec.dynamic_user, value::boolean(text)),
        "WorkingDirectory" => {
            let (optional, path) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
            draft.exec.working_directory_optional = optional;
            draft.exec.working_directory = match path {
                "" => None,
                "~" => Some("~".to_owned()),
                path => Some(draft.path(path)?),
            };
        }
        "UMask" => return put(&mut draft.exec.umask, value::mode(text).map(Some)),
        "Nice" => {
            let nice: i32 = value::number(text)?;
            if !(-20..=19).contains(&nice) {
                return Err(format!("{nice} is not between -20 and 19"));
            }
            draft.exec.nice = Some(nice);
        }
        "OOMScoreAdjust" => {
            let score: i32 = value::number(text)?;
            if !(-1000..=1000).contains(&score) {
                return Err(format!("{score} is not between -1000 and 1000"));
            }
            draft.exec.oom_score_adjust = Some(score);
        }
        "StandardInput" => draft.exec.streams[0] = stream(draft, text)?,
        "StandardOutput" => draft.exec.streams[1] = stream(draft, text)?,
        "StandardError" => draft.exec.streams[2] = stream(draft, text)?,
        "StandardInputText" => {
            let line = split(&format!("\"{}\"", text.replace('"', "\\\"")))?.concat();
            let line = draft.expand(&line)?;
            let before = match &draft.exec.streams[0] {
                Stream::Data(before) => before.clone(),
                _ => String::new(),
            };
            draft.exec.streams[0] = Stream::Data(format!("{before}{line}\n"));
        }
        "RemoveIPC" => return put(&mut draft.exec.remove_ipc, value::boolean(text)),
        "NonBlocking" => return put(&mut draft.exec.non_blocking, value::boolean(text)),
        "TTYPath" => draft.service.tty = Some(draft.path(text)?),
        "SyslogIdentifier" => draft.exec.syslog_identifier = draft.expand(text)?,
        "RuntimeDirectoryPreserve" => {
            draft.exec.keep_runtime_folders = match text {
                "restart" => Keep::Restart,
                text if value::boolean(text)? => Keep::Yes,
                _ => Keep::No,
            };
        }
        _ => return scheduling(draft, key, text),
    }
    Ok(Taken::Yes)
}

fn scheduling(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    let exec = &mut draft.exec;
    match key {
        "CPUSchedulingPolicy" if text.is_empty() => exec.scheduling = Scheduling::default(),
        "CPUSchedulingPolicy" => {
            let policy: Policy = value::word(text)?;
            // The lowest that there is, unless it says more.
            let priority = exec.scheduling.priority.max(1);
            exec.scheduling.priority = if policy.is_of_real_time() { priority } else { 0 };
            exec.scheduling.policy = Some(policy);
        }
        "CPUSchedulingPriority" => {
            let priority = value::number(text)?;
            let most = if exec.scheduling.policy.is_none_or(Policy::is_of_real_time) { 99 } else { 0 };
            if priority > most {
                return Err(format!("{priority} is more than {most}, the most of its policy"));
            }
            exec.scheduling.priority = priority;
        }
        "CPUSchedulingResetOnFork" => return put(&mut exec.scheduling.reset_on_fork, value::boolean(text)),
        "IOSchedulingClass" | "IOSchedulingPriority" if text.is_empty() => exec.io_priority = None,
        "IOSchedulingClass" => {
            let priority = exec.io_priority.map_or(DISK_PRIORITY, |(_, priority)| priority);
            exec.io_priority = Some((value::word(text)?, priority));
        }
        "IOSchedulingPriority" => {
            let priority = value::number(text)?;
            if priority > 7 {
                return Err(format!("{priority} is not between 0 and 7"));
            }
            let class = exec.io_priority.map_or(IoClass::BestEffort, |(class, _)| class);
            exec.io_priority = Some((class, priority));
        }
        "CPUAffinity" if text.is_empty() => exec.processors.clear(),
        "CPUAffinity" => {
            exec.processors.extend(value::numbers(text)?);
            exec.processors.sort_unstable();
            exec.processors.dedup();
        }
        "LoadCredential" | "SetCredential" | "ImportCredential" => return credential(draft, key, text),
        "SyslogFacility" => return put(&mut exec.syslog_facility, place(&FACILITIES, text).map(Some)),
        "SyslogLevel" => return put(&mut exec.syslog_level, place(&LEVELS, text).map(Some)),
        _ => return environment(draft, key, text),
    }
    Ok(Taken::Yes)
}

fn credential(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    let of_kind = |source: &CredentialSource| match source {
        CredentialSource::Path(_) | CredentialSource::Store(_) => key == "LoadCredential",
        CredentialSource::Value(_) => key == "SetCredential",
        CredentialSource::Import(_) => key == "ImportCredential",
    };
    if text.is_empty() {
        draft.exec.credentials.retain(|known| !of_kind(&known.source));
        return Ok(Taken::Yes);
    }
    let (name, rest) = text.split_once(':').unwrap_or((text, ""));
    let (name, expanded) = (draft.expand(name)?, draft.expand(rest)?);
    let plain = name.strip_suffix('*').filter(|_| key == "ImportCredential").unwrap_or(&name);
    if (plain.is_empty() && name != "*") || plain.contains(['/', '*']) || name.starts_with('.') {
        return Err(format!("`{name}` is no name of a credential"));
    }
    let source = match key {
        "SetCredential" => CredentialSource::Value(split(&format!("\"{}\"", expanded.replace('"', "\\\"")))?.concat()),
        "ImportCredential" => CredentialSource::Import(expanded),
        _ if expanded.starts_with('/') => CredentialSource::Path(value::path(&expanded)?),
        _ if expanded.contains('/') => return Err(format!("`{expanded}` is no path, and no name of a credential")),
        _ if expanded.is_empty() => CredentialSource::Store(name.clone()),
        _ => CredentialSource::Store(expanded),
    };
    draft.exec.credentials.retain(|known| known.name != name || !of_kind(&known.source));
    draft.exec.credentials.push(Credential { name, source });
    Ok(Taken::Yes)
}

/// syslog(3), in the order of their numbers; an empty name has no number's meaning.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "",
    "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];
const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

fn place(names: &[&str], text: &str) -> Result<u8, String> {
    let place = names.iter().position(|name| *name == text && !text.is_empty());
    place.map(|place| place as u8).ok_or_else(|| format!("`{text}` is not one of its words"))
}

fn environment(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    match key {
        "Environment" => {
            let words = draft.words(text)?;
            let variables = &mut draft.exec.environment;
            if words.is_empty() {
                variables.clear();
            }
            for word in words {
                let (name, value) = word.split_once('=').ok_or_else(|| format!("`{word}` has no `=`"))?;
                variables.retain(|(known, _)| known != name);
                variables.push((name.to_owned(), value.to_owned()));
            }
        }
        "EnvironmentFile" if text.is_empty() => draft.exec.environment_files.clear(),
        "EnvironmentFile" => {
            let (optional, path) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
            let path = draft.path(path)?;
            draft.exec.environment_files.push((path, optional));
        }
        "UnsetEnvironment" => {
            let words = draft.words(text)?;
            draft.exec.unset_environment.extend(words);
        }
        // Those of the manager's are passed on always.
        "PassEnvironment" => {}
        _ => return Ok(Taken::Unknown),
    }
    Ok(Taken::Yes)
}

fn stream(draft: &Draft<'_>, text: &str) -> Result<Stream, String> {
    Ok(match text {
        "" => Stream::Default,
        "null" => Stream::Null,
        "inherit" => Stream::Inherit,
        "data" => match &draft.exec.streams[0] {
            data @ Stream::Data(_) => data.clone(),
            _ => Stream::Data(String::new()),
        },
        "journal" | "syslog" => Stream::Journal,
        "journal+console" | "syslog+console" => Stream::JournalAndConsole,
        "socket" => Stream::Socket,
        "tty" | "tty-force" | "tty-fail" => Stream::Tty,
        text => {
            let (kind, path) =
                text.split_once(':').ok_or_else(|| format!("`{text}` is no stream that is known here"))?;
            let path = draft.path(path)?;
            match kind {
                "file" => Stream::File(path),
                "append" => Stream::Append(path),
                "truncate" => Stream::Truncate(path),
                _ => return Err(format!("`{text}` is no stream that is known here")),
            }
        }
    })
}

fn rlimit(draft: &mut Draft<'_>, kind: &str, text: &str) -> Result<Taken, String> {
    let one = |text: &str| match (text, kind) {
        ("infinity", _) => Ok(u64::MAX),
        (text, "CPU") => value::span(text).map(|span| span.0.div_ceil(1_000_000)),
        (text, "RTTIME") if text.ends_with(char::is_alphabetic) => value::span(text).map(|span| span.0),
        // A level of nice(2), which the kernel counts from the other end.
        (text, "NICE") => value::number::<i64>(text).map(|nice| (20 - nice).clamp(0, 40) as u64),
        (text, _) => value::size(text),
    };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let name = format!("RLIMIT_{kind}");
    draft.exec.rlimits.retain(|(known, ..)| *known != name);
    if !text.is_empty() {
        draft.exec.rlimits.push((name, one(soft)?, one(hard)?));
    }
    Ok(Taken::Yes)
}

/// `RuntimeDirectory=`, `RuntimeDirectoryMode=` and so on.
fn folder(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Option<Taken>, String> {
    const KINDS: [(&str, FolderKind); 5] = [
        ("RuntimeDirectory", FolderKind::Runtime),
        ("StateDirectory", FolderKind::State),
        ("CacheDirectory", FolderKind::Cache),
        ("LogsDirectory", FolderKind::Logs),
        ("ConfigurationDirectory", FolderKind::Configuration),
    ];
    for (word, kind) in KINDS {
        match key.strip_prefix(word) {
            Some("Mode") => {
                draft.folder_modes.push((kind, value::mode(text)?));
                return Ok(Some(Taken::Yes));
            }
            Some("") => {
                let words = draft.words(text)?;
                if words.is_empty() {
                    draft.exec.folders.retain(|folder| folder.kind != kind);
                }
                for word in words {
                    // Links beside a folder are made by who wants them.
                    let name = word.split(':').next().unwrap_or_default();
                    let path = value::path(&format!("/{name}"))?;
                    let name = path.trim_start_matches('/').to_owned();
                    if name.is_empty() {
                        return Err("it names no folder".into());
                    }
                    draft.exec.folders.push(Folder { kind, name, mode: 0o755 });
                }
                return Ok(Some(Taken::Yes));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// What the written settings come to, all together.
pub fn settle(draft: &mut Draft<'_>) {
    for (kind, mode) in std::mem::take(&mut draft.folder_modes) {
        draft.exec.folders.iter_mut().filter(|folder| folder.kind == kind).for_each(|folder| folder.mode = mode);
    }
    if let Some(calls) = &mut draft.exec.seal.calls {
        calls.errno = draft.call_error;
    }
    let input_is_terminal = draft.exec.streams[0] == Stream::Tty;
    if input_is_terminal {
        draft.service.tty.get_or_insert_with(|| "/dev/console".into());
    } else {
        draft.service.tty = None;
    }
    draft.service.output = match (&draft.exec.streams[1], input_is_terminal) {
        (Stream::Null, _) => Output::Null,
        (Stream::Tty, _) | (Stream::Default | Stream::Inherit, true) => Output::Tty,
        _ => Output::Journal,
    };
}
