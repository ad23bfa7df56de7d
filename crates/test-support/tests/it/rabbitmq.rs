//! Vhosts of their own. Queues are made through the management API, since no AMQP client is at hand here.

use lockstep_test_support::{Services, eventually, rabbitmq::TestVhost};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

async fn api(method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let base = Services::shared_blocking(&[]).rabbitmq_api_url();
    let client = Client::builder().timeout(crate::SOON).build().unwrap();
    let mut request = client.request(method, format!("{base}/api/{path}"));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

#[tokio::test]
async fn depth_is_counted_and_queues_can_be_deleted() {
    let vhost = TestVhost::create().await;
    for queue in ["work", "dead"] {
        let arguments = json!({"durable": true, "arguments": {"x-queue-type": "quorum"}});
        let (status, _) = api(Method::PUT, &format!("queues/{}/{queue}", vhost.name()), Some(arguments)).await;
        assert!(status.is_success());
    }
    for _ in 0..3 {
        let message = json!({"properties": {}, "routing_key": "work", "payload": "x", "payload_encoding": "string"});
        let path = format!("exchanges/{}/amq.default/publish", vhost.name());
        let (status, answer) = api(Method::POST, &path, Some(message)).await;
        assert!(status.is_success() && answer["routed"] == true, "{status} {answer}");
    }
    let full = async || match vhost.queue_depth("work").await {
        Some(depth) if (depth.ready, depth.unacknowledged) == (3, 0) => Ok(()),
        other => Err(other),
    };
    eventually(crate::SOON, full, "three messages are counted").await;
    assert_eq!(vhost.queue_depth("dead").await.unwrap().ready, 0);
    assert_eq!(vhost.queue_depth("none").await, None);
    assert!(vhost.delete_queue("dead").await);
    assert!(!vhost.delete_queue("dead").await);
    vhost.delete_all_queues().await;
    assert!(vhost.queues().await.is_empty());
}

#[tokio::test]
async fn a_user_has_the_rights_given_and_goes_with_the_vhost() {
    let vhost = TestVhost::create().await;
    let url: url::Url = vhost.user("publisher", "", "^mail", "").await.parse().unwrap();
    assert_eq!(url.path().trim_start_matches('/'), vhost.name());
    let (name, user) = (vhost.name().to_owned(), url.username().to_owned());
    let (_, rights) = api(Method::GET, &format!("permissions/{name}/{user}"), None).await;
    assert_eq!((&rights["configure"], &rights["write"], &rights["read"]), (&json!(""), &json!("^mail"), &json!("")));
    drop(vhost);
    assert_eq!(api(Method::GET, &format!("vhosts/{name}"), None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(api(Method::GET, &format!("users/{user}"), None).await.0, StatusCode::NOT_FOUND);
}
