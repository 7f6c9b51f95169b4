//! Converts a fine-tuned classifier to a model with early exits, and back.

use std::collections::BTreeMap;

use dht_transformer::storage::StoredTensor;
use dht_transformer::{Pooling, TextClassifier};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::exit_model::{ExitModel, ExitSettings};
use crate::error::{Error, Result};
use crate::exit::ExitKind;
use crate::outputs::Outputs;

impl ExitModel {
    /// Builds a model with early exits from a fine-tuned classifier, whose weights are copied.
    ///
    /// `exits` has the depths of the exits, ascending to the last layer; with `None`, there is an exit after every
    /// layer. The last exit equals the classifier to the bit. The other exits are new and untrained, with the type
    /// `kind` and the pooling `pooling`.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the classifier is a regression, or has pruned heads or neurons.
    /// * [`Error::Argument`] if there are fewer than two exits, or if the last exit is not after the last layer.
    /// * [`Error::Exit`] if the depths do not ascend.
    /// * As [`ExitKind::check`].
    ///
    /// # Examples
    /// The last exit is the original classifier:
    ///
    /// ```
    /// # use candle_core::Device;
    /// # use dht_dynamic::transformer::{BertConfig, Dataset, Encoder, Example, TextTokenizer};
    /// # use rand::SeedableRng;
    /// use dht_dynamic::exit::ExitKind;
    /// use dht_dynamic::transformer::{Pooling, TextClassifier};
    /// use dht_dynamic::{ExitModel, LogProbabilities};
    ///
    /// # let examples = [("good food", 1), ("bad food", 0), ("good film", 1), ("bad film", 0)];
    /// # let examples = examples.map(|(text, label)| Example::new(text, label)).to_vec();
    /// # let data = Dataset::from_examples("reviews", vec!["bad".into(), "good".into()], examples)?;
    /// # let tokenizer = TextTokenizer::train(["good bad food film"], 50)?;
    /// # let texts = tokenizer.encode_all(&data, 16)?;
    /// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// # let config = BertConfig::small(2, 6, 24, tokenizer.vocabulary_size())?;
    /// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    /// let classifier = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
    /// let model = ExitModel::of_classifier(&classifier, None, ExitKind::Linear, Pooling::Mean, &mut rng)?;
    /// assert_eq!(model.depths(), [1, 2]);
    /// let last = LogProbabilities::of_classifier(&model.classifier_at(2)?, &texts, 8)?;
    /// assert_eq!(last, LogProbabilities::of_classifier(&classifier, &texts, 8)?);
    /// # Ok::<(), dht_dynamic::Error>(())
    /// ```
    pub fn of_classifier<R: Rng + ?Sized>(
        classifier: &TextClassifier,
        exits: Option<&[usize]>,
        kind: ExitKind,
        pooling: Pooling,
        rng: &mut R,
    ) -> Result<Self> {
        let outputs = Outputs::new(classifier.task(), classifier.classifier().classes())?;
        let (encoder, last) = (classifier.encoder(), classifier.classifier());
        let (layers, block) = (encoder.layers(), encoder.block_shape());
        if let Some(layer) = (0..layers).find(|layer| encoder.width(*layer) != block.full()) {
            let got = format!("layer {layer} pruned");
            return Err(Error::argument("classifier", "one with all heads and neurons", got));
        }
        let depths = exits.map_or_else(|| (1..=layers).collect(), <[usize]>::to_vec);
        let settings = ExitSettings { depths, kind, pooling, last_pooling: Some(last.pooling()), shared: false };
        settings.check(layers)?;
        if settings.depths.len() < 2 {
            return Err(Error::argument("exits", "at least two", settings.depths.len()));
        }
        let model = Self::new(encoder.truncated(layers)?, settings, outputs, rng)?;
        model.take_classifier(classifier)?;
        Ok(model)
    }

