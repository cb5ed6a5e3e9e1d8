//! Registries by script: what they want before they let anybody in, and to whom that is said.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ashlar_fetch::registry::{Address, Descriptor, Manifest};
use ashlar_fetch::{Blob, Cause, Digest, Policy, Registry};

/// A request: its first line without the protocol, and what it said to be let in.
type Asked = (String, Option<String>);

/// A server that answers each request, on a connection of its own, as the script says: head, where HOST is the server's own
/// address, and body.
fn serve(script: Vec<(String, String)>) -> (String, mpsc::Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        for (head, body) in script {
            let (mut stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut lines = Vec::new();
            while let Some(Ok(line)) = reader.by_ref().lines().next().filter(|line| !matches!(line.as_deref(), Ok("")))
            {
                lines.push(line);
            }
            let header = |name: &str| {
                lines
                    .iter()
                    .find_map(|line| Some(line.split_once(": ")?).filter(|(key, _)| key.eq_ignore_ascii_case(name)))
            };
            let length = header("content-length").map_or(0, |(_, value)| value.parse().unwrap());
            std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink()).unwrap();
            let said = header("authorization").map(|(_, value)| value.to_owned());
            sender.send((lines[0].trim_end_matches(" HTTP/1.1").to_owned(), said)).unwrap();
            let head = head.replace("HOST", &stream.local_addr().unwrap().to_string());
            let length = body.len();
            write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
        }
    });
    (host, asked)
}

fn reply(head: &str, body: &str) -> (String, String) {
    (head.to_owned(), body.to_owned())
}

fn registry(host: &str, basic: Option<&str>) -> Registry {
    let policy =
        Policy { tries: 2, back_off: Duration::from_millis(1), silence: Duration::from_secs(5), ..Policy::default() };
    let address = Address::parse(&format!("oci+http://{host}/fleet/ashlar")).unwrap();
    Registry::new(address, basic.map(str::to_owned), policy)
}

fn manifest() -> String {
    let blob = Blob { digest: Digest::of(b"content"), size: 7 };
    String::from_utf8(Manifest::new("application/x", vec![Descriptor::new("text/plain", &blob, None)]).to_bytes())
        .unwrap()
}

const CHALLENGE: &str = "401 No\r\nWWW-Authenticate: Bearer realm=\"http://HOST/token\",service=\"s\",scope=\"repository:fleet/ashlar:pull\"";

