//! Lists in pages: a limit, a cursor, and the cursor of the next page.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Most items in one page.
pub(crate) const MAX_LIMIT: u16 = 200;
/// Items in a page when the caller does not say.
const DEFAULT_LIMIT: u16 = 50;

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// The records, in order of their making.
    pub(crate) items: Vec<T>,
    /// Give this as `after` to read on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<Uuid>,
}

impl<T> Page<T> {
    /// A page of `rows`, read with one more than `limit` to know whether there is another.
    pub(crate) fn of<R>(mut rows: Vec<R>, limit: Limit, id: impl Fn(&R) -> Uuid, view: impl FnMut(R) -> T) -> Self {
        let size = usize::from(limit.0);
        let more = rows.len() > size;
        rows.truncate(size);
        let next = if more { rows.last().map(&id) } else { None };
        Self { items: rows.into_iter().map(view).collect(), next }
    }
}

/// How many items a page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(u16);

impl Limit {
    /// What was asked for: from 1 to [`MAX_LIMIT`], which the reader of queries has looked at ([`crate::bounds`]).
    pub(crate) fn of(asked: Option<u16>) -> Self {
        Self(asked.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT))
    }

    /// How many rows to read: one more.
    pub(crate) fn rows(self) -> i64 {
        i64::from(self.0) + 1
    }

    /// How many items to show.
    pub(crate) fn items(self) -> i64 {
        i64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_knows_whether_there_is_another() {
        let id = |n: &u128| Uuid::from_u128(*n);
        let page = Page::of(vec![1, 2, 3], Limit::of(Some(2)), id, |n| n);
        assert_eq!((page.items, page.next), (vec![1, 2], Some(Uuid::from_u128(2))));
        let page = Page::of(vec![1, 2], Limit::of(Some(2)), id, |n| n);
        assert_eq!((page.items.len(), page.next), (2, None));
    }

    #[test]
    fn limits_are_bounded() {
        assert_eq!(Limit::of(Some(0)).items(), 1);
        assert_eq!(Limit::of(Some(60_000)).items(), 200);
        assert_eq!(Limit::of(None).rows(), 51);
    }
}
