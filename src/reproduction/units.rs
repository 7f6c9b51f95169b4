//! Units of a reproduction. A unit is a method with its training run and the table rows that it yields.

use std::fmt;

use dht_search::Preset;

use crate::error::{Error, Result};
use crate::experiment::SettingsChoice;
use crate::record::RowGroup;

/// Depths of the DistilBERT students, as fractions of the teacher's layers: 6, 3 and 1 of 12 layers.
const STUDENTS: [(usize, usize); 3] = [(1, 2), (1, 4), (1, 12)];

/// Method with one training run for each seed, in a separate process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Full model.
    Full,
    /// Full model with as many epochs as the methods with the DHT paper's settings.
    FullAsPublished,
    /// First layers of the encoder, fine-tuned alone.
    Truncation(usize),
    /// First layers of the encoder, distilled from the full model.
    Distilled(usize),
    /// DistilBERT student with this number of layers.
    DistilBert(usize),
    /// FastBERT at all speeds.
    FastBert,
    /// PABEE at all patiences.
    Pabee,
    /// Linear n-gram model.
    Ngram,
    /// N-gram model stacked on the first layers of the encoder.
    Stacked(usize),
    /// Cascade from the n-gram model to the first layers of the encoder.
    Cascade(usize),
    /// Cascade of the n-gram model and two encoders: the first layers, up to half of them, and the full model.
    TwoEncoders,
    /// Accelerated full model: exits fitted after its training, and an n-gram exit before the first layer.
    Accelerated,
    /// Search preset with the settings of the DHT paper (Meng et al. 2023).
    AsPublished(Preset),
    /// Search preset with this project's settings.
    Ours(Preset),
}

impl Unit {
    /// All units of a reproduction, in the order of the tables. Each follows the units that it requires.
    pub(super) fn all(layers: usize) -> Vec<Self> {
        let depths = || (1..layers).rev();
        let mut students: Vec<usize> =
            STUDENTS.iter().map(|(part, whole)| (layers * part).div_ceil(*whole)).filter(|k| *k < layers).collect();
        students.dedup();
        let mut units = vec![Self::Full, Self::FullAsPublished, Self::Ngram];
        units.extend(depths().map(Self::Truncation));
        units.extend(depths().map(Self::Distilled));
        units.extend(students.into_iter().map(Self::DistilBert));
        units.extend([Self::FastBert, Self::Pabee]);
        units.extend((1..=layers).rev().map(Self::Stacked));
        let mut cascades = vec![layers, layers.div_ceil(2), 1];
        cascades.dedup();
        units.extend(cascades.into_iter().map(Self::Cascade));
        units.extend([Self::TwoEncoders, Self::Accelerated]);
        units.extend(Preset::ALL.map(Self::AsPublished));
        units.extend(Preset::ALL.map(Self::Ours));
        units
    }

    /// Units whose models or predictions this unit reads.
    pub(super) fn needs(self, layers: usize) -> Vec<Self> {
        let encoder = |depth| if depth == layers { Self::Full } else { Self::Truncation(depth) };
        match self {
            Self::Full | Self::FullAsPublished => Vec::new(),
            Self::Ngram | Self::Truncation(_) | Self::Pabee | Self::Ours(_) => vec![Self::Full],
            Self::Distilled(_) | Self::DistilBert(_) | Self::FastBert | Self::Accelerated => vec![Self::Full],
            Self::Stacked(depth) | Self::Cascade(depth) => {
                let mut needed = vec![Self::Full, Self::Ngram];
                needed.extend((depth < layers).then(|| encoder(depth)));
                needed
            }
            Self::TwoEncoders => {
                [Self::Full, Self::Ngram].into_iter().chain((1..=layers / 2).map(Self::Truncation)).collect()
            }
            Self::AsPublished(_) => vec![Self::FullAsPublished],
        }
    }

    /// Number of layers of the unit's model, if the model is a single classifier.
    pub(super) fn depth(self, layers: usize) -> Option<usize> {
        match self {
            Self::Full => Some(layers),
            Self::Truncation(depth) | Self::Distilled(depth) | Self::DistilBert(depth) => Some(depth),
            _ => None,
        }
    }

