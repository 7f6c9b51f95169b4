//! Dot products of bytes for tiles of eight rows by three vectors, computed by a processor instruction (AVX-512 VNNI)
//! or by portable loops.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "the compiler cannot know what the processor has, nor that a vector's bytes are all there"
    )
)]

use std::ops::Range;

use crate::backend::cpu::kernels::rows::array;

/// Number of SIMD vectors in one row of a panel.
const VECTORS: usize = 3;
/// Number of rows of the right factor that are stored together as one line.
pub(super) const QUAD: usize = 4;
/// Number of panel columns in a SIMD vector.
const WIDE: usize = 16;
/// Number of columns in a panel of the right factor.
pub(super) const COLUMNS: usize = VECTORS * WIDE;

/// Four neighbouring values in a row of the left factor, rounded to signed bytes.
pub(super) type Quad = [i8; QUAD];

/// Four rows of a panel of the right factor, stored column by column. Each column has four values, to which 128 was
/// added.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub(super) struct Line([[u8; WIDE * QUAD]; VECTORS]);

impl Default for Line {
    fn default() -> Self {
        Self([[0; WIDE * QUAD]; VECTORS])
    }
}

impl Line {
    pub(super) fn set(&mut self, column: usize, row: usize, byte: u8) {
        self.0[column / WIDE][column % WIDE * QUAD + row] = byte;
    }
}

/// Implementation of dot products of bytes: the AVX-512 VNNI instruction, or portable loops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dots {
    #[cfg(target_arch = "x86_64")]
    Vnni,
    Portable,
}

impl Dots {
    /// Selects the fastest implementation that this processor supports.
    pub(super) fn new() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512vnni") {
            return Self::Vnni;
        }
        Self::Portable
    }

    pub(super) fn are_accelerated(self) -> bool {
        self != Self::Portable
    }

    /// Computes the dot products Σₗ q(r, l)·(w(l, j) + 128) of each row r of the left factor with each column j of a
    /// panel. q and w are the rounded values of the left and of the right factor. The sum is over the rows l in
    /// `lines`. At least the first `wide` columns are computed.
    #[inline(always)]
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "loops sum all columns"))]
    pub(super) fn compute<const R: usize>(
        self,
        left: [&[Quad]; R],
        panel: &[Line],
        lines: &[Range<usize>],
        wide: usize,
    ) -> [[i32; COLUMNS]; R] {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `new` has detected the instructions.
            Self::Vnni => unsafe {
                match wide.div_ceil(WIDE) {
                    1 => vnni::<R, 1>(left, panel, lines),
                    2 => vnni::<R, 2>(left, panel, lines),
                    _ => vnni::<R, VECTORS>(left, panel, lines),
                }
            },
            Self::Portable => portable(left, panel, lines),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni")]
fn vnni<const R: usize, const V: usize>(
    left: [&[Quad]; R],
    panel: &[Line],
    lines: &[Range<usize>],
) -> [[i32; COLUMNS]; R] {
    use std::arch::x86_64::{
        _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
    };

    let mut sums = [[_mm512_setzero_si512(); V]; R];
    let mut first = 0;
    for lines in lines {
        let count = lines.len();
        let left: [&[Quad]; R] = array(|r| &left[r][first..first + count]);
        for (l, line) in (0..count).zip(&panel[lines.clone()]) {
            let mut columns = [_mm512_setzero_si512(); V];
            for (column, bytes) in columns.iter_mut().zip(&line.0) {
                // SAFETY: a vector is 64 bytes.
                *column = unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) };
            }
            for r in 0..R {
                let quad = _mm512_set1_epi32(i32::from_ne_bytes(array(|i| left[r][l][i].cast_unsigned())));
                for v in 0..V {
                    sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], columns[v], quad);
                }
            }
        }
        first += count;
    }
    let mut result = [[0; COLUMNS]; R];
    for r in 0..R {
        for v in 0..V {
            // SAFETY: a vector is sixteen numbers.
            unsafe { _mm512_storeu_si512(result[r][v * WIDE..][..WIDE].as_mut_ptr().cast(), sums[r][v]) };
        }
    }
    result
}

#[inline(always)]
fn portable<const R: usize>(left: [&[Quad]; R], panel: &[Line], lines: &[Range<usize>]) -> [[i32; COLUMNS]; R] {
    let mut sums = [[0; COLUMNS]; R];
    let mut first = 0;
    for lines in lines {
        for (l, line) in panel[lines.clone()].iter().enumerate() {
            let columns = line.0.as_flattened().as_chunks::<QUAD>().0;
            for (sums, row) in sums.iter_mut().zip(left) {
                let quad: [i32; QUAD] = array(|i| i32::from(row[first + l][i]));
                for (sum, column) in sums.iter_mut().zip(columns) {
                    *sum += (0..QUAD).map(|i| quad[i] * i32::from(column[i])).sum::<i32>();
                }
            }
        }
        first += lines.len();
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_gives_the_same_sums() {
        let byte = |i: usize| ((i * i * 31 + i * 7) % 251) as u8;
        let mut panel = vec![Line::default(); 13];
        for (l, line) in panel.iter_mut().enumerate() {
            (0..COLUMNS * QUAD).for_each(|i| line.set(i / QUAD, i % QUAD, byte(l * 192 + i)));
        }
        // Extreme values, whose pairwise sums would overflow sixteen bits.
        panel[2] = Line([[255; WIDE * QUAD]; VECTORS]);
        let row = |r: usize| -> Vec<Quad> {
            (0..9).map(|l| std::array::from_fn(|i| if l < 2 { -127 } else { byte(r * 50 + l * 4 + i) as i8 })).collect()
        };
        let rows: [Vec<Quad>; 8] = std::array::from_fn(row);
        let (left, lines) = (std::array::from_fn::<&[Quad], 8, _>(|r| &rows[r]), [2..5, 7..13]);
        let expected: [[i32; COLUMNS]; 8] = std::array::from_fn(|r| {
            std::array::from_fn(|j| {
                let lines = lines.iter().cloned().flatten().zip(&rows[r]);
                let terms = lines.flat_map(|(line, quad)| (0..QUAD).map(move |i| (line, i, i32::from(quad[i]))));
                terms.map(|(line, i, q)| q * i32::from(panel[line].0[j / WIDE][j % WIDE * QUAD + i])).sum()
            })
        });
        assert_eq!(portable(left, &panel, &lines), expected);
        assert_eq!(Dots::new().compute(left, &panel, &lines, COLUMNS), expected);
        for wide in [1, 16, 17, 32] {
            let actual = Dots::new().compute(left, &panel, &lines, wide);
            assert!(actual.iter().zip(&expected).all(|(one, other)| one[..wide] == other[..wide]), "{wide} columns");
        }
    }
}
