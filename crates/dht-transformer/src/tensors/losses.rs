//! Losses, one number a sample.

use candle_core::{D, Tensor};

use crate::error::{Error, Result};

/// −log softmax(logits)ₗ of each sample's label l, in nats. (samples, classes) → (samples).
///
/// # Errors
/// [`Error::Shape`] when there are not as many labels as rows; [`Error::Setting`] for a label that is no class.
pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let (samples, classes) = logits.dims2()?;
    if labels.len() != samples {
        return Err(Error::Shape { what: "labels".into(), expected: vec![samples], got: vec![labels.len()] });
    }
    if let Some(label) = labels.iter().find(|label| **label as usize >= classes) {
        return Err(Error::setting("label", format!("below {classes}"), label.to_string()));
    }
    let labels = Tensor::from_slice(labels, (samples, 1), logits.device())?;
    Ok(log_softmax(logits)?.gather(&labels, 1)?.squeeze(1)?.neg()?)
}

/// log softmax over the last axis, shifted by its maximum.
///
/// # Errors
/// What candle reports.
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    Ok(shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?)
}

/// Each sample's Σ q·(log q − log p) between a teacher's soft labels q = softmax(teacher/τ) and p = softmax(logits/τ),
/// times τ² (Hinton et al. 2015). The teacher gets no gradient. (samples, classes) → (samples).
///
/// # Errors
/// What candle reports.
pub fn soft_cross_entropy(logits: &Tensor, teacher: &Tensor, temperature: f64) -> Result<Tensor> {
    let teacher = log_softmax(&(teacher.detach() / temperature)?)?;
    let student = log_softmax(&(logits / temperature)?)?;
    let divergence = (teacher.exp()? * (teacher - student)?)?.sum(D::Minus1)?;
    Ok((divergence * (temperature * temperature))?)
}

/// The mean over the labels of −t·log σ(x) − (1 − t)·log(1 − σ(x)), for each sample: several labels may apply, each is
/// decided for itself. Computed as max(x, 0) − x·t + log(1 + e^(−|x|)), which no logit overflows. Both are (samples,
/// labels), targets 0 or 1; the result is (samples).
///
/// # Errors
/// [`Error::Shape`] when the shapes differ; what candle reports.
pub fn binary_cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    same_shape(logits, targets)?;
    let unlikely = ((logits.abs()?.neg()?.exp()? + 1.0)?).log()?;
    Ok(((logits.relu()? - (logits * targets)?)? + unlikely)?.mean(D::Minus1)?)
}

/// The mean over the outputs of (x − t)², for each sample. Both are (samples, outputs); the result is (samples).
///
/// # Errors
/// [`Error::Shape`] when the shapes differ; what candle reports.
pub fn squared_error(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    same_shape(outputs, targets)?;
    Ok((outputs - targets)?.sqr()?.mean(D::Minus1)?)
}

fn same_shape(outputs: &Tensor, targets: &Tensor) -> Result<()> {
    let (expected, got) = (outputs.dims().to_vec(), targets.dims().to_vec());
    if expected == got { Ok(()) } else { Err(Error::Shape { what: "targets".into(), expected, got }) }
}
