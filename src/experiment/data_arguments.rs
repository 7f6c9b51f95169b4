//! Flags for the texts of a program, and for their columns and rows.

use std::path::PathBuf;

use clap::Args;
use dht_search::settings::PublishedDataset;
use dht_transformer::data::Column;

use super::choices::DataSource;
use crate::error::{Error, Result};

/// Texts, and their columns and rows.
#[derive(Debug, Clone, Default, Args)]
pub struct DataArguments {
    /// Directory with train.* and test.* or dev.* (csv, tsv, jsonl; also .gz) [default: generated texts]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Read the text from this column, given by name or by number from 0; may be repeated [default: detected]
    #[arg(long, value_name = "COLUMN")]
    pub text_column: Vec<Column>,
    /// Read the label from this column, given by name or by number from 0 [default: detected]
    #[arg(long, value_name = "COLUMN")]
    pub label_column: Option<Column>,
    /// Read two text columns as a pair of sentences, not as parts of one text
    #[arg(long)]
    pub pair: bool,
    /// Cut texts at N tokens [default: 128]
    #[arg(long, value_name = "N")]
    pub max_length: Option<usize>,
    /// Cut texts at the paper's length for the data: 128 tokens for AG News and DBpedia, 300 for both of Yelp
    #[arg(long, conflicts_with = "max_length")]
    pub paper_lengths: bool,
    /// Use the first N training rows, a tenth of them for validation [default: all, or some thousand generated]
    #[arg(long, value_name = "N")]
    pub train_rows: Option<usize>,
    /// Use the first N test rows [default: all, or some thousand generated]
    #[arg(long, value_name = "N")]
    pub test_rows: Option<usize>,
    /// Add N training rows after --train-rows to the test rows
    #[arg(long, value_name = "N", requires = "train_rows")]
    pub extra_test_rows: Option<usize>,
    /// With --extra-test-rows, leave N training rows unread before them, such as rows that settings were selected on
    #[arg(long, value_name = "N", requires = "extra_test_rows")]
    pub skip_rows: Option<usize>,
}

impl DataArguments {
    /// Sets the default numbers of training and test rows for generated texts.
    #[must_use]
    pub(crate) fn or_generated(self, train_rows: usize, test_rows: usize) -> Self {
        let rows = |flag: Option<usize>, default| flag.or(self.data.is_none().then_some(default));
        Self { train_rows: rows(self.train_rows, train_rows), test_rows: rows(self.test_rows, test_rows), ..self }
    }

    /// Maximum length of texts in tokens, if a flag sets it.
    ///
    /// # Errors
    /// [`Error::Argument`] for `--paper-lengths` (the text lengths of Meng et al. 2023) with data that the paper does
    /// not use.
    pub(super) fn length(&self) -> Result<Option<usize>> {
        if !self.paper_lengths {
            return Ok(self.max_length);
        }
        let name = self.data.as_ref().map(|folder| folder.to_string_lossy());
        match name.as_deref().and_then(PublishedDataset::of_name) {
            Some(dataset) => Ok(Some(dataset.max_tokens())),
            None => Err(Error::Argument {
                flag: "paper-lengths",
                expected:
                    "--data with the name of one of the paper's data sets: ag_news, dbpedia, yelp_review_polarity or \
                           yelp_review_full; --max-length N for others"
                        .into(),
                got: name.map_or_else(|| "generated texts".into(), |name| name.into_owned()),
            }),
        }
    }

    /// Source of the texts that the flags define.
    ///
    /// # Errors
    /// [`Error::Argument`] and [`Error::Needs`] for flags that contradict each other.
    pub(super) fn source(&self) -> Result<DataSource> {
        let Self { data, text_column, label_column, pair, .. } = self;
        let Some(folder) = data else {
            let flags = [
                ("text-column", !text_column.is_empty()),
                ("label-column", label_column.is_some()),
                ("pair", *pair),
                ("extra-test-rows", self.extra_test_rows.is_some()),
            ];
            return match flags.into_iter().find(|(_, set)| *set) {
                Some((flag, _)) => Err(Error::Needs { flag, needs: "data" }),
                None => Ok(DataSource::Embedded),
            };
        };
        let refused = |flag, expected: &str, got: String| Err(Error::Argument { flag, expected: expected.into(), got });
        if *pair && ![0, 2].contains(&text_column.len()) {
            return refused("pair", "two --text-column, or none", format!("with {}", text_column.len()));
        }
        for (index, column) in text_column.iter().enumerate() {
            if label_column.as_ref() == Some(column) {
                return refused("text-column", "another column than --label-column", column.to_string());
            }
            if text_column[..index].contains(column) {
                return refused("text-column", "each column once", column.to_string());
            }
        }
        Ok(DataSource::Directory {
            folder: folder.clone(),
            text: text_column.clone(),
            label: label_column.clone(),
            pair: *pair,
        })
    }
}
