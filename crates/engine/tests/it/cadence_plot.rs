//! The plot in `docs/cadence.md` is drawn by the code it explains.

use std::{fmt::Write, time::Duration};

use lockstep_engine::cadence::{Activity, Cycle, Policy, next};

use crate::values::seconds;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cadence.md");

const INTRODUCTION: &str = "\
# How often a mailbox is polled

Five minutes after the end of a cycle normally, down to two when many messages come, up to twelve when nothing happens.
Each mailbox has its own interval, decided anew after every cycle by `engine::cadence`:

- **Busy:** a cycle that saw 10 new items or more, or could not read everything, is followed by 2 minutes. One is enough.
- **Lively:** while the weighted average (the newest cycle counts for 40 %) is between 5 and 10 items a cycle, the interval
  lies in proportion between 5 and 2 minutes.
- **Ordinary:** 5 minutes.
- **Idle:** from the third empty cycle in a row each further one makes the interval 1.3 times as long.
- **Longest:** 12 minutes less the last cycle's duration and less 1 minute, so that the next cycle is through within 12
  minutes even if its occasion is lost once and handed out again.
- **Shortest:** 2 minutes, or the profile's *minimum polling interval* where that is longer. It may exceed 12 minutes.
- **Jitter** then shortens the interval by up to 10 %, never below the shortest. The plots leave it out.

These are the defaults of the back-offs in the [settings](settings.md) of the group `email`: 2 and 5 minutes are those of an
active mailbox, 5 (where the growth begins) and 12 those of an idle one. Changed ones count from the end of the next cycle on.
The 12 minutes under *longest* hold whatever the back-offs are, unless `idle_mailbox_maximum_backoff` is longer.

The plots show minutes; each cycle takes 10 seconds. This page is written by a test of `lockstep-engine`; after a change of
the rules run it with `LOCKSTEP_WRITE_DOCS=1`.
";

fn story(page: &mut String, title: &str, told: &str, items: &[u32]) {
    writeln!(page, "\n## {title}\n\n{told}\n\n```text\ncycle  items  average  interval").unwrap();
    let mut activity = Activity::default();
    for (number, items) in items.iter().enumerate() {
        let cycle = Cycle { items: *items, drained: true, duration: seconds(10) };
        let after = next(&Policy::default(), Duration::ZERO, activity, cycle, 0.0);
        activity = after.activity;
        let minutes = after.interval.as_secs_f64() / 60.0;
        let bar = "#".repeat((minutes * 4.0).round() as usize);
        writeln!(page, "{:>5}  {items:>5}  {:>7.1}  {minutes:>8.2}  {bar}", number + 1, activity.ewma).unwrap();
    }
    page.push_str("```\n");
}

/// The page says what the code does; `LOCKSTEP_WRITE_DOCS=1` writes it anew.
#[test]
fn the_page_is_current() {
    let mut page = INTRODUCTION.to_owned();
    story(&mut page, "Steady", "Three messages a cycle.", &[3; 8]);
    story(
        &mut page,
        "Burst",
        "A quiet mailbox, forty messages at once, a few more, then nothing.",
        &[0, 0, 0, 0, 0, 0, 40, 12, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    story(
        &mut page,
        "Silence",
        "An ordinary mailbox in the evening, and its first message in the morning.",
        &[4, 3, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2],
    );
    if std::env::var_os("LOCKSTEP_WRITE_DOCS").is_some() {
        std::fs::write(DOCUMENT, &page).unwrap();
    }
    let written = std::fs::read_to_string(DOCUMENT).unwrap_or_default();
    assert!(written == page, "docs/cadence.md is out of date; run this test with LOCKSTEP_WRITE_DOCS=1");
}
