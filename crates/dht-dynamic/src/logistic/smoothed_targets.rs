//! Smoothed training targets, for classes without rows, and for labels that no row or every row has.

use super::regression::RowTargets;

/// Training targets of one fit. Class targets are smoothed so that classes without rows get a positive probability.
/// Multi-label targets are smoothed for labels that no row or every row has. Soft labels and numbers stay as they are.
pub(crate) enum SmoothedTargets {
    Classes(Vec<u32>),
    Soft(Vec<f64>),
    Labels(Vec<f32>),
    Numbers(Vec<f32>),
}

/// Log-probability whose exponential underflows to 0 in f64, for impossible classes.
const NEVER: f64 = -1e3;

impl SmoothedTargets {
    /// Selects and smooths the targets of the rows with the indices `rows`. Each class without rows gets the
    /// probability 1/(rows + classes), as in the n-gram classifier. Without smoothing, its bias would decrease without
    /// limit. In a multi-label task, a label that no row has gets the probability 1/(rows + 2), and a label that every
    /// row has gets 1 − 1/(rows + 2).
    pub(crate) fn new(targets: RowTargets<'_>, rows: &[usize], classes: usize) -> Self {
        let labels: Vec<u32> = match targets {
            RowTargets::Classes(labels) => rows.iter().map(|row| labels[*row]).collect(),
            RowTargets::Soft(logs) => {
                let row = |row: &usize| logs[row * classes..(row + 1) * classes].iter().copied();
                return Self::Soft(rows.iter().flat_map(row).collect());
            }
            RowTargets::Numbers(numbers) => return Self::Numbers(rows.iter().map(|row| numbers[*row]).collect()),
            RowTargets::Labels(targets) => {
                let row = |row: &usize| targets[row * classes..(row + 1) * classes].iter().copied();
                let mut targets: Vec<f32> = rows.iter().flat_map(row).collect();
                let chance = 1.0 / (rows.len() + 2) as f32;
                for label in 0..classes {
                    let column = || targets.iter().skip(label).step_by(classes);
                    if column().all(|target| *target == 0.0) || column().all(|target| *target == 1.0) {
                        let own = targets.iter_mut().skip(label).step_by(classes);
                        own.for_each(|target| *target = target.clamp(chance, 1.0 - chance));
                    }
                }
                return Self::Labels(targets);
            }
        };
        let mut present = vec![false; classes];
        labels.iter().for_each(|label| present[*label as usize] = true);
        let absent = present.iter().filter(|present| !**present).count();
        if absent == 0 {
            return Self::Classes(labels);
        }
        let share = 1.0 / (labels.len() + classes) as f64;
        let rest = (1.0 - share * absent as f64).ln();
        let of_class = |label: u32, class: usize| match present[class] {
            false => share.ln(),
            true if class == label as usize => rest,
            true => NEVER,
        };
        Self::Soft(labels.iter().flat_map(|label| (0..classes).map(|class| of_class(*label, class))).collect())
    }

    pub(crate) fn as_targets(&self) -> RowTargets<'_> {
        match self {
            Self::Classes(labels) => RowTargets::Classes(labels),
            Self::Soft(logs) => RowTargets::Soft(logs),
            Self::Labels(targets) => RowTargets::Labels(targets),
            Self::Numbers(targets) => RowTargets::Numbers(targets),
        }
    }
}