    /// Unit of the full model with which this unit is compared.
    pub(super) fn reference(self) -> Self {
        match self {
            Self::FullAsPublished | Self::AsPublished(_) => Self::FullAsPublished,
            _ => Self::Full,
        }
    }

    pub(super) fn group(self) -> RowGroup {
        match self {
            Self::Full | Self::FullAsPublished => RowGroup::Full,
            Self::Truncation(_) | Self::Distilled(_) => RowGroup::Truncation,
            Self::DistilBert(_) => RowGroup::DistilBert,
            Self::FastBert => RowGroup::FastBert,
            Self::Pabee => RowGroup::Pabee,
            Self::Ngram | Self::Stacked(_) | Self::Cascade(_) | Self::TwoEncoders => RowGroup::Ngram,
            Self::Accelerated => RowGroup::Accelerated,
            Self::AsPublished(_) => RowGroup::AsPublished,
            Self::Ours(_) => RowGroup::Ours,
        }
    }

    /// Search settings of the training run. The full model for comparison with the DHT paper's settings also has the
    /// paper's pooler.
    pub(super) fn settings(self) -> SettingsChoice {
        match self.reference() {
            Self::FullAsPublished => SettingsChoice::Paper,
            _ => SettingsChoice::Ours,
        }
    }

    /// Number of training epochs, if other units have `epochs`. As published, P-DHT has two training phases; it and all
    /// methods that are compared with it have twice the number.
    pub(super) fn epochs(self, epochs: usize) -> usize {
        if self.reference() == Self::FullAsPublished { 2 * epochs } else { epochs }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("full"),
            Self::FullAsPublished => f.write_str("long-full"),
            Self::Truncation(depth) => write!(f, "truncation-{depth}"),
            Self::Distilled(depth) => write!(f, "distilled-{depth}"),
            Self::DistilBert(depth) => write!(f, "distilbert-{depth}"),
            Self::FastBert => f.write_str("fastbert"),
            Self::Pabee => f.write_str("pabee"),
            Self::Ngram => f.write_str("ngram"),
            Self::Stacked(depth) => write!(f, "stacked-{depth}"),
            Self::Cascade(depth) => write!(f, "cascade-{depth}"),
            Self::TwoEncoders => f.write_str("two-encoders"),
            Self::Accelerated => f.write_str("accelerated"),
            Self::AsPublished(preset) => write!(f, "published-{}", preset.name().to_lowercase()),
            Self::Ours(preset) => write!(f, "ours-{}", preset.name().to_lowercase()),
        }
    }
}

/// Selected units of a reproduction, each after those that it requires.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) units: Vec<Unit>,
    /// Units that run with the first seed only.
    once: Vec<Unit>,
}

impl Selection {
    /// Selects the units in `names`, or all if `names` is empty, with the units that they require. Units in `once` are
    /// added: they, and units that only they require, run with the first seed only.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown name; the message lists the known names.
    pub(super) fn new(names: &[String], once: &[String], layers: usize, epochs: usize) -> Result<Self> {
        let all = Unit::all(layers);
        let one_seed = if once.is_empty() { Vec::new() } else { Self::named_units("once", once, &all, epochs)? };
        let mut chosen = Self::named_units("rows", names, &all, epochs)?;
        if names.is_empty() {
            chosen.retain(|unit| !one_seed.contains(unit));
        }
        let with_needed = |chosen: &[Unit]| -> Vec<Unit> {
            let is_selected =
                |unit: &&Unit| chosen.contains(unit) || chosen.iter().any(|own| own.needs(layers).contains(unit));
            all.iter().filter(is_selected).copied().collect()
        };
        let many = with_needed(&chosen);
        chosen.extend(one_seed);
        let units = with_needed(&chosen);
        let once = units.iter().filter(|unit| !many.contains(unit)).copied().collect();
        Ok(Self { units, once })
    }

    /// Number of seeds with which a unit runs, at most `all`.
    pub(super) fn seeds(&self, unit: Unit, all: u64) -> u64 {
        if self.once.contains(&unit) { 1 } else { all }
    }

