//! Who somebody is.

pub mod basic;
pub mod bearer;
pub mod ntlm;
pub mod spnego;

use std::{collections::BTreeMap, fmt};

use crate::world::value::Person;

/// How one may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schemes {
    /// With name and password in each request.
    pub basic: bool,
    /// With NTLM, once for each connection.
    pub ntlm: bool,
}

/// Somebody who may log in.
#[derive(Clone)]
pub struct Account {
    /// Who, and the address of the mailbox.
    pub person: Person,
    /// The name to log in with; the address does as well.
    pub name: String,
    /// The password.
    pub password: String,
    /// Whether this one may act as everybody and open every mailbox.
    pub everywhere: bool,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Account {
    /// An application, which has no password and no mailbox, and may act for everybody.
    pub fn of_application(person: Person) -> Self {
        Self { name: person.name.clone(), person, password: String::new(), everywhere: true }
    }

    /// Whether it is one.
    pub fn is_application(&self) -> bool {
        self.password.is_empty()
    }

    /// Reads `NAME:PASSWORD`; a name without a domain gets the given one.
    ///
    /// # Errors
    /// What is missing.
    pub fn read(text: &str, domain: &str, everywhere: bool) -> Result<Self, &'static str> {
        let (name, password) = text.split_once(':').ok_or("an account is NAME:PASSWORD")?;
        if name.is_empty() || password.is_empty() {
            return Err("an account needs a name and a password");
        }
        let local = name.split('@').next().unwrap_or(name);
        let address = if name.contains('@') { name.to_owned() } else { format!("{name}@{domain}") };
        let mut letters = local.chars();
        let shown: String =
            letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default();
        Ok(Self {
            person: Person::new(&shown, &address),
            name: local.to_owned(),
            password: password.to_owned(),
            everywhere,
        })
    }
}

/// Everybody who may log in.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    by_address: BTreeMap<String, Account>,
}

impl Accounts {
    /// Adds somebody.
    pub fn add(&mut self, account: Account) {
        self.by_address.insert(account.person.address.to_ascii_lowercase(), account);
    }

    /// All.
    pub fn all(&self) -> impl Iterator<Item = &Account> {
        self.by_address.values()
    }

    /// The account a user name means: an address, a name, or a name after `DOMAIN\`.
    pub fn find(&self, user: &str) -> Option<&Account> {
        let user = user.rsplit('\\').next().unwrap_or(user).to_ascii_lowercase();
        self.by_address.get(&user).or_else(|| self.all().find(|account| account.name.eq_ignore_ascii_case(&user)))
    }
}

/// Whether two secrets are the same, in a time that does not tell how far they are.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}
