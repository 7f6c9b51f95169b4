//! The trainable tensors of a model under their names, in a fixed order, and their gradients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use candle_core::{DType, Device, Tensor, Var};

use crate::error::{Error, Result};
use crate::storage::{StoredTensor, StoredTensors};

/// The place of a parameter in [`Parameters`]: its order of registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(pub(crate) usize);

impl ParameterId {
    /// The index into [`Parameters::iter`] and [`Gradients`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// Every parameter of a model: name, variable, and whether it is trained.
///
/// The order is that of registration, so that sums over parameters, checkpoints and optimiser states are the same in
/// every run.
///
/// A clone shares the variables and the frozen flags: it is another handle on the same parameters.
#[derive(Debug, Clone)]
pub struct Parameters {
    device: Device,
    entries: Vec<Parameter>,
    by_name: BTreeMap<String, ParameterId>,
    /// How often values were changed.
    version: Arc<AtomicU64>,
}

/// A handle on one parameter; clones share the variable and the frozen flag.
#[derive(Debug, Clone)]
pub struct Parameter {
    id: ParameterId,
    name: Arc<str>,
    var: Var,
    frozen: Arc<AtomicBool>,
    version: Arc<AtomicU64>,
}

impl Parameter {
    /// Its place in [`Parameters`].
    pub fn id(&self) -> ParameterId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its variable.
    pub fn var(&self) -> &Var {
        &self.var
    }

    /// Another number once an optimiser or [`Parameters::set_values`] has changed the model's values.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether training keeps it as it is.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }
}

impl Parameters {
    /// No parameters yet; all will live on `device`, in f32.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), entries: Vec::new(), by_name: BTreeMap::new(), version: Arc::default() }
    }

    /// Registers a tensor as a parameter. It is converted to f32 and copied to the device.
    ///
    /// # Errors
    /// [`Error::Parameter`] when the name is taken.
    pub fn insert(&mut self, name: impl Into<String>, value: &Tensor) -> Result<Parameter> {
        let name = name.into();
        if self.by_name.contains_key(&name) {
            return Err(Error::Parameter { name, problem: "is registered twice" });
        }
        let value = value.to_device(&self.device)?.to_dtype(DType::F32)?.contiguous()?;
        let id = ParameterId(self.entries.len());
        // Detached: of a variable, `from_tensor` would share the storage, and two models would be trained as one.
        let var = Var::from_tensor(&value.detach())?;
        let frozen = Arc::new(AtomicBool::new(false));
        let parameter = Parameter { id, name: name.as_str().into(), var, frozen, version: self.version.clone() };
        self.entries.push(parameter.clone());
        self.by_name.insert(name, id);
        Ok(parameter)
    }

    /// The device all parameters live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many parameters (tensors) there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many numbers all parameters hold together.
    pub fn elements(&self) -> usize {
        self.entries.iter().map(|parameter| parameter.var.elem_count()).sum()
    }

    /// The parameter of this name.
    ///
    /// # Errors
    /// [`Error::Parameter`] when there is none.
    pub fn id(&self, name: &str) -> Result<ParameterId> {
        self.by_name.get(name).copied().ok_or_else(|| Error::Parameter { name: name.into(), problem: "is not known" })
    }

    /// The variable of a parameter.
    pub fn var(&self, id: ParameterId) -> &Var {
        &self.entries[id.0].var
    }

    /// The name of a parameter.
    pub fn name(&self, id: ParameterId) -> &str {
        &self.entries[id.0].name
    }

    /// Whether a parameter is kept as it is by training.
    pub fn is_frozen(&self, id: ParameterId) -> bool {
        self.entries[id.0].is_frozen()
    }

    /// Freezes or thaws a parameter.
    pub fn set_frozen(&self, id: ParameterId, frozen: bool) {
        self.entries[id.0].frozen.store(frozen, Ordering::Relaxed);
    }

    /// A copy of all values under their names, for a checkpoint.
    ///
    /// # Errors
    /// [`Error::Candle`] when the device does not hand them over.
    pub fn values(&self) -> Result<StoredTensors> {
        self.iter()
            .map(|(_, name, var)| {
                let values = var.flatten_all()?.to_vec1()?;
                Ok((name.to_owned(), StoredTensor { shape: var.dims().to_vec(), values }))
            })
            .collect()
    }

