//! Results that the DHT paper (Meng et al. 2023) prints in its tables 1 and 2.

use dht_search::settings::PublishedDataset;

use crate::record::{RowGroup, RowRecord};

/// Data set of the DHT paper (Meng et al. 2023) whose printed results are compared with results of this project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counterpart {
    pub(crate) data: PublishedDataset,
    /// True if the two compared data sets differ. The DHT paper's data set is then the one with the most similar texts.
    pub(crate) stands_in: bool,
}

/// Result of one method on one data set, as the DHT paper (Meng et al. 2023) prints it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Published {
    pub(crate) method: &'static str,
    /// Score that the DHT paper calls "F1", presumably macro F1.
    pub(crate) f1: f64,
    /// Cost relative to the full model, estimated as the number of layers times the number of heads.
    pub(crate) cost: f64,
}

/// Table of the DHT paper (Meng et al. 2023), named by the stage whose cost it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Table 1: cost of training.
    Training,
    /// Table 2: cost of inference.
    Inference,
}

/// Line of a table in the DHT paper: the method, and F1 and cost on the four data sets in the order of
/// [`PublishedDataset::ALL`].
type Line = (&'static str, [(f64, f64); 4]);

pub(crate) const FULL_MODEL: &str = "12-VaBERT";

const TRAINING: [Line; 5] = [
    (FULL_MODEL, [(0.944, 1.00), (0.993, 1.00), (0.960, 1.00), (0.659, 1.00)]),
    ("T-DHT", [(0.945, 0.42), (0.992, 0.43), (0.958, 0.47), (0.635, 0.45)]),
    ("P-DHT", [(0.935, 0.59), (0.993, 0.41), (0.955, 0.44), (0.634, 0.58)]),
    ("S-DHT", [(0.941, 0.38), (0.994, 0.39), (0.956, 0.26), (0.632, 0.29)]),
    ("F-DHT", [(0.943, 0.59), (0.993, 0.58), (0.957, 0.29), (0.639, 0.43)]),
];

const INFERENCE: [Line; 11] = [
    (FULL_MODEL, [(0.944, 1.00), (0.993, 1.00), (0.960, 1.00), (0.659, 1.00)]),
    ("6-DisBERT", [(0.946, 0.50), (0.991, 0.50), (0.953, 0.50), (0.642, 0.50)]),
    ("3-DisBERT", [(0.939, 0.25), (0.990, 0.25), (0.932, 0.25), (0.635, 0.25)]),
    ("1-DisBERT", [(0.928, 0.08), (0.989, 0.08), (0.916, 0.08), (0.585, 0.08)]),
    ("6-FastBERT", [(0.943, 0.28), (0.992, 0.10), (0.959, 0.31), (0.659, 0.95)]),
    ("3-FastBERT", [(0.931, 0.10), (0.990, 0.09), (0.960, 0.16), (0.659, 0.95)]),
    ("1-FastBERT", [(0.925, 0.08), (0.990, 0.09), (0.960, 0.08), (0.647, 0.46)]),
    ("T-DHT", [(0.945, 0.81), (0.992, 0.76), (0.958, 0.83), (0.635, 0.87)]),
    ("P-DHT", [(0.935, 0.39), (0.993, 0.41), (0.955, 0.28), (0.634, 0.35)]),
    ("S-DHT", [(0.941, 0.37), (0.994, 0.44), (0.956, 0.26), (0.632, 0.26)]),
    ("F-DHT", [(0.943, 0.35), (0.993, 0.29), (0.957, 0.31), (0.639, 0.29)]),
];

/// Results of one of the DHT paper's tables for a data set, in the printed order.
pub(crate) fn cells(data: PublishedDataset, stage: Stage) -> impl Iterator<Item = Published> {
    let lines: &[Line] = match stage {
        Stage::Training => &TRAINING,
        Stage::Inference => &INFERENCE,
    };
    lines.iter().map(move |&(method, figures)| {
        let (f1, cost) = figures[data as usize];
        Published { method, f1, cost }
    })
}

/// Result of one method, by its name in the DHT paper (Meng et al. 2023).
pub(crate) fn cell(data: PublishedDataset, stage: Stage, method: &str) -> Option<Published> {
    cells(data, stage).find(|cell| cell.method == method)
}

impl Counterpart {
    /// Finds the data set of the DHT paper with which a data set is compared, by a name in any spelling: `ag_news`, `AG
    /// News`. IMDB is compared with Yelp P., since both are reviews with two classes.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let imdb = name.rsplit('/').next().is_some_and(|name| name.eq_ignore_ascii_case("imdb"));
        let (data, stands_in) = match PublishedDataset::of_name(name) {
            Some(data) => (data, false),
            None if imdb => (PublishedDataset::YelpPolarity, true),
            None => return None,
        };
        Some(Self { data, stands_in })
    }

    /// Result that the DHT paper prints for the method of a result row. `layers` is the depth of the row's full model.
    pub(crate) fn cell(self, stage: Stage, row: &RowRecord, layers: usize) -> Option<Published> {
        cell(self.data, stage, &published_name(row, layers)?)
    }
}

/// Name of a result row's method in the DHT paper (Meng et al. 2023). A `DistilBERT` student corresponds to the paper's
/// student with the same share of layers. Each speed of `FastBERT` has the paper's name for that speed, in order of
/// cost.
fn published_name(row: &RowRecord, layers: usize) -> Option<String> {
    match row.group {
        RowGroup::Full => Some(FULL_MODEL.into()),
        RowGroup::AsPublished | RowGroup::Ours => Some(row.method.clone()),
        RowGroup::DistilBert => {
            let layers_of_student = 12.0 * first_number(&row.setting)? / layers.max(1) as f64;
            Some(format!("{layers_of_student}-DisBERT"))
        }
        RowGroup::FastBert => {
            let speeds = [(0.1, "6-FastBERT"), (0.5, "3-FastBERT"), (0.8, "1-FastBERT")];
            let speed = first_number(&row.setting)?;
            let (_, name) = speeds.into_iter().find(|(printed, _)| (printed - speed).abs() < 1e-9)?;
            Some(name.into())
        }
        RowGroup::Truncation | RowGroup::Pabee | RowGroup::Ngram | RowGroup::Accelerated => None,
    }
}

fn first_number(text: &str) -> Option<f64> {
    let from = text.find(|c: char| c.is_ascii_digit() || c == '.')?;
    let number = text[from..].split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?;
    number.trim_end_matches('.').parse().ok()
}

#[cfg(test)]
mod tests;
