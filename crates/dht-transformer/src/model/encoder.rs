//! Encoder: embeddings, layers, and classifiers and other heads that were added.

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

/// Encoder of the BERT family. It reads packed rows (tokens without padding), and can run any subset of its layers and
/// heads for each sample.
///
/// ```text
/// h₀ = dropout(LayerNorm(word + position + type))
/// a  = LayerNorm(h + dropout(attention(h)))            for each layer
/// h′ = LayerNorm(a + dropout(gelu(a·W₁ᵀ + b₁)·W₂ᵀ + b₂))
/// ```
///
/// Source: Devlin et al. 2019. The layer norm follows each sublayer (post-norm). The outputs are those of `BertModel`
/// in Hugging Face's `transformers`, or of the model of another [`Family`](crate::config::Family), without its pooler.
/// On the CPU, consecutive layers run as one fused operation. On other devices, layers are composed of candle's
/// operations, with some custom kernels on CUDA.
///
/// A clone shares the weights: training one trains the other. [`deep_clone`](Self::deep_clone) copies the weights.
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
    /// Relative-position bias of the attention scores, shared by all layers. `None` in model families without one.
    pub(super) relative_bias: Option<RelativeBias>,
    blocks: Vec<Block>,
    /// Pooler in the directory from which the encoder was loaded. New classifiers with a pooler start with its weights.
    pooler: Option<LinearTensors>,
}

impl Encoder {
    /// Creates an encoder with random weights from N(0, `initializer_range`²). Norms have scale one and shift zero, and
    /// biases are zero.
    ///
    /// # Errors
    /// Errors of [`BertConfig::check`] and of candle.
    pub fn random<R: Rng + ?Sized>(config: &BertConfig, device: &Device, rng: &mut R) -> Result<Self> {
        config.check()?;
        let tensors = init::tensors(config, rng)?;
        Self::build(config, tensors, device)
    }

    /// Creates an encoder with random weights and local-attention initialisation: the heads of the first layer attend
    /// to the previous token, the next token, the token two to the left, and so on. Use it for pre-training on little
    /// text. The model then uses the words next to a mask from the first step on, while random heads first have to
    /// learn to find them.
    ///
    /// The position table starts with sinusoids in its first columns, as many as an attention head has. Tensor shapes
    /// and files are the same as for any other encoder.
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

    /// Creates an encoder from tensors under Hugging Face's names without a model prefix
    /// (`encoder.layer.0.attention.self.query.weight`). Unknown names are ignored. If `tensors` has a pooler
    /// (`pooler.dense.…`), its weights initialise the poolers of classifiers that
    /// [`add_classifier`](Self::add_classifier) adds later.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a missing tensor, [`Error::Shape`] for a tensor of another shape.
    pub fn from_tensors(config: &BertConfig, tensors: &BTreeMap<String, Tensor>, device: &Device) -> Result<Self> {
        config.check()?;
        let pooler = LinearTensors::find(tensors, "pooler.dense");
        Ok(Self { pooler, ..Self::build(config, names::pack(config, tensors)?, device)? })
    }

    /// Creates an encoder from tensors as [`from_tensors`](Self::from_tensors) does, but takes over the variables
    /// without copying them. Nothing else may use these variables.
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

    /// Loads the encoder of a Hugging Face directory (`config.json` and weights). If the directory has a pooler, its
    /// weights initialise the poolers of classifiers that [`add_classifier`](Self::add_classifier) adds later. A
    /// classifier in the directory is ignored; [`TextClassifier::load`](crate::TextClassifier::load) loads it.
    ///
    /// # Errors
    /// Errors of [`PretrainedWeights::read`].
    pub fn from_pretrained(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let folder = folder.as_ref();
        let weights = PretrainedWeights::read_variables(folder)?;
        Self::from_variables(&weights.config, &weights.tensors, device)
            .map_err(|error| error.in_file(folder.join("config.json").display().to_string()))
    }

