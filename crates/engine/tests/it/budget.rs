//! Page limits.

use lockstep_engine::budget::{PAGE_BYTES, PAGE_ITEMS, page_limits};

/// Two silent expiries make pages of one item, so that the item that kills its worker is found.
#[test]
fn silence_makes_pages_of_one_item() {
    let items: Vec<usize> = [0, 1, 2, 3, u32::MAX].map(|n| page_limits(n, false).items).into();
    assert_eq!(items, [PAGE_ITEMS, PAGE_ITEMS, 1, 1, 1]);
    assert_eq!(page_limits(2, false).bytes, PAGE_BYTES);
    assert_eq!(page_limits(0, true).items, 1, "one death is dear enough");
}
