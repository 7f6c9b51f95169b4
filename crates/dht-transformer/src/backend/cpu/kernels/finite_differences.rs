//! Tests that compare each backward pass with central differences in f64, with dropout enabled.

use std::ops::Range;

use super::attention::{ComparedHeads, DistanceBias, HeadShape, ProbabilityDropout, head_scores, head_scores_backward};
use super::dropout::{Dropout, DropoutSite};
use super::norm::{Norm, RowKeys, residual_norm, residual_norm_backward};
use super::product::{Matrix, Packed};
use super::projection::Projection;
use super::rows::{add_assign, transposed};
use super::sublayer::{
    InnerFunction, OutputNorm, RequestedGradients, RowGradients, Scratch, Segment, sublayer, sublayer_backward,
};
use super::sublayer_gradients::{GradientChunks, SublayerGradients, projection_gradients, sublayer_gradients};
use super::test_support::wave;
use crate::config::Activation;
use crate::tensors::Spans;

/// Computes the gradient of the loss Σ y·dy with respect to `arguments[which]` by central differences, where y =
/// f(arguments).
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
    let dropout = Dropout::new(0.25, 3, 9, DropoutSite::Embedding).map(|d| (d, fixture.keys()));
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
        let mut y = vec![0.0; h.len()];
        residual_norm(&mut h, &a[1], Some(&a[2]), norm, dropout, &mut y);
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

/// Relative-position biases for texts of up to four tokens. Each head has a bias for each of seven distances.
fn distance_bias(numbers: &[f64]) -> DistanceBias<f64> {
    let mut bias = DistanceBias::zeros(numbers.len() / 7, 4);
    bias.heads_mut().zip(numbers.chunks_exact(7)).for_each(|(row, numbers)| row.copy_from_slice(numbers));
    bias
}

/// Adds up the gradients of the relative-position biases from all segments of a block, for all heads of the layer.
fn bias_gradient(rows: &RowGradients<f64>, heads: usize) -> Vec<f64> {
    let mut sum = vec![0.0; heads * 7];
    for segment in &rows.segments {
        let Some(bias) = &segment.bias else { continue };
        for (sum, position) in sum.chunks_exact_mut(7).zip(&*segment.positions) {
            let row = position.and_then(|position| bias.heads().nth(position));
            row.into_iter().for_each(|row| add_assign(sum, row));
        }
    }
    sum
}

/// Arguments of a sublayer for `tokens` rows: x, W₁, b₁, W₂, b₂, the norm's scale and shift, and the relative-position
/// biases of two heads.
fn sublayer_arguments(tokens: usize, wide: usize, inner: usize) -> Vec<Vec<f64>> {
    vec![
        wave(tokens * HIDDEN, 0.7),
        wave(wide * HIDDEN, 0.31),
        wave(wide, 0.5),
        wave(HIDDEN * inner, 0.37),
        wave(HIDDEN, 0.9),
        wave(HIDDEN, 0.2),
        wave(HIDDEN, 0.15),
        wave(2 * 7, 0.83),
    ]
}

/// Packs both weights of a sublayer for the forward or for the backward pass.
fn packed(a: &[Vec<f64>], backward: bool) -> [Packed<f64>; 2] {
    let [inward, outward] =
        [(&a[1], HIDDEN), (&a[3], a[3].len() / HIDDEN)].map(|(w, width)| Matrix::new(w, w.len() / width, width));
    [inward, outward].map(|weight| Packed::new(if backward { weight } else { weight.transposed() }))
}

/// Description of a segment in a test. A segment consists of neighbouring samples that run the same heads or neurons.
/// The fields are the samples' rows, the rows of W₁ and columns of W₂ that they use, the function between the two
/// products, and the heads or neurons.
struct TestSegment<'a> {
    rows: Range<usize>,
    wide: Range<usize>,
    inner: Range<usize>,
    function: &'a dyn Fn(&[f64]) -> InnerFunction<'a, f64>,
    positions: Vec<Option<usize>>,
}

/// Callback that receives the segments of a block and the parameters of the layer norm.
type Use<'a> = dyn FnMut(&[Segment<'_, f64>], OutputNorm<'_, f64>) + 'a;

