//! Trainable tensors of a model, in a fixed order and with unique names.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use candle_core::{DType, Device, Tensor, TensorId, Var};
use candle_nn::VarMap;

use super::precision::Precision;
use super::slices::is_released;
use crate::error::{Error, Result};
use crate::storage::StoredTensor;

/// Index of a parameter in [`Parameters`], which is its position in the order of registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(pub(crate) usize);

impl ParameterId {
    /// Index of the parameter in [`Parameters::iter`] and in [`Gradients`](super::Gradients).
    pub fn index(self) -> usize {
        self.0
    }
}

/// Parameters of a model: trainable tensors with names, each of which can be frozen.
///
/// Parameters are ordered by registration, so that sums over parameters, checkpoints and optimiser states are the same
/// in every run.
///
/// A clone shares the variables, the frozen flags and the precision.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use dht_transformer::tensors::Parameters;
///
/// let mut parameters = Parameters::new(&Device::Cpu);
/// let weight = parameters.insert("weight", &Tensor::new(&[1f32, 2.0], &Device::Cpu)?)?;
/// assert_eq!((parameters.len(), parameters.elements()), (1, 2));
/// parameters.set_frozen(weight.id(), true);
/// assert!(weight.is_frozen());
/// # Ok::<(), dht_transformer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Parameters {
    device: Device,
    entries: Vec<Parameter>,
    by_name: BTreeMap<String, ParameterId>,
    /// Numeric code of the [`Precision`] in which the model's layers run.
    precision: Arc<AtomicU8>,
}

/// Parameter of a model: a name and a variable. Clones share the variable and the frozen flag.
#[derive(Debug, Clone)]
pub struct Parameter {
    id: ParameterId,
    name: Arc<str>,
    var: Var,
    frozen: Arc<AtomicBool>,
    /// Counter of changes to the variable's values.
    version: Arc<AtomicU64>,
}

/// Returns the counter of changes to a variable's values. All parameters that share the variable share the counter, for
/// example those of a model and of an optimiser created from the model's variables.
fn version_of(var: &Var) -> Arc<AtomicU64> {
    static VERSIONS: LazyLock<Mutex<HashMap<TensorId, Weak<AtomicU64>>>> = LazyLock::new(Mutex::default);
    let mut versions = VERSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(version) = versions.get(&var.id()).and_then(Weak::upgrade) {
        return version;
    }
    // Entries of dropped variables are removed from time to time.
    if versions.len().is_power_of_two() {
        versions.retain(|_, version| version.strong_count() > 0);
    }
    let version = Arc::new(AtomicU64::new(0));
    versions.insert(var.id(), Arc::downgrade(&version));
    version
}

impl Parameter {
    /// Index of the parameter in [`Parameters`].
    pub fn id(&self) -> ParameterId {
        self.id
    }

    /// Name of the parameter.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Variable with the parameter's values.
    pub fn var(&self) -> &Var {
        &self.var
    }

    /// Version number of the values. It changes whenever an optimiser or [`Parameters::set_values`] changes the values.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Returns whether training leaves the parameter unchanged.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }
}

