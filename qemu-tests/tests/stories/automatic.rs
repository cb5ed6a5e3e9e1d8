//! Machines that take new versions by themselves, as far as their rules say: by a reboot, and without one.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ashlar_control::update::{Outcome, What};
use ashlar_qemu_tests::derived::Derived;
use ashlar_qemu_tests::promise::{Promises, eventually};
use ashlar_qemu_tests::publisher::Publisher;
use ashlar_qemu_tests::qemu::WEB;
use ashlar_qemu_tests::vm::Vm;
use ashlar_qemu_tests::web::Web;
use ashlar_qemu_tests::{fixture, tool};

use crate::live::sleeper;
use crate::updates::{BETTER, NO_SOURCE, Site, come_back, entries, is_committed, is_remembered, upgrade};

/// What a FleetLock server is asked.
const TAKE: &str = "/lock/v1/pre-reboot";
const GIVE: &str = "/lock/v1/steady-state";
/// Whom the machine knows by way of its proxy alone.
const PUBLISHER: &str = "updates.example.net";
/// `bandwidth = "2K"`. Without a patch a hundred kilobytes are fetched: at this speed that takes longer than all else.
const SPEED: u64 = 2 << 10;

#[test]
fn a_machine_upgrades_by_itself_as_its_rules_say() -> Result<()> {
    let mut promises = Promises::new();
    let settings = format!("automatic = true\n[update.lock]\nfleetlock = \"http://{WEB}/lock\"\n");
    let mut site = Site::new("automatic", ("0.2.0", BETTER), &settings)?;
    let Site { publisher, second, vm, web, .. } = &mut site;
    vm.boot()?;
    // The timer's next round is too far away for a test: this is what it starts.
    let round = |vm: &mut Vm| -> Result<String> {
        vm.run("os start ashlar-upgrade")?;
        vm.run("os explain update")
    };

    promises.check("nothing newer: said, and nothing is unwell", || {
        let said = round(vm)?;
        ensure!(said.contains("closed  version: there is nothing newer than 0.1.0"), "{said}");
        ensure!(vm.status()?.state == "running" && vm.unit("ashlar-upgrade.timer")?.active == "active");
        Ok(())
    });
    promises.check("a wave that is not this machine's yet is waited for", || {
        publisher.publish(second, &["--rollout", "100%@1d"])?;
        let said = round(vm)?;
        ensure!(said.contains("closed  rollout: this machine's wave, 100 % of all, has it from"), "{said}");
        ensure!(entries(vm)? == ["ashlar_0.1.0.efi"], "{:?}", entries(vm)?);
        Ok(())
    });
    promises.check("an archive with nothing but metadata and patches is enough, without a network", || {
        let tar = publisher.path("shop.tar");
        let mut command = tool::command("tar");
        command.args(["--exclude=*.root.erofs", "--exclude=*.root.verity", "--exclude=*.ashlar.efi"]);
        tool::output(command.args(["-C", &publisher.path(""), "-cf", &tar, "shop"]))?;
        let bytes = std::fs::read(tar)?;
        ensure!(bytes.len() < 1 << 20, "{} bytes", bytes.len());
        ensure!(vm.ssh()?.run("cat > shop.tar", &bytes)?.code == 0);
        let outcome = upgrade(vm, "--from shop.tar --download")?;
        ensure!(matches!(&outcome, Outcome::Downloaded(plan) if plan.to == "0.2.0"), "{outcome:?}");
        let ran = vm.try_run("os upgrade --from /etc/hostname")?;
        ensure!(ran.code == NO_SOURCE && ran.stderr.contains("the archive"), "{ran:?}");
        Ok(())
    });
    promises.check("it is taken, and nobody who is logged in is thrown out", || {
        publisher.publish(second, &[])?;
        let said = round(vm)?;
        ensure!(said.contains("open    installed: 0.2.0 waits for the next boot"), "{said}");
        ensure!(said.contains("closed  people: somebody is logged in over the network"), "{said}");
        ensure!(entries(vm)? == ["ashlar_0.1.0.efi", "ashlar_0.2.0+3.efi"], "{:?}", entries(vm)?);
        Ok(())
    });
    // A round while nobody is logged in over the network, and what it came to.
    let round_alone = |vm: &mut Vm| -> Result<String> {
        vm.ssh()?.disconnect();
        let patience = vm.patience(60);
        let serial = vm.serial()?;
        serial.type_line("os start ashlar-upgrade; echo round is over | tr a-z A-Z")?;
        serial.wait_for("ROUND IS OVER", patience)?;
        vm.connect()?;
        vm.run("os explain update")
    };
    promises.check("a program that must not be interrupted is waited for", || {
        let inhibit = "systemd-inhibit --what=shutdown --who=backup --why='it runs' /bin/sleep 1000";
        vm.run(&format!("systemd-run --unit=backup {inhibit}"))?;
        eventually(vm.patience(20), || {
            ensure!(vm.run("systemd-inhibit --list")?.contains("backup"));
            Ok(())
        })?;
        let said = round_alone(vm)?;
        ensure!(said.contains("closed  inhibitors: backup inhibits it: it runs"), "{said}");
        vm.run("systemctl stop backup").map(drop)
    });
    promises.check("no two machines of a group reboot at once", || {
        web.lock(true);
        let said = round_alone(vm)?;
        ensure!(said.contains("closed  lock: the server says 409 lock_held: another machine reboots"), "{said}");
        web.lock(false);
        Ok(())
    });
    promises.check("once nobody is there and the lock is free it reboots into it by itself", || {
        web.asked();
        vm.ssh()?.disconnect();
        vm.serial()?.type_line("os start ashlar-upgrade")?;
        come_back(vm)?;
        is_committed(vm, "0.2.0")
    });
    promises.check("and gives the lock back once it stays, once", || {
        let mut asked = Vec::new();
        eventually(vm.patience(20), || {
            asked.extend(web.asked());
            ensure!(asked.ends_with(&[TAKE.to_owned(), GIVE.to_owned()]), "{asked:?}");
            Ok(())
        })?;
        round(vm)?;
        ensure!(web.asked().is_empty());
        Ok(())
    });
    promises.finish();
    site.vm.finish();
    Ok(())
}

