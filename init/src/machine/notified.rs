//! Datagrams on the notify socket, and the descriptors that come with them.

use std::os::fd::OwnedFd;

use ashlar_sys::socket;

use super::Machine;
use crate::core::{Sender, UnitId};
use crate::event::Event;
use crate::log;
use crate::notify::{self, DATAGRAM_LIMIT, Notification};
use crate::store::{NAMELESS, Stored, free_place};

/// Most datagrams that one turn takes, so that one that never stops talking cannot stop the machine.
const BATCH: usize = 256;

impl Machine {
    pub(super) fn receive_notifications(&mut self) {
        let mut buffer = [0; DATAGRAM_LIMIT + 1];
        for _ in 0..BATCH {
            match socket::receive(&self.notify, &mut buffer) {
                Ok(Some(message)) if !message.truncated => {
                    let Some(sender) = message.sender else { continue };
                    self.hear(&buffer[..message.length], sender.pid, sender.uid, message.descriptors);
                    self.carry_out();
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn hear(&mut self, bytes: &[u8], pid: u32, uid: u32, descriptors: Vec<OwnedFd>) {
        let Some(notification) = notify::parse(bytes) else { return };
        // Everything before it was handled when it was received: closing the descriptor is the answer.
        if notification.barrier {
            return;
        }
        let Some(unit) = self.unit_of_process(pid) else {
            return self.log.say(log::WARNING, None, &format!("process {pid} sent a notification and is of no unit"));
        };
        let sender = Sender { pid, is_main: self.stands_for_main(unit, pid), is_root: uid == 0 };
        if !self.core.may_notify(unit, sender) {
            let name = self.name(unit);
            let text = format!("process {pid} sent a notification that it may not send");
            return self.log.say(log::WARNING, Some(&name), &text);
        }
        self.change_store(unit, &notification, descriptors);
        let main = notification.main_pid.and_then(|inner| self.new_main(unit, inner));
        self.core.notify(unit, &notification, main);
        if let Some(pid) = main
            && !Self::is_child(pid)
        {
            self.watch_foreign(pid);
        }
    }

    /// `systemd-notify` and the like are children of the main process that it waits for; in a namespace of its own
    /// nobody else can be meant.
    fn stands_for_main(&self, unit: UnitId, pid: u32) -> bool {
        let main = self.core.run(unit).main;
        main == pid
    }

    /// The unit's process that calls itself `inner`, unless it is the main one already.
    fn new_main(&mut self, unit: UnitId, inner: u32) -> Option<u32> {
        let pid = self.translate(unit, inner);
        if pid.is_none() {
            let name = self.name(unit);
            self.log.say(log::WARNING, Some(&name), &format!("MAINPID={inner} is none of its processes"));
        }
        pid.filter(|pid| *pid != self.core.run(unit).main)
    }

    fn change_store(&mut self, unit: UnitId, notification: &Notification, descriptors: Vec<OwnedFd>) {
        let Some(limit) = self.core.service(unit).map(|s| s.supervision.fd_store as usize) else { return };
        if notification.fd_remove {
            let name = notification.fd_name.as_deref().unwrap_or(NAMELESS);
            self.stores.entry(unit).or_default().retain(|stored| stored.name != name);
            self.save_store(unit);
        }
        if !notification.fd_store || limit == 0 {
            return;
        }
        let name = notification.fd_name.clone().unwrap_or_else(|| NAMELESS.to_owned());
        let store = self.stores.entry(unit).or_default();
        for fd in descriptors {
            let Some(place) = free_place(store).filter(|_| store.len() < limit) else { break };
            if !notification.fd_keep {
                // Files that cannot be watched never hang up either.
                let _ = self.epoll.add(&fd, Event::StoredHangup(unit.0, place).token(), 0);
            }
            store.push(Stored { name: name.clone(), fd, keep: notification.fd_keep, place });
        }
        self.save_store(unit);
    }

    /// The other side of a stored descriptor is gone.
    pub(super) fn drop_stored(&mut self, unit: UnitId, place: u16) {
        if let Some(store) = self.stores.get_mut(&unit) {
            store.retain(|stored| stored.place != place);
        }
        self.save_store(unit);
    }
}
