//! Making a container, for `create` and `run`: folder, group, process; and whatever was begun is taken back if it fails.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use ashlar_runtime::{Bundle, Created, Error, Request};
use ashlar_sys::descriptor;

use crate::console::Awaited;
use crate::containers::Container;
use crate::flags::{Flag, Said, switch, value};
use crate::{About, Failed, Globals, placement};

/// Flags of both.
pub const FLAGS: [Flag; 8] = [
    value("bundle", "DIR", "the bundle, if it is not where we are").or('b'),
    value("config", "FILE", "configuration instead of the bundle's config.json").or('f'),
    value("console-socket", "PATH", "socket that gets the other end of the container's terminal"),
    value("pid-file", "FILE", "write the number of the container's process to this file"),
    value("preserve-fds", "N", "pass N descriptors from 3 on"),
    switch("no-pivot", "move the root over the old one, where that is the initramfs"),
    switch("no-new-keyring", "leave the caller's keys visible"),
    switch("no-subreaper", "taken for the sake of engines that say it; orphans are never ours"),
];

/// A container that was made.
#[derive(Debug)]
pub struct Made {
    /// Its folder.
    pub container: Container,
    /// What it was made from.
    pub bundle: Bundle,
    /// Its process.
    pub process: Created,
}

/// Where the bundle is.
fn directory(said: &Said) -> Result<PathBuf, Failed> {
    let directory = Path::new(said.value("bundle").unwrap_or("."));
    directory.canonicalize().about(format!("find the bundle {}", directory.display()))
}

/// Makes the container that the command line describes. `waits`: its process waits to be started. `console` is a socket
/// for the terminal, if it shall have one.
pub fn make(
    globals: &Globals,
    said: &Said,
    passed: &Passed,
    bundle: &(Bundle, Vec<u8>),
    console: Option<OwnedFd>,
    waits: bool,
) -> Result<Made, Failed> {
    let (bundle, config) = bundle;
    let id = &said.operands[0];
    if bundle.spec.process.is_none() {
        return Err(Failed::new(format!("{}: process is missing", bundle.directory.join("config.json").display())));
    }
    let mut container = Container::new(&globals.root, id, bundle, config)?;
    match fill(globals, said, passed, bundle, console.as_ref(), waits, &mut container) {
        Ok(process) => Ok(Made { container, bundle: bundle.clone(), process }),
        Err(failed) => {
            let cleared = placement::clear(&container.state).and_then(|()| container.remove());
            Err(match cleared {
                Ok(()) => failed,
                Err(left) => Failed::new(format!("{failed}; and then: {left}")),
            })
        }
    }
}

/// Reads the bundle that the command line names, and the text of its configuration.
pub fn bundle(said: &Said) -> Result<(Bundle, Vec<u8>), Failed> {
    let directory = directory(said)?;
    let path = said.value("config").map_or_else(|| directory.join("config.json"), PathBuf::from);
    let config = fs::read(&path).about(format!("read {}", path.display()))?;
    Ok((Bundle::parse(&directory, &path, &config)?, config))
}

/// A socket for the process's terminal, if it has one: to whoever the command line names, or to us, who wait for it.
pub fn console(said: &Said, terminal: bool, stays: bool) -> Result<(Option<OwnedFd>, Option<Awaited>), Failed> {
    match (said.value("console-socket").filter(|path| !path.is_empty()), terminal) {
        (Some(path), true) => {
            let socket = UnixStream::connect(path).about(format!("connect to --console-socket {path}"))?;
            Ok((Some(socket.into()), None))
        }
        (Some(_), false) => Err(Failed::new("--console-socket is given, but the process has no terminal")),
        (None, true) if stays => Awaited::new().map(|(ours, theirs)| (Some(theirs), Some(ours))),
        (None, true) => Err(Failed::new("the process has a terminal: --console-socket must say whom to hand it to")),
        (None, false) => Ok((None, None)),
    }
}

/// Descriptors that the caller passes on, and what their receiver looks for.
#[derive(Debug)]
pub struct Passed {
    descriptors: Vec<Option<OwnedFd>>,
    /// Variables beside the process's own.
    pub environment: Vec<(String, String)>,
    /// Those whose value is its number.
    pub own_pid: &'static [&'static str],
}

