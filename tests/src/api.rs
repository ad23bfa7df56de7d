//! A small client of the REST API.

use std::time::Duration;

use lockstep_test_support::eventually;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use uuid::Uuid;

const ANSWER_WITHIN: Duration = Duration::from_secs(30);

pub(crate) fn client() -> Client {
    Client::builder()
        .timeout(ANSWER_WITHIN)
        .connect_timeout(ANSWER_WITHIN)
        .no_proxy()
        .build()
        .unwrap_or_else(|error| panic!("HTTP client: {error}"))
}

/// An answer of the API.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The ETag, if there is one.
    pub etag: Option<String>,
    /// The body; `Null` when there is none.
    pub body: Value,
    request: String,
}

impl Answer {
    /// The body of an answer with this status.
    ///
    /// # Panics
    /// When the status is another one.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.request, self.body);
        self.body
    }

    /// The body of a successful answer.
    ///
    /// # Panics
    /// When it was not successful.
    pub fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{}: {} {}", self.request, self.status, self.body);
        self.body
    }
}

/// The id in a record.
///
/// # Panics
/// When there is none.
pub(crate) fn id(record: &Value) -> Uuid {
    let id = record["id"].as_str().and_then(|text| text.parse().ok());
    id.unwrap_or_else(|| panic!("no id in {record}"))
}

/// The API of one deployment, with one key.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    base: String,
    key: String,
}

impl Api {
    /// At `base` (scheme, host, port), with `key`.
    pub fn new(base: String, key: String) -> Self {
        Self { client: client(), base, key }
    }

    /// The same API with another key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// The key in use.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Any request; `path` begins with a slash and comes after `/api/v1`.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn try_send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, reqwest::Error> {
        let request = format!("{method} {path}");
        let mut builder = self.client.request(method, format!("{}/api/v1{path}", self.base)).bearer_auth(&self.key);
        if let Some(body) = body {
            builder = builder.json(body);
        }
        let answer = builder.send().await?;
        let status = answer.status().as_u16();
        let etag = answer.headers().get("etag").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bytes = answer.bytes().await?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok(Answer { status, etag, body, request })
    }

    /// Any request.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = format!("{method} {path}");
        self.try_send(method, path, body).await.unwrap_or_else(|error| panic!("{request}: {error:?}"))
    }

    /// `GET`, answered by 200.
    pub async fn get(&self, path: &str) -> Value {
        self.send(Method::GET, path, None).await.expect(200)
    }

    /// `POST`, answered by success.
    pub async fn post(&self, path: &str, body: &Value) -> Value {
        self.send(Method::POST, path, Some(body)).await.ok()
    }

    /// `POST` without a body, answered by success.
    pub async fn act(&self, path: &str) -> Value {
        self.send(Method::POST, path, None).await.ok()
    }

    /// `PATCH`, answered by 200.
    pub async fn patch(&self, path: &str, body: &Value) -> Value {
        self.send(Method::PATCH, path, Some(body)).await.expect(200)
    }

    /// `DELETE`, answered by 204.
    pub async fn delete(&self, path: &str) {
        self.send(Method::DELETE, path, None).await.expect(204);
    }

    /// Every record of a list.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mut after = String::new();
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{sign}limit=200{after}")).await;
            all.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return all,
            }
        }
    }

    /// `POST` of a file, answered by success.
    ///
    /// # Panics
    /// When there is no answer, or another one.
    pub async fn upload(&self, path: &str, bytes: Vec<u8>) -> Value {
        let request = self.client.post(format!("{}/api/v1{path}", self.base)).bearer_auth(&self.key);
        let answer = request.header("content-type", "application/octet-stream").body(bytes).send().await.unwrap();
        let (status, body) = (answer.status(), answer.bytes().await.unwrap());
        assert!(status.is_success(), "POST {path}: {status} {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap_or(Value::Null)
    }

    /// The bytes behind a path, such as an attachment's content.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub async fn download(&self, path: &str) -> Vec<u8> {
        let url = format!("{}/api/v1{path}", self.base);
        let answer = self.client.get(url).bearer_auth(&self.key).send().await.unwrap();
        assert_eq!(answer.status(), 200, "GET {path}");
        answer.bytes().await.unwrap().to_vec()
    }

    /// Makes a contact, so that its address belongs to a customer.
    pub async fn contact(&self, name: &str, address: &str) -> Uuid {
        id(&self.post("/contacts", &json!({ "name": name, "address": address })).await)
    }

    /// Writes an email of a user and asks for it to be sent; tells its id. `extra` may hold further fields of the draft,
    /// such as `in_reply_to_email_id`.
    pub async fn create_and_send(&self, user: Uuid, to: &[&str], subject: &str, extra: Value) -> Uuid {
        let to: Vec<_> = to.iter().map(|address| json!({ "address": address })).collect();
        let mut draft = json!({
            "from": { "user_id": user }, "to": to, "subject": subject, "body_text": format!("The email {subject:?}.\n"),
        });
        if let (Value::Object(draft), Value::Object(extra)) = (&mut draft, extra) {
            draft.extend(extra);
        }
        let email = id(&self.post("/emails", &draft).await);
        self.act(&format!("/emails/{email}/send")).await;
        email
    }

    /// An email with its parties, files and delivery.
    pub async fn email(&self, email: Uuid) -> Value {
        self.get(&format!("/emails/{email}")).await
    }

    /// Waits until an email has this status; tells the email.
    pub async fn wait_status(&self, email: Uuid, status: &str, within: Duration) -> Value {
        let reached = async || {
            let now = self.email(email).await;
            if now["status"] == status { Ok(now) } else { Err(now) }
        };
        eventually(within, reached, &format!("the email is {status}")).await
    }

    /// Asks a mailbox to be tested and waits for the operation's end; tells the operation.
    pub async fn test_and_enable(&self, mailbox: Uuid, within: Duration) -> Value {
        let operation = self.act(&format!("/mailboxes/{mailbox}/test-and-enable")).await;
        self.operation_ended(id(&operation), within).await
    }

    /// Waits for an operation's end; tells the operation.
    pub async fn operation_ended(&self, operation: Uuid, within: Duration) -> Value {
        let ended = async || {
            let now = self.get(&format!("/operations/{operation}")).await;
            if now["state"] == "pending" { Err(now) } else { Ok(now) }
        };
        eventually(within, ended, "the operation ends").await
    }

    /// The open alerts, whether or not the organisation shows their levels.
    pub async fn alerts(&self) -> Vec<Value> {
        self.list("/alerts?switched_off=true").await
    }

    /// The open alerts' codes, sorted.
    pub async fn alert_codes(&self) -> Vec<String> {
        let mut codes: Vec<_> =
            self.alerts().await.iter().filter_map(|alert| alert["code"].as_str().map(str::to_owned)).collect();
        codes.sort();
        codes
    }

    /// The whole change feed from its beginning.
    pub async fn changes(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut query = "?limit=200".to_owned();
        loop {
            let stretch = self.get(&format!("/changes{query}")).await;
            let items = stretch["items"].as_array().cloned().unwrap_or_default();
            if items.is_empty() {
                return all;
            }
            all.extend(items);
            let (next, epoch) = (&stretch["next"], stretch["epoch"].as_str().unwrap_or_default());
            query = format!("?limit=200&after={next}&epoch={epoch}");
        }
    }
}
