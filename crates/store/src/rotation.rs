//! Sealing every stored secret anew, with the key that seals now, so that an older key can be thrown away.

use serde_json::json;
use uuid::Uuid;

use crate::{
    Error, Result, Store, Tx, audit,
    lanes::{mailbox_identity, outgoing_identity, profile_identity},
    vault::SealError,
    webhooks::secret_identity,
};

/// Secrets a transaction works on.
const BATCH: i64 = 100;

/// What a rotation has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Secrets that were sealed anew.
    pub rotated: u64,
    /// Secrets that cannot be opened, by the record they belong to, and why: their key is needed, or the secret has to be set anew.
    pub unreadable: Vec<(String, SealError)>,
}

/// How many secrets each key seals.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn usage(tx: &mut Tx) -> Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        "/* rotation::usage */ WITH sealed AS (
             SELECT sealed_secret AS s FROM email_server_profiles WHERE length(sealed_secret) > 2
             UNION ALL SELECT sealed_outgoing_secret FROM email_server_profiles
                 WHERE length(sealed_outgoing_secret) > 2
             UNION ALL SELECT sealed_secret FROM mailboxes WHERE length(sealed_secret) > 2
             UNION ALL SELECT sealed_secret FROM webhook_endpoints WHERE length(sealed_secret) > 2
             UNION ALL SELECT previous_sealed_secret FROM webhook_endpoints WHERE length(previous_sealed_secret) > 2)
         SELECT encode(substring(s FROM 3 FOR get_byte(s, 1)), 'escape') AS \"key!\", count(*) AS \"secrets!\"
         FROM sealed GROUP BY 1 ORDER BY 1",
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (row.key, row.secrets)).collect())
}

/// Seals every secret anew that another key than the sealing one has sealed. May be broken off and repeated at any
/// moment; programs that have both keys go on meanwhile. A record that is written at the same moment keeps what was
/// written.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn rotate(store: &Store, actor: &str) -> Result<Rotation> {
    let mut done = Rotation::default();
    let mut after = (String::new(), Uuid::nil());
    loop {
        let mut tx = store.begin().await?;
        let Some((rows, last)) = sealed_by_others(&mut tx, store.vault().sealing_key(), &after).await? else { break };
        after = last;
        let mut rotated = 0;
        for row in &rows {
            match row.sealed_anew(store) {
                Ok(anew) => rotated += row.replace(&mut tx, &anew).await?,
                Err(problem) => done.unreadable.push((row.identity(), problem)),
            }
        }
        if rotated > 0 {
            audit::note(&mut tx, actor, "rotated", "secret", None, json!({ "secrets": rotated })).await?;
        }
        tx.commit().await?;
        done.rotated += rotated;
    }
    Ok(done)
}

/// Where secrets are, by the names that the statements below give these places.
#[derive(Clone, Copy)]
enum Place {
    Profile,
    /// The one its mailboxes send with.
    ProfileOutgoing,
    Mailbox,
    Webhook,
    /// The one before, which still signs for a day.
    WebhookBefore,
}

impl Place {
    fn of(name: &str) -> Option<Self> {
        match name {
            "email-server-profile" => Some(Self::Profile),
            "email-server-profile-outgoing" => Some(Self::ProfileOutgoing),
            "mailbox" => Some(Self::Mailbox),
            "webhook-endpoint" => Some(Self::Webhook),
            "webhook-endpoint-before" => Some(Self::WebhookBefore),
            _ => None,
        }
    }
}

struct Sealed {
    place: Place,
    id: Uuid,
    secret: Vec<u8>,
}

/// The next secrets that another key has sealed, after a place and id; with the last place and id.
async fn sealed_by_others(
    tx: &mut Tx,
    key: &str,
    after: &(String, Uuid),
) -> Result<Option<(Vec<Sealed>, (String, Uuid))>> {
    let rows = sqlx::query!(
        "/* rotation::sealed_by_others */ SELECT place AS \"place!\", id AS \"id!\", secret AS \"secret!\"
         FROM (SELECT 'email-server-profile' AS place, id, sealed_secret AS secret FROM email_server_profiles
               UNION ALL SELECT 'email-server-profile-outgoing', id, sealed_outgoing_secret FROM email_server_profiles
               UNION ALL SELECT 'mailbox', id, sealed_secret FROM mailboxes
               UNION ALL SELECT 'webhook-endpoint', id, sealed_secret FROM webhook_endpoints
               UNION ALL SELECT 'webhook-endpoint-before', id, previous_sealed_secret FROM webhook_endpoints) AS s
         WHERE secret IS NOT NULL AND (place, id) > ($2, $3)
           AND CASE WHEN length(secret) < 2 THEN true
                    ELSE substring(secret FROM 3 FOR get_byte(secret, 1)) <> convert_to($1, 'UTF8') END
         ORDER BY place, id LIMIT $4",
        key,
        after.0,
        after.1,
        BATCH,
    )
    .fetch_all(tx.connection())
    .await?;
    let Some(last) = rows.last().map(|row| (row.place.clone(), row.id)) else { return Ok(None) };
    let sealed = rows
        .into_iter()
        .filter_map(|row| Some(Sealed { place: Place::of(&row.place)?, id: row.id, secret: row.secret }));
    Ok(Some((sealed.collect(), last)))
}