    /// Finds units by name; returns all units if `names` is empty.
    fn named_units(flag: &'static str, names: &[String], all: &[Unit], epochs: usize) -> Result<Vec<Unit>> {
        // P-DHT freezes its last layers after its first epochs. If no epochs follow, the unit is left out unless it is
        // named.
        let possible = |unit: &Unit| match unit {
            Unit::Ours(Preset::PDht) | Unit::AsPublished(Preset::PDht) => {
                unit.epochs(epochs) > Preset::FULL_EPOCHS_BEFORE_FREEZING
            }
            _ => true,
        };
        let mut chosen: Vec<Unit> = Vec::new();
        for name in names {
            let named = |unit: &&Unit| {
                let own = unit.to_string();
                let part = |rest: Option<&str>, edge: fn(&str) -> bool| rest.is_some_and(edge) && possible(unit);
                own == *name
                    || part(own.strip_prefix(name.as_str()), |rest| rest.starts_with('-'))
                    || part(own.strip_suffix(name.as_str()), |rest| rest.ends_with('-'))
            };
            let matching: Vec<Unit> = all.iter().filter(named).copied().collect();
            if matching.is_empty() {
                let known = all.iter().map(Unit::to_string).collect::<Vec<_>>().join(", ");
                return Err(Error::Argument { flag, expected: format!("some of {known}"), got: name.clone() });
            }
            chosen.extend(matching);
        }
        if names.is_empty() {
            chosen.extend(all.iter().filter(|unit| possible(unit)));
        }
        Ok(chosen)
    }

    /// Finds a selected unit by its name.
    ///
    /// # Errors
    /// [`Error::Argument`] for a name that is not selected.
    pub(super) fn named(&self, name: &str) -> Result<Unit> {
        let unit = self.units.iter().find(|unit| unit.to_string() == name).copied();
        unit.ok_or_else(|| Error::Argument { flag: "unit", expected: "a selected unit".into(), got: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(rows: &[&str]) -> Vec<String> {
        let rows: Vec<String> = rows.iter().map(|row| (*row).to_owned()).collect();
        Selection::new(&rows, &[], 6, 2).unwrap().units.iter().map(Unit::to_string).collect()
    }

    #[test]
    fn a_name_selects_its_units_and_what_they_need() {
        assert_eq!(names(&["distilbert-3"]), ["full", "distilbert-3"]);
        assert_eq!(names(&["cascade-3"]), ["full", "ngram", "truncation-3", "cascade-3"]);
        assert_eq!(names(&["published-t-dht"]), ["long-full", "published-t-dht"]);
        assert_eq!(
            names(&["t-dht", "p-dht"]),
            ["full", "long-full", "published-t-dht", "published-p-dht", "ours-t-dht"]
        );
        assert_eq!(names(&["ours-p-dht"]), ["full", "ours-p-dht"]);
        assert_eq!(names(&["ngram"]), ["full", "ngram"]);
        assert_eq!(names(&["distilbert"]), ["full", "distilbert-3", "distilbert-2", "distilbert-1"]);
    }

    #[test]
    fn rows_of_one_seed_do_not_cut_those_that_others_need() {
        let rows = |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
        let selection =
            Selection::new(&rows(&["cascade-3"]), &rows(&["stacked-3", "stacked-2", "distilled-3"]), 6, 2).unwrap();
        let seeds = |name: &str| selection.seeds(selection.named(name).unwrap(), 3);
        assert_eq!(["full", "ngram", "truncation-3", "cascade-3"].map(seeds), [3; 4]);
        assert_eq!(["stacked-3", "stacked-2", "truncation-2", "distilled-3"].map(seeds), [1; 4]);
        let all = Selection::new(&[], &rows(&["pabee"]), 6, 2).unwrap();
        assert_eq!(all.units.len(), Unit::all(6).len() - 1, "P-DHT needs more epochs");
        assert_eq!(all.units.iter().filter(|unit| all.seeds(**unit, 3) == 1).count(), 1);
    }

    #[test]
    fn every_unit_comes_after_those_that_it_needs() {
        let all = Unit::all(12);
        for (at, unit) in all.iter().enumerate() {
            for needed in unit.needs(12) {
                assert!(all[..at].contains(&needed), "{unit} needs {needed}");
            }
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = Selection::new(&["fastbret".into()], &[], 6, 2).unwrap_err().to_string();
        assert!(
            error.contains("fastbret") && error.contains("fastbert") && error.contains("published-t-dht"),
            "{error}"
        );
    }
}
