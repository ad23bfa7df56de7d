//! The predicate of rights against a small model of it: random owners, teams and roles.

use lockstep_model::id::UserId;
use lockstep_store::{
    people,
    rights::{self, Depth, Kind, Ownership, Privilege},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use uuid::Uuid;

use crate::seed::World;

const USERS: usize = 4;
const TEAMS: usize = 3;
const ROLES: usize = 3;
const KINDS: [Kind; 2] = [Kind::Email, Kind::Contact];
const PRIVILEGES: [Privilege; 2] = [Privilege::Read, Privilege::Write];

/// Who is in what and has which role: numbers instead of ids.
#[derive(Clone, Debug)]
struct Model {
    active: Vec<bool>,
    /// By user and team.
    members: Vec<Vec<bool>>,
    /// By role, kind and privilege.
    grants: Vec<Vec<Option<Depth>>>,
    /// By role and user, by role and team.
    given: Vec<Vec<bool>>,
    given_to_teams: Vec<Vec<bool>>,
    secured: bool,
    /// By role: whether it reads and writes the field.
    opened: Vec<(bool, bool)>,
    /// Owners of contacts: a user, or beyond them a team, or beyond these nobody.
    owners: Vec<usize>,
}

impl Model {
    fn roles(&self, user: usize) -> Vec<usize> {
        let through = |role: usize| (0..TEAMS).any(|team| self.members[user][team] && self.given_to_teams[role][team]);
        let has = |role: &usize| self.active[user] && (self.given[*role][user] || through(*role));
        (0..ROLES).filter(has).collect()
    }

    fn may(&self, user: usize, privilege: usize, owner: usize) -> bool {
        let depth = self.roles(user).into_iter().filter_map(|role| self.grants[role][privilege]).max();
        let Some(depth) = depth else { return false };
        let team = owner.checked_sub(USERS).filter(|team| *team < TEAMS);
        let owned = owner == user || team.is_some_and(|team| self.members[user][team]);
        let fellow = owner < USERS && (0..TEAMS).any(|t| self.members[user][t] && self.members[owner][t]);
        match depth {
            Depth::Own => owned,
            Depth::Team => owned || fellow,
            Depth::All => true,
        }
    }

    fn may_field(&self, user: usize, writing: bool) -> bool {
        let open = |role: usize| if writing { self.opened[role].1 } else { self.opened[role].0 };
        !self.secured || self.roles(user).into_iter().any(open)
    }
}

fn model() -> impl Strategy<Value = Model> {
    let often = || prop::bool::weighted(0.4);
    let table = move |rows, columns| prop::collection::vec(prop::collection::vec(often(), columns), rows);
    let depth = prop_oneof![Just(None), Just(Some(Depth::Own)), Just(Some(Depth::Team)), Just(Some(Depth::All))];
    let grants = prop::collection::vec(prop::collection::vec(depth, KINDS.len() * PRIVILEGES.len()), ROLES);
    (
        prop::collection::vec(prop::bool::weighted(0.85), USERS),
        table(USERS, TEAMS),
        grants,
        table(ROLES, USERS),
        table(ROLES, TEAMS),
        any::<bool>(),
        prop::collection::vec(any::<(bool, bool)>(), ROLES),
        prop::collection::vec(0..=USERS + TEAMS, 12),
    )
        .prop_map(|(active, members, grants, given, given_to_teams, secured, opened, owners)| Model {
            active,
            members,
            grants,
            given,
            given_to_teams,
            secured,
            opened,
            owners,
        })
}

fn of(group: u128, at: usize) -> Uuid {
    Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 | (group << 16) | at as u128)
}

