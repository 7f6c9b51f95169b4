//! Local-attention initialisation: heads of the first layer that attend to neighbouring words before training.
//!
//! ```text
//! position t:     √2·s·(sin ω₀t, cos ω₀t, sin ω₁t, …, 0, …)      in as many columns as a head has
//! query of t:     g·those columns;   key of u: g·those columns, each pair turned by −ω·o
//! score:          PEAK·mean over ω of cos ω(t + o − u)            greatest at u = t + o
//! ```
//!
//! Random heads give equal weight to all words of a text, so the words next to a masked word are lost in the average.
//! As long as the neighbours do not improve predictions, no gradient moves heads towards them. For images, ConViT
//! (d'Ascoli et al. 2021, section 3) initialises heads with offsets.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor};

use super::init::TABLES;
use super::names;
use crate::config::BertConfig;
use crate::error::{Error, Result};

/// Initial difference between two attention scores of a head: at the position that it should attend to, and at a
/// distant position. With token types the difference is only about 8.
const PEAK: f64 = 10.0;
/// Highest and lowest frequency of the sinusoids in the position table, in radians per position.
const FREQUENCIES: [f64; 2] = [1.0, 0.1];
/// Factor by which the random part of the initial query and key weights is reduced.
const RANDOM: f64 = 0.3;

/// Offset in tokens from a query to the key that a head of the first layer attends to: −1, 1, −2, 2, … for heads 0, 1,
/// 2, 3, …
fn offset(head: usize) -> f64 {
    let distance = (head / 2 + 1) as f64;
    if head.is_multiple_of(2) { -distance } else { distance }
}

/// Initialises the position table with sinusoids, and the queries and keys of the first layer so that each head attends
/// to the token at a fixed offset.
///
/// # Errors
/// [`Error::Argument`] if heads have only one column, since a sinusoid needs a pair of columns.
pub(crate) fn initialise(config: &BertConfig, tensors: &mut BTreeMap<String, Tensor>) -> Result<()> {
    let (hidden, head_size) = (config.hidden_size, config.head_size());
    let pairs = head_size / 2;
    if pairs == 0 {
        return Err(Error::argument("hidden_size / num_attention_heads", "heads of at least 2", head_size.to_string()));
    }
    let frequency = |pair: usize| {
        let [greatest, least] = FREQUENCIES;
        greatest * (least / greatest).powf(pair as f64 / (pairs - 1).max(1) as f64)
    };

    // A position's row is as long as a word's row, so that positions, words and types each have a third of the norm's
    // output.
    let amplitude = TABLES * (hidden as f64 / pairs as f64).sqrt();
    let mut positions = vec![0f32; config.max_position_embeddings * hidden];
    for (position, row) in positions.chunks_exact_mut(hidden).enumerate() {
        for (pair, columns) in row[..2 * pairs].chunks_exact_mut(2).enumerate() {
            let (sine, cosine) = (position as f64 * frequency(pair)).sin_cos();
            (columns[0], columns[1]) = ((amplitude * sine) as f32, (amplitude * cosine) as f32);
        }
    }
    let shape = [config.max_position_embeddings, hidden];
    tensors.insert(names::POSITION.into(), Tensor::from_vec(positions, &shape, &Device::Cpu)?);

    // After the norm, sines and cosines have a sum of squares of hidden / 2 if there are only words and positions.
    let gain = (PEAK * (head_size as f64).sqrt() / (hidden as f64 / 2.0)).sqrt();
    let name = names::of_layer(0, names::QKV);
    let missing = || Error::Parameter { name: name.clone(), problem: "is missing" };
    let mut weights: Vec<f32> = tensors.get(&name).ok_or_else(missing)?.flatten_all()?.to_vec1()?;
    let (queries_and_keys, _) = weights.split_at_mut(2 * hidden * hidden);
    queries_and_keys.iter_mut().for_each(|weight| *weight *= RANDOM as f32);
    for head in 0..config.num_attention_heads {
        for pair in 0..pairs {
            let (sine, cosine) = (frequency(pair) * offset(head)).sin_cos();
            let (query, key) = (head * head_size + 2 * pair, hidden + head * head_size + 2 * pair);
            let mut add = |row: usize, column: usize, weight: f64| {
                queries_and_keys[row * hidden + column] += (gain * weight) as f32;
            };
            add(query, 2 * pair, 1.0);
            add(query + 1, 2 * pair + 1, 1.0);
            // The pair (sin ωu, cos ωu) becomes (sin ω(u − o), cos ω(u − o)).
            add(key, 2 * pair, cosine);
            add(key, 2 * pair + 1, -sine);
            add(key + 1, 2 * pair, sine);
            add(key + 1, 2 * pair + 1, cosine);
        }
    }
    tensors.insert(name, Tensor::from_vec(weights, &[3 * hidden, hidden], &Device::Cpu)?);
    Ok(())
}
