//! The trainable tensors of a model under their names, in a fixed order, and their gradients.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};

use crate::{Error, Result, StoredTensor, StoredTensors};

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
#[derive(Debug, Clone)]
pub struct Parameters {
    device: Device,
    names: Vec<String>,
    vars: Vec<Var>,
    frozen: Vec<bool>,
    by_name: BTreeMap<String, ParameterId>,
}

impl Parameters {
    /// No parameters yet; all will live on `device`, in f32.
    pub fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            names: Vec::new(),
            vars: Vec::new(),
            frozen: Vec::new(),
            by_name: BTreeMap::new(),
        }
    }

    /// Registers a tensor as a parameter. It is converted to f32 and copied to the device.
    ///
    /// # Errors
    /// [`Error::Parameter`] when the name is taken.
    pub fn insert(&mut self, name: impl Into<String>, value: &Tensor) -> Result<ParameterId> {
        let name = name.into();
        if self.by_name.contains_key(&name) {
            return Err(Error::Parameter { name, problem: "is registered twice" });
        }
        let value = value.to_device(&self.device)?.to_dtype(DType::F32)?.contiguous()?;
        let id = ParameterId(self.vars.len());
        self.vars.push(Var::from_tensor(&value)?);
        self.names.push(name.clone());
        self.frozen.push(false);
        self.by_name.insert(name, id);
        Ok(id)
    }

    /// The device all parameters live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// How many parameters (tensors) there are.
    pub fn len(&self) -> usize {
        self.vars.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }

    /// How many numbers all parameters hold together.
    pub fn elements(&self) -> usize {
        self.vars.iter().map(|var| var.elem_count()).sum()
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
        &self.vars[id.0]
    }

    /// The name of a parameter.
    pub fn name(&self, id: ParameterId) -> &str {
        &self.names[id.0]
    }

    /// Whether a parameter is kept as it is by training.
    pub fn is_frozen(&self, id: ParameterId) -> bool {
        self.frozen[id.0]
    }

    /// Freezes or thaws a parameter.
    pub fn set_frozen(&mut self, id: ParameterId, frozen: bool) {
        self.frozen[id.0] = frozen;
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
        if let Some(name) = values.keys().find(|name| !self.by_name.contains_key(*name)) {
            return problem(name, "is not known");
        }
        for (_, name, var) in self.iter() {
            if let Some(StoredTensor { shape, values }) = values.remove(name) {
                var.set(&Tensor::from_vec(values, shape, &self.device)?)?;
            }
        }
        Ok(())
    }

    /// All parameters in the order of registration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ParameterId, &str, &Var)> {
        self.vars.iter().enumerate().map(|(index, var)| (ParameterId(index), self.names[index].as_str(), var))
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

    /// All gradients in the order of the parameters.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, &Gradient)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| Some((ParameterId(index), slot.as_ref()?)))
    }

    /// All gradients, to be changed in place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ParameterId, &mut Gradient)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| Some((ParameterId(index), slot.as_mut()?)))
    }
}
