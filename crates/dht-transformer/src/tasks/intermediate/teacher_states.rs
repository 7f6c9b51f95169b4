//! Stored intermediate results of a teacher, so that it runs once for each text instead of once in every epoch.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{Device, Tensor};

use crate::backend::ForwardContext;
use crate::data::{EncodedDataset, PackedBatch};
use crate::error::{Error, Result};
use crate::model::LayerRecord;
use crate::tasks::TextClassifier;
use crate::tensors::{Hidden, Packing, wide};

/// Stored intermediate results of a teacher for distillation: embeddings, hidden states and attention scores. They are
/// looked up by the token ids of a text. [`IntermediateLoss`](super::IntermediateLoss) compares a student with them.
///
/// A text of t tokens takes 4·t·((L + 1)·d + L·h·t) bytes if the student has L layers, and the teacher has the hidden
/// size d and h heads.
///
/// # Examples
/// ```
/// use candle_core::Device;
/// use dht_transformer::tasks::{LayerMap, TeacherStates};
/// use dht_transformer::{BertConfig, Encoder, Pooling, TextClassifier, TextTokenizer};
/// # use rand::SeedableRng;
/// # let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
///
/// let tokenizer = TextTokenizer::from_vocabulary(&["fine", "food"].map(String::from))?;
/// let texts = tokenizer.encode_texts(&["fine food"], 16)?; // four tokens
/// let config = BertConfig::small(2, 2, 8, tokenizer.vocabulary_size())?;
/// let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
/// let teacher = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
///
/// let layers = LayerMap::Last.teacher_layers(1, 2)?;
/// let states = TeacherStates::of_teacher(&teacher, &layers, &texts, 4, 1 << 20)?;
/// assert_eq!((states.len(), states.bytes()), (1, 4 * 4 * ((1 + 1) * 8 + 1 * 2 * 4)));
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug)]
pub struct TeacherStates {
    layers: Vec<usize>,
    hidden: usize,
    /// Numbers of the attention heads that were not pruned, for each stored layer.
    heads: Vec<Vec<usize>>,
    rows: HashMap<Vec<u32>, TextStates>,
    bytes: usize,
    device: Device,
}

#[derive(Debug)]
struct TextStates {
    tokens: usize,
    /// Embedding output of the teacher for the text, shape (tokens, hidden).
    embedded: Vec<f32>,
    /// Hidden states (tokens, hidden) and attention scores (heads, tokens, tokens) after each stored layer of the
    /// teacher.
    layers: Vec<(Vec<f32>, Vec<f32>)>,
}

impl TextStates {
    fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(|(rows, scores)| rows.len() + scores.len()).sum();
        4 * (self.embedded.len() + layers)
    }
}

impl TeacherStates {
    /// Runs the teacher once on texts and stores its intermediate results. Short texts come first, until the results
    /// take `most_bytes` bytes. For texts without stored results, the teacher runs during training. `layers` has the
    /// teacher's layer for each layer of the student, as [`LayerMap::teacher_layers`](super::LayerMap::teacher_layers)
    /// returns them.
    ///
    /// # Errors
    /// [`Error::Argument`] if the teacher does not have one of the layers, or the batch size is 0. Errors of
    /// [`Encoder::embed`](crate::Encoder::embed).
    pub fn of_teacher(
        teacher: &TextClassifier,
        layers: &[usize],
        data: &EncodedDataset,
        batch_size: usize,
        most_bytes: usize,
    ) -> Result<Self> {
        let config = teacher.encoder().config();
        if let Some(layer) = layers.iter().find(|layer| **layer >= config.num_hidden_layers) {
            return Err(Error::argument(
                "layers",
                format!("layers below {}", config.num_hidden_layers),
                layer.to_string(),
            ));
        }
        let heads = layers.iter().map(|layer| teacher.encoder().kept_heads(*layer).iter().collect()).collect();
        let (hidden, device) = (config.hidden_size, teacher.encoder().parameters().device().clone());
        let mut states = Self { layers: layers.to_vec(), hidden, heads, rows: HashMap::new(), bytes: 0, device };
        let (lengths, ctx) = (data.lengths(), ForwardContext::inference());
        for batch in PackedBatch::longest_first(&lengths, batch_size)?.into_iter().rev() {
            let expected: usize = batch.iter().map(|row| states.bytes_of(lengths[*row])).sum();
            if states.bytes + expected > most_bytes {
                break;
            }
            states.add(&data.batch(&batch)?, teacher, &ctx)?;
        }
        Ok(states)
    }

