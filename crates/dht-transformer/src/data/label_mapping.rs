//! Mapping from the labels in a file to the classes of a model or training set.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{DataProblem, Result};

const LISTED: usize = 20;
/// Prefix of the placeholder class names that `transformers` writes, such as `LABEL_0`.
const PLACEHOLDER: &str = "LABEL_";

/// Mapping from the labels in a file to the classes of a model or training set.
///
/// [`DatasetReader::with_labels`](crate::DatasetReader::with_labels) documents how labels are matched with classes.
/// `Display` lists the pairs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LabelMapping {
    /// Pairs of a label in the file and its class name. Each label occurs once.
    pairs: Vec<(String, String)>,
    /// `true` if numbers in the file were mapped to class names by position alone, which may be wrong.
    #[serde(default)]
    by_order: bool,
}

impl LabelMapping {
    /// Matches the labels of a file with classes. Returns `None` if each label is literally a class name. `ordered`
    /// states that the labels are listed by class number, as in parquet files.
    ///
    /// # Errors
    /// [`DataProblem::OtherLabels`] if the labels do not match, [`DataProblem::TwoSpellings`] if two labels match the
    /// same class.
    pub fn new(labels: &[String], classes: &[String], ordered: bool) -> Result<Option<Self>, DataProblem> {
        if labels.iter().all(|label| classes.contains(label)) {
            return Ok(None);
        }
        let places = by_name(labels, classes)?
            .map_or_else(|| by_number(labels, classes), |places| Ok(Some(places)))?
            .or_else(|| by_place(labels, classes, ordered));
        let unmatched = || labels.iter().filter(|label| !classes.contains(label)).cloned().collect::<Vec<_>>();
        let places = places.ok_or_else(|| other_labels(&unmatched(), classes, ""))?;
        let pairs = labels.iter().zip(places).map(|(label, place)| (label.clone(), classes[place].clone()));
        let pairs: Vec<(String, String)> = pairs.collect();
        let number = |label: &str| label.parse::<f64>().is_ok();
        let named = |class: &str| !number(class) && !class.starts_with(PLACEHOLDER);
        let by_order = pairs.iter().any(|(label, class)| number(label) && named(class));
        Ok(Some(Self { pairs, by_order }))
    }

    /// Returns whether numbers in the file were mapped to class names by position alone. An explicit mapping does not
    /// count.
    pub fn is_by_order(&self) -> bool {
        self.by_order
    }

    /// Creates a mapping from explicit pairs of a label and its class. A label that is literally a class name needs no
    /// pair.
    ///
    /// # Errors
    /// [`DataProblem::OtherLabels`] if a label has no class; [`DataProblem::NoSuchClass`] if a pair names an unknown
    /// class; [`DataProblem::TwoClasses`] if a label has two classes.
    pub fn from_pairs(
        pairs: &[(String, String)],
        labels: &[String],
        classes: &[String],
    ) -> Result<Option<Self>, DataProblem> {
        for (at, (label, class)) in pairs.iter().enumerate() {
            if let Some((_, other)) = pairs[..at].iter().find(|(own, other)| own == label && other != class) {
                let classes = format!("{} and {}", escaped(other), escaped(class));
                return Err(DataProblem::TwoClasses { label: escaped(label), classes });
            }
        }
        if let Some((_, class)) = pairs.iter().find(|(_, class)| !classes.contains(class)) {
            return Err(DataProblem::NoSuchClass { class: escaped(class), classes: listed(classes) });
        }
        let class = |label: &String| {
            let explicit = pairs.iter().find(|(own, _)| own == label).map(|(_, class)| class.clone());
            explicit.or_else(|| classes.contains(label).then(|| label.clone()))
        };
        let mapped: Vec<(String, String)> =
            labels.iter().filter_map(|label| Some((label.clone(), class(label)?))).collect();
        if mapped.len() < labels.len() {
            let unmatched: Vec<String> = labels.iter().filter(|label| class(label).is_none()).cloned().collect();
            return Err(other_labels(&unmatched, classes, ""));
        }
        let identity = mapped.iter().all(|(own, class)| own == class);
        Ok((!identity).then_some(Self { pairs: mapped, by_order: false }))
    }

    /// Returns whether the mapping contradicts none of the explicit `pairs` of a label and its class.
    pub(super) fn agrees(&self, pairs: &[(String, String)]) -> bool {
        self.pairs.iter().all(|(label, class)| pairs.iter().all(|(own, other)| own != label || other == class))
    }

    /// Pairs of a label in the file and its class name.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }
}

