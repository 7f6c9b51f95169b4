//! Reader of logged decisions in Vowpal Wabbit's text format.

use std::io::BufRead;
use std::path::Path;

use super::LoggedDecision;
use super::error::{LogError, LogProblem, check_propensity, check_value};
use super::lines::Lines;
use super::summary::RowReader;
use crate::arm::ArmId;
use crate::features::{FeatureHasher, SparseContext};

/// Reader of logged decisions in Vowpal Wabbit's text format. A [`FeatureHasher`] converts the features to sparse
/// contexts.
///
/// A line is `label |namespace feature feature:value … |namespace …`, as in `2:-1:0.25 |user country=DE age:0.4 |text
/// running shoes`. The label is one of:
///
/// | reader | label | row |
/// |---|---|---|
/// | [`new`](Self::new) | `action:cost:probability`, as for `--cb`; the label also lists available actions without a cost | the arm `action` − 1, the reward −cost |
/// | [`with_classes`](Self::with_classes) | `class` or `class weight` | the arm `class` − 1 with reward 1 and no propensity, since the label is the arm that would have been right |
/// | [`with_actions`](Self::with_actions) | `shared` on the first line; `0:cost:probability` on the line of the chosen action; a blank line ends the event | actions are the arms 0, 1, …, each with the sparse features of its line and of the shared line |
///
/// Namespaces, words and values have the same meaning as in Vowpal Wabbit, except that namespaces are distinguished by
/// their whole name and not by its first letter. N-grams and interactions are settings of the hasher. Examples without
/// a cost are skipped and counted ([`unlabelled`](Self::unlabelled)).
///
/// ```
/// use dht_bandits::ArmId;
/// use dht_bandits::features::FeatureHasher;
/// use dht_bandits::log::VowpalRows;
///
/// let text = "2:-1:0.25 |user country=DE age:0.4\n1:0:1.5 |user country=FR\n|user age:1\n";
/// let mut rows = VowpalRows::new(text.as_bytes(), "ads.vw", FeatureHasher::new(18)?);
/// let row = rows.next().ok_or("no row")??;
/// assert_eq!((row.arm, row.reward, row.propensity), (ArmId::new(1), 1.0, Some(0.25)));
/// let refused = rows.next().ok_or("no row")?.unwrap_err();
/// assert_eq!(refused.to_string(), "ads.vw, line 2: propensity 1.5 is outside (0, 1]");
/// assert!(rows.next().is_none() && rows.unlabelled() == 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct VowpalRows<R> {
    lines: Lines<R>,
    hasher: FeatureHasher,
    labels: Labels,
    unlabelled: u64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Labels {
    Costs,
    Classes,
    Actions,
}

#[derive(Debug, Default)]
struct Label {
    shared: bool,
    /// Available actions of a single-line example. The chosen one is the only one with a cost and a probability.
    actions: Vec<u64>,
    cost: Option<(u64, f64, Option<f64>)>,
    weight: f64,
}

impl<R: BufRead> VowpalRows<R> {
    /// Creates a reader of single-line examples with the labels `action:cost:probability`. `name` is the file name for
    /// error messages.
    pub fn new(reader: R, name: impl AsRef<Path>, hasher: FeatureHasher) -> Self {
        Self { lines: Lines::new(reader, name.as_ref()), hasher, labels: Labels::Costs, unlabelled: 0 }
    }

    /// Interprets the label of each line as a class number, counted from 1.
    #[must_use]
    pub fn with_classes(self) -> Self {
        Self { labels: Labels::Classes, ..self }
    }

    /// Interprets lines as multi-line events: a shared line, then one line for each action.
    #[must_use]
    pub fn with_actions(self) -> Self {
        Self { labels: Labels::Actions, ..self }
    }

    /// Feature hasher of this reader. If it stores names, it knows the names of all features read so far.
    pub fn hasher(&self) -> &FeatureHasher {
        &self.hasher
    }

