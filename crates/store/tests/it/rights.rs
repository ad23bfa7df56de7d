//! What users may do: the SQL predicate against tables, against a model of it, and in the plans of lists.

use lockstep_model::id::{PersonId, UserId};
use lockstep_store::{
    emails::{self, Filter},
    incoming, people,
    rights::{self, Depth, Kind, Ownership, Privilege},
    security_roles::{self, Granted, GrantedField, Holder, SecurityRole},
    teams::{self, Team},
    users,
};
use sqlx::Row;
use uuid::Uuid;

use crate::seed::World;

async fn user(world: &World, name: &str) -> UserId {
    let mut tx = world.store.begin().await.unwrap();
    let address = format!("{name}@muster.example");
    let user = users::User {
        id: Uuid::nil(),
        source: None,
        external_id: None,
        name: name.to_owned(),
        address: address.clone(),
        address_key: address,
        active: true,
        track_option: "in-response".to_owned(),
        auto_create: "off".to_owned(),
        allow_send_on_behalf: false,
        time_zone: None,
        version: 0,
        created_at: tx.now(),
        updated_at: tx.now(),
    };
    let made = users::create(&mut tx, user, &[], "test").await.unwrap();
    tx.commit().await.unwrap();
    UserId(made.id)
}

async fn team(world: &World, name: &str, members: &[UserId]) -> Uuid {
    let mut tx = world.store.begin().await.unwrap();
    let team = Team {
        id: Uuid::nil(),
        name: name.to_owned(),
        description: String::new(),
        security_role_ids: Vec::new(),
        version: 0,
        created_at: tx.now(),
        updated_at: tx.now(),
    };
    let team = teams::create(&mut tx, team, &[], "test").await.unwrap().id;
    for member in members {
        assert!(teams::admit(&mut tx, team, *member, "test").await.unwrap());
    }
    tx.commit().await.unwrap();
    team
}

fn grant(kind: Kind, privilege: Privilege, depth: Depth) -> Granted {
    Granted {
        record_kind: kind.as_str().to_owned(),
        privilege: privilege.as_str().to_owned(),
        depth: depth.as_str().to_owned(),
    }
}

async fn role(world: &World, name: &str, privileges: Vec<Granted>, fields: Vec<GrantedField>) -> Uuid {
    let mut tx = world.store.begin().await.unwrap();
    let role = SecurityRole {
        id: Uuid::nil(),
        name: name.to_owned(),
        description: String::new(),
        privileges,
        fields,
        version: 0,
        created_at: tx.now(),
        updated_at: tx.now(),
    };
    let made = security_roles::create(&mut tx, role, "test").await.unwrap();
    tx.commit().await.unwrap();
    made.id
}

async fn give(world: &World, role: Uuid, holder: Holder) {
    let mut tx = world.store.begin().await.unwrap();
    security_roles::give(&mut tx, role, holder, "test").await.unwrap();
    tx.commit().await.unwrap();
}

async fn may(world: &World, actor: UserId, privilege: Privilege, owner: Ownership) -> bool {
    let mut tx = world.store.begin().await.unwrap();
    rights::may(&mut tx, actor, Kind::Email, privilege, owner).await.unwrap()
}

fn of_team(team: Uuid) -> Ownership {
    Ownership { user: None, team: Some(team) }
}

/// Each depth against each owner: oneself, one's team, who is in it, somebody else, another team, nobody.
#[tokio::test]
async fn depth_by_depth_and_owner_by_owner() {
    let world = World::new().await;
    world.sql("UPDATE organisations SET default_security_role_id = NULL").await;
    let (ann, fellow, other) = (user(&world, "ann").await, user(&world, "fellow").await, user(&world, "other").await);
    let (ours, theirs) = (team(&world, "ours", &[ann, fellow]).await, team(&world, "theirs", &[other]).await);
    let owners = [
        Ownership::of_user(ann),
        of_team(ours),
        Ownership::of_user(fellow),
        Ownership::of_user(other),
        of_team(theirs),
        Ownership::default(),
    ];
    for (depth, expected) in [
        (Depth::Own, [true, true, false, false, false, false]),
        (Depth::Team, [true, true, true, false, false, false]),
        (Depth::All, [true; 6]),
    ] {
        let held = role(&world, depth.as_str(), vec![grant(Kind::Email, Privilege::Read, depth)], Vec::new()).await;
        for owner in owners {
            assert!(!may(&world, ann, Privilege::Read, owner).await, "before: {owner:?}");
        }
        give(&world, held, Holder::User(ann)).await;
        for (owner, expected) in owners.into_iter().zip(expected) {
            assert_eq!(may(&world, ann, Privilege::Read, owner).await, expected, "{depth:?} {owner:?}");
            assert!(!may(&world, ann, Privilege::Write, owner).await, "one privilege is not another: {owner:?}");
            assert!(!may(&world, fellow, Privilege::Read, owner).await, "nor one user another: {owner:?}");
        }
        let mut tx = world.store.begin().await.unwrap();
        assert!(security_roles::take(&mut tx, held, Holder::User(ann), "test").await.unwrap());
        assert!(!security_roles::take(&mut tx, held, Holder::User(ann), "test").await.unwrap());
        tx.commit().await.unwrap();
    }
}

