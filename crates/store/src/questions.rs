//! What a person is asked before an item of a mailbox becomes a record, and what was answered. A question hangs on the
//! open alert of its code and item; it is gone when the item is a record, gone, or no longer tracked.

mod candidates;

use chrono::{DateTime, Utc};
use lockstep_model::{
    id::{AlertId, MailboxId},
    record::{Kind, RecordId},
    remote::RemoteKey,
};
use uuid::Uuid;

use crate::{
    Error, Result, Tx,
    alerts::{self, Subject},
    links::kind_of,
};

pub use candidates::{bookings, like};

/// An appointment takes time that is taken.
pub const SCHEDULING_CONFLICT: &str = "SchedulingConflict";

/// A contact is there already.
pub const DUPLICATE_CONTACT: &str = "DuplicateContact";

/// The answer that makes an appointment a record all the same.
pub const YES: &str = "yes";

/// The answer that leaves an appointment where it is.
pub const NO: &str = "no";

/// The answer that ties a contact to the record that is there.
pub const LINK: &str = "link";

/// The answer that makes a contact a second record.
pub const CREATE: &str = "create";

/// The answer that leaves a contact where it is.
pub const IGNORE: &str = "ignore";

/// A question about an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The item.
    pub item: RemoteKey,
    /// The folder it is in: `contacts` or `calendar`.
    pub folder: String,
    /// The alert that asks.
    pub code: String,
    /// Digest of what the answer holds for; `None`: whatever the item says.
    pub about: Option<Vec<u8>>,
    /// The record that stands in the way.
    pub record: Option<(Kind, RecordId)>,
    /// What may be answered; nothing where nobody was asked.
    pub answers: Vec<String>,
    /// Somebody has named the item: it counts as tracked, whatever its categories.
    pub by_hand: bool,
    /// What was answered.
    pub answer: Option<String>,
}

struct Row {
    remote_key: Vec<u8>,
    folder: String,
    code: String,
    about: Option<Vec<u8>>,
    record_kind: Option<String>,
    record_id: Option<Uuid>,
    answers: Vec<String>,
    by_hand: bool,
    answer: Option<String>,
}

impl TryFrom<Row> for Question {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let record = match (row.record_kind, row.record_id) {
            (Some(kind), Some(id)) => Some((kind_of("questions", id, &kind)?, RecordId(id))),
            _ => None,
        };
        Ok(Self {
            item: RemoteKey::new(row.remote_key)
                .ok_or_else(|| Error::unreadable("questions", "remote_key", Uuid::nil(), "empty or too long"))?,
            folder: row.folder,
            code: row.code,
            about: row.about,
            record,
            answers: row.answers,
            by_hand: row.by_hand,
            answer: row.answer,
        })
    }
}

/// What is asked, or was answered, about these items of a mailbox.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn of(tx: &mut Tx, mailbox: MailboxId, items: &[RemoteKey]) -> Result<Vec<Question>> {
    if items.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<_> = items.iter().map(|key| key.as_bytes().to_vec()).collect();
    let rows = sqlx::query_as!(
        Row,
        "/* questions::of */ SELECT remote_key, folder, code, about, record_kind, record_id, answers, by_hand,
             answer
         FROM questions
         WHERE mailbox_id = $1 AND remote_key = ANY($2)",
        mailbox.0,
        &keys,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Question::try_from).collect()
}

/// Questions whose items are due for another look, longest due first, at most `limit`.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn due(tx: &mut Tx, mailbox: MailboxId, limit: i64) -> Result<Vec<Question>> {
    let now = tx.now();
    let rows = sqlx::query_as!(
        Row,
        "/* questions::due */ SELECT remote_key, folder, code, about, record_kind, record_id, answers, by_hand,
             answer
         FROM questions
         WHERE mailbox_id = $1 AND look_at <= $2 ORDER BY look_at LIMIT $3",
        mailbox.0,
        now,
        limit,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Question::try_from).collect()
}

/// Which of these contacts may be tied to an item, as soon as somebody says so: no other item is made of them meanwhile.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn in_question(tx: &mut Tx, mailbox: MailboxId, records: &[RecordId]) -> Result<Vec<RecordId>> {
    if records.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = records.iter().map(|id| id.0).collect();
    let found = sqlx::query_scalar!(
        "/* questions::in_question */ SELECT record_id AS \"id!\" FROM questions
         WHERE mailbox_id = $1 AND record_id = ANY($2) AND 'link' = ANY(answers)
           AND (answer IS NULL OR answer = 'link')",
        mailbox.0,
        &ids,
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(found.into_iter().map(RecordId).collect())
}

