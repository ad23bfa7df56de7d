//! Memory stays bounded whatever arrives, and however much.

use lockstep_mime::Limits;
use lockstep_mime::message::{AttachmentInfo, AttachmentSink, Collector, Verdict};
use lockstep_mime::part::{PartInfo, PartSink, Want};
use lockstep_mime::splitter::{MAX_HELD_BACK, MAX_SLICE, Splitter};

const MIB: usize = 1024 * 1024;

/// Counts what comes, and asserts how it comes.
#[derive(Debug, Default)]
struct Counter {
    total: u64,
    since_feed: usize,
}

impl PartSink for Counter {
    fn message_header(&mut self, _raw: &[u8], _truncated: bool) {}
    fn part_begin(&mut self, _info: &PartInfo, _raw_header: &[u8]) -> Want {
        Want::Body
    }
    fn body(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= MAX_SLICE);
        self.total += bytes.len() as u64;
        self.since_feed += bytes.len();
    }
    fn part_end(&mut self) {}
}

impl AttachmentSink for Counter {
    fn begin(&mut self, _info: &AttachmentInfo) -> Verdict {
        Verdict::Accept
    }
    fn write(&mut self, bytes: &[u8]) {
        self.body(bytes);
    }
    fn end(&mut self, info: &AttachmentInfo) {
        assert_eq!(info.size, self.total);
    }
}

#[test]
fn a_message_of_150_mb_passes_with_flat_memory() {
    let head = b"From: a@x.test\r\nSubject: large\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n\
        --B\r\n\r\nsee attachment\r\n--B\r\nContent-Type: application/zip; name=large.zip\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n";
    // 76 characters and CRLF, 57 bytes decoded.
    let block = format!("{}\r\n", "QUJD".repeat(19)).repeat(800);
    let blocks = 150 * MIB / block.len() + 1;
    let limits = Limits::default();
    let mut splitter = Splitter::new(limits.clone());
    let mut collector = Collector::new(limits, Counter::default());
    splitter.feed(head, &mut collector);
    for _ in 0..blocks {
        collector.sink_mut().since_feed = 0;
        splitter.feed(block.as_bytes(), &mut collector);
        assert!(collector.sink_mut().since_feed <= block.len() + MAX_HELD_BACK);
        assert!(splitter.buffered_bytes() < MIB);
    }
    splitter.feed(b"--B--\r\n", &mut collector);
    let outcome = splitter.finish(&mut collector);
    let (parsed, counter) = collector.finish(outcome);
    assert!(parsed.size > 150 * MIB as u64);
    assert_eq!(counter.total, (blocks * 800 * 57) as u64);
    assert_eq!(parsed.attachments[0].size, counter.total);
    assert_eq!(parsed.attachments[0].name, "large.zip");
}

#[test]
fn endless_input_of_one_kind_is_not_kept() {
    let multi = "Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n";
    for (what, head, filler) in [
        ("one header line", "", "x"),
        ("header fields", "", "X-Y: z\r\n"),
        ("continuations", "X: y\r\n", " z\r\n"),
        ("blank lines", "", "\r\n"),
        ("CRs", "X: y\r\n\r\n", "\r"),
        ("a line without end", "X: y\r\n\r\n", "z"),
        ("a part header", multi, "X: y\r\n"),
        ("preamble dashes", "Content-Type: multipart/mixed; boundary=B\r\n\r\n", "--"),
        ("dashes", multi, "-"),
        ("delimiter with padding", multi, " "),
        ("delimiters", multi, "--B\r\n"),
        ("nested multiparts", "", multi),
        ("quoted-printable spaces", "Content-Transfer-Encoding: quoted-printable\r\n\r\n=", " "),
        ("base64 padding", "Content-Transfer-Encoding: base64\r\n\r\n", "="),
    ] {
        let chunk = filler.repeat(32 * 1024 / filler.len());
        let (mut splitter, mut sink) = (Splitter::new(Limits::default()), Counter::default());
        splitter.feed(head.as_bytes(), &mut sink);
        for _ in 0..64 {
            sink.since_feed = 0;
            splitter.feed(chunk.as_bytes(), &mut sink);
            assert!(sink.since_feed <= chunk.len() + MAX_HELD_BACK, "{what}");
            assert!(splitter.buffered_bytes() < MIB, "{what}: {}", splitter.buffered_bytes());
        }
        splitter.finish(&mut sink);
    }
}
