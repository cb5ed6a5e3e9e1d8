//! Times of the calendar (systemd.time(7), "Calendar Events"): `Mon..Fri *-*-01/2 12:00:00 UTC`, `daily`.
//!
//! Pure: what a moment is called in local time is the caller's to say ([`Zone`]).

/// A list of values and ranges, with steps. None: every value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Field(Vec<(u32, u32, u32)>);

/// A calendar expression.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {
    /// Monday is 0.
    weekdays: u8,
    year: Field,
    month: Field,
    day: Field,
    /// Days count from the end of the month.
    from_end: bool,
    hour: Field,
    minute: Field,
    second: Field,
    /// Its times are of UTC.
    pub utc: bool,
}

/// A moment as a calendar shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Years of our era.
    pub year: u32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
}

/// Local time.
pub trait Zone {
    /// A moment's seconds since the epoch; one that local time skips is the next one that it has.
    fn seconds(&self, moment: Moment) -> Option<i64>;
    /// Seconds since the epoch as a moment.
    fn moment(&self, seconds: i64) -> Option<Moment>;
}

/// Coordinated universal time.
#[derive(Debug, Clone, Copy)]
pub struct Utc;

impl Zone for Utc {
    fn seconds(&self, moment: Moment) -> Option<i64> {
        let days = days(moment.year, moment.month, moment.day);
        Some(days * 86_400 + i64::from(moment.hour * 3600 + moment.minute * 60 + moment.second))
    }

    fn moment(&self, seconds: i64) -> Option<Moment> {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400) as u32);
        let (year, month, day) = date(days);
        Some(Moment { year, month, day, hour: rest / 3600, minute: rest / 60 % 60, second: rest % 60 })
    }
}

/// Days since the epoch (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: u32, month: u32, day: u32) -> i64 {
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn date(days: i64) -> (u32, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    ((year + era * 400 + i64::from(month <= 2)) as u32, month as u32, day as u32)
}

fn length_of(year: u32, month: u32) -> u32 {
    let (next_year, next) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    (days(next_year, next, 1) - days(year, month, 1)) as u32
}

/// Words for whole expressions.
const SHORT: [(&str, &str); 9] = [
    ("minutely", "*-*-* *:*:00"),
    ("hourly", "*-*-* *:00:00"),
    ("daily", "*-*-* 00:00:00"),
    ("weekly", "Mon *-*-* 00:00:00"),
    ("monthly", "*-*-01 00:00:00"),
    ("quarterly", "*-01,04,07,10-01 00:00:00"),
    ("semiannually", "*-01,07-01 00:00:00"),
    ("yearly", "*-01-01 00:00:00"),
    ("annually", "*-01-01 00:00:00"),
];

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

