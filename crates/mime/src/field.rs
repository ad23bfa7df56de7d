//! A raw header block cut into fields: names in lower case, values unfolded and Unicode.

use crate::text;

/// Fields looked at in one block; a block within its byte limit hardly reaches it.
const MAX_FIELDS: usize = 10_000;

/// One header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name in lower case.
    pub name: String,
    /// The value without folding; encoded words are still encoded.
    pub value: String,
    /// The value held 8-bit bytes.
    pub eight_bit: bool,
}

/// The fields of a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<Field>);

impl Fields {
    /// Cuts a block. 8-bit bytes are read as UTF-8 if valid, else by `default_charset`, else as
    /// windows-1252: this comes before any parser, which would lose them. Lines that are no
    /// field are passed over.
    #[must_use]
    pub fn parse(raw: &[u8], default_charset: Option<&str>) -> Self {
        let mut fields = Vec::new();
        let mut current: Option<(String, Vec<u8>)> = None;
        for line in lines(raw) {
            match (line.first(), &mut current) {
                (Some(b' ' | b'\t'), Some((_, value))) => {
                    value.extend_from_slice(line);
                    continue;
                }
                (None | Some(b' ' | b'\t'), _) => continue,
                _ => {}
            }
            let Some((name, value)) = split_field(line) else { continue };
            fields.extend(current.take().map(|f| finished(f, default_charset)));
            if fields.len() >= MAX_FIELDS {
                break;
            }
            current = Some((name, value.to_vec()));
        }
        fields.extend(current.map(|f| finished(f, default_charset)));
        Self(fields)
    }

    /// The value of the first field of that (lower case) name that is not blank.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    /// The values of all fields of that (lower case) name, trimmed.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0.iter().filter(move |field| field.name == name).map(|field| field.value.trim())
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = &Field> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn finished((name, value): (String, Vec<u8>), default_charset: Option<&str>) -> Field {
    let eight_bit = !value.is_ascii();
    Field { name, value: text::decode(&value, None, default_charset).text, eight_bit }
}

/// Lines without their ends. A CR counts as line end only where no LF is in the whole block.
fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let separator = if raw.contains(&b'\n') { b'\n' } else { b'\r' };
    raw.split(move |byte| *byte == separator).map(|mut line| {
        while let Some(shorter) = line.strip_suffix(b"\r") {
            line = shorter;
        }
        line
    })
}

fn split_field(line: &[u8]) -> Option<(String, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = line[..colon].trim_ascii_end();
    let valid = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    valid.then(|| (String::from_utf8_lossy(name).to_ascii_lowercase(), &line[colon + 1..]))
}
