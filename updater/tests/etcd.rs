//! The lock of a group of machines in a real etcd: whoever asks at the same time, no more than so many have it.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ashlar_updater::lock::{Lock, Taken};

/// An etcd of this test alone, with what it keeps in a folder that goes with it.
struct Etcd {
    process: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Etcd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [clients, peers] = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [clients, peers] = [clients, peers].map(|listener| format!("http://{}", listener.local_addr().unwrap()));
        let process = Command::new("etcd")
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("default={peers}")])
            // It takes itself for unsupported elsewhere.
            .env("ETCD_UNSUPPORTED_ARCH", "arm64")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("etcd is not installed: `cargo xtask setup` does that");
        Self { process, address: clients, _folder: folder }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn no_more_than_so_many_have_it() {
    let etcd = Etcd::start();
    let lock = Lock { fleetlock: None, etcd: vec![etcd.address.clone()], group: "web".into(), at_most: 2 };
    let begun = Instant::now();
    while lock.give_back("nobody").is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "etcd does not answer");
        thread::sleep(Duration::from_millis(100));
    }
    let machines: Vec<String> = (0..12).map(|number| format!("machine {number}")).collect();
    let ask = |machine: &String| loop {
        match lock.take(machine).unwrap() {
            // That is not for ever.
            Taken::No(why) if why.contains("all the time") => {}
            taken => return taken == Taken::Yes,
        }
    };
    let taken: Vec<bool> = thread::scope(|scope| {
        let asked: Vec<_> = machines.iter().map(|machine| scope.spawn(move || ask(machine))).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 2, "{taken:?}");
    let holder = machines.iter().zip(&taken).find(|(_, taken)| **taken).unwrap().0;
    let waiting = machines.iter().zip(&taken).find(|(_, taken)| !**taken).unwrap().0;
    assert!(ask(holder) && !ask(waiting));
    lock.give_back(holder).unwrap();
    assert!(ask(waiting));
}
