//! Who is who in a listing: unique ids where they can be trusted, header fingerprints where they cannot. Message
//! numbers mean nothing outside the session and never get into a key.

use std::collections::HashMap;

use lockstep_model::remote::{Cursor, Fingerprint, RemoteKey};
use sha2::{Digest, Sha256};

use crate::codec::listing::WEAK_PREFIX;

/// First byte of a cursor that stands for a listing whose every message was identified.
const COMPLETE: u8 = 1;

/// First byte of a cursor that equals no listing, so that the next session looks again.
const INCOMPLETE: u8 = 0;

/// A listing as the server sent it, in the order of its numbers.
#[derive(Debug)]
pub(crate) struct Listing {
    entries: Vec<Listed>,
}

#[derive(Debug)]
struct Listed {
    number: u64,
    size: u64,
    unique_id: Option<RemoteKey>,
    /// The unique id stands for another message, too.
    shared: bool,
}

impl Listed {
    fn is_weak(&self) -> bool {
        self.shared || self.unique_id.is_none()
    }
}

impl Listing {
    /// Puts sizes and unique ids together by number. A number that comes twice counts once, and one that only one of
    /// the two answers has counts as well.
    pub(crate) fn of(sizes: Vec<(u64, u64)>, unique_ids: Vec<(u64, Option<RemoteKey>)>) -> Self {
        let mut entries: Vec<Listed> = unique_ids
            .into_iter()
            .map(|(number, unique_id)| Listed { number, size: 0, unique_id, shared: false })
            .collect();
        entries.sort_by_key(|entry| entry.number);
        entries.dedup_by_key(|entry| entry.number);
        let with_id = entries.len();
        for (number, size) in sizes {
            match entries[..with_id].binary_search_by_key(&number, |entry| entry.number) {
                Ok(at) => entries[at].size = size,
                Err(_) => entries.push(Listed { number, size, unique_id: None, shared: false }),
            }
        }
        entries.sort_by_key(|entry| entry.number);
        entries.dedup_by_key(|entry| entry.number);

        let mut by_id: Vec<usize> = (0..entries.len()).filter(|at| entries[*at].unique_id.is_some()).collect();
        by_id.sort_unstable_by(|a, b| entries[*a].unique_id.cmp(&entries[*b].unique_id));
        for pair in 1..by_id.len() {
            let (one, other) = (by_id[pair - 1], by_id[pair]);
            if entries[one].unique_id == entries[other].unique_id {
                entries[one].shared = true;
                entries[other].shared = true;
            }
        }
        Self { entries }
    }

    /// A digest of the listing: equal means that nothing has to be done. Where a message has no id of its own its
    /// size takes the place: a deletion and an arrival of the same size at the same place stay unseen until
    /// anything else changes. That is the price of not reading every header in every session.
    pub(crate) fn cursor(&self) -> Cursor {
        let mut hash = Sha256::new();
        for entry in &self.entries {
            if let Some(id) = &entry.unique_id {
                hash.update([b'u']);
                hash.update((id.as_bytes().len() as u64).to_be_bytes());
                hash.update(id.as_bytes());
            }
            if entry.is_weak() {
                hash.update([b's']);
                hash.update(entry.size.to_be_bytes());
            }
        }
        hash.update((self.entries.len() as u64).to_be_bytes());
        let digest: [u8; 32] = hash.finalize().into();
        let mut cursor = vec![COMPLETE];
        cursor.extend_from_slice(&digest);
        Cursor(cursor)
    }

    /// Numbers of the messages that only their header can tell apart.
    pub(crate) fn weak(&self) -> Vec<u64> {
        self.entries.iter().filter(|entry| entry.is_weak()).map(|entry| entry.number).collect()
    }

    /// Gives every message its key. `fingerprints` belong to [`Listing::weak`], in its order; a message without one
    /// is left out, and the catalogue is then not complete.
    pub(crate) fn identify(self, fingerprints: Vec<Option<Fingerprint>>) -> Catalogue {
        let mut fingerprints = fingerprints.into_iter();
        let mut alike: HashMap<Fingerprint, u64> = HashMap::new();
        let mut catalogue = Catalogue { complete: true, cursor: self.cursor(), ..Catalogue::default() };
        for entry in self.entries {
            let (key, fingerprint) = if entry.is_weak() {
                let Some(fingerprint) = fingerprints.next().flatten() else {
                    catalogue.complete = false;
                    continue;
                };
                let nth = alike.entry(fingerprint).or_default();
                *nth += 1;
                (weak_key(&fingerprint, *nth), Some(fingerprint))
            } else {
                (entry.unique_id, None)
            };
            let Some(key) = key else { continue };
            catalogue.keys.push(key);
            catalogue.entries.push(Entry { number: entry.number, size: entry.size, fingerprint });
        }
        let mut by_key: Vec<usize> = (0..catalogue.keys.len()).collect();
        by_key.sort_unstable_by(|a, b| catalogue.keys[*a].cmp(&catalogue.keys[*b]));
        catalogue.by_key = by_key;
        if !catalogue.complete {
            catalogue.cursor.0[0] = INCOMPLETE;
        }
        catalogue
    }
}

