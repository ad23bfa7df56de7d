//! Closed sets of words, as requests and answers spell them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:tt),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        pub(crate) enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// The stored word.
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The value of a stored word; the database keeps others out.
            pub(crate) fn of(word: &str) -> Self {
                match word { $($word => Self::$variant,)+ _ => Self::default() }
            }
        }
    )+};
}

words! {
    /// Which received mail becomes a record by itself.
    TrackOption {
        /// Everything.
        All = "all",
        /// Mail that answers an email the CRM knows.
        #[default]
        InResponse = "in-response",
        /// Mail whose sender is a contact, account or lead.
        FromCustomers = "from-customers",
        /// Mail whose sender is any record with an address.
        FromEmailEnabled = "from-email-enabled",
        /// Nothing.
        None = "none",
    }

    /// What an unknown sender of tracked email becomes.
    AutoCreate {
        /// Nothing.
        #[default]
        Off = "off",
        /// A contact.
        Contact = "contact",
        /// A lead.
        Lead = "lead",
    }

    /// What processes the organisation's email.
    Engine {
        /// Lockstep.
        #[default]
        ServerSideSynchronization = "server-side-synchronization",
        /// The Email Router, a program of its own: nothing is read or sent from here.
        EmailRouter = "email-router",
    }

    /// How one direction of a mailbox is served.
    Method {
        /// Not at all.
        #[default]
        None = "none",
        /// By Lockstep.
        ServerSide = "server-side",
    }

    /// How incoming email is served.
    IncomingMethod {
        /// Not at all.
        #[default]
        None = "none",
        /// By Lockstep.
        ServerSide = "server-side",
        /// Through a forward mailbox; nothing is polled.
        ForwardMailbox = "forward-mailbox",
    }

    /// How a connection is protected.
    TlsMode {
        /// TLS from the first byte.
        #[default]
        Implicit = "implicit",
        /// An upgrade to TLS before anything secret is said.
        StartTls = "start-tls",
        /// No TLS; only where the deployment allows it.
        Plain = "plain",
    }

    /// How the client proves who it is.
    AuthMethod {
        /// The strongest the server offers.
        #[default]
        Auto = "auto",
        /// The protocol's own login command.
        Login = "login",
        /// SASL PLAIN.
        Plain = "plain",
        /// SASL XOAUTH2, with a token as password; over HTTP as a bearer token.
        XOAuth2 = "xoauth2",
        /// SPNEGO with NTLM inside; HTTP servers (Exchange) only.
        Negotiate = "negotiate",
        /// NTLM; HTTP servers (Exchange) only.
        Ntlm = "ntlm",
        /// Name and password with each request; HTTP servers (Exchange) only.
        Basic = "basic",
    }

    /// Whose account is used.
    CredentialSource {
        /// One account in the profile, for all its mailboxes.
        Profile = "profile",
        /// An application of the profile, for all its mailboxes; it signs in with tokens, and no user's password is stored.
        ServerToServer = "server-to-server",
        /// Each mailbox its own.
        #[default]
        Mailbox = "mailbox",
    }
}
