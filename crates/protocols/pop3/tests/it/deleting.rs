//! Deletions take effect with QUIT, or not at all.

use lockstep_connector::Session;
use lockstep_model::{
    fault::{FaultClass, FaultScope},
    remote::RemoteKey,
};
use lockstep_test_support::eventually;

use crate::maildrop::{Act, Maildrop, deadline, session};

fn keys(names: &[&str]) -> Vec<RemoteKey> {
    names.iter().map(|name| RemoteKey::new(*name).unwrap()).collect()
}

fn left(maildrop: &Maildrop) -> Vec<String> {
    maildrop.messages.lock().unwrap().iter().map(|message| message.id.clone()).collect()
}

async fn delete(session: &mut Box<dyn Session>, names: &[&str]) {
    session.delete(&keys(names), &deadline()).await.unwrap();
}

#[tokio::test]
async fn deleted_means_quit_was_answered() {
    for capabilities in [&["UIDL", "PIPELINING"][..], &["UIDL"]] {
        let maildrop = Maildrop::numbered("id", 100).capabilities(capabilities);
        let server = maildrop.clone().serve().await;
        let mut first = session(&server).await;
        let all: Vec<String> = (1..=99).map(|n| format!("id-{n}")).collect();
        delete(&mut first, &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert_eq!(left(&maildrop).len(), 100);
        first.close(&deadline()).await.unwrap();
        assert_eq!(left(&maildrop), ["id-100"]);
        eventually(std::time::Duration::from_secs(5), async || server.open() == 0, "the connection is closed").await;
    }
}

#[tokio::test]
async fn what_is_gone_already_needs_no_deleting() {
    let maildrop = Maildrop::numbered("id", 2);
    let server = maildrop.clone().serve().await;
    let mut session = session(&server).await;
    delete(&mut session, &["stranger", "id-1"]).await;
    delete(&mut session, &["id-1"]).await;
    session.close(&deadline()).await.unwrap();
    assert_eq!(left(&maildrop), ["id-2"]);
    assert_eq!(server.received()[0].iter().filter(|line| line.starts_with("DELE")).count(), 1);
}

#[tokio::test]
async fn a_lost_quit_is_a_fault_and_the_next_session_repeats() {
    for act in [Act::SayAndClose(Vec::new()), Act::SayAndClose(b"+O".to_vec())] {
        let maildrop = Maildrop::numbered("id", 2);
        let lossy = maildrop.clone().but(move |line| (line == "QUIT").then(|| act.clone())).serve().await;
        let mut first = session(&lossy).await;
        delete(&mut first, &["id-1"]).await;
        let fault = first.close(&deadline()).await.unwrap_err();
        assert_eq!((fault.scope, fault.class), (FaultScope::Mailbox, FaultClass::Transient));
        assert_eq!(fault.code, "ConnectionLost");
        assert_eq!(left(&maildrop).len(), 2);

        let honest = maildrop.clone().serve().await;
        let mut second = session(&honest).await;
        delete(&mut second, &["id-1"]).await;
        second.close(&deadline()).await.unwrap();
        assert_eq!(left(&maildrop), ["id-2"]);
    }
}

#[tokio::test]
async fn a_refused_quit_is_a_fault() {
    for (said, code) in
        [("-ERR some not removed\r\n", "QuitRefused"), ("-ERR [SYS/TEMP] disk\r\n", "ServerTemporaryFailure")]
    {
        let server = Maildrop::numbered("id", 1).but(move |line| if line == "QUIT" { Act::say(said) } else { None });
        let server = server.serve().await;
        let mut session = session(&server).await;
        delete(&mut session, &["id-1"]).await;
        assert_eq!(session.close(&deadline()).await.unwrap_err().code, code);
    }
}

#[tokio::test]
async fn a_refused_deletion_is_said_twice_and_stops_no_other() {
    let maildrop =
        Maildrop::numbered("id", 3).but(|line| if line == "DELE 2" { Act::say("-ERR no\r\n") } else { None });
    let server = maildrop.clone().serve().await;
    let mut session = session(&server).await;
    let fault = session.delete(&keys(&["id-1", "id-2", "id-3"]), &deadline()).await.unwrap_err();
    assert_eq!((fault.scope, fault.code.as_str()), (FaultScope::Item, "DeleteRefused"));
    let fault = session.close(&deadline()).await.unwrap_err();
    assert_eq!((fault.scope, fault.code.as_str()), (FaultScope::Item, "DeleteRefused"));
    assert_eq!(left(&maildrop), ["id-2"]);
}
