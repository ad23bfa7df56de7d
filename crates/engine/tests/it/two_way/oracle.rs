//! What must be true of the world when everybody has come to rest.

use std::{collections::VecDeque, fmt::Write};

use lockstep_engine::merge::{
    diff::units,
    plan::{Key, Tie},
};
use lockstep_model::record::{Field, Fields, Value};

use super::world::{Mishap, Place, Token, World};

impl World {
    /// Judges a world that has come to rest; the error says everything that is wrong.
    pub(super) fn judge(&mut self) -> Result<(), String> {
        let mut wrong = std::mem::take(&mut self.wrong);
        let writes = self.writes;
        let history = self.history.len();
        self.quiet_cycles(2);
        if self.writes != writes || self.history.len() != history {
            wrong.push(format!("{} writes after convergence", self.writes - writes));
        }
        if !self.intents.is_empty() {
            wrong.push("intents are left".to_owned());
        }
        self.judge_pairs(&mut wrong);
        self.judge_doubles(&mut wrong);
        for token in &self.tokens {
            if !self.is_accounted_for(token) {
                wrong.push(format!("lost: {token:?}"));
            }
            if self.has_strayed(token) {
                wrong.push(format!("went where it may not: {token:?}"));
            }
        }
        // Peace is not a matter of the cycle's faults alone.
        self.cycle(Mishap::None, &mut VecDeque::new(), 0);
        let mut text = String::new();
        for line in &wrong {
            let _ = writeln!(text, "{line}");
        }
        if wrong.is_empty() { Ok(()) } else { Err(text) }
    }

    fn judge_pairs(&self, wrong: &mut Vec<String>) {
        for link in self.links.values().filter(|link| link.tie == Tie::Linked) {
            let record = &self.records[&link.record];
            let Some(item) = self.items.get(&link.remote) else {
                wrong.push(format!("linked to nothing: {link:?}"));
                continue;
            };
            if record.deleted || !record.passes {
                wrong.push(format!("still linked: {link:?}"));
            }
            let sent = Self::normalised(record.seen.fields.clone());
            for unit in units(self.facts.kind) {
                let flow = self.rules.flow_of(&unit);
                let touched =
                    |place: &Place| self.touched.iter().any(|(at, field)| at == place && unit.contains(field));
                let there = touched(&Place::Item(link.remote.clone()));
                let here = touched(&Place::Record(link.record));
                let same = |a: &Fields| unit.iter().all(|field| a.get(*field) == item.seen.fields.get(*field));
                let equal = same(&sent) || same(&record.seen.fields);
                let must = (flow.to_crm && flow.to_server)
                    || flow.put_back
                    || (flow.to_server && here && !there)
                    || (flow.to_crm && there && !here);
                if must && !equal {
                    wrong.push(format!("no agreement on {unit:?}: {record:?} {item:?}"));
                }
                for field in unit.iter().filter(|_| flow.to_crm && flow.to_server && unit.len() == 1) {
                    let value = record.seen.fields.get(*field);
                    if self.tokens.iter().any(|token| Some(&token.value) == value && self.is_old(token)) {
                        wrong.push(format!("an old value came back: {value:?}"));
                    }
                }
            }
        }
    }

    /// Whether somebody wrote another value over it that neither went with what it was written to nor gave way with a
    /// note, nor did the one that was written over that.
    fn is_old(&self, token: &Token) -> bool {
        // What is written over a cleared field later is not told apart from what is written over its last value.
        let Some((place, Some(by))) = &token.superseded else { return false };
        let gone = match place {
            Place::Item(remote) => self.deleted_items.contains(remote),
            Place::Record(id) => self.records[id].deleted,
        };
        let by = self.short(token.field, Some(by));
        let noted = self.history.iter().any(|lost| self.short(token.field, lost.value.as_ref()) == by);
        let next = self.tokens.iter().find(|other| self.short(other.field, Some(&other.value)) == by);
        !gone && !noted && next.is_none_or(|next| next.superseded.is_none() || self.is_old(next))
    }

    fn judge_doubles(&self, wrong: &mut Vec<String>) {
        for id in self.records.keys() {
            let mark = Some(Key::of_creation(self.mailbox, *id));
            let made = self.items.values().filter(|item| item.mark == mark && !item.copied).count();
            if made > 1 {
                wrong.push(format!("{made} items for {id:?}"));
            }
            let links = self.links.values().filter(|link| link.record == *id).count();
            if links > 1 {
                wrong.push(format!("{links} links of {id:?}"));
            }
        }
        for remote in self.items.keys() {
            if self.links.values().filter(|link| link.remote == *remote).count() > 1 {
                wrong.push(format!("two links to {remote}"));
            }
        }
    }

    /// L11, L14: a value of a field that flows one way only, or not at all, is not on the other side, unless somebody
    /// wrote it there as well.
    fn has_strayed(&self, token: &Token) -> bool {
        let field = token.field;
        let flow = self.rules.flow(field);
        let value = self.short(field, Some(&token.value));
        let also = |at_item: bool| {
            let there = |other: &&Token| matches!(other.place, Place::Item(_)) == at_item && other.field == field;
            self.tokens.iter().filter(there).any(|other| self.short(field, Some(&other.value)) == value)
        };
        let has = |fields: &Fields| self.short(field, fields.get(field)) == value;
        match token.place {
            Place::Item(_) => {
                !flow.to_crm && !also(false) && self.records.values().any(|record| has(&record.seen.fields))
            }
            Place::Record(_) => {
                !flow.to_server && !also(true) && self.items.values().any(|item| has(&item.seen.fields))
            }
        }
    }

    /// The server's form of a value.
    fn short(&self, field: Field, value: Option<&Value>) -> Option<Value> {
        let mut fields = Fields::default();
        let _ = value.map(|value| fields.set(field, value.clone()));
        Self::normalised(fields).get(field).cloned()
    }

    /// A value that a person wrote is where they wrote it, or was replaced by them, or reached the other side, or
    /// stands in the history; or the person has deleted it.
    fn is_accounted_for(&self, token: &Token) -> bool {
        if token.replaced || self.history.iter().any(|lost| lost.value.as_ref() == Some(&token.value)) {
            return true;
        }
        let flow = self.rules.flow(token.field);
        match &token.place {
            Place::Record(id) => {
                let record = &self.records[id];
                let by_person = record.deleted && !self.gone_by_engine.contains(id);
                let for_nobody = record.deleted && !flow.to_server;
                let short = self.short(token.field, Some(&token.value));
                let reached = short.as_ref().is_some_and(|value| self.reached_server.contains(value));
                // What the server does not keep of a value is not safe there.
                let whole = short.as_ref() == Some(&token.value) || record.deleted;
                let there = !record.deleted && record.seen.fields.get(token.field) == Some(&token.value);
                by_person || for_nobody || (reached && whole) || there
            }
            Place::Item(remote) => {
                let item = self.items.get(remote);
                let by_person = self.deleted_items.contains(remote);
                let for_nobody = item.is_none() && !flow.to_crm;
                let there = item.is_some_and(|item| item.seen.fields.get(token.field) == Some(&token.value));
                by_person || for_nobody || there || self.reached_crm.contains(&token.value)
            }
        }
    }
}
