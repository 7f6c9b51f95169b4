//! The one loop that scores: some arms' panels against some contexts.

use super::layout::{LANES, Lanes, PanelLayout, WHOLE};
use super::moments::Moments;
use super::simd::{Row, add, load, multiply, multiply_add, splat, sum};
use pulp::Simd;

/// The values of the first columns, after the phantom ones.
pub(super) type First = [f64; WHOLE * LANES];

/// A context as the panels see it.
#[derive(Clone, Copy)]
pub(super) struct Query<'a> {
    pub(super) layout: PanelLayout,
    context: &'a [f64],
    first: &'a First,
}

impl<'a> Query<'a> {
    /// `space`, zeros, takes the first columns where they are not in the context as they are.
    #[inline(always)]
    pub(crate) fn new<const PANELS: usize>(layout: PanelLayout, context: &'a [f64], space: &'a mut First) -> Self {
        let first = match context.first_chunk() {
            Some(first) if layout.pad == 0 => first,
            _ => {
                let columns = &mut space[layout.pad..LANES * WHOLE.min(layout.panels)];
                columns.copy_from_slice(&context[..columns.len()]);
                space
            }
        };
        Self { layout: PanelLayout::of::<PANELS>(layout), context, first }
    }

    /// Eight coordinates as the panel's columns see them.
    #[inline(always)]
    fn columns(&self, panel: usize) -> &[f64] {
        if panel < WHOLE {
            &self.first[LANES * panel..][..LANES]
        } else {
            &self.context[panel * LANES - self.layout.pad..][..LANES]
        }
    }

    /// The values that multiply the rows: those of the head of a panel, and those of its tiles.
    #[inline(always)]
    fn rows<const PANELS: usize>(&self) -> (&'a [f64], &'a [[f64; LANES]]) {
        let rows = if PANELS == 0 { self.context } else { &self.first[..PANELS * LANES] };
        let (head, rest) = rows.split_at(self.layout.rows(0));
        (head, rest.as_chunks().0)
    }
}

/// Scans the panels of `ARMS` arms with `CONTEXTS` contexts together; `keep` sees f and D·f of each, with
/// f_j = x_j + Σ_{i<j} U_ij x_i.
///
/// The chains of sums are the same whatever `ARMS` and `CONTEXTS` are: an arm alone, an arm among others and a context
/// of a batch give the same bits.
#[inline(always)]
pub(super) fn moments<S: Simd, const N: usize, const PANELS: usize, const ARMS: usize, const CONTEXTS: usize>(
    simd: S,
    blocks: [&[Lanes]; ARMS],
    queries: [Query<'_>; CONTEXTS],
    keep: impl FnMut(usize, Row<S, N>, Row<S, N>),
) -> [[Moments; ARMS]; CONTEXTS] {
    let zero = [[splat::<S, N>(simd, 0.0); ARMS]; CONTEXTS];
    let layout = queries[0].layout;
    let mut scan = PanelScan { simd, layout, blocks, queries, mean: zero, variance: zero, keep };
    if PANELS == 0 {
        for panel in 0..layout.panels {
            scan.panel::<PANELS>(panel);
        }
    } else {
        scan.panel::<PANELS>(0);
        if PANELS == 2 {
            scan.panel::<PANELS>(1);
        }
    }
    let mut out = [[Moments { mean: 0.0, variance: 0.0 }; ARMS]; CONTEXTS];
    let sums = scan.mean.as_flattened().iter().zip(scan.variance.as_flattened());
    for (out, (mean, variance)) in out.as_flattened_mut().iter_mut().zip(sums) {
        *out = Moments { mean: sum(simd, *mean), variance: sum(simd, *variance) };
    }
    out
}

/// A scan of some arms, panel by panel.
struct PanelScan<'a, S: Simd, K, const N: usize, const ARMS: usize, const CONTEXTS: usize> {
    simd: S,
    layout: PanelLayout,
    /// The panels of each arm's block that are still to be read.
    blocks: [&'a [Lanes]; ARMS],
    queries: [Query<'a>; CONTEXTS],
    mean: [[Row<S, N>; ARMS]; CONTEXTS],
    variance: [[Row<S, N>; ARMS]; CONTEXTS],
    keep: K,
}

impl<S: Simd, K: FnMut(usize, Row<S, N>, Row<S, N>), const N: usize, const ARMS: usize, const CONTEXTS: usize>
    PanelScan<'_, S, K, N, ARMS, CONTEXTS>
{
    /// Panel p has 8p rows after a head of up to seven, as many in every panel.
    #[inline(always)]
    fn panel<const PANELS: usize>(&mut self, panel: usize) {
        let simd = self.simd;
        // As many as hide the latency; fewer where all panels are in flight at once, or registers would not suffice.
        let chains = if PANELS == 0 { 4 } else { 2 };
        let zero = splat::<S, N>(simd, 0.0);
        let head_rows = self.layout.rows(0);
        let mut columns = [zero; CONTEXTS];
        let mut sums = [[[zero; 4]; ARMS]; CONTEXTS];
        let mut first: [&[f64]; CONTEXTS] = [&[]; CONTEXTS];
        let mut values: [&[[f64; LANES]]; CONTEXTS] = [&[]; CONTEXTS];
        for context in 0..CONTEXTS {
            let query = &self.queries[context];
            columns[context] = load(simd, query.columns(panel));
            (first[context], values[context]) = query.rows::<PANELS>();
            (first[context], values[context]) = (&first[context][..head_rows], &values[context][..panel]);
            for sums in &mut sums[context] {
                sums[0] = columns[context];
            }
        }
        let mut heads: [&[Lanes]; ARMS] = [&[]; ARMS];
        let mut tiles: [&[[Lanes; LANES]]; ARMS] = [&[]; ARMS];
        let mut ends: [&[Lanes]; ARMS] = [&[]; ARMS];
        for arm in 0..ARMS {
            let (head, rest) = self.blocks[arm].split_at(head_rows);
            let (tile, rest) = rest.split_at(LANES * panel);
            heads[arm] = head;
            tiles[arm] = &tile.as_chunks().0[..panel];
            (ends[arm], self.blocks[arm]) = rest.split_at(2);
        }
        for row in 0..LANES - 1 {
            if row < head_rows {
                for context in 0..CONTEXTS {
                    let value = splat(simd, first[context][row]);
                    for arm in 0..ARMS {
                        let sum = &mut sums[context][arm][row % chains];
                        *sum = multiply_add(simd, load(simd, &heads[arm][row].0), value, *sum);
                    }
                }
            }
        }
        for tile in 0..panel {
            for row in 0..LANES {
                for context in 0..CONTEXTS {
                    let value = splat(simd, values[context][tile][row]);
                    for arm in 0..ARMS {
                        let sum = &mut sums[context][arm][(row + 3) % chains];
                        *sum = multiply_add(simd, load(simd, &tiles[arm][tile][row].0), value, *sum);
                    }
                }
            }
        }
        for context in 0..CONTEXTS {
            for arm in 0..ARMS {
                let [first, second, third, fourth] = sums[context][arm];
                let mut f = add(simd, first, second);
                if chains == 4 {
                    f = add(simd, f, add(simd, third, fourth));
                }
                let v = multiply(simd, f, load(simd, &ends[arm][0].0));
                let (mean, variance) = (&mut self.mean[context][arm], &mut self.variance[context][arm]);
                *variance = multiply_add(simd, v, f, *variance);
                *mean = multiply_add(simd, load(simd, &ends[arm][1].0), columns[context], *mean);
                (self.keep)(panel, f, v);
            }
        }
    }
}
