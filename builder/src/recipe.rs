//! `ashlar build`: the steps, in their order. A step whose inputs are those of an earlier build is not done again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use ashlar_fetch::{Cache, Client, Digest};

use crate::assemble::initramfs::{Parts as InitramfsParts, initramfs};
use crate::assemble::{self, Inputs, Sizes, assemble, sums};
use crate::cli::BuildArgs;
use crate::debian::{Arch, Lock, Package, Store};
use crate::kernel::{self, Kernel};
use crate::locking::{self, LOADER};
use crate::output::Output;
use crate::packs::Packs;
use crate::programs::{self, BOOT, Programs};
use crate::root;
use crate::sbom;
use crate::secure_boot::Signer;
use crate::sources::Sources;
use crate::steps::{self, Key, Steps};
use crate::system;
use crate::tools::Tools;
use crate::tree::Tree;

/// One salt of the hash tree for all releases: equal blocks have equal digests.
const SALT: [u8; 32] = *b"ashlar: one salt for all release";
/// Packages of the kernel: taken apart by a step of their own.
const KERNEL: &str = "linux-image-";
const DISK: &str = "disk.raw";
/// What SHA256SUMS lists besides.
/// What the root is made of, beside it.
const CONTENTS: &str = "contents.json";
const SUMMED: [&str; 6] = ["disk.qcow2", "root.erofs", "root.verity", "ashlar.efi", "release.json", "sbom.spdx.json"];
/// The crates of this project that images hold programs of, and all that they are linked with.
const CARGO_LOCK: &str = include_str!("../../Cargo.lock");
const CRATES: [&str; 7] =
    ["ashlar-boot", "ashlar-dbus", "ashlar-init", "ashlar-os", "ashlar-provision", "ashlar-runtime", "ashlar-updater"];
const LOADERS: &str = "usr/lib/systemd/boot/efi";

/// What a build works with.
struct Context {
    arch: Arch,
    sources: Sources,
    lock: Lock,
    tools_lock: Lock,
    programs: Programs,
    os_release: String,
    signer: Option<Signer>,
    ourselves: Digest,
    sandbox: bool,
    cache: PathBuf,
    mirror: Option<String>,
    begun: Instant,
}

/// Builds an image.
///
/// # Errors
/// Whatever stands in the way; what was in the output folder before is still there then.
pub fn build(args: &BuildArgs) -> anyhow::Result<()> {
    let context = Context::gather(args)?;
    let folder = args
        .output
        .clone()
        .unwrap_or_else(|| Path::new("target/images").join(format!("{}-{}", context.sources.image.name, context.arch)));
    let output = Output::open(&folder)?;
    let signer = context.signer.as_ref().map(Signer::fingerprint).unwrap_or_default();
    let key = context.key().with("boot", &context.programs[BOOT]).with("signer", &signer);
    let key = key.with("quick", &[args.quick.into()]);
    if output.is_made_of(key.digest()) {
        println!("{}: up to date", folder.display());
        return Ok(());
    }
    let steps = Steps::open(context.cache.join("steps"))?;
    let packs = context.packs()?;
    context.say("prepare tools");
    let tools = Tools::prepare(&context.tools_lock, &packs, &context.cache.join("tools"), context.sandbox)?;
    let kernel = context.kernel(&packs, &tools, &steps)?;
    let root = steps.result(&context.key(), |result| context.root(&packs, &tools, &kernel, &steps, result))?;
    context.say("assemble the disk");
    let new = output.new_files()?;
    context.release(&packs, &kernel, &steps, root.path(), new)?;
    if !args.quick {
        context.say("sum up");
        context.sums(&tools, new)?;
    }
    output.finish(key.digest())?;
    context.summary(&output);
    Ok(())
}