#[test]
fn a_token_is_fetched_once_and_again_when_it_is_over() {
    let (host, asked) = serve(vec![
        reply(CHALLENGE, ""),
        reply("200 OK", r#"{"token":"one","expires_in":60}"#),
        reply("200 OK", &manifest()),
        reply("200 OK", "content"),
        reply(CHALLENGE, ""),
        reply("200 OK", r#"{"access_token":"two"}"#),
        reply("206 Partial\r\nContent-Range: bytes 2-3/7", "nt"),
    ]);
    let registry = registry(&host, None);
    let blob = registry.manifest("timestamp.json").unwrap().unwrap().only().unwrap();
    let url = registry.blob(blob.digest);
    assert_eq!(registry.client().get(&url, 7).unwrap(), b"content");
    let mut got = Vec::new();
    let mut take = |bytes: &[u8]| {
        got.extend_from_slice(bytes);
        Ok(())
    };
    registry.client().part(&url, 7, (2, 3), &mut take).unwrap();
    assert_eq!(got, b"nt");
    let digest = blob.digest;
    let (tag, file) =
        ("GET /v2/fleet/ashlar/manifests/timestamp.json", format!("GET /v2/fleet/ashlar/blobs/sha256:{digest}"));
    let token = "GET /token?service=s&scope=repository%3Afleet%2Fashlar%3Apull";
    let expect = [
        (tag, None),
        (token, None),
        (tag, Some("Bearer one")),
        (&file, Some("Bearer one")),
        (&file, Some("Bearer one")),
        (token, None),
        (&file, Some("Bearer two")),
    ];
    let expect = expect.map(|(line, said)| (line.to_owned(), said.map(str::to_owned)));
    assert_eq!(asked.iter().take(expect.len()).collect::<Vec<_>>(), expect);
}

#[test]
fn a_password_is_for_the_one_who_asks_for_it() {
    let (store, asked_there) = serve(vec![reply("200 OK", "content")]);
    let (host, asked) = serve(vec![
        reply("401 No\r\nWWW-Authenticate: Basic realm=\"r\"", ""),
        reply(&format!("307 There\r\nLocation: http://{store}/signed?x=1"), ""),
        reply(CHALLENGE, ""),
        reply("200 OK", r#"{"token":"one"}"#),
        reply("404 None", ""),
    ]);
    let registry = registry(&host, Some("bmFtZTp3b3Jk"));
    let url = registry.blob(Digest::of(b"content"));
    assert_eq!(registry.client().get(&url, 7).unwrap(), b"content");
    assert_eq!(asked_there.recv().unwrap(), ("GET /signed?x=1".to_owned(), None));
    assert_eq!(registry.manifest("timestamp.json").unwrap(), None);
    let said: Vec<Option<String>> = asked.iter().take(5).map(|(_, said)| said).collect();
    let basic = Some("Basic bmFtZTp3b3Jk".to_owned());
    assert_eq!(said, [None, basic.clone(), basic.clone(), basic, Some("Bearer one".to_owned())]);
}

#[test]
fn a_store_that_wants_a_password_gets_none() {
    let (thief, asked_there) = serve(vec![]);
    let challenge = format!("401 No\r\nWWW-Authenticate: Bearer realm=\"http://{thief}/token\"");
    let (store, _asked) = serve(vec![reply(&challenge, "")]);
    let (host, _asked) = serve(vec![reply(&format!("307 There\r\nLocation: http://{store}/x"), "")]);
    let registry = registry(&host, Some("bmFtZTp3b3Jk"));
    let error = registry.client().get(&registry.blob(Digest::of(b"content")), 7).unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(asked_there.iter().count(), 0);
}

#[test]
fn who_is_not_let_in_hears_why() {
    let check = |basic, script: Vec<(String, String)>, expect: &str| {
        let (host, _asked) = serve(script);
        let error = registry(&host, basic).manifest("timestamp.json").unwrap_err();
        let said = error.cause.to_string();
        assert!(matches!(&error.cause, Cause::Denied(_)) && said.contains(expect), "{said}");
    };
    let basic = reply("401 No\r\nWWW-Authenticate: Basic realm=\"r\"", "");
    check(None, vec![basic.clone()], "it wants a name and a password");
    check(Some("eA=="), vec![basic.clone(), basic], "does not let this name and password");
    check(None, vec![reply("401 No", "")], "something else");
    check(None, vec![reply(CHALLENGE, ""), reply("401 No", "")], "gives no token (401)");
    check(None, vec![reply(CHALLENGE, ""), reply("200 OK", "<html>")], "instead of a token");
    let token = reply("200 OK", r#"{"token":"one"}"#);
    check(None, vec![reply(CHALLENGE, ""), token, reply(CHALLENGE, "")], "it wants a name and a password");
}

#[test]
fn what_is_named_by_a_tag_has_a_limit() {
    let (host, _asked) = serve(vec![reply("200 OK", &" ".repeat(100_000)), reply("200 OK", "<html>")]);
    let registry = registry(&host, None);
    assert!(matches!(registry.manifest("a").unwrap_err().cause, Cause::TooLarge { .. }));
    assert!(matches!(registry.manifest("a").unwrap_err().cause, Cause::Manifest(_)));
    assert_eq!(registry.manifest("no tag").unwrap(), None);
}

#[test]
fn a_blob_is_sent_where_the_registry_says_and_once_more_if_need_be() {
    for place in ["/upload/1?state=x", "http://HOST/upload/1?state=x"] {
        let begun = format!("202 Go on\r\nLocation: {place}");
        let script =
            [reply("404 None", ""), reply(&begun, ""), reply("503 Busy", ""), reply(&begun, ""), reply("201 Made", "")];
        let (host, asked) = serve(script.to_vec());
        let blob = Blob { digest: Digest::of(b"content"), size: 7 };
        assert!(registry(&host, None).push(&blob, &|| Ok(&b"content"[..])).unwrap());
        let lines: Vec<String> = asked.iter().take(5).map(|(line, _)| line).collect();
        let digest = blob.digest;
        let [head, post, put] = [
            format!("HEAD /v2/fleet/ashlar/blobs/sha256:{digest}"),
            "POST /v2/fleet/ashlar/blobs/uploads/".to_owned(),
            format!("PUT /upload/1?state=x&digest=sha256:{digest}"),
        ];
        assert_eq!(lines, [head, post.clone(), put.clone(), post, put]);
    }
    let (host, asked) = serve(vec![reply("200 OK", "")]);
    let blob = Blob { digest: Digest::of(b"content"), size: 7 };
    assert!(!registry(&host, None).push(&blob, &|| Ok(&b"content"[..])).unwrap());
    assert_eq!(asked.iter().count(), 1);
}
