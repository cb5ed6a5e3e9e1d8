//! The examples of the documents are read by the program's own readers: a document that is not true is a failure.

use std::path::Path;

use ashlar_config::image::ImageFile;
use ashlar_config::machine;
use ashlar_config::unit::UnitFile;

/// TOML blocks of a document, with the line that each begins in.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.trim()) {
            (None, "```toml") => open = Some((index + 2, String::new())),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some((_, block)), _) => *block += &format!("{line}\n"),
            (None, _) => {}
        }
    }
    blocks
}

/// What is wrong with a block, by what its first comment says that it is; a machine's configuration otherwise.
fn mistakes(place: &str, block: &str) -> Vec<String> {
    if block.starts_with("# unit.toml") {
        return UnitFile::parse(place, block).err().map(|error| error.to_string()).into_iter().collect();
    }
    if block.starts_with("# image.toml") {
        return ImageFile::parse(place, block).err().map(|error| error.to_string()).into_iter().collect();
    }
    // A key that stands for the reader's own.
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKjUBmAhdmsUSbxnPXVPpYVe+j0voButOLvR1aEFqvaJ";
    let block = block.replace("ssh-ed25519 AAAA… ", &format!("{key} "));
    machine::parse(place, &block).1.iter().map(ToString::to_string).collect()
}

#[test]
fn examples_are_read_without_a_mistake() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("qemu-tests is a folder of the checkout");
    let mut count = 0;
    for document in ["README.md", "docs/configuration.md", "docs/updates.md"] {
        let text = std::fs::read_to_string(root.join(document)).expect(document);
        for (line, block) in blocks(&text) {
            assert_eq!(mistakes(document, &block), Vec::<String>::new(), "{document}, block in line {line}");
            count += 1;
        }
    }
    assert_eq!(count, 7);
}
