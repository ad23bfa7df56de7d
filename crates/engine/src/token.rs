//! The tracking token at the end of a sent email's subject, such as `CRM:0001042`.

use std::fmt;

use lockstep_model::text;

/// Longest subject a mail server keeps, in characters, token included.
pub const MAX_SUBJECT: usize = 255;

/// How tokens look. Values outside their limits are refused by [`Shape::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// 1 to 20 printable characters without white space at either end.
    pub prefix: String,
    /// The first user gets the number after this one.
    pub base: u32,
    /// Digits for the user's number, 1 to 10; a longer number keeps its digits.
    pub user_digits: u8,
    /// Digits for the message's number, 1 to 9; it starts again at 0 after the largest number with so many digits.
    pub counter_digits: u8,
}

impl Default for Shape {
    fn default() -> Self {
        Self { prefix: "CRM:".to_owned(), base: 0, user_digits: 3, counter_digits: 3 }
    }
}

/// What is wrong with a [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The prefix.
    Prefix,
    /// The base number.
    Base,
    /// The digits for the user.
    UserDigits,
    /// The digits for the message.
    CounterDigits,
}

impl Shape {
    /// Whether every part is within its limits.
    ///
    /// # Errors
    /// The first part that is not.
    pub fn check(&self) -> Result<(), Flaw> {
        let length = self.prefix.chars().count();
        let fits = self.prefix.trim() == self.prefix && text::is_line(&self.prefix);
        if !(1..=20).contains(&length) || !fits {
            Err(Flaw::Prefix)
        } else if i32::try_from(self.base).is_err() {
            Err(Flaw::Base)
        } else if !(1..=10).contains(&self.user_digits) {
            Err(Flaw::UserDigits)
        } else if !(1..=9).contains(&self.counter_digits) {
            Err(Flaw::CounterDigits)
        } else {
            Ok(())
        }
    }

    /// The token of a user's message. `user` counts the organisation's users from 1, `message` the user's emails.
    pub fn token(&self, user: u64, message: u64) -> Token {
        let number = u64::from(self.base).saturating_add(user);
        let counter = message % 10_u64.pow(u32::from(self.counter_digits.clamp(1, 9)));
        let (user_digits, counter_digits) = (usize::from(self.user_digits), usize::from(self.counter_digits));
        Token(format!("{}0{number:0user_digits$}{counter:0counter_digits$}", self.prefix))
    }
}

/// A token as it stands in a subject: prefix, one fixed digit of the reference's making, user, message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Token {
    /// A token that was given before, whatever tokens look like now.
    pub fn kept(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A subject without the tokens of this shape at its end: an answer carries that of what it answers, and gets its own.
pub fn without(subject: &str, shape: &Shape) -> String {
    let mut bare = subject.trim_end();
    while let Some(token) = find(bare, shape) {
        let Some(rest) = bare.strip_suffix(token.as_str()) else { break };
        bare = rest.trim_end();
    }
    bare.to_owned()
}

/// The subject with its token at the end, at most `limit` characters: the subject is cut first, and a token that is
/// longer than the limit alone is left out. A subject that carries the token already keeps it once, at the end.
pub fn append(subject: &str, token: &Token, limit: usize) -> String {
    let length = token.0.chars().count();
    let bare = subject.trim_end().strip_suffix(token.as_str()).unwrap_or(subject).trim_end();
    if length > limit {
        return bare.chars().take(limit).collect();
    }
    let room = limit.saturating_sub(length + 1);
    let kept: String = bare.chars().take(room).collect();
    match kept.trim_end() {
        "" => token.0.clone(),
        kept => format!("{kept} {token}"),
    }
}

/// The last token of this shape in a subject, as anybody may have edited around it. White space is not part of one.
pub fn find(subject: &str, shape: &Shape) -> Option<Token> {
    let least = 1 + usize::from(shape.user_digits) + usize::from(shape.counter_digits);
    let mut from = subject.len();
    while let Some(at) = subject[..from].rfind(&shape.prefix) {
        let digits = subject[at + shape.prefix.len()..].bytes().take_while(u8::is_ascii_digit).count();
        if (least..=MAX_SUBJECT).contains(&digits) {
            return Some(Token(subject[at..at + shape.prefix.len() + digits].to_owned()));
        }
        from = at;
    }
    None
}
