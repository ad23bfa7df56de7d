//! A sink that writes down what it receives.

use lockstep_mime::Limits;
use lockstep_mime::message::{AttachmentInfo, AttachmentSink, Collector, ParsedMessage, Verdict};
use lockstep_mime::part::{PartInfo, PartSink, Role, Want};
use lockstep_mime::splitter::{MAX_SLICE, Outcome, Splitter};

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Recorder {
    pub(crate) header: Vec<u8>,
    pub(crate) events: Vec<Event>,
    depth: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    Begin(Box<PartInfo>, Vec<u8>),
    Body(Vec<u8>),
    End,
}

impl PartSink for Recorder {
    fn message_header(&mut self, raw: &[u8], _truncated: bool) {
        assert!(self.events.is_empty());
        self.header = raw.to_vec();
    }
    fn part_begin(&mut self, info: &PartInfo, raw_header: &[u8]) -> Want {
        self.depth += 1;
        self.events.push(Event::Begin(Box::new(info.clone()), raw_header.to_vec()));
        Want::Body
    }
    fn body(&mut self, bytes: &[u8]) {
        assert!(!bytes.is_empty() && bytes.len() <= MAX_SLICE);
        match self.events.last_mut() {
            Some(Event::Body(all)) => all.extend_from_slice(bytes),
            _ => self.events.push(Event::Body(bytes.to_vec())),
        }
    }
    fn part_end(&mut self) {
        assert!(self.depth > 0, "an end without a beginning");
        self.depth -= 1;
        self.events.push(Event::End);
    }
}

pub(crate) fn record(raw: &[u8], step: usize, limits: &Limits) -> (Recorder, Outcome) {
    let (mut splitter, mut recorder) = (Splitter::new(limits.clone()), Recorder::default());
    for chunk in raw.chunks(step.max(1)) {
        splitter.feed(chunk, &mut recorder);
    }
    let outcome = splitter.finish(&mut recorder);
    assert_eq!(recorder.depth, 0, "something was left open");
    (recorder, outcome)
}

/// Path, media type and body of the parts that are no multipart.
pub(crate) fn leaves(raw: &str) -> Vec<(String, String, String)> {
    let (recorder, _) = record(raw.as_bytes(), usize::MAX, &Limits::default());
    let mut leaves: Vec<(String, String, String)> = Vec::new();
    for event in recorder.events {
        match event {
            Event::Begin(info, _) if info.role != Role::Multipart => {
                leaves.push((info.path, info.media_type, String::new()));
            }
            Event::Body(bytes) => {
                leaves.last_mut().unwrap().2.push_str(&String::from_utf8_lossy(&bytes));
            }
            _ => {}
        }
    }
    leaves
}

/// Keeps the content of every attachment.
#[derive(Debug, Default)]
pub(crate) struct Contents(pub(crate) Vec<Vec<u8>>);

impl AttachmentSink for Contents {
    fn begin(&mut self, info: &AttachmentInfo) -> Verdict {
        assert_eq!(info.position, self.0.len());
        self.0.push(Vec::new());
        Verdict::Accept
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.last_mut().unwrap().extend_from_slice(bytes);
    }
    fn end(&mut self, info: &AttachmentInfo) {
        assert_eq!(info.size, self.0.last().unwrap().len() as u64);
    }
}

pub(crate) fn collect(raw: &[u8], step: usize, limits: &Limits) -> (ParsedMessage, Vec<Vec<u8>>) {
    let mut splitter = Splitter::new(limits.clone());
    let mut collector = Collector::new(limits.clone(), Contents::default());
    for chunk in raw.chunks(step.max(1)) {
        splitter.feed(chunk, &mut collector);
    }
    let outcome = splitter.finish(&mut collector);
    let (parsed, contents) = collector.finish(outcome);
    (parsed, contents.0)
}
