//! The builder as its users meet it: without root, twice with the same bytes, and not at all when nothing changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::{BUILDER_VARIABLE, PROGRAMS_VARIABLE, fixture, tool};

const NOBODY: &str = "65534";

#[test]
fn another_folder_and_user_make_the_same_bytes() -> Result<()> {
    let mut promises = Promises::new();
    let built = fixture::image(Arch::host())?;
    let place = Place::new()?;
    promises.check("an ordinary user builds, in another folder", || {
        let begun = Instant::now();
        tool::output(&mut place.build()?)?;
        println!("  built in {:.1} s", begun.elapsed().as_secs_f32());
        Ok(())
    });
    for file in ["disk.raw", "root.erofs", "root.verity", "ashlar.efi", "release.json", "sbom.spdx.json"] {
        promises.check(&format!("{file} is the same"), || {
            tool::output(tool::command("cmp").arg(built.join(file)).arg(place.output().join(file))).map(drop)
        });
    }
    promises.check("nothing changed: nothing is built", || {
        let before = place.output().join("disk.raw").metadata()?.modified()?;
        let begun = Instant::now();
        tool::output(&mut place.build()?)?;
        println!("  looked in {:.1} s", begun.elapsed().as_secs_f32());
        ensure!(place.output().join("disk.raw").metadata()?.modified()? == before, "the disk was written anew");
        Ok(())
    });
    promises.finish();
    Ok(())
}

#[test]
fn mistakes_in_an_image_are_named() -> Result<()> {
    let mut promises = Promises::new();
    let place = Place::new()?;
    let image = place.checkout().join("images/base.toml");
    let text = fs::read_to_string(&image)?;
    for (what, old, new, wanted) in [
        ("a misspelt key", "packages = [", "pakages = [", "pakages"),
        ("a package that does not exist", "packages = [", "packages = [\n    \"no-such-package\",", "no-such-package"),
    ] {
        promises.check(&format!("{what}: the error names it, and nothing is left behind"), || {
            fs::write(&image, text.replacen(old, new, 1))?;
            let said = place.fails(place.build()?)?;
            ensure!(said.contains(wanted) && said.contains("images/base."), "{said}");
            Ok(())
        });
    }
    promises.check(
        "an image that is larger than its slot: what it needs, what there is, and nothing is left behind",
        || {
            fs::write(&image, text.replacen("slot-size = \"1G\"", "slot-size = \"64M\"", 1))?;
            let said = place.fails(place.build()?)?;
            ensure!(said.contains("it needs") && said.contains("67108864") && said.contains("slot size"), "{said}");
            Ok(())
        },
    );
    promises.check("a full disk: the file that could not be written, and nothing is left behind", || {
        fs::write(&image, &text)?;
        fs::create_dir_all(place.output())?;
        let said = place.fails(place.build_on_a_small_disk()?)?;
        ensure!(said.contains("No space left") && said.contains("/output/"), "{said}");
        Ok(())
    });
    promises.finish();
    Ok(())
}

/// A folder that the other user owns, with copies of what the builder reads.
struct Place {
    folder: PathBuf,
    is_root: bool,
}

impl Place {
    fn new() -> Result<Self> {
        use std::os::unix::fs::MetadataExt;
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("ashlar-building-{}-{number}", std::process::id()));
        let is_root = fs::metadata("/proc/self")?.uid() == 0;
        let place = Self { folder, is_root };
        fs::create_dir_all(place.checkout())?;
        let source = fixture::checkout()?;
        for part in ["images", "system-containers", "Cargo.lock"] {
            copy(&source.join(part), &place.checkout().join(part))?;
        }
        copy(&fixture::variable(BUILDER_VARIABLE)?, &place.folder.join("ashlar"))?;
        copy(&fixture::variable(PROGRAMS_VARIABLE)?, &place.folder.join("programs"))?;
        // Downloads only: what was made of them is made anew.
        fs::create_dir_all(place.folder.join("cache"))?;
        copy(&cache()?.join("blobs"), &place.folder.join("cache/blobs"))?;
        if place.is_root {
            tool::output(tool::command("chown").args(["-R", &format!("{NOBODY}:{NOBODY}")]).arg(&place.folder))?;
        }
        Ok(place)
    }

    fn checkout(&self) -> PathBuf {
        self.folder.join("checkout")
    }

    fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    fn build(&self) -> Result<Command> {
        let mut command = self.as_nobody(&self.folder.join("ashlar"));
        command.args(self.arguments());
        Ok(command)
    }

    /// The output folder is a file system of its own that is too small; what was left there is listed on standard output.
    fn build_on_a_small_disk(&self) -> Result<Command> {
        const SCRIPT: &str =
            "mount -t tmpfs -o size=48m none ../output && { \"$@\"; code=$?; ls -A ../output; exit $code; }";
        let unshare = tool::find("unshare").context("no unshare: it is in util-linux")?;
        let mut command = self.as_nobody(&unshare);
        command.args(["--map-root-user", "--mount", "sh", "-c", SCRIPT, "sh"]);
        command.arg(self.folder.join("ashlar")).args(self.arguments());
        Ok(command)
    }

    fn as_nobody(&self, program: &Path) -> Command {
        let mut command = match self.is_root {
            true => {
                let mut command = tool::command("setpriv");
                command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--no-new-privs"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        command.current_dir(self.checkout()).env("HOME", &self.folder).env_remove("XDG_CACHE_HOME");
        command
    }

    fn arguments(&self) -> [&'static str; 10] {
        let arch = Arch::host().name();
        let [programs, output, cache] = ["../programs", "../output", "../cache"];
        ["build", "images/base.toml", "--arch", arch, "--programs", programs, "--output", output, "--cache", cache]
    }

    /// What a build says that must not succeed, and must leave nothing in its folder.
    fn fails(&self, mut build: Command) -> Result<String> {
        let output = build.output()?;
        let (said, listed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        ensure!(!output.status.success(), "it was built");
        let names = fs::read_dir(self.output()).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let left: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        let left: Vec<&str> = listed.lines().chain(left.iter().map(String::as_str)).collect();
        // The builder's lock on the folder stays: whoever builds next takes the same file.
        ensure!(left.iter().all(|name| *name == ".lock"), "left behind: {left:?}");
        Ok(said.into_owned())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The builder's cache of packages: what was fetched once need not be fetched by a test.
fn cache() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let caches = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Ok(caches.context("neither XDG_CACHE_HOME nor HOME is set")?.join("ashlar"))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    tool::output(tool::command("cp").args(["-r", "--reflink=auto"]).arg(from).arg(to)).map(drop)
}
