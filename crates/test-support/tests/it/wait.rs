//! Waiting ends when the condition holds, and says what was wrong when it never does.

use std::time::Duration;

use lockstep_test_support::eventually;

use crate::SOON;

#[tokio::test]
async fn returns_what_the_condition_found() {
    let mut polls = 0;
    let found = eventually(
        SOON,
        async || {
            polls += 1;
            (polls == 3).then_some(polls)
        },
        "the third poll",
    )
    .await;
    assert_eq!(found, 3);
}

#[tokio::test]
#[should_panic(expected = "two of five mails; last state: \"one mail\"")]
async fn tells_the_last_state() {
    eventually(Duration::from_millis(50), async || Err::<(), _>("one mail"), "two of five mails").await;
}

#[tokio::test]
#[should_panic(expected = "the last poll hung")]
async fn a_poll_that_hangs_is_bounded() {
    eventually(Duration::from_millis(50), async || std::future::pending::<bool>().await, "an answer").await;
}