    /// Number of skipped examples and events without a cost.
    pub fn unlabelled(&self) -> u64 {
        self.unlabelled
    }

    /// Parses a single-line example; `None` for an example without a cost.
    fn row(&mut self) -> Result<Option<LoggedDecision>, LogProblem> {
        let (label, features) = split(self.lines.line())?;
        let label = parse_label(label, self.labels)?;
        if label.shared {
            let problem = "a shared line: `VowpalRows::with_actions` reads events of several lines";
            return Err(LogProblem::Malformed(problem.to_owned()));
        }
        let Some((action, cost, propensity)) = label.cost else { return Ok(None) };
        self.hasher.clear();
        add_features(&mut self.hasher, features)?;
        let context = self.hasher.context().map_err(LogProblem::of_row)?.into_values();
        let arm = |number: u64| match number.checked_sub(1) {
            Some(number) => Ok(ArmId::new(number)),
            None => Err(LogProblem::UnknownAction("0: actions and classes are counted from 1".to_owned())),
        };
        let mut row = LoggedDecision::new(context, arm(action)?, propensity, 0.0 - cost);
        if label.actions.len() > 1 {
            row.available = Some(label.actions.iter().map(|number| arm(*number)).collect::<Result<_, _>>()?);
        }
        Ok(Some(row))
    }

    /// Parses a multi-line event; `None` for an event without a cost. `line` is the result of reading its first line.
    fn event(&mut self, mut line: Result<(), LogError>) -> Result<Option<LoggedDecision>, LogError> {
        let (mut actions, mut chosen, mut problem) = (Vec::new(), None, None);
        self.hasher.clear();
        let (mut shared, mut is_first) = (0, true);
        loop {
            let added = line.and_then(|()| {
                let added = self.line_of_event(is_first, &mut shared, &mut actions, &mut chosen);
                added.map_err(|problem| self.lines.refuse(problem))
            });
            // The rest of an event with a problem is read, so that the next event begins at its first line.
            problem = problem.or(added.err());
            is_first = false;
            line = match self.lines.read() {
                Ok(Some(_)) if !self.lines.is_blank() => Ok(()),
                Ok(_) => break,
                Err(error) => Err(error),
            };
        }
        if let Some(problem) = problem {
            return Err(problem);
        }
        if actions.is_empty() {
            return Err(self.lines.refuse(LogProblem::Missing("line of an action before the blank line".to_owned())));
        }
        let Some((position, cost, propensity)) = chosen else { return Ok(None) };
        let (rows, _) = SparseContext::rows(&actions)?;
        let arms: Vec<ArmId> = (0..actions.len() as u64).map(ArmId::new).collect();
        let mut row = LoggedDecision::new(Vec::new(), arms[position], propensity, 0.0 - cost);
        (row.available, row.features) = (Some(arms), Some(rows));
        Ok(Some(row))
    }

    fn line_of_event(
        &mut self,
        is_first: bool,
        shared: &mut usize,
        actions: &mut Vec<SparseContext>,
        chosen: &mut Option<(usize, f64, Option<f64>)>,
    ) -> Result<(), LogProblem> {
        let (label, features) = split(self.lines.line())?;
        let label = parse_label(label, self.labels)?;
        if label.shared {
            if !is_first {
                return Err(LogProblem::Malformed("a shared line follows lines of actions".to_owned()));
            }
            add_features(&mut self.hasher, features)?;
            *shared = self.hasher.len();
            return Ok(());
        }
        if let Some((number, cost, propensity)) = label.cost {
            if number != 0 {
                // Wabbit ignores this number. A number other than 0 suggests a log of single-line examples.
                let problem = format!("{number}: the action of a line is 0, its number is that of its line");
                return Err(LogProblem::UnknownAction(problem));
            }
            if chosen.is_some() {
                return Err(LogProblem::Malformed("a second action of the event has a cost".to_owned()));
            }
            *chosen = Some((actions.len(), cost, propensity));
        }
        self.hasher.truncate(*shared);
        add_features(&mut self.hasher, features)?;
        let context = self.hasher.context().map_err(LogProblem::of_row)?;
        actions.push(context);
        Ok(())
    }
}

