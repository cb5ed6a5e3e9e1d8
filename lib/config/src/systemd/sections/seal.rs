//! What a service sees and may do (systemd.exec(5), from "Capabilities" on).

use super::{Draft, Taken, calls, put};
use crate::systemd::value;
use crate::systemd::words::split;
use crate::unit::{CAPABILITIES, FAMILIES, Families, PrivateUsers, Protect, SealedPath, Treatment};

pub fn take(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    let seal = &mut draft.exec.seal;
    let switch = match key {
        "NoNewPrivileges" => &mut seal.no_new_privileges,
        "PrivateDevices" => &mut seal.private_devices,
        "PrivateNetwork" => &mut seal.private_network,
        "PrivateIPC" => &mut seal.private_ipc,
        "PrivateMounts" => &mut seal.private_mounts,
        "ProtectHostname" => &mut seal.hostname,
        "ProtectKernelTunables" => &mut seal.kernel_tunables,
        "ProtectKernelModules" => &mut seal.kernel_modules,
        "ProtectKernelLogs" => &mut seal.kernel_logs,
        "ProtectClock" => &mut seal.clock,
        "RestrictRealtime" => &mut seal.no_realtime,
        "RestrictSUIDSGID" => &mut seal.no_suid,
        "LockPersonality" => &mut seal.lock_personality,
        "MemoryDenyWriteExecute" => &mut seal.no_write_execute,
        _ => return wider(draft, key, text),
    };
    put(switch, value::boolean(text))
}

fn wider(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    let seal = &mut draft.exec.seal;
    match key {
        "PrivateTmp" => seal.private_tmp = text == "disconnected" || value::boolean(text)?,
        // A group of its own is more than being unable to write to the machine's.
        "ProtectControlGroups" => seal.control_groups = ["private", "strict"].contains(&text) || value::boolean(text)?,
        "PrivateUsers" => {
            seal.private_users = match text {
                "self" | "identity" | "full" => value::word(text)?,
                text if value::boolean(text)? => PrivateUsers::Own,
                _ => PrivateUsers::No,
            };
        }
        "ProtectSystem" => {
            seal.system = match text {
                "full" => Protect::Full,
                "strict" => Protect::Strict,
                text if value::boolean(text)? => Protect::Yes,
                _ => Protect::No,
            };
        }
        "ProtectHome" => {
            seal.home = match text {
                "read-only" => Protect::ReadOnly,
                "tmpfs" => Protect::Tmpfs,
                text if value::boolean(text)? => Protect::Yes,
                _ => Protect::No,
            };
        }
        "ProtectProc" => {
            seal.proc_access = match text {
                "default" => None,
                "noaccess" | "invisible" | "ptraceable" => Some(text.to_owned()),
                _ => return Err(format!("`{text}` is not one of its words")),
            };
        }
        "AppArmorProfile" => {
            let (optional, name) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
            seal.apparmor_profile = Some((name.to_owned(), optional)).filter(|(name, _)| !name.is_empty());
        }
        "ProcSubset" => seal.proc_only_processes = text == "pid",
        "CapabilityBoundingSet" => {
            let known = seal.bounding.take();
            seal.bounding = Some(capabilities(known, text)?);
        }
        "AmbientCapabilities" => {
            let known = if text.is_empty() { Vec::new() } else { std::mem::take(&mut seal.ambient) };
            seal.ambient = capabilities(Some(known), text)?;
        }
        "RestrictNamespaces" => seal.no_namespaces = namespaces(text)?,
        "RestrictAddressFamilies" => seal.families = families(seal.families.take(), text)?,
        "SystemCallFilter" => {
            let known = seal.calls.take();
            seal.calls = calls::add(known, text)?;
        }
        "SystemCallErrorNumber" => draft.call_error = calls::errno(text)?,
        "SystemCallArchitectures" if ["native", ""].contains(&text) => {}
        "ReadWritePaths" | "ReadWriteDirectories" => return paths(draft, Treatment::Writable, text),
        "ReadOnlyPaths" | "ReadOnlyDirectories" => return paths(draft, Treatment::ReadOnly, text),
        "InaccessiblePaths" | "InaccessibleDirectories" => return paths(draft, Treatment::Inaccessible, text),
        "ExecPaths" => return paths(draft, Treatment::Exec, text),
        "NoExecPaths" => return paths(draft, Treatment::NoExec, text),
        "BindPaths" => return binds(draft, Treatment::Bind, text),
        "BindReadOnlyPaths" => return binds(draft, Treatment::BindReadOnly, text),
        "TemporaryFileSystem" => return binds(draft, Treatment::Tmpfs, text),
        _ => return Ok(Taken::Unknown),
    }
    Ok(Taken::Yes)
}

