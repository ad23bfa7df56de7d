//! `lockstep explain`: where mail is, decision by decision.
//!
//! The exit code is 0 when mail passes, or waits for something that comes by itself; 1 when a step stops it until
//! somebody acts, or when nobody can tell.

use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

use super::{
    Done, Error, Result,
    client::{Access, Api, Request},
    table::harmless,
};

/// The decision with which each chain begins.
const FIRST: &str = "approved";
/// Lines are broken before this column, where words allow it.
const WIDTH: usize = 110;

#[derive(Debug, Subcommand)]
pub(super) enum Explain {
    /// Why a mailbox is read and sent from, or not: approved, enabled, due, breaker, permit, lease, filter, acceptance,
    /// correlation, result. Exit code 1 when something stops it. With a user's key of the user's own.
    Mailbox(MailboxArguments),
    /// What became of a message, decision by decision. Exit code 1 when something stops it, or nobody has seen it. With a
    /// user's key in the user's own mailbox.
    Message(MessageArguments),
}

#[derive(Debug, Args)]
pub(super) struct MailboxArguments {
    /// Its address or id.
    mailbox: String,
    /// Only this direction; it alone decides the exit code.
    #[arg(long, value_enum)]
    direction: Option<Direction>,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Args)]
pub(super) struct MessageArguments {
    /// Its Message-ID, as its source shows it; angle brackets may be left out.
    #[arg(allow_hyphen_values = true)]
    message_id: String,
    /// The mailbox in which it is missed: address or id.
    #[arg(long)]
    mailbox: Option<String>,
    #[command(flatten)]
    access: Access,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Direction {
    /// What is read.
    Incoming,
    /// What is sent.
    Outgoing,
}

impl Direction {
    fn part(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }
}

/// `lockstep explain`
pub(super) async fn run(explain: Explain) -> Result {
    match explain {
        Explain::Mailbox(arguments) => {
            let api = arguments.access.connect()?;
            let id = mailbox_id(&api, &arguments.mailbox).await?;
            let path = format!("explanations/mailboxes/{id}");
            let mut answer = api.call(Method::GET, &path, Request::default()).await?.body;
            if let Some(direction) = arguments.direction {
                only(&mut answer, direction.part());
            }
            done(&answer, arguments.access.json)
        }
        Explain::Message(arguments) => {
            let api = arguments.access.connect()?;
            let mut query = vec![("message_id".to_owned(), arguments.message_id)];
            if let Some(mailbox) = &arguments.mailbox {
                query.push(("mailbox_id".to_owned(), mailbox_id(&api, mailbox).await?.to_string()));
            }
            let request = Request { query, ..Request::default() };
            let answer = api.call(Method::GET, "explanations/messages", request).await?.body;
            done(&answer, arguments.access.json)
        }
    }
}

/// The mailbox of an address, or the id itself.
pub(super) async fn mailbox_id(api: &Api, text: &str) -> Result<Uuid> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let wanted = text.trim().to_lowercase();
    let found = api.list("mailboxes", &[("address".to_owned(), wanted.clone())], 200).await?;
    let own = found.iter().find(|mailbox| text_of(mailbox, "address").to_lowercase() == wanted);
    match own.map(|mailbox| text_of(mailbox, "id").parse()) {
        Some(Ok(id)) => Ok(id),
        _ => Err(Error::new(format!("no mailbox has the address {text:?}; `lockstep mailbox list` shows them"))),
    }
}

fn steps(answer: &Value) -> &[Value] {
    answer.get("steps").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Leaves only the steps of one part, and the verdict they come to.
fn only(answer: &mut Value, part: &str) {
    let Some(Value::Array(steps)) = answer.get_mut("steps") else { return };
    steps.retain(|step| text_of(step, "part") == part);
    let holds = |verdict: &&str| steps.iter().any(|step| text_of(step, "verdict") == *verdict);
    let verdict = ["stops", "unknown", "waits"].iter().find(|verdict| holds(verdict)).copied().unwrap_or("ok");
    answer["verdict"] = verdict.into();
}

fn done(answer: &Value, json: bool) -> Result {
    let text = if json {
        let text = serde_json::to_string_pretty(answer).map_err(Error::new)?;
        format!("{text}\n")
    } else {
        shown(answer)
    };
    Ok(Done { text, code: u8::from(!matches!(text_of(answer, "verdict"), "ok" | "waits")) })
}

fn text_of<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// What catches the eye: what passes is small.
fn mark(verdict: &str) -> &'static str {
    match verdict {
        "ok" => "ok",
        "waits" => "WAITS",
        "stops" => "STOPS",
        "not-reached" => "-",
        _ => "UNKNOWN",
    }
}

