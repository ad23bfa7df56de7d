//! B24: the owner of a profile is told, once, when most of its mailboxes fail.

use lockstep_model::{
    clock::Clock,
    id::{MailboxId, ProfileId, UserId},
    mailbox::{Owner, TrackOption},
};
use lockstep_scheduler::outage;
use lockstep_wire::SendEmail;

use crate::stage::Stage;

const OWNER: &str = "boss@muster.example";

/// A profile with ten mailboxes, whose owner wants to be told and has a mailbox at another server.
async fn ten(stage: &Stage) -> (ProfileId, Vec<MailboxId>, MailboxId) {
    let profile = stage.world.profile(10).await;
    let mut mailboxes = Vec::new();
    for at in 0..10 {
        mailboxes.push(stage.world.user_mailbox(profile, &format!("u{at}")).await);
    }
    let owner = stage.world.user("boss", TrackOption::None).await;
    let own = stage.world.mailbox(stage.world.profile(10).await, Owner::User(owner)).await;
    wants(stage, profile, owner).await;
    (profile, mailboxes, own)
}

async fn wants(stage: &Stage, profile: ProfileId, owner: UserId) {
    stage
        .world
        .sql(&format!(
            "UPDATE email_server_profiles SET owner_user_id = '{owner}', send_alert_email = true WHERE id = '{profile}'"
        ))
        .await;
}

async fn fail(stage: &Stage, mailboxes: &[MailboxId]) {
    let now = stage.world.clock.now();
    for mailbox in mailboxes {
        stage
            .world
            .sql(&format!(
                "UPDATE lane_schedules SET fault_code = 'ConnectFailure', fault_class = 'unreachable',
                     fault_message = 'no route', fault_at = '{now}' WHERE mailbox_id = '{mailbox}'"
            ))
            .await;
    }
}

async fn mend(stage: &Stage) {
    stage
        .world
        .sql("UPDATE lane_schedules SET fault_code = NULL, fault_class = NULL, fault_message = NULL, fault_at = NULL")
        .await;
}

/// The emails written by the installation: from which mailbox, to whom.
async fn written(stage: &Stage) -> Vec<String> {
    stage
        .world
        .texts(
            "SELECT concat_ws(' ', e.from_mailbox_id, r.address, e.status) FROM emails e
             JOIN delivery_recipients r ON r.email_id = e.id WHERE e.auto_submitted ORDER BY 1",
        )
        .await
}

/// B24: 5 of 10 are no outage; 6 of 10 are one, and one email, however often it is looked at and by whomever.
#[tokio::test]
async fn b24_six_of_ten_write_one_email() {
    let stage = Stage::new().await;
    let (profile, mailboxes, own) = ten(&stage).await;
    fail(&stage, &mailboxes[..5]).await;
    outage::look(&stage.context).await.unwrap();
    assert!(written(&stage).await.is_empty() && stage.world.open_alerts().await.is_empty());
    fail(&stage, &mailboxes[..6]).await;
    let looks = (0..4).map(|_| outage::look(&stage.context));
    for looked in futures::future::join_all(looks).await {
        looked.unwrap();
    }
    outage::look(&stage.context).await.unwrap();
    assert_eq!(written(&stage).await, [format!("{own} {OWNER} pending-send")]);
    let alert = stage.world.text("SELECT concat_ws(' ', code, profile_id, parameters->>'failures') FROM alerts").await;
    assert_eq!(alert, format!("MailboxesFailing {profile} 6"));
    let text = stage.world.text("SELECT body_text FROM emails WHERE auto_submitted").await;
    assert!(text.contains("6 of the 10 mailboxes") && text.contains("no route"), "{text}");
    assert_eq!(stage.world.text("SELECT tracking_token FROM emails").await, "", "nobody is to answer it");
    stage.round().await;
    assert_eq!(stage.taken::<SendEmail>().len(), 1, "it leaves like any other email");

    // The outage goes on, then it ends; the next one is told anew, but not within the hour.
    stage.world.advance(2 * 3600);
    outage::look(&stage.context).await.unwrap();
    assert_eq!(stage.world.open_alerts().await.len(), 1, "they fail still");
    mend(&stage).await;
    outage::look(&stage.context).await.unwrap();
    assert!(stage.world.open_alerts().await.is_empty());
    stage.world.assert_cleared("MailboxesFailing").await;
    fail(&stage, &mailboxes).await;
    outage::look(&stage.context).await.unwrap();
    assert_eq!(written(&stage).await.len(), 2);
    mend(&stage).await;
    outage::look(&stage.context).await.unwrap();
    fail(&stage, &mailboxes).await;
    outage::look(&stage.context).await.unwrap();
    assert_eq!((written(&stage).await.len(), stage.world.open_alerts().await.len()), (2, 1), "on the verge, no more");
}

/// B24: the notification queue's mailbox writes where it can; without any mailbox that can, there is the alert alone, and
/// the email follows when one can. Who does not want an email gets none.
#[tokio::test]
async fn b24_who_writes_is_who_can() {
    let stage = Stage::new().await;
    let (profile, mailboxes, own) = ten(&stage).await;
    let queue = stage.world.queue("help", TrackOption::None).await;
    let help = stage.world.mailbox(stage.world.profile(10).await, Owner::Queue(queue)).await;
    stage.world.sql(&format!("UPDATE organisations SET notification_queue_id = '{queue}'")).await;
    stage.world.sql(&format!("UPDATE email_server_profiles SET send_alert_email = false WHERE id = '{profile}'")).await;
    fail(&stage, &mailboxes).await;
    outage::look(&stage.context).await.unwrap();
    assert!(written(&stage).await.is_empty(), "not wanted");
    assert_eq!(stage.world.open_alerts().await, ["MailboxesFailing error ×1"]);
    stage.world.sql(&format!("UPDATE email_server_profiles SET send_alert_email = true WHERE id = '{profile}'")).await;
    stage.world.sql(&format!("UPDATE mailboxes SET outgoing_enabled = false WHERE id IN ('{help}', '{own}')")).await;
    outage::look(&stage.context).await.unwrap();
    assert!(written(&stage).await.is_empty(), "nobody can");
    stage.world.sql(&format!("UPDATE mailboxes SET outgoing_enabled = true WHERE id IN ('{help}', '{own}')")).await;
    outage::look(&stage.context).await.unwrap();
    assert_eq!(written(&stage).await, [format!("{help} {OWNER} pending-send")]);
}
