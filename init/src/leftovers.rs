//! What processes of a user leave behind for others to find, though none of them is there any more (systemd.exec(5),
//! RemoveIPC=).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ashlar_sys::ipc::{self, Kind};

const SYSTEM_V: [(&str, Kind); 3] =
    [("/proc/sysvipc/shm", Kind::Memory), ("/proc/sysvipc/sem", Kind::Semaphores), ("/proc/sysvipc/msg", Kind::Queue)];
/// Shared memory and queues of POSIX are files.
const POSIX: [&str; 2] = ["/dev/shm", "/dev/mqueue"];

/// Removes what a user has; root's stays.
pub fn remove(uid: u32) {
    if uid == 0 {
        return;
    }
    for (list, kind) in SYSTEM_V {
        for number in owned(&fs::read_to_string(list).unwrap_or_default(), uid) {
            let _ = ipc::remove(kind, number);
        }
    }
    POSIX.iter().for_each(|folder| remove_files(Path::new(folder), uid));
}

/// Numbers of the objects of a list that a user has. Its first line names its columns.
fn owned(list: &str, uid: u32) -> Vec<i32> {
    let mut lines = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let Some(place) = lines.next().and_then(|names| names.iter().position(|name| *name == "uid")) else {
        return Vec::new();
    };
    let of_user = lines.filter(|row| row.get(place).and_then(|text| text.parse().ok()) == Some(uid));
    of_user.filter_map(|row| row.get(1)?.parse().ok()).collect()
}

fn remove_files(folder: &Path, uid: u32) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            remove_files(&entry.path(), uid);
        }
        if meta.uid() == uid {
            let _ = if meta.is_dir() { fs::remove_dir(entry.path()) } else { fs::remove_file(entry.path()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_objects() {
        let list = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n\
                    0          3   600          1    33    33    33    33          0 1700000000\n\
                    0          4   600          1     0    33    33    33          0 1700000000\n";
        assert_eq!((owned(list, 33), owned(list, 0), owned("", 0)), (vec![3], vec![4], Vec::new()));
    }

    #[test]
    fn files_of_one_user() {
        if ashlar_sys::credentials::user() != 0 {
            return;
        }
        let folder = std::env::temp_dir().join(format!("ashlar-leftovers-{}", std::process::id()));
        fs::create_dir_all(folder.join("deep")).unwrap();
        for (name, uid) in [("a", 33), ("b", 34), ("deep/c", 33)] {
            fs::write(folder.join(name), "").unwrap();
            std::os::unix::fs::chown(folder.join(name), Some(uid), None).unwrap();
        }
        remove_files(&folder, 33);
        assert!(!folder.join("a").exists() && !folder.join("deep/c").exists() && folder.join("b").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
