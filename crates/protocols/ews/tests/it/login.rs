//! Who is let in, and how.

use exchange_sim::{auth::Schemes, server::Server};
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

/// B8: each value does what it says, or says what the server offers instead; `auto` takes the strongest that is offered.
#[tokio::test]
async fn b8_each_way_is_the_one_that_is_used() {
    use AuthMethod::{Auto, Basic, Negotiate, Ntlm};
    const NOT_OFFERED: &str = "AuthenticationMethodNotOffered";
    // What is offered: basic, NTLM, Negotiate; and for each way what it comes to.
    let cases = [
        ((true, false, false), [(Auto, ""), (Basic, ""), (Ntlm, NOT_OFFERED), (Negotiate, NOT_OFFERED)]),
        ((false, true, false), [(Auto, ""), (Basic, NOT_OFFERED), (Ntlm, ""), (Negotiate, NOT_OFFERED)]),
        ((false, false, true), [(Auto, ""), (Basic, NOT_OFFERED), (Ntlm, NOT_OFFERED), (Negotiate, "")]),
        ((true, true, true), [(Auto, ""), (Basic, ""), (Ntlm, ""), (Negotiate, "")]),
    ];
    for ((basic, ntlm, negotiate), ways) in cases {
        for tls in [false, true] {
            let server = |server: Server| server.with_negotiate(negotiate);
            let sim = Sim::built(Schemes { basic, ntlm }, tls, server).await;
            for (auth, expected) in ways {
                let (_, mut target) = sim.fresh();
                target.endpoint.auth = auth;
                let opened = sim.connector().open(&target, &deadline()).await;
                let code = opened.as_ref().err().map(|fault| fault.code.to_string()).unwrap_or_default();
                assert_eq!(code, expected, "{auth:?} of {basic} {ntlm} {negotiate}, TLS {tls}: {:?}", opened.err());
            }
        }
    }
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
