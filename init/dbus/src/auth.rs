//! Who is at the other end, before the first message (D-Bus Specification, "Authentication Protocol"): EXTERNAL only,
//! which means that the kernel says it.

/// Longest conversation.
const LIMIT: usize = 4096;

/// What a server has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Send this and wait for more.
    More(Vec<u8>),
    /// Send this; messages follow behind this many bytes.
    Done(Vec<u8>, usize),
    /// Hang up.
    Refused,
}

/// The server's side, over all that has come so far: `uid` is whom the kernel knows. It is called again with more
/// bytes and answers each line once: `answered` counts them.
pub fn serve(input: &[u8], uid: u32, guid: &str, answered: &mut usize) -> Progress {
    if input.first().is_some_and(|byte| *byte != 0) {
        return Progress::Refused;
    }
    let (mut output, mut at, mut line) = (Vec::new(), 1, 0);
    let mut say = |text: &str| output.extend_from_slice(format!("{text}\r\n").as_bytes());
    while let Some(end) = input.get(at..).and_then(|rest| rest.windows(2).position(|pair| pair == b"\r\n")) {
        let words = String::from_utf8_lossy(&input[at..at + end]).into_owned();
        at += end + 2;
        line += 1;
        if line <= *answered {
            continue;
        }
        *answered = line;
        let (command, rest) = words.split_once(' ').unwrap_or((&words, ""));
        match (command, rest.split_once(' ').unwrap_or((rest, ""))) {
            ("AUTH", ("EXTERNAL", "")) => say("DATA"),
            ("AUTH", ("EXTERNAL", id)) if is_id(id, uid) => say(&format!("OK {guid}")),
            ("DATA", ("", _)) => say(&format!("OK {guid}")),
            ("DATA", (id, _)) if is_id(id, uid) => say(&format!("OK {guid}")),
            ("AUTH" | "DATA" | "CANCEL", _) => say("REJECTED EXTERNAL"),
            ("NEGOTIATE_UNIX_FD", _) => say("AGREE_UNIX_FD"),
            ("BEGIN", _) => return Progress::Done(output, at),
            _ => say("ERROR"),
        }
    }
    if input.len() > LIMIT { Progress::Refused } else { Progress::More(output) }
}

/// Whether these hexadecimal digits of decimal digits are the user's number.
fn is_id(text: &str, uid: u32) -> bool {
    let digits: String = uid.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
    text.eq_ignore_ascii_case(&digits)
}

/// All that a client has to say, at once.
pub const CLIENT: &[u8] = b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";

/// The client's side: how many bytes of `input` the server's answers to [`CLIENT`] take; `None` while they are not all
/// there.
///
/// # Errors
/// It does not let us in.
pub fn accepted(input: &[u8]) -> Result<Option<usize>, String> {
    let expect = ["DATA", "OK ", "AGREE_UNIX_FD"];
    let mut at = 0;
    for expected in expect {
        let Some(end) = input[at..].windows(2).position(|pair| pair == b"\r\n") else {
            return if input.len() > LIMIT { Err("it does not speak D-Bus".into()) } else { Ok(None) };
        };
        let line = String::from_utf8_lossy(&input[at..at + end]);
        if !line.starts_with(expected) {
            return Err(format!("it answers {line:?} where {expected:?} was expected"));
        }
        at += end + 2;
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_in() {
        let check = |input: &[u8], uid, expect: &str| {
            let text = match serve(input, uid, "g", &mut 0) {
                Progress::More(output) => String::from_utf8(output).unwrap() + "...",
                Progress::Done(output, at) => {
                    format!("{}|{}", String::from_utf8(output).unwrap(), String::from_utf8_lossy(&input[at..]))
                }
                Progress::Refused => "no".into(),
            };
            assert_eq!(text.replace("\r\n", ";"), expect, "{:?}", String::from_utf8_lossy(input));
        };
        check(b"\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\nl", 0, "OK g;AGREE_UNIX_FD;|l");
        check(b"\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", 1000, "DATA;OK g;AGREE_UNIX_FD;|");
        check(b"\0AUTH EXTERNAL 31303030\r\n", 1000, "OK g;...");
        check(b"\0AUTH EXTERNAL 30\r\n", 1000, "REJECTED EXTERNAL;...");
        check(b"\0AUTH\r\nAUTH ANONYMOUS 30\r\n", 0, "REJECTED EXTERNAL;REJECTED EXTERNAL;...");
        check(b"\0HELLO\r\n", 0, "ERROR;...");
        check(b"AUTH EXTERNAL 30\r\n", 0, "no");
        check(b"", 0, "...");
        check(&[0; 5000], 0, "no");
    }

    #[test]
    fn lines_are_answered_once() {
        let mut answered = 0;
        assert_eq!(serve(b"\0AUTH EXTERNAL 30\r\n", 0, "g", &mut answered), Progress::More(b"OK g\r\n".to_vec()));
        assert_eq!(serve(b"\0AUTH EXTERNAL 30\r\nBEG", 0, "g", &mut answered), Progress::More(Vec::new()));
        let whole = b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n";
        assert_eq!(serve(whole, 0, "g", &mut answered), Progress::Done(Vec::new(), whole.len()));
    }

    #[test]
    fn what_a_server_says() {
        assert_eq!(accepted(b"DATA\r\nOK 1234\r\nAGREE_UNIX_FD\r\nl"), Ok(Some(30)));
        assert_eq!(accepted(b"DATA\r\nOK 12"), Ok(None));
        assert!(accepted(b"REJECTED EXTERNAL\r\n").is_err());
    }
}
