//! Importance of attention heads and neurons, measured by loss gradients or by weight magnitudes.

use candle_core::Tensor;

use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, Result};
use crate::model::{Encoder, names};
use crate::tensors::{Gradient, Gradients, Parameter};

/// Importance of each attention head and each feed-forward neuron; higher is more important. Values are comparable
/// within a layer only. [`ordered_heads`](Self::ordered_heads) compares heads of different layers.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_transformer::{BertConfig, Encoder, pruning::Importance};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let encoder = Encoder::random(&BertConfig::small(2, 4, 16, 20)?, &Device::Cpu, &mut rng)?;
/// let importance = Importance::by_magnitude(&encoder)?;
/// assert_eq!((importance.heads.len(), importance.head_order(0).len()), (2, 4));
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    /// Importance of each attention head, indexed by layer and head.
    pub heads: Vec<Vec<f64>>,
    /// Importance of each feed-forward neuron, indexed by layer and neuron.
    pub neurons: Vec<Vec<f64>>,
}

impl Importance {
    /// Computes the gradient importance of each head and neuron: the mean of |∂L/∂ξ| over the texts in `rows`. L is the
    /// loss of a text, and ξ = 1 is a gate on the output of the head or neuron. Source: Michel, Levy and Neubig 2019,
    /// equation 2, where the absolute value is taken before the mean over the data set.
    ///
    /// No gates are created. For a head with the attention output c, the output matrix W and the gradient g of its
    /// output, ∂L/∂ξ = Σ c·(Wᵀg) = Σ W ⊙ ∂L/∂W over the columns of W that belong to the head. The same holds for a
    /// neuron and the second feed-forward matrix. So one backward pass for each text, alone and without dropout, gives
    /// all importances.
    ///
    /// `loss` computes the loss of a batch of one text in a context: `|batch, ctx| model.loss(batch, ctx)` for a
    /// [`TextClassifier`](crate::TextClassifier).
    ///
    /// # Errors
    /// [`Error::Argument`] without rows; [`Error::Parameter`] for a matrix that is frozen or on which the loss does not
    /// depend; errors of `loss`.
    ///
    /// # Panics
    /// If a row does not exist.
    pub fn by_gradient(
        encoder: &Encoder,
        data: &EncodedDataset,
        rows: &[usize],
        mut loss: impl FnMut(&PackedBatch, &ForwardContext) -> Result<Tensor>,
    ) -> Result<Self> {
        if rows.is_empty() {
            return Err(Error::argument("rows", "at least one", "none"));
        }
        let heads = encoder.config().num_attention_heads;
        let neurons = encoder.config().intermediate_size;
        let layers = encoder.layers();
        let mut sums = Self { heads: vec![vec![0.0; heads]; layers], neurons: vec![vec![0.0; neurons]; layers] };
        for row in rows {
            let ctx = ForwardContext::training_without_dropout(encoder.parameters());
            let loss = loss(&data.batch(&[*row])?, &ctx)?;
            let gradients = ctx.backward(&loss, encoder.parameters())?;
            for (layer, block) in encoder.blocks().iter().enumerate() {
                let mut gates = vec![0.0; heads];
                let columns = column_sums(block.attention.output(), &gradients)?;
                block.attention.column_heads().into_iter().zip(columns).for_each(|(head, sum)| gates[head] += sum);
                for (sum, gate) in sums.heads[layer].iter_mut().zip(gates) {
                    *sum += gate.abs() / rows.len() as f64;
                }
                let gates = column_sums(&block.feed_forward.down, &gradients)?;
                for (sum, gate) in sums.neurons[layer].iter_mut().zip(gates) {
                    *sum += gate.abs() / rows.len() as f64;
                }
            }
        }
        Ok(sums)
    }

    /// Computes the magnitude importance of each head and neuron, from the weights alone. For heads it is
    /// [`Encoder::head_magnitudes`]. For neuron j it is ‖W₁ row j‖ · ‖W₂ column j‖, where W₁ and W₂ are the first and
    /// second feed-forward matrix. This measure requires no data and no forward pass. If there is data,
    /// [`by_gradient`](Self::by_gradient) is more informative.
    ///
    /// # Errors
    /// Errors of candle.
    pub fn by_magnitude(encoder: &Encoder) -> Result<Self> {
        let heads = (0..encoder.layers()).map(|layer| encoder.head_magnitudes(layer)).collect::<Result<_>>()?;
        let neurons = encoder.blocks().iter().map(|block| {
            let up = row_norms(block.feed_forward.up.var().as_tensor(), 1)?;
            let down = row_norms(&block.feed_forward.down.var().t()?, 1)?;
            let mut norms: Vec<f64> = up.into_iter().zip(down).map(|(up, down)| up * down).collect();
            norms.resize(encoder.config().intermediate_size, 0.0);
            Ok(norms)
        });
        Ok(Self { heads, neurons: neurons.collect::<Result<_>>()? })
    }

