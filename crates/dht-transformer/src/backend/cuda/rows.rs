//! CUDA kernels that select rows of a matrix by number, as in an embedding table. The gradient adds up rows in a fixed
//! order, so that it is reproducible.

use candle_core::{Result, Tensor};

use super::graph::in_graph;
use super::launch::{Argument, Grid, Numbers, launch, room, suffix, tensor, with_numbers};

const THREADS: u32 = 128;
/// Maximum number of rows that one thread adds up. Longer sums are split into partial sums.
const PIECE: usize = 64;

/// Selects the rows of a matrix whose indices are in `numbers`.
pub(super) fn select_rows(matrix: &Tensor, numbers: &[u32]) -> Result<Tensor> {
    let from = matrix.contiguous()?.detach();
    let ((rows, columns), device) = (from.dims2()?, from.device().as_cuda_device()?);
    let to = room(device, from.dtype(), numbers.len() * columns)?;
    let on_card = Tensor::new(numbers, from.device())?;
    with_numbers(&[&from, &on_card], |read| {
        let arguments = [
            Argument::Numbers(read[0]),
            Argument::Numbers(Numbers::whole(&to)),
            Argument::Numbers(read[1]),
            Argument::Whole(columns as u32),
        ];
        let grid = Grid { blocks: [numbers.len(), 1, 1], threads: THREADS, shared_floats: 0 };
        launch(device, &format!("select_rows_{}", suffix(from.dtype())?), &grid, &arguments)
    })?;
    let (shape, numbers) = ((numbers.len(), columns), numbers.to_vec());
    in_graph("rows by number", (to, shape), &[matrix], move |gradient| {
        Ok([Some(sum_rows(gradient, &numbers, rows)?), None, None])
    })
}

/// Backward pass of [`select_rows`]: adds up the rows of `gradient` that have the same number. Row r of the result,
/// shape (rows, columns), is the sum of the rows with number r, or zeros if there are none.
pub(super) fn sum_rows(gradient: &Tensor, numbers: &[u32], rows: usize) -> Result<Tensor> {
    let mut order: Vec<u32> = (0..numbers.len() as u32).collect();
    order.sort_by_key(|row| numbers[*row as usize]);
    // The rows with one number are summed in pieces, and then the pieces are summed.
    let (mut starts, mut firsts, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    let mut at = 0;
    for same in order.chunk_by(|a, b| numbers[*a as usize] == numbers[*b as usize]) {
        firsts.push(starts.len() as u32);
        targets.push(numbers[same[0] as usize]);
        for piece in same.chunks(PIECE) {
            starts.push(at);
            at += piece.len() as u32;
        }
    }
    let pieces = starts.len();
    starts.push(at);
    firsts.push(pieces as u32);

    let (columns, device) = (gradient.dims2()?.1, gradient.device());
    let sums = Tensor::zeros((rows, columns), gradient.dtype(), device)?;
    let parts = tensor(room(device.as_cuda_device()?, candle_core::DType::F32, pieces * columns)?, (pieces, columns));
    let suffix = suffix(gradient.dtype())?;
    run(&format!("sum_rows_{suffix}"), [gradient, &parts], [Some(&order), Some(&starts), None])?;
    run(&format!("sum_parts_{suffix}"), [&parts, &sums], [None, Some(&firsts), Some(&targets)])?;
    Ok(sums)
}

/// Launches a kernel that sums groups of rows of `from` and adds each sum to a row of `to`. The three arrays of
/// `indices` are the order in which rows are read, the start of each group in this order, and the target row of each
/// sum.
fn run(kernel: &str, [from, to]: [&Tensor; 2], indices: [Option<&Vec<u32>>; 3]) -> Result<()> {
    let (columns, device) = (from.dims2()?.1, from.device());
    let on_card = indices.map(|numbers| numbers.map(|numbers| Tensor::new(numbers.as_slice(), device)).transpose());
    let [order, starts, targets] = on_card;
    let on_card = [order?, starts?, targets?];
    let segments = indices[1].map_or(0, |starts| starts.len() - 1);
    let tensors: Vec<&Tensor> = [from, to].into_iter().chain(on_card.iter().flatten()).collect();
    with_numbers(&tensors, |numbers| {
        let mut rest = numbers.iter().copied().map(Argument::Numbers);
        let mut arguments: Vec<_> = rest.by_ref().take(2).collect();
        for tensor in &on_card {
            arguments.push(tensor.as_ref().and_then(|_| rest.next()).unwrap_or(Argument::Absent));
        }
        arguments.push(Argument::Whole(columns as u32));
        let blocks = [segments, columns.div_ceil(THREADS as usize), 1];
        launch(device.as_cuda_device()?, kernel, &Grid { blocks, threads: THREADS, shared_floats: 0 }, &arguments)
    })
}
