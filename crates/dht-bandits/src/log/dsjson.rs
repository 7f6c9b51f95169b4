//! Reader and writer of dsjson, the JSON format of Vowpal Wabbit's decision service (`--dsjson`), with one event per
//! line.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, Write};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::LoggedDecision;
use super::error::{LogError, LogProblem, check_propensity, check_value};
use super::json_rows::add_json;
use super::lines::Lines;
use super::summary::RowReader;
use crate::arm::ArmId;
use crate::decision::QUADRATURE_ERROR;
use crate::features::{FeatureHasher, SparseContext};

/// Event in dsjson, with the fields that are read.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "_label_cost")]
    cost: Option<f64>,
    #[serde(rename = "_label_probability")]
    probability: Option<f64>,
    #[serde(rename = "_label_Action")]
    action: Option<usize>,
    #[serde(rename = "_labelIndex")]
    index: Option<usize>,
    #[serde(default, rename = "a")]
    actions: Vec<usize>,
    #[serde(default, rename = "p")]
    probabilities: Vec<f64>,
    #[serde(rename = "c")]
    context: Option<Value>,
    #[serde(rename = "RewardValue")]
    dangling: Option<Value>,
    #[serde(rename = "EventId")]
    id: Option<Value>,
    #[serde(rename = "_skipLearn")]
    skip_learn: Option<bool>,
    #[serde(rename = "_deferred")]
    deferred: Option<bool>,
    #[serde(rename = "pdrop")]
    drop_probability: Option<f64>,
    #[serde(rename = "_outcomes")]
    outcomes: Option<Value>,
}

/// Reader of logged decisions from dsjson, Vowpal Wabbit's decision-service JSON. The reward is −`_label_cost`. The
/// propensity is `_label_probability` or the first entry of `p`. The entries of `_multi` are the available arms with
/// their features. If `p` lists the probabilities of all arms, they are read. The chosen action is `_label_Action`,
/// counted from 1, or `_labelIndex`, counted from 0. If both are present and differ, the line is an error.
///
/// `pdrop` is the probability with which the service dropped events like this one. It becomes the row's [drop
/// probability](LoggedDecision::drop_probability).
///
/// Columns select the features. A column is a JSON pointer into the event's context `c` or into an action, such as
/// `/User/age`. A number is used unchanged, true as 1 and false as 0. A list contributes all of its numbers. The column
/// `/User/country=DE` is 1 if the value is this text or number, else 0. A missing value is 0, as in Vowpal Wabbit.
/// Without columns, contexts are empty and actions have no features. Set columns before the first row is read.
///
/// The reader skips and counts these lines:
///
/// * rewards that are separate from their event (`RewardValue`; [`dangling_rewards`](Self::dangling_rewards));
/// * events whose action was never shown (`_skipLearn` or `_deferred`; [`skipped`](Self::skipped));
/// * repeated events, whose `EventId` occurred before, because queues deliver some events twice
///   ([`repeated`](Self::repeated));
/// * an incomplete last line ([`torn`](Self::torn)).
///
/// Events with several slots (`_outcomes`, `_slots`: `--ccb_explore_adf` and `--slates`) and events with continuous
/// actions are not supported and give an error.
///
/// With a feature hasher ([`with_hasher`](Self::with_hasher)) no columns are needed: all values in the context and in
/// the actions become sparse features.
///
/// The reader stores 16 bytes per `EventId` to detect repeated events.
#[derive(Debug)]
pub struct DsjsonRows<R> {
    lines: Lines<R>,
    columns: Columns,
    dimension: Option<usize>,
    width: Option<usize>,
    dangling: u64,
    skipped: u64,
    repeated: u64,
    // Hashes of the ids of all rows.
    seen: HashSet<u128>,
    // Whether each column has ever occurred: columns of the context, then those of actions.
    met: Vec<bool>,
    hasher: Option<FeatureHasher>,
}

/// Names of the JSON fields to read: for the context, for the features of each action, and for an action's arm number.
#[derive(Debug, Default)]
struct Columns {
    context: Vec<String>,
    actions: Vec<String>,
    arm: Option<String>,
}

