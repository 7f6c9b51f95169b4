//! Every backward against central differences in f64, with dropout on.

use super::activation::Activation;
use super::attention::{HeadShape, ProbabilityDropout};
use super::dropout::{Dropout, Place};
use super::half::{Between, HalfGradients, HalfWeights, Wanted, half, half_backward, half_gradients};
use super::norm::{Norm, RowKeys, residual_norm, residual_norm_backward};
use super::product::{Matrix, Packed};
use super::test_support::wave;
use crate::Spans;

/// d loss / d arguments[which] by central differences, where loss = Σ y·dy.
fn numeric(arguments: &[Vec<f64>], which: usize, dy: &[f64], f: &dyn Fn(&[Vec<f64>]) -> Vec<f64>) -> Vec<f64> {
    let step = 1e-5;
    let loss = |arguments: &[Vec<f64>]| f(arguments).iter().zip(dy).map(|(y, dy)| y * dy).sum::<f64>();
    (0..arguments[which].len())
        .map(|index| {
            let mut shifted = arguments.to_vec();
            shifted[which][index] += step;
            let above = loss(&shifted);
            shifted[which][index] -= 2.0 * step;
            (above - loss(&shifted)) / (2.0 * step)
        })
        .collect()
}

fn compare(name: &str, analytic: &[f64], numeric: &[f64]) {
    assert_eq!(analytic.len(), numeric.len(), "{name}");
    let scale = numeric.iter().fold(1e-3f64, |a, b| a.max(b.abs()));
    for (index, (a, n)) in analytic.iter().zip(numeric).enumerate() {
        assert!((a - n).abs() < 1e-6 * scale, "{name}[{index}]: {a} by hand, {n} by differences");
    }
}

struct Fixture {
    spans: Spans,
    sample_ids: Vec<u64>,
    row_samples: Vec<u64>,
    row_tokens: Vec<u32>,
}

impl Fixture {
    fn new() -> Self {
        let spans = Spans::from_lengths([3, 1, 4]).unwrap();
        let sample_ids = vec![11, 5, 8];
        let row_samples = (0..3).flat_map(|s| spans.range(s).map(|_| [11, 5, 8][s]).collect::<Vec<_>>()).collect();
        let row_tokens = (0..3).flat_map(|s| 0..spans.range(s).len() as u32).collect();
        Self { spans, sample_ids, row_samples, row_tokens }
    }

    fn keys(&self) -> RowKeys<'_> {
        RowKeys { samples: &self.row_samples, tokens: &self.row_tokens }
    }
}

const HIDDEN: usize = 6;

#[test]
fn residual_norm_agrees_with_finite_differences() {
    let fixture = Fixture::new();
    let tokens = fixture.spans.tokens();
    let dropout = Dropout::new(0.25, 3, 9, Place::Embedding).map(|d| (d, fixture.keys()));
    let arguments: Vec<Vec<f64>> = vec![
        wave(tokens * HIDDEN, 0.7),
        wave(HIDDEN, 0.3),
        wave(tokens * HIDDEN, 1.1),
        wave(HIDDEN, 0.9),
        wave(HIDDEN, 0.2),
    ];
    let forward = |a: &[Vec<f64>]| {
        let norm = Norm { scale: &a[3], shift: &a[4], epsilon: 1e-12 };
        let mut h = a[0].clone();
        let y = residual_norm(&mut h, &a[1], Some(&a[2]), norm, dropout);
        (y, h)
    };
    let dy: Vec<f64> = wave(tokens * HIDDEN, 0.43);
    let norm = Norm { scale: &arguments[3], shift: &arguments[4], epsilon: 1e-12 };
    let g = residual_norm_backward(&forward(&arguments).1, &dy, norm, dropout);
    let expected = |which| numeric(&arguments, which, &dy, &|a| forward(a).0);
    compare("h", &g.dh, &expected(0));
    compare("bias", &g.dbias, &expected(1));
    compare("x", &g.dz, &expected(2));
    compare("scale", &g.dscale, &expected(3));
    compare("shift", &g.dshift, &expected(4));
}

