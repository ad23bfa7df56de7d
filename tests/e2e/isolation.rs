//! One kind of work stands still, the others go on; and all of it in one process.

use std::time::Duration;

use lockstep_e2e::{Cluster, Mode, ProfileOptions, Role, Service, TestMailbox, TrackOption};
use serde_json::json;
use uuid::Uuid;

/// How soon work that is not concerned is done, in seconds.
const SOON: u64 = 20;

/// Two mailboxes and somebody outside, to see each kind of work go on with.
struct Stage {
    cluster: Cluster,
    sender: TestMailbox,
    reader: TestMailbox,
    outsider: String,
    ids: Vec<String>,
}

impl Stage {
    async fn on(cluster: Cluster) -> Self {
        let sender = cluster.mailbox_for_new_user(TrackOption::All).await;
        let reader = cluster.mailbox_for_new_user(TrackOption::All).await;
        let outsider = cluster.account("outside").address().to_owned();
        Self { cluster, sender, reader, outsider, ids: Vec::new() }
    }

    fn deliver(&mut self) {
        self.ids.extend(self.cluster.drop_many(&self.reader, 5));
    }

    async fn all_received(&self, seconds: u64) {
        self.cluster.wait_received(self.ids.len(), seconds).await;
    }

    /// New messages become records.
    async fn mailboxes_go_on(&mut self) {
        self.deliver();
        self.all_received(SOON).await;
    }

    async fn send(&self, subject: &str) -> Uuid {
        self.cluster.api().create_and_send(self.sender.owner, &[&self.outsider], subject, json!({})).await
    }

    async fn is_sent(&self, email: Uuid, seconds: u64) {
        self.cluster.api().wait_status(email, "sent", Duration::from_secs(seconds)).await;
    }

    /// An email leaves.
    async fn outgoing_goes_on(&self) {
        let email = self.send("goes out").await;
        self.is_sent(email, SOON).await;
    }

    /// Asks for a test of a mailbox; tells the operation.
    async fn ask_for_test(&self, mailbox: &TestMailbox) -> Uuid {
        let asked = self.cluster.api().act(&format!("/mailboxes/{}/test-and-enable", mailbox.mailbox)).await;
        asked["id"].as_str().unwrap().parse().unwrap()
    }

    async fn is_done(&self, operation: Uuid, seconds: u64) {
        let ended = self.cluster.api().operation_ended(operation, Duration::from_secs(seconds)).await;
        assert_eq!(ended["state"], "done", "{ended}");
    }

    /// A test of a mailbox comes to its end.
    async fn operations_go_on(&self) {
        let operation = self.ask_for_test(&self.reader).await;
        self.is_done(operation, SOON).await;
    }

    async fn assert_waits(&self, email: Uuid) {
        let email = self.cluster.api().email(email).await;
        assert_ne!(email["status"], "sent", "it should wait: {email}");
    }

    async fn assert_pending(&self, operation: Uuid) {
        let operation = self.cluster.api().get(&format!("/operations/{operation}")).await;
        assert_eq!(operation["state"], "pending", "it should wait: {operation}");
    }
}

/// N4: outgoing workers that stand still hold up neither mailboxes nor operations, and catch up.
#[tokio::test]
async fn n4_outgoing_workers_that_stand_still_hold_up_nothing_else() {
    let mut stage = Stage::on(Cluster::up().await).await;
    stage.cluster.pause(Role::OutgoingWorker);
    let email = stage.send("waits").await;
    stage.mailboxes_go_on().await;
    stage.operations_go_on().await;
    stage.assert_waits(email).await;
    stage.cluster.resume(Role::OutgoingWorker);
    stage.is_sent(email, 60).await;
    stage.cluster.assert_each_once(&stage.ids).await;
}

/// N4: mailbox workers that stand still hold up neither outgoing email nor operations, and catch up.
#[tokio::test]
async fn n4_mailbox_workers_that_stand_still_hold_up_nothing_else() {
    let mut stage = Stage::on(Cluster::up().await).await;
    stage.cluster.pause(Role::MailboxWorker);
    stage.deliver();
    stage.outgoing_goes_on().await;
    stage.operations_go_on().await;
    assert_eq!(stage.cluster.received_emails().await, 0, "they should wait");
    stage.cluster.resume(Role::MailboxWorker);
    stage.all_received(60).await;
    stage.cluster.assert_each_once(&stage.ids).await;
}

/// N4: async workers that stand still, so that nobody takes operations off their queue, hold up neither mailboxes nor
/// outgoing email, and catch up.
#[tokio::test]
async fn n4_async_workers_that_stand_still_hold_up_nothing_else() {
    let mut stage = Stage::on(Cluster::up().await).await;
    stage.cluster.pause(Role::AsyncWorker);
    let operation = stage.ask_for_test(&stage.sender).await;
    stage.mailboxes_go_on().await;
    stage.outgoing_goes_on().await;
    stage.assert_pending(operation).await;
    stage.cluster.resume(Role::AsyncWorker);
    stage.is_done(operation, 60).await;
    stage.cluster.assert_each_once(&stage.ids).await;
}

