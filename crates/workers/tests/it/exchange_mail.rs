//! Email on Exchange beyond the plain inbox: subfolders, sent items, rights management, copies of what is sent, and what
//! becomes of mail that cannot be recorded. Against the simulated Exchange.

use lockstep_model::{
    id::MailboxId,
    mailbox::{Owner, TrackOption},
    remote::RemoteKey,
};
use lockstep_queue::Outcome as Settled;
use lockstep_store::item_failures::{self, Decided};
use lockstep_wire::Outcome;

use crate::{
    exchange::Exchange,
    stage::{ANNA, mail},
};

const CARLA: &str = "carla@muster.example";
const BERT: &str = "bert@muster.example";

/// A message from Carla to Anna.
fn letter(id: &str) -> Vec<u8> {
    mail(id, CARLA, ANNA, "", &format!("Guten Tag, hier ist {id}."))
}

/// A message that Anna wrote with another program.
fn from_anna(id: &str, to: &str, more: &str) -> Vec<u8> {
    mail(id, ANNA, to, more, &format!("Guten Tag, hier antwortet Anna auf {id}."))
}

/// F2: what lies in a subfolder of the inbox is not looked at; moved into the inbox it is read, even long after.
#[tokio::test]
async fn f2_subfolders_are_not_looked_at() {
    let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
    exchange.lay_below("anna", "Projekte", &letter("unten"));
    exchange.lay("anna", "inbox", &letter("oben"));
    exchange.run(anna).await;
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await, ["incoming received Anfrage oben"]);
    exchange.drag("anna", "Projekte", "inbox");
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await, ["incoming received Anfrage oben", "incoming received Anfrage unten"]);
}

/// F2: a message that was recorded, moved out of the inbox and back is still one record, whether the mailbox was looked at
/// meanwhile or not, and however often; a second message of the same text is a second record.
#[tokio::test]
async fn f2_moved_out_and_back_is_no_second_record() {
    let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
    exchange.lay_below("anna", "Projekte", &letter("anderes"));
    exchange.drag("anna", "Projekte", "deleteditems");
    exchange.lay("anna", "inbox", &letter("wandert"));
    exchange.run(anna).await;
    for looked_meanwhile in [false, true, true] {
        exchange.drag("anna", "inbox", "Projekte");
        if looked_meanwhile {
            exchange.run(anna).await;
        }
        exchange.drag("anna", "Projekte", "inbox");
        exchange.run(anna).await;
        assert_eq!(
            exchange.emails().await,
            ["incoming received Anfrage wandert"],
            "looked meanwhile: {looked_meanwhile}"
        );
    }
    exchange.lay("anna", "inbox", &letter("wandert"));
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await.len(), 2, "two items of one inbox are two");
}

/// F8: off, what Anna sends with another program is nobody's business; on, it is recorded as sent by her, once.
#[tokio::test]
async fn f8_sent_items_become_outgoing_records_where_that_is_on() {
    let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
    let carla = exchange.stage.world.contact("Carla", CARLA).await;
    exchange.lay("anna", "sentitems", &from_anna("eins", CARLA, ""));
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await, Vec::<String>::new(), "off");
    exchange.choose("auto_track_sent_items = true").await;
    for _ in 0..3 {
        exchange.run(anna).await;
        assert_eq!(exchange.emails().await, ["outgoing sent Anfrage eins"]);
    }
    let record = exchange.stage.world.text(
        "SELECT concat_ws(' ', u.name, m.address, e.received_at IS NULL, e.sent_at IS NOT NULL, e.accepting_kind)
         FROM emails e JOIN users u ON u.id = e.owner_user_id JOIN mailboxes m ON m.id = e.from_mailbox_id",
    );
    assert_eq!(record.await, "anna anna@muster.example t t user");
    let to = "SELECT record_id FROM email_parties WHERE role = 'to'";
    assert_eq!(exchange.stage.world.text(to).await, carla.to_string());
    exchange.lay("anna", "sentitems", &from_anna("zwei", CARLA, ""));
    exchange.lay("anna", "inbox", &letter("antwort"));
    exchange.run(anna).await;
    let both = ["incoming received Anfrage antwort", "outgoing sent Anfrage eins", "outgoing sent Anfrage zwei"];
    assert_eq!(exchange.emails().await, both, "each folder has a place of its own");
    assert_eq!(exchange.stage.world.number("SELECT count(*) FROM queue_items").await, 0);
}