/// Compares the gradients of a sublayer with central differences.
fn check_sublayer(
    arguments: &[Vec<f64>],
    fixture: &Fixture,
    parts: &[TestSegment<'_>],
    chunks: GradientChunks,
    dropout: Option<Dropout>,
) {
    let dropout = dropout.map(|dropout| (dropout, fixture.keys()));
    let dy: Vec<f64> = wave(arguments[0].len(), 0.43);
    let every = 0..HIDDEN;
    let every = std::slice::from_ref(&every);
    let run = |a: &[Vec<f64>], backward: bool, f: &mut Use<'_>| {
        let [inward, outward] = packed(a, backward);
        let segments = parts.iter().map(|part| {
            let (wide, inner) = (std::slice::from_ref(&part.wide), std::slice::from_ref(&part.inner));
            // A slice of columns begins with the first column.
            let (inward, outward) = match backward {
                false => (inward.part(every, &[0], part.wide.len()), outward.part(inner, &[0], HIDDEN)),
                true => (inward.part(wide, &[0], HIDDEN), outward.part(every, &[0], part.inner.len())),
            };
            Segment {
                rows: part.rows.clone(),
                inward: vec![Projection { inputs: None, outputs: 0..part.wide.len(), weight: inward }],
                inward_bias: &a[2][part.wide.clone()],
                outward,
                function: (part.function)(&a[7]),
                positions: part.positions.clone().into(),
            }
        });
        let norm = Norm { scale: &a[5], shift: &a[6], epsilon: 1e-12 };
        f(&segments.collect::<Vec<_>>(), OutputNorm { outward_bias: &a[4], norm, dropout });
    };
    let forward = |a: &[Vec<f64>]| {
        let mut result = None;
        run(a, false, &mut |segments, output_norm| {
            result = Some(sublayer(&a[0], segments, output_norm, (true, 3), &mut Scratch::default()))
        });
        result.unwrap()
    };
    let mut saved = forward(arguments).1;
    let mut done = None;
    run(arguments, true, &mut |segments, output_norm| {
        let requested = RequestedGradients { input: true, gates: false };
        done = Some(sublayer_backward(&dy, saved.take().unwrap(), segments, output_norm, requested));
    });
    let (dx, rows) = done.unwrap();
    let bias = bias_gradient(&rows, parts[0].positions.len());
    let got = sublayer_gradients(&[(arguments[0].clone(), rows)], HIDDEN, chunks);
    compare_all(&dx.unwrap(), &got, &bias, &|which| numeric(arguments, which, &dy, &|a| forward(a).0));
}

/// Compares all gradients of a sublayer with expected ones; `expected(i)` is the gradient of the i-th argument.
fn compare_all(dx: &[f64], got: &SublayerGradients<f64>, bias: &[f64], expected: &dyn Fn(usize) -> Vec<f64>) {
    compare("x", dx, &expected(0));
    compare("inward", &got.inward, &expected(1));
    compare("inward bias", &got.inward_bias, &expected(2));
    compare("outward", &transposed(&got.outward, HIDDEN), &expected(3));
    compare("outward bias", &got.outward_bias, &expected(4));
    compare("scale", &got.scale, &expected(5));
    compare("shift", &got.shift, &expected(6));
    if bias.iter().any(|number| *number != 0.0) {
        compare("bias of scores", bias, &expected(7));
    }
}

#[test]
fn the_attention_sublayer_agrees_with_finite_differences() {
    let fixture = Fixture::new();
    // Two samples run both heads, the third sample runs only the first head.
    let dropout = Dropout::new(0.2, 3, 9, DropoutSite::AttentionProbabilities { layer: 2 });
    let function = |samples: Range<usize>, selected: &'static [usize], bias: &[f64]| InnerFunction::Attention {
        spans: fixture.spans.part(samples.clone()),
        shape: HeadShape::alike(selected.len(), 3).with_bias(Some(distance_bias(&bias[..selected.len() * 7]))),
        dropout: dropout.map(|dropout| ProbabilityDropout {
            dropout,
            sample_ids: &fixture.sample_ids[samples],
            kept: selected,
        }),
    };
    let parts = [
        TestSegment {
            rows: 0..4,
            wide: 0..18,
            inner: 0..6,
            function: &|bias| function(0..2, &[1, 4], bias),
            positions: vec![Some(0), Some(1)],
        },
        TestSegment {
            rows: 4..8,
            wide: 0..9,
            inner: 0..3,
            function: &|bias| function(2..3, &[1], bias),
            positions: vec![Some(0), None],
        },
    ];
    let dropout = Dropout::new(0.2, 3, 9, DropoutSite::AttentionOutput { layer: 2 });
    let chunks = GradientChunks { inward: 9, outward: 3, wide: 18, inner: 6 };
    check_sublayer(&sublayer_arguments(fixture.spans.tokens(), 18, 6), &fixture, &parts, chunks, dropout);
}

