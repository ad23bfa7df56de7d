//! Synchronisation filters: users' own, the system's, templates; and their answers against the engine's.

use chrono::{DateTime, TimeDelta, Utc};
use lockstep_engine::filter::{Seen, Viewer, passes};
use lockstep_model::{
    address::AddressKey,
    filter::{Attribute, Condition, Days, Expression, Order, OwnerTest, PeopleTest, Test, TextTest, Type},
    id::UserId,
    record::{Field, Fields, Importance, Invited, Kind, State, TaskStatus, Value as Of},
};
use lockstep_store::{
    access::Role,
    activities::{self, Activity},
    filters::{self, Question},
};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, World};

async fn as_user(world: &World, method: &str, path: &str, body: Option<Value>) -> Answer {
    world.call(Some(Role::User), method, path, body.as_ref(), &[]).await
}

fn by_subject(word: &str) -> Value {
    json!({ "attribute": "subject", "test": "contains", "value": word })
}

/// L2, L3: made, tried, changed, switched off and on, removed; nested groups give the set that the search gives.
#[tokio::test]
async fn l2_l3_a_filter_is_a_saved_search() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let task = async |subject: &str, importance: &str| {
        let body = json!({ "subject": subject, "importance": importance });
        as_user(&world, "POST", "/tasks", Some(body)).await.expect(201).id()
    };
    let (one, two) = (task("Offer for Köln", "high").await, task("Offer for Bonn", "low").await);
    let three = task("Lunch", "high").await;
    let expression = json!({ "all": [
        { "any": [by_subject("KÖLN"), by_subject("bonn")] },
        { "attribute": "importance", "test": "not-equals", "value": "low" },
    ] });
    let body = json!({ "record_kind": "task", "name": "Offers", "expression": expression });
    let made = as_user(&world, "POST", "/synchronization-filters", Some(body.clone())).await.expect(201);
    assert_eq!((&made.body["user_id"], &made.body["scope"]), (&json!(ann), &json!("user")));
    let path = format!("/synchronization-filters/{}", made.id());
    let tried = async || {
        let found = as_user(&world, "GET", &format!("{path}/records"), None).await.expect(200).body;
        found["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(tried().await, [one.as_str()]);
    let wider = json!({ "expression": { "any": [by_subject("offer"), by_subject("lunch")] }, "active": false });
    let changed = as_user(&world, "PATCH", &path, Some(wider.clone())).await.expect(200);
    assert_eq!((&changed.body["active"], changed.etag().as_str()), (&json!(false), "\"2\""));
    assert_eq!(as_user(&world, "PATCH", &path, Some(wider)).await.expect(200).etag(), "\"2\"", "the same again");
    assert_eq!(tried().await, [one, two, three], "tried also while it is switched off");
    as_user(&world, "POST", "/synchronization-filters", Some(body)).await.expect(409);
    as_user(&world, "DELETE", &path, None).await.expect(204);
    as_user(&world, "GET", &path, None).await.expect(404);
}

/// L4: of several filters one suffices, and without one nothing passes. L6: those of the system count for everybody.
#[tokio::test]
async fn l4_l6_the_union_counts() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    for subject in ["a", "b", "c"] {
        as_user(&world, "POST", "/letters", Some(json!({ "subject": subject }))).await.expect(201);
    }
    let count = async || {
        let mut tx = world.store.begin().await.unwrap();
        let user = UserId(ann.parse().unwrap());
        let in_force = filters::in_force(&mut tx, user, Kind::Letter).await.unwrap();
        let question = Question { user, kind: Kind::Letter, filters: &in_force, among: None, after: None, limit: 100 };
        filters::passing(&mut tx, question).await.unwrap().len()
    };
    assert_eq!(count().await, 3, "the default filter");
    let own = as_user(&world, "GET", "/synchronization-filters?record_kind=letter", None).await.expect(200).body;
    let default = format!("/synchronization-filters/{}", own["items"][0]["id"].as_str().unwrap());
    as_user(&world, "PATCH", &default, Some(json!({ "active": false }))).await.expect(200);
    assert_eq!(count().await, 0);
    for word in ["a", "b"] {
        let body = json!({ "record_kind": "letter", "name": word, "expression": by_subject(word) });
        as_user(&world, "POST", "/synchronization-filters", Some(body)).await.expect(201);
    }
    assert_eq!(count().await, 2);
    let system = json!({ "scope": "system", "record_kind": "letter", "name": "c", "expression": by_subject("c") });
    as_user(&world, "POST", "/synchronization-filters", Some(system.clone())).await.expect(403);
    let system = world.post("/synchronization-filters", system).await.expect(201).id();
    assert_eq!(count().await, 3);
    let path = format!("/synchronization-filters/{system}");
    as_user(&world, "GET", &path, None).await.expect(200);
    as_user(&world, "PATCH", &path, Some(json!({ "active": false }))).await.expect(403);
    as_user(&world, "DELETE", &path, None).await.expect(403);
}