impl fmt::Display for LabelMapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.pairs.iter().take(LISTED).map(|(own, class)| format!("{own} is {class}"));
        let more = if self.pairs.len() > LISTED { ", …" } else { "" };
        write!(formatter, "{}{more}", pairs.collect::<Vec<_>>().join(", "))
    }
}

/// Matches each label with the class of the same name. Names are equal exactly, or ignoring case and outer spaces, or
/// as numbers.
fn by_name(labels: &[String], classes: &[String]) -> Result<Option<Vec<usize>>, DataProblem> {
    let mut places = Vec::with_capacity(labels.len());
    for label in labels {
        let exact = classes.iter().position(|class| class == label);
        let alike = |same: &dyn Fn(&str, &str) -> bool| {
            let mut matches = (0..classes.len()).filter(|place| same(&classes[*place], label));
            matches.next().filter(|_| matches.next().is_none())
        };
        let place = exact
            .or_else(|| alike(&|class, label| class.trim().to_lowercase() == label.trim().to_lowercase()))
            .or_else(|| alike(&|class, label| number(class).is_some() && number(class) == number(label)));
        let Some(place) = place else { return Ok(None) };
        if let Some(earlier) = places.iter().position(|other| *other == place) {
            let (first, second) = (escaped(&labels[earlier]), escaped(label));
            return Err(DataProblem::TwoSpellings { first, second });
        }
        places.push(place);
    }
    Ok(Some(places))
}

/// Matches numbers or placeholders such as `LABEL_1` with classes by number. Named classes are numbered in their order.
/// Numbers may count from 0 or from 1. `None` if the labels are not numbers or do not match.
fn by_number(labels: &[String], classes: &[String]) -> Result<Option<Vec<usize>>, DataProblem> {
    let count = classes.len();
    let all = |names: &[String], number: fn(&str) -> Option<usize>| names.iter().map(|name| number(name)).collect();
    let (integers, placeholders): (Option<Vec<usize>>, Option<Vec<usize>>) =
        (all(labels, integer), all(labels, placeholder));
    let Some(own) = integers.clone().or(placeholders.clone()) else { return Ok(None) };
    let different: BTreeSet<usize> = own.iter().copied().collect();
    if different.len() < own.len() || different.iter().any(|number| *number > count) {
        return Ok(None);
    }
    // Index of the class with number k; named classes are numbered by their order.
    let theirs: Option<Vec<usize>> = match (&integers, &placeholders) {
        (Some(_), _) => all(classes, placeholder),
        _ => all(classes, integer),
    };
    let place = |number: usize| match &theirs {
        Some(theirs) => theirs.iter().position(|other| *other == number),
        None => (number < count).then_some(number),
    };
    let counted = theirs.as_ref().is_none_or(|theirs| {
        theirs.iter().copied().collect::<BTreeSet<usize>>() == (0..count).collect::<BTreeSet<usize>>()
    });
    // Numbers on both sides match by name or not at all.
    let numbered = |class: &String| number(class).is_some() || placeholder(class).is_some();
    if !counted || theirs.is_none() && classes.iter().any(numbered) {
        return Ok(None);
    }
    let from =
        |first: usize| own.iter().map(|number| place(number.checked_sub(first)?)).collect::<Option<Vec<usize>>>();
    // Placeholders always count from 0.
    if different.contains(&0) || integers.is_none() {
        return Ok(from(0));
    }
    if different.len() == count {
        return Ok(from(1));
    }
    if different.contains(&count) {
        return Ok(None);
    }
    Err(other_labels(labels, classes, ": they may be counted from 0 or from 1"))
}

/// Matches truth values with two numbered classes: false or "no" with the lower number, true or "yes" with the higher
/// number. If `ordered` is set, matches any labels with numbered classes by position.
fn by_place(labels: &[String], classes: &[String], ordered: bool) -> Option<Vec<usize>> {
    let count = classes.len();
    let all = |number: fn(&str) -> Option<usize>| classes.iter().map(|class| number(class)).collect();
    let numbered: Vec<usize> = Option::or(all(integer), all(placeholder))?;
    let truth = labels.iter().map(|label| truth(label)).collect::<Option<Vec<usize>>>();
    let own = match truth {
        Some(own) if count == 2 => own,
        _ if ordered && labels.len() == count => (0..count).collect(),
        _ => return None,
    };
    let from = *numbered.iter().min()?;
    let different: BTreeSet<usize> = numbered.iter().copied().collect();
    let counts = from <= 1 && different == (from..from + count).collect();
    let place = |number: usize| numbered.iter().position(|other| *other == from + number);
    counts.then(|| own.into_iter().map(place).collect()).flatten()
}

