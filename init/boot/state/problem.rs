//! What a person has to know: on the console, in the kernel's log, and in `os status` by /run/ashlar/problems.

use std::fs::{self, OpenOptions};
use std::io::Write;

use ashlar_sys::kmsg::Kmsg;

const PROBLEMS: &str = "/run/ashlar/problems";
const ERROR: u8 = 3;
const INFORMATION: u8 = 6;
/// Begins each line of ours: provision keeps the lines of others.
const SOURCE: &str = "state";

/// Says what is wrong.
pub fn report(sentence: &str) {
    let line = format!("{SOURCE}: {}", sentence.replace('\n', " "));
    eprintln!("{line}");
    log(ERROR, sentence);
    if !fs::read_to_string(PROBLEMS).unwrap_or_default().lines().any(|known| known == line) {
        let file = OpenOptions::new().append(true).create(true).open(PROBLEMS);
        let _ = file.and_then(|mut file| writeln!(file, "{line}"));
    }
}

/// Says what is done.
pub fn note(text: &str) {
    println!("{text}");
    log(INFORMATION, text);
}

fn log(level: u8, text: &str) {
    if let Ok(mut kmsg) = Kmsg::open() {
        kmsg.write(level, SOURCE, text);
    }
}
