//! Head ablation: predictions of a classifier without one attention head, and with this head alone in its layer.

use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, Result};
use crate::model::Encoder;
use crate::tensors::{HeadPlan, HeadSet, Hidden};

/// Predictions of a model in two ablations of an attention head: without the head, and with the head alone in its
/// layer. All other layers run all heads, and nothing is trained. These are the ablations of Michel, Levy and Neubig
/// 2019 ("Are Sixteen Heads Really Better than One?", 3.2 and 3.3).
///
/// From the stored predictions, callers can compute any metric, and confidence intervals of differences.
///
/// # Complexity
/// The layers below the ablated one run once for all of its heads. With L layers of H heads, H·L·(L + 1) layers run for
/// each batch, about half as many as in 2·H·L forward passes.
///
/// # Examples
/// ```
/// use candle_core::{D, Device};
/// use dht_transformer::pruning::HeadAblation;
/// # use dht_transformer::{BertConfig, EncodedDataset, Encoder, Encoding, Pooling, Sample, TextClassifier};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
/// # let encoder = Encoder::random(&BertConfig::small(2, 4, 16, 20)?, &Device::Cpu, &mut rng)?;
/// # let model = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
/// # let encoding = Encoding { ids: vec![2, 5, 7], type_ids: vec![0; 3], truncated: false, rest: Default::default() };
/// # let samples = vec![Sample { id: 0, label: 1, targets: Vec::new(), encoding }];
/// # let data = EncodedDataset { samples, labels: vec!["bad".into(), "good".into()], truncated_rows: 0 };
/// let heads = HeadAblation::all_heads(model.encoder());
/// let (whole, heads) = HeadAblation::measure(model.encoder(), &data, &heads, 64, |hidden, ctx| {
///     Ok(model.classifier().forward(hidden, ctx)?.argmax(D::Minus1)?.to_vec1()?)
/// })?;
/// for head in &heads {
///     let changed = head.alone.iter().zip(&whole).filter(|(alone, whole)| alone != whole).count();
///     println!("layer {} head {} alone changes {changed} predictions", head.layer, head.head);
/// }
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadAblation {
    /// Layer number, counted from 0.
    pub layer: usize,
    /// Head number within the layer, counted from 0.
    pub head: usize,
    /// Predicted class of each row without the head. `None` if the layer has no other head.
    pub without: Option<Vec<u32>>,
    /// Predicted class of each row with the head alone in its layer.
    pub alone: Vec<u32>,
}

impl HeadAblation {
    /// Lists the heads of an encoder that were not pruned, as pairs (layer, head).
    pub fn all_heads(encoder: &Encoder) -> Vec<(usize, usize)> {
        (0..encoder.layers())
            .flat_map(|layer| encoder.kept_heads(layer).iter().map(move |head| (layer, head)))
            .collect()
    }

    /// Ablates the heads in `heads`, pairs (layer, head), on the rows of a data set. `predict` returns the class of
    /// each sample in a batch from the last hidden states. Returns the class of each row with all heads, and the
    /// ablations in the order of `heads`.
    ///
    /// # Errors
    /// [`Error::Argument`] for a layer that the encoder does not have, a pruned head, a data set without rows, or a
    /// batch size of 0. [`Error::Range`] for a head number that no layer has. These errors are returned before anything
    /// is computed. Errors of [`Encoder::embed`] and of `predict`.
    pub fn measure(
        encoder: &Encoder,
        data: &EncodedDataset,
        heads: &[(usize, usize)],
        batch_size: usize,
        predict: impl Fn(&Hidden, &ForwardContext) -> Result<Vec<u32>>,
    ) -> Result<(Vec<u32>, Vec<Self>)> {
        for (layer, head) in heads {
            check_head(encoder, *layer, *head)?;
        }
        if data.is_empty() {
            return Err(Error::argument("rows", "at least one", "none"));
        }
        let (layers, ctx) = (encoder.layers(), ForwardContext::inference());
        let classes = || vec![0; data.len()];
        let ablated = |(layer, head): &(usize, usize)| {
            let without = (encoder.kept_heads(*layer).len() > 1).then(classes);
            Self { layer: *layer, head: *head, without, alone: classes() }
        };
        let (mut whole, mut ablations): (_, Vec<Self>) = (classes(), heads.iter().map(ablated).collect());
        for rows in PackedBatch::longest_first(&data.lengths(), batch_size)? {
            let batch = data.batch(&rows)?;
            // Before each layer, and after the last.
            let mut states = vec![encoder.embed(&batch, &ctx)?];
            for layer in 0..layers {
                states.push(encoder.layer(layer, &states[layer], &HeadPlan::Full, None, &ctx)?);
            }
            let put = |classes: &mut [u32], hidden: &Hidden| -> Result<()> {
                let predicted = predict(hidden, &ctx)?;
                if predicted.len() != rows.len() {
                    let (expected, got) = (vec![rows.len()], vec![predicted.len()]);
                    return Err(Error::Shape { what: "predicted classes".into(), expected, got });
                }
                rows.iter().zip(predicted).for_each(|(row, class)| classes[*row] = class);
                Ok(())
            };
            put(&mut whole, &states[layers])?;
            for Self { layer, head, without, alone } in &mut ablations {
                let with = |heads: HeadSet| -> Result<Hidden> {
                    let hidden = encoder.layer(*layer, &states[*layer], &HeadPlan::Same(heads), None, &ctx)?;
                    encoder.run(*layer + 1..layers, &hidden, &HeadPlan::Full, &ctx)
                };
                let all = encoder.kept_heads(*layer);
                let one = HeadSet::from_indices([*head], encoder.config().num_attention_heads)?;
                put(alone, &with(one)?)?;
                if let (Some(classes), Some(others)) = (without, all.difference(one)) {
                    put(classes, &with(others)?)?;
                }
            }
        }
        Ok((whole, ablations))
    }
}

fn check_head(encoder: &Encoder, layer: usize, head: usize) -> Result<()> {
    let (layers, heads) = (encoder.layers(), encoder.config().num_attention_heads);
    if layer >= layers {
        return Err(Error::Range { what: "layer", got: layer, below: layers });
    }
    if head >= heads {
        return Err(Error::Range { what: "head", got: head, below: heads });
    }
    let remaining = encoder.kept_heads(layer);
    match remaining.contains(head) {
        true => Ok(()),
        false => Err(Error::argument("head", format!("one that layer {layer} has: {remaining}"), head.to_string())),
    }
}
