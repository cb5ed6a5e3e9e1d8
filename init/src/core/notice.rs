//! What a service's word means for its state: who is heard, and what follows.

use ashlar_config::unit::{NotifyAccess, ServiceType};

use super::run::Alarm;
use super::service::{Event, Milestone};
use super::state::{Outcome, Sub};
use super::{Core, Role, UnitId, Work};
use crate::notify::{Notification, Watchdog};

/// Who sent a notification, as the kernel says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    pub pid: u32,
    /// It is the main process itself or one that its namespace hides behind it.
    pub is_main: bool,
    /// It is the host's root.
    pub is_root: bool,
}

impl Core {
    /// Whether `sender` is heard for `unit`.
    pub fn may_notify(&self, unit: UnitId, sender: Sender) -> bool {
        let run = self.run(unit);
        let main = sender.is_main || sender.pid == run.main;
        match self.notify_access(unit) {
            NotifyAccess::None => false,
            NotifyAccess::Main => main,
            NotifyAccess::Exec => main || matches!(self.owner(sender.pid), Some((_, Role::Control(..)))),
            NotifyAccess::All => true,
        }
    }

    /// Who of a unit may send notifications: what the service last said, what its file says, what its type needs.
    pub fn notify_access(&self, unit: UnitId) -> NotifyAccess {
        let Some(service) = self.service(unit) else { return NotifyAccess::None };
        let waits = matches!(service.service_type, ServiceType::Notify | ServiceType::NotifyReload);
        let watched = service.supervision.watchdog.is_some() || service.supervision.fd_store > 0;
        let default = if waits || watched { NotifyAccess::Main } else { NotifyAccess::None };
        self.run(unit).access.or(service.supervision.notify_access).unwrap_or(default)
    }

    /// A notification that may be heard. `main` is the new main process, once it is known to be the unit's own.
    pub fn notify(&mut self, unit: UnitId, notification: &Notification, main: Option<u32>) {
        let now = self.now().monotonic;
        self.describe(unit, notification);
        if let Some(pid) = main {
            self.set_main(unit, pid);
        }
        if let Some(span) = notification.extend_usec {
            self.extend(unit, now.saturating_add(span));
        }
        if let Some(span) = notification.watchdog_usec {
            self.run_mut(unit).watchdog = Some(span);
            self.pet(unit);
        }
        match notification.watchdog {
            Some(Watchdog::Pet) => self.pet(unit),
            Some(Watchdog::Trigger) => {
                self.run_mut(unit).blame(Outcome::Watchdog, || "it asked for the watchdog itself".into());
                self.work.push_back(Work::Happen(unit, Event::Unwell));
            }
            None => {}
        }
        if notification.reloading {
            let asked = self.run(unit).sub == Sub::ReloadSignal;
            // A late word about an earlier reload is not an answer to this one.
            let fresh = notification.monotonic.is_none_or(|at| at >= self.run(unit).reload_began);
            if !asked || fresh {
                self.happen(unit, Event::Reloading);
            }
        }
        if notification.ready {
            self.reached(unit, Milestone::Notified);
        }
        self.settle_work();
    }

    fn describe(&mut self, unit: UnitId, notification: &Notification) {
        let has_text = notification.status.is_some() || notification.errno.is_some() || notification.access.is_some();
        if !has_text {
            return;
        }
        let run = self.run_mut(unit);
        if let Some(text) = &notification.status {
            run.status_text.clone_from(text);
        }
        if let Some(errno) = notification.errno.filter(|errno| *errno != 0) {
            run.reason = format!("it says: {}", std::io::Error::from_raw_os_error(errno));
        }
        if let Some(access) = notification.access {
            run.access = Some(access);
        }
    }

    /// Another process is the main one from now on.
    pub fn set_main(&mut self, unit: UnitId, pid: u32) {
        let old = self.run(unit).main;
        if old == pid {
            return;
        }
        self.processes.remove(&old);
        self.processes.insert(pid, (unit, Role::Main));
        let run = self.run_mut(unit);
        (run.main, run.main_is_init) = (pid, false);
    }

    /// Later, never sooner.
    fn extend(&mut self, unit: UnitId, until: u64) {
        let waits = !matches!(self.run(unit).sub, Sub::Running | Sub::Exited | Sub::AutoRestart);
        let current = self.run(unit).alarms[0];
        if waits && current != 0 && until > current {
            self.set_alarm(unit, Alarm::State, until);
        }
    }
}
