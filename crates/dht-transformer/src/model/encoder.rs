//! Encoder: embeddings, layers (blocks), and added classifiers and other heads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use rand::Rng;

use super::block::Block;
use super::classifier::Classifier;
use super::language_head::{LanguageHead, LanguageHeadTensors};
use super::linear::{Linear, LinearTensors};
use super::var_source::VarSource;
use super::{init, local_attention, names, pruned};
use crate::backend::{DropoutSite, EmbeddingParameters, ForwardContext, Layer, RelativeBias, TokenIds};
use crate::config::{BertConfig, Pooling};
use crate::data::{EncodedDataset, PackedBatch, TextTokenizer};
use crate::error::{Error, Result};
use crate::flops::BlockShape;
use crate::pretrained::PretrainedWeights;
use crate::tensors::{HeadPlan, Hidden, Packing, Parameter, Parameters, SampleGroup};

/// Encoder of the BERT family on packed rows (tokens without padding), which runs any layers and heads for any samples.
///
/// ```text
/// h₀ = dropout(LayerNorm(word + position + type))
/// a  = LayerNorm(h + dropout(attention(h)))            for each layer
/// h′ = LayerNorm(a + dropout(gelu(a·W₁ᵀ + b₁)·W₂ᵀ + b₂))
/// ```
///
/// Source: Devlin et al. 2019. The layer norm follows each sublayer (post-norm), as in Hugging Face's `BertModel`, or
/// the model of another [`Family`](crate::config::Family), without its pooler. On the CPU, each of a layer's two
/// sublayers is one fused operation. On other devices they are composed of candle's operations, with some custom
/// kernels on CUDA.
///
/// A clone is another handle on the same weights: training one trains the other. [`deep_clone`](Self::deep_clone)
/// copies the weights.
///
/// ```
/// use candle_core::Device;
/// use dht_transformer::{BertConfig, Encoder, ForwardContext, HeadPlan, HeadSet, TextTokenizer};
/// use rand::SeedableRng;
///
/// let texts = ["a fine day", "bad food today"];
/// let tokenizer = TextTokenizer::train(texts, 100)?;
/// let config = BertConfig::small(2, 4, 16, tokenizer.vocabulary_size())?;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
///
/// let batch = tokenizer.encode_texts(&texts, 16)?.batch(&[0, 1])?;
/// let ctx = ForwardContext::inference();
/// let embedded = encoder.embed(&batch, &ctx)?;
/// // Layer 0 runs all heads, layer 1 only the heads 0 and 2.
/// let hidden = encoder.layer(0, &embedded, &HeadPlan::Full, None, &ctx)?;
/// let heads = HeadPlan::Same(HeadSet::from_indices([0, 2], 4)?);
/// let hidden = encoder.layer(1, &hidden, &heads, None, &ctx)?;
/// assert_eq!(hidden.tensor().dims(), [batch.tokens(), 16]);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Encoder {
    config: BertConfig,
    parameters: Parameters,
    pub(super) embeddings: EmbeddingParameters,
    /// Relative-position bias, which the attention scores of all layers share.
    pub(super) relative_bias: Option<RelativeBias>,
    blocks: Vec<Block>,
    /// Pooler from the loaded tensors, unchanged. The loaded pooler initialises new classifiers that have a pooler.
    pooler: Option<LinearTensors>,
}

impl Encoder {
    /// Creates an encoder with random weights from N(0, `initializer_range`²). Norms start with scale one and shift
    /// zero, and biases at zero.
    ///
    /// # Errors
    /// Errors of [`BertConfig::check`] and of candle.
    pub fn random<R: Rng + ?Sized>(config: &BertConfig, device: &Device, rng: &mut R) -> Result<Self> {
        config.check()?;
        let tensors = init::tensors(config, rng)?;
        Self::build(config, tensors, device)
    }

