//! `run`: builds an image and boots it in QEMU with its console in the terminal. The machine keeps its disk until the
//! image changes.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::disk::Disk;
use ashlar_qemu_tests::qemu::{Console, Launch, Network, WEB};
use ashlar_qemu_tests::web::Web;
use ashlar_qemu_tests::{fixture, probe, ssh};

use crate::setup::{self, Use};
use crate::step::say;
use crate::{image, project};

const DISK_SIZE: u64 = 8 << 30;
/// Port of 127.0.0.1 for SSH, if it is free.
const SSH_PORT: u16 = 2222;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Image: a file of `images/` without its ending
    #[arg(default_value = "base")]
    image: String,
    /// Architecture of the machine: x86_64 or aarch64
    #[arg(long, default_value_t = Arch::host())]
    arch: Arch,
    /// Memory in MiB
    #[arg(long, default_value_t = 1024)]
    memory: u32,
    /// Begin with a new disk even if the image is the same
    #[arg(long)]
    fresh: bool,
    /// Serve this published folder to the machine, which takes its updates from there
    #[arg(long, value_name = "FOLDER")]
    serve: Option<PathBuf>,
}

/// The verb.
pub fn main(options: &Options) -> Result<()> {
    let mut uses = setup::to_build(options.arch);
    uses.push(Use::Boot(options.arch));
    setup::ensure(&uses)?;
    let built = image::build(&options.image, options.arch, None)?;
    let folder = project::target().join("run").join(format!("{}-{}", options.image, options.arch));
    let identity = Identity::find()?;
    let disk = disk(&built, &folder, options.fresh)?;
    let mut config = fixture::with_console("ashlar", &identity.public);
    if options.serve.is_some() {
        config += &format!("\n[update]\nsource = \"http://{WEB}\"\n");
    }
    disk.put_on_esp("ashlar/machine.toml", config.as_bytes())?;
    let port = port()?;
    let mut launch = Launch::new(options.arch, probe::accelerator(options.arch), &disk.path);
    launch.memory = options.memory;
    launch.cpus = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4) as u32);
    launch.console = Console::Terminal;
    // It serves as long as this program runs, which is as long as QEMU does.
    let web = options.serve.as_deref().map(Web::serve).transpose()?;
    let web = web.iter().map(|web| (80, web.port)).collect();
    launch.networks.push(Network::User { ssh_port: port, restricted: false, web });
    say(&format!("booting under {}; leave with Ctrl-a x", launch.accelerator.name()));
    say(&format!("log in from elsewhere: {}", identity.command(port)));
    crate::step::run(&mut launch.command(&folder)?)
}

/// The machine's disk: the one of the last time, or a new copy of a new image.
fn disk(built: &Path, folder: &Path, fresh: bool) -> Result<Disk> {
    let path = folder.join("disk.raw");
    let release = fs::read(built.join("release.json")).unwrap_or_default();
    let is_same = fs::read(folder.join("release.json")).is_ok_and(|last| last == release);
    if path.exists() && is_same && !fresh {
        return Ok(Disk { path });
    }
    if path.exists() {
        say("a new image: the machine begins anew");
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let disk = Disk::copy(&built.join("disk.raw"), &path, DISK_SIZE)?;
    fs::write(folder.join("release.json"), release)?;
    Ok(disk)
}

fn port() -> Result<u16> {
    match TcpListener::bind(("127.0.0.1", SSH_PORT)) {
        Ok(_) => Ok(SSH_PORT),
        Err(_) => ssh::free_port(),
    }
}

/// The key that the machine's user logs in with.
struct Identity {
    public: String,
    /// The private key, where it is not one that ssh takes by itself.
    private: Option<PathBuf>,
}

impl Identity {
    /// The caller's own key, or one made for this.
    fn find() -> Result<Self> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let own = home.and_then(|home| fs::read_to_string(home.join(".ssh/id_ed25519.pub")).ok());
        if let Some(public) = own {
            return Ok(Self { public: public.trim().to_owned(), private: None });
        }
        let folder = project::target().join("run");
        Ok(Self { public: ssh::key_in(&folder)?, private: Some(folder.join("key")) })
    }

    fn command(&self, port: u16) -> String {
        let key = self.private.as_ref().map(|key| format!("-i {} ", key.display())).unwrap_or_default();
        // The host key is new with every new disk.
        let unknown = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null";
        format!("ssh -p {port} {key}{unknown} core@127.0.0.1")
    }
}