impl Passed {
    /// Those of socket activation, then as many as the command line says. To be called before anything else is opened:
    /// one that is not open is left out, and must not have become one of ours.
    pub fn from(said: &Said) -> Result<Self, Failed> {
        let variable = |key: &str| std::env::var(key).ok().map(|value| (key.to_owned(), value));
        let listening = variable("LISTEN_FDS").and_then(|(_, count)| count.parse::<i32>().ok()).unwrap_or(0);
        let count = listening + said.number::<u16>("preserve-fds")?.map_or(0, i32::from);
        let mut descriptors: Vec<_> = (3..3 + count).map(|fd| descriptor::adopt(fd).ok()).collect();
        let used = descriptors.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        descriptors.truncate(used);
        let keys = if listening > 0 { &["LISTEN_FDS", "LISTEN_FDNAMES"][..] } else { &[] };
        Ok(Self {
            descriptors,
            environment: keys.iter().filter_map(|key| variable(key)).collect(),
            own_pid: if listening > 0 { &["LISTEN_PID"] } else { &[] },
        })
    }

    /// In the order of their numbers.
    pub fn descriptors(&self) -> Vec<Option<BorrowedFd<'_>>> {
        self.descriptors.iter().map(|fd| fd.as_ref().map(AsFd::as_fd)).collect()
    }
}

/// Standard input, output and error of this program. A process that gets a terminal of its own does not hold them while it
/// waits to be started: containerd waits for their end before it starts anything.
pub fn stdio(terminal: bool) -> Result<[OwnedFd; 3], Failed> {
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().about("use standard input, output and error");
    if terminal {
        let null = fs::File::options().read(true).write(true).open("/dev/null").about("open /dev/null")?;
        return Ok([copy(null.as_fd())?, copy(null.as_fd())?, null.into()]);
    }
    Ok([copy(std::io::stdin().as_fd())?, copy(std::io::stdout().as_fd())?, copy(std::io::stderr().as_fd())?])
}

fn fill(
    globals: &Globals,
    said: &Said,
    passed: &Passed,
    bundle: &Bundle,
    console: Option<&OwnedFd>,
    waits: bool,
    container: &mut Container,
) -> Result<Created, Failed> {
    let id = container.state.id.clone();
    let mut plan = globals.manager.plan(bundle, &id)?;
    (container.state.group, container.state.unit) = (plan.group.clone(), plan.unit.clone());
    container.save()?;
    let group = plan.make()?;
    container.state.group.clone_from(&plan.group);
    let gate = waits.then(|| UnixListener::bind(container.gate()).about("make the container's gate")).transpose()?;
    let stdio = stdio(console.is_some())?;
    let request = Request {
        group: group.as_deref(),
        environment: &passed.environment,
        own_pid: passed.own_pid,
        console: console.map(AsFd::as_fd),
        gate: gate.as_ref().map(AsFd::as_fd),
        descriptors: &passed.descriptors(),
        no_pivot: said.has("no-pivot"),
        keep_keyring: said.has("no-new-keyring"),
        ..Request::new(bundle, &id, [stdio[0].as_fd(), stdio[1].as_fd(), stdio[2].as_fd()])
    };
    let process = ashlar_runtime::create(&request, |pid| {
        container.adopt(pid);
        let group = plan.hand_over(pid, bundle);
        container.state.group.clone_from(&plan.group);
        // Before the process can do anything: whatever happens to us, it will be found.
        let saved = group.and_then(|group| container.save().map(|()| group));
        saved.map_err(|failed| Error::Caller(failed.to_string()))
    })?;
    write_pid_file(said, process.pid)?;
    Ok(process)
}

/// Writes the process's number where the command line wants it, all or nothing.
pub fn write_pid_file(said: &Said, pid: u32) -> Result<(), Failed> {
    let Some(path) = said.value("pid-file").filter(|path| !path.is_empty()) else { return Ok(()) };
    let new = format!("{path}.new");
    let written = fs::write(&new, pid.to_string()).and_then(|()| fs::rename(&new, path));
    written.about(format!("write {path}"))
}
