//! Launches of CUDA kernels. The compiler cannot check a kernel's memory accesses, so all `unsafe` launches are in this
//! file.
#![expect(unsafe_code, reason = "a kernel's arguments are addresses")]

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::driver::result::mem_get_info;
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, DevicePtr, DriverError, LaunchConfig, PushKernelArg, sys,
};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::cuda_backend::{CudaDevice, CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, DType, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};

/// CUDA kernels compiled by `build.rs`. They contain machine code for one GPU architecture, and intermediate code that
/// the driver compiles for other GPUs.
struct Module {
    name: &'static str,
    code: &'static [u8],
}

/// Kernels that run on every GPU.
const KERNELS: Module = Module { name: "kernels", code: include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin")) };
/// Kernels for GPUs with tensor cores for 16-bit numbers.
const MATRIX_KERNELS: Module =
    Module { name: "matrix_kernels", code: include_bytes!(concat!(env!("OUT_DIR"), "/matrix_kernels.fatbin")) };
/// Name prefix of the kernels in [`MATRIX_KERNELS`].
const MATRIX: &str = "matrix_";
/// Maximum number of blocks in the second and in the third dimension of a launch.
const MOST_BLOCKS: usize = 65_535;

/// Contiguous values in GPU memory: the elements of `storage` beginning with number `first`.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a> {
    storage: &'a CudaStorage,
    first: usize,
}

pub(super) enum Argument<'a> {
    Numbers(Numbers<'a>),
    Absent,
    Count(usize),
    Whole(u32),
    Real(f32),
}

/// Size of a kernel launch: blocks, threads and shared memory.
pub(super) struct Grid {
    pub(super) blocks: [usize; 3],
    pub(super) threads: u32,
    /// Number of floats in dynamic shared memory. The memory that the kernel declares itself is not counted.
    pub(super) shared_floats: usize,
}

impl<'a> Numbers<'a> {
    /// Refers to the GPU values of a contiguous layout.
    ///
    /// # Errors
    /// Returns candle's error if the layout is not contiguous, which is a bug of the caller.
    pub(super) fn of(storage: &'a CudaStorage, layout: &Layout) -> Result<Self> {
        match layout.contiguous_offsets() {
            Some((first, _)) => Ok(Self { storage, first }),
            None => bail!("a kernel takes numbers one after another, not {:?}", layout.stride()),
        }
    }

    pub(super) fn whole(storage: &'a CudaStorage) -> Self {
        Self { storage, first: 0 }
    }

    pub(super) fn after(self, count: usize) -> Self {
        Self { first: self.first + count, ..self }
    }

    /// Returns whether a thread may access `count` values at once, beginning with the first one. In a matrix, the
    /// length of the rows must be a multiple of `count`, too.
    pub(super) fn aligned(&self, count: usize) -> bool {
        self.first.is_multiple_of(count)
    }
}

/// Returns whether the GPU has tensor cores for 16-bit numbers, and the build has kernels for them.
pub(super) fn has_matrix_units(device: &CudaDevice) -> bool {
    !MATRIX_KERNELS.code.is_empty()
        && device.cuda_stream().context().compute_capability().is_ok_and(|(major, _)| major >= 8)
}

/// Calls `f` with references to the values of contiguous tensors on a GPU.
pub(super) fn with_numbers<R>(tensors: &[&Tensor], f: impl FnOnce(&[Numbers<'_>]) -> Result<R>) -> Result<R> {
    let guards: Vec<(StorageRef<'_>, &Layout)> = tensors.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let numbers = guards.iter().map(|(storage, layout)| match &**storage {
        Storage::Cuda(storage) => Numbers::of(storage, layout),
        Storage::Cpu(_) | Storage::Metal(_) => bail!("a kernel for CUDA got a tensor on another device"),
    });
    f(&numbers.collect::<Result<Vec<_>>>()?)
}

/// Allocates uninitialised GPU memory for the result of a kernel.
pub(super) fn room(device: &CudaDevice, dtype: DType, count: usize) -> Result<CudaStorage> {
    // SAFETY: each caller passes the memory to a kernel that writes every value of it, and to nothing else before.
    unsafe { device.alloc_uninit(&Shape::from(count), dtype) }
}

/// Wraps GPU memory as a tensor that is not part of candle's graph.
pub(super) fn tensor(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// Suffix of kernel names for a data type.
///
/// # Errors
/// Returns candle's error if there are no kernels for the data type.
pub(super) fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        other => bail!("no kernel has numbers of type {other:?}; expected f32 or bf16"),
    }
}

