//! Encoder with early exits, without a router.

use dht_transformer::{EncodedDataset, Encoder, HeadSet, Pooling, SampleGroup, Task};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::exit::{ExitBuilder, ExitKind, ExitPlace, LayerExit};
use crate::outputs::Outputs;
use crate::route::{Layout, ModelShape, WidthCoupling};

/// Settings of a model's early exits: their depths, their type and their pooling.
///
/// # Examples
/// ```
/// use dht_dynamic::ExitSettings;
///
/// let settings = ExitSettings::linear(vec![4, 8, 12]);
/// assert!(settings.check(12).is_ok());
/// // An encoder of 10 layers does not have the last exit.
/// let error = settings.check(10).unwrap_err();
/// assert_eq!(error.to_string(), "exit 2 is at depth 12, expected 9 to 10");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitSettings {
    /// Depths of the exits in layers, ascending; the last one is the encoder's last layer.
    pub depths: Vec<usize>,
    /// Type of the exits before the last: linear, with a side layer, or custom.
    pub kind: ExitKind,
    /// Pooling of hidden states at the exits before the last.
    pub pooling: Pooling,
    /// Pooling of the last exit, which is then a linear exit, regardless of the type of the other exits. `None` if it
    /// has their type and pooling.
    pub last_pooling: Option<Pooling>,
    /// True if all exits share one classifier, with the type and pooling of the last exit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

impl ExitSettings {
    /// Creates settings of linear exits with mean pooling at the depths `depths`.
    pub fn linear(depths: Vec<usize>) -> Self {
        Self { depths, kind: ExitKind::Linear, pooling: Pooling::Mean, last_pooling: None, shared: false }
    }

    /// Checks that exits of this type and at these depths are possible in an encoder of `layers` layers.
    ///
    /// # Errors
    /// * [`Error::Exit`] if the depths do not ascend, or are not between 1 and the last layer.
    /// * [`Error::Argument`] if the last exit is not after the last layer.
    /// * As [`ExitKind::check`].
    pub fn check(&self, layers: usize) -> Result<()> {
        let mut least = 1;
        for (index, &got) in self.depths.iter().enumerate() {
            if got < least || got > layers {
                return Err(Error::Exit { index, expected: format!("{least} to {layers}"), got });
            }
            least = got + 1;
        }
        if self.depths.last() != Some(&layers) {
            let expected = format!("depths that end at the last layer, {layers}");
            return Err(Error::argument("exits", expected, format!("{:?}", self.depths)));
        }
        self.kind.check(self.pooling)
    }

    fn kind_and_pooling(&self, exit: usize) -> (ExitKind, Pooling) {
        match self.last_pooling.filter(|_| self.shared || exit + 1 == self.depths.len()) {
            Some(pooling) => (ExitKind::Linear, pooling),
            None => (self.kind, self.pooling),
        }
    }

    /// Pooling of the exit with index `exit`; `None` if this exit is not linear.
    pub(super) fn linear_pooling(&self, exit: usize) -> Option<Pooling> {
        let (kind, pooling) = self.kind_and_pooling(exit);
        (kind == ExitKind::Linear).then_some(pooling)
    }
}

/// Encoder with early exits after some of its layers. Its [`Layout`] defines the depths of the exits and the groups of
/// layers between them.
///
/// Clones share the weights: training one trains the other.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_dynamic::transformer::{BertConfig, Encoder};
/// use dht_dynamic::{ExitModel, ExitSettings};
/// use rand::SeedableRng;
///
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let encoder = Encoder::random(&BertConfig::small(4, 6, 24, 50)?, &Device::Cpu, &mut rng)?;
/// let model = ExitModel::new(encoder, ExitSettings::linear(vec![2, 4]), 3, &mut rng)?;
/// assert_eq!((model.depths(), model.classes()), (&[2, 4][..], 3));
/// // A text of 16 tokens costs half as much up to the first exit.
/// assert_eq!(2 * model.layer_flops(2, 16), model.layer_flops(4, 16));
/// # Ok::<(), dht_dynamic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ExitModel {
    encoder: Encoder,
    /// Classifiers of the exits, from the first exit to the last.
    exits: Vec<Box<dyn LayerExit>>,
    layout: Layout,
    coupling: WidthCoupling,
    settings: ExitSettings,
    outputs: Outputs,
    /// Function that builds the custom exits; `None` if the exits are built in.
    own: Option<ExitBuilder>,
}