/// Parses a truth value: 0 for false or "no", 1 for true or "yes".
fn truth(label: &str) -> Option<usize> {
    ["false", "true", "no", "yes"]
        .iter()
        .position(|word| label.trim().eq_ignore_ascii_case(word))
        .map(|place| place % 2)
}

/// Parses the number in a placeholder label such as `LABEL_3`.
fn placeholder(label: &str) -> Option<usize> {
    integer(label.trim().strip_prefix(PLACEHOLDER)?)
}

fn integer(label: &str) -> Option<usize> {
    let label = label.trim();
    let whole = label.split_once('.').filter(|(_, rest)| !rest.is_empty() && rest.bytes().all(|byte| byte == b'0'));
    let digits = whole.map_or(label, |(digits, _)| digits);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn number(label: &str) -> Option<f64> {
    label.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

fn other_labels(labels: &[String], classes: &[String], reason: &'static str) -> DataProblem {
    DataProblem::OtherLabels { labels: listed(labels), classes: listed(classes), reason }
}

/// Formats the first label names and the total number of labels for a message.
fn listed(names: &[String]) -> String {
    let more = if names.len() > LISTED { ", …" } else { "" };
    let first: Vec<String> = names.iter().take(LISTED).map(|name| escaped(name)).collect();
    format!("{}{more} ({})", first.join(", "), names.len())
}

/// Refuses labels that a person would take for the same label. Such labels differ only in case, spaces, invisible
/// characters or number format.
///
/// # Errors
/// [`DataProblem::TwoSpellings`] if two labels are spellings of the same label.
pub(super) fn check_spellings(labels: &[String]) -> Result<(), DataProblem> {
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for label in labels {
        if let Some(first) = seen.insert(folded(label), label) {
            return Err(DataProblem::TwoSpellings { first: escaped(first), second: escaped(label) });
        }
    }
    Ok(())
}

/// Normalises a label for comparison: unifies case, kinds of spaces, zero-width characters and composed accents.
fn folded(label: &str) -> String {
    let mut text = tokenizers::NormalizedString::from(label);
    text.nfkc();
    let seen: String = text.get().chars().filter(|sign| !is_unseen(*sign)).map(look_alike).collect();
    let seen: String = seen.to_lowercase().chars().map(look_alike).collect();
    let words = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    // A class may be written as a number or as a word.
    let number = number(&words).or(placeholder(&words.to_uppercase()).map(|number| number as f64));
    let truth = ["false", "true"].iter().position(|word| words == *word).map(|truth| truth as f64);
    match number.or(truth) {
        Some(number) => format!("{}", if number == 0.0 { 0.0 } else { number }),
        None => words,
    }
}

/// Returns whether a character is invisible, such as a joiner, direction mark, variation selector, soft hyphen or
/// control character.
fn is_unseen(sign: char) -> bool {
    (sign.is_control() && !sign.is_whitespace())
        || matches!(sign, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// Replaces a character by a Latin letter or ASCII character that looks the same, if there is one.
fn look_alike(sign: char) -> char {
    const LETTERS: [(&str, &str); 5] = [
        ("аеорсхуіјѕһԁ", "aeopcxyijshd"),
        ("АВЕКМНОРСТУХІЈЅ", "ABEKMHOPCTYXIJS"),
        ("αονρυι", "aovpui"),
        ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
        ("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹०१२३४५६७८९", "012345678901234567890123456789"),
    ];
    let letter = |(alike, plain): &(&str, &str)| {
        alike.chars().zip(plain.chars()).find(|(other, _)| *other == sign).map(|(_, plain)| plain)
    };
    match sign {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{2018}' | '\u{2019}' | '\u{2bc}' => '\'',
        '\u{201c}' | '\u{201d}' => '"',
        other => LETTERS.iter().find_map(letter).unwrap_or(other),
    }
}

/// Quotes a label for an error message, and escapes all characters except plain letters.
pub(super) fn escaped(label: &str) -> String {
    let plain = |sign: char| sign.is_ascii_graphic() && sign != '"' && sign != '\\' || sign == ' ';
    let signs = label.chars().map(|sign| match sign {
        sign if plain(sign) => sign.to_string(),
        sign => sign.escape_default().to_string(),
    });
    format!("\"{}\"", signs.collect::<String>())
}

#[cfg(test)]
mod tests;
