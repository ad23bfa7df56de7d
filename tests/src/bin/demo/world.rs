//! The organisation of the demonstration: who is in it, and what their mailboxes track.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use lockstep_e2e::{Cluster, Service, TestMailbox, TrackOption};
use lockstep_test_support::mail::MailAccount;
use serde_json::{Value, json};
use uuid::Uuid;

/// Longest wait for the test of a mailbox.
const TESTED_WITHIN: Duration = Duration::from_secs(60);
/// Attachments up to this size become part of a record here; by default it is 5 MB.
const MAX_ATTACHMENT: u64 = 64 * 1024 * 1024;

/// Somebody with a mailbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holder {
    pub(crate) name: &'static str,
    pub(crate) local_part: &'static str,
    pub(crate) queue: bool,
    pub(crate) track: TrackOption,
}

const fn user(name: &'static str, local_part: &'static str, track: TrackOption) -> Holder {
    Holder { name, local_part, queue: false, track }
}

/// Everybody with a mailbox; the first is the one mail is addressed to by default.
pub(crate) const HOLDERS: [Holder; 6] = [
    Holder { name: "Sales", local_part: "sales", queue: true, track: TrackOption::All },
    user("Ada Lind", "ada", TrackOption::All),
    user("Ben Ode", "ben", TrackOption::FromCustomers),
    user("Cora Paz", "cora", TrackOption::InResponse),
    user("Dev Rao", "dev", TrackOption::FromEmailEnabled),
    user("Eli Sun", "eli", TrackOption::None),
];
/// The queue, in [`HOLDERS`].
pub(crate) const SALES: usize = 0;
/// Who tracks answers only, in [`HOLDERS`].
pub(crate) const CORA: usize = 3;

/// The organisation, set up.
pub(crate) struct World {
    /// In the order of [`HOLDERS`].
    pub(crate) mailboxes: Vec<TestMailbox>,
    /// In the order of [`HOLDERS`].
    pub(crate) addresses: Vec<String>,
    /// Anna Berg: a contact in the CRM with a mailbox of her own elsewhere on the mail server.
    pub(crate) customer: MailAccount,
}

/// A domain nobody used before, so that mailboxes begin empty.
fn domain(kind: &str) -> String {
    format!("{kind}-{}.test", &Uuid::new_v4().simple().to_string()[..6])
}

/// Accounts on the mail server, and everything in the CRM, through the REST API as another program would do it.
pub(crate) async fn set_up(cluster: &Cluster) -> Result<World> {
    let (services, api) = (cluster.services(Service::Dovecot), cluster.api());
    let (ours, theirs) = (domain("crm"), domain("customer"));
    api.patch("/organisation", &json!({ "name": "Demo Lamps", "max_attachment_bytes": MAX_ATTACHMENT })).await;

    let customer = MailAccount::create_named(services, &format!("anna.berg@{theirs}"));
    api.contact("Anna Berg", customer.address()).await;
    api.post("/accounts", &json!({ "name": "Renée's Workshop", "address": "renee@example.test" })).await;
    api.post("/leads", &json!({ "name": "Jürgen Groß", "address": "juergen@example.test" })).await;

    let profile = cluster.profile().await;
    let mut mailboxes = Vec::new();
    for holder in HOLDERS {
        let account = MailAccount::create_named(services, &format!("{}@{ours}", holder.local_part));
        let fields =
            json!({ "name": holder.name, "address": account.address(), "track_option": holder.track.as_str() });
        let made = api.post(if holder.queue { "/queues" } else { "/users" }, &fields).await;
        let owner = id(&made)?;
        let found = api.list(&format!("/mailboxes?owner={owner}")).await;
        let mailbox = id(found.first().with_context(|| format!("{} has no mailbox", holder.name))?)?;
        let fields = json!({
            "profile_id": profile,
            "incoming_method": "server-side",
            "outgoing_method": "server-side",
            "allow_credentials": true,
            "login": account.address(),
            "password": account.password(),
            "process_email_from": "2000-01-01T00:00:00Z",
        });
        api.patch(&format!("/mailboxes/{mailbox}"), &fields).await;
        api.act(&format!("/mailboxes/{mailbox}/approve")).await;
        mailboxes.push(TestMailbox { account, mailbox, owner });
    }
    try_join_all(mailboxes.iter().map(|mailbox| enable(cluster, mailbox))).await?;
    let addresses = mailboxes.iter().map(|mailbox| mailbox.address().to_owned()).collect();
    Ok(World { mailboxes, addresses, customer })
}

async fn enable(cluster: &Cluster, mailbox: &TestMailbox) -> Result<()> {
    let operation = cluster.api().test_and_enable(mailbox.mailbox, TESTED_WITHIN).await;
    ensure!(operation["state"] == "done", "{} was not tested: {operation}", mailbox.address());
    let now = cluster.api().get(&format!("/mailboxes/{}", mailbox.mailbox)).await;
    let enabled = now["incoming_enabled"] == true && now["outgoing_enabled"] == true;
    ensure!(enabled, "{} was tested, but is not enabled: {operation}", mailbox.address());
    Ok(())
}

/// The id of a record.
pub(crate) fn id(record: &Value) -> Result<Uuid> {
    record["id"].as_str().and_then(|text| text.parse().ok()).with_context(|| format!("no id in {record}"))
}
