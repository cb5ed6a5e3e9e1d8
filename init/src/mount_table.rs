//! This namespace's mounts (proc_pid_mountinfo(5)).

use std::fs;
use std::io;
use std::path::PathBuf;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    id: u32,
    parent: u32,
    /// Where.
    pub target: PathBuf,
    /// What, such as a device.
    pub source: PathBuf,
}

/// All of them, in the order in which they were made.
pub fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read_to_string("/proc/self/mountinfo")?))
}

/// The machine's root.
pub fn root(mounts: &[Mount]) -> Option<&Mount> {
    mounts.iter().rfind(|mount| mount.target.as_os_str() == "/")
}

/// What is mounted on `mount` itself, and not on what is mounted there.
pub fn children<'a>(mounts: &'a [Mount], mount: &Mount) -> impl Iterator<Item = &'a Mount> {
    let id = mount.id;
    mounts.iter().filter(move |other| other.parent == id && other.id != id)
}

fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(mount).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (before, behind) = line.split_once(" - ")?;
    let mut fields = before.split(' ');
    let (id, parent) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(Mount { id, parent, target: unescape(fields.nth(2)?), source: unescape(behind.split(' ').nth(1)?) })
}

/// Spaces and the like stand there as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                path.push(char::from(code));
                path += &part[3..];
            }
            None => path += part,
        }
    }
    PathBuf::from(path)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A machine's, in short.
    pub fn mounts() -> Vec<Mount> {
        parse(
            "1 0 0:1 / / rw - rootfs none rw\n2 1 254:0 / / ro - erofs /dev/dm-0 ro\n3 2 0:2 / /proc rw - proc x rw\n\
             4 2 8:1 / /var rw shared:3 - ext4 /dev/vda6 rw\n5 4 0:5 / /var/a\\040b rw - tmpfs x rw\n\
             6 2 0:6 / /dev/shm rw - tmpfs x rw\n7 2 0:7 / /run rw - tmpfs x rw\n8 7 0:8 / /run/ashlar/m rw - tmpfs x rw\n",
        )
    }

    #[test]
    fn reads() {
        let mounts = mounts();
        let root = root(&mounts).unwrap();
        assert_eq!(root.source, PathBuf::from("/dev/dm-0"));
        let children: Vec<&str> = children(&mounts, root).filter_map(|mount| mount.target.to_str()).collect();
        assert_eq!(children, ["/proc", "/var", "/dev/shm", "/run"]);
        assert_eq!(mounts[4].target, PathBuf::from("/var/a b"));
    }
}
