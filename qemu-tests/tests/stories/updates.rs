//! Machines that take new versions from a publisher: a good one, which stays, back to the old one by hand, and forward again;
//! one that rots after it was good; one whose services are not well, from which the machine goes back by itself, and a
//! publisher who is not to be trusted. The publisher's side is done by the program
//! that publishers have.

use std::path::Path;

use anyhow::{Result, ensure};
use ashlar_control::update::{Boots, Outcome, Plan, State, What};
use ashlar_qemu_tests::derived::{Derived, Unit};
use ashlar_qemu_tests::fixture;
use ashlar_qemu_tests::promise::{Promises, eventually};
use ashlar_qemu_tests::publisher::Publisher;
use ashlar_qemu_tests::qemu::WEB;
use ashlar_qemu_tests::vm::Vm;
use ashlar_qemu_tests::web::Web;

#[path = "../../../lib/fetch/tests/support/docker_registry.rs"]
mod docker_registry;
use docker_registry::DockerRegistry;

const REPOSITORY: &str = "fleet/ashlar";
/// The registry's port, as the machine sees it.
const REGISTRY: u16 = 5000;

pub const HELD: i32 = 8;
pub const NO_SOURCE: i32 = 9;
pub const UNTRUSTED: i32 = 10;
const NOTHING_NEWER: i32 = 7;
/// EROFS, "On-disk format": the superblock follows 1 KiB of nothing.
const EROFS_SUPERBLOCK: u64 = 1024;

/// A service that is well, in two versions of its own, and one that is not.
pub const GOOD: Unit<'static> = (
    "works",
    "description = \"Works\"\npackages = [\"coreutils\"]\ncommand = [\"/usr/bin/sleep\", \"infinity\"]\n\
     state-directory = [\"works\"]\nstate-versioned = true\n",
);
pub const BETTER: Unit<'static> = (
    "works",
    "description = \"Works better\"\npackages = [\"coreutils\"]\ncommand = [\"/usr/bin/sleep\", \"infinity\"]\n\
     state-directory = [\"works\"]\nstate-versioned = true\n",
);
/// Something that listens.
const DOOR: Unit<'static> = (
    "door",
    "description = \"Listens\"\npackages = [\"coreutils\"]\ncommand = [\"/usr/bin/sleep\", \"infinity\"]\n\
     [[sockets]]\nlisten-stream = \"127.0.0.1:8099\"\n",
);
/// What a machine's configuration may ask of a new version besides.
const CHECKS: &str = r#"
well-for = "5s"
well-within = "90s"
[[update.checks]]
name = "door"
tcp = "127.0.0.1:8099"
[[update.checks]]
name = "shop"
http = "http://10.0.2.100/metadata/1.root.json"
[[update.checks]]
name = "works"
unit = "works.service"
[[update.checks]]
name = "own"
command = ["/usr/bin/test", "-e", "/etc/os-release"]
"#;
pub const BAD: Unit<'static> = (
    "works",
    "description = \"Does not work\"\npackages = [\"coreutils\"]\ntype = \"oneshot\"\ncommand = [\"/usr/bin/false\"]\n",
);

/// A publisher who has published the first of two versions of an image, and a machine that runs it, switched off.
pub struct Site {
    pub publisher: Publisher,
    pub first: Derived,
    pub second: Derived,
    pub web: Web,
    pub vm: Vm,
}