impl<R: BufRead> DsjsonRows<R> {
    /// Creates a reader. `name` is the file name for error messages.
    pub fn new(reader: R, name: impl AsRef<Path>) -> Self {
        Self {
            lines: Lines::new(reader, name.as_ref()),
            columns: Columns::default(),
            dimension: None,
            width: None,
            dangling: 0,
            skipped: 0,
            repeated: 0,
            seen: HashSet::new(),
            met: Vec::new(),
            hasher: None,
        }
    }

    /// Converts all keys of the context and of each action to sparse features by a feature hasher, in place of listed
    /// columns. Each action gets the features of the context and its own, with the hasher's interactions. The context
    /// of the row is empty, as [`SparsePolicy::shared`](crate::policy::SparsePolicy::shared) expects. Each key of the
    /// context is a namespace, as for [`JsonRows`](super::JsonRows). Keys that begin with an underscore are skipped,
    /// except `_text`.
    #[must_use]
    pub fn with_hasher(self, hasher: FeatureHasher) -> Self {
        Self { hasher: Some(hasher), ..self }
    }

    /// Feature hasher, if one was set by [`with_hasher`](Self::with_hasher).
    pub fn hasher(&self) -> Option<&FeatureHasher> {
        self.hasher.as_ref()
    }

    /// Sets the columns (JSON pointers) that form the context.
    #[must_use]
    pub fn with_context(mut self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.columns.context = columns.into_iter().map(Into::into).collect();
        self.met = vec![false; self.columns.context.len() + self.columns.actions.len()];
        self
    }

    /// Sets the columns (JSON pointers) that form the features of an action. The actions of an event are the entries of
    /// its JSON list `_multi`.
    #[must_use]
    pub fn with_actions(mut self, columns: impl IntoIterator<Item: Into<String>>) -> Self {
        self.columns.actions = columns.into_iter().map(Into::into).collect();
        self.met = vec![false; self.columns.context.len() + self.columns.actions.len()];
        self
    }

    /// Sets the column (JSON pointer) that contains the arm number of an action. The actions of an event are the
    /// entries of its JSON list `_multi`. Without this setting, they are the arms 0, 1, … in their order.
    #[must_use]
    pub fn with_arm(mut self, column: impl Into<String>) -> Self {
        self.columns.arm = Some(column.into());
        self
    }

    /// Number of skipped lines with a reward that is separate from its event.
    pub fn dangling_rewards(&self) -> u64 {
        self.dangling
    }

    /// Number of skipped events whose action was never shown.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Number of skipped events whose `EventId` occurred before.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Columns that no event so far contains, possibly because they are misspelt. All their values are 0.
    pub fn never_met(&self) -> impl Iterator<Item = &str> {
        let columns = self.columns.context.iter().chain(&self.columns.actions);
        columns.zip(&self.met).filter(|(_, met)| !**met).map(|(column, _)| column.as_str())
    }

    /// Number of incomplete last lines: 0 or 1.
    pub fn torn(&self) -> u64 {
        self.lines.torn()
    }

