//! Users through the API: what is theirs, what is not there, what is refused; security roles and teams.

use lockstep_store::access::Role;
use lockstep_web::{Access, RULES};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::{Answer, World, takes_body};

const ANN: Option<Role> = Some(Role::User);

async fn call(world: &World, method: &str, path: &str, body: Option<Value>) -> Answer {
    world.call(ANN, method, path, body.as_ref(), &[]).await
}

async fn get(world: &World, path: &str) -> Answer {
    call(world, "GET", path, None).await
}

/// Gives a user a role with these privileges: kind, privilege, depth.
async fn grant(world: &World, user: &str, privileges: &[(&str, &str, &str)]) -> String {
    let privileges: Vec<_> = privileges
        .iter()
        .map(|(kind, privilege, depth)| json!({ "record_kind": kind, "privilege": privilege, "depth": depth }))
        .collect();
    let body = json!({ "name": Uuid::new_v4(), "privileges": privileges });
    let role = world.post("/security-roles", body).await.expect(201).id();
    world
        .call(Some(Role::Administrator), "PUT", &format!("/users/{user}/security-roles/{role}"), None, &[])
        .await
        .expect(204);
    role
}

async fn contact(world: &World, name: &str, owner: &str) -> String {
    let body = json!({ "name": name, "address": format!("{name}@kunde.example"), "owner_user_id": owner });
    world.post("/contacts", body).await.expect(201).id()
}

async fn draft(world: &World, from: &str) -> String {
    let body = json!({
        "from": { "user_id": from }, "to": [{ "address": "bob-secret@kunde.example" }], "subject": "bob-secret",
        "attachments": [{ "name": "bob-secret.txt", "content": "Ym9i" }],
    });
    world.post("/emails", body).await.expect(201).id()
}