/// F8: the same options decide, the correspondent in the sender's place; the start date counts as well.
#[tokio::test]
async fn f8_the_same_filter_decides() {
    let table: [(TrackOption, &[&str]); 4] = [
        (TrackOption::All, &["answer", "customer", "stranger"]),
        (TrackOption::InResponse, &["answer"]),
        (TrackOption::FromCustomers, &["customer"]),
        (TrackOption::None, &[]),
    ];
    for (option, expected) in table {
        let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
        exchange.stage.world.contact("Carla", CARLA).await;
        exchange.lay("anna", "inbox", &mail("frage", "fremd@kunde.example", ANNA, "", "Eine Frage"));
        exchange.run(anna).await;
        exchange.choose("auto_track_sent_items = true").await;
        exchange.stage.world.sql(&format!("UPDATE users SET track_option = '{option}'")).await;
        exchange.stage.world.sql("UPDATE mailboxes SET process_email_from = '2026-11-01'").await;
        let answer = "In-Reply-To: <frage@kunde.example>\r\n";
        exchange.lay("anna", "sentitems", &from_anna("answer", "fremd@kunde.example", answer));
        exchange.lay("anna", "sentitems", &from_anna("customer", CARLA, ""));
        exchange.lay("anna", "sentitems", &from_anna("stranger", "niemand@kunde.example", ""));
        let old = String::from_utf8(from_anna("old", CARLA, "")).unwrap().replace("Nov 2026", "Oct 2026");
        exchange.lay("anna", "sentitems", old.as_bytes());
        exchange.run(anna).await;
        let sent = exchange.emails().await;
        let sent: Vec<_> = sent.iter().filter_map(|email| email.strip_prefix("outgoing sent Anfrage ")).collect();
        assert_eq!(sent, expected, "{option}");
        assert!(exchange.refused().await.contains(&"refused TooOld sent".to_owned()), "{option}");
    }
}

/// F8, H5: what was sent from here lies among Anna's sent items too, and is the record that there is.
#[tokio::test]
async fn f8_what_was_sent_from_here_is_not_doubled() {
    let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
    exchange.choose("auto_track_sent_items = true").await;
    let email = exchange.stage.world.outgoing(anna, &[CARLA]).await;
    assert_eq!(exchange.stage.send(email, 1).await, Settled::Done);
    assert_eq!(exchange.subjects("anna", "sentitems"), ["Angebot"]);
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await, ["outgoing sent Angebot"]);
    assert_eq!(exchange.refused().await, ["refused OwnMessage sent"]);
    // Where a server keeps no headers of ours, the Message-ID tells.
    let id = exchange.stage.world.text("SELECT message_id FROM emails").await;
    let bare = String::from_utf8(from_anna("bare", CARLA, "")).unwrap().replace("bare@kunde.example", &id);
    exchange.lay("anna", "sentitems", bare.as_bytes());
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await, ["outgoing sent Angebot"]);
}

/// F8: of a message from user to user there are two records, or one where the organisation wants one, whichever mailbox is
/// read first; of one to a queue there are always two.
#[tokio::test]
async fn f8_between_users_it_is_two_records_or_one() {
    for (twice, sender_first) in [(true, true), (true, false), (false, true), (false, false)] {
        let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
        let bert = exchange.stage.user("bert", TrackOption::All).await;
        let queue = exchange.stage.world.queue("support", TrackOption::All).await;
        let support = exchange.stage.world.mailbox(exchange.stage.profile, Owner::Queue(queue)).await;
        exchange.choose(&format!("auto_track_sent_items = true, internal_email_twice = {twice}")).await;
        let message = from_anna("intern", &format!("{BERT}, support@muster.example"), "");
        for (of, folder) in [("anna", "sentitems"), ("bert", "inbox"), ("support", "inbox")] {
            exchange.lay(of, folder, &message);
        }
        let order: [MailboxId; 3] = if sender_first { [anna, bert, support] } else { [bert, support, anna] };
        for mailbox in order {
            exchange.run(mailbox).await;
        }
        let links = exchange.stage.world.number("SELECT count(*) FROM email_mailboxes").await;
        let directions = exchange.emails().await;
        let sent = directions.iter().filter(|email| email.starts_with("outgoing")).count();
        let case = format!("twice {twice}, sender first {sender_first}: {directions:?}");
        assert_eq!(links, 3, "{case}");
        if twice {
            assert_eq!((directions.len(), sent), (2, 1), "{case}");
        } else {
            assert!(directions.len() <= 2, "{case}");
            let between_users = "SELECT count(DISTINCT l.email_id) FROM email_mailboxes l
                 JOIN mailboxes m ON m.id = l.mailbox_id AND m.owner_user_id IS NOT NULL";
            assert_eq!(exchange.stage.world.number(between_users).await, 1, "{case}");
        }
    }
}

