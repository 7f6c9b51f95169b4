//! Reader of pickled dictionaries of PyTorch tensors, which never executes code.
//!
//! A pickle is a program for a stack machine. This reader supports the operations that `torch.save` writes for a
//! dictionary of tensors, and the few functions that these operations call. It refuses every other operation and
//! function. It does not recurse, and the time and memory of an operation are proportional to the operation's size in
//! bytes.

use std::collections::HashMap;

use crate::error::WeightsProblem;

/// Maximum size of a pickle in bytes. It suffices for about a hundred thousand tensors.
pub(super) const LONGEST_PICKLE: u64 = 16 << 20;
/// Maximum number of dimensions of a tensor, as in PyTorch.
const MOST_AXES: usize = 64;
const EMPTY: &str = "it takes a value that is not there";

/// Reference from a pickle to a storage, a file in the same archive that holds the elements of tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StorageRef<'a> {
    /// File name of the storage in the archive.
    pub(super) key: &'a str,
    /// Type of the elements; `None` for an untyped storage, whose tensors state their types.
    pub(super) dtype: Option<&'static str>,
    /// Length in elements; in bytes for an untyped storage.
    pub(super) elements: i64,
}

/// Tensor in a pickle, described as a view of a storage. Whether the view lies inside the storage has not been checked
/// yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View<'a> {
    pub(super) storage: StorageRef<'a>,
    pub(super) dtype: &'static str,
    pub(super) offset: i64,
    pub(super) shape: Vec<i64>,
    pub(super) strides: Vec<i64>,
}

/// Functions and classes that a pickle of tensors may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    OrderedDict,
    Size,
    /// PyTorch's `_rebuild_tensor`, with four arguments.
    BareTensor,
    Tensor,
    /// PyTorch's `_rebuild_tensor_v3`, whose arguments include the element type.
    TypedTensor,
    /// PyTorch's `_rebuild_parameter` or `_rebuild_parameter_with_state`, with its number of arguments.
    Parameter(usize),
    /// Storage class, with its element type; `None` for an untyped storage.
    Storage(Option<&'static str>),
    DType(&'static str),
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    /// Floating-point number or Python's `None`.
    Other,
    Bool,
    Int(i64),
    Text(&'a str),
    Function(Function),
    /// Tuple, as an index into `Machine::items`.
    Tuple(usize),
    List(usize),
    /// Dictionary, as an index into `Machine::items`, where keys and values alternate.
    Dict(usize),
    Storage(usize),
    Tensor(usize),
}

impl Value<'_> {
    fn name(self) -> &'static str {
        match self {
            Self::Other => "a value",
            Self::Bool => "a truth value",
            Self::Int(_) => "a number",
            Self::Text(_) => "a text",
            Self::Function(_) => "a function",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
        }
    }
}

/// Reads a pickled dictionary of tensors. The result has the order of the dictionary.
pub(super) fn read_pickle(bytes: &[u8]) -> Result<Vec<(&str, View<'_>)>, WeightsProblem> {
    let mut machine = Machine { bytes, ..Machine::default() };
    let value = machine.run()?;
    machine.tensors_of(value)
}

type Outcome<T> = Result<T, WeightsProblem>;

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    /// Offset of the next byte to read.
    at: usize,
    /// Offset of the current operation, for errors.
    operation: usize,
    stack: Vec<Value<'a>>,
    /// Stack of marks; each mark is the height of the value stack when it was set.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    /// Contents of all tuples, lists and dictionaries.
    items: Vec<Vec<Value<'a>>>,
    storages: Vec<StorageRef<'a>>,
    views: Vec<View<'a>>,
}

impl<'a> Machine<'a> {
    fn refuse<T>(&self, problem: impl Into<String>) -> Outcome<T> {
        Err(WeightsProblem::Pickle { byte: self.operation, problem: problem.into() })
    }

