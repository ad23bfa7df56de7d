//! Small trees: what an answer says, short of the contents that are streamed.

use super::token::{Malformed, Token, Tokenizer};

/// An element with everything inside. Text between children is kept in one piece.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Local name.
    pub name: String,
    /// Local names and values.
    pub attributes: Vec<(String, String)>,
    /// All text directly inside.
    pub text: String,
    /// The elements inside.
    pub children: Vec<Element>,
}

impl Element {
    /// Reads a document that is at hand.
    ///
    /// # Errors
    /// What is no well-formed document.
    pub fn read(document: &[u8]) -> Result<Self, Malformed> {
        let (mut tokens, mut builder) = (Tokenizer::default(), Builder::new(document.len().saturating_mul(WEIGHT)));
        let mut root = None;
        for piece in document.chunks(64 * 1024) {
            tokens.feed(piece);
            while let Some(token) = tokens.take()? {
                root = builder.add(token)?.or(root);
            }
        }
        root.ok_or(Malformed("it ends early"))
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The children of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The children of the first child of that name; none when there is none.
    pub fn list(&self, name: &str) -> &[Self] {
        self.child(name).map(|child| child.children.as_slice()).unwrap_or_default()
    }

    /// The element a path of names leads to.
    pub fn path(&self, names: &[&str]) -> Option<&Self> {
        names.iter().try_fold(self, |element, name| element.child(name))
    }

    /// The first element of that name, wherever inside.
    pub fn find(&self, name: &str) -> Option<&Self> {
        if self.name == name { Some(self) } else { self.children.iter().find_map(|child| child.find(name)) }
    }

    /// The text of a child, without white space around it; `None` when empty or not there.
    pub fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.trim()).filter(|text| !text.is_empty())
    }

    /// The truth of a child; `None` when it is not there or says neither.
    pub fn bool_of(&self, name: &str) -> Option<bool> {
        match self.text_of(name)? {
            "true" | "True" | "1" => Some(true),
            "false" | "False" | "0" => Some(false),
            _ => None,
        }
    }

    /// The number in a child.
    pub fn number_of<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.text_of(name)?.parse().ok()
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What one element weighs beside its text.
const WEIGHT: usize = 64;

/// Builds one tree out of tokens, up to a bound.
#[derive(Debug)]
pub struct Builder {
    stack: Vec<Element>,
    weight: usize,
    limit: usize,
}

impl Builder {
    /// A builder of a tree of about so many bytes at most.
    pub fn new(limit: usize) -> Self {
        Self { stack: Vec::new(), weight: 0, limit: limit.max(WEIGHT * 16) }
    }

    /// How many elements are open.
    pub fn depth(&self) -> usize {
        self.stack.len()
    }

    /// The names of the open elements, outermost first.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = &Element> {
        self.stack.iter()
    }

    /// Adds a token; answers with the tree when its outermost element ends.
    ///
    /// # Errors
    /// A tree beyond the bound.
    pub fn add(&mut self, token: Token) -> Result<Option<Element>, Malformed> {
        match token {
            Token::Start { name, attributes } => {
                let text = attributes.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
                self.weigh(WEIGHT + name.len() + text)?;
                self.stack.push(Element { name, attributes, ..Element::default() });
            }
            Token::Text(text) => {
                self.weigh(text.len())?;
                if let Some(element) = self.stack.last_mut() {
                    element.text.push_str(&text);
                }
            }
            Token::End => {
                if let Some(element) = self.stack.pop() {
                    match self.stack.last_mut() {
                        Some(parent) => parent.children.push(element),
                        None => return Ok(Some(element)),
                    }
                }
            }
        }
        Ok(None)
    }

    fn weigh(&mut self, more: usize) -> Result<(), Malformed> {
        self.weight = self.weight.saturating_add(more);
        if self.weight > self.limit { Err(Malformed("an answer larger than any should be")) } else { Ok(()) }
    }
}