    fn row(&mut self, event: Event) -> Result<LoggedDecision, LogProblem> {
        let missing = |what: &str| LogProblem::Missing(what.to_owned());
        let context = event.context.ok_or_else(|| missing("context c"))?;
        if event.outcomes.is_some() || context.get("_slots").is_some() {
            return Err(LogProblem::Unsupported("events of several slots (`_slots`, `_outcomes`)"));
        }
        let actions = context.get("_multi").and_then(Value::as_array).ok_or_else(|| missing("_multi in c"))?;
        let arms = actions.iter().enumerate().map(|(index, action)| self.arm(index, action));
        let arms = arms.collect::<Result<Vec<_>, _>>()?;
        let arm = |number: usize| -> Result<ArmId, LogProblem> {
            let position = number.checked_sub(1).and_then(|position| arms.get(position));
            position.copied().ok_or_else(|| LogProblem::UnknownAction(format!("{number} of {}", arms.len())))
        };
        // No list is long enough for the largest number to be one of its positions.
        let from_index = event.index.map(|index| index.saturating_add(1));
        let chosen = event.action.or(from_index).or(event.actions.first().copied()).ok_or_else(|| missing("action"))?;
        let chosen_arm = arm(chosen)?;
        if let Some(index) = event.index.filter(|index| *index != chosen - 1) {
            let problem = format!("_label_Action is {chosen}, _labelIndex {index}: expected {}", chosen - 1);
            return Err(LogProblem::Malformed(problem));
        }
        let all = &event.probabilities;
        if !all.is_empty() && all.len() != event.actions.len() {
            let (a, p) = (event.actions.len(), all.len());
            return Err(LogProblem::Malformed(format!("a has {a} actions, p {p} probabilities")));
        }
        let of_chosen = event.actions.iter().position(|number| *number == chosen).and_then(|at| all.get(at)).copied();
        let propensity = event.probability.or(of_chosen).ok_or_else(|| missing("propensity"))?;
        check_propensity(propensity)?;
        let reward = 0.0 - event.cost.ok_or_else(|| missing("_label_cost"))?;
        check_value("_label_cost", reward)?;
        let probabilities = if all.len() == arms.len() {
            let of = |(number, probability): (&usize, &f64)| Ok((arm(*number)?, *probability));
            let entries = event.actions.iter().zip(all).map(of).collect::<Result<Vec<_>, _>>()?;
            super::check_distribution("the logging policy", &entries)
                .map_err(|error| LogProblem::Malformed(error.to_string()))?;
            Some(entries)
        } else {
            None
        };
        let mut features = Vec::with_capacity(self.dimension.unwrap_or(0));
        let hashed = self.hasher.as_mut().map(|hasher| hash_actions(hasher, &context, actions)).transpose()?;
        for (column, met) in self.columns.context.iter().zip(&mut self.met) {
            *met |= feature(&context, column, &mut features)?;
        }
        let row = LoggedDecision {
            context: features,
            arm: chosen_arm,
            propensity: Some(propensity),
            reward,
            features: if hashed.is_some() { hashed } else { self.features(actions)? },
            available: Some(arms),
            probabilities,
            drop_probability: event.drop_probability.unwrap_or(0.0),
            propensity_error: 0.0,
        };
        // A row that no estimate could use is refused with its line, for example if probabilities contradict the
        // propensity.
        row.check(0).map_err(LogProblem::of_row)?;
        Ok(row)
    }

    /// Features of all actions of an event, as a row-major matrix with one row per action.
    fn features(&mut self, actions: &[Value]) -> Result<Option<Vec<f64>>, LogProblem> {
        if self.columns.actions.is_empty() {
            return Ok(None);
        }
        let (mut rows, mut width) = (Vec::new(), self.width);
        for (index, action) in actions.iter().enumerate() {
            let before = rows.len();
            for (column, met) in self.columns.actions.iter().zip(&mut self.met[self.columns.context.len()..]) {
                *met |= feature(action, column, &mut rows)?;
            }
            let got = rows.len() - before;
            let expected = *width.get_or_insert(got);
            if got != expected || got == 0 {
                let problem = format!("action {} has {got} features, those before {expected}", index + 1);
                return Err(LogProblem::Malformed(problem));
            }
        }
        Ok(Some(rows))
    }

    fn arm(&self, index: usize, action: &Value) -> Result<ArmId, LogProblem> {
        let Some(pointer) = &self.columns.arm else { return Ok(ArmId::new(index as u64)) };
        let value = action.pointer(pointer).ok_or_else(|| LogProblem::Missing(format!("{pointer} in _multi")))?;
        let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
        number.map(ArmId::new).ok_or_else(|| LogProblem::UnknownAction(value.to_string()))
    }
}