fn restricted(id: &str, by_header: bool) -> Vec<u8> {
    let class = if by_header { "Content-Class: rpmsg.message\r\n" } else { "" };
    let more = format!("{class}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=grenze\r\n");
    let kind = if by_header { "application/octet-stream" } else { "application/x-microsoft-rpmsg-message" };
    let body = format!(
        "--grenze\r\nContent-Type: text/plain\r\n\r\nThis message is protected.\r\n--grenze\r\nContent-Type: {kind}; \
         name=message.rpmsg\r\nContent-Disposition: attachment; filename=message.rpmsg\r\nContent-Transfer-Encoding: \
         base64\r\n\r\ndkAEAA==\r\n--grenze--"
    );
    mail(id, CARLA, ANNA, &more, &body)
}

/// F24: on, messages that rights management restricts are left out, whichever sign they carry, and the reason says why;
/// off, they are recorded as they are; and judged again afterwards, those that were left out are.
#[tokio::test]
async fn f24_rights_managed_mail_can_be_left_out() {
    let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
    exchange.choose("restrict_rights_managed = true").await;
    for (id, by_header) in [("kopf", true), ("teil", false)] {
        exchange.lay("anna", "inbox", &restricted(id, by_header));
    }
    exchange.lay("anna", "inbox", &letter("offen"));
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await, ["incoming received Anfrage offen"]);
    assert_eq!(exchange.refused().await, ["refused RightsManaged inbox", "refused RightsManaged inbox"]);
    exchange.choose("restrict_rights_managed = false").await;
    exchange.lay("anna", "inbox", &restricted("erlaubt", true));
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await, ["incoming received Anfrage erlaubt", "incoming received Anfrage offen"]);
    let mut tx = exchange.stage.world.store.begin().await.unwrap();
    let which = item_failures::JudgedAgain { reason: Some("RightsManaged"), ..Default::default() };
    assert_eq!(item_failures::judge_again(&mut tx, anna, which, "test").await.unwrap(), 2);
    tx.commit().await.unwrap();
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await.len(), 4);
}

/// H5: a copy of what is sent lies among the sender's sent items, or none; it arrives either way, and is sent.
#[tokio::test]
async fn h5_a_copy_is_kept_or_not() {
    for kept in [true, false] {
        let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
        if !kept {
            exchange.choose("save_sent_copy = false").await;
        }
        let email = exchange.stage.world.outgoing(anna, &[CARLA]).await;
        assert_eq!(exchange.stage.send(email, 1).await, Settled::Done);
        assert_eq!(exchange.stage.world.delivery(email).await.2, "sent");
        assert_eq!(exchange.subjects("carla", "inbox"), ["Angebot"], "kept: {kept}");
        assert_eq!(exchange.subjects("anna", "sentitems").len(), usize::from(kept));
    }
}

