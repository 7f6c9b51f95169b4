use rand::{Rng, RngExt};

/// Damages a file at random: changes bytes, truncates the file, and repeats or removes ranges of bytes.
pub fn mutate(bytes: &mut Vec<u8>, rng: &mut impl Rng) {
    for _ in 0..rng.random_range(1..=4) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        let end = rng.random_range(at..bytes.len().min(at + 64)) + 1;
        match rng.random_range(0..8) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let part = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len());
                drop(bytes.splice(to..to, part));
            }
            3 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'.', b'(', b'R'][rng.random_range(0..8)],
            4 => bytes[at] ^= 1 << rng.random_range(0..8),
            _ => bytes[at] = rng.random(),
        }
    }
}
