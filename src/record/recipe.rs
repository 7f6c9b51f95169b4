//! What each part of an acceleration is worth: settings that were tried, on texts that nothing else has seen.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::at_costs::Interval;
use super::json;
use crate::error::Result;

/// Settings of an acceleration that were tried, written as `recipe.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecipeRecord {
    /// The version of this layout: [`RecipeRecord::SCHEMA`].
    pub schema: u32,
    /// The trials, by data set, in the order in which they were made.
    pub tried: Vec<Trial>,
    /// What speeds are worth that are chosen on few texts, by data set.
    #[serde(default)]
    pub speeds: Vec<SpeedTrial>,
    /// What choosing heads by text is worth, by data set.
    #[serde(default)]
    pub head_choices: Vec<HeadChoice>,
}

/// Ways to choose as many heads of each layer of a frozen classifier.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadChoice {
    /// The name of the data set, or `planted`.
    pub data: String,
    /// How many texts.
    pub texts: usize,
    /// Heads that run in each layer, and heads that there are.
    pub heads: [usize; 2],
    /// The ways.
    pub ways: Vec<HeadChoiceWay>,
}

/// What a way to choose heads came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeadChoiceWay {
    /// Its name.
    pub way: String,
    /// The mean cross-entropy, in nats.
    pub loss: f64,
    /// The accuracy, of ways that are run once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The loss less that of the set that is best for all texts in hindsight, whose own is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regret: Option<Interval>,
}

/// Speeds that a rule chose on draws of texts, with the default settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpeedTrial {
    /// The rule.
    pub rule: String,
    /// The name of the data set.
    pub data: String,
    /// Texts in a draw, and in all: what is lost and what it costs is of all.
    pub rows: [usize; 2],
    /// How many draws.
    pub draws: usize,
    /// FLOPs over the full model's: the mean of the draws.
    pub flops_ratio: f64,
    /// The full model's accuracy less that at the speed: the mean of the draws.
    pub lost: f64,
    /// What 95 % of the draws lose at most.
    pub lost_95: f64,
}

/// One setting on one data set. No test text is in it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was set: `as by default`, or what differs from it.
    pub setting: String,
    /// The name of the data set.
    pub data: String,
    /// Training texts with labels and without, and the texts that scores are of.
    pub rows: [usize; 3],
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The mean accuracy at the [costs](Self::COSTS) from .1 to .35.
    pub score: f64,
    /// The accuracy at each of the [costs](Self::COSTS); the threshold for a cost is found on the validation texts.
    pub at_costs: Vec<f64>,
    /// The full model's accuracy.
    pub full_accuracy: f64,
    /// The accuracy at the threshold at which the validation texts [lose nothing](dht_dynamic::evaluation::Stages::lossless).
    pub accuracy: f64,
    /// FLOPs there over the full model's.
    pub inference_flops_ratio: f64,
    /// The one-sided upper 95 % bound of the full model's macro F1 less that there, a paired bootstrap over texts.
    pub deficit_upper95: f64,
    /// FLOPs of fine-tuning and of everything that is fitted and trained afterwards, over those of fine-tuning.
    pub train_flops_ratio: f64,
    /// Whether these have the convex fits; those of earlier releases do not.
    #[serde(default)]
    pub fits_counted: bool,
    /// Whether the default settings have it.
    pub kept: bool,
}

impl Trial {
    /// The costs of inference, as shares of the full model's FLOPs.
    pub const COSTS: [f64; 7] = [0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5];

    /// The mean of the accuracies at the costs from .1 to .35.
    pub fn score_of(at_costs: &[f64]) -> f64 {
        let counted = || Self::COSTS.iter().zip(at_costs).filter(|(cost, _)| (0.1..=0.35).contains(*cost));
        counted().map(|(_, accuracy)| accuracy).sum::<f64>() / counted().count() as f64
    }
}

