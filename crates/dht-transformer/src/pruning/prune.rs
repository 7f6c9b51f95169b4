//! Permanent removal of layers, heads and neurons from an encoder.

use candle_core::Tensor;
use serde_json::json;

use super::importance::Importance;
use crate::config::KeptDimensions;
use crate::error::{Error, Result};
use crate::flops::Width;
use crate::model::{Encoder, KEPT_DIMENSIONS, KEPT_HEADS, KEPT_NEURONS, names};
use crate::tensors::HeadSet;

/// Layers, heads and neurons that remain when an encoder is pruned. [`Encoder::prune`] applies the plan.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_transformer::{BertConfig, Encoder, pruning::{Importance, PrunePlan}};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// let encoder = Encoder::random(&BertConfig::small(2, 4, 16, 20)?, &Device::Cpu, &mut rng)?;
/// let importance = Importance::by_magnitude(&encoder)?;
/// let small = encoder.prune(&PrunePlan::most_important(&encoder, &importance, 2, 8)?)?;
/// assert_eq!((small.layers(), small.width(0).heads, small.width(0).ffn), (2, 2, 8));
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrunePlan {
    /// Numbers of the remaining layers, in ascending order.
    pub layers: Vec<usize>,
    /// Remaining heads, one set for each remaining layer.
    pub heads: Vec<HeadSet>,
    /// Remaining feed-forward neurons in their new order, one list for each remaining layer.
    pub neurons: Vec<Vec<usize>>,
}

impl PrunePlan {
    /// Keeps the first `layers` layers, with all of their heads and neurons.
    ///
    /// # Errors
    /// [`Error::Argument`] if the encoder has fewer layers, or if `layers` is 0.
    pub fn first_layers(encoder: &Encoder, layers: usize) -> Result<Self> {
        check_count("layers", layers, encoder.layers())?;
        Self::whole_layers(encoder, &(0..layers).collect::<Vec<_>>())
    }

    /// Keeps the layers whose numbers are in `layers`, with all of their heads and neurons.
    ///
    /// # Errors
    /// [`Error::Argument`] if `layers` is empty or not ascending, or has a layer that the encoder does not have.
    pub fn whole_layers(encoder: &Encoder, layers: &[usize]) -> Result<Self> {
        check_layers(layers, encoder.layers())?;
        let blocks = || layers.iter().map(|layer| &encoder.blocks()[*layer]);
        Ok(Self {
            layers: layers.to_vec(),
            heads: blocks().map(|block| block.kept).collect(),
            neurons: blocks().map(|block| (0..block.width).collect()).collect(),
        })
    }

    /// Keeps the `heads` most important heads and the `neurons` most important neurons of every layer. The remaining
    /// neurons are ordered by decreasing importance.
    ///
    /// # Errors
    /// [`Error::Argument`] if a layer has fewer heads or neurons, or if a number is 0; [`Error::Shape`] for the
    /// importance of another encoder.
    pub fn most_important(encoder: &Encoder, importance: &Importance, heads: usize, neurons: usize) -> Result<Self> {
        let config = encoder.config();
        check_count("heads", heads, config.num_attention_heads)?;
        check_count("neurons", neurons, config.intermediate_size)?;
        let (got, layers) = (vec![importance.heads.len(), importance.neurons.len()], encoder.layers());
        if got != [layers, layers] {
            return Err(Error::Shape { what: "importance".into(), expected: vec![layers, layers], got });
        }
        let all = config.num_attention_heads;
        Ok(Self {
            layers: (0..layers).collect(),
            heads: (0..layers)
                .map(|layer| HeadSet::from_indices(importance.head_order(layer).into_iter().take(heads), all))
                .collect::<Result<_>>()?,
            neurons: (0..layers)
                .map(|layer| importance.neuron_order(layer).into_iter().take(neurons).collect())
                .collect(),
        })
    }

