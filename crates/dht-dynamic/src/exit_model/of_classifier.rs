//! Adds exits to a classifier that was fine-tuned without them.

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
    /// Adds exits to a fine-tuned classifier. The model has copies of the classifier's weights. Its last exit equals
    /// the classifier to the bit; the other exits are new, with this kind and pooling.
    ///
    /// `exits` are the depths of the exits, ascending to the last layer; `None` for every layer.
    ///
    /// # Errors
    /// * [`Error::Argument`] for a classifier with a single layer, for a regression, and for pruned heads or neurons.
    /// * [`Error::Argument`] for exits that do not end at the last layer; [`Error::Exit`] for depths that do not ascend.
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

    /// The first `depth` layers and the exit after them, as a classifier with separate weights. For a model [of a
    /// classifier](Self::of_classifier), the result at the last exit is that classifier.
    ///
    /// # Errors
    /// [`Error::Argument`] for a depth without an exit, and for an exit with its own layer, which an ordinary classifier
    /// cannot have.
    pub fn classifier_at(&self, depth: usize) -> Result<TextClassifier> {
        let settings = self.settings();
        let exits = || settings.depths.iter().copied().enumerate();
        let found = exits().find(|(_, own)| *own == depth);
        let Some((exit, pooling)) = found.and_then(|(exit, _)| Some((exit, settings.linear_pooling(exit)?))) else {
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

    /// Sets the parameters of the last exit to those of a classifier.
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

    /// Sets the weights (hidden, classes) and biases (classes) of the first exits. These exits are linear, or have a
    /// side layer and a linear part with the same parameter names.
    pub(crate) fn set_linear_parts<'a>(&self, fitted: impl IntoIterator<Item = (&'a [f32], &'a [f32])>) -> Result<()> {
        self.set_parts(self.exit_names().into_iter().zip(fitted))
    }

    /// Sets the weights (hidden, classes) and biases (classes) of the last exit, which is linear.
    pub(crate) fn set_last_linear_part(&self, weights: &[f32], bias: &[f32]) -> Result<()> {
        self.set_parts(self.exit_names().pop().map(|name| (name, (weights, bias))))
    }

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
