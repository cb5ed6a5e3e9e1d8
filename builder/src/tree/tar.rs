//! A tree as a tar stream, in the order of its paths; the second of two files with one content is a hard link to the
//! first. The same tree gives the same bytes.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;

use ::tar::{Builder, EntryType, Header};

use super::{Kind, Node, Tree};

/// What makes two names one file: content, mode and owner.
type Identity = (*const Vec<u8>, u32, u32, u32);

/// Writes a tree; every time in it is `seconds`.
///
/// # Errors
/// Those of the writer.
pub fn write(tree: &Tree, seconds: u64, out: impl Write) -> io::Result<()> {
    let mut builder = Builder::new(out);
    let mut root = header(&Node::directory(&"the root".into()), seconds);
    root.set_entry_type(EntryType::Directory);
    builder.append_data(&mut root, "./", io::empty())?;
    let mut first_names: HashMap<Identity, &str> = HashMap::new();
    for (path, node) in tree.iter() {
        let mut header = header(node, seconds);
        match &node.kind {
            Kind::Directory => {
                header.set_entry_type(EntryType::Directory);
                builder.append_data(&mut header, format!("{path}/"), io::empty())?;
            }
            Kind::Symlink(target) => {
                header.set_entry_type(EntryType::Symlink);
                builder.append_link(&mut header, path, target)?;
            }
            Kind::File(content) if content.is_empty() => builder.append_data(&mut header, path, io::empty())?,
            Kind::File(content) => {
                let identity = (Arc::as_ptr(content), node.mode, node.uid, node.gid);
                match first_names.get(&identity) {
                    Some(first) => {
                        header.set_entry_type(EntryType::Link);
                        builder.append_link(&mut header, path, first)?;
                    }
                    None => {
                        first_names.insert(identity, path);
                        header.set_size(content.len() as u64);
                        builder.append_data(&mut header, path, content.as_slice())?;
                    }
                }
            }
        }
    }
    builder.into_inner()?.flush()
}

fn header(node: &Node, seconds: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(node.mode);
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    header.set_mtime(seconds);
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_what_shares_its_content() {
        let origin: Arc<str> = "p".into();
        let mut tree = Tree::default();
        let file = Node::file("content", 0o644, &origin);
        let long = format!("{}/b", "long-name".repeat(20));
        tree.add("a/one", file.clone()).unwrap();
        tree.add(&long, file.clone()).unwrap();
        tree.add("z-other-mode", Node { mode: 0o4755, ..file }).unwrap();
        tree.add("link", Node::symlink("a/one", &origin)).unwrap();
        let mut bytes = Vec::new();
        write(&tree, 7, &mut bytes).unwrap();
        let mut archive = ::tar::Archive::new(bytes.as_slice());
        let read: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let link = entry.link_name().unwrap().map(|link| link.display().to_string());
                assert_eq!(entry.header().mtime().unwrap(), 7);
                (entry.path().unwrap().display().to_string(), entry.header().entry_type(), link)
            })
            .collect();
        let folder = format!("{}/", "long-name".repeat(20));
        let one = Some("a/one".to_owned());
        assert_eq!(
            read,
            [
                ("./".to_owned(), EntryType::Directory, None),
                ("a/".to_owned(), EntryType::Directory, None),
                ("a/one".to_owned(), EntryType::Regular, None),
                ("link".to_owned(), EntryType::Symlink, one.clone()),
                (folder, EntryType::Directory, None),
                (long, EntryType::Link, one),
                ("z-other-mode".to_owned(), EntryType::Regular, None),
            ]
        );
    }
}
