//! Against a listener that answers what the rows say.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::thread;

use super::*;

/// Answers each call with the next of `answers`, split at odd places; gives what was asked.
fn serve(name: &str, answers: &'static [&str]) -> (Client, thread::JoinHandle<Vec<String>>) {
    let path = std::env::temp_dir().join(format!("ashlar-client-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        for answer in answers {
            let mut call = Vec::new();
            let mut byte = [0];
            while stream.read(&mut byte).unwrap() == 1 && byte[0] != 0 {
                call.push(byte[0]);
            }
            asked.push(String::from_utf8(call).unwrap());
            for part in answer.as_bytes().chunks(7) {
                stream.write_all(part).unwrap();
            }
            stream.write_all(b"\0").unwrap();
        }
        asked
    });
    let client = Client::connect_to(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    (client, server)
}

#[test]
fn calls_and_answers() {
    let answers = &[
        "{\"parameters\":{\"machine\":{\"version\":\"1.2\",\"state\":\"running\"}}}",
        "{\"parameters\":{\"job\":{\"id\":7,\"unit\":\"a.service\",\"kind\":\"start\"},\"result\":\"failed\",\"reason\":\"no\"}}",
        "{\"error\":\"io.ashlar.Control.NoSuchUnit\",\"parameters\":{\"unit\":\"b\",\"nearest\":\"a.service\"}}",
    ];
    let (mut client, server) = serve("calls", answers);
    assert_eq!(client.machine().unwrap().version, "1.2");
    let outcome = client.enqueue("a", JobKind::Start).unwrap();
    assert_eq!((outcome.job.id, outcome.result.as_deref(), outcome.reason.as_str()), (7, Some("failed"), "no"));
    let refused = client.unit("b").unwrap_err();
    assert_eq!(refused.to_string(), "unit b not found, did you mean a.service?");
    assert!(matches!(client.units(), Err(Error::HungUp | Error::Talk(_))));
    let asked = server.join().unwrap();
    assert_eq!(asked[0], "{\"method\":\"io.ashlar.Control.GetMachine\",\"parameters\":{}}");
    assert!(asked[1].contains("\"wait\":true"), "{}", asked[1]);
}

#[test]
fn events_until_it_hangs_up() {
    let answer = "{\"parameters\":{\"event\":{\"startupFinished\":5}},\"continues\":true}\0\
                  {\"parameters\":{\"event\":{\"jobNew\":{\"id\":1}}},\"continues\":true}";
    let (client, server) = serve("events", Box::leak(Box::new([answer])));
    let events: Vec<Event> = client.watch().unwrap().map(Result::unwrap).collect();
    assert_eq!(events, [Event::StartupFinished(5), Event::JobNew(Job { id: 1, ..Job::default() })]);
    assert!(server.join().unwrap()[0].contains("\"more\":true"));
}

#[test]
fn strange_answers() {
    let check = |answer: &str, expect: &str| {
        let error = connection::understand(answer.as_bytes()).and_then(reply).unwrap_err().to_string();
        assert!(error.contains(expect), "{answer}: {error}");
    };
    check("nothing", "not understood");
    check("{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"x\"}}", "MethodNotFound");
    check("{\"error\":\"io.ashlar.Control.Newer\"}", "Newer");
    check("{\"error\":\"io.ashlar.Control.Failed\",\"parameters\":{\"reason\":\"it is full\"}}", "it is full");
}

#[test]
fn nobody_listens() {
    let error = Client::connect_to(Path::new("/nonexistent/control")).unwrap_err();
    assert_eq!(error.to_string(), "connect to /nonexistent/control");
}
