//! A dynamic model of a classifier that was fine-tuned without exits.

use dht_transformer::{Task, TextClassifier};
use rand::Rng;

use super::dynamic::DynamicModel;
use super::exits::Exits;
use crate::error::{Error, Result};
use crate::settings::{ClassifierSharing, SearchSettings};
use crate::space::{SearchSpace, SpaceConfig};

impl DynamicModel {
    /// A dynamic model of a fine-tuned classifier. It has copies of the classifier's weights; its last exit is the
    /// classifier's own, to the bit, and the others are new. Every layer keeps all heads.
    ///
    /// `exits` are the depths of the exits, ascending to the last layer; `None` for every layer. The settings name the kind
    /// and the pooling of the new exits; those that say what the last exit is are set.
    ///
    /// # Errors
    /// [`Error::Setting`] for a classifier of one layer, of another task than classes, or with pruned heads or neurons, and
    /// for exits that do not end at its last layer; [`Error::Exit`] for exits that do not ascend.
    pub fn of_classifier<R: Rng + ?Sized>(
        classifier: &TextClassifier,
        exits: Option<&[usize]>,
        settings: SearchSettings,
        rng: &mut R,
    ) -> Result<Self> {
        if classifier.task() != Task::Class {
            let got = format!("one for {:?}", classifier.task());
            return Err(Error::setting("classifier", "one of classes", got));
        }
        let (encoder, last) = (classifier.encoder(), classifier.classifier());
        let (layers, block) = (encoder.layers(), encoder.block_shape());
        if let Some(layer) = (0..layers).find(|layer| encoder.width(*layer) != block.full()) {
            let got = format!("layer {layer} pruned");
            return Err(Error::setting("classifier", "one with all heads and neurons", got));
        }
        let exits = exits.map_or_else(|| (1..=layers).collect(), <[usize]>::to_vec);
        if exits.last() != Some(&layers) {
            let expected = format!("depths up to {layers}, where the classifier is");
            return Err(Error::setting("exits", expected, format!("{exits:?}")));
        }
        let space = SearchSpace::new(SpaceConfig::of_full_heads(layers, block.heads, exits))?;
        let settings = SearchSettings {
            last_exit_pooling: Some(last.pooling()),
            classifier_sharing: ClassifierSharing::PerExit,
            ..settings
        };
        let model = Self::new(encoder.truncated(layers)?, space, settings, last.classes(), rng)?;
        model.take_classifier(classifier)?;
        Ok(model)
    }

    /// Gives the last exit the values of a classifier.
    fn take_classifier(&self, classifier: &TextClassifier) -> Result<()> {
        let parameters = self.encoder().parameters();
        let names = Exits::names(self.space(), self.settings());
        let last = names.last().map_or("", String::as_str);
        let mut values = parameters.values()?;
        for (name, tensor) in classifier.classifier().to_tensors()? {
            let name = match name.strip_prefix("pooler.dense.") {
                Some(part) => format!("{last}.pooler.{part}"),
                None => format!("{last}.{}", name.trim_start_matches("classifier.")),
            };
            let unknown = || Error::setting("classifier's parameters", "those of a last exit", &name);
            values.get_mut(&name).ok_or_else(unknown)?.values = tensor.flatten_all()?.to_vec1()?;
        }
        Ok(parameters.set_values(values)?)
    }

    /// Gives linear exits, the first ones of the space, their weights (hidden, classes) and biases.
    pub(crate) fn set_linear_exits<'a>(&self, fitted: impl IntoIterator<Item = (&'a [f32], &'a [f32])>) -> Result<()> {
        let parameters = self.encoder().parameters();
        let mut values = parameters.values()?;
        for (name, (weights, bias)) in Exits::names(self.space(), self.settings()).iter().zip(fitted) {
            let classes = bias.len();
            let transposed = (0..classes).flat_map(|class| weights.iter().skip(class).step_by(classes).copied());
            for (part, new) in [("weight", transposed.collect()), ("bias", bias.to_vec())] {
                let name = format!("{name}.{part}");
                let unknown = || Error::setting("exit", "a linear one", &name);
                values.get_mut(&name).ok_or_else(unknown)?.values = new;
            }
        }
        Ok(parameters.set_values(values)?)
    }
}
