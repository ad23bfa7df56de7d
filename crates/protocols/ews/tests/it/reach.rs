//! The way to a mailbox: endpoints that were found, tokens that were issued, and what becomes of both.

use std::time::Duration;

use exchange_sim::{
    auth::{
        Schemes,
        bearer::{Application as Known, Issuer},
    },
    server::Server,
};
use lockstep_connector::{AddressRules, Connector, Credentials, Search, Target};
use lockstep_ews::client::Client;
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    profile::Application,
};

use crate::simulator::{Sim, deadline};

const LOOP: &str = r#"[{"mood":"redirect_loop"}]"#;

async fn sim() -> Sim {
    let applications = |life| Issuer::new(vec![Known::read("app-1:s&cret").unwrap()], Duration::from_secs(life));
    Sim::built(Schemes { basic: true, ntlm: true }, true, |server: Server| server.with_issuer(applications(3_600)))
        .await
}

fn origin(sim: &Sim) -> String {
    format!("https://127.0.0.1:{}", sim.target("x").endpoint.port)
}

/// The mailbox of an address, wherever Autodiscover says it is.
fn wanted(sim: &Sim, address: &str) -> Target {
    let mut target = sim.target(address);
    target.endpoint.host = String::new();
    target.endpoint.port = 443;
    target.search = Some(Search { address: address.to_owned(), start: Some(origin(sim)) });
    target
}

/// The same mailbox, as an application.
fn application(sim: &Sim, address: &str, secret: &str) -> Target {
    Target {
        credentials: Credentials::new("app-1", secret.to_owned().into()),
        application: Some(Application {
            token_endpoint: format!("{}/tenant/oauth2/v2.0/token", origin(sim)),
            scope: "https://outlook.office365.com/.default".to_owned(),
        }),
        mailbox: Some(address.to_owned()),
        ..sim.target(address)
    }
}

async fn fault_of(connector: &lockstep_ews::Ews, target: &Target) -> Fault {
    connector.open(target, &deadline()).await.err().expect("this cannot be reached")
}

/// B3: the endpoint is asked for once, asked for again when it does not answer any more, and a search without end is told.
#[tokio::test]
async fn b3_an_endpoint_is_found_kept_and_found_again() {
    let (here, there) = (sim().await, sim().await);
    here.server.lead_to(&origin(&there));
    let connector = here.connector();
    // Each has an authority of its own; what is found is connected to under the same rules as what was given.
    let strange = fault_of(&connector, &wanted(&here, "user1@example.test")).await;
    assert_eq!((strange.scope, strange.code.as_str()), (FaultScope::Profile, "SecureConnectionFailed"));
    here.server.lead_to(&origin(&here));
    let target = wanted(&here, "user2@example.test");
    let found = connector.locate(&target, &deadline()).await.unwrap();
    assert_eq!(found.path.as_deref(), Some("/EWS/Exchange.asmx"));
    assert_eq!((found.host.as_str(), found.port), ("127.0.0.1", here.target("x").endpoint.port));
    connector.open(&target, &deadline()).await.unwrap().close(&deadline()).await.unwrap();
    here.moods(LOOP);
    connector.open(&target, &deadline()).await.unwrap().close(&deadline()).await.unwrap();
    let looped = fault_of(&connector, &wanted(&here, "user3@example.test")).await;
    assert_eq!(
        (looped.scope, looped.class, looped.code.as_str()),
        (FaultScope::Profile, FaultClass::Refused, "RedirectLoop")
    );

    // An endpoint that was found and has gone: it is asked for again, and the mailbox is found where it is now.
    here.moods("[]");
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    here.server.lead_to(&format!("https://{gone}"));
    let moving = wanted(&here, "user4@example.test");
    assert_eq!(fault_of(&connector, &moving).await.code, "ConnectFailure");
    here.server.lead_to(&origin(&here));
    connector.open(&moving, &deadline()).await.unwrap().close(&deadline()).await.unwrap();
}

