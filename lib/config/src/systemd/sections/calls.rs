//! `SystemCallFilter=` (systemd.exec(5)): calls by name and by group.

use std::collections::BTreeSet;

use crate::systemd::words::split;
use crate::unit::Calls;

const GROUPS: &str = include_str!("calls.txt");
/// Errors that filters answer with, by name and number.
const ERRORS: [(&str, u32); 8] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EACCES", 13),
    ("EINVAL", 22),
    ("ENOSYS", 38),
    ("EAFNOSUPPORT", 97),
    ("EUCLEAN", 117),
    ("EOPNOTSUPP", 95),
];

/// Adds a line to what is known. The first one says whether the list is what may be, or what may not.
pub fn add(known: Option<Calls>, text: &str) -> Result<Option<Calls>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let (without, list) = text.strip_prefix('~').map_or((false, text), |rest| (true, rest));
    let mut named = BTreeSet::new();
    for word in split(list)? {
        // An error for single calls is more than a filter of one action can say: they are refused as the others are.
        let name = word.split(':').next().unwrap_or_default();
        match name.starts_with('@') {
            true => take_group(name, &mut named)?,
            false => drop(named.insert(name.to_owned())),
        }
    }
    let mut calls = match known {
        Some(calls) => calls,
        None => {
            let mut always = BTreeSet::new();
            if !without {
                take_group("@default", &mut always)?;
            }
            Calls { allow: !without, names: always.into_iter().collect(), errno: None }
        }
    };
    if calls.allow == without {
        calls.names.retain(|name| !named.contains(name));
    } else {
        calls.names.extend(named);
        calls.names.sort_unstable();
        calls.names.dedup();
    }
    Ok(Some(calls))
}

/// The number of `SystemCallErrorNumber=`; none ends the process.
pub fn errno(text: &str) -> Result<Option<u32>, String> {
    if ["", "kill"].contains(&text) {
        return Ok(None);
    }
    let named = ERRORS.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    let number = named.or_else(|| text.parse().ok().filter(|number| (1..4096).contains(number)));
    number.map(Some).ok_or_else(|| format!("`{text}` is no error that is known"))
}

fn take_group(name: &str, calls: &mut BTreeSet<String>) -> Result<(), String> {
    let mut work = vec![name.to_owned()];
    let mut seen = BTreeSet::new();
    while let Some(group) = work.pop() {
        if !seen.insert(group.clone()) {
            continue;
        }
        let members = members(&group).ok_or_else(|| format!("`{group}` is no group of system calls"))?;
        for member in members {
            match member.starts_with('@') {
                true => work.push(member.to_owned()),
                false => drop(calls.insert(member.to_owned())),
            }
        }
    }
    Ok(())
}

fn members(group: &str) -> Option<impl Iterator<Item = &'static str>> {
    let start = GROUPS.match_indices(group).map(|(at, _)| at).find(|at| {
        let begins = *at == 0 || GROUPS.as_bytes()[at - 1] == b'\n';
        begins && GROUPS[at + group.len()..].starts_with([' ', '\n'])
    })?;
    let rest = &GROUPS[start + group.len()..];
    let end = rest.find("\n@").unwrap_or(rest.len());
    Some(rest[..end].split_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let allowed = add(None, "@system-service").unwrap().unwrap();
        let has = |calls: &Calls, name: &str| calls.names.iter().any(|known| known == name);
        assert!(allowed.allow && has(&allowed, "read") && has(&allowed, "execve") && !has(&allowed, "reboot"));
        let less = add(Some(allowed), "~@privileged @resources").unwrap().unwrap();
        assert!(less.allow && has(&less, "read") && !has(&less, "setuid") && !has(&less, "setrlimit"));
        let denied = add(None, "~@mount ptrace:EPERM").unwrap().unwrap();
        assert!(!denied.allow && has(&denied, "mount") && has(&denied, "ptrace") && !has(&denied, "read"));
        assert_eq!(add(Some(denied), ""), Ok(None));
        assert!(add(None, "@nonsense").is_err());
        assert_eq!((errno("EPERM"), errno("kill"), errno("7")), (Ok(Some(1)), Ok(None), Ok(Some(7))));
        assert!(errno("ENONSENSE").is_err());
    }

    #[test]
    fn every_group_has_members() {
        let groups = GROUPS.lines().filter(|line| line.starts_with('@')).map(|line| line.split(' ').next().unwrap());
        for group in groups {
            let mut calls = BTreeSet::new();
            take_group(group, &mut calls).unwrap();
            assert!(!calls.is_empty(), "{group}");
        }
    }
}
