//! MurmurHash3 (Appleby 2011) in its 32-bit variant.

#[inline]
pub(super) fn murmur3(bytes: &[u8], seed: u32) -> u32 {
    let mut hash = seed;
    for block in bytes.as_chunks().0 {
        hash = (hash ^ scramble(u32::from_le_bytes(*block))).rotate_left(13);
        hash = hash.wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    // The last 0 to 3 bytes are read without a branch on their number, which the lengths of words would mispredict.
    let length = bytes.len();
    let tail = match (bytes.last_chunk(), bytes.first(), bytes.last()) {
        (Some(last), ..) => (u64::from(u32::from_le_bytes(*last)) >> (32 - 8 * (length % 4))) as u32,
        (_, Some(&first), Some(&last)) => {
            let middle = u32::from(bytes[length / 2]) << (8 * (length / 2));
            u32::from(first) | middle | u32::from(last) << (8 * (length - 1))
        }
        _ => 0,
    };
    finish(hash ^ scramble(tail) ^ length as u32)
}

/// Combines the hashes of two features of a product, or of two words of an n-gram. The order matters.
#[inline]
pub(super) fn combine(first: u32, second: u32) -> u32 {
    let hash = (first.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64) ^ scramble(second)).rotate_left(13);
    finish(hash.wrapping_mul(5).wrapping_add(0xe654_6b64))
}

fn scramble(block: u32) -> u32 {
    block.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593)
}

fn finish(mut hash: u32) -> u32 {
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with published test vectors of MurmurHash3.
    #[test]
    fn hashes_are_those_of_the_published_vectors() {
        for (bytes, seed, expected) in [
            (&b""[..], 0, 0),
            (b"", 1, 0x514e_28b7),
            (b"", 0xffff_ffff, 0x81f1_6f39),
            (b"\xff\xff\xff\xff", 0, 0x7629_3b50),
            (b"\x21\x43\x65\x87", 0, 0xf55b_516b),
            (b"\x21\x43\x65\x87", 0x5082_edee, 0x2362_f9de),
            (b"\x21\x43\x65", 0, 0x7e4a_8634),
            (b"\x21\x43", 0, 0xa0f7_b07a),
            (b"\x21", 0, 0x7266_1cf4),
            (b"\0\0\0\0", 0, 0x2362_f9de),
            (b"\0\0\0", 0, 0x85f0_b427),
            (b"\0\0", 0, 0x30f4_c306),
            (b"\0", 0, 0x514e_28b7),
            (b"aaaa", 0x9747_b28c, 0x5a97_808a),
            (b"abc", 0x9747_b28c, 0xc84a_62dd),
            (b"Hello, world!", 0x9747_b28c, 0x2488_4cba),
            ("ππππππππ".as_bytes(), 0x9747_b28c, 0xd58_063c1),
            (b"The quick brown fox jumps over the lazy dog", 0x9747_b28c, 0x2fa8_26cd),
        ] {
            assert_eq!(murmur3(bytes, seed), expected, "{bytes:?}, seed {seed:x}");
        }
    }
}
