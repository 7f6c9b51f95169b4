//! Ways to train with fewer FLOPs: which rows, how often, and how much of the model.

use std::fmt;
use std::str::FromStr;

use dht_dynamic::LogProbabilities;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Which rows are trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    /// At random.
    Random,
    /// Those of which the n-gram model is least sure, out of fold.
    Uncertain,
    /// Drawn without replacement, by 1 − max p of the n-gram model out of fold.
    Weighted,
}

const ROWS: [(Rows, &str); 3] =
    [(Rows::Random, "random"), (Rows::Uncertain, "uncertain"), (Rows::Weighted, "weighted")];
/// What a row that the n-gram model is sure of weighs beside one of which it knows nothing.
const LEAST_WEIGHT: f64 = 0.05;

/// A way to train, written as `uncertain:0.28x2+frozen3`: rows, their share, passes, and what differs from the full model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    pub(super) rows: Rows,
    /// The share of the training rows.
    pub(super) share: f64,
    /// Passes over them.
    pub(super) epochs: usize,
    /// The first layers alone; `None` for all.
    pub(super) layers: Option<usize>,
    /// So many layers stay as they were pre-trained, and the embeddings below them.
    pub(super) frozen: usize,
    /// The n-gram model's out-of-fold log-probabilities are added to the logits in the loss, so that the encoder learns what
    /// they lack (Clark et al. 2019, "Don't take the easy way out", with the ensemble kept in inference).
    pub(super) residual: bool,
    /// The model is accelerated afterwards, on all training rows.
    pub(super) accelerated: bool,
}

impl Way {
    /// Whether its training needs the n-gram model's answers.
    pub(super) fn asks_ngrams(&self) -> bool {
        self.rows != Rows::Random || self.residual
    }

    /// The rows that this way trains on, of rows with these out-of-fold answers.
    pub(super) fn choose(&self, front: &LogProbabilities, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut rows: Vec<usize> = (0..front.len()).collect();
        let count = ((self.share * front.len() as f64).round() as usize).clamp(1, front.len());
        rows.shuffle(rng);
        let unsure: Vec<f64> =
            front.rows().map(|row| 1.0 - row.iter().copied().fold(f64::MIN, f64::max).exp()).collect();
        let keys: Vec<f64> = match self.rows {
            Rows::Random => vec![0.0; front.len()],
            Rows::Uncertain => unsure,
            // The largest of u^(1/w) are a weighted sample without replacement (Efraimidis and Spirakis 2006).
            Rows::Weighted => unsure.iter().map(|unsure| rng.random::<f64>().ln() / (unsure + LEAST_WEIGHT)).collect(),
        };
        rows.sort_by(|one, other| keys[*other].total_cmp(&keys[*one]));
        rows.truncate(count);
        rows.sort_unstable();
        rows
    }
}

