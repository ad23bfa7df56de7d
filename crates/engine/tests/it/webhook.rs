//! Webhooks: answers, waits and what is signed, as tables.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_engine::webhook::{FAILING_FOR, SCHEDULE, Verdict, gives_up, retry_after, signed_content, verdict, wait};
use proptest::prelude::*;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_424_400, 0).unwrap()
}

#[test]
fn what_an_answer_means() {
    for (statuses, expected) in [
        (vec![200, 201, 202, 204, 299], Verdict::Accepted),
        (vec![410], Verdict::Gone),
        (vec![100, 199, 300, 301, 302, 307, 308, 400, 401, 403, 404, 408, 409, 422, 429], Verdict::Again),
        (vec![500, 502, 503, 504, 599, 0, u16::MAX], Verdict::Again),
    ] {
        for status in statuses {
            assert_eq!(verdict(status), expected, "{status}");
        }
    }
}

#[test]
fn waits_double_up_to_an_hour() {
    let waits: Vec<u64> = (1..=12).map(|attempt| wait(attempt, None, 0.0).as_secs()).collect();
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
    assert_eq!(wait(u32::MAX, None, 0.0), SCHEDULE.cap);
    assert_eq!(wait(0, None, 0.0).as_secs(), 5);
}

#[test]
fn a_receiver_may_ask_for_longer_but_not_for_ever() {
    let seconds = Duration::from_secs;
    for (asked, attempt, expected) in [
        (None, 1, 5),
        (Some(2), 1, 5),
        (Some(30), 1, 30),
        (Some(30), 5, 80),
        (Some(3600), 1, 3600),
        (Some(9999), 1, 3600),
    ] {
        assert_eq!(wait(attempt, asked.map(seconds), 0.0), seconds(expected), "{asked:?}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    for (text, expected) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("99999999999999999999", Some(u64::from(u32::MAX))),
        ("Mon, 23 Nov 2026 09:01:40 GMT", Some(100)),
        ("Mon, 23 Nov 2026 08:00:00 GMT", Some(0)),
        ("-5", None),
        ("5.5", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(retry_after(text, now()).map(|wait| wait.as_secs()), expected, "{text:?}");
    }
}

#[test]
fn three_days_of_failures_are_enough() {
    for (days, hours, expected) in [(0, 0, false), (2, 23, false), (3, 0, true), (30, 0, true), (-1, 0, false)] {
        let since = now() - TimeDelta::days(days) - TimeDelta::hours(hours);
        assert_eq!(gives_up(since, now(), FAILING_FOR), expected, "{days} d {hours} h");
    }
}

#[test]
fn id_instant_and_body_are_signed() {
    let at = DateTime::from_timestamp(1_614_265_330, 999_000_000).unwrap();
    assert_eq!(signed_content("msg_1", at, b"{\"a\":\"\xff\"}"), b"msg_1.1614265330.{\"a\":\"\xff\"}");
}

proptest! {
    #[test]
    fn no_wait_is_shorter_than_nine_tenths_of_the_schedule_or_longer_than_its_cap(
        attempt: u32, asked in proptest::option::of(any::<u64>()), jitter: f64,
    ) {
        let wait = wait(attempt, asked.map(Duration::from_secs), jitter);
        prop_assert!(wait >= SCHEDULE.base.mul_f64(0.89) && wait <= SCHEDULE.cap, "{wait:?}");
    }

    #[test]
    fn no_header_is_an_error_of_ours(text in ".{0,40}") {
        let _ = retry_after(&text, now());
    }
}