    /// Creates an encoder from the tensors of a `candle_nn::VarBuilder`, whose prefix must be that of the encoder. For
    /// the file of a `BertForSequenceClassification`, pass `vb.pp("bert")`. The names are those of the model family's
    /// Hugging Face files.
    ///
    /// Tensors of a file are copied. **Variables are shared**: with `VarBuilder::from_varmap`, missing variables are
    /// created with BERT's initialisation (by candle's generator, which has no seed on the CPU), and an optimiser over
    /// `VarMap::all_vars` trains this encoder. In a `VarMap`, Q, K and V are one variable, `attention.self.qkv`. To put
    /// a pre-trained encoder into a `VarMap`, load it and call [`Parameters::put_into`].
    ///
    /// Candle's optimisers need gradients from [`ForwardContext::grad_store`] or [`ForwardContext::in_candle_graph`].
    ///
    /// # Errors
    /// Errors of [`BertConfig::check`]; [`Error::Parameter`] if a tensor is missing, or a variable cannot be shared;
    /// [`Error::Shape`] if a tensor has another shape than in the configuration.
    pub fn from_var_builder(config: &BertConfig, vb: VarBuilder) -> Result<Self> {
        Self::from_var_source(config, &VarSource::encoder(config, vb))
    }

    /// Creates an encoder from a `candle_nn::VarBuilder`, which `source` wraps.
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

    /// Builds an encoder with the precision and the pooler of this one. Used for encoders that are derived from it,
    /// such as a pruned encoder.
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

    /// Builds an encoder, unpruned or pruned. `fetch` returns a tensor of the unpruned encoder by its name, and
    /// `register` makes a tensor a parameter. In layers with pruned dimensions, only the remaining parts of the tensors
    /// are copied.
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