#[test]
fn attention_of_fewer_dimensions_agrees_with_finite_differences() {
    let fixture = Fixture::new();
    let tokens = fixture.spans.tokens();
    // Q reads three columns, K all, V four; the heads' queries have two columns and one, their values three and two.
    let (queries, values) = ([0u32, 2, 5], [1u32, 2, 3, 4]);
    let projections: [(Option<&[u32]>, Range<usize>); 3] =
        [(Some(&queries), 0..3), (None, 3..6), (Some(&values), 6..11)];
    let sizes = projections.clone().map(|(inputs, outputs)| (outputs.len(), inputs.map_or(HIDDEN, <[u32]>::len)));
    let (selected, inner) = ([1, 4], 5);
    let mut arguments = sublayer_arguments(tokens, 11, inner);
    arguments[1] = wave(sizes.iter().map(|(outputs, inputs)| outputs * inputs).sum(), 0.31);
    let dropout = |site| Dropout::new(0.2, 3, 9, site);
    let probabilities = dropout(DropoutSite::AttentionProbabilities { layer: 2 });
    let output = dropout(DropoutSite::AttentionOutput { layer: 2 }).map(|dropout| (dropout, fixture.keys()));
    let run = |a: &[Vec<f64>], backward: bool, f: &mut Use<'_>| {
        let turned = |weight: Matrix<'_, f64>| Packed::new(if backward { weight } else { weight.transposed() });
        let mut rest = &a[1][..];
        let weights = sizes.map(|(outputs, inputs)| {
            let weight;
            (weight, rest) = rest.split_at(outputs * inputs);
            turned(Matrix::new(weight, outputs, inputs))
        });
        let outward = turned(Matrix::new(&a[3], HIDDEN, inner));
        let inward = projections.iter().zip(&weights).map(|((inputs, outputs), weight)| Projection {
            inputs: *inputs,
            outputs: outputs.clone(),
            weight: weight.whole(),
        });
        let segment = Segment {
            rows: 0..tokens,
            inward: inward.collect(),
            inward_bias: &a[2],
            outward: outward.whole(),
            function: InnerFunction::Attention {
                spans: fixture.spans.clone(),
                shape: HeadShape::ragged([(2, 3), (1, 2)].into_iter(), 3).with_bias(Some(distance_bias(&a[7]))),
                dropout: probabilities.map(|dropout| ProbabilityDropout {
                    dropout,
                    sample_ids: &fixture.sample_ids,
                    kept: &selected,
                }),
            },
            positions: [Some(0), Some(1)].into(),
        };
        let norm = Norm { scale: &a[5], shift: &a[6], epsilon: 1e-12 };
        f(&[segment], OutputNorm { outward_bias: &a[4], norm, dropout: output });
    };
    let forward = |a: &[Vec<f64>]| {
        let mut result = None;
        run(a, false, &mut |segments, output_norm| {
            result = Some(sublayer(&a[0], segments, output_norm, (true, 3), &mut Scratch::default()))
        });
        result.unwrap()
    };
    let dy: Vec<f64> = wave(tokens * HIDDEN, 0.43);
    let (mut saved, mut done) = (forward(&arguments).1, None);
    run(&arguments, true, &mut |segments, output_norm| {
        let requested = RequestedGradients { input: true, gates: true };
        done = Some(sublayer_backward(&dy, saved.take().unwrap(), segments, output_norm, requested));
    });
    let (dx, rows) = done.unwrap();
    assert_eq!(rows.gate_gradients().map(|(_, gates)| gates.len()).collect::<Vec<_>>(), [2, 2, 2]);
    let bias = bias_gradient(&rows, selected.len());
    let got = projection_gradients(&[(arguments[0].clone(), rows)], HIDDEN, &projections, inner);
    compare_all(&dx.unwrap(), &got, &bias, &|which| numeric(&arguments, which, &dy, &|a| forward(a).0));
}

#[test]
fn every_feed_forward_activation_agrees_with_finite_differences() {
    let fixture = Fixture::new();
    let dropout = Dropout::new(0.2, 3, 9, DropoutSite::FeedForwardOutput { layer: 2 });
    for activation in [Activation::Gelu, Activation::GeluNew, Activation::Relu] {
        let arguments = sublayer_arguments(fixture.spans.tokens(), 10, 10);
        let function = |_: &[f64]| InnerFunction::Activation(activation);
        let part = |rows, width, positions| TestSegment {
            rows,
            wide: 0..width,
            inner: 0..width,
            function: &function,
            positions,
        };
        // The middle sample runs seven of ten neurons, in chunks of four.
        let parts = [
            part(0..3, 10, vec![Some(0), Some(1), Some(2)]),
            part(3..4, 7, vec![Some(0), Some(1), None]),
            part(4..8, 10, vec![Some(0), Some(1), Some(2)]),
        ];
        let chunks = GradientChunks { inward: 4, outward: 4, wide: 10, inner: 10 };
        check_sublayer(&arguments, &fixture, &parts, chunks, dropout);
    }
}

#[test]
fn attention_scores_agree_with_finite_differences() {
    let spans = Fixture::new().spans;
    let heads = ComparedHeads { widths: vec![2, 0, 3], head_dim: 3 };
    let arguments: Vec<Vec<f64>> = vec![wave(spans.tokens() * 5, 0.7), wave(spans.tokens() * 5, 0.3)];
    let forward = |a: &[Vec<f64>]| head_scores(&a[0], &a[1], &spans, &heads);
    let dy: Vec<f64> = wave(forward(&arguments).len(), 0.43);
    let (dq, dk) = head_scores_backward(&arguments[0], &arguments[1], &dy, &spans, &heads);
    compare("q", &dq, &numeric(&arguments, 0, &dy, &forward));
    compare("k", &dk, &numeric(&arguments, 1, &dy, &forward));
}