/// Splits a line at its first `|` into the label before it and the features after it.
fn split(line: &[u8]) -> Result<(&[u8], &[u8]), LogProblem> {
    match line.iter().position(|byte| *byte == b'|') {
        Some(bar) => Ok((&line[..bar], &line[bar..])),
        None => Err(LogProblem::Missing("bar | before the features".to_owned())),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(bytes: &[u8]) -> Option<f64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Parses the part of a line before the first `|`: a label and an optional tag.
fn parse_label(label: &[u8], labels: Labels) -> Result<Label, LogProblem> {
    let mut parsed = Label { weight: 1.0, ..Label::default() };
    let mut words = label.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty()).peekable();
    // A word that touches the bar is a tag.
    let has_tag = label.last().is_some_and(|byte| !byte.is_ascii_whitespace());
    let mut position = 0;
    while let Some(word) = words.next() {
        let is_tag = word[0] == b'\'' || (has_tag && words.peek().is_none() && !is_label(word));
        if is_tag {
            break;
        }
        if word == b"shared" && labels != Labels::Classes {
            parsed.shared = true;
        } else if labels == Labels::Classes {
            let value = number(word).ok_or_else(|| unknown(word, "a class from 1, and a weight"))?;
            if position == 0 {
                let class = value as u64;
                if value != class as f64 || class == 0 {
                    return Err(unknown(word, "a class, a whole number from 1"));
                }
                parsed.cost = Some((class, -1.0, None));
            } else if position > 1 || !(value > 0.0 && value <= 1e100) {
                return Err(unknown(word, "a class from 1, and a positive weight"));
            } else {
                parsed.weight = value;
            }
        } else {
            let expected = "action:cost:probability";
            let mut parts = word.split(|byte| *byte == b':');
            let action = parts.next().and_then(|part| std::str::from_utf8(part).ok()?.parse::<u64>().ok());
            let action = action.ok_or_else(|| unknown(word, expected))?;
            parsed.actions.push(action);
            let (cost, propensity) = (parts.next(), parts.next());
            if parts.next().is_some() {
                return Err(unknown(word, expected));
            }
            if let Some(cost) = cost {
                let cost = number(cost).ok_or_else(|| unknown(word, expected))?;
                check_value("cost", cost)?;
                let propensity =
                    propensity.map(|part| number(part).ok_or_else(|| unknown(word, expected))).transpose()?;
                propensity.map_or(Ok(()), check_propensity)?;
                if parsed.cost.is_some() {
                    return Err(unknown(word, "the cost of one action"));
                }
                parsed.cost = Some((action, cost, propensity));
            }
        }
        position += 1;
    }
    Ok(parsed)
}

/// Returns whether a word before the first `|` is a label. Any other word is a tag, the name of the example.
fn is_label(word: &[u8]) -> bool {
    word == b"shared"
        || word.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'-' | b'+' | b'e'))
}

fn unknown(word: &[u8], expected: &str) -> LogProblem {
    LogProblem::Malformed(format!("the label {:?}, expected {expected}", text(word)))
}