    /// Copies the encoder's tensors. They have Hugging Face's names without a model prefix.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn to_tensors(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut tensors = self.views()?;
        for tensor in tensors.values_mut() {
            *tensor = tensor.copy()?;
        }
        Ok(tensors)
    }

    /// Tensors of the encoder by Hugging Face's names, like those of [`to_tensors`](Self::to_tensors). They are views
    /// of the encoder's memory where possible.
    pub(crate) fn views(&self) -> Result<BTreeMap<String, Tensor>> {
        names::unpack(&self.config, self.whole_tensors()?)
    }

    /// Writes the encoder, and the tokenizer if there is one, as a Hugging Face directory. The write is atomic.
    /// Classifiers and heads that were added are not written.
    ///
    /// # Errors
    /// Errors of [`PretrainedWeights::write`].
    pub fn save(&self, folder: impl AsRef<Path>, tokenizer: Option<&TextTokenizer>) -> Result<()> {
        PretrainedWeights::write(folder, &self.config, &self.views()?, tokenizer)
    }

    /// Copies the encoder and all added parameters; training the copy leaves this encoder unchanged. Existing
    /// [`Classifier`]s and other heads still refer to the parameters of this encoder.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn deep_clone(&self) -> Result<Self> {
        let mut copy = self.bare_clone()?;
        copy.parameters.copy_others(&self.parameters)?;
        Ok(copy)
    }

    /// Copies the embeddings and layers, without classifiers and other parameters that were added. Training the copy
    /// leaves this encoder unchanged.
    ///
    /// # Errors
    /// [`Error::Candle`] if a tensor operation fails.
    pub fn bare_clone(&self) -> Result<Self> {
        self.build_like(&self.config, self.whole_tensors()?, self.parameters.device())
    }

    /// Copies from another encoder the parameters that were added to it, such as classifiers, and the frozen flags of
    /// all parameters.
    pub(crate) fn copy_others(&mut self, from: &Self) -> Result<()> {
        self.parameters.copy_others(&from.parameters)
    }

    /// Checks that the encoder can read all samples of a data set.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first row that is empty, longer than the number of positions, or has a token or
    /// token type without a row in the embedding tables.
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

    /// Parameters of the encoder and of added classifiers and heads. A clone of this value shares them.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Adds a classifier. Its parameters are trained and saved together with the encoder's.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the name is already used; [`Error::Argument`] for fewer than two classes, for which
    /// [`add_outputs`](Self::add_outputs) can be used.
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

    /// Adds a linear layer over pooled hidden states with any number of outputs, such as one for each label.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the name is already used;
    /// [`Error::Candle`] if a tensor operation fails.
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

    /// Returns whether the encoder was loaded with a pooler. New classifiers with [`Pooling::Pooler`] then start with
    /// its weights; otherwise their poolers start with random weights.
    pub fn has_pooler(&self) -> bool {
        self.pooler.is_some()
    }

    /// Adds a classifier with existing weights. `classes` has the weights of its linear layer, and `pooler` the weights
    /// of its pooler, which are required if `pooling` is [`Pooling::Pooler`].
    pub(crate) fn add_given_classifier(
        &mut self,
        name: &str,
        classes: LinearTensors,
        pooling: Pooling,
        pooler: Option<LinearTensors>,
    ) -> Result<Classifier> {
        Classifier::new(&mut self.parameters, name, classes, pooling, pooler, self.config.family.head_activation())
    }

    /// Adds a linear layer, for example for a custom head. Its parameters `{name}.weight` and `{name}.bias` are trained
    /// and saved together with the encoder's.
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

    /// Adds a parameter of any shape. It is trained, and stored in checkpoints like the encoder's parameters, but it is
    /// not written to Hugging Face directories.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the name is already used.
    pub fn add_parameter(&mut self, name: impl Into<String>, value: &Tensor) -> Result<Parameter> {
        self.parameters.insert(name, value)
    }

    /// Adds a language-model head over the vocabulary. Its parameters are trained and saved together with the
    /// encoder's.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the encoder already has a language-model head.
    pub(crate) fn add_language_head<R: Rng + ?Sized>(&mut self, rng: &mut R) -> Result<LanguageHead> {
        let tensors = LanguageHeadTensors::random(&self.config, rng)?;
        self.add_given_language_head(tensors)
    }

    pub(crate) fn add_given_language_head(&mut self, tensors: LanguageHeadTensors) -> Result<LanguageHead> {
        LanguageHead::new(&mut self.parameters, &self.config, &self.embeddings.word, tensors)
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.blocks.len()
    }

    /// Sizes of a layer before pruning, from which its FLOPs are computed.
    pub fn block_shape(&self) -> BlockShape {
        let (hidden, heads) = (self.config.hidden_size, self.config.num_attention_heads);
        BlockShape { hidden, heads, head_dim: hidden / heads, ffn: self.config.intermediate_size }
    }

    /// Computes the embedding output of a batch, the input of the first layer, shape (tokens, hidden).
    ///
    /// # Errors
    /// Errors of [`PackedBatch::check`]. [`Error::Range`] if a token id, token type or position exceeds its embedding
    /// table. [`Error::Argument`] if the context belongs to a training step over other parameters, or if the device
    /// does not support the [precision](crate::Precision).
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

    /// Runs one layer with the heads that `plan` selects and the first `width` feed-forward neurons (`None` for all).
    ///
    /// # Errors
    /// [`Error::Argument`] if the layer does not exist, or if it has fewer neurons; errors of [`HeadPlan::check`].
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

    /// Runs consecutive layers. In each of them, `plan` selects the heads.
    ///
    /// # Errors
    /// Errors of [`layer`](Self::layer).
    pub fn run(&self, layers: Range<usize>, hidden: &Hidden, plan: &HeadPlan, ctx: &ForwardContext) -> Result<Hidden> {
        self.run_with(layers, hidden, |block| block.groups(plan, None, hidden.samples()), ctx)
    }

    /// Runs consecutive layers with all their heads, on a limited number of samples at a time. The results equal those
    /// of [`run`](Self::run), but a large batch of short texts takes no more memory than a small one.
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

    /// Runs consecutive layers. Each group of samples runs its own heads, and its own number of feed-forward neurons.
    ///
    /// A group that runs n neurons runs the first n. To put the most important neurons first, [`prune`](Self::prune)
    /// the encoder once by [`PrunePlan::most_important`](crate::pruning::PrunePlan::most_important) with all heads and
    /// all neurons. This changes nothing but the order.
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

/// Returns a tensor of an unpruned encoder by its name, and checks that it has the shape that `config` implies.
fn whole(config: &BertConfig, tensors: &BTreeMap<String, Tensor>, name: &str) -> Result<Tensor> {
    let missing = || Error::Parameter { name: name.into(), problem: "is missing" };
    let tensor = tensors.get(name).ok_or_else(missing)?;
    let expected = names::shape(config, name);
    if tensor.dims() != expected {
        return Err(Error::Shape { what: name.into(), expected, got: tensor.dims().to_vec() });
    }
    Ok(tensor.clone())
}
