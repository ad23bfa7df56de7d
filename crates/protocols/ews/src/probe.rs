//! A look at a server without an account: whether Exchange Web Services answer at its endpoint.

use std::time::Duration;

use bytes::Bytes;
use lockstep_connector::{AddressRules, Deadline, Probe, TlsTrust};
use lockstep_model::{
    fault::Fault,
    profile::{Endpoint, TlsMode},
};

use crate::{
    fault::{self, Status},
    http::{Link, Outgoing, Place},
};

/// Connects, protects, asks who may come in, and leaves.
pub(crate) async fn look(
    trust: &TlsTrust,
    addresses: AddressRules,
    endpoint: &Endpoint,
    patience: Duration,
    deadline: &Deadline,
) -> Probe {
    let mut probe = Probe::default();
    let done = steps(&mut probe, trust, addresses, endpoint, patience, deadline).await;
    probe.ended(done.map_err(fault::before_first_answer))
}

async fn steps(
    probe: &mut Probe,
    trust: &TlsTrust,
    addresses: AddressRules,
    endpoint: &Endpoint,
    patience: Duration,
    deadline: &Deadline,
) -> Result<(), Fault> {
    let stream = probe.reach(trust, addresses, endpoint, patience, deadline).await?;
    let stream = if endpoint.tls == TlsMode::StartTls {
        probe.protect(stream, trust, &endpoint.host, patience, deadline).await?
    } else {
        stream
    };
    let place = Place::of(endpoint);
    let mut link = Link::over(stream).await?;
    let asked = async {
        let sent = link.send(&place, &[], Outgoing::whole(Bytes::new()))?;
        let response = deadline.run(patience, sent).await?.map_err(|error| fault::lost(&error))?;
        let status = response.status().as_u16();
        let ways = response.headers().get_all(hyper::header::WWW_AUTHENTICATE).iter();
        let ways: Vec<String> = ways
            .filter_map(|way| {
                way.to_str().ok()?.split_whitespace().next().map(|way| way.trim_end_matches(',').to_owned())
            })
            .collect();
        match status {
            401 if ways.is_empty() => Ok("it asks for a login".to_owned()),
            401 => Ok(format!("it asks for a login: {}", ways.join(", "))),
            _ => {
                let location = response.headers().get(hyper::header::LOCATION).and_then(|value| value.to_str().ok());
                Err(fault::of_status(&Status { status, retry_after: None, location, body: "" }))
            }
        }
    };
    probe.step("greeting", &place.path, asked, String::clone).await?;
    link.close().await;
    Ok(())
}
