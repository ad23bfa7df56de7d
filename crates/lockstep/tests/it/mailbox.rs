//! A mailbox set up and tested from the command line alone, with every role in one process and real mail servers.

use lockstep_test_support::{Services, mail::MailAccount};
use serde_json::Value;

use crate::{
    process::{Running, run},
    world::World,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_is_set_up_and_tested_from_the_command_line() {
    let services = Services::shared().await;
    let world = World::create(services).await;
    world.apply_rights().await;
    world.admin(&["migrate", "--organisation", "Contoso"]).await;
    let key = world.admin(&["api-key", "create", "tests", "--role", "administrator"]).await;
    let roles = Running::start("lockstep", &["all"], world.settings());
    world.ready(200).await;

    let url = format!("http://127.0.0.1:{}", world.web);
    let env = [("LOCKSTEP_API_URL", url.as_str()), ("LOCKSTEP_API_KEY", key.trim()), ("NO_PROXY", "127.0.0.1")];
    let json = async |arguments: &[&str]| -> Value {
        let (code, out, err) = run("lockstep", &[arguments, &["--json"]].concat(), &env).await;
        assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap()
    };
    let incoming = format!("incoming.port={}", services.pop3s_port());
    let outgoing = format!("outgoing.port={}", services.submission_port());
    #[rustfmt::skip]
    let profile = json(&[
        "profile", "create", "--set", "name=Mail", "--set", "credentials=mailbox",
        "--set", "incoming.protocol=pop3", "--set", "incoming.host=127.0.0.1", "--set", &incoming,
        "--set", "incoming.tls=implicit",
        "--set", "outgoing.protocol=smtp", "--set", "outgoing.host=127.0.0.1", "--set", &outgoing,
        "--set", "outgoing.tls=start-tls",
    ])
    .await;
    let account = MailAccount::create(services, "cli", "mail.test");
    let address = format!("address={}", account.address());
    json(&["user", "create", "--set", "name=Ann", "--set", &address]).await;
    let found = json(&["mailbox", "list", "--filter", &address]).await;
    let id = found[0]["id"].as_str().unwrap();

    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), format!("{}\n", account.password())).unwrap();
    let password = format!("password=@{}", password.path().display());
    let (profile, login) =
        (format!("profile_id={}", profile["id"].as_str().unwrap()), format!("login={}", account.address()));
    #[rustfmt::skip]
    json(&[
        "mailbox", "update", id, "--set", &profile, "--set", &login, "--set", &password,
        "--set", "allow_credentials=true", "--set", "incoming_method=server-side",
        "--set", "outgoing_method=server-side",
    ])
    .await;
    assert_eq!(json(&["mailbox", "approve", account.address()]).await["address_status"], "approved");
    let operation = json(&["mailbox", "test", account.address()]).await;
    assert_eq!(operation["state"], "done", "{operation}");

    json(&["mailbox", "update", id, "--set", "password=wrong"]).await;
    let (code, out, err) = run("lockstep", &["mailbox", "test", id], &env).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("failed") && !out.contains("wrong\n"), "{out}");

    // A deployment on the internet lets nobody reach machines beside it.
    roles.stop().await;
    let settings = std::fs::read_to_string(world.settings()).unwrap();
    let settings = settings.replace("[network]\n", "[network]\npublic_mail_servers_only = true\n");
    std::fs::write(world.settings(), settings).unwrap();
    let _roles = Running::start("lockstep", &["all"], world.settings());
    world.ready(200).await;
    let (code, out, err) = run("lockstep", &["mailbox", "test", id], &env).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("AddressNotAllowed"), "{out}");
}
