//! Correctness of each prediction, stored so that confidence intervals can be computed again.

use std::collections::BTreeMap;

/// Correctness of each test prediction, by seed, in hexadecimal: one bit for each text in order, the first bit highest.
/// The last digit is padded with zeros.
pub type RightTexts = BTreeMap<u64, String>;

/// Packs one bit for each text into the format of [`RightTexts`].
pub(crate) fn packed(right: &[bool]) -> String {
    let digit = |texts: &[bool]| {
        let value = texts.iter().enumerate().fold(0, |sum, (at, right)| sum | u32::from(*right) << (3 - at));
        char::from_digit(value, 16).unwrap_or('0')
    };
    right.chunks(4).map(digit).collect()
}

/// Unpacks the bits of `texts` texts; `None` if the number of digits does not match.
pub(crate) fn unpacked(digits: &str, texts: usize) -> Option<Vec<bool>> {
    if digits.len() != texts.div_ceil(4) {
        return None;
    }
    let values = digits.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>()?;
    Some((0..texts).map(|text| values[text / 4] >> (3 - text % 4) & 1 == 1).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_as_they_were_packed() {
        assert_eq!(packed(&[true, false, false, true, true]), "98");
        assert_eq!((packed(&[]), packed(&[false])), (String::new(), "0".into()));
        for texts in 0..40_usize {
            let right: Vec<bool> = (0..texts).map(|text| text * text % 7 < 3).collect();
            assert_eq!(unpacked(&packed(&right), texts), Some(right));
            assert_eq!(unpacked("00000000000", texts).is_some(), (41..=44).contains(&texts));
        }
        assert_eq!(unpacked("x", 3), None);
    }
}
