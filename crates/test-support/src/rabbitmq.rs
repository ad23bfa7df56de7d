//! A RabbitMQ vhost of its own for a test, made by the management API.

use std::{
    collections::BTreeMap,
    sync::{Mutex, Once, PoisonError},
    time::Duration,
};

use lockstep_model::clock::{Clock, SystemClock};
use reqwest::{Client, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use crate::{Service, Services, teardown};

const PREFIX: &str = "lockstep-test-";
/// Vhosts and users of crashed runs are deleted once they are older than this.
const LEFT_OVER_AFTER_SECONDS: i64 = 3600;
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How many messages a queue holds: a classic queue's count is exact, a quorum queue's up to half a second old. Wait
/// for a depth with [`crate::eventually`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct QueueDepth {
    /// Waiting for a consumer.
    #[serde(rename = "messages_ready", default)]
    pub ready: u64,
    /// Delivered and not yet acknowledged.
    #[serde(rename = "messages_unacknowledged", default)]
    pub unacknowledged: u64,
}

#[derive(Deserialize)]
struct Queue {
    name: String,
    #[serde(flatten)]
    depth: QueueDepth,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// An empty vhost with a unique name; it goes with its users when the value is dropped.
#[derive(Debug)]
pub struct TestVhost {
    api: Api,
    name: String,
    amqp: Url,
    users: Mutex<Vec<String>>,
}

impl TestVhost {
    /// Makes a vhost on the shared broker.
    pub async fn create() -> Self {
        Self::create_on(Services::shared_with(&[Service::RabbitMq]).await).await
    }

    /// Makes a vhost on the broker of this set.
    pub async fn create_on(services: &Services) -> Self {
        let api = Api::new(services.rabbitmq_api_url());
        api.sweep_once().await;
        let name = unique("vhost");
        let mut amqp: Url = services.amqp_url().parse().unwrap_or_else(|error| panic!("AMQP address: {error}"));
        amqp.set_path(&name);
        api.expect(Method::PUT, &["vhosts", &name], Some(json!({}))).await;
        let this = Self { api, name, amqp, users: Mutex::default() };
        // Whoever makes a vhost has no right in it by that alone.
        let administrator = this.amqp.username().to_owned();
        this.permit(&administrator, ".*", ".*", ".*").await;
        this
    }

    /// The vhost's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address as administrator.
    pub fn admin_url(&self) -> &str {
        self.amqp.as_str()
    }

    /// Makes a user with these permissions (regular expressions over names; empty: none) and tells the address.
    pub async fn user(&self, hint: &str, configure: &str, write: &str, read: &str) -> String {
        let (user, password) = (unique(hint), Uuid::new_v4().simple().to_string());
        self.api.expect(Method::PUT, &["users", &user], Some(json!({ "password": password, "tags": "" }))).await;
        self.users.lock().unwrap_or_else(PoisonError::into_inner).push(user.clone());
        self.permit(&user, configure, write, read).await;
        let mut url = self.amqp.clone();
        let _ = url.set_username(&user);
        let _ = url.set_password(Some(&password));
        url.into()
    }

    async fn permit(&self, user: &str, configure: &str, write: &str, read: &str) {
        let rights = json!({ "configure": configure, "write": write, "read": read });
        self.api.expect(Method::PUT, &["permissions", &self.name, user], Some(rights)).await;
    }

    /// Every queue with its depth.
    pub async fn queues(&self) -> BTreeMap<String, QueueDepth> {
        // Without statistics the broker asks the queues themselves.
        let queues: Vec<Queue> =
            self.api.get(&["queues", &self.name], &[("disable_stats", "true"), ("enable_queue_totals", "true")]).await;
        queues.into_iter().map(|queue| (queue.name, queue.depth)).collect()
    }

    /// The depth of one queue; `None` when there is no such queue.
    pub async fn queue_depth(&self, queue: &str) -> Option<QueueDepth> {
        self.queues().await.get(queue).copied()
    }

