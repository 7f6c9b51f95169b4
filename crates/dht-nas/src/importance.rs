//! Importance scores of units (dimensions, neurons, heads) without a search. They select baselines for a searched
//! architecture, at equal cost.
//!
//! Each function returns one list of scores for each group of units in a [`NasCost`], as
//! [`Architecture::chosen`](crate::Architecture::chosen) expects. Scores are divided by the mean of their group,
//! because raw scores of different groups are not comparable. In particular, deeper layers have smaller gradients,
//! although their units are not less important (Michel, Levy and Neubig 2019).

use std::collections::BTreeMap;

use candle_core::{D, Tensor, Var};
use dht_transformer::EncodedDataset;
use dht_transformer::flops::BlockShape;
use dht_transformer::model::Gate;
use dht_transformer::tensors::cross_entropy;
use dht_transformer::{ForwardContext, TextClassifier};
use rand::{Rng, RngExt};

use crate::cost::NasCost;
use crate::error::{Error, Result};
use crate::extract::{assigned, layer_of};
use crate::space::Part;

/// Random scores: a uniform random number for each unit. They select a random architecture, the simplest baseline.
///
/// ```
/// use dht_nas::transformer::flops::BlockShape;
/// use dht_nas::{Architecture, CostMeasure, NasCost, NasSpace, Part, random_scores};
/// use rand::SeedableRng;
///
/// let shape = BlockShape { hidden: 12, heads: 3, head_dim: 4, ffn: 20 };
/// let cost = NasCost::new(CostMeasure::Parameters, shape, 1, NasSpace::neurons().groups(shape, 1)?, 0.0)?;
/// let scores = random_scores(&cost, &mut rand_chacha::ChaCha8Rng::seed_from_u64(1));
/// let (architecture, share) = Architecture::chosen(&cost, &scores, 0.7)?;
/// assert!(share <= 0.7 + 0.05 && architecture.count(0, Part::Neurons).0 < 20);
/// # Ok::<(), dht_nas::Error>(())
/// ```
pub fn random_scores<R: Rng + ?Sized>(cost: &NasCost, rng: &mut R) -> Vec<Vec<f64>> {
    cost.groups().iter().map(|group| (0..group.units()).map(|_| rng.random()).collect()).collect()
}

/// Magnitude scores: the norm of each unit's weights. The score of an input dimension is the norm of its column in the
/// weight matrix. The score of an output dimension, head or neuron is the norm of the weights that produce the unit,
/// times the norm of the weights that read it.
///
/// # Errors
/// * Fails if a candle operation fails.
/// * [`Error::Argument`] if units of a layer were already removed.
pub fn magnitude_scores(model: &TextClassifier, cost: &NasCost) -> Result<Vec<Vec<f64>>> {
    let tensors = model.encoder().to_tensors()?;
    let dim = cost.shape().head_dim.max(1);
    let of_group = |(part, layer): (Part, usize)| -> Result<Vec<f64>> {
        let weights = LayerWeights { tensors: &tensors, layer };
        let values = || product(weights.rows("attention.self.value")?, weights.columns("attention.output.dense")?);
        match part {
            Part::QueryInputs => weights.columns("attention.self.query"),
            Part::KeyInputs => weights.columns("attention.self.key"),
            Part::ValueInputs => weights.columns("attention.self.value"),
            Part::QueryKeyOutputs => {
                product(weights.rows("attention.self.query")?, weights.rows("attention.self.key")?)
            }
            Part::ValueOutputs => values(),
            Part::Heads => {
                Ok(values()?.chunks(dim).map(|head| head.iter().map(|x| x * x).sum::<f64>().sqrt()).collect())
            }
            Part::Neurons => product(weights.rows("intermediate.dense")?, weights.columns("output.dense")?),
        }
    };
    let of_layers = |(part, layers): (Part, std::ops::Range<usize>)| -> Result<Vec<f64>> {
        let mut sums: Vec<f64> = Vec::new();
        for layer in layers {
            add(&mut sums, of_group((part, layer))?);
        }
        Ok(sums)
    };
    let scores: Vec<Vec<f64>> =
        cost.groups().iter().map(|group| of_layers((group.part, group.layers.clone()))).collect::<Result<_>>()?;
    for (group, scores) in cost.groups().iter().zip(&scores) {
        if group.units() != scores.len() {
            return Err(Error::shape("model", format!("{} {}", group.units(), group.part.name()), scores.len()));
        }
    }
    Ok(scores.into_iter().map(scaled).collect())
}

