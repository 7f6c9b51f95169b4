//! One AdamW step of one parameter in a single pass over its memory.
//!
//! ```text
//! p ← p (1 − η λ)
//! m ← m + (1 − β₁)(g − m)
//! v ← β₂ v + (1 − β₂) g²
//! p ← p − η/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
//! ```
//!
//! in the order of operations of PyTorch. All is element by element, so chunks and threads do not change a bit.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor, Var};
use rayon::prelude::*;

use crate::error::Result;

/// Values of a chunk: its four streams fit into the second-level cache.
const CHUNK: usize = 16_384;

/// The constants of one step of one parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Coefficients {
    /// 1 − η λ
    pub(crate) shrink: f64,
    /// What brings the gradient down to the clipping norm.
    pub(crate) scale: f64,
    /// β₁ and β₂
    pub(crate) beta1: f64,
    pub(crate) beta2: f64,
    /// √(1 − β₂ᵗ)
    pub(crate) root_correction: f64,
    /// ε
    pub(crate) epsilon: f64,
    /// η / (1 − β₁ᵗ)
    pub(crate) rate: f64,
}

/// The same in the precision of the parameters.
#[derive(Clone, Copy)]
struct Single {
    shrink: f32,
    scale: f32,
    first_weight: f32,
    second_decay: f32,
    second_weight: f32,
    root_correction: f32,
    epsilon: f32,
    rate: f32,
}

impl From<Coefficients> for Single {
    fn from(of: Coefficients) -> Self {
        Self {
            shrink: of.shrink as f32,
            scale: of.scale as f32,
            first_weight: (1.0 - of.beta1) as f32,
            second_decay: of.beta2 as f32,
            second_weight: (1.0 - of.beta2) as f32,
            root_correction: of.root_correction as f32,
            epsilon: of.epsilon as f32,
            rate: of.rate as f32,
        }
    }
}

/// The running means of a parameter's gradient (m) and of its square (v), on the CPU.
#[derive(Debug, Clone)]
pub(crate) struct HostMoments {
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    /// For each row whether a moment in it may differ from zero; `None` before it was looked up.
    touched: Option<Vec<bool>>,
}

impl HostMoments {
    pub(crate) fn zeros(elements: usize) -> Self {
        Self::new(vec![0.0; elements], vec![0.0; elements])
    }

    pub(crate) fn new(first: Vec<f32>, second: Vec<f32>) -> Self {
        Self { first, second, touched: None }
    }

    /// Marks `rows` as touched, after looking for those that are.
    fn touch(&mut self, rows: &[u32], width: usize) -> &mut [bool] {
        let touched = self.touched.get_or_insert_with(|| {
            let zero = |row: &[f32]| row.iter().all(|value| value.to_bits() == 0);
            self.first.chunks(width).zip(self.second.chunks(width)).map(|(m, v)| !(zero(m) && zero(v))).collect()
        });
        for &row in rows {
            touched[row as usize] = true;
        }
        touched
    }
}

/// The step as an operation in place on a parameter on the CPU; the moments are updated with it.
pub(crate) struct FusedStep<'a> {
    moments: RefCell<&'a mut HostMoments>,
    gradient: HostGradient<'a>,
    with: Single,
}

/// A gradient on the CPU whose shape was checked.
pub(crate) enum HostGradient<'a> {
    Dense(&'a [f32]),
    Rows { rows: &'a [u32], values: &'a [f32], width: usize },
}

impl<'a> FusedStep<'a> {
    pub(crate) fn new(moments: &'a mut HostMoments, gradient: HostGradient<'a>, with: Coefficients) -> Self {
        Self { moments: RefCell::new(moments), gradient, with: with.into() }
    }
}

impl InplaceOp1 for FusedStep<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let CpuStorage::F32(values) = storage else { candle_core::bail!("adamw: the parameter is not f32") };
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("adamw: the parameter is not contiguous")
        };
        let mut moments = self.moments.borrow_mut();
        match self.gradient {
            HostGradient::Dense(gradient) => dense(&mut values[start..end], &mut moments, gradient, self.with),
            HostGradient::Rows { rows, values: gradient, width } => {
                by_rows(&mut values[start..end], &mut moments, rows, gradient, width, self.with);
            }
        }
        Ok(())
    }
}

fn dense(parameter: &mut [f32], moments: &mut HostMoments, gradient: &[f32], with: Single) {
    moments.touched = None;
    let arch = pulp::Arch::new();
    // Waking the other threads costs more than a bias.
    if parameter.len() <= CHUNK {
        let _span = tracing::trace_span!("optimiser").entered();
        let (first, second) = (&mut moments.first, &mut moments.second);
        return arch.dispatch(DenseChunk { parameter, first, second, gradient, with });
    }
    parameter
        .par_chunks_mut(CHUNK)
        .zip(moments.first.par_chunks_mut(CHUNK))
        .zip(moments.second.par_chunks_mut(CHUNK))
        .zip(gradient.par_chunks(CHUNK))
        .for_each(|(((parameter, first), second), gradient)| {
            let _span = tracing::trace_span!("optimiser").entered();
            arch.dispatch(DenseChunk { parameter, first, second, gradient, with });
        });
}

