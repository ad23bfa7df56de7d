//! Writing elements.

use quick_xml::escape::escape;

/// Writes a document from beginning to end.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    out: String,
}

/// Characters that no XML document may hold, not even as references.
fn is_forbidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{7f}'..='\u{9f}')) || matches!(c, '\u{fffe}' | '\u{ffff}')
}

impl Writer {
    /// What was written.
    pub fn finish(self) -> String {
        self.out
    }

    /// What was written so far is taken out, so that it can be sent.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.out)
    }

    /// The beginning of an element.
    pub fn open(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes);
        self.out.push('>');
    }

    /// The end of an element.
    pub fn close(&mut self, name: &str) {
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// An element and what `inside` writes into it.
    pub fn element(&mut self, name: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Self)) {
        self.open(name, attributes);
        inside(self);
        self.close(name);
    }

    /// An element without content.
    pub fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.tag(name, attributes);
        self.out.push_str("/>");
    }

    /// An element with text.
    pub fn leaf(&mut self, name: &str, text: &str) {
        self.leaf_with(name, &[], text);
    }

    /// An element with attributes and text.
    pub fn leaf_with(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.open(name, attributes);
        self.text(text);
        self.close(name);
    }

    /// Text. What no document may hold is left out; a carriage return is written as a reference, or readers drop it.
    pub fn text(&mut self, text: &str) {
        if text.contains(is_forbidden) || text.contains('\r') {
            let kept: String = text.chars().filter(|c| !is_forbidden(*c)).collect();
            self.out.push_str(&escape(kept.as_str()).replace('\r', "&#xD;"));
        } else {
            self.out.push_str(&escape(text));
        }
    }

    /// What is XML already.
    pub fn raw(&mut self, xml: &str) {
        self.out.push_str(xml);
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (key, value) in attributes {
            self.out.push(' ');
            self.out.push_str(key);
            self.out.push_str("=\"");
            let kept: String = value.chars().filter(|c| !is_forbidden(*c)).collect();
            self.out
                .push_str(&escape(kept.as_str()).replace('\r', "&#xD;").replace('\n', "&#xA;").replace('\t', "&#x9;"));
            self.out.push('"');
        }
    }
}
