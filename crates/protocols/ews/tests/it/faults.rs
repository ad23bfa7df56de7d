//! What servers say when something is wrong, and the faults made of it.

use std::time::Duration;

use lockstep_ews::{client::Client, codec::folder};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
};

use crate::{
    scripted::{answer, connector, envelope, serve},
    simulator::{Sim, deadline, target},
};

fn soap_fault(code: &str, detail: &str) -> String {
    envelope(&format!(
        r#"<s:Fault xmlns:s="x"><faultcode xmlns:a="types">a:{code}</faultcode><faultstring>no</faultstring><detail>{detail}</detail></s:Fault>"#
    ))
}

fn coded(code: &str, more: &str) -> String {
    soap_fault(code, &format!("<e:ResponseCode xmlns:e='e'>{code}</e:ResponseCode>{more}"))
}

fn message(code: &str, more: &str) -> String {
    envelope(&format!(
        r#"<m:SyncFolderItemsResponse><m:ResponseMessages><m:SyncFolderItemsResponseMessage ResponseClass="Error"><m:MessageText>no</m:MessageText><m:ResponseCode>{code}</m:ResponseCode>{more}</m:SyncFolderItemsResponseMessage></m:ResponseMessages></m:SyncFolderItemsResponse>"#
    ))
}

const HINT: &str = r#"<t:MessageXml><t:Value Name="BackOffMilliseconds">  2500 </t:Value></t:MessageXml>"#;
const NO_HINT: &str = r#"<t:MessageXml><t:Value Name="BackOffMilliseconds">0</t:Value></t:MessageXml>"#;

/// What it is, the answer, the fault, and the wait.
type Case = (&'static str, String, (FaultScope, FaultClass, &'static str), Option<Duration>);

/// What a listing makes of an answer.
async fn listed(reply: String) -> Fault {
    let port = serve(reply).await;
    let mut to = target(port, TlsMode::Plain, "ann@example.test");
    to.endpoint.auth = AuthMethod::Plain;
    let mut client = Client::open(connector().options(&to), &deadline()).await.unwrap();
    let shape = lockstep_ews::codec::property::Shape::default();
    let inbox = lockstep_ews::codec::id::FolderRef::Distinguished("inbox");
    let request = lockstep_ews::codec::sync_folder_items::request(&inbox, &shape, None, 5);
    match client.call_one(&request, &deadline()).await {
        Ok(answered) => answered.unwrap_err().fault(FaultScope::Mailbox),
        Err(fault) => fault,
    }
}