/// A team's role is its members', as if it were their own; the furthest of several depths counts; an inactive user has
/// nothing.
#[tokio::test]
async fn roles_come_through_teams_and_end_with_activity() {
    let world = World::new().await;
    world.sql("UPDATE organisations SET default_security_role_id = NULL").await;
    let (ann, bob) = (user(&world, "ann").await, user(&world, "bob").await);
    let ours = team(&world, "ours", &[ann]).await;
    let near = role(&world, "near", vec![grant(Kind::Email, Privilege::Read, Depth::Own)], Vec::new()).await;
    let far = role(&world, "far", vec![grant(Kind::Email, Privilege::Read, Depth::All)], Vec::new()).await;
    give(&world, near, Holder::User(ann)).await;
    let of_bob = Ownership::of_user(bob);
    assert!(!may(&world, ann, Privilege::Read, of_bob).await);
    give(&world, far, Holder::Team(ours)).await;
    assert!(may(&world, ann, Privilege::Read, of_bob).await);
    assert!(!may(&world, bob, Privilege::Read, of_bob).await, "bob is not in the team");
    let mut tx = world.store.begin().await.unwrap();
    let held = rights::held(&mut tx, ann).await.unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!(
        (held[0].depth.as_str(), held[0].through.as_slice()),
        ("all", ["far".to_owned(), "near".to_owned()].as_slice())
    );
    let roles = rights::held_roles(&mut tx, ann).await.unwrap();
    assert_eq!(roles.iter().map(|r| r.team_id).collect::<Vec<_>>(), [Some(ours), None]);
    drop(tx);
    world.sql("UPDATE users SET active = false WHERE name = 'ann'").await;
    assert!(!may(&world, ann, Privilege::Read, Ownership::of_user(ann)).await);
    let mut tx = world.store.begin().await.unwrap();
    assert_eq!(rights::held(&mut tx, ann).await.unwrap(), []);
}

/// The role of everybody: given to a new user, who reads its own mailbox and nobody else's.
#[tokio::test]
async fn new_users_have_the_role_of_everybody() {
    let world = World::new().await;
    let (ann, bob) = (user(&world, "ann").await, user(&world, "bob").await);
    let mut tx = world.store.begin().await.unwrap();
    let roles = rights::held_roles(&mut tx, ann).await.unwrap();
    assert_eq!(roles.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["Email user"]);
    let mailbox = async |user: UserId| -> Uuid {
        sqlx::query_scalar("SELECT id FROM mailboxes WHERE owner_user_id = $1")
            .bind(user.0)
            .fetch_one(world.pool())
            .await
            .unwrap()
    };
    let (anns, bobs) = (mailbox(ann).await, mailbox(bob).await);
    let kind = Kind::Mailbox;
    assert!(rights::may_record(&mut tx, ann, kind, anns, Privilege::Read).await.unwrap());
    assert!(!rights::may_record(&mut tx, ann, kind, bobs, Privilege::Read).await.unwrap());
    assert!(!rights::may_record(&mut tx, ann, kind, Uuid::nil(), Privilege::Read).await.unwrap());
    assert!(!rights::may_all(&mut tx, ann, Kind::Organisation, Privilege::ApproveEmailAddresses).await.unwrap());
    let audited: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit_entries WHERE action = 'security-role-given' AND object_kind = 'user'",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    assert_eq!(audited, 2);
}

