//! What is attached to the same server's items.

use std::collections::{BTreeMap, VecDeque};

use async_trait::async_trait;
use lockstep_connector::{
    BodyReader, Deadline,
    attachments::{Attached, Attachments, File, Listing},
    items::NotDone,
};
use lockstep_model::{
    fault::{Fault, FaultClass, FaultScope},
    record::RemoteVersion,
    remote::RemoteKey,
};
use tokio::io::AsyncReadExt;

use super::{super::Server, Conversation, Kept};
use crate::stage::lost;

/// How a call about attachments is answered, once.
#[derive(Clone, Debug)]
pub(crate) enum FileAnswer {
    /// It is attached, and the connection is lost before the answer.
    AttachedAndLost,
    /// The same, and the server calls it by another name.
    RenamedAndLost,
    /// It is not attached.
    NotAttached(NotDone),
    /// Its content is not given.
    Withheld(Fault),
    /// Its content breaks off after so many bytes.
    BreaksOff(usize),
}

/// A file as it is listed, with its content.
type Stored = (Attached, Vec<u8>);

#[derive(Default)]
pub(super) struct Files {
    /// By login and item.
    attached: BTreeMap<(String, RemoteKey), Vec<Stored>>,
    answers: VecDeque<FileAnswer>,
    /// What was asked of the server.
    calls: Vec<String>,
}

impl Kept {
    fn list(&mut self, login: &str, item: &RemoteKey) -> &mut Vec<Stored> {
        self.files.attached.entry((login.to_owned(), item.clone())).or_default()
    }

    /// The item has changed.
    fn moved(&mut self, login: &str, item: &RemoteKey) -> Option<RemoteVersion> {
        let version = self.version();
        let items = self.items.get_mut(login)?;
        let item = items.iter_mut().find(|known| known.head.key == *item)?;
        item.head.version = version.clone();
        Some(version)
    }

    fn attach(&mut self, login: &str, item: &RemoteKey, mut one: Attached, content: &[u8]) -> Option<RemoteVersion> {
        let version = self.moved(login, item)?;
        one.id = format!("f{}", self.made);
        self.list(login, item).push((one, content.to_vec()));
        Some(version)
    }
}

/// A file of this name, as the server lists it.
pub(crate) fn listed(name: &str, content: &[u8]) -> Attached {
    let (name, size) = (name.to_owned(), content.len() as u64);
    Attached { id: String::new(), name, media_type: "text/plain".to_owned(), size, inline: false, apart: None }
}

impl Server {
    /// How the next call about attachments is answered.
    pub(crate) fn answer_file(&self, answer: FileAnswer) {
        self.state().kept.files.answers.push_back(answer);
    }

    /// The only item of a mailbox.
    pub(crate) fn only_item(&self, login: &str) -> RemoteKey {
        let state = self.state();
        let [item] = state.kept.items[login].as_slice() else { panic!("one item was expected") };
        item.head.key.clone()
    }

    /// Somebody attaches something to the only item of a mailbox.
    pub(crate) fn put_file(&self, login: &str, one: Attached, content: &[u8]) {
        let item = self.only_item(login);
        self.state().kept.attach(login, &item, one, content).unwrap();
    }

    /// And takes it away.
    pub(crate) fn remove_file(&self, login: &str, name: &str) {
        let item = self.only_item(login);
        let mut state = self.state();
        state.kept.list(login, &item).retain(|(one, _)| one.name != name);
        state.kept.moved(login, &item).unwrap();
    }

    /// What is attached to the only item: names with contents, in order.
    pub(crate) fn files(&self, login: &str) -> Vec<(String, Vec<u8>)> {
        let item = self.only_item(login);
        let mut files: Vec<_> = self.state().kept.list(login, &item).clone();
        files.sort_by_key(|(one, _)| one.name.clone());
        files.into_iter().map(|(one, content)| (one.name, content)).collect()
    }

    /// What was asked of the server about attachments since the last question.
    pub(crate) fn file_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().kept.files.calls)
    }
}

