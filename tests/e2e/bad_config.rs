//! Programs that cannot start: the exit code, the reason, and no port.

use std::{io::ErrorKind, net::TcpStream, time::Duration};

use lockstep_e2e::{Cluster, Role};

const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// Starts a role with a spoilt environment; tells exit code and words. No probe port may be open meanwhile or after.
async fn refused(cluster: &Cluster, role: Role, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let process = cluster.spawn(role, environment);
    let ended = async || {
        let bound = TcpStream::connect(("127.0.0.1", process.probes_port()));
        assert_eq!(bound.unwrap_err().kind(), ErrorKind::ConnectionRefused, "{} opened a port", role.name());
        process.ended()
    };
    cluster.wait_until(30, &format!("{} ends", role.name()), ended).await;
    let exit = process.wait(ENDS_WITHIN).await;
    (exit.code(), process.log_text())
}

/// A program with wrong settings ends with 78 and names the key, one without its services with 69 and names the
/// address; no secret is shown.
#[tokio::test]
async fn programs_that_cannot_work_say_why_and_end() {
    let mut builder = Cluster::builder();
    for role in Role::SEPARATE {
        builder = builder.without(role);
    }
    let cluster = builder.start().await;
    let unreachable = "postgres://somebody:hush-hush@127.0.0.1:1/nowhere";
    for role in Role::SEPARATE.into_iter().chain([Role::All]) {
        let (code, text) = refused(&cluster, role, &[("LOCKSTEP__DATABASE__COLOUR", "red")]).await;
        assert_eq!(code, Some(78), "{}: {text}", role.name());
        assert!(text.contains("colour"), "{text}");
        let (code, text) = refused(&cluster, role, &[("LOCKSTEP__DATABASE__MAX_CONNECTIONS", "many")]).await;
        assert_eq!(code, Some(78), "{}: {text}", role.name());
        assert!(text.contains("max_connections"), "{text}");
        let quick = ("LOCKSTEP__STARTUP__PATIENCE", "1s");
        let (code, text) = refused(&cluster, role, &[("LOCKSTEP__DATABASE__URL", unreachable), quick]).await;
        assert_eq!(code, Some(69), "{}: {text}", role.name());
        assert!(text.contains("127.0.0.1:1") && !text.contains("hush-hush"), "{text}");
    }
    for role in [Role::MailboxWorker, Role::OutgoingWorker, Role::AsyncWorker, Role::Web, Role::All] {
        let (code, text) = refused(&cluster, role, &[("LOCKSTEP__SECRETS__KEYS", "first:hush-hush")]).await;
        assert_eq!(code, Some(78), "{}: {text}", role.name());
        assert!(text.contains("secrets.keys") && !text.contains("hush-hush"), "{text}");
    }
}
