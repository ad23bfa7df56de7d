//! XML: read into a small tree within bounds, and written. Prefixes are dropped in reading: no two names of the dialect
//! differ only by them.

use std::fmt::Write;

use quick_xml::{
    Reader, XmlVersion,
    events::{BytesStart, Event},
};

/// How deep a request may go.
const DEPTH: usize = 64;
/// How many elements it may have.
const ELEMENTS: usize = 200_000;

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// The name without its prefix.
    pub name: String,
    /// Attributes, their names without prefixes.
    pub attributes: Vec<(String, String)>,
    /// All text directly in it.
    pub text: String,
    /// What it contains.
    pub children: Vec<Element>,
}

impl Element {
    /// The first child with a name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of the first child with a name.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim())
    }

    /// An attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The children of the first child with a name; none when it is not there.
    pub fn list(&self, name: &str) -> &[Self] {
        self.child(name).map_or(&[], |child| &child.children)
    }
}

/// Whether a text says yes, in either of XML's spellings.
pub fn is_true(text: Option<&str>) -> bool {
    matches!(text, Some("true" | "1"))
}

fn open(tag: &BytesStart<'_>) -> Result<Element, String> {
    let local = |name: &str| name.rsplit(':').next().unwrap_or_default().to_owned();
    let mut element = Element { name: local(tag.name().as_ref()), ..Element::default() };
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|error| error.to_string())?;
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|error| error.to_string())?;
        element.attributes.push((local(attribute.key.as_ref()), value.into_owned()));
    }
    Ok(element)
}

fn reference(name: &str) -> Option<char> {
    let number = |text: &str, base| u32::from_str_radix(text, base).ok().and_then(char::from_u32);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => match (name.strip_prefix("#x"), name.strip_prefix('#')) {
            (Some(hex), _) => number(hex, 16),
            (_, Some(decimal)) => number(decimal, 10),
            _ => None,
        },
    }
}

/// Reads a document.
///
/// # Errors
/// What is wrong with it: not well formed, a document type, an unknown entity, too deep, too many elements.
pub fn read(text: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(text);
    let (mut stack, mut count): (Vec<Element>, usize) = (vec![Element::default()], 0);
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        let top = stack.last_mut().ok_or("too many ends")?;
        match event {
            Event::Start(tag) => {
                stack.push(open(&tag)?);
                count += 1;
            }
            Event::Empty(tag) => {
                top.children.push(open(&tag)?);
                count += 1;
            }
            Event::End(_) => {
                let done = stack.pop().ok_or("too many ends")?;
                stack.last_mut().ok_or("too many ends")?.children.push(done);
            }
            Event::Text(text) => top.text.push_str(&text.xml10_content()),
            Event::CData(text) => top.text.push_str(&text.xml10_content()),
            Event::GeneralRef(name) => top.text.push(reference(&name.into_inner()).ok_or("an unknown entity")?),
            Event::DocType(_) => return Err("a document type is not allowed".to_owned()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
        if stack.len() > DEPTH || count > ELEMENTS {
            return Err("too deep or too many elements".to_owned());
        }
    }
    let mut document = stack.pop().filter(|_| stack.is_empty()).ok_or("it ends too early")?;
    if document.children.len() != 1 {
        return Err("there must be one element at the top".to_owned());
    }
    Ok(document.children.remove(0))
}

/// Writes elements one after the other.
#[derive(Debug, Default)]
pub struct Writer {
    out: String,
}

fn escape(out: &mut String, text: &str) {
    // Most of what is long is base64.
    if text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=')) {
        out.push_str(text);
        return;
    }
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            '\n' | '\t' => out.push(c),
            // XML 1.0 has no place for these.
            c if c.is_control() && (c as u32) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

impl Writer {
    fn tag(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (name, value) in attributes {
            let _ = write!(self.out, " {name}=\"");
            escape(&mut self.out, value);
            self.out.push('"');
        }
    }

    /// Markup that is known to be well formed.
    pub fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    /// An element with what `inside` writes.
    pub fn element(&mut self, name: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Self)) {
        self.tag(name, attributes);
        self.out.push('>');
        inside(self);
        let _ = write!(self.out, "</{name}>");
    }

    /// An element with a text.
    pub fn leaf(&mut self, name: &str, text: &str) {
        self.leaf_with(name, &[], text);
    }

    /// An element with attributes and a text.
    pub fn leaf_with(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.element(name, attributes, |w| escape(&mut w.out, text));
    }

    /// An element with nothing in it.
    pub fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes);
        self.out.push_str("/>");
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut writer = Writer::default();
        writer.element("t:A", &[("Id", "a\"<&>")], |w| {
            w.leaf("t:B", "x < y & z\r\n\u{1}ü");
            w.empty("t:C", &[]);
        });
        let read = read(&writer.finish()).unwrap();
        assert_eq!((read.name.as_str(), read.attribute("Id")), ("A", Some("a\"<&>")));
        assert_eq!(read.child("B").unwrap().text, "x < y & z\r\n\u{fffd}ü");
        assert!(read.child("C").is_some() && read.list("D").is_empty());
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = "<a>".repeat(100);
        let many = format!("<a>{}</a>", "<b/>".repeat(ELEMENTS + 1));
        let cases = [
            "",
            "<a>",
            "</a>",
            "<a></b>",
            "<a/><b/>",
            "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>",
            "<a>&x;</a>",
            &deep,
            &many,
        ];
        for text in cases {
            assert!(read(text).is_err(), "{}", text.get(..20).unwrap_or(text));
        }
    }
}
