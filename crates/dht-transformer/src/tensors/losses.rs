//! Loss functions, which return one loss for each sample.

use candle_core::{D, Tensor};

use crate::error::{Error, Result};

/// Computes the cross-entropy of each sample in nats, −log softmax(logits)ₗ for its label l. The logits have the shape
/// (samples, classes), the result (samples).
///
/// # Errors
/// [`Error::Shape`] if the number of labels differs from the number of rows; [`Error::Range`] for a label that is not a
/// class.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use dht_transformer::tensors::cross_entropy;
///
/// let logits = Tensor::new(&[[0f32, 0.0], [9.0, -9.0]], &Device::Cpu)?;
/// let losses = cross_entropy(&logits, &[1, 0])?.to_vec1::<f32>()?;
/// assert!((losses[0] - 2f32.ln()).abs() < 1e-6 && losses[1] < 1e-6);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let (samples, classes) = logits.dims2()?;
    if labels.len() != samples {
        return Err(Error::Shape { what: "labels".into(), expected: vec![samples], got: vec![labels.len()] });
    }
    if let Some(label) = labels.iter().find(|label| **label as usize >= classes) {
        return Err(Error::Range { what: "label", got: *label as usize, below: classes });
    }
    let labels = Tensor::from_slice(labels, (samples, 1), logits.device())?;
    Ok(log_softmax(logits)?.gather(&labels, 1)?.squeeze(1)?.neg()?)
}

/// Computes the log-softmax over the last axis. The maximum is subtracted first, so that nothing overflows.
///
/// # Errors
/// [`Error::Candle`] if a tensor operation fails.
pub fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    Ok(shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?)
}

/// Computes the distillation loss of each sample, τ²·Σ q·(log q − log p) over the classes, with the temperature τ. The
/// logits have the shape (samples, classes), the result (samples).
///
/// The soft labels of the teacher are q = softmax(teacher/τ), and p = softmax(logits/τ) (Hinton et al. 2015). The
/// teacher's logits receive no gradient.
///
/// # Errors
/// [`Error::Candle`] if a tensor operation fails.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use dht_transformer::tensors::soft_cross_entropy;
///
/// let teacher = Tensor::new(&[[1f32, 0.0], [0.0, 2.0]], &Device::Cpu)?;
/// let losses = soft_cross_entropy(&teacher, &teacher, 2.0)?.to_vec1::<f32>()?;
/// assert!(losses.iter().all(|loss| loss.abs() < 1e-6)); // the student equals its teacher
/// # Ok::<(), dht_transformer::Error>(())
/// ```
pub fn soft_cross_entropy(logits: &Tensor, teacher: &Tensor, temperature: f64) -> Result<Tensor> {
    let teacher = log_softmax(&(teacher.detach() / temperature)?)?;
    let student = log_softmax(&(logits / temperature)?)?;
    let divergence = (teacher.exp()? * (teacher - student)?)?.sum(D::Minus1)?;
    Ok((divergence * (temperature * temperature))?)
}

/// Computes the cosine distance 1 − a·b / (‖a‖·‖b‖) between each row a and its target b: 0 for equal directions, 2 for
/// opposite directions. `targets` receive no gradient. Norms are limited to at least 10⁻⁸. Both arguments are (rows,
/// width), and the result is (rows).
///
/// # Errors
/// [`Error::Shape`] if the shapes differ.
pub(crate) fn cosine_distance(rows: &Tensor, targets: &Tensor) -> Result<Tensor> {
    same_shape(rows, targets)?;
    let targets = targets.detach();
    let norm = |rows: &Tensor| rows.sqr()?.sum(D::Minus1)?.maximum(1e-16)?.sqrt();
    let norms = (norm(rows)? * norm(&targets)?)?;
    Ok((1.0 - ((rows * &targets)?.sum(D::Minus1)? / norms)?)?)
}

/// Computes the binary cross-entropy of each sample for multi-label classification. With the logit x and the target t
/// (0 or 1) of a label, it is the mean of −t·log σ(x) − (1 − t)·log(1 − σ(x)) over the labels. Both arguments are
/// (samples, labels); the result is (samples).
///
/// The loss is computed as max(x, 0) − x·t + log(1 + e^(−|x|)), which does not overflow.
///
/// # Errors
/// [`Error::Shape`] if the shapes differ; [`Error::Candle`] if a tensor operation fails.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use dht_transformer::tensors::binary_cross_entropy;
///
/// let logits = Tensor::new(&[[0f32, 20.0]], &Device::Cpu)?;
/// let targets = Tensor::new(&[[1f32, 1.0]], &Device::Cpu)?;
/// let losses = binary_cross_entropy(&logits, &targets)?.to_vec1::<f32>()?;
/// assert!((losses[0] - 2f32.ln() / 2.0).abs() < 1e-6);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
pub fn binary_cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    same_shape(logits, targets)?;
    let unlikely = ((logits.abs()?.neg()?.exp()? + 1.0)?).log()?;
    Ok(((logits.relu()? - (logits * targets)?)? + unlikely)?.mean(D::Minus1)?)
}