/// No role gives another's mailbox or personal options: the database has no such privilege. The words of the code and of
/// the schema are the same.
#[tokio::test]
async fn the_schema_knows_each_privilege_and_no_other() {
    let world = World::new().await;
    let id = role(&world, "probe", Vec::new(), Vec::new()).await;
    for kind in Kind::ALL {
        for privilege in Privilege::ALL {
            for depth in Depth::ALL {
                let exists = kind.privileges().contains(privilege) && kind.depths(*privilege).contains(depth);
                let done = sqlx::query("INSERT INTO security_role_privileges VALUES ($1, $2, $3, $4)")
                    .bind(id)
                    .bind(kind.as_str())
                    .bind(privilege.as_str())
                    .bind(depth.as_str())
                    .execute(world.pool())
                    .await;
                assert_eq!(done.is_ok(), exists, "{kind:?} {privilege:?} {depth:?}");
                world
                    .sql("DELETE FROM security_role_privileges WHERE role_id <> '01930000-0000-7000-8000-000000000001'")
                    .await;
            }
        }
    }
    let mailbox = (Kind::Mailbox.depths(Privilege::Read), Kind::Mailbox.depths(Privilege::Write));
    assert_eq!(mailbox, ([Depth::Own].as_slice(), [Depth::Own].as_slice()));
}