/// Sparse features of all actions of an event. Each action also has the features of the context.
fn hash_actions(hasher: &mut FeatureHasher, context: &Value, actions: &[Value]) -> Result<Vec<f64>, LogProblem> {
    hasher.clear();
    let is_feature = |key: &str| !key.starts_with('_') || key == "_text";
    let add = |hasher: &mut FeatureHasher, value: &Value| -> Result<(), LogProblem> {
        let fields = value.as_object().into_iter().flatten().filter(|(key, _)| is_feature(key));
        fields.into_iter().try_for_each(|(key, value)| add_json(hasher, key, value))
    };
    add(hasher, context)?;
    let shared = hasher.len();
    let mut hashed = Vec::with_capacity(actions.len());
    for action in actions {
        hasher.truncate(shared);
        add(hasher, action)?;
        hashed.push(hasher.context().map_err(LogProblem::of_row)?);
    }
    Ok(SparseContext::rows(&hashed).map_err(LogProblem::of_row)?.0)
}

/// Appends the values of a column to `out`. Returns whether the column is present.
fn feature(context: &Value, column: &str, out: &mut Vec<f64>) -> Result<bool, LogProblem> {
    if !column.starts_with('/') {
        return Err(LogProblem::Malformed(format!("the column {column:?} is no JSON pointer: those begin with /")));
    }
    let mut add = |value: f64| -> Result<(), LogProblem> {
        check_value(column, value)?;
        out.push(value);
        Ok(())
    };
    let refuse = |value: &Value| LogProblem::Malformed(format!("{column} is {value}, expected numbers"));
    if let Some((pointer, text)) = column.split_once('=') {
        let value = context.pointer(pointer);
        // A number or a truth value is compared as JSON writes it.
        let same = match value {
            Some(Value::String(string)) => string == text,
            Some(Value::Number(number)) => number.to_string() == text,
            Some(Value::Bool(flag)) => flag.to_string() == text,
            _ => false,
        };
        add(f64::from(u8::from(same)))?;
        return Ok(value.is_some());
    }
    let value = context.pointer(column);
    match value {
        None => add(0.0)?,
        Some(Value::Bool(flag)) => add(f64::from(u8::from(*flag)))?,
        Some(Value::Array(values)) => {
            values.iter().try_for_each(|value| add(value.as_f64().ok_or_else(|| refuse(value))?))?;
        }
        Some(value) => add(value.as_f64().ok_or_else(|| refuse(value))?)?,
    }
    Ok(value.is_some())
}

impl<R: BufRead> RowReader for DsjsonRows<R> {
    fn left_out(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("rewards without an event", self.dangling),
            ("events that were never shown", self.skipped),
            ("repeated events", self.repeated),
            ("last lines that were cut off", self.lines.torn()),
        ]
    }
}

impl<R: BufRead> Iterator for DsjsonRows<R> {
    type Item = Result<LoggedDecision, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.lines.advance() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
            let event: Result<Event, _> = serde_json::from_slice(self.lines.line());
            let row = match event {
                Ok(event) if event.dangling.is_some() && event.context.is_none() => {
                    self.dangling += 1;
                    continue;
                }
                Ok(event) if event.skip_learn == Some(true) || event.deferred == Some(true) => {
                    self.skipped += 1;
                    continue;
                }
                Ok(event) => {
                    let id = event.id.as_ref().filter(|id| !id.is_null() && id.as_str() != Some(""));
                    let hash = id.map(|id| hash_of(&id.to_string()));
                    if hash.is_some_and(|hash| self.seen.contains(&hash)) {
                        self.repeated += 1;
                        continue;
                    }
                    self.row(event).map(|row| (row, hash))
                }
                Err(error) => Err(LogProblem::Malformed(error.to_string())),
            };
            let row = row.and_then(|(row, hash)| match self.dimension {
                Some(expected) if expected != row.context.len() => {
                    let got = row.context.len();
                    Err(LogProblem::Malformed(format!("the context has {got} values, those before {expected}")))
                }
                _ => {
                    self.seen.extend(hash);
                    Ok(row)
                }
            });
            if let Ok(row) = &row {
                self.dimension = Some(row.context.len());
                let arms = row.available.as_ref().map_or(0, Vec::len);
                let of_row = row.features.as_ref().and_then(|features| features.len().checked_div(arms));
                self.width = if self.hasher.is_some() { None } else { of_row };
            }
            return Some(row.map_err(|problem| self.lines.refuse(problem)));
        }
    }
}

