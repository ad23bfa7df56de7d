//! Questions that alerts ask: whether an appointment is taken over though its time is taken, what becomes of a contact
//! that is there already.

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use lockstep_model::id::AlertId;
use lockstep_store::{
    alerts, audit, nudge,
    questions::{self, Asked},
    rights::{Kind, Privilege},
    schedules,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::alerts::Alert;
use crate::{
    again::again,
    auth::Caller,
    extract::{Id, Received},
    problem::Problem,
    state::App,
    validate::Check,
    wall::{self, Veil},
};

/// Longest answer that is looked at, in characters.
const MAX_ANSWER: usize = 20;

/// What an alert asks, and what was answered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AlertQuestion {
    /// What may be answered: `yes` or `no`; or `link`, `create` or `ignore`, of which `link` is there only where the record
    /// can be tied to the item.
    answers: Vec<String>,
    /// The record that stands in the way.
    record: Option<AlertRecord>,
    /// What was answered; absent as long as nobody has.
    answer: Option<String>,
    answered_at: Option<DateTime<Utc>>,
}

/// A record that an alert speaks of.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AlertRecord {
    kind: String,
    id: Uuid,
}

impl From<Asked> for AlertQuestion {
    fn from(asked: Asked) -> Self {
        Self {
            answers: asked.question.answers,
            record: asked.question.record.map(|(kind, id)| AlertRecord { kind: kind.name().to_owned(), id: id.0 }),
            answer: asked.question.answer,
            answered_at: asked.answered_at,
        }
    }
}

/// An answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerFields {
    /// One of the alert's `question.answers`.
    #[schema(min_length = 1, max_length = 20)]
    answer: String,
}

/// Answers what an alert asks, once: the alert ends, and the mailbox's next look, which follows at once, does what was
/// answered. Users answer for their own mailboxes.
#[utoipa::path(post, path = "/alerts/{id}/answer", tag = "alerts", request_body = AnswerFields,
    params(("id" = Uuid, Path)), responses((status = 200, description = "The alert as it is now", body = Alert)))]
pub(crate) async fn answer(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    body: Received<AnswerFields>,
) -> Result<Json<Alert>, Problem> {
    let mut check = Check::default();
    let answer = check.line("answer", &body.value.answer, MAX_ANSWER);
    check.finish()?;
    again(|| async {
        let mut tx = app.store.begin().await?;
        let missing = || Problem::not_found("alert");
        let alert = alerts::get(&mut tx, AlertId(id), None).await?.ok_or_else(missing)?;
        // Whose mailbox it is decides, not the wall: a dismissed question can be answered.
        match alert.mailbox_id {
            Some(mailbox) if wall::readable(&mut tx, &caller, Kind::Mailbox, mailbox).await? => {
                wall::writing(&mut tx, &caller, Kind::Mailbox, mailbox, Privilege::Write).await?;
            }
            None if alerts::get(&mut tx, AlertId(id), caller.user).await?.is_some() => {}
            _ => return Err(missing()),
        }
        let asked = questions::of_alerts(&mut tx, &[id]).await?.pop().map(|(_, asked)| asked);
        let over = "What this alert asked is over; where it is asked again, that is another alert.";
        let asked = match asked {
            Some(Asked { question, answered_at: Some(at), .. }) => {
                let word = question.answer.unwrap_or_default();
                let detail =
                    format!("It was answered with {word} at {}; an answer is not taken back.", at.to_rfc3339());
                return Err(Problem::conflict("answered", detail));
            }
            Some(asked) if alert.resolved_at.is_none() => asked,
            None if alert.resolved_at.is_none() => {
                return Err(Problem::conflict("nothing-asked", "This alert asks nothing; its remedy says what to do."));
            }
            _ => return Err(Problem::conflict("over", over)),
        };
        if !asked.question.answers.contains(&answer) {
            return Err(Problem::field("answer", "choice", format!("one of: {}", asked.question.answers.join(", "))));
        }
        // Schedules before alerts, as everybody locks them.
        schedules::hasten(&mut tx, asked.mailbox).await?;
        if !questions::answer(&mut tx, &asked, &answer).await? {
            return Err(Problem::conflict("over", over));
        }
        let record = asked.question.record.map(|(kind, id)| json!({ "kind": kind.name(), "id": id.0 }));
        let detail = json!({ "code": alert.code, "answer": answer, "mailbox": asked.mailbox, "record": record });
        audit::note(&mut tx, &caller.actor(), "answered", "alert", Some(id), detail).await?;
        nudge(&mut tx).await?;
        let now = alerts::get(&mut tx, AlertId(id), None).await?.ok_or_else(missing)?;
        let asked = questions::of_alerts(&mut tx, &[id]).await?.pop().map(|(_, asked)| asked.into());
        let veil = Veil::of(&mut tx, &caller, Kind::Email).await?;
        tx.commit().await?;
        Ok(Json(Alert::of(now, asked, caller.sees_content(), &veil)))
    })
    .await
}