impl Conversation {
    fn called(&self, call: &str) {
        self.server.state().kept.files.calls.push(call.to_owned());
    }

    fn file_answer(&self, which: impl Fn(&FileAnswer) -> bool) -> Option<FileAnswer> {
        let answers = &mut self.server.state().kept.files.answers;
        if answers.front().is_some_and(which) { answers.pop_front() } else { None }
    }
}

#[async_trait]
impl Attachments for Conversation {
    async fn attachments(&mut self, items: &[RemoteKey], _: &Deadline) -> Result<Vec<Listing>, Fault> {
        self.called("list");
        let mut state = self.server.state();
        let listing = |item: &RemoteKey| {
            let known = state.kept.items.get(&self.login)?.iter().find(|known| known.head.key == *item)?;
            let version = known.head.version.clone();
            let attached = state.kept.list(&self.login, item).iter().map(|(one, _)| one.clone());
            Some(Listing::Here(version, attached.collect()))
        };
        Ok(items.iter().map(listing).map(|found| found.unwrap_or(Listing::Gone)).collect())
    }

    async fn attachment(&mut self, id: &str, _: &Deadline) -> Result<BodyReader<'_>, Fault> {
        self.called("read");
        let answer = self.file_answer(|answer| matches!(answer, FileAnswer::Withheld(_) | FileAnswer::BreaksOff(_)));
        let state = self.server.state();
        let mut all = state.kept.files.attached.values().flatten();
        let found = all.find(|(one, _)| one.id == id).map(|(_, content)| content.clone());
        let gone = || Fault::new(FaultScope::Item, FaultClass::Gone, "ItemGone", "there is no such attachment");
        let mut content = found.ok_or_else(gone)?;
        match answer {
            Some(FileAnswer::Withheld(fault)) => Err(fault),
            Some(FileAnswer::BreaksOff(after)) => {
                content.truncate(after);
                let broken = futures::stream::iter([Ok(content.into()), Err(std::io::Error::other(lost()))]);
                Ok(Box::pin(tokio_util::io::StreamReader::<_, bytes::Bytes>::new(broken)))
            }
            _ => Ok(Box::pin(std::io::Cursor::new(content))),
        }
    }

    async fn attach(
        &mut self,
        item: &RemoteKey,
        file: File<'_>,
        mut content: BodyReader<'_>,
        _: &Deadline,
    ) -> Result<Result<(String, RemoteVersion), NotDone>, Fault> {
        self.called("attach");
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).await.unwrap();
        let answer = self.file_answer(|answer| !matches!(answer, FileAnswer::Withheld(_) | FileAnswer::BreaksOff(_)));
        if let Some(FileAnswer::NotAttached(not)) = answer {
            return Ok(Err(not));
        }
        let renamed = matches!(answer, Some(FileAnswer::RenamedAndLost));
        let name = if renamed { format!("server's {}", file.name) } else { file.name.to_owned() };
        let one = Attached { media_type: file.media_type.to_owned(), ..listed(&name, &bytes) };
        let kept = &mut self.server.state().kept;
        let Some(version) = kept.attach(&self.login, item, one, &bytes) else { return Ok(Err(NotDone::Gone)) };
        match answer {
            Some(_) => Err(lost()),
            None => Ok(Ok((format!("f{}", kept.made), version))),
        }
    }

    async fn detach(&mut self, id: &str, _: &Deadline) -> Result<Result<RemoteVersion, NotDone>, Fault> {
        self.called("detach");
        let kept = &mut self.server.state().kept;
        let holds = kept.files.attached.iter().find(|(_, files)| files.iter().any(|(one, _)| one.id == id));
        let Some((_, item)) = holds.map(|(holder, _)| holder.clone()) else { return Ok(Err(NotDone::Gone)) };
        kept.list(&self.login, &item).retain(|(one, _)| one.id != id);
        Ok(kept.moved(&self.login, &item).ok_or(NotDone::Gone))
    }
}