    /// Sets all values to those that [`Parameters::values`] gave for a model with the same parameters.
    ///
    /// # Errors
    /// [`Error::Parameter`] when names differ or a value is NaN or infinite, [`Error::Shape`] when shapes differ;
    /// nothing has changed then.
    pub fn set_values(&self, mut values: StoredTensors) -> Result<()> {
        self.check_values(&values)?;
        self.changed();
        for (_, name, var) in self.iter() {
            if let Some(StoredTensor { shape, values }) = values.remove(name) {
                var.set(&Tensor::from_vec(values, shape, &self.device)?)?;
            }
        }
        Ok(())
    }

    /// To be called when values change: what was derived from them is made anew.
    pub(crate) fn changed(&self) {
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether [`set_values`](Self::set_values) would take these.
    pub(crate) fn check_values(&self, values: &StoredTensors) -> Result<()> {
        let problem = |name: &str, problem| Err(Error::Parameter { name: name.into(), problem });
        for (_, name, var) in self.iter() {
            let Some(StoredTensor { shape, values }) = values.get(name) else {
                return problem(name, "is missing");
            };
            if shape.as_slice() != var.dims() || values.len() != var.elem_count() {
                return Err(Error::Shape { what: name.into(), expected: var.dims().to_vec(), got: shape.clone() });
            }
            if !values.iter().all(|value| value.is_finite()) {
                return problem(name, "holds NaN or infinity");
            }
        }
        match values.keys().find(|name| !self.by_name.contains_key(*name)) {
            Some(name) => problem(name, "is not known"),
            None => Ok(()),
        }
    }

    /// All parameters in the order of registration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ParameterId, &str, &Var)> {
        self.entries.iter().map(|parameter| (parameter.id, &*parameter.name, &parameter.var))
    }
}

/// The gradient of one parameter.
#[derive(Debug, Clone)]
pub enum Gradient {
    /// One number for each number of the parameter, in its (row-major) order, on the CPU.
    Dense(Vec<f32>),
    /// Some rows of a matrix parameter; the others have gradient zero. `rows` is strictly increasing and `values`
    /// holds `rows.len()` rows.
    Rows {
        /// Which rows.
        rows: Vec<u32>,
        /// Their gradients, row by row.
        values: Vec<f32>,
    },
    /// A gradient that lives on the parameter's device.
    Device(Tensor),
}

/// The gradients of one step, by parameter; `None` where the loss does not depend on it.
#[derive(Debug, Clone, Default)]
pub struct Gradients {
    slots: Vec<Option<Gradient>>,
}

impl Gradients {
    /// No gradient for any of `parameters` parameters.
    pub fn empty(parameters: usize) -> Self {
        Self { slots: vec![None; parameters] }
    }

    /// The gradient of a parameter.
    pub fn get(&self, id: ParameterId) -> Option<&Gradient> {
        self.slots.get(id.0).and_then(Option::as_ref)
    }

    /// Sets the gradient of a parameter.
    ///
    /// # Panics
    /// When the parameter is not one of those this was made for.
    pub fn set(&mut self, id: ParameterId, gradient: Gradient) {
        *self.slot(id) = Some(gradient);
    }

    /// The place of a parameter's gradient.
    pub(crate) fn slot(&mut self, id: ParameterId) -> &mut Option<Gradient> {
        &mut self.slots[id.0]
    }

    /// Adds to a parameter's gradient; both must be of one kind.
    pub(crate) fn add(&mut self, id: ParameterId, gradient: Gradient) {
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
            (Some(Gradient::Device(sum)), Gradient::Device(more)) => {
                // Same parameter, same shape and device: nothing that can fail but the device itself, and then the
                // backward that runs this has failed already.
                Gradient::Device((&sum + &more).unwrap_or(sum))
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

    /// Adds the gradients of another backward over the same parameters.
    pub(crate) fn add_all(&mut self, other: Self) {
        for (id, gradient) in other.slots.into_iter().enumerate() {
            if let Some(gradient) = gradient {
                self.add(ParameterId(id), gradient);
            }
        }
    }

    /// Multiplies all gradients by a number.
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

    /// All gradients in the order of the parameters.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, &Gradient)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((ParameterId(index), slot.as_ref()?)))
    }

    /// All gradients, to be changed in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ParameterId, &mut Gradient)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| Some((ParameterId(index), slot.as_mut()?)))
    }
}

/// The sum of two sparse gradients, rows in increasing order.
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