/// Computes the squared error of each sample: the mean of (x − t)² over the outputs x and their targets t. Both
/// arguments are (samples, outputs); the result is (samples).
///
/// # Errors
/// [`Error::Shape`] if the shapes differ.
pub(crate) fn squared_error(outputs: &Tensor, targets: &Tensor) -> Result<Tensor> {
    same_shape(outputs, targets)?;
    Ok((outputs - targets)?.sqr()?.mean(D::Minus1)?)
}

fn same_shape(outputs: &Tensor, targets: &Tensor) -> Result<()> {
    let (expected, got) = (outputs.dims().to_vec(), targets.dims().to_vec());
    if expected == got { Ok(()) } else { Err(Error::Shape { what: "targets".into(), expected, got }) }
}

#[cfg(test)]
mod tests {
    use approx::assert_relative_eq;
    use candle_core::{Device, Var};

    use super::*;

    fn rows<const R: usize, const C: usize>(values: [[f32; C]; R]) -> Tensor {
        Tensor::new(&values, &Device::Cpu).unwrap()
    }

    #[test]
    fn the_divergence_at_a_temperature_is_what_hand_arithmetic_says() {
        // softmax([2 ln 3, 0] / 2) = [3/4, 1/4] and softmax([0, 0] / 2) = [1/2, 1/2], so the loss is 2²·(¾·ln 3/2 +
        // ¼·ln 1/2).
        let teacher = rows([[2.0 * 3f32.ln(), 0.0], [1.0, 4.0]]);
        let student = rows([[0.0, 0.0], [1.0, 4.0]]);
        let losses: Vec<f32> = soft_cross_entropy(&student, &teacher, 2.0).unwrap().to_vec1().unwrap();
        assert_relative_eq!(losses[0], 4.0 * (0.75 * 1.5f32.ln() + 0.25 * 0.5f32.ln()), epsilon = 1e-6);
        assert_relative_eq!(losses[0], 0.523_248, epsilon = 1e-5);
        assert_relative_eq!(losses[1], 0.0, epsilon = 1e-6);
    }

    #[test]
    fn the_losses_equal_their_definitions_without_overflow() {
        let (logits, targets) = (rows([[0.3, -2.0], [500.0, -500.0]]), rows([[1.0, 0.0], [0.0, 1.0]]));
        let losses: Vec<f32> = binary_cross_entropy(&logits, &targets).unwrap().to_vec1().unwrap();
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let expected = -(sigmoid(0.3).ln() + (1.0 - sigmoid(-2.0)).ln()) / 2.0;
        assert_relative_eq!(losses[0], expected, epsilon = 1e-6);
        assert_relative_eq!(losses[1], 500.0, epsilon = 1e-3);
        let losses: Vec<f32> = squared_error(&rows([[1.0, 2.0]]), &rows([[0.0, 4.0]])).unwrap().to_vec1().unwrap();
        assert_eq!(losses, [2.5]);
        assert!(binary_cross_entropy(&logits, &rows([[1.0, 0.0]])).is_err());
        assert!(squared_error(&logits, &rows([[1.0, 0.0]])).is_err());
    }

    #[test]
    fn the_cosine_distance_is_what_hand_arithmetic_says() {
        // The first cosine is (1·3 + 2·0 + 2·4) / (3·5) = 11/15. The other rows have equal directions, opposite
        // directions, orthogonal directions, and no direction.
        let a = rows([[1.0, 2.0, 2.0], [1.0, 2.0, 2.0], [1.0, 2.0, 2.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0]]);
        let b = rows([[3.0, 0.0, 4.0], [2.0, 4.0, 4.0], [-1.0, -2.0, -2.0], [5.0, 0.0, 0.0], [1.0, 0.0, 0.0]]);
        let distances: Vec<f32> = cosine_distance(&a, &b).unwrap().to_vec1().unwrap();
        for (distance, expected) in distances.into_iter().zip([4.0 / 15.0, 0.0, 2.0, 1.0, 1.0]) {
            assert_relative_eq!(distance, expected, epsilon = 1e-6);
        }
        assert!(cosine_distance(&a, &rows([[1.0, 0.0, 0.0]])).is_err());
    }

    #[test]
    fn the_cosine_distance_has_its_slope_and_no_target_gradient() {
        let (at, target) = ([[0.5_f32, -1.0, 2.0]], [[1.0_f32, 0.3, 0.7]]);
        let (rows, targets) = (Var::new(&at, &Device::Cpu).unwrap(), Var::new(&target, &Device::Cpu).unwrap());
        let gradients = cosine_distance(&rows, &targets).unwrap().sum_all().unwrap().backward().unwrap();
        let gradient: Vec<Vec<f32>> = gradients.get(&rows).unwrap().to_vec2().unwrap();
        let distance = |row: [f64; 3]| {
            let b = target[0].map(f64::from);
            let dot = |a: [f64; 3], b: [f64; 3]| a.into_iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            1.0 - dot(row, b) / (dot(row, row).sqrt() * dot(b, b).sqrt())
        };
        for column in 0..3 {
            let shifted = |by: f64| {
                let mut row = at[0].map(f64::from);
                row[column] += by;
                distance(row)
            };
            let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert_relative_eq!(f64::from(gradient[0][column]), slope, epsilon = 1e-5);
        }
        assert!(gradients.get(&targets).is_none());
    }
}