/// L5: new users get the default template of each kind, existing ones keep what they have. L7: a reset brings the
/// defaults back, and a template can be given to users.
#[tokio::test]
async fn l5_l7_templates() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let names = async |user: &str, kind: &str| {
        let listed =
            world.get(&format!("/synchronization-filters?user={user}&record_kind={kind}")).await.expect(200).body;
        let names = listed["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(&ann, "contact").await, ["My contacts"]);
    let body = json!({ "scope": "template", "record_kind": "contact", "name": "Customers", "is_default": true,
        "expression": { "attribute": "email_1", "test": "not-empty" } });
    let template = world.post("/synchronization-filters", body).await.expect(201).id();
    let templates = world.get("/synchronization-filters?scope=template&record_kind=contact").await.expect(200).body;
    let defaults: Vec<_> = templates["items"].as_array().unwrap().iter().map(|item| &item["is_default"]).collect();
    assert_eq!(defaults.iter().filter(|default| ***default == json!(true)).count(), 1, "{templates}");
    let (bob, _) = world.user("bob").await;
    assert_eq!(names(&bob, "contact").await, ["Customers"]);
    assert_eq!(names(&ann, "contact").await, ["My contacts"], "a template touches no existing user");
    let users = json!({ "user_ids": [ann, bob] });
    let made = world.post(&format!("/synchronization-filters/{template}/apply"), users).await.expect(200).body;
    assert_eq!(made["made"], 1, "bob has it");
    assert_eq!(names(&ann, "contact").await, ["Customers", "My contacts"]);
    as_user(&world, "POST", "/synchronization-filters/reset", Some(json!({ "user_ids": [bob] }))).await.expect(403);
    as_user(&world, "POST", "/synchronization-filters/reset", Some(json!({ "user_ids": [ann] }))).await.expect(204);
    assert_eq!(names(&ann, "contact").await, ["Customers"]);
    assert_eq!(names(&ann, "task").await, ["My open tasks"]);
    let own =
        world.get(&format!("/synchronization-filters?user={ann}")).await.expect(200).body["items"][0]["id"].clone();
    let path = format!("/synchronization-filters/{}/apply", own.as_str().unwrap());
    world.post(&path, json!({ "user_ids": [ann] })).await.expect(409);
    world.post("/synchronization-filters/reset", json!({ "user_ids": [] })).await.expect(422);
    world.post("/synchronization-filters/reset", json!({ "user_ids": [Uuid::nil()] })).await.expect(422);
}

/// L9: what the user may no longer read passes no filter; a withheld field is not asked for, and never holds.
#[tokio::test]
async fn l9_rights_narrow_filters() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let task = as_user(&world, "POST", "/tasks", Some(json!({ "subject": "Offer" }))).await.expect(201).id();
    let body = json!({ "record_kind": "task", "name": "All", "expression": { "all": [] } });
    let all = as_user(&world, "POST", "/synchronization-filters", Some(body)).await.expect(201).id();
    let body = json!({ "record_kind": "task", "name": "Offers", "expression": by_subject("offer") });
    let offers = as_user(&world, "POST", "/synchronization-filters", Some(body.clone())).await.expect(201).id();
    let count = async |id: &str| {
        let found = world.get(&format!("/synchronization-filters/{id}/records")).await.expect(200).body;
        found["items"].as_array().unwrap().len()
    };
    assert_eq!((count(&all).await, count(&offers).await), (1, 1));
    world.call(Some(Role::Administrator), "PUT", "/secured-fields/task/subject", None, &[]).await.expect(204);
    assert_eq!((count(&all).await, count(&offers).await), (1, 0));
    let named = json!({ "record_kind": "task", "name": "More", "expression": by_subject("x") });
    let refused = as_user(&world, "POST", "/synchronization-filters", Some(named)).await.expect(403);
    assert_eq!(refused.complaints(), [("subject".into(), "not-permitted".into())]);
    let other = world.user("bob").await.0;
    world.patch(&format!("/tasks/{task}"), json!({ "owner_user_id": other })).await.expect(200);
    assert_eq!(count(&all).await, 0);
    let elsewhere = format!("/synchronization-filters/{all}/records?user={other}");
    world.get(&elsewhere).await.expect(422);
    let _ = ann;
}

