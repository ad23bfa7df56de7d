//! Contents come back as they were written, are stored once, and stay while anybody needs them.

use futures::TryStreamExt;
use lockstep_model::clock::Clock;
use lockstep_store::contents::{self, CHUNK_BYTES, Content, Writer};
use std::time::Duration;

use crate::seed::World;

/// Bytes without any order that chunks could repeat.
fn noise(length: usize, mut seed: u64) -> Vec<u8> {
    std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[0]
    })
    .take(length)
    .collect()
}

async fn write(world: &World, bytes: &[u8], slice: usize) -> Content {
    let mut writer = Writer::new(&world.store);
    for slice in bytes.chunks(slice) {
        writer.write(slice).await.unwrap();
    }
    assert_eq!(writer.size_bytes(), bytes.len() as u64);
    writer.finish().await.unwrap()
}

async fn read(world: &World, content: &Content) -> Vec<Vec<u8>> {
    contents::read(&world.store, content.digest).map_ok(|chunk| chunk.to_vec()).try_collect().await.unwrap()
}

#[tokio::test]
async fn every_length_comes_back_as_it_was() {
    let world = World::new().await;
    for (length, chunks) in [(0, 0), (1, 1), (CHUNK_BYTES, 1), (CHUNK_BYTES + 1, 2), (3 * 1024 * 1024, 12)] {
        let bytes = noise(length, 88_172_645_463_325_252);
        let content = write(&world, &bytes, 64 * 1024).await;
        assert_eq!(content.size_bytes, length as u64);
        let read = read(&world, &content).await;
        assert_eq!(read.len(), chunks, "chunks of {length} bytes");
        assert!(read.iter().all(|chunk| chunk.len() <= CHUNK_BYTES));
        assert!(read.concat() == bytes, "{length} bytes");
    }
}

#[tokio::test]
async fn the_same_bytes_are_stored_once_however_they_come() {
    let world = World::new().await;
    let bytes = noise(CHUNK_BYTES * 2 + 17, 7);
    let whole = write(&world, &bytes, usize::MAX).await;
    let sliced = write(&world, &bytes, 1_000).await;
    assert_eq!(whole, sliced);
    assert_eq!(world.number("SELECT count(*) FROM contents").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM chunks").await, 3);
    let longer = write(&world, &[&bytes[..], b"more"].concat(), 5_000).await;
    assert_ne!(longer.digest, whole.digest);
    assert_eq!(world.number("SELECT count(*) FROM chunks").await, 4, "equal chunks are shared");
    let zeroes = write(&world, &vec![0; CHUNK_BYTES * 4], 10_000).await;
    assert_eq!(
        read(&world, &zeroes).await.concat(),
        vec![0; CHUNK_BYTES * 4],
        "a chunk may come several times in one content"
    );
}

#[tokio::test]
async fn writers_of_the_same_bytes_do_not_disturb_each_other() {
    let world = World::new().await;
    let bytes = noise(CHUNK_BYTES * 3, 3);
    let contents = futures::future::join_all((0..4).map(|_| write(&world, &bytes, 40_000))).await;
    assert!(contents.iter().all(|content| *content == contents[0]));
    assert!(read(&world, &contents[0]).await.concat() == bytes);
}

async fn sweep(world: &World) -> u64 {
    let mut tx = world.store.begin().await.unwrap();
    let before = world.clock.now() - Duration::from_secs(86_400);
    let removed = contents::sweep(&mut tx, before, 100).await.unwrap();
    tx.commit().await.unwrap();
    removed
}

#[tokio::test]
async fn the_sweep_takes_what_is_old_and_nobody_refers_to() {
    let world = World::new().await;
    let shared = noise(CHUNK_BYTES, 1);
    let attached = write(&world, &[&shared[..], b"attached"].concat(), 9_999).await;
    let raw = write(&world, &noise(10, 2), 10).await;
    let orphan = write(&world, &[&shared[..], b"orphan"].concat(), 9_999).await;
    let mut cut_off = Writer::new(&world.store);
    cut_off.write(&noise(CHUNK_BYTES, 5)).await.unwrap();
    drop(cut_off);
    world
        .sql(&format!(
            "INSERT INTO emails (id, direction, status, raw_digest, created_at, updated_at)
             VALUES ('01930000-0000-7000-8000-000000000001', 'incoming', 'received', '\\x{}', now(), now());
             INSERT INTO email_attachments (id, email_id, position, name, media_type, size_bytes, content_digest)
             VALUES (gen_random_uuid(), '01930000-0000-7000-8000-000000000001', 0, 'a', 'a/b', 1, '\\x{}')",
            hex(&raw),
            hex(&attached)
        ))
        .await;
    assert_eq!(sweep(&world).await, 0, "nothing is old yet");
    world.advance(86_400);
    assert_eq!(sweep(&world).await, 0, "a day is not more than a day");
    world.advance(1);
    assert_eq!(sweep(&world).await, 3, "the orphan, its own chunk, and the chunk of a writer that was cut off");
    assert!(read(&world, &orphan).await.is_empty());
    assert!(read(&world, &attached).await.concat().ends_with(b"attached"), "a shared chunk stays");
    assert_eq!(read(&world, &raw).await.concat(), noise(10, 2));
    assert_eq!(sweep(&world).await, 0);
}

/// Writing the same bytes again touches them: a page that is about to refer to them will find them.
#[tokio::test]
async fn what_was_written_again_lately_is_kept() {
    let world = World::new().await;
    let bytes = noise(CHUNK_BYTES + 5, 4);
    let content = write(&world, &bytes, 9_999).await;
    world.advance(2 * 86_400);
    write(&world, &bytes, 9_999).await;
    assert_eq!(sweep(&world).await, 0);
    assert!(read(&world, &content).await.concat() == bytes);
}

/// A sweep that has chosen a content while a writer writes it again leaves a whole content behind.
#[tokio::test]
async fn a_sweep_and_a_writer_of_the_same_bytes() {
    let world = World::new().await;
    let bytes = noise(CHUNK_BYTES + 5, 6);
    for _ in 0..20 {
        write(&world, &bytes, usize::MAX).await;
        world.advance(2 * 86_400);
        let (_, content) = tokio::join!(sweep(&world), write(&world, &bytes, usize::MAX));
        assert!(read(&world, &content).await.concat() == bytes);
    }
}

#[tokio::test]
async fn the_sweep_is_bounded() {
    let world = World::new().await;
    for at in 0..5_u8 {
        write(&world, &[at], 1).await;
    }
    world.advance(2 * 86_400);
    let mut tx = world.store.begin().await.unwrap();
    let now = world.clock.now();
    assert_eq!(contents::sweep(&mut tx, now, 2).await.unwrap(), 4, "two contents, and the chunks they have freed");
}

fn hex(content: &Content) -> String {
    content.digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