    /// Creates a random encoder as [`random`](Self::random) does, but with local-attention initialisation: the heads of
    /// the first layer attend to the previous token, the next token, the token two to the left, and so on. Use it for
    /// pre-training on little text: the words next to a mask are then used from the first step on, while random heads
    /// must first learn to find them.
    ///
    /// The first columns of the position table, one for each column of a head, start as sinusoids. Shapes and files are
    /// those of any other encoder.
    ///
    /// # Errors
    /// Errors of [`random`](Self::random); [`Error::Argument`] if heads have only one column.
    pub fn random_with_local_attention<R: Rng + ?Sized>(
        config: &BertConfig,
        device: &Device,
        rng: &mut R,
    ) -> Result<Self> {
        config.check()?;
        let mut tensors = init::tensors(config, rng)?;
        local_attention::initialise(config, &mut tensors)?;
        Self::build(config, tensors, device)
    }

    /// Creates an encoder from Hugging Face's tensors under their bare names
    /// (`encoder.layer.0.attention.self.query.weight`). If there is a pooler (`pooler.dense.…`), it initialises later
    /// classifiers with [`Pooling::Pooler`]; unknown names are ignored.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a missing tensor, [`Error::Shape`] for one of another shape.
    pub fn from_tensors(config: &BertConfig, tensors: &BTreeMap<String, Tensor>, device: &Device) -> Result<Self> {
        config.check()?;
        let pooler = LinearTensors::find(tensors, "pooler.dense");
        Ok(Self { pooler, ..Self::build(config, names::pack(config, tensors)?, device)? })
    }

