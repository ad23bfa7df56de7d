//! `lockstep explain` and `lockstep item` against a running installation.

use lockstep_test_support::{Service, Services};

use crate::{
    process::{Running, run},
    world::World,
};

/// Without line breaks, which depend on what stands before.
fn flat(out: &str) -> String {
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// F25: where mail is, from the command line, by address; the exit code is for scripts.
#[tokio::test(flavor = "multi_thread")]
async fn f25_where_mail_is() {
    let services = Services::shared_with(&[Service::Postgres, Service::RabbitMq, Service::Redis]).await;
    let world = World::create(services).await;
    world.admin(&["migrate", "--organisation", "Contoso"]).await;
    let key = world.admin(&["api-key", "create", "tests", "--role", "administrator"]).await;
    let web = Running::start("web", &[], world.settings());
    world.ready(200).await;
    let url = format!("http://127.0.0.1:{}", world.web);
    let env = [("LOCKSTEP_API_URL", url.as_str()), ("LOCKSTEP_API_KEY", key.trim()), ("NO_PROXY", "127.0.0.1")];
    let call = async |arguments: &[&str]| run("lockstep", arguments, &env).await;

    let (code, _, err) = call(&["user", "create", "--set", "name=Ann", "--set", "address=Ann@contoso.test"]).await;
    assert_eq!(code, Some(0), "{err}");
    let (code, out, err) = call(&["explain", "mailbox", "ann@contoso.test"]).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(out.contains("\nincoming\n  STOPS    approved") && out.contains("  STOPS    enabled"), "{out}");
    assert!(flat(&out).contains("Set the mailbox's profile_id") && out.ends_with("\nSTOPS\n"), "{out}");
    let (code, out, _) = call(&["explain", "mailbox", "ann@contoso.test", "--direction", "outgoing"]).await;
    assert_eq!((code, out.contains("\nincoming\n")), (Some(1), false), "{out}");
    let (code, _, err) = call(&["explain", "mailbox", "nobody@contoso.test"]).await;
    assert_eq!((code, err.contains("no mailbox has the address")), (Some(1), true), "{err}");

    let (code, out, _) = call(&["explain", "message", "<-lost@customer.test>", "--mailbox", "ann@contoso.test"]).await;
    assert_eq!(code, Some(1), "{out}");
    assert!(out.starts_with("message -lost@customer.test in mailbox Ann@contoso.test, at "), "{out}");
    assert!(flat(&out).contains("never seen in Ann@contoso.test") && out.contains("STOPS    enabled"), "{out}");

    let pool = world.database().pool();
    sqlx::query(
        "INSERT INTO remote_items (mailbox_id, remote_key, disposition, reason, message_id, attempts, seen_at)
         SELECT id, 'k1', 'quarantined', 'ItemUnavailable', 'aside@customer.test', 5, now() FROM mailboxes",
    )
    .execute(pool)
    .await
    .unwrap();
    let (code, out, _) = call(&["explain", "message", "aside@customer.test"]).await;
    assert_eq!(code, Some(1));
    assert!(out.contains("STOPS    result") && flat(&out).contains("lockstep item release"), "{out}");
    let (code, out, _) = call(&["item", "list", "ann@contoso.test", "--filter", "disposition=quarantined"]).await;
    assert_eq!(code, Some(0));
    assert!(out.contains("key      6b31") && out.contains("never by itself, after 5 failed"), "{out}");
    // M11: of all mailboxes.
    let (code, out, err) = call(&["item", "list", "--filter", "reason=ItemUnavailable"]).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("mailbox  Ann@contoso.test") && out.contains("key      6b31"), "{out}");
    let (_, out, _) = call(&["item", "list", "--filter", "reason=TooOld"]).await;
    assert_eq!(out, "Nothing.\n");
    let (code, out, err) = call(&["item", "release", "ann@contoso.test", "6b31"]).await;
    assert_eq!(code, Some(0), "{out}{err}");
    // C10: who did it is in the audit.
    let (code, out, err) = call(&["audit", "--action", "item-released", "--since", "2026-01-01T00:00:00Z"]).await;
    assert_eq!((code, out.contains("item-released") && out.contains("tests (")), (Some(0), true), "{out}{err}");
    let (_, out, _) = call(&["audit", "--action", "item-released", "--record", "user"]).await;
    assert_eq!(out, "Nothing.\n");
    let (code, _, err) = call(&["audit", "--record", "mailbox:7"]).await;
    assert_eq!((code, err.contains("not an id")), (Some(2), true), "{err}");
    let (code, out, _) = call(&["explain", "message", "aside@customer.test"]).await;
    assert!(out.contains("WAITS    result"), "it waits for an attempt now: {out}");
    assert_eq!((code, out.contains("STOPS    approved")), (Some(1), true), "which the mailbox holds up: {out}");
    let (code, out, err) = call(&["item", "drop", "ann@contoso.test", "6b31"]).await;
    assert_eq!((code, out.contains("DroppedByHand")), (Some(0), true), "{out}{err}");
    let (code, out, err) = call(&["item", "release", "ann@contoso.test", "6b31"]).await;
    assert_eq!((code, out.contains("DroppedByHand")), (Some(0), true), "{out}{err}");
    // F25: all that a rule refused, by its reason.
    sqlx::query("UPDATE remote_items SET reason = 'TooOld', next_attempt_at = NULL").execute(pool).await.unwrap();
    let (code, out, _) = call(&["explain", "message", "aside@customer.test"]).await;
    assert_eq!((code, flat(&out).contains("--process-email-from DATE")), (Some(1), true), "{out}");
    for (reason, items) in [("NoCorrelationMatch", "0 judged"), ("TooOld", "1 judged")] {
        let (code, out, err) = call(&["item", "judge-again", "ann@contoso.test", "--reason", reason]).await;
        assert_eq!((code, out.starts_with(items)), (Some(0), true), "{out}{err}");
    }
    let (_, out, _) = call(&["explain", "message", "aside@customer.test"]).await;
    assert!(flat(&out).contains("judged again when the mailbox is read next"), "{out}");
    let (code, _, err) = call(&["item", "judge-again", "ann@contoso.test", "--reason", "Colour"]).await;
    assert_eq!((code, err.contains("NoRecipientMatch")), (Some(1), true), "{err}");
    assert_eq!(web.stop().await, Some(0));
}