/// x, W₁, b₁, W₂, b₂, scale and shift of a half for `tokens` rows.
fn half_arguments(tokens: usize, wide: usize, inner: usize) -> Vec<Vec<f64>> {
    vec![
        wave(tokens * HIDDEN, 0.7),
        wave(wide * HIDDEN, 0.31),
        wave(wide, 0.5),
        wave(HIDDEN * inner, 0.37),
        wave(HIDDEN, 0.9),
        wave(HIDDEN, 0.2),
        wave(HIDDEN, 0.15),
    ]
}

/// Both weights of a half, laid out for the forward or for the backward.
fn laid_out(a: &[Vec<f64>], backward: bool) -> [Packed<f64>; 2] {
    let [inward, outward] =
        [(&a[1], HIDDEN), (&a[3], a[3].len() / HIDDEN)].map(|(w, width)| Matrix::new(w, w.len() / width, width));
    [inward, outward].map(|weight| Packed::new(if backward { weight } else { weight.transposed() }))
}

fn weights<'a>(a: &'a [Vec<f64>], [inward, outward]: &'a [Packed<f64>; 2]) -> HalfWeights<'a, f64> {
    let norm = Norm { scale: &a[5], shift: &a[6], epsilon: 1e-12 };
    HalfWeights { inward, inward_bias: &a[2], outward, outward_bias: &a[4], norm }
}

/// A half against central differences.
fn check_half(arguments: &[Vec<f64>], fixture: &Fixture, between: Between<'_>, dropout: Option<Dropout>) {
    let dropout = dropout.map(|dropout| (dropout, fixture.keys()));
    let dy: Vec<f64> = wave(arguments[0].len(), 0.43);
    let forward = |a: &[Vec<f64>]| half(&a[0], weights(a, &laid_out(a, false)), between, dropout, true);
    let saved = forward(arguments).1.unwrap();
    let laid_out = laid_out(arguments, true);
    let (dx, rows) = half_backward(
        &dy,
        saved,
        weights(arguments, &laid_out),
        between,
        dropout,
        Wanted { input: true, gates: false },
    );
    let got: HalfGradients<f64> = half_gradients(&[(arguments[0].clone(), rows)], HIDDEN);
    let expected = |which| numeric(arguments, which, &dy, &|a| forward(a).0);
    compare("x", &dx.unwrap(), &expected(0));
    compare("inward", &got.inward, &expected(1));
    compare("inward bias", &got.inward_bias, &expected(2));
    compare("outward", &got.outward, &expected(3));
    compare("outward bias", &got.outward_bias, &expected(4));
    compare("scale", &got.scale, &expected(5));
    compare("shift", &got.shift, &expected(6));
}

#[test]
fn the_attention_half_agrees_with_finite_differences() {
    let fixture = Fixture::new();
    let kept = [1, 4];
    let between = Between::Attention {
        spans: &fixture.spans,
        shape: HeadShape { heads: 2, head_dim: 3 },
        dropout: Dropout::new(0.2, 3, 9, Place::AttentionProbabilities { layer: 2 })
            .map(|dropout| ProbabilityDropout { dropout, sample_ids: &fixture.sample_ids, kept: &kept }),
    };
    let dropout = Dropout::new(0.2, 3, 9, Place::AttentionOutput { layer: 2 });
    check_half(&half_arguments(fixture.spans.tokens(), 18, 6), &fixture, between, dropout);
}

#[test]
fn the_feed_forward_half_agrees_with_finite_differences_for_every_activation() {
    let fixture = Fixture::new();
    let dropout = Dropout::new(0.2, 3, 9, Place::FeedForwardOutput { layer: 2 });
    for activation in [Activation::Gelu, Activation::GeluNew, Activation::Relu] {
        let arguments = half_arguments(fixture.spans.tokens(), 10, 10);
        check_half(&arguments, &fixture, Between::Activation(activation), dropout);
    }
}
