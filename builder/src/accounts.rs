//! Users and groups: one numbering for the machine and all containers, out of Debian's fixed accounts and what
//! packages declare in sysusers.d(5).
//!
//! A number that nobody fixed follows from the name alone, unless another name had it first: state on the disk of a
//! running machine belongs to numbers, and must not change hands when a later image has one more package.

use std::collections::{BTreeMap, BTreeSet};

/// Numbers that are given out: above Debian's fixed ones, below those of people.
const FIRST: u32 = 200;
const COUNT: u32 = 700;
const NOLOGIN: &str = "/usr/sbin/nologin";
/// Ours, besides those of packages.
const OURS: &str = "g os - -\n";

/// All accounts of an image.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, Group>,
}

#[derive(Clone, Debug)]
struct User {
    uid: u32,
    gid: u32,
    comment: String,
    home: String,
    shell: String,
}

#[derive(Clone, Debug, Default)]
struct Group {
    gid: u32,
    members: BTreeSet<String>,
}

/// An account cannot be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A line does not read.
    #[error("read {file}: {line:?} is no line of sysusers.d or of a passwd or group file")]
    Line {
        /// Whose.
        file: String,
        /// The line.
        line: String,
    },
    /// A group is named and nobody makes it.
    #[error("make user {user}: there is no group {group}")]
    NoGroup {
        /// User.
        user: String,
        /// Group.
        group: String,
    },
    /// All numbers are taken.
    #[error("number {0}: all numbers for accounts are taken")]
    Full(String),
}

/// A line of sysusers.d, its quotes taken off.
struct Line {
    kind: char,
    name: String,
    id: String,
    comment: Option<String>,
    home: Option<String>,
    shell: Option<String>,
}

impl Accounts {
    /// Gathers Debian's own accounts (base-passwd's passwd and group), then those of sysusers.d files (name, text),
    /// in the order of their names.
    ///
    /// # Errors
    /// A line that does not read, or a group that nobody makes.
    pub fn gather(passwd: &str, group: &str, declared: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut accounts = Self::default();
        for line in group.lines().filter(|line| !line.is_empty()) {
            accounts.read_group(line).ok_or_else(|| bad("group.master", line))?;
        }
        for line in passwd.lines().filter(|line| !line.is_empty()) {
            accounts.read_user(line).ok_or_else(|| bad("passwd.master", line))?;
        }
        let mut lines = read_declared("ashlar", OURS)?;
        for (file, text) in declared {
            lines.extend(read_declared(file, text)?);
        }
        // Numbers that are fixed go first; the rest in the order of the names, so that no file's name matters.
        lines.sort_by(|a, b| (a.id == "-", order(a.kind), &a.name).cmp(&(b.id == "-", order(b.kind), &b.name)));
        for line in &lines {
            accounts.declare(line)?;
        }
        Ok(accounts)
    }

    fn read_group(&mut self, line: &str) -> Option<()> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, ..] = fields[..] else { return None };
        self.groups.insert(name.to_owned(), Group { gid: gid.parse().ok()?, members: BTreeSet::new() });
        Some(())
    }

    fn read_user(&mut self, line: &str) -> Option<()> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, comment, home, shell] = fields[..] else { return None };
        let [comment, home, shell] = [comment, home, shell].map(str::to_owned);
        let user = User { uid: uid.parse().ok()?, gid: gid.parse().ok()?, comment, home, shell };
        self.users.insert(name.to_owned(), user);
        Some(())
    }

    fn declare(&mut self, line: &Line) -> Result<(), Error> {
        match line.kind {
            'g' => self.declare_group(line),
            'u' => self.declare_user(line),
            'm' => {
                let no_group = || Error::NoGroup { user: line.name.clone(), group: line.id.clone() };
                self.groups.get_mut(&line.id).ok_or_else(no_group)?.members.insert(line.name.clone());
                Ok(())
            }
            // Ranges are ours to choose.
            _ => Ok(()),
        }
    }

    fn declare_group(&mut self, line: &Line) -> Result<(), Error> {
        if !self.groups.contains_key(&line.name) {
            let gid = line.id.parse().map_or_else(|_| self.number(&line.name), Ok)?;
            self.groups.insert(line.name.clone(), Group { gid, members: BTreeSet::new() });
        }
        Ok(())
    }

    fn declare_user(&mut self, line: &Line) -> Result<(), Error> {
        if self.users.contains_key(&line.name) {
            return Ok(());
        }
        let (id, group) = line.id.split_once(':').map_or((line.id.as_str(), None), |(id, group)| (id, Some(group)));
        let own = self.groups.get(&line.name).map(|group| group.gid);
        let free = |uid: &u32| self.users.values().all(|user| user.uid != *uid);
        let uid = match id.parse() {
            Ok(uid) => uid,
            Err(_) => own.filter(free).map_or_else(|| self.number(&line.name), Ok)?,
        };
        let gid = match group.map(|group| (group, group.parse())) {
            None => {
                let make = || Group { gid: uid, members: BTreeSet::new() };
                self.groups.entry(line.name.clone()).or_insert_with(make).gid
            }
            Some((_, Ok(gid))) => gid,
            Some((group, Err(_))) => {
                let no_group = || Error::NoGroup { user: line.name.clone(), group: group.to_owned() };
                self.groups.get(group).ok_or_else(no_group)?.gid
            }
        };
        let text = |field: &Option<String>, default: &str| field.clone().unwrap_or_else(|| default.to_owned());
        let user = User {
            uid,
            gid,
            comment: text(&line.comment, ""),
            home: text(&line.home, "/"),
            shell: text(&line.shell, NOLOGIN),
        };
        self.users.insert(line.name.clone(), user);
        Ok(())
    }

    /// A number that is neither a user's nor a group's.
    fn number(&self, name: &str) -> Result<u32, Error> {
        let start = fnv(name) % COUNT;
        let taken = |id: u32| {
            self.users.values().any(|user| user.uid == id) || self.groups.values().any(|group| group.gid == id)
        };
        let candidates = (0..COUNT).map(|step| FIRST + (start + step) % COUNT);
        candidates.into_iter().find(|id| !taken(*id)).ok_or_else(|| Error::Full(name.to_owned()))
    }

    /// A user's number and its group's.
    pub fn user(&self, name: &str) -> Option<(u32, u32)> {
        self.users.get(name).map(|user| (user.uid, user.gid))
    }

    /// A group's number.
    pub fn group(&self, name: &str) -> Option<u32> {
        self.groups.get(name).map(|group| group.gid)
    }

    /// Names of all users.
    pub fn user_names(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }

    /// Names of all groups.
    pub fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }

    /// Groups that a user is a member of, besides its own.
    pub fn memberships(&self, user: &str) -> BTreeSet<u32> {
        self.groups.values().filter(|group| group.members.contains(user)).map(|group| group.gid).collect()
    }

    /// /etc/passwd, by number. Nobody has a password.
    pub fn passwd_file(&self) -> String {
        let mut users: Vec<_> = self.users.iter().collect();
        users.sort_by_key(|(name, user)| (user.uid, *name));
        let line = |(name, user): (&String, &User)| {
            format!("{name}:*:{}:{}:{}:{}:{}\n", user.uid, user.gid, user.comment, user.home, user.shell)
        };
        users.into_iter().map(line).collect()
    }

    /// /etc/group, by number.
    pub fn group_file(&self) -> String {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(name, group)| (group.gid, *name));
        let line = |(name, group): (&String, &Group)| {
            let members: Vec<&str> = group.members.iter().map(String::as_str).collect();
            format!("{name}:*:{}:{}\n", group.gid, members.join(","))
        };
        groups.into_iter().map(line).collect()
    }
}

