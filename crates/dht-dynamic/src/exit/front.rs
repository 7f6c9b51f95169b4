//! N-gram exit: a classifier that may answer a text before any layer runs. Its log-probabilities are combined with
//! those of every later exit.

use super::ngram::NgramClassifier;
use super::stacker::Stacker;
use crate::error::{Error, Result};
use crate::outputs::Outputs;

/// Exit at depth 0: an n-gram classifier that may answer a text before any layer runs.
///
/// A text with a confident prediction stops at this exit, and its route is `0L` (no layers). At each later exit, the
/// score of a class is a·ln p(n-gram) + b·ln p(exit), with separate weights a and b for each exit: see [`Stacker`].
///
/// The exit is used in inference only. Fine-tuning ignores it, since the n-gram classifier's weights and the stacking
/// weights have no gradients.
///
/// # Examples
/// Model with an n-gram exit before two layers. At its highest speed, every text stops at the n-gram exit:
///
/// ```
/// # use candle_core::Device;
/// # use dht_dynamic::transformer::{BertConfig, Dataset, Encoder, Example, Pooling};
/// # use dht_dynamic::transformer::{TextClassifier, TextTokenizer};
/// # use rand::SeedableRng;
/// use dht_dynamic::exit::{ExitKind, FrontExit, NgramClassifier, NgramSettings, Stacker};
/// use dht_dynamic::router::LeavingRule;
/// use dht_dynamic::{DynamicModel, ExitModel, FullModel, evaluate};
///
/// # let examples = [("good food", 1), ("bad food", 0), ("good film", 1), ("bad film", 0)];
/// # let examples = examples.map(|(text, label)| Example::new(text, label)).to_vec();
/// # let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
/// # let words = ["good", "bad", "food", "film"].map(String::from);
/// # let tokenizer = TextTokenizer::from_vocabulary(&words)?;
/// # let texts = tokenizer.encode_all(&data, 16)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 6, 24, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
/// let exits = ExitModel::of_classifier(&classifier, None, ExitKind::Linear, Pooling::Mean, &mut rng)?;
/// let (settings, full) = (NgramSettings::default(), FullModel::new(&classifier));
/// let ngram = NgramClassifier::fit(&texts, &settings, full, None, &mut rng)?.classifier;
/// let front = FrontExit::new(ngram, vec![Stacker::halves(); 2]);
///
/// let model = DynamicModel::new(exits, LeavingRule::Confidence)?.with_front(front)?;
/// assert_eq!(model.depths().collect::<Vec<_>>(), [0, 1, 2]);
/// let fast = evaluate(&model.with_speed(2.0)?, &texts, 8)?;
/// assert_eq!(fast.routes[0].depth(), 0);
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct FrontExit {
    ngram: NgramClassifier,
    stackers: Vec<Stacker>,
}

impl FrontExit {
    /// Combines an n-gram classifier with stacking weights. There is one [`Stacker`] for each later exit, in the order
    /// of the exits' depths.
    pub fn new(ngram: NgramClassifier, stackers: Vec<Stacker>) -> Self {
        Self { ngram, stackers }
    }

    /// N-gram classifier that predicts at depth 0, before the first layer.
    pub fn ngram(&self) -> &NgramClassifier {
        &self.ngram
    }

    /// Weights that combine the n-gram classifier with each later exit, in the order of the exits' depths.
    pub fn stackers(&self) -> &[Stacker] {
        &self.stackers
    }

    /// Checks that the n-gram exit fits a model with `exits` later exits. It needs one [`Stacker`] for each of them,
    /// and the same classes or labels as the model.
    ///
    /// # Errors
    /// * [`Error::Shape`] if the classes or labels differ, or if the number of stackers is not `exits`.
    /// * [`Error::State`] if a stacking weight is not finite.
    pub(crate) fn check(&self, exits: usize, outputs: Outputs) -> Result<()> {
        let own = self.ngram.outputs();
        if own != outputs {
            return Err(Error::shape("outputs of the front exit", outputs.to_string(), own));
        }
        if self.stackers.len() != exits {
            return Err(Error::shape("stackers", format!("{exits}, one for each exit"), self.stackers.len()));
        }
        match self.stackers.iter().find(|stacker| !(stacker.ngram.is_finite() && stacker.exit.is_finite())) {
            Some(stacker) => Err(Error::state("stacker", "finite weights", format!("{stacker:?}"))),
            None => Ok(()),
        }
    }
}
