//! A machine that goes over to another version while it runs: who is the same goes on, who is not is started anew, and a
//! version that does not work is left the same way.

use anyhow::{Result, ensure};
use ashlar_control::update::{Change, Outcome, Plan, State, What};
use ashlar_qemu_tests::derived::{Derived, Unit};
use ashlar_qemu_tests::fixture;
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::publisher::Publisher;
use ashlar_qemu_tests::qemu::WEB;
use ashlar_qemu_tests::vm::Vm;
use ashlar_qemu_tests::web::Web;

use crate::updates::{HELD, is_committed, reboot};

const SLEEPS: &str = "packages = [\"coreutils\"]\ncommand = [\"/usr/bin/sleep\", \"infinity\"]\n";

/// A unit that sleeps, and says which it is.
pub fn sleeper(description: &str) -> String {
    format!("description = \"{description}\"\n{SLEEPS}")
}

/// What has to outlive it all: the processes of units that are the same, and the kernel's boot.
fn lasting(vm: &mut Vm) -> Result<Vec<String>> {
    let mut facts = vec![vm.run("cat /proc/sys/kernel/random/boot_id")?];
    for name in ["steady", "systemd-journald", "dbus", "ssh", "systemd-networkd"] {
        let unit = vm.unit(&format!("{name}.service"))?;
        ensure!(unit.active == "active", "{name} is {}", unit.active);
        facts.push(format!("{name} {} {}", unit.main_pid, unit.restarts));
    }
    Ok(facts)
}

