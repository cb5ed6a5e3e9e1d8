//! passwd(5) and group(5): the image's system accounts, and the machine's people behind them. Text in, text out.

use std::collections::{BTreeMap, BTreeSet};

use ashlar_config::Error;
use ashlar_config::machine::User;
use ashlar_config::nearest::nearest;

/// Numbers of people.
const IDS: std::ops::RangeInclusive<u32> = 1000..=59_999;

/// A user who is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Name.
    pub name: String,
    /// User and group number.
    pub id: u32,
    /// Lines of authorized_keys.
    pub keys: Vec<String>,
}

/// Both files with everybody in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// passwd.
    pub passwd: String,
    /// group.
    pub group: String,
    /// Who was added.
    pub people: Vec<Person>,
}

/// Adds people to the image's accounts. `homes` are the owners of the folders that are there already: somebody who has
/// been here keeps their number, whatever the order in the file is now.
pub fn add(
    base: (&str, &str),
    users: &[User],
    homes: &BTreeMap<String, u32>,
    mistake: &mut impl FnMut(Error),
) -> Accounts {
    let (names, groups) = (fields(base.0, 0), fields(base.1, 0));
    let mut taken: BTreeSet<u32> = numbers(base.0).chain(numbers(base.1)).collect();
    let mut users: Vec<&User> = users.iter().collect();
    users.retain(|user| {
        let name = user.name.value.as_str();
        let is_free = !names.contains(name) && !groups.contains(name);
        if !is_free {
            mistake(user.name.error(format!("`{name}` is an account of the system, take another name")));
        }
        is_free
    });
    let mut people = Vec::new();
    let mut members: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for user in users {
        let name = user.name.value.as_str();
        let Some(id) = number(name, homes, &taken) else {
            mistake(user.name.error(format!("there is no number left for user `{name}`")));
            continue;
        };
        taken.insert(id);
        for group in &user.groups {
            match groups.get(group.value.as_str()) {
                Some(group) => members.entry(group).or_default().push(name),
                None => mistake(group.error(no_group(&group.value, &groups))),
            }
        }
        let keys = user.ssh_keys.iter().map(|key| key.value.clone()).collect();
        people.push(Person { name: name.to_owned(), id, keys });
    }
    let passwd = people.iter().map(|p| format!("{0}:*:{1}:{1}::/home/{0}:/bin/bash\n", p.name, p.id)).collect();
    let group = people.iter().map(|p| format!("{}:*:{}:\n", p.name, p.id)).collect();
    Accounts { passwd: joined(base.0, passwd), group: joined(&with_members(base.1, &members), group), people }
}

/// People as the host's kernel sees them while they are in the console container: their numbers, shifted. The message bus
/// takes nobody whom it does not find in passwd.
pub fn shifted(people: &[Person], first_id: u32) -> String {
    let line = |person: &Person| {
        let (name, id) = (&person.name, first_id + person.id);
        format!("{name}.console:*:{id}:{id}:{name} in the console container:/home/{name}:/usr/sbin/nologin\n")
    };
    people.iter().map(line).collect()
}

fn no_group(name: &str, groups: &BTreeSet<&str>) -> String {
    match nearest(name, groups.iter().copied()) {
        Some(near) => format!("there is no group `{name}`, did you mean `{near}`?"),
        None => format!("there is no group `{name}`"),
    }
}

/// The number of the owner of their home, or the lowest that nobody has or had.
fn number(name: &str, homes: &BTreeMap<String, u32>, taken: &BTreeSet<u32>) -> Option<u32> {
    let own = homes.get(name).copied().filter(|id| IDS.contains(id) && !taken.contains(id));
    own.or_else(|| IDS.into_iter().find(|id| !taken.contains(id) && !homes.values().any(|owner| owner == id)))
}

fn fields(text: &str, field: usize) -> BTreeSet<&str> {
    text.lines().filter_map(|line| line.split(':').nth(field)).collect()
}

fn numbers(text: &str) -> impl Iterator<Item = u32> {
    text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok())
}

fn with_members(groups: &str, members: &BTreeMap<&str, Vec<&str>>) -> String {
    let line = |line: &str| {
        let added = line.split(':').next().and_then(|name| members.get(name));
        let Some(added) = added else { return format!("{line}\n") };
        let comma = if line.ends_with(':') { "" } else { "," };
        format!("{line}{comma}{}\n", added.join(","))
    };
    groups.lines().map(line).collect()
}

fn joined(base: &str, added: String) -> String {
    let end = if base.is_empty() || base.ends_with('\n') { "" } else { "\n" };
    format!("{base}{end}{added}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_config::machine;

    const PASSWD: &str = "root:*:0:0::/root:/bin/sh\nsshd:*:100:65534::/run/sshd:/usr/sbin/nologin";
    const GROUP: &str = "root:*:0:\nos:*:900:\nadm:*:4:syslog\n";

    fn check(text: &str, homes: &[(&str, u32)], passwd: &str, group: &str, mistakes: &[&str]) {
        let (machine, errors) = machine::parse("m", text);
        assert_eq!(errors, []);
        let homes = homes.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect();
        let mut said = Vec::new();
        let accounts = add((PASSWD, GROUP), &machine.users, &homes, &mut |error| said.push(error.to_string()));
        assert_eq!(accounts.passwd.strip_prefix(PASSWD).unwrap().trim_start(), passwd, "{text}");
        assert_eq!(accounts.group, group, "{text}");
        assert_eq!(said, mistakes, "{text}");
    }

    #[test]
    fn people() {
        check("", &[], "", GROUP, &[]);
        check(
            "[[users]]\nname = 'core'\ngroups = ['os', 'adm']\n[[users]]\nname = 'ann'\ngroups = ['os', 'oss']\n",
            &[],
            "core:*:1000:1000::/home/core:/bin/bash\nann:*:1001:1001::/home/ann:/bin/bash\n",
            "root:*:0:\nos:*:900:core,ann\nadm:*:4:syslog,core\ncore:*:1000:\nann:*:1001:\n",
            &["m:6: there is no group `oss`, did you mean `os`?"],
        );
        check(
            "users = [{ name = 'sshd' }, { name = 'os' }]",
            &[],
            "",
            GROUP,
            &[
                "m:1: `sshd` is an account of the system, take another name",
                "m:1: `os` is an account of the system, take another name",
            ],
        );
        // Who was here before keeps the number; a number of somebody who was is not given away.
        check(
            "users = [{ name = 'new' }, { name = 'core' }]",
            &[("core", 1000), ("gone", 1001), ("root", 0)],
            "new:*:1002:1002::/home/new:/bin/bash\ncore:*:1000:1000::/home/core:/bin/bash\n",
            "root:*:0:\nos:*:900:\nadm:*:4:syslog\nnew:*:1002:\ncore:*:1000:\n",
            &[],
        );
    }

    #[test]
    fn people_in_the_console() {
        let people = [Person { name: "core".into(), id: 1000, keys: Vec::new() }];
        let expect = "core.console:*:525288:525288:core in the console container:/home/core:/usr/sbin/nologin\n";
        assert_eq!(shifted(&people, 524_288), expect);
    }
}
