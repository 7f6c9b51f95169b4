//! Labels of a file matched with the classes of a model or of a training set.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{DataProblem, Result};

/// The most labels that a message lists.
const LISTED: usize = 20;
/// Beginning of names that only number classes, as `transformers` gives them.
const PLACEHOLDER: &str = "LABEL_";

/// Meaning of a file's labels as classes. As text, the pairs of both.
///
/// | labels of the file | classes | a label is |
/// |---|---|---|
/// | names | the same names | the class of its name: exactly, else ignoring case and surrounding spaces, else as equal numbers |
/// | numbers or `LABEL_k` | names | class k, from 0; from 1 where 1 to n all occur and 0 does not |
/// | n names | n numbers or `LABEL_k` | the class of its place among the file's labels |
///
/// All else is [refused](DataProblem::OtherLabels), and so are numbers that may be counted from 0 or from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelMapping {
    /// The file's label and the name of its class, for each of the file's labels.
    pairs: Vec<(String, String)>,
}

impl LabelMapping {
    /// Matches the labels of a file, in their order, with classes; `None` where each label is a class as it is written.
    ///
    /// # Errors
    /// [`DataProblem::OtherLabels`] when they do not match, [`DataProblem::TwoSpellings`] when two labels are one class.
    pub fn of(labels: &[String], classes: &[String]) -> Result<Option<Self>, DataProblem> {
        if labels.iter().all(|label| classes.contains(label)) {
            return Ok(None);
        }
        let places = by_name(labels, classes)?
            .map_or_else(|| by_number(labels, classes), |places| Ok(Some(places)))?
            .or_else(|| by_place(labels, classes));
        let places = places.ok_or_else(|| other_labels(labels, classes, None))?;
        let pairs = labels.iter().zip(places).map(|(label, place)| (label.clone(), classes[place].clone()));
        Ok(Some(Self { pairs: pairs.collect() }))
    }

    /// A mapping that is given, completed by the labels of a file that are classes as they are written.
    ///
    /// # Errors
    /// [`DataProblem::OtherLabels`] for a label without a class.
    pub fn given(
        pairs: &[(String, String)],
        labels: &[String],
        classes: &[String],
    ) -> Result<Option<Self>, DataProblem> {
        let class = |label: &String| {
            let given = pairs.iter().find(|(own, _)| own == label).map(|(_, class)| class.clone());
            given.or_else(|| classes.contains(label).then(|| label.clone())).filter(|class| classes.contains(class))
        };
        let mapped: Vec<(String, String)> =
            labels.iter().filter_map(|label| Some((label.clone(), class(label)?))).collect();
        if mapped.len() < labels.len() {
            return Err(other_labels(labels, classes, None));
        }
        let identity = mapped.iter().all(|(own, class)| own == class);
        Ok((!identity).then_some(Self { pairs: mapped }))
    }

    /// Whether it has the class of each of these labels that it has.
    pub(super) fn agrees(&self, given: &[(String, String)]) -> bool {
        self.pairs.iter().all(|(label, class)| given.iter().all(|(own, other)| own != label || other == class))
    }

