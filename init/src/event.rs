//! Everything that can wake PID 1: one closed enum, and its form as an epoll token.
//!
//! The order of the variants is the order in which one batch is handled: what a process said comes before its end.

/// What became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A starting container has something to say of its set-up.
    Starting(u32),
    /// A service sent a notification.
    Notified,
    /// Something arrived on a socket unit (unit, place in it).
    Traffic(u32, u16),
    /// The other side of a stored descriptor hung up (unit, place).
    StoredHangup(u32, u16),
    /// A main process that is not our child ended.
    ForeignEnd(u32),
    /// A control group became empty or lost a process for lack of memory, or an input device came.
    FileChanged,
    /// Something happened to what a path unit watches.
    PathChanged,
    /// Somebody set the clock.
    ClockSet,
    /// Somebody connected to the control socket.
    Connected,
    /// A caller sent something or takes more.
    Caller(u32),
    /// A key was pressed.
    Key(u16),
    /// Signals are pending, ends of children among them.
    Signalled,
    /// Somebody sent a fault signal.
    Woken,
}

impl Event {
    /// Kind in the top byte, place in the next 16 bits, number in the low 32.
    pub fn token(self) -> u64 {
        let pack = |kind: u64, place: u16, number: u32| kind << 56 | u64::from(place) << 32 | u64::from(number);
        match self {
            Self::Starting(pid) => pack(1, 0, pid),
            Self::Notified => pack(2, 0, 0),
            Self::Traffic(unit, place) => pack(3, place, unit),
            Self::StoredHangup(unit, place) => pack(4, place, unit),
            Self::ForeignEnd(pid) => pack(5, 0, pid),
            Self::FileChanged => pack(6, 0, 0),
            Self::Connected => pack(7, 0, 0),
            Self::Caller(id) => pack(8, 0, id),
            Self::Key(place) => pack(9, place, 0),
            Self::Signalled => pack(10, 0, 0),
            Self::Woken => pack(11, 0, 0),
            Self::PathChanged => pack(12, 0, 0),
            Self::ClockSet => pack(13, 0, 0),
        }
    }

    /// The event of a token that [`Self::token`] made.
    pub fn from_token(token: u64) -> Option<Self> {
        let (place, number) = ((token >> 32) as u16, token as u32);
        Some(match token >> 56 {
            1 => Self::Starting(number),
            2 => Self::Notified,
            3 => Self::Traffic(number, place),
            4 => Self::StoredHangup(number, place),
            5 => Self::ForeignEnd(number),
            6 => Self::FileChanged,
            7 => Self::Connected,
            8 => Self::Caller(number),
            9 => Self::Key(place),
            10 => Self::Signalled,
            11 => Self::Woken,
            12 => Self::PathChanged,
            13 => Self::ClockSet,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_and_keep_the_order() {
        let events = [
            Event::Starting(7),
            Event::Notified,
            Event::Traffic(9, 3),
            Event::StoredHangup(u32::MAX, u16::MAX),
            Event::ForeignEnd(4711),
            Event::FileChanged,
            Event::Connected,
            Event::Caller(2),
            Event::Key(1),
            Event::Signalled,
            Event::Woken,
        ];
        for event in events {
            assert_eq!(Event::from_token(event.token()), Some(event));
        }
        assert!(events.is_sorted());
        assert_eq!(Event::from_token(0), None);
    }
}
