//! The three messages of NTLM (MS-NLMP 2.2).

const SIGNATURE: &[u8] = b"NTLMSSP\0";
pub(super) const FLAG_UNICODE: u32 = 0x0000_0001;
pub(super) const FLAG_KEY_EXCHANGE: u32 = 0x4000_0000;
const FLAG_TARGET: u32 = 0x0000_0004;
const FLAG_NTLM: u32 = 0x0000_0200;
const FLAG_TARGET_TYPE_DOMAIN: u32 = 0x0001_0000;
const FLAG_TARGET_INFO: u32 = 0x0080_0000;
/// What a client may ask for and gets: Unicode, signing, sealing, NTLM, extended security, 128 and 56 bits, key exchange, the version.
pub(super) const CHALLENGE_FLAGS: u32 =
    0x0000_0001 | 0x0000_0010 | 0x0000_0020 | 0x0000_8000 | 0x0008_0000 | 0x0200_0000 | 0xe000_0000;

/// Kinds of attribute pairs.
pub(super) const FLAGS: u16 = 6;
pub(super) const CHANNEL_BINDINGS: u16 = 10;
const NAMES: &[(u16, &str)] = &[(2, "EXAMPLE"), (1, "SIM"), (4, "example.test"), (3, "sim.example.test")];
const TIMESTAMP: u16 = 7;

fn short_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn long_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn is(octets: &[u8], kind: u32) -> bool {
    octets.starts_with(SIGNATURE) && long_at(octets, 8) == Some(kind)
}

/// The flags of a client's first message.
pub(super) fn read_negotiate(octets: &[u8]) -> Option<u32> {
    is(octets, 1).then(|| long_at(octets, 12)).flatten()
}

/// The server's message. The time makes clients add an integrity code.
pub(super) fn write_challenge(flags: u32, nonce: [u8; 8], time: u64) -> Vec<u8> {
    let flags = flags | FLAG_NTLM | FLAG_TARGET | FLAG_TARGET_TYPE_DOMAIN | FLAG_TARGET_INFO;
    let mut info = Vec::new();
    let mut pair = |id: u16, value: &[u8]| {
        info.extend_from_slice(&id.to_le_bytes());
        info.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
        info.extend_from_slice(value);
    };
    NAMES.iter().for_each(|(id, name)| pair(*id, &super::utf16(name)));
    pair(TIMESTAMP, &time.to_le_bytes());
    pair(0, &[]);
    let name = super::utf16("EXAMPLE");
    let mut out = [SIGNATURE, &2_u32.to_le_bytes()].concat();
    let field = |length: usize, offset: usize| {
        let length = u16::try_from(length).unwrap_or(0).to_le_bytes();
        [length, length]
            .concat()
            .into_iter()
            .chain(u32::try_from(offset).unwrap_or(0).to_le_bytes())
            .collect::<Vec<_>>()
    };
    let (name_field, info_field) = (field(name.len(), 56), field(info.len(), 56 + name.len()));
    out.extend_from_slice(&name_field);
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&info_field);
    // The version: 10.0, build 17763, revision 15.
    out.extend_from_slice(&[10, 0, 0x63, 0x45, 0, 0, 0, 15]);
    out.extend_from_slice(&name);
    out.extend_from_slice(&info);
    out
}

/// A client's last message.
#[derive(Debug)]
pub(super) struct AuthenticateMessage {
    pub(super) user: String,
    pub(super) domain: String,
    pub(super) response: Vec<u8>,
    pub(super) session_key: Vec<u8>,
    pub(super) flags: u32,
    /// Where the first of the fields' contents begins.
    payload: usize,
}

impl AuthenticateMessage {
    pub(super) fn read(octets: &[u8]) -> Option<Self> {
        if !is(octets, 3) {
            return None;
        }
        let place = |at: usize| {
            let (length, offset) =
                (usize::from(short_at(octets, at)?), usize::try_from(long_at(octets, at + 4)?).ok()?);
            Some((length, offset))
        };
        let field = |at: usize| {
            let (length, offset) = place(at)?;
            octets.get(offset..offset.checked_add(length)?).map(<[u8]>::to_vec)
        };
        let text = |at: usize| {
            let units: Vec<u16> = field(at)?.chunks_exact(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
            String::from_utf16(&units).ok()
        };
        let used = [12, 20, 28, 36, 44, 52].into_iter().filter_map(place).filter(|(length, _)| *length > 0);
        Some(Self {
            domain: text(28)?,
            user: text(36)?,
            response: field(20)?,
            session_key: field(52)?,
            flags: long_at(octets, 60)?,
            payload: used.map(|(_, offset)| offset).min()?,
        })
    }

    /// The integrity code, and the message as it was before it had one.
    pub(super) fn integrity(&self, octets: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        // It is the last of the head; before it some leave the version out.
        let at = self.payload.checked_sub(16).filter(|at| matches!(at, 64 | 72))?;
        let mut without = octets.to_vec();
        let code = without.get(at..at + 16)?.to_vec();
        without.get_mut(at..at + 16)?.fill(0);
        Some((code, without))
    }
}

/// The attribute pairs, up to the last.
pub(super) fn values(mut octets: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while let (Some(id), Some(length)) = (short_at(octets, 0), short_at(octets, 2)) {
        let end = 4 + usize::from(length);
        let Some(value) = octets.get(4..end).filter(|_| id != 0) else { break };
        found.push((id, value.to_vec()));
        octets = &octets[end..];
    }
    found
}
