//! What a service is given to prove who it is with (systemd.exec(5), "Credentials"): files in a file system of its own in
//! memory that is never swapped. Only the service and root may read them, and nobody can change them.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use ashlar_config::unit::{Credential, CredentialSource};
use ashlar_sys::filesystem;

use crate::exec::{Failure, Identity, code};
use crate::small_file;

/// Where each unit has a folder.
const PLACE: &str = "/run/credentials";
/// Where those are that are named without a folder; the first one counts.
const STORES: [&str; 4] = ["/run/credentials/@system", "/etc/credstore", "/run/credstore", "/usr/lib/credstore"];
/// All of one unit.
const LIMIT: usize = 1 << 20;

/// A name and what is in it.
type Found = (String, Vec<u8>);

/// Where a unit's are.
pub fn folder(unit: &str) -> String {
    format!("{PLACE}/{unit}")
}

/// Gives a unit what it asks for, if it has not got it yet.
pub fn provide(unit: &str, asked: &[Credential], identity: &Identity) -> Result<(), Failure> {
    let folder = PathBuf::from(folder(unit));
    if asked.is_empty() || folder.is_dir() {
        return Ok(());
    }
    let failed = |reason: String| Failure { reason, code: code::CREDENTIALS };
    let found = collect(asked, &STORES).map_err(failed)?;
    write(&folder, &found, identity).map_err(|error| {
        take_back(unit);
        failed(format!("cannot write to {}: {error}", folder.display()))
    })
}

/// Takes them back when it has ended.
pub fn take_back(unit: &str) {
    let folder = PathBuf::from(folder(unit));
    let _ = filesystem::unmount(&folder, true);
    let _ = fs::remove_dir(&folder);
}

fn write(folder: &Path, found: &[Found], identity: &Identity) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let flags = filesystem::NO_SUID | filesystem::NO_DEVICES | filesystem::NO_EXEC;
    filesystem::mount("credentials", folder, "tmpfs", flags, "mode=0500,size=2M,noswap")?;
    for (name, content) in found {
        let path = folder.join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, Permissions::from_mode(0o400))?;
        chown(&path, Some(identity.uid), Some(identity.gid))?;
    }
    chown(folder, Some(identity.uid), Some(identity.gid))?;
    filesystem::mount("", folder, "", flags | filesystem::REMOUNT | filesystem::READ_ONLY, "")
}

/// What is loaded counts before what is imported, and that before what the unit itself says.
fn collect(asked: &[Credential], stores: &[&str]) -> Result<Vec<Found>, String> {
    let mut found: Vec<Found> = Vec::new();
    let mut add = |name: &str, content: Vec<u8>| {
        if !found.iter().any(|(known, _)| known == name) {
            found.push((name.to_owned(), content));
        }
    };
    let has_own =
        |name: &str| asked.iter().any(|one| one.name == name && matches!(one.source, CredentialSource::Value(_)));
    for one in asked {
        match &one.source {
            CredentialSource::Path(path) if Path::new(path).is_dir() => {
                for (name, content) in below(Path::new(path)).map_err(|error| format!("cannot read {path}: {error}"))? {
                    add(&format!("{}_{name}", one.name), content);
                }
            }
            CredentialSource::Path(path) => match small_file::bytes(Path::new(path)) {
                Ok(content) => add(&one.name, content),
                Err(_) if has_own(&one.name) => {}
                Err(error) => return Err(format!("cannot read credential {} from {path}: {error}", one.name)),
            },
            CredentialSource::Store(stored) => {
                let content = stores.iter().find_map(|store| small_file::bytes(&Path::new(store).join(stored)).ok());
                content.into_iter().for_each(|content| add(&one.name, content));
            }
            CredentialSource::Import(_) | CredentialSource::Value(_) => {}
        }
    }
    for one in asked {
        if let CredentialSource::Import(renamed) = &one.source {
            for (name, content) in stores.iter().flat_map(|store| import(Path::new(store), &one.name, renamed)) {
                add(&name, content);
            }
        }
    }
    for one in asked {
        if let CredentialSource::Value(text) = &one.source {
            add(&one.name, text.clone().into_bytes());
        }
    }
    match found.iter().map(|(_, content)| content.len()).sum::<usize>() {
        size if size > LIMIT => Err(format!("its credentials have {size} bytes, more than {LIMIT}")),
        _ => Ok(found),
    }
}

