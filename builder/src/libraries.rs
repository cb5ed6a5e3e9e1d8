//! `ld.so.cache`, by which the dynamic loader finds libraries without looking through folders; written here, since
//! ldconfig could not run for another architecture. Format: glibc's `dl-cache.h`, "glibc-ld.so.cache1.1".

mod elf;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::debian::Arch;
use crate::tree::{Kind, Tree};

/// Where the cache is.
pub const CACHE: &str = "etc/ld.so.cache";

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
const LITTLE_ENDIAN: u8 = 2;

/// `FLAG_ELF_LIBC6` with the architecture's 64-bit flag.
fn flags(arch: Arch) -> u32 {
    match arch {
        Arch::X86_64 => 0x0303,
        Arch::Aarch64 => 0x0a03,
    }
}

/// Whose program or library a file is; None if it is neither, or of another architecture yet.
pub fn machine_of(content: &[u8]) -> Option<Arch> {
    match elf::machine(content)? {
        elf::X86_64 => Some(Arch::X86_64),
        elf::AARCH64 => Some(Arch::Aarch64),
        _ => None,
    }
}

/// Folders of libraries, as the packages' own ld.so.conf.d names them after the loader's own.
fn folders(tree: &Tree, arch: Arch) -> Vec<String> {
    let triplet = match arch {
        Arch::X86_64 => "x86_64-linux-gnu",
        Arch::Aarch64 => "aarch64-linux-gnu",
    };
    let mut folders = vec![format!("usr/lib/{triplet}"), "usr/lib".to_owned()];
    for (_, node) in tree.below("etc/ld.so.conf.d/") {
        let Kind::File(content) = &node.kind else { continue };
        let text = String::from_utf8_lossy(content);
        let named = text.lines().map(str::trim).filter_map(|line| line.strip_prefix('/'));
        for folder in named.map(|folder| folder.trim_end_matches('/')) {
            let folder = if folder.starts_with("lib") { format!("usr/{folder}") } else { folder.to_owned() };
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
    }
    folders
}

/// The cache of a tree; None where it has no libraries.
pub fn cache(tree: &Tree, arch: Arch) -> Option<Vec<u8>> {
    let mut libraries: BTreeMap<String, String> = BTreeMap::new();
    for folder in folders(tree, arch) {
        let prefix = format!("{folder}/");
        for (path, _) in tree.below(&prefix) {
            let name = &path[prefix.len()..];
            let is_library = (name.starts_with("lib") || name.starts_with("ld-")) && name.contains(".so");
            if name.contains('/') || !is_library {
                continue;
            }
            let Some(soname) = tree.read(path).and_then(|content| soname(content, arch, name)) else { continue };
            // The link that has the library's own name is how it is meant to be found.
            let named = format!("{prefix}{soname}");
            let target = if tree.get(&named).is_some() { &named } else { path };
            libraries.entry(soname).or_insert_with(|| format!("/{target}"));
        }
    }
    (!libraries.is_empty()).then(|| write(&libraries, flags(arch)))
}

fn soname(content: &Arc<Vec<u8>>, arch: Arch, name: &str) -> Option<String> {
    let machine = match arch {
        Arch::X86_64 => elf::X86_64,
        Arch::Aarch64 => elf::AARCH64,
    };
    let library = elf::library(content).filter(|library| library.machine == machine)?;
    Some(library.soname.unwrap_or_else(|| name.to_owned()))
}

fn write(libraries: &BTreeMap<String, String>, flags: u32) -> Vec<u8> {
    let mut sorted: Vec<_> = libraries.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| compare(b, a));
    let mut entries = Vec::new();
    let mut strings = Vec::new();
    let start = HEADER + ENTRY * sorted.len();
    for (name, path) in sorted {
        let mut add = |text: &str| {
            let at = (start + strings.len()) as u32;
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        let (key, value) = (add(name), add(path));
        for word in [flags, key, value, 0, 0, 0] {
            entries.extend_from_slice(&word.to_le_bytes());
        }
    }
    let mut cache = MAGIC.to_vec();
    cache.extend_from_slice(&(libraries.len() as u32).to_le_bytes());
    cache.extend_from_slice(&(strings.len() as u32).to_le_bytes());
    cache.extend_from_slice(&[LITTLE_ENDIAN, 0, 0, 0]);
    cache.resize(HEADER, 0);
    cache.extend_from_slice(&entries);
    cache.extend_from_slice(&strings);
    cache
}

/// The order in which the loader searches, the reverse of the cache's: numbers in names compare as numbers.
fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(&x), Some(&y)) = (a.first(), b.first()) {
        let order = match (x.is_ascii_digit(), y.is_ascii_digit()) {
            (true, true) => {
                let ((x, after_a), (y, after_b)) = (number(a), number(b));
                (a, b) = (after_a, after_b);
                x.cmp(&y)
            }
            (false, false) => {
                (a, b) = (&a[1..], &b[1..]);
                x.cmp(&y)
            }
            (x_is_digit, _) => {
                if x_is_digit {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn number(text: &[u8]) -> (u64, &[u8]) {
    let (digits, rest) = text.split_at(text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len()));
    (digits.iter().fold(0, |value, digit| value.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order() {
        let check = |a, expect, b| assert_eq!(compare(a, b), expect, "{a} {b}");
        check("libc.so.6", Ordering::Less, "libc.so.10");
        check("liba.so", Ordering::Less, "libb.so");
        check("lib1.so", Ordering::Greater, "liba.so");
        check("liba.so.1", Ordering::Greater, "liba.so");
        check("liba.so.01", Ordering::Equal, "liba.so.1");
    }

    /// The dynamic loader's own tool reads it, where the machine has one.
    #[test]
    fn ldconfig_reads_it() {
        let libraries = [("libc.so.6", "/usr/lib/a/libc.so.6"), ("libm.so.6", "/usr/lib/a/libm.so.6")];
        let libraries = libraries.map(|(name, path)| (name.to_owned(), path.to_owned())).into();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), write(&libraries, flags(Arch::X86_64))).unwrap();
        let ldconfig = std::process::Command::new("/sbin/ldconfig").arg("-p").arg("-C").arg(file.path()).output();
        let Ok(output) = ldconfig else { return };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.starts_with("2 libs found"), "{text}");
        assert!(text.contains("libm.so.6 (libc6,x86-64) => /usr/lib/a/libm.so.6"), "{text}");
    }
}
