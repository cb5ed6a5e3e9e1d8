//! Address, names and time from the network, with a peer of ours at the other end of the cable.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use ashlar_qemu_tests::peer::{self, Peer};
use ashlar_qemu_tests::promise::{Promises, eventually};
use ashlar_qemu_tests::vm::Vm;

/// The peer's clock is this far ahead of the machine's.
const AHEAD: u64 = 400 * 24 * 3600;

#[test]
fn address_names_and_time_come_from_the_network() -> Result<()> {
    let mut promises = Promises::new();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let peer = Peer::start(now + AHEAD)?;
    let mut vm = Vm::builder("network").make()?;
    vm.launch.networks.push(peer.network());
    vm.boot()?;
    let patience = vm.patience(30);
    let address = peer::GUEST.map(|byte| byte.to_string()).join(".");
    promises.check("DHCP: the address that was offered", || {
        eventually(patience, || {
            let addresses = vm.run("ip -4 -o address show")?;
            ensure!(addresses.contains(&format!("{address}/24")), "{addresses}");
            Ok(())
        })
    });
    promises.check("networkctl says that it is configured", || {
        eventually(patience, || {
            let links = vm.run("networkctl --no-pager --no-legend list")?;
            ensure!(links.matches("configured").count() >= 2 && !links.contains("unmanaged "), "{links}");
            Ok(())
        })
    });
    let named = peer::NAMED.map(|byte| byte.to_string()).join(".");
    promises.check("DNS: a name's address by way of resolved", || {
        eventually(patience, || {
            let answer = vm.run(&format!("getent ahostsv4 {}", peer::NAME))?;
            ensure!(answer.contains(&named), "{answer}");
            Ok(())
        })
    });
    promises.check("DNS: a name that does not exist", || {
        let ran = vm.try_run("getent ahostsv4 other.example.com")?;
        ensure!(ran.code != 0, "{}", ran.stdout);
        Ok(())
    });
    promises.check("NTP: the clock is set", || {
        eventually(vm.patience(60), || {
            let clock: u64 = vm.run("date +%s")?.parse()?;
            ensure!(clock > now + AHEAD - 3600, "it is {clock}");
            Ok(())
        })
    });
    promises.check("timedatectl says whom it asked", || {
        let said = vm.run("timedatectl show-timesync --property=ServerAddress --value")?;
        ensure!(said == peer::ADDRESS.map(|byte| byte.to_string()).join("."), "{said}");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}
