//! Launches of the kernels: the only place where the compiler cannot check what a kernel reads and writes.
#![expect(unsafe_code, reason = "a kernel's arguments are addresses")]

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::{CudaDevice, CudaStorageSlice, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, DType, Layout, Result, Shape, Storage, StorageRef, Tensor, bail};

/// The kernels, compiled by `build.rs`.
const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));
/// Their name among the modules that candle keeps for a device.
const MODULE: &str = "dht_transformer";
/// Of one dimension of a grid but the first.
const MOST_BLOCKS: usize = 65_535;

/// Contiguous numbers on a card.
#[derive(Clone, Copy)]
pub(super) struct Numbers<'a> {
    storage: &'a CudaStorage,
    first: usize,
}

/// An argument of a kernel.
pub(super) enum Argument<'a> {
    Numbers(Numbers<'a>),
    /// A pointer to nothing.
    Absent,
    Count(usize),
    Whole(u32),
    Real(f32),
}

/// The size of a launch.
pub(super) struct Grid {
    pub(super) blocks: [usize; 3],
    pub(super) threads: u32,
    /// Of memory that a block shares, beside what the kernel itself declares.
    pub(super) shared_floats: usize,
}

impl<'a> Numbers<'a> {
    /// All numbers of a layout.
    ///
    /// # Errors
    /// For a layout with gaps: a caller's mistake.
    pub(super) fn of(storage: &'a CudaStorage, layout: &Layout) -> Result<Self> {
        match layout.contiguous_offsets() {
            Some((first, _)) => Ok(Self { storage, first }),
            None => bail!("a kernel takes numbers one after another, not {:?}", layout.stride()),
        }
    }

    /// All numbers of a storage.
    pub(super) fn whole(storage: &'a CudaStorage) -> Self {
        Self { storage, first: 0 }
    }
}

/// Calls `f` with the numbers of contiguous tensors on a card.
pub(super) fn with_numbers<R>(tensors: &[&Tensor], f: impl FnOnce(&[Numbers<'_>]) -> Result<R>) -> Result<R> {
    let guards: Vec<(StorageRef<'_>, &Layout)> = tensors.iter().map(|tensor| tensor.storage_and_layout()).collect();
    let numbers = guards.iter().map(|(storage, layout)| match &**storage {
        Storage::Cuda(storage) => Numbers::of(storage, layout),
        Storage::Cpu(_) | Storage::Metal(_) => bail!("a kernel for CUDA got a tensor on another device"),
    });
    f(&numbers.collect::<Result<Vec<_>>>()?)
}

/// Room for results; what is in it before a kernel has written is not defined.
pub(super) fn room(device: &CudaDevice, dtype: DType, count: usize) -> Result<CudaStorage> {
    // SAFETY: each caller passes the room to a kernel that writes every number of it, and to nothing else before.
    unsafe { device.alloc_uninit(&Shape::from(count), dtype) }
}

/// The numbers of the CPU on a card.
pub(super) fn copied(device: &CudaDevice, numbers: &[u32]) -> Result<CudaStorage> {
    Ok(CudaStorage::wrap_cuda_slice(device.clone_htod(numbers)?, device.clone()))
}

/// A tensor without history.
pub(super) fn tensor(storage: CudaStorage, shape: impl Into<Shape>) -> Tensor {
    Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false)
}

/// What the names of kernels for numbers of this type end with.
///
/// # Errors
/// For a type that no kernel has.
pub(super) fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        DType::F16 => Ok("f16"),
        other => bail!("no kernel has numbers of type {other:?}; expected f32, bf16 or f16"),
    }
}

/// Asks the device to run a kernel; it does so after all that it was asked before.
///
/// Callers pass what the kernel's declaration says, in its order: `size_t` and `u64` as counts.
///
/// # Errors
/// A grid that no card takes; what the driver reports; a build whose nvcc was a stand-in.
pub(super) fn launch(device: &CudaDevice, kernel: &str, grid: &Grid, arguments: &[Argument<'_>]) -> Result<()> {
    if PTX.trim().is_empty() {
        bail!("this build has no CUDA kernels: it was made with a stand-in for nvcc, which is for type checks alone");
    }
    let [x, y, z] = grid.blocks;
    if x == 0 || y == 0 || z == 0 {
        return Ok(());
    }
    if y > MOST_BLOCKS || z > MOST_BLOCKS || x > i32::MAX as usize {
        bail!("{kernel}: {x} × {y} × {z} blocks, at most 2147483647 × {MOST_BLOCKS} × {MOST_BLOCKS}");
    }
    let function = device.get_or_load_custom_func(kernel, MODULE, PTX)?;
    let stream = device.cuda_stream();
    // The guards make another stream that uses the numbers wait for the kernel.
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
                    CudaStorageSlice::F16(slice) => address!(slice, 2),
                    _ => bail!("{kernel}: no kernel has numbers of type {:?}", numbers.storage.dtype()),
                })
            }
            Argument::Absent => Word::Long(0),
            Argument::Count(count) => Word::Long(*count as u64),
            Argument::Whole(number) => Word::Whole(*number),
            Argument::Real(number) => Word::Real(*number),
        });
    }
    let mut builder = function.builder();
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
    // SAFETY: addresses are of numbers that live until the guards go, on this stream's device; callers pass as many numbers as
    // the kernel reads and writes, and it writes only to room that nobody else has, or in place where the caller says so.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}

/// An argument as the driver takes it.
enum Word {
    Long(u64),
    Whole(u32),
    Real(f32),
}
