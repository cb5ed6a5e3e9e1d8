//! Transfers between files in place of partitions, from servers in memory.

use super::*;
use crate::source::{Folder, Take};
use ashlar_formats::uuid::Uuid;
use ashlar_formats::verity;
use std::cell::RefCell;
use std::fs;

/// Gives parts of its bytes, or refuses to.
struct Server {
    bytes: Vec<u8>,
    parts: bool,
    asked: RefCell<Vec<(u64, u64)>>,
}

impl Source for Server {
    fn whole(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
        unreachable!()
    }

    fn part(&self, _: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
        if !self.parts && length != total {
            return Err(Error::NoRanges);
        }
        self.asked.borrow_mut().push((first, length));
        // In odd lengths, as they come from a network.
        self.bytes[first as usize..(first + length) as usize].chunks(5000).try_for_each(take)
    }
}

/// A patch in a folder, and a root on a server.
struct Both {
    patch: Folder,
    root: Server,
}

impl Source for Both {
    fn whole(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
        unreachable!()
    }

    fn part(&self, path: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
        let source: &dyn Source = if path == "patch" { &self.patch } else { &self.root };
        source.part(path, total, first, length, take)
    }
}

/// A root whose blocks have these contents.
fn root(contents: &[u8]) -> Vec<u8> {
    contents.iter().flat_map(|content| (0..BLOCK).map(move |n| content.wrapping_mul(31) ^ (n / 64) as u8)).collect()
}

fn tree(data: &[u8]) -> Tree {
    let made = verity::build(data, &[7; 32], Uuid([1; 16])).unwrap();
    Tree::new(made.bytes, made.root).unwrap()
}

struct Ran {
    fetched: u64,
    local: u64,
    requests: usize,
}

/// Upgrades from one root to another, over what the slot holds.
fn run(running: &[u8], slot: &[u8], new: &[u8], parts: bool, served: &[u8]) -> Result<Ran, Error> {
    run_over(running, (slot, None), new, parts, served)
}

/// Likewise, where the slot has a tree.
fn run_over(
    running: &[u8],
    (slot, guess): (&[u8], Option<&Tree>),
    new: &[u8],
    parts: bool,
    served: &[u8],
) -> Result<Ran, Error> {
    let folder = tempfile::tempdir().unwrap();
    let (old, target) = (folder.path().join("running"), folder.path().join("slot"));
    fs::write(&old, running).unwrap();
    let mut content = slot.to_vec();
    content.resize(new.len() + 8 * BLOCK, 0xee);
    fs::write(&target, content).unwrap();
    let (tree_old, tree_new) = (tree(running), tree(new));
    let places = tree_new.places_in(&tree_old);
    let (device, slot) = (Device::open(&old)?, Device::open_writable(&target)?);
    let mut transfer = Transfer::plan(&tree_new, &places, &device, (&slot, guess), &mut |_, _| {})?;
    let (fetched, local) = (transfer.fetch_bytes() / BLOCK as u64, transfer.local_bytes() / BLOCK as u64);
    let server = Server { bytes: served.to_vec(), parts, asked: RefCell::default() };
    let piece = Piece { path: String::new(), size: new.len() as u64, sha256: String::new() };
    let mut last = (0, 0);
    transfer.complete(&server, &piece, &target, &mut |_, done, total| last = (done, total))?;
    assert_eq!(last.0, last.1);
    let written = fs::read(&target).unwrap();
    assert_eq!((&written[..new.len()], written[new.len()]), (new, 0xee));
    Ok(Ran { fetched, local, requests: server.asked.borrow().len() })
}

#[test]
fn only_what_is_missing_is_fetched() {
    let (old, new) = (root(&[1, 2, 3, 4, 5, 6]), root(&[9, 3, 4, 1, 8, 5, 7]));
    let ran = run(&old, &[], &new, true, &new).unwrap();
    assert_eq!((ran.fetched, ran.local, ran.requests), (3, 4, 1));
    // Cut in the middle, and begun again: what is in the slot is not asked for any more.
    let ran = run(&old, &new[..5 * BLOCK], &new, true, &new).unwrap();
    assert_eq!((ran.fetched, ran.local, ran.requests), (1, 6, 1));
    let ran = run(&old, &new, &new, true, &new).unwrap();
    assert_eq!((ran.fetched, ran.requests), (0, 0));
}

