//! What PID 1 and the programs after it are told of this boot: /run/ashlar/boot.json.

use std::fs;

use crate::error::Error;

const FOLDER: &str = "/run/ashlar";
const FILE: &str = "/run/ashlar/boot.json";

/// The facts. Devices are paths in /dev.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `a` or `b`.
    pub slot: String,
    /// In hexadecimal.
    pub root_hash: String,
    /// The root's, as the command line says.
    pub version: String,
    /// Monotonic time of the first instruction.
    pub boot_usec: u64,
    /// The armed watchdog's descriptor.
    pub watchdog_fd: Option<i32>,
    /// The disk of the slot. Nobody writes to another one.
    pub disk: String,
    /// Its EFI system partition.
    pub esp: Option<String>,
}

impl Facts {
    /// Writes them.
    pub fn write(&self) -> Result<(), Error> {
        fs::create_dir_all(FOLDER).map_err(Error::at(FOLDER))?;
        fs::write(FILE, self.json()).map_err(Error::at(FILE))
    }

    fn json(&self) -> String {
        let fd = self.watchdog_fd.map_or("null".to_owned(), |fd| fd.to_string());
        let fields = [
            ("slot", quoted(&self.slot)),
            ("root_hash", quoted(&self.root_hash)),
            ("version", quoted(&self.version)),
            ("boot_usec", self.boot_usec.to_string()),
            ("watchdog_fd", fd),
            ("disk", quoted(&self.disk)),
            ("esp", self.esp.as_deref().map_or("null".to_owned(), quoted)),
        ];
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}\n", fields.join(","))
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => quoted += &format!("\\u{:04x}", u32::from(control)),
            letter => quoted.push(letter),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_as_pid_1_reads_it() {
        let facts = Facts {
            slot: "a".into(),
            root_hash: "00ff".into(),
            version: "1\"\\\n".into(),
            boot_usec: 5,
            watchdog_fd: None,
            disk: "/dev/vda".into(),
            esp: Some("/dev/vda1".into()),
        };
        let expect = concat!(
            r#"{"slot":"a","root_hash":"00ff","version":"1\"\\\u000a","boot_usec":5,"#,
            r#""watchdog_fd":null,"disk":"/dev/vda","esp":"/dev/vda1"}"#,
            "\n"
        );
        assert_eq!(facts.json(), expect);
    }
}