/// What is wrong is told by its place in the expression.
#[tokio::test]
async fn bad_expressions_are_refused_by_place() {
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    let mut deep = by_subject("x");
    for _ in 0..9 {
        deep = json!({ "all": [deep] });
    }
    let condition =
        |attribute: &str, test: &str, value: Value| json!({ "attribute": attribute, "test": test, "value": value });
    let cases = [
        (json!([]), "expression", "a JSON object"),
        (json!({}), "expression.attribute", "missing"),
        (json!({ "all": {} }), "expression.all", "a list"),
        (json!({ "all": [], "any": [] }), "expression.any", "no such member"),
        (json!({ "any": [condition("colour", "equals", json!("x"))] }), "expression.any.0.attribute", "subject"),
        (condition("subject", "matches", json!("x")), "expression.test", "begins-with"),
        (condition("subject", "equals", json!("")), "expression.value", "some text"),
        (condition("state", "equals", json!("done")), "expression.value", "open, completed, canceled"),
        (condition("due_date", "below", json!("soon")), "expression.value", "2027-03-31T09:00:00Z"),
        (condition("due_date", "since-days", json!(-1)), "expression.value", "0 to"),
        (condition("percent_complete", "above", json!("50")), "expression.value", "0 to 100"),
        (condition("owner", "equals", json!("me")), "expression.value", "id of a user"),
        (condition("owner", "current-user", json!("me")), "expression.value", "no such member"),
        (condition("party", "current-user", json!(null)), "expression.attribute", "one of"),
        (json!({ "attribute": "subject", "test": "equals" }), "expression", "value"),
        (json!({ "attribute": "subject", "test": "equals", "values": [] }), "expression.values", "at least one"),
        (deep, "expression.all.0.all.0.all.0.all.0.all.0.all.0.all.0.all.0", "8 levels"),
        (json!({ "all": vec![json!({ "all": vec![by_subject("x"); 60] }); 2] }), "expression", "100 conditions"),
    ];
    for (expression, field, words) in cases {
        let body = json!({ "user_id": ann, "record_kind": "task", "name": "n", "expression": expression });
        let refused = world.post("/synchronization-filters", body).await.expect(422);
        let error = &refused.body["errors"][0];
        assert_eq!(error["field"], field, "{expression}: {}", refused.body);
        assert!(error["remedy"].as_str().unwrap().contains(words), "{expression}: {}", refused.body);
    }
    let body = |more: Value| {
        let mut body = json!({ "user_id": ann, "record_kind": "task", "name": "n", "expression": { "all": [] } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    for (more, field) in [
        (json!({ "scope": "team" }), "scope"),
        (json!({ "record_kind": "email" }), "record_kind"),
        (json!({ "user_id": null }), "user_id"),
        (json!({ "scope": "system" }), "user_id"),
        (json!({ "is_default": true }), "is_default"),
        (json!({ "name": "" }), "name"),
    ] {
        let refused = world.post("/synchronization-filters", body(more.clone())).await.expect(422);
        assert_eq!(refused.complaints()[0].0, field, "{more}");
    }
    let made = world.post("/synchronization-filters", body(json!({}))).await.expect(201).id();
    let moved =
        world.patch(&format!("/synchronization-filters/{made}"), json!({ "record_kind": "fax" })).await.expect(422);
    assert_eq!(moved.complaints(), [("record_kind".into(), "fixed".into())]);
}

const SUBJECTS: &[&str] = &["Offer", "offer two", "Lunch", "an OFFER", "x"];
const PEOPLE: &[&str] = &["ann@example.test", "bob@x.test", "cem@x.test"];

fn instant(now: DateTime<Utc>) -> impl Strategy<Value = DateTime<Utc>> + Clone {
    (-40..40_i64).prop_map(move |half_days| now + TimeDelta::hours(12 * half_days))
}

fn condition(kind: Kind, now: DateTime<Utc>, owners: Vec<Uuid>) -> impl Strategy<Value = Expression> {
    prop::sample::select(Attribute::of(kind)).prop_flat_map(move |attribute| {
        let orders = [Order::Equals, Order::NotEquals, Order::Below, Order::AtMost, Order::Above, Order::AtLeast];
        let order = prop::sample::select(orders.to_vec());
        let of_type: BoxedStrategy<Test> = match attribute.kind_of_test(kind) {
            Type::Text => {
                let tests = [
                    TextTest::Equals,
                    TextTest::NotEquals,
                    TextTest::Contains,
                    TextTest::NotContains,
                    TextTest::BeginsWith,
                    TextTest::EndsWith,
                ];
                let values = prop::collection::vec(prop::sample::select(SUBJECTS).prop_map(str::to_owned), 1..3);
                (prop::sample::select(tests.to_vec()), values)
                    .prop_map(|(test, values)| Test::Text(test, values))
                    .boxed()
            }
            Type::Number => (order, 0..=100_i64).prop_map(|(order, number)| Test::Number(order, number)).boxed(),
            Type::Date => (order, instant(now)).prop_map(|(order, at)| Test::Date(order, at.date_naive())).boxed(),
            Type::Instant => {
                let days = prop::sample::select(vec![Days::Last, Days::Next, Days::OlderThan, Days::Since]);
                prop_oneof![
                    (order, instant(now)).prop_map(|(order, at)| Test::Instant(order, at)),
                    (days, 0..20_u32).prop_map(|(days, count)| Test::Days(days, count)),
                ]
                .boxed()
            }
            Type::Word(words) => (any::<bool>(), prop::sample::subsequence(words.to_vec(), 1..=words.len()))
                .prop_map(|(one_of, words)| Test::Word(one_of, words))
                .boxed(),
            Type::Owner => {
                let id = prop::sample::select(owners.clone());
                prop_oneof![
                    Just(Test::Owner(OwnerTest::CurrentUser)),
                    Just(Test::Owner(OwnerTest::CurrentUsersTeams)),
                    id.clone().prop_map(|id| Test::Owner(OwnerTest::Is(id))),
                    id.prop_map(|id| Test::Owner(OwnerTest::IsNot(id))),
                ]
                .boxed()
            }
            Type::People => prop_oneof![
                Just(Test::People(PeopleTest::CurrentUser)),
                prop::sample::select(PEOPLE)
                    .prop_map(|address| Test::People(PeopleTest::Address(AddressKey::of(address).unwrap()))),
            ]
            .boxed(),
        };
        prop_oneof![6 => of_type, 1 => Just(Test::Empty), 1 => Just(Test::NotEmpty)]
            .prop_map(move |test| Expression::Condition(Condition { attribute, test }))
    })
}

fn expression(kind: Kind, now: DateTime<Utc>, owners: Vec<Uuid>) -> impl Strategy<Value = Expression> {
    condition(kind, now, owners).prop_recursive(3, 12, 3, |inner| {
        let group = prop::collection::vec(inner, 0..3);
        prop_oneof![group.clone().prop_map(Expression::All), group.prop_map(Expression::Any)]
    })
}

fn activity(kind: Kind, now: DateTime<Utc>, owners: Vec<Uuid>) -> impl Strategy<Value = Activity> {
    let people = prop::collection::vec(prop::sample::select(PEOPLE), 0..3);
    let some = prop::option::of(instant(now));
    (
        prop::option::of(prop::sample::select(SUBJECTS)),
        prop::option::of(prop::sample::select(Importance::ALL)),
        prop::option::of(prop::sample::select(TaskStatus::ALL)),
        prop::option::of(0..=100_u8),
        some.clone(),
        some,
        people.clone(),
        people,
        prop::sample::select(State::ALL.to_vec()),
        prop::option::of(0..owners.len()),
    )
        .prop_map(
            move |(subject, importance, status, percent, starts_at, ends_at, required, optional, state, owner)| {
                let mut fields = Fields::default();
                let mut put = |field, value: Option<Of>| {
                    let _ = value.map(|value| fields.set(field, value));
                };
                put(Field::Subject, subject.map(|subject| Of::Text(subject.to_owned())));
                put(Field::Importance, importance.map(Of::Importance));
                if kind == Kind::Task {
                    put(Field::Status, status.map(Of::TaskStatus));
                    put(Field::PercentComplete, percent.map(Of::Percent));
                    put(Field::DueDate, ends_at.map(Of::Instant));
                } else {
                    let invited = |people: Vec<&str>| {
                        let mut invited = Invited::default();
                        people.iter().for_each(|address| invited.add(AddressKey::of(address).unwrap(), ""));
                        Some(Of::People(invited))
                    };
                    put(Field::RequiredAttendees, invited(required));
                    put(Field::OptionalAttendees, invited(optional));
                }
                // The last owner is a team.
                let team = owner.is_some_and(|owner| owner + 1 == owners.len());
                let owner = owner.map(|owner| owners[owner]);
                Activity {
                    id: Uuid::nil(),
                    kind,
                    source: None,
                    external_id: None,
                    owner_user_id: owner.filter(|_| !team),
                    owner_team_id: owner.filter(|_| team),
                    state,
                    draft: false,
                    regarding_kind: None,
                    regarding_id: None,
                    fields,
                    starts_at,
                    ends_at,
                    version: 0,
                    created_at: now,
                    updated_at: now,
                }
            },
        )
}

/// L3: the database and the engine give the same set, whatever the records and the expression.
#[tokio::test]
async fn l3_the_database_and_the_engine_agree() {
    const RECORDS: usize = 60;
    const EXPRESSIONS: usize = 400;
    let world = World::new().await;
    let (ann, _) = world.user("ann").await;
    let (bob, _) = world.user("bob").await;
    let team = world.post("/teams", json!({ "name": "Sales" })).await.expect(201).id();
    let admin = Some(Role::Administrator);
    world.call(admin, "PUT", &format!("/teams/{team}/members/{ann}"), None, &[]).await.expect(204);
    let kinds = [Kind::Task, Kind::Appointment];
    let privileges: Vec<_> =
        kinds.iter().map(|kind| json!({ "record_kind": kind.name(), "privilege": "read", "depth": "all" })).collect();
    let role = world.post("/security-roles", json!({ "name": "all", "privileges": privileges })).await.expect(201).id();
    world.call(admin, "PUT", &format!("/users/{ann}/security-roles/{role}"), None, &[]).await.expect(204);
    let [ann, bob, team] = [ann, bob, team].map(|id| id.parse::<Uuid>().unwrap());
    let now = world.store.begin().await.unwrap().now();
    let mut runner = TestRunner::new(Config::default());
    for kind in kinds {
        let mut made = Vec::new();
        let mut tx = world.store.begin().await.unwrap();
        for _ in 0..RECORDS {
            let record = activity(kind, now, vec![ann, bob, team]).new_tree(&mut runner).unwrap().current();
            made.push(activities::create(&mut tx, record, &[], "test").await.unwrap());
        }
        tx.commit().await.unwrap();
        let mut found = 0;
        for _ in 0..EXPRESSIONS {
            let tried = expression(kind, now, vec![ann, bob, team]).new_tree(&mut runner).unwrap().current();
            assert_eq!(filters::read(kind, &filters::write(&tried)), Ok(tried.clone()), "it is written and read back");
            let mut tx = world.store.begin().await.unwrap();
            let viewer =
                Viewer { user: ann, teams: vec![team], address: AddressKey::of("ann@example.test"), now: tx.now() };
            let question = Question {
                user: UserId(ann),
                kind,
                filters: std::slice::from_ref(&tried),
                among: None,
                after: None,
                limit: 1000,
            };
            let of_database = filters::passing(&mut tx, question).await.unwrap();
            let of_engine = made.iter().filter(|record| {
                let seen = Seen {
                    state: record.state.name(),
                    owner: record.owner_user_id.or(record.owner_team_id),
                    created_at: record.created_at,
                    updated_at: record.updated_at,
                    starts_at: record.starts_at,
                    ends_at: record.ends_at,
                    fields: &record.fields,
                };
                passes(&tried, &seen, &viewer)
            });
            assert_eq!(of_database, of_engine.map(|record| record.id).collect::<Vec<_>>(), "{tried:?}");
            found += of_database.len();
        }
        assert!(found > EXPRESSIONS, "some pass: {found}");
        assert!(found < EXPRESSIONS * RECORDS * 9 / 10, "and some do not: {found}");
    }
}