/// Adds the features of a line to the hasher. `features` is the text after the first `|`.
fn add_features(hasher: &mut FeatureHasher, features: &[u8]) -> Result<(), LogProblem> {
    let mut rest = features;
    while let Some((_, behind)) = rest.split_first() {
        // A namespace's name touches its bar, without a space.
        let named = behind.first().is_some_and(|byte| !byte.is_ascii_whitespace() && *byte != b'|');
        let (name, scale);
        (name, rest) = if named { word(behind) } else { (Word { text: b" ", colon: None }, behind) };
        scale = name.value()?;
        let namespace = hasher.namespace_of_bytes(name.name());
        let (first, mut anonymous) = (hasher.len(), 0);
        loop {
            while rest.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
                rest = &rest[1..];
            }
            if rest.first().is_none_or(|byte| *byte == b'|') {
                break;
            }
            let feature;
            (feature, rest) = word(rest);
            let value = feature.value()? * scale;
            if feature.name().is_empty() {
                hasher.add_bytes(namespace, format!(":{anonymous}").as_bytes(), value);
                anonymous += 1;
            } else {
                hasher.add_bytes(namespace, feature.name(), value);
            }
        }
        hasher.add_ngrams(namespace, first);
    }
    Ok(())
}

/// Word of a line: the text up to the next space or `|`, with the position of its first colon.
struct Word<'a> {
    text: &'a [u8],
    colon: Option<usize>,
}

/// Splits the first word off a text. It reads eight bytes at a time.
#[inline]
fn word(text: &[u8]) -> (Word<'_>, &[u8]) {
    const LOW: u64 = 0x0101_0101_0101_0101;
    // The high bit of the first matching byte is set. Bits above it mean nothing.
    let first = |block: u64, byte: u8| {
        let zeros = block ^ (LOW * u64::from(byte));
        zeros.wrapping_sub(LOW) & !zeros & (LOW << 7)
    };
    let (mut colon, mut start) = (None, 0);
    while let Some(block) = text[start..].first_chunk::<8>() {
        let block = u64::from_le_bytes(*block);
        let ends = first(block, b' ') | first(block, b'\t') | first(block, b'|');
        let colons = first(block, b':');
        let end = ends.trailing_zeros() as usize / 8;
        if colon.is_none() && colons != 0 {
            colon = Some(start + colons.trailing_zeros() as usize / 8).filter(|colon| *colon < start + end);
        }
        if ends != 0 {
            return (Word { text: &text[..start + end], colon }, &text[start + end..]);
        }
        start += 8;
    }
    for (position, byte) in text.iter().enumerate().skip(start) {
        match byte {
            b' ' | b'\t' | b'|' => return (Word { text: &text[..position], colon }, &text[position..]),
            b':' if colon.is_none() => colon = Some(position),
            _ => {}
        }
    }
    (Word { text, colon }, &[])
}

impl<'a> Word<'a> {
    #[inline]
    fn name(&self) -> &'a [u8] {
        &self.text[..self.colon.unwrap_or(self.text.len())]
    }

    /// Value of a feature or namespace: the number after the colon, or 1 if there is no colon.
    #[inline(always)]
    fn value(&self) -> Result<f64, LogProblem> {
        match self.colon {
            None => Ok(1.0),
            Some(colon) => value_of(self.text, colon),
        }
    }
}

#[inline(never)]
fn value_of(word: &[u8], colon: usize) -> Result<f64, LogProblem> {
    let value = number(&word[colon + 1..])
        .ok_or_else(|| LogProblem::Malformed(format!("the feature {:?}, expected name:number", text(word))))?;
    check_value("feature", value)?;
    Ok(value)
}

impl<R: BufRead> Iterator for VowpalRows<R> {
    type Item = Result<LoggedDecision, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = match self.lines.read() {
                Ok(None) => return None,
                Ok(Some(_)) if self.lines.is_blank() => continue,
                Ok(Some(_)) => Ok(()),
                Err(error) => Err(error),
            };
            let row = match self.labels {
                Labels::Actions => self.event(line),
                Labels::Costs | Labels::Classes => {
                    line.and_then(|()| self.row().map_err(|problem| self.lines.refuse(problem)))
                }
            };
            match row {
                Ok(Some(row)) => return Some(Ok(row)),
                Ok(None) => self.unlabelled += 1,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl<R: BufRead> RowReader for VowpalRows<R> {
    fn left_out(&self) -> Vec<(&'static str, u64)> {
        vec![("examples without a cost", self.unlabelled)]
    }
}