impl Calendar {
    /// Reads an expression.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mistake = |what: &str| format!("`{text}` is no calendar expression: {what}");
        let (plain, utc) = text.trim().strip_suffix(" UTC").map_or((text.trim(), false), |plain| (plain, true));
        let plain = SHORT.iter().find(|(word, _)| *word == plain).map_or(plain, |(_, long)| *long);
        let mut calendar = Self { weekdays: 0x7f, utc, ..Self::default() };
        let mut words: Vec<&str> = plain.split_ascii_whitespace().collect();
        if words.first().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())) {
            calendar.weekdays = weekdays(words.remove(0)).ok_or_else(|| mistake("that is no weekday"))?;
            if words.is_empty() {
                return calendar.at_midnight();
            }
        }
        let (day, time) = match words.as_slice() {
            [one] if one.contains(':') => (None, Some(*one)),
            [one] => (Some(*one), None),
            [day, time] => (Some(*day), Some(*time)),
            [] => return Err(mistake("it is empty")),
            _ => return Err(mistake("only UTC and local time are known as zones")),
        };
        if let Some(day) = day {
            calendar.take_day(day).ok_or_else(|| mistake("that is no date"))?;
        }
        match time {
            Some(time) => calendar.take_time(time).ok_or_else(|| mistake("that is no time of day"))?,
            None => calendar = calendar.at_midnight()?,
        }
        Ok(calendar)
    }

    fn at_midnight(mut self) -> Result<Self, String> {
        let zero = || Field(vec![(0, 0, 1)]);
        (self.hour, self.minute, self.second) = (zero(), zero(), zero());
        Ok(self)
    }

    fn take_day(&mut self, text: &str) -> Option<()> {
        let (front, last) = match text.split_once('~') {
            Some((front, last)) => {
                self.from_end = true;
                (front.to_owned(), last)
            }
            None => {
                let (front, last) = text.rsplit_once('-')?;
                (front.to_owned(), last)
            }
        };
        let (year, month) = front.split_once('-').map_or(("*", front.as_str()), |(year, month)| (year, month));
        self.year = Field::parse(year, 1970, 2199)?;
        self.month = Field::parse(month, 1, 12)?;
        self.day = Field::parse(last, 1, 31)?;
        Some(())
    }

    fn take_time(&mut self, text: &str) -> Option<()> {
        let parts: Vec<&str> = text.split(':').collect();
        let (hour, minute, second) = match parts.as_slice() {
            [hour, minute] => (*hour, *minute, "00"),
            [hour, minute, second] => (*hour, *minute, *second),
            _ => return None,
        };
        self.hour = Field::parse(hour, 0, 23)?;
        self.minute = Field::parse(minute, 0, 59)?;
        self.second = Field::parse(second, 0, 59)?;
        Some(())
    }

    /// The first of its times after `after`, in seconds since the epoch.
    pub fn next(&self, after: i64, zone: &dyn Zone) -> Option<i64> {
        let zone: &dyn Zone = if self.utc { &Utc } else { zone };
        let start = zone.moment(after.checked_add(1)?)?;
        let mut at = start;
        // Each turn goes on at least a day: the years that it knows have 84,000 of them.
        for _ in 0..90_000 {
            at.year = self.year.from(at.year).filter(|year| *year <= 2199)?;
            if at.year > start.year && at < (Moment { month: 1, day: 1, hour: 0, minute: 0, second: 0, ..at }) {
                at = Moment { month: 1, day: 1, hour: 0, minute: 0, second: 0, ..at };
            }
            match self.in_year(at) {
                Found::At(moment) => match zone.seconds(moment).filter(|seconds| *seconds > after) {
                    Some(seconds) => return Some(seconds),
                    // Local time went back an hour: what it shows came already.
                    None => at = next_second(moment),
                },
                Found::From(moment) => at = moment,
            }
        }
        None
    }

    /// The first time of the year of `at` that is not before it, or where to look next.
    fn in_year(&self, at: Moment) -> Found {
        let midnight = |moment: Moment| Moment { hour: 0, minute: 0, second: 0, ..moment };
        let next_year = Found::From(midnight(Moment { year: at.year + 1, month: 1, day: 1, ..at }));
        let Some(month) = self.month.from(at.month) else { return next_year };
        if month != at.month {
            return Found::From(midnight(Moment { month, day: 1, ..at }));
        }
        let length = length_of(at.year, at.month);
        let fits = |day: u32| {
            let counted = if self.from_end { length + 1 - day } else { day };
            let weekday = (days(at.year, at.month, day) + 3).rem_euclid(7);
            self.day.has(counted) && self.weekdays >> weekday & 1 != 0
        };
        let Some(day) = (at.day..=length).find(|day| fits(*day)) else {
            return match at.month {
                12 => next_year,
                month => Found::From(midnight(Moment { month: month + 1, day: 1, ..at })),
            };
        };
        if day != at.day {
            return Found::From(midnight(Moment { day, ..at }));
        }
        match self.in_day(at) {
            Some((hour, minute, second)) => Found::At(Moment { hour, minute, second, ..at }),
            None => Found::From(next_day(at)),
        }
    }

    fn in_day(&self, at: Moment) -> Option<(u32, u32, u32)> {
        let hour = self.hour.from(at.hour)?;
        let (first_minute, first_second) = (self.minute.from(0)?, self.second.from(0)?);
        if hour != at.hour {
            return Some((hour, first_minute, first_second));
        }
        let next_hour = || Some((self.hour.from(hour + 1)?, first_minute, first_second));
        let Some(minute) = self.minute.from(at.minute) else { return next_hour() };
        if minute != at.minute {
            return Some((hour, minute, first_second));
        }
        match self.second.from(at.second) {
            Some(second) => Some((hour, minute, second)),
            None => match self.minute.from(minute + 1) {
                Some(minute) => Some((hour, minute, first_second)),
                None => next_hour(),
            },
        }
    }
}

enum Found {
    At(Moment),
    From(Moment),
}

fn next_day(at: Moment) -> Moment {
    let (year, month, day) = date(days(at.year, at.month, at.day) + 1);
    Moment { year, month, day, hour: 0, minute: 0, second: 0 }
}

fn next_second(at: Moment) -> Moment {
    let seconds = Utc.seconds(at).unwrap_or_default() + 1;
    Utc.moment(seconds).unwrap_or(at)
}