/// Everything of somebody else, on every route, with a body that would be accepted: nothing of it is shown or changed.
#[tokio::test]
async fn nothing_of_another_user_on_any_route() {
    let world = World::new().await;
    let profile = world.profile("bob-secret-server").await;
    world.sign_in("ann").await;
    let body = json!({ "name": "bob-secret", "address": "bob-secret@example.test" });
    let bob = world.post("/users", body).await.expect(201).id();
    let mailbox = world.mailbox_of(&bob).await;
    world.patch(&format!("/mailboxes/{mailbox}"), json!({ "profile_id": profile })).await.expect(200);
    let email = draft(&world, &bob).await;
    let attachment =
        world.get(&format!("/emails/{email}")).await.body["attachments"][0]["id"].as_str().unwrap().to_owned();
    let queue = json!({ "name": "bob-secret", "address": "bob-secret-queue@example.test", "owner_user_id": bob });
    let queue = world.post("/queues", queue).await.expect(201).id();
    let (role, team) = (
        world.post("/security-roles", json!({ "name": "bob-secret" })).await.expect(201).id(),
        world.post("/teams", json!({ "name": "bob-secret" })).await.expect(201).id(),
    );
    let person = |kind: &str| {
        let body =
            json!({ "name": "bob-secret", "address": format!("bob-secret@{kind}.example"), "owner_user_id": bob });
        let path = format!("/{kind}");
        let world = &world;
        async move { world.post(&path, body).await.expect(201).id() }
    };
    let (contact, account, lead) = (person("contacts").await, person("accounts").await, person("leads").await);
    let appointment = json!({
        "subject": "bob-secret", "owner_user_id": bob,
        "time": { "start": "2027-03-31T09:00:00", "end": "2027-03-31T10:00:00", "zone": "Europe/Berlin" },
    });
    let appointment = world.post("/appointments", appointment).await.expect(201).id();
    let operation = world.post(&format!("/mailboxes/{mailbox}/test-and-enable"), json!({})).await.expect(202).id();
    let before = world
        .texts(
            "SELECT (to_jsonb(e) - 'due_at')::text FROM emails e UNION ALL SELECT to_jsonb(u)::text FROM users u
        UNION ALL SELECT to_jsonb(m)::text FROM mailboxes m UNION ALL SELECT to_jsonb(p)::text FROM people p
        UNION ALL SELECT to_jsonb(q)::text FROM queues q ORDER BY 1",
        )
        .await;
    for rule in RULES {
        let Access::Roles(roles) = rule.access else { continue };
        let path = rule.path.strip_prefix("/api/v1").unwrap();
        let id = match path.split('/').nth(1).unwrap() {
            "users" => &bob,
            "queues" => &queue,
            "appointments" => &appointment,
            "contacts" => &contact,
            "accounts" => &account,
            "leads" => &lead,
            "mailboxes" => &mailbox,
            "emails" => &email,
            "operations" => &operation,
            "security-roles" => &role,
            "teams" => &team,
            "email-server-profiles" => &profile,
            _ => &bob,
        };
        let path = path
            .replace("{id}", id)
            .replace("{attachment_id}", &attachment)
            .replace("{user_id}", &bob)
            .replace("{role_id}", &role)
            .replace("{record_kind}", "contact")
            .replace("{field}", "address")
            .replace("{position}", "0")
            .replace("{key}", "00");
        let bodies = match rule.method {
            method if !takes_body(method, rule.path) => vec![None],
            _ => vec![
                None,
                Some(json!({})),
                Some(json!({ "name": "ann was here" })),
                Some(json!({ "track_option": "none" })),
                Some(json!({ "login": "ann", "password": "password", "allow_credentials": true })),
                Some(json!({ "subject": "ann was here" })),
                Some(json!({ "from": { "user_id": bob }, "subject": "ann was here" })),
                Some(json!({ "action": "approve", "mailbox_ids": [mailbox] })),
                Some(json!({ "record_kind": "contact", "record_id": contact })),
                Some(json!({ "name": "ann was here", "owner_user_id": bob })),
                Some(json!({ "folder": "tasks", "item_id": "AAMk" })),
                Some(json!({ "answer": "yes" })),
            ],
        };
        for body in bodies {
            let answer = call(&world, rule.method, &path, body.clone()).await;
            let status = answer.status.as_u16();
            let told = String::from_utf8_lossy(&answer.bytes).into_owned();
            assert!(!told.contains("bob-secret"), "{rule:?} {body:?}: {told}");
            if !roles.contains(&Role::User) {
                assert_eq!(status, 403, "{rule:?}");
            } else if rule.path.contains("{id}") {
                assert!(
                    [400, 404, 415, 422].contains(&status)
                        || (status == 403 && path.ends_with("approve") || path.ends_with("reject")),
                    "{rule:?} {body:?}: {status} {told}"
                );
                // What is wrong with a request may be told before it is looked for whose it is; never that it is there.
                if body.is_none()
                    && rule.method != "PATCH"
                    && !path.contains("/attachments")
                    && !path.ends_with("approve")
                    && !path.ends_with("reject")
                    && !path.ends_with("resolve")
                    && !path.ends_with("track")
                    && !path.ends_with("answer")
                {
                    assert_eq!(status, 404, "{rule:?}: {told}");
                }
            }
        }
    }
    let after = world
        .texts(
            "SELECT (to_jsonb(e) - 'due_at')::text FROM emails e UNION ALL SELECT to_jsonb(u)::text FROM users u
        UNION ALL SELECT to_jsonb(m)::text FROM mailboxes m UNION ALL SELECT to_jsonb(p)::text FROM people p
        UNION ALL SELECT to_jsonb(q)::text FROM queues q ORDER BY 1",
        )
        .await;
    let of_bob = |rows: &[String]| rows.iter().filter(|row| row.contains("bob-secret")).cloned().collect::<Vec<_>>();
    assert_eq!(of_bob(&before), of_bob(&after), "nothing of bob's has changed");
}