impl ExitModel {
    /// Adds new exits to an encoder. The last exit must be after the last layer.
    ///
    /// # Errors
    /// * As [`ExitSettings::check`].
    /// * [`Error::Transformer`] if there are fewer than two classes.
    pub fn new<R: Rng + ?Sized>(
        encoder: Encoder,
        settings: ExitSettings,
        outputs: impl Into<Outputs>,
        rng: &mut R,
    ) -> Result<Self> {
        settings.check(encoder.layers())?;
        let layout = Layout::early_exits(shape_of(&encoder), &settings.depths)?;
        Self::in_layout(encoder, (layout, WidthCoupling::Heads), settings, outputs, rng)
    }

    /// Adds new exits to an encoder at the depths of a layout. In the layout's groups of layers, texts may keep fewer
    /// attention heads. The layers of its [tail](Layout::tail), the last layers of every route, are frozen. With
    /// [`WidthCoupling::HeadsAndFfn`], the neurons of each layer must be sorted by their importance.
    ///
    /// # Errors
    /// * [`Error::Argument`] if the layout has another size than the encoder, or other exit depths than the settings.
    /// * [`Error::Transformer`] if there are fewer than two classes.
    /// * As [`ExitKind::check`].
    pub fn in_layout<R: Rng + ?Sized>(
        encoder: Encoder,
        (layout, coupling): (Layout, WidthCoupling),
        settings: ExitSettings,
        outputs: impl Into<Outputs>,
        rng: &mut R,
    ) -> Result<Self> {
        settings.kind.check(settings.pooling)?;
        let outputs = outputs.into();
        outputs.task().check(outputs.count())?;
        let empty = Self { encoder, exits: Vec::new(), layout, coupling, settings, outputs, own: None };
        let mut model = empty.checked()?;
        model.exits = model.new_exits(&model.layout.clone(), &[], rng)?;
        model.freeze_tail(true);
        Ok(model)
    }

    /// Adds custom exits, which the calling program defines, to an encoder after the layers `depths`. The last exit
    /// must be after the last layer.
    ///
    /// `build` is called for each exit, from the first to the last. A saved model with custom exits is loaded by
    /// [`DynamicModel::load_with`](crate::DynamicModel::load_with).
    ///
    /// # Errors
    /// * As [`ExitSettings::check`].
    /// * [`Error::Transformer`] if there are fewer than two classes.
    /// * [`Error::Argument`] if the name of a parameter does not begin with the exit's [name](ExitPlace::name).
    /// * Errors of `build`.
    ///
    /// # Examples
    /// Custom exit that reads both the first token's state and the mean of all states:
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
        outputs: impl Into<Outputs>,
        build: impl Fn(&mut Encoder, ExitPlace<'_>) -> Result<Box<dyn LayerExit>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let settings = ExitSettings { kind: ExitKind::Own, ..ExitSettings::linear(depths) };
        Self::of_builder(encoder, settings, outputs.into(), ExitBuilder::new(build))
    }

    /// Adds custom exits, which `own` builds, to an encoder.
    pub(crate) fn of_builder(
        encoder: Encoder,
        settings: ExitSettings,
        outputs: Outputs,
        own: ExitBuilder,
    ) -> Result<Self> {
        settings.check(encoder.layers())?;
        outputs.task().check(outputs.count())?;
        let layout = Layout::early_exits(shape_of(&encoder), &settings.depths)?;
        let (exits, coupling) = (Vec::new(), WidthCoupling::Heads);
        let mut model = Self { encoder, exits, layout, coupling, settings, outputs, own: Some(own) };
        // Custom builders have their own random generators and do not use this one.
        let mut nothing = ChaCha8Rng::seed_from_u64(0);
        model.exits = model.new_exits(&model.layout.clone(), &[], &mut nothing)?;
        Ok(model)
    }

