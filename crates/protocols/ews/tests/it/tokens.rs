//! The tokenizer against documents of all sorts.

use lockstep_ews::xml::{Builder, Element, MAX_DEPTH, MAX_MARKUP, Malformed, Token, Tokenizer, Writer};
use proptest::prelude::*;

/// All tokens of a document that arrives in pieces of this size; pieces of text are joined.
fn tokens(document: &[u8], size: usize) -> Result<Vec<Token>, Malformed> {
    let (mut tokenizer, mut found) = (Tokenizer::default(), Vec::new());
    for piece in document.chunks(size.max(1)) {
        tokenizer.feed(piece);
        while let Some(token) = tokenizer.take()? {
            match (found.last_mut(), token) {
                (Some(Token::Text(before)), Token::Text(more)) => before.push_str(&more),
                (_, token) => found.push(token),
            }
        }
    }
    if tokenizer.is_over() { Ok(found) } else { Err(Malformed("it ends early")) }
}

fn read(document: &str) -> Result<Element, Malformed> {
    Element::read(document.as_bytes())
}

#[test]
fn what_servers_write_is_read() {
    let element = read(
        "\u{feff}<?xml version=\"1.0\"?>\r\n<!-- c --><t:A xmlns:t='u' b=\"&lt;1&#x9;\" t:c='\"'>x &amp; y<![CDATA[<z>]]><B/>&#233;&#x1;</t:A >\n",
    )
    .unwrap();
    assert_eq!(element.name, "A");
    assert_eq!(element.attribute("b"), Some("<1\t"));
    assert_eq!(element.attribute("c"), Some("\""));
    assert_eq!(element.text, "x & y<z>é\u{1}");
    assert_eq!(element.children[0].name, "B");
}

#[test]
fn what_is_hostile_is_refused() {
    let deep = |levels: usize| "<a>".repeat(levels) + &"</a>".repeat(levels);
    assert!(read(&deep(MAX_DEPTH)).is_ok());
    let cases = [
        ("", "nothing"),
        ("<a>", "no end"),
        ("<a></b>", "another end"),
        ("</a>", "an end without a beginning"),
        ("x<a/>", "text before"),
        ("<a/>x", "text after"),
        ("<a/><b/>", "two documents"),
        ("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", "a DTD"),
        ("<a>&x;</a>", "an entity of somebody's making"),
        ("<a>&amp</a>", "a lone ampersand"),
        ("<a>& b; c</a>", "a lone ampersand before a semicolon"),
        ("<a b=1/>", "an attribute without quotes"),
        ("<a b='1' b='2'/>", "an attribute twice"),
        ("< a/>", "no name"),
        ("<a><![CDATA[x</a>", "no end of CDATA"),
    ];
    for (document, what) in cases {
        assert!(read(document).is_err(), "{what}");
    }
    assert!(read(&deep(MAX_DEPTH + 1)).is_err());
    let long = format!("<a b=\"{}\"/>", "x".repeat(MAX_MARKUP));
    assert!(read(&long).is_err());
    assert!(tokens(format!("<a><!--{}", "x".repeat(2 * MAX_MARKUP)).as_bytes(), 1000).is_err());
}

#[test]
fn trees_have_a_bound() {
    let mut builder = Builder::new(2_000);
    let start = || Token::Start { name: "a".into(), attributes: Vec::new() };
    let ended = (0..100).find_map(|_| builder.add(start()).err());
    assert!(ended.is_some());
    let mut builder = Builder::new(2_000);
    builder.add(start()).unwrap();
    assert!(builder.add(Token::Text("x".repeat(3_000))).is_err());
}

/// Text passes in pieces however long it is, and the piece held is small.
#[test]
fn long_text_is_not_held() {
    let mut tokenizer = Tokenizer::default();
    tokenizer.feed(b"<a>");
    assert!(matches!(tokenizer.take(), Ok(Some(Token::Start { .. }))));
    let (piece, mut total) = (vec![b'x'; 100_000], 0);
    for _ in 0..50 {
        tokenizer.feed(&piece);
        let mut given = 0;
        while let Some(Token::Text(text)) = tokenizer.take().unwrap() {
            given += text.len();
        }
        assert_eq!(given, piece.len());
        total += given;
    }
    assert_eq!(total, 5_000_000);
}

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z_][A-Za-z0-9_.-]{0,8}"
}

fn element() -> impl Strategy<Value = Element> {
    let leaf = (
        name(),
        prop::collection::vec((name(), "\\PC{0,10}|[\t\n\r<>&'\" ]{0,4}"), 0..3),
        "\\PC{0,20}|[\r\n<&\"> ]{0,5}",
    )
        .prop_map(|(name, mut attributes, text)| {
            attributes.retain(|(name, _): &(String, String)| name != "xmlns");
            attributes.sort();
            attributes.dedup_by(|a, b| a.0 == b.0);
            Element { name, attributes, text, children: Vec::new() }
        });
    leaf.prop_recursive(4, 24, 4, |inner| {
        (name(), prop::collection::vec(inner, 0..4)).prop_map(|(name, children)| Element {
            name,
            children,
            ..Element::default()
        })
    })
}

fn write(w: &mut Writer, element: &Element) {
    let name = format!("t:{}", element.name);
    let attributes: Vec<_> = element.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    w.element(&name, &attributes, |w| {
        w.text(&element.text);
        element.children.iter().for_each(|child| write(w, child));
    });
}

/// Noncharacters cannot be written; everything else can.
fn writable(element: &Element) -> bool {
    let fine = |text: &str| !text.contains(['\u{fffe}', '\u{ffff}']);
    fine(&element.text)
        && element.attributes.iter().all(|(_, value)| fine(value))
        && element.children.iter().all(writable)
}

proptest! {
    #[test]
    fn what_is_written_is_read(element in element().prop_filter("writable", writable), size in 1_usize..50) {
        let mut w = Writer::default();
        write(&mut w, &element);
        let document = w.finish();
        prop_assert_eq!(read(&document).unwrap(), element);
        prop_assert_eq!(tokens(document.as_bytes(), size), tokens(document.as_bytes(), usize::MAX));
    }

    /// Where pieces end makes no difference, whatever the bytes are.
    #[test]
    fn any_bytes_in_any_pieces(bytes in prop::collection::vec(any::<u8>(), 0..200), size in 1_usize..20) {
        prop_assert_eq!(tokens(&bytes, size).is_ok(), tokens(&bytes, usize::MAX).is_ok());
    }

    #[test]
    fn anything_like_markup(text in "[<>&;/!?\\[\\]CDAT\"'= a-]{0,60}", size in 1_usize..9) {
        let document = format!("<a>{text}</a>");
        let whole = tokens(document.as_bytes(), usize::MAX);
        let pieces = tokens(document.as_bytes(), size);
        prop_assert_eq!(whole.is_ok(), pieces.is_ok());
        if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
            prop_assert_eq!(whole, pieces);
        }
    }

    #[test]
    fn text_with_any_characters(text in "\\PC{0,80}") {
        let mut w = Writer::default();
        w.leaf("a", &text);
        prop_assume!(!text.contains(['\u{fffe}', '\u{ffff}']));
        prop_assert_eq!(read(&w.finish()).unwrap().text, text);
    }
}