    /// Deletes a queue under its consumers' feet; true when it was there.
    pub async fn delete_queue(&self, queue: &str) -> bool {
        let (status, text) = self.api.send(Method::DELETE, &["queues", &self.name, queue], &[], None).await;
        assert!(status.is_success() || status == StatusCode::NOT_FOUND, "deleting queue {queue}: {status} {text}");
        status.is_success()
    }

    /// Deletes every queue.
    pub async fn delete_all_queues(&self) {
        for queue in self.queues().await.into_keys() {
            self.delete_queue(&queue).await;
        }
    }

    /// Deletes the vhost and its users now.
    pub async fn close(mut self) {
        self.remove().await;
        self.name.clear();
    }

    fn remove(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let (api, name) = (self.api.clone(), self.name.clone());
        let users = std::mem::take(self.users.get_mut().unwrap_or_else(PoisonError::into_inner));
        async move {
            for user in users {
                api.try_send(Method::DELETE, &["users", &user], &[], None).await.ok();
            }
            api.try_send(Method::DELETE, &["vhosts", &name], &[], None).await.ok();
        }
    }
}

impl Drop for TestVhost {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            // The client belongs to the runtime of the test: a new one for the runtime of the clean-up.
            self.api.client = client();
            teardown::finish(self.remove());
        }
    }
}

fn unique(hint: &str) -> String {
    let unique = Uuid::new_v4().simple().to_string();
    format!("{PREFIX}{}-{hint}-{}", SystemClock::default().now().timestamp(), &unique[..12])
}

/// When a name was given, in seconds since 1970; `None` for names we would not give.
fn made_at(name: &str) -> Option<i64> {
    name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok()
}

fn client() -> Client {
    Client::builder()
        .timeout(ANSWER_WITHIN)
        .connect_timeout(ANSWER_WITHIN)
        .no_proxy()
        .build()
        .unwrap_or_else(|error| panic!("HTTP client: {error}"))
}

/// The management API.
#[derive(Clone)]
struct Api {
    client: Client,
    base: Url,
    user: String,
    password: String,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Api").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Api {
    fn new(url: &str) -> Self {
        let mut base: Url = url.parse().unwrap_or_else(|error| panic!("RabbitMQ API address: {error}"));
        let (user, password) = (base.username().to_owned(), base.password().unwrap_or_default().to_owned());
        let _ = base.set_username("");
        let _ = base.set_password(None);
        Self { client: client(), base, user, password }
    }

    async fn try_send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<(StatusCode, String), reqwest::Error> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("api").extend(path);
        }
        let mut request = self.client.request(method, url).basic_auth(&self.user, Some(&self.password)).query(query);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await?;
        Ok((response.status(), response.text().await?))
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> (StatusCode, String) {
        match self.try_send(method, path, query, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("RabbitMQ API {path:?}: {error}"),
        }
    }

    async fn expect(&self, method: Method, path: &[&str], body: Option<Value>) {
        let (status, text) = self.send(method, path, &[], body).await;
        assert!(status.is_success(), "RabbitMQ API {path:?}: {status} {text}");
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &[&str], query: &[(&str, &str)]) -> T {
        let (status, text) = self.send(Method::GET, path, query, None).await;
        match serde_json::from_str(&text) {
            Ok(value) if status.is_success() => value,
            Ok(_) => panic!("RabbitMQ API {path:?}: {status} {text}"),
            Err(error) => panic!("RabbitMQ API {path:?}: {status} {error}: {text}"),
        }
    }

    /// Deletes what crashed runs left, once in this process.
    async fn sweep_once(&self) {
        static SWEPT: Once = Once::new();
        let mut first = false;
        SWEPT.call_once(|| first = true);
        if !first {
            return;
        }
        let oldest = SystemClock::default().now().timestamp() - LEFT_OVER_AFTER_SECONDS;
        for kind in ["vhosts", "users"] {
            let all: Vec<Named> = self.get(&[kind], &[]).await;
            for left in all.iter().filter(|entry| made_at(&entry.name).is_some_and(|made| made < oldest)) {
                self.try_send(Method::DELETE, &[kind, &left.name], &[], None).await.ok();
            }
        }
    }
}