/// How a question stands that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It was not asked before, or asked of something else.
    Anew,
    /// It was asked already, and nobody has answered.
    Open,
    /// It was answered meanwhile.
    Answered,
}

/// Asks: another question about an item takes the place of the one before and its answer, the same one stands as it is.
/// `look_at`: when the item is looked at again without an answer.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn ask(tx: &mut Tx, mailbox: MailboxId, question: &Question, look_at: DateTime<Utc>) -> Result<Standing> {
    let now = tx.now();
    let changed = sqlx::query!(
        "/* questions::ask */ INSERT INTO questions AS q
             (mailbox_id, remote_key, folder, code, about, record_kind, record_id, answers, asked_at, look_at, by_hand)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (mailbox_id, remote_key) DO UPDATE SET folder = EXCLUDED.folder, code = EXCLUDED.code,
             about = EXCLUDED.about, record_kind = EXCLUDED.record_kind, record_id = EXCLUDED.record_id,
             answers = EXCLUDED.answers, asked_at = EXCLUDED.asked_at, look_at = EXCLUDED.look_at,
             by_hand = EXCLUDED.by_hand, answer = NULL, answered_at = NULL
         WHERE (q.about, q.record_id, q.answers) IS DISTINCT FROM (EXCLUDED.about, EXCLUDED.record_id, EXCLUDED.answers)",
        mailbox.0,
        question.item.as_bytes(),
        question.folder,
        question.code,
        question.about,
        question.record.map(|(kind, _)| kind.name()),
        question.record.map(|(_, id)| id.0),
        &question.answers,
        now,
        look_at,
        question.by_hand,
    )
    .execute(tx.connection())
    .await?;
    if changed.rows_affected() > 0 {
        return Ok(Standing::Anew);
    }
    let answered = sqlx::query_scalar!(
        "/* questions::ask */ SELECT answer IS NOT NULL AS \"answered!\" FROM questions
         WHERE mailbox_id = $1 AND remote_key = $2",
        mailbox.0,
        question.item.as_bytes(),
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(if answered { Standing::Answered } else { Standing::Open })
}

/// Answers before anybody is asked, whatever the item says: who tracks an appointment by hand has seen the calendar.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn waive(tx: &mut Tx, mailbox: MailboxId, item: &RemoteKey) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* questions::waive */ INSERT INTO questions (mailbox_id, remote_key, folder, code, answers, by_hand, asked_at,
             answer, answered_at)
         VALUES ($1, $2, 'calendar', $3, '{}', true, $4, 'yes', $4)
         ON CONFLICT (mailbox_id, remote_key) DO UPDATE SET about = NULL, answers = '{}', by_hand = true, answer = 'yes',
             answered_at = $4",
        mailbox.0,
        item.as_bytes(),
        SCHEDULING_CONFLICT,
        now,
    )
    .execute(tx.connection())
    .await?;
    alerts::resolve(tx, SCHEDULING_CONFLICT, Subject::Item(mailbox, item)).await?;
    Ok(())
}

/// Notes when items of questions are looked at again, now that they were looked at: unless they were answered meanwhile.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn looked_at(tx: &mut Tx, mailbox: MailboxId, looked: &[Question], again: DateTime<Utc>) -> Result<()> {
    if looked.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = looked.iter().map(|question| question.item.as_bytes().to_vec()).collect();
    let answers: Vec<_> = looked.iter().map(|question| question.answer.clone()).collect();
    sqlx::query!(
        "/* questions::looked_at */ UPDATE questions AS q SET look_at = CASE WHEN q.answer IS NULL THEN $4::timestamptz END
         FROM unnest($2::bytea[], $3::text[]) AS l(remote_key, answer)
         WHERE q.mailbox_id = $1 AND q.remote_key = l.remote_key AND q.answer IS NOT DISTINCT FROM l.answer",
        mailbox.0,
        &keys,
        &answers as &[Option<String>],
        again,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Forgets what was asked about items, and ends the alerts.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn forget(tx: &mut Tx, mailbox: MailboxId, items: &[RemoteKey]) -> Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = items.iter().map(|key| key.as_bytes().to_vec()).collect();
    let gone = sqlx::query!(
        "/* questions::forget */ DELETE FROM questions WHERE mailbox_id = $1 AND remote_key = ANY($2)
         RETURNING remote_key, code",
        mailbox.0,
        &keys,
    )
    .fetch_all(tx.connection())
    .await?;
    for row in gone {
        if let Some(key) = RemoteKey::new(row.remote_key) {
            alerts::resolve(tx, &row.code, Subject::Item(mailbox, &key)).await?;
        }
    }
    Ok(())
}

