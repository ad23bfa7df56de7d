//! Tracking tokens: what an answer without a usable header is recognised by, and what is not believed of them.

use lockstep_model::{
    id::{MailboxId, UserId},
    mailbox::{Owner, TrackOption},
};

use crate::stage::{ANNA, Stage};

const CARLA: &str = "carla@kunde.example";

/// An email that a mailbox has sent to Carla with this token.
async fn sent(stage: &Stage, mailbox: MailboxId, id: &str, token: &str) {
    let insert = format!(
        "INSERT INTO emails (id, direction, status, message_id, tracking_token, from_mailbox_id, owner_user_id,
             regarding_kind, regarding_id, created_at, updated_at)
         SELECT gen_random_uuid(), 'outgoing', 'sent', '{id}@muster.example', '{token}', m.id, m.owner_user_id,
             'opportunity', '{id}', now(), now() FROM mailboxes m WHERE m.id = '{mailbox}';
         INSERT INTO email_parties (email_id, position, role, address, address_key)
         SELECT e.id, p.position, p.role, p.address, p.address FROM emails e JOIN mailboxes m ON m.id = '{mailbox}'
         CROSS JOIN LATERAL (VALUES (0, 'from', m.address_key), (1, 'to', '{CARLA}')) AS p(position, role, address)
         WHERE e.message_id = '{id}@muster.example'"
    );
    stage.world.sql(&insert).await;
}

fn answer(id: &str, from: &str, to: &str, subject: &str, more: &str) -> Vec<u8> {
    format!(
        "Received: from x by y; Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{id}@kunde.example>\r\n\
         Date: Mon, 23 Nov 2026 07:59:00 +0000\r\nFrom: {from}\r\nTo: {to}\r\nSubject: {subject}\r\n{more}\r\n{id}\r\n"
    )
    .into_bytes()
}

/// How each received message was recognised, and what it is about: `id method parent? regarding`.
async fn recognised(stage: &Stage) -> Vec<String> {
    stage
        .world
        .texts(
            "SELECT concat_ws(' ', split_part(message_id, '@', 1), correlation_method,
                 CASE WHEN parent_email_id IS NOT NULL THEN 'parent' END, regarding_id)
             FROM emails WHERE direction = 'incoming' ORDER BY 1",
        )
        .await
}

async fn in_response() -> (Stage, UserId, MailboxId) {
    let stage = Stage::new().await;
    let user = stage.world.user("anna", TrackOption::InResponse).await;
    let anna = stage.world.mailbox(stage.profile, Owner::User(user)).await;
    (stage, user, anna)
}

/// F10: an answer whose header names nothing is filed by its token, wherever people have left it in the subject. It
/// belongs to the email, is about the same, and is not called its answer.
#[tokio::test]
async fn f10_an_answer_is_recognised_by_its_token() {
    let (stage, _, anna) = in_response().await;
    sent(&stage, anna, "offer", "CRM:0001042").await;
    for (id, subject) in [
        ("plain", "Re: Angebot CRM:0001042"),
        ("amidst", "Re: [EXT] Angebot CRM:0001042 (dringend)"),
        ("encoded", "=?utf-8?q?Re:_Angebot_f=C3=BCr_CRM:0001042?="),
        ("none", "Re: Angebot"),
        ("unknown", "Re: CRM:0001043"),
    ] {
        stage.server.put(ANNA, id, answer(id, CARLA, ANNA, subject, ""));
    }
    let report = stage.run(anna).await;
    assert_eq!((report.counts.tracked, report.counts.refused), (3, 2));
    assert_eq!(
        recognised(&stage).await,
        ["amidst tracking-token offer", "encoded tracking-token offer", "plain tracking-token offer"]
    );
}