/// Gradient scores: the mean of |∂L/∂ξ| over the texts in `rows` (Michel, Levy and Neubig 2019, equation 2). Here ξ = 1
/// is a gate (factor) on a unit (dimension, neuron or head), and L the cross-entropy of a text's label.
///
/// # Errors
/// * [`Error::Argument`] if `rows` is empty, if one of the rows does not exist, or if the model and the cost have
///   different sizes.
/// * Fails if the forward or backward pass of the model fails.
pub fn gradient_scores(
    model: &TextClassifier,
    cost: &NasCost,
    data: &EncodedDataset,
    rows: &[usize],
) -> Result<Vec<Vec<f64>>> {
    if rows.is_empty() {
        return Err(Error::argument("rows", "at least one", "none"));
    }
    if let Some(row) = rows.iter().find(|row| **row >= data.len()) {
        return Err(Error::argument("rows", format!("numbers below {}, that of the rows", data.len()), row));
    }
    let (encoder, groups) = (model.encoder(), cost.groups());
    let sizes = |layers: usize, shape: BlockShape| format!("one of {layers} layers of {}", layer_of(shape));
    let (expected, got) = (sizes(cost.layers(), cost.shape()), sizes(encoder.layers(), encoder.block_shape()));
    if expected != got {
        return Err(Error::shape("model", expected, got));
    }
    let mut sums: Vec<Vec<f64>> = groups.iter().map(|group| vec![0.0; group.units()]).collect();
    for row in rows {
        let ctx = ForwardContext::training_without_dropout(encoder.parameters());
        let gate = |group: &crate::space::Group| -> Result<(Var, Gate)> {
            let ones = Tensor::ones(group.units(), candle_core::DType::F32, encoder.parameters().device())?;
            let var = Var::from_tensor(&ones)?;
            let shape = if group.part.is_by_head() { vec![group.blocks, group.width] } else { vec![group.units()] };
            let gate = Gate::Scale(var.as_tensor().reshape(shape)?);
            Ok((var, gate))
        };
        let (vars, gates): (Vec<Var>, Vec<Gate>) =
            groups.iter().map(gate).collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let batch = data.batch(&[*row])?;
        let gates = assigned(groups, encoder.layers(), gates);
        let hidden = encoder.run_gated(0..encoder.layers(), &encoder.embed(&batch, &ctx)?, &gates, &ctx)?;
        let logits = model.classifier().forward(&hidden, &ctx)?;
        let loss = cross_entropy(&logits, &batch.labels)?.mean_all()?;
        let gradients = ctx.grad_store(&loss, encoder.parameters())?;
        for (sums, var) in sums.iter_mut().zip(&vars) {
            let Some(gradient) = gradients.get(var) else { continue };
            for (sum, each) in sums.iter_mut().zip(gradient.to_vec1::<f32>()?) {
                *sum += f64::from(each.abs());
            }
        }
    }
    Ok(sums.into_iter().map(scaled).collect())
}

struct LayerWeights<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    layer: usize,
}

impl LayerWeights<'_> {
    fn squares(&self, name: &str) -> Result<Tensor> {
        let name = format!("encoder.layer.{}.{name}.weight", self.layer);
        let tensor =
            self.tensors.get(&name).ok_or_else(|| Error::shape("model", format!("one with {name}"), "none"))?;
        Ok(tensor.sqr()?)
    }

    fn rows(&self, name: &str) -> Result<Vec<f64>> {
        norms(&self.squares(name)?.sum(D::Minus1)?)
    }

    fn columns(&self, name: &str) -> Result<Vec<f64>> {
        norms(&self.squares(name)?.sum(0)?)
    }
}

fn norms(squares: &Tensor) -> Result<Vec<f64>> {
    Ok(squares.sqrt()?.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
}

fn product(mut one: Vec<f64>, other: Vec<f64>) -> Result<Vec<f64>> {
    one.iter_mut().zip(other).for_each(|(one, other)| *one *= other);
    Ok(one)
}

fn add(sums: &mut Vec<f64>, more: Vec<f64>) {
    sums.resize(more.len().max(sums.len()), 0.0);
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

fn scaled(scores: Vec<f64>) -> Vec<f64> {
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    scores.into_iter().map(|score| if mean > 0.0 { score / mean } else { score }).collect()
}
