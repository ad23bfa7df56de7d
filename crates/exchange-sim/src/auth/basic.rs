//! Basic authentication (RFC 7617).

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Account, Accounts, same};

/// The account whose name and password the header's value after `Basic ` carries.
pub fn check<'a>(accounts: &'a Accounts, credentials: &str) -> Option<&'a Account> {
    let octets = STANDARD.decode(credentials.trim()).ok()?;
    let text = String::from_utf8(octets).ok()?;
    let (user, password) = text.split_once(':')?;
    accounts.find(user).filter(|account| same(account.password.as_bytes(), password.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_addresses_and_domains_are_known_and_wrong_passwords_are_not() {
        let mut accounts = Accounts::default();
        accounts.add(Account::read("ann:s:ecret", "x.test", false).unwrap());
        let with = |text: &str| check(&accounts, &STANDARD.encode(text)).is_some();
        assert!(with("ann:s:ecret") && with("ANN@x.test:s:ecret") && with("CORP\\ann:s:ecret"));
        assert!(!with("ann:s") && !with("bob:s:ecret") && !with("ann") && check(&accounts, "%").is_none());
        assert!(!format!("{accounts:?}").contains("ecret"));
    }
}