impl Parameters {
    /// Creates an empty collection. Its parameters will be on `device`, in f32.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), entries: Vec::new(), by_name: BTreeMap::new(), precision: Arc::default() }
    }

    /// Returns whether both collections share their parameters, that is, one is a clone of the other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.precision, &other.precision)
    }

    /// Adds copies of the parameters that `from` has and this collection lacks. Also copies the frozen flags.
    pub(crate) fn copy_others(&mut self, from: &Self) -> Result<()> {
        for parameter in &from.entries {
            let id = match self.id(&parameter.name) {
                Ok(id) => id,
                Err(_) => self.insert(&*parameter.name, parameter.var.as_tensor())?.id,
            };
            self.set_frozen(id, parameter.is_frozen());
        }
        Ok(())
    }

    /// Memory of all values in bytes. Values that a context
    /// [freed](crate::ForwardContext::release_packed_values) do not count.
    pub fn bytes(&self) -> usize {
        let of_var = |var: &Var| match is_released(var) {
            true => 0,
            false => var.elem_count() * var.dtype().size_in_bytes(),
        };
        self.entries.iter().map(|parameter| of_var(&parameter.var)).sum()
    }

    /// Registers a tensor as a parameter. The tensor is converted to f32 and copied to the device.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the name is already used.
    pub fn insert(&mut self, name: impl Into<String>, value: &Tensor) -> Result<Parameter> {
        let name = name.into();
        if self.by_name.contains_key(&name) {
            return Err(Error::Parameter { name, problem: "is registered twice" });
        }
        let value = value.to_device(&self.device)?.to_dtype(DType::F32)?.contiguous()?;
        // The value is detached. For a variable, `from_tensor` would otherwise share the storage, and two models would
        // be trained as one.
        let var = Var::from_tensor(&value.detach())?;
        self.register(name, var)
    }

    /// Registers a variable as a parameter without copying it. If one of candle's optimisers or a `VarMap` changes the
    /// variable, the parameter changes, too.
    ///
    /// A [`ForwardContext`](crate::ForwardContext) caches packed weights. Create a new context after the values were
    /// changed by anything but this crate's optimisers (including [`VarAdamW`](crate::candle::VarAdamW)) and
    /// [`set_values`](Self::set_values).
    ///
    /// # Errors
    /// [`Error::Parameter`] if the name is already used, or if the variable is not in f32, contiguous and on the device
    /// of the parameters.
    pub fn share(&mut self, name: impl Into<String>, var: Var) -> Result<Parameter> {
        let name = name.into();
        let problem = if var.dtype() != DType::F32 {
            Some("is a variable that is not in f32, and cannot be shared")
        } else if !var.is_contiguous() {
            Some("is a variable that is not contiguous, and cannot be shared")
        } else if !var.device().same_device(&self.device) {
            Some("is a variable on another device, and cannot be shared")
        } else {
            None
        };
        match problem {
            Some(problem) => Err(Error::Parameter { name, problem }),
            None => self.register(name, var),
        }
    }

    /// Registers a tensor as a parameter: a variable is [shared](Self::share), any other tensor is
    /// [copied](Self::insert).
    pub(crate) fn share_or_insert(&mut self, name: impl Into<String>, value: &Tensor) -> Result<Parameter> {
        match value.is_variable() {
            true => self.share(name, Var::from_tensor(value)?),
            false => self.insert(name, value),
        }
    }

    /// Registers a tensor that nothing else uses as a parameter. A variable on the parameters' device becomes the
    /// parameter without a copy; any other tensor is [copied](Self::insert).
    pub(crate) fn adopt(&mut self, name: impl Into<String>, value: &Tensor) -> Result<Parameter> {
        match value.is_variable() && value.device().same_device(&self.device) {
            true => self.share(name, Var::from_tensor(value)?),
            false => self.insert(name, value),
        }
    }

    fn register(&mut self, name: String, var: Var) -> Result<Parameter> {
        if self.by_name.contains_key(&name) {
            return Err(Error::Parameter { name, problem: "is registered twice" });
        }
        let id = ParameterId(self.entries.len());
        let frozen = Arc::new(AtomicBool::new(false));
        let version = version_of(&var);
        let parameter = Parameter { id, name: name.as_str().into(), var, frozen, version };
        self.entries.push(parameter.clone());
        self.by_name.insert(name, id);
        Ok(parameter)
    }

    /// Device of all parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of parameters, that is, of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Total number of values in all parameters.
    pub fn elements(&self) -> usize {
        self.entries.iter().map(|parameter| parameter.var.elem_count()).sum()
    }

    /// Looks up a parameter by name.
    ///
    /// # Errors
    /// [`Error::Parameter`] if there is no parameter with this name.
    pub fn id(&self, name: &str) -> Result<ParameterId> {
        self.by_name.get(name).copied().ok_or_else(|| Error::Parameter { name: name.into(), problem: "is not known" })
    }

    /// Variable of a parameter.
    pub fn var(&self, id: ParameterId) -> &Var {
        &self.entries[id.0].var
    }

    /// Name of a parameter.
    pub fn name(&self, id: ParameterId) -> &str {
        &self.entries[id.0].name
    }

    /// Returns whether training leaves a parameter unchanged.
    pub fn is_frozen(&self, id: ParameterId) -> bool {
        self.entries[id.0].is_frozen()
    }

    /// Freezes a parameter, so that training leaves it unchanged, or thaws it.
    pub fn set_frozen(&self, id: ParameterId, frozen: bool) {
        self.entries[id.0].frozen.store(frozen, Ordering::Relaxed);
    }

    /// Sets the precision in which layers run, in training and in inference, except in contexts with [their own
    /// precision](crate::ForwardContext::inference_in). Stored values and files remain in single precision. A
    /// [pruned](crate::Encoder::prune) copy of the model has the same precision.
    ///
    /// A forward pass fails if its device does not support the precision.
    ///
    /// # Errors
    /// [`Error::Argument`] for int8, which has no gradients.
    pub fn compute_in(&self, precision: Precision) -> Result<()> {
        if !precision.trains() {
            return Err(Error::argument("precision of a model", "f32, tf32 or bf16", precision.to_string()));
        }
        let place = Precision::ALL.iter().position(|(known, _)| *known == precision);
        self.precision.store(place.unwrap_or_default() as u8, Ordering::Relaxed);
        Ok(())
    }

    /// Precision in which the model's layers run.
    pub fn precision(&self) -> Precision {
        Precision::ALL[usize::from(self.precision.load(Ordering::Relaxed))].0
    }

    /// Copies all values, by parameter name, for a checkpoint.
    ///
    /// # Errors
    /// [`Error::Candle`] if the device fails to return the values.
    pub fn values(&self) -> Result<BTreeMap<String, StoredTensor>> {
        self.values_where(|_| true)
    }

    /// Copies the values of the parameters whose names `filter` accepts.
    ///
    /// # Errors
    /// Errors of [`values`](Self::values).
    pub fn values_where(&self, filter: impl Fn(&str) -> bool) -> Result<BTreeMap<String, StoredTensor>> {
        self.iter()
            .filter(|(_, name, _)| filter(name))
            .map(|(_, name, var)| {
                let values = var.flatten_all()?.to_vec1()?;
                Ok((name.to_owned(), StoredTensor { shape: var.dims().to_vec(), values }))
            })
            .collect()
    }

    /// Sets all values. They must come from [`Parameters::values`] of a model with the same parameters.
    ///
    /// # Errors
    /// [`Error::Parameter`] if names differ or a value is NaN or infinite; [`Error::Shape`] if shapes differ. After an
    /// error, all values are unchanged.
    pub fn set_values(&self, values: BTreeMap<String, StoredTensor>) -> Result<()> {
        self.check_values(&values)?;
        self.update_values(values)
    }

    /// Sets the values of some parameters, and leaves the others unchanged.
    ///
    /// # Errors
    /// Errors of [`set_values`](Self::set_values), except for missing names.
    pub fn update_values(&self, mut values: BTreeMap<String, StoredTensor>) -> Result<()> {
        self.check_update(&values)?;
        let set = self.iter().try_for_each(|(_, name, var)| -> Result<()> {
            if let Some(StoredTensor { shape, values }) = values.remove(name) {
                var.set(&Tensor::from_vec(values, shape, &self.device)?)?;
            }
            Ok(())
        });
        self.changed();
        set
    }

    /// Invalidates caches of packed or rounded weights. Must be called after any change of the parameters' values, also
    /// of only some parameters.
    pub(crate) fn changed(&self) {
        for parameter in &self.entries {
            parameter.version.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Checks that [`set_values`](Self::set_values) would accept `values`: their names, shapes and numbers.
    pub(crate) fn check_values(&self, values: &BTreeMap<String, StoredTensor>) -> Result<()> {
        match self.iter().find(|(_, name, _)| !values.contains_key(*name)) {
            Some((_, name, _)) => Err(Error::Parameter { name: name.into(), problem: "is missing" }),
            None => self.check_update(values),
        }
    }

    fn check_update(&self, values: &BTreeMap<String, StoredTensor>) -> Result<()> {
        let problem = |name: &str, problem| Err(Error::Parameter { name: name.into(), problem });
        for (_, name, var) in self.iter() {
            let Some(StoredTensor { shape, values }) = values.get(name) else { continue };
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

    /// Inserts all variables into a `VarMap`, each as `{prefix}.{name}`, or as `{name}` if the prefix is empty. The
    /// variables are shared: an optimiser over `VarMap::all_vars` trains this model, `VarMap::save` writes it, and
    /// `VarMap::load` sets its values.
    ///
    /// The names are those of the parameters. Where Hugging Face's files have three tensors Q, K and V, there is one
    /// tensor `attention.self.qkv`; [`Encoder::from_var_builder`](crate::Encoder::from_var_builder) reads both forms.
    /// Frozen parameters are included. To leave them unchanged, pass the optimiser the gradients of
    /// [`ForwardContext::grad_store`](crate::ForwardContext::grad_store), which excludes them.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the map has another variable with one of the names. In this case, nothing is inserted.
    pub fn put_into(&self, vars: &VarMap, prefix: &str) -> Result<()> {
        let full = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        let mut data = vars.data().lock().unwrap_or_else(PoisonError::into_inner);
        for (_, name, var) in self.iter() {
            if data.get(&full(name)).is_some_and(|known| known.id() != var.id()) {
                return Err(Error::Parameter { name: full(name), problem: "is another variable of the VarMap" });
            }
        }
        data.extend(self.iter().map(|(_, name, var)| (full(name), var.clone())));
        Ok(())
    }

    /// Iterates over the parameters in the order of registration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ParameterId, &str, &Var)> {
        self.entries.iter().map(|parameter| (parameter.id, &*parameter.name, &parameter.var))
    }
}
