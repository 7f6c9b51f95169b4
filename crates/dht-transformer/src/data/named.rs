//! Well-known data sets: their location on the Hugging Face hub, their columns and their metric.

use std::path::Path;

use super::reader::DatasetReader;
use super::reading::{Column, LabelKind};

/// Metric that publications report for a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metric {
    /// Fraction of correct predictions.
    Accuracy,
    /// Matthews correlation coefficient.
    Matthews,
    /// F1 of one class.
    F1 {
        /// Name of the class.
        class: &'static str,
    },
    /// Pearson and Spearman correlation coefficients.
    Correlations,
}

/// Well-known data set on the Hugging Face hub, with a short name. The names on the hub are copied from its public
/// pages.
///
/// # Examples
/// ```
/// use dht_transformer::data::{Metric, NamedDataset};
///
/// let data = NamedDataset::find("glue/cola").expect("a known data set");
/// assert_eq!((data.hub, data.scored, data.metric), ("nyu-mll/glue/cola", "validation", Metric::Matthews));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedDataset {
    /// Short name.
    pub name: &'static str,
    /// Name on the Hugging Face hub: `OWNER/NAME`, or `OWNER/NAME/CONFIG`.
    pub hub: &'static str,
    /// Split on which publications report the metric. For GLUE it is the validation split, since the labels of the test
    /// split are secret.
    pub scored: &'static str,
    /// Text columns.
    pub text: &'static [&'static str],
    /// `true` if the text columns are a pair.
    pub pair: bool,
    /// Metric that publications report.
    pub metric: Metric,
}

impl NamedDataset {
    /// All data sets that have a short name.
    pub const ALL: &[Self] = &[
        Self::of_classes("ag_news", "fancyzhx/ag_news", &["text"]),
        Self::of_classes("dbpedia_14", "fancyzhx/dbpedia_14", &["title", "content"]),
        Self::of_classes("yelp_polarity", "fancyzhx/yelp_polarity", &["text"]),
        Self::of_classes("yelp_review_full", "Yelp/yelp_review_full", &["text"]),
        Self::of_classes("imdb", "stanfordnlp/imdb", &["text"]),
        Self::glue("glue/sst2", "nyu-mll/glue/sst2", &["sentence"], Metric::Accuracy),
        Self::glue("glue/cola", "nyu-mll/glue/cola", &["sentence"], Metric::Matthews),
        Self::glue("glue/mrpc", "nyu-mll/glue/mrpc", &["sentence1", "sentence2"], Metric::F1 { class: "equivalent" }),
        Self::glue("glue/qqp", "nyu-mll/glue/qqp", &["question1", "question2"], Metric::F1 { class: "duplicate" }),
        Self {
            scored: "validation_matched",
            ..Self::glue("glue/mnli", "nyu-mll/glue/mnli", &["premise", "hypothesis"], Metric::Accuracy)
        },
        Self::glue("glue/qnli", "nyu-mll/glue/qnli", &["question", "sentence"], Metric::Accuracy),
        Self::glue("glue/rte", "nyu-mll/glue/rte", &["sentence1", "sentence2"], Metric::Accuracy),
        Self::glue("glue/stsb", "nyu-mll/glue/stsb", &["sentence1", "sentence2"], Metric::Correlations),
        Self::glue("glue/wnli", "nyu-mll/glue/wnli", &["sentence1", "sentence2"], Metric::Accuracy),
    ];

    const fn of_classes(name: &'static str, hub: &'static str, text: &'static [&'static str]) -> Self {
        Self { name, hub, scored: "test", text, pair: false, metric: Metric::Accuracy }
    }

    const fn glue(name: &'static str, hub: &'static str, text: &'static [&'static str], metric: Metric) -> Self {
        Self { name, hub, scored: "validation", text, pair: text.len() == 2, metric }
    }

    /// Finds a data set by its short name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|known| known.name == name)
    }

    /// Returns whether the labels of the data set are numbers, not classes.
    pub fn has_numbers(&self) -> bool {
        self.metric == Metric::Correlations
    }

    /// Returns a reader for the columns that the data set has on the Hugging Face hub.
    pub fn reader(&self) -> DatasetReader {
        let column = |name: &str| Column::Name(name.into());
        let kind = if self.has_numbers() { LabelKind::Number } else { LabelKind::Class };
        let text = self.text.iter().map(|name| column(name));
        DatasetReader::new()
            .with_label_column(column("label"))
            .with_label_kind(kind)
            .with_text_columns(text)
            .with_pair(self.pair)
    }

    /// Returns a reader for the original files of a data set, as its authors distribute them. The name of the directory
    /// identifies the data set. The files of AG News, DBpedia and CoLA have no header; RTE has two texts, which are
    /// joined. For any other directory, the reader detects the columns.
    pub fn reader_of_files(folder: &Path) -> DatasetReader {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let columns = |label: &str, texts: [&str; 2]| {
            let column = |name: &str| Column::from(name);
            let texts = texts.into_iter().filter(|name| !name.is_empty()).map(column);
            DatasetReader::new().with_label_column(column(label)).with_text_columns(texts)
        };
        match &*name {
            "ag_news" | "dbpedia_14" => columns("0", ["1", "2"]).with_header(false),
            "cola" => columns("1", ["3", ""]).with_header(false),
            "rte" => columns("label", ["sentence1", "sentence2"]),
            _ => DatasetReader::new(),
        }
    }
}
