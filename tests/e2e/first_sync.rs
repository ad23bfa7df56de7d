//! The first synchronisation of mailboxes.

use lockstep_e2e::{Cluster, TrackOption, mail::Draft};

#[tokio::test]
async fn smoke() {
    let cluster = Cluster::up().await;
    let one = cluster.mailbox_for_new_user(TrackOption::All).await;
    let draft = Draft::new("a@outside.test", &[one.address()], "hello");
    cluster.deliver(&draft.to_bytes(), "a@outside.test", &[&one]).await;
    cluster.wait_received(1, 20).await;
    cluster.assert_each_once([&draft.id().to_owned()]).await;
}
