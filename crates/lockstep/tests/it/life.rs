//! Roles with real services: waiting for the organisation, stopping, losing services and going on.

use lockstep_test_support::{Service, Services, eventually};

use crate::{
    process::{Running, get},
    world::{SOON, World},
};

const NEEDED: [Service; 3] = [Service::Postgres, Service::RabbitMq, Service::Redis];

/// N4: every role as a process of its own, with its own broker user.
#[tokio::test(flavor = "multi_thread")]
async fn n4_each_role_waits_for_the_organisation_works_and_stops() {
    let services = Services::shared_with(&NEEDED).await;
    let world = World::create(services).await;
    world.apply_rights().await;

    assert!(world.admin(&["migrate"]).await.contains("no organisation yet"));
    let role = Running::start("scheduler", &[], world.settings());
    let report = world.ready(503).await;
    assert!(report.contains("organisation"), "{report}");
    eventually(SOON, async || role.log().contains("lockstep migrate"), "the missing organisation is told").await;
    assert!(world.admin(&["migrate", "--organisation", "Contoso"]).await.contains("is set up"));
    let (code, _, err) = world.try_admin(&["migrate", "--organisation", "Other"]).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("\"Contoso\"") && err.contains("\"Other\""), "{err}");
    assert!(world.admin(&["migrate", "--organisation", "Contoso"]).await.contains("\"Contoso\""));
    world.ready(200).await;
    assert_eq!(role.stop().await, Some(0));

    for name in ["mailbox-worker", "outgoing-worker", "async-worker", "web"] {
        let role = Running::start(name, &[], world.settings());
        let report = world.ready(200).await;
        assert_eq!(report.contains("redis"), name != "web", "{report}");
        assert_eq!(report.contains("rabbitmq"), name != "web", "{report}");
        let (_, metrics) = get(world.probes, "/metrics").await.unwrap();
        assert!(metrics.contains(&format!("role=\"{name}\"")), "{metrics}");
        let log = role.log();
        assert_eq!(role.stop().await, Some(0), "{log}");
    }
    let queues = world.vhost().queues().await;
    assert!(queues.contains_key("mailbox.sync") && queues.contains_key("scheduler.report.dead"), "{queues:?}");
}

/// N5: all roles may share one process; each keeps its own connections.
#[tokio::test(flavor = "multi_thread")]
async fn n5_all_roles_share_a_process_and_survive_the_loss_of_every_service() {
    let services = Services::private(&NEEDED).await;
    let world = World::create(&services).await;
    world.apply_rights().await;
    world.admin(&["migrate", "--organisation", "Contoso"]).await;

    let role = Running::start("lockstep", &["all"], world.settings());
    let report = world.ready(200).await;
    for condition in ["scheduler.rabbitmq", "mailbox-worker.redis", "outgoing-worker.postgres", "web.organisation"] {
        assert!(report.contains(condition), "{report}");
    }
    let (_, metrics) = get(world.probes, "/metrics").await.unwrap();
    for name in ["scheduler", "mailbox-worker", "outgoing-worker", "async-worker"] {
        let line = format!("lockstep_queue_connected{{link=\"consume\",role=\"{name}\"}} 1");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    for service in NEEDED {
        // In order: what matters is that the service is gone, not how.
        services.stop(service).await;
        world.ready(503).await;
        services.start(service).await;
        world.ready(200).await;
    }
    let log = role.log();
    assert_eq!(role.stop().await, Some(0), "{log}");
}
