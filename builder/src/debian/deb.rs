//! A `.deb` (deb(5)): an ar archive of a format version, a control tarball and a data tarball. Unpacked into
//! memory; nothing is run, and nothing is trusted to be small or to stay inside.

use std::io::{self, Read};

use tar::EntryType;

use super::compression::Compression;

const AR_MAGIC: &[u8] = b"!<arch>\n";
const AR_HEADER: usize = 60;
/// A `.deb` has three members; some carry a signature or two.
const MAX_MEMBERS: usize = 16;
const MAX_PATH: usize = 4096;

/// How much may come out of one package.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the unpacked tarball, headers included.
    pub bytes: u64,
    /// Files, directories and links.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 30, entries: 500_000 }
    }
}

/// One thing that a package puts into the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative, without `.`, `..`, or slashes at its ends: `usr/bin/ls`.
    pub path: String,
    /// What it is, with its content.
    pub kind: Kind,
    /// Permission bits, 12 of them.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file with its content.
    File(Vec<u8>),
    /// A symbolic link with its target, as it stands.
    Symlink(String),
    /// A further name of the file at that path of the same package.
    Hardlink(String),
}

/// A package does not unpack.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The outer archive is damaged.
    #[error("read the ar archive: {0}")]
    Ar(&'static str),
    /// A part has a form that is not known.
    #[error("read the ar archive: {0:?} is of no form that is known")]
    Member(String),
    /// The tarball is damaged or too large.
    #[error("unpack {part}")]
    Tar {
        /// `control` or `data`.
        part: &'static str,
        /// What is wrong.
        source: io::Error,
    },
    /// A path leads out, or is none.
    #[error("unpack {0:?}: its path is not a plain one inside the root")]
    Path(String),
    /// A device, or another kind that no package needs.
    #[error("unpack {path}: a {kind:?} cannot be in an image")]
    Kind {
        /// Path in the package.
        path: String,
        /// Kind by tar's name.
        kind: EntryType,
    },
    /// More entries than the limit.
    #[error("unpack: there are more than {0} entries")]
    TooMany(usize),
}

/// A package file, its parts found.
pub struct Deb<'a> {
    data: Part<'a>,
}

#[derive(Clone, Copy)]
struct Part<'a> {
    name: &'static str,
    compression: Compression,
    bytes: &'a [u8],
}

impl<'a> Deb<'a> {
    /// Finds the parts of a package file.
    ///
    /// # Errors
    /// It is damaged, or of a form that is not known.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let members = members(bytes)?;
        let version = members.first().filter(|(name, _)| *name == "debian-binary");
        if !version.is_some_and(|(_, text)| text.starts_with(b"2.")) {
            return Err(Error::Ar("it does not begin with debian-binary 2"));
        }
        let part = |name: &'static str| {
            let stem = format!("{name}.tar");
            let found = members.iter().find_map(|(member, bytes)| Some((member.strip_prefix(&stem)?, *bytes)));
            let (extension, bytes) = found.ok_or(Error::Ar("a part is missing"))?;
            let compression = Compression::by_extension(extension);
            let compression = compression.ok_or_else(|| Error::Member(format!("{stem}{extension}")))?;
            Ok(Part { name, compression, bytes })
        };
        // Scripts and the like, which nobody here runs; without it, it would be no package.
        part("control")?;
        Ok(Self { data: part("data")? })
    }

    /// What the package puts into the file system, of the paths that `keep` wants, in the order of the tarball.
    ///
    /// # Errors
    /// The part is damaged, larger than the limits, or has a path that leads out.
    pub fn entries(&self, limits: Limits, keep: &dyn Fn(&str) -> bool) -> Result<Vec<Entry>, Error> {
        self.data.entries(limits, keep)
    }
}

/// What a plain tarball holds, under the same rules as a package's.
///
/// # Errors
/// It is damaged, or has a path that leads out.
pub fn untar(bytes: &[u8], limits: Limits) -> Result<Vec<Entry>, Error> {
    Part { name: "data", compression: Compression::None, bytes }.entries(limits, &|_| true)
}

