//! Trainable gates on the dimensions, neurons and attention heads of an encoder layer.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// Gate that scales or mixes n dimensions of hidden values: a vector of n factors, or an n × n matrix.
#[derive(Debug, Clone)]
pub enum Gate {
    /// Elementwise gate x ↦ g ⊙ x. The tensor g has one factor for each dimension.
    Scale(Tensor),
    /// Mixing gate x ↦ M·x with an n × n matrix M. It interpolates each dimension from others, as in transformable
    /// architecture search (TAS, Dong and Yang 2019).
    Mix(Tensor),
}

/// Trainable gates of one encoder layer, for architecture search. A field is `None` if its part has no gate.
///
/// | gate | shape of a [`Gate::Scale`] | acts on |
/// |---|---|---|
/// | `query_inputs`, `key_inputs`, `value_inputs` | (hidden) | the input rows of Q, of K and of V |
/// | `query_key_outputs` | (heads, head_dim) | the dimensions in which queries and keys are compared: Σ g·q·k with the gate g |
/// | `value_outputs` | (heads, head_dim) | the values V |
/// | `heads` | (heads) | the attention output of each head |
/// | `neurons` | (intermediate) | the neurons of the feed-forward sublayer, after the activation |
///
/// With gates in {0, 1}, the output of the layer equals that of the layer without the dimensions whose gate is 0
/// ([`Encoder::prune_dimensions`](crate::Encoder::prune_dimensions)). A [`Gate::Mix`] of n dimensions has shape (n, n).
/// For `query_key_outputs` and `value_outputs` the shape is (head_dim, head_dim), and all heads share the matrix. The
/// matrix of `query_key_outputs` mixes both queries and keys. Gates of another data type are converted to the data type
/// of the hidden states.
///
/// ```
/// # use candle_core::Device;
/// # use dht_transformer::{BertConfig, Encoder, TextTokenizer};
/// # use rand::SeedableRng;
/// # let texts = ["a fine day", "bad food today"];
/// # let tokenizer = TextTokenizer::train(texts, 100)?;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let config = BertConfig::small(2, 4, 16, tokenizer.vocabulary_size())?;
/// # let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// # let batch = tokenizer.encode_texts(&texts, 16)?.batch(&[0, 1])?;
/// use candle_core::Tensor;
/// use dht_transformer::{ForwardContext, HeadPlan, HeadSet, model::{Gate, LayerGates}};
///
/// // Gates that switch off the heads 1 and 3 of the first layer.
/// let heads = Tensor::new(&[1f32, 0.0, 1.0, 0.0], &Device::Cpu)?;
/// let gates = LayerGates { heads: Some(Gate::Scale(heads)), ..LayerGates::default() };
/// let ctx = ForwardContext::inference();
/// let embedded = encoder.embed(&batch, &ctx)?;
/// let gated = encoder.run_gated(0..1, &embedded, &[gates], &ctx)?;
///
/// let plan = HeadPlan::Same(HeadSet::from_indices([0, 2], 4)?);
/// let selected = encoder.layer(0, &embedded, &plan, None, &ctx)?;
/// let difference = (gated.tensor() - selected.tensor())?.abs()?.max_all()?.to_scalar::<f32>()?;
/// assert!(difference < 1e-4);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct LayerGates {
    /// Gate on the rows from which the queries Q are projected, size hidden.
    pub query_inputs: Option<Gate>,
    /// Gate on the rows from which the keys K are projected, size hidden.
    pub key_inputs: Option<Gate>,
    /// Gate on the rows from which the values V are projected, size hidden.
    pub value_inputs: Option<Gate>,
    /// Gate on the dimensions of each head in which queries and keys are compared, size (heads, head_dim).
    pub query_key_outputs: Option<Gate>,
    /// Gate on the dimensions of each head's values V, size (heads, head_dim).
    pub value_outputs: Option<Gate>,
    /// Gate on the attention output of each head, size heads.
    pub heads: Option<Gate>,
    /// Gate on the neurons of the feed-forward sublayer, after the activation.
    pub neurons: Option<Gate>,
}

impl LayerGates {
    /// Checks that the gates have the shapes that a layer of this size requires.
    ///
    /// # Errors
    /// [`Error::Shape`] for the first gate that has a wrong shape.
    pub(crate) fn check(&self, hidden: usize, heads: usize, neurons: usize) -> Result<()> {
        let dim = hidden / heads;
        for (what, gate, scale, width) in [
            ("query_inputs", &self.query_inputs, vec![hidden], hidden),
            ("key_inputs", &self.key_inputs, vec![hidden], hidden),
            ("value_inputs", &self.value_inputs, vec![hidden], hidden),
            ("query_key_outputs", &self.query_key_outputs, vec![heads, dim], dim),
            ("value_outputs", &self.value_outputs, vec![heads, dim], dim),
            ("heads", &self.heads, vec![heads], heads),
            ("neurons", &self.neurons, vec![neurons], neurons),
        ] {
            let (expected, got) = match gate {
                None => continue,
                Some(Gate::Scale(numbers)) => (scale, numbers.dims()),
                Some(Gate::Mix(matrix)) => (vec![width, width], matrix.dims()),
            };
            if got != expected {
                return Err(Error::Shape { what: format!("gate on {what}"), expected, got: got.to_vec() });
            }
        }
        Ok(())
    }
}
