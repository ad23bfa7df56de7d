//! Counting what happened, without the code that did it: files in the mail server's folders, rows by SQL of our own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::{ErrorKind, Read},
    path::Path,
};

use anyhow::{Context, Result};
use serde::Serialize;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use super::messages::{Post, Route};

/// The envelope's sender tells the messages apart; the mail server keeps it as Return-Path.
pub(crate) const SENDER_PREFIX: &str = "post-";
/// What is read of a file to find that line: the mail server puts it first.
const HEAD: u64 = 4096;

/// A message in a mailbox's folder.
#[derive(Debug)]
struct Delivered {
    /// Which post it is; `None` for mail that is none of the posts, such as an email the CRM sent.
    number: Option<usize>,
    /// What POP3 calls it; `None` until the server has looked at the file.
    uidl: Option<String>,
}

/// What the database knows of a message in a mailbox.
#[derive(Debug)]
struct Remembered {
    disposition: String,
    reason: String,
    email: Option<Uuid>,
    linked: bool,
}

/// One mailbox.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct MailboxCounts {
    /// Files in its folder.
    pub(crate) delivered: usize,
    /// Of these, linked to a record.
    pub(crate) tracked: usize,
    /// Of these, declined by rule: by reason.
    pub(crate) refused: BTreeMap<String, usize>,
    /// Of these, set aside after failures.
    pub(crate) quarantined: usize,
    /// Of these, not looked at yet; what is left at the end is lost.
    pub(crate) waiting: usize,
    /// Different records its messages became.
    pub(crate) records: usize,
}

/// All mailboxes.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    /// In the order the folders were given.
    pub(crate) mailboxes: Vec<MailboxCounts>,
    /// Records of received mail in the database.
    pub(crate) records: usize,
    /// Records beyond one for each message.
    pub(crate) duplicated: usize,
    /// Different messages that ended in one record.
    pub(crate) merged: usize,
}

impl Counts {
    pub(crate) fn sum(&self, what: impl Fn(&MailboxCounts) -> usize) -> usize {
        self.mailboxes.iter().map(what).sum()
    }

    pub(crate) fn refused(&self) -> usize {
        self.sum(|mailbox| mailbox.refused.values().sum())
    }

    pub(crate) fn waiting(&self) -> usize {
        self.sum(|mailbox| mailbox.waiting)
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        format!(
            "delivered {} · tracked {} · refused {} · waiting {} · records {}",
            self.sum(|mailbox| mailbox.delivered),
            self.sum(|mailbox| mailbox.tracked),
            self.refused(),
            self.waiting(),
            self.records
        )
    }
}

/// Counts every mailbox: its folder on the server and its address.
pub(crate) async fn count(pool: &PgPool, boxes: &Path, addresses: &[String], posts: &[Post]) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut records_of: HashMap<usize, BTreeSet<Uuid>> = HashMap::new();
    let mut messages_of: HashMap<Uuid, BTreeSet<usize>> = HashMap::new();
    let mut all_records = BTreeSet::new();
    for address in addresses {
        let delivered = maildir(&boxes.join(address), posts)?;
        let remembered = remembered(pool, address).await?;
        let mut mailbox = MailboxCounts { delivered: delivered.len(), ..MailboxCounts::default() };
        let mut records = BTreeSet::new();
        for message in delivered {
            match message.uidl.as_ref().and_then(|uidl| remembered.get(uidl)) {
                Some(Remembered { disposition, email: Some(email), linked: true, .. }) if disposition == "tracked" => {
                    mailbox.tracked += 1;
                    records.insert(*email);
                    if let Some(number) = message.number {
                        records_of.entry(number).or_default().insert(*email);
                        messages_of.entry(*email).or_default().insert(number);
                    }
                }
                Some(known) if known.disposition == "refused" => {
                    *mailbox.refused.entry(known.reason.clone()).or_default() += 1;
                }
                Some(known) if known.disposition == "quarantined" => mailbox.quarantined += 1,
                _ => mailbox.waiting += 1,
            }
        }
        mailbox.records = records.len();
        all_records.extend(records);
        counts.mailboxes.push(mailbox);
    }
    let records: i64 = sqlx::query_scalar("SELECT count(*) FROM emails WHERE direction = 'incoming'")
        .fetch_one(pool)
        .await
        .context("counting records")?;
    counts.records = usize::try_from(records)?;
    let beyond_one: usize = records_of.values().map(|records| records.len() - 1).sum();
    // A record no message points to is one too many as well.
    counts.duplicated = beyond_one + counts.records.saturating_sub(all_records.len());
    counts.merged = messages_of.values().map(|messages| messages.len() - 1).sum();
    Ok(counts)
}

/// Files in a mailbox's folder that hold this text.
pub(crate) fn files_with(home: &Path, text: &str) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for path in files(home)? {
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(bytes);
        }
    }
    Ok(found)
}