    /// Keeps the `heads` most important heads across all layers, in the order of [`Importance::ordered_heads`], and all
    /// neurons. Each layer keeps at least its most important head.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer heads than layers and for more than the encoder has; [`Error::Shape`] for the
    /// importance of another encoder.
    pub fn most_important_heads(encoder: &Encoder, importance: &Importance, heads: usize) -> Result<Self> {
        let (layers, each) = (encoder.layers(), encoder.config().num_attention_heads);
        if !(layers..=layers * each).contains(&heads) {
            return Err(Error::argument("heads", format!("{layers} to {}", layers * each), heads.to_string()));
        }
        // One of each layer, and all neurons.
        let mut plan = Self::most_important(encoder, importance, 1, encoder.config().intermediate_size)?;
        let mut by_layer: Vec<Vec<usize>> = plan.heads.iter().map(|first| first.iter().collect()).collect();
        let others = importance.ordered_heads().into_iter().filter(|(layer, head)| !plan.heads[*layer].contains(*head));
        others.take(heads - layers).for_each(|(layer, head)| by_layer[layer].push(head));
        plan.heads = by_layer.into_iter().map(|heads| HeadSet::from_indices(heads, each)).collect::<Result<_>>()?;
        plan.neurons = encoder.blocks().iter().map(|block| (0..block.width).collect()).collect();
        Ok(plan)
    }

    fn check(&self, encoder: &Encoder) -> Result<()> {
        let (heads, neurons) = (encoder.config().num_attention_heads, encoder.config().intermediate_size);
        let (plan, got) = (self.layers.len(), [self.heads.len(), self.neurons.len()]);
        if got != [plan, plan] {
            let what = "kept heads and neurons".into();
            return Err(Error::Shape { what, expected: vec![plan, plan], got: got.to_vec() });
        }
        check_layers(&self.layers, encoder.layers())?;
        for (set, list) in self.heads.iter().zip(&self.neurons) {
            set.check(heads)?;
            let mut sorted = list.clone();
            sorted.sort_unstable();
            sorted.dedup();
            if list.is_empty() || sorted.len() < list.len() || sorted.last().is_some_and(|last| *last >= neurons) {
                let expected = format!("one or more different ones below {neurons}");
                return Err(Error::argument("neurons", expected, format!("{list:?}")));
            }
        }
        Ok(())
    }
}

