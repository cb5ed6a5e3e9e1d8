//! PID 1 at work: the core, and the outside that it acts on. One thread, one loop, one match.
//!
//! A turn: sleep until something is ready, hand each event to the core, carry out what it asks for, let time-outs pass,
//! save what changed, sleep again. Nothing here blocks: whoever is slow is a descriptor to be told of later.
//!
//! - `carry_out`: actions of the core; `launch`: starting processes, `host` on the host itself; `journal`: their output.
//! - `files`: unit files; `paths`: what path units watch.
//! - `notified`: what services say; `groups`: control groups and their events; `ended`: ends of children.
//! - `calls`: the control socket; `status`: what it tells; `session`: processes for people.
//! - `transient`: units that are made meanwhile, and changes to those that are there.
//! - `trial`: whether a new version stays; `live`: going over to one without a reboot.
//! - `save`: the snapshot, and coming back from it; `down`: the end of the machine.

mod bind;
mod calls;
mod carry_out;
mod clean;
mod connections;
mod down;
mod ended;
mod files;
mod groups;
mod host;
mod journal;
mod launch;
mod limits;
mod live;
mod notified;
mod paths;
mod prepare;
mod save;
mod session;
mod status;
mod transient;
mod trial;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use ashlar_config::unit::Unit;
use ashlar_control::message::{self, JobKind, JobMode, Shutdown};
use ashlar_sys::epoll::{self, Epoll, Ready};
use ashlar_sys::inotify::Inotify;
use ashlar_sys::signal::{self, Descriptor};
use ashlar_sys::socket::{self, Kind, Setting};
use ashlar_sys::{clock, descriptor};

use crate::builtin;
use crate::control::Connections;
use crate::core::{Core, Now, UnitId};
use crate::event::Event;
use crate::facts::Facts;
use crate::identity;
use crate::log::{self, Log};
use crate::ports::Port;
use crate::power_key::{self, Keys};
use crate::snapshot::Snapshot;
use crate::store::Stored;
use crate::watchdog::Watchdog;

use connections::Connection;
pub use save::Inherited;

/// Where services send their notifications.
pub const NOTIFY: &str = "/run/systemd/notify";
/// PID 1's receive buffer for them: a thousand services may become ready at once.
const NOTIFY_BUFFER: usize = 8 << 20;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;
const SIGCHLD: i32 = 17;

/// Everything.
pub struct Machine {
    pub core: Core,
    pub log: Log,
    facts: Facts,
    epoll: Epoll,
    signals: Descriptor,
    wake: io::PipeReader,
    inotify: Inotify,
    /// Of path units alone: one watch of a file is all that there is for one descriptor.
    path_watches: Inotify,
    paths: paths::Paths,
    files: files::Files,
    clock_changes: clock::Changes,
    notify: OwnedFd,
    control: OwnedFd,
    connections: Connections,
    /// Callers with replies to be written.
    talking: BTreeSet<u32>,
    groups: groups::Groups,
    ports: BTreeMap<UnitId, Vec<Port>>,
    /// Connections that were taken, by the instance that serves each.
    served: BTreeMap<UnitId, Connection>,
    stores: BTreeMap<UnitId, Vec<Stored>>,
    /// Containers that are being set up, by process.
    starting: BTreeMap<u32, launch::Starting>,
    /// Main processes that are not our children.
    foreign: BTreeMap<u32, OwnedFd>,
    sessions: session::Sessions,
    gifts: transient::Gifts,
    /// What those who watch have yet to be told about jobs and units.
    news: Vec<message::Event>,
    snapshot: Snapshot,
    keys: Keys,
    /// The folder of input devices, among the watched files.
    keys_watch: Option<i32>,
    watchdog: Watchdog,
    trial: trial::Trial,
    /// It went over to another version since it was booted.
    live: Option<live::Live>,
    /// Set once the machine is going down.
    going_down: Option<Shutdown>,
    /// When the first instance began.
    began: u64,
    /// When user space was ready, in microseconds after its first instruction.
    ready_after: u64,
    reexecute: bool,
    /// Executions in quick succession.
    restarts: u32,
}

