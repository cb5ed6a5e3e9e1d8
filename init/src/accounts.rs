//! Users and groups of the machine, by name: /run/ashlar/etc/passwd and group.

use std::fs;

/// Where the files are.
pub const DIRECTORY: &str = "/run/ashlar/etc";
/// Members may manage the machine.
pub const MANAGERS: &str = "os";

/// The files' text; small enough to be looked through each time.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    passwd: String,
    group: String,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: String,
}

impl Accounts {
    /// Reads them anew: they change when a configuration is applied.
    pub fn read() -> Self {
        let read = |name| fs::read_to_string(format!("{DIRECTORY}/{name}")).unwrap_or_default();
        Self { passwd: read("passwd"), group: read("group") }
    }

    /// Out of the text of both files.
    #[cfg(test)]
    pub fn of(passwd: &str, group: &str) -> Self {
        Self { passwd: passwd.into(), group: group.into() }
    }

    /// Further groups of a user.
    pub fn memberships(&self, user: &str) -> Vec<u32> {
        self.groups()
            .filter(|(_, _, members)| members.split(',').any(|name| name == user))
            .map(|(_, gid, _)| gid)
            .collect()
    }

    fn users(&self) -> impl Iterator<Item = User> {
        self.passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, uid, gid) = (fields.next()?, fields.nth(1)?, fields.next()?);
            let home = fields.nth(1).unwrap_or("/").to_owned();
            Some(User { name: name.to_owned(), uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
        })
    }

    /// Name, id and members of each group.
    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, gid) = (fields.next()?, fields.nth(1)?.parse().ok()?);
            Some((name, gid, fields.next().unwrap_or_default()))
        })
    }

    pub fn uid(&self, name: &str) -> Option<u32> {
        name.parse().ok().or_else(|| self.users().find(|user| user.name == name).map(|user| user.uid))
    }

    pub fn gid(&self, name: &str) -> Option<u32> {
        name.parse().ok().or_else(|| self.groups().find(|group| group.0 == name).map(|group| group.1))
    }

    pub fn user(&self, uid: u32) -> Option<User> {
        self.users().find(|user| user.uid == uid)
    }

    /// Whether a user may manage the machine.
    pub fn manages(&self, uid: u32) -> bool {
        if uid == 0 {
            return true;
        }
        let Some(user) = self.user(uid) else { return false };
        let group = self.groups().find(|group| group.0 == MANAGERS);
        group.is_some_and(|(_, gid, members)| user.gid == gid || members.split(',').any(|name| name == user.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_manages() {
        let accounts = Accounts {
            passwd: "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/bash\nbob:x:1001:1001::/:/bin/sh\n"
                .into(),
            group: "root:x:0:\nos:x:900:ann,carl\nann:x:1000:\n".into(),
        };
        let check = |uid, expect| assert_eq!(accounts.manages(uid), expect, "{uid}");
        check(0, true);
        check(1000, true);
        check(1001, false);
        check(4711, false);
        assert_eq!((accounts.uid("bob"), accounts.gid("os"), accounts.gid("17")), (Some(1001), Some(900), Some(17)));
    }
}