    /// Pairs of a file's label and its class.
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

/// Each label is the class of its name: exactly, ignoring case and spaces, or as an equal number.
fn by_name(labels: &[String], classes: &[String]) -> Result<Option<Vec<usize>>, DataProblem> {
    let mut places = Vec::with_capacity(labels.len());
    for label in labels {
        let exact = classes.iter().position(|class| class == label);
        let alike = |same: &dyn Fn(&str, &str) -> bool| {
            let mut found = (0..classes.len()).filter(|place| same(&classes[*place], label));
            found.next().filter(|_| found.next().is_none())
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

/// Numbers and placeholders are class k of names, from 0 or from 1.
fn by_number(labels: &[String], classes: &[String]) -> Result<Option<Vec<usize>>, DataProblem> {
    let count = classes.len();
    let all = |names: &[String], number: fn(&str) -> Option<usize>| names.iter().map(|name| number(name)).collect();
    let (integers, placeholders): (Option<Vec<usize>>, Option<Vec<usize>>) =
        (all(labels, integer), all(labels, placeholder));
    let theirs: Option<Vec<usize>> = all(classes, placeholder);
    let own = match (&integers, &placeholders) {
        (Some(own), _) | (None, Some(own)) => own.clone(),
        (None, None) => return Ok(None),
    };
    // Numbers on both sides match by name or not at all; numbered classes have to be numbered in their order.
    let in_order = |numbers: &Option<Vec<usize>>| *numbers == Some((0..count).collect());
    if theirs.is_some() && (integers.is_none() || !in_order(&theirs)) {
        return Ok(None);
    }
    if classes.iter().any(|class| number(class).is_some())
        && (placeholders.is_none() || !in_order(&all(classes, integer)))
    {
        return Ok(None);
    }
    let different: BTreeSet<usize> = own.iter().copied().collect();
    if different.len() < own.len() || different.iter().any(|number| *number > count) {
        return Ok(None);
    }
    if different.contains(&0) {
        return Ok((!different.contains(&count)).then_some(own));
    }
    // Placeholders are counted from 0 wherever they are written.
    if integers.is_none() {
        return Ok((!different.contains(&count)).then_some(own));
    }
    if different.len() == count {
        return Ok(Some(own.into_iter().map(|number| number - 1).collect()));
    }
    if different.contains(&count) {
        return Ok(None);
    }
    Err(other_labels(labels, classes, Some("they may be counted from 0 or from 1")))
}

/// As many names as classes that are only numbered: a name is the class of its place.
fn by_place(labels: &[String], classes: &[String]) -> Option<Vec<usize>> {
    let count = classes.len();
    let numbered: Option<Vec<usize>> = classes
        .iter()
        .map(|class| integer(class))
        .collect::<Option<_>>()
        .or_else(|| classes.iter().map(|class| placeholder(class)).collect());
    let numbered = numbered?;
    let from = *numbered.iter().min()?;
    let different: BTreeSet<usize> = numbered.iter().copied().collect();
    let counts = from <= 1 && different == (from..from + count).collect();
    let names = labels.iter().all(|label| placeholder(label).is_none() && number(label).is_none());
    if !counts || !names || labels.len() != count {
        return None;
    }
    (0..count).map(|place| numbered.iter().position(|number| *number == from + place)).collect()
}

/// The number of a label such as `LABEL_3`.
fn placeholder(label: &str) -> Option<usize> {
    integer(label.trim().strip_prefix(PLACEHOLDER)?)
}

/// A whole number, also written as `3.0`.
fn integer(label: &str) -> Option<usize> {
    let label = label.trim();
    let whole = label.split_once('.').filter(|(_, rest)| !rest.is_empty() && rest.bytes().all(|byte| byte == b'0'));
    let digits = whole.map_or(label, |(digits, _)| digits);
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn number(label: &str) -> Option<f64> {
    label.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

fn other_labels(labels: &[String], classes: &[String], reason: Option<&'static str>) -> DataProblem {
    let listed = |names: &[String]| {
        let more = if names.len() > LISTED { ", …" } else { "" };
        format!(
            "{} ({})",
            names.iter().take(LISTED).map(|name| escaped(name)).collect::<Vec<_>>().join(", ") + more,
            names.len()
        )
    };
    DataProblem::OtherLabels {
        labels: listed(labels),
        classes: listed(classes),
        reason: reason.map_or_else(String::new, |reason| format!(": {reason}")),
    }
}

/// Refuses two labels that readers take for one: they differ in case, spaces, signs that are not seen, or in how a number is
/// written.
///
/// # Errors
/// [`DataProblem::TwoSpellings`].
pub(super) fn check_spellings(labels: &[String]) -> Result<(), DataProblem> {
    let mut seen: BTreeMap<String, &String> = BTreeMap::new();
    for label in labels {
        if let Some(first) = seen.insert(folded(label), label) {
            return Err(DataProblem::TwoSpellings { first: escaped(first), second: escaped(label) });
        }
    }
    Ok(())
}

/// A label without what is hard to see: case, kinds of spaces, signs without width, the composition of accents.
fn folded(label: &str) -> String {
    if let Some(number) = number(label) {
        return format!("{}", if number == 0.0 { 0.0 } else { number });
    }
    let mut text = tokenizers::NormalizedString::from(label);
    text.nfkc().lowercase();
    let seen: String = text.get().chars().filter(|sign| !is_unseen(*sign)).map(look_alike).collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a sign has no width: joiners, marks of direction, variation selectors, soft hyphens, controls.
fn is_unseen(sign: char) -> bool {
    (sign.is_control() && !sign.is_whitespace())
        || matches!(sign, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// The Latin letter or plain sign that a letter or sign looks like.
fn look_alike(sign: char) -> char {
    const LETTERS: [(&str, &str); 2] = [("аеорсхуіјѕһԁ", "aeopcxyijshd"), ("αονρυι", "aovpui")];
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

/// A label in quotes with all but plain letters as escapes.
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