/// A user has its own: its mailbox and the account of it, its personal options, its records.
#[tokio::test]
async fn users_have_their_own_out_of_the_box() {
    let world = World::new().await;
    let (ann, mailbox) = world.sign_in("ann").await;
    let (bob, bobs) = world.user("bob").await;
    let listed = get(&world, "/mailboxes").await.expect(200).body["items"].clone();
    assert_eq!((listed.as_array().unwrap().len(), listed[0]["id"].as_str()), (1, Some(mailbox.as_str())));
    get(&world, &format!("/mailboxes/{mailbox}")).await.expect(200);
    get(&world, &format!("/mailboxes/{bobs}")).await.expect(404);
    get(&world, &format!("/mailboxes/{mailbox}/items")).await.expect(200);
    get(&world, &format!("/mailboxes/{bobs}/items")).await.expect(404);
    let path = format!("/mailboxes/{mailbox}");
    let changed =
        call(&world, "PATCH", &path, Some(json!({ "allow_credentials": true, "login": "ann", "password": "p" })));
    assert_eq!(changed.await.expect(200).body["login"], "ann");
    let refused = call(&world, "PATCH", &path, Some(json!({ "active": false, "login": "x" }))).await.expect(403);
    assert_eq!(refused.complaints(), [("active".into(), "not-permitted".into())]);
    // Personal options; consent is no unless she says yes.
    let listed = get(&world, "/users").await.expect(200).body["items"].clone();
    assert_eq!((listed.as_array().unwrap().len(), listed[0]["id"].as_str()), (1, Some(ann.as_str())));
    let me = format!("/users/{ann}");
    assert_eq!(get(&world, &me).await.expect(200).body["allow_send_on_behalf"], false);
    let options = json!({ "track_option": "none", "auto_create": "lead", "allow_send_on_behalf": true });
    let written = call(&world, "PATCH", &me, Some(options)).await.expect(200).body;
    assert_eq!((&written["track_option"], &written["allow_send_on_behalf"]), (&json!("none"), &json!(true)));
    let refused = call(&world, "PATCH", &me, Some(json!({ "address": "x@example.test", "track_option": "all" })));
    assert_eq!(refused.await.expect(403).complaints(), [("address".into(), "not-permitted".into())]);
    call(&world, "PATCH", &format!("/users/{bob}"), Some(json!({ "track_option": "none" }))).await.expect(404);
    let noted = "SELECT count(*) FROM audit_entries WHERE object_kind = 'user' AND action = 'updated' AND actor LIKE '% of user %'";
    assert_eq!(world.count(noted).await, 1);
    // Records: her own without saying so, and none for others.
    let made = call(&world, "POST", "/contacts", Some(json!({ "name": "Carla" }))).await.expect(201);
    assert_eq!(made.body["owner_user_id"], json!(ann));
    let for_bob = json!({ "name": "Carla", "owner_user_id": bob });
    call(&world, "POST", "/contacts", Some(for_bob)).await.expect(403);
    let path = format!("/contacts/{}", made.id());
    call(&world, "PATCH", &path, Some(json!({ "owner_user_id": bob }))).await.expect(403);
    call(&world, "PATCH", &path, Some(json!({ "name": "C." }))).await.expect(200);
    call(&world, "DELETE", &path, None).await.expect(204);
    let own = json!({ "from": { "user_id": ann }, "to": [{ "address": "c@kunde.example" }], "subject": "Hello" });
    let email = call(&world, "POST", "/emails", Some(own)).await.expect(201).id();
    let others = json!({ "from": { "user_id": bob }, "to": [], "subject": "Hello" });
    let refused = call(&world, "POST", "/emails", Some(others)).await.expect(403);
    assert_eq!(refused.complaints(), [("from.user_id".into(), "not-permitted".into())]);
    call(&world, "POST", &format!("/emails/{email}/send"), None).await.expect(202);
    assert_eq!(get(&world, "/emails").await.expect(200).body["items"].as_array().unwrap().len(), 1);
    assert_eq!(get(&world, &format!("/emails?mailbox={bobs}")).await.expect(200).body["items"], json!([]));
}

