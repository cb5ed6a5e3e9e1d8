//! A machine whose firmware starts only what its owner has signed: it takes his keys by itself at the first boot, goes back
//! from a version that is not well as any other does, and neither the updater nor the firmware take what nobody has signed.

use std::path::Path;

use anyhow::{Result, ensure};
use ashlar_control::update::{Outcome, State, What};
use ashlar_qemu_tests::derived::Derived;
use ashlar_qemu_tests::fixture;
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::publisher::Publisher;
use ashlar_qemu_tests::qemu::WEB;
use ashlar_qemu_tests::vm::Vm;
use ashlar_qemu_tests::web::Web;

use crate::updates::{BAD, GOOD, UNTRUSTED, come_back, is_committed};

const NAME: &str = "signed";

#[test]
fn only_what_is_signed_starts() -> Result<()> {
    let mut promises = Promises::new();
    let publisher = Publisher::new(NAME)?;
    let plain = publisher.trusted();
    let signed = plain.clone() + &publisher.secure_boot()?;
    let first = Derived::version(NAME, "0.1.0", &signed, &[GOOD])?;
    let bad = Derived::version(NAME, "0.2.0", &signed, &[BAD])?;
    let stranger = Derived::version(NAME, "0.3.0", &plain, &[GOOD])?;
    publisher.publish(&first, &[])?;
    publisher.publish(&bad, &[])?;
    let web = Web::serve(Path::new(&publisher.path("shop")))?;
    let config = format!("{}\n[update]\nsource = \"http://{WEB}\"\n", fixture::with_console(NAME, "KEY"));
    let mut vm = Vm::builder(NAME).image(&first.disk()).config(&config).web(web.port).make()?;
    vm.launch.secure_boot = true;

    promises.check("firmware without keys takes the owner's, and checks from then on", || {
        vm.start()?;
        come_back(&mut vm)?;
        vm.run("journalctl -k --no-pager | grep -i 'secure boot enabled'")?;
        is_committed(&mut vm, "0.1.0")
    });
    promises.check("a signed version is started, and left when it is not well", || {
        let ran = vm.run("os upgrade --json")?;
        let outcome: Outcome = serde_json::from_str(&ran)?;
        ensure!(matches!(&outcome, Outcome::Switched(plan) if plan.to == "0.2.0"), "{ran}");
        vm.try_run("os reboot")?;
        vm.wait_reset()?;
        come_back(&mut vm)?;
        is_committed(&mut vm, "0.1.0")?;
        let state: State = serde_json::from_str(&vm.run("os explain update --json")?)?;
        let last = state.history.last().map(|event| (event.what, event.version.as_str()));
        ensure!(last == Some((What::Condemned, "0.2.0")), "{last:?}");
        Ok(())
    });
    publisher.publish(&stranger, &[])?;
    promises.check("an upgrade to what is not signed is refused before anything is switched", || {
        let ran = vm.try_run("os upgrade")?;
        ensure!(
            ran.code == UNTRUSTED && ran.stderr.contains("would not start") && ran.stderr.contains("not signed"),
            "{ran:?}"
        );
        let entries = vm.disk.list_esp("EFI/Linux")?;
        ensure!(!entries.iter().any(|name| name.contains("0.3.0")), "{entries:?}");
        ensure!(vm.status()?.version == "0.1.0");
        Ok(())
    });
    promises.check("and what somebody put there all the same, the firmware does not start", || {
        vm.try_run("os poweroff")?;
        vm.wait_off()?;
        vm.disk.put_on_esp("EFI/Linux/ashlar_0.3.0.efi", &std::fs::read(stranger.output().join("ashlar.efi"))?)?;
        vm.start()?;
        let patience = vm.patience(60);
        vm.serial()?.wait_for_line("ashlar_0.3.0.efi", patience)?;
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}
