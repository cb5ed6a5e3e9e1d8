//! From the updater, which may open partitions, to the service that gives to other machines, which may open nothing: what
//! this machine has of releases, as open files that can be read and nothing else. Whoever connects gets them; nothing is read
//! from him.
//!
//! What a slot's hash tree says is what counts. Its blocks may be others by then, while an upgrade is written over them: who
//! gives them away looks at each one.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;

use ashlar_fetch::Digest;
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::boot::{ARCH, Boot, Image};
use crate::device::Device;
use crate::error::{Error, at};
use crate::esp::Esp;
use crate::install::METADATA;
use crate::offer::{Offer, Piece, offers};
use crate::record::FOLDER;
use crate::slot::{Slot, Slots};
use crate::tree::Tree;
use crate::trust;

/// Where the updater hands over.
pub const SOCKET: &str = "/run/ashlar-updater/releases";
/// Two releases of three files.
const MOST: usize = 6;
/// What describes them is less than this.
const LIMIT: usize = 64 << 10;

/// What a file is of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The root: the file's first bytes are, as far as they are what the tree says that comes next.
    Root,
    /// The hash tree: the file's first bytes are.
    Tree,
    /// The unified kernel image: all of the file.
    Uki,
}

/// A file that is handed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it is published.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What it is.
    pub what: What,
}

/// What it is, and the file.
pub type Handed = (Entry, File);

/// One at a time: each costs a copy of the UKIs.
static GIVING: Mutex<()> = Mutex::new(());

/// Gives what there is to somebody who has connected. Whoever comes meanwhile is sent away.
pub fn give(stream: &UnixStream) -> Result<(), Error> {
    let Ok(_giving) = GIVING.try_lock() else { return Ok(()) };
    send(stream, &held()?).map_err(at("write", SOCKET))
}

/// Takes what there is.
pub fn take(socket: &Path) -> Result<Vec<Handed>, Error> {
    UnixStream::connect(socket).and_then(|stream| receive(&stream)).map_err(at("read", socket))
}

fn held() -> Result<Vec<Handed>, Error> {
    let boot = Boot::read()?;
    let Some(targets) = trust::kept(&Path::new(FOLDER).join(METADATA)) else { return Ok(Vec::new()) };
    let offers = offers(&targets, &Image::read()?.name, ARCH);
    let slots = Slots::find(&boot)?;
    let mut held = Vec::new();
    for slot in [slots.running, slots.other] {
        let device = Device::open(&slot.tree)?;
        let root = Tree::guess_of(&device).map(|tree| tree.root());
        let Some(offer) = offers.iter().find(|offer| Some(offer.root_hash) == root) else { continue };
        held.extend(release(offer, &slot, device)?);
        match uki(&boot, offer) {
            Ok(file) => held.extend(file.map(|file| (entry(&offer.uki, What::Uki), file))),
            Err(error) => eprintln!("{}: doing without the UKI of {}", error.line(), offer.release.version),
        }
    }
    Ok(held)
}

fn entry(piece: &Piece, what: What) -> Entry {
    Entry { path: piece.path.clone(), size: piece.size, what }
}

/// A slot's partitions. The tree comes before what it is of.
fn release(offer: &Offer, slot: &Slot, tree: Device) -> Result<[Handed; 2], Error> {
    let root = Device::open(&slot.data)?.into_file();
    Ok([(entry(&offer.tree, What::Tree), tree.into_file()), (entry(&offer.root, What::Root), root)])
}

/// A copy that has no name: the EFI system partition is not to stay mounted. It is gone with the last who has it open.
fn uki(boot: &Boot, offer: &Offer) -> Result<Option<File>, Error> {
    let content = {
        let esp = Esp::mount(boot)?;
        let Some(entry) = esp.entry(&offer.release.version)? else { return Ok(None) };
        esp.content(&entry)?
    };
    if Digest::of(&content).to_string() != offer.uki.sha256 {
        return Ok(None);
    }
    let copy = || {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::open(FOLDER, flags, Mode::RUSR)?);
        file.write_all(&content)?;
        // For reading only.
        File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
    };
    copy().map(Some).map_err(at("write", FOLDER))
}

fn send(stream: &UnixStream, held: &[Handed]) -> io::Result<()> {
    let entries: Vec<&Entry> = held.iter().map(|(entry, _)| entry).collect();
    let files: Vec<_> = held.iter().map(|(_, file)| file.as_fd()).collect();
    let text = serde_json::to_vec(&entries)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::Error::other("these are too many files"));
    }
    let sent = sendmsg(stream, &[IoSlice::new(&text)], &mut beside, SendFlags::NOSIGNAL)?;
    let mut stream = stream;
    stream.write_all(&text[sent..])
}

fn receive(stream: &UnixStream) -> io::Result<Vec<Handed>> {
    let (mut text, mut files) = (Vec::new(), Vec::<OwnedFd>::new());
    let mut buffer = [0; 4096];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(&mut buffer)];
        let received = recvmsg(stream, parts, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                files.extend(descriptors);
            }
        }
        if received.bytes == 0 {
            break;
        }
        text.extend_from_slice(&buffer[..received.bytes]);
        if text.len() > LIMIT {
            return Err(io::Error::other("this is more than a list of files"));
        }
    }
    let entries: Vec<Entry> = serde_json::from_slice(&text)?;
    if entries.len() != files.len() {
        return Err(io::Error::other(format!("{} files are described, and {} came", entries.len(), files.len())));
    }
    Ok(entries.into_iter().zip(files.into_iter().map(File::from)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn files_come_with_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let held = |count: usize| -> Vec<Handed> {
            let file = |n: usize| {
                let path = folder.path().join(n.to_string());
                std::fs::write(&path, format!("content {n}")).unwrap();
                let entry = Entry { path: format!("targets/{n}"), size: n as u64, what: What::Tree };
                (entry, File::open(path).unwrap())
            };
            (0..count).map(file).collect()
        };
        for count in [0, 1, MOST] {
            let (one, two) = UnixStream::pair().unwrap();
            send(&one, &held(count)).unwrap();
            drop(one);
            let taken = receive(&two).unwrap();
            assert_eq!(taken.len(), count);
            for (n, (entry, mut file)) in taken.into_iter().enumerate() {
                let mut content = String::new();
                file.read_to_string(&mut content).unwrap();
                assert_eq!((entry.path, content), (format!("targets/{n}"), format!("content {n}")));
                assert!(file.write_all(b"x").is_err());
            }
        }
        let (one, two) = UnixStream::pair().unwrap();
        assert!(send(&one, &held(2 * MOST)).is_err());
        (&one).write_all(br#"[{"path":"a","size":1,"what":"uki"}]"#).unwrap();
        drop(one);
        assert!(receive(&two).unwrap_err().to_string().contains("1 files are described, and 0 came"));
    }
}