/// 128-bit hash of an event id. Among 10⁹ ids, any two have the same hash with a total probability of 1e-21.
fn hash_of(id: &str) -> u128 {
    let half = |first: u8| {
        let mut hasher = DefaultHasher::new();
        (first, id).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

impl LoggedDecision {
    /// Writes a row as one line of dsjson (Vowpal Wabbit's decision-service JSON). [`DsjsonRows`] reads the row back
    /// with the context column `/x`, the action column `/f` and the arm column `/i/id`. The context is written as the
    /// list `x` of the shared features. Each arm is an action with its number, and with the list `f` of its features if
    /// it has any. Arms without a probability get 0. If the propensity is an estimate, only the probability of the
    /// chosen arm is written, because the estimates need not sum to 1.
    ///
    /// # Errors
    /// * Fails if the row has no propensity or no available arms, or if the chosen arm is not available.
    /// * Fails if the propensity is outside (0, 1], or if a value is not finite.
    /// * Fails if the row has probabilities and an available arm is listed twice.
    /// * Fails if the line cannot be written.
    pub fn write_dsjson(&self, out: &mut impl Write, event_id: &str) -> Result<(), LogError> {
        let refuse = |problem| Err(LogError::Value { problem });
        if let Err(error) = self.check(0) {
            return refuse(LogProblem::Malformed(error.to_string()));
        }
        if self.is_sparse() {
            return refuse(LogProblem::Unsupported("sparse contexts in dsjson: `DecisionLog` writes them"));
        }
        let Some(arms) = &self.available else { return refuse(LogProblem::Missing("available arms".to_owned())) };
        let number = |arm: ArmId| arms.iter().position(|other| *other == arm).map(|position| position + 1);
        let Some(chosen) = number(self.arm) else { return refuse(LogProblem::UnknownAction(self.arm.to_string())) };
        let Some(propensity) = self.propensity else { return refuse(LogProblem::Missing("propensity".to_owned())) };
        let mut all: Vec<(usize, f64)> = vec![(chosen, propensity)];
        if let Some(probabilities) = self.probabilities.as_ref().filter(|_| self.propensity_error <= QUADRATURE_ERROR) {
            for (arm, probability) in probabilities.iter().filter(|(arm, _)| *arm != self.arm) {
                match number(*arm) {
                    Some(number) => all.push((number, *probability)),
                    None => return refuse(LogProblem::UnknownAction(arm.to_string())),
                }
            }
            // Readers expect the probabilities of all arms, so that missing ones are written as 0.
            let mut left_out = vec![true; arms.len()];
            all.iter().for_each(|(number, _)| left_out[number - 1] = false);
            all.extend((1..).zip(&left_out).filter(|(_, left_out)| **left_out).map(|(number, _)| (number, 0.0)));
        }
        if all.len() == arms.len() {
            let entries: Vec<_> = all.iter().map(|(number, probability)| (arms[number - 1], *probability)).collect();
            if let Err(error) = super::check_distribution("the logging policy", &entries) {
                return refuse(LogProblem::Malformed(error.to_string()));
            }
        }
        let width = self.features.as_ref().map_or(0, |features| features.len() / arms.len().max(1));
        let action = |(index, arm): (usize, &ArmId)| {
            let mut action = serde_json::json!({"i": {"id": arm.number().to_string()}});
            if let Some(features) = &self.features {
                action["f"] = features[index * width..][..width].into();
            }
            action
        };
        let mut event = serde_json::json!({
            "_label_cost": 0.0 - self.reward,
            "_label_probability": propensity,
            "_label_Action": chosen,
            "_labelIndex": chosen - 1,
            "EventId": event_id,
            "a": all.iter().map(|entry| entry.0).collect::<Vec<_>>(),
            "p": all.iter().map(|entry| entry.1).collect::<Vec<_>>(),
            "c": {
                "x": self.context,
                "_multi": arms.iter().enumerate().map(action).collect::<Vec<_>>(),
            },
        });
        if self.drop_probability > 0.0 {
            event["pdrop"] = self.drop_probability.into();
        }
        writeln!(out, "{event}").map_err(|source| LogError::io(Path::new("dsjson"), source))
    }
}
