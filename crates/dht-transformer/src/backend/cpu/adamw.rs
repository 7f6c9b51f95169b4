//! AdamW step of one parameter on the CPU, in a single pass over its memory. Each value is updated independently, so
//! the result does not depend on the number of threads.

use std::cell::RefCell;

use candle_core::{CpuStorage, InplaceOp1, Layout, Var};
use rayon::prelude::*;

use crate::backend::adamw::{Coefficients, Moments, Single};
use crate::error::Result;
use crate::tensors::Gradient;

/// Number of values of a parameter that a thread updates at a time. These values, their gradients and their moments fit
/// into the second-level cache.
const CHUNK: usize = 16_384;

/// AdamW moments of one parameter on the CPU: running means of its gradient (m) and of the gradient's square (v).
#[derive(Debug, Clone)]
pub(crate) struct HostMoments {
    first: Vec<f32>,
    second: Vec<f32>,
    /// Flag for each row of the parameter: `true` if the row's moments may differ from zero. `None` before the first
    /// sparse gradient, and after a dense gradient.
    touched: Option<Vec<bool>>,
}

impl HostMoments {
    /// Creates moments from the values of m and v. Without `values`, both are zeros.
    pub(crate) fn new(values: Option<[Vec<f32>; 2]>, shape: &[usize]) -> Self {
        let zeros = || vec![0.0; shape.iter().product()];
        let [first, second] = values.unwrap_or_else(|| [zeros(), zeros()]);
        Self { first, second, touched: None }
    }

    /// Marks `rows`, which have a gradient in this step. Returns a flag for each row of the parameter: `true` if the
    /// row's moments may differ from zero. The first call inspects all moments.
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

impl Moments for HostMoments {
    fn step(&mut self, var: &Var, gradient: &Gradient, with: Coefficients) -> Result<()> {
        let fetched: Vec<f32>;
        let gradient = match gradient {
            Gradient::Dense(values) => HostGradient::Dense(values),
            Gradient::Rows { rows, values } => {
                HostGradient::Rows { rows, values, width: var.dims().iter().skip(1).product() }
            }
            Gradient::Device(_) => {
                fetched = gradient.to_tensor(var)?.flatten_all()?.to_vec1()?;
                HostGradient::Dense(&fetched)
            }
        };
        Ok(var.inplace_op1(&FusedStep { moments: RefCell::new(self), gradient, with: with.into() })?)
    }

    fn values(&self) -> Result<[Vec<f32>; 2]> {
        Ok([self.first.clone(), self.second.clone()])
    }

    fn boxed(&self) -> Box<dyn Moments> {
        Box::new(self.clone())
    }
}

/// AdamW step on the CPU, which updates a parameter and its moments in place.
struct FusedStep<'a> {
    moments: RefCell<&'a mut HostMoments>,
    gradient: HostGradient<'a>,
    with: Single,
}

/// Gradient of a parameter on the CPU: dense, or sparse with values for some `rows`. Its shape has been checked.
enum HostGradient<'a> {
    Dense(&'a [f32]),
    Rows { rows: &'a [u32], values: &'a [f32], width: usize },
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
    // For a parameter as small as a bias, waking other threads costs more than the step.
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

/// AdamW step of neighbouring rows for a sparse gradient. There are three cases for a row:
///
/// - It has a gradient in this step.
/// - It had one in an earlier step only. Then its moments decay, and still change the parameter.
/// - It never had one. Then only weight decay applies.
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
                // With m = v = g = 0 the step is p + (−0 / ε), which equals p bit for bit, so only the weight decay
                // remains.
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

/// Flushes subnormal moments to zero. In rarely updated rows, moments would become subnormal, and operations on
/// subnormal numbers take up to a hundred times as long. This is the only difference from PyTorch, and concerns values
/// below 1.2e-38.
#[inline(always)]
fn without_subnormal(value: f32) -> f32 {
    if value.abs() < f32::MIN_POSITIVE { 0.0 } else { value }
}
