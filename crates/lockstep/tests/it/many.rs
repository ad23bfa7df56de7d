//! What is done with many mailboxes at once, a takeover, keys, and an erasure: from the command line, against every role in
//! one process and real mail servers.

use lockstep_test_support::{Services, mail::MailAccount};
use serde_json::Value;

use crate::{
    process::{Running, run, run_with_input},
    world::World,
};

struct Line {
    world: World,
    url: String,
    key: String,
}

impl Line {
    fn env(&self) -> [(&str, &str); 3] {
        [("LOCKSTEP_API_URL", &self.url), ("LOCKSTEP_API_KEY", &self.key), ("NO_PROXY", "127.0.0.1")]
    }

    async fn call(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        run("lockstep", arguments, &self.env()).await
    }

    /// With `--json`: what it says on standard output, and the exit code.
    async fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let (code, out, err) = self.call(&[arguments, &["--json"]].concat()).await;
        let value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{arguments:?}: {out}{err}"));
        (code, value)
    }

    /// As [`Self::json`], of what has to succeed.
    async fn done(&self, arguments: &[&str]) -> Value {
        let (code, value) = self.json(arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {value:#}");
        value
    }

    /// The mailbox of a user made with this address.
    async fn user(&self, address: &str) -> String {
        let address = format!("address={address}");
        self.done(&["user", "create", "--set", "name=Somebody", "--set", &address]).await;
        let found = self.done(&["mailbox", "list", "--filter", &address]).await;
        found[0]["id"].as_str().unwrap().to_owned()
    }

    async fn account(&self, mailbox: &str, account: &MailAccount) {
        let (login, password) = (format!("login={}", account.address()), format!("password={}", account.password()));
        let set = ["--set", "allow_credentials=true", "--set", &login, "--set", &password];
        self.done(&[&["mailbox", "update", mailbox], &set[..]].concat()).await;
    }
}

/// What became of each, and of its test.
fn outcomes(results: &Value) -> Vec<(&str, &str)> {
    fn of<'v>(value: &'v Value, key: &str) -> &'v str {
        value[key].as_str().unwrap_or("-")
    }
    results.as_array().unwrap().iter().map(|result| (of(result, "outcome"), of(result, "test"))).collect()
}