    /// Checks that the layout matches the size of the encoder and the exit depths in the settings.
    ///
    /// # Errors
    /// [`Error::Argument`] if the size or the depths differ.
    fn checked(self) -> Result<Self> {
        let (own, of_layout) = (shape_of(&self.encoder), self.layout.shape());
        if own != of_layout {
            let expected = format!("a space of {} layers and {} heads", own.layers, own.heads);
            return Err(Error::argument("space", expected, format!("{} and {}", of_layout.layers, of_layout.heads)));
        }
        if self.settings.depths != self.layout.exits() {
            let expected = format!("those of the layout, {:?}", self.layout.exits());
            return Err(Error::argument("exits", expected, format!("{:?}", self.settings.depths)));
        }
        Ok(self)
    }

    /// Returns the exits for a layout. `known` has existing exits by depth. They are reused, and new exits are created
    /// at other depths.
    fn new_exits<R: Rng + ?Sized>(
        &mut self,
        layout: &Layout,
        known: &[(usize, Box<dyn LayerExit>)],
        rng: &mut R,
    ) -> Result<Vec<Box<dyn LayerExit>>> {
        let mut exits: Vec<Box<dyn LayerExit>> = Vec::with_capacity(layout.exits().len());
        for (exit, name) in names(layout, self.settings.shared).into_iter().enumerate() {
            let depth = layout.depth(exit);
            let place = ExitPlace::new(&name, depth, self.outputs.count());
            let known = known.iter().find(|(own, _)| *own == depth).map(|(_, exit)| exit);
            let shared = exits.first().filter(|_| self.settings.shared);
            exits.push(match (shared.or(known), &self.own) {
                (Some(own), _) => own.clone(),
                (None, Some(build)) => build.build(&mut self.encoder, place)?,
                (None, None) => {
                    let (kind, pooling) = self.settings.kind_and_pooling(exit);
                    kind.build(&mut self.encoder, place, pooling, rng)?
                }
            });
        }
        Ok(exits)
    }

    /// Builds a model with another layout on the same weights. Call [`enter`](Self::enter) to switch to it.
    ///
    /// The new model shares the exits at depths that both layouts have. At other depths it has new exits, whose
    /// parameters are added to this model's encoder, too.
    ///
    /// # Errors
    /// As [`in_layout`](Self::in_layout).
    pub fn prepare_layout<R: Rng + ?Sized>(&mut self, layout: Layout, rng: &mut R) -> Result<Self> {
        let depths = (0..self.exits.len()).map(|exit| self.layout.depth(exit));
        let mut known: Vec<_> = depths.zip(self.exits.iter().cloned()).collect();
        if self.settings.shared {
            known = vec![(layout.depth(0), self.exits[0].clone())];
        }
        let mut next = self.clone();
        next.settings.depths = layout.exits().to_vec();
        next.exits = next.new_exits(&layout, &known, rng)?;
        next.layout = layout;
        let next = next.checked()?;
        self.encoder = next.encoder.clone();
        Ok(next)
    }

    /// Switches to the layout and the exits of a [prepared](Self::prepare_layout) model. The layers of the old layout's
    /// [tail](Layout::tail) are unfrozen, and those of the new layout's tail are frozen.
    pub fn enter(&mut self, next: Self) {
        self.freeze_tail(false);
        *self = next;
        self.freeze_tail(true);
    }

    fn freeze_tail(&self, frozen: bool) {
        if let Some(tail) = self.layout.tail() {
            tail.layers().for_each(|layer| self.encoder.freeze_layer(layer, frozen));
        }
    }

