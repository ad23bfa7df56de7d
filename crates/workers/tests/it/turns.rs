//! N1: mailboxes of one server take turns when a worker has no slot left for it.

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use lockstep_model::mailbox::TrackOption;
use lockstep_queue::{DeliveryInfo, Handler as _, Outcome as Settled};
use lockstep_wire::Outcome;
use lockstep_workers::mailbox::Handler;

use crate::{
    server::Call,
    stage::{ANNA, Stage, plain},
};

/// More than a page.
const FLOOD: u32 = 120;

/// A flooded mailbox reads on when its turn is over, page by page, until another one has asked in vain for the only slot;
/// then it ends with its page, is due again at once, and loses and doubles nothing.
#[tokio::test]
async fn n1_a_flooded_mailbox_gives_way_when_its_turn_is_over() {
    for another_asks in [false, true] {
        let (mut stage, anna) = Stage::with_anna().await;
        // One slot for one server, and a turn of two seconds; the budget is far from spent when it ends.
        (stage.context.config.concurrency, stage.context.config.run_budget_s) = (2, 16);
        let bert = stage.user("bert", TrackOption::All).await;
        for number in 0..FLOOD {
            stage.server.put(ANNA, &format!("k{number:03}"), plain(&format!("m{number}")));
        }
        let handler = Arc::new(Handler::new(stage.context.clone()));
        let (hint, other) = (stage.envelope(stage.hint(anna).await), stage.envelope(stage.hint(bert).await));
        let busy = handler.clone();
        let turn = stage.context.config.turn();
        stage.server.meanwhile(Call::Fetch("k010".to_owned()), move || {
            async move {
                if another_asks {
                    assert_eq!(busy.handle(other, DeliveryInfo::default()).await, Settled::Done);
                }
                // A slow server: the turn is over when this page is done.
                tokio::time::sleep(turn + Duration::from_millis(50)).await;
            }
            .boxed()
        });
        assert_eq!(handler.handle(hint, DeliveryInfo::default()).await, Settled::Done);
        let mut reports = stage.reports();
        reports.retain(|report| report.outcome != Outcome::Running);
        let first = reports.pop().unwrap();
        assert_eq!(first.mailbox, anna);
        if !another_asks {
            assert_eq!((first.outcome, first.counts.tracked), (Outcome::Completed, FLOOD));
            continue;
        }
        assert_eq!((reports.len(), reports[0].mailbox, reports[0].outcome), (1, bert, Outcome::Deferred));
        assert!(
            first.wait > reports[0].wait,
            "who was turned away comes first: {:?} {:?}",
            first.wait,
            reports[0].wait
        );
        assert_eq!((first.outcome, first.counts.tracked), (Outcome::Yielded, 50), "it ended with its page");
        let report = stage.run(bert).await;
        assert_eq!(report.outcome, Outcome::Completed);
        let rest = stage.run(anna).await;
        assert_eq!((rest.outcome, rest.counts.tracked), (Outcome::Completed, FLOOD - 50));
        assert_eq!(stage.emails().await, i64::from(FLOOD));
    }
}
