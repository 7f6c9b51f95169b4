//! How much a head can do, judged by its weights alone.

use super::Encoder;
use crate::{Error, Result};

impl Encoder {
    /// A magnitude importance of each head of a layer: ‖W_v,h‖_F · ‖W_o,h‖_F, where W_v,h are the rows of the value
    /// matrix and W_o,h the columns of the output matrix that belong to head h.
    ///
    /// A head adds W_o,h·W_v,h·x, weighted over the tokens, to a row, and the Frobenius norm of W_o,h·W_v,h is at most
    /// this product. It costs no data and no pass; where data are at hand, what a head does to the loss says more
    /// (Michel et al. 2019).
    ///
    /// # Errors
    /// [`Error::Setting`] when there is no such layer; what candle reports.
    pub fn head_magnitudes(&self, layer: usize) -> Result<Vec<f64>> {
        let block = self.blocks.get(layer).ok_or_else(|| Error::Setting {
            field: "layer",
            expected: format!("below {}", self.blocks.len()),
            got: layer.to_string(),
        })?;
        let attention = &block.attention;
        let (hidden, size) = (self.config.hidden_size, attention.head_dim);
        // V comes after Q and K. (hidden, hidden), both with a head's numbers in `size` rows.
        let value = attention.qkv.var().narrow(0, 2 * hidden, hidden)?;
        let output = attention.output.var().t()?;
        let norms = |matrix: &candle_core::Tensor| -> Result<Vec<f64>> {
            let rows: Vec<Vec<f32>> = matrix.to_vec2()?;
            let squares = |rows: &[Vec<f32>]| rows.iter().flatten().map(|w| f64::from(*w).powi(2)).sum::<f64>();
            Ok(rows.chunks_exact(size).map(|rows| squares(rows).sqrt()).collect())
        };
        Ok(norms(&value)?.into_iter().zip(norms(&output)?).map(|(value, output)| value * output).collect())
    }
}
