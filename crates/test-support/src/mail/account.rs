//! Accounts in the users file that Dovecot and Exim read.

use std::{
    fmt, fs,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use uuid::Uuid;

use crate::Services;

/// A mailbox with its password. It stays in the users file; its address is never given again.
#[derive(Clone)]
pub struct MailAccount {
    address: String,
    password: String,
}

impl fmt::Debug for MailAccount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("MailAccount").field(&self.address).finish()
    }
}

impl MailAccount {
    /// Makes an account `hint-…@domain` that works at once. The domain must be below `.test`.
    ///
    /// # Panics
    /// For a domain that the servers would not call their own, or when the users file cannot be written.
    pub fn create(services: &Services, local_part_hint: &str, domain: &str) -> Self {
        let unique = Uuid::new_v4().simple().to_string();
        Self::create_named(services, &format!("{local_part_hint}-{}@{domain}", &unique[..12]))
    }

    /// Makes an account with exactly this address, whose domain must be below `.test`. Whoever calls sees to it that
    /// nobody else has it.
    ///
    /// # Panics
    /// As [`MailAccount::create`].
    pub fn create_named(services: &Services, address: &str) -> Self {
        Self::create_with(services, address, "")
    }

    /// Makes an account `hint-…@domain` without a mailbox of its own: what is sent to it arrives in the mailbox of
    /// another account.
    ///
    /// # Panics
    /// As [`MailAccount::create`].
    pub fn create_leading_to(services: &Services, local_part_hint: &str, domain: &str, other: &Self) -> Self {
        let unique = Uuid::new_v4().simple().to_string();
        let address = format!("{local_part_hint}-{}@{domain}", &unique[..12]);
        let mailbox = services.mail_dir().join(other.address());
        Self::create_with(services, &address, &format!("userdb_mail=maildir:{}", mailbox.display()))
    }

    fn create_with(services: &Services, address: &str, extra: &str) -> Self {
        let domain = address.rsplit('@').next().unwrap_or_default();
        assert!(domain == "test" || domain.ends_with(".test"), "{domain} is not below .test");
        let account = Self { address: address.to_lowercase(), password: Uuid::new_v4().simple().to_string() };
        let file = services.mail_users_file();
        if let Err(error) = account.write(&file, extra) {
            panic!("{}: {error}", file.display());
        }
        account
    }

    /// `extra` are fields of Dovecot's passwd-file beyond those of `/etc/passwd`.
    fn write(&self, users: &Path, extra: &str) -> io::Result<()> {
        let line = format!("{}:{{PLAIN}}{}::::::{extra}\n", self.address, self.password);
        // Dovecot looks at the shared file once a second at most, and finds this one immediately.
        let own = users.with_file_name("users.d");
        if own.is_dir() {
            fs::write(own.join(&self.address), &line)?;
        }
        // One write in append mode: lines of tests that run at the same time do not mix.
        OpenOptions::new().append(true).open(users)?.write_all(line.as_bytes())
    }

    /// The address, which is the login name too.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The password.
    pub fn password(&self) -> &str {
        &self.password
    }
}