#[test]
fn a_version_is_gone_over_to_while_all_runs() -> Result<()> {
    let mut promises = Promises::new();
    let publisher = Publisher::new("live")?;
    let trusted = publisher.trusted();
    let (first, second) = (sleeper("Works"), sleeper("Works better"));
    let versioned = format!("{second}state-directory = [\"works\"]\nstate-versioned = true\n");
    let (steady, gone, fresh) = (sleeper("Is the same"), sleeper("Goes"), sleeper("Comes"));
    let fails = "description = \"Does not work\"\npackages = [\"coreutils\"]\ntype = \"oneshot\"\ncommand = [\"/usr/bin/false\"]\n";
    let version = |number: &str, units: &[Unit<'_>]| Derived::version("live", number, &trusted, units);
    let one = version("0.1.0", &[("works", &first), ("steady", &steady), ("gone", &gone)])?;
    publisher.publish(&one, &[])?;
    let web = Web::serve(std::path::Path::new(&publisher.path("shop")))?;
    let console = fixture::with_console("live", "KEY");
    let config = format!("{console}\n[update]\nsource = \"http://{WEB}\"\n");
    let mut machine = Vm::builder("live").image(&one.disk()).config(&config).web(web.port).boot()?;
    let vm = &mut machine;

    publisher.publish(&version("0.2.0", &[("fresh", &fresh), ("steady", &steady), ("works", &second)])?, &[])?;
    promises.check("the plan says which units change, and that no reboot is needed", || {
        let Outcome::Available(plan) = serde_json::from_str(&vm.run("os upgrade --plan --json")?)? else {
            anyhow::bail!("there is no plan")
        };
        let units = ["fresh.service", "gone.service", "works.service"].map(str::to_owned).to_vec();
        ensure!(plan.change == Some(Change { units, kernel: false, reboot: None }), "{plan:?}");
        let said = vm.run("os upgrade --plan")?;
        ensure!(said.contains("changes fresh.service, gone.service, works.service"), "{said}");
        Ok(())
    });
    let before = lasting(vm)?;
    promises.check("what changes is started anew, and nothing else is", || {
        let said = vm.run("os upgrade --live")?;
        ensure!(said.contains("Ashlar 0.2.0 runs in place of 0.1.0") && said.contains("is well"), "{said}");
        ensure!(lasting(vm)? == before, "{before:?} became {:?}", lasting(vm)?);
        ensure!(
            vm.unit("works.service")?.description == "Works better" && vm.unit("works.service")?.active == "active"
        );
        ensure!(vm.unit("fresh.service")?.active == "active");
        let gone = vm.try_run("systemctl is-active gone.service")?;
        ensure!(gone.stdout.trim() != "active", "{gone:?}");
        Ok(())
    });
    promises.check("the new version is what runs", || {
        let status = vm.status()?;
        ensure!(
            (status.version.as_str(), status.slot.as_str(), status.booted.as_str()) == ("0.2.0", "b", "0.1.0"),
            "{status:?}"
        );
        ensure!(status.commit == "committed" && status.state == "running", "{status:?}");
        ensure!(vm.root("grep IMAGE_VERSION /usr/lib/os-release")?.contains("0.2.0"));
        let touched =
            vm.root("touch /usr/lib/x 2>&1; findmnt -no FSTYPE,OPTIONS /; ls /usr/lib/ashlar/next | wc -l")?;
        ensure!(touched.contains("Read-only") && touched.contains("erofs") && touched.ends_with('0'), "{touched}");
        ensure!(vm.run("os status")?.contains("booted with 0.1.0"));
        vm.run("os restart steady")?;
        ensure!(vm.run("systemctl is-system-running")? == "running");
        Ok(())
    });
    promises.check("its boot entry is still on trial, and what was booted is the way back", || {
        let entries = vm.disk.list_esp("EFI/Linux")?;
        ensure!(
            entries.contains(&"ashlar_0.2.0+3.efi".to_owned()) && entries.contains(&"ashlar_0.1.0.efi".to_owned()),
            "{entries:?}"
        );
        publisher.publish(&version("0.3.0", &[("fresh", &fresh), ("steady", &steady), ("works", fails)])?, &[])?;
        let ran = vm.try_run("os upgrade --live")?;
        ensure!(ran.code == HELD && ran.stderr.contains("reboot first"), "{ran:?}");
        Ok(())
    });
    promises.check("the next boot tries it as any other", || {
        reboot(vm)?;
        is_committed(vm, "0.2.0")?;
        let entries = vm.disk.list_esp("EFI/Linux")?;
        ensure!(entries.contains(&"ashlar_0.2.0.efi".to_owned()), "{entries:?}");
        ensure!(vm.status()?.booted.is_empty());
        Ok(())
    });
    let before = lasting(vm)?;
    promises.check("a version that does not work is left without a reboot, and it is said why", || {
        let ran = vm.try_run("os upgrade --live")?;
        ensure!(ran.code != 0 && ran.stderr.contains("Ashlar 0.3.0 does not stay: works.service failed"), "{ran:?}");
        is_committed(vm, "0.2.0")?;
        ensure!(
            vm.unit("works.service")?.description == "Works better" && vm.unit("works.service")?.active == "active"
        );
        ensure!(lasting(vm)? == before, "{before:?} became {:?}", lasting(vm)?);
        let status = vm.status()?;
        ensure!(status.slot == "b" && status.booted.is_empty() && status.state == "running", "{status:?}");
        let entries = vm.disk.list_esp("EFI/Linux")?;
        ensure!(entries.contains(&"ashlar_0.3.0+0-3.efi".to_owned()), "{entries:?}");
        Ok(())
    });
    publisher.publish(&version("0.4.0", &[("fresh", &fresh), ("steady", &steady), ("works", &versioned)])?, &[])?;
    promises.check("what a boot alone can do is not tried, and nothing is written", || {
        let ran = vm.try_run("os upgrade --live")?;
        ensure!(ran.code == HELD && ran.stderr.contains("the state of works.service goes back"), "{ran:?}");
        let said = vm.run("os upgrade --plan")?;
        ensure!(said.contains("needs a reboot: the state of works.service"), "{said}");
        Ok(())
    });
    promises.check("the slot of a version that was left can be written again", || {
        let Outcome::Switched(Plan { to, .. }) = serde_json::from_str(&vm.run("os upgrade --json")?)? else {
            anyhow::bail!("it did not switch")
        };
        ensure!(to == "0.4.0");
        Ok(())
    });
    promises.check("the history tells all of it", || {
        let state: State = serde_json::from_str(&vm.run("os explain update --json")?)?;
        let told: Vec<(What, &str)> = state.history.iter().map(|event| (event.what, event.version.as_str())).collect();
        let expect = [
            (What::Installed, "0.2.0"),
            (What::Live, "0.2.0"),
            (What::Committed, "0.2.0"),
            (What::Committed, "0.2.0"),
            (What::Installed, "0.3.0"),
            (What::Live, "0.3.0"),
            (What::Condemned, "0.3.0"),
            (What::Installed, "0.4.0"),
        ];
        ensure!(told == expect, "{told:?}");
        Ok(())
    });
    promises.finish();
    machine.finish();
    Ok(())
}
