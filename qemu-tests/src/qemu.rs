//! The virtual machine that images are booted in: UEFI, virtio, a network that is nobody else's.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow};

use crate::accelerator::Accelerator;
use crate::arch::Arch;
use crate::ssh::free_port;
use crate::tool;

/// A disk of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The file.
    pub path: PathBuf,
    /// `raw` or `qcow2`.
    pub format: String,
    /// Writes are forgotten when QEMU ends.
    pub snapshot: bool,
    /// Every write of the guest is recorded here (see [`crate::powercut`]); the disk has to be a raw one.
    pub log: Option<PathBuf>,
}

impl Drive {
    /// A raw disk.
    pub fn raw(path: &Path) -> Self {
        Self { path: path.into(), format: "raw".into(), snapshot: false, log: None }
    }
}

/// Where a machine's folder has the firmware's variables.
pub const VARIABLES: &str = "variables.fd";
/// Where the guest finds servers of this host's.
pub const WEB: &str = "10.0.2.100";

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Network {
    /// QEMU's own network with its DHCP server; the guest's port 22 on a port of 127.0.0.1.
    User {
        /// Port for SSH.
        ssh_port: u16,
        /// Nothing but the forwarded port reaches the guest, and it reaches nobody but `web`.
        restricted: bool,
        /// Ports of [`WEB`], and those of 127.0.0.1 behind them.
        web: Vec<(u16, u16)>,
    },
    /// Ethernet frames as datagrams to a peer of ours (see [`crate::peer`]).
    Peer {
        /// Where the peer listens.
        peer_port: u16,
        /// Where QEMU listens.
        own_port: u16,
    },
}

impl Network {
    /// A cable between two machines: the card at either end.
    pub fn cable() -> Result<[Self; 2]> {
        let [one, two] = [free_port()?, free_port()?];
        let card = |own_port, peer_port| Self::Peer { peer_port, own_port };
        Ok([card(one, two), card(two, one)])
    }

    /// The hardware address of the machine's card of that number: two machines at one cable have two.
    pub fn hardware(&self, index: usize) -> String {
        match self {
            Self::User { .. } => format!("52:54:00:00:00:{:02x}", index + 1),
            Self::Peer { own_port, .. } => {
                let [high, low] = own_port.to_be_bytes();
                format!("52:54:00:01:{high:02x}:{low:02x}")
            }
        }
    }
}

/// Where the serial console goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// QEMU's standard input and output.
    Pipe,
    /// A person's terminal, with QEMU's monitor behind Ctrl-a c.
    Terminal,
}

/// What is booted and on what.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Architecture.
    pub arch: Arch,
    /// What runs it.
    pub accelerator: Accelerator,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub cpus: u32,
    /// Disks, in the order of their names in the machine.
    pub drives: Vec<Drive>,
    /// Which of them is booted.
    pub boot_from: usize,
    /// Network cards, in order.
    pub networks: Vec<Network>,
    /// Serial console.
    pub console: Console,
    /// End QEMU when the guest reboots.
    pub no_reboot: bool,
    /// What the guest's clock shows at the start, such as `2020-01-01T00:00:00`; this host's time if absent.
    pub clock: Option<String>,
    /// Firmware that checks what it starts, once somebody has given it keys.
    pub secure_boot: bool,
    /// Kernel, initramfs and command line to start without firmware.
    pub direct: Option<(PathBuf, PathBuf, String)>,
    /// QEMU's remaining arguments.
    pub extra: Vec<String>,
}

impl Launch {
    /// A machine with one disk.
    pub fn new(arch: Arch, accelerator: Accelerator, disk: &Path) -> Self {
        Self { drives: vec![Drive::raw(disk)], ..Self::bare(arch, accelerator) }
    }

    /// A machine with nothing to boot from.
    pub fn bare(arch: Arch, accelerator: Accelerator) -> Self {
        Self {
            arch,
            accelerator,
            memory: 1024,
            cpus: 1,
            drives: Vec::new(),
            boot_from: 0,
            networks: Vec::new(),
            console: Console::Pipe,
            no_reboot: false,
            clock: None,
            secure_boot: false,
            direct: None,
            extra: Vec::new(),
        }
    }

