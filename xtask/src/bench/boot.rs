//! From QEMU's start to ready, and to SSH.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use ashlar_qemu_tests::fixture;
use ashlar_qemu_tests::vm::Vm;

use super::floor;
use super::table::Row;

/// When a machine had come how far.
#[derive(Debug, Clone, Copy, Default)]
struct Boot {
    ready: Duration,
    ready_cpu: Duration,
    banner: Duration,
    banner_cpu: Duration,
}

/// The group.
pub fn measure() -> Result<Vec<Row>> {
    let (floor, floor_cpu) = floor::measure()?;
    let mut vm = super::machine("bench").memory(512).config(&fixture::smallest("bench", "KEY")).make()?;
    let first = boot(&mut vm)?;
    let mut best: Option<Boot> = None;
    for _ in 0..3 {
        let next = boot(&mut vm)?;
        best = Some(best.map_or(next, |best| better(best, next)));
    }
    let best = best.unwrap_or_default();
    vm.finish();
    let seconds = |time: Duration| time.as_secs_f64();
    let against = |what, time, floor| Row::new(what, seconds(time), "s").against("floor", seconds(floor));
    Ok(vec![
        against("to ready, wall", best.ready, floor).at_most(1.5),
        against("to ready, CPU of QEMU", best.ready_cpu, floor_cpu).at_most(1.5),
        against("to an SSH banner, wall", best.banner, floor).at_most(1.5),
        against("to an SSH banner, CPU of QEMU", best.banner_cpu, floor_cpu).at_most(1.5),
        Row::new("user space to ready, CPU of QEMU", seconds(best.ready_cpu.saturating_sub(floor_cpu)), "s"),
        against("first boot to ready, wall", first.ready, floor),
    ])
}

fn better(one: Boot, other: Boot) -> Boot {
    Boot {
        ready: one.ready.min(other.ready),
        ready_cpu: one.ready_cpu.min(other.ready_cpu),
        banner: one.banner.min(other.banner),
        banner_cpu: one.banner_cpu.min(other.banner_cpu),
    }
}

/// Boots and switches off again.
fn boot(vm: &mut Vm) -> Result<Boot> {
    let begun = Instant::now();
    vm.start()?;
    vm.wait_ready()?;
    let (ready, ready_cpu) = (begun.elapsed(), vm.cpu_time()?);
    wait_for_banner(vm.ssh_port(), vm.patience(60))?;
    let (banner, banner_cpu) = (begun.elapsed(), vm.cpu_time()?);
    vm.press_power()?;
    vm.wait_off()?;
    Ok(Boot { ready, ready_cpu, banner, banner_cpu })
}

/// The forwarded port takes connections at once; only the machine's sshd says something. A connection that comes before
/// the machine has its address is given up soon: QEMU's network tries it again only after six seconds.
fn wait_for_banner(port: u16, patience: Duration) -> Result<()> {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_millis(1500)))?;
        let mut banner = [0; 4];
        if stream.read_exact(&mut banner).is_ok() && banner == *b"SSH-" {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("no SSH banner within {} s", patience.as_secs())
}
