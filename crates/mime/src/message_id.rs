//! Message identifiers (RFC 5322 section 3.6.4) as they are compared: without brackets and
//! white space, case kept.

/// Bytes kept of one identifier.
pub const MAX_BYTES: usize = 998;
/// Identifiers kept of References: the last ones.
pub const MAX_REFERENCES: usize = 100;

/// The first identifier of a value. Without brackets, the first word counts.
#[must_use]
pub fn first(value: &str) -> Option<String> {
    bracketed(value).next().or_else(|| value.split_whitespace().find_map(normalised))
}

/// The identifiers of a value in order; of very many, the last [`MAX_REFERENCES`]. Without
/// brackets, every word with an `@` counts.
#[must_use]
pub fn all(value: &str) -> Vec<String> {
    let mut ids: Vec<String> = bracketed(value).collect();
    if ids.is_empty() {
        ids = value.split_whitespace().filter(|word| word.contains('@')).filter_map(normalised).collect();
    }
    ids.split_off(ids.len().saturating_sub(MAX_REFERENCES))
}

fn bracketed(value: &str) -> impl Iterator<Item = String> {
    value.split('<').skip(1).filter_map(|piece| piece.split_once('>')).filter_map(|(id, _)| normalised(id))
}

fn normalised(id: &str) -> Option<String> {
    let id: String = id.chars().filter(|c| !c.is_whitespace() && !c.is_control() && !matches!(c, '<' | '>')).collect();
    let id = crate::text::cut(&id, MAX_BYTES);
    (!id.is_empty()).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_in_the_wild() {
        assert_eq!(first(" <a@x.test> (c)").as_deref(), Some("a@x.test"));
        assert_eq!(first("a@x.test").as_deref(), Some("a@x.test"));
        assert_eq!(first("<a @x.test>").as_deref(), Some("a@x.test"));
        assert_eq!(first("<>"), None);
        assert_eq!(all("your mail of <a@x>  <b@y>"), ["a@x", "b@y"]);
        assert_eq!(all("a@x b@y and"), ["a@x", "b@y"]);
        let many: String = (0..250).map(|n| format!("<{n}@x> ")).collect();
        let kept = all(&many);
        assert_eq!((kept.len(), kept[0].as_str()), (100, "150@x"));
    }
}
