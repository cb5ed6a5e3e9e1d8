//! What a publisher signs, before anybody knows whether it was the publisher.
#![no_main]

use ashlar_formats::tuf::{Document, Root, Snapshot, Targets, Timestamp};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = Document::parse(bytes) else { return };
    let _ = document.message();
    let again = Document::parse(&document.to_bytes()).expect("what was read can be written and read again");
    assert_eq!(document.message().ok(), again.message().ok());
    let _ = document.content::<Timestamp>();
    let _ = document.content::<Snapshot>();
    if let Ok(targets) = document.content::<Targets>() {
        let _ = targets.check_delegations();
    }
    if let Ok(root) = Root::trusted(bytes) {
        let _ = root.next(bytes);
    }
});
