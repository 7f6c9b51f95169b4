//! An encoder with exits, without a router.

use dht_transformer::flops::{BackwardNeeds, BlockShape, Breakdown, Load};
use dht_transformer::{EncodedDataset, Encoder, Pooling};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::exit::{ExitBuilder, ExitKind, ExitPlace, LayerExit};
use crate::route::{ModelShape, Route};

/// Depths, kind and pooling of the exits of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitSettings {
    /// The depths of the exits, ascending to the encoder's last layer.
    pub depths: Vec<usize>,
    /// The kind of the exits before the last.
    pub kind: ExitKind,
    /// The pooling of the exits before the last.
    pub pooling: Pooling,
    /// The pooling of the last exit, if that exit is linear whatever the kind of the others; `None` if the last exit
    /// has the kind and pooling of the exits before it.
    pub last_pooling: Option<Pooling>,
}

impl ExitSettings {
    /// Settings of linear exits after these depths, with mean pooling.
    pub fn linear(depths: Vec<usize>) -> Self {
        Self { depths, kind: ExitKind::Linear, pooling: Pooling::Mean, last_pooling: None }
    }

    /// Checks the depths for an encoder of this number of layers, and the kind of exit.
    ///
    /// # Errors
    /// [`Error::Exit`] for depths that do not ascend from 1 to the last layer; as [`ExitKind::check`].
    pub fn check(&self, layers: usize) -> Result<()> {
        let mut least = 1;
        for (index, &got) in self.depths.iter().enumerate() {
            if got < least || got > layers {
                return Err(Error::Exit { index, expected: format!("{least} to {layers}"), got });
            }
            least = got + 1;
        }
        if self.depths.last() != Some(&layers) {
            let expected = format!("depths up to {layers}, where the classifier is");
            return Err(Error::argument("exits", expected, format!("{:?}", self.depths)));
        }
        self.kind.check(self.pooling)
    }

    /// The kind and pooling of an exit.
    fn kind_and_pooling(&self, exit: usize) -> (ExitKind, Pooling) {
        match self.last_pooling.filter(|_| exit + 1 == self.depths.len()) {
            Some(pooling) => (ExitKind::Linear, pooling),
            None => (self.kind, self.pooling),
        }
    }

    /// The pooling of a linear exit; `None` for an exit with its own layer.
    pub(super) fn linear_pooling(&self, exit: usize) -> Option<Pooling> {
        let (kind, pooling) = self.kind_and_pooling(exit);
        (kind == ExitKind::Linear).then_some(pooling)
    }

    /// The prefix of the parameter names of each exit, without the dot.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        self.depths.iter().map(|depth| format!("exit.{depth}.classifier"))
    }
}

/// An encoder with exits after some of its layers; the last exit is after the last layer. A clone is another handle on
/// the same weights: training one trains the other.
#[derive(Debug, Clone)]
pub struct ExitModel {
    encoder: Encoder,
    exits: Vec<Box<dyn LayerExit>>,
    settings: ExitSettings,
    classes: usize,
    /// The builder of custom exits; `None` for built-in exits.
    own: Option<ExitBuilder>,
}

impl ExitModel {
    /// Adds new exits to an encoder.
    ///
    /// # Errors
    /// As [`ExitSettings::check`]; [`Error::Argument`] for fewer than two classes.
    pub fn new<R: Rng + ?Sized>(
        mut encoder: Encoder,
        settings: ExitSettings,
        classes: usize,
        rng: &mut R,
    ) -> Result<Self> {
        settings.check(encoder.layers())?;
        let mut exits = Vec::with_capacity(settings.depths.len());
        for (exit, name) in settings.names().enumerate() {
            let (kind, pooling) = settings.kind_and_pooling(exit);
            let place = ExitPlace::new(&name, settings.depths[exit], classes);
            exits.push(kind.build(&mut encoder, place, pooling, rng)?);
        }
        Ok(Self { encoder, exits, settings, classes, own: None })
    }