fn by_rows(
    parameter: &mut [f32],
    moments: &mut HostMoments,
    rows: &[u32],
    gradient: &[f32],
    width: usize,
    with: Single,
) {
    if width == 0 {
        return;
    }
    moments.touch(rows, width);
    let HostMoments { first, second, touched: Some(touched) } = moments else { return };
    let arch = pulp::Arch::new();
    let rows_a_chunk = (CHUNK / width).max(1);
    let chunk = rows_a_chunk * width;
    parameter
        .par_chunks_mut(chunk)
        .zip(first.par_chunks_mut(chunk))
        .zip(second.par_chunks_mut(chunk))
        .zip(touched.par_chunks(rows_a_chunk))
        .enumerate()
        .for_each(|(index, (((parameter, first), second), touched))| {
            let _span = tracing::trace_span!("optimiser").entered();
            let first_row = index * rows_a_chunk;
            let from = rows.partition_point(|&row| (row as usize) < first_row);
            let to = rows.partition_point(|&row| (row as usize) < first_row + touched.len());
            let gradient = &gradient[from * width..to * width];
            let rows = &rows[from..to];
            arch.dispatch(RowsChunk { parameter, first, second, touched, first_row, rows, gradient, width, with });
        });
}

struct DenseChunk<'a> {
    parameter: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    gradient: &'a [f32],
    with: Single,
}

impl pulp::WithSimd for DenseChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        update_dense(self.parameter, self.first, self.second, self.gradient, self.with);
    }
}

/// Some neighbouring rows: those with a gradient, those without, and those that never had one.
struct RowsChunk<'a> {
    parameter: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    touched: &'a [bool],
    first_row: usize,
    rows: &'a [u32],
    gradient: &'a [f32],
    width: usize,
    with: Single,
}

impl pulp::WithSimd for RowsChunk<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let mut present = self.rows.iter().zip(self.gradient.chunks_exact(self.width)).peekable();
        let rows = self
            .parameter
            .chunks_exact_mut(self.width)
            .zip(self.first.chunks_exact_mut(self.width))
            .zip(self.second.chunks_exact_mut(self.width))
            .zip(self.touched)
            .enumerate();
        for (index, (((parameter, first), second), &touched)) in rows {
            let row = self.first_row + index;
            if let Some((_, gradient)) = present.next_if(|(present, _)| **present as usize == row) {
                update_dense(parameter, first, second, gradient, self.with);
            } else if touched {
                update_absent(parameter, first, second, self.with);
            } else if self.with.shrink != 1.0 {
                // With m = v = g = 0 the step is p + (−0 / ε), which is p to the bit: only the decay is left.
                parameter.iter_mut().for_each(|value| *value *= self.with.shrink);
            }
        }
    }
}

#[inline(always)]
fn update_dense(parameter: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32], with: Single) {
    for (((p, m), v), &g) in parameter.iter_mut().zip(first).zip(second).zip(gradient) {
        (*p, *m, *v) = update_one(*p, *m, *v, g * with.scale, with);
    }
}

#[inline(always)]
fn update_absent(parameter: &mut [f32], first: &mut [f32], second: &mut [f32], with: Single) {
    for ((p, m), v) in parameter.iter_mut().zip(first).zip(second) {
        (*p, *m, *v) = update_one(*p, *m, *v, 0.0, with);
    }
}

#[inline(always)]
fn update_one(p: f32, m: f32, v: f32, g: f32, with: Single) -> (f32, f32, f32) {
    let m = without_subnormal(m + with.first_weight * (g - m));
    let v = without_subnormal(v * with.second_decay + with.second_weight * g * g);
    let denominator = v.sqrt() / with.root_correction + with.epsilon;
    (p * with.shrink + -with.rate * m / denominator, m, v)
}

/// Moments of rows that are seldom seen would decay into subnormal numbers, stay there, and cost up to a hundred
/// times as much an operation. Below 1.2e-38 they are zero instead: the only case in which we differ from PyTorch.
#[inline(always)]
fn without_subnormal(value: f32) -> f32 {
    if value.abs() < f32::MIN_POSITIVE { 0.0 } else { value }
}

/// The moments of a parameter on another device.
#[derive(Debug, Clone)]
pub(crate) struct DeviceMoments {
    pub(crate) first: Tensor,
    pub(crate) second: Tensor,
}

/// The step on another device than the CPU: a kernel in place on CUDA, else tensor operations.
pub(crate) fn on_device(var: &Var, moments: &mut DeviceMoments, gradient: &Tensor, with: Coefficients) -> Result<()> {
    #[cfg(feature = "cuda")]
    if var.device().is_cuda() && var.dtype() == candle_core::DType::F32 {
        let Single { shrink, scale, first_weight, second_decay, second_weight, root_correction, epsilon, rate } =
            with.into();
        let constants = [shrink, scale, first_weight, second_decay, second_weight, root_correction, epsilon, rate];
        let old = [&moments.first, &moments.second];
        let [first, second] = crate::backend::adamw_step(var, old, gradient, constants)?;
        *moments = DeviceMoments { first, second };
        return Ok(());
    }
    let (value, moved) = composed(var, moments, gradient, with)?;
    var.set(&value)?;
    *moments = moved;
    Ok(())
}

/// The step from tensor operations, for devices without a kernel: the new parameter and the new moments.
pub(crate) fn composed(
    parameter: &Tensor,
    moments: &DeviceMoments,
    gradient: &Tensor,
    with: Coefficients,
) -> Result<(Tensor, DeviceMoments)> {
    let parameter = parameter.detach();
    let gradient = (gradient.detach() * with.scale)?;
    let first = (&moments.first + ((&gradient - &moments.first)? * (1.0 - with.beta1))?)?;
    let second = ((&moments.second * with.beta2)? + (gradient.sqr()? * (1.0 - with.beta2))?)?;
    let denominator = ((second.sqrt()? / with.root_correction)? + with.epsilon)?;
    let parameter = ((parameter * with.shrink)? - (&first * with.rate)?.div(&denominator)?)?;
    Ok((parameter, DeviceMoments { first, second }))
}