    /// Head numbers of a layer in order of decreasing importance. Equally important heads are in increasing order.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn head_order(&self, layer: usize) -> Vec<usize> {
        order(&self.heads[layer])
    }

    /// Neuron numbers of a layer in order of decreasing importance. Equally important neurons are in increasing order.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn neuron_order(&self, layer: usize) -> Vec<usize> {
        order(&self.neurons[layer])
    }

    /// All heads of all layers as pairs (layer, head), in order of decreasing importance. The importances of each layer
    /// are first scaled to a vector of length 1, as Michel et al. do. Deeper layers have smaller gradients, but their
    /// heads are not less important.
    pub fn ordered_heads(&self) -> Vec<(usize, usize)> {
        let mut all: Vec<(f64, usize, usize)> = Vec::new();
        for (layer, scores) in self.heads.iter().enumerate() {
            let norm = scores.iter().map(|score| score * score).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            all.extend(scores.iter().enumerate().map(|(head, score)| (score / norm, layer, head)));
        }
        all.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
        all.into_iter().map(|(_, layer, head)| (layer, head)).collect()
    }
}

/// Indices of values from the greatest to the smallest. Equal values keep their order.
fn order(scores: &[f64]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..scores.len()).collect();
    places.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    places
}

/// Sums W ⊙ ∂L/∂W, the elementwise product of a matrix W and its loss gradient, over the rows. Returns one sum for each
/// column.
fn column_sums(parameter: &Parameter, gradients: &Gradients) -> Result<Vec<f64>> {
    let refuse = |problem| Error::Parameter { name: parameter.name().into(), problem };
    let gradient = match gradients.get(parameter.id()) {
        Some(Gradient::Dense(values)) => values.clone(),
        Some(Gradient::Device(tensor)) => tensor.flatten_all()?.to_vec1()?,
        Some(Gradient::Rows { .. }) => return Err(refuse("has a gradient of some rows alone")),
        None if parameter.is_frozen() => return Err(refuse("is frozen, so that nothing is known of its gates")),
        None => return Err(refuse("has no gradient: the loss does not depend on it")),
    };
    let width = parameter.var().dims()[1];
    let weights: Vec<f32> = parameter.var().flatten_all()?.to_vec1()?;
    let mut sums = vec![0.0; width];
    for (weights, gradient) in weights.chunks_exact(width).zip(gradient.chunks_exact(width)) {
        for ((sum, weight), gradient) in sums.iter_mut().zip(weights).zip(gradient) {
            *sum += f64::from(*weight) * f64::from(*gradient);
        }
    }
    Ok(sums)
}

/// Frobenius norm of each block of `height` consecutive rows of a matrix.
fn row_norms(matrix: &Tensor, height: usize) -> Result<Vec<f64>> {
    let rows: Vec<Vec<f32>> = matrix.to_vec2()?;
    let squares = |rows: &[Vec<f32>]| rows.iter().flatten().map(|w| f64::from(*w).powi(2)).sum::<f64>();
    Ok(rows.chunks_exact(height).map(|rows| squares(rows).sqrt()).collect())
}

impl Encoder {
    /// Magnitude importance of each head of a layer: ‖W_v,h‖_F · ‖W_o,h‖_F. W_v,h are the rows of the value matrix that
    /// belong to head h, and W_o,h are the head's columns in the output matrix.
    ///
    /// A head adds to the row of each token a weighted mean of W_o,h·W_v,h·x over the hidden states x of all tokens.
    /// The product of the two norms is an upper bound of the Frobenius norm of W_o,h·W_v,h. The measure requires no
    /// data and no forward pass. If there is data, the effect of a head on the loss is more informative:
    /// [`Importance::by_gradient`].
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such layer; errors of candle.
    pub fn head_magnitudes(&self, layer: usize) -> Result<Vec<f64>> {
        if layer >= self.layers() {
            return Err(Error::Range { what: "layer", got: layer, below: self.layers() });
        }
        let (hidden, size) = (self.config().hidden_size, self.config().head_size());
        let tensors = self.whole_tensors()?;
        let tensor = |tensor: &str| {
            let name = names::of_layer(layer, tensor);
            tensors.get(&name).ok_or(Error::Parameter { name, problem: "is missing" })
        };
        // V comes after Q and K. (hidden, hidden), both with a head's numbers in `size` rows.
        let value = row_norms(&tensor(names::QKV)?.narrow(0, 2 * hidden, hidden)?, size)?;
        let output = row_norms(&tensor(names::OUTPUT)?.t()?, size)?;
        Ok(value.into_iter().zip(output).map(|(value, output)| value * output).collect())
    }
}