    /// Adds custom exits, which the calling program defines, after these layers. The last exit must be after the last
    /// layer. `build` is called for each exit, from the first to the last. A saved model with custom exits is loaded by
    /// [`DynamicModel::load_with`](crate::DynamicModel::load_with).
    ///
    /// # Errors
    /// As [`ExitSettings::check`]; errors of `build`; [`Error::Argument`] for fewer than two classes, and for a
    /// parameter whose name does not begin with the `name` of its exit's place.
    ///
    /// # Examples
    /// An exit that reads both the first token's state and the mean of all states:
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use dht_dynamic::exit::{ExitFlops, ExitPlace};
    /// use dht_dynamic::router::LeavingRule;
    /// use dht_dynamic::transformer::flops::BackwardNeeds;
    /// use dht_dynamic::transformer::{BertConfig, Encoder, ForwardContext, Hidden, model::Linear};
    /// use dht_dynamic::{DynamicModel, ExitModel, LayerExit, OwnParts, Result};
    /// use rand::SeedableRng;
    ///
    /// #[derive(Debug, Clone)]
    /// struct FirstAndMean(Linear);
    ///
    /// impl FirstAndMean {
    ///     fn build(encoder: &mut Encoder, place: ExitPlace<'_>) -> Result<Box<dyn LayerExit>> {
    ///         let (name, inputs) = (format!("{}.linear", place.name), 2 * encoder.config().hidden_size);
    ///         let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    ///         Ok(Box::new(Self(encoder.add_linear(&name, inputs, place.classes, &mut rng)?)))
    ///     }
    /// }
    ///
    /// impl LayerExit for FirstAndMean {
    ///     fn logits(&self, hidden: &Hidden, ctx: &ForwardContext) -> Result<Tensor> {
    ///         let rows = Tensor::cat(&[hidden.first_rows()?, hidden.mean_rows()?], 1)?;
    ///         Ok(self.0.forward(&rows, ctx)?)
    ///     }
    ///
    ///     fn flops(&self, _tokens: usize) -> ExitFlops {
    ///         let shape = self.0.shape();
    ///         ExitFlops {
    ///             forward: shape.forward(1).total(),
    ///             backward: shape.backward(1, BackwardNeeds::ALL).total(),
    ///             backward_weights: shape.backward(1, BackwardNeeds::WEIGHTS_ONLY).total(),
    ///         }
    ///     }
    ///
    ///     fn box_clone(&self) -> Box<dyn LayerExit> {
    ///         Box::new(self.clone())
    ///     }
    /// }
    ///
    /// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    /// let encoder = Encoder::random(&BertConfig::small(4, 6, 24, 40)?, &Device::Cpu, &mut rng)?;
    /// let model = DynamicModel::new(ExitModel::with_exits(encoder, vec![2, 4], 3, FirstAndMean::build)?, LeavingRule::Confidence)?;
    ///
    /// let folder = tempfile::tempdir()?;
    /// let classes = ["sport", "politics", "science"].map(String::from);
    /// model.save(folder.path().join("model"), None, &classes)?;
    /// let own = OwnParts::new().with_exits(FirstAndMean::build);
    /// let (loaded, ..) = DynamicModel::load_with(folder.path().join("model"), &Device::Cpu, own)?;
    /// assert_eq!(loaded.depths().collect::<Vec<_>>(), [2, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_exits(
        encoder: Encoder,
        depths: Vec<usize>,
        classes: usize,
        build: impl Fn(&mut Encoder, ExitPlace<'_>) -> Result<Box<dyn LayerExit>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let settings = ExitSettings { kind: ExitKind::Own, ..ExitSettings::linear(depths) };
        Self::of_builder(encoder, settings, classes, ExitBuilder::new(build))
    }

    /// Adds the exits that a builder creates.
    pub(super) fn of_builder(
        mut encoder: Encoder,
        settings: ExitSettings,
        classes: usize,
        own: ExitBuilder,
    ) -> Result<Self> {
        settings.check(encoder.layers())?;
        if classes < 2 {
            return Err(Error::argument("classes", "at least 2", classes));
        }
        let mut exits = Vec::with_capacity(settings.depths.len());
        for (name, &depth) in settings.names().zip(&settings.depths) {
            exits.push(own.build(&mut encoder, ExitPlace::new(&name, depth, classes))?);
        }
        Ok(Self { encoder, exits, settings, classes, own: Some(own) })
    }