impl Encoder {
    /// Creates an encoder with only the layers, heads and neurons of `plan`, with independent weights. The outputs
    /// equal those of this encoder if it skips the other layers, heads and neurons.
    ///
    /// # Files
    /// Removed layers are absent. All feed-forward matrices have the width of the widest one, with zeros after the
    /// remaining neurons. Pruned heads are zeros. So the saved directory has the standard format: `transformers` loads
    /// it unchanged, with the same outputs. Two additional fields in `config.json` record the zeros, with one entry for
    /// each layer: `"kept_heads": [[0, 2], …]` and `"kept_neurons": [17, …]` (the number of remaining neurons, which
    /// come first). This crate does not compute the zeros: [`HeadPlan::Full`](crate::HeadPlan::Full) selects all
    /// remaining heads.
    ///
    /// # Errors
    /// [`Error::Argument`], [`Error::Shape`] or [`Error::Range`] for layers, heads or neurons in the plan that do not
    /// exist; errors of candle.
    pub fn prune(&self, plan: &PrunePlan) -> Result<Self> {
        plan.check(self)?;
        let width = plan.neurons.iter().map(Vec::len).max().unwrap_or(0);
        let mut config = self.config().clone();
        (config.num_hidden_layers, config.intermediate_size) = (plan.layers.len(), width);
        let heads: Vec<Vec<usize>> = plan.heads.iter().map(|set| set.iter().collect()).collect();
        let widths: Vec<usize> = plan.neurons.iter().map(Vec::len).collect();
        let all = config.num_attention_heads;
        let dimensions: Vec<KeptDimensions> = plan
            .layers
            .iter()
            .zip(&plan.heads)
            .filter_map(|(layer, set)| {
                self.kept_dimensions(*layer)
                    .map(|dimensions| dimensions.clone().without_heads(|head| set.contains(head)))
            })
            .collect();
        let ragged = !dimensions.is_empty();
        for (field, value, whole) in [
            (KEPT_HEADS, json!(heads), ragged || plan.heads.iter().all(|set| set.is_full(all))),
            (KEPT_NEURONS, json!(widths), widths.iter().all(|own| *own == width)),
            (KEPT_DIMENSIONS, json!(dimensions), !ragged),
        ] {
            match whole {
                true => config.other.remove(field),
                false => config.other.insert(field.into(), value),
            };
        }
        let whole_tensors = self.whole_tensors()?;
        let tensor = |name: &str| -> Result<Tensor> {
            let missing = || Error::Parameter { name: name.into(), problem: "is missing" };
            Ok(whole_tensors.get(name).ok_or_else(missing)?.clone())
        };
        let device = self.parameters().device();
        let rows = |matrix: &Tensor, rows: &[usize]| -> Result<Tensor> {
            let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
            let plan = matrix.contiguous()?.index_select(&Tensor::new(rows, device)?, 0)?;
            Ok(plan.pad_with_zeros(0, 0, width - plan.dims()[0])?)
        };
        let mut tensors = std::collections::BTreeMap::new();
        for name in names::all(&config) {
            let Some((layer, part)) = names::in_layer(&name) else {
                tensors.insert(name.clone(), tensor(&name)?);
                continue;
            };
            let (set, neurons) = (plan.heads[layer], &plan.neurons[layer]);
            let old = tensor(&names::of_layer(plan.layers[layer], part))?;
            let size = config.head_size();
            // 1 for each entry of a kept head, of Q, K and V or of the context.
            let mask = |parts: usize| -> Result<Tensor> {
                let one = |place: usize| f32::from(u8::from(set.contains(place % config.hidden_size / size)));
                Ok(Tensor::new((0..parts * config.hidden_size).map(one).collect::<Vec<_>>(), device)?)
            };
            let new = match part {
                names::QKV => old.broadcast_mul(&mask(3)?.unsqueeze(1)?)?,
                names::QKV_BIAS => (old * mask(3)?)?,
                names::OUTPUT => old.broadcast_mul(&mask(1)?.unsqueeze(0)?)?,
                names::UP | names::UP_BIAS => rows(&old, neurons)?,
                names::DOWN => rows(&old.t()?, neurons)?.t()?,
                _ => old,
            };
            tensors.insert(name, new);
        }
        self.build_like(&config, tensors, device)
    }

    /// Creates an encoder with only the first `layers` layers, with independent weights.
    ///
    /// # Errors
    /// [`Error::Argument`] if `layers` is 0 or exceeds the number of layers.
    pub fn truncated(&self, layers: usize) -> Result<Self> {
        self.prune(&PrunePlan::first_layers(self, layers)?)
    }

    /// Heads of a layer that remain after [`prune`](Self::prune), also if the pruned model was loaded from files.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn kept_heads(&self, layer: usize) -> HeadSet {
        self.blocks()[layer].kept
    }

    /// Numbers of heads and neurons of a layer that remain after [`prune`](Self::prune). For an unpruned layer, the
    /// numbers of all its heads and neurons.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn width(&self, layer: usize) -> Width {
        let block = &self.blocks()[layer];
        Width { heads: block.kept.len(), ffn: block.width }
    }
}

/// Checks that a list of layers is not empty, ascends, and has only numbers below `all`.
fn check_layers(layers: &[usize], all: usize) -> Result<()> {
    check_count("layers", layers.len(), all)?;
    if layers.is_sorted_by(|a, b| a < b) && layers.iter().all(|layer| *layer < all) {
        return Ok(());
    }
    Err(Error::argument("layers", format!("ascending, below {all}"), format!("{layers:?}")))
}

fn check_count(field: &'static str, count: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&count) {
        return Ok(());
    }
    Err(Error::argument(field, format!("1 to {most}"), count.to_string()))
}