impl Way {
    /// In words.
    pub(super) fn described(&self) -> String {
        let share = format!("{:.0} %", 100.0 * self.share);
        let rows = match (self.rows, self.share) {
            (_, 1.0) => "all rows".to_owned(),
            (Rows::Random, _) => format!("{share} of the rows"),
            (Rows::Uncertain, _) => format!("the {share} of the rows that the n-gram model is least sure of"),
            (Rows::Weighted, _) => format!("{share} of the rows, by the n-gram model's uncertainty"),
        };
        let passes = if self.epochs == 1 { "1 pass".to_owned() } else { format!("{} passes", self.epochs) };
        let layers = self.layers.map(|layers| format!("first {layers} layers"));
        let frozen = (self.frozen > 0).then(|| format!("{} layers frozen", self.frozen));
        let residual = self.residual.then(|| "n-gram model in the loss".to_owned());
        let accelerated = self.accelerated.then(|| "accelerated".to_owned());
        [Some(rows), Some(passes), layers, frozen, residual, accelerated]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = ROWS.iter().find(|(rows, _)| *rows == self.rows).map_or("", |(_, name)| name);
        write!(formatter, "{rows}:{}x{}", self.share, self.epochs)?;
        if let Some(layers) = self.layers {
            write!(formatter, "+layers{layers}")?;
        }
        if self.frozen > 0 {
            write!(formatter, "+frozen{}", self.frozen)?;
        }
        for (is, name) in [(self.residual, "+residual"), (self.accelerated, "+accelerated")] {
            formatter.write_str(if is { name } else { "" })?;
        }
        Ok(())
    }
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no way to train: expected ROWS:SHARExEPOCHS, ROWS one of random, uncertain, weighted, SHARE above 0 and \
                 at most 1, and behind it any of +layersN, +frozenN, +residual, +accelerated"
            )
        };
        let mut parts = text.split('+');
        let (rows, amount) = parts.next().and_then(|first| first.split_once(':')).ok_or_else(wrong)?;
        let (share, epochs) = amount.split_once('x').ok_or_else(wrong)?;
        let rows = ROWS.iter().find(|(_, name)| *name == rows).ok_or_else(wrong)?.0;
        let share: f64 = share.parse().map_err(|_| wrong())?;
        let epochs: usize = epochs.parse().map_err(|_| wrong())?;
        if !(share > 0.0 && share <= 1.0 && epochs > 0) {
            return Err(wrong());
        }
        let mut way = Self { rows, share, epochs, layers: None, frozen: 0, residual: false, accelerated: false };
        for part in parts {
            let number = |prefix: &str| part.strip_prefix(prefix).and_then(|number| number.parse::<usize>().ok());
            match (number("layers"), number("frozen")) {
                (Some(layers), _) if layers > 0 => way.layers = Some(layers),
                (_, Some(frozen)) => way.frozen = frozen,
                _ if part == "residual" => way.residual = true,
                _ if part == "accelerated" => way.accelerated = true,
                _ => return Err(wrong()),
            }
        }
        Ok(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_way_is_read_as_it_is_written() {
        for text in ["random:1x2", "uncertain:0.28x2+frozen3", "weighted:0.5x1+layers3+frozen1+residual+accelerated"] {
            assert_eq!(text.parse::<Way>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "all:1x2",
            "random:0x2",
            "random:1.5x2",
            "random:1x0",
            "random:1",
            "random:1x2+layers0",
            "random:1x2+x",
        ] {
            assert!(text.parse::<Way>().unwrap_err().contains("is no way to train"), "{text}");
        }
    }

    #[test]
    fn a_way_is_described_in_words() {
        for (text, words) in [
            ("random:1x1", "all rows, 1 pass"),
            ("random:0.78x2+frozen3", "78 % of the rows, 2 passes, 3 layers frozen"),
            ("random:1x2+layers3+residual", "all rows, 2 passes, first 3 layers, n-gram model in the loss"),
            ("uncertain:0.3x2", "the 30 % of the rows that the n-gram model is least sure of, 2 passes"),
        ] {
            assert_eq!(text.parse::<Way>().unwrap().described(), words);
        }
    }

    #[test]
    fn uncertain_rows_are_those_with_the_smallest_largest_probability() {
        let probabilities = [0.9, 0.5, 0.99, 0.6, 0.7, 0.95];
        let values = probabilities.iter().flat_map(|p: &f64| [p.ln(), (1.0 - p).ln()]).collect();
        let front = LogProbabilities::new(2, values).unwrap();
        let of = |text: &str, seed| text.parse::<Way>().unwrap().choose(&front, &mut ChaCha8Rng::seed_from_u64(seed));
        assert_eq!(of("uncertain:0.5x1", 0), [1, 3, 4]);
        assert_eq!(of("random:1x1", 0), [0, 1, 2, 3, 4, 5]);
        // Over many draws rows come as often as their weights say: row 1 before row 2.
        let drawn = |row: usize| (0..500).filter(|seed| of("weighted:0.5x1", *seed).contains(&row)).count();
        assert!(drawn(1) > 400 && drawn(2) < 200, "{} {}", drawn(1), drawn(2));
    }
}