/// H5: without a copy nothing can be looked up, and with one nothing is assumed: an email whose outcome was lost stays
/// unknown, and is not sent again by itself.
#[tokio::test]
async fn h5_an_unknown_outcome_stays_unknown() {
    for kept in [true, false] {
        let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
        exchange.choose(&format!("save_sent_copy = {kept}")).await;
        let email = exchange.stage.world.outgoing(anna, &[CARLA]).await;
        exchange.moods(r#"[{"mood":"cut","after":5,"operation":"CreateItem","times":1}]"#);
        exchange.stage.send(email, 1).await;
        assert_eq!(exchange.stage.world.delivery(email).await.0, "unknown", "kept: {kept}");
        exchange.stage.world.assert_raised("OutcomeUnknown").await;
        exchange.run(anna).await;
        assert_eq!(exchange.stage.world.delivery(email).await.0, "unknown");
        assert_eq!(exchange.subjects("carla", "inbox").len(), 1, "once");
    }
}

/// The next item that is read is refused for good.
const UNREADABLE: &str = r#"[{"mood":"gone","operation":"GetItem","times":1}]"#;

async fn alert(exchange: &Exchange) -> String {
    exchange.stage.world.text("SELECT parameters->>'next' FROM alerts WHERE resolved_at IS NULL").await
}

async fn key(exchange: &Exchange) -> RemoteKey {
    let hex = exchange
        .stage
        .world
        .text("SELECT encode(remote_key, 'hex') FROM remote_items WHERE disposition = 'quarantined'");
    let hex = hex.await;
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    RemoteKey::new((0..hex.len()).step_by(2).map(byte).collect::<Vec<_>>()).unwrap()
}

/// B23: off, what cannot be recorded stays in the inbox.
#[tokio::test]
async fn b23_off_it_stays_in_the_inbox() {
    let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
    exchange.lay("anna", "inbox", &letter("kaputt"));
    exchange.moods(UNREADABLE);
    exchange.run(anna).await;
    exchange.run(anna).await;
    assert_eq!(exchange.subjects("anna", "inbox"), ["Anfrage kaputt"]);
    assert_eq!(exchange.refused().await, ["quarantined ItemGone inbox"]);
    assert_eq!(alert(&exchange).await, "it is not tried again by itself");
    exchange.stage.world.assert_raised("ItemQuarantined").await;
}

async fn given_up() -> (Exchange, MailboxId) {
    let (exchange, anna) = Exchange::with_anna(TrackOption::All).await;
    exchange.stage.world.sql("UPDATE email_server_profiles SET move_undeliverable = true").await;
    exchange.lay("anna", "inbox", &letter("kaputt"));
    exchange.moods(UNREADABLE);
    (exchange, anna)
}

/// B23: on, it is moved to the folder Undeliverable, which is made and remembered; the alert says so. Released, it comes
/// back into the inbox and is recorded, and the alert ends.
#[tokio::test]
async fn b23_on_it_is_moved_and_comes_back_when_it_is_released() {
    let (exchange, anna) = given_up().await;
    exchange.lay("anna", "inbox", &letter("heil"));
    exchange.run(anna).await;
    assert_eq!(exchange.subjects("anna", "Undeliverable"), ["Anfrage kaputt"]);
    assert_eq!(exchange.subjects("anna", "inbox"), ["Anfrage heil"]);
    assert_eq!(exchange.emails().await, ["incoming received Anfrage heil"]);
    assert_eq!(exchange.refused().await, ["quarantined ItemGone undeliverable"]);
    let said = "it was moved to the folder Undeliverable of the mailbox and is not tried again by itself";
    assert_eq!(alert(&exchange).await, said);
    let folder = exchange.stage.world.text("SELECT encode(undeliverable_folder, 'escape') FROM mailboxes").await;
    assert!(!folder.is_empty(), "the folder is kept on the mailbox");
    exchange.run(anna).await;
    assert_eq!(exchange.refused().await, ["quarantined ItemGone undeliverable"], "nothing more happens to it");

    let mut tx = exchange.stage.world.store.begin().await.unwrap();
    let released = item_failures::release(&mut tx, anna, &key(&exchange).await, "test").await.unwrap();
    assert_eq!(released, Decided::Done);
    tx.commit().await.unwrap();
    assert_eq!(exchange.run(anna).await.outcome, Outcome::Yielded, "what came back is read at once");
    exchange.run(anna).await;
    assert_eq!(exchange.subjects("anna", "Undeliverable"), Vec::<String>::new());
    assert_eq!(exchange.emails().await, ["incoming received Anfrage heil", "incoming received Anfrage kaputt"]);
    exchange.stage.world.assert_cleared("ItemQuarantined").await;
    assert_eq!(exchange.refused().await, Vec::<String>::new());

    exchange.lay("anna", "inbox", &letter("auch kaputt"));
    exchange.moods(UNREADABLE);
    exchange.run(anna).await;
    let now = exchange.stage.world.text("SELECT encode(undeliverable_folder, 'escape') FROM mailboxes").await;
    assert_eq!(now, folder, "the folder there is is used again");
}

/// B23: a move is asked for until it is confirmed, and happens once; the item is found under its new identity.
#[tokio::test]
async fn b23_a_move_whose_answer_was_lost_is_confirmed_later() {
    for operation in ["MoveItem", "CreateFolder", "UpdateItem"] {
        let (exchange, anna) = given_up().await;
        let both = format!(
            r#"[{{"mood":"gone","operation":"GetItem","times":1}},
                {{"mood":"cut","after":5,"operation":"{operation}","times":1}}]"#
        );
        exchange.moods(&both);
        assert_eq!(exchange.stage.run(anna).await.outcome, Outcome::Failed, "{operation}");
        assert_eq!(exchange.stage.world.number("SELECT count(*) FROM remote_items WHERE move_to IS NOT NULL").await, 1);
        exchange.run(anna).await;
        assert_eq!(exchange.subjects("anna", "Undeliverable"), ["Anfrage kaputt"], "{operation}");
        assert_eq!(exchange.refused().await, ["quarantined ItemGone undeliverable"]);
        let mut tx = exchange.stage.world.store.begin().await.unwrap();
        item_failures::release(&mut tx, anna, &key(&exchange).await, "test").await.unwrap();
        tx.commit().await.unwrap();
        exchange.run(anna).await;
        exchange.run(anna).await;
        assert_eq!(exchange.emails().await, ["incoming received Anfrage kaputt"], "{operation}");
    }
}

