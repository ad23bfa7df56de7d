//! What happens, in its order.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use lockstep_e2e::{Cluster, Service, mail::Draft};
use lockstep_test_support::mail::{deliver_maildir, deliver_smtp};
use serde_json::json;

use super::{
    counts::{self, Counts, SENDER_PREFIX},
    messages::{self, Post, Route},
    progress::Progress,
    report::HandedOver,
    world::{CORA, SALES, World, id},
};

/// Subject of the message that is answered from the CRM.
const ANSWERED: &str = "Quote for 40 desk lamps";
/// Longest wait for everything to be read, or for the answer to arrive.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The demonstration under way.
pub(crate) struct Story<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) world: &'a World,
    pub(crate) progress: &'a mut Progress,
    pub(crate) posts: Vec<Post>,
}

impl<'a> Story<'a> {
    /// The messages are chosen; nothing is delivered yet.
    pub(crate) fn new(cluster: &'a Cluster, world: &'a World, progress: &'a mut Progress) -> Self {
        let mut posts = messages::corpus(&world.addresses, world.customer.address());
        posts.push(messages::large(posts.len() + 1, &world.addresses[SALES], world.customer.address()));
        Self { cluster, world, progress, posts }
    }

    fn boxes(&self) -> PathBuf {
        self.cluster.services(Service::Dovecot).mail_dir()
    }

    async fn count(&self) -> Result<Counts> {
        counts::count(self.cluster.pool(), &self.boxes(), &self.world.addresses, &self.posts).await
    }

    /// Puts every message into its mailboxes.
    pub(crate) async fn deliver(&mut self) -> Result<()> {
        for at in 0..self.posts.len() {
            self.post(at).await?;
            let text = format!("{} of {}: {}", at + 1, self.posts.len(), self.posts[at].label);
            self.progress.state(&text);
        }
        Ok(())
    }

    async fn post(&self, at: usize) -> Result<()> {
        let (post, services) = (&self.posts[at], self.cluster.services(Service::Exim));
        match post.route {
            Route::Smtp => {
                let sender = format!("{SENDER_PREFIX}{}@customer.test", post.number);
                let to: Vec<&str> = post.to.iter().map(|index| self.world.addresses[*index].as_str()).collect();
                deliver_smtp(services, &post.raw, &sender, &to).await.with_context(|| post.label.clone())?;
            }
            Route::Maildir => {
                for index in &post.to {
                    deliver_maildir(services, &self.world.mailboxes[*index].account, &post.raw);
                }
            }
        }
        Ok(())
    }

    /// What was handed over so far, with `foreign` copies of emails the CRM sent.
    pub(crate) fn handed_over(&self, foreign: usize) -> HandedOver {
        // The test of each mailbox leaves the message that it has sent there.
        let more = foreign + self.world.mailboxes.len();
        let addressed = self.posts.iter().map(|post| post.to.len()).sum::<usize>() + more;
        HandedOver { messages: self.posts.len() + more, addressed }
    }

    /// Waits until every message lies in its folder and something is remembered of each. When time is up, the counts
    /// tell what is missing.
    pub(crate) async fn settle(&mut self, foreign: usize) -> Result<Counts> {
        let expected = self.handed_over(foreign).addressed;
        let begun = Instant::now();
        loop {
            let counts = self.count().await?;
            let settled = counts.sum(|mailbox| mailbox.delivered) >= expected && counts.waiting() == 0;
            if settled || begun.elapsed() > SETTLED_WITHIN {
                return Ok(counts);
            }
            self.progress.state(&counts.line());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Cora answers Anna's message from the CRM, with a copy to herself, and the answer arrives. Tells its Message-ID.
    pub(crate) async fn answer(&mut self) -> Result<String> {
        let (api, anna) = (self.cluster.api(), self.world.customer.address());
        let records = api.list("/emails").await;
        let answered = records.iter().find(|record| record["subject"] == ANSWERED);
        let answered = id(answered.with_context(|| format!("there is no record {ANSWERED:?}"))?)?;
        let draft = json!({
            "from": { "user_id": self.world.mailboxes[CORA].owner },
            "to": [{ "name": "Anna Berg", "address": anna }],
            "cc": [{ "name": "Cora Paz", "address": self.world.addresses[CORA] }],
            "subject": format!("Re: {ANSWERED}"),
            "body_text": "Dear Anna,\n\n40 lamps can be with you on Friday.\n\nCora\n",
            "in_reply_to_email_id": answered,
        });
        let email = id(&api.post("/emails", &draft).await)?;
        api.act(&format!("/emails/{email}/send")).await;
        let begun = Instant::now();
        loop {
            let now = api.get(&format!("/emails/{email}")).await;
            let status = now["status"].as_str().unwrap_or_default();
            let message_id = now["message_id"].as_str().unwrap_or_default();
            if status == "sent" && !message_id.is_empty() && self.copies(message_id)? > 0 {
                return Ok(message_id.to_owned());
            }
            ensure!(status != "failed", "the answer was not sent: {now}");
            if begun.elapsed() > SETTLED_WITHIN {
                bail!("the answer did not arrive: {now}");
            }
            self.progress.state(&format!("the answer is {status}"));
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Anna answers Cora, who tracks nothing but answers.
    pub(crate) async fn answer_back(&mut self, message_id: &str) -> Result<()> {
        let raw =
            Draft::new(self.world.customer.address(), &[&self.world.addresses[CORA]], &format!("Re: Re: {ANSWERED}"))
                .header("In-Reply-To", &format!("<{message_id}>"))
                .body("Friday is fine, thank you!\r\n")
                .to_bytes();
        let number = self.posts.len() + 1;
        self.posts.push(Post { number, label: "Anna's answer".to_owned(), raw, route: Route::Smtp, to: vec![CORA] });
        self.post(number - 1).await
    }

    /// How many copies of an email lie in Anna's folder now.
    pub(crate) fn copies(&self, message_id: &str) -> Result<usize> {
        Ok(counts::files_with(&self.boxes().join(self.world.customer.address()), message_id)?.len())
    }
}
