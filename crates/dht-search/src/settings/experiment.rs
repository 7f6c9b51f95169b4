//! Data sets of the DHT paper, and properties of an experiment that are not part of the search settings or space.

/// Data set of the DHT paper's experiments (section 6.2; Zhang, Zhao and LeCun 2015).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PublishedDataset {
    /// AG News, four topics.
    AgNews,
    /// DBpedia, 14 kinds of entities.
    Dbpedia,
    /// Yelp reviews, two classes.
    YelpPolarity,
    /// Yelp reviews, five stars.
    YelpFull,
}

impl PublishedDataset {
    /// All four data sets, in the order of the DHT paper's tables.
    pub const ALL: [Self; 4] = [Self::AgNews, Self::Dbpedia, Self::YelpPolarity, Self::YelpFull];

    /// Finds a data set by a name or path in any usual spelling: `ag_news`, `data/AG-News`, `yelp_review_full`.
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

    /// Name of the data set in the DHT paper's tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::AgNews => "AG News",
            Self::Dbpedia => "DBpedia",
            Self::YelpPolarity => "Yelp P.",
            Self::YelpFull => "Yelp F.",
        }
    }

    /// Number of tokens at which the DHT paper (Meng et al. 2023) truncates the texts of the data set.
    pub fn max_tokens(self) -> usize {
        match self {
            Self::AgNews | Self::Dbpedia => 128,
            Self::YelpPolarity | Self::YelpFull => 300,
        }
    }

    /// Numbers of training and test rows in the DHT paper (Meng et al. 2023).
    pub fn rows(self) -> (usize, usize) {
        match self {
            Self::AgNews => (120_000, 7_600),
            Self::Dbpedia => (560_000, 70_000),
            Self::YelpPolarity => (560_000, 38_000),
            Self::YelpFull => (650_000, 50_000),
        }
    }
}

/// Properties of an experiment, for comparison with the DHT paper's by
/// [`SearchSettings::deviations`](crate::SearchSettings::deviations). The search settings and the search space are not
/// included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Experiment {
    /// Data set of the DHT paper (Meng et al. 2023) that the experiment uses; `None` for another data set.
    pub dataset: Option<PublishedDataset>,
    /// Number of training rows.
    pub training_rows: usize,
    /// Number of validation rows, on which the best epoch is selected; 0 for none.
    pub validation_rows: usize,
    /// Number of test rows.
    pub test_rows: usize,
    /// Maximum length of a text in tokens; longer texts are truncated.
    pub max_tokens: usize,
    /// Width of the encoder's hidden states.
    pub hidden: usize,
    /// True if the encoder starts from pre-trained weights.
    pub pretrained: bool,
    /// True if the encoder was loaded with a pooler, as BERT has
    /// ([`Encoder::has_pooler`](dht_transformer::Encoder::has_pooler)).
    pub own_pooler: bool,
    /// Number of passes over the training rows.
    pub epochs: usize,
}

impl Experiment {
    /// The DHT paper's experiment on a data set: BERT-base with its pooler, all rows, no validation rows, and four
    /// epochs (section 7.3 gives 3 to 6).
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