/// Groups before the users that are in them, memberships last.
fn order(kind: char) -> u8 {
    match kind {
        'g' => 0,
        'u' => 1,
        _ => 2,
    }
}

fn bad(file: &str, line: &str) -> Error {
    Error::Line { file: file.to_owned(), line: line.chars().take(120).collect() }
}

fn read_declared(file: &str, text: &str) -> Result<Vec<Line>, Error> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| read_line(line).ok_or_else(|| bad(file, line))).collect()
}

fn read_line(line: &str) -> Option<Line> {
    let mut words = words(line).into_iter();
    let (kind, name) = (words.next()?, words.next()?);
    let kind = kind.chars().next().filter(|kind| "ugmr".contains(*kind))?;
    let mut field = || words.next().filter(|word| word != "-");
    let id = field().unwrap_or_else(|| "-".to_owned());
    Some(Line { kind, name, id, comment: field(), home: field(), shell: field() })
}

/// Words between blanks, or in double quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// FNV-1a.
fn fnv(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:*:0:0:root:/root:/bin/bash\nnobody:*:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
    const GROUP: &str = "root:*:0:\nadm:*:4:\nnogroup:*:65534:\n";

    fn gather(text: &str) -> Result<Accounts, Error> {
        Accounts::gather(PASSWD, GROUP, &BTreeMap::from([("a.conf".to_owned(), text.to_owned())]))
    }

    #[test]
    fn rows() {
        fn check(text: &str, expect: &str) {
            let accounts = gather(text).unwrap();
            let passwd = accounts.passwd_file();
            let added: String = passwd.lines().filter(|line| !PASSWD.contains(line)).collect::<Vec<_>>().join("|");
            assert_eq!(added, expect, "{text}");
        }
        check("", "");
        check("u root 0 - /root /bin/zsh", "");
        check("u a 7 \"The A\" /var/a /bin/sh", "a:*:7:7:The A:/var/a:/bin/sh");
        check("u! a 7:65534", "a:*:7:65534::/:/usr/sbin/nologin");
        check("u a 7:adm - - -", "a:*:7:4::/:/usr/sbin/nologin");
        check("g a 9 -\nu a 7", "a:*:7:9::/:/usr/sbin/nologin");
    }

    #[test]
    fn a_number_follows_from_the_name() {
        let one = gather("u sshd -:nogroup").unwrap();
        let two = gather("u sshd -:nogroup\nu another -\ng third - -").unwrap();
        assert_eq!(one.user("sshd"), two.user("sshd"));
        assert_eq!(one.user("sshd").unwrap().1, 65534);
        let (uid, gid) = two.user("another").unwrap();
        assert_eq!(uid, gid);
        assert!((FIRST..FIRST + COUNT).contains(&uid));
        assert!(one.group("os").is_some());
    }

    #[test]
    fn members() {
        let accounts = gather("u a 7\nm a adm").unwrap();
        assert_eq!(accounts.memberships("a"), BTreeSet::from([4]));
        assert!(accounts.group_file().contains("adm:*:4:a\n"));
    }

    #[test]
    fn mistakes() {
        let check = |text: &str, expect: &str| {
            let error = gather(text).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        };
        check("x a 7", "read a.conf: \"x a 7\" is no line");
        check("u", "is no line");
        check("u a -:b", "make user a: there is no group b");
        check("m a b", "there is no group b");
    }
}
