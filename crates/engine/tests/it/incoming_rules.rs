//! Owner, queue items, start date, auto-created people.

use lockstep_engine::{
    auto_create::{self, Sender},
    ownership::{Lists, owner},
    queue_items::{self, Switches},
    start_date::{self, Refusal},
};
use lockstep_model::{
    email::{AutoCreate, PartyKind},
    id::{QueueId, UserId},
};

use crate::values::at;

/// F18: the four steps, one after the other.
#[test]
fn f18_owner_in_four_steps() {
    let [anna, bert, carl, dora] = [(); 4].map(|()| UserId::new());
    let lists = |to: &[UserId], cc: &[UserId], bcc: &[UserId]| Lists { to: to.into(), cc: cc.into(), bcc: bcc.into() };
    // to, cc, bcc; owner of the answered email, owner of the sender's record; who owns
    let table = [
        (lists(&[anna, bert], &[carl], &[]), None, None, Some(anna)),
        (lists(&[anna, bert], &[carl], &[]), Some(bert), Some(anna), Some(bert)),
        (lists(&[anna, bert], &[carl], &[]), Some(dora), Some(bert), Some(bert)),
        (lists(&[anna, bert], &[carl], &[]), Some(carl), Some(carl), Some(anna)),
        (lists(&[], &[carl, bert], &[anna]), None, Some(bert), Some(bert)),
        (lists(&[], &[], &[dora]), None, None, Some(dora)),
        (lists(&[], &[], &[]), Some(anna), Some(anna), None),
    ];
    for (number, (lists, answered, sender, expected)) in table.into_iter().enumerate() {
        assert_eq!(owner(&lists, answered, sender), expected, "row {number}");
    }
}

/// F19: the documented story. A message to one queue, then found in a second one's mailbox that is a hidden recipient.
#[test]
fn f19_queue_items_by_three_switches() {
    let (sales, support) = (QueueId::new(), QueueId::new());
    let defaults = Switches::default();
    assert_eq!(queue_items::of_new(&[sales, sales], Some(sales), defaults), [sales], "once, however often addressed");
    assert_eq!(queue_items::of_new(&[sales], Some(support), defaults), [sales], "a hidden recipient gets none");
    let all = Switches { for_recipients: true, for_receiving: true, for_known: true };
    assert_eq!(queue_items::of_new(&[sales], Some(support), all), [sales, support]);
    assert_eq!(queue_items::of_new(&[sales], None, Switches { for_recipients: false, ..all }), []);
    assert_eq!(queue_items::of_known(Some(support), defaults), None);
    assert_eq!(queue_items::of_known(Some(support), all), Some(support));
    assert_eq!(queue_items::of_known(None, all), None);
}

/// B17, B18: the later of profile and mailbox counts. B19 and C16: how far back, and never before the profile's.
#[test]
fn b17_b18_b19_c16_start_dates() {
    assert_eq!(start_date::effective(Some(at(5)), Some(at(9))), Some(at(9)));
    assert_eq!(start_date::effective(Some(at(9)), Some(at(5))), Some(at(9)));
    assert_eq!(start_date::effective(None, Some(at(5))), Some(at(5)));
    assert_eq!(start_date::effective(None, None), None);
    let day = 24 * 60 * 60;
    assert_eq!(start_date::check(at(-7 * day), None, Some(7), at(0)), Ok(()));
    assert_eq!(start_date::check(at(-7 * day - 1), None, Some(7), at(0)), Err(Refusal::TooFarBack(at(-7 * day))));
    assert_eq!(start_date::check(at(366 * day), None, None, at(0)), Ok(()));
    assert_eq!(
        start_date::check(at(366 * day + 1), None, None, at(0)),
        Err(Refusal::TooFarAhead(at(366 * day))),
        "nothing would be processed for years"
    );
    assert_eq!(start_date::check(at(10), Some(at(20)), Some(7), at(30)), Err(Refusal::BeforeProfile(at(20))));
    assert_eq!(start_date::check(at(20), Some(at(20)), Some(7), at(30)), Ok(()));
    assert_eq!(start_date::check(at(0), None, Some(u32::MAX), at(0)), Ok(()), "an absurd limit is no limit");
    assert_eq!(start_date::check(at(-4000 * day), None, None, at(0)), Ok(()));
}

fn person() -> Sender<'static> {
    Sender {
        address_key: "jane@example.org",
        known: false,
        auto_submitted: None,
        precedence: None,
        is_list: false,
        is_bounce: false,
        is_loop: false,
    }
}

/// E13: by the user's option and the organisation's switch.
#[test]
fn e13_unknown_senders_become_people_by_option() {
    let decide = |allowed, option| auto_create::decide(allowed, option, &person());
    assert_eq!(decide(true, AutoCreate::Contact), Some(PartyKind::Contact));
    assert_eq!(decide(true, AutoCreate::Lead), Some(PartyKind::Lead));
    assert_eq!(decide(true, AutoCreate::Off), None);
    assert_eq!(decide(false, AutoCreate::Contact), None);
    let known = Sender { known: true, ..person() };
    assert_eq!(auto_create::decide(true, AutoCreate::Contact, &known), None);
}

/// E13: machines, lists, bounces and loops never become people; `Auto-Submitted: no` is a person's.
#[test]
fn e13_machines_never_become_people() {
    let machines = [
        Sender { is_list: true, ..person() },
        Sender { is_bounce: true, ..person() },
        Sender { is_loop: true, ..person() },
        Sender { auto_submitted: Some("auto-replied"), ..person() },
        Sender { precedence: Some("bulk"), ..person() },
        Sender { address_key: "mailer-daemon@example.org", ..person() },
        Sender { address_key: "noreply+4711@example.org", ..person() },
    ];
    for machine in machines {
        assert_eq!(auto_create::decide(true, AutoCreate::Contact, &machine), None, "{machine:?}");
    }
    let polite = Sender { auto_submitted: Some("no"), precedence: Some("first-class"), ..person() };
    assert_eq!(auto_create::decide(true, AutoCreate::Lead, &polite), Some(PartyKind::Lead));
}
