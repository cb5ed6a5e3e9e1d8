//! Where things are in the checkout.

use std::path::{Path, PathBuf};

use ashlar_qemu_tests::arch::Arch;

/// The checkout's top folder.
pub fn root() -> PathBuf {
    // Cargo says it at run time; a program that is started by hand knows where it was built.
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&xtask).parent().expect("xtask is a folder of the checkout").to_owned()
}

/// Cargo's folder for what is made.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Our programs for the machine, as the builder takes them.
pub fn programs(arch: Arch) -> PathBuf {
    target().join("programs").join(arch.name())
}

/// A built image.
pub fn image(name: &str, arch: Arch) -> PathBuf {
    target().join("images").join(format!("{name}-{}", arch.name()))
}
