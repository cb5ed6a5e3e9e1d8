//! Which packages an image asks for, and the locks that pin them: one per image and architecture, and one of the
//! tools that the build itself runs, for the building machine's architecture.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ashlar_fetch::{Cache, Client};

use crate::debian::{self, Arch, Lock, Mirror, Request, Trust};
use crate::sources::Sources;

/// The loader and the stub of the unified kernel image.
pub const LOADER: &str = "systemd-boot-efi";
/// Debian's own users and groups, whose numbers are fixed.
pub const ACCOUNTS: &str = "base-passwd";
/// Asked for by every image, though they are laid out nowhere as a whole.
const IMPLIED: [&str; 2] = [LOADER, ACCOUNTS];
/// What a kernel's package asks for and an image that brings its own first stage has no use for.
const NEVER: [&str; 2] = ["initramfs-tools", "linux-base"];
/// mkfs.erofs, depmod, qemu-img.
const TOOLS: [&str; 3] = ["erofs-utils", "kmod", "qemu-utils"];

/// What an image asks for.
///
/// # Errors
/// No kernel is named for the architecture.
pub fn request(sources: &Sources, arch: Arch) -> anyhow::Result<Request> {
    let image = &sources.image;
    let mut packages: BTreeSet<String> = image.packages.iter().cloned().collect();
    packages.extend(IMPLIED.map(str::to_owned));
    packages.extend(sources.units.iter().flat_map(|unit| unit.written.packages.iter().cloned()));
    packages.insert(kernel_package(sources, arch)?.to_owned());
    let mut exclude: BTreeSet<String> = image.exclude.iter().cloned().collect();
    exclude.extend(NEVER.map(str::to_owned));
    // An image may leave them out of its roots; the build itself needs them.
    exclude.retain(|name| !IMPLIED.contains(&name.as_str()));
    Ok(Request {
        suites: image.suites.clone(),
        components: image.components.clone(),
        arch,
        packages,
        exclude,
        essential: false,
    })
}

/// The kernel's package.
///
/// # Errors
/// None is named for the architecture.
pub fn kernel_package(sources: &Sources, arch: Arch) -> anyhow::Result<&str> {
    let package = &sources.image.kernel.of(&arch.to_string()).package;
    package.as_deref().with_context(|| {
        format!("image {}: name a kernel for {arch}: `package` in `[kernel.{arch}]` is missing", sources.image.name)
    })
}

fn tools_request(sources: &Sources, host: Arch) -> Request {
    Request {
        suites: sources.image.suites.clone(),
        components: vec!["main".to_owned()],
        arch: host,
        packages: TOOLS.iter().map(|name| (*name).to_owned()).collect(),
        exclude: BTreeSet::new(),
        essential: false,
    }
}

/// Writes the locks anew; returns their paths and the number of packages in each.
///
/// # Errors
/// The mirror's releases are not to be trusted, the packages do not go together, or a lock cannot be written.
pub fn renew(
    sources: &Sources,
    arch: Arch,
    mirror: Option<&str>,
    cache: &Cache,
    trust: &Trust,
) -> anyhow::Result<Vec<(PathBuf, usize)>> {
    let mirror = Mirror::find(mirror).map_err(debian::Error::from)?;
    let client = Client::default();
    let host = host()?;
    let wanted = [
        (sources.lock_path(arch), request(sources, arch)?),
        (sources.tools_lock_path(host), tools_request(sources, host)),
    ];
    let locks = wanted.map(|(path, request)| {
        let lock = debian::resolve(&request, &mirror, &client, cache, trust);
        (path, lock)
    });
    let mut written = Vec::new();
    for (path, lock) in locks {
        let lock = lock.with_context(|| format!("lock {}", path.display()))?;
        lock.save(&path)?;
        written.push((path, lock.packages.len()));
    }
    Ok(written)
}

/// The image's lock, which has to be of what the image asks for.
///
/// # Errors
/// There is none, it does not read, or the image asks for other packages by now.
pub fn image_lock(sources: &Sources, arch: Arch) -> anyhow::Result<Lock> {
    let renew = format!("run `ashlar lock` for image {} and --arch {arch}", sources.image.name);
    load(&sources.lock_path(arch), &request(sources, arch)?, &renew)
}

/// The lock of the tools for the building machine.
///
/// # Errors
/// There is none, it does not read, or it is of other tools.
pub fn tools_lock(sources: &Sources) -> anyhow::Result<Lock> {
    let host = host()?;
    load(&sources.tools_lock_path(host), &tools_request(sources, host), "run `ashlar lock`")
}

fn load(path: &Path, request: &Request, renew: &str) -> anyhow::Result<Lock> {
    let lock = Lock::load(path)?;
    if !lock.is_of(request) {
        bail!("use lock {}: it was made for something else ({}); {renew}", path.display(), lock.changes(request));
    }
    Ok(lock)
}

/// The building machine's architecture.
///
/// # Errors
/// It is none that the tools are packaged for.
pub fn host() -> anyhow::Result<Arch> {
    std::env::consts::ARCH.parse().map_err(anyhow::Error::msg)
}
