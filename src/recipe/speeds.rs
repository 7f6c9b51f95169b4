//! How a speed that was chosen on few texts does on all: a rule chooses on draws of them, again and again.

use dht_dynamic::evaluation::Stages;
use rand::{Rng, RngExt};

use crate::record::SpeedTrial;

/// Texts in a draw.
const ROWS: [usize; 3] = [200, 600, 2_000];
const DRAWS: usize = 200;

/// From the stages of a draw, the full model's classes, the labels and the thresholds to the threshold.
type Rule = fn(&Stages, f64, &[u32], &[f64]) -> f64;

const RULES: [(&str, Rule); 2] = [("as accurate", as_accurate), ("as accurate, and as confident", lossless)];

/// The highest threshold at which the texts are as accurate as the full model.
fn as_accurate(stages: &Stages, own: f64, labels: &[u32], thresholds: &[f64]) -> f64 {
    let keeps = |threshold: &&f64| accuracy(&stages.at(**threshold).labels, labels) >= own;
    thresholds.iter().rev().find(keeps).copied().unwrap_or(0.0)
}

fn lossless(stages: &Stages, own: f64, labels: &[u32], thresholds: &[f64]) -> f64 {
    stages.lossless(labels, own, thresholds)
}

/// All texts, as if there were no others.
pub(super) struct World<'a> {
    pub(super) data: &'a str,
    pub(super) stages: &'a Stages,
    /// The full model's classes, and its FLOPs for all texts.
    pub(super) full: &'a [u32],
    pub(super) full_flops: f64,
    pub(super) labels: &'a [u32],
    pub(super) thresholds: &'a [f64],
}

impl World<'_> {
    /// All rules, on as many draws of each size.
    pub(super) fn speeds<R: Rng + ?Sized>(&self, rng: &mut R) -> Vec<SpeedTrial> {
        let sizes = ROWS.into_iter().filter(|rows| *rows <= self.labels.len());
        sizes.flat_map(|rows| RULES.map(|rule| (rows, rule))).map(|(rows, rule)| self.trial(rows, rule, rng)).collect()
    }

    fn trial<R: Rng + ?Sized>(&self, rows: usize, (name, rule): (&str, Rule), rng: &mut R) -> SpeedTrial {
        let all = self.labels.len();
        let full = accuracy(self.full, self.labels);
        let (mut cost, mut lost) = (0.0, Vec::new());
        for _ in 0..DRAWS {
            let drawn: Vec<usize> = (0..rows).map(|_| rng.random_range(0..all)).collect();
            let pick = |labels: &[u32]| -> Vec<u32> { drawn.iter().map(|row| labels[*row]).collect() };
            let labels = pick(self.labels);
            let own = accuracy(&pick(self.full), &labels);
            let at = self.stages.at(rule(&self.stages.select(&drawn), own, &labels, self.thresholds));
            cost += at.flops as f64 / self.full_flops;
            lost.push(full - accuracy(&at.labels, self.labels));
        }
        lost.sort_by(f64::total_cmp);
        SpeedTrial {
            rule: name.into(),
            data: self.data.into(),
            rows: [rows, all],
            draws: DRAWS,
            flops_ratio: cost / DRAWS as f64,
            lost: lost.iter().sum::<f64>() / DRAWS as f64,
            lost_95: lost[DRAWS * 95 / 100 - 1],
        }
    }
}

fn accuracy(found: &[u32], labels: &[u32]) -> f64 {
    found.iter().zip(labels).filter(|(found, label)| found == label).count() as f64 / labels.len().max(1) as f64
}
