//! The endpoint as strict clients see it, and what it says to requests that are none.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::program::Sim;

/// `ann:secret`.
const ANN: &str = "Authorization: Basic YW5uOnNlY3JldA==\r\n";

/// Sends a request on a connection of its own and reads all of the answer.
fn ask(sim: &Sim, method: &str, path: &str, headers: &str, body: &[u8]) -> String {
    let host = sim.url.trim_start_matches("http://").split('/').next().unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

const EWS: &str = "/EWS/Exchange.asmx";

fn envelope(operation: &str) -> String {
    let soap = "http://schemas.xmlsoap.org/soap/envelope/";
    let messages = "http://schemas.microsoft.com/exchange/services/2006/messages";
    format!(r#"<s:Envelope xmlns:s="{soap}"><s:Body xmlns="{messages}">{operation}</s:Body></s:Envelope>"#)
}

#[test]
fn whoever_does_not_say_who_they_are_is_asked() {
    let sim = Sim::start(&[]);
    let answer = ask(&sim, "GET", EWS, "", b"").to_lowercase();
    assert!(answer.starts_with("http/1.1 401"), "{answer}");
    assert!(answer.contains("www-authenticate: ntlm") && answer.contains("www-authenticate: basic realm="), "{answer}");
    assert!(ask(&sim, "GET", EWS, ANN, b"").starts_with("HTTP/1.1 200"));
    assert!(ask(&sim, "GET", "/elsewhere", ANN, b"").starts_with("HTTP/1.1 404"));
    let basic_only = Sim::start(&["--auth", "basic"]);
    assert!(!ask(&basic_only, "GET", EWS, "", b"").to_lowercase().contains("ntlm"));
}

#[test]
fn answers_have_the_type_that_clients_insist_on() {
    let sim = Sim::start(&[]);
    let request = r#"<GetFolder><FolderShape><BaseShape>Default</BaseShape></FolderShape><FolderIds>
        <DistinguishedFolderId Id="inbox"/><DistinguishedFolderId Id="nowhere"/></FolderIds></GetFolder>"#;
    let answer = ask(&sim, "POST", EWS, ANN, envelope(request).as_bytes());
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("content-type: text/xml; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(answer.contains("<t:DisplayName>Inbox</t:DisplayName>"), "{answer}");
    assert!(answer.contains("<m:ResponseCode>ErrorFolderNotFound</m:ResponseCode>"), "{answer}");
}

#[test]
fn what_is_no_request_is_a_fault_and_the_server_lives_on() {
    let sim = Sim::start(&[]);
    let deep = format!("{}{}", "<a>".repeat(10_000), "</a>".repeat(10_000));
    let cases = [
        ("nothing", Vec::new(), "ErrorSchemaValidation"),
        ("not UTF-8", vec![0xff, 0xfe], "ErrorSchemaValidation"),
        ("not XML", b"<a".to_vec(), "ErrorSchemaValidation"),
        ("not SOAP", b"<a/>".to_vec(), "ErrorSchemaValidation"),
        ("an entity", b"<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>".to_vec(), "ErrorSchemaValidation"),
        ("too deep", envelope(&deep).into_bytes(), "ErrorSchemaValidation"),
        ("unknown", envelope("<Conquer/>").into_bytes(), "ErrorInvalidRequest"),
    ];
    for (what, body, code) in cases {
        let answer = ask(&sim, "POST", EWS, ANN, &body);
        assert!(answer.starts_with("HTTP/1.1 500") && answer.contains(code), "{what}: {answer}");
    }
    let strange = [
        r#"<GetItem><ItemShape/><ItemIds><ItemId Id="ü"/></ItemIds></GetItem>"#,
        r#"<CreateItem MessageDisposition="SaveOnly"><Items><Message><Body>x</Body><Size>4</Size><IsRead>maybe</IsRead></Message></Items></CreateItem>"#,
        r#"<CreateItem SendMeetingInvitations="SendToNone"><Items><CalendarItem><Start>later</Start></CalendarItem></Items></CreateItem>"#,
        r#"<SyncFolderItems><SyncFolderId><DistinguishedFolderId Id="inbox"/></SyncFolderId><SyncState>x</SyncState></SyncFolderItems>"#,
    ];
    for request in strange {
        let answer = ask(&sim, "POST", EWS, ANN, envelope(request).as_bytes());
        assert!(answer.contains(r#"ResponseClass="Error""#), "{request}: {answer}");
    }
}
