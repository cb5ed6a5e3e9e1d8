//! What there is to give: files by their published names, and how their bytes are come by.

use std::collections::HashMap;
use std::fmt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::device::{BLOCK, Buffer, Device};
use crate::error::{Error, at};
use crate::handover::{Handed, What};
use crate::tree::Tree;

/// Bytes that are read at a time.
const PIECE: usize = 64 * BLOCK;
/// No sooner is it asked again what there is. Who asks for what is not there must not keep the updater at work.
const PAUSE: Duration = Duration::from_secs(120);

/// Asks for what there is.
type Ask = Box<dyn Fn() -> Result<Vec<Handed>, Error> + Send>;

/// What there is.
pub struct Shelf {
    ask: Ask,
    asked: Option<Instant>,
    is_doubted: bool,
    files: HashMap<String, File>,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("asked", &self.asked).field("files", &self.files.keys()).finish()
    }
}

impl Shelf {
    /// Empty until somebody wants something.
    pub fn new(ask: Ask) -> Self {
        Self { ask, asked: None, is_doubted: false, files: HashMap::new() }
    }

    /// A file by its path. A version that is new here is noticed when it is asked for.
    pub fn find(&mut self, path: &str, now: Instant) -> Option<File> {
        let is_due = self.asked.is_none_or(|asked| now.duration_since(asked) >= PAUSE);
        if is_due && (self.is_doubted || !self.files.contains_key(path)) {
            self.asked = Some(now);
            match (self.ask)() {
                Ok(handed) => (self.files, self.is_doubted) = (files(handed), false),
                Err(error) => eprintln!("ask for what there is: {}", error.line()),
            }
        }
        self.files.get(path).cloned()
    }

    /// Something was not what it was said to be: it is asked anew.
    pub fn doubt(&mut self) {
        self.is_doubted = true;
    }
}

/// Each release's tree stands before its root.
fn files(handed: Vec<Handed>) -> HashMap<String, File> {
    let mut files = HashMap::new();
    let mut last: Option<Arc<Tree>> = None;
    for (entry, file) in handed {
        let device = Device::of(file, Path::new(&entry.path));
        let content = match entry.what {
            What::Tree => {
                let checked = |tree: Tree| {
                    let root = tree.root();
                    Tree::new(tree.bytes, root).ok()
                };
                last = Tree::guess_of(&device).and_then(checked).map(Arc::new);
                last.clone().map(Content::Tree)
            }
            What::Root => last.clone().map(|tree| Content::Root(device, tree)),
            What::Uki => Some(Content::Plain(device.into_file())),
        };
        let content = content.filter(|content| match content {
            Content::Tree(tree) => tree.bytes.len() as u64 == entry.size,
            Content::Root(_, tree) => tree.superblock.data_bytes() == entry.size,
            Content::Plain(_) => true,
        });
        match content {
            Some(content) => {
                println!("gives {}", entry.path);
                files.insert(entry.path, File { content: Arc::new(content), size: entry.size });
            }
            None => eprintln!("{} is not what it was: doing without it", entry.path),
        }
    }
    files
}

/// A file.
#[derive(Debug, Clone)]
pub struct File {
    content: Arc<Content>,
    size: u64,
}

#[derive(Debug)]
enum Content {
    /// A slot's root, as far as it is the tree's.
    Root(Device, Arc<Tree>),
    /// All of it was held against its top.
    Tree(Arc<Tree>),
    /// A copy of ours, whose digest was made as it was.
    Plain(std::fs::File),
}

impl File {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Memory for [`Self::read`].
    pub fn buffer(&self) -> Buffer {
        Buffer::new(PIECE)
    }

    /// Bytes from a place on, some, and none behind an end.
    pub fn read<'b>(&'b self, place: u64, end: u64, buffer: &'b mut Buffer) -> Result<&'b [u8], Error> {
        let skip = place % BLOCK as u64;
        let first = place - skip;
        let length = (end - first).min(PIECE as u64);
        match &*self.content {
            Content::Tree(tree) => return Ok(&tree.bytes[place as usize..end as usize]),
            Content::Plain(file) => {
                let bytes = &mut buffer[..length as usize];
                file.read_exact_at(bytes, first).map_err(at("read", "the UKI"))?;
            }
            Content::Root(device, tree) => {
                let bytes = &mut buffer[..length.next_multiple_of(BLOCK as u64) as usize];
                device.read(bytes, first)?;
                let blocks = (first as usize / BLOCK..).zip(bytes.chunks_exact(BLOCK));
                if let Some((block, _)) = blocks.into_iter().find(|(block, content)| !tree.holds(*block, content)) {
                    return Err(Error::Machine(format!("block {block} is not what it was")));
                }
            }
        }
        Ok(&buffer[skip as usize..length as usize])
    }
}