/// What an alert asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The mailbox of the item.
    pub mailbox: MailboxId,
    /// The question.
    pub question: Question,
    /// When it was answered.
    pub answered_at: Option<DateTime<Utc>>,
}

/// What these alerts ask, or have asked as long as that was not carried out: by alert.
///
/// # Errors
/// [`Error::Unreadable`] where a row holds what this code does not know.
pub async fn of_alerts(tx: &mut Tx, alerts: &[Uuid]) -> Result<Vec<(AlertId, Asked)>> {
    let rows = sqlx::query!(
        "/* questions::of_alerts */ SELECT a.id, q.mailbox_id, q.remote_key, q.folder, q.code, q.about, q.record_kind,
             q.record_id, q.answers, q.by_hand, q.answer, q.answered_at
         FROM alerts a JOIN questions q ON q.mailbox_id = a.mailbox_id AND q.code = a.code
             AND a.key = q.code || '/item/' || q.mailbox_id || '/' || encode(q.remote_key, 'hex')
         WHERE a.id = ANY($1) AND q.answers <> '{}'",
        alerts,
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter()
        .map(|row| {
            let question = Row {
                remote_key: row.remote_key,
                folder: row.folder,
                code: row.code,
                about: row.about,
                record_kind: row.record_kind,
                record_id: row.record_id,
                answers: row.answers,
                by_hand: row.by_hand,
                answer: row.answer,
            };
            let asked = Asked {
                mailbox: MailboxId(row.mailbox_id),
                question: question.try_into()?,
                answered_at: row.answered_at,
            };
            Ok((AlertId(row.id), asked))
        })
        .collect()
}

/// Takes an answer down, and ends the alert that asked. `false`: it was answered, or is asked no more; nothing was changed.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn answer(tx: &mut Tx, asked: &Asked, answer: &str) -> Result<bool> {
    let now = tx.now();
    let done = sqlx::query!(
        "/* questions::answer */ UPDATE questions SET answer = $3, answered_at = $4, look_at = $4
         WHERE mailbox_id = $1 AND remote_key = $2 AND answer IS NULL AND $3 = ANY(answers)
           AND about IS NOT DISTINCT FROM $5 AND record_id IS NOT DISTINCT FROM $6",
        asked.mailbox.0,
        asked.question.item.as_bytes(),
        answer,
        now,
        asked.question.about,
        asked.question.record.map(|(_, id)| id.0),
    )
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    alerts::resolve(tx, &asked.question.code, Subject::Item(asked.mailbox, &asked.question.item)).await?;
    Ok(true)
}

/// Records that are to be erased stand in nobody's way any more. The item of a contact that was asked about stays in the
/// mailbox: who is erased does not come back by it.
pub(crate) async fn erase(tx: &mut Tx, records: &[Uuid]) -> Result<()> {
    let now = tx.now();
    sqlx::query!(
        "/* questions::erase */ WITH over AS (
             UPDATE questions SET record_kind = NULL, record_id = NULL,
                 answer = CASE WHEN code = $2 THEN 'ignore' ELSE answer END,
                 answered_at = CASE WHEN code = $2 THEN COALESCE(answered_at, $3) ELSE answered_at END,
                 look_at = CASE WHEN code <> $2 AND answer IS NULL THEN $3 ELSE look_at END
             WHERE record_id = ANY($1) RETURNING mailbox_id, remote_key, code)
         UPDATE alerts a SET resolved_at = $3 FROM over o
         WHERE a.key = o.code || '/item/' || o.mailbox_id || '/' || encode(o.remote_key, 'hex')
           AND a.resolved_at IS NULL AND o.code = $2",
        records,
        DUPLICATE_CONTACT,
        now,
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
