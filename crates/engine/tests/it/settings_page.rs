//! `docs/settings.md` is the table of settings.

use std::fmt::Write;

use lockstep_model::settings::{Group, ORDERS, of};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");

const INTRODUCTION: &str = "\
# Settings that count without a restart

Three groups of numbers in the database. The scheduler reads them with each batch of work, workers with each run or every
two seconds: a change needs no restart. What a process needs before it has a database (addresses, passwords, how much it does at one time)
is in its settings file instead.

```sh
lockstep setting get                                              # all, or: get email
lockstep setting set email idle_mailbox_maximum_backoff 900
lockstep setting set email idle_mailbox_maximum_backoff default   # back to the default
```

Over the API: `GET /api/v1/settings` describes all, `GET` and `PATCH /api/v1/settings/{group}` read and write a group; null brings
the default back. Operators may read, administrators may write. The audit keeps who changed what from which value to which.
All values are whole numbers.

This page is written from the table the program checks values with: by a test of `lockstep-engine`, with
`LOCKSTEP_WRITE_DOCS=1`.
";

fn about(group: Group) -> &'static str {
    match group {
        Group::Email => {
            "Reading and sending email. How the back-offs become intervals is told in [cadence](cadence.md).\n\
             Postponements are kept to the second; what a server asks for is respected where it is longer."
        }
        Group::Act => "Appointments, contacts and tasks, of mailboxes on Exchange.",
        Group::Queue => {
            "What processes hold in memory. A worker takes no more than its `concurrency` (its settings file) in any case; the\n\
             marks are for processes that have more slots than should be filled at once."
        }
    }
}

/// N11: the page says what the program checks; `LOCKSTEP_WRITE_DOCS=1` writes it anew.
#[test]
fn n11_the_page_is_the_table() {
    let mut page = INTRODUCTION.to_owned();
    for group in Group::ALL {
        writeln!(page, "\n## {group}\n\n{}\n", about(*group)).unwrap();
        page.push_str("| setting | unit | from | to | default | what it does |\n|---|---|---|---|---|---|\n");
        for setting in of(*group) {
            let default = setting.default.map_or("no limit".to_owned(), |value| value.to_string());
            writeln!(
                page,
                "| `{}` | {} | {} | {} | {default} | {} |",
                setting.key, setting.unit, setting.minimum, setting.maximum, setting.about
            )
            .unwrap();
        }
        page.push('\n');
        for order in ORDERS.iter().filter(|order| order.group == *group) {
            let word = if order.apart { "below" } else { "at most" };
            writeln!(page, "- `{}` is {word} `{}`.", order.low, order.high).unwrap();
        }
    }
    if std::env::var_os("LOCKSTEP_WRITE_DOCS").is_some() {
        std::fs::write(DOCUMENT, &page).unwrap();
    }
    let found = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert!(found == page, "docs/settings.md is behind: run this test with LOCKSTEP_WRITE_DOCS=1");
}