    /// Returns a copy with separate weights.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn deep_clone(&self) -> Result<Self> {
        let own = self.encoder.parameters();
        let encoder = self.encoder.bare_clone()?;
        let copied = encoder.parameters().clone();
        // The random values of the exits are replaced below.
        let mut nothing = ChaCha8Rng::seed_from_u64(0);
        let copy = match &self.own {
            Some(own) => Self::of_builder(encoder, self.settings.clone(), self.classes, own.clone())?,
            None => Self::new(encoder, self.settings.clone(), self.classes, &mut nothing)?,
        };
        for (id, name, _) in own.iter() {
            let parameters = copy.encoder.parameters();
            parameters.set_frozen(parameters.id(name)?, own.is_frozen(id));
        }
        copy.encoder.parameters().update_values(own.values_where(|name| copied.id(name).is_err())?)?;
        Ok(copy)
    }

    /// The encoder.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The exits, in the order of their depths.
    pub fn exits(&self) -> &[Box<dyn LayerExit>] {
        &self.exits
    }

    /// The depths of the exits, ascending to the encoder's last layer.
    pub fn depths(&self) -> &[usize] {
        &self.settings.depths
    }

    /// The settings of the exits.
    pub fn settings(&self) -> &ExitSettings {
        &self.settings
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of layers and heads of the encoder.
    pub fn shape(&self) -> ModelShape {
        ModelShape { layers: self.encoder.layers(), heads: self.encoder.block_shape().heads }
    }

    /// The route of a text that leaves at this depth; depth 0 is before the first layer.
    pub(crate) fn route(&self, depth: usize) -> Result<Route> {
        match depth {
            0 => Route::without_layers(self.shape()),
            _ => Route::truncated(self.shape(), depth),
        }
    }

    /// Rejects texts on which this model cannot be trained or scored.
    ///
    /// # Errors
    /// [`Error::Argument`] for multi-label or regression texts, and for another number of classes;
    /// [`Error::Transformer`] for texts longer than the encoder's positions, and for labels that do not exist.
    pub fn check_texts(&self, texts: &EncodedDataset) -> Result<()> {
        if let Some(sample) = texts.samples.iter().find(|sample| !sample.targets.is_empty()) {
            let expected = "none: early exits take texts of one class each, not of several labels or of a number";
            return Err(Error::shape("targets", expected, format!("{} in row {}", sample.targets.len(), sample.id)));
        }
        self.encoder.check_samples(texts)?;
        texts.check_classes(self.classes)?;
        match texts.labels.len() {
            same if same == self.classes => Ok(()),
            other => Err(Error::shape("labels", format!("the model's {} classes", self.classes), other)),
        }
    }

    /// FLOPs of the first `depth` layers for a text.
    pub(crate) fn layer_flops(&self, depth: usize, tokens: usize) -> u64 {
        layers(&self.encoder.block_shape(), depth, |block| block.forward(Load::of_text(tokens), block.full()))
    }

    /// FLOPs of a text in the full model: all layers and the last exit.
    pub(crate) fn full_flops(&self, tokens: usize) -> u64 {
        let last = self.exits.last().map_or(0, |last| last.flops(tokens).forward.0);
        self.layer_flops(self.encoder.layers(), tokens) + last
    }

    /// FLOPs of predicting these texts with the full model and the last exit: the denominator of inference FLOPs
    /// ratios.
    pub fn full_inference_flops(&self, texts: &EncodedDataset) -> u64 {
        texts.lengths().into_iter().map(|tokens| self.full_flops(tokens)).sum()
    }

    /// FLOPs of one training epoch of the full model on these texts with the last exit: the denominator of training FLOPs ratios.
    pub fn full_training_flops(&self, texts: &EncodedDataset) -> u64 {
        let (block, depth) = (self.encoder.block_shape(), self.encoder.layers());
        let of_text = |tokens: usize| {
            let backward =
                layers(&block, depth, |block| block.backward(Load::of_text(tokens), block.full(), BackwardNeeds::ALL));
            let exit = self.exits.last().map_or(0, |last| last.flops(tokens).backward.0);
            self.full_flops(tokens) + backward + exit
        };
        texts.lengths().into_iter().map(of_text).sum()
    }
}

/// FLOPs of the first `depth` layers, unpruned.
fn layers(block: &BlockShape, depth: usize, of: impl Fn(&BlockShape) -> Breakdown) -> u64 {
    std::iter::repeat_n(of(block), depth).sum::<Breakdown>().total().0
}