    /// Returns a deep copy with separate weights.
    ///
    /// # Errors
    /// [`Error`](crate::Error) if a tensor cannot be copied.
    pub fn deep_clone(&self) -> Result<Self> {
        let own = self.encoder.parameters();
        let mut copy = Self { encoder: self.encoder.bare_clone()?, ..self.clone() };
        let copied = copy.encoder.parameters().clone();
        // The random values of the exits are replaced below.
        let mut nothing = ChaCha8Rng::seed_from_u64(0);
        copy.exits = copy.new_exits(&self.layout, &[], &mut nothing)?;
        for (id, name, var) in own.iter() {
            let copy_of = match copy.encoder.parameters().id(name) {
                Ok(known) => known,
                // Parameter of an exit of another layout.
                Err(_) => copy.encoder.add_parameter(name, var.as_tensor())?.id(),
            };
            copy.encoder.parameters().set_frozen(copy_of, own.is_frozen(id));
        }
        copy.encoder.parameters().update_values(own.values_where(|name| copied.id(name).is_err())?)?;
        Ok(copy)
    }

    /// Encoder of the model, which runs the layers.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Classifiers at the exits, in the order of their depths.
    pub fn exits(&self) -> &[Box<dyn LayerExit>] {
        &self.exits
    }

    /// Depths of the exits in layers, ascending. The layers of a [tail](Layout::tail), which run after each exit, are
    /// not counted.
    pub fn depths(&self) -> &[usize] {
        self.layout.exits()
    }

    /// Layout of the model: the depths of its exits, and the groups of layers between them.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Rule that sets the feed-forward width of a layer of which a text keeps only some attention heads.
    pub fn coupling(&self) -> WidthCoupling {
        self.coupling
    }

    /// Settings of the early exits: depths, type and pooling.
    pub fn settings(&self) -> &ExitSettings {
        &self.settings
    }

    /// Prefix of the parameter names of each exit, without the dot.
    pub fn exit_names(&self) -> Vec<String> {
        names(&self.layout, self.settings.shared)
    }

    /// Type and number of the predicted outputs: classes, of which a text has one, or independent labels.
    pub fn outputs(&self) -> Outputs {
        self.outputs
    }

    /// Number of classes or labels.
    pub fn classes(&self) -> usize {
        self.outputs.count()
    }

    /// Number of layers and attention heads of the encoder.
    pub fn shape(&self) -> ModelShape {
        shape_of(&self.encoder)
    }

    /// Creates a group of adjacent texts of a batch that keep the attention heads `heads`. The [width
    /// coupling](Self::coupling) determines the number of feed-forward neurons.
    pub fn sample_group(&self, samples: usize, heads: HeadSet) -> SampleGroup {
        let width = self.coupling.width(&self.encoder.block_shape(), heads.len());
        SampleGroup { samples, heads, neurons: width.ffn }
    }

    /// Rejects texts on which this model cannot be trained or scored.
    ///
    /// # Errors
    /// * [`Error::Shape`] if the texts have another number of classes or labels than the model.
    /// * [`Error::Transformer`] if a text is longer than the encoder's positions, if its label is not a label of the
    ///   model, or if the texts are of another task than the model.
    pub fn check_texts(&self, texts: &EncodedDataset) -> Result<()> {
        self.encoder.check_samples(texts)?;
        self.outputs.task().check_targets(texts, self.classes())?;
        match texts.labels.len() {
            same if same == self.classes() => Ok(()),
            other => {
                let what = if self.outputs.task() == Task::Class { "classes" } else { "labels" };
                Err(Error::shape("labels", format!("the model's {} {what}", self.classes()), other))
            }
        }
    }
}

fn shape_of(encoder: &Encoder) -> ModelShape {
    ModelShape { layers: encoder.layers(), heads: encoder.block_shape().heads }
}

fn names(layout: &Layout, shared: bool) -> Vec<String> {
    let name = |exit| if shared { "classifier".into() } else { format!("exit.{}.classifier", layout.depth(exit)) };
    (0..layout.exits().len()).map(name).collect()
}
