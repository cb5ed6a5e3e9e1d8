//! A place for containers, and the program called as an engine calls it.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// A bundle whose programs are the host's, and a folder for the runtime's state. Both go when this is dropped.
pub struct Place {
    pub folder: PathBuf,
    pub config: Value,
}

/// What was said, and the exit code.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Place {
    /// `None` where a container cannot be made: for a user without namespaces.
    pub fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ashlar-runtime-{}-{number}", std::process::id()));
        let root = folder.join("bundle/rootfs");
        for name in ["dev", "proc", "sys", "tmp", "usr", "etc"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), root.join(name)).unwrap();
        }
        let mut place = Self { folder, config: Value::Null };
        let spec = place.command(&["spec"], &["--bundle", place.bundle().to_str().unwrap()]);
        assert_eq!(finish(spec).code, 0, "spec");
        let file = place.bundle().join("config.json");
        place.config = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        place.set("/process/terminal", json!(false));
        let usr = json!({"destination": "/usr", "source": "/usr", "options": ["rbind", "ro"]});
        place.config["mounts"].as_array_mut().unwrap().push(usr);
        // Control groups are tried in a virtual machine: this one may have those of another version.
        place.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["type"] != "cgroup");
        let probe = place.run("probe", &["true"]);
        if probe.code != 0 && !is_root() {
            println!("skipped: {}", probe.err);
            return None;
        }
        assert_eq!(probe, Said { code: 0, out: String::new(), err: String::new() });
        Some(place)
    }

    pub fn bundle(&self) -> PathBuf {
        self.folder.join("bundle")
    }

    pub fn rootfs(&self) -> PathBuf {
        self.folder.join("bundle/rootfs")
    }

    /// A value of config.json by its pointer.
    pub fn set(&mut self, pointer: &str, value: Value) -> &mut Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        self.config.pointer_mut(parent).unwrap()[key] = value;
        self
    }

    pub fn arguments(&mut self, arguments: &[&str]) -> &mut Self {
        self.set("/process/args", json!(arguments))
    }

    /// The program with a command, and words behind it.
    pub fn command(&self, command: &[&str], words: &[&str]) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_ashlar-runtime"));
        program.args(["--cgroup-manager", "disabled", "--root"]).arg(self.folder.join("state"));
        if !is_root() {
            program.args(["--rootless", "true"]);
        }
        program.args(command).args(words).current_dir(self.folder.join("bundle")).stdin(Stdio::null());
        program
    }

    pub fn call(&self, words: &[&str]) -> Said {
        finish(self.command(words, &[]))
    }

    pub fn write(&self) {
        fs::write(self.bundle().join("config.json"), self.config.to_string()).unwrap();
    }

    pub fn run(&mut self, id: &str, arguments: &[&str]) -> Said {
        self.arguments(arguments).write();
        self.call(&["run", id])
    }

    /// Makes one whose process waits. It outlives the call, so it may not hold our pipes.
    pub fn create(&mut self, id: &str, arguments: &[&str]) -> Said {
        self.arguments(arguments).write();
        let errors = self.folder.join("errors");
        let file = fs::File::create(&errors).unwrap();
        let status = self.command(&["create", id], &[]).stdout(Stdio::null()).stderr(file).status().unwrap();
        let err = fs::read_to_string(errors).unwrap();
        Said { code: status.code().unwrap_or(-1), out: String::new(), err }
    }

    pub fn status(&self, id: &str) -> String {
        let state = self.call(&["state", id]);
        match serde_json::from_str::<Value>(&state.out) {
            Ok(state) => state["status"].as_str().unwrap_or_default().to_owned(),
            Err(_) => state.err,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let state = self.folder.join("state");
        for entry in fs::read_dir(state).into_iter().flatten().flatten() {
            let id = entry.file_name();
            let _ = self.command(&["delete", "--force"], &[id.to_str().unwrap_or_default()]).output();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub fn finish(mut command: Command) -> Said {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said { code: status.code().unwrap_or(-1), out: text(stdout), err: text(stderr) }
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Mounts that anybody can see, by what is mounted below a folder.
pub fn mounts_below(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let name = folder.to_str().unwrap();
    text.lines().filter(|line| line.contains(name)).map(str::to_owned).collect()
}

/// Processes of this runtime that hold something below a folder open, or have it in their command line.
pub fn processes_of(folder: &Path) -> Vec<String> {
    let name = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(name) {
            found.push(line);
        }
    }
    found
}
