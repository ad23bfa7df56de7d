//! Processor time of a process, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};

/// Linux tells user programs hundredths of a second, whatever its own tick is.
const TICKS_A_SECOND: f64 = 100.0;

/// User and system time so far, in seconds; all threads, no children.
pub(crate) fn seconds(process: &str) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).with_context(|| format!("process {process}"))?;
    ticks(&text).map(|ticks| ticks as f64 / TICKS_A_SECOND).with_context(|| format!("not as expected: {text}"))
}

/// Fields 14 and 15; the name before them, in brackets, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::ticks;

    #[test]
    fn user_and_system_time_are_added() {
        let text = "42 (a) b) (c) S 1 42 42 0 -1 4194304 9 0 0 0 120 34 5 6 20 0 1 0 99 0 0";
        assert_eq!(ticks(text), Some(154));
        assert_eq!(ticks("nothing"), None);
    }
}