impl Machine {
    /// A machine over `units`, or the one that an earlier instance left.
    pub fn new(units: Vec<Unit>, facts: Facts, inherited: Option<Inherited>) -> io::Result<Self> {
        let mut log = Log::open();
        let (core, complaints) = Core::new(units, clock::real() ^ clock::monotonic().rotate_left(32));
        for complaint in complaints.iter().filter(|_| inherited.is_none()) {
            log.say(log::WARNING, None, complaint);
        }
        let (wake, writer) = io::pipe()?;
        crate::survival::arm(writer);
        let first = inherited.is_none();
        let handed_over = facts.watchdog_fd.filter(|_| first).and_then(|fd| descriptor::adopt(fd).ok());
        let mut inherited = inherited.unwrap_or_default();
        let signals = [SIGINT, SIGTERM, SIGCHLD].into_iter().chain((3..=7).map(signal::real_time));
        let mut machine = Self {
            core,
            log,
            facts,
            epoll: Epoll::new()?,
            signals: Descriptor::new(&signals.collect::<Vec<_>>())?,
            wake,
            inotify: Inotify::new()?,
            path_watches: Inotify::new()?,
            paths: paths::Paths::default(),
            files: files::Files::default(),
            clock_changes: clock::Changes::new()?,
            notify: inherited.take("notify").map_or_else(open_notify, Ok)?,
            control: inherited.take("control").map_or_else(open_control, Ok)?,
            connections: Connections::default(),
            talking: BTreeSet::new(),
            groups: groups::Groups::default(),
            ports: BTreeMap::new(),
            served: BTreeMap::new(),
            stores: BTreeMap::new(),
            starting: BTreeMap::new(),
            foreign: BTreeMap::new(),
            sessions: session::Sessions::default(),
            gifts: transient::Gifts::default(),
            news: Vec::new(),
            snapshot: inherited.snapshot()?,
            keys: Keys::default(),
            keys_watch: None,
            watchdog: Watchdog::adopt(inherited.take("watchdog").or(handed_over)),
            trial: trial::Trial::default(),
            live: live::Live::read(),
            going_down: None,
            began: clock::monotonic(),
            ready_after: 0,
            reexecute: false,
            restarts: 0,
        };
        machine.core.set_zone(&identity::LOCAL);
        machine.watch_own()?;
        machine.watch_keys();
        machine.set_now();
        machine.come_back(inherited);
        machine.begin_trial();
        machine.go_on_live();
        machine.save();
        crate::survival::protect_running(&machine.snapshot)?;
        Ok(machine)
    }

    fn watch_own(&self) -> io::Result<()> {
        let own: [(&dyn AsFdDyn, Event); 7] = [
            (&self.signals, Event::Signalled),
            (&self.wake, Event::Woken),
            (&self.inotify, Event::FileChanged),
            (&self.path_watches, Event::PathChanged),
            (&self.clock_changes, Event::ClockSet),
            (&self.notify, Event::Notified),
            (&self.control, Event::Connected),
        ];
        own.into_iter().try_for_each(|(fd, event)| self.epoll.add(fd.fd(), event.token(), epoll::READ))
    }

    /// Queues the default target: what booting means.
    pub fn boot(&mut self) {
        self.set_now();
        if let Err(refusal) = self.core.enqueue(builtin::DEFAULT, JobKind::Start, JobMode::Replace) {
            self.log.say(log::ERROR, None, &format!("cannot boot: {refusal}"));
        }
        self.carry_out();
        self.save();
    }

    /// The loop. It ends by executing PID 1 anew, or with the machine.
    pub fn run(&mut self) -> ! {
        let mut ready = Vec::new();
        loop {
            ready.clear();
            if let Err(error) = self.epoll.wait(self.patience(), &mut ready) {
                self.log.say(log::ERROR, None, &format!("cannot wait for events: {error}"));
            }
            self.turn(&ready);
            if self.reexecute || signal::was_sent() {
                self.keep_callers();
                crate::survival::execute();
            }
        }
    }

    fn turn(&mut self, ready: &[Ready]) {
        self.set_now();
        let mut events: Vec<(Event, u32)> =
            ready.iter().filter_map(|r| Some((Event::from_token(r.token)?, r.events))).collect();
        events.sort_unstable();
        for (event, state) in events {
            self.dispatch(event, state);
            self.carry_out();
        }
        self.core.tick();
        self.sessions_tick();
        self.carry_out();
        self.mind_live();
        self.mind_trial();
        self.watchdog.pet(self.core.now().monotonic);
        self.save();
    }