/// `fp:` and the fingerprint in hexadecimal; from the second of several alike on, `#n`.
fn weak_key(fingerprint: &Fingerprint, nth: u64) -> Option<RemoteKey> {
    let mut key = WEAK_PREFIX.to_vec();
    key.extend_from_slice(hex::encode(fingerprint).as_bytes());
    if nth > 1 {
        key.extend_from_slice(format!("#{nth}").as_bytes());
    }
    RemoteKey::new(key)
}

/// A listing in which every message has its key. Keys stand apart from the rest because the whole of them is asked
/// for at once.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    keys: Vec<RemoteKey>,
    entries: Vec<Entry>,
    by_key: Vec<usize>,
    complete: bool,
    cursor: Cursor,
}

/// What this session knows of a message beside its key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) size: u64,
    /// Set where the key is derived from it.
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl Catalogue {
    /// All keys, in the order of the listing.
    pub(crate) fn keys(&self) -> &[RemoteKey] {
        &self.keys
    }

    /// The message at this place of the listing.
    pub(crate) fn entry(&self, at: usize) -> &Entry {
        &self.entries[at]
    }

    /// Stands for this listing; see [`Listing::cursor`].
    pub(crate) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Whether every listed message has a key here.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// The place of a key in the listing.
    pub(crate) fn find(&self, key: &RemoteKey) -> Option<usize> {
        let at = self.by_key.binary_search_by(|at| self.keys[*at].cmp(key)).ok()?;
        Some(self.by_key[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Option<RemoteKey> {
        RemoteKey::new(text)
    }

    fn names(catalogue: &Catalogue) -> Vec<String> {
        catalogue.keys().iter().map(|key| key.to_string().chars().take(7).collect()).collect()
    }

    #[test]
    fn unique_ids_are_keys_and_the_others_get_one_from_their_header() {
        let ids = vec![(3, key("c")), (1, key("a")), (2, None), (4, key("dup")), (5, key("dup")), (1, key("z"))];
        let listing = Listing::of(vec![(1, 10), (2, 20), (3, 30), (6, 60)], ids);
        assert_eq!(listing.weak(), [2, 4, 5, 6]);
        let alike = [7; 32];
        let catalogue = listing.identify(vec![Some([1; 32]), Some(alike), Some(alike), None]);
        assert!(!catalogue.is_complete(), "the sixth message showed no header");
        assert_eq!(names(&catalogue), ["a", "fp:0101", "c", "fp:0707", "fp:0707"]);
        assert_eq!(catalogue.keys()[4].as_bytes(), format!("fp:{}#2", "07".repeat(32)).as_bytes());
        assert_eq!(catalogue.find(&key("c").unwrap()), Some(2));
        assert_eq!(catalogue.find(&key("dup").unwrap()), None);
        assert_eq!(catalogue.entry(2).size, 30);
    }

    #[test]
    fn digests_differ_when_the_listing_does() {
        let of =
            |ids: &[(u64, &str)]| Listing::of(Vec::new(), ids.iter().map(|(n, id)| (*n, key(id))).collect()).cursor();
        let first = of(&[(1, "a"), (2, "bc")]);
        assert_eq!(first.0.len(), 33);
        assert_eq!(first, of(&[(4, "a"), (9, "bc")]), "numbers do not count");
        assert_ne!(first, of(&[(1, "ab"), (2, "c")]));
        assert_ne!(first, of(&[(1, "bc"), (2, "a")]));
        let sizes = |sizes: &[(u64, u64)]| Listing::of(sizes.to_vec(), Vec::new());
        assert_ne!(sizes(&[(1, 5)]).cursor(), sizes(&[(1, 6)]).cursor());
        let unreadable = sizes(&[(1, 5)]).identify(vec![None]);
        assert_ne!(&sizes(&[(1, 5)]).cursor(), unreadable.cursor(), "looked at again the next time");
    }
}
