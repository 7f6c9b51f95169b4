//! The paper's data sets, and the facts of an experiment that settings and space do not have.

/// A data set of the paper's experiments (6.2; Zhang, Zhao and LeCun 2015).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishedDataset {
    /// AG News, four topics.
    AgNews,
    /// DBpedia, 14 kinds of things.
    Dbpedia,
    /// Yelp reviews, two classes.
    YelpPolarity,
    /// Yelp reviews, five stars.
    YelpFull,
}

impl PublishedDataset {
    /// All four, in the order of the paper's tables.
    pub const ALL: [Self; 4] = [Self::AgNews, Self::Dbpedia, Self::YelpPolarity, Self::YelpFull];

    /// The data set of this name or path in any of its usual spellings: `ag_news`, `data/AG-News`, `yelp_review_full`.
    pub fn of_name(name: &str) -> Option<Self> {
        let name = name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let plain: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        match plain.as_str() {
            "agnews" => Some(Self::AgNews),
            "dbpedia" | "dbpedia14" => Some(Self::Dbpedia),
            "yelpp" | "yelppolarity" | "yelpreviewpolarity" => Some(Self::YelpPolarity),
            "yelpf" | "yelpfull" | "yelpreviewfull" => Some(Self::YelpFull),
            _ => None,
        }
    }

    /// Its name in the paper's tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::AgNews => "AG News",
            Self::Dbpedia => "DBpedia",
            Self::YelpPolarity => "Yelp P.",
            Self::YelpFull => "Yelp F.",
        }
    }

    /// The tokens at which the paper cuts its texts.
    pub fn max_tokens(self) -> usize {
        match self {
            Self::AgNews | Self::Dbpedia => 128,
            Self::YelpPolarity | Self::YelpFull => 300,
        }
    }

    /// The paper's numbers of training and test rows.
    pub fn rows(self) -> (usize, usize) {
        match self {
            Self::AgNews => (120_000, 7_600),
            Self::Dbpedia => (560_000, 70_000),
            Self::YelpPolarity => (560_000, 38_000),
            Self::YelpFull => (650_000, 50_000),
        }
    }
}

/// Facts of an experiment by which it can differ from the paper's, besides its settings and its space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiment {
    /// The data set, if it is one of the paper's.
    pub dataset: Option<PublishedDataset>,
    /// Rows that are trained on.
    pub training_rows: usize,
    /// Further rows by which the best epoch is selected; 0 for none.
    pub validation_rows: usize,
    /// Rows that are tested.
    pub test_rows: usize,
    /// The tokens at which texts are cut.
    pub max_tokens: usize,
    /// The width of the encoder's states.
    pub hidden: usize,
    /// Whether the encoder starts from pre-trained weights.
    pub pretrained: bool,
    /// Whether the encoder came with a pooler ([`Encoder::has_pooler`](dht_transformer::Encoder::has_pooler)).
    pub own_pooler: bool,
    /// Passes over the training rows.
    pub epochs: usize,
}

impl Experiment {
    /// The paper's experiment on a data set: BERT-base with its pooler, all rows, no validation rows. Of the 3 to 6 epochs of 7.3,
    /// four.
    pub fn published(dataset: PublishedDataset) -> Self {
        let (training_rows, test_rows) = dataset.rows();
        Self {
            dataset: Some(dataset),
            training_rows,
            validation_rows: 0,
            test_rows,
            max_tokens: dataset.max_tokens(),
            hidden: 768,
            pretrained: true,
            own_pooler: true,
            epochs: 4,
        }
    }
}