impl Field {
    /// `*`, `1`, `1,2`, `1..5`, `1/2`, `*/15`.
    fn parse(text: &str, lowest: u32, highest: u32) -> Option<Self> {
        if text == "*" {
            return Some(Self::default());
        }
        let part = |part: &str| {
            let (range, step) = part.split_once('/').map_or((part, None), |(range, step)| (range, Some(step)));
            let (first, last) = match range.split_once("..") {
                Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
                None if range == "*" => (lowest, highest),
                None => {
                    let first: u32 = range.parse().ok()?;
                    (first, if step.is_some() { highest } else { first })
                }
            };
            let step = step.map_or(Some(1), |step| step.parse().ok())?;
            let fits = first >= lowest && last <= highest && first <= last && step > 0;
            fits.then_some((first, last, step))
        };
        text.split(',').map(part).collect::<Option<Vec<_>>>().map(Self)
    }

    fn has(&self, value: u32) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|(first, last, step)| (first..=last).contains(&&value) && (value - first).is_multiple_of(*step))
    }

    /// The smallest value that is not below `value`.
    fn from(&self, value: u32) -> Option<u32> {
        if self.0.is_empty() {
            return Some(value).filter(|value| *value < 60 || *value >= 1970);
        }
        let next = |(first, last, step): &(u32, u32, u32)| {
            let at = if value <= *first { *first } else { first + (value - first).div_ceil(*step) * step };
            (at <= *last).then_some(at)
        };
        self.0.iter().filter_map(next).min()
    }
}

/// `Mon`, `Mon,Wed`, `Mon..Fri`, in full or by three letters.
fn weekdays(text: &str) -> Option<u8> {
    let number = |name: &str| {
        let name = name.to_ascii_lowercase();
        WEEKDAYS.iter().position(|day| *day == name || day[..3] == *name)
    };
    let mut bits = 0;
    for part in text.trim_end_matches(',').split(',') {
        let range = part.split_once("..").or_else(|| part.split_once('-'));
        let (first, last) = range.unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        let length = (last + 7 - first) % 7;
        (first..=first + length).for_each(|day| bits |= 1 << (day % 7));
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(seconds: i64) -> String {
        let m = Utc.moment(seconds).unwrap();
        format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", m.year, m.month, m.day, m.hour, m.minute, m.second)
    }

    #[test]
    fn next_times() {
        // A Friday.
        let now = Utc.seconds(Moment { year: 2024, month: 2, day: 23, hour: 12, minute: 30, second: 15 }).unwrap();
        let check = |expression: &str, expect: &str| {
            let got = Calendar::parse(expression).unwrap().next(now, &Utc);
            assert_eq!(got.map(text).unwrap_or_default(), expect, "{expression}");
        };
        check("daily", "2024-02-24 00:00:00");
        check("hourly", "2024-02-23 13:00:00");
        check("minutely", "2024-02-23 12:31:00");
        check("weekly", "2024-02-26 00:00:00");
        check("monthly", "2024-03-01 00:00:00");
        check("quarterly", "2024-04-01 00:00:00");
        check("yearly", "2025-01-01 00:00:00");
        check("*-*-* 12:30:16", "2024-02-23 12:30:16");
        check("*-*-* 12:30:15", "2024-02-24 12:30:15");
        check("12:45", "2024-02-23 12:45:00");
        check("*:0/15", "2024-02-23 12:45:00");
        check("Mon..Wed 03:00", "2024-02-26 03:00:00");
        check("Sat,Sun", "2024-02-24 00:00:00");
        check("Fri", "2024-03-01 00:00:00");
        check("02-29", "2024-02-29 00:00:00");
        check("*-02~01", "2024-02-29 00:00:00");
        check("*-*~1 06:00", "2024-02-29 06:00:00");
        check("*-02-30", "");
        check("2020-01-01", "");
        check("*-12-31 23:59:59 UTC", "2024-12-31 23:59:59");
        check("Sat *-*-1..7 18:00", "2024-03-02 18:00:00");
        check("*-*-* *:*:00/20", "2024-02-23 12:30:20");
    }

    #[test]
    fn mistakes() {
        for text in ["", "nonsense", "25:00", "*-13-01", "12", "*-*-* 00:00:00 Mars", "5..3:00"] {
            assert!(Calendar::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn days_and_dates() {
        for day in [-1i64, 0, 59, 60, 10_957, 19_782, 47_540] {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), day);
        }
        assert_eq!((length_of(2024, 2), length_of(2100, 2), length_of(2023, 12)), (29, 28, 31));
    }
}
