//! Whoever publishes versions: by the program that publishers have.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::derived::Derived;
use crate::{BUILDER_VARIABLE, fixture, tool};

/// The folders of keys and of what is served, removed with the value.
#[derive(Debug)]
pub struct Publisher {
    builder: PathBuf,
    folder: PathBuf,
    /// Where it publishes, if that is not the folder `shop`.
    pub elsewhere: Option<String>,
}

impl Publisher {
    /// With keys of its own, and the program that `cargo xtask test` hands to the stories.
    pub fn new(name: &str) -> Result<Self> {
        Self::with(fixture::variable(BUILDER_VARIABLE)?, name)
    }

    /// As [`Self::new`], with a program `ashlar`.
    pub fn with(builder: PathBuf, name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ashlar-publisher-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let publisher = Self { builder, folder, elsewhere: None };
        publisher.ashlar(&["keys", "new", &publisher.path("keys")])?;
        Ok(publisher)
    }

    /// A path in its folder: `keys`, or `shop`, which is served.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// What an image's file says to trust this publisher.
    pub fn trusted(&self) -> String {
        format!("[update]\nroot = {:?}\n", self.path("keys/1.root.json"))
    }

    /// Keys of Secure Boot, and what an image's file says to be signed with them.
    pub fn secure_boot(&self) -> Result<String> {
        let folder = self.path("secure-boot");
        self.ashlar(&["keys", "secure-boot", &folder])?;
        Ok(format!("[secure-boot]\nkeys = {folder:?}\n"))
    }

    /// `ashlar publish`; `more` are further arguments. Returns what it says.
    pub fn publish(&self, image: &Derived, more: &[&str]) -> Result<String> {
        let (release, keys, cache) = (image.output().display().to_string(), self.path("keys"), self.path("cache"));
        let to = self.elsewhere.clone().unwrap_or_else(|| self.path("shop"));
        let arguments = ["publish", &release, "--to", &to, "--keys", &keys, "--cache", &cache];
        self.ashlar(&[&arguments, more].concat())
    }

    fn ashlar(&self, arguments: &[&str]) -> Result<String> {
        let output = tool::output(Command::new(&self.builder).args(arguments))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
