//! What is wrong: said on the console at once, kept for `os status`.

use std::fs;

use ashlar_config::Error;
use ashlar_sys::kmsg::Kmsg;

use crate::write;

const PROBLEMS: &str = "/run/ashlar/problems";
/// Begins the lines of the program before us, which stay.
const FOREIGN: &str = "state: ";
const ERROR: u8 = 3;
const INFORMATION: u8 = 6;
/// A file that is wrong from end to end is not read out on the console.
const SAID: usize = 20;

/// The problems so far, a sentence each.
#[derive(Debug, Default)]
pub struct Report(Vec<String>);

impl Report {
    /// A mistake in the configuration.
    pub fn mistake(&mut self, error: &Error) {
        self.problem(error.to_string());
    }

    /// A step that could not be done.
    pub fn failure(&mut self, words: &str, error: &anyhow::Error) {
        self.problem(format!("cannot {words}: {error:#}"));
    }

    /// Something else that is wrong.
    pub fn problem(&mut self, sentence: String) {
        let sentence = sentence.replace(|c: char| c.is_control(), " ");
        if self.0.len() < SAID {
            eprintln!("{sentence}");
            log(ERROR, &sentence);
        }
        self.0.push(sentence);
    }

    /// Something that is good to know.
    pub fn note(text: &str) {
        println!("{text}");
        log(INFORMATION, text);
    }

    /// Leaves them for PID 1.
    pub fn publish(&self) {
        let before = fs::read_to_string(PROBLEMS).unwrap_or_default();
        if let Err(error) = write::file(PROBLEMS, merged(&before, &self.0).as_bytes()) {
            log(ERROR, &format!("{error:#}"));
        }
    }
}

fn merged(before: &str, ours: &[String]) -> String {
    let foreign = before.lines().filter(|line| line.starts_with(FOREIGN));
    foreign.chain(ours.iter().map(String::as_str)).map(|line| format!("{line}\n")).collect()
}

fn log(level: u8, text: &str) {
    if let Ok(mut kmsg) = Kmsg::open() {
        kmsg.write(level, "provision", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_problems_stay() {
        let check = |before, ours: &[&str], expect| {
            let ours: Vec<String> = ours.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(merged(before, &ours), expect);
        };
        check("", &[], "");
        check(
            "state: no disk\nmachine.toml:1: old\n",
            &["machine.toml:2: new"],
            "state: no disk\nmachine.toml:2: new\n",
        );
    }
}
