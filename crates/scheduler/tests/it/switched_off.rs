//! B1: a profile that is switched off and on again.

use lockstep_model::{
    id::{MailboxId, ProfileId},
    mailbox::Lane,
};
use lockstep_store::{
    lanes,
    profiles::{self, SecretChange},
};
use lockstep_wire::{Counts, CycleReport, Outcome, SendEmail};

use crate::stage::Stage;

async fn switch(stage: &Stage, profile: ProfileId, active: bool) {
    let mut tx = stage.world.store.begin().await.unwrap();
    let mut record = profiles::lock(&mut tx, profile, None).await.unwrap().unwrap();
    record.active = active;
    profiles::save(&mut tx, &record, &SecretChange::Keep, &["active"], "test").await.unwrap();
    tx.commit().await.unwrap();
}

/// What a mailbox has come to: it stays what it is while its profile is off.
async fn standing(stage: &Stage, mailbox: MailboxId) -> String {
    let of = format!(
        "SELECT concat_ws('|', s.activity, s.empty_cycles, s.interval_seconds, s.cycles, s.tracked, encode(l.cursor, 'hex'))
         FROM lane_schedules s JOIN lanes l USING (mailbox_id, lane) WHERE s.mailbox_id = '{mailbox}'"
    );
    stage.world.text(&of).await
}

/// B1: off, nothing of it is handed out however long it lasts, what was handed out is fenced and its report counts for
/// nothing; other profiles go on. On, each mailbox is due once, where it stood, and what was late is late for good.
#[tokio::test]
async fn b1_an_inactive_profile_stops_its_mailboxes_where_they_stand() {
    let stage = Stage::new().await;
    let (profile, other) = (stage.world.profile(5).await, stage.world.profile(5).await);
    let anna = stage.world.user_mailbox(profile, "anna").await;
    let bert = stage.world.user_mailbox(profile, "bert").await;
    let cara = stage.world.user_mailbox(other, "cara").await;
    let seen = |report: CycleReport| CycleReport { counts: Counts { seen: 3, tracked: 3, ..report.counts }, ..report };
    let first = stage.round().await;
    let reports: Vec<_> = first.iter().map(|hint| seen(stage.report(hint, Outcome::Completed))).collect();
    stage.fold(&reports).await;
    stage.world.sql("UPDATE lanes SET cursor = '\\x0102'").await;
    stage.world.advance(3_600);
    let under_way = stage.round().await;
    assert_eq!(under_way.len(), 3);
    let stood = (standing(&stage, anna).await, standing(&stage, bert).await);
    let (version, _) = stage.world.lane(anna).await;
    let mut tx = stage.world.store.begin().await.unwrap();
    assert!(lanes::fence(&mut tx, anna, Lane::Incoming, version, None).await.unwrap(), "a page before it");
    drop(tx);

    switch(&stage, profile, false).await;
    let mut tx = stage.world.store.begin().await.unwrap();
    assert!(!lanes::fence(&mut tx, anna, Lane::Incoming, version, None).await.unwrap(), "no page after it");
    drop(tx);
    let late: Vec<_> = under_way.iter().map(|hint| seen(stage.report(hint, Outcome::Completed))).collect();
    stage.fold(&late).await;
    for _ in 0..5 {
        stage.world.advance(3_600);
        let hints = stage.round().await;
        assert_eq!(hints.iter().map(|hint| hint.mailbox).collect::<Vec<_>>(), [cara], "only the other profile's");
        stage.fold(&[stage.report(&hints[0], Outcome::Completed)]).await;
    }
    assert_eq!((standing(&stage, anna).await, standing(&stage, bert).await), stood);
    assert!(stage.world.open_alerts().await.is_empty(), "a person has switched it off");

    switch(&stage, profile, true).await;
    let hints = stage.round().await;
    assert_eq!(hints.iter().map(|hint| hint.mailbox).collect::<Vec<_>>(), [anna, bert], "due at once");
    assert!(stage.round().await.is_empty(), "and once");
    assert_eq!((standing(&stage, anna).await, standing(&stage, bert).await), stood);
    stage.fold(&late).await;
    assert_eq!((standing(&stage, anna).await, standing(&stage, bert).await), stood, "too late is too late");
    let ended: Vec<_> = hints.iter().map(|hint| seen(stage.report(hint, Outcome::Completed))).collect();
    stage.fold(&ended).await;
    let counted = "SELECT string_agg(concat_ws(' ', cycles, tracked), ', ') FROM lane_schedules WHERE mailbox_id <> ";
    assert_eq!(stage.world.text(&format!("{counted} '{cara}'")).await, "2 6, 2 6");
}

/// B1: neither is an email handed out; its attempts are all there when the profile is on again.
#[tokio::test]
async fn b1_an_inactive_profile_keeps_its_emails() {
    let stage = Stage::new().await;
    let profile = stage.world.profile(5).await;
    let anna = stage.world.user_mailbox(profile, "anna").await;
    let email = stage.world.outgoing(anna, &["carla@kunde.example"]).await;
    switch(&stage, profile, false).await;
    for _ in 0..3 {
        stage.world.advance(86_400);
        stage.round().await;
        assert!(stage.taken::<SendEmail>().is_empty());
    }
    assert_eq!(stage.world.delivery(email).await, ("pending".to_owned(), 0, "pending-send".to_owned()));
    switch(&stage, profile, true).await;
    stage.round().await;
    assert_eq!(stage.taken::<SendEmail>(), [SendEmail { email, attempt: 1 }]);
}
