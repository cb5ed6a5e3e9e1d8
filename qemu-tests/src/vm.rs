//! One virtual machine: a folder with its disk, keys and logs, QEMU when it runs, and what a user can do with it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use ashlar_control::status;
use serde_json::{Value, json};

use crate::arch::Arch;
use crate::disk::Disk;
use crate::qemu::{Launch, Network, VARIABLES};
use crate::qmp::Qmp;
use crate::serial::Serial;
use crate::ssh::{self, Ran, Ssh, quote};
use crate::{LOGS_VARIABLE, fixture, probe, tool};

/// The line that says that the machine is there: `Ashlar 1 ready in 1.234 s (slot a)`.
pub const READY: &str = " ready in ";
/// What was printed before a reset has come by then.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Patience on bare processors with an idle host; multiplied by [`crate::accelerator::Accelerator::slowness`].
const BOOT: Duration = Duration::from_secs(60);
/// Likewise, until a machine that boots and says nothing is nudged.
const QUIET: Duration = Duration::from_secs(5);
/// So often it is, after a reset, until it is switched off and on.
const NUDGES: u32 = 4;
/// What QEMU said of a machine that stood still.
const STOOD_STILL: &str = "stood-still.log";
const GIB: u64 = 1 << 30;

/// A machine, running or not.
#[derive(Debug)]
pub struct Vm {
    /// Its disk.
    pub disk: Disk,
    /// How it is booted the next time.
    pub launch: Launch,
    name: String,
    folder: PathBuf,
    port: u16,
    running: Option<Running>,
    finished: bool,
}

/// What there is only while QEMU runs.
#[derive(Debug)]
struct Running {
    qemu: Child,
    serial: Serial,
    qmp: Qmp,
    ssh: Ssh,
}

/// What a machine is made of.
#[derive(Debug)]
pub struct Builder {
    name: String,
    arch: Arch,
    memory: u32,
    cpus: u32,
    size: u64,
    image: Option<PathBuf>,
    config: Option<String>,
    web: Vec<(u16, u16)>,
}

impl Builder {
    /// Another architecture than this host's.
    pub fn arch(mut self, arch: Arch) -> Self {
        self.arch = arch;
        self
    }

    /// Memory in MiB; 512 unless said.
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = mebibytes;
        self
    }

    /// Processors; one unless said.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Size of the disk in bytes; 4 GiB unless said.
    pub fn size(mut self, size: u64) -> Self {
        self.size = size;
        self
    }

    /// A disk image other than the one that was built.
    pub fn image(mut self, path: &Path) -> Self {
        self.image = Some(path.into());
        self
    }

    /// A port of this host that the machine reaches as a web server, [`crate::qemu::WEB`].
    pub fn web(self, port: u16) -> Self {
        self.server(80, port)
    }

    /// Likewise, as another port of that server.
    pub fn server(mut self, port: u16, own: u16) -> Self {
        self.web.push((port, own));
        self
    }

    /// The text of `machine.toml`; `KEY` stands for the public key of this machine's user. The smallest one unless said.
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.into());
        self
    }

    /// Makes the machine, switched off.
    pub fn make(self) -> Result<Vm> {
        let folder = folder_for(&self.name)?;
        variables_in_memory(&folder, self.arch)?;
        let image = match self.image {
            Some(image) => image,
            None => fixture::image(self.arch)?.join("disk.raw"),
        };
        let key = ssh::key_in(&folder)?;
        let disk = Disk::copy(&image, &folder.join("disk.raw"), self.size)?;
        let config =
            self.config.map_or_else(|| fixture::with_console(&self.name, &key), |text| text.replace("KEY", &key));
        disk.put_on_esp("ashlar/machine.toml", config.as_bytes())?;
        let port = ssh::free_port()?;
        let mut launch = Launch::new(self.arch, probe::accelerator(self.arch), &disk.path);
        launch.memory = self.memory;
        launch.cpus = self.cpus;
        launch.networks.push(Network::User { ssh_port: port, restricted: true, web: self.web });
        Ok(Vm { disk, launch, name: self.name, folder, port, running: None, finished: false })
    }

    /// Makes the machine and boots it until it is ready and takes its user.
    pub fn boot(self) -> Result<Vm> {
        let mut vm = self.make()?;
        vm.boot()?;
        Ok(vm)
    }
}

