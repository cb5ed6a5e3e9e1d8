//! `[Socket]`, `[Timer]`, `[Path]`, `[Mount]` and `[Scope]` (systemd.socket(5) and so on).

use super::{Draft, Taken, put, put_span};
use crate::quantity::{Size, Span};
use crate::systemd::{calendar, value};
use crate::unit::{Socket, is_unit_name};

pub fn socket(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    if let Some(kind) = key.strip_prefix("Listen") {
        return listen(draft, kind, text);
    }
    let text = &draft.expand(text)?;
    let options = &mut draft.socket.options;
    match key {
        "Accept" => return put(&mut draft.socket.accepts, value::boolean(text)),
        "MaxConnections" => return put(&mut draft.socket.accept.most, value::number(text)),
        "MaxConnectionsPerSource" => return put(&mut draft.socket.accept.most_per_source, value::number(text)),
        "Service" => draft.socket.service.clone_from(text),
        "FileDescriptorName" => options.name = Some(text.clone()),
        "SocketMode" => {
            value::mode(text)?;
            options.mode = Some(text.clone());
        }
        "SocketUser" => options.user = Some(text.clone()).filter(|name| !name.is_empty()),
        "SocketGroup" => options.group = Some(text.clone()).filter(|name| !name.is_empty()),
        "Symlinks" => options.symlinks = super::split(text)?,
        "PassCredentials" => return put(&mut options.pass_credentials, value::boolean(text)),
        "PassSecurity" => return put(&mut options.pass_security, value::boolean(text)),
        "Timestamping" => options.timestamping = !["off", ""].contains(&text.as_str()),
        "ReceiveBuffer" => options.receive_buffer = Some(Size(value::size(text)?)),
        // Folders are made with it as needed.
        "DirectoryMode" => drop(value::mode(text)?),
        _ => return option(draft, key, text),
    }
    Ok(Taken::Yes)
}

/// Options that the kernel has.
fn option(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    let options = &mut draft.socket.options;
    let switch = match key {
        "FreeBind" => &mut options.free_bind,
        "Transparent" => &mut options.transparent,
        "ReusePort" => &mut options.reuse_port,
        "KeepAlive" => &mut options.keep_alive,
        "NoDelay" => &mut options.no_delay,
        "Broadcast" => &mut options.broadcast,
        "PassPacketInfo" => &mut options.pass_packet_info,
        "BindIPv6Only" => match text {
            "default" | "both" => return put(&mut options.ipv6_only, Ok(false)),
            "ipv6-only" => return put(&mut options.ipv6_only, Ok(true)),
            _ => return Err(format!("`{text}` is not one of its words")),
        },
        "SendBuffer" => return put(&mut options.send_buffer, value::size(text).map(|size| Some(Size(size)))),
        "Backlog" => return put(&mut options.backlog, value::number(text).map(Some)),
        "KeepAliveProbes" => return put(&mut options.keep_alive_probes, value::number(text).map(Some)),
        "Priority" => return put(&mut options.priority, value::number(text).map(Some)),
        "Mark" => return put(&mut options.mark, value::number(text).map(Some)),
        "KeepAliveTimeSec" => return put_span(&mut options.keep_alive_time, text),
        "KeepAliveIntervalSec" => return put_span(&mut options.keep_alive_interval, text),
        "DeferAcceptSec" => return put_span(&mut options.defer_accept, text),
        _ => return super::service::kill(draft, key, text),
    };
    put(switch, value::boolean(text))
}

fn listen(draft: &mut Draft<'_>, kind: &str, text: &str) -> Result<Taken, String> {
    if text.is_empty() {
        draft.socket.listen.clear();
        return Ok(Taken::Yes);
    }
    let address = Some(draft.expand(text)?);
    draft.socket.listen.push(match kind {
        "Stream" => Socket { listen_stream: address, ..Socket::default() },
        "Datagram" => Socket { listen_datagram: address, ..Socket::default() },
        "SequentialPacket" => Socket { listen_sequential_packet: address, ..Socket::default() },
        "Netlink" => Socket { listen_netlink: address, ..Socket::default() },
        "FIFO" => Socket { listen_fifo: address, ..Socket::default() },
        _ => return Ok(Taken::Unknown),
    });
    Ok(Taken::Yes)
}

