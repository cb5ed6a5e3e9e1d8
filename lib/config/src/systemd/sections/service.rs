//! `[Service]` (systemd.service(5), systemd.kill(5)).

use super::{Draft, Taken, put, put_span, unit};
use crate::quantity::Span;
use crate::systemd::{command, value};
use crate::unit::{Command, KillMode, NotifyAccess, Restart, ServiceType, Signal};

pub fn take(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    if let Some(point) = key.strip_prefix("Exec") {
        return execute(draft, point, text);
    }
    let supervision = &mut draft.service.supervision;
    match key {
        "Type" => {
            draft.type_is_set = true;
            return put(&mut draft.service.service_type, value::word::<ServiceType>(text));
        }
        "Restart" => return put(&mut supervision.restart, value::word(text)),
        "RestartMode" => match text {
            "normal" | "direct" => supervision.restart_direct = text == "direct",
            _ => return Err(format!("`{text}` is neither normal nor direct")),
        },
        "RestartSec" => {
            supervision.restart_delay = value::span(text)?;
            // systemd's pause does not grow unless it says so.
            supervision.restart_delay_max = supervision.restart_delay;
        }
        "RestartMaxDelaySec" => return put(&mut supervision.restart_delay_max, value::span(text)),
        "TimeoutStartSec" => {
            draft.timeout_is_set = true;
            return put(&mut supervision.timeout_start, value::timeout(text));
        }
        "TimeoutStopSec" => return put(&mut supervision.timeout_stop, value::timeout(text)),
        "TimeoutSec" => {
            let span = value::timeout(text)?;
            draft.timeout_is_set = true;
            (supervision.timeout_start, supervision.timeout_stop) = (span, span);
        }
        "RuntimeMaxSec" => return put_span(&mut supervision.runtime_max, text),
        "WatchdogSec" => return put_span(&mut supervision.watchdog, text),
        "RemainAfterExit" => return put(&mut supervision.remain_after_exit, value::boolean(text)),
        "NotifyAccess" => return put(&mut supervision.notify_access, value::word(text).map(Some)),
        "OOMPolicy" => return put(&mut supervision.oom_policy, value::word(text)),
        "FileDescriptorStoreMax" => return put(&mut supervision.fd_store, value::number(text)),
        "FileDescriptorStorePreserve" => supervision.fd_store_preserve = text == "yes",
        "SuccessExitStatus" => {
            let (codes, signals) = value::exit_statuses(text)?;
            add(&mut supervision.success_exit_status, codes, text);
            add(&mut supervision.success_signals, signals, text);
        }
        "RestartPreventExitStatus" => {
            add(&mut supervision.restart_prevent_exit_status, value::exit_statuses(text)?.0, text);
        }
        "RestartForceExitStatus" => {
            add(&mut supervision.restart_force_exit_status, value::exit_statuses(text)?.0, text);
        }
        "StartLimitInterval" => return put(&mut supervision.start_limit_interval, value::span(text)),
        "StartLimitBurst" => return put(&mut supervision.start_limit_burst, value::number(text)),
        "PIDFile" => {
            let path = draft.expand(text)?;
            let path = if path.starts_with('/') { path } else { format!("/run/{path}") };
            draft.service.pid_file = Some(value::path(&path)?);
        }
        "BusName" => draft.service.bus_name = Some(draft.expand(text)?).filter(|name| !name.is_empty()),
        // Which sockets a service gets is said by them.
        "Sockets" => {
            let sockets = draft.words(text)?;
            draft.unit.dependencies.wants.extend(sockets.iter().cloned());
            draft.unit.dependencies.after.extend(sockets);
        }
        "PermissionsStartOnly" => return put(&mut draft.only_start_is_restricted, value::boolean(text)),
        // They were here once.
        "FailureAction" | "StartLimitAction" => return unit::action(draft, key, text),
        "ReloadSignal" => return put(&mut supervision.reload_signal, Signal::parse(text)),
        _ => return kill(draft, key, text),
    }
    Ok(Taken::Yes)
}

