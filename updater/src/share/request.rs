//! A request (RFC 9112), as far as it asks for a file or a part of one. What is not understood is refused, and never guessed.

/// A head is no longer.
pub const LIMIT: usize = 8 << 10;

/// What is wanted of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Its bytes.
    Get,
    /// Only whether it is there, and how large.
    Head,
}

/// A range of bytes (RFC 9110, 14.1.2), of a file whose size the guest need not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// From the first to the last one, or to the end.
    From(u64, Option<u64>),
    /// So many of its end.
    Last(u64),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is wanted.
    pub method: Method,
    /// Of which file: its path, without the slash that it begins with.
    pub path: String,
    /// The part that is wanted.
    pub range: Option<Range>,
}

impl Request {
    /// Reads a head, or gives the status to refuse it with.
    pub fn parse(head: &[u8]) -> Result<Self, u16> {
        let head = std::str::from_utf8(head).map_err(|_| 400_u16)?;
        let mut lines = head.split("\r\n");
        let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, "HTTP/1.1"] = words[..] else { return Err(400) };
        let method = match method {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => return Err(405),
        };
        let path = target.strip_prefix('/').and_then(decoded).ok_or(400_u16)?;
        let mut range = None;
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').ok_or(400_u16)?;
            let value = value.trim_matches([' ', '\t']);
            match name.to_ascii_lowercase().as_str() {
                // A body would be taken for the next request.
                "transfer-encoding" => return Err(400),
                "content-length" if value != "0" => return Err(400),
                // Several ranges, or other units, may be ignored (14.2).
                "range" => range = value.strip_prefix("bytes=").and_then(Range::parse),
                _ => {}
            }
        }
        Ok(Self { method, path, range })
    }

    /// First byte and length of the part that is wanted; `None` without one, or if the file has nothing of it.
    pub fn part(&self, total: u64) -> Option<(u64, u64)> {
        let (first, end) = match self.range? {
            Range::From(first, last) => (first, last.map_or(total, |last| total.min(last.saturating_add(1)))),
            Range::Last(count) => (total.saturating_sub(count), total),
        };
        (first < end).then(|| (first, end - first))
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
        match text.split_once('-')? {
            ("", count) => Some(Self::Last(number(count)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }
}

/// Where a head ends, if all of it is there.
pub fn end_of_head(input: &[u8]) -> Option<usize> {
    input.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// A path without what RFC 3986 has in per cent. It is held against names, and never opened.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        bytes.push((digit(0)? * 16 + digit(1)?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let check = |head: &str, expect: Result<(Method, &str, Option<Range>), u16>| {
            let read = Request::parse(head.as_bytes());
            let expect = expect.map(|(method, path, range)| Request { method, path: path.into(), range });
            assert_eq!(read, expect, "{head:?}");
        };
        let get = |range: &str| format!("GET /a HTTP/1.1\r\nHost: b\r\nRANGE:{range}\r\n\r\n");
        check("GET /a/b%5Ec~d HTTP/1.1\r\n\r\n", Ok((Method::Get, "a/b^c~d", None)));
        check("HEAD / HTTP/1.1\r\ncontent-length: 0\r\n\r\n", Ok((Method::Head, "", None)));
        check(&get(" bytes=2-4"), Ok((Method::Get, "a", Some(Range::From(2, Some(4))))));
        check(&get("bytes=7-"), Ok((Method::Get, "a", Some(Range::From(7, None)))));
        check(&get(" bytes=-9 "), Ok((Method::Get, "a", Some(Range::Last(9)))));
        for other in
            ["bytes=4-2", "bytes=0-1,3-4", "bytes=-", "bytes=+1-2", "lines=1-2", "bytes=1-99999999999999999999"]
        {
            check(&get(other), Ok((Method::Get, "a", None)));
        }
        for bad in [
            "",
            "GET /a\r\n\r\n",
            "GET /a HTTP/1.0\r\n\r\n",
            "GET  /a HTTP/1.1\r\n\r\n",
            "GET a HTTP/1.1\r\n\r\n",
            "GET http://a/b HTTP/1.1\r\n\r\n",
            "GET /%zz HTTP/1.1\r\n\r\n",
            "GET /%4 HTTP/1.1\r\n\r\n",
            "GET /%ff HTTP/1.1\r\n\r\n",
            "GET /a HTTP/1.1\r\nno header\r\n\r\n",
            "GET /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
            "GET /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            check(bad, Err(400));
        }
        check("POST /a HTTP/1.1\r\n\r\n", Err(405));
        assert_eq!(Request::parse(b"GET /\xff HTTP/1.1\r\n\r\n"), Err(400));
    }

    #[test]
    fn never_panics() {
        let head = b"GET /a%5E%41/b HTTP/1.1\r\nRange: bytes=0-18446744073709551615\r\nContent-Length: 0\r\n\r\n";
        for at in 0..head.len() {
            for byte in [0, b' ', b'%', b'-', b':', b'\r', b'9', 0xc3, 0xff] {
                let mut other = head.to_vec();
                other[at] = byte;
                for bytes in [&other[..], &other[at..], &other[..at]] {
                    let _ = Request::parse(bytes).map(|request| [0, 1, u64::MAX].map(|total| request.part(total)));
                }
            }
        }
    }

    #[test]
    fn parts() {
        let check = |range, expect| {
            let request = Request { method: Method::Get, path: String::new(), range };
            assert_eq!(request.part(10), expect, "{range:?}");
        };
        check(None, None);
        check(Some(Range::From(0, None)), Some((0, 10)));
        check(Some(Range::From(2, Some(4))), Some((2, 3)));
        check(Some(Range::From(9, Some(u64::MAX))), Some((9, 1)));
        check(Some(Range::From(10, None)), None);
        check(Some(Range::Last(3)), Some((7, 3)));
        check(Some(Range::Last(30)), Some((0, 10)));
        check(Some(Range::Last(0)), None);
    }
}
