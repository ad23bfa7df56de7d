//! What settings and marks of a mailbox mean to the workers, without a restart.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use lockstep_model::mailbox::TrackOption;
use lockstep_wire::Outcome;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

use crate::{
    server::{Action, Call},
    stage::{ANNA, Stage, lost, plain},
};

/// N6: a backlog of ten times the cap takes ten cycles; each says that there is more, until there is none.
#[tokio::test]
async fn n6_a_backlog_of_ten_caps_takes_ten_cycles() {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.setting("email", "incoming_maximum_emails_per_cycle", 7).await;
    for number in 0..70 {
        stage.server.put(ANNA, &format!("k{number:02}"), plain(&format!("m{number}")));
    }
    for cycle in 1..=10 {
        let report = stage.run(anna).await;
        let expected = if cycle < 10 { Outcome::Yielded } else { Outcome::Completed };
        assert_eq!((report.outcome, report.counts.seen, report.counts.tracked), (expected, 7, 7), "cycle {cycle}");
        assert_eq!(stage.emails().await, 7 * cycle);
    }
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.seen), (Outcome::Completed, 0));
    // The cap is raised while the worker runs.
    stage.world.setting("email", "incoming_maximum_emails_per_cycle", 100).await;
    for number in 70..90 {
        stage.server.put(ANNA, &format!("k{number:02}"), plain(&format!("m{number}")));
    }
    let report = stage.run(anna).await;
    assert_eq!((report.outcome, report.counts.seen), (Outcome::Completed, 20));
}

/// E1: what was handed out before the switch to the router is not begun after it.
#[tokio::test]
async fn e1_with_the_router_a_hint_is_stale() {
    let (stage, anna) = Stage::with_anna().await;
    stage.server.put(ANNA, "k1", plain("m1"));
    let email = stage.world.outgoing(anna, &["carla@kunde.example"]).await;
    stage.world.sql("UPDATE organisations SET process_email_using = 'email-router'").await;
    stage.handle(stage.hint(anna).await).await.unwrap();
    assert!(stage.reports().is_empty() && stage.emails().await == 1, "nothing was read");
    stage.send(email, 1).await;
    assert!(stage.server.given().is_empty());
    let state = stage.world.text("SELECT concat_ws(' ', state, attempt) FROM deliveries").await;
    assert_eq!(state, "pending 0", "and nothing was sent");
    stage.world.sql("UPDATE organisations SET process_email_using = 'server-side-synchronization'").await;
    assert_eq!(stage.run(anna).await.counts.tracked, 1);
    stage.send(email, 1).await;
    assert_eq!(stage.server.given().len(), 1);
}

/// C21: a report names the host.
#[tokio::test]
async fn c21_a_report_names_the_host() {
    let (stage, anna) = Stage::with_anna().await;
    assert_eq!(stage.run(anna).await.worker.as_deref(), Some("worker-1"));
}

/// What is logged, as lines of everything it holds.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("lockstep")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// C20: only the runs of the mailbox that is watched are logged in detail, from the next run on, and the detail holds
/// nothing of a message and no password.
#[tokio::test]
async fn c20_only_the_watched_mailbox_is_logged_in_detail() {
    let (stage, anna) = Stage::with_anna().await;
    let bert = stage.user("bert", TrackOption::All).await;
    let lines = Lines::default();
    let _logging = tracing::subscriber::set_default(lines.clone());
    let detail = |lines: Vec<String>| lines.into_iter().filter(|line| line.contains("detail:")).collect::<Vec<_>>();
    for (login, mailbox) in [("anna", anna), ("bert", bert)] {
        stage.server.put(&format!("{login}@muster.example"), "k1", plain(&format!("{login}-1")));
        stage.run(mailbox).await;
    }
    assert_eq!(detail(lines.taken()), Vec::<String>::new(), "nobody is watched");

    stage.world.sql(&format!("UPDATE mailboxes SET verbose_logging = 100 WHERE id = '{anna}'")).await;
    for (login, mailbox) in [("anna", anna), ("bert", bert)] {
        stage.server.put(&format!("{login}@muster.example"), "k2", plain(&format!("{login}-2")));
        stage.run(mailbox).await;
    }
    let of_receiving = detail(lines.taken());
    let said = |what: &str| of_receiving.iter().filter(|line| line.contains(what)).count();
    for what in ["a run begins", "asked for a session", "what is new was asked for", "an item was judged", "has ended"]
    {
        assert_eq!(said(what), 1, "{what}: {of_receiving:#?}");
    }
    assert!(of_receiving.iter().all(|line| line.contains(&anna.to_string())), "{of_receiving:#?}");
    assert!(said("tracked") >= 1 && said("k2") + said("6b32") >= 1, "{of_receiving:#?}");

    let email = stage.world.outgoing(anna, &["carla@kunde.example"]).await;
    stage.server.at(Call::Open, Action::Fail(lost()));
    stage.send(email, 1).await;
    let of_sending = detail(lines.taken());
    assert_eq!(of_sending.len(), 1, "{of_sending:#?}");
    assert!(of_sending[0].contains("retry") && of_sending[0].contains("ConnectionLost"), "{of_sending:#?}");
    for line in of_receiving.iter().chain(&of_sending) {
        for hidden in ["Guten Tag", "Anfrage", "stranger@", "carla@", ANNA, "secret", "geheim"] {
            assert!(!line.contains(hidden), "{hidden}: {line}");
        }
    }
}