/// Read further than written: 403 where it is seen, 404 where it is not; `team` reaches the users of one's teams.
#[tokio::test]
async fn seen_is_refused_and_unseen_is_not_there() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let ((bob, _), (cem, _)) = (world.user("bob").await, world.user("cem").await);
    let (of_bob, of_cem) = (contact(&world, "x", &bob).await, contact(&world, "y", &cem).await);
    let team = world.post("/teams", json!({ "name": "Sales" })).await.expect(201).id();
    let admin = Some(Role::Administrator);
    for user in [&ann, &bob] {
        world.call(admin, "PUT", &format!("/teams/{team}/members/{user}"), None, &[]).await.expect(204);
    }
    let of_team = json!({ "name": "z", "owner_team_id": team });
    let of_team = world.post("/contacts", of_team).await.expect(201).id();
    let seen = async || -> Vec<bool> {
        let mut seen = Vec::new();
        for id in [&of_team, &of_bob, &of_cem] {
            seen.push(get(&world, &format!("/contacts/{id}")).await.status.as_u16() == 200);
        }
        let listed = get(&world, "/contacts").await.expect(200).body["items"].as_array().unwrap().len();
        assert_eq!(listed, seen.iter().filter(|seen| **seen).count(), "the list shows the same");
        seen
    };
    assert_eq!(seen().await, [true, false, false]);
    let role = grant(&world, &ann, &[("contact", "read", "team")]).await;
    assert_eq!(seen().await, [true, true, false]);
    let write = async |id: &str| call(&world, "PATCH", &format!("/contacts/{id}"), Some(json!({ "name": "w" }))).await;
    let remove = async |id: &str| call(&world, "DELETE", &format!("/contacts/{id}"), None).await;
    write(&of_team).await.expect(200);
    write(&of_bob).await.expect(403);
    remove(&of_bob).await.expect(403);
    write(&of_cem).await.expect(404);
    remove(&of_cem).await.expect(404);
    // The role reaches further from one moment to the next.
    let all = json!({ "privileges": [{ "record_kind": "contact", "privilege": "read", "depth": "all" }] });
    world.patch(&format!("/security-roles/{role}"), all).await.expect(200);
    assert_eq!(seen().await, [true, true, true]);
    write(&of_cem).await.expect(403);
    // Another user's mailbox stays shut, whatever else is open.
    let far = json!({ "name": "f", "privileges": [{ "record_kind": "mailbox", "privilege": "read", "depth": "all" }] });
    let refused = world.post("/security-roles", far).await.expect(422);
    assert_eq!(refused.complaints(), [("privileges.0.depth".into(), "choice".into())]);
    world.delete(&format!("/teams/{team}")).await.expect(409);
}

/// Secured fields are left out, refused by name, and not found out by searching or by comparing.
#[tokio::test]
async fn secured_fields_are_left_out_and_refused() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let admin = Some(Role::Administrator);
    let carla = contact(&world, "carla", &ann).await;
    let path = format!("/contacts/{carla}");
    for field in ["contact/address", "email/subject", "email/parties", "email/attachments"] {
        world.call(admin, "PUT", &format!("/secured-fields/{field}"), None, &[]).await.expect(204);
    }
    world.call(admin, "PUT", "/secured-fields/contact/id", None, &[]).await.expect(422);
    assert_eq!(world.get("/secured-fields").await.expect(200).body["items"].as_array().unwrap().len(), 4);
    let shown = get(&world, &path).await.expect(200).body;
    assert!(shown.get("address").is_none() && shown["name"] == "carla", "{shown}");
    assert!(get(&world, "/contacts").await.body["items"][0].get("address").is_none());
    assert_eq!(world.get(&path).await.body["address"], "carla@kunde.example", "administrators see everything");
    for address in ["other@kunde.example", "carla@kunde.example"] {
        let refused = call(&world, "PATCH", &path, Some(json!({ "address": address }))).await.expect(403);
        assert_eq!(refused.complaints(), [("address".into(), "not-permitted".into())], "also what it holds already");
        let asked = get(&world, &format!("/contacts?address={address}")).await.expect(403);
        assert_eq!(asked.complaints(), [("address".into(), "not-permitted".into())]);
    }
    call(&world, "POST", "/contacts", Some(json!({ "name": "n", "address": "n@kunde.example" }))).await.expect(403);
    call(&world, "PATCH", &path, Some(json!({ "name": "Carla" }))).await.expect(200);
    let email = draft(&world, &ann).await;
    let seen = get(&world, &format!("/emails/{email}")).await.expect(200).body;
    for hidden in ["subject", "parties", "delivery", "attachments"] {
        assert!(seen.get(hidden).is_none(), "{hidden}: {seen}");
    }
    let file = world.get(&format!("/emails/{email}")).await.body["attachments"][0]["id"].as_str().unwrap().to_owned();
    get(&world, &format!("/emails/{email}/attachments/{file}/content")).await.expect(404);
    let refused = call(&world, "PATCH", &format!("/emails/{email}"), Some(json!({ "to": [], "subject": "s" }))).await;
    let named: Vec<_> = refused.expect(403).complaints().into_iter().map(|(field, _)| field).collect();
    assert_eq!(named, ["subject", "to"]);
    // A role opens the field for reading, then for writing.
    let opening = |write: bool| json!({ "fields": [{ "record_kind": "contact", "field": "address", "read": true, "write": write }] });
    let role = grant(&world, &ann, &[]).await;
    world.patch(&format!("/security-roles/{role}"), opening(false)).await.expect(200);
    assert_eq!(get(&world, &path).await.body["address"], "carla@kunde.example");
    call(&world, "PATCH", &path, Some(json!({ "address": "c@kunde.example" }))).await.expect(403);
    world.patch(&format!("/security-roles/{role}"), opening(true)).await.expect(200);
    call(&world, "PATCH", &path, Some(json!({ "address": "c@kunde.example" }))).await.expect(200);
    let told = get(&world, &format!("/users/{ann}/privileges")).await.expect(200).body;
    let field =
        |name: &str| told["secured_fields"].as_array().unwrap().iter().find(|f| f["field"] == name).unwrap().clone();
    assert_eq!(field("address"), json!({ "record_kind": "contact", "field": "address", "read": true, "write": true }));
    assert_eq!(field("subject")["read"], false);
}

