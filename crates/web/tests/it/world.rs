//! A database of its own, an API on it, and keys of every role.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use lockstep_connector::{AddressRules, Descriptor};
use lockstep_model::{clock::SystemClock, protocol::Capabilities};
use lockstep_store::{
    PoolOptions, Store, Vault,
    access::{self, Role},
    organisations,
};
use lockstep_test_support::postgres::TestDatabase;
use lockstep_web::{AppState, WebConfig};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) struct World {
    pub(crate) database: TestDatabase,
    pub(crate) store: Store,
    pub(crate) registry: prometheus::Registry,
    pub(crate) state: Arc<AppState>,
    router: Router,
    administrator: String,
    operator: String,
    service: String,
    user: OnceLock<String>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn etag(&self) -> String {
        self.headers["etag"].to_str().unwrap().to_owned()
    }

    pub(crate) fn id(&self) -> String {
        self.body["id"].as_str().unwrap().to_owned()
    }

    /// The answer, if it has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }

    /// Names of the fields a problem complains of, with their rules.
    pub(crate) fn complaints(&self) -> Vec<(String, String)> {
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        let errors = self.body["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|e| (text(&e["field"]), text(&e["rule"]))).collect()
    }
}

pub(crate) fn descriptors() -> Vec<Descriptor> {
    let reads = Capabilities { incoming_email: true, delete_after_processing: true, ..Capabilities::default() };
    let sends = Capabilities { outgoing_email: true, ..Capabilities::default() };
    let everything = Capabilities { act: true, outgoing_email: true, ..reads };
    let exchange = Capabilities {
        sent_items: true,
        folders: true,
        over_http: true,
        discovery: true,
        server_to_server: true,
        ..everything
    };
    let of = |name: &str, capabilities, implicit_tls_port, plain_port| Descriptor {
        name: name.parse().unwrap(),
        capabilities,
        implicit_tls_port,
        plain_port,
    };
    vec![
        of("pop3", reads, 995, 110),
        of("smtp", sends, 465, 587),
        of("all-in-one", everything, 443, 80),
        of("ews", exchange, 443, 80),
    ]
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&WebConfig::default()).await
    }

    pub(crate) async fn with(config: &WebConfig) -> Self {
        Self::sending_to(config, AddressRules { allow_private: true }).await
    }

    /// With webhooks going to such addresses only.
    pub(crate) async fn sending_to(config: &WebConfig, receivers: AddressRules) -> Self {
        let database = TestDatabase::create().await;
        let options = PoolOptions {
            max_connections: 8,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(20),
            application_name: "lockstep-web-test".into(),
        };
        let vault = Vault::new([("test".to_owned(), vec![7; 32])]).unwrap();
        let store = Store::open(database.url(), &options, Arc::new(SystemClock::default()), vault).unwrap();
        store.migrate().await.unwrap();
        let mut tx = store.begin().await.unwrap();
        organisations::create(&mut tx, "Test organisation", "test").await.unwrap();
        let mut keys = Vec::new();
        for role in [Role::Administrator, Role::Operator, Role::Service] {
            let (_, key) = access::create_api_key(&mut tx, role.as_str(), role, None, "test").await.unwrap();
            keys.push(key.expose_secret().to_owned());
        }
        tx.commit().await.unwrap();
        let registry = prometheus::Registry::new();
        let state =
            AppState::new(store.clone(), descriptors(), |name| name == "windows-1251", receivers, config, &registry)
                .unwrap();
        let [administrator, operator, service] = keys.try_into().unwrap();
        Self {
            database,
            store,
            registry,
            router: lockstep_web::router(Arc::clone(&state)),
            state,
            administrator,
            operator,
            service,
            user: OnceLock::new(),
        }
    }

    pub(crate) fn key(&self, role: Role) -> &str {
        match role {
            Role::Administrator => &self.administrator,
            Role::Operator => &self.operator,
            Role::Service => &self.service,
            Role::User => self.user.get().expect("nobody signed in"),
        }
    }

    /// Sends anything.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 64 * 1024 * 1024).await.unwrap().to_vec();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, bytes, body }
    }

    /// A key of a user, as the API gives it.
    pub(crate) async fn key_of(&self, user: &str) -> String {
        let wanted = json!({ "name": "a user's", "role": "user", "user_id": user });
        let made = self.post("/api-keys", wanted).await.expect(201);
        made.body["key"].as_str().unwrap().to_owned()
    }

    /// A user, its mailbox, and from now on the one whose key [`Role::User`] stands for.
    pub(crate) async fn sign_in(&self, name: &str) -> (String, String) {
        let (user, mailbox) = self.user(name).await;
        self.user.set(self.key_of(&user).await).expect("somebody signed in already");
        (user, mailbox)
    }

    /// Sends JSON, as this role, with further headers.
    pub(crate) async fn call(
        &self,
        role: Option<Role>,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.call_with(role.map(|role| self.key(role)), method, path, body, headers).await
    }

    /// Sends JSON, with this key.
    pub(crate) async fn call_with(
        &self,
        key: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request =
            Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(format!("/api/v1{path}"));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = match body {
            Some(body) => {
                request.header("content-type", "application/json").body(Body::from(serde_json::to_vec(body).unwrap()))
            }
            None => request.body(Body::empty()),
        };
        self.send(request.unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Some(Role::Administrator), "GET", path, None, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Some(Role::Administrator), "POST", path, Some(&body), &[]).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Some(Role::Administrator), "PATCH", path, Some(&body), &[]).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Some(Role::Administrator), "DELETE", path, None, &[]).await
    }

    /// A user, and its mailbox.
    pub(crate) async fn user(&self, name: &str) -> (String, String) {
        let address = format!("{name}@example.test");
        let user = self.post("/users", json!({ "name": name, "address": address })).await.expect(201).id();
        (user.clone(), self.mailbox_of(&user).await)
    }

    pub(crate) async fn mailbox_of(&self, owner: &str) -> String {
        let list = self.get(&format!("/mailboxes?owner={owner}")).await.expect(200);
        list.body["items"][0]["id"].as_str().unwrap().to_owned()
    }

    /// A profile whose mailboxes have their own accounts.
    pub(crate) async fn profile(&self, name: &str) -> String {
        self.post("/email-server-profiles", profile(name)).await.expect(201).id()
    }

    /// A column of texts out of the database.
    pub(crate) async fn texts(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(self.database.pool()).await.unwrap()
    }

    /// One number out of the database.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.database.pool()).await.unwrap()
    }
}

/// Whether a route takes a body; others refuse one.
pub(crate) fn takes_body(method: &str, path: &str) -> bool {
    static DOCUMENT: OnceLock<Value> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| serde_json::to_value(lockstep_web::openapi()).unwrap());
    document["paths"][path][method.to_ascii_lowercase()].get("requestBody").is_some()
}

pub(crate) fn profile(name: &str) -> Value {
    json!({
        "name": name,
        "incoming": { "protocol": "pop3", "host": "pop.example.test" },
        "outgoing": { "protocol": "smtp", "host": "smtp.example.test" },
        "credentials": "mailbox",
    })
}