/// B23: released before the move was confirmed, it is recorded as well, wherever it was by then.
#[tokio::test]
async fn b23_released_before_the_move_was_confirmed() {
    let (exchange, anna) = given_up().await;
    exchange.moods(
        r#"[{"mood":"gone","operation":"GetItem","times":1},{"mood":"cut","after":5,"operation":"MoveItem","times":1}]"#,
    );
    exchange.stage.run(anna).await;
    let mut tx = exchange.stage.world.store.begin().await.unwrap();
    item_failures::release(&mut tx, anna, &key(&exchange).await, "test").await.unwrap();
    tx.commit().await.unwrap();
    exchange.run(anna).await;
    exchange.run(anna).await;
    assert_eq!(exchange.subjects("anna", "inbox"), ["Anfrage kaputt"]);
    assert_eq!(exchange.emails().await, ["incoming received Anfrage kaputt"]);
    exchange.stage.world.assert_cleared("ItemQuarantined").await;
}

/// B23: a person who moves the message back by hand has it read again, and one who deletes it there ends the matter.
#[tokio::test]
async fn b23_a_person_may_move_it_back_by_hand() {
    let (exchange, anna) = given_up().await;
    exchange.run(anna).await;
    exchange.drag("anna", "Undeliverable", "inbox");
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await, ["incoming received Anfrage kaputt"]);
    let mut tx = exchange.stage.world.store.begin().await.unwrap();
    item_failures::release(&mut tx, anna, &key(&exchange).await, "test").await.unwrap();
    tx.commit().await.unwrap();
    exchange.run(anna).await;
    exchange.stage.world.assert_cleared("ItemQuarantined").await;
    assert_eq!(exchange.emails().await.len(), 1, "nothing twice");
}

/// A message that is only due for another attempt is not moved.
#[tokio::test]
async fn b23_what_is_tried_again_stays() {
    let (exchange, anna) = given_up().await;
    exchange.moods(r#"[{"mood":"internal","operation":"GetItem","times":1}]"#);
    let _ = exchange.stage.run(anna).await;
    assert_eq!(exchange.subjects("anna", "inbox"), ["Anfrage kaputt"]);
    exchange.stage.world.advance(2_000);
    exchange.run(anna).await;
    assert_eq!(exchange.emails().await, ["incoming received Anfrage kaputt"]);
    assert_eq!(exchange.subjects("anna", "Undeliverable"), Vec::<String>::new());
}
