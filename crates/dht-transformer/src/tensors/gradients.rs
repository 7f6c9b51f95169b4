//! Gradients of one training step, and their addition. A gradient is dense or has only some rows.

use candle_core::Tensor;
use candle_core::backprop::GradStore;

use super::parameters::{ParameterId, Parameters};
use crate::error::Result;

/// Gradient of one parameter, dense or for some rows only.
#[derive(Debug, Clone)]
pub enum Gradient {
    /// Dense gradient on the CPU, in the (row-major) order of the parameter's values.
    Dense(Vec<f32>),
    /// Gradient on the CPU that is zero except for some rows of a matrix parameter, such as an embedding table.
    Rows {
        /// Indices of the rows that are not zero, strictly increasing.
        rows: Vec<u32>,
        /// Gradients of the rows in `rows`, one row after another.
        values: Vec<f32>,
    },
    /// Dense gradient as a tensor on the parameter's device.
    Device(Tensor),
}

impl Gradient {
    /// Converts the gradient to a dense tensor with the shape, data type and device of the parameter.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if a tensor operation fails, for example because the shapes do not fit.
    ///
    /// # Panics
    /// If a row index exceeds the parameter.
    pub fn to_tensor(&self, parameter: &Tensor) -> Result<Tensor> {
        let device = parameter.device();
        Ok(match self {
            Self::Dense(values) => Tensor::from_slice(values, parameter.shape(), device)?,
            Self::Rows { rows, values } => {
                let mut dense = vec![0.0_f32; parameter.elem_count()];
                let width = values.len() / rows.len().max(1);
                for (&row, values) in rows.iter().zip(values.chunks(width.max(1))) {
                    dense[row as usize * width..][..width].copy_from_slice(values);
                }
                Tensor::from_vec(dense, parameter.shape(), device)?
            }
            Self::Device(tensor) => tensor.to_device(device)?.to_dtype(parameter.dtype())?,
        })
    }
}

/// Gradients of one training step, one for each parameter. A parameter on which the loss does not depend has `None`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use dht_transformer::tensors::{Gradient, Gradients, Parameters};
///
/// let mut parameters = Parameters::new(&Device::Cpu);
/// let table = parameters.insert("table", &Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu)?)?;
/// let mut gradients = Gradients::empty(parameters.len());
/// gradients.set(table.id(), Gradient::Rows { rows: vec![1], values: vec![0.5, -0.5] });
/// let Some(gradient) = gradients.get(table.id()) else { panic!("it was set") };
/// let dense = gradient.to_tensor(table.var())?.to_vec2::<f32>()?;
/// assert_eq!(dense, [[0.0, 0.0], [0.5, -0.5]]);
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    slots: Vec<Option<Gradient>>,
}

impl Gradients {
    /// Creates gradients for `parameters` parameters, all `None`.
    pub fn empty(parameters: usize) -> Self {
        Self { slots: vec![None; parameters] }
    }

    /// Writes all gradients into candle's store as dense tensors. They replace existing gradients of the same
    /// variables.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if a tensor operation fails.
    ///
    /// # Panics
    /// If the gradients belong to other parameters.
    pub fn put_into(&self, store: &mut GradStore, parameters: &Parameters) -> Result<()> {
        for (id, gradient) in self.iter() {
            let var = parameters.var(id);
            store.insert(var, gradient.to_tensor(var)?);
        }
        Ok(())
    }

    /// Gradient of a parameter.
    pub fn get(&self, id: ParameterId) -> Option<&Gradient> {
        self.slots.get(id.0).and_then(Option::as_ref)
    }

    /// Sets the gradient of a parameter.
    ///
    /// # Panics
    /// If the parameter's index is out of range.
    pub fn set(&mut self, id: ParameterId, gradient: Gradient) {
        *self.slot(id) = Some(gradient);
    }

    /// Mutable entry for the gradient of a parameter. It is `None` if the parameter has no gradient.
    pub(crate) fn slot(&mut self, id: ParameterId) -> &mut Option<Gradient> {
        &mut self.slots[id.0]
    }

