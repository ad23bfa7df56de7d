//! Mailboxes of a deployment: an account on the mail server, a user or queue, a tested and enabled mailbox record.

use std::{fs, time::Duration};

use lockstep_test_support::{Service, mail::MailAccount};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{Cluster, TrackOption, api};

const ENABLED_WITHIN: Duration = Duration::from_secs(60);

/// What the Message-ID of a message of Test & Enable begins with.
const TEST_MESSAGE: &[u8] = b"<test-";

/// A mailbox that Lockstep synchronises.
#[derive(Debug, Clone)]
pub struct TestMailbox {
    /// The account on the mail server.
    pub account: MailAccount,
    /// The mailbox record.
    pub mailbox: Uuid,
    /// The user or queue it belongs to.
    pub owner: Uuid,
}

impl TestMailbox {
    /// Its address.
    pub fn address(&self) -> &str {
        self.account.address()
    }
}

/// What a further email server profile is made with.
#[derive(Debug, Clone)]
pub struct ProfileOptions {
    /// Its name.
    pub name: String,
    /// Where the incoming server is reached, on 127.0.0.1.
    pub incoming_port: u16,
    /// Where the outgoing server is reached, on 127.0.0.1.
    pub outgoing_port: u16,
    /// Connections to one account at one time.
    pub max_connections: u32,
    /// Longest wait for one answer.
    pub request_timeout: Duration,
    /// Shortest polling interval, unscaled.
    pub min_polling_minutes: u32,
    /// The account with which every mailbox logs in; without one each has its own.
    pub account: Option<MailAccount>,
}

impl Cluster {
    /// The options of the profile that mailboxes get when nothing else is said.
    pub fn profile_options(&self) -> ProfileOptions {
        ProfileOptions {
            name: "Mail server".to_owned(),
            incoming_port: self.mail.incoming,
            outgoing_port: self.mail.outgoing,
            max_connections: self.options.max_connections,
            request_timeout: Duration::from_secs(20),
            min_polling_minutes: 0,
            account: None,
        }
    }

    /// Makes an email server profile.
    pub async fn create_profile(&self, options: &ProfileOptions) -> Uuid {
        let endpoint = |protocol: &str, port: u16, tls: &str| json!({ "protocol": protocol, "host": "127.0.0.1", "port": port, "tls": tls });
        let mut profile = json!({
            "name": options.name,
            "incoming": endpoint("pop3", options.incoming_port, "implicit"),
            "outgoing": endpoint("smtp", options.outgoing_port, "start-tls"),
            "credentials": "mailbox",
            "max_connections": options.max_connections,
            "request_timeout_ms": u64::try_from(options.request_timeout.as_millis()).unwrap_or(u64::MAX),
            "min_polling_minutes": options.min_polling_minutes,
            "process_emails_from": "2000-01-01T00:00:00Z",
        });
        if let Some(account) = &options.account {
            profile["credentials"] = json!("profile");
            profile["login"] = json!(account.address());
            profile["password"] = json!(account.password());
        }
        api::id(&self.api().post("/email-server-profiles", &profile).await)
    }

    /// The profile of the shared mail server, made when first asked for.
    pub async fn profile(&self) -> Uuid {
        *self.profile.get_or_init(|| async { self.create_profile(&self.profile_options()).await }).await
    }

    /// A mail account nobody in the CRM knows.
    pub fn account(&self, hint: &str) -> MailAccount {
        MailAccount::create(self.services(Service::Dovecot), hint, "mail.test")
    }

    /// A user with an enabled mailbox.
    pub async fn mailbox_for_new_user(&self, track: TrackOption) -> TestMailbox {
        let profile = self.profile().await;
        self.user_on(profile, track).await
    }

    /// A user with an enabled mailbox on this profile.
    pub async fn user_on(&self, profile: Uuid, track: TrackOption) -> TestMailbox {
        let account = self.account("user");
        let owner = self.user_of(&account, track).await;
        self.connect(profile, account, owner, false).await
    }

    /// A user with an enabled mailbox on a profile whose account reads and sends for everybody: the mailbox has no
    /// credentials, and what is sent to its address arrives in that account.
    pub async fn user_sharing(&self, profile: Uuid, shared: &MailAccount, track: TrackOption) -> TestMailbox {
        let account = MailAccount::create_leading_to(self.services(Service::Dovecot), "user", "mail.test", shared);
        let owner = self.user_of(&account, track).await;
        self.enable(profile, account, owner, &json!({})).await
    }

    async fn user_of(&self, account: &MailAccount, track: TrackOption) -> Uuid {
        let fields = json!({ "name": account.address(), "address": account.address(), "track_option": track.as_str() });
        api::id(&self.api().post("/users", &fields).await)
    }

    /// A queue with an enabled mailbox; processed messages are deleted there when asked for.
    pub async fn mailbox_for_new_queue(&self, delete_after_processing: bool) -> TestMailbox {
        let profile = self.profile().await;
        let account = self.account("queue");
        let fields = json!({ "name": account.address(), "address": account.address(), "track_option": "all" });
        let owner = api::id(&self.api().post("/queues", &fields).await);
        self.connect(profile, account, owner, delete_after_processing).await
    }

    async fn connect(&self, profile: Uuid, account: MailAccount, owner: Uuid, delete: bool) -> TestMailbox {
        let fields = json!({
            "allow_credentials": true,
            "login": account.address(),
            "password": account.password(),
            "delete_after_processing": delete,
        });
        self.enable(profile, account, owner, &fields).await
    }

    async fn enable(&self, profile: Uuid, account: MailAccount, owner: Uuid, more: &Value) -> TestMailbox {
        let found = self.api().list(&format!("/mailboxes?owner={owner}")).await;
        let mailbox = found.first().map_or_else(|| panic!("{owner} has no mailbox"), api::id);
        let mut fields = json!({
            "profile_id": profile,
            "incoming_method": "server-side",
            "outgoing_method": "server-side",
            "process_email_from": "2000-01-01T00:00:00Z",
        });
        if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
            fields.extend(more.clone());
        }
        self.api().patch(&format!("/mailboxes/{mailbox}"), &fields).await;
        self.api().act(&format!("/mailboxes/{mailbox}/approve")).await;
        let operation = self.api().test_and_enable(mailbox, ENABLED_WITHIN).await;
        assert_eq!(operation["state"], "done", "{operation}");
        self.forget_test_message(&account);
        TestMailbox { account, mailbox, owner }
    }

    /// Takes the message of Test & Enable away, so that a mailbox begins empty.
    fn forget_test_message(&self, account: &MailAccount) {
        let home = self.services(Service::Dovecot).mail_dir().join(account.address());
        for folder in ["new", "cur"] {
            let Ok(entries) = fs::read_dir(home.join(folder)) else { continue };
            for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
                let is_it = |bytes: Vec<u8>| bytes.windows(TEST_MESSAGE.len()).any(|part| part == TEST_MESSAGE);
                if fs::read(&path).is_ok_and(is_it) {
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }

    /// How the incoming lane of a mailbox stands.
    pub async fn lane(&self, mailbox: &TestMailbox) -> Value {
        let record = self.api().get(&format!("/mailboxes/{}", mailbox.mailbox)).await;
        let lanes = record["lanes"].as_array().cloned().unwrap_or_default();
        lanes.into_iter().find(|lane| lane["lane"] == "incoming").unwrap_or_else(|| panic!("no lane in {record}"))
    }
}
