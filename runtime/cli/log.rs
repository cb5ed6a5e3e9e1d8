//! What goes wrong, told twice: to the person or engine at standard error, and in the log that an engine asked for.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

use crate::Failed;
use crate::flags::Said;
use crate::time;

/// Where errors go.
#[derive(Debug, Default)]
pub struct Log {
    file: Option<String>,
    json: bool,
}

impl Log {
    /// As the command line says.
    pub fn from(said: &Said) -> Self {
        let file = said.value("log").filter(|file| !file.is_empty()).map(str::to_owned);
        Self { file, json: said.value("log-format") == Some("json") }
    }

    /// Tells of a failure; gives the exit code for it.
    pub fn fail(&self, failed: &Failed) -> ExitCode {
        let line = self.line(&failed.to_string());
        if let Some(file) = &self.file {
            let log = OpenOptions::new().create(true).append(true).open(file);
            if let Err(error) = log.and_then(|mut log| log.write_all(line.as_bytes())) {
                eprintln!("ashlar-runtime: cannot write the log {file}: {error}");
            }
        }
        eprint!(
            "{}",
            if self.json && self.file.is_none() { line } else { format!("ashlar-runtime: error: {failed}\n") }
        );
        ExitCode::FAILURE
    }

    fn line(&self, message: &str) -> String {
        let now = time::now();
        if self.json {
            return format!("{}\n", serde_json::json!({"level": "error", "msg": message, "time": now}));
        }
        format!("time=\"{now}\" level=error msg={message:?}\n")
    }
}
