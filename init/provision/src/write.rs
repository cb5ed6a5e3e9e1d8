//! Files for others to read: whole or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file that everybody may read, and the folders above it.
pub fn file(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let fresh = path.with_added_extension("new");
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&fresh, bytes)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o644))?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Removes a file that may be missing.
pub fn no_file(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Makes a folder hold exactly these files, of those that a rule calls ours.
pub fn folder(path: &str, is_ours: fn(&str) -> bool, files: &[(String, String)]) -> Result<()> {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let stays = name.to_str().is_none_or(|name| !is_ours(name) || files.iter().any(|(file, _)| file == name));
        if !stays {
            no_file(entry.path())?;
        }
    }
    files.iter().try_for_each(|(name, text)| file(Path::new(path).join(name), text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_what_is_said_and_what_is_not_ours() {
        let folder = std::env::temp_dir().join(format!("ashlar-write-{}", std::process::id()));
        let path = folder.to_str().unwrap();
        file(folder.join("10-ours"), b"old").unwrap();
        file(folder.join("99-theirs"), b"x").unwrap();
        super::folder(path, |name| name.starts_with("10-"), &[("10-new".into(), "text".into())]).unwrap();
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.file_name()).collect();
        names.sort();
        assert_eq!(names, ["10-new", "99-theirs"]);
        assert_eq!(fs::read_to_string(folder.join("10-new")).unwrap(), "text");
        no_file(folder.join("nothing")).unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}
