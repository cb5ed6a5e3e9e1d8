//! What is done with a runtime.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::bundle::{Bundle, success};
use crate::cost;

/// A runtime, and a container of its own that runs all the time.
pub struct Runtime<'a> {
    program: &'a str,
    bundle: &'a Bundle,
}

/// Something that is done with one.
type Life = fn(&Runtime<'_>) -> Result<(), String>;

/// With what they are called, and whether a container is made.
pub const LIVES: [(&str, bool, Life); 3] = [
    ("create + start + delete of `true`", true, |runtime| runtime.whole_life()),
    ("run of `true`", true, |runtime| runtime.run()),
    ("exec of `true`", false, |runtime| runtime.exec()),
];

const LIVING: &str = "living";
const PID_FILE: &str = "/run/pid";

impl<'a> Runtime<'a> {
    pub fn new(program: &'a str, bundle: &'a Bundle) -> Result<Self, String> {
        let runtime = Self { program, bundle };
        runtime.begin(LIVING)?;
        Ok(runtime)
    }
}

impl Runtime<'_> {
    fn call(&self, words: &[&str]) -> Result<(), String> {
        success(Command::new(self.program).args(words)).map_err(|reason| format!("{reason} ({})", words.join(" ")))
    }

    /// Its program's, without the folder.
    pub fn name(&self) -> &str {
        self.program.rsplit('/').next().unwrap_or_default()
    }

    /// A container's name. Some make groups of that name beside those of others.
    fn id(&self, word: &str) -> String {
        format!("{}-{word}", self.name())
    }

    pub fn version(&self) -> Result<String, String> {
        let output = Command::new(self.program).arg("--version").output();
        let output = output.map_err(|error| format!("cannot run {}: {error}", self.program))?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned())
    }

    fn create(&self, program: &str, id: &str) -> Result<Pid, String> {
        let path = self.bundle.path(program);
        self.call(&["create", "--bundle", &path.to_string_lossy(), "--pid-file", PID_FILE, &self.id(id)])?;
        let pid = fs::read_to_string(PID_FILE).ok().and_then(|text| text.trim().parse().ok());
        pid.map(Pid::from_raw).ok_or_else(|| format!("{} has written no number to {PID_FILE}", self.program))
    }

    fn whole_life(&self) -> Result<(), String> {
        let pid = self.create("true", "life")?;
        self.call(&["start", &self.id("life")])?;
        waitpid(pid, None).map_err(|error| format!("the container is not our child: {error}"))?;
        self.call(&["delete", &self.id("life")])
    }

    fn run(&self) -> Result<(), String> {
        self.call(&["run", "--bundle", &self.bundle.path("true").to_string_lossy(), &self.id("short")])
    }

    fn exec(&self) -> Result<(), String> {
        self.call(&["exec", &self.id(LIVING), "/true"])
    }

    /// Makes and starts one that stays.
    pub fn begin(&self, id: &str) -> Result<(), String> {
        self.create("sleep", id)?;
        self.call(&["start", &self.id(id)])
    }

    pub fn remove(&self, id: &str) -> Result<(), String> {
        self.call(&["delete", "--force", &self.id(id)])
    }

    /// Most memory of `create`, in KiB: by a process whose only child that is.
    pub fn memory(&self) -> Result<i64, String> {
        let path = self.bundle.path("sleep");
        let output = Command::new("/proc/self/exe")
            .args(["memory", self.program, &self.id("memory")])
            .current_dir(path)
            .output();
        let output = output.map_err(|error| error.to_string())?;
        self.remove("memory")?;
        String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|_| format!("{}: no memory", self.program))
    }
}

impl Drop for Runtime<'_> {
    fn drop(&mut self) {
        let _ = self.remove(LIVING);
    }
}

/// Whether there is such a program.
pub fn is_there(name: &str) -> bool {
    Command::new(name).arg("--version").output().is_ok()
}

/// The other end of [`Runtime::memory`].
pub fn print_memory(name: &str, id: &str) -> Result<(), String> {
    success(Command::new(name).args(["create", id]).stderr(Stdio::null()))?;
    println!("{}", cost::memory());
    Ok(())
}
