//! Clocks are compared over a connection that stands.

use std::{sync::Arc, time::Duration};

use lockstep_model::clock::{Offset, SystemClock};
use lockstep_store::Store;
use lockstep_test_support::postgres::TestDatabase;

use crate::seed::{options, vault};

/// The wait for a connection tells nothing of the time, and is no part of what is measured.
#[tokio::test]
async fn the_wait_for_a_connection_is_not_measured() {
    const BUSY: Duration = Duration::from_secs(1);
    let database = TestDatabase::create().await;
    let clock = Arc::new(SystemClock::default());
    let store = Store::open(database.url(), &options(1), clock.clone(), vault()).unwrap();
    let held = store.begin().await.unwrap();
    let began = std::time::Instant::now();
    let (samples, ()) = tokio::join!(store.compare_clocks(&clock), async {
        tokio::time::sleep(BUSY).await;
        drop(held);
    });
    assert!(began.elapsed() >= BUSY, "the one connection was taken");
    let samples = samples.unwrap();
    assert_eq!(samples.len(), 5);
    let measured = Offset::measured(&samples).unwrap();
    let doubt = Duration::from_millis(250);
    assert!(measured.doubt.to_std().unwrap() < doubt, "half of the wait would be twice that: {samples:?}");
    // The database runs on this machine, by the same clock.
    assert!(measured.ahead.abs().to_std().unwrap() < doubt, "{samples:?}");
    assert!(clock.keep_in_step(&samples).is_some());
}
