//! The trainable tensors of a model under their names, in a fixed order.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use candle_core::{DType, Device, Tensor, TensorId, Var};
use candle_nn::VarMap;

use super::precision::Precision;
use crate::error::{Error, Result};
use crate::storage::{StoredTensor, StoredTensors};

/// The index of a parameter in [`Parameters`], in the order of registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(pub(crate) usize);

impl ParameterId {
    /// The index into [`Parameters::iter`] and [`Gradients`](super::Gradients).
    pub fn index(self) -> usize {
        self.0
    }
}

/// Every parameter of a model: name, variable, and whether it is trained.
///
/// The order is that of registration, so that sums over parameters, checkpoints and optimiser states are the same in
/// every run.
///
/// A clone shares the variables, the frozen flags and the precision: it is another handle on the same parameters.
#[derive(Debug, Clone)]
pub struct Parameters {
    device: Device,
    entries: Vec<Parameter>,
    by_name: BTreeMap<String, ParameterId>,
    /// The place of the precision among all.
    precision: Arc<AtomicU8>,
}

/// A handle on one parameter; clones share the variable and the frozen flag.
#[derive(Debug, Clone)]
pub struct Parameter {
    id: ParameterId,
    name: Arc<str>,
    var: Var,
    frozen: Arc<AtomicBool>,
    /// How often the variable's values were changed.
    version: Arc<AtomicU64>,
}

/// The version of a variable, which all that share the variable share: a model, and an optimiser that was made of its variables.
fn version_of(var: &Var) -> Arc<AtomicU64> {
    static VERSIONS: LazyLock<Mutex<HashMap<TensorId, Weak<AtomicU64>>>> = LazyLock::new(Mutex::default);
    let mut versions = VERSIONS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(version) = versions.get(&var.id()).and_then(Weak::upgrade) {
        return version;
    }
    // Those of variables that are gone go from time to time.
    if versions.len().is_power_of_two() {
        versions.retain(|_, version| version.strong_count() > 0);
    }
    let version = Arc::new(AtomicU64::new(0));
    versions.insert(var.id(), Arc::downgrade(&version));
    version
}

impl Parameter {
    /// Its index in [`Parameters`].
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

    /// Returns whether training keeps it as it is.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }
}

impl Parameters {
    /// No parameters yet; all will live on `device`, in f32.
    pub fn new(device: &Device) -> Self {
        Self { device: device.clone(), entries: Vec::new(), by_name: BTreeMap::new(), precision: Arc::default() }
    }

    /// Returns whether these are handles on the same parameters.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.precision, &other.precision)
    }

    /// Adds copies of the parameters that another model has beside these, and takes over what is frozen there.
    ///
    /// # Errors
    /// What candle reports.
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
        // Detached: of a variable, `from_tensor` would share the storage, and two models would be trained as one.
        let var = Var::from_tensor(&value.detach())?;
        self.register(name, var)
    }

    /// Registers a variable as a parameter and shares it: when one of candle's optimisers, or a `VarMap`, changes the
    /// variable, it changes the parameter.
    ///
    /// A [`ForwardContext`](crate::ForwardContext) keeps packed weights; begin another after a change by anything but this crate's
    /// optimisers ([`VarAdamW`](crate::candle::VarAdamW) among them) and [`set_values`](Self::set_values).
    ///
    /// # Errors
    /// [`Error::Parameter`] when the name is taken, or the variable is not in f32, contiguous and on the parameters'
    /// device.
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

    /// [Shares](Self::share) a tensor that is a variable, and [copies](Self::insert) any other.
    pub(crate) fn share_or_insert(&mut self, name: impl Into<String>, value: &Tensor) -> Result<Parameter> {
        match value.is_variable() {
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

    /// The device all parameters live on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of parameters (tensors).
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether it is empty.
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

    /// Returns whether a parameter is kept as it is by training.
    pub fn is_frozen(&self, id: ParameterId) -> bool {
        self.entries[id.0].is_frozen()
    }

    /// Freezes or thaws a parameter.
    pub fn set_frozen(&self, id: ParameterId, frozen: bool) {
        self.entries[id.0].frozen.store(frozen, Ordering::Relaxed);
    }

    /// Makes every forward of the model compute in this precision, in training and in inference, but for contexts that have
    /// [one of their own](crate::ForwardContext::inference_in). Values stay in single precision, and so do files;
    /// a model that is [pruned](crate::Encoder::prune) computes as it did before.
    ///
    /// A forward is refused where its device cannot compute so.
    ///
    /// # Errors
    /// [`Error::Setting`] for one without gradients, int8.
    pub fn compute_in(&self, precision: Precision) -> Result<()> {
        if !precision.trains() {
            return Err(Error::setting("precision of a model", "f32, tf32 or bf16", precision.to_string()));
        }
        let place = Precision::ALL.iter().position(|(known, _)| *known == precision);
        self.precision.store(place.unwrap_or_default() as u8, Ordering::Relaxed);
        Ok(())
    }

    /// What the model computes in.
    pub fn precision(&self) -> Precision {
        Precision::ALL[usize::from(self.precision.load(Ordering::Relaxed))].0
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
        let set = self.iter().try_for_each(|(_, name, var)| -> Result<()> {
            if let Some(StoredTensor { shape, values }) = values.remove(name) {
                var.set(&Tensor::from_vec(values, shape, &self.device)?)?;
            }
            Ok(())
        });
        self.changed();
        set
    }

    /// To be called after values have changed: what was derived from them, from old ones or half of the new ones too, is made anew.
    pub(crate) fn changed(&self) {
        for parameter in &self.entries {
            parameter.version.fetch_add(1, Ordering::AcqRel);
        }
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

    /// Puts all variables into a `VarMap`, each under `{prefix}.{name}` (an empty prefix: `{name}`). They are shared: an
    /// optimiser over `VarMap::all_vars` trains this model, `VarMap::save` writes it, and `VarMap::load` sets it.
    ///
    /// Names are the parameters' own, with the packed `attention.self.qkv` where Hugging Face's files have three tensors;
    /// [`Encoder::from_var_builder`](crate::Encoder::from_var_builder) reads both. Frozen parameters are there too: give
    /// the optimiser gradients of [`ForwardContext::grad_store`](crate::ForwardContext::grad_store), which has none of
    /// them.
    ///
    /// # Errors
    /// [`Error::Parameter`] when the map has another variable of such a name, and nothing is put then.
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

    /// All parameters in the order of registration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (ParameterId, &str, &Var)> {
        self.entries.iter().map(|parameter| (parameter.id, &*parameter.name, &parameter.var))
    }
}