    /// QEMU's command line. The firmware's variables and the QMP socket (`qmp`) live in `folder`, which becomes QEMU's
    /// working folder.
    pub fn command(&self, folder: &Path) -> Result<Command> {
        let mut command = tool::command(self.arch.qemu());
        command.current_dir(folder);
        command.args(["-nodefaults", "-no-user-config", "-display", "none", "-rtc"]);
        command.arg(format!("base={},clock=host", self.clock.as_deref().unwrap_or("utc")));
        command.args(self.machine());
        command.args(["-m", &self.memory.to_string(), "-smp", &self.cpus.to_string()]);
        match &self.direct {
            Some((kernel, initramfs, line)) => {
                command.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs).args(["-append", line]);
            }
            None => {
                command.args(self.firmware(folder)?);
            }
        }
        command.args(["-device", "virtio-rng-pci", "-qmp", "unix:qmp,server=on,wait=off"]);
        for (index, drive) in self.drives.iter().enumerate() {
            let order = if index == self.boot_from { 1 } else { index + 2 };
            match &drive.log {
                Some(log) => command.args(recorded_arguments(index, &drive.path, log, order)),
                None => command.args(drive_arguments(index, drive, order)),
            };
        }
        for (index, network) in self.networks.iter().enumerate() {
            command.args(network_arguments(index, network));
        }
        command.args(match self.console {
            Console::Pipe => ["-serial", "stdio"],
            Console::Terminal => ["-serial", "mon:stdio"],
        });
        if self.no_reboot {
            command.arg("-no-reboot");
        }
        command.args(&self.extra);
        Ok(command)
    }

    fn machine(&self) -> Vec<String> {
        let accelerator = self.accelerator.name();
        let (machine, emulated) = match self.arch {
            // An AMD, for which the kernel isolates no page tables: that is dear where it is emulated.
            Arch::X86_64 if self.secure_boot => ("q35,smm=on", "qemu64"),
            Arch::X86_64 => ("q35,smm=off", "qemu64"),
            Arch::Aarch64 => ("virt,gic-version=3", "cortex-a57"),
        };
        let cpu = if self.accelerator == Accelerator::Kvm { "host" } else { emulated };
        ["-machine", machine, "-accel", accelerator, "-cpu", cpu].map(str::to_owned).into()
    }

    fn firmware(&self, folder: &Path) -> Result<Vec<String>> {
        let missing = || anyhow!("no UEFI for {} here: `cargo xtask setup` installs it", self.arch);
        let firmware = if self.secure_boot { self.arch.secure_firmware() } else { self.arch.firmware() };
        let firmware = firmware.ok_or_else(missing)?;
        let Some(template) = firmware.variables else {
            return Ok(vec!["-bios".into(), firmware.code.display().to_string()]);
        };
        let variables = folder.join(VARIABLES);
        if !variables.exists() {
            fs::copy(&template, &variables).with_context(|| format!("cannot copy {}", template.display()))?;
        }
        let flash = |unit: u32, path: &Path, options: &str| {
            format!("if=pflash,format=raw,unit={unit},file={}{options}", path.display())
        };
        let (code, variables) = (flash(0, &firmware.code, ",readonly=on"), flash(1, &variables, ""));
        let mut arguments = vec!["-drive".into(), code, "-drive".into(), variables];
        if self.secure_boot {
            // Only the firmware's own code, in system management mode, writes its variables.
            arguments.extend(["-global", "driver=cfi.pflash01,property=secure,value=on"].map(str::to_owned));
        }
        Ok(arguments)
    }
}

fn drive_arguments(index: usize, drive: &Drive, order: usize) -> [String; 4] {
    let mut backend = format!("if=none,id=disk{index},format={},file={}", drive.format, drive.path.display());
    // The host's cache is enough: what a story proves about cut power it proves by ending QEMU, not this host.
    backend += ",cache=unsafe,discard=unmap";
    if drive.snapshot {
        backend += ",snapshot=on";
    }
    let device = format!("virtio-blk-pci,drive=disk{index},bootindex={order}");
    ["-drive".into(), backend, "-device".into(), device]
}

/// The filter logs a flush only if it sees it, so that only the files below it are spared theirs. One queue: the order of
/// parallel ones would not be the guest's. No discards: what they leave is not defined. No merged requests: they would not
/// be the guest's writes, and the filter adds a segment, which is one too many for those of 1,024 (EINVAL).
fn recorded_arguments(index: usize, disk: &Path, log: &Path, order: usize) -> [String; 8] {
    let file = |name: &str, path: &Path| {
        format!("driver=file,node-name={name}{index},cache.no-flush=on,filename={}", path.display())
    };
    let filter =
        format!("driver=blklogwrites,node-name=logged{index},file=file{index},log=log{index},log-sector-size=512");
    let device = format!(
        "virtio-blk-pci,drive=logged{index},num-queues=1,write-zeroes=off,discard=off,request-merging=off,bootindex={order}"
    );
    let [disk, log] = [file("file", disk), file("log", log)];
    let block = || "-blockdev".to_owned();
    [block(), disk, block(), log, block(), filter, "-device".to_owned(), device]
}

/// A command line between the guest's connection, which is its standard input and output, and a port of this host.
fn relay(port: u16) -> String {
    format!("bash -c \"exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3 & cat >&3; kill $!\"")
}

fn network_arguments(index: usize, network: &Network) -> [String; 4] {
    let mut backend = String::new();
    let _ = match network {
        Network::User { ssh_port, restricted, web } => {
            let restrict = if *restricted { "on" } else { "off" };
            let begin = write!(backend, "user,id=net{index},restrict={restrict},hostfwd=tcp:127.0.0.1:{ssh_port}-:22");
            // QEMU itself forwards a single connection; a program that it starts for each one can do more.
            let mut forward =
                |(port, own): &(u16, u16)| write!(backend, ",guestfwd=tcp:{WEB}:{port}-cmd:{}", relay(*own));
            begin.and_then(|()| web.iter().try_for_each(&mut forward))
        }
        Network::Peer { peer_port, own_port } => {
            write!(backend, "socket,id=net{index},udp=127.0.0.1:{peer_port},localaddr=127.0.0.1:{own_port}")
        }
    };
    let device = format!("virtio-net-pci,netdev=net{index},mac={},romfile=", network.hardware(index));
    ["-netdev".into(), backend, "-device".into(), device]
}
