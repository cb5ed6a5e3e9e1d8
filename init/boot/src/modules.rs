//! Kernel modules of the initramfs: /modules/load names their files, one a line, each after what it needs.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use ashlar_sys::kernel_module;

use crate::error::Error;

const FOLDER: &str = "/modules";
/// errno(3): it is there already, it drives hardware that is not there.
const EEXIST: i32 = 17;
const ENODEV: i32 = 19;

/// Loads all of them. An initramfs without a list has a kernel that needs none.
pub fn load() -> Result<(), Error> {
    let list = Path::new(FOLDER).join("load");
    match fs::read_to_string(&list) {
        Ok(text) => files(&text).try_for_each(|path| load_file(&path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::at(list)(error)),
    }
}

fn files(list: &str) -> impl Iterator<Item = PathBuf> {
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| Path::new(FOLDER).join(line))
}

fn load_file(path: &Path) -> Result<(), Error> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::ModuleMissing(path.into()),
        _ => Error::at(path)(error),
    })?;
    let compressed = path.extension().is_some_and(|extension| extension != "ko");
    match kernel_module::load(&file, compressed, "") {
        Err(error) if !matches!(error.raw_os_error(), Some(EEXIST | ENODEV)) => {
            Err(Error::ModuleRefused { path: path.into(), source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check = |list, expect: &[&str]| {
            let files: Vec<PathBuf> = files(list).collect();
            assert_eq!(files, expect.iter().map(PathBuf::from).collect::<Vec<_>>(), "{list}");
        };
        check("virtio_blk.ko\n\n# verity\ndm-mod.ko.xz\n", &["/modules/virtio_blk.ko", "/modules/dm-mod.ko.xz"]);
        check("", &[]);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load_file(Path::new("/modules/nothing.ko")).unwrap_err();
        assert_eq!(error.to_string(), "/modules/nothing.ko is listed in /modules/load, but is not there");
    }
}
