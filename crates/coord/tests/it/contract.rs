//! The promises, asked of both implementations.

use std::{sync::Arc, time::Duration};

use lockstep_coord::{Admission, Admitted, Coord, MemoryCoord, Released};
use lockstep_model::{
    id::{MailboxId, ProfileId},
    mailbox::{Account, Lane},
};
use lockstep_test_support::eventually;

use crate::world::{Asking, Real, SOON};

/// Each promise is a function over any implementation, and becomes two tests.
macro_rules! promises {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        mod redis {
            use super::*;
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let real = Real::start().await;
                // The database goes when `redis` is dropped, after the test.
                let (coord, _redis) = (Arc::new(real.coord), real.redis);
                super::$name(coord).await;
            })+
        }
        mod memory {
            use super::*;
            $($(#[$doc])* #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(Arc::new(MemoryCoord::new())).await;
            })+
        }
    };
}

promises![
    /// B20: connections of an account never exceed the cap.
    b20_sixty_at_once_get_exactly_the_cap,
    one_run_at_a_lane,
    an_expired_permit_and_lease_are_free_again,
    a_holder_renews_during_a_cool_down_and_newcomers_wait,
    who_lapsed_is_told_and_not_put_back,
    release_removes_only_what_is_ones_own,
    a_cool_down_is_never_shortened_and_has_a_limit,
    scheduled_work_leaves_the_last_permit,
    a_refusal_takes_nothing_and_touches_no_expiry,
    asking_again_is_granted_again,
    /// B21: each account has its own count.
    b21_accounts_and_profiles_are_apart,
    a_renewal_keeps_a_holder_alive,
    a_profile_without_marker_settles_first,
];

async fn admit(coord: &dyn Coord, admission: &Admission) -> Admitted {
    coord.admit(admission).await.unwrap()
}

async fn granted(coord: &dyn Coord, admission: &Admission) {
    assert_eq!(admit(coord, admission).await, Admitted::Granted);
}