    /// Creates an encoder as [`from_tensors`](Self::from_tensors) does, from variables that nothing else uses. The
    /// variables are not copied.
    pub(crate) fn from_variables(
        config: &BertConfig,
        variables: &BTreeMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self> {
        config.check()?;
        let pooler = LinearTensors::find(variables, "pooler.dense");
        let packed = names::pack(config, variables)?;
        Ok(Self { pooler, ..Self::build_by(config, device, &|name| whole(config, &packed, name), Parameters::adopt)? })
    }

    /// Loads the encoder of a Hugging Face directory (`config.json` and weights), with its pooler as in
    /// [`from_tensors`](Self::from_tensors). A classifier in the directory is ignored;
    /// [`TextClassifier::load`](crate::TextClassifier::load) loads it.
    ///
    /// # Errors
    /// Errors of [`PretrainedWeights::read`].
    pub fn from_pretrained(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let folder = folder.as_ref();
        let weights = PretrainedWeights::read_variables(folder)?;
        Self::from_variables(&weights.config, &weights.tensors, device)
            .map_err(|error| error.in_file(folder.join("config.json").display().to_string()))
    }

    /// Creates an encoder on the tensors of a `candle_nn::VarBuilder`, at the prefix of the encoder's own names. For a
    /// file of a `BertForSequenceClassification` this is `vb.pp("bert")`. Names are those of the family's Hugging Face
    /// files.
    ///
    /// Tensors of a file are copied. **Variables are shared**: with `VarBuilder::from_varmap`, missing variables are
    /// created with BERT's initialisation (by candle's generator, which has no seed on the CPU), and an optimiser over
    /// `VarMap::all_vars` trains this encoder. In a `VarMap`, Q, K and V are one variable, `attention.self.qkv`; to put
    /// a pre-trained encoder into a `VarMap`, load it and call [`Parameters::put_into`].
    ///
    /// Gradients for candle's optimisers come from [`ForwardContext::grad_store`] or
    /// [`ForwardContext::in_candle_graph`].
    ///
    /// # Errors
    /// Errors of [`BertConfig::check`]; [`Error::Parameter`] if a tensor is missing, or a variable cannot be shared;
    /// [`Error::Shape`] if a tensor has another shape than in the configuration.
    pub fn from_var_builder(config: &BertConfig, vb: VarBuilder) -> Result<Self> {
        Self::from_var_source(config, &VarSource::encoder(config, vb))
    }

    /// Creates the encoder of a model in a `VarBuilder`.
    pub(crate) fn from_var_source(config: &BertConfig, source: &VarSource) -> Result<Self> {
        config.check()?;
        Self::build_by(
            config,
            source.device(),
            &|name| source.encoder_tensor(config, name),
            Parameters::share_or_insert,
        )
    }

    pub(crate) fn build(config: &BertConfig, tensors: BTreeMap<String, Tensor>, device: &Device) -> Result<Self> {
        Self::build_by(config, device, &|name| whole(config, &tensors, name), Parameters::insert)
    }

    /// Builds an encoder for a model derived from this one, with the same precision.
    pub(crate) fn build_like(
        &self,
        config: &BertConfig,
        tensors: BTreeMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self> {
        let made = Self::build(config, tensors, device)?;
        made.parameters.compute_in(self.parameters.precision())?;
        let pooler = self.pooler.clone().filter(|_| config.hidden_size == self.config.hidden_size);
        Ok(Self { pooler, ..made })
    }

    /// Builds an encoder from tensors of unpruned size. `fetch` returns a tensor by its name, and `register` registers
    /// it as a parameter. For layers with removed dimensions, the remaining parts are copied.
    fn build_by(
        config: &BertConfig,
        device: &Device,
        fetch: &dyn Fn(&str) -> Result<Tensor>,
        register: impl Fn(&mut Parameters, String, &Tensor) -> Result<Parameter>,
    ) -> Result<Self> {
        let mut parameters = Parameters::new(device);
        let mut insert = |name: String| {
            let tensor = fetch(&name)?;
            register(&mut parameters, name, &tensor)
        };
        let embeddings = EmbeddingParameters {
            word: insert(names::WORD.into())?,
            position: insert(names::POSITION.into())?,
            token_type: config.family.has_token_types().then(|| insert(names::TOKEN_TYPE.into())).transpose()?,
            scale: insert(names::EMBEDDING_SCALE.into())?,
            shift: insert(names::EMBEDDING_SHIFT.into())?,
            epsilon: config.layer_norm_eps,
            hidden: config.hidden_size,
        };
        let buckets = config.family.relative_buckets();
        let relative_bias = buckets.map(|buckets| {
            let table = insert(names::RELATIVE_BIAS.into())?;
            Ok::<_, Error>(RelativeBias { table, buckets, heads: config.num_attention_heads })
        });
        let relative_bias = relative_bias.transpose()?;
        let bias = relative_bias.as_ref();
        let left = pruned::left(config)?.into_iter().enumerate();
        let blocks = match pruned::dimensions(config)? {
            None => {
                left.map(|(layer, left)| Block::build(config, layer, left, bias, &mut insert)).collect::<Result<_>>()?
            }
            Some(kept) => left
                .zip(&kept)
                .map(|((layer, (_, neurons)), kept)| {
                    Block::ragged(config, layer, (kept, neurons, bias), fetch, &mut parameters)
                })
                .collect::<Result<_>>()?,
        };
        Ok(Self { config: config.clone(), parameters, embeddings, relative_bias, blocks, pooler: None })
    }

    /// Copies of the encoder's tensors under Hugging Face's bare names.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn to_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = self.views()?;
        for tensor in tensors.values_mut() {
            *tensor = tensor.copy()?;
        }
        Ok(tensors)
    }

    /// Tensors of [`to_tensors`](Self::to_tensors), as views of the encoder's memory where that is possible.
    pub(crate) fn views(&self) -> Result<BTreeMap<String, Tensor>> {
        names::unpack(&self.config, self.whole_tensors()?)
    }

    /// Writes a Hugging Face directory, atomically: the encoder, and the tokenizer if there is one. Added classifiers
    /// and heads are not written.
    ///
    /// # Errors
    /// Errors of [`PretrainedWeights::write`].
    pub fn save(&self, folder: impl AsRef<Path>, tokenizer: Option<&TextTokenizer>) -> Result<()> {
        PretrainedWeights::write(folder, &self.config, &self.views()?, tokenizer)
    }

    /// Copies the encoder with independent parameters: training one leaves the other unchanged. Added parameters are
    /// copied too, but classifiers and heads that were created on added parameters still belong to this encoder.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn deep_clone(&self) -> Result<Self> {
        let mut copy = self.bare_clone()?;
        copy.parameters.copy_others(&self.parameters)?;
        Ok(copy)
    }

