//! The bounds a reader works within.

/// Bounds of one message. The defaults are those of the product; tests and administrators may
/// set smaller ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes kept of the header block of the message, and of each part. What is over is dropped.
    pub header_bytes: usize,
    /// Nested multiparts.
    pub depth: usize,
    /// Parts of one message, multiparts counted.
    pub parts: usize,
    /// Bytes kept of the plain text and, apart from it, of the HTML text.
    pub body_bytes: usize,
    /// Addresses kept of one header field.
    pub addresses: usize,
    /// Charset of 8-bit text that declares none (B27: the encoding code page of the profile).
    /// Without it: windows-1252. Valid UTF-8 is recognised before it is asked.
    pub default_charset: Option<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_bytes: 256 * 1024,
            depth: 32,
            parts: 1_000,
            body_bytes: 1024 * 1024,
            addresses: 10_000,
            default_charset: None,
        }
    }
}