/// Steps under their parts; what to do stands below a step that does not pass.
fn shown(answer: &Value) -> String {
    let subject = [("message", "message_id"), ("mailbox", "address")];
    let subject = subject.map(|(kind, key)| (kind, text_of(answer, key)));
    let subject: Vec<_> = subject.iter().filter(|(_, text)| !text.is_empty()).collect();
    let subject = subject.iter().map(|(kind, text)| format!("{kind} {}", harmless(text))).collect::<Vec<_>>();
    let mut text = format!("{}, at {}\n", subject.join(" in "), text_of(answer, "at"));
    let steps = steps(answer);
    let names = steps.iter().map(|step| text_of(step, "name").chars().count()).max().unwrap_or(0);
    let indent = 2 + "UNKNOWN".len() + 2 + names + 2;
    let mut part = None;
    for step in steps {
        // Of one part there may be several chains: of several records of one message, or several sendings.
        if part != Some(text_of(step, "part")) || text_of(step, "name") == FIRST {
            part = Some(text_of(step, "part"));
            text.push_str(&format!("\n{}\n", harmless(text_of(step, "part"))));
        }
        let (mark, name) = (mark(text_of(step, "verdict")), harmless(text_of(step, "name")));
        text.push_str(&format!("  {mark:7}  {name:names$}  {}\n", wrapped(text_of(step, "sentence"), indent)));
        if let Some(remedy) = step.get("remedy").and_then(Value::as_str) {
            text.push_str(&format!("{:indent$}> {}\n", "", wrapped(remedy, indent + 2)));
        }
    }
    text.push_str(&format!("\n{}\n", mark(text_of(answer, "verdict"))));
    text
}

/// Broken at spaces; further lines are indented. Nothing in it steers the terminal.
fn wrapped(text: &str, indent: usize) -> String {
    let room = WIDTH.saturating_sub(indent).max(20);
    let mut lines: Vec<String> = vec![String::new()];
    for word in harmless(text).split(' ').filter(|word| !word.is_empty()) {
        let full = |line: &String| !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room;
        if lines.last().is_some_and(full) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join(&format!("\n{:indent$}", ""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(part: &str, name: &str, verdict: &str, remedy: Option<&str>) -> Value {
        json!({ "part": part, "name": name, "verdict": verdict, "sentence": "So it is.", "remedy": remedy })
    }

    fn answer(verdict: &str, steps: &[Value]) -> Value {
        json!({ "address": "ann@x.test", "at": "2026-11-23T09:00:00Z", "verdict": verdict, "steps": steps })
    }

    #[test]
    fn steps_are_aligned_under_their_parts() {
        let steps = [
            step("incoming", "record", "ok", None),
            step("incoming", "profile", "stops", Some("Mend it.")),
            step("incoming", "due", "not-reached", None),
            step("outgoing", "outbox", "waits", None),
        ];
        assert_eq!(
            shown(&answer("stops", &steps)),
            "mailbox ann@x.test, at 2026-11-23T09:00:00Z\n\
             \nincoming\n\
             \x20 ok       record   So it is.\n\
             \x20 STOPS    profile  So it is.\n\
             \x20                   > Mend it.\n\
             \x20 -        due      So it is.\n\
             \noutgoing\n\
             \x20 WAITS    outbox   So it is.\n\
             \nSTOPS\n"
        );
    }

    /// The exit code is a decision: mail that waits needs nobody; what stops or cannot be told does.
    #[test]
    fn the_exit_code_follows_the_verdict() {
        for (verdict, code) in [("ok", 0), ("waits", 0), ("stops", 1), ("unknown", 1), ("newer", 1)] {
            for json in [false, true] {
                assert_eq!(done(&answer(verdict, &[]), json).unwrap().code, code, "{verdict}");
            }
        }
        let steps = [step("incoming", "a", "stops", None), step("outgoing", "b", "waits", None)];
        let mut both = answer("stops", &steps);
        only(&mut both, "outgoing");
        assert_eq!((both["verdict"].as_str(), both["steps"].as_array().unwrap().len()), (Some("waits"), 1));
        only(&mut both, "incoming");
        assert_eq!(both["verdict"], "ok", "nothing to say against it");
    }

    #[test]
    fn long_sentences_are_broken_and_nothing_steers_the_terminal() {
        let text = wrapped(&format!("\u{1b}[31m {}", "word ".repeat(60)), 30);
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.chars().count() <= WIDTH));
        assert!(!text.contains('\u{1b}') && text.lines().nth(1).unwrap().starts_with(&" ".repeat(30)));
        assert_eq!(wrapped(&"x".repeat(300), 30).lines().count(), 1, "a word is never torn");
    }
}