/// Launches a kernel on the device. Kernels run in the order of their launches.
///
/// The arguments must have the types and order of the kernel's declaration; `size_t` and `u64` are `Argument::Count`.
///
/// # Errors
/// An error for a grid that no GPU supports, for an error of the driver, and for a build without kernels (compiled with
/// a replacement for nvcc).
pub(super) fn launch(device: &CudaDevice, kernel: &str, grid: &Grid, arguments: &[Argument<'_>]) -> Result<()> {
    let module = if kernel.starts_with(MATRIX) { MATRIX_KERNELS } else { KERNELS };
    if module.code.is_empty() {
        bail!("this build has no CUDA kernels: it was made with a stand-in for nvcc, which is for type checks alone");
    }
    let [x, y, z] = grid.blocks;
    if x == 0 || y == 0 || z == 0 {
        return Ok(());
    }
    if y > MOST_BLOCKS || z > MOST_BLOCKS || x > i32::MAX as usize {
        bail!("{kernel}: {x} × {y} × {z} blocks, at most 2147483647 × {MOST_BLOCKS} × {MOST_BLOCKS}");
    }
    let (function, stream) = (function(device, &module, kernel)?, device.cuda_stream());
    // The guards make another stream that uses the values wait for the kernel.
    let (mut words, mut guards) = (Vec::with_capacity(arguments.len()), Vec::new());
    for argument in arguments {
        words.push(match argument {
            Argument::Numbers(numbers) => {
                macro_rules! address {
                    ($slice:expr, $bytes:expr) => {{
                        let (address, guard) = $slice.device_ptr(&stream);
                        guards.push(guard);
                        address + ($bytes * numbers.first) as u64
                    }};
                }
                Word::Long(match &numbers.storage.slice {
                    CudaStorageSlice::F32(slice) => address!(slice, 4),
                    CudaStorageSlice::U32(slice) => address!(slice, 4),
                    CudaStorageSlice::BF16(slice) => address!(slice, 2),
                    _ => bail!("{kernel}: no kernel has numbers of type {:?}", numbers.storage.dtype()),
                })
            }
            Argument::Absent => Word::Long(0),
            Argument::Count(count) => Word::Long(*count as u64),
            Argument::Whole(number) => Word::Whole(*number),
            Argument::Real(number) => Word::Real(*number),
        });
    }
    let mut builder = stream.launch_builder(&function);
    for word in &words {
        match word {
            Word::Long(word) => builder.arg(word),
            Word::Whole(word) => builder.arg(word),
            Word::Real(word) => builder.arg(word),
        };
    }
    let config = LaunchConfig {
        grid_dim: (x as u32, y as u32, z as u32),
        block_dim: (grid.threads, 1, 1),
        shared_mem_bytes: (4 * grid.shared_floats) as u32,
    };
    // SAFETY: addresses are of values that live until the guards are dropped, on this stream's device. Callers pass as
    // many values as the kernel reads and writes, and it writes only to exclusive memory, or in place if the caller
    // requests it.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}

/// Returns a kernel by name, and loads its module at the first use in this process and on this GPU.
fn function(device: &CudaDevice, module: &Module, kernel: &str) -> Result<CudaFunction> {
    static LOADED: Mutex<Vec<(usize, &'static str, Arc<CudaModule>)>> = Mutex::new(Vec::new());
    let stream = device.cuda_stream();
    let (context, mut loaded) = (stream.context(), LOADED.lock().unwrap_or_else(PoisonError::into_inner));
    let entry = loaded.iter().find(|(card, name, _)| (*card, *name) == (context.ordinal(), module.name));
    if let Some((_, _, module)) = entry {
        return module.load_function(kernel).w();
    }
    keep_memory(context);
    let code = context.load_module(Ptx::from_binary(module.code.to_vec())).w()?;
    loaded.push((context.ordinal(), module.name, code.clone()));
    code.load_function(kernel).w()
}

/// Lets the driver cache up to three quarters of the GPU's memory. By default, every synchronisation releases all
/// cached memory, and each training step allocates it again. If the driver refuses, steps are only slower.
fn keep_memory(context: &Arc<CudaContext>) {
    let _ = with_pool(context, |pool| {
        let (_, total) = mem_get_info()?;
        let mut threshold = (total / 4 * 3) as u64;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the attribute is a u64, which lives until the call returns.
        unsafe { sys::cuMemPoolSetAttribute(pool, attribute, std::ptr::from_mut(&mut threshold).cast()) }.result()
    });
}

/// Releases the cached memory of a GPU, for allocations outside of the memory pool, such as kernel code and cuBLAS's
/// workspace.
pub(super) fn release_memory(device: &CudaDevice) -> Result<()> {
    let stream = device.cuda_stream();
    stream.synchronize().w()?;
    // SAFETY: memory in use is not released.
    with_pool(stream.context(), |pool| unsafe { sys::cuMemPoolTrimTo(pool, 0) }.result()).w()
}

fn with_pool<R>(
    context: &Arc<CudaContext>,
    f: impl FnOnce(sys::CUmemoryPool) -> std::result::Result<R, DriverError>,
) -> std::result::Result<R, DriverError> {
    context.bind_to_thread()?;
    let mut pool = std::ptr::null_mut();
    // SAFETY: the driver writes the pool of this device.
    unsafe { sys::cuDeviceGetDefaultMemPool(&mut pool, context.cu_device()) }.result()?;
    f(pool)
}

/// Kernel argument in the representation that the driver expects. `Long` is an address or a 64-bit count.
enum Word {
    Long(u64),
    Whole(u32),
    Real(f32),
}
