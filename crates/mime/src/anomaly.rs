//! What was odd about a message, and why one cannot be shown as a message at all.

/// Something a reader had to repair or leave out. Each kind is reported once a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Anomaly {
    /// Lines of the header end in LF alone.
    BareLf,
    /// Lines of the header end in CR alone.
    BareCr,
    /// An mbox "From " line stood in the header.
    MboxFromLine,
    /// Empty lines stood before the header.
    LeadingBlankLines,
    /// No empty line between header and body.
    MissingBlankLine,
    /// The header block of the message is over the limit.
    HeaderTruncated,
    /// The header block of a part is over the limit.
    PartHeaderTruncated,
    /// 8-bit bytes in a header field.
    RawEightBitHeader,
    /// The value of Content-Type is no media type.
    BadContentType,
    /// A multipart names no boundary, or one that is too long.
    MissingBoundary,
    /// The boundary in the body is another than the header says.
    WrongBoundary,
    /// A multipart ends without its closing delimiter.
    MissingCloseBoundary,
    /// A multipart has no part.
    EmptyMultipart,
    /// An unknown Content-Transfer-Encoding: the bytes are passed on as they are.
    UnknownTransferEncoding,
    /// Bytes outside the base64 alphabet.
    BadBase64,
    /// Base64 ends within a group.
    TruncatedBase64,
    /// `=` without two hexadecimal digits in quoted-printable.
    BadQuotedPrintable,
    /// A charset nobody knows.
    UnknownCharset,
    /// Bytes that the declared charset does not allow.
    InvalidCharset,
    /// A NUL or another control character was removed from a text.
    ControlCharacters,
    /// More parts than allowed.
    TooManyParts,
    /// Multiparts nested deeper than allowed.
    TooDeep,
    /// More addresses in one field than allowed.
    TooManyAddresses,
    /// The text body was longer than kept.
    BodyTruncated,
    /// No usable From.
    MissingFrom,
    /// No usable Date.
    MissingDate,
    /// No Message-ID.
    MissingMessageId,
    /// A body text holds a uuencoded file; it stays text.
    Uuencoded,
    /// An Outlook rich text container (winmail.dat); it stays one attachment.
    Tnef,
}

impl Anomaly {
    /// The stable name under which it is stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BareLf => "bare_lf",
            Self::BareCr => "bare_cr",
            Self::MboxFromLine => "mbox_from_line",
            Self::LeadingBlankLines => "leading_blank_lines",
            Self::MissingBlankLine => "missing_blank_line",
            Self::HeaderTruncated => "header_truncated",
            Self::PartHeaderTruncated => "part_header_truncated",
            Self::RawEightBitHeader => "raw_eight_bit_header",
            Self::BadContentType => "bad_content_type",
            Self::MissingBoundary => "missing_boundary",
            Self::WrongBoundary => "wrong_boundary",
            Self::MissingCloseBoundary => "missing_close_boundary",
            Self::EmptyMultipart => "empty_multipart",
            Self::UnknownTransferEncoding => "unknown_transfer_encoding",
            Self::BadBase64 => "bad_base64",
            Self::TruncatedBase64 => "truncated_base64",
            Self::BadQuotedPrintable => "bad_quoted_printable",
            Self::UnknownCharset => "unknown_charset",
            Self::InvalidCharset => "invalid_charset",
            Self::ControlCharacters => "control_characters",
            Self::TooManyParts => "too_many_parts",
            Self::TooDeep => "too_deep",
            Self::TooManyAddresses => "too_many_addresses",
            Self::BodyTruncated => "body_truncated",
            Self::MissingFrom => "missing_from",
            Self::MissingDate => "missing_date",
            Self::MissingMessageId => "missing_message_id",
            Self::Uuencoded => "uuencoded",
            Self::Tnef => "tnef",
        }
    }
}

/// Why a message cannot be shown as one; its raw form is then what counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unparsable {
    /// No byte, or nothing but line ends.
    Empty,
    /// Not a single header field.
    NoHeaderField,
    /// The header block is over the limit.
    HeaderTooLarge,
    /// More parts than allowed.
    TooManyParts,
    /// Multiparts nested deeper than allowed.
    TooDeep,
    /// A multipart message in which no part could be found.
    NoParts,
}

impl Unparsable {
    /// The stable name under which it is stored and shown.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NoHeaderField => "no_header_field",
            Self::HeaderTooLarge => "header_too_large",
            Self::TooManyParts => "too_many_parts",
            Self::TooDeep => "too_deep",
            Self::NoParts => "no_parts",
        }
    }
}

/// The anomalies of one message in the order they were met, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anomalies(Vec<Anomaly>);

impl Anomalies {
    /// Notes one; a second of the same kind changes nothing.
    pub fn note(&mut self, anomaly: Anomaly) {
        if !self.0.contains(&anomaly) {
            self.0.push(anomaly);
        }
    }

    /// Notes all of another list.
    pub fn extend(&mut self, other: &Anomalies) {
        for anomaly in &other.0 {
            self.note(*anomaly);
        }
    }

    /// Whether this kind was met.
    #[must_use]
    pub fn contains(&self, anomaly: Anomaly) -> bool {
        self.0.contains(&anomaly)
    }

    /// All of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Anomaly] {
        &self.0
    }
}
