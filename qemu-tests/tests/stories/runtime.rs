//! The runtime by itself, as engines call it, with control groups.

use anyhow::{Context as _, Result, ensure};
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::vm::Vm;
use serde_json::{Value, json};

const BUNDLE: &str = "/var/tmp/bundle";

/// What `spec` writes, with the machine's own root, and `change` made to it.
fn configure(vm: &mut Vm, change: impl FnOnce(&mut Value)) -> Result<()> {
    let written = format!("mkdir -p {BUNDLE} && rm -f {BUNDLE}/config.json && ashlar-runtime spec --bundle {BUNDLE}");
    let text = vm.root(&format!("{written} && cat {BUNDLE}/config.json"))?;
    let mut config: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    config["root"]["path"] = json!("/");
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!(["sleep", "600"]);
    config["mounts"]
        .as_array_mut()
        .context("mounts")?
        .push(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    change(&mut config);
    let file = format!("cat > {BUNDLE}/config.json");
    let ran = vm.ssh()?.run(&format!("rm -f {BUNDLE}/config.json; {file}"), config.to_string().as_bytes())?;
    if ran.code != 0 {
        // The folder is root's.
        vm.root(&format!("cat > {BUNDLE}/config.json <<'END'\n{config}\nEND"))?;
    }
    Ok(())
}

fn call(vm: &mut Vm, words: &str) -> Result<String> {
    vm.root(&format!("cd {BUNDLE} && ashlar-runtime {words}"))
}

/// As an engine does: the container outlives the call, so it may not hold the call's output.
fn create(vm: &mut Vm, words: &str) -> Result<()> {
    call(vm, &format!("{words} < /dev/null > /tmp/said 2>&1 || {{ cat /tmp/said; false; }}")).map(drop)
}

fn status(vm: &mut Vm, id: &str) -> Result<String> {
    let state: Value = serde_json::from_str(&call(vm, &format!("state {id}"))?)?;
    Ok(state["status"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn the_runtime_by_itself() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("runtime").boot()?;
    promises.check("run runs what spec describes, and leaves nothing", || {
        configure(&mut vm, |config| {
            config["process"]["args"] = json!(["sh", "-c", "echo $$; cat /proc/self/cgroup; exit 3"])
        })?;
        let ran = vm.try_root(&format!("cd {BUNDLE} && ashlar-runtime run one"))?;
        ensure!(ran.code == 3 && ran.stdout.lines().eq(["1", "0::/"]), "{ran:?}");
        ensure!(call(&mut vm, "list -q")?.is_empty());
        let left = vm.root("ls -d /sys/fs/cgroup/ashlar-runtime/*/ 2>/dev/null; true")?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    });
    let limits = json!({"memory": {"limit": 64 << 20}, "pids": {"limit": 30}, "cpu": {"shares": 2048},
        "devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"}]});
    let group = "/sys/fs/cgroup/ashlar-runtime/two";
    promises.check("a container waits behind its gate, within its limits", || {
        configure(&mut vm, |config| config["linux"]["resources"] = limits.clone())?;
        create(&mut vm, "create --pid-file /tmp/pid two")?;
        ensure!(status(&mut vm, "two")? == "created");
        let said = vm.root(&format!("cd {group} && cat memory.max pids.max cpu.weight cgroup.procs /tmp/pid"))?;
        let words: Vec<&str> = said.split_whitespace().collect();
        ensure!(words[..3] == ["67108864", "30", "174"] && words.get(3) == words.get(4), "{said}");
        Ok(())
    });
    promises.check("it is started, entered and looked at", || {
        call(&mut vm, "start two")?;
        ensure!(status(&mut vm, "two")? == "running");
        let ran = vm.try_root(
            "ashlar-runtime exec --env A=b --cwd /tmp two sh -c 'echo $A $PWD; cat /proc/self/cgroup; exit 4'",
        )?;
        ensure!(ran.code == 4 && ran.stdout.lines().eq(["b /tmp", "0::/"]), "{ran:?}");
        let processes: Vec<u32> = serde_json::from_str(&call(&mut vm, "ps --format json two")?)?;
        ensure!(processes.len() == 1, "{processes:?}");
        let event: Value = serde_json::from_str(&call(&mut vm, "events --stats two")?)?;
        let memory = &event["data"]["memory"]["usage"];
        ensure!(memory["limit"] == 64 << 20 && memory["usage"].as_u64() > Some(0), "{event}");
        ensure!(
            event["data"]["pids"]["current"] == 1 && event["data"]["memory"]["psi"]["some"]["total"].is_u64(),
            "{event}"
        );
        Ok(())
    });
    promises.check("it reaches the devices that its rules name, and no others", || {
        let script = "mknod /tmp/k c 1 11 && dd if=/tmp/k of=/dev/null bs=8192 count=1 2>/dev/null && echo reads; echo x 2>/dev/null > /tmp/k || echo kept; \
                      mknod /tmp/m c 1 1 && head -c 1 /tmp/m 2>&1; true";
        let said = call(&mut vm, &format!("exec --cap CAP_MKNOD --cap CAP_SYSLOG two sh -c '{script}'"))?;
        ensure!(said.starts_with("reads\nkept\n") && said.contains("Operation not permitted"), "{said}");
        Ok(())
    });
    promises.check("its limits are changed while it runs, and what is not said stays", || {
        call(&mut vm, "update --memory 80M --cpu-quota 50000 two")?;
        call(&mut vm, "update --cpu-period 200000 --pids-limit 40 two")?;
        let said = vm.root(&format!("cd {group} && cat memory.max pids.max cpu.max"))?;
        ensure!(said.split_whitespace().eq(["83886080", "40", "50000", "200000"]), "{said}");
        let small = r#"{"memory": {"limit": 4096, "checkBeforeUpdate": true}}"#;
        let refused = vm.try_root(&format!("echo '{small}' | ashlar-runtime update -r - two"))?;
        ensure!(refused.code == 1 && refused.stderr.contains("bytes are in use"), "{refused:?}");
        Ok(())
    });
    promises.check("it is paused and goes on", || {
        call(&mut vm, "pause two")?;
        ensure!(status(&mut vm, "two")? == "paused");
        let refused = vm.try_root("ashlar-runtime exec two true")?;
        ensure!(refused.code == 1 && refused.stderr.contains("it is paused"), "{refused:?}");
        call(&mut vm, "resume two")?;
        ensure!(status(&mut vm, "two")? == "running");
        Ok(())
    });
    promises.check("it is killed and removed, with its group, even when it is paused", || {
        call(&mut vm, "pause two")?;
        call(&mut vm, "delete --force two")?;
        let left = vm.root("ls -d /sys/fs/cgroup/ashlar-runtime/*/ 2>/dev/null; ashlar-runtime list -q")?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    });
    promises.check("by way of PID 1 it is a scope, with its limits", || {
        configure(&mut vm, |config| {
            config["linux"]["resources"] = limits.clone();
            config["linux"]["cgroupsPath"] = json!("machine.slice:try:three");
            config["annotations"] = json!({"org.systemd.property.Description": "'Tried out'"});
        })?;
        create(&mut vm, "--systemd-cgroup create three")?;
        call(&mut vm, "start three")?;
        let said = vm.root("systemctl show -P Description -P ActiveState -P MemoryMax -P ControlGroup try-three.scope")?;
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        ensure!(lines == ["/machine.slice/try-three.scope", "67108864", "Tried out", "active"], "{said}");
        call(&mut vm, "update --memory 90M three")?;
        let said = vm.root("systemctl show -P MemoryMax try-three.scope; cat /sys/fs/cgroup/machine.slice/try-three.scope/memory.max")?;
        ensure!(said.split_whitespace().eq(["94371840", "94371840"]), "{said}");
        call(&mut vm, "kill three KILL")?;
        vm.root("until ashlar-runtime delete three; do sleep 0.2; done 2>/dev/null")?;
        let left = vm.root("systemctl list-units --all --no-legend 'try-*.scope'; ls -d /sys/fs/cgroup/machine.slice/try-* 2>/dev/null; true")?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    });
    promises.check("whoever makes it may be killed at any moment: what is there is found and removed", || {
        configure(&mut vm, |config| config["linux"]["resources"] = limits.clone())?;
        let script = format!(
            "cd {BUNDLE}; for t in 0.001 0.005 0.01 0.02 0.03 0.04 0.05 0.06 0.08 0.1 0.12 0.15 0.2; do \
             timeout -s KILL $t ashlar-runtime create k < /dev/null > /dev/null 2>&1; ashlar-runtime delete --force k || exit 1; \
             ls -d /sys/fs/cgroup/ashlar-runtime/k 2>/dev/null && exit 2; done; sleep 0.5; grep -c {BUNDLE} /proc/mounts; \
             pgrep -cx ashlar-runtime"
        );
        let ran = vm.try_root(&script)?;
        ensure!(ran.stdout.lines().eq(["0", "0"]), "{ran:?}");
        Ok(())
    });
    promises.check("what it can do is told, in the manual as well", || {
        let features: Value = serde_json::from_str(&call(&mut vm, "features")?)?;
        ensure!(
            features["linux"]["cgroup"]["v2"] == true && features["linux"]["seccomp"]["enabled"] == true,
            "{features}"
        );
        let manual = call(&mut vm, "man")?;
        ensure!(manual.contains(".SS create [FLAGS] ID") && call(&mut vm, "completion bash")?.contains("complete -F"));
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}
