//! Who is let in, and how.

use exchange_sim::auth::Schemes;
use lockstep_connector::{Connector, Credentials, Target};
use lockstep_ews::client::{Client, Options};
use lockstep_model::{
    fault::{FaultClass, FaultScope},
    profile::AuthMethod,
};

use crate::simulator::{Sim, deadline};

#[tokio::test]
async fn every_way_the_server_offers_is_found() {
    for (basic, ntlm, tls) in [(true, true, false), (true, false, false), (false, true, true), (true, false, true)] {
        let sim = Sim::with(Schemes { basic, ntlm }, tls).await;
        let (_, target) = sim.fresh();
        let session = sim.connector().open(&target, &deadline()).await;
        let session = session.unwrap_or_else(|fault| panic!("basic {basic}, ntlm {ntlm}, tls {tls}: {fault}"));
        session.close(&deadline()).await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_is_the_accounts_fault() {
    for (basic, ntlm) in [(true, false), (false, true)] {
        let sim = Sim::with(Schemes { basic, ntlm }, false).await;
        let (_, target) = sim.fresh();
        let credentials = Credentials::new(target.credentials.user.clone(), "other".to_owned().into());
        let fault = sim.connector().open(&Target { credentials, ..target }, &deadline()).await.err().unwrap();
        assert_eq!(
            (fault.scope, fault.class, fault.code.as_str()),
            (FaultScope::Mailbox, FaultClass::Auth, "Unauthorized")
        );
        assert!(!fault.message.contains("other"));
    }
}

#[tokio::test]
async fn a_way_that_is_not_offered_is_refused() {
    let sim = Sim::with(Schemes { basic: false, ntlm: false }, false).await;
    let (_, target) = sim.fresh();
    let fault = sim.connector().open(&target, &deadline()).await.err().unwrap();
    assert_eq!((fault.scope, fault.code.as_str()), (FaultScope::Profile, "AuthenticationMethodNotOffered"));
    let sim = Sim::with(Schemes { basic: true, ntlm: true }, false).await;
    let (_, mut target) = sim.fresh();
    target.endpoint.auth = AuthMethod::XOAuth2;
    let fault = sim.connector().open(&target, &deadline()).await.err().unwrap();
    assert_eq!((fault.scope, fault.class), (FaultScope::Mailbox, FaultClass::Auth));
}

#[tokio::test]
async fn a_service_account_acts_for_others_and_nobody_else_does() {
    let sim = Sim::start().await;
    let as_whom = |user: &str, whom: &str| {
        let options = sim.connector().options(&sim.target(user));
        Options { as_whom: Some(whom.to_owned()), ..options }
    };
    let mut client = Client::open(as_whom("robot@example.test", "user1@example.test"), &deadline()).await.unwrap();
    client.close().await;
    let denied = Client::open(as_whom("user2@example.test", "user1@example.test"), &deadline()).await.err().unwrap();
    assert_eq!((denied.scope, denied.class), (FaultScope::Mailbox, FaultClass::Auth), "{denied}");
    let nobody = Client::open(as_whom("robot@example.test", "nobody@example.test"), &deadline()).await.err().unwrap();
    assert_eq!((nobody.scope, nobody.class), (FaultScope::Mailbox, FaultClass::Refused), "{nobody}");
}

#[tokio::test]
async fn a_look_needs_no_account() {
    let sim = Sim::with(Schemes { basic: true, ntlm: true }, true).await;
    let (_, target) = sim.fresh();
    let probe = sim.connector().probe(&target.endpoint, target.request_timeout, &deadline()).await;
    assert_eq!(probe.fault, None);
    let steps: Vec<_> = probe.steps.iter().map(|step| step.name).collect();
    assert_eq!(steps, ["resolve", "connect", "tls", "greeting"]);
    assert!(probe.steps[3].said.contains("NTLM"), "{}", probe.steps[3].said);
}