    fn take(&mut self, bytes: usize) -> Outcome<&'a [u8]> {
        let all = self.bytes;
        match self.at.checked_add(bytes).and_then(|end| all.get(self.at..end)) {
            Some(taken) => {
                self.at += bytes;
                Ok(taken)
            }
            None => self.refuse("it is cut off"),
        }
    }

    /// Reads an unsigned little-endian number of `bytes` bytes.
    fn number(&mut self, bytes: usize) -> Outcome<u64> {
        let taken = self.take(bytes)?;
        Ok(taken.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn text(&mut self, width: usize) -> Outcome<Value<'a>> {
        let length = usize::try_from(self.number(width)?).unwrap_or(usize::MAX);
        let taken = self.take(length)?;
        match std::str::from_utf8(taken) {
            Ok(text) => Ok(Value::Text(text)),
            Err(_) => self.refuse("a text is not UTF-8"),
        }
    }

    fn line(&mut self) -> Outcome<&'a str> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let line = self.take(length)?;
        self.take(1)?;
        std::str::from_utf8(line).or_else(|_| self.refuse("a name is not UTF-8"))
    }

    fn pop(&mut self) -> Outcome<Value<'a>> {
        // Values below a mark belong to the operation that takes the mark.
        let floor = self.marks.last().copied().unwrap_or(0);
        let popped = if self.stack.len() > floor { self.stack.pop() } else { None };
        popped.map_or_else(|| self.refuse(EMPTY), Ok)
    }

    /// Removes the last mark and pops the values above it.
    fn marked(&mut self) -> Outcome<Vec<Value<'a>>> {
        match self.marks.pop() {
            Some(mark) => Ok(self.stack.split_off(mark)),
            None => self.refuse("it takes a mark that is not there"),
        }
    }

    fn last(&self) -> Outcome<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.get(floor..).and_then(<[_]>::last) {
            Some(value) => Ok(*value),
            None => self.refuse(EMPTY),
        }
    }

    /// Stores the items of a new tuple, list or dictionary. Returns its index.
    fn container(&mut self, items: Vec<Value<'a>>) -> usize {
        self.items.push(items);
        self.items.len() - 1
    }

    fn tuple(&mut self, length: usize) -> Outcome<Value<'a>> {
        let mut items = Vec::with_capacity(length);
        for _ in 0..length {
            items.push(self.pop()?);
        }
        items.reverse();
        Ok(Value::Tuple(self.container(items)))
    }

    /// Adds `pairs`, in which keys and values alternate, to the dictionary on top of the stack.
    fn extend_dict(&mut self, pairs: &[Value<'a>]) -> Outcome<()> {
        match self.last()? {
            Value::Dict(index) if pairs.len().is_multiple_of(2) => {
                self.items[index].extend(pairs);
                Ok(())
            }
            other => self.refuse(format!("it adds pairs to {}", other.name())),
        }
    }

    fn extend_list(&mut self, items: &[Value<'a>]) -> Outcome<()> {
        match self.last()? {
            Value::List(index) => {
                self.items[index].extend(items);
                Ok(())
            }
            other => self.refuse(format!("it adds items to {}", other.name())),
        }
    }

    fn store(&mut self, index: u64) -> Outcome<()> {
        let value = self.last()?;
        // Indices have four bytes at most.
        self.memo.insert(index as u32, value);
        Ok(())
    }

    fn recall(&mut self, index: u64) -> Outcome<Value<'a>> {
        match self.memo.get(&(index as u32)) {
            Some(value) => Ok(*value),
            None => self.refuse("it recalls a value that it has not stored"),
        }
    }

    /// Executes the supported operations of the pickle. Returns the value that remains on the stack.
    fn run(&mut self) -> Outcome<Value<'a>> {
        loop {
            self.operation = self.at;
            let operation = self.take(1)?[0];
            let value = match operation {
                // STOP
                b'.' => break,
                // PROTO
                0x80 => match self.number(1)? {
                    2..=5 => continue,
                    version => return self.refuse(format!("its protocol is {version}, expected 2 to 5")),
                },
                // FRAME
                0x95 => {
                    self.take(8)?;
                    continue;
                }
                // MARK
                b'(' => {
                    self.marks.push(self.stack.len());
                    continue;
                }
                b'N' => Value::Other,
                // BINFLOAT
                b'G' => {
                    self.take(8)?;
                    Value::Other
                }
                // NEWTRUE, NEWFALSE
                0x88 | 0x89 => Value::Bool,
                // BININT, BININT1, BININT2, LONG1
                b'J' => Value::Int((self.number(4)? as u32).cast_signed().into()),
                b'K' => Value::Int(self.number(1)?.cast_signed()),
                b'M' => Value::Int(self.number(2)?.cast_signed()),
                0x8a => self.long()?,
                // BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
                b'X' => self.text(4)?,
                0x8c => self.text(1)?,
                0x8d => self.text(8)?,
                // EMPTY_TUPLE, TUPLE1 to TUPLE3, TUPLE
                b')' => self.tuple(0)?,
                0x85 => self.tuple(1)?,
                0x86 => self.tuple(2)?,
                0x87 => self.tuple(3)?,
                b't' => {
                    let items = self.marked()?;
                    Value::Tuple(self.container(items))
                }
                // EMPTY_LIST, APPEND, APPENDS
                b']' => Value::List(self.container(Vec::new())),
                b'a' => {
                    let item = self.pop()?;
                    self.extend_list(&[item])?;
                    continue;
                }
                b'e' => {
                    let items = self.marked()?;
                    self.extend_list(&items)?;
                    continue;
                }
                // EMPTY_DICT, SETITEM, SETITEMS
                b'}' => Value::Dict(self.container(Vec::new())),
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.extend_dict(&[key, value])?;
                    continue;
                }
                b'u' => {
                    let pairs = self.marked()?;
                    self.extend_dict(&pairs)?;
                    continue;
                }
                // BINPUT, LONG_BINPUT, MEMOIZE
                b'q' | b'r' => {
                    let index = self.number(if operation == b'q' { 1 } else { 4 })?;
                    self.store(index)?;
                    continue;
                }
                0x94 => {
                    self.store(self.memo.len() as u64)?;
                    continue;
                }
                // BINGET, LONG_BINGET
                b'h' | b'j' => {
                    let index = self.number(if operation == b'h' { 1 } else { 4 })?;
                    self.recall(index)?
                }
                // GLOBAL, STACK_GLOBAL
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    function(module, name)?
                }
                0x93 => match (self.pop()?, self.pop()?) {
                    (Value::Text(name), Value::Text(module)) => function(module, name)?,
                    _ => return self.refuse("it names a function by another value than a text"),
                },
                // BINPERSID
                b'Q' => self.storage()?,
                // REDUCE
                b'R' => self.call()?,
                // BUILD, which sets the attributes of a dictionary: the versions of its modules
                b'b' => {
                    self.pop()?;
                    match self.last()? {
                        Value::Dict(_) => continue,
                        other => return self.refuse(format!("it sets attributes of {}", other.name())),
                    }
                }
                other => {
                    return self
                        .refuse(format!("the operation {other:#04x} does not belong to a dictionary of tensors"));
                }
            };
            self.stack.push(value);
        }
        match (&*self.stack, self.at == self.bytes.len()) {
            ([value], true) if self.marks.is_empty() => Ok(*value),
            (_, false) => self.refuse("it ends before its last byte"),
            _ => self.refuse("it does not end with one value"),
        }
    }

    /// Reads a signed integer that is preceded by its length in bytes.
    fn long(&mut self) -> Outcome<Value<'a>> {
        let width = self.number(1)? as usize;
        if width > 8 {
            return self.refuse("a number has more than eight bytes");
        }
        let unused = 64 - 8 * width as u32;
        let number = self.number(width)?.checked_shl(unused).unwrap_or(0).cast_signed();
        Ok(Value::Int(number.checked_shr(unused).unwrap_or(0)))
    }

    /// Pops a storage identifier, `("storage", class, key, device, elements)`, and returns a reference to the storage.
    fn storage(&mut self) -> Outcome<Value<'a>> {
        let identifier = self.pop()?;
        let items = if let Value::Tuple(index) = identifier { &*self.items[index] } else { &[] };
        let [
            Value::Text("storage"),
            Value::Function(Function::Storage(dtype)),
            Value::Text(key),
            _,
            Value::Int(elements),
        ] = *items
        else {
            return self.refuse("it refers to an object that is not a storage");
        };
        self.storages.push(StorageRef { key, dtype, elements });
        Ok(Value::Storage(self.storages.len() - 1))
    }

    /// Pops a function and its arguments, and returns the result of the supported functions.
    fn call(&mut self) -> Outcome<Value<'a>> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Value::Function(function), Value::Tuple(index)) = (function, arguments) else {
            return self.refuse(format!("it calls {}", function.name()));
        };
        let arguments = &*self.items[index];
        match (function, arguments) {
            (Function::OrderedDict, []) => Ok(Value::Dict(self.container(Vec::new()))),
            (Function::Size, [sizes @ Value::Tuple(_)]) => Ok(*sizes),
            (Function::BareTensor, [storage, offset, shape, strides]) => {
                self.view(None, [*storage, *offset, *shape, *strides], None)
            }
            (Function::Tensor, [storage, offset, shape, strides, _, _, rest @ ..]) if rest.len() < 2 => {
                self.view(None, [*storage, *offset, *shape, *strides], rest.first().copied())
            }
            (
                Function::TypedTensor,
                [storage, offset, shape, strides, _, _, Value::Function(Function::DType(dtype)), rest @ ..],
            ) if rest.len() < 2 => self.view(Some(dtype), [*storage, *offset, *shape, *strides], rest.first().copied()),
            (Function::Parameter(count), [tensor @ Value::Tensor(_), ..]) if arguments.len() == count => Ok(*tensor),
            _ => self.refuse("it calls a function with arguments that torch.save does not write"),
        }
    }

    /// Creates a tensor from the arguments of a `_rebuild_tensor` function: a storage, the offset of the first element,
    /// the shape and the strides.
    fn view(
        &mut self,
        dtype: Option<&'static str>,
        [storage, offset, shape, strides]: [Value<'a>; 4],
        metadata: Option<Value<'a>>,
    ) -> Outcome<Value<'a>> {
        // Metadata mark the values as negated or conjugate.
        match metadata {
            None | Some(Value::Other) => {}
            Some(Value::Dict(index)) if self.items[index].is_empty() => {}
            Some(_) => return self.refuse("a tensor has metadata, which may change its values"),
        }
        let (Value::Storage(storage), Value::Int(offset)) = (storage, offset) else {
            return self.refuse("a tensor has no storage");
        };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        let storage = self.storages[storage].clone();
        let Some(dtype) = dtype.or(storage.dtype) else {
            return self.refuse("a tensor has no type");
        };
        self.views.push(View { storage, dtype, offset, shape, strides });
        Ok(Value::Tensor(self.views.len() - 1))
    }

    fn sizes(&self, value: Value<'a>) -> Outcome<Vec<i64>> {
        let Value::Tuple(index) = value else {
            return self.refuse(format!("a tensor has {} as its sizes", value.name()));
        };
        let sizes = &self.items[index];
        if sizes.len() > MOST_AXES {
            return self.refuse(format!("a tensor has {} axes, expected at most {MOST_AXES}", sizes.len()));
        }
        let size = |value: &Value| match value {
            Value::Int(size) => Ok(*size),
            other => self.refuse(format!("a tensor has {} among its sizes", other.name())),
        };
        sizes.iter().map(size).collect()
    }

    /// Collects the tensors in the dictionary that the pickle returns.
    fn tensors_of(&self, value: Value<'a>) -> Outcome<Vec<(&'a str, View<'a>)>> {
        let Value::Dict(index) = value else {
            return self.refuse(format!("it holds {}, expected a dictionary of tensors", value.name()));
        };
        let mut tensors = Vec::new();
        for pair in self.items[index].chunks_exact(2) {
            match (pair[0], pair[1]) {
                (Value::Text(name), Value::Tensor(view)) => tensors.push((name, self.views[view].clone())),
                (Value::Text(key), Value::Dict(inner)) if self.has_tensors(inner) => {
                    return Err(WeightsProblem::Nested { key: key.into() });
                }
                // Versions, numbers of steps and the like, which no weight depends on.
                (Value::Text(_), _) => {}
                (key, _) => return self.refuse(format!("{} is a key, expected the name of a tensor", key.name())),
            }
        }
        Ok(tensors)
    }

    fn has_tensors(&self, dict: usize) -> bool {
        self.items[dict].iter().any(|value| matches!(value, Value::Tensor(_)))
    }
}