    /// Copies the first `depth` layers and the exit after them to an ordinary classifier with separate weights. At the
    /// last exit of a model [from a classifier](Self::of_classifier), the result equals that classifier.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no exit at this depth, or if the exit is not linear: an ordinary classifier
    /// cannot have a side layer or a custom exit.
    pub fn classifier_at(&self, depth: usize) -> Result<TextClassifier> {
        let settings = self.settings();
        let exits = || settings.depths.iter().copied().enumerate();
        let exit_at_depth = exits().find(|(_, own)| *own == depth);
        let Some((exit, pooling)) = exit_at_depth.and_then(|(exit, _)| Some((exit, settings.linear_pooling(exit)?)))
        else {
            let linear = exits().filter(|(exit, _)| settings.linear_pooling(*exit).is_some()).map(|(_, depth)| depth);
            let expected = format!("a depth with a linear exit: {:?}", linear.collect::<Vec<_>>());
            return Err(Error::argument("layers", expected, depth));
        };
        // All random values are replaced below.
        let mut nothing = ChaCha8Rng::seed_from_u64(0);
        let encoder = self.encoder().truncated(depth)?;
        let classifier =
            TextClassifier::for_task(self.outputs().task(), encoder, self.classes(), pooling, &mut nothing)?;
        let prefix = self.exit_names().swap_remove(exit);
        let own = self.encoder().parameters().values_where(|name| name.starts_with(&format!("{prefix}.")))?;
        let mut values = BTreeMap::new();
        for (_, name, _) in classifier.encoder().parameters().iter() {
            if let Some(part) = name.strip_prefix("classifier.") {
                let missing = || Error::state("exit", "a linear one", format!("{prefix}.{part}"));
                let value = own.get(&format!("{prefix}.{part}")).ok_or_else(missing)?;
                values.insert(name.to_owned(), value.clone());
            }
        }
        classifier.encoder().parameters().update_values(values)?;
        Ok(classifier)
    }

    /// Copies the parameters of the classifier's last layer to the last exit of this model.
    fn take_classifier(&self, classifier: &TextClassifier) -> Result<()> {
        let parameters = self.encoder().parameters();
        let last = self.exit_names().pop().unwrap_or_default();
        let mut values = parameters.values_where(|name| name.starts_with(&format!("{last}.")))?;
        for (name, tensor) in classifier.classifier().to_tensors()? {
            let name = match name.strip_prefix("pooler.dense.") {
                Some(part) => format!("{last}.pooler.{part}"),
                None => format!("{last}.{}", name.trim_start_matches("classifier.")),
            };
            let unknown = || Error::state("classifier's parameters", "those of a last exit", &name);
            values.get_mut(&name).ok_or_else(unknown)?.values = tensor.flatten_all()?.to_vec1()?;
        }
        Ok(parameters.update_values(values)?)
    }

    /// Sets the linear classifiers of the exits, starting with the first exit. Each item has the weights of one exit,
    /// shape (hidden, classes), and its biases, shape (classes,). Side layers do not change.
    pub(crate) fn set_linear_parts<'a>(&self, fitted: impl IntoIterator<Item = (&'a [f32], &'a [f32])>) -> Result<()> {
        self.set_parts(self.exit_names().into_iter().zip(fitted))
    }

    /// Sets the weights, shape (hidden, classes), and the biases, shape (classes,), of the last exit. This exit must be
    /// linear.
    pub(crate) fn set_last_linear_part(&self, weights: &[f32], bias: &[f32]) -> Result<()> {
        self.set_parts(self.exit_names().pop().map(|name| (name, (weights, bias))))
    }

    /// Sets weights and biases of exits. Each item starts with the prefix of the exit's parameter names.
    fn set_parts<'a>(&self, parts: impl IntoIterator<Item = (String, (&'a [f32], &'a [f32]))>) -> Result<()> {
        let parameters = self.encoder().parameters();
        let mut values = BTreeMap::new();
        for (name, (weights, bias)) in parts {
            let classes = bias.len();
            let transposed = (0..classes).flat_map(|class| weights.iter().skip(class).step_by(classes).copied());
            for (part, new) in [("weight", transposed.collect()), ("bias", bias.to_vec())] {
                let name = format!("{name}.{part}");
                let id = parameters.id(&name).map_err(|_| Error::state("exit", "a linear one", &name))?;
                values.insert(name, StoredTensor { shape: parameters.var(id).dims().to_vec(), values: new });
            }
        }
        Ok(parameters.update_values(values)?)
    }
}