/// C8: approving takes the privilege, of one and of many; whoever has it sees the address and nothing else.
#[tokio::test]
async fn c8_approving_addresses_takes_the_privilege() {
    let world = World::new().await;
    let (ann, own) = world.sign_in("ann").await;
    let (_, bobs) = world.user("bob").await;
    let approve = async |mailbox: &str| call(&world, "POST", &format!("/mailboxes/{mailbox}/approve"), None).await;
    let many = async |action: &str| {
        let body = json!({ "action": action, "mailbox_ids": [own, bobs] });
        call(&world, "POST", "/mailboxes/actions", Some(body)).await
    };
    approve(&bobs).await.expect(403);
    approve(&own).await.expect(403);
    get(&world, "/mailboxes/awaiting-approval").await.expect(403);
    approve(&Uuid::nil().to_string()).await.expect(403);
    many("approve").await.expect(403);
    let role = grant(&world, &ann, &[("organisation", "approve-email-addresses", "all")]).await;
    let approved = approve(&bobs).await.expect(200).body;
    assert_eq!(approved["address_status"], "approved");
    assert!(approved.get("lanes").is_none() && approved.get("login").is_none(), "{approved}");
    assert!(approved["approved_by"].as_str().unwrap().contains(&ann), "{approved}");
    call(&world, "POST", &format!("/mailboxes/{bobs}/reject"), None).await.expect(200);
    let waiting = get(&world, "/mailboxes/awaiting-approval").await.expect(200).body;
    assert_eq!(waiting["items"].as_array().unwrap().len(), 1, "bob's is decided on");
    assert_eq!(
        (&waiting["items"][0]["id"], &waiting["items"][0]["address"]),
        (&json!(own), &json!("ann@example.test"))
    );
    let mut shown: Vec<_> = waiting["items"][0].as_object().unwrap().keys().cloned().collect();
    shown.sort();
    assert_eq!(shown, ["address", "address_status", "id", "name", "version"]);
    world.patch("/organisation", json!({ "approve_users": false })).await.expect(200);
    assert_eq!(get(&world, "/mailboxes/awaiting-approval").await.expect(200).body["items"], json!([]));
    world.patch("/organisation", json!({ "approve_users": true })).await.expect(200);
    let results = many("approve").await.expect(200).body["results"].clone();
    assert_eq!((&results[0]["outcome"], &results[1]["outcome"]), (&json!("done"), &json!("done")));
    let refused = many("apply-defaults").await.expect(403);
    assert_eq!(refused.complaints(), [("action".into(), "not-permitted".into())]);
    get(&world, &format!("/mailboxes/{bobs}")).await.expect(404);
    world.delete(&format!("/users/{ann}/security-roles/{role}")).await.expect(204);
    approve(&bobs).await.expect(403);
}

