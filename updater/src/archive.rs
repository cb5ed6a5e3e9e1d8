//! A published folder as one file: a tar, for sites without a network. Its head is read once, for where everything is; what is
//! in it is trusted no more than what a server gives.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::error::{Error, at};
use crate::source::{Source, Take, hand_on};

/// A folder has this file; what stands before its name is where the folder is in the archive.
const MARK: &str = "metadata/timestamp.json";
/// More files than any folder has.
const ENTRIES: usize = 100_000;
const NAME: &str = "the archive";

/// An archive, and where its files are in it.
#[derive(Debug)]
pub struct Archive {
    file: File,
    /// First byte and length.
    places: HashMap<String, (u64, u64)>,
}

impl Archive {
    /// Reads where everything is.
    pub fn open(file: File) -> Result<Self, Error> {
        let broken = |error: std::io::Error| Error::Source(format!("{NAME} does not read as a tar: {error}"));
        let reader = file.try_clone().map_err(at("open", NAME))?;
        let mut archive = tar::Archive::new(reader);
        let mut places = HashMap::new();
        for (number, entry) in archive.entries_with_seek().map_err(broken)?.enumerate() {
            let entry = entry.map_err(broken)?;
            if number == ENTRIES {
                return Err(Error::Source(format!("{NAME} has more than {ENTRIES} files")));
            }
            if entry.header().entry_type() == tar::EntryType::Regular {
                let path = entry.path().map_err(broken)?.to_string_lossy().into_owned();
                places.insert(path, (entry.raw_file_position(), entry.size()));
            }
        }
        let prefix = places.keys().find_map(|path| path.strip_suffix(MARK)).map(str::to_owned);
        let none = || Error::Source(format!("{NAME} has no {MARK}: is that a published folder?"));
        let prefix = prefix.ok_or_else(none)?;
        let places =
            places.into_iter().filter_map(|(path, place)| Some((path.strip_prefix(&prefix)?.to_owned(), place)));
        Ok(Self { file, places: places.collect() })
    }
}

impl Source for Archive {
    fn whole(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some((first, length)) = self.places.get(path) else { return Ok(None) };
        if *length > limit {
            return Err(Error::Source(format!("{path} is larger than {limit} bytes")));
        }
        let mut bytes = vec![0; *length as usize];
        self.file.read_exact_at(&mut bytes, *first).map_err(at("read", NAME))?;
        Ok(Some(bytes))
    }

    fn part(&self, path: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
        let missing = || Error::Source(format!("{NAME} has no {path}"));
        let (start, size) = *self.places.get(path).ok_or_else(missing)?;
        if size != total {
            return Err(Error::Source(format!("{path} has {size} bytes, not {total}")));
        }
        hand_on(&self.file, NAME, start + first, length, take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, Write};

    fn archive(prefix: &str, names: &[&str]) -> File {
        let mut builder = tar::Builder::new(tempfile::tempfile().unwrap());
        for name in names {
            let content = format!("content of {name}");
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, format!("{prefix}{name}"), content.as_bytes()).unwrap();
        }
        let mut file = builder.into_inner().unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn a_folder_is_found_wherever_it_is() {
        let long = format!("targets/base/x86_64/0.2.0/{}.root.erofs.from-0.1.0", "0f".repeat(32));
        for prefix in ["", "shop/", "a/b/"] {
            let archive = Archive::open(archive(prefix, &[MARK, &long])).unwrap();
            assert_eq!(archive.whole(MARK, 100).unwrap(), Some(b"content of metadata/timestamp.json".to_vec()));
            assert!(archive.whole(MARK, 5).is_err());
            assert_eq!(archive.whole("metadata/1.root.json", 100).unwrap(), None);
            let total = "content of ".len() + long.len();
            let mut got = Vec::<u8>::new();
            let mut take = |bytes: &[u8]| {
                got.extend(bytes);
                Ok(())
            };
            archive.part(&long, total as u64, 8, 10, &mut take).unwrap();
            assert_eq!(got, b"of targets");
            assert!(archive.part(&long, 7, 0, 7, &mut |_| Ok(())).is_err());
        }
    }

    #[test]
    fn what_is_none() {
        let check = |file: File, part: &str| {
            let error = Archive::open(file).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check(archive("", &["other"]), "is that a published folder?");
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 2048]).unwrap();
        file.rewind().unwrap();
        check(file, "does not read as a tar");
        check(tempfile::tempfile().unwrap(), "is that a published folder?");
    }
}
