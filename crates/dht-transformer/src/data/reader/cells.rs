//! Classification of table cells as words, numbers, dates or missing values.

/// Words that programs such as pandas write for a missing value.
const MISSING: [&str; 10] = ["nan", "null", "none", "n/a", "na", "#n/a", "<na>", "nat", "undefined", NULL];
/// Mark of a missing value in database dumps.
pub(super) const NULL: &str = "\\N";
/// Abbreviated months and weekdays, and the words of times and time zones, in lower case.
const DATE_WORDS: [&str; 24] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "mon", "tue", "wed", "thu",
    "fri", "sat", "sun", "am", "pm", "utc", "gmt", "z",
];
const DATE_NAMES: [&str; 19] = [
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "sept",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// Returns whether a cell is a number. `nan` and `inf` do not count as numbers.
pub(super) fn is_number(cell: &str) -> bool {
    cell.bytes().any(|byte| byte.is_ascii_digit()) && cell.parse::<f64>().is_ok()
}

/// Returns whether a cell is a date or a time: digits with separators, and no words except names of months, weekdays
/// and time zones.
pub(super) fn is_date(cell: &str) -> bool {
    let (mut digits, mut parts) = (0, 0);
    let all = cell.split(|sign: char| !sign.is_alphanumeric()).filter(|part| !part.is_empty()).all(|part| {
        parts += 1;
        let number = part.trim_end_matches(|sign: char| sign.is_alphabetic());
        let word = part[number.len()..].to_lowercase();
        if number.is_empty() {
            return DATE_WORDS.contains(&&*word) || DATE_NAMES.contains(&&*word);
        }
        digits += 1;
        // Numbers joined with letters: 2024-05-01T10:00Z, 3rd, 7pm.
        let mixed = part.split(['T', 't', 'Z', 'z']).all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
        mixed
            || number.bytes().all(|byte| byte.is_ascii_digit())
                && ["st", "nd", "rd", "th", "am", "pm", "h"].contains(&&*word)
    });
    all && digits > 0 && parts > 1
}

/// Returns whether a cell is a whole number, such as 5 or 5.0.
pub(super) fn is_whole(cell: &str) -> bool {
    cell.parse::<f64>().is_ok_and(|number| number.fract() == 0.0)
}

/// Returns whether a cell consists of one web address.
fn is_address(cell: &str) -> bool {
    let lower = cell.to_lowercase();
    !cell.contains(char::is_whitespace)
        && (lower.starts_with("http://") || lower.starts_with("https://") || lower.starts_with("www."))
}

/// Returns whether a cell contains words: it is not empty, and is not a number, date, address or missing value.
pub(super) fn is_words(cell: &str) -> bool {
    !cell.is_empty() && !is_number(cell) && !is_date(cell) && !is_address(cell) && !is_missing(cell)
}

/// Returns whether a cell is a word that usually stands for a missing value, such as `nan` or `N/A`.
pub(super) fn is_missing(cell: &str) -> bool {
    MISSING.iter().any(|missing| cell.eq_ignore_ascii_case(missing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_numbers_and_words_are_told_apart() {
        for date in [
            "2024-05-01",
            "25 May 2024 13:42",
            "2024-05-01T10:00:00Z",
            "3/4/2021",
            "May 3rd, 2021, 7pm",
            "10:30",
            "Monday 3 June",
        ] {
            assert!(is_date(date) && !is_words(date), "{date}");
        }
        for words in ["May I ask", "june", "3 good films", "covid-19 cases", "", "7", "a 2", "x2 y3"] {
            assert!(!is_date(words), "{words}");
        }
        assert!(is_number("-1e-3") && !is_number("nan") && !is_number("inf") && is_missing("NaN"));
        assert!(is_words("good") && !is_words("https://a.b/c d".split(' ').next().unwrap_or_default()));
    }
}
