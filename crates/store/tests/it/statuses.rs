//! The statuses of an email in the database itself, whoever writes there.

use std::collections::BTreeSet;

use lockstep_model::{
    email::{Direction, EmailStatus},
    id::EmailId,
};
use lockstep_store::Error;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::seed::World;

/// The statuses an email of this direction can ever have, by the table of the code.
fn reachable(direction: Direction) -> BTreeSet<&'static str> {
    let first = match direction {
        Direction::Incoming => EmailStatus::Received,
        Direction::Outgoing => EmailStatus::Draft,
    };
    let (mut found, mut open) = (BTreeSet::from([first.as_str()]), vec![first]);
    while let Some(status) = open.pop() {
        let next = EmailStatus::ALL.iter().filter(|next| status.may_become(**next));
        open.extend(next.filter(|next| found.insert(next.as_str())));
    }
    found
}

/// The rule that refuses the statement, if one does.
async fn refusal(connection: &mut PgConnection, statement: String) -> Option<String> {
    match sqlx::query(AssertSqlSafe(statement)).execute(connection).await.map_err(Error::from) {
        Ok(done) => {
            assert_eq!(done.rows_affected(), 1);
            None
        }
        Err(Error::Rule { constraint }) => Some(constraint),
        Err(other) => panic!("{other}"),
    }
}

/// H1: each of the eight statuses, to each of the eight, in both directions: the database accepts what the code's table
/// accepts, refuses everything else under one name, and leaves a refused email as it was.
#[tokio::test]
async fn h1_the_database_knows_the_legal_transitions() {
    let world = World::new().await;
    let mut connection = world.pool().acquire().await.unwrap();
    let mut begun = BTreeSet::new();
    for direction in Direction::ALL {
        let reachable = reachable(*direction);
        for from in EmailStatus::ALL {
            for to in EmailStatus::ALL {
                let id = EmailId::new();
                let insert = format!(
                    "INSERT INTO emails (id, direction, status, created_at, updated_at)
                     VALUES ('{id}', '{direction}', '{from}', now(), now())"
                );
                let refused = refusal(&mut connection, insert).await;
                if !reachable.contains(from.as_str()) {
                    assert_eq!(refused.as_deref(), Some("emails_status_of_direction"), "{direction} {from}");
                    continue;
                }
                assert_eq!(refused, None, "{direction} {from}");
                begun.insert(from.as_str());
                let update = format!("UPDATE emails SET status = '{to}' WHERE id = '{id}'");
                let refused = refusal(&mut connection, update).await;
                let legal = from == to || from.may_become(*to);
                let seen = format!("{direction}: {from} to {to}");
                assert_eq!(refused.as_deref(), (!legal).then_some("emails_status_transition"), "{seen}");
                let now = world.text(&format!("SELECT status FROM emails WHERE id = '{id}'")).await;
                assert_eq!(now, if legal { to.as_str() } else { from.as_str() }, "{seen}");
            }
        }
    }
    assert_eq!(begun.len(), 8, "every status belongs to a direction");
}

/// H1: whoever writes by hand is told which step is refused.
#[tokio::test]
async fn h1_the_refusal_names_both_statuses() {
    let world = World::new().await;
    let insert = "INSERT INTO emails (id, direction, status, created_at, updated_at)
                  VALUES (gen_random_uuid(), 'outgoing', 'sent', now(), now())";
    world.sql(insert).await;
    let error = sqlx::query("UPDATE emails SET status = 'draft'").execute(world.pool()).await.unwrap_err();
    let told = error.as_database_error().unwrap();
    assert_eq!(told.message(), "an email with status sent cannot get status draft");
    assert_eq!(told.code().as_deref(), Some("23514"));
}
