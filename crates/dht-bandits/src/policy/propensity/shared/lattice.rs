//! Quasi-random points, which cover a cube more evenly than random points.

/// Richtmyer's lattice: quasi-random points from multiples of square roots of primes, shifted and folded.
pub(super) struct Lattice {
    roots: Vec<f64>,
    shifts: Vec<f64>,
    state: u64,
}

impl Lattice {
    /// Creates a quasi-random lattice for normal variates in `dimension` dimensions. The number of coordinates is
    /// rounded up to an even number, since the Box–Muller method uses pairs.
    pub(super) fn new(dimension: usize) -> Self {
        let count = dimension.next_multiple_of(2);
        let mut primes: Vec<u32> = Vec::with_capacity(count);
        let mut number = 2;
        while primes.len() < count {
            if primes.iter().take_while(|prime| *prime * *prime <= number).all(|prime| number % prime != 0) {
                primes.push(number);
            }
            number += 1;
        }
        let roots = primes.into_iter().map(|prime| f64::from(prime).sqrt().fract()).collect();
        Self { roots, shifts: vec![0.0; count], state: 0x5EED }
    }

    /// Advances to the next random shift of the quasi-random lattice. Shifts are a fixed sequence (SplitMix64), so that
    /// a propensity is a function of the policy alone.
    pub(super) fn shift(&mut self) {
        for shift in &mut self.shifts {
            self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            *shift = ((mixed ^ (mixed >> 31)) >> 11) as f64 * 2f64.powi(-53);
        }
    }

    /// Standard normal variates at a lattice point, by the Box–Muller method.
    pub(super) fn normals(&self, point: usize, out: &mut [f64]) {
        let uniform = |index: usize| {
            let place = (point as f64 * self.roots[index] + self.shifts[index]).fract();
            (2.0 * place - 1.0).abs().clamp(1e-16, 1.0)
        };
        for (pair, values) in out.chunks_mut(2).enumerate() {
            let radius = (-2.0 * uniform(2 * pair).ln()).sqrt();
            let (sine, cosine) = (std::f64::consts::TAU * uniform(2 * pair + 1)).sin_cos();
            values[0] = radius * cosine;
            if let Some(second) = values.get_mut(1) {
                *second = radius * sine;
            }
        }
    }
}