#[test]
fn a_patch_makes_what_it_makes_cheaper() {
    let (old, new) = (root(&[1, 2, 3, 4]), root(&[9, 2, 8, 1, 7, 6]));
    let new_blocks = [0, 2, 4, 5].map(|block| new[block * BLOCK..][..BLOCK].to_vec());
    let pieces = [new_blocks[..2].concat(), new_blocks[2..].concat()];
    let (folder, offered) = crate::patch::tests::make(&old, &pieces);
    let (running, target) = (folder.path().join("running"), folder.path().join("slot"));
    let (tree_old, tree_new) = (tree(&old), tree(&new));
    let places = tree_new.places_in(&tree_old);
    // Both pieces; one of them, since the slot has the other's blocks; both, of which the second is damaged.
    let at = offered.file.size as usize - 1;
    for (slot, damage, fetched) in [(0, false, 0), (3, false, 0), (0, true, 2)] {
        fs::write(&running, &old).unwrap();
        let mut content = new[..slot * BLOCK].to_vec();
        content.resize(new.len(), 0);
        fs::write(&target, content).unwrap();
        let path = folder.path().join("patch");
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= u8::from(damage);
        fs::write(&path, bytes).unwrap();
        let source = Folder::new(fs::File::open(folder.path()).unwrap().into());
        let (device, slot) = (Device::open(&running).unwrap(), Device::open_writable(&target).unwrap());
        let transfer = Transfer::plan(&tree_new, &places, &device, (&slot, None), &mut |_, _| {}).unwrap();
        let blocks = transfer.fetch_bytes();
        let mut transfer = transfer.with_patch(Some(Patch::open(&source, &offered).unwrap()));
        assert!(transfer.fetch_bytes() < blocks, "{}", transfer.fetch_bytes());
        let server =
            Both { patch: source, root: Server { bytes: new.clone(), parts: true, asked: RefCell::default() } };
        let piece = Piece { path: String::new(), size: new.len() as u64, sha256: String::new() };
        transfer.complete(&server, &piece, &target, &mut |_, _, _| {}).unwrap();
        assert_eq!(fs::read(&target).unwrap(), new);
        let asked: u64 = server.root.asked.take().iter().map(|(_, length)| length).sum();
        assert_eq!(asked, fetched * BLOCK as u64);
    }
}

#[test]
fn a_patch_that_does_not_fit_is_left_out() {
    let (old, new) = (root(&[1, 2]), root(&[1, 3]));
    let check = |content: Vec<u8>, expect| {
        let (folder, offered) = crate::patch::tests::make(&old, &[content]);
        let source = Folder::new(fs::File::open(folder.path()).unwrap().into());
        let places = tree(&new).places_in(&tree(&old));
        assert_eq!(Pieces::new(Patch::open(&source, &offered).unwrap(), &places).is_some(), expect);
    };
    check(new[BLOCK..].to_vec(), true);
    check(new.clone(), false);
    check(vec![0; 100], false);
}

#[test]
fn zeros_are_what_the_tree_says_of_them() {
    let zeros = vec![0; BLOCK];
    let (old, new) = (root(&[1, 2]), [zeros.clone(), root(&[3]), zeros.clone(), root(&[4])].concat());
    let ran = run(&old, &[zeros.clone(), zeros].concat(), &new, true, &new).unwrap();
    assert_eq!((ran.fetched, ran.local), (3, 1));
}

#[test]
fn without_parts_it_is_fetched_whole() {
    let (old, new) = (root(&[1, 2, 3]), root(&[3, 4, 5, 1, 9]));
    let ran = run(&old, &[], &new, false, &new).unwrap();
    assert_eq!((ran.fetched, ran.requests), (3, 1));
}

#[test]
fn nothing_else_is_written() {
    let (old, new) = (root(&[1, 2]), root(&[3, 4, 5]));
    let mut served = new.clone();
    served[BLOCK + 17] ^= 1;
    let error = run(&old, &[], &new, true, &served).err().unwrap().to_string();
    assert!(error.contains("block 1 of the root is not the one that was signed"), "{error}");
}