/// Puts a model into the database. Groups of ids: 1 users, 2 teams, 3 roles, 4 contacts.
fn statements(model: &Model) -> String {
    let mut sql = String::from(
        "DELETE FROM people; DELETE FROM team_members; DELETE FROM user_security_roles; DELETE FROM secured_fields;
         DELETE FROM team_security_roles; DELETE FROM security_role_privileges; DELETE FROM security_role_fields;",
    );
    for (user, active) in model.active.iter().enumerate() {
        sql += &format!("UPDATE users SET active = {active} WHERE id = '{}';", of(1, user));
        for team in (0..TEAMS).filter(|team| model.members[user][*team]) {
            sql += &format!("INSERT INTO team_members VALUES ('{}', '{}');", of(2, team), of(1, user));
        }
    }
    for role in 0..ROLES {
        let id = of(3, role);
        for user in (0..USERS).filter(|user| model.given[role][*user]) {
            sql += &format!("INSERT INTO user_security_roles VALUES ('{}', '{id}');", of(1, user));
        }
        for team in (0..TEAMS).filter(|team| model.given_to_teams[role][*team]) {
            sql += &format!("INSERT INTO team_security_roles VALUES ('{}', '{id}');", of(2, team));
        }
        for (at, depth) in model.grants[role].iter().enumerate() {
            let (kind, privilege) = (KINDS[at / PRIVILEGES.len()], PRIVILEGES[at % PRIVILEGES.len()]);
            if let Some(depth) = depth {
                let (kind, privilege, depth) = (kind.as_str(), privilege.as_str(), depth.as_str());
                sql += &format!(
                    "INSERT INTO security_role_privileges VALUES ('{id}', '{kind}', '{privilege}', '{depth}');"
                );
            }
        }
        let (reads, writes) = model.opened[role];
        if reads || writes {
            sql +=
                &format!("INSERT INTO security_role_fields VALUES ('{id}', 'contact', 'address', {reads}, {writes});");
        }
    }
    if model.secured {
        sql += "INSERT INTO secured_fields VALUES ('contact', 'address');";
    }
    for (at, owner) in model.owners.iter().enumerate() {
        let (user, team) = columns(*owner);
        let quoted = |id: Option<Uuid>| id.map_or("NULL".to_owned(), |id| format!("'{id}'"));
        sql += &format!(
            "INSERT INTO people (id, kind, name, owner_user_id, owner_team_id, created_at, updated_at)
             VALUES ('{}', 'contact', 'n', {}, {}, now(), now());",
            of(4, at),
            quoted(user),
            quoted(team),
        );
    }
    sql
}

fn columns(owner: usize) -> (Option<Uuid>, Option<Uuid>) {
    match owner {
        user if user < USERS => (Some(of(1, user)), None),
        team if team < USERS + TEAMS => (None, Some(of(2, team - USERS))),
        _ => (None, None),
    }
}

/// The database and the model decide alike, of every user, kind, privilege and owner; and so do the pages of lists.
async fn agrees(world: &World, model: &Model) -> Result<(), TestCaseError> {
    world.sql(&statements(model)).await;
    let mut tx = world.store.begin().await.unwrap();
    for user in 0..USERS {
        let actor = UserId(of(1, user));
        for owner in 0..=USERS + TEAMS {
            let (owner_user, owner_team) = columns(owner);
            let owner_columns = Ownership { user: owner_user, team: owner_team };
            for at in 0..KINDS.len() * PRIVILEGES.len() {
                let (kind, privilege) = (KINDS[at / PRIVILEGES.len()], PRIVILEGES[at % PRIVILEGES.len()]);
                let told = rights::may(&mut tx, actor, kind, privilege, owner_columns).await.unwrap();
                prop_assert_eq!(told, model.may(user, at, owner), "{} {:?} {:?} {}", user, kind, privilege, owner);
            }
        }
        for writing in [false, true] {
            let withheld = rights::withheld_fields(&mut tx, actor, Kind::Contact, writing).await.unwrap();
            prop_assert_eq!(withheld.is_empty(), model.may_field(user, writing), "{} {}", user, writing);
        }
        let read = PRIVILEGES.len();
        let expected: Vec<Uuid> = model
            .owners
            .iter()
            .enumerate()
            .filter(|(_, owner)| model.may(user, read, **owner))
            .map(|(at, _)| of(4, at))
            .collect();
        let mut listed = Vec::new();
        loop {
            let page =
                people::list(&mut tx, Kind::Contact, Some(actor), None, listed.last().copied(), 5).await.unwrap();
            listed.extend(page.iter().map(|person| person.id));
            if page.len() < 5 {
                break;
            }
        }
        prop_assert_eq!(&listed, &expected, "the list of {}", user);
        for (at, owner) in model.owners.iter().enumerate() {
            let told = rights::may_record(&mut tx, actor, Kind::Contact, of(4, at), Privilege::Write).await.unwrap();
            prop_assert_eq!(told, model.may(user, read + 1, *owner));
        }
    }
    Ok(())
}

#[test]
fn the_predicate_agrees_with_a_model_of_it() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let world = runtime.block_on(async {
        let world = World::new().await;
        let mut sql = String::from("UPDATE organisations SET default_security_role_id = NULL;");
        for user in 0..USERS {
            sql += &format!(
                "INSERT INTO users (id, name, address, address_key, created_at, updated_at)
                 VALUES ('{}', 'u{user}', 'u{user}@x.example', 'u{user}@x.example', now(), now());",
                of(1, user)
            );
        }
        for (group, table, count) in [(2, "teams", TEAMS), (3, "security_roles", ROLES)] {
            for at in 0..count {
                sql += &format!(
                    "INSERT INTO {table} (id, name, created_at, updated_at) VALUES ('{}', 'n{at}', now(), now());",
                    of(group, at)
                );
            }
        }
        world.sql(&sql).await;
        world
    });
    let config = Config { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&model(), |model| runtime.block_on(agrees(&world, &model))).unwrap();
    runtime.block_on(async move { drop(world) });
}