impl Part<'_> {
    fn entries(self, limits: Limits, keep: &dyn Fn(&str) -> bool) -> Result<Vec<Entry>, Error> {
        let broken = |source| Error::Tar { part: self.name, source };
        let reader = self.compression.reader(self.bytes, limits.bytes).map_err(broken)?;
        let mut archive = tar::Archive::new(reader);
        let mut entries = Vec::new();
        for (count, item) in archive.entries().map_err(broken)?.enumerate() {
            if count >= limits.entries {
                return Err(Error::TooMany(limits.entries));
            }
            entries.extend(self.entry(item.map_err(broken)?, limits, keep)?);
        }
        // The compression's own checksum stands at its end.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
        Ok(entries)
    }

    fn entry<R: Read>(
        self,
        mut item: tar::Entry<'_, R>,
        limits: Limits,
        keep: &dyn Fn(&str) -> bool,
    ) -> Result<Option<Entry>, Error> {
        let broken = |source| Error::Tar { part: self.name, source };
        let Some(path) = plain(&item.path_bytes())?.filter(|path| keep(path)) else {
            return Ok(None);
        };
        let link = item.link_name_bytes().unwrap_or_default().into_owned();
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let kind = match item.header().entry_type() {
            EntryType::Directory => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File(content(&mut item, limits.bytes).map_err(broken)?),
            EntryType::Symlink => Kind::Symlink(target(link)?),
            EntryType::Link => Kind::Hardlink(plain(&link)?.ok_or_else(|| Error::Path(lossy(&link)))?),
            kind => return Err(Error::Kind { path, kind }),
        };
        let header = item.header();
        let id = |id: io::Result<u64>| id.and_then(|id| u32::try_from(id).map_err(io::Error::other)).map_err(broken);
        let mode = header.mode().map_err(broken)? & 0o7777;
        Ok(Some(Entry { path, kind, mode, uid: id(header.uid())?, gid: id(header.gid())? }))
    }
}

fn content<R: Read>(item: &mut tar::Entry<'_, R>, limit: u64) -> io::Result<Vec<u8>> {
    let size = item.size();
    if size > limit {
        return Err(io::Error::other(format!("a file in it is larger than {limit} bytes")));
    }
    // Grown while it is read: the size is only a claim until then.
    let mut content = Vec::with_capacity(size.min(1 << 20) as usize);
    item.read_to_end(&mut content)?;
    if content.len() as u64 != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(content)
}

/// A path in plain form; None for the root itself.
fn plain(bytes: &[u8]) -> Result<Option<String>, Error> {
    let bad = || Error::Path(String::from_utf8_lossy(bytes).chars().take(120).collect());
    let text = std::str::from_utf8(bytes).map_err(|_| bad())?;
    let relative = text.strip_prefix("./").or_else(|| text.strip_prefix('/')).unwrap_or(text);
    let path = relative.strip_suffix('/').unwrap_or(relative);
    if path.is_empty() || path == "." {
        return Ok(None);
    }
    let is_plain = |part: &str| !["", ".", ".."].contains(&part) && !part.contains('\0') && part.len() <= 255;
    if path.len() > MAX_PATH || !path.split('/').all(is_plain) {
        return Err(bad());
    }
    Ok(Some(path.to_owned()))
}

fn target(bytes: Vec<u8>) -> Result<String, Error> {
    let lossy = |bytes: &[u8]| Error::Path(String::from_utf8_lossy(bytes).chars().take(120).collect());
    if bytes.is_empty() || bytes.len() > MAX_PATH || bytes.contains(&0) {
        return Err(lossy(&bytes));
    }
    String::from_utf8(bytes).map_err(|e| lossy(e.as_bytes()))
}

/// The members of an ar archive, name and content.
fn members(bytes: &[u8]) -> Result<Vec<(&str, &[u8])>, Error> {
    let mut rest = bytes.strip_prefix(AR_MAGIC).ok_or(Error::Ar("it does not begin as one"))?;
    let mut members = Vec::new();
    while !rest.is_empty() {
        if members.len() >= MAX_MEMBERS {
            return Err(Error::Ar("it has too many members"));
        }
        let (header, after) = rest.split_at_checked(AR_HEADER).ok_or(Error::Ar("it ends in a header"))?;
        if !header.ends_with(b"`\n") {
            return Err(Error::Ar("a header in it is damaged"));
        }
        let field = |from: usize, to: usize| std::str::from_utf8(&header[from..to]).ok().map(str::trim_end);
        let name = field(0, 16).ok_or(Error::Ar("a name in it is no text"))?;
        let size = field(48, 58).filter(|text| text.bytes().all(|c| c.is_ascii_digit()));
        let size: usize = size.and_then(|text| text.parse().ok()).ok_or(Error::Ar("a size in it is no number"))?;
        let (content, after) = after.split_at_checked(size).ok_or(Error::Ar("it ends in a member"))?;
        members.push((name.strip_suffix('/').unwrap_or(name), content));
        // Members begin at even places.
        rest = if size % 2 == 1 { after.get(1..).unwrap_or_default() } else { after };
    }
    Ok(members)
}

#[cfg(test)]
pub(in crate::debian) mod tests {
    use super::*;

    fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = AR_MAGIC.to_vec();
        for (name, content) in members {
            let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len());
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(content);
            bytes.extend_from_slice(if content.len() % 2 == 1 { b"\n" } else { b"" });
        }
        bytes
    }

    /// A tarball of (kind, path, link target or content); paths are written raw, tricks included.
    fn tarball(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, path, more) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            let content = if is_link { "" } else { more };
            if is_link {
                header.as_old_mut().linkname[..more.len()].copy_from_slice(more.as_bytes());
            }
            header.set_size(content.len() as u64);
            header.set_mode(0o104_755);
            header.set_uid(0);
            header.set_gid(42);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    pub fn deb(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
        let control = tarball(&[(EntryType::Regular, "./control", "Package: a\n")]);
        let data = liblzma::encode_all(&tarball(entries)[..], 1).unwrap();
        ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar.xz", &data)])
    }

    #[track_caller]
    fn check(bytes: &[u8], limits: Limits, expect: Result<&[(&str, Kind)], &str>) {
        let unpacked =
            Deb::parse(bytes).and_then(|deb| deb.entries(limits, &|path| !path.starts_with("usr/share/doc")));
        match (unpacked, expect) {
            (Ok(entries), Ok(want)) => {
                let got: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.kind.clone())).collect();
                assert_eq!(got, want);
                assert!(entries.iter().all(|entry| (entry.mode, entry.uid, entry.gid) == (0o4755, 0, 42)));
            }
            (Err(error), Err(part)) => {
                let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                let whole = format!("{error}: {source}");
                assert!(whole.contains(part), "{whole}");
            }
            (outcome, _) => panic!("{outcome:?}"),
        }
    }

    const FEW: Limits = Limits { bytes: 20_000, entries: 5 };
    use EntryType::{Char, Directory, Link, Regular, Symlink};

    #[test]
    fn unpacks() {
        let bytes = deb(&[
            (Directory, "./", ""),
            (Directory, "./usr/bin/", ""),
            (Regular, "./usr/bin/a", "content"),
            (Symlink, "./usr/bin/b", "../../etc/b"),
            (Link, "./usr/bin/c", "./usr/bin/a"),
        ]);
        let expect = [
            ("usr/bin", Kind::Directory),
            ("usr/bin/a", Kind::File(b"content".to_vec())),
            ("usr/bin/b", Kind::Symlink("../../etc/b".to_owned())),
            ("usr/bin/c", Kind::Hardlink("usr/bin/a".to_owned())),
        ];
        check(&bytes, FEW, Ok(&expect));
        check(&deb(&[(Regular, "usr/share/doc/a/x", "x"), (Regular, "/y", "")]), FEW, Ok(&[("y", Kind::File(vec![]))]));
    }

    #[test]
    fn stays_inside() {
        let outside = |path: &str| deb(&[(Regular, path, "x")]);
        check(&outside("../x"), FEW, Err("\"../x\": its path is not"));
        check(&outside("./usr/../../x"), FEW, Err("its path is not"));
        check(&outside("//x"), FEW, Err("its path is not"));
        check(&outside("a/./x"), FEW, Err("its path is not"));
        check(&deb(&[(Link, "x", "../etc/shadow")]), FEW, Err("its path is not"));
        check(&deb(&[(Link, "x", "")]), FEW, Err("its path is not"));
        check(&deb(&[(Symlink, "x", "")]), FEW, Err("its path is not"));
        check(&deb(&[(Char, "dev/sda", "")]), FEW, Err("unpack dev/sda: a Char cannot be"));
    }

    #[test]
    fn has_limits() {
        let large = "x".repeat(30_000);
        check(&deb(&[(Regular, "x", &large)]), FEW, Err("larger than 20000 bytes"));
        check(&deb(&[(Regular, "usr/share/doc/x", &large)]), FEW, Err("larger than 20000 bytes"));
        let exact = &large[..10_000];
        check(&deb(&[(Regular, "x", exact), (Regular, "y", exact)]), FEW, Err("larger than 20000 bytes"));
        check(&deb(&[(Regular, "x", ""); 6]), FEW, Err("more than 5 entries"));
    }

    #[test]
    fn refuses_damage() {
        let good = deb(&[(Regular, "./x", &"content".repeat(100))]);
        check(&good, FEW, Ok(&[("x", Kind::File("content".repeat(100).into_bytes()))]));
        for length in [0, 4, 8, 30, 68, 71, 100, 133, good.len() - 30] {
            assert!(Deb::parse(&good[..length]).is_err(), "cut at {length}");
        }
        let mut flipped = good.clone();
        let at = good.len() - 60;
        flipped[at] ^= 0x55;
        check(&flipped, FEW, Err("unpack data"));
        check(&ar(&[("debian-binary", b"3.0\n")]), FEW, Err("debian-binary 2"));
        check(&ar(&[("debian-binary", b"2.0\n"), ("control.tar", b"")]), FEW, Err("a part is missing"));
        check(
            &ar(&[("debian-binary", b"2.0\n"), ("control.tar", b""), ("data.tar.lzma", b"")]),
            FEW,
            Err("\"data.tar.lzma\" is of no form"),
        );
        check(&ar(&[("x", &b""[..]); MAX_MEMBERS + 1]), FEW, Err("too many members"));
        let negative =
            String::from_utf8(ar(&[("debian-binary", b"2.0\n")])).unwrap().replace("4         `", "-4        `");
        check(negative.as_bytes(), FEW, Err("a size in it is no number"));
    }
}