/// Looks up a supported function or class by name. Any other name is an error, since its code would have to be run.
fn function<'a>(module: &str, name: &str) -> Outcome<Value<'a>> {
    let allowed = match (module, name) {
        ("collections", "OrderedDict") => Some(Function::OrderedDict),
        ("torch", "Size") => Some(Function::Size),
        ("torch._utils", "_rebuild_tensor") => Some(Function::BareTensor),
        ("torch._utils", "_rebuild_tensor_v2") => Some(Function::Tensor),
        ("torch._utils", "_rebuild_tensor_v3") => Some(Function::TypedTensor),
        ("torch._utils", "_rebuild_parameter") => Some(Function::Parameter(3)),
        ("torch._utils", "_rebuild_parameter_with_state") => Some(Function::Parameter(4)),
        ("torch" | "torch.storage", "UntypedStorage") => Some(Function::Storage(None)),
        ("torch", name) => match name.strip_suffix("Storage") {
            Some(class) => storage_type(class).map(|dtype| Function::Storage(Some(dtype))),
            None => element_type(name).map(Function::DType),
        },
        _ => None,
    };
    match allowed {
        Some(function) => Ok(Value::Function(function)),
        None => Err(WeightsProblem::PickledCode { name: format!("{module}.{name}") }),
    }
}