/// N4: the same in one process, where nobody can be stopped alone: a kind of work is held up by the server it needs.
#[tokio::test]
async fn n4_in_one_process_work_that_hangs_holds_up_nothing_else() {
    let cluster = Cluster::builder().mail_proxies().all_in_one().start().await;
    let mut stage = Stage::on(cluster).await;
    // On a profile of its own, so that its tests do not hang for the outgoing server of the others.
    let options = ProfileOptions { name: "Other".to_owned(), ..stage.cluster.profile_options() };
    let direct = stage.cluster.services(Service::Exim).submission_port();
    let options = ProfileOptions { outgoing_port: direct, ..options };
    let profile = stage.cluster.create_profile(&options).await;
    let other = stage.cluster.user_on(profile, TrackOption::All).await;

    stage.cluster.proxy(Service::Exim).set(Mode::Blackhole);
    let (email, hanging) = (stage.send("waits").await, stage.ask_for_test(&stage.sender).await);
    let both_hang = async || stage.cluster.proxy(Service::Exim).open() >= 2;
    stage.cluster.wait_until(30, "an email and an operation hang", both_hang).await;
    stage.mailboxes_go_on().await;
    let operation = stage.ask_for_test(&other).await;
    stage.is_done(operation, SOON).await;
    stage.assert_waits(email).await;
    stage.assert_pending(hanging).await;
    stage.cluster.proxy(Service::Exim).set(Mode::Pass);
    stage.is_sent(email, 60).await;
    stage.is_done(hanging, 60).await;

    stage.cluster.proxy(Service::Dovecot).set(Mode::Blackhole);
    stage.deliver();
    stage.cluster.wait_until(30, "mailboxes hang", async || stage.cluster.proxy(Service::Dovecot).open() >= 2).await;
    stage.outgoing_goes_on().await;
    stage.cluster.proxy(Service::Dovecot).set(Mode::Pass);
    stage.all_received(60).await;
    stage.operations_go_on().await;
    stage.cluster.assert_each_once(&stage.ids).await;
}

/// N4: outgoing email waits for a server that is silent; incoming email and the API do not notice.
#[tokio::test]
async fn n4_a_silent_outgoing_server_holds_up_nothing_else() {
    const EMAILS: usize = 6;
    let cluster = Cluster::builder().mail_proxies().start().await;
    let sender = cluster.mailbox_for_new_user(TrackOption::All).await;
    let reader = cluster.mailbox_for_new_user(TrackOption::All).await;
    let outsider = cluster.account("outside");
    cluster.proxy(Service::Exim).set(Mode::Blackhole);
    for number in 0..EMAILS {
        let subject = format!("Number {number}");
        cluster.api().create_and_send(sender.owner, &[outsider.address()], &subject, json!({})).await;
    }
    cluster.wait_until(30, "connections hang", async || cluster.proxy(Service::Exim).open() > 0).await;
    let mut ids = Vec::new();
    for mailbox in [&reader, &sender, &reader] {
        ids.extend(cluster.drop_many(mailbox, 20));
        cluster.wait_received(ids.len(), 20).await;
    }
    assert_eq!(cluster.number("SELECT count(*) FROM deliveries WHERE state = 'sent'").await, 0);
    cluster.proxy(Service::Exim).set(Mode::Pass);
    let all = i64::try_from(EMAILS).unwrap();
    let sent = async || cluster.number("SELECT count(*) FROM deliveries WHERE state = 'sent'").await == all;
    cluster.wait_until(60, "every email is sent", sent).await;
    let arrived = || lockstep_test_support::mail::maildir_messages(cluster.services(Service::Dovecot), &outsider).len();
    cluster.wait_until(20, "every email arrives", async || arrived() >= EMAILS).await;
    assert_eq!(arrived(), EMAILS);
    cluster.assert_each_once(&ids).await;
}

/// N4: incoming email waits for a server that is silent; outgoing email does not notice.
#[tokio::test]
async fn n4_a_silent_incoming_server_holds_up_nothing_else() {
    let cluster = Cluster::builder().mail_proxies().start().await;
    let sender = cluster.mailbox_for_new_user(TrackOption::All).await;
    let outsider = cluster.account("outside");
    cluster.proxy(Service::Dovecot).set(Mode::Blackhole);
    let ids = cluster.drop_many(&sender, 10);
    cluster.wait_until(30, "connections hang", async || cluster.proxy(Service::Dovecot).open() > 0).await;
    for number in 0..3 {
        let subject = format!("Number {number}");
        let email = cluster.api().create_and_send(sender.owner, &[outsider.address()], &subject, json!({})).await;
        cluster.api().wait_status(email, "sent", Duration::from_secs(20)).await;
    }
    cluster.proxy(Service::Dovecot).set(Mode::Pass);
    cluster.wait_received(ids.len(), 60).await;
    cluster.assert_each_once(&ids).await;
    let arrived = lockstep_test_support::mail::maildir_messages(cluster.services(Service::Dovecot), &outsider).len();
    assert_eq!(arrived, 3);
}

/// N5: every role in one process gives the same result as each in its own.
#[tokio::test]
async fn n5_one_process_for_every_role_gives_the_same_result() {
    let cluster = Cluster::builder().all_in_one().start().await;
    crate::first_sync::story(&cluster).await;
}