/// How processes are asked to end: of services, sockets, mounts and scopes.
pub fn kill(draft: &mut Draft<'_>, key: &str, text: &str) -> Result<Taken, String> {
    let (supervision, scope) = (&mut draft.service.supervision, &mut draft.scope);
    match key {
        "KillMode" => {
            let mode: KillMode = value::word(text)?;
            (supervision.kill_mode, scope.kill_mode) = (mode, mode);
        }
        "KillSignal" => {
            let signal = Signal::parse(text)?;
            (supervision.kill_signal, scope.kill_signal) = (signal, signal);
        }
        "SendSIGKILL" => {
            let send = value::boolean(text)?;
            (supervision.send_sigkill, scope.send_sigkill) = (send, send);
        }
        "SendSIGHUP" => {
            let send = value::boolean(text)?;
            (supervision.send_sighup, scope.send_sighup) = (send, send);
        }
        _ => return Ok(Taken::Unknown),
    }
    Ok(Taken::Yes)
}

fn add(list: &mut Vec<i32>, new: Vec<i32>, text: &str) {
    if text.is_empty() {
        list.clear();
    }
    list.extend(new);
}

fn execute(draft: &mut Draft<'_>, point: &str, text: &str) -> Result<Taken, String> {
    let new: Vec<Command> = command::parse(text, &draft.context)?;
    if draft.in_container && new.iter().any(|command| command.privileged) {
        return Err("a container's commands have no way out of it".into());
    }
    let commands = &mut draft.service.commands;
    let list = match point {
        "Start" => &mut commands.start,
        "StartPre" => &mut commands.start_pre,
        "StartPost" => &mut commands.start_post,
        "Condition" => &mut commands.condition,
        "Reload" => &mut commands.reload,
        "Stop" => &mut commands.stop,
        "StopPost" => &mut commands.stop_post,
        _ => return Ok(Taken::Unknown),
    };
    match text.is_empty() {
        true => list.clear(),
        false => list.extend(new),
    }
    Ok(Taken::Yes)
}

/// What the written settings come to, all together.
pub fn settle(draft: &mut Draft<'_>) -> Result<(), String> {
    let service = &mut draft.service;
    if draft.only_start_is_restricted {
        let commands = &mut service.commands;
        let lists = [
            &mut commands.condition,
            &mut commands.start_pre,
            &mut commands.start_post,
            &mut commands.reload,
            &mut commands.stop,
            &mut commands.stop_post,
        ];
        lists.into_iter().flatten().for_each(|command| command.privileged = true);
    }
    if !draft.type_is_set && !draft.in_container {
        service.service_type = match () {
            () if service.bus_name.is_some() => ServiceType::Dbus,
            () if service.commands.start.is_empty() => ServiceType::Oneshot,
            () => ServiceType::Simple,
        };
    }
    let oneshot = service.service_type == ServiceType::Oneshot;
    let commands = &service.commands;
    if !draft.in_container && commands.start.is_empty() && commands.stop.is_empty() && !oneshot {
        return Err("Service has no ExecStart= setting.".into());
    }
    let acts = !draft.unit.success_action.is_empty();
    if !draft.in_container && commands.start.is_empty() && commands.stop.is_empty() && !acts {
        return Err("Service has neither ExecStart= nor ExecStop= setting.".into());
    }
    if commands.start.len() > 1 && !oneshot {
        return Err(
            "Service has more than one ExecStart= setting, which is only allowed for Type=oneshot services.".into()
        );
    }
    if service.service_type == ServiceType::Dbus && service.bus_name.is_none() {
        return Err("Service is of type D-Bus but no D-Bus service name has been specified.".into());
    }
    if oneshot && matches!(service.supervision.restart, Restart::Always | Restart::OnSuccess) {
        return Err(
            "Service has Restart= set to either always or on-success, which isn't allowed for Type=oneshot services."
                .into(),
        );
    }
    // A oneshot takes as long as it takes, unless it says otherwise.
    if oneshot && !draft.timeout_is_set && !draft.in_container {
        service.supervision.timeout_start = Span::INFINITY;
    }
    if service.service_type == ServiceType::NotifyReload || service.service_type == ServiceType::Notify {
        service.supervision.notify_access.get_or_insert(NotifyAccess::Main);
    }
    Ok(())
}
