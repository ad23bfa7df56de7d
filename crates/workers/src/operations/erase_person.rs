//! Erases a person outside: their records, their emails, and where else their address is kept.

use std::time::Duration;

use lockstep_store::{
    Result,
    erasure::{self, Counts, Emails},
    operations::{self, Operation, Step},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Context;

pub(crate) use lockstep_store::erasure::KIND;

/// Records of one transaction.
const BATCH: i64 = 100;

/// After so long a run ends, and the operation goes on in the next one.
const SLICE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
struct Arguments {
    address_key: String,
    emails: Emails,
}

/// How far it has come. Each place is gone over until nothing of the person is left there.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Progress {
    stage: Stage,
    erased: Counts,
    #[serde(default)]
    left: i64,
    /// The last filter that was looked at.
    #[serde(default)]
    filter: Option<Uuid>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stage {
    /// Before the records of the person go, by which the names are known.
    #[default]
    Filters,
    People,
    Activities,
    Emails,
    Words,
    Done,
}

/// Runs the operation until everything is erased, or its slice is over.
pub(crate) async fn run(context: &Context, operation: &Operation) -> Result<Step> {
    let began = Instant::now();
    let mut progress: Progress = serde_json::from_value(operation.position.clone()).unwrap_or_default();
    while progress.stage != Stage::Done {
        if began.elapsed() > SLICE {
            return Ok(later(&progress));
        }
        let Ok(arguments) = serde_json::from_value::<Arguments>(operation.arguments.clone()) else {
            return Ok(Step::Failed(json!({ "code": "InvalidArguments", "message": "an address is missing" })));
        };
        let mut tx = context.store.begin().await?;
        let (key, actor) = (arguments.address_key.as_str(), operation.requested_by.as_str());
        match progress.stage {
            Stage::Filters => {
                let (erased, last) = erasure::erase_from_filters(&mut tx, key, progress.filter, BATCH, actor).await?;
                progress.erased.filters += erased;
                progress.filter = last;
                if last.is_none() {
                    progress.stage = Stage::People;
                }
            }
            Stage::People => {
                let erased = erasure::erase_people(&mut tx, key, BATCH, actor).await?;
                progress.erased.people += erased;
                if erased == 0 {
                    progress.stage = Stage::Activities;
                }
            }
            Stage::Activities => {
                let erased = erasure::erase_from_activities(&mut tx, key, BATCH, actor).await?;
                progress.erased.activities += erased;
                if erased == 0 {
                    progress.stage = Stage::Emails;
                }
            }
            Stage::Emails => {
                let erased = erasure::erase_emails(&mut tx, key, arguments.emails, BATCH, actor).await?;
                progress.erased.emails += erased;
                if erased == 0 {
                    progress.left = erasure::being_sent(&mut tx, key).await?;
                    progress.stage = Stage::Words;
                }
            }
            Stage::Words | Stage::Done => {
                let words = erasure::erase_words(&mut tx, operation.id, key).await?;
                let Counts { people, activities, filters, emails, .. } = progress.erased;
                progress.erased = Counts { people, activities, filters, emails, ..words };
                progress.stage = Stage::Done;
            }
        }
        if !operations::progress(&mut tx, operation.id, operation.version, &json!(progress)).await? {
            return Ok(later(&progress));
        }
        tx.commit().await?;
    }
    Ok(Step::Done(json!({ "erased": progress.erased, "emails_being_sent": progress.left })))
}

/// The rest is for the next run, at once.
fn later(progress: &Progress) -> Step {
    Step::Later { after: Duration::ZERO, position: json!(progress), failed: false, so_far: None }
}