async fn remembered(pool: &PgPool, address: &str) -> Result<HashMap<String, Remembered>> {
    let rows = sqlx::query(
        "SELECT i.remote_key, i.disposition, coalesce(i.reason, '') AS reason, i.email_id,
                EXISTS (SELECT FROM email_mailboxes l WHERE l.email_id = i.email_id AND l.mailbox_id = i.mailbox_id)
                    AS linked
         FROM remote_items i JOIN mailboxes m ON m.id = i.mailbox_id WHERE m.address = $1",
    )
    .bind(address)
    .fetch_all(pool)
    .await
    .context("reading what became of the messages")?;
    rows.into_iter()
        .map(|row| {
            let key: Vec<u8> = row.try_get("remote_key")?;
            let remembered = Remembered {
                disposition: row.try_get("disposition")?,
                reason: row.try_get("reason")?,
                email: row.try_get("email_id")?,
                linked: row.try_get("linked")?,
            };
            Ok((String::from_utf8_lossy(&key).into_owned(), remembered))
        })
        .collect()
}

fn files(home: &Path) -> Result<Vec<std::path::PathBuf>> {
    let mut paths = Vec::new();
    for folder in ["new", "cur"] {
        match fs::read_dir(home.join(folder)) {
            Ok(entries) => paths.extend(entries.filter_map(|entry| Some(entry.ok()?.path()))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| home.display().to_string()),
        }
    }
    Ok(paths)
}

fn maildir(home: &Path, posts: &[Post]) -> Result<Vec<Delivered>> {
    let numbers = match fs::read_to_string(home.join("dovecot-uidlist")) {
        Ok(text) => uidl_by_name(&text),
        Err(error) if error.kind() == ErrorKind::NotFound => HashMap::new(),
        Err(error) => return Err(error).context("dovecot-uidlist"),
    };
    let mut delivered = Vec::new();
    for path in files(home)? {
        let mut head = Vec::new();
        match fs::File::open(&path).and_then(|file| file.take(HEAD).read_to_end(&mut head)) {
            Ok(_) => {}
            // The server moves a file from new to cur when it first sees it.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = name.split(":2,").next().unwrap_or_default();
        delivered.push(Delivered { number: number(&head, posts), uidl: numbers.get(name).cloned() });
    }
    Ok(delivered)
}

/// Which post a file is, by the envelope's sender; those that were put there as files, by their bytes.
fn number(head: &[u8], posts: &[Post]) -> Option<usize> {
    let first = String::from_utf8_lossy(head.get(..200.min(head.len()))?).into_owned();
    if let Some(sender) = first.strip_prefix("Return-Path: <") {
        return sender.strip_prefix(SENDER_PREFIX)?.split('@').next()?.parse().ok();
    }
    let same = |post: &&Post| {
        post.route == Route::Maildir && post.raw.get(..head.len().max(1).min(post.raw.len())) == Some(head)
    };
    posts.iter().find(same).map(|post| post.number)
}

/// File name (without flags) to the identity Dovecot gives it over POP3: number and validity as hexadecimal digits.
fn uidl_by_name(uidlist: &str) -> HashMap<String, String> {
    let mut lines = uidlist.lines();
    let validity = lines
        .next()
        .and_then(|header| header.split(' ').find_map(|word| word.strip_prefix('V')?.parse::<u32>().ok()))
        .unwrap_or_default();
    lines
        .filter_map(|line| {
            let (before, name) = line.split_once(" :")?;
            let uid: u32 = before.split(' ').next()?.parse().ok()?;
            let name = name.split(":2,").next()?;
            Some((name.to_owned(), format!("{uid:08x}{validity:08x}")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uidlists_are_read() {
        let text = "3 V1795426128 N3 Gc08e\n1 :1795.M7.vm,S=682,W=701\n26 W9 :1796.M8.vm:2,S\n";
        let map = uidl_by_name(text);
        assert_eq!(map.get("1795.M7.vm,S=682,W=701").map(String::as_str), Some("000000016b040750"));
        assert_eq!(map.get("1796.M8.vm").map(String::as_str), Some("0000001a6b040750"));
        assert!(uidl_by_name("").is_empty());
    }

    #[test]
    fn messages_are_recognised() {
        let file =
            Post { number: 7, label: String::new(), raw: b"no header".to_vec(), route: Route::Maildir, to: vec![0] };
        let empty = Post { number: 8, raw: Vec::new(), ..file.clone() };
        let posts = [file, empty];
        assert_eq!(number(b"Return-Path: <post-12@a.test>\nX: y\n", &posts), Some(12));
        assert_eq!(number(b"Return-Path: <cora@a.test>\n", &posts), None);
        assert_eq!(number(b"no header", &posts), Some(7));
        assert_eq!(number(b"", &posts), Some(8));
    }
}