/// A folder with a short path: ssh's control socket has to fit in 108 bytes.
fn folder_for(name: &str) -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("ashlar-{name}-{}-{number}", std::process::id()));
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The firmware writes its variables a byte at a time, and each is a write to their file: some thousands in a boot, which are
/// not to wait for a disk that others keep busy. Arm's have 64 MiB, which is as much as containers have there.
fn variables_in_memory(folder: &Path, arch: Arch) -> Result<()> {
    let memory = Path::new("/dev/shm");
    if !memory.is_dir() || arch != Arch::X86_64 {
        return Ok(());
    }
    let link = folder.join(VARIABLES);
    let place = memory.join(folder.file_name().unwrap_or_default()).with_extension("variables");
    std::os::unix::fs::symlink(place, &link).with_context(|| format!("cannot make {}", link.display()))
}

impl Vm {
    /// A machine of this name, which is also its host name.
    pub fn builder(name: &str) -> Builder {
        let (arch, image, config) = (Arch::host(), None, None);
        Builder { name: name.into(), arch, memory: 512, cpus: 1, size: 4 * GIB, image, config, web: Vec::new() }
    }

    /// The machine's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A time-out for something that takes up to `seconds` on bare processors.
    pub fn patience(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds) * self.launch.accelerator.slowness()
    }

    /// Switches it on.
    pub fn start(&mut self) -> Result<()> {
        if self.running.is_some() {
            bail!("{} runs already", self.name);
        }
        let mut command = self.launch.command(&self.folder)?;
        // QEMU must not outlive a test that is killed.
        if let Some(setpriv) = tool::find("setpriv") {
            let mut leashed = std::process::Command::new(setpriv);
            leashed.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
            leashed.current_dir(&self.folder);
            command = leashed;
        }
        let errors = File::options().create(true).append(true).open(self.folder.join("qemu.log"))?;
        let _ = fs::remove_file(self.folder.join("qmp"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut qemu = command.spawn().with_context(|| format!("cannot run {}", self.launch.arch.qemu()))?;
        let (input, output) = (qemu.stdin.take(), qemu.stdout.take());
        let (input, output) = input.zip(output).context("QEMU has no standard input and output")?;
        let serial = Serial::new(input, output, &self.folder.join("serial.log"))?;
        let qmp = Qmp::connect(&self.folder, &mut qemu, Duration::from_secs(30)).map_err(|error| {
            let _ = qemu.kill();
            let _ = qemu.wait();
            let log = fs::read_to_string(self.folder.join("qemu.log")).unwrap_or_default();
            error.context(format!("QEMU did not start: {}", log.trim()))
        })?;
        let ssh = Ssh::new(&self.folder, "core", self.port);
        self.running = Some(Running { qemu, serial, qmp, ssh });
        Ok(())
    }

    /// Switches it on and waits until it is ready and takes its user.
    pub fn boot(&mut self) -> Result<()> {
        self.start()?;
        self.wait_ready()?;
        self.connect()
    }

    /// Waits for the line that says that the machine is there, and returns it.
    pub fn wait_ready(&mut self) -> Result<String> {
        let slowness = self.launch.accelerator.slowness();
        let (quiet, patience) = (QUIET * slowness, BOOT * slowness);
        let until = Instant::now() + patience;
        loop {
            let began = SystemTime::now();
            let left = until.saturating_duration_since(Instant::now());
            match self.serial()?.wait_for_line(READY, quiet.min(left)) {
                Err(_) if left > quiet && self.running()?.qemu.try_wait()?.is_none() => {}
                waited => {
                    return waited
                        .with_context(|| format!("{} is not ready after {} s", self.name, patience.as_secs()));
                }
            }
            if self.stands_still()? {
                self.switch_off_and_on()?;
            } else if !self.serial()?.speaks_after(began, Duration::ZERO) {
                self.nudge(quiet)?;
            }
        }
    }

    /// Connects by SSH as soon as the machine takes it.
    pub fn connect(&mut self) -> Result<()> {
        let patience = BOOT * self.launch.accelerator.slowness();
        self.running()?.ssh.connect(patience)
    }

    fn running(&mut self) -> Result<&mut Running> {
        let name = &self.name;
        self.running.as_mut().with_context(|| format!("{name} is switched off"))
    }

    /// The serial console.
    pub fn serial(&mut self) -> Result<&mut Serial> {
        Ok(&mut self.running()?.serial)
    }

    /// QEMU itself.
    pub fn qmp(&mut self) -> Result<&mut Qmp> {
        Ok(&mut self.running()?.qmp)
    }

    /// The user's SSH.
    pub fn ssh(&mut self) -> Result<&mut Ssh> {
        Ok(&mut self.running()?.ssh)
    }

    /// Runs a command line in the console container as the user, whatever its exit code.
    pub fn try_run(&mut self, line: &str) -> Result<Ran> {
        self.running()?.ssh.run(line, b"")
    }

    /// Runs a command line as the user and returns what it printed; an exit code other than 0 is an error.
    pub fn run(&mut self, line: &str) -> Result<String> {
        let ran = self.try_run(line)?;
        if ran.code != 0 {
            bail!("`{line}` ended with {}: {} {}", ran.code, ran.stdout, ran.stderr);
        }
        Ok(ran.stdout)
    }

    /// Runs a command line on the host as root by way of `os shell`, whatever its exit code.
    pub fn try_root(&mut self, line: &str) -> Result<Ran> {
        self.try_run(&format!("os shell -- /bin/sh -c {}", quote(line)))
    }

    /// Runs a command line on the host as root and returns what it printed; an exit code other than 0 is an error.
    pub fn root(&mut self, line: &str) -> Result<String> {
        let ran = self.try_root(line)?;
        if ran.code != 0 {
            bail!("`{line}` as root ended with {}: {} {}", ran.code, ran.stdout, ran.stderr);
        }
        Ok(ran.stdout)
    }

    /// What `os status --json` says.
    pub fn status(&mut self) -> Result<status::Machine> {
        let text = self.try_run("os status --json")?.stdout;
        unwrapped(&text, "machine")
    }

    /// What `os ps --json` says.
    pub fn units(&mut self) -> Result<Vec<status::Unit>> {
        let text = self.run("os ps --all --json")?;
        unwrapped(&text, "units")
    }

    /// One of [`Self::units`].
    pub fn unit(&mut self, name: &str) -> Result<status::Unit> {
        let found = self.units()?.into_iter().find(|unit| unit.name == name);
        found.with_context(|| format!("`os ps` does not list {name}"))
    }

    /// Presses the power button.
    pub fn press_power(&mut self) -> Result<()> {
        self.qmp()?.execute("system_powerdown", &json!({})).map(drop)
    }

    /// Waits until the machine has reset itself.
    pub fn wait_reset(&mut self) -> Result<()> {
        let patience = BOOT * self.launch.accelerator.slowness();
        let running = self.running()?;
        running.qmp.wait_for("RESET", patience)?;
        running.ssh.disconnect();
        if self.stands_still()? {
            self.switch_off_and_on()?;
        }
        Ok(())
    }

    /// Whether not even the firmware has spoken since the machine was reset, however often it was nudged.
    ///
    /// Seen twice in some hundreds of resets under QEMU's own processors, after a guest's reboot and after a watchdog; once
    /// another reset was tried, and did not help. Nothing of the image runs by then.
    fn stands_still(&mut self) -> Result<bool> {
        let quiet = QUIET * self.launch.accelerator.slowness();
        let Some(reset) = self.running()?.qmp.reset()? else { return Ok(false) };
        for _ in 0..NUDGES {
            if self.serial()?.speaks_after(reset + LAST_WORDS, quiet) {
                return Ok(false);
            }
            self.nudge(quiet)?;
        }
        Ok(!self.serial()?.speaks_after(reset + LAST_WORDS, quiet))
    }

    /// What a person does with such a machine. Nothing of its disk was started, so that this costs no try of it.
    fn switch_off_and_on(&mut self) -> Result<()> {
        println!("  the firmware said nothing after a reset: {} is switched off and on", self.name);
        self.note_state()?;
        self.keep_logs();
        self.cut()?;
        self.start()
    }

    /// Stops the processors and has them go on, which no guest notices, and QEMU looks at its timers anew: boot loaders were
    /// seen to sleep for minutes, as if no clock ticked, and went on after this.
    fn nudge(&mut self, quiet: Duration) -> Result<()> {
        let (name, quiet) = (&self.name, quiet.as_secs());
        println!("  {name} has said nothing for {quiet} s: its processors are stopped and started");
        self.note_state()?;
        let qmp = self.qmp()?;
        qmp.execute("stop", &json!({}))?;
        qmp.execute("cont", &json!({})).map(drop)
    }

    /// Keeps what QEMU says of its processors.
    fn note_state(&mut self) -> Result<()> {
        let path = self.folder.join(STOOD_STILL);
        let mut state = fs::read_to_string(&path).unwrap_or_default();
        let qmp = self.qmp()?;
        for line in ["info registers", "info lapic", "info pic"] {
            state += &qmp.monitor(line).unwrap_or_else(|error| error.to_string());
        }
        fs::write(&path, state).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Waits until the machine has switched itself off, and says whether QEMU ended well.
    pub fn wait_off(&mut self) -> Result<()> {
        let until = Instant::now() + self.patience(25);
        let running = self.running()?;
        while running.qemu.try_wait()?.is_none() {
            if Instant::now() > until {
                bail!("the machine did not switch itself off; it printed: {}", running.serial.fresh());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.running = None;
        Ok(())
    }

    /// Pulls the plug.
    pub fn cut(&mut self) -> Result<()> {
        let mut running = self.running.take().with_context(|| format!("{} is switched off", self.name))?;
        running.ssh.disconnect();
        running.qemu.kill()?;
        running.qemu.wait()?;
        Ok(())
    }

    /// The port of 127.0.0.1 that leads to the machine's port 22.
    pub fn ssh_port(&self) -> u16 {
        self.port
    }

    /// CPU time that QEMU has used.
    pub fn cpu_time(&mut self) -> Result<Duration> {
        let pid = self.running()?.qemu.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
        // USER_HZ is 100 on every architecture of ours.
        Ok(Duration::from_millis(ticks * 10))
    }

    /// The story is told: what the machine left is removed. Without this call the logs are kept.
    pub fn finish(mut self) {
        self.finished = true;
    }

    fn keep_logs(&self) {
        let Some(logs) = std::env::var_os(LOGS_VARIABLE).map(PathBuf::from) else { return };
        let to = logs.join(&self.name);
        if fs::create_dir_all(&to).is_ok() {
            for log in ["serial.log", "qemu.log", STOOD_STILL] {
                let _ = fs::copy(self.folder.join(log), to.join(log));
            }
            println!("the logs of {} are in {}", self.name, to.display());
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.cut();
        if !self.finished || std::thread::panicking() {
            self.keep_logs();
        }
        if let Ok(variables) = fs::read_link(self.folder.join(VARIABLES)) {
            let _ = fs::remove_file(variables);
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A reply as it is, or in the field that carries it on the control socket.
fn unwrapped<T: serde::de::DeserializeOwned>(text: &str, field: &str) -> Result<T> {
    let value: Value = serde_json::from_str(text).with_context(|| format!("this is no JSON: {text}"))?;
    let value = value.get(field).cloned().unwrap_or(value);
    serde_json::from_value(value).with_context(|| format!("no {field} in {text}"))
}