/// B3: addresses that may not be connected to are refused wherever they come from, and nobody is told a password there.
#[tokio::test]
async fn b3_the_rules_of_addresses_hold_wherever_a_search_leads() {
    let sim = sim().await;
    sim.server.lead_to("https://169.254.169.254");
    let target = wanted(&sim, "user1@example.test");
    assert_eq!(fault_of(&sim.connector(), &target).await.code, "AddressNotAllowed");
    sim.server.lead_to("http://127.0.0.1:1");
    assert_eq!(fault_of(&sim.connector(), &target).await.code, "SecureConnectionFailed");
    let public = sim.connector().reaching(AddressRules { allow_private: false });
    assert_eq!(fault_of(&public, &target).await.code, "AddressNotAllowed");
    let mut nowhere = target.clone();
    nowhere.search = Some(Search { address: "nobody".to_owned(), start: None });
    assert_eq!(fault_of(&sim.connector(), &nowhere).await.scope, FaultScope::Mailbox);
}

/// B12: an application's token is fetched once, used for every mailbox, and fetched again when it is refused.
#[tokio::test]
async fn b12_a_token_opens_every_mailbox_until_it_is_refused() {
    let sim = sim().await;
    let connector = sim.connector();
    for number in 0..3 {
        let target = application(&sim, &format!("user{number}@example.test"), "s&cret");
        connector.open(&target, &deadline()).await.unwrap().close(&deadline()).await.unwrap();
    }
    assert_eq!(sim.server.issuer.issued(), 1);
    sim.server.issuer.forget();
    let target = application(&sim, "user4@example.test", "s&cret");
    connector.open(&target, &deadline()).await.unwrap().close(&deadline()).await.unwrap();
    assert_eq!(sim.server.issuer.issued(), 2);
    sim.server.issuer.forget();
    let searched = Target {
        search: wanted(&sim, "user5@example.test").search,
        ..application(&sim, "user5@example.test", "s&cret")
    };
    connector.open(&searched, &deadline()).await.unwrap().close(&deadline()).await.unwrap();
    connector.authorise(&target, &deadline()).await.unwrap();
    assert_eq!(sim.server.issuer.issued(), 4, "one by Autodiscover's refusal, and one because it was asked for");
}

/// B12: in the middle of a session, a refused token is replaced once.
#[tokio::test]
async fn b12_a_session_goes_on_with_another_token() {
    let sim = sim().await;
    let connector = sim.connector();
    let target = application(&sim, "user1@example.test", "s&cret");
    let mut client: Client = connector.client(&target, &deadline()).await.unwrap();
    sim.server.issuer.forget();
    client.look(&deadline()).await.unwrap();
    assert_eq!(sim.server.issuer.issued(), 2);
    sim.server.issuer.forget();
    let refused = client.look(&deadline()).await.unwrap_err();
    assert_eq!((refused.class, refused.code.as_str()), (FaultClass::Auth, "Unauthorized"));
    assert_eq!(sim.server.issuer.issued(), 2, "not round and round");
}

/// B12: whoever has the wrong secret hears it from the issuer, and never in the words of the secret.
#[tokio::test]
async fn b12_a_wrong_secret_is_a_fault_of_the_account() {
    let sim = sim().await;
    let target = application(&sim, "user1@example.test", "wr0ng");
    for fault in
        [fault_of(&sim.connector(), &target).await, sim.connector().authorise(&target, &deadline()).await.unwrap_err()]
    {
        assert_eq!(
            (fault.scope, fault.class, fault.code.as_str()),
            (FaultScope::Mailbox, FaultClass::Auth, "Unauthorized")
        );
        assert!(fault.message.contains("invalid_client") && !fault.message.contains("wr0ng"), "{fault}");
    }
    // A good secret after a wrong one, and the other way round: tokens are for the secret they were given for.
    let connector = sim.connector();
    let good = application(&sim, "user1@example.test", "s&cret");
    connector.open(&good, &deadline()).await.unwrap().close(&deadline()).await.unwrap();
    assert_eq!(fault_of(&connector, &target).await.code, "Unauthorized");
    let mut plain = good.clone();
    plain.application = good.application.map(|application| Application {
        token_endpoint: application.token_endpoint.replace("https:", "http:"),
        ..application
    });
    assert_eq!(fault_of(&connector, &plain).await.code, "SecureConnectionFailed");
}
