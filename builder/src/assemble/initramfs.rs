//! The initramfs: init/boot, the kernel modules that it loads, and little else.
//!
//! `/init`, `/modules/load` (file names, one a line, each after those it needs), `/modules/NAME.ko`, and empty folders to
//! mount on. Modules are unpacked first: zstd over all of them is smaller than xz in each, and much faster on the machine.
//! Nothing says which version it is of, so that it is the same in all that do not change it: machines fetch it once.

use std::collections::{BTreeMap, BTreeSet};

use ashlar_config::nearest::nearest;
use ashlar_formats::cpio;

use super::Error;
use crate::debian::compression::{Compression, expand};

/// The largest module of a usual kernel has 5 MB.
const MAX_MODULE: u64 = 256 << 20;
const LEVEL: i32 = 19;
const FOLDERS: [&str; 6] = ["dev", "modules", "proc", "run", "sys", "sysroot"];

/// What goes into an initramfs.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The program init/boot, static.
    pub boot: &'a [u8],
    /// Modules by name, `-` and `_` being the same; what they need comes along.
    pub modules: &'a [String],
    /// The kernel's modules.dep.
    pub dependencies: &'a str,
    /// The kernel's modules.builtin: what need not be loaded.
    pub builtin: &'a str,
    /// Kernel release, for messages.
    pub kernel_release: &'a str,
}

/// Makes an initramfs. `read` gives the content of a module by its path in modules.dep.
///
/// # Errors
/// A module is not there or damaged.
pub fn initramfs(parts: &Parts<'_>, read: impl Fn(&str) -> Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
    let modules = order(parts)?;
    let files: Vec<(&str, Vec<u8>)> =
        modules.iter().map(|path| Ok((file_name(path), unpacked(path, &read)?))).collect::<Result<_, Error>>()?;
    let packed = archive(parts, &files).and_then(|archive| zstd::bulk::compress(&archive, LEVEL));
    packed.map_err(|source| Error::Pack { what: "files".to_owned(), source })
}

fn archive(parts: &Parts<'_>, files: &[(&str, Vec<u8>)]) -> std::io::Result<Vec<u8>> {
    let list: String = files.iter().map(|(name, _)| format!("{name}\n")).collect();
    // No file has a time.
    let mut archive = cpio::Writer::new(Vec::new(), 0);
    FOLDERS.iter().try_for_each(|folder| archive.directory(folder, 0o755))?;
    archive.file("init", 0o755, parts.boot)?;
    archive.file("modules/load", 0o644, list.as_bytes())?;
    for (name, content) in files {
        archive.file(&format!("modules/{name}"), 0o644, content)?;
    }
    archive.finish()
}

/// Paths of all modules that have to be loaded, each after those it needs.
fn order<'a>(parts: &Parts<'a>) -> Result<Vec<&'a str>, Error> {
    let lines = parts.dependencies.lines().filter_map(|line| line.split_once(':'));
    let needs: BTreeMap<&str, &str> = lines.map(|(path, needs)| (path.trim(), needs)).collect();
    let by_name: BTreeMap<String, &str> = needs.keys().map(|path| (module_name(path), *path)).collect();
    let builtin: BTreeSet<String> = parts.builtin.lines().map(module_name).collect();
    let mut ordered = Vec::new();
    let mut seen = BTreeSet::new();
    for name in parts.modules {
        match by_name.get(&module_name(name)) {
            Some(path) => visit(path, &needs, &mut seen, &mut ordered),
            None if builtin.contains(&module_name(name)) => {}
            None => {
                let nearest = nearest(name, by_name.keys().map(String::as_str)).map(str::to_owned);
                let kernel = parts.kernel_release.to_owned();
                return Err(Error::Module { name: name.clone(), kernel, nearest });
            }
        }
    }
    Ok(ordered)
}

/// Depth first. As deep as modules need each other, which is some ten.
fn visit<'a>(path: &'a str, needs: &BTreeMap<&str, &'a str>, seen: &mut BTreeSet<&'a str>, ordered: &mut Vec<&'a str>) {
    if !seen.insert(path) {
        return;
    }
    // modules.dep has what is needed most directly first.
    let direct = needs.get(path).copied().unwrap_or_default().split_whitespace().rev();
    direct.for_each(|needed| visit(needed, needs, seen, ordered));
    ordered.push(path);
}