    /// Stored layers of the teacher, one for each layer of the student.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// Number of distinct texts with stored results.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether no text is stored.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Size of the stored results in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn bytes_of(&self, tokens: usize) -> usize {
        let scores: usize = self.heads.iter().map(|heads| heads.len() * tokens * tokens).sum();
        4 * (tokens * self.hidden * (self.layers.len() + 1) + scores)
    }

    fn add(&mut self, batch: &PackedBatch, teacher: &TextClassifier, ctx: &ForwardContext) -> Result<()> {
        let (embedded, records) = teacher.encoder().run_recorded(batch, ctx)?;
        let numbers = |tensor: &Tensor| -> Result<Vec<f32>> { Ok(wide(tensor)?.flatten_all()?.to_vec1()?) };
        let embedded = numbers(embedded.tensor())?;
        let of_layer =
            |layer: &usize| Ok((numbers(records[*layer].hidden.tensor())?, numbers(&records[*layer].scores)?));
        let layers: Vec<(Vec<f32>, Vec<f32>)> = self.layers.iter().map(of_layer).collect::<Result<_>>()?;
        let longest = batch.spans.longest();
        let places = batch.contents().zip(batch.spans.starts().iter().zip(batch.spans.lengths()));
        for (sample, (text, (start, tokens))) in places.enumerate() {
            let rows = |all: &[f32]| all[start * self.hidden..][..tokens * self.hidden].to_vec();
            let scores = |all: &[f32], heads: usize| -> Vec<f32> {
                let of_sample = &all[sample * heads * longest * longest..][..heads * longest * longest];
                let queries =
                    of_sample.chunks_exact(longest * longest).flat_map(|head| head.chunks_exact(longest).take(tokens));
                queries.flat_map(|keys| &keys[..tokens]).copied().collect()
            };
            let of_layers = layers.iter().zip(&self.heads);
            let states = TextStates {
                tokens,
                embedded: rows(&embedded),
                layers: of_layers.map(|((hidden, all), heads)| (rows(hidden), scores(all, heads.len()))).collect(),
            };
            let bytes = states.bytes();
            // The same text may occur in several rows.
            if self.rows.insert(text, states).is_none() {
                self.bytes += bytes;
            }
        }
        Ok(())
    }

    /// Stored results for a batch, in the row order of `batch`: embeddings, and the hidden states and attention scores
    /// after each layer. Returns `None` if a text of the batch is not stored.
    pub(super) fn of_batch(
        &self,
        batch: &PackedBatch,
        packing: &Arc<Packing>,
    ) -> Result<Option<(Hidden, Vec<LayerRecord>)>> {
        let Some(texts) = batch.contents().map(|text| self.rows.get(&text)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let lengths: Vec<usize> = batch.spans.lengths().collect();
        let (tokens, longest) = (lengths.iter().sum::<usize>(), lengths.iter().copied().max().unwrap_or(0));
        let rows = |of: &dyn Fn(&TextStates) -> &[f32]| -> Result<Hidden> {
            let numbers: Vec<f32> = texts.iter().flat_map(|text| of(text)).copied().collect();
            Hidden::new(Tensor::from_vec(numbers, (tokens, self.hidden), &self.device)?, packing.clone())
        };
        let record = |(layer, heads): (usize, &Vec<usize>)| -> Result<LayerRecord> {
            let mut scores = vec![0f32; texts.len() * heads.len() * longest * longest];
            let of_heads = texts.iter().zip(scores.chunks_exact_mut(heads.len() * longest * longest));
            for (text, scores) in of_heads {
                let stored = text.layers[layer].1.chunks_exact(text.tokens * text.tokens);
                for (stored, scores) in stored.zip(scores.chunks_exact_mut(longest * longest)) {
                    let keys = stored.chunks_exact(text.tokens).zip(scores.chunks_exact_mut(longest));
                    keys.for_each(|(stored, scores)| scores[..text.tokens].copy_from_slice(stored));
                }
            }
            let shape = (texts.len(), heads.len(), longest, longest);
            Ok(LayerRecord {
                hidden: rows(&|text| &text.layers[layer].0)?,
                scores: Tensor::from_vec(scores, shape, &self.device)?,
                heads: heads.clone(),
            })
        };
        let records = self.heads.iter().enumerate().map(record).collect::<Result<_>>()?;
        Ok(Some((rows(&|text| &text.embedded)?, records)))
    }
}