/// C11, C17, C18, D4: many mailboxes are approved, edited, given the defaults and tested, each with its result, by name or as those of a
/// profile; an account is taken over; a person is erased, and what was erased is told.
#[tokio::test(flavor = "multi_thread")]
async fn many_mailboxes_a_takeover_and_an_erasure() {
    let services = Services::shared().await;
    let world = World::create(services).await;
    world.apply_rights().await;
    world.admin(&["migrate", "--organisation", "Contoso"]).await;
    let key = world.admin(&["api-key", "create", "tests", "--role", "administrator"]).await.trim().to_owned();
    let _roles = Running::start("lockstep", &["all"], world.settings());
    world.ready(200).await;
    let line = Line { url: format!("http://127.0.0.1:{}", world.web), key, world };

    let (incoming, outgoing) =
        (format!("incoming.port={}", services.pop3s_port()), format!("outgoing.port={}", services.submission_port()));
    let [anns, berts] =
        [MailAccount::create(services, "ann", "mail.test"), MailAccount::create(services, "bert", "mail.test")];
    let (ann, bert) = (line.user(anns.address()).await, line.user(berts.address()).await);
    let cara = line.user("cara@mail.test").await;
    #[rustfmt::skip]
    line.done(&[
        "profile", "create", "--set", "name=Mail", "--set", "credentials=mailbox", "--set", "is_default=true",
        "--set", "incoming.protocol=pop3", "--set", "incoming.host=127.0.0.1", "--set", &incoming,
        "--set", "incoming.tls=implicit",
        "--set", "outgoing.protocol=smtp", "--set", "outgoing.host=127.0.0.1", "--set", &outgoing,
        "--set", "outgoing.tls=start-tls",
    ])
    .await;

    // Nobody is dealt with where one is misnamed.
    let (code, out, err) = line.call(&["mailbox", "approve", anns.address(), "nobody@mail.test", "--json"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("\"nobody@mail.test\"") && err.contains("nothing was done"), "{err}");
    assert_eq!(line.call(&["mailbox", "approve"]).await.0, Some(2), "addresses, or --profile");
    let (code, _, err) = line.call(&["mailbox", "approve", "--profile", "Elsewhere"]).await;
    assert_eq!((code, err.contains("no profile has the name")), (Some(1), true), "{err}");
    let (code, out, err) = line.call(&["mailbox", "reject", anns.address(), berts.address(), &cara]).await;
    assert_eq!((code, out.ends_with("\n3: 3 done, 0 refused.\n")), (Some(0), true), "{out}{err}");
    let (code, out, err) = line.call(&["mailbox", "approve", anns.address(), berts.address(), &cara]).await;
    assert_eq!((code, out.matches("  done\n").count()), (Some(0), 3), "{out}{err}");

    // The defaults, without tests; then one change for all, and one that is refused for all.
    let results = line.done(&["mailbox", "apply-defaults", &ann, &bert, &cara, "--no-test"]).await;
    assert_eq!(outcomes(&results), [("done", "-"); 3]);
    let shown = line.done(&["mailbox", "show", &cara]).await;
    assert!(shown["profile_id"].is_string() && shown["incoming_method"] == "server-side", "{shown}");
    let results = line.done(&["mailbox", "edit", "--profile", "Mail", "--set", "outgoing_method=none"]).await;
    assert_eq!(outcomes(&results), [("done", "-"); 3]);
    assert_eq!(line.done(&["mailbox", "show", &bert]).await["outgoing_method"], "none");
    line.done(&["mailbox", "edit", &ann, &bert, &cara, "--set", "outgoing_method=server-side"]).await;
    let (code, _, err) = line.call(&["mailbox", "edit", &ann, "--set", "login=x"]).await;
    assert_eq!((code, err.contains("changes.login (unknown)")), (Some(1), true), "{err}");

    // Tests: of many, each with its result; one has no account.
    line.account(&ann, &anns).await;
    line.account(&bert, &berts).await;
    let (code, results) = line.json(&["mailbox", "test", "--profile", "Mail"]).await;
    assert_eq!(code, Some(1), "{results:#}");
    let of = |id: &str| results.as_array().unwrap().iter().find(|result| result["mailbox_id"] == id).unwrap();
    for (mailbox, test) in [(&ann, "done"), (&bert, "done"), (&cara, "failed")] {
        assert_eq!((of(mailbox)["outcome"].as_str(), of(mailbox)["test"].as_str()), (Some("done"), Some(test)));
        assert_eq!(of(mailbox)["operation"]["state"], test, "{results:#}");
    }
    assert_eq!(of(&ann)["address"], anns.address());
    let (code, out, err) = line.call(&["mailbox", "test-and-enable", anns.address(), berts.address()]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(
        out.contains("outcome  test\n") && out.contains("2 passed the test, 0 failed it, 0 not finished."),
        "{out}"
    );
    let results = line.done(&["mailbox", "test", anns.address(), &bert, "--no-wait"]).await;
    assert!(results[1]["operation_id"].is_string() && results[1].get("test").is_none(), "{results:#}");
    line.done(&["mailbox", "update", &cara, "--set", "active=false"]).await;
    let (code, out, _) = line.call(&["mailbox", "test", &ann, &cara]).await;
    assert_eq!(code, Some(1));
    assert!(out.contains("refused") && out.contains("    > The mailbox is inactive: PATCH active"), "{out}");
    let (code, _, err) =
        line.call(&["mailbox", "test", &ann, &bert, "--process-email-from", "2026-11-01T00:00:00Z"]).await;
    assert_eq!((code, err.contains("goes with one mailbox")), (Some(1), true), "{err}");
    line.done(&["mailbox", "update", &cara, "--set", "active=true"]).await;

    // D4: Cara's mailbox takes Ann's account over.
    let (code, _, err) = line
        .call(&[
            "mailbox",
            "update",
            &cara,
            "--set",
            "allow_credentials=true",
            "--set",
            &format!("login={}", anns.address()),
            "--set",
            "password=x",
        ])
        .await;
    assert_eq!((code, err.contains("409")), (Some(1), true), "{err}");
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), format!("{}\n", anns.password())).unwrap();
    let file = password.path().to_str().unwrap();
    let take = ["mailbox", "takeover", "cara@mail.test", "--login", anns.address(), "--password-file", file];
    let (code, out, err) = line.call(&take).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.ends_with("Test and enable it now: lockstep mailbox test cara@mail.test\n"), "{out}");
    assert!(!out.contains(anns.password()), "{out}");
    assert!(line.done(&["mailbox", "show", &ann]).await["login"].is_null());
    let (code, _, err) = line.call(&take).await;
    assert_eq!((code, err.contains("No other mailbox holds this account")), (Some(1), true), "{err}");
    let nobody = ["mailbox", "takeover", "cara@mail.test", "--login", berts.address(), "--password-file", "-"];
    let (code, _, err) = run_with_input("lockstep", &nobody, &line.env(), "\n").await;
    assert_eq!((code, err.contains("holds no password")), (Some(1), true), "{err}");
    let (code, results) = line.json(&["mailbox", "apply-defaults", &cara]).await;
    assert_eq!(results[0]["operation"]["kind"], "test-and-enable-mailbox", "{results:#}");
    assert_eq!(code == Some(0), results[0]["test"] == "done", "{results:#}");

    // An erasure says what it has erased, place by place.
    line.done(&["contact", "create", "--set", "name=Kundin", "--set", "address=kundin@example.org"]).await;
    let (code, out, _) = line.call(&["erase", "kundin@example.org"]).await;
    assert_eq!((code, out.contains("people") && out.contains("Nothing was changed")), (Some(0), true), "{out}");
    let (code, out, err) = line.call(&["erase", "kundin@example.org", "--confirm"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let told = |place: &str| {
        let found = out.lines().find(|line| line.trim_start().starts_with(place));
        found.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    assert_eq!(told("contacts, accounts and leads").as_deref(), Some("1"), "{out}");
    assert_eq!(told("emails ").as_deref(), Some("0"), "{out}");
    let again = line.done(&["erase", "kundin@example.org", "--confirm"]).await;
    assert_eq!((&again["state"], &again["result"]["erased"]["people"]), (&"done".into(), &0.into()), "{again:#}");
    let (code, out, _) = line.call(&["erase", "kundin@example.org", "--confirm", "--no-wait"]).await;
    assert_eq!((code, out.starts_with("Erasing goes on as operation ")), (Some(0), true), "{out}");
    let (code, _, err) = line.call(&["erase", anns.address(), "--confirm"]).await;
    assert_eq!((code, err.contains("belongs to the user")), (Some(1), true), "{err}");

    // A user explains the own mailbox, and nobody else's.
    let of_user = line.world.admin(&["api-key", "create", "anns", "--role", "user", "--user", anns.address()]).await;
    let env =
        [("LOCKSTEP_API_URL", line.url.as_str()), ("LOCKSTEP_API_KEY", of_user.trim()), ("NO_PROXY", "127.0.0.1")];
    let (code, out, err) = run("lockstep", &["explain", "mailbox", &ann], &env).await;
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("\nincoming\n  ok       approved") && out.contains("  STOPS    enabled"), "{out}");
    for other in [bert.as_str(), berts.address()] {
        let (code, out, err) = run("lockstep", &["explain", "mailbox", other], &env).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    }

    // Keys are listed and revoked without one.
    let keys: Value = serde_json::from_str(&line.world.admin(&["api-key", "list", "--json"]).await).unwrap();
    let named = |name: &str| keys.as_array().unwrap().iter().find(|key| key["name"] == name).unwrap().clone();
    assert_eq!((&named("anns")["role"], &named("anns")["valid"]), (&"user".into(), &true.into()));
    assert!(!keys.to_string().contains("lsk_"), "{keys}");
    line.world.admin(&["api-key", "create", "anns", "--role", "operator"]).await;
    let (code, out, err) = line.world.try_admin(&["api-key", "revoke", "tests", "anns"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("2 keys have the name \"anns\"; nothing was revoked"), "{err}");
    let id = named("anns")["id"].as_str().unwrap().to_owned();
    let out = line.world.admin(&["api-key", "revoke", &id, "tests"]).await;
    assert!(out.contains("anns") && out.matches("  revoked\n").count() == 2, "{out}");
    let (code, _, err) = line.call(&["mailbox", "list"]).await;
    assert_eq!((code, err.contains("401")), (Some(1), true), "{err}");
    assert!(line.world.admin(&["api-key", "revoke", &id]).await.contains("revoked already"));
    let valid: Value =
        serde_json::from_str(&line.world.admin(&["api-key", "list", "--valid", "--json"]).await).unwrap();
    assert!(valid.as_array().unwrap().iter().all(|key| key["id"] != id.as_str() && key["name"] != "tests"), "{valid}");
    let (code, _, err) = line.world.try_admin(&["api-key", "revoke", "tests"]).await;
    assert_eq!((code, err.contains("nothing was revoked")), (Some(1), true), "{err}");
}