impl Site {
    /// `settings`: what `[update]` of the machine says besides its source.
    pub fn new(name: &str, second: (&str, Unit<'_>), settings: &str) -> Result<Self> {
        Self::with(None, name, second, settings)
    }

    /// Likewise, with a registry in place of a folder that is served.
    fn with(
        registry: Option<&DockerRegistry>,
        name: &str,
        (version, unit): (&str, Unit<'_>),
        settings: &str,
    ) -> Result<Self> {
        let mut publisher = Publisher::new(name)?;
        publisher.elsewhere = registry.map(|registry| registry.address(REPOSITORY));
        let trusted = publisher.trusted();
        let first = Derived::version(name, "0.1.0", &trusted, &[GOOD, DOOR])?;
        let second = Derived::version(name, version, &trusted, &[unit, DOOR])?;
        publisher.publish(&first, &[])?;
        let web = Web::serve(Path::new(&publisher.path("shop")))?;
        let console = fixture::with_console(name, "KEY");
        let source = match registry {
            Some(_) => format!("oci+http://{WEB}:{REGISTRY}/{REPOSITORY}"),
            None => format!("http://{WEB}"),
        };
        let config = format!("{console}\n[update]\nsource = {source:?}\n{settings}");
        let mut vm = Vm::builder(name).image(&first.disk()).config(&config).web(web.port);
        if let Some(registry) = registry {
            vm = vm.server(REGISTRY, registry.host.port());
        }
        let vm = vm.make()?;
        Ok(Self { publisher, first, second, web, vm })
    }
}

pub fn upgrade(vm: &mut Vm, arguments: &str) -> Result<Outcome> {
    Ok(serde_json::from_str(&vm.run(&format!("os upgrade --json {arguments}"))?)?)
}

/// What is remembered, the latest last.
pub fn is_remembered(vm: &mut Vm, expect: &[(What, &str)]) -> Result<()> {
    let state: State = serde_json::from_str(&vm.run("os explain update --json")?)?;
    let told: Vec<(What, &str)> = state.history.iter().map(|event| (event.what, event.version.as_str())).collect();
    ensure!(told == expect, "{told:?}");
    let text = vm.run("os history")?;
    ensure!(text.lines().count() == expect.len(), "{text}");
    Ok(())
}

/// Reboots, and waits until it is there again.
pub fn reboot(vm: &mut Vm) -> Result<()> {
    vm.try_run("os reboot")?;
    come_back(vm)
}

/// Waits until it has reset itself and is there again.
pub fn come_back(vm: &mut Vm) -> Result<()> {
    vm.wait_reset()?;
    vm.wait_ready()?;
    vm.connect()
}

/// Runs this version, for good.
pub fn is_committed(vm: &mut Vm, version: &str) -> Result<()> {
    let patience = vm.patience(60);
    eventually(patience, || {
        let status = vm.status()?;
        ensure!(status.version == version && status.commit == "committed", "{} is {}", status.version, status.commit);
        Ok(())
    })
}

pub fn entries(vm: &Vm) -> Result<Vec<String>> {
    let mut names = vm.disk.list_esp("EFI/Linux")?;
    names.sort();
    Ok(names)
}

#[test]
fn versions_come_stay_and_go_back() -> Result<()> {
    let mut promises = Promises::new();
    let mut site = Site::new("updates", ("0.2.0", BETTER), CHECKS)?;
    let Site { publisher, second, web, vm, .. } = &mut site;
    vm.boot()?;
    let root = std::fs::metadata(second.output().join("root.erofs"))?.len();

    promises.check("nothing newer: said, with an exit code for scripts", || {
        let ran = vm.try_run("os upgrade --check")?;
        ensure!(ran.code == NOTHING_NEWER && ran.stdout.contains("0.1.0 is the newest"), "{ran:?}");
        Ok(())
    });
    promises.check("os explain boot tells what runs, and what comes next", || {
        let boots: Boots = serde_json::from_str(&vm.run("os explain boot --json")?)?;
        let Boots { version, next, entries, standing, .. } = &boots;
        ensure!((version.as_str(), next.as_str(), standing.as_str()) == ("0.1.0", "0.1.0", "committed"), "{boots:?}");
        ensure!(entries.len() == 1 && entries[0].runs && entries[0].tries.is_none(), "{boots:?}");
        ensure!(entries[0].root_hash == vm.status()?.root_hash, "{boots:?}");
        let said = vm.run("os explain boot")?;
        ensure!(said.contains("the next boot starts 0.1.0 again") && said.contains("ashlar_0.1.0.efi"), "{said}");
        Ok(())
    });
    promises.check("what a release would cost whom is known before it is published", || {
        let said = publisher.publish(second, &["--plan"])?;
        let row = said.lines().find(|line| line.starts_with("0.1.0 ")).unwrap_or_default();
        ensure!(row.matches(" MB").count() == 2, "{said}");
        let ran = vm.try_run("os upgrade --check")?;
        ensure!(ran.code == NOTHING_NEWER, "{ran:?}");
        Ok(())
    });
    publisher.publish(second, &["--notes", "works better", "--patches", "0"])?;
    promises.check("a machine that is pinned takes no other version", || {
        for (pin, said) in
            [("", "pinned to version 0.1.0, which is the one that runs"), ("0.7.0", "0.7.0 is not offered")]
        {
            vm.run(&format!("os pin {pin}"))?;
            let ran = vm.try_run("os upgrade")?;
            ensure!(ran.code != 0 && ran.stderr.contains(said), "{ran:?}");
        }
        let ran = vm.try_run("os upgrade --version 0.2.0")?;
        ensure!(ran.code == HELD && ran.stderr.contains("pinned to version 0.7.0: `os unpin`"), "{ran:?}");
        ensure!(vm.run("os explain update")?.contains("pinned to 0.7.0"));
        vm.run("os unpin").map(drop)
    });
    promises.check("a plan says what it costs, and writes nothing", || {
        web.given();
        let Outcome::Available(plan) = upgrade(vm, "--plan")? else { anyhow::bail!("there is no plan") };
        let Plan { to, notes, slot, fetch, .. } = &plan;
        ensure!((to.as_str(), notes.as_str(), slot.as_str()) == ("0.2.0", "works better", "b"), "{plan:?}");
        ensure!(fetch.is_some_and(|bytes| bytes < root / 2), "{plan:?}");
        ensure!(web.given() < 8 << 20, "a plan fetched more than metadata and the hash tree");
        ensure!(vm.disk.read("root-b", 0, 1 << 20)?.iter().all(|byte| *byte == 0), "the slot was written");
        Ok(())
    });
    vm.root("echo first > /var/lib/works/data")?;
    promises.check("an upgrade survives a cut connection, and fetches only what is new", || {
        web.cut_after(3 << 20);
        let Outcome::Switched(plan) = upgrade(vm, "")? else { anyhow::bail!("it did not switch") };
        let given = web.given();
        ensure!(given < root / 2, "{given} bytes were fetched of a root of {root}");
        ensure!(plan.fetch.is_some_and(|fetch| given < fetch + (8 << 20)), "{given} bytes for {plan:?}");
        let written = vm.disk.read("root-b", 0, root as usize)?;
        ensure!(written == std::fs::read(second.output().join("root.erofs"))?, "the slot holds something else");
        ensure!(entries(vm)? == ["ashlar_0.1.0.efi", "ashlar_0.2.0+3.efi"], "{:?}", entries(vm)?);
        let boots: Boots = serde_json::from_str(&vm.run("os explain boot --json")?)?;
        ensure!(boots.next == "0.2.0" && boots.entries[0].tries == Some(3), "{boots:?}");
        Ok(())
    });
    promises.check("the next boot tries it, and it stays once all is well that the machine asks for", || {
        reboot(vm)?;
        ensure!(vm.unit("ashlar-check-own.service")?.active == "active");
        is_committed(vm, "0.2.0")?;
        ensure!(vm.status()?.slot == "b");
        ensure!(vm.unit("works.service")?.description == "Works better");
        ensure!(vm.root("cat /var/lib/works/data")? == "first");
        vm.root("echo second > /var/lib/works/data")?;
        ensure!(entries(vm)? == ["ashlar_0.1.0.efi", "ashlar_0.2.0.efi"], "{:?}", entries(vm)?);
        Ok(())
    });
    promises.check("os rollback goes back, its state with it, and what was left is not taken again by itself", || {
        let said = vm.run("os rollback")?;
        ensure!(said.contains("the next boot starts Ashlar 0.1.0"), "{said}");
        ensure!(said.contains("/var/lib/works will be what 0.1.0 left"), "{said}");
        reboot(vm)?;
        is_committed(vm, "0.1.0")?;
        let state = vm.root("cat /var/lib/works/data /var/lib/ashlar/versions/kept/0.2.0/works/data")?;
        ensure!(state == "first\nsecond", "{state}");
        let ran = vm.try_run("os upgrade")?;
        ensure!(ran.code == HELD && ran.stderr.contains("left by hand"), "{ran:?}");
        Ok(())
    });
    promises.check("and forward again, on trial", || {
        vm.run("os rollback --to 0.2.0")?;
        reboot(vm)?;
        is_committed(vm, "0.2.0")
    });
    promises.check("the history tells all of it", || {
        let expect = [
            (What::Installed, "0.2.0"),
            (What::Committed, "0.2.0"),
            (What::RolledBack, "0.1.0"),
            (What::RolledBack, "0.2.0"),
            (What::Committed, "0.2.0"),
        ];
        is_remembered(vm, &expect)
    });
    promises.check("an older version that is asked for by name is tried, though it is older", || {
        web.given();
        let outcome = upgrade(vm, "--version 0.1.0")?;
        ensure!(matches!(&outcome, Outcome::Switched(plan) if plan.to == "0.1.0"), "{outcome:?}");
        let given = web.given();
        ensure!(given < 40 << 20, "the root is there, and {given} bytes were fetched");
        ensure!(entries(vm)? == ["ashlar_0.1.0+3.efi", "ashlar_0.2.0+0-3.efi"], "{:?}", entries(vm)?);
        ensure!(vm.run("os explain boot")?.contains("the next boot starts 0.1.0\n"));
        Ok(())
    });
    promises.finish();
    site.vm.finish();
    Ok(())
}

#[test]
fn a_version_that_rots_is_left() -> Result<()> {
    let mut promises = Promises::new();
    let registry = DockerRegistry::start(true);
    let mut site = Site::with(Some(&registry), "rotten", ("0.2.0", BETTER), "")?;
    let Site { publisher, second, web, vm, .. } = &mut site;
    vm.boot()?;
    promises.check("a version comes out of a registry, in parts", || {
        let ran = vm.try_run("os upgrade --check")?;
        ensure!(ran.code == NOTHING_NEWER, "{ran:?}");
        publisher.publish(second, &[])?;
        let begun = registry.requests(0).len();
        let outcome = upgrade(vm, "")?;
        ensure!(matches!(&outcome, Outcome::Switched(plan) if plan.to == "0.2.0"), "{outcome:?}");
        let asked = registry.requests(begun);
        ensure!(asked.iter().any(|asked| asked.contains("/blobs/") && asked.ends_with(" 206")), "{asked:?}");
        ensure!(asked.iter().all(|asked| asked.starts_with("GET ")) && web.given() == 0, "{asked:?}");
        Ok(())
    });
    reboot(vm)?;
    is_committed(vm, "0.2.0")?;

    promises.check("a version that was good and no longer starts is left", || {
        vm.cut()?;
        vm.disk.flip("root-b", EROFS_SUPERBLOCK)?;
        vm.start()?;
        let patience = vm.patience(120);
        vm.serial()?.wait_for_line("from now on the boot loader counts its tries", patience)?;
        let patience = vm.patience(120);
        vm.serial()?.wait_for_line("Ashlar 0.1.0 ready in ", patience)?;
        vm.connect()?;
        ensure!(entries(vm)? == ["ashlar_0.1.0.efi", "ashlar_0.2.0+0-3.efi"], "{:?}", entries(vm)?);
        let said = vm.run("os explain update")?;
        ensure!(said.contains("0.2.0 is not taken again by itself: it was started 3 times"), "{said}");
        vm.disk.flip("root-b", EROFS_SUPERBLOCK)?;
        Ok(())
    });
    promises.check("once it is whole again, it can be had again", || {
        vm.run("os rollback --to 0.2.0")?;
        reboot(vm)?;
        is_committed(vm, "0.2.0")
    });
    promises.finish();
    site.vm.finish();
    Ok(())
}

#[test]
fn a_version_that_is_not_well_is_left() -> Result<()> {
    let mut promises = Promises::new();
    let mut site = Site::new("unwell", ("0.3.0", BAD), CHECKS)?;
    let Site { publisher, second, web, vm, .. } = &mut site;
    vm.boot()?;
    let root = std::fs::metadata(second.output().join("root.erofs"))?.len();

    promises.check("a hold holds", || {
        vm.run("os hold 'not before Monday'")?;
        publisher.publish(second, &[])?;
        let ran = vm.try_run("os upgrade")?;
        ensure!(ran.code == HELD && ran.stderr.contains("not before Monday"), "{ran:?}");
        vm.run("os hold --off").map(drop)
    });
    promises.check("without parts of files the whole one is fetched", || {
        web.forget_parts(true);
        web.given();
        let outcome = upgrade(vm, "--download")?;
        ensure!(matches!(outcome, Outcome::Downloaded(_)), "{outcome:?}");
        ensure!(web.given() > root, "the whole root was to be fetched");
        ensure!(entries(vm)? == ["ashlar_0.1.0.efi"], "{:?}", entries(vm)?);
        web.forget_parts(false);
        Ok(())
    });
    promises.check("a version whose service fails is gone from by itself, and it is said why", || {
        web.given();
        let outcome = upgrade(vm, "")?;
        ensure!(matches!(outcome, Outcome::Switched(_)), "{outcome:?}");
        let given = web.given();
        ensure!(given < 3 << 20, "the root is there, and {given} bytes were fetched for the UKI");
        vm.try_run("os reboot")?;
        vm.wait_reset()?;
        let patience = vm.patience(120);
        vm.serial()?.wait_for_line("Ashlar 0.3.0 does not stay: works.service failed", patience)?;
        come_back(vm)?;
        is_committed(vm, "0.1.0")?;
        ensure!(entries(vm)? == ["ashlar_0.1.0.efi", "ashlar_0.3.0+0-3.efi"], "{:?}", entries(vm)?);
        let said = vm.run("os explain update")?;
        ensure!(said.contains("0.3.0 is not taken again by itself: works.service failed"), "{said}");
        let ran = vm.try_run("os upgrade")?;
        ensure!(ran.code == HELD && ran.stderr.contains("works.service failed"), "{ran:?}");
        Ok(())
    });
    promises.check("a version that does not answer as the machine's configuration asks for is left, too", || {
        // All of its own services are well.
        let third = Derived::version("unwell", "0.4.0", &publisher.trusted(), &[GOOD])?;
        publisher.publish(&third, &[])?;
        let outcome = upgrade(vm, "")?;
        ensure!(matches!(&outcome, Outcome::Switched(plan) if plan.to == "0.4.0"), "{outcome:?}");
        vm.try_run("os reboot")?;
        vm.wait_reset()?;
        let patience = vm.patience(240);
        let expect = "Ashlar 0.4.0 does not stay: ashlar-checks.service was not ready within 90 s: check door: connect to \
                      127.0.0.1:8099: Connection refused";
        vm.serial()?.wait_for_line(expect, patience)?;
        come_back(vm)?;
        is_committed(vm, "0.1.0")?;
        let said = vm.run("os explain update")?;
        ensure!(said.contains("0.4.0 is not taken again by itself") && said.contains("check door"), "{said}");
        Ok(())
    });
    promises.check("the history tells it", || {
        let [one, two] = ["0.3.0", "0.4.0"];
        let expect = [(What::Installed, one), (What::Condemned, one), (What::Installed, two), (What::Condemned, two)];
        is_remembered(vm, &expect)
    });
    promises.check("another publisher is not trusted, and nothing is kept of it", || {
        let other = Publisher::new("other")?;
        other.publish(second, &[])?;
        let there = Web::serve(Path::new(&other.path("shop")))?;
        // The machine reaches one server: it is given the other's files.
        std::fs::rename(publisher.path("shop"), publisher.path("kept"))?;
        std::os::unix::fs::symlink(other.path("shop"), publisher.path("shop"))?;
        let ran = vm.try_run("os upgrade --check")?;
        std::fs::remove_file(publisher.path("shop"))?;
        std::fs::rename(publisher.path("kept"), publisher.path("shop"))?;
        drop(there);
        ensure!(ran.code == UNTRUSTED && ran.stderr.contains("trust the source"), "{ran:?}");
        let ran = vm.try_run("os upgrade --check --from http://10.0.2.100:81/")?;
        ensure!(ran.code == NO_SOURCE, "{ran:?}");
        Ok(())
    });
    promises.finish();
    site.vm.finish();
    Ok(())
}