#[test]
fn a_rotten_block_of_the_running_root_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (root(&[1, 2, 3]), root(&[2, 3, 1]));
    let mut rotten = old.clone();
    rotten[BLOCK] ^= 1;
    let (running, target) = (folder.path().join("running"), folder.path().join("slot"));
    fs::write(&running, rotten).unwrap();
    fs::write(&target, vec![0; new.len()]).unwrap();
    let (tree_old, tree_new) = (tree(&old), tree(&new));
    let (device, slot) = (Device::open(&running).unwrap(), Device::open_writable(&target).unwrap());
    let places = tree_new.places_in(&tree_old);
    let mut transfer = Transfer::plan(&tree_new, &places, &device, (&slot, None), &mut |_, _| {}).unwrap();
    assert_eq!(transfer.fetch_bytes(), 0);
    let server = Server { bytes: new.clone(), parts: true, asked: RefCell::default() };
    let piece = Piece { path: String::new(), size: new.len() as u64, sha256: String::new() };
    transfer.complete(&server, &piece, &target, &mut |_, _, _| {}).unwrap();
    assert_eq!((fs::read(&target).unwrap(), server.asked.take()), (new, vec![(0, BLOCK as u64)]));
}

#[test]
fn the_slots_tree_is_a_guess_and_no_more() {
    let (old, new) = (root(&[1, 2, 3]), root(&[4, 2, 5, 6]));
    let held = root(&[4, 7, 5, 8]);
    let guess = tree(&held);
    let ran = run_over(&old, (&held, Some(&guess)), &new, true, &new).unwrap();
    assert_eq!((ran.fetched, ran.local, ran.requests), (1, 3, 1));
    // It says what is not so: of a block that runs here, and of one that does not.
    let wrong = tree(&new);
    let ran = run_over(&old, (&root(&[4, 9, 9, 6]), Some(&wrong)), &new, true, &new).unwrap();
    assert_eq!((ran.fetched, ran.local, ran.requests), (0, 4, 1));
    // It is another one altogether, or of a shorter root.
    for guess in [tree(&root(&[9, 9, 9, 9])), tree(&root(&[4, 7]))] {
        let ran = run_over(&old, (&held, Some(&guess)), &new, true, &new).unwrap();
        assert_eq!((ran.fetched, ran.local), (1, 3));
    }
}

/// A slot that keeps a block for a while only.
#[test]
fn what_the_disk_does_not_keep_is_written_twice_and_no_more() {
    let (tree_new, places) = (tree(&root(&[1, 2])), [None, Some(0)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slot");
    fs::write(&path, vec![0; 2 * BLOCK]).unwrap();
    let slot = Device::open_writable(&path).unwrap();
    let mut transfer = Transfer::plan(&tree_new, &places, &slot, (&slot, None), &mut |_, _| {}).unwrap();
    let mut roads = Vec::new();
    for _ in 0..4 {
        transfer.from.fill(From::Slot);
        if transfer.mend(&[1]).is_err() {
            break;
        }
        roads.push(transfer.from[1]);
        let mut content = Buffer::new(BLOCK);
        content.copy_from_slice(&root(&[2]));
        match transfer.from[1] {
            From::Running(_) => transfer.tried[1] = Tried::Copied,
            _ => transfer.take(1, &content, &mut |_| {}).unwrap(),
        }
    }
    assert_eq!(roads, [From::Running(0), From::Source, From::Source]);
}

#[test]
fn requests_span_small_holes() {
    let check = |missing: &[usize], expect: &[(usize, usize)]| {
        let mut from = vec![From::Slot; 4096];
        missing.iter().for_each(|block| from[*block] = From::Source);
        let requests: Vec<_> = requests(&from).into_iter().map(|range| (range.start, range.end)).collect();
        assert_eq!(requests, expect);
    };
    check(&[], &[]);
    check(&[3], &[(3, 4)]);
    check(&[0, 1, 2, 17, 19], &[(0, 20)]);
    check(&[0, 18], &[(0, 1), (18, 19)]);
    let all: Vec<usize> = (0..2 * REQUEST).collect();
    check(&all, &[(0, REQUEST), (REQUEST, 2 * REQUEST)]);
}
