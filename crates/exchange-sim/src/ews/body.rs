//! Bodies: as they are, as text, as HTML.

use crate::world::{
    item::Content,
    value::{Body, Value},
};

/// In which form somebody wants bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    /// As it was written.
    #[default]
    Best,
    /// HTML.
    Html,
    /// Text.
    Text,
}

fn strip(html: &str) -> String {
    let (mut out, mut rest) = (String::new(), html);
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let tag = rest[at..].to_ascii_lowercase();
        let hidden = ["style", "script", "head>", "title"].iter().find(|name| tag[1..].starts_with(**name));
        let end = match hidden {
            Some(name) => {
                let close = tag.find(&format!("</{}", name.trim_end_matches('>')));
                close.and_then(|close| tag[close..].find('>').map(|end| close + end))
            }
            None => tag.find('>'),
        };
        if tag.starts_with("<br") || tag.starts_with("</p") || tag.starts_with("</div") {
            out.push_str("\r\n");
        }
        let Some(end) = end else { return out };
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    let entities = [("&nbsp;", " "), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(out, |text, (name, plain)| text.replace(name, plain))
}

/// A body in a form.
pub fn shaped(body: &Body, form: Form) -> Body {
    match (form, body.html) {
        (Form::Text, true) => Body { html: false, text: strip(&body.text) },
        (Form::Html, false) => {
            let escaped = body.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let lines = escaped.replace("\r\n", "\n").replace('\n', "<br>\r\n");
            Body { html: true, text: format!("<html><body><div class=\"PlainText\">{lines}</div></body></html>") }
        }
        _ => body.clone(),
    }
}

/// An item's body as text; empty when it has none.
pub fn plain(content: &Content) -> String {
    match content.values.get("Body") {
        Some(Value::Body(body)) => shaped(body, Form::Text).text,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_becomes_text_whatever_it_is() {
        let cases = [
            ("<html><head><title>x</title></head><body><p>a &lt; b</p>c</body></html>", "a < b\r\nc"),
            ("no tags", "no tags"),
            ("<style>b{}", ""),
            ("a<", "a"),
            ("İ<b>x</b>", "İx"),
        ];
        for (html, text) in cases {
            assert_eq!(strip(html), text, "{html}");
        }
    }
}
