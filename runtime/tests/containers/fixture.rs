//! One container to be asked: a bundle made for it, a process in it, its answers.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use ashlar_runtime::spec::PrivateUsers;
use ashlar_runtime::{Begun, Bundle, Error, Request, begin};
use ashlar_sys::{child, process};
use serde_json::{Value, json};

use crate::ground::Ground;
use crate::probe;

/// A test: its name and what it does.
pub type Story = (&'static str, fn(&Ground) -> Result<(), String>);

/// What the command line asks for, in the words of Rust's own test runner, so that every front end can drive it.
#[derive(Debug, Default)]
pub struct Wanted {
    list: bool,
    ignored: bool,
    exact: bool,
    filters: Vec<String>,
}

impl Wanted {
    pub fn from_arguments() -> Self {
        let mut wanted = Self::default();
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => wanted.list = true,
                "--ignored" => wanted.ignored = true,
                "--exact" => wanted.exact = true,
                "--format" | "--test-threads" | "--color" => drop(arguments.next()),
                option if option.starts_with('-') => {}
                _ => wanted.filters.push(argument),
            }
        }
        wanted
    }

    fn has(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        !self.ignored && (self.filters.is_empty() || self.filters.iter().any(fits))
    }

    /// Names the stories if that is all that is asked for.
    pub fn list(&self, stories: &[Story]) -> bool {
        let wanted = stories.iter().filter(|(name, _)| self.list && self.has(name));
        wanted.for_each(|(name, _)| println!("{name}: test"));
        self.list
    }
}

/// Runs what is wanted, on a machine of our own everything; gives how many failed.
pub fn run(stories: &[Story], wanted: &Wanted, ground: &Ground) -> i32 {
    let (mut passed, mut failed) = (0, 0);
    for (name, story) in stories.iter().filter(|(name, _)| ground.machine || wanted.has(name)) {
        let outcome = story(ground);
        let skipped = outcome.as_ref().is_err_and(|reason| reason.starts_with(SKIPPED));
        match outcome.is_ok() || skipped {
            true => passed += 1,
            false => failed += 1,
        }
        println!("containers: {name}: {}", outcome.err().unwrap_or_else(|| "ok".into()));
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {failed} failed");
    failed
}

/// Begins a reason why a story cannot be told here.
pub const SKIPPED: &str = "skipped";

/// A bundle.
pub struct Container {
    pub folder: PathBuf,
    pub config: Value,
}

/// What a start has besides its bundle.
#[derive(Default)]
pub struct With<'a> {
    pub environment: Vec<(String, String)>,
    pub own_pid: Vec<&'a str>,
    pub descriptors: Vec<OwnedFd>,
    pub input: Option<OwnedFd>,
    pub terminal: bool,
    pub group: Option<PathBuf>,
    pub subgroup: Option<&'a str>,
    pub join: Option<u32>,
    pub private_users: Option<PrivateUsers>,
}

/// A process under way.
pub struct Started {
    pub begun: Begun,
    output: io::PipeReader,
}

impl Container {
    /// With private namespaces of every kind and nothing else.
    pub fn new(ground: &Ground, name: &str) -> Result<Self, String> {
        let folder = ground.folder.join(name);
        let root = folder.join("rootfs");
        let make = || {
            for name in ["dev", "proc", "sys", "run", "tmp", "usr", "data"] {
                fs::create_dir_all(root.join(name))?;
            }
            for name in ["bin", "lib", "lib64"] {
                symlink(format!("usr/{name}"), root.join(name))?;
            }
            fs::write(root.join("probe"), "")
        };
        make().map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(Self { folder, config: config(ground) })
    }

    /// A value of config.json by its pointer, to be changed.
    pub fn set(&mut self, pointer: &str, value: Value) -> &mut Self {
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer begins with a slash");
        self.config.pointer_mut(parent).expect("its parent is there")[key] = value;
        self
    }

    pub fn add_mount(&mut self, mount: Value) -> &mut Self {
        self.config["mounts"].as_array_mut().expect("it is a list").push(mount);
        self
    }

    pub fn without_namespace(&mut self, kind: &str) -> &mut Self {
        let list = self.config["linux"]["namespaces"].as_array_mut().expect("it is a list");
        list.retain(|namespace| namespace["type"] != kind);
        if kind == "user" {
            self.set("/linux/uidMappings", json!([])).set("/linux/gidMappings", json!([]));
        }
        self
    }

