//! Attention sublayer from which single dimensions were pruned, so that its matrices differ in size.

use std::sync::Arc;

use candle_core::Tensor;

use super::names;
use crate::backend::{LinearParameters, RaggedHead, RaggedParameters, RelativeBias};
use crate::config::{BertConfig, KeptDimensions};
use crate::error::Result;
use crate::flops::LayerSizes;
use crate::tensors::{Parameter, Parameters};

/// Attention sublayer with pruned dimensions. Q, K and V each read their own columns of the hidden states x, and each
/// head h has its own widths:
///
/// ```text
/// q = x[:, e_q]·W_qᵀ + b_q          (tokens, A)      k likewise;  v: (tokens, B)
/// c_h = softmax(q_h·k_hᵀ/√a)·v_h    (tokens, h_v)    a: the width of a whole head
/// y = LayerNorm(x + c·W_oᵀ + b_o)   (tokens, hidden)
/// ```
#[derive(Debug, Clone)]
pub(crate) struct RaggedAttention {
    parameters: Arc<RaggedParameters>,
    kept: KeptDimensions,
}

impl RaggedAttention {
    /// Builds an attention sublayer with pruned dimensions. `fetch` returns a tensor of the unpruned layer by its name.
    /// The new parameters have Hugging Face's names.
    pub(super) fn build(
        config: &BertConfig,
        layer: usize,
        (dimensions, relative_bias): (&KeptDimensions, Option<&RelativeBias>),
        fetch: &dyn Fn(&str) -> Result<Tensor>,
        parameters: &mut Parameters,
    ) -> Result<Self> {
        let (hidden, device) = (config.hidden_size, parameters.device().clone());
        let whole =
            |tensor: &str| Ok::<_, crate::error::Error>(fetch(&names::of_layer(layer, tensor))?.to_device(&device)?);
        let index = |list: &[usize]| -> Result<Tensor> {
            Ok(Tensor::from_iter(list.iter().map(|place| *place as u32), &device)?)
        };
        let (qkv, bias) = (whole(names::QKV)?, whole(names::QKV_BIAS)?);
        let (compared, values) = (dimensions.query_key_rows(config), dimensions.value_rows(config));
        let names = names::parts(&names::of_layer(layer, "attention.self.qkv.")).unwrap_or_default();
        let mut project = |part: usize, inputs: &[usize], rows: &[usize]| -> Result<LinearParameters> {
            let at = index(rows)?;
            let matrix = qkv.narrow(0, part * hidden, hidden)?.contiguous()?.index_select(&at, 0)?;
            let bias = bias.narrow(0, part * hidden, hidden)?.index_select(&at, 0)?;
            Ok(LinearParameters {
                weight: parameters
                    .insert(format!("{}weight", names[part]), &matrix.index_select(&index(inputs)?, 1)?)?,
                bias: parameters.insert(format!("{}bias", names[part]), &bias)?,
                inputs: inputs.len(),
                outputs: rows.len(),
            })
        };
        let projections = [
            project(0, &dimensions.query_inputs, &compared)?,
            project(1, &dimensions.key_inputs, &compared)?,
            project(2, &dimensions.value_inputs, &values)?,
        ];
        let output = whole(names::OUTPUT)?.contiguous()?.index_select(&index(&values)?, 1)?;
        let mut insert = |tensor: &str, value: &Tensor| parameters.insert(names::of_layer(layer, tensor), value);
        let output = LinearParameters {
            weight: insert(names::OUTPUT, &output)?,
            bias: insert(names::OUTPUT_BIAS, &whole(names::OUTPUT_BIAS)?)?,
            inputs: values.len(),
            outputs: hidden,
        };
        let inputs =
            |list: &Vec<usize>| (list.len() < hidden).then(|| list.iter().map(|input| *input as u32).collect());
        let head = |number: usize| RaggedHead {
            number,
            query_key: dimensions.query_key_outputs[number].len(),
            value: dimensions.value_outputs[number].len(),
        };
        let parameters = RaggedParameters {
            projections,
            output,
            scale: insert(names::ATTENTION_SCALE, &whole(names::ATTENTION_SCALE)?)?,
            shift: insert(names::ATTENTION_SHIFT, &whole(names::ATTENTION_SHIFT)?)?,
            epsilon: config.layer_norm_eps,
            inputs: [
                inputs(&dimensions.query_inputs),
                inputs(&dimensions.key_inputs),
                inputs(&dimensions.value_inputs),
            ],
            heads: dimensions.heads().into_iter().map(head).collect(),
            head_dim: config.head_size(),
            all_heads: config.num_attention_heads,
            bias: relative_bias.cloned(),
        };
        Ok(Self { parameters: Arc::new(parameters), kept: dimensions.clone() })
    }