#[tokio::test]
async fn every_refusal_becomes_the_fault_it_is() {
    use FaultClass::{Auth, Refused, Throttled, Transient, Unreachable};
    use FaultScope::{Mailbox, Profile};
    let xml = "Content-Type: text/xml; charset=utf-8\r\n";
    let text = "Content-Type: text/plain\r\n";
    let wait = |millis| Some(Duration::from_millis(millis));
    let busy = "ServiceUnavailable";
    let cases: Vec<Case> = vec![
        (
            "busy, with a hint",
            answer(500, xml, &coded("ErrorServerBusy", HINT)),
            (Mailbox, Throttled, busy),
            wait(2_500),
        ),
        ("busy, zero hint", answer(500, xml, &coded("ErrorServerBusy", NO_HINT)), (Mailbox, Throttled, busy), None),
        ("busy, no hint", answer(500, xml, &coded("ErrorServerBusy", "")), (Mailbox, Throttled, busy), None),
        (
            "busy by faultcode",
            answer(500, xml, &soap_fault("ErrorServerBusy", HINT)),
            (Mailbox, Throttled, busy),
            wait(2_500),
        ),
        ("busy as 200", answer(200, xml, &coded("ErrorServerBusy", HINT)), (Mailbox, Throttled, busy), wait(2_500)),
        (
            "busy by message",
            answer(200, xml, &message("ErrorServerBusy", HINT)),
            (Mailbox, Throttled, busy),
            wait(2_500),
        ),
        ("busy in 503", answer(503, xml, &coded("ErrorServerBusy", HINT)), (Mailbox, Throttled, busy), wait(2_500)),
        (
            "a header's hint",
            answer(500, &format!("{xml}Retry-After: 7\r\n"), &coded("ErrorServerBusy", "")),
            (Mailbox, Throttled, busy),
            wait(7_000),
        ),
        ("objects", answer(200, xml, &message("ErrorTooManyObjectsOpened", "")), (Mailbox, Throttled, busy), None),
        ("connections", answer(500, xml, &coded("ErrorExceededConnectionCount", "")), (Mailbox, Throttled, busy), None),
        (
            "store",
            answer(200, xml, &message("ErrorMailboxStoreUnavailable", "")),
            (Mailbox, Transient, "ServerTemporaryFailure"),
            None,
        ),
        (
            "state",
            answer(200, xml, &message("ErrorInvalidSyncStateData", "")),
            (Mailbox, Transient, "ListingRefused"),
            None,
        ),
        (
            "no mailbox",
            answer(500, xml, &coded("ErrorNonExistentMailbox", "")),
            (Mailbox, Refused, "MailboxNotFound"),
            None,
        ),
        (
            "acting",
            answer(500, xml, &coded("ErrorImpersonateUserDenied", "")),
            (Mailbox, Auth, "ImpersonationDenied"),
            None,
        ),
        ("access", answer(200, xml, &message("ErrorAccessDenied", "")), (Mailbox, Auth, "Unauthorized"), None),
        (
            "unknown code",
            answer(200, xml, &message("ErrorOfTomorrow", "")),
            (Mailbox, Transient, "ServerTemporaryFailure"),
            None,
        ),
        ("tenant", answer(403, text, "EWS is disabled for this tenant."), (Profile, Refused, "EwsBlocked"), None),
        ("forbidden", answer(403, text, "no"), (Mailbox, Refused, "ServerPermanentFailure"), None),
        ("401", answer(401, "", ""), (Mailbox, Auth, "Unauthorized"), None),
        ("429", answer(429, "Retry-After: 12\r\n", ""), (Mailbox, Throttled, busy), wait(12_000)),
        (
            "503 until a date",
            answer(503, "Date: Mon, 01 Jan 2024 10:00:00 GMT\r\nRetry-After: Mon, 01 Jan 2024 10:00:30 GMT\r\n", ""),
            (Mailbox, Throttled, busy),
            wait(30_000),
        ),
        ("503", answer(503, "", "down"), (Profile, Transient, busy), None),
        ("502", answer(502, "", ""), (Profile, Unreachable, busy), None),
        ("302", answer(302, "Location: https://other.test/EWS\r\n", ""), (Profile, Refused, "ProtocolViolation"), None),
        ("404", answer(404, "", ""), (Profile, Refused, "ProtocolViolation"), None),
        (
            "a page",
            answer(200, "Content-Type: text/html\r\n", "<!DOCTYPE html><html><body>Sign in</body></html>"),
            (Profile, Refused, "ProtocolViolation"),
            None,
        ),
        ("500", answer(500, text, "oops"), (Mailbox, Transient, "ServerTemporaryFailure"), None),
        ("half", answer(200, xml, "<s:Envelope><s:Body>"), (Mailbox, Transient, "ProtocolViolation"), None),
        (
            "an endless wish",
            answer(429, "Retry-After: 999999999\r\n", ""),
            (Mailbox, Throttled, busy),
            Some(Duration::from_secs(3_600)),
        ),
    ];
    for (what, reply, expected, after) in cases {
        let fault = listed(reply).await;
        assert_eq!((fault.scope, fault.class, fault.code.as_str()), expected, "{what}: {fault}");
        assert_eq!(fault.retry_after, after, "{what}: {fault}");
        assert!(!fault.message.contains("secret"), "{what}");
    }
}

/// The hint of a throttling server is the fault's own wish, in every operation of a session.
#[tokio::test]
async fn a_throttling_server_is_left_alone_for_as_long_as_it_wants() {
    let sim = Sim::start().await;
    let (_, mut client) = sim.client().await;
    sim.moods(r#"[{"mood":"busy","back_off_ms":4000}]"#);
    let shape = lockstep_ews::codec::property::Shape::default();
    let inbox = lockstep_ews::codec::id::FolderRef::Distinguished("inbox");
    let fault = client.call(&folder::request(std::slice::from_ref(&inbox), &shape), &deadline()).await.unwrap_err();
    assert_eq!((fault.class, fault.retry_after), (FaultClass::Throttled, Some(Duration::from_secs(4))));
    sim.moods(r#"[{"mood":"unavailable","retry_after":9}]"#);
    let fault = client.call(&folder::request(std::slice::from_ref(&inbox), &shape), &deadline()).await.unwrap_err();
    assert_eq!((fault.class, fault.retry_after), (FaultClass::Throttled, Some(Duration::from_secs(9))));
    sim.moods(r#"[{"mood":"blocked"}]"#);
    let fault = client.call(&folder::request(std::slice::from_ref(&inbox), &shape), &deadline()).await.unwrap_err();
    assert_eq!(
        (fault.scope, fault.class, fault.code.as_str()),
        (FaultScope::Profile, FaultClass::Refused, "EwsBlocked")
    );
    sim.moods("[]");
    client.call(&folder::request(&[inbox], &shape), &deadline()).await.unwrap();
}
