//! The texts of an acceleration, by what they are for.

use dht_transformer::EncodedDataset;
use rand::Rng;
use rand::seq::SliceRandom;

use super::settings::{AccelerateSettings, Targets};
use super::states::States;

/// The texts by what they are for.
pub(super) struct Parts {
    pub(super) training: EncodedDataset,
    pub(super) held_out: Option<EncodedDataset>,
    /// Where nothing is held out: the fold of each training row.
    pub(super) fold_of: Vec<usize>,
}

impl Parts {
    pub(super) fn new<R: Rng + ?Sized>(
        texts: &EncodedDataset,
        held_out: Option<&EncodedDataset>,
        settings: &AccelerateSettings,
        rng: &mut R,
    ) -> Self {
        if let Some(held_out) = held_out.filter(|held_out| !held_out.is_empty()) {
            return Self { training: texts.clone(), held_out: Some(held_out.clone()), fold_of: Vec::new() };
        }
        let mut rows: Vec<usize> = (0..texts.len()).collect();
        rows.shuffle(rng);
        let wanted = (settings.held_out_share * texts.len() as f64) as usize;
        if wanted >= settings.least_held_out {
            let pick = |rows: &[usize]| {
                let samples = rows.iter().map(|row| texts.samples[*row].clone()).collect();
                EncodedDataset { samples, ..texts.clone() }
            };
            let (held_out, training) = rows.split_at(wanted);
            return Self { training: pick(training), held_out: Some(pick(held_out)), fold_of: Vec::new() };
        }
        let mut fold_of = vec![0; texts.len()];
        rows.iter().enumerate().for_each(|(at, row)| fold_of[*row] = at % settings.folds);
        Self { training: texts.clone(), held_out: None, fold_of }
    }

    /// The same, with the classifier's own predictions for labels where they are the targets.
    pub(super) fn with_targets(mut self, targets: Targets, training: &States, held_out: Option<&States>) -> Self {
        if targets == Targets::Predictions {
            let relabel = |data: &mut EncodedDataset, states: &States| {
                data.samples.iter_mut().zip(states.own.labels()).for_each(|(sample, label)| sample.label = label);
            };
            relabel(&mut self.training, training);
            if let (Some(data), Some(states)) = (&mut self.held_out, held_out) {
                relabel(data, states);
            }
        }
        self
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &EncodedDataset> {
        [Some(&self.training), self.held_out.as_ref()].into_iter().flatten()
    }

    pub(super) fn labels(&self) -> Vec<u32> {
        labels(&self.training)
    }

    /// The labels of the rows that C, stacking and speeds are chosen on.
    pub(super) fn judged_labels(&self) -> Vec<u32> {
        labels(self.held_out.as_ref().unwrap_or(&self.training))
    }
}

fn labels(data: &EncodedDataset) -> Vec<u32> {
    data.samples.iter().map(|sample| sample.label).collect()
}