impl Sealed {
    fn identity(&self) -> String {
        match self.place {
            Place::Profile => profile_identity(self.id.into()),
            Place::ProfileOutgoing => outgoing_identity(self.id.into()),
            Place::Mailbox => mailbox_identity(self.id.into()),
            Place::Webhook | Place::WebhookBefore => secret_identity(self.id.into()),
        }
    }

    fn sealed_anew(&self, store: &Store) -> std::result::Result<Vec<u8>, SealError> {
        let identity = self.identity();
        store.vault().seal(&identity, &store.vault().open(&identity, &self.secret)?)
    }

    /// Puts the new form in place of the old one, unless somebody else has been faster; tells how many it replaced.
    async fn replace(&self, tx: &mut Tx, anew: &[u8]) -> Result<u64, Error> {
        let (id, old) = (self.id, self.secret.as_slice());
        let done = match self.place {
            Place::Profile => sqlx::query!(
                "/* rotation::replace */ UPDATE email_server_profiles SET sealed_secret = $3 WHERE id = $1 AND sealed_secret = $2",
                id,
                old,
                anew,
            )
            .execute(tx.connection())
            .await?,
            Place::ProfileOutgoing => sqlx::query!(
                "/* rotation::replace */ UPDATE email_server_profiles SET sealed_outgoing_secret = $3
                 WHERE id = $1 AND sealed_outgoing_secret = $2",
                id,
                old,
                anew,
            )
            .execute(tx.connection())
            .await?,
            Place::Mailbox => sqlx::query!(
                "/* rotation::replace */ UPDATE mailboxes SET sealed_secret = $3 WHERE id = $1 AND sealed_secret = $2",
                id,
                old,
                anew,
            )
            .execute(tx.connection())
            .await?,
            Place::Webhook => sqlx::query!(
                "/* rotation::replace */ UPDATE webhook_endpoints SET sealed_secret = $3 WHERE id = $1 AND sealed_secret = $2",
                id,
                old,
                anew,
            )
            .execute(tx.connection())
            .await?,
            Place::WebhookBefore => sqlx::query!(
                "/* rotation::replace */ UPDATE webhook_endpoints SET previous_sealed_secret = $3 WHERE id = $1 AND previous_sealed_secret = $2",
                id,
                old,
                anew,
            )
            .execute(tx.connection())
            .await?,
        };
        Ok(done.rows_affected())
    }
}

/// Whether the secrets under one key can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The id of the key that has sealed them.
    pub key: String,
    /// How many there are.
    pub secrets: i64,
    /// What became of opening one of them.
    pub opened: std::result::Result<(), SealError>,
}

/// Opens one stored secret of each key.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn trial(store: &Store) -> Result<Vec<Trial>> {
    let mut tx = store.begin().await?;
    let rows = sqlx::query!(
        "/* rotation::trial */ WITH sealed AS (
             SELECT 'email-server-profile' AS place, id, sealed_secret AS s FROM email_server_profiles
             UNION ALL SELECT 'email-server-profile-outgoing', id, sealed_outgoing_secret FROM email_server_profiles
             UNION ALL SELECT 'mailbox', id, sealed_secret FROM mailboxes
             UNION ALL SELECT 'webhook-endpoint', id, sealed_secret FROM webhook_endpoints
             UNION ALL SELECT 'webhook-endpoint-before', id, previous_sealed_secret FROM webhook_endpoints)
         SELECT DISTINCT ON (key) key AS \"key!\", place AS \"place!\", id AS \"id!\", s AS \"secret!\",
             count(*) OVER (PARTITION BY key) AS \"secrets!\"
         FROM (SELECT *, encode(substring(s FROM 3 FOR get_byte(s, 1)), 'escape') AS key
               FROM sealed WHERE length(s) > 2) AS named
         ORDER BY key, place, id",
    )
    .fetch_all(tx.connection())
    .await?;
    let tried = rows.into_iter().filter_map(|row| {
        let sealed = Sealed { place: Place::of(&row.place)?, id: row.id, secret: row.secret };
        let opened = store.vault().open(&sealed.identity(), &sealed.secret).map(|_| ());
        Some(Trial { key: row.key, secrets: row.secrets, opened })
    });
    Ok(tried.collect())
}