#[test]
fn a_machine_goes_over_by_itself_and_reboots_where_it_has_to() -> Result<()> {
    let mut promises = Promises::new();
    let publisher = Publisher::new("alone")?;
    let trusted = publisher.trusted();
    let version = |number: &str| {
        let works = sleeper(&format!("Works as of {number}"));
        Derived::version("alone", number, &trusted, &[("works", &works)])
    };
    let [first, second, third] = [version("0.1.0")?, version("0.2.0")?, version("0.3.0")?];
    publisher.publish(&first, &[])?;
    let web = Web::serve(Path::new(&publisher.path("shop")))?;
    let console = fixture::with_console("alone", "KEY");
    let config = format!(
        "{console}\n[update]\nsource = \"http://{PUBLISHER}\"\nproxy = \"http://{WEB}\"\nbandwidth = \"2K\"\n\
         automatic = true\nlive = true\nreboot = \"now\"\n[update.lock]\nfleetlock = \"http://{WEB}/lock\"\n"
    );
    let mut machine = Vm::builder("alone").image(&first.disk()).config(&config).web(web.port).boot()?;
    let vm = &mut machine;
    let runs = |vm: &mut Vm, version: &str, booted: &str| -> Result<()> {
        is_committed(vm, version)?;
        let status = vm.status()?;
        ensure!(status.booted == booted && status.state == "running", "{status:?}");
        ensure!(vm.unit("works.service")?.description == format!("Works as of {version}"));
        Ok(())
    };
    let gave_back = |vm: &mut Vm, times: usize| -> Result<()> {
        let mut asked = Vec::new();
        eventually(vm.patience(20), || {
            asked.extend(web.asked());
            ensure!(asked == [TAKE, GIVE].repeat(times), "{asked:?}");
            Ok(())
        })
    };
    // The timer's first round is too far away for a test: this is what it starts.
    const ROUND: &str = "os start ashlar-upgrade";

    // No patch: there is to be something that takes its time.
    publisher.publish(&second, &["--patches", "0"])?;
    promises.check("it comes through the proxy alone, and no faster than it may", || {
        let (_, begun) = (web.given(), Instant::now());
        let outcome = upgrade(vm, "--download")?;
        ensure!(matches!(&outcome, Outcome::Downloaded(plan) if plan.to == "0.2.0"), "{outcome:?}");
        let (given, hosts) = (web.given(), web.asked_as_proxy());
        ensure!(!hosts.is_empty() && hosts.iter().all(|host| *host == format!("{PUBLISHER}:80")), "{hosts:?}");
        let least = Duration::from_secs((given / SPEED).saturating_sub(1));
        ensure!(least > Duration::ZERO && begun.elapsed() >= least, "{given} bytes within {:?}", begun.elapsed());
        Ok(())
    });
    promises.check("a version that needs no reboot is gone over to, though somebody is logged in", || {
        let boot = vm.run("cat /proc/sys/kernel/random/boot_id")?;
        vm.run(ROUND)?;
        runs(vm, "0.2.0", "0.1.0")?;
        ensure!(vm.run("cat /proc/sys/kernel/random/boot_id")? == boot);
        Ok(())
    });
    promises.check("the lock was for this, too, and is given back at once", || gave_back(vm, 1));
    promises.check("nothing newer: it does not reboot for nothing", || {
        vm.run(ROUND)?;
        let said = vm.run("os explain update")?;
        ensure!(said.contains("closed  version: there is nothing newer than 0.2.0"), "{said}");
        Ok(())
    });
    publisher.publish(&third, &[])?;
    promises.check("before the next version the one that runs is booted, whoever is logged in", || {
        // Its connection ends with the machine.
        vm.try_run(ROUND)?;
        come_back(vm)
    });
    promises.check("and once it stays the next one is gone over to, by itself", || {
        eventually(vm.patience(60), || {
            let version = vm.status()?.version;
            ensure!(version == "0.3.0", "it runs {version}");
            Ok(())
        })?;
        runs(vm, "0.3.0", "0.2.0")?;
        gave_back(vm, 2)?;
        let [installed, live, committed] = [What::Installed, What::Live, What::Committed];
        let second = [installed, live, committed, committed].map(|what| (what, "0.2.0"));
        let third = [installed, live, committed].map(|what| (what, "0.3.0"));
        is_remembered(vm, &[&second[..], &third[..]].concat())
    });
    promises.finish();
    machine.finish();
    Ok(())
}