/// A user who may write an email says who its parties are, where the record may be read too; one who may only read it,
/// or not even that, is refused. Other emails are resolved along only by somebody who may write all of them.
#[tokio::test]
async fn users_resolve_parties_of_emails_they_may_write() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let (bob, _) = world.user("bob").await;
    let anns = contact(&world, "cara", &ann).await;
    let bobs = contact(&world, "dan", &bob).await;
    let on = json!({ "unresolve_multiple_recipients": true, "resolve_all_alike": true });
    world.patch("/organisation", on).await.expect(200);
    let mut emails = Vec::new();
    for owner in [&ann, &ann, &bob] {
        let id = Uuid::new_v4();
        let seed = format!(
            "INSERT INTO emails (id, direction, status, subject, message_id, owner_user_id, created_at, updated_at)
                 VALUES ('{id}', 'incoming', 'received', 's', '{id}@x.test', '{owner}', now(), now());
             INSERT INTO email_parties (email_id, position, role, name, address, address_key)
                 VALUES ('{id}', 0, 'from', 'C', 'both@x.test', 'both@x.test')"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(seed)).execute(world.database.pool()).await.unwrap();
        emails.push(id.to_string());
    }
    let [first, second, of_bob] = emails.try_into().unwrap();
    let resolve = async |email: &str, record: &str| {
        let body = json!({ "record_kind": "contact", "record_id": record });
        call(&world, "POST", &format!("/emails/{email}/parties/0/resolve"), Some(body)).await
    };
    resolve(&of_bob, &anns).await.expect(404);
    let unseen = resolve(&first, &bobs).await.expect(422);
    assert_eq!(unseen.complaints(), [("record_id".into(), "exists".into())], "as if it were not there");
    let resolved = resolve(&first, &anns).await.expect(200).body;
    assert_eq!((&resolved["others"], &resolved["email"]["parties"][0]["record_id"]), (&json!(0), &json!(anns)));
    let read = grant(&world, &ann, &[("email", "read", "all")]).await;
    resolve(&of_bob, &anns).await.expect(403);
    grant(&world, &ann, &[("email", "write", "all")]).await;
    let resolved = resolve(&second, &anns).await.expect(200).body;
    assert_eq!(resolved["others"], 1, "bob's along with it");
    world.delete(&format!("/users/{ann}/security-roles/{read}")).await.expect(204);

    let field = "/secured-fields/email/parties";
    world.call(Some(Role::Administrator), "PUT", field, None, &[]).await.expect(204);
    let withheld = resolve(&first, &anns).await.expect(403);
    assert_eq!(withheld.complaints(), [("parties".into(), "not-permitted".into())]);
}

/// H9: a user who may write an email and make others copies it to those who were refused; without, it is refused.
#[tokio::test]
async fn h9_users_copy_their_emails_to_those_who_were_refused() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let (bob, _) = world.user("bob").await;
    let (own, others) = (draft(&world, &ann).await, draft(&world, &bob).await);
    for email in [&own, &others] {
        let path = format!("/emails/{email}/send");
        world.call(Some(Role::Administrator), "POST", &path, None, &[]).await.expect(202);
    }
    for statement in [
        "UPDATE emails SET status = 'sending'",
        "UPDATE emails SET status = 'sent'",
        "UPDATE delivery_recipients SET state = 'refused'",
    ] {
        sqlx::query(statement).execute(world.database.pool()).await.unwrap();
    }
    let copy = async |email: &str| call(&world, "POST", &format!("/emails/{email}/copy-to-refused"), None).await;
    let made = copy(&own).await.expect(201);
    assert_eq!(
        (&made.body["status"], &made.body["from"]),
        (&json!("draft"), &get(&world, &format!("/emails/{own}")).await.body["from"])
    );
    copy(&others).await.expect(404);
    grant(&world, &ann, &[("email", "read", "all")]).await;
    copy(&others).await.expect(403);
    grant(&world, &ann, &[("email", "write", "all")]).await;
    let drafts = "SELECT count(*) FROM emails WHERE status = 'draft'";
    let before = world.count(drafts).await;
    copy(&others).await.expect(403);
    assert_eq!(world.count(drafts).await, before, "it may not make one for bob");
    grant(&world, &ann, &[("email", "create", "all")]).await;
    copy(&others).await.expect(201);
}

