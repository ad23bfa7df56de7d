//! Header blocks, cut out of messages as they come: the block is what the whole message begins with.

use lockstep_connector::{Deadline, HeaderBlocks};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    remote::RemoteKey,
};

use crate::{
    client::Client,
    codec::{
        answer, get_item,
        id::{ItemId, ItemRef},
        property::Shape,
    },
    fault, reply,
};

/// Longest header block; the rest is dropped.
const MAX_BLOCK: usize = 256 * 1024;
/// Messages up to this size are asked for together, up to this sum and so many.
const SMALL: u64 = 256 * 1024;
const SUM: u64 = 1024 * 1024;
const TOGETHER: usize = 20;
/// What is left of a message is read to its end, to keep the connection, while it is not more than this.
const WORTH_READING: u64 = 512 * 1024;

/// The id that a key is.
pub(crate) fn id_of(key: &RemoteKey) -> String {
    String::from_utf8_lossy(key.as_bytes()).into_owned()
}

/// Collects a message's beginning.
#[derive(Debug, Default)]
struct Block {
    carry: Vec<u8>,
    bytes: Vec<u8>,
    done: bool,
}

impl Block {
    fn add(&mut self, bytes: &[u8]) {
        if self.done {
            return;
        }
        // The end may lie across the border of two pieces.
        let from = self.bytes.len().saturating_sub(3);
        self.bytes.extend_from_slice(bytes);
        if let Some(end) = end_of_header(&self.bytes, from) {
            self.bytes.truncate(end);
            self.done = true;
        } else if self.bytes.len() >= MAX_BLOCK {
            self.bytes.truncate(MAX_BLOCK);
            self.done = true;
        }
    }
}

/// Where the header ends, its empty line included, looking from a place on.
pub(crate) fn end_of_header(bytes: &[u8], from: usize) -> Option<usize> {
    if bytes.starts_with(b"\r\n") {
        return Some(2);
    }
    if bytes.starts_with(b"\n") {
        return Some(1);
    }
    let rest = bytes.get(from..)?;
    let crlf = rest.windows(4).position(|four| four == b"\r\n\r\n").map(|at| from + at + 4);
    let lf = rest.windows(2).position(|two| two == b"\n\n").map(|at| from + at + 2);
    crlf.into_iter().chain(lf).min()
}

/// The header blocks of items, given by id and announced size.
pub(crate) async fn read(client: &mut Client, asked: &[(String, u64)], deadline: &Deadline) -> HeaderBlocks {
    let mut answered = HeaderBlocks::default();
    while answered.blocks.len() < asked.len() {
        let rest = &asked[answered.blocks.len()..];
        let mut sum = 0;
        let small = |size: u64| (1..=SMALL).contains(&size);
        let together = rest
            .iter()
            .take(TOGETHER)
            .take_while(|(_, size)| {
                sum += size;
                small(*size) && sum <= SUM
            })
            .count();
        let got = if together > 1 {
            several(client, &rest[..together], deadline).await
        } else {
            match one(client, &rest[0].0, rest[0].1, deadline).await {
                Ok(block) => HeaderBlocks { blocks: vec![block], broken: None },
                Err(fault) => HeaderBlocks { blocks: Vec::new(), broken: Some(fault) },
            }
        };
        answered.blocks.extend(got.blocks);
        answered.broken = got.broken;
        if answered.broken.is_some() {
            break;
        }
    }
    answered
}

/// An answer about one item, or the fault that ends the session.
fn sorted<T>(result: Result<T, Fault>) -> Result<Result<T, Fault>, Fault> {
    match result {
        Err(fault) if fault.scope != FaultScope::Item => Err(fault),
        other => Ok(other),
    }
}

async fn one(client: &mut Client, id: &str, size: u64, deadline: &Deadline) -> Result<Result<Vec<u8>, Fault>, Fault> {
    let item = ItemRef::Item(ItemId::whatever(id));
    let mut content = match sorted(client.mime_content(&item, deadline).await)? {
        Ok(content) => content,
        Err(fault) => return Ok(Err(fault)),
    };
    let mut block = Block::default();
    while let Some(piece) = match sorted(content.piece().await)? {
        Ok(piece) => piece,
        Err(fault) => return Ok(Err(fault)),
    } {
        block.add(&piece);
        if block.done && !(1..=WORTH_READING).contains(&size) {
            break;
        }
    }
    Ok(Ok(block.bytes))
}

async fn several(client: &mut Client, asked: &[(String, u64)], deadline: &Deadline) -> HeaderBlocks {
    let items: Vec<ItemRef> = asked.iter().map(|(id, _)| ItemRef::Item(ItemId::whatever(id))).collect();
    let request = get_item::request(&items, &Shape { mime: true, ..Shape::default() });
    let mut blocks: Vec<Block> = asked.iter().map(|_| Block::default()).collect();
    let mut sink = |at: usize, text: &str| {
        if let Some(block) = blocks.get_mut(at).filter(|block| !block.done) {
            // What follows the header may be anything; it is not even decoded.
            let decoded = reply::decode(&mut block.carry, text, false).unwrap_or_default();
            block.add(&decoded);
        }
        Ok(())
    };
    let response = match client.ask(&request, deadline).await {
        Ok(reply) => reply.diverted("MimeContent", &mut sink).await,
        Err(fault) => Err(fault),
    };
    let mut answered = HeaderBlocks::default();
    let response = match response {
        Ok(response) => response,
        Err(fault) => return HeaderBlocks { broken: Some(fault), ..answered },
    };
    let unavailable = |why| fault::item(FaultClass::Transient, "ItemUnavailable", why);
    let mut messages = answer::messages(&response);
    for mut block in blocks {
        let answer = match messages.next() {
            None => Err(unavailable("the server left this item out")),
            Some(Err(refusal)) => Err(refusal.fault(FaultScope::Item)),
            Some(Ok(_)) => {
                if !block.done {
                    let rest = reply::decode(&mut block.carry, "", true).unwrap_or_default();
                    block.add(&rest);
                }
                if block.bytes.is_empty() { Err(unavailable("the server gave no content")) } else { Ok(block.bytes) }
            }
        };
        match answer {
            Err(fault) if fault.scope != FaultScope::Item => return HeaderBlocks { broken: Some(fault), ..answered },
            answer => answered.blocks.push(answer),
        }
    }
    answered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_ends_with_its_empty_line_wherever_pieces_end() {
        let message = b"A: 1\r\nB: 2\r\n\r\nbody\r\n\r\n";
        for cut in 0..message.len() {
            let mut block = Block::default();
            block.add(&message[..cut]);
            block.add(&message[cut..]);
            assert_eq!(block.bytes, b"A: 1\r\nB: 2\r\n\r\n", "cut at {cut}");
        }
        let mut bare = Block::default();
        bare.add(b"A: 1\n\nbody");
        assert_eq!(bare.bytes, b"A: 1\n\n");
        let mut endless = Block::default();
        endless.add(&vec![b'a'; MAX_BLOCK + 5]);
        assert_eq!((endless.bytes.len(), endless.done), (MAX_BLOCK, true));
    }
}