impl Context {
    fn gather(args: &BuildArgs) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let arch = args.image.arch()?;
        let mut sources = Sources::read(&args.image.image)?;
        if let Some(version) = &args.version {
            sources.image.set_version("--version", version)?;
        }
        let lock = locking::image_lock(&sources, arch)?;
        let tools_lock = locking::tools_lock(&sources)?;
        let programs = args.programs.clone().map_or_else(|| programs::default_folder(arch), Ok)?;
        let programs = programs::load(&programs, arch)?;
        let enroll = sources.image.enroll;
        let signer = sources.image.secure_boot.as_ref().map(|folder| Signer::open(folder, enroll)).transpose()?;
        let os_release = system::os_release(&sources.image.name, &sources.image.version, &lock.suite);
        Ok(Self {
            arch,
            sources,
            lock,
            tools_lock,
            programs,
            os_release,
            signer,
            ourselves: steps::ourselves()?,
            sandbox: !args.no_sandbox,
            cache: args.image.cache()?,
            mirror: args.image.mirror.clone(),
            begun,
        })
    }

    /// All that the root is made of.
    fn key(&self) -> Key {
        let image = serde_json::to_vec(&self.sources.image).unwrap_or_default();
        let mut key = Key::new("root", self.ourselves)
            .with("image", &image)
            .with("lock", self.lock.to_string().as_bytes())
            .with("tools", self.tools_lock.to_string().as_bytes())
            .with("trust", self.sources.trust.as_deref().unwrap_or_default());
        for unit in &self.sources.units {
            key = key.with(&unit.name, unit.digest.to_string().as_bytes());
        }
        for (name, program) in self.programs.iter().filter(|(name, _)| *name != BOOT) {
            key = key.with(name, program);
        }
        key
    }

    fn packs(&self) -> anyhow::Result<Packs> {
        let folder = self.cache.join("blobs");
        let blobs = Cache::open(&folder).with_context(|| format!("open the cache {}", folder.display()))?;
        let store = Store::new(blobs, Client::default(), self.mirror.clone());
        Ok(Packs::open(self.cache.join("packs"), store)?)
    }

    /// Packages of the lock that some of it needs; nothing is left out but what the lock leaves out.
    fn closure<'a>(&'a self, names: impl IntoIterator<Item = &'a str>) -> anyhow::Result<Vec<&'a Package>> {
        Ok(self.lock.closure(names, &Default::default())?)
    }

    fn kernel(&self, packs: &Packs, tools: &Tools, steps: &Steps) -> anyhow::Result<Kernel> {
        let package = locking::kernel_package(&self.sources, self.arch)?;
        let mut packages = self.closure([package])?;
        packages.retain(|package| package.name.starts_with(KERNEL));
        let digests: String = packages.iter().map(|package| format!("{}\n", package.sha256)).collect();
        let key = Key::new("depmod", self.ourselves)
            .with("packages", digests.as_bytes())
            .with("tools", self.tools_lock.to_string().as_bytes());
        self.say("take the kernel");
        let trees = packs.trees(&packages)?;
        kernel::take(trees.values(), &self.sources.image.kernel.modules, tools, key, steps)
            .with_context(|| format!("use kernel package {package}"))
    }

    fn root(&self, packs: &Packs, tools: &Tools, kernel: &Kernel, steps: &Steps, result: &Path) -> anyhow::Result<()> {
        self.say("unpack packages");
        let packages: Vec<&Package> =
            self.lock.packages.iter().filter(|package| !package.name.starts_with(KERNEL)).collect();
        let packages = packs.trees(&packages)?;
        self.say("lay out the root");
        let root = root::make(&root::Parts {
            sources: &self.sources,
            arch: self.arch,
            lock: &self.lock,
            packages: &packages,
            programs: &self.programs,
            kernel,
            os_release: &self.os_release,
        })?;
        self.say("write the root");
        let name = format!("{}-{}", self.sources.image.name, self.arch);
        let key = Key::new("packaged", self.ourselves).with("tools", self.tools_lock.to_string().as_bytes());
        root::write(&root.tree, self.lock.date.seconds(), &name, tools, key, steps, result)?;
        write_json(&result.join(CONTENTS), &root.contents)?;
        write_json(&result.join("packages.json"), &root.packages)?;
        write_json(&result.join("units.json"), &root.units)
    }

    fn release(&self, packs: &Packs, kernel: &Kernel, steps: &Steps, root: &Path, new: &Path) -> anyhow::Result<()> {
        for name in ["root.erofs", "packages.json", "units.json"] {
            fs::copy(root.join(name), new.join(name)).with_context(|| format!("write {}", new.join(name).display()))?;
        }
        let [loader, stub] = self.loader(packs)?;
        let initramfs = self.initramfs(kernel, steps)?;
        let parameters: Vec<String> =
            self.sources.image.kernel.parameters_of(&self.arch.to_string()).into_iter().map(str::to_owned).collect();
        let disk = self.sources.image.disk;
        let contents = root.join(CONTENTS);
        let contents =
            serde_json::from_slice(&fs::read(&contents).with_context(|| format!("read {}", contents.display()))?)?;
        assemble(&Inputs {
            arch: self.arch,
            image: &self.sources.image.name,
            version: &self.sources.image.version,
            date: self.lock.date,
            os_release: &self.os_release,
            kernel_release: &kernel.release,
            parameters: &parameters,
            root: &new.join("root.erofs"),
            kernel: &kernel.image,
            initramfs: &initramfs,
            loader: &loader,
            stub: &stub,
            signer: self.signer.as_ref(),
            salt: SALT,
            sizes: Sizes { esp: disk.esp_size.0, slot: disk.slot_size.0 },
            contents: &contents,
            esp_files: &[],
            output: new,
        })
        .map(drop)
        .map_err(|error: assemble::Error| error.into())
    }

    /// The boot loader and the stub.
    fn loader(&self, packs: &Packs) -> anyhow::Result<[Arc<Vec<u8>>; 2]> {
        let package = self.lock.get(LOADER).with_context(|| format!("find package {LOADER} in the lock"))?;
        let trees = packs.trees(&[package])?;
        let names = match self.arch {
            Arch::X86_64 => ["systemd-bootx64.efi", "linuxx64.efi.stub"],
            Arch::Aarch64 => ["systemd-bootaa64.efi", "linuxaa64.efi.stub"],
        };
        let read = |name: &str| {
            let content = trees.values().find_map(|tree: &Tree| tree.read(&format!("{LOADERS}/{name}")));
            content.cloned().with_context(|| format!("find the boot loader: package {LOADER} has no {name}"))
        };
        let [loader, stub] = names.map(read);
        Ok([loader?, stub?])
    }

    fn initramfs(&self, kernel: &Kernel, steps: &Steps) -> anyhow::Result<Vec<u8>> {
        let modules: Vec<String> = self
            .sources
            .image
            .kernel
            .initramfs_modules_of(&self.arch.to_string())
            .into_iter()
            .map(str::to_owned)
            .collect();
        let key = Key::new("initramfs", self.ourselves)
            .with("boot", &self.programs[BOOT])
            .with("modules", modules.join("\n").as_bytes())
            .with("lock", self.lock.to_string().as_bytes())
            .with("kernel", kernel.release.as_bytes());
        let folder = steps.result(&key, |result| {
            let parts = InitramfsParts {
                boot: &self.programs[BOOT],
                modules: &modules,
                dependencies: &kernel.index("modules.dep")?,
                builtin: &kernel.index("modules.builtin")?,
                kernel_release: &kernel.release,
            };
            let path = result.join("initramfs");
            fs::write(&path, initramfs(&parts, |path| kernel.module(path))?)
                .with_context(|| format!("write {}", path.display()))
        })?;
        let path = folder.path().join("initramfs");
        fs::read(&path).with_context(|| format!("read {}", path.display()))
    }

    /// The last files, and the digests of all. The disk's takes longest, being large though empty: meanwhile the others
    /// are made.
    fn sums(&self, tools: &Tools, new: &Path) -> anyhow::Result<()> {
        let disk = thread::scope(|scope| {
            let disk = scope.spawn(|| sums::line(new, DISK));
            let convert = ["convert", "-f", "raw", "-O", "qcow2", DISK, "disk.qcow2"];
            tools.run(new, "/usr/bin/qemu-img", &convert, None)?;
            self.bill_of_materials(new)?;
            let disk = disk.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault));
            disk.map_err(anyhow::Error::from)
        })?;
        Ok(sums::write(new, &disk, &SUMMED)?)
    }

    fn bill_of_materials(&self, new: &Path) -> anyhow::Result<()> {
        let image = &self.sources.image;
        let subject = sbom::Subject {
            name: &image.name,
            version: &image.version,
            arch: self.arch,
            suite: &self.lock.suite,
            date: self.lock.date,
        };
        let packages: Vec<&Package> = self.lock.packages.iter().collect();
        let text = sbom::document(&subject, &packages, CARGO_LOCK, &CRATES)?;
        let path = new.join("sbom.spdx.json");
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    fn say(&self, step: &str) {
        eprintln!("{:6.2} s  {step}", self.begun.elapsed().as_secs_f64());
    }

    fn summary(&self, output: &Output) {
        let size = |name: &str| fs::metadata(output.path().join(name)).map_or(0, |meta| meta.len());
        let megabytes = |name: &str| format!("{name} {:.1} MB", size(name) as f64 / 1e6);
        let sizes: Vec<String> = ["root.erofs", "root.verity", "ashlar.efi"].map(megabytes).into();
        println!("{}: {}", output.path().display(), sizes.join(", "));
    }
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).with_context(|| format!("write {}", path.display()))?;
    fs::write(path, text + "\n").with_context(|| format!("write {}", path.display()))
}