/// Secured fields: closed to all, opened for reading and writing apart; what is not secured is open.
#[tokio::test]
async fn secured_fields_open_by_role() {
    let world = World::new().await;
    let (ann, bob) = (user(&world, "ann").await, user(&world, "bob").await);
    let withheld = async |user, writing| {
        let mut tx = world.store.begin().await.unwrap();
        rights::withheld_fields(&mut tx, user, Kind::Contact, writing).await.unwrap()
    };
    assert_eq!(withheld(ann, false).await, [""; 0]);
    let mut tx = world.store.begin().await.unwrap();
    for field in ["address", "external_id"] {
        assert!(security_roles::secure(&mut tx, "contact", field, "test").await.unwrap());
        assert!(!security_roles::secure(&mut tx, "contact", field, "test").await.unwrap());
    }
    tx.commit().await.unwrap();
    let opens = GrantedField {
        record_kind: "contact".to_owned(),
        field: "address".to_owned(),
        may_read: true,
        may_write: false,
    };
    let reader = role(&world, "reader", Vec::new(), vec![opens]).await;
    give(&world, reader, Holder::User(ann)).await;
    assert_eq!(withheld(ann, false).await, ["external_id"]);
    assert_eq!(withheld(ann, true).await, ["address", "external_id"]);
    assert_eq!(withheld(bob, false).await, ["address", "external_id"]);
    let mut tx = world.store.begin().await.unwrap();
    assert!(security_roles::open(&mut tx, "contact", "external_id", "test").await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(withheld(ann, false).await, [""; 0]);
}

/// A record has one owner at most, a team that owns something stays, and so does the role that new users get.
#[tokio::test]
async fn owners_and_defaults_are_held() {
    let world = World::new().await;
    let ann = user(&world, "ann").await;
    let ours = team(&world, "ours", &[ann]).await;
    let mut tx = world.store.begin().await.unwrap();
    let person = people::Person {
        id: Uuid::nil(),
        kind: "contact".to_owned(),
        source: None,
        external_id: None,
        name: "Carla".to_owned(),
        address: None,
        address_key: None,
        owner_user_id: None,
        owner_team_id: Some(ours),
        active: true,
        fields: lockstep_model::record::Fields::default(),
        version: 0,
        created_at: tx.now(),
        updated_at: tx.now(),
    };
    let made = people::create(&mut tx, person.clone(), &[], "test").await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = world.store.begin().await.unwrap();
    let found = people::get(&mut tx, "contact", PersonId(made.id)).await.unwrap().unwrap();
    assert_eq!(found.owner_team_id, Some(ours));
    let team = teams::lock(&mut tx, ours, None).await.unwrap().unwrap();
    assert!(matches!(teams::delete(&mut tx, &team, "test").await, Err(lockstep_store::Error::Reference { .. })));
    drop(tx);
    let mut tx = world.store.begin().await.unwrap();
    let both = people::Person { owner_user_id: Some(ann.0), ..person };
    assert!(matches!(people::create(&mut tx, both, &[], "test").await, Err(lockstep_store::Error::Rule { .. })));
    drop(tx);
    let mut tx = world.store.begin().await.unwrap();
    let everybody = security_roles::list(&mut tx, None, None, 1).await.unwrap().remove(0);
    assert_eq!(everybody.name, "Email user");
    let refused = security_roles::delete(&mut tx, &everybody, "test").await;
    assert!(matches!(refused, Err(lockstep_store::Error::Reference { .. })), "{refused:?}");
}

/// A list of a user who owns a few of ten thousand records reads through the owners' index, and no further than its page.
#[tokio::test]
async fn a_page_among_ten_thousand_is_read_by_owner() {
    let world = World::new().await;
    let (ann, bob) = (user(&world, "ann").await, user(&world, "bob").await);
    let ours = team(&world, "ours", &[ann]).await;
    world
        .sql(&format!(
            "INSERT INTO emails (id, direction, status, subject, owner_user_id, owner_team_id, created_at, updated_at)
             SELECT gen_random_uuid(), 'incoming', 'received', 'n ' || n,
                 CASE WHEN n % 1000 = 0 THEN '{ann}'::uuid WHEN n % 1000 <> 1 THEN '{bob}'::uuid END,
                 CASE WHEN n % 1000 = 1 THEN '{ours}'::uuid END, now(), now()
             FROM generate_series(1, 10000) AS n"
        ))
        .await;
    world.sql("ANALYZE emails").await;
    let mut tx = world.store.begin().await.unwrap();
    let mut filter = Filter { reader: Some(ann), ..Filter::default() };
    let all = emails::list(&mut tx, &filter, None, 100).await.unwrap();
    assert_eq!(all.len(), 20, "her own ten, and ten of her team");
    assert!(all.is_sorted_by_key(|email| email.id));
    let mut pages = Vec::new();
    while let Some(last) = emails::list(&mut tx, &filter, pages.last().copied(), 7).await.unwrap().pop() {
        pages.push(last.id);
    }
    assert_eq!(pages, [all[6].id, all[13].id, all[19].id]);
    filter.status = Some("draft");
    assert_eq!(emails::list(&mut tx, &filter, None, 100).await.unwrap(), []);
    drop(tx);
    // The query of the page, as it runs, by every reader: rows are touched through the index, a page's worth an owner.
    for (reader, touched) in [(ann, 20.0), (bob, 51.0)] {
        let row = sqlx::query(
            "EXPLAIN (ANALYZE, FORMAT JSON) SELECT e.id FROM reach($1, 'email', 'read') AS owner
             CROSS JOIN LATERAL (SELECT id FROM emails
                 WHERE COALESCE(owner_user_id, owner_team_id) = owner AND ($2::uuid IS NULL OR id > $2)
                 ORDER BY id LIMIT 51) AS e
             ORDER BY e.id LIMIT 51",
        )
        .bind(reader.0)
        .bind(None::<Uuid>)
        .fetch_one(world.pool())
        .await
        .unwrap();
        let plan: serde_json::Value = row.get(0);
        let mut scans = Vec::new();
        scans_of("emails", &plan, &mut scans);
        assert!(!scans.is_empty(), "{plan}");
        let rows: f64 =
            scans.iter().map(|s| s["Actual Rows"].as_f64().unwrap() * s["Actual Loops"].as_f64().unwrap()).sum();
        assert!(rows <= touched + 0.5, "{rows} rows touched: {plan}");
        for scan in scans {
            assert_eq!(scan["Index Name"], "emails_by_owner", "{plan}");
        }
    }
}

/// The scans of a table in a plan.
fn scans_of<'a>(table: &str, plan: &'a serde_json::Value, found: &mut Vec<&'a serde_json::Value>) {
    match plan {
        serde_json::Value::Object(members) => {
            // An index-only or bitmap scan names its index below.
            if members.get("Relation Name").is_some_and(|name| name == table) {
                found.push(plan);
            }
            members.values().for_each(|value| scans_of(table, value, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| scans_of(table, value, found)),
        _ => {}
    }
}

/// F18: whom a received email may belong to is asked of the same predicate.
#[tokio::test]
async fn f18_owners_of_received_email_may_change_emails() {
    let world = World::new().await;
    let ann = user(&world, "ann").await;
    let owner = async || {
        let mut tx = world.store.begin().await.unwrap();
        let found = incoming::addressees(&mut tx, &["ann@muster.example".to_owned()]).await.unwrap();
        assert_eq!((found.len(), found[0].owner), (1, Some(ann)));
        found[0].active_owner
    };
    assert_eq!(owner().await, Some(ann));
    world.sql("UPDATE users SET active = false").await;
    assert_eq!(owner().await, None);
    world.sql("UPDATE users SET active = true").await;
    assert_eq!(owner().await, Some(ann));
    world.sql("DELETE FROM security_role_privileges WHERE record_kind = 'email' AND privilege = 'write'").await;
    assert_eq!(owner().await, None, "who may not change emails owns none");
}
