//! From a root file system, a kernel and a boot loader to what is shipped: hash tree, unified kernel image, EFI
//! system partition, disk, and the description of the release.
//!
//! [`assemble`] is the list of steps. Everything is written under a temporary name and gets its own at the end; a
//! build that fails leaves what was there before. Not here: how the root came to be (`mkfs.erofs` in a sandbox), other
//! disk formats, and keys.

pub mod disk;
pub mod error;
pub mod esp;
pub mod initramfs;
pub mod output;
pub mod release;
mod sparse;
pub mod sums;

use std::fs::File;
use std::path::Path;
use std::thread;

use ashlar_fetch::Digest;
use ashlar_formats::tuf::Contents;
use ashlar_formats::uuid::Uuid;
use ashlar_formats::verity::{self, RootHash, Tree};
use ashlar_formats::{gpt, pe};

pub use disk::Sizes;
pub use error::Error;
pub use release::Release;

use crate::debian::{Arch, Date};
use crate::secure_boot::Signer;
use output::Pending;
use release::Piece;

/// What a release is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// Name of the image.
    pub image: &'a str,
    /// Architecture.
    pub arch: Arch,
    /// Version: at most 11 characters, so that the boot entry's name stays short enough (see [`esp`]).
    pub version: &'a str,
    /// Time of everything that has one.
    pub date: Date,
    /// os-release of the root, which also goes into the unified kernel image: its boot loader reads it.
    pub os_release: &'a str,
    /// Kernel release as uname(1) prints it.
    pub kernel_release: &'a str,
    /// Kernel parameters behind the root hash.
    pub parameters: &'a [String],
    /// The root file system.
    pub root: &'a Path,
    /// Kernel, a PE file.
    pub kernel: &'a [u8],
    /// Compressed initramfs, see [`initramfs`].
    pub initramfs: &'a [u8],
    /// systemd-boot.
    pub loader: &'a [u8],
    /// systemd-stub.
    pub stub: &'a [u8],
    /// Signs both, for Secure Boot.
    pub signer: Option<&'a Signer>,
    /// Salt of the hash tree: one for all releases, so that equal blocks have equal digests.
    pub salt: [u8; 32],
    /// Sizes of the partitions.
    pub sizes: Sizes,
    /// What the root is made of.
    pub contents: &'a Contents,
    /// Further files of the EFI system partition: path and content.
    pub esp_files: &'a [(&'a str, &'a [u8])],
    /// Folder for `root.verity`, `ashlar.efi`, `disk.raw` and `release.json`.
    pub output: &'a Path,
}

/// Makes a release.
///
/// # Errors
/// The parts do not fit together or into their partitions, or a file cannot be read or written.
pub fn assemble(inputs: &Inputs<'_>) -> Result<Release, Error> {
    inputs.check()?;
    let root = File::open(inputs.root).map_err(|e| Error::file(inputs.root, e))?;
    let (tree, root_piece) = inputs.measure()?;
    inputs.sizes.check(root_piece.size, tree.bytes.len() as u64)?;
    let programs = esp::Programs::of(inputs, inputs.uki(tree.root)?)?;
    let volume = esp::volume(inputs, &programs, tree.root)?;

    let disk = Pending::create(inputs.output, "disk.raw")?;
    disk::write(disk.file(), disk.path(), inputs, &root, &tree, &volume)?;
    let verity = Pending::with(inputs.output, "root.verity", &tree.bytes)?;
    let image = Pending::with(inputs.output, "ashlar.efi", &programs.uki)?;
    let release = Release::of(inputs, &tree, root_piece, &programs.uki);
    let description = Pending::with(inputs.output, "release.json", release.to_json().as_bytes())?;
    [disk, verity, image, description].into_iter().try_for_each(Pending::keep)?;
    Ok(release)
}

impl Inputs<'_> {
    /// What would only be noticed on the machine: a boot loader that skips the entry, a kernel that reads another
    /// root hash.
    fn check(&self) -> Result<(), Error> {
        esp::check_version(self.version)?;
        let image_version =
            |line: &str| line.strip_prefix("IMAGE_VERSION=").map(|value| value.trim_matches('"') == self.version);
        if self.os_release.lines().find_map(image_version) != Some(true) {
            return Err(Error::OsRelease(self.version.to_owned()));
        }
        let is_ours = |parameter: &str| ["roothash=", "ashlar.version="].iter().any(|key| parameter.starts_with(key));
        let is_bad = |parameter: &&String| is_ours(parameter) || parameter.contains(char::is_control);
        if let Some(parameter) = self.parameters.iter().find(is_bad) {
            return Err(Error::Parameter(parameter.clone()));
        }
        let machine = match self.arch {
            Arch::X86_64 => pe::X86_64,
            Arch::Aarch64 => pe::ARM64,
        };
        for (what, bytes) in [("kernel", self.kernel), ("boot stub", self.stub), ("boot loader", self.loader)] {
            let image = pe::Image::parse(bytes).map_err(|source| Error::Program { what, source })?;
            if image.machine() != machine {
                return Err(Error::Machine { what, arch: self.arch });
            }
        }
        Ok(())
    }

    /// Hash tree and digest of the root, at the same time.
    fn measure(&self) -> Result<(Tree, Piece), Error> {
        let open = || File::open(self.root).map_err(|e| Error::file(self.root, e));
        let (for_tree, mut for_digest) = (open()?, open()?);
        let size = for_digest.metadata().map_err(|e| Error::file(self.root, e))?.len();
        let (tree, digest) = thread::scope(|scope| {
            let digest = scope.spawn(|| Digest::of_reader(&mut for_digest));
            let tree = verity::build(for_tree, &self.salt, Uuid::derived("verity", self.version.as_bytes()));
            (tree, digest.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault)))
        });
        Ok((tree?, Piece { size, sha256: digest.map_err(|e| Error::file(self.root, e))? }))
    }

    fn uki(&self, root: RootHash) -> Result<Vec<u8>, Error> {
        let parameters = self.parameters.iter().map(|parameter| format!(" {parameter}")).collect::<String>();
        let command_line = format!("roothash={root} ashlar.version={}{parameters}", self.version);
        let uki = pe::Uki {
            os_release: self.os_release,
            command_line: &command_line,
            kernel_release: Some(self.kernel_release),
            kernel: self.kernel,
            initramfs: self.initramfs,
        };
        Ok(pe::write(self.stub, &uki)?)
    }

    fn root_types(&self) -> [Uuid; 2] {
        match self.arch {
            Arch::X86_64 => [gpt::types::ROOT_X86_64, gpt::types::ROOT_VERITY_X86_64],
            Arch::Aarch64 => [gpt::types::ROOT_ARM64, gpt::types::ROOT_VERITY_ARM64],
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
