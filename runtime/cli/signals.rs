//! Signals by name.

use crate::Failed;

/// In the order of their numbers, which are the same on all machines that this runs on (signal(7)).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
const REAL_TIME: (i32, i32) = (34, 64);

/// A signal's number: `15`, `TERM`, `SIGTERM`, `RTMIN+3`.
pub fn number(text: &str) -> Result<i32, Failed> {
    let unknown = || Failed::new(format!("there is no signal `{text}`"));
    if let Ok(number) = text.parse::<i32>() {
        return Some(number).filter(|number| (1..=REAL_TIME.1).contains(number)).ok_or_else(unknown);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(place) = NAMES.iter().position(|known| *known == name) {
        return Ok(place as i32 + 1);
    }
    let offset = |rest: &str| if rest.is_empty() { Some(0) } else { rest.parse::<i32>().ok() };
    let real_time = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => offset(rest).map(|offset| REAL_TIME.0 + offset),
        (_, Some(rest)) => offset(rest).map(|offset| REAL_TIME.1 + offset),
        _ => None,
    };
    real_time.filter(|number| (REAL_TIME.0..=REAL_TIME.1).contains(number)).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |text: &str, expect: Option<i32>| assert_eq!(number(text).ok(), expect, "{text}");
        check("9", Some(9));
        check("KILL", Some(9));
        check("sigterm", Some(15));
        check("SYS", Some(31));
        check("SIGRTMIN+3", Some(37));
        check("RTMAX-1", Some(63));
        check("0", None);
        check("65", None);
        check("RTMAX+1", None);
        check("NOTHING", None);
    }
}