pub fn timer(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    if let Some(base) = key.strip_prefix("On").filter(|base| base.ends_with("Sec") || *base == "Calendar") {
        return time(draft, base, text);
    }
    match key {
        "Unit" => draft.timer_unit = unit_name(draft, text)?,
        "RandomizedDelaySec" => return put_span(&mut draft.timer.randomized_delay, text),
        "Persistent" => return put(&mut draft.timer.persistent, value::boolean(text)),
        // Nothing is put off to save a waking.
        "AccuracySec" => drop(value::span(text)?),
        _ => return Ok(Taken::Unknown),
    }
    Ok(Taken::Yes)
}

fn time(draft: &mut Draft<'_>, base: &str, text: &str) -> Result<Taken, String> {
    let timer = &mut draft.timer;
    if text.is_empty() {
        // Any empty one takes all of them back.
        (timer.on_boot, timer.on_active, timer.on_unit_active, timer.on_unit_inactive) = (None, None, None, None);
        timer.on_calendar.clear();
        return Ok(Taken::Yes);
    }
    if base == "Calendar" {
        let text = draft.expand(text)?;
        calendar::Calendar::parse(&text)?;
        draft.timer.on_calendar.push(text);
        return Ok(Taken::Yes);
    }
    let span = Some(value::span(text)?);
    match base {
        "BootSec" | "StartupSec" => timer.on_boot = span,
        "ActiveSec" => timer.on_active = span,
        "UnitActiveSec" => timer.on_unit_active = span,
        "UnitInactiveSec" => timer.on_unit_inactive = span,
        _ => return Ok(Taken::Unknown),
    }
    Ok(Taken::Yes)
}

fn unit_name(draft: &Draft<'_>, text: &str) -> Result<String, String> {
    let name = draft.expand(text)?;
    if is_unit_name(&name) { Ok(name) } else { Err(format!("`{name}` is no unit's name")) }
}

pub fn path(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    match key {
        "PathExists" | "PathExistsGlob" | "PathChanged" | "PathModified" | "DirectoryNotEmpty" => {
            match text.is_empty() {
                true => draft.watched.paths.clear(),
                false => {
                    let path = draft.path(text)?;
                    draft.watched.paths.push((key.to_owned(), path));
                }
            }
        }
        "Unit" => draft.watched.unit = unit_name(draft, text)?,
        "MakeDirectory" => {
            let mode = draft.watched.make_directory.unwrap_or(0o755);
            draft.watched.make_directory = value::boolean(text)?.then_some(mode);
        }
        "DirectoryMode" => {
            let mode = value::mode(text)?;
            draft.watched.make_directory = draft.watched.make_directory.map(|_| mode);
        }
        _ => return Ok(Taken::Unknown),
    }
    Ok(Taken::Yes)
}

pub fn mount(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    match key {
        "What" => draft.mount.what = draft.expand(text)?,
        "Where" => draft.mount.place = draft.path(text)?,
        "Type" => draft.mount.kind = draft.expand(text)?,
        "Options" => draft.mount.options = draft.expand(text)?,
        "DirectoryMode" => draft.mount.directory_mode = Some(value::mode(text)?),
        "TimeoutSec" => draft.mount.timeout = Some(value::timeout(text)?),
        "LazyUnmount" => draft.mount.lazy = value::boolean(text)?,
        _ => return super::service::kill(draft, key, text),
    }
    Ok(Taken::Yes)
}

pub fn scope(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    match key {
        "RuntimeMaxSec" => {
            draft.scope.runtime_max = Some(value::span(text)?).filter(|span| *span != Span::INFINITY);
        }
        "TimeoutStopSec" => draft.scope.timeout_stop = value::timeout(text)?,
        "OOMPolicy" => return put(&mut draft.scope.oom_policy, value::word(text)),
        _ => return super::service::kill(draft, key, text),
    }
    Ok(Taken::Yes)
}
