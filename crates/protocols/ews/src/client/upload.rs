//! Attaching a file: its content is encoded into the request as it is read.

use base64::{Engine, engine::general_purpose::STANDARD};
use lockstep_connector::{BodyReader, Deadline};
use lockstep_model::fault::{Fault, FaultClass};
use tokio::io::AsyncReadExt;

use super::Client;
use crate::{
    codec::{attachment, envelope, id::ItemId},
    fault,
    http::{Outgoing, Pieces},
    reply::Reply,
};

/// How much is read at a time; a multiple of three, so that base64 goes on without padding.
const PIECE: usize = 3 * 8 * 1024;

/// Sends the request and waits for the head of the answer.
pub(super) async fn attach(
    client: &mut Client,
    parent: &ItemId,
    name: &str,
    content_type: &str,
    content: BodyReader<'_>,
    deadline: &Deadline,
) -> Result<Reply, Fault> {
    client.ready(deadline).await?;
    let (outer, outer_end) = envelope::around(&client.header);
    let (inner, inner_end) = attachment::create_around(parent, name, content_type);
    let (pieces, outgoing) = Outgoing::pieces();
    let patience = client.patience();
    let answer = client.begin(outgoing, None)?;
    tokio::pin!(answer);
    let writing = async {
        put(&pieces, outer + &inner).await?;
        encode(&pieces, content).await?;
        put(&pieces, [inner_end, outer_end].concat()).await?;
        pieces.send(None).await.map_err(|_| fault::lost(&"it ended before the file"))
    };
    tokio::pin!(writing);
    // Each wait of the source and of the server together is bounded by the deadline alone; a file may be long.
    let early = deadline
        .run(deadline.remaining(), async {
            tokio::select! {
                biased;
                early = &mut answer => Some(Ok(early)),
                written = &mut writing => written.err().map(Err),
            }
        })
        .await?;
    let response = match early {
        None => deadline.run(patience, &mut answer).await?,
        Some(Ok(response)) => response,
        Some(Err(fault)) => return Err(fault),
    };
    Ok(client.heard(response.map_err(|error| fault::lost(&error))?, deadline))
}

async fn put(pieces: &Pieces, text: String) -> Result<(), Fault> {
    pieces.send(Some(text.into())).await.map_err(|_| fault::lost(&"it ended before the file"))
}

async fn encode(pieces: &Pieces, mut content: BodyReader<'_>) -> Result<(), Fault> {
    let (mut piece, mut filled) = (vec![0; PIECE], 0);
    loop {
        let read = content.read(&mut piece[filled..]).await.map_err(|error| {
            fault::item(FaultClass::Transient, "BodyUnreadable", format!("the file cannot be read: {error}"))
        })?;
        filled += read;
        if filled == PIECE || read == 0 {
            put(pieces, STANDARD.encode(&piece[..filled])).await?;
            filled = 0;
        }
        if read == 0 {
            return Ok(());
        }
    }
}
