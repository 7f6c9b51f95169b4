//! Every backward against central differences in f64, with dropout on.

use super::activation::Activation;
use super::attention::{HeadShape, ProbabilityDropout};
use super::blocks::{
    AttentionDropout, AttentionWeights, FeedForwardWeights, attention_half, attention_half_backward, feed_forward_half,
    feed_forward_half_backward,
};
use super::dropout::{Dropout, Place};
use super::norm::{Norm, RowKeys, residual_norm, residual_norm_backward};
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

#[test]
fn the_attention_half_agrees_with_finite_differences() {
    let fixture = Fixture::new();
    let tokens = fixture.spans.tokens();
    let shape = HeadShape { heads: 2, head_dim: 3 };
    let kept = [1, 4];
    let dropout = AttentionDropout {
        probabilities: Dropout::new(0.2, 3, 9, Place::AttentionProbabilities { layer: 2 })
            .map(|dropout| ProbabilityDropout { dropout, sample_ids: &fixture.sample_ids, kept: &kept }),
        output: Dropout::new(0.2, 3, 9, Place::AttentionOutput { layer: 2 }).map(|d| (d, fixture.keys())),
    };
    let arguments: Vec<Vec<f64>> = vec![
        wave(tokens * HIDDEN, 0.7),
        wave(18 * HIDDEN, 0.31),
        wave(18, 0.5),
        wave(HIDDEN * 6, 0.37),
        wave(HIDDEN, 0.9),
        wave(HIDDEN, 0.2),
        wave(HIDDEN, 0.15),
    ];
    let weights = |a: &'_ [Vec<f64>]| -> AttentionWeights<'static, f64> {
        let leak = |v: &Vec<f64>| -> &'static [f64] { Box::leak(v.clone().into_boxed_slice()) };
        AttentionWeights {
            qkv: leak(&a[1]),
            qkv_bias: leak(&a[2]),
            output: leak(&a[3]),
            output_bias: leak(&a[4]),
            norm: Norm { scale: leak(&a[5]), shift: leak(&a[6]), epsilon: 1e-12 },
        }
    };
    let forward = |a: &[Vec<f64>]| attention_half(&a[0], &fixture.spans, shape, weights(a), dropout, true);
    let dy: Vec<f64> = wave(tokens * HIDDEN, 0.43);
    let saved = forward(&arguments).1.unwrap();
    let w = weights(&arguments);
    let g = attention_half_backward(&arguments[0], &dy, saved, &fixture.spans, shape, w, dropout, (true, true));
    let expected = |which| numeric(&arguments, which, &dy, &|a| forward(a).0);
    let weights = g.weights.unwrap();
    compare("x", &g.dx.unwrap(), &expected(0));
    compare("qkv", &weights.qkv, &expected(1));
    compare("qkv bias", &weights.qkv_bias, &expected(2));
    compare("output", &weights.output, &expected(3));
    compare("output bias", &weights.output_bias, &expected(4));
    compare("scale", &weights.scale, &expected(5));
    compare("shift", &weights.shift, &expected(6));
}

#[test]
fn the_feed_forward_half_agrees_with_finite_differences_for_every_activation_and_width() {
    let fixture = Fixture::new();
    let tokens = fixture.spans.tokens();
    let neurons = 10;
    let dropout = Dropout::new(0.2, 3, 9, Place::FeedForwardOutput { layer: 2 }).map(|d| (d, fixture.keys()));
    for activation in [Activation::Gelu, Activation::GeluNew, Activation::Relu] {
        for width in [neurons, 7] {
            let arguments: Vec<Vec<f64>> = vec![
                wave(tokens * HIDDEN, 0.7),
                wave(neurons * HIDDEN, 0.31),
                wave(neurons, 0.5),
                wave(HIDDEN * neurons, 0.37),
                wave(HIDDEN, 0.9),
                wave(HIDDEN, 0.2),
                wave(HIDDEN, 0.15),
            ];
            let forward = |a: &[Vec<f64>]| {
                let weights = FeedForwardWeights {
                    up: &a[1],
                    up_bias: &a[2],
                    down: &a[3],
                    down_bias: &a[4],
                    norm: Norm { scale: &a[5], shift: &a[6], epsilon: 1e-12 },
                    activation,
                    width,
                };
                feed_forward_half(&a[0], weights, dropout, true)
            };
            let a = &arguments;
            let weights = FeedForwardWeights {
                up: &a[1],
                up_bias: &a[2],
                down: &a[3],
                down_bias: &a[4],
                norm: Norm { scale: &a[5], shift: &a[6], epsilon: 1e-12 },
                activation,
                width,
            };
            let dy: Vec<f64> = wave(tokens * HIDDEN, 0.43);
            let saved = forward(a).1.unwrap();
            let g = feed_forward_half_backward(&a[0], &dy, saved, weights, dropout, (true, true));
            let expected = |which| numeric(a, which, &dy, &|a| forward(a).0);
            let got = g.weights.unwrap();
            compare("x", &g.dx.unwrap(), &expected(0));
            compare("up", &got.up, &expected(1)[..width * HIDDEN]);
            compare("up bias", &got.up_bias, &expected(2)[..width]);
            let down: Vec<f64> = expected(3).chunks(neurons).flat_map(|row| row[..width].to_vec()).collect();
            compare("down", &got.down, &down);
            compare("down bias", &got.down_bias, &expected(4));
            compare("scale", &got.scale, &expected(5));
            compare("shift", &got.shift, &expected(6));
        }
    }
}