/// Security roles and teams are administrators'; every change is noted, and what they allow is explained.
#[tokio::test]
async fn roles_and_teams_are_administered_and_explained() {
    let world = World::new().await;
    let (ann, _) = world.sign_in("ann").await;
    let (bob, _) = world.user("bob").await;
    let roles = world.get("/security-roles").await.expect(200).body["items"].clone();
    assert_eq!(roles[0]["name"], "Email user");
    let everybody = roles[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.get("/organisation").await.body["default_security_role_id"], json!(everybody));
    world.delete(&format!("/security-roles/{everybody}")).await.expect(409);
    let twice = world.post("/security-roles", json!({ "name": "EMAIL user" })).await.expect(409);
    assert_eq!(twice.body["type"], "/problems/taken");
    let wrong = json!({ "name": "", "privileges": [
        { "record_kind": "email", "privilege": "read", "depth": "own" },
        { "record_kind": "email", "privilege": "read", "depth": "all" },
        { "record_kind": "email", "privilege": "approve-email-addresses", "depth": "all" },
        { "record_kind": "memo", "privilege": "read", "depth": "all" },
        { "record_kind": "email", "privilege": "read", "depth": "far" },
    ], "fields": [{ "record_kind": "queue", "field": "name", "read": true }, { "record_kind": "email", "field": "subject" }] });
    let complaints = world.post("/security-roles", wrong).await.expect(422).complaints();
    let named: Vec<_> = complaints.iter().map(|(field, rule)| format!("{field} {rule}")).collect();
    assert_eq!(
        named,
        [
            "name length",
            "privileges.1 unique",
            "privileges.2.privilege choice",
            "privileges.3.record_kind choice",
            "privileges.4.depth choice",
            "fields.0.record_kind choice",
            "fields.1 required",
        ]
    );
    let team = world.post("/teams", json!({ "name": "Sales", "description": "who sells" })).await.expect(201);
    let stale = [("if-match", "\"7\"")];
    let admin = Some(Role::Administrator);
    let path = format!("/teams/{}", team.id());
    world.call(admin, "PATCH", &path, Some(&json!({ "name": "S" })), &stale).await.expect(412);
    world.patch(&path, json!({ "name": "Selling" })).await.expect(200);
    let put = async |path: String| world.call(admin, "PUT", &path, None, &[]).await.status.as_u16();
    assert_eq!(put(format!("{path}/members/{ann}")).await, 204);
    assert_eq!(put(format!("{path}/members/{ann}")).await, 204, "once more");
    assert_eq!(put(format!("{path}/members/{}", Uuid::nil())).await, 404);
    let seller =
        json!({ "name": "Seller", "privileges": [{ "record_kind": "lead", "privilege": "read", "depth": "all" }] });
    let seller = world.post("/security-roles", seller).await.expect(201).id();
    assert_eq!(put(format!("{path}/security-roles/{seller}")).await, 204);
    assert_eq!(put(format!("{path}/security-roles/{}", Uuid::nil())).await, 404);
    assert_eq!(world.get(&path).await.body["security_role_ids"], json!([seller]));
    let members = world.get(&format!("{path}/members")).await.expect(200).body["items"].clone();
    assert_eq!((members.as_array().unwrap().len(), &members[0]["user_id"]), (1, &json!(ann)));
    let told = get(&world, &format!("/users/{ann}/privileges")).await.expect(200).body;
    let lead =
        told["privileges"].as_array().unwrap().iter().find(|p| p["record_kind"] == "lead" && p["privilege"] == "read");
    assert_eq!(
        lead.unwrap(),
        &json!({ "record_kind": "lead", "privilege": "read", "depth": "all", "through": ["Email user", "Seller"] })
    );
    assert_eq!(told["teams"][0]["name"], "Selling");
    assert!(told["security_roles"].as_array().unwrap().iter().any(|r| r["team_id"] == team.body["id"]), "{told}");
    get(&world, &format!("/users/{bob}/privileges")).await.expect(404);
    world.get(&format!("/users/{bob}/privileges")).await.expect(200);
    world.delete(&format!("{path}/members/{ann}")).await.expect(204);
    world.delete(&format!("{path}/security-roles/{seller}")).await.expect(204);
    world.delete(&path).await.expect(204);
    world.delete(&format!("/security-roles/{seller}")).await.expect(204);
    let mut noted = world
        .texts(
            "SELECT action || ' ' || object_kind FROM audit_entries
        WHERE object_kind IN ('team', 'security-role') ORDER BY done_at, id",
        )
        .await;
    noted.dedup();
    assert_eq!(
        noted,
        [
            "created team",
            "updated team",
            "member-added team",
            "created security-role",
            "security-role-given team",
            "member-removed team",
            "security-role-taken team",
            "deleted team",
            "deleted security-role",
        ]
    );
    // Another role for new users, or none.
    let other = world.post("/security-roles", json!({ "name": "Nothing" })).await.expect(201).id();
    world.patch("/organisation", json!({ "default_security_role_id": other })).await.expect(200);
    let (cem, _) = world.user("cem").await;
    let told = world.get(&format!("/users/{cem}/privileges")).await.expect(200).body;
    assert_eq!((&told["security_roles"][0]["name"], &told["privileges"]), (&json!("Nothing"), &json!([])));
    let unknown = json!({ "default_security_role_id": Uuid::nil() });
    let refused = world.patch("/organisation", unknown).await.expect(422);
    assert_eq!(refused.complaints(), [("default_security_role_id".into(), "exists".into())]);
}
