//! Data sets that are known by name: where they are on the hub, their columns, and the score that they are judged by.

use std::path::Path;

use super::reader::DatasetReader;
use super::reading::{Column, Header, LabelKind};

/// The score that a data set's literature reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Metric {
    /// The share of right answers.
    Accuracy,
    /// The correlation of Matthews.
    Matthews,
    /// F1 of the class with this name.
    F1 {
        /// The class.
        class: &'static str,
    },
    /// The correlations of Pearson and of Spearman.
    Correlations,
}

/// A data set on the Hugging Face hub that is known by a short name. The names on the hub are written down from its public pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedDataset {
    /// The short name.
    pub name: &'static str,
    /// `OWNER/NAME`, or `OWNER/NAME/CONFIG`, on the hub.
    pub hub: &'static str,
    /// The split that is scored. Of GLUE it is the validation split: the labels of the test split are kept secret.
    pub scored: &'static str,
    /// The columns of its texts.
    pub text: &'static [&'static str],
    /// Whether they are a pair.
    pub pair: bool,
    /// How it is judged.
    pub metric: Metric,
}

impl NamedDataset {
    /// All of them.
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

    /// The one of a name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|known| known.name == name)
    }

    /// Whether its labels are numbers, not classes.
    pub fn has_numbers(&self) -> bool {
        self.metric == Metric::Correlations
    }

    /// A reader of its columns.
    pub fn reader(&self) -> DatasetReader {
        let column = |name: &str| Column::Name(name.into());
        let kind = if self.has_numbers() { LabelKind::Number } else { LabelKind::Class };
        let text = self.text.iter().map(|name| column(name));
        DatasetReader::new().label_column(column("label")).label_kind(kind).text_columns(text).pair(self.pair)
    }

    /// A reader of a directory with the files that a data set's authors published, by the directory's name: those of AG News,
    /// DBpedia and CoLA have no header, and RTE has two texts, which are joined. Of any other directory, a new reader.
    pub fn reader_of_files(folder: &Path) -> DatasetReader {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let columns = |label: &str, texts: [&str; 2]| {
            let column = |name: &str| name.parse().unwrap_or_else(|never| match never {});
            let texts = texts.into_iter().filter(|name| !name.is_empty()).map(column);
            DatasetReader::new().label_column(column(label)).text_columns(texts)
        };
        match &*name {
            "ag_news" | "dbpedia_14" => columns("0", ["1", "2"]).header(Header::No),
            "cola" => columns("1", ["3", ""]).header(Header::No),
            "rte" => columns("label", ["sentence1", "sentence2"]),
            _ => DatasetReader::new(),
        }
    }
}
