//! Well-known data sets on the Hugging Face hub, with their columns and metrics.

use std::path::Path;

use super::reader::DatasetReader;
use super::reading::{Column, LabelKind};

/// Metric that publications usually report for a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metric {
    /// Fraction of correct predictions.
    Accuracy,
    /// Matthews correlation coefficient.
    Matthews,
    /// F1 score of one class.
    F1 {
        /// Name of the class.
        class: &'static str,
    },
    /// Pearson and Spearman correlation coefficients.
    Correlations,
}

/// Well-known data set on the Hugging Face hub, found by a short name such as `imdb`. Its name on the hub is copied
/// from the hub's public pages.
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
    /// Short name of the data set.
    pub name: &'static str,
    /// Name on the Hugging Face hub: `OWNER/NAME`, or `OWNER/NAME/CONFIG`.
    pub hub: &'static str,
    /// Split on which publications report the metric. For GLUE it is the validation split, since the labels of the test
    /// split are not published.
    pub scored: &'static str,
    /// Names of the text columns.
    pub text: &'static [&'static str],
    /// `true` if the two text columns are a text pair.
    pub pair: bool,
    /// Metric that publications report.
    pub metric: Metric,
}

impl NamedDataset {
    /// All data sets with a short name.
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

    /// Returns whether the data set is a regression task, whose labels are numbers.
    pub fn has_numbers(&self) -> bool {
        self.metric == Metric::Correlations
    }

    /// Creates a reader for the data set's files on the Hugging Face hub.
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

    /// Creates a reader for a data set's original files, as its authors distribute them. The name of the directory
    /// identifies the data set. AG News, DBpedia and CoLA are read without a header; the two texts of RTE are joined.
    /// For any other directory, the reader detects the columns.
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
