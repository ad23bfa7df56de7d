//! Finding the server of a mailbox, against the simulated Exchange and scripted answers.

use std::time::Duration;

use exchange_sim::auth::Schemes;
use lockstep_connector::AddressRules;
use lockstep_ews::autodiscover::{Search, beginning, candidates, place};
use lockstep_model::{
    fault::{FaultClass, FaultScope},
    profile::{AuthMethod, TlsMode},
};
use url::Url;

use crate::simulator::{Sim, deadline};

fn anybody(_: &str) -> bool {
    true
}

fn url(sim: &Sim, scheme: &str, file: &str) -> Url {
    let port = sim.target("x").endpoint.port;
    Url::parse(&format!("{scheme}://127.0.0.1:{port}/autodiscover/{file}")).unwrap()
}

async fn tls(basic: bool, ntlm: bool) -> Sim {
    Sim::with(Schemes { basic, ntlm }, true).await
}

macro_rules! search {
    ($sim:expr, $target:expr) => {
        Search {
            trust: &$sim.trust,
            addresses: AddressRules::default(),
            may_ask: &anybody,
            credentials: &$target.credentials,
            auth: AuthMethod::Auto,
            issuer: None,
            patience: Duration::from_secs(10),
        }
    };
}

#[tokio::test]
async fn both_dialects_lead_to_the_server() {
    for (basic, ntlm) in [(true, false), (false, true)] {
        let sim = tls(basic, ntlm).await;
        let (address, target) = sim.fresh();
        for file in ["autodiscover.svc", "autodiscover.xml"] {
            let places = vec![url(&sim, "https", "nothing.here"), url(&sim, "https", file)];
            let found = search!(sim, target).find(&address, places, &deadline()).await.unwrap();
            assert_eq!(found.address, address);
            assert_eq!((found.place.host.as_str(), found.place.port), ("127.0.0.1", target.endpoint.port));
            assert_eq!((found.place.tls, found.place.path.as_str()), (TlsMode::Implicit, "/EWS/Exchange.asmx"));
        }
    }
}

#[tokio::test]
async fn b3_nobody_is_followed_round_in_a_circle() {
    let sim = tls(true, false).await;
    let (address, target) = sim.fresh();
    sim.moods(r#"[{"mood":"redirect_loop"}]"#);
    for file in ["autodiscover.svc", "autodiscover.xml"] {
        let found = search!(sim, target).find(&address, vec![url(&sim, "https", file)], &deadline()).await;
        let fault = found.unwrap_err();
        assert_eq!((fault.scope, fault.class), (FaultScope::Profile, FaultClass::Refused));
        assert_eq!(fault.code, "RedirectLoop");
        assert!(fault.message.contains(file), "{fault}");
    }
}

#[tokio::test]
async fn what_is_refused() {
    let sim = tls(true, false).await;
    let (address, target) = sim.fresh();
    let svc = || vec![url(&sim, "https", "autodiscover.svc")];
    let search = search!(sim, target);
    let unknown = search.find("nobody@example.test", svc(), &deadline()).await.unwrap_err();
    assert_eq!((unknown.scope, unknown.class), (FaultScope::Mailbox, FaultClass::Refused), "{unknown}");
    let plain = search.find(&address, vec![url(&sim, "http", "autodiscover.svc")], &deadline()).await.unwrap_err();
    assert_eq!(plain.code, "SecureConnectionFailed");
    let nobody = |_: &str| false;
    let strict = Search { may_ask: &nobody, ..search };
    assert_eq!(strict.find(&address, svc(), &deadline()).await.unwrap_err().code, "AddressNotAllowed");
    let public = Search { addresses: AddressRules { allow_private: false }, ..search };
    assert_eq!(public.find(&address, svc(), &deadline()).await.unwrap_err().code, "AddressNotAllowed");
    let other = lockstep_connector::Credentials::new(address.clone(), "wrong".to_owned().into());
    let wrong = Search { credentials: &other, ..search };
    assert_eq!(wrong.find(&address, svc(), &deadline()).await.unwrap_err().class, FaultClass::Auth);
}

#[test]
fn places_are_protected_and_candidates_are_many() {
    let hosts: Vec<_> = candidates("ann@example.test").iter().map(|url| url.host_str().unwrap().to_owned()).collect();
    assert_eq!(hosts.len(), 4);
    assert!(hosts.contains(&"autodiscover.example.test".to_owned()) && hosts.contains(&"example.test".to_owned()));
    assert!(candidates("nobody").is_empty() && candidates("a@b c/../").iter().all(|url| url.scheme() == "https"));
    let begins = |start: &str| beginning(start).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(begins("https://a.test/x/y.xml"), ["https://a.test/x/y.xml"]);
    let both = ["https://a.test/autodiscover/autodiscover.svc", "https://a.test/autodiscover/autodiscover.xml"];
    assert_eq!(
        (begins("https://a.test"), begins("a.test")),
        (both.map(str::to_owned).to_vec(), both.map(str::to_owned).to_vec())
    );
    for refused in ["http://x.test/a", "ftp://x.test/", "https://user:password@x.test/a", "data:x"] {
        assert_eq!(place(&Url::parse(refused).unwrap()), None, "{refused}");
    }
}
