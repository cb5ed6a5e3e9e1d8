//! Hours of the week in which something may be done: `"02:00-05:00"`, `"Sat,Sun 22:00-06:00"`, `"Mon-Fri 02:00-05:00"`. One
//! that ends before it begins ends on the next day, and belongs to the day that it begins on.

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY: u32 = 24 * 60;

/// A window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Monday first.
    days: [bool; 7],
    /// Minutes of the day.
    from: u32,
    to: u32,
}

impl Window {
    /// Reads one.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let read = || {
            let (days, hours) = match text.trim().rsplit_once(' ') {
                Some((days, hours)) => (days_of(days)?, hours),
                None => ([true; 7], text.trim()),
            };
            let (from, to) = hours.split_once('-')?;
            let (from, to) = (minute(from)?, minute(to)?);
            (from < DAY && from != to).then_some(Self { days, from, to })
        };
        read().ok_or_else(|| format!("`{text}` is no window; write it like 02:00-05:00 or Sat,Sun 22:00-06:00"))
    }

    /// Whether it is open on a day, 0 being Monday, in that minute.
    pub fn is_open(&self, day: usize, minute: u32) -> bool {
        let begins = |day: usize| self.days[day % 7];
        match self.from < self.to {
            true => begins(day) && (self.from..self.to).contains(&minute),
            false => begins(day) && minute >= self.from || begins(day + 6) && minute < self.to,
        }
    }
}

fn days_of(text: &str) -> Option<[bool; 7]> {
    let day = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.trim().split_once('-').unwrap_or((part.trim(), part.trim()));
        let (first, last) = (day(first)?, day(last)?);
        (0..=(last + 7 - first) % 7).for_each(|after| days[(first + after) % 7] = true);
    }
    Some(days)
}

fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| text.parse::<u32>().ok().filter(|_| text.len() == 2);
    let (hour, minute) = (number(hour)?, number(minute)?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= DAY).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_and_closed() {
        fn check(window: &str, open: &[(usize, u32)], closed: &[(usize, u32)]) {
            let window = Window::parse(window).unwrap();
            assert!(open.iter().all(|(day, minute)| window.is_open(*day, *minute)), "{window:?}");
            assert!(!closed.iter().any(|(day, minute)| window.is_open(*day, *minute)), "{window:?}");
        }
        check("02:00-05:00", &[(0, 120), (6, 299)], &[(0, 119), (0, 300)]);
        check("00:00-24:00", &[(0, 0), (3, DAY - 1)], &[]);
        check("Mon-Fri 02:00-05:00", &[(0, 120), (4, 120)], &[(5, 120), (6, 120)]);
        check("sat,Sun 22:00-06:00", &[(5, 1320), (6, 0), (6, 1439), (0, 359)], &[(0, 360), (0, 1320), (5, 0)]);
        check("Fri-Mon 00:00-01:00", &[(4, 0), (5, 0), (6, 0), (0, 0)], &[(1, 0), (3, 0)]);
    }

    #[test]
    fn what_is_none() {
        for bad in
            ["", "2:00-5:00", "02:00", "02:00-02:00", "24:00-01:00", "02:60-03:00", "Mo 02:00-05:00", "Mon 02-05"]
        {
            assert!(Window::parse(bad).unwrap_err().contains("is no window"), "{bad}");
        }
    }
}
