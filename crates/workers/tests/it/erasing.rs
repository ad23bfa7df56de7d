//! Erasing a person outside: nothing of them is left anywhere in the database, and nothing of them comes back.

use lockstep_model::{email::EmailStatus, id::OperationId};
use lockstep_queue::Outcome as Settled;
use serde_json::{Value, json};

use crate::stage::{ANNA, Stage, mail};

const KUNDIN: &str = "kundin@privat.example";

/// Every column of every table, as text: which table names the person, in how many rows.
async fn places(stage: &Stage) -> Vec<String> {
    let tables = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'r' AND n.nspname = 'public' ORDER BY 1";
    let mut found = Vec::new();
    for table in stage.world.texts(tables).await {
        let query = format!("SELECT count(*) FROM {table} AS t WHERE position('{KUNDIN}' IN lower(t::text)) > 0");
        let rows = stage.world.number(&query).await;
        if rows > 0 {
            found.push(format!("{table} {rows}"));
        }
    }
    found
}

async fn ask(stage: &Stage, emails: &str) -> OperationId {
    let mut tx = stage.world.store.begin().await.unwrap();
    let arguments = json!({ "address_key": KUNDIN, "emails": emails });
    let id = lockstep_store::operations::create(&mut tx, "erase-person", &arguments, "anna").await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// Received and sent emails, a contact and a lead, and every other place that can name them.
async fn filled() -> (Stage, lockstep_model::id::MailboxId) {
    let (stage, anna) = Stage::with_anna().await;
    stage.world.contact("Kundin", KUNDIN).await;
    stage.server.put(ANNA, "k0", mail("m0", "Kundin <Kundin@privat.example>", ANNA, "", "von ihr"));
    stage.server.put(ANNA, "k1", mail("m1", "other@firma.example", &format!("{ANNA}, {KUNDIN}"), "", "an beide"));
    stage.server.put(ANNA, "k2", mail("m2", "other@firma.example", ANNA, "", "nicht von ihr"));
    stage.run(anna).await;
    assert_eq!(stage.emails().await, 3);
    let sent = stage.world.outgoing(anna, &[KUNDIN, "other@firma.example"]).await;
    let waiting = stage.world.outgoing(anna, &[KUNDIN]).await;
    let now = lockstep_model::clock::Clock::now(&*stage.world.clock);
    stage.world.reach(sent, EmailStatus::Sent).await;
    stage
        .world
        .sql(&format!(
            "UPDATE email_parties SET address_key = address WHERE address_key IS NULL;
             UPDATE deliveries SET state = 'sent', reply = '250 ok {KUNDIN}' WHERE email_id = '{sent}';
             INSERT INTO alerts (id, key, code, severity, scope, email_id, parameters, first_at, last_at)
                 VALUES (gen_random_uuid(), 'k', 'X', 'error', 'item', '{waiting}', '{{\"to\": \"{KUNDIN}\"}}', '{now}', '{now}');
             INSERT INTO idempotency_keys VALUES ('k', 'caller', '', 201, '{{\"address\": \"{KUNDIN}\"}}', '{now}');
             INSERT INTO operations (id, kind, state, result, due_at, requested_by, created_at, ended_at)
                 VALUES (gen_random_uuid(), 'x', 'failed', '{{\"m\": \"no {KUNDIN}\"}}', '{now}', 'a', '{now}', '{now}');
             INSERT INTO people (id, kind, name, fields, created_at, updated_at)
                 VALUES (gen_random_uuid(), 'contact', 'Kunda Kundin', '{{\"email_3\": \"{KUNDIN}\"}}', '{now}', '{now}');
             INSERT INTO activities (id, kind, fields, created_at, updated_at)
                 VALUES ('01930000-0000-7000-8000-000000000999', 'recurring-appointment',
                     '{{\"subject\": \"Jour fixe\", \"required_attendees\": [{{\"address\": \"{KUNDIN}\", \"name\": \"K\"}},
                        {{\"address\": \"bert@muster.example\"}}], \"recurrence\": {{\"exceptions\": [{{\"fields\":
                        {{\"optional_attendees\": [{{\"address\": \"{KUNDIN}\"}}]}}}}]}}}}', '{now}', '{now}');
             INSERT INTO synchronization_filters (id, scope, record_kind, name, expression, created_at, updated_at) VALUES
                 ('01930000-0000-7000-8000-000000000801', 'system', 'appointment', 'Without {KUNDIN}',
                     '{{\"all\": [{{\"attribute\": \"party\", \"test\": \"equals\", \"value\": \"{KUNDIN}\"}}]}}', '{now}', '{now}'),
                 ('01930000-0000-7000-8000-000000000802', 'template', 'task', 'Tasks',
                     '{{\"all\": [{{\"attribute\": \"subject\", \"test\": \"contains\", \"values\": [\"Offer\", \"Kunda Kundin\"]}}]}}',
                     '{now}', '{now}'),
                 ('01930000-0000-7000-8000-000000000803', 'system', 'task', 'Others',
                     '{{\"all\": [{{\"attribute\": \"subject\", \"test\": \"contains\", \"value\": \"Kundin\"}}]}}', '{now}', '{now}');
             INSERT INTO activity_parties (activity_id, role, address_key)
                 VALUES ('01930000-0000-7000-8000-000000000999', 'required', '{KUNDIN}');
             INSERT INTO remote_items (mailbox_id, remote_key, disposition, reason, detail, seen_at)
                 VALUES ('{anna}', 'k9', 'refused', 'X', 'from {KUNDIN}', '{now}');
             INSERT INTO links (id, mailbox_id, record_kind, record_id, remote_key, crm_fields, server_fields, settled_record,
                     settled_remote, created_at, updated_at)
                 SELECT gen_random_uuid(), '{anna}', 'contact', id, id::text::bytea, '{{\"email_1\": \"{KUNDIN}\"}}',
                     '{{\"email_1\": \"{KUNDIN}\"}}', 1, 'a', '{now}', '{now}' FROM people;
             INSERT INTO intents (id, mailbox_id, run, stored_at, record_kind, record_id, step, planned, lost)
                 SELECT gen_random_uuid(), '{anna}', gen_random_uuid(), '{now}', 'contact', id, 'create',
                     '{{\"email_1\": \"{KUNDIN}\"}}', '[[\"email_1\", \"{KUNDIN}\"]]' FROM people;
             INSERT INTO item_retries (mailbox_id, folder, record_kind, record_id, remote_key, attempts, code, message)
                 SELECT '{anna}'::uuid, 'contacts', 'contact', id, NULL::bytea, 1, 'X', 'no {KUNDIN}' FROM people
                 UNION ALL SELECT '{anna}', 'contacts', NULL, NULL, 'k8'::bytea, 1, 'X', 'no {KUNDIN}';
             INSERT INTO lost_values (id, mailbox_id, record_kind, record_id, field, side, value, lost_at)
                 SELECT gen_random_uuid(), '{anna}'::uuid, 'contact', id, 'email_2', 'crm', '\"{KUNDIN}\"'::jsonb, '{now}'::timestamptz
                     FROM people
                 UNION ALL SELECT gen_random_uuid(), '{anna}', 'task', gen_random_uuid(), 'subject', 'server',
                     '\"Call {KUNDIN}\"', '{now}'"
        ))
        .await;
    (stage, anna)
}

/// What waited to be sent is sent.
async fn send_all(stage: &Stage) {
    for (from, to) in [("pending-send", "sending"), ("sending", "sent")] {
        stage.world.sql(&format!("UPDATE emails SET status = '{to}' WHERE status = '{from}'")).await;
    }
}

const ALL: [&str; 15] = [
    "activities 1",
    "activity_parties 1",
    "alerts 1",
    "delivery_recipients 2",
    "deliveries 1",
    "email_parties 4",
    "idempotency_keys 1",
    "intents 2",
    "item_retries 3",
    "links 2",
    "lost_values 3",
    "operations 2",
    "people 2",
    "remote_items 1",
    "synchronization_filters 1",
];

fn sorted(mut places: Vec<String>) -> Vec<String> {
    places.sort();
    places
}

/// Everything goes except what is being sent; that goes when it is asked for again after it was sent. A message whose
/// email was erased stays on the server, and is not read again.
#[tokio::test]
async fn nothing_of_a_person_is_left() {
    let (stage, anna) = filled().await;
    let operation = ask(&stage, "delete").await;
    assert_eq!(sorted(places(&stage).await), sorted(ALL.map(str::to_owned).to_vec()));
    assert_eq!(stage.operate(operation, 1).await, Settled::Done);
    let result = "SELECT result FROM operations WHERE kind = 'erase-person' ORDER BY created_at DESC, id DESC LIMIT 1";
    let told: Value = serde_json::from_str(&stage.world.text(result).await).unwrap();
    let erased = json!({ "people": 2, "activities": 1, "filters": 2, "emails": 3, "alerts": 1, "answers": 1, "operations": 1, "item_details": 1, "kept_values": 2 });
    assert_eq!(told, json!({ "erased": erased, "emails_being_sent": 1 }));
    assert_eq!(sorted(places(&stage).await), ["delivery_recipients 1", "email_parties 1"], "being sent");
    let left = "SELECT concat_ws(' ', name, expression#>>'{all,0,attribute}', expression#>>'{all,0,test}',
             expression#>>'{all,0,values}', version) FROM synchronization_filters ORDER BY id";
    let unnamed = "Erased 01930000-0000-7000-8000-000000000801";
    let left = stage.world.texts(left).await;
    assert_eq!(left[0], format!("{unnamed} created_at empty 2"), "it passes nothing, where it passed the person's");
    assert_eq!(left[1], "Tasks subject contains [\"Offer\"] 2", "the other value stays");
    assert_eq!(left[2], "Others subject contains 1", "a single word may be anybody's");
    let told_of = "SELECT array_to_string(fields, ' ') FROM feed_entries WHERE record_kind = 'synchronization-filter' ORDER BY record_id";
    assert_eq!(stage.world.texts(told_of).await, ["name expression", "expression"]);
    let gone = "SELECT record_kind FROM feed_entries WHERE change = 'deleted' ORDER BY 1";
    assert_eq!(stage.world.texts(gone).await, ["contact", "contact", "email", "email", "email"]);
    let noted = "SELECT count(*) FROM audit_entries WHERE action = 'deleted' AND actor = 'anna'";
    assert_eq!(stage.world.number(noted).await, 5);
    assert_eq!(stage.items(anna).await, ["k0 refused Erased", "k1 refused Erased", "k2 tracked", "k9 refused X"]);

    stage.run(anna).await;
    assert_eq!(stage.emails().await, 2, "what is left, and nothing that came back");
    send_all(&stage).await;
    let again = ask(&stage, "delete").await;
    stage.operate(again, 1).await;
    assert_eq!(places(&stage).await, Vec::<String>::new());
    assert_eq!(stage.emails().await, 1);
}

/// Emails may stay without the person.
#[tokio::test]
async fn emails_can_stay_without_the_person() {
    let (stage, anna) = filled().await;
    send_all(&stage).await;
    let operation = ask(&stage, "anonymise").await;
    stage.operate(operation, 1).await;
    assert_eq!(places(&stage).await, Vec::<String>::new());
    assert_eq!(stage.emails().await, 5);
    let parties =
        "SELECT concat_ws(' ', role, name, address) FROM email_parties WHERE address LIKE 'erased%' ORDER BY 1";
    let nobody = [
        "from erased@erased.invalid",
        "to erased@erased.invalid",
        "to erased@erased.invalid",
        "to erased@erased.invalid",
    ];
    assert_eq!(stage.world.texts(parties).await, nobody.map(|p| p.replacen(' ', "  ", 1)));
    assert_eq!(stage.world.number("SELECT count(*) FROM feed_entries WHERE fields = '{parties}'").await, 4);
    stage.run(anna).await;
    assert_eq!(stage.emails().await, 5);
}

/// A run that died in between is done again; somebody else's progress is not overwritten.
#[tokio::test]
async fn a_run_goes_on_where_another_one_died() {
    let (stage, _) = filled().await;
    let operation = ask(&stage, "delete").await;
    stage
        .world
        .sql(
            "UPDATE operations SET position = '{\"stage\": \"emails\", \"erased\": {\"people\": 7, \"emails\": 2,
              \"alerts\": 0, \"answers\": 0, \"operations\": 0, \"item_details\": 0}}' WHERE kind = 'erase-person'",
        )
        .await;
    stage.operate(operation, 1).await;
    let result = stage.world.text("SELECT result->'erased' FROM operations WHERE kind = 'erase-person'").await;
    let told: Value = serde_json::from_str(&result).unwrap();
    assert_eq!((&told["people"], &told["emails"]), (&json!(7), &json!(5)));
    assert_eq!(stage.operate(operation, 1).await, Settled::Done, "a hint that comes again is stale");
}