    /// Adds `gradient` to the gradient of a parameter. Both must be on the same device.
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if a GPU fails to add them. The parameter's gradient is then lost.
    pub(crate) fn add(&mut self, id: ParameterId, gradient: Gradient) -> Result<()> {
        let slot = self.slot(id);
        if let (Some(Gradient::Device(sum)), Gradient::Device(more)) = (&*slot, &gradient) {
            let sum = (sum + more)?;
            *slot = Some(Gradient::Device(sum));
        } else {
            self.add_on_host(id, gradient);
        }
        Ok(())
    }

    /// Adds `gradient`, which must be on the CPU, to the gradient of a parameter. The parameter's present gradient must
    /// be on the CPU, too, or `None`.
    pub(crate) fn add_on_host(&mut self, id: ParameterId, gradient: Gradient) {
        let slot = self.slot(id);
        *slot = Some(match (slot.take(), gradient) {
            (None, gradient) => gradient,
            (Some(Gradient::Dense(mut sum)), Gradient::Dense(more)) => {
                sum.iter_mut().zip(&more).for_each(|(sum, more)| *sum += more);
                Gradient::Dense(sum)
            }
            (Some(Gradient::Rows { rows, values }), Gradient::Rows { rows: more_rows, values: more }) => {
                merge_rows((rows, values), (more_rows, more))
            }
            (Some(Gradient::Rows { rows, values }), Gradient::Dense(mut sum))
            | (Some(Gradient::Dense(mut sum)), Gradient::Rows { rows, values }) => {
                let width = values.len() / rows.len().max(1);
                for (row, values) in rows.iter().zip(values.chunks_exact(width.max(1))) {
                    let start = *row as usize * width;
                    sum[start..start + width].iter_mut().zip(values).for_each(|(sum, more)| *sum += more);
                }
                Gradient::Dense(sum)
            }
            (Some(Gradient::Device(_)), _) | (_, Gradient::Device(_)) => {
                unreachable!("a parameter lives on one device, and so do its gradients")
            }
        });
    }

    pub(crate) fn add_all(&mut self, other: Self) -> Result<()> {
        for (id, gradient) in other.slots.into_iter().enumerate() {
            if let Some(gradient) = gradient {
                self.add(ParameterId(id), gradient)?;
            }
        }
        Ok(())
    }

    pub(crate) fn scale(&mut self, factor: f64) -> Result<()> {
        for gradient in self.slots.iter_mut().flatten() {
            match gradient {
                Gradient::Dense(values) | Gradient::Rows { values, .. } => {
                    values.iter_mut().for_each(|value| *value *= factor as f32);
                }
                Gradient::Device(tensor) => *tensor = (&*tensor * factor)?,
            }
        }
        Ok(())
    }

    /// Iterates over the gradients in the order of the parameters.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, &Gradient)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((ParameterId(index), slot.as_ref()?)))
    }

    /// Iterates mutably over the gradients.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ParameterId, &mut Gradient)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| Some((ParameterId(index), slot.as_mut()?)))
    }
}

/// Adds two sparse gradients. Each has row indices in increasing order, and the values of these rows.
fn merge_rows((a_rows, a): (Vec<u32>, Vec<f32>), (b_rows, b): (Vec<u32>, Vec<f32>)) -> Gradient {
    let width = a.len() / a_rows.len().max(1);
    let (mut rows, mut values) = (Vec::new(), Vec::with_capacity(a.len() + b.len()));
    let (mut i, mut j) = (0, 0);
    while i < a_rows.len() || j < b_rows.len() {
        let from_a = i < a_rows.len() && (j == b_rows.len() || a_rows[i] <= b_rows[j]);
        let from_b = j < b_rows.len() && (i == a_rows.len() || b_rows[j] <= a_rows[i]);
        rows.push(if from_a { a_rows[i] } else { b_rows[j] });
        match (from_a, from_b) {
            (true, true) => {
                let pair = a[i * width..(i + 1) * width].iter().zip(&b[j * width..(j + 1) * width]);
                values.extend(pair.map(|(a, b)| a + b));
            }
            (true, false) => values.extend_from_slice(&a[i * width..(i + 1) * width]),
            _ => values.extend_from_slice(&b[j * width..(j + 1) * width]),
        }
        i += usize::from(from_a);
        j += usize::from(from_b);
    }
    Gradient::Rows { rows, values }
}