/// `kernel/drivers/md/dm-mod.ko.xz` → `dm_mod`.
fn module_name(path: &str) -> String {
    let file = path.trim().rsplit('/').next().unwrap_or_default();
    file.split_once(".ko").map_or(file, |(stem, _)| stem).replace('-', "_")
}

/// The name of a module's file once it is unpacked.
fn file_name(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.find(".ko").map_or(file, |at| &file[..at + ".ko".len()])
}

fn unpacked(path: &str, read: &impl Fn(&str) -> Option<Vec<u8>>) -> Result<Vec<u8>, Error> {
    let bytes = read(path).ok_or_else(|| Error::ModuleFile(path.to_owned()))?;
    let extension = path.rsplit_once(".ko").map_or("", |(_, extension)| extension);
    match Compression::by_extension(extension) {
        None | Some(Compression::None) => Ok(bytes),
        Some(form) => expand(form, &bytes, MAX_MODULE).map_err(|source| Error::Pack { what: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDENCIES: &str = "kernel/drivers/md/dm-mod.ko.xz: kernel/drivers/dax/dax.ko.xz\n\
        kernel/drivers/md/dm-bufio.ko.xz: kernel/drivers/md/dm-mod.ko.xz kernel/drivers/dax/dax.ko.xz\n\
        kernel/drivers/md/dm-verity.ko.xz: kernel/drivers/md/dm-bufio.ko.xz kernel/drivers/md/dm-mod.ko.xz \
        kernel/drivers/dax/dax.ko.xz\n\
        kernel/drivers/dax/dax.ko.xz:\n\
        kernel/fs/erofs/erofs.ko:\n";

    fn parts<'a>(modules: &'a [String]) -> Parts<'a> {
        Parts {
            boot: b"boot",
            modules,
            dependencies: DEPENDENCIES,
            builtin: "kernel/drivers/virtio/virtio.ko\n",
            kernel_release: "6.12",
        }
    }

    #[test]
    fn orders_modules() {
        #[track_caller]
        fn check(modules: &[&str], expect: Result<&[&str], &str>) {
            let modules: Vec<String> = modules.iter().map(|name| (*name).to_owned()).collect();
            match (order(&parts(&modules)), expect) {
                (Ok(paths), Ok(names)) => {
                    assert_eq!(paths.iter().map(|path| file_name(path)).collect::<Vec<_>>(), names)
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (outcome, _) => panic!("{outcome:?}"),
            }
        }
        check(&["dm-verity"], Ok(&["dax.ko", "dm-mod.ko", "dm-bufio.ko", "dm-verity.ko"]));
        check(
            &["dm_mod", "dm-verity", "erofs"],
            Ok(&["dax.ko", "dm-mod.ko", "dm-bufio.ko", "dm-verity.ko", "erofs.ko"]),
        );
        check(&["virtio"], Ok(&[]));
        check(
            &["dm-veritee"],
            Err("find kernel module dm-veritee: kernel 6.12 has none of that name (dm_verity is one)"),
        );
    }

    #[test]
    fn packs() {
        let modules = ["dm-mod".to_owned(), "erofs".to_owned()];
        let read = |path: &str| {
            let content = file_name(path).repeat(100);
            Some(if path.ends_with(".xz") {
                liblzma::encode_all(content.as_bytes(), 1).unwrap()
            } else {
                content.into()
            })
        };
        let packed = initramfs(&parts(&modules), read).unwrap();
        assert_eq!(packed, initramfs(&parts(&modules), read).unwrap());
        let archive = zstd::decode_all(&packed[..]).unwrap();
        let entries = cpio::read(&archive).unwrap();
        let content = |path: &str| entries.iter().find(|entry| entry.path == path).map(|entry| entry.content);
        assert_eq!(content("modules/load"), Some(&b"dax.ko\ndm-mod.ko\nerofs.ko\n"[..]));
        assert_eq!(content("modules/dax.ko"), Some("dax.ko".repeat(100).as_bytes()));
        assert_eq!(entries.iter().find(|entry| entry.path == "init").map(|entry| entry.mode), Some(0o100_755));
        let missing = initramfs(&parts(&modules), |_| None).unwrap_err();
        assert!(missing.to_string().contains("read kernel module kernel/drivers/dax/dax.ko.xz"), "{missing}");
    }
}
