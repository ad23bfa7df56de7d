//! The twin and Redis agree on every outcome of any history.

use std::time::Duration;

use lockstep_coord::{Admission, Admitted, Coord, MemoryCoord};
use lockstep_model::{
    id::{MailboxId, ProfileId, RunId},
    mailbox::{Account, Lane},
};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::world::Real;

#[derive(Clone, Debug)]
enum Step {
    Admit { run: usize, lane: Option<usize>, reserve: bool, opening: bool },
    Renew { run: usize, lane: Option<usize> },
    Release { run: usize, lane: Option<usize> },
    CoolDown,
    Usage,
}

fn step() -> impl Strategy<Value = Step> {
    let run = 0..6_usize;
    let lane = prop::option::of(0..3_usize);
    prop_oneof![
        8 => (run.clone(), lane.clone(), any::<bool>(), prop::bool::weighted(0.9))
            .prop_map(|(run, lane, reserve, opening)| Step::Admit { run, lane, reserve, opening }),
        4 => (run.clone(), lane.clone()).prop_map(|(run, lane)| Step::Renew { run, lane }),
        4 => (run, lane).prop_map(|(run, lane)| Step::Release { run, lane }),
        1 => Just(Step::CoolDown),
        1 => Just(Step::Usage),
    ]
}

/// What is compared: everything but lengths of time.
async fn outcome(
    coord: &dyn Coord,
    step: &Step,
    cap: u32,
    profile: ProfileId,
    runs: &[RunId],
    lanes: &[MailboxId],
) -> String {
    let admission = |run: usize, lane: Option<usize>, reserve, opening| Admission {
        profile,
        account: Account::of_profile(),
        cap,
        lease: lane.map(|lane| (lanes[lane], Lane::Incoming)),
        run: runs[run],
        permit_ttl: Duration::from_secs(600),
        lease_ttl: Duration::from_secs(600),
        reserve,
        opening,
    };
    match *step {
        Step::Admit { run, lane, reserve, opening } => {
            let admitted: Admitted = coord.admit(&admission(run, lane, reserve, opening)).await.unwrap();
            admitted.name().to_owned()
        }
        Step::Renew { run, lane } => {
            let renewed = coord.renew(&admission(run, lane, true, false)).await.unwrap();
            format!("{} {} {}", renewed.permit_held, renewed.lease_held, renewed.cooling_down.is_some())
        }
        Step::Release { run, lane } => {
            format!("{:?}", coord.release(&admission(run, lane, true, false)).await.unwrap())
        }
        Step::CoolDown => {
            coord.cool_down(profile, Duration::from_secs(600)).await.unwrap();
            "cool-down".to_owned()
        }
        Step::Usage => coord.usage(profile, &Account::of_profile()).await.unwrap().to_string(),
    }
}

#[test]
fn the_twin_and_redis_agree_on_every_history() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let real = runtime.block_on(Real::start());
    let twin = MemoryCoord::new();
    let histories = (1..4_u32, prop::collection::vec(step(), 1..40));
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() });
    let result = runner.run(&histories, |(cap, steps)| {
        let profile = ProfileId::new();
        let runs: Vec<_> = (0..6).map(|_| RunId::new()).collect();
        let lanes: Vec<_> = (0..3).map(|_| MailboxId::new()).collect();
        for step in &steps {
            let (ours, theirs) = runtime.block_on(async {
                (
                    outcome(&twin, step, cap, profile, &runs, &lanes).await,
                    outcome(&real.coord, step, cap, profile, &runs, &lanes).await,
                )
            });
            prop_assert_eq!(ours, theirs, "at {:?}", step);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
