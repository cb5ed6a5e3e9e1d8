//! mount(8) options: bits of the mount, how it spreads, what the file system itself is told.

use ashlar_sys::mounts::{
    Change, NO_DEVICES, NO_DIRECTORY_TIMES, NO_EXEC, NO_SUID, NO_SYMLINKS, NO_TIMES, Propagation, READ_ONLY,
    STRICT_TIMES, TIMES,
};

/// Options, sorted by what they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Attributes to set.
    pub set: u64,
    /// Attributes to clear.
    pub clear: u64,
    /// Attributes to set on everything below as well.
    pub set_below: u64,
    /// Attributes to clear on everything below as well.
    pub clear_below: u64,
    /// A mount of the host's.
    pub bind: bool,
    /// With all below it.
    pub recursive: bool,
    /// Ids are shifted.
    pub idmap: bool,
    /// Also of what is below.
    pub idmap_below: bool,
    /// It may be missing.
    pub optional: bool,
    /// A new file system gets what lies under it.
    pub copy_up: bool,
    /// How it spreads, and whether so does all below.
    pub propagation: Option<(Propagation, bool)>,
    /// For the file system: key and value.
    pub data: Vec<(String, Option<String>)>,
}

/// Name, bits to set, bits to clear.
const BITS: [(&str, u64, u64); 23] = [
    ("ro", READ_ONLY, 0),
    ("rw", 0, READ_ONLY),
    ("nosuid", NO_SUID, 0),
    ("suid", 0, NO_SUID),
    ("nodev", NO_DEVICES, 0),
    ("dev", 0, NO_DEVICES),
    ("noexec", NO_EXEC, 0),
    ("exec", 0, NO_EXEC),
    ("noatime", NO_TIMES, TIMES),
    ("atime", 0, TIMES),
    ("strictatime", STRICT_TIMES, TIMES),
    ("nostrictatime", 0, TIMES),
    ("relatime", 0, TIMES),
    ("norelatime", 0, TIMES),
    ("nodiratime", NO_DIRECTORY_TIMES, 0),
    ("diratime", 0, NO_DIRECTORY_TIMES),
    ("nosymfollow", NO_SYMLINKS, 0),
    ("symfollow", 0, NO_SYMLINKS),
    ("defaults", 0, 0),
    ("async", 0, 0),
    ("nomand", 0, 0),
    ("silent", 0, 0),
    ("loud", 0, 0),
];

/// How a mount spreads, by name; with `r` before it so do all below.
pub(crate) fn propagation(name: &str) -> Option<(Propagation, bool)> {
    let one = |name| {
        Some(match name {
            "private" => Propagation::Private,
            "slave" => Propagation::Slave,
            "shared" => Propagation::Shared,
            "unbindable" => Propagation::Unbindable,
            _ => return None,
        })
    };
    let below = || name.strip_prefix('r').and_then(one).map(|found| (found, true));
    one(name).map(|found| (found, false)).or_else(below)
}

/// All options that are not for a file system.
pub(crate) fn names() -> Vec<String> {
    let words = ["bind", "rbind", "idmap", "ridmap", "tmpcopyup", "x-optional"].into_iter();
    let spread = ["private", "slave", "shared", "unbindable"].into_iter();
    let twice = BITS.iter().map(|(name, ..)| *name).chain(spread);
    let mut names: Vec<String> = words.map(str::to_owned).collect();
    names.extend(twice.flat_map(|name| [name.to_owned(), format!("r{name}")]));
    names.sort();
    names
}

impl Options {
    /// Reads a mount's options; a later one undoes an earlier one.
    pub(crate) fn parse(options: &[String]) -> Self {
        let mut parsed = Self::default();
        options.iter().for_each(|option| parsed.add(option));
        parsed
    }

    fn add(&mut self, option: &str) {
        let bits = |name| BITS.iter().find(|(known, ..)| *known == name).map(|(_, set, clear)| (*set, *clear));
        match option {
            // podman's, where a label of SELinux would be.
            "" => {}
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.recursive) = (true, true),
            "idmap" => self.idmap = true,
            "ridmap" => (self.idmap, self.idmap_below) = (true, true),
            "tmpcopyup" => self.copy_up = true,
            "x-optional" => self.optional = true,
            _ => {
                if let Some((set, clear)) = bits(option) {
                    self.set = self.set & !clear | set;
                    self.clear = self.clear & !set | clear;
                } else if let Some((set, clear)) = option.strip_prefix('r').and_then(bits) {
                    self.set_below = self.set_below & !clear | set;
                    self.clear_below = self.clear_below & !set | clear;
                } else if let Some(propagation) = propagation(option) {
                    self.propagation = Some(propagation);
                } else if !option.starts_with("x-") {
                    let (key, value) = option.split_once('=').map_or((option, None), |(key, v)| (key, Some(v)));
                    self.data.push((key.to_owned(), value.map(str::to_owned)));
                }
            }
        }
    }

    /// What changes on the mount itself.
    pub(crate) fn change(&self) -> Change<'static> {
        Change { set: self.set, clear: self.clear & !self.set, ..Change::default() }
    }

    /// What changes on everything below as well.
    pub(crate) fn change_below(&self) -> Change<'static> {
        Change { set: self.set_below, clear: self.clear_below & !self.set_below, ..Change::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let check = |text: &str, expect: Options| {
            let list: Vec<String> = text.split(',').map(str::to_owned).collect();
            assert_eq!(Options::parse(&list), expect, "{text}");
        };
        check("rbind,ro", Options { bind: true, recursive: true, set: READ_ONLY, ..Options::default() });
        check("ro,rw", Options { clear: READ_ONLY, ..Options::default() });
        check("bind,rro", Options { bind: true, set_below: READ_ONLY, ..Options::default() });
        check("noatime", Options { set: NO_TIMES, clear: TIMES, ..Options::default() });
        check("bind,ridmap", Options { bind: true, idmap: true, idmap_below: true, ..Options::default() });
        check("rslave", Options { propagation: Some((Propagation::Slave, true)), ..Options::default() });
        check("bind,x-optional,x-other", Options { bind: true, optional: true, ..Options::default() });
        let data = vec![("mode".to_owned(), Some("755".to_owned())), ("newinstance".to_owned(), None)];
        check("nodev,,mode=755,newinstance", Options { set: NO_DEVICES, data, ..Options::default() });
    }
}