/// Element type of a PyTorch storage class, such as `Float` in `FloatStorage`.
fn storage_type(class: &str) -> Option<&'static str> {
    Some(match class {
        "Float" => "F32",
        "Double" => "F64",
        "Half" => "F16",
        "BFloat16" => "BF16",
        "Long" => "I64",
        "Int" => "I32",
        "Short" => "I16",
        "Char" => "I8",
        "Byte" => "U8",
        "Bool" => "BOOL",
        "ComplexFloat" => "C64",
        _ => return None,
    })
}

/// Converts PyTorch's name of an element type to the name in safetensors files.
fn element_type(name: &str) -> Option<&'static str> {
    Some(match name {
        "float32" => "F32",
        "float64" => "F64",
        "float16" => "F16",
        "bfloat16" => "BF16",
        "int64" => "I64",
        "int32" => "I32",
        "int16" => "I16",
        "int8" => "I8",
        "uint64" => "U64",
        "uint32" => "U32",
        "uint16" => "U16",
        "uint8" => "U8",
        "bool" => "BOOL",
        "complex64" => "C64",
        "float8_e4m3fn" => "F8_E4M3",
        "float8_e5m2" => "F8_E5M2",
        "float8_e4m3fnuz" => "F8_E4M3FNUZ",
        "float8_e5m2fnuz" => "F8_E5M2FNUZ",
        "float8_e8m0fnu" => "F8_E8M0",
        _ => return None,
    })
}