/// F13: what the header names comes before the token. F14: headers can be left out of it, then the token is what counts.
#[tokio::test]
async fn f13_f14_headers_come_first_unless_they_are_ignored() {
    for ignored in [false, true] {
        let (stage, _, anna) = in_response().await;
        sent(&stage, anna, "named", "CRM:0001001").await;
        sent(&stage, anna, "tokened", "CRM:0001002").await;
        stage.world.sql(&format!("UPDATE organisations SET ignore_reply_headers = {ignored}")).await;
        let both = "In-Reply-To: <named@muster.example>\r\n";
        stage.server.put(ANNA, "k0", answer("both", CARLA, ANNA, "Re: CRM:0001002", both));
        stage.server.put(ANNA, "k1", answer("header", CARLA, ANNA, "Re: nichts", both));
        stage.run(anna).await;
        let expected: &[&str] = if ignored {
            &["both tracking-token tokened"]
        } else {
            &["both in-reply-to parent named", "header in-reply-to parent named"]
        };
        assert_eq!(recognised(&stage).await, expected);
    }
}

/// F10: with tokens off nothing is recognised by them; nor under another prefix or with other digits.
#[tokio::test]
async fn f10_only_tokens_of_the_organisation_count() {
    for (setting, value, tracked) in [
        ("use_tracking_tokens", "false", 0),
        ("token_prefix", "'Dynamics:'", 0),
        ("token_counter_digits", "6", 0),
        ("token_user_digits", "3", 1),
    ] {
        let (stage, _, anna) = in_response().await;
        sent(&stage, anna, "offer", "CRM:0001042").await;
        stage.world.sql(&format!("UPDATE organisations SET {setting} = {value}")).await;
        stage.server.put(ANNA, "k0", answer("m", CARLA, ANNA, "Re: CRM:0001042", ""));
        assert_eq!(stage.run(anna).await.counts.tracked, tracked, "{setting}");
    }
}

/// F10: a token alone opens no door. A stranger who writes to Anna under the token of Bert's email has nothing to do
/// with it; Carla, whom Bert wrote to, has.
#[tokio::test]
async fn f10_a_forged_token_is_not_believed() {
    let (stage, _, anna) = in_response().await;
    let bert = stage.user("bert", TrackOption::InResponse).await;
    sent(&stage, bert, "berts", "CRM:0002001").await;
    stage.server.put(ANNA, "k0", answer("forged", "mallory@evil.example", ANNA, "CRM:0002001", ""));
    stage.server.put(ANNA, "k1", answer("carla", CARLA, ANNA, "Re: CRM:0002001", ""));
    let copied = format!("{ANNA}, bert@muster.example");
    stage.server.put(ANNA, "k2", answer("copied", "colleague@kunde.example", &copied, "Re: CRM:0002001", ""));
    let report = stage.run(anna).await;
    assert_eq!((report.counts.tracked, report.counts.refused), (2, 1));
    assert_eq!(recognised(&stage).await, ["carla tracking-token berts", "copied tracking-token berts"]);
}

/// F10: numbers come again after 999. Of two emails with one token the newer is meant, or the one the message has to do
/// with.
#[tokio::test]
async fn f10_a_number_that_came_again_means_the_newer_email() {
    let (stage, _, anna) = in_response().await;
    let bert = stage.user("bert", TrackOption::InResponse).await;
    sent(&stage, anna, "older", "CRM:0001000").await;
    sent(&stage, anna, "newer", "CRM:0001000").await;
    sent(&stage, bert, "berts", "CRM:0001000").await;
    for (at, id) in ["older", "newer", "berts"].iter().enumerate() {
        let ordered = format!("0193000{at}-0000-7000-8000-000000000000");
        stage
            .world
            .sql(&format!(
                "ALTER TABLE email_parties DROP CONSTRAINT IF EXISTS email_parties_email_id_fkey;
                 UPDATE email_parties p SET email_id = '{ordered}' FROM emails e
                 WHERE e.id = p.email_id AND e.message_id = '{id}@muster.example';
                 UPDATE emails SET id = '{ordered}' WHERE message_id = '{id}@muster.example'"
            ))
            .await;
    }
    stage.server.put(ANNA, "k0", answer("m", "colleague@kunde.example", ANNA, "Re: CRM:0001000", ""));
    stage.run(anna).await;
    assert_eq!(recognised(&stage).await, ["m tracking-token newer"]);
}
