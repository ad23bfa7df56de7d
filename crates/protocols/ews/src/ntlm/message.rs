//! The three messages of NTLM (MS-NLMP 2.2.1).

const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";
const UNICODE: u32 = 0x0000_0001;
const REQUEST_TARGET: u32 = 0x0000_0004;
const NTLM: u32 = 0x0000_0200;
const ALWAYS_SIGN: u32 = 0x0000_8000;
const EXTENDED_SESSION_SECURITY: u32 = 0x0008_0000;
const TARGET_INFO: u32 = 0x0080_0000;
const STRONG: u32 = 0x2000_0000;

/// What is asked for, and the most that is agreed to.
pub(super) const OUR_FLAGS: u32 =
    UNICODE | REQUEST_TARGET | NTLM | ALWAYS_SIGN | EXTENDED_SESSION_SECURITY | TARGET_INFO | STRONG;

/// In the flags of the target's values: an integrity code is there.
pub(super) const FLAG_MIC: u32 = 2;

/// Where the third message's payload begins, and where its integrity code stands.
const PAYLOAD: usize = 88;
const CODE: usize = 72;

/// Most values of a target.
const VALUES: usize = 64;

/// The attribute-value pairs of a target (MS-NLMP 2.2.2.1).
pub(super) mod av {
    pub(in super::super) const END: u16 = 0;
    pub(in super::super) const FLAGS: u16 = 6;
    pub(in super::super) const TIMESTAMP: u16 = 7;
    pub(in super::super) const TARGET_NAME: u16 = 9;
    pub(in super::super) const CHANNEL_BINDINGS: u16 = 10;

    pub(in super::super) fn write(out: &mut Vec<u8>, id: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        out.extend(id.to_le_bytes());
        out.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
        out.extend(value);
    }
}

/// The first message.
pub(crate) fn negotiate() -> Vec<u8> {
    let mut message = SIGNATURE.to_vec();
    message.extend(1_u32.to_le_bytes());
    message.extend(OUR_FLAGS.to_le_bytes());
    // No domain, no workstation, no version.
    message.extend([0; 24]);
    message
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(message: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(message.get(at..at + 4)?.try_into().ok()?))
}

/// The bytes a field at `at` points to.
fn field(message: &[u8], at: usize) -> Option<&[u8]> {
    let length = usize::from(u16_at(message, at)?);
    let from = usize::try_from(u32_at(message, at + 4)?).ok()?;
    message.get(from..from.checked_add(length)?)
}

/// The second message, as far as it matters.
pub(super) struct Challenge {
    /// What both agree on.
    pub(super) flags: u32,
    pub(super) nonce: [u8; 8],
    /// The domain or server, in UTF-16.
    pub(super) target: Vec<u8>,
    pub(super) values: Vec<(u16, Vec<u8>)>,
}

impl Challenge {
    pub(super) fn read(message: &[u8]) -> Option<Self> {
        if !message.starts_with(SIGNATURE) || u32_at(message, 8)? != 2 {
            return None;
        }
        let flags = u32_at(message, 20)? & OUR_FLAGS;
        let nonce = message.get(24..32)?.try_into().ok()?;
        let target = field(message, 12).unwrap_or_default().to_vec();
        let mut values = Vec::new();
        let mut rest = field(message, 40).unwrap_or_default();
        while let (Some(id), Some(length)) = (u16_at(rest, 0), u16_at(rest, 2)) {
            if id == av::END || values.len() >= VALUES {
                break;
            }
            let Some(value) = rest.get(4..4 + usize::from(length)) else { break };
            values.push((id, value.to_vec()));
            rest = &rest[4 + usize::from(length)..];
        }
        Some(Self { flags, nonce, target, values })
    }

    pub(super) fn is_unicode(&self) -> bool {
        self.flags & UNICODE != 0
    }

    fn value(&self, id: u16) -> Option<&[u8]> {
        self.values.iter().find(|(known, _)| *known == id).map(|(_, value)| value.as_slice())
    }

    /// The server's time.
    pub(super) fn time(&self) -> Option<u64> {
        Some(u64::from_le_bytes(self.value(av::TIMESTAMP)?.try_into().ok()?))
    }

    pub(super) fn flags_value(&self) -> u32 {
        self.value(av::FLAGS).and_then(|value| u32_at(value, 0)).unwrap_or(0)
    }
}

/// What the third message carries.
pub(super) struct Parts<'a> {
    pub(super) old: &'a [u8],
    pub(super) response: &'a [u8],
    pub(super) domain: &'a [u8],
    pub(super) user: &'a [u8],
    pub(super) flags: u32,
}

impl Parts<'_> {
    /// The third message, with zeros in place of the integrity code.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut payload: Vec<u8> = Vec::new();
        let mut head = SIGNATURE.to_vec();
        head.extend(3_u32.to_le_bytes());
        // Older response, response, domain, user, workstation, session key.
        for part in [self.old, self.response, self.domain, self.user, &[], &[]] {
            let part = &part[..part.len().min(usize::from(u16::MAX))];
            let length = u16::try_from(part.len()).unwrap_or(0).to_le_bytes();
            head.extend(length);
            head.extend(length);
            head.extend(u32::try_from(PAYLOAD + payload.len()).unwrap_or(0).to_le_bytes());
            payload.extend(part);
        }
        head.extend(self.flags.to_le_bytes());
        head.resize(PAYLOAD, 0);
        head.extend(payload);
        head
    }
}

/// Puts the integrity code in its place.
pub(super) fn put_code(message: &mut [u8], code: [u8; 16]) {
    if let Some(place) = message.get_mut(CODE..CODE + 16) {
        place.copy_from_slice(&code);
    }
}
