//! What only the twin has.

use lockstep_coord::{Admission, Admitted, Coord, MemoryCoord};

use crate::world::Asking;

#[tokio::test]
async fn a_flushed_twin_settles_like_a_flushed_redis() {
    let (twin, asking) = (MemoryCoord::new(), Asking::with_cap(2));
    let holder = asking.run();
    assert_eq!(twin.admit(&holder).await.unwrap(), Admitted::Granted);
    twin.flush();
    assert!(twin.renew(&holder).await.unwrap().permit_held);
    assert!(matches!(twin.admit(&asking.run()).await.unwrap(), Admitted::NoPermit { .. }));
}

#[tokio::test]
async fn an_opened_twin_never_settles() {
    let (twin, asking) = (MemoryCoord::opened(), Asking::with_cap(2));
    let newcomer = Admission { opening: false, ..asking.run() };
    assert_eq!(twin.admit(&newcomer).await.unwrap(), Admitted::Granted);
}