    pub(super) fn parameters(&self) -> Vec<&Parameter> {
        self.parameters.all().to_vec()
    }

    /// Weight of the output projection, from the outputs of all heads to the hidden size: shape (hidden, columns of all
    /// heads).
    pub(crate) fn output(&self) -> &Parameter {
        &self.parameters.output.weight
    }

    /// Number of the head to which each column of the output projection belongs.
    pub(crate) fn column_heads(&self) -> Vec<usize> {
        self.parameters.heads.iter().flat_map(|head| std::iter::repeat_n(head.number, head.value)).collect()
    }

    /// Sizes of a layer with this attention sublayer. `whole` has the sizes of the unpruned layer; the attention sizes
    /// in it are replaced.
    pub(super) fn sizes(&self, whole: LayerSizes) -> LayerSizes {
        let [query, key, value] = &self.parameters.projections;
        LayerSizes {
            query_inputs: query.inputs,
            key_inputs: key.inputs,
            value_inputs: value.inputs,
            query_key: query.outputs,
            value: value.outputs,
            ..whole
        }
    }

    /// Dimensions of the unpruned sublayer that pruning has left.
    pub(crate) fn kept(&self) -> &KeptDimensions {
        &self.kept
    }

    pub(super) fn weights(&self) -> &Arc<RaggedParameters> {
        &self.parameters
    }

    /// Returns a tensor of the unpruned layer by its name, with zeros in place of pruned dimensions. `None` if pruning
    /// did not change the tensor.
    pub(super) fn whole_tensor(&self, config: &BertConfig, tensor: &str) -> Result<Option<Tensor>> {
        let (hidden, dimensions) = (config.hidden_size, &self.kept);
        let (compared, values) = (dimensions.query_key_rows(config), dimensions.value_rows(config));
        let parts = [
            (&compared, &dimensions.query_inputs),
            (&compared, &dimensions.key_inputs),
            (&values, &dimensions.value_inputs),
        ];
        let numbers = |parameter: &Parameter| parameter.var().flatten_all()?.to_vec1::<f32>();
        let (shape, whole): (Vec<usize>, Vec<f32>) = match tensor {
            names::QKV => {
                let mut whole = vec![0f32; 3 * hidden * hidden];
                for (part, ((rows, inputs), linear)) in parts.into_iter().zip(&self.parameters.projections).enumerate()
                {
                    let from = numbers(&linear.weight)?;
                    for (row, from) in rows.iter().zip(from.chunks_exact(inputs.len())) {
                        let to = &mut whole[(part * hidden + row) * hidden..][..hidden];
                        inputs.iter().zip(from).for_each(|(input, number)| to[*input] = *number);
                    }
                }
                (vec![3 * hidden, hidden], whole)
            }
            names::QKV_BIAS => {
                let mut whole = vec![0f32; 3 * hidden];
                for (part, ((rows, _), linear)) in parts.into_iter().zip(&self.parameters.projections).enumerate() {
                    let from = numbers(&linear.bias)?;
                    rows.iter().zip(from).for_each(|(row, number)| whole[part * hidden + row] = number);
                }
                (vec![3 * hidden], whole)
            }
            names::OUTPUT => {
                let mut whole = vec![0f32; hidden * hidden];
                let from = numbers(self.output())?;
                for (to, from) in whole.chunks_exact_mut(hidden).zip(from.chunks_exact(values.len())) {
                    values.iter().zip(from).for_each(|(column, number)| to[*column] = *number);
                }
                (vec![hidden, hidden], whole)
            }
            _ => return Ok(None),
        };
        Ok(Some(Tensor::from_vec(whole, shape, self.output().var().device())?))
    }
}