/// A set of capabilities: `~` takes away, of all if nothing was said before; an empty text is the empty set.
fn capabilities(known: Option<Vec<String>>, text: &str) -> Result<Vec<String>, String> {
    let (without, text) = text.strip_prefix('~').map_or((false, text), |rest| (true, rest));
    let mut named = Vec::new();
    for word in split(text)? {
        let name = word.to_ascii_uppercase();
        if !CAPABILITIES.contains(&name.as_str()) {
            return Err(format!("`{word}` is no capability that is known"));
        }
        named.push(name);
    }
    if without {
        let all = || CAPABILITIES.iter().map(|name| (*name).to_owned()).collect();
        let mut left = known.unwrap_or_else(all);
        left.retain(|name| !named.contains(name));
        return Ok(left);
    }
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = known.unwrap_or_default();
    all.extend(named);
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// Bits of clone(2).
const NAMESPACES: [(&str, u64); 8] = [
    ("cgroup", 0x0200_0000),
    ("ipc", 0x0800_0000),
    ("net", 0x4000_0000),
    ("mnt", 0x0002_0000),
    ("pid", 0x2000_0000),
    ("user", 0x1000_0000),
    ("uts", 0x0400_0000),
    ("time", 0x0000_0080),
];

/// The kinds that may not be made: `yes` is all, a list is what may.
fn namespaces(text: &str) -> Result<u64, String> {
    let all = NAMESPACES.iter().map(|(_, bit)| bit).sum();
    if let Ok(restricts) = value::boolean(text) {
        return Ok(if restricts { all } else { 0 });
    }
    let (without, list) = text.strip_prefix('~').map_or((false, text), |rest| (true, rest));
    let mut named = 0;
    for word in list.split_ascii_whitespace() {
        let known = NAMESPACES.iter().find(|(name, _)| *name == word);
        named |= known.ok_or_else(|| format!("`{word}` is no kind of namespace"))?.1;
    }
    Ok(if without { named } else { all & !named })
}

fn families(known: Option<Families>, text: &str) -> Result<Option<Families>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if text == "none" {
        return Ok(Some(Families { allow: true, numbers: Vec::new() }));
    }
    let (without, list) = text.strip_prefix('~').map_or((false, text), |rest| (true, rest));
    let mut numbers = Vec::new();
    for word in list.split_ascii_whitespace() {
        let family = FAMILIES.iter().find(|(name, _)| *name == word);
        numbers.push(family.ok_or_else(|| format!("`{word}` is no family of sockets that is known"))?.1);
    }
    let mut families = known.unwrap_or(Families { allow: !without, numbers: Vec::new() });
    if families.allow == without {
        families.numbers.retain(|number| !numbers.contains(number));
    } else {
        families.numbers.extend(numbers);
    }
    Ok(Some(families))
}

fn paths(draft: &mut Draft<'_>, treatment: Treatment, text: &str) -> Result<Taken, String> {
    let words = draft.words(text)?;
    if words.is_empty() {
        draft.exec.seal.paths.retain(|sealed| sealed.treatment != treatment);
    }
    for word in words {
        let (optional, path) = optional(&word);
        let path = value::path(path)?;
        draft.exec.seal.paths.push(SealedPath { treatment, path, source: String::new(), optional });
    }
    Ok(Taken::Yes)
}

/// `-` says that a path need not be there, `+` that it is the root directory's own, which is the machine's here.
fn optional(word: &str) -> (bool, &str) {
    match word.strip_prefix('-') {
        Some(rest) => (true, rest.strip_prefix('+').unwrap_or(rest)),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    }
}

/// `SOURCE:PATH:OPTIONS`; of a file system in memory `PATH:OPTIONS`.
fn binds(draft: &mut Draft<'_>, treatment: Treatment, text: &str) -> Result<Taken, String> {
    let words = draft.words(text)?;
    if words.is_empty() {
        draft.exec.seal.paths.retain(|sealed| sealed.treatment != treatment);
    }
    for word in words {
        let mut parts = word.split(':');
        let (optional, first) = optional(parts.next().unwrap_or_default());
        let second = parts.next();
        let (source, path) = match treatment {
            Treatment::Tmpfs => (second.unwrap_or_default().to_owned(), value::path(first)?),
            _ => (value::path(first)?, value::path(second.filter(|path| !path.is_empty()).unwrap_or(first))?),
        };
        if path == "/" {
            return Err("another root is not supported".into());
        }
        draft.exec.seal.paths.push(SealedPath { treatment, path, source, optional });
    }
    Ok(Taken::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_capabilities() {
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(capabilities(None, "CAP_KILL cap_chown"), Ok(named(&["CAP_CHOWN", "CAP_KILL"])));
        assert_eq!(capabilities(None, ""), Ok(Vec::new()));
        assert_eq!(capabilities(None, "~CAP_KILL").map(|all| all.len()), Ok(40));
        assert_eq!(capabilities(Some(named(&["CAP_KILL"])), "~CAP_KILL"), Ok(Vec::new()));
        assert!(capabilities(None, "CAP_FLY").is_err());
    }

    #[test]
    fn what_may_not_be_made() {
        assert_eq!(namespaces("no"), Ok(0));
        assert_eq!(namespaces("~user pid"), Ok(0x3000_0000));
        assert_eq!(namespaces("user").map(|bits| bits & 0x1000_0000), Ok(0));
        assert!(namespaces("nonsense").is_err());
        let row = |known, text: &str, expect: Option<(bool, &[u64])>| {
            let got = families(known, text).unwrap().map(|families| (families.allow, families.numbers));
            assert_eq!(got, expect.map(|(allow, numbers)| (allow, numbers.to_vec())), "{text}");
        };
        row(None, "AF_UNIX AF_INET", Some((true, &[1, 2])));
        row(None, "~AF_PACKET", Some((false, &[17])));
        row(Some(Families { allow: true, numbers: vec![1, 2] }), "~AF_INET", Some((true, &[1])));
        row(None, "none", Some((true, &[])));
        row(None, "", None);
    }
}
