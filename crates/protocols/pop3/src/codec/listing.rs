//! Lines of LIST and UIDL answers (RFC 1939 §5 and §7), read with patience.

use lockstep_model::remote::RemoteKey;

/// Most lines of one listing. More is refused, not cut: a cut listing would make messages look deleted.
pub const MAX_ENTRIES: usize = 1_000_000;

/// Longest line kept. A key that does not fit is no key.
pub const MAX_LINE: usize = 600;

/// How keys derived from a header begin. A server's own id that begins so is not taken, so that the two never meet.
pub const WEAK_PREFIX: &[u8] = b"fp:";

/// A line of LIST: message number and size. A size that cannot be read is 0, "unknown". `None` when there is no
/// message number.
pub fn size(line: &[u8]) -> Option<(u64, u64)> {
    let (number, rest) = numbered(line)?;
    let word = rest.split(u8::is_ascii_whitespace).next().unwrap_or_default();
    Some((number, decimal(word).unwrap_or(0)))
}

/// A line of UIDL: message number and unique id. The id is `None` when it is empty, too long, holds control
/// characters or looks like a derived one; the outer `None` stands for a line without a message number.
pub fn unique_id(line: &[u8]) -> Option<(u64, Option<RemoteKey>)> {
    let (number, id) = numbered(line)?;
    let sound = !id.iter().any(u8::is_ascii_control) && !id.starts_with(WEAK_PREFIX);
    Some((number, sound.then(|| RemoteKey::new(id)).flatten()))
}

fn numbered(line: &[u8]) -> Option<(u64, &[u8])> {
    let line = line.trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let number = decimal(&line[..end]).filter(|number| *number > 0)?;
    Some((number, line[end..].trim_ascii_start()))
}

fn decimal(word: &[u8]) -> Option<u64> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(word).ok()?.parse().ok()
}