async fn b20_sixty_at_once_get_exactly_the_cap(coord: Arc<dyn Coord>) {
    let asking = Asking::with_cap(7);
    granted(&*coord, &asking.run()).await;
    let callers: Vec<_> = (0..60)
        .map(|_| {
            let (coord, run) = (Arc::clone(&coord), asking.run());
            tokio::spawn(async move { coord.admit(&run).await.unwrap() })
        })
        .collect();
    let mut grants = 1;
    for caller in callers {
        match caller.await.unwrap() {
            Admitted::Granted => grants += 1,
            Admitted::NoPermit { hint } => assert!(hint >= Duration::from_millis(50) && hint <= Duration::from_secs(2)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(grants, 7);
    assert_eq!(coord.usage(asking.profile, &Account::of_profile()).await.unwrap(), 7);
}

async fn one_run_at_a_lane(coord: Arc<dyn Coord>) {
    let (asking, mailbox) = (Asking::with_cap(10), MailboxId::new());
    let first = asking.run_at(mailbox);
    granted(&*coord, &first).await;
    assert_eq!(admit(&*coord, &asking.run_at(mailbox)).await, Admitted::LeaseBusy);
    let other_lane = Admission { lease: Some((mailbox, Lane::Act)), ..asking.run() };
    granted(&*coord, &other_lane).await;
    assert_eq!(coord.release(&first).await.unwrap(), Released { permit: true, lease: true });
    granted(&*coord, &asking.run_at(mailbox)).await;
}

async fn an_expired_permit_and_lease_are_free_again(coord: Arc<dyn Coord>) {
    let (asking, mailbox) = (Asking::short(1), MailboxId::new());
    granted(&*coord, &asking.run_at(mailbox)).await;
    let next = asking.run_at(mailbox);
    assert_eq!(admit(&*coord, &next).await, Admitted::LeaseBusy);
    eventually(SOON, async || admit(&*coord, &next).await == Admitted::Granted, "the dead run's permit is free").await;
}

async fn a_holder_renews_during_a_cool_down_and_newcomers_wait(coord: Arc<dyn Coord>) {
    let (asking, mailbox) = (Asking::with_cap(5), MailboxId::new());
    let holder = asking.run_at(mailbox);
    granted(&*coord, &holder).await;
    coord.cool_down(asking.profile, Duration::from_secs(30)).await.unwrap();
    let Admitted::CoolingDown { wait } = admit(&*coord, &asking.run()).await else { panic!("not cooling down") };
    assert!(wait > Duration::from_secs(20) && wait <= Duration::from_secs(30), "{wait:?}");
    let renewed = coord.renew(&holder).await.unwrap();
    assert!(renewed.permit_held && renewed.lease_held && renewed.cooling_down.is_some(), "{renewed:?}");
    granted(&*coord, &holder).await;
}

async fn who_lapsed_is_told_and_not_put_back(coord: Arc<dyn Coord>) {
    let (asking, mailbox) = (Asking::short(3), MailboxId::new());
    let run = asking.run_at(mailbox);
    granted(&*coord, &run).await;
    let usage = async || coord.usage(asking.profile, &Account::of_profile()).await.unwrap() == 0;
    eventually(SOON, usage, "the permit lapses").await;
    let lease_free = async || {
        let renewed = coord.renew(&run).await.unwrap();
        assert!(!renewed.permit_held, "{renewed:?}");
        !renewed.lease_held
    };
    eventually(SOON, lease_free, "the lease lapses").await;
    assert_eq!(coord.usage(asking.profile, &Account::of_profile()).await.unwrap(), 0);
}

async fn release_removes_only_what_is_ones_own(coord: Arc<dyn Coord>) {
    let (asking, mailbox) = (Asking::with_cap(5), MailboxId::new());
    let (holder, stranger) = (asking.run_at(mailbox), asking.run_at(mailbox));
    granted(&*coord, &holder).await;
    assert_eq!(coord.release(&stranger).await.unwrap(), Released { permit: false, lease: false });
    let renewed = coord.renew(&holder).await.unwrap();
    assert!(renewed.permit_held && renewed.lease_held);
    assert_eq!(coord.release(&holder).await.unwrap(), Released { permit: true, lease: true });
    assert_eq!(coord.release(&holder).await.unwrap(), Released { permit: false, lease: false });
}

async fn a_cool_down_is_never_shortened_and_has_a_limit(coord: Arc<dyn Coord>) {
    let profile = ProfileId::new();
    coord.cool_down(profile, Duration::from_secs(100)).await.unwrap();
    let in_force = coord.cool_down(profile, Duration::from_secs(1)).await.unwrap();
    assert!(in_force > Duration::from_secs(60), "{in_force:?}");
    let in_force = coord.cool_down(profile, Duration::from_secs(24 * 3600)).await.unwrap();
    assert!(in_force <= Duration::from_secs(3600) && in_force > Duration::from_secs(3000), "{in_force:?}");
}

async fn scheduled_work_leaves_the_last_permit(coord: Arc<dyn Coord>) {
    let asking = Asking::with_cap(2);
    let scheduled = |asking: &Asking| Admission { reserve: false, ..asking.run() };
    granted(&*coord, &scheduled(&asking)).await;
    assert!(matches!(admit(&*coord, &scheduled(&asking)).await, Admitted::NoPermit { .. }));
    granted(&*coord, &asking.run()).await;
    assert!(matches!(admit(&*coord, &asking.run()).await, Admitted::NoPermit { .. }));
    // With one permit only there is none to spare.
    granted(&*coord, &scheduled(&Asking::with_cap(1))).await;
    assert!(matches!(admit(&*coord, &Asking::with_cap(0).run()).await, Admitted::NoPermit { .. }));
}

async fn a_refusal_takes_nothing_and_touches_no_expiry(coord: Arc<dyn Coord>) {
    let (asking, mailbox) = (Asking::short(1), MailboxId::new());
    granted(&*coord, &asking.run()).await;
    let refused = asking.run_at(mailbox);
    // Refused for want of a permit: the lease must not have been taken, and asking must not keep the holder alive.
    let freed = async || admit(&*coord, &asking.run_at(mailbox)).await == Admitted::Granted;
    assert!(matches!(admit(&*coord, &refused).await, Admitted::NoPermit { .. }));
    assert_eq!(coord.release(&refused).await.unwrap(), Released { permit: false, lease: false });
    eventually(SOON, freed, "constant asking does not keep the dead holder's permit").await;
}

async fn asking_again_is_granted_again(coord: Arc<dyn Coord>) {
    let (asking, mailbox) = (Asking::with_cap(1), MailboxId::new());
    let run = asking.run_at(mailbox);
    granted(&*coord, &run).await;
    granted(&*coord, &run).await;
    assert_eq!(coord.usage(asking.profile, &Account::of_profile()).await.unwrap(), 1);
}

async fn b21_accounts_and_profiles_are_apart(coord: Arc<dyn Coord>) {
    let (one, other) = (Asking::with_cap(1), Asking::with_cap(1));
    granted(&*coord, &one.run()).await;
    granted(&*coord, &other.run()).await;
    granted(&*coord, &Admission { account: Account::of_mailbox(MailboxId::new()), ..one.run() }).await;
    coord.cool_down(one.profile, Duration::from_secs(30)).await.unwrap();
    let third = Admission { account: Account::of_mailbox(MailboxId::new()), ..other.run() };
    granted(&*coord, &third).await;
}

async fn a_renewal_keeps_a_holder_alive(coord: Arc<dyn Coord>) {
    let (asking, mailbox) = (Asking { ttl: Duration::from_secs(3), ..Asking::with_cap(1) }, MailboxId::new());
    let run = asking.run_at(mailbox);
    granted(&*coord, &run).await;
    let begun = std::time::Instant::now();
    // Twice its lifetime without a renewal would be the end of it.
    let outlived = async || {
        let renewed = coord.renew(&run).await.unwrap();
        assert!(renewed.permit_held && renewed.lease_held, "lapsed after {:?}", begun.elapsed());
        begun.elapsed() > asking.ttl * 2
    };
    eventually(SOON, outlived, "twice the lifetime passes").await;
    assert_eq!(admit(&*coord, &asking.run_at(mailbox)).await, Admitted::LeaseBusy);
}

async fn a_profile_without_marker_settles_first(coord: Arc<dyn Coord>) {
    let asking = Asking::short(2);
    let newcomer = Admission { opening: false, ..asking.run() };
    let Admitted::NoPermit { hint } = admit(&*coord, &newcomer).await else { panic!("granted while settling") };
    assert!(hint <= asking.ttl);
    eventually(SOON, async || admit(&*coord, &newcomer).await == Admitted::Granted, "settling ends").await;
}
