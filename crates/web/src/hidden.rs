//! Secrets in requests that no answer shows. Left out when serialised, yet described: `skip_serializing` would also take
//! the field out of the description.

use secrecy::SecretString;
use serde::Serializer;

/// For `skip_serializing_if`.
pub(crate) fn always(_: &Option<SecretString>) -> bool {
    true
}

/// For `serialize_with`, which is never called.
pub(crate) fn nothing<S: Serializer>(_: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_none()
}
