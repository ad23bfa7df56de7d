//! RC4, for the one key that the protocol encrypts with it.

/// Encrypts or decrypts.
pub(super) fn apply(key: &[u8; 16], data: &[u8]) -> Vec<u8> {
    let mut box_: [u8; 256] = std::array::from_fn(|place| u8::try_from(place).unwrap_or(0));
    let mut other = 0_u8;
    for place in 0..256 {
        other = other.wrapping_add(box_[place]).wrapping_add(key[place % key.len()]);
        box_.swap(place, usize::from(other));
    }
    let (mut one, mut two) = (0_u8, 0_u8);
    let mut stream = || {
        one = one.wrapping_add(1);
        two = two.wrapping_add(box_[usize::from(one)]);
        box_.swap(usize::from(one), usize::from(two));
        box_[usize::from(box_[usize::from(one)].wrapping_add(box_[usize::from(two)]))]
    };
    data.iter().map(|octet| octet ^ stream()).collect()
}