    /// Begins a process that answers `questions`.
    pub fn start(&self, questions: &[&str], with: &With<'_>) -> Result<Started, String> {
        let text = serde_json::to_vec(&self.config).map_err(|error| error.to_string())?;
        fs::write(self.folder.join("config.json"), text).map_err(|error| error.to_string())?;
        let mut bundle = Bundle::load(&self.folder).map_err(|error| error.to_string())?;
        bundle.spec.linux.private_users.clone_from(&with.private_users);
        let mut command = vec!["/probe".to_owned(), probe::ARGUMENT.to_owned()];
        command.extend(questions.iter().map(|question| (*question).to_owned()));
        let started = || {
            let (output, writer) = io::pipe()?;
            let null = OwnedFd::from(File::open("/dev/null")?);
            let input = with.input.as_ref().unwrap_or(&null);
            let error = io::stderr().as_fd().try_clone_to_owned()?;
            let descriptors: Vec<Option<BorrowedFd<'_>>> = with.descriptors.iter().map(|fd| Some(fd.as_fd())).collect();
            let begun = begin(&Request {
                group: with.group.as_deref(),
                subgroup: with.subgroup,
                command: Some(&command),
                environment: &with.environment,
                own_pid: &with.own_pid,
                terminal: with.terminal,
                descriptors: &descriptors,
                join: with.join,
                ..Request::new(&bundle, "test", [input.as_fd(), writer.as_fd(), error.as_fd()])
            });
            Ok(begun.map(|begun| Started { begun, output }))
        };
        started().map_err(|error: io::Error| error.to_string())?.map_err(|error: Error| error.to_string())
    }

    /// The answers of a process that ends well.
    pub fn ask(&self, questions: &[&str], with: &With<'_>) -> Result<String, String> {
        self.start(questions, with)?.finish()
    }

    /// Asks, and compares; a row is a question and the answer to it.
    pub fn check(&self, rows: &[(&str, &str)], with: &With<'_>) -> Result<(), String> {
        let questions: Vec<&str> = rows.iter().map(|(question, _)| *question).collect();
        compare(&self.ask(&questions, with)?, rows)
    }
}

/// Holds answers against what is expected; `*` at the end stands for anything.
pub fn compare(answers: &str, rows: &[(&str, &str)]) -> Result<(), String> {
    for (question, expect) in rows {
        let line = answers.lines().find_map(|line| line.strip_prefix(question)?.strip_prefix(" = "));
        let got = line.ok_or_else(|| format!("no answer to {question} in {answers:?}"))?;
        let fits = expect.strip_suffix('*').map_or(got == *expect, |start| got.starts_with(start));
        if !fits {
            return Err(format!("{question} is `{got}`, not `{expect}`"));
        }
    }
    Ok(())
}

impl Started {
    /// Waits for the set-up only.
    pub fn set_up(&mut self) -> Result<(), String> {
        let outcome = self.begun.setup.wait();
        outcome.map_err(|error| {
            reap(self.begun.pid);
            error.to_string()
        })
    }

    /// Waits for all; what it said.
    pub fn finish(mut self) -> Result<String, String> {
        self.set_up()?;
        let mut answers = String::new();
        self.output.read_to_string(&mut answers).map_err(|error| error.to_string())?;
        match reap(self.begun.pid) {
            0 => Ok(answers),
            code => Err(format!("it ended with {code}, having said {answers:?}")),
        }
    }
}

/// Waits for a process; what else has ended was the host's side.
pub fn reap(pid: u32) -> i32 {
    let code = process::wait(pid).unwrap_or(-1);
    while let Ok(Some(ended)) = child::peek() {
        child::reap(ended.pid);
    }
    code
}

fn config(ground: &Ground) -> Value {
    let own = std::env::current_exe().unwrap_or_else(|_| "/init".into());
    let own = if ground.machine { PathBuf::from("/init") } else { own };
    let (first, size) = ground.ids;
    let terminals =
        if size > 5 { json!(["nosuid", "noexec", "gid=5", "mode=620"]) } else { json!(["nosuid", "noexec"]) };
    let ids = json!([{"containerID": 0, "hostID": first, "size": size}]);
    json!({
        "ociVersion": "1.2.0",
        "process": {
            "args": ["/probe"],
            "cwd": "/",
            "env": ["PATH=/bin", "SHARED=bundle"],
            "user": {"uid": 0, "gid": 0},
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": terminals},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "nodev"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=755"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
            {"destination": "/probe", "type": "bind", "source": own, "options": ["bind", "ro"]},
            {"destination": "/usr", "source": "/usr", "options": ["rbind", "ro", "x-optional"]},
        ],
        "linux": {
            "namespaces": [
                {"type": "user"}, {"type": "mount"}, {"type": "pid"}, {"type": "network"}, {"type": "ipc"},
                {"type": "uts"}, {"type": "cgroup"},
            ],
            "uidMappings": ids,
            "gidMappings": ids,
            "resources": {},
        },
    })
}