    /// Copies embeddings and layers with independent weights, without added classifiers and other parameters.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn bare_clone(&self) -> Result<Self> {
        self.build_like(&self.config, self.whole_tensors()?, self.parameters.device())
    }

    /// Copies the additional parameters of another encoder, and its frozen flags.
    pub(crate) fn copy_others(&mut self, from: &Self) -> Result<()> {
        self.parameters.copy_others(&from.parameters)
    }

    /// Checks that the encoder can read all samples of a data set.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first row that has no token, more tokens than positions, or a token or a token type
    /// without a row in the embedding tables.
    pub fn check_samples(&self, data: &EncodedDataset) -> Result<()> {
        let Self { config, .. } = self;
        let types = if self.embeddings.token_type.is_some() { config.type_vocab_size } else { usize::MAX };
        for (row, sample) in data.samples.iter().enumerate() {
            let ids = &sample.encoding.ids;
            let refuse = |field, expected: String, got: String| Err(Error::argument(field, expected, got));
            if ids.is_empty() || ids.len() > config.longest_text() {
                let expected = format!("1 to {} tokens, the positions of the model", config.longest_text());
                return refuse("length", expected, format!("{} in row {row}", ids.len()));
            }
            if let Some(id) = ids.iter().find(|id| **id as usize >= config.vocab_size) {
                return refuse("token id", format!("below {}", config.vocab_size), format!("{id} in row {row}"));
            }
            if let Some(id) = sample.encoding.types().find(|id| *id as usize >= types) {
                return refuse("token type", format!("below {types}"), format!("{id} in row {row}"));
            }
        }
        Ok(())
    }

    /// Configuration of the encoder.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// Shared handle on the parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Adds a classifier whose parameters are trained and saved with the encoder's.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the name is already used; [`Error::Argument`] for fewer than two classes:
    /// [`add_outputs`](Self::add_outputs) takes one output, too.
    pub fn add_classifier<R: Rng + ?Sized>(
        &mut self,
        name: &str,
        classes: usize,
        pooling: Pooling,
        rng: &mut R,
    ) -> Result<Classifier> {
        if classes < 2 {
            return Err(Error::argument("classes", "at least 2", classes.to_string()));
        }
        self.add_outputs(name, classes, pooling, rng)
    }

    /// Adds a new linear layer of any number of outputs, such as one for each label.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the name is already used; the errors of candle.
    pub fn add_outputs<R: Rng + ?Sized>(
        &mut self,
        name: &str,
        outputs: usize,
        pooling: Pooling,
        rng: &mut R,
    ) -> Result<Classifier> {
        // The pooler is drawn first: random draws follow the order of the data flow.
        let hidden = self.config.hidden_size;
        let pooler = match (pooling, &self.pooler) {
            (Pooling::Pooler, Some(own)) => Some(own.checked("pooler.dense", (hidden, hidden))?),
            (Pooling::Pooler, None) => Some(LinearTensors::random(&self.config, hidden, rng)?),
            (Pooling::Cls | Pooling::Mean, _) => None,
        };
        let outputs = LinearTensors::random(&self.config, outputs, rng)?;
        self.add_given_classifier(name, outputs, pooling, pooler)
    }

    /// Returns whether the encoder was loaded with a pooler, which initialises new classifiers with
    /// [`Pooling::Pooler`]. Otherwise their poolers are initialised randomly.
    pub fn has_pooler(&self) -> bool {
        self.pooler.is_some()
    }

    /// Adds a classifier with existing weights, and a pooler, if `pooling` has one.
    pub(crate) fn add_given_classifier(
        &mut self,
        name: &str,
        classes: LinearTensors,
        pooling: Pooling,
        pooler: Option<LinearTensors>,
    ) -> Result<Classifier> {
        Classifier::new(&mut self.parameters, name, classes, pooling, pooler, self.config.family.head_activation())
    }

    /// Adds a linear layer for a custom head. Its parameters `{name}.weight` and `{name}.bias` are trained and saved
    /// with the encoder's.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a name is already used; [`Error::Argument`] for no inputs or no outputs.
    pub fn add_linear<R: Rng + ?Sized>(
        &mut self,
        name: &str,
        inputs: usize,
        outputs: usize,
        rng: &mut R,
    ) -> Result<Linear> {
        if inputs == 0 || outputs == 0 {
            return Err(Error::argument(
                "linear",
                "at least one input and one output",
                format!("{inputs} and {outputs}"),
            ));
        }
        for name in ["weight", "bias"].map(|part| format!("{name}.{part}")) {
            if self.parameters.id(&name).is_ok() {
                return Err(Error::Parameter { name, problem: "is registered twice" });
            }
        }
        let tensors = LinearTensors::random_over(&self.config, inputs, outputs, rng)?;
        Ok(Linear::new(tensors.insert(&mut self.parameters, name)?))
    }

    /// Adds a parameter of any kind, which is trained and stored in checkpoints like the encoder's parameters, but not
    /// in Hugging Face directories.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the name is already used.
    pub fn add_parameter(&mut self, name: impl Into<String>, value: &Tensor) -> Result<Parameter> {
        self.parameters.insert(name, value)
    }

    /// Adds a language-model head over the vocabulary, whose parameters are trained and saved with the encoder's.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there already is one.
    pub(crate) fn add_language_head<R: Rng + ?Sized>(&mut self, rng: &mut R) -> Result<LanguageHead> {
        let tensors = LanguageHeadTensors::random(&self.config, rng)?;
        self.add_given_language_head(tensors)
    }

    /// Adds a language-model head with existing weights.
    pub(crate) fn add_given_language_head(&mut self, tensors: LanguageHeadTensors) -> Result<LanguageHead> {
        LanguageHead::new(&mut self.parameters, &self.config, &self.embeddings.word, tensors)
    }

    /// Layers of the encoder, with their weights.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.blocks.len()
    }

    /// Sizes that a layer's FLOPs depend on.
    pub fn block_shape(&self) -> BlockShape {
        let (hidden, heads) = (self.config.hidden_size, self.config.num_attention_heads);
        BlockShape { hidden, heads, head_dim: hidden / heads, ffn: self.config.intermediate_size }
    }

    /// Computes the embedding output h₀ of a batch, (tokens, hidden).
    ///
    /// # Errors
    /// Errors of [`PackedBatch::check`]. [`Error::Argument`] if a token, a type or a text's length exceeds the
    /// embedding tables, if the context belongs to a training step over other parameters, or if the device does not
    /// support the [precision](crate::Precision).
    pub fn embed(&self, batch: &PackedBatch, ctx: &ForwardContext) -> Result<Hidden> {
        batch.check()?;
        ctx.check(&self.parameters)?;
        let packing = Arc::new(Packing::new(batch.spans.clone(), batch.sample_ids.clone())?);
        let within = |what: &'static str, ids: &[u32], below: usize| match ids.iter().find(|id| **id as usize >= below)
        {
            Some(id) => Err(Error::Range { what, got: *id as usize, below }),
            None => Ok(()),
        };
        within("token id", &batch.ids, self.config.vocab_size)?;
        if self.embeddings.token_type.is_some() {
            within("token type", &batch.type_ids, self.config.type_vocab_size)?;
        }
        within("position", packing.row_tokens(), self.config.longest_text())?;
        let ids = TokenIds {
            words: batch.ids.clone(),
            positions: self.config.family.positions(self.config.pad_token_id, &batch.ids, packing.row_tokens()),
            token_types: batch.type_ids.clone(),
        };
        let dropout = ctx.dropout(self.config.hidden_dropout_prob, DropoutSite::Embedding);
        let backend = ctx.backend(self.parameters.device());
        let rows = backend.embed(ids, &packing, &self.embeddings, dropout, ctx)?;
        Hidden::new(backend.begin(rows, ctx.precision(&self.parameters))?, packing)
    }

    /// Runs one layer with the heads of `plan` and the first `width` neurons of its feed-forward (`None` for all).
    ///
    /// # Errors
    /// [`Error::Argument`] if the layer or the width does not exist; errors of [`HeadPlan::check`].
    pub fn layer(
        &self,
        layer: usize,
        hidden: &Hidden,
        plan: &HeadPlan,
        width: Option<usize>,
        ctx: &ForwardContext,
    ) -> Result<Hidden> {
        self.run_with(layer..layer + 1, hidden, |block| block.groups(plan, width, hidden.samples()), ctx)
    }

    /// Runs consecutive layers, with the same heads in each.
    ///
    /// # Errors
    /// Errors of [`layer`](Self::layer).
    pub fn run(&self, layers: Range<usize>, hidden: &Hidden, plan: &HeadPlan, ctx: &ForwardContext) -> Result<Hidden> {
        self.run_with(layers, hidden, |block| block.groups(plan, None, hidden.samples()), ctx)
    }

    /// Runs consecutive layers with all their heads, on a limited number of samples at a time. The results are the same
    /// as those of [`run`](Self::run), but a large batch of short texts takes no more memory than a small one.
    ///
    /// # Errors
    /// Errors of [`run`](Self::run).
    pub fn run_in_parts(
        &self,
        layers: Range<usize>,
        hidden: &Hidden,
        together: usize,
        ctx: &ForwardContext,
    ) -> Result<Hidden> {
        let samples = hidden.samples();
        let parts = samples.div_ceil(together.max(1)).max(1);
        if parts == 1 {
            return self.run(layers, hidden, &HeadPlan::Full, ctx);
        }
        let of_part = |part: usize| {
            let members: Vec<usize> = (samples * part / parts..samples * (part + 1) / parts).collect();
            self.run(layers.clone(), &hidden.select(&members)?, &HeadPlan::Full, ctx)
        };
        Hidden::concat(&(0..parts).map(of_part).collect::<Result<Vec<_>>>()?)
    }

    /// Runs consecutive layers, in which every group of samples runs its own heads and neurons.
    ///
    /// A group runs the first neurons. To put the most important neurons first, [`prune`](Self::prune) the encoder once
    /// by [`PrunePlan::most_important`](crate::pruning::PrunePlan::most_important) with all heads and all neurons,
    /// which only changes the order.
    ///
    /// # Errors
    /// [`Error::Argument`] for layers that do not exist; errors of [`SampleGroup::check_all`].
    pub fn run_groups(
        &self,
        layers: Range<usize>,
        hidden: &Hidden,
        groups: &[SampleGroup],
        ctx: &ForwardContext,
    ) -> Result<Hidden> {
        let (heads, neurons) = (self.config.num_attention_heads, self.config.intermediate_size);
        SampleGroup::check_all(groups, heads, neurons, hidden.samples())?;
        self.run_with(layers, hidden, |_| Ok(groups.to_vec()), ctx)
    }

    fn run_with(
        &self,
        layers: Range<usize>,
        hidden: &Hidden,
        groups: impl Fn(&Block) -> Result<Vec<SampleGroup>>,
        ctx: &ForwardContext,
    ) -> Result<Hidden> {
        let blocks = self.blocks.get(layers.clone()).ok_or_else(|| {
            Error::argument("layers", format!("ascending, up to {}", self.blocks.len()), format!("{layers:?}"))
        })?;
        let layers: Vec<Layer<'_>> =
            blocks.iter().map(|block| block.with_groups(groups(block)?, ctx)).collect::<Result<_>>()?;
        ctx.backend(hidden.tensor().device()).layers(hidden, &layers, ctx)
    }
}

/// Finds a tensor of an unpruned encoder by its name, and checks its shape.
fn whole(config: &BertConfig, tensors: &BTreeMap<String, Tensor>, name: &str) -> Result<Tensor> {
    let missing = || Error::Parameter { name: name.into(), problem: "is missing" };
    let tensor = tensors.get(name).ok_or_else(missing)?;
    let expected = names::shape(config, name);
    if tensor.dims() != expected {
        return Err(Error::Shape { what: name.into(), expected, got: tensor.dims().to_vec() });
    }
    Ok(tensor.clone())
}
