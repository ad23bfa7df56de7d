//! Counting, directly in PostgreSQL: what became of the messages, whatever the roles say about it.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::{Cluster, TestMailbox};

/// What is remembered of a message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Item {
    /// Its id on the server.
    pub remote_key: Vec<u8>,
    /// `tracked`, `refused` or `quarantined`.
    pub disposition: String,
    /// Why it was refused or set aside.
    pub reason: Option<String>,
    /// The record it became.
    pub email_id: Option<Uuid>,
}

impl Cluster {
    /// How many received emails there are of each Message-ID.
    pub async fn records_per_message_id(&self) -> BTreeMap<String, i64> {
        let rows: Vec<(Option<String>, i64)> =
            sqlx::query_as("SELECT message_id, count(*) FROM emails WHERE direction = 'incoming' GROUP BY message_id")
                .fetch_all(self.pool())
                .await
                .unwrap();
        rows.into_iter().map(|(id, count)| (id.unwrap_or_default(), count)).collect()
    }

    /// How many received emails there are.
    pub async fn received_emails(&self) -> i64 {
        self.number("SELECT count(*) FROM emails WHERE direction = 'incoming'").await
    }

    /// In how many mailboxes each received email was found, by Message-ID.
    pub async fn links(&self) -> BTreeMap<String, i64> {
        let rows: Vec<(Option<String>, i64)> = sqlx::query_as(
            "SELECT e.message_id, count(m.mailbox_id) FROM emails e LEFT JOIN email_mailboxes m ON m.email_id = e.id
             WHERE e.direction = 'incoming' GROUP BY e.message_id",
        )
        .fetch_all(self.pool())
        .await
        .unwrap();
        rows.into_iter().map(|(id, count)| (id.unwrap_or_default(), count)).collect()
    }

    /// What is remembered of the messages of a mailbox.
    pub async fn items(&self, mailbox: &TestMailbox) -> Vec<Item> {
        sqlx::query_as(
            "SELECT remote_key, disposition, reason, email_id FROM remote_items WHERE mailbox_id = $1
             ORDER BY remote_key",
        )
        .bind(mailbox.mailbox)
        .fetch_all(self.pool())
        .await
        .unwrap()
    }

    /// How many messages of a mailbox were tracked.
    pub async fn tracked(&self, mailbox: &TestMailbox) -> usize {
        self.items(mailbox).await.iter().filter(|item| item.disposition == "tracked").count()
    }

    /// How many messages of a mailbox were refused, by reason.
    pub async fn refused_with_reason(&self, mailbox: &TestMailbox) -> BTreeMap<String, usize> {
        let mut reasons = BTreeMap::new();
        for item in self.items(mailbox).await.into_iter().filter(|item| item.disposition == "refused") {
            *reasons.entry(item.reason.unwrap_or_default()).or_default() += 1;
        }
        reasons
    }

    /// Asserts that each of these messages is exactly one record, and nothing else was received.
    ///
    /// # Panics
    /// When one is missing, doubled, or one too many.
    pub async fn assert_each_once<'i>(&self, ids: impl IntoIterator<Item = &'i String>) {
        let expected: BTreeMap<String, i64> = ids.into_iter().map(|id| (id.clone(), 1)).collect();
        let found = self.records_per_message_id().await;
        let lost: Vec<_> = expected.keys().filter(|id| !found.contains_key(*id)).collect();
        let wrong: Vec<_> = found.iter().filter(|(id, count)| expected.get(*id) != Some(count)).collect();
        assert!(
            lost.is_empty() && wrong.is_empty(),
            "of {} messages {} are lost: {lost:?}; doubled or unexpected: {wrong:?}",
            expected.len(),
            lost.len()
        );
    }

    /// Waits until so many emails were received.
    ///
    /// # Panics
    /// When time is up.
    pub async fn wait_received(&self, count: usize, seconds: u64) {
        let wanted = i64::try_from(count).unwrap_or(i64::MAX);
        let received = async || {
            let now = self.received_emails().await;
            if now >= wanted { Ok(()) } else { Err(format!("{now} of {wanted}")) }
        };
        self.wait_until(seconds, "every message is a record", received).await;
    }

    /// Waits until `cycles` further cycles of a mailbox have ended well.
    ///
    /// # Panics
    /// When time is up.
    pub async fn wait_cycles(&self, mailbox: &TestMailbox, cycles: i64, seconds: u64) {
        let before = self.cycles(mailbox).await;
        let passed = async || {
            let now = self.cycles(mailbox).await;
            if now >= before + cycles { Ok(()) } else { Err(format!("{} of {cycles}", now - before)) }
        };
        self.wait_until(seconds, "the mailbox is synchronised", passed).await;
    }

    /// How many cycles of a mailbox have ended well.
    pub async fn cycles(&self, mailbox: &TestMailbox) -> i64 {
        sqlx::query_scalar("SELECT cycles FROM lane_schedules WHERE mailbox_id = $1 AND lane = 'incoming'")
            .bind(mailbox.mailbox)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// A delivery's state.
    pub async fn delivery_state(&self, email: Uuid) -> Option<String> {
        sqlx::query_scalar("SELECT state FROM deliveries WHERE email_id = $1")
            .bind(email)
            .fetch_optional(self.pool())
            .await
            .unwrap()
    }

    /// The number a query answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.pool()).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }
}