impl Default for RecipeRecord {
    fn default() -> Self {
        Self { schema: Self::SCHEMA, tried: Vec::new(), speeds: Vec::new(), head_choices: Vec::new() }
    }
}

impl RecipeRecord {
    /// The version of the layout that this release reads and writes.
    pub const SCHEMA: u32 = 1;

    /// Adds a trial, in the place of an earlier one of the same setting on the same data.
    pub fn add(&mut self, trial: Trial) {
        let alike = |other: &Trial| other.setting == trial.setting && other.data == trial.data;
        match self.tried.iter().position(alike) {
            Some(at) => self.tried[at] = trial,
            None => {
                let after = self.tried.iter().rposition(|other| other.data == trial.data);
                self.tried.insert(after.map_or(self.tried.len(), |at| at + 1), trial);
            }
        }
    }

    /// Adds what rules choose on a data set, in the place of earlier ones.
    pub fn add_speeds(&mut self, speeds: Vec<SpeedTrial>) {
        self.speeds.retain(|earlier| speeds.iter().all(|own| own.data != earlier.data));
        self.speeds.extend(speeds);
    }

    /// Adds ways to choose heads, in the place of earlier ones on the same data.
    pub fn add_head_choice(&mut self, choice: HeadChoice) {
        match self.head_choices.iter().position(|earlier| earlier.data == choice.data) {
            Some(at) => self.head_choices[at] = choice,
            None => self.head_choices.push(choice),
        }
    }

    /// Writes the record atomically.
    ///
    /// # Errors
    /// [`Error::Record`](crate::Error::Record) when a number is not finite,
    /// [`Error::Transformer`](crate::Error::Transformer) when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        json::save(self, path.as_ref())
    }

    /// Reads a record of this version.
    ///
    /// # Errors
    /// [`Error::Transformer`](crate::Error::Transformer) when the file cannot be read,
    /// [`Error::Record`](crate::Error::Record) when it is no such record or of another version.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        json::load(path.as_ref(), Self::SCHEMA)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_takes_the_place_of_an_earlier_one_and_stands_beside_those_of_its_data() {
        let trial = |setting: &str, data: &str, score| Trial {
            setting: setting.into(),
            data: data.into(),
            score,
            ..Trial::default()
        };
        let mut record = RecipeRecord::default();
        for (setting, data, score) in [("a", "one", 0.1), ("a", "two", 0.2), ("b", "one", 0.3), ("a", "one", 0.4)] {
            record.add(trial(setting, data, score));
        }
        let found: Vec<(&str, &str, f64)> =
            record.tried.iter().map(|trial| (&*trial.setting, &*trial.data, trial.score)).collect();
        assert_eq!(found, [("a", "one", 0.4), ("b", "one", 0.3), ("a", "two", 0.2)]);
        let speed = |data: &str, lost| SpeedTrial { data: data.into(), lost, ..SpeedTrial::default() };
        for (data, lost) in [("one", 0.1), ("two", 0.2), ("one", 0.3)] {
            record.add_speeds(vec![speed(data, lost), speed(data, lost)]);
        }
        assert_eq!(record.speeds.iter().map(|speed| speed.lost).collect::<Vec<_>>(), [0.2, 0.2, 0.3, 0.3]);
        let choice = |data: &str, texts| HeadChoice { data: data.into(), texts, ..HeadChoice::default() };
        for (data, texts) in [("one", 1), ("planted", 2), ("one", 3)] {
            record.add_head_choice(choice(data, texts));
        }
        assert_eq!(record.head_choices, [choice("one", 3), choice("planted", 2)]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.json");
        record.save(&path).unwrap();
        assert_eq!(RecipeRecord::load(&path).unwrap(), record);
    }

    #[test]
    fn the_score_is_the_mean_from_a_tenth_to_a_third() {
        let score = Trial::score_of(&[0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.0]);
        assert!((score - 0.7).abs() < 1e-12);
    }
}
