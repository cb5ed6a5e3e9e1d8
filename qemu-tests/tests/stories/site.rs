//! Two machines of one site, at one cable: what the one has of a new version, the other does not fetch from its publisher.

use anyhow::{Result, ensure};
use ashlar_control::update::{Outcome, State, What};
use ashlar_qemu_tests::fixture;
use ashlar_qemu_tests::promise::{Promises, eventually};
use ashlar_qemu_tests::qemu::{Network, WEB};
use ashlar_qemu_tests::vm::Vm;

use crate::updates::{BETTER, Site};

/// All of the metadata is much less.
const METADATA: u64 = 100 << 10;

/// The second card of a machine, as its configuration has it.
fn link(network: &Network, address: &str) -> String {
    format!("[[network]]\nmac-address = \"{}\"\naddress = \"{address}/24\"\n", network.hardware(1))
}

#[test]
fn machines_of_one_site_give_each_other_what_they_have() -> Result<()> {
    let mut promises = Promises::new();
    let [here, there] = Network::cable()?;
    // Beside those that it finds, one that is not there.
    let peers = "[update.peers]\ndiscover = true\nlist = [\"http://10.77.0.9:4724\"]\n";
    let settings = format!("{peers}{}", link(&here, "10.77.0.1"));
    let mut site = Site::new("site", ("0.2.0", BETTER), &settings)?;
    let Site { publisher, second, web, vm, .. } = &mut site;
    vm.launch.networks.push(here);
    publisher.publish(second, &[])?;

    let peers = "[update.peers]\nserve = true\ndiscover = true\n";
    let source = format!("[update]\nsource = \"http://{WEB}\"\n{peers}");
    let config = format!("{}\n{source}{}", fixture::with_console("near", "KEY"), link(&there, "10.77.0.2"));
    let mut near = Vm::builder("near").image(&second.disk()).config(&config).web(web.port).make()?;
    near.launch.networks.push(there);
    near.boot()?;
    vm.boot()?;
    let root = std::fs::read(second.output().join("root.erofs"))?;

    promises.check("what a machine gives it gives without a privilege, and only where it is told to", || {
        ensure!(near.unit("ashlar-share.service")?.active == "active");
        ensure!(vm.unit("ashlar-share.service")?.active == "inactive");
        let pid = near.root("systemctl show ashlar-share -P MainPID")?;
        let status = near.root(&format!("grep -E '^(Uid|CapBnd|NoNewPrivs):' /proc/{pid}/status"))?;
        ensure!(!status.contains("Uid:\t0\t") && status.contains("CapBnd:\t0000000000000000"), "{status}");
        // Its version's names are known once it has looked what is offered.
        near.try_run("os upgrade --check").map(drop)
    });
    let patience = vm.patience(60);
    promises.check("a machine finds the other, and a plan says what it will give", || {
        eventually(patience, || {
            let said = vm.run("os upgrade --plan")?;
            ensure!(said.contains("fetches 0K and ") && said.contains(" from machines of this site"), "{said}");
            Ok(())
        })
    });
    web.given();
    promises.check("an upgrade costs its publisher nothing but metadata", || {
        let outcome: Outcome = serde_json::from_str(&vm.run("os upgrade --json")?)?;
        let Outcome::Switched(plan) = &outcome else { anyhow::bail!("{outcome:?}") };
        ensure!(plan.fetch == Some(0) && plan.near.is_some_and(|near| near > 1 << 20), "{plan:?}");
        let given = web.given();
        ensure!(given < METADATA, "the publisher gave {given} bytes");
        ensure!(vm.disk.read("root-b", 0, root.len())? == root, "the slot holds something else");
        let state: State = serde_json::from_str(&vm.run("os explain update --json")?)?;
        let last = state.history.last().map(|event| (event.what, event.reason.clone()));
        ensure!(last.as_ref().is_some_and(|(what, why)| *what == What::Installed && why.contains("of this site")));
        Ok(())
    });
    promises.finish();
    site.vm.finish();
    near.finish();
    Ok(())
}
