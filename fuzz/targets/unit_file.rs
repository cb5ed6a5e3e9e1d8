//! systemd's unit files, as PID 1 reads them: one of each kind, with a drop-in of the same text.
#![no_main]

use ashlar_config::systemd::{Host, Sources, Text, read};

const KINDS: [&str; 8] = ["service", "socket", "timer", "path", "mount", "slice", "target", "scope"];

libfuzzer_sys::fuzz_target!(|input: (u8, &str)| {
    let (kind, text) = input;
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let text = |folder: &str| Text { path: format!("{folder}/a@b.{kind}"), text: text.to_owned() };
    let sources = Sources {
        name: format!("a@b.{kind}"),
        fragment: Some(text("/etc/systemd/system")),
        drop_ins: vec![text("/run/systemd/system/a@b.service.d")],
        ..Sources::default()
    };
    let _ = read(&sources, &Host::default());
});