    fn dispatch(&mut self, event: Event, state: u32) {
        match event {
            Event::Starting(pid) => self.started(pid),
            Event::Notified => self.receive_notifications(),
            Event::Traffic(unit, place) => self.traffic(UnitId(unit), place),
            Event::StoredHangup(unit, place) => self.drop_stored(UnitId(unit), place),
            Event::ForeignEnd(pid) => self.foreign_end(pid),
            Event::FileChanged => self.files_changed(),
            Event::PathChanged => self.paths_changed(),
            Event::ClockSet => {
                self.clock_changes.take();
                self.core.clock_set();
            }
            Event::Connected => self.take_callers(),
            Event::Caller(id) => self.caller_ready(id, state),
            Event::Key(number) => self.key_pressed(number),
            Event::Signalled => self.take_signals(),
            Event::Woken => self.drain_wake(),
        }
    }

    /// How long the loop may sleep.
    fn patience(&self) -> Option<Duration> {
        let times = [self.core.next_alarm(), self.watchdog.next(), self.sessions.next_alarm(), self.trial.next_alarm()];
        let next = times.into_iter().flatten().min()?;
        Some(Duration::from_micros(next.saturating_sub(clock::monotonic())))
    }

    fn set_now(&mut self) {
        self.core.set_now(Now { monotonic: clock::monotonic(), real: clock::real() });
    }

    fn drain_wake(&mut self) {
        let _ = io::Read::read(&mut self.wake, &mut [0; 4096]);
    }

    fn take_signals(&mut self) {
        while let Ok(Some(received)) = self.signals.read() {
            match received.signal {
                SIGCHLD => self.children_ended(),
                SIGTERM => self.reexecute = true,
                SIGINT => self.go_down(Shutdown::Reboot, "Ctrl-Alt-Del"),
                other => {
                    let ways =
                        [Shutdown::Halt, Shutdown::Poweroff, Shutdown::Reboot, Shutdown::Kexec, Shutdown::SoftReboot];
                    if let Some(place) = (3..=7).position(|n| signal::real_time(n) == other) {
                        self.go_down(ways[place], "a signal");
                    }
                }
            }
        }
    }

    /// Opens the power keys that are there, and waits for the ones that come: drivers are loaded when they like.
    fn watch_keys(&mut self) {
        self.keys_watch = self.inotify.watch_folder(Path::new(power_key::DEVICES)).ok();
        self.open_keys();
    }

    fn open_keys(&mut self) {
        for number in self.keys.look() {
            if let Some(fd) = self.keys.descriptor(number) {
                let _ = self.epoll.add(fd, Event::Key(number).token(), epoll::READ);
            }
        }
    }

    fn files_changed(&mut self) {
        for watch in self.inotify.read() {
            match self.keys_watch == Some(watch) {
                true => self.open_keys(),
                false => self.group_changed(watch),
            }
        }
    }

    fn key_pressed(&mut self, number: u16) {
        if !self.keys.pressed(number) {
            return;
        }
        // logind has its own, configurable answer to the key.
        let logind = self.core.graph.find("systemd-logind.service");
        if logind.is_none_or(|unit| !self.core.active(unit).is_up()) {
            self.go_down(Shutdown::Poweroff, "the power button");
        }
    }

    /// Name of a unit, for messages.
    fn name(&self, unit: UnitId) -> String {
        self.core.graph.name(unit).to_owned()
    }
}

/// Anything with a descriptor, so that different types stand in one list.
trait AsFdDyn {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_>;
}

impl<T: AsFd> AsFdDyn for T {
    fn fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.as_fd()
    }
}

fn open_notify() -> io::Result<OwnedFd> {
    let fd = open_socket(NOTIFY, Kind::Datagram, 0o777)?;
    socket::set(&fd, Setting::PassCredentials)?;
    let _ = socket::set(&fd, Setting::ReceiveBuffer(NOTIFY_BUFFER));
    Ok(fd)
}

fn open_control() -> io::Result<OwnedFd> {
    open_socket(ashlar_control::SOCKET, Kind::Stream, 0o666)
}

fn open_socket(path: &str, kind: Kind, mode: u32) -> io::Result<OwnedFd> {
    use std::os::unix::fs::PermissionsExt;
    let path = Path::new(path);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let _ = std::fs::remove_file(path);
    let fd = socket::listen_unix(path, kind, socket::BACKLOG)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(fd)
}
