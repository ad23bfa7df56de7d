//! Keys that seal passwords, as an administrator changes them.

use lockstep_test_support::Services;

use crate::{process::run, world::World};

const OLD: &str = "k:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const NEW: &str = "n:ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

async fn keys(world: &World, command: &str, keys: &str) -> (Option<i32>, String) {
    let arguments = ["keys", command, "--config", world.settings().to_str().unwrap()];
    let (code, out, err) = run("lockstep", &arguments, &[("LOCKSTEP__SECRETS__KEYS", keys)]).await;
    (code, out + &err)
}

async fn doctor(world: &World, keys: &str) -> (Option<i32>, String) {
    let arguments = ["doctor", "--role", "async-worker", "--config", world.settings().to_str().unwrap()];
    let (code, out, err) = run("lockstep", &arguments, &[("LOCKSTEP__SECRETS__KEYS", keys)]).await;
    (code, out + &err)
}

/// B15: the new key in front, a rotation, the old key away.
#[tokio::test]
async fn b15_keys_are_rotated_by_command() {
    let world = World::create(Services::shared().await).await;
    world.admin(&["migrate", "--organisation", "Muster"]).await;
    let (code, said) = keys(&world, "list", OLD).await;
    assert_eq!((code, said.contains("seals")), (Some(0), true), "{said}");
    let both = format!("{NEW},{OLD}");
    let (code, said) = keys(&world, "rotate", &both).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("0 stored passwords") && said.contains("\"n\""), "{said}");
    assert!(!said.contains("ffeeddcc") && !said.contains("00112233"), "{said}");

    // A password whose key is gone.
    sqlx::query(
        "INSERT INTO email_server_profiles (id, name, incoming_protocol, incoming_host, incoming_port, incoming_tls,
             incoming_auth, outgoing_protocol, outgoing_host, outgoing_port, outgoing_tls, outgoing_auth, credentials,
             sealed_secret, created_at, updated_at)
         VALUES (gen_random_uuid(), 'p', 'pop3', 'h', 110, 'plain', 'auto', 'smtp', 'h', 25, 'plain', 'auto', 'profile',
             '\\x010467616e7a00000000000000000000000000000000000000000000000000', now(), now())",
    )
    .execute(world.database().pool())
    .await
    .unwrap();
    let (code, said) = keys(&world, "list", &both).await;
    assert_eq!((code, said.contains("MISSING")), (Some(1), true), "{said}");
    let (code, said) = doctor(&world, &both).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("FAILED  stored secrets") && said.contains("lacks the key \"ganz\", which 1 of them"),
        "{said}"
    );
    // The right id, with other bytes.
    let (code, said) = doctor(&world, &format!("{both},{}", NEW.replace("n:", "ganz:"))).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("the 1 sealed with the key \"ganz\" does not open: that id stands for other bytes"),
        "{said}"
    );
    assert!(!said.contains("ffeeddcc") && !said.contains("00112233"), "{said}");
    let (code, said) = keys(&world, "rotate", &both).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("email-server-profile/") && said.contains("\"ganz\""), "{said}");
}