/// Those of a store whose names fit: a name, or what names begin with before a `*`; under other names if that is said.
fn import(store: &Path, pattern: &str, renamed: &str) -> Vec<Found> {
    let names =
        fs::read_dir(store).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut found = Vec::new();
    for name in names {
        let rest = match pattern.strip_suffix('*') {
            Some(beginning) => name.strip_prefix(beginning),
            None => (name == pattern).then_some(""),
        };
        let (Some(rest), Ok(content)) = (rest, small_file::bytes(&store.join(&name))) else { continue };
        found.push((if renamed.is_empty() { name.clone() } else { format!("{renamed}{rest}") }, content));
    }
    found.sort();
    found
}

/// Files of a folder and of those in it; a name says the way.
fn below(folder: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() {
            found.extend(below(&path)?.into_iter().map(|(rest, content)| (format!("{name}_{rest}"), content)));
        } else if kind.is_file() {
            found.push((name, small_file::bytes(&path)?));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str, source: CredentialSource) -> Credential {
        Credential { name: name.into(), source }
    }

    #[test]
    fn where_they_come_from() {
        use CredentialSource::{Import, Path, Store, Value};
        let place = std::env::temp_dir().join(format!("ashlar-credentials-{}", std::process::id()));
        for (path, text) in [("one/a", "1"), ("one/x.k", "k"), ("two/a", "2"), ("two/x.k", "other"), ("tree/d/e", "e")]
        {
            let path = place.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let at = |name: &str| place.join(name).to_str().unwrap().to_owned();
        let stores = [at("one"), at("two")];
        let stores: Vec<&str> = stores.iter().map(String::as_str).collect();
        let check = |list: &[Credential], expect: Result<&[(&str, &str)], &str>| {
            let got = collect(list, &stores).map(|found| {
                found.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect::<Vec<_>>()
            });
            let expect = expect
                .map(|rows| {
                    rows.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Vec<_>>()
                })
                .map_err(|text| text.replace("PLACE", place.to_str().unwrap()));
            assert_eq!(got, expect, "{list:?}");
        };
        check(&[asked("k", Path(at("two/a")))], Ok(&[("k", "2")]));
        check(&[asked("a", Store("a".into()))], Ok(&[("a", "1")]));
        check(&[asked("ghost", Store("ghost".into()))], Ok(&[]));
        check(&[asked("t", Path(at("tree")))], Ok(&[("t_d_e", "e")]));
        let missing = asked("g", Path(at("ghost")));
        let why = "cannot read credential g from PLACE/ghost: No such file or directory (os error 2)";
        check(std::slice::from_ref(&missing), Err(why));
        check(&[missing, asked("g", Value("own".into()))], Ok(&[("g", "own")]));
        check(&[asked("x.*", Import(String::new()))], Ok(&[("x.k", "k")]));
        check(&[asked("x.*", Import("y.".into())), asked("y.k", Value("own".into()))], Ok(&[("y.k", "k")]));
        check(&[asked("a", Value("v".into())), asked("a", Store("a".into()))], Ok(&[("a", "1")]));
        fs::remove_dir_all(place).unwrap();
    }

    /// Only root can mount; others have the rest of it checked above.
    #[test]
    fn nobody_can_change_them() {
        if ashlar_sys::credentials::user() != 0 {
            return;
        }
        let folder = std::env::temp_dir().join(format!("ashlar-given-{}", std::process::id()));
        let identity = Identity { uid: 33, gid: 33, ..Identity::default() };
        write(&folder, &[("a".into(), b"secret".to_vec())], &identity).unwrap();
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(folder.join("a")).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o7777), (33, 0o400));
        assert_eq!(fs::metadata(&folder).unwrap().mode() & 0o7777, 0o500);
        assert!(fs::write(folder.join("a"), "x").is_err() && fs::write(folder.join("b"), "x").is_err());
        filesystem::unmount(&folder, true).unwrap();
        fs::remove_dir(folder).unwrap();
    }
}
