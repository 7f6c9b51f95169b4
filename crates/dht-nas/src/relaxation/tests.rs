use approx::assert_relative_eq;
use candle_core::{Device, Tensor, Var};
use dht_transformer::flops::BlockShape;
use dht_transformer::model::Gate;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::gate_math::{logistic, sigmoid_of};
use super::{GumbelSoftmax, HardConcrete, Relaxation, RelaxationKind, Sigmoid, WeightedSoftmax, WidthSampling, width};
use crate::error::Error;
use crate::space::{Group, NasSpace, Part};

const SHAPE: BlockShape = BlockShape { hidden: 8, heads: 2, head_dim: 4, ffn: 6 };

fn kinds() -> [RelaxationKind; 5] {
    [
        RelaxationKind::Sigmoid(Sigmoid::default()),
        RelaxationKind::WeightedSoftmax(WeightedSoftmax::default()),
        RelaxationKind::GumbelSoftmax(GumbelSoftmax::default()),
        RelaxationKind::HardConcrete(HardConcrete::default()),
        RelaxationKind::WidthSampling(WidthSampling { widths: vec![0.25, 0.5, 1.0], ..WidthSampling::default() }),
    ]
}

fn groups() -> Vec<Group> {
    NasSpace::default().groups(SHAPE, 1).unwrap()
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(7)
}

fn var(numbers: &[f32]) -> Var {
    Var::from_tensor(&Tensor::new(numbers, &Device::Cpu).unwrap()).unwrap()
}

/// α between −1 and 1, all different.
fn spread(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 % count) as f32 / count as f32) * 2.0 - 1.0).collect()
}

fn tensor(gate: Gate) -> Tensor {
    match gate {
        Gate::Scale(tensor) | Gate::Mix(tensor) => tensor,
    }
}

#[test]
fn gates_have_the_shapes_of_a_layer_and_a_gradient_to_alpha() {
    for kind in kinds() {
        let relaxation = kind.build().unwrap();
        for group in groups() {
            let alpha = relaxation.start(&group, &mut rng());
            let alpha = var(&spread(alpha.len()));
            // In one draw all gates may be at an end, where they have no gradient.
            let (mut rng, mut nonzero) = (rng(), 0);
            for _ in 0..10 {
                let gate = relaxation.sample(&alpha, &group, 0.3, &mut rng).unwrap();
                let expected = match (&gate, group.part.is_by_head()) {
                    (Gate::Mix(_), _) => vec![group.width; 2],
                    (Gate::Scale(_), true) => vec![group.blocks, group.width],
                    (Gate::Scale(_), false) => vec![group.width],
                };
                let gate = tensor(gate);
                assert_eq!(gate.dims(), expected, "{kind:?} {:?}", group.part);
                let weights = Tensor::arange(1f32, 1.0 + gate.elem_count() as f32, &Device::Cpu).unwrap();
                let loss = (gate.flatten_all().unwrap() * weights).unwrap().sum_all().unwrap();
                let gradients = loss.backward().unwrap();
                let gradient: Vec<f32> = gradients.get(&alpha).expect("a gradient").to_vec1().unwrap();
                nonzero += gradient.iter().filter(|each| **each != 0.0).count();
            }
            assert!(nonzero > 0, "{kind:?} {:?}", group.part);
        }
    }
}

#[test]
fn open_probabilities_have_the_gradient_of_finite_differences() {
    for kind in kinds() {
        let relaxation = kind.build().unwrap();
        for group in groups() {
            let count = relaxation.start(&group, &mut rng()).len();
            let start = spread(count);
            let sum = |alpha: &Tensor| {
                let open = relaxation.open(alpha, &group).unwrap();
                assert_eq!(open.dims(), [group.units()]);
                assert!(open.to_vec1::<f32>().unwrap().iter().all(|p| (0.0..=1.0001).contains(p)), "{kind:?}");
                let weights = Tensor::arange(1f32, 1.0 + group.units() as f32, &Device::Cpu).unwrap();
                (open * weights).unwrap().sum_all().unwrap()
            };
            let alpha = var(&start);
            let gradients = sum(&alpha).backward().unwrap();
            let gradient: Vec<f32> = gradients.get(&alpha).unwrap().to_vec1().unwrap();
            for place in 0..count {
                let at = |step: f32| {
                    let mut moved = start.clone();
                    moved[place] += step;
                    sum(&Tensor::new(&moved[..], &Device::Cpu).unwrap()).to_scalar::<f32>().unwrap()
                };
                let slope = (at(5e-3) - at(-5e-3)) / 1e-2;
                assert_relative_eq!(gradient[place], slope, epsilon = 2e-2, max_relative = 2e-2);
            }
        }
    }
}

#[test]
fn gumbel_gates_are_binary_with_the_gradient_of_the_soft_gate() {
    // y = σ((α + l)/τ), where l, the difference of two Gumbel draws, is logistic; ∂y/∂α = y (1 − y)/τ, and τ falls from 1 to .2.
    let alpha = var(&[-1.5, -0.5, 0.0, 0.2, 0.5, 1.0, 1.5, 3.0]);
    let alphas = alpha.to_vec1::<f32>().unwrap();
    let noise = logistic(alpha.as_tensor(), &mut rng()).unwrap().to_vec1::<f32>().unwrap();
    for (share, temperature) in [(0.0, 1.0), (1.0, 0.2)] {
        let drawn = GumbelSoftmax::default().sample(alpha.as_tensor(), &groups()[0], share, &mut rng()).unwrap();
        let gate = tensor(drawn);
        let gradient = gate.sum_all().unwrap().backward().unwrap().remove(alpha.as_tensor()).unwrap();
        let (gate, gradient) = (gate.to_vec1::<f32>().unwrap(), gradient.to_vec1::<f32>().unwrap());
        for unit in 0..alphas.len() {
            let y = sigmoid_of(f64::from(alphas[unit] + noise[unit]) / temperature);
            assert!((f64::from(gate[unit]) - f64::from(u8::from(y > 0.5))).abs() < 1e-6, "{y}: {}", gate[unit]);
            let expected = y * (1.0 - y) / temperature;
            assert_relative_eq!(f64::from(gradient[unit]), expected, max_relative = 1e-3, epsilon = 1e-5);
        }
    }
}

#[test]
fn gumbel_gates_are_zero_or_one_and_one_as_often_as_alpha_says() {
    let group = &groups()[0];
    let relaxation = GumbelSoftmax::default();
    let alpha = Tensor::new(&[-1.5_f32, -0.5, 0.0, 0.2, 0.5, 1.0, 1.5, 3.0], &Device::Cpu).unwrap();
    let (mut rng, draws, mut ones) = (rng(), 4000, vec![0.0; 8]);
    for _ in 0..draws {
        let gate = tensor(relaxation.sample(&alpha, group, 0.5, &mut rng).unwrap()).to_vec1::<f32>().unwrap();
        assert!(gate.iter().all(|gate| (gate * (1.0 - gate)).abs() < 1e-6), "{gate:?}");
        ones.iter_mut().zip(gate).for_each(|(ones, gate)| *ones += f64::from(gate));
    }
    for (ones, alpha) in ones.into_iter().zip(alpha.to_vec1::<f32>().unwrap()) {
        let p = sigmoid_of(f64::from(alpha));
        // Five standard deviations: a false alarm in 200,000 runs of eight.
        assert!((ones / f64::from(draws) - p).abs() < 5.0 * (p * (1.0 - p) / f64::from(draws)).sqrt(), "{ones} at {p}");
    }
}

#[test]
fn hard_concrete_gates_open_at_their_closed_form_rate() {
    let group = &groups()[0];
    let relaxation = HardConcrete::default();
    let numbers = [-3.0_f32, -2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0];
    let alpha = Tensor::new(&numbers, &Device::Cpu).unwrap();
    let (mut rng, draws, mut above) = (rng(), 4000, vec![0.0; 8]);
    for _ in 0..draws {
        let gate = tensor(relaxation.sample(&alpha, group, 0.5, &mut rng).unwrap()).to_vec1::<f32>().unwrap();
        assert!(gate.iter().all(|gate| (0.0..=1.0).contains(gate)));
        above.iter_mut().zip(gate).for_each(|(above, gate)| *above += f64::from(u8::from(gate > 0.0)));
    }
    let open: Vec<f32> = relaxation.open(&alpha, group).unwrap().to_vec1().unwrap();
    for (above, p) in above.into_iter().zip(open) {
        let p = f64::from(p);
        assert!((above / f64::from(draws) - p).abs() < 5.0 * (p * (1.0 - p) / f64::from(draws)).sqrt(), "{above}: {p}");
    }
    // Equation 13 by hand: σ(0)·1.2 − .1 = .5; σ(−3)·1.2 − .1 < 0; σ(3)·1.2 − .1 > 1.
    let values = relaxation.value(&numbers, group);
    assert_relative_eq!(values[3], 0.5, epsilon = 1e-12);
    assert_eq!((values[0], values[7]), (0.0, 1.0));
    assert_eq!(relaxation.kept(&numbers, group, 0.5)[..2], [false, true]);
}

#[test]
fn softmax_weights_have_mean_one_in_each_block_and_rank_heads() {
    let group = groups().into_iter().find(|group| group.part == Part::Heads).unwrap();
    let relaxation = WeightedSoftmax::default();
    let alpha = [0.0_f32, 3.0_f32.ln()];
    let gate = relaxation.sample(&Tensor::new(&alpha, &Device::Cpu).unwrap(), &group, 0.0, &mut rng()).unwrap();
    let gate = tensor(gate).to_vec1::<f32>().unwrap();
    assert_relative_eq!(gate[0], 0.5, epsilon = 1e-6);
    assert_relative_eq!(gate[1], 1.5, epsilon = 1e-6);
    assert_eq!(relaxation.kept(&alpha, &group, 0.5), [false, true]);
    // As the report prints them: 1/4 and 3/4.
    let printed = WeightedSoftmax::printed();
    let gate = printed.sample(&Tensor::new(&alpha, &Device::Cpu).unwrap(), &group, 0.0, &mut rng()).unwrap();
    for (gate, (value, expected)) in tensor(gate)
        .to_vec1::<f32>()
        .unwrap()
        .into_iter()
        .zip(printed.value(&alpha, &group).into_iter().zip([0.25, 0.75]))
    {
        assert_relative_eq!(f64::from(gate), expected, epsilon = 1e-6);
        assert_relative_eq!(value, expected, epsilon = 1e-6);
    }
    // The top n, whatever their weights are, and of equal ones the first.
    let wide = Group { width: 5, ..group.clone() };
    assert_eq!(relaxation.kept(&[0.1, 0.3, 0.2, 0.3, 0.0], &wide, 0.6), [false, true, true, true, false]);
    assert_eq!(relaxation.kept(&[0.1; 5], &wide, 0.25), [true, true, false, false, false]);
    let group = Group { width: 4000, ..group };
    let start = relaxation.start(&group, &mut rng());
    let variance = start.iter().map(|alpha| f64::from(*alpha).powi(2)).sum::<f64>() / 4000.0;
    // The standard deviation of a variance of 4,000 numbers is .01·√(2/4000) = .00022.
    assert!((variance - 0.01).abs() < 0.0011, "{variance}");
    // The other reading: .01 is the standard deviation.
    let narrow = WeightedSoftmax { variance: 1e-4, ..relaxation }.start(&group, &mut rng());
    let variance = narrow.iter().map(|alpha| f64::from(*alpha).powi(2)).sum::<f64>() / 4000.0;
    assert!((variance - 1e-4).abs() < 0.11e-4, "{variance}");
}

#[test]
fn the_reports_masks_start_at_one_and_are_cut_at_a_hundredth() {
    let (group, relaxation) = (&groups()[0], Sigmoid::default());
    assert_eq!(relaxation.start(group, &mut rng()), [5.0; 8]);
    assert_relative_eq!(relaxation.value(&[5.0], group)[0], 0.993_307_149, epsilon = 1e-8);
    // σ⁻¹(.01) = −4.595.
    assert_eq!(relaxation.kept(&[-4.59, -4.6], group, 0.5), [true, false]);
}

#[test]
fn interpolation_is_the_mean_of_neighbours() {
    // 2 → 4: each unit twice. 3 → 2: ⌊0⌋ to ⌈1.5⌉, ⌊1.5⌋ to 3. Of one width nothing changes.
    assert_eq!(width::interpolation(2, 4, 4), [1., 0., 0., 0., 1., 0., 0., 0., 0., 1., 0., 0., 0., 1., 0., 0.]);
    assert_eq!(width::interpolation(3, 2, 3), [0.5, 0.5, 0., 0., 0.5, 0.5, 0., 0., 0.]);
    assert_eq!(width::interpolation(2, 2, 3), [1., 0., 0., 0., 1., 0., 0., 0., 0.]);
    // 2 → 3, as adaptive pooling has it: x₀, (x₀ + x₁)/2, x₁.
    assert_eq!(width::interpolation(2, 3, 3), [1., 0., 0., 0.5, 0.5, 0., 0., 1., 0.]);
}

#[test]
fn two_widths_are_mixed_into_rows_that_add_up_to_one() {
    let group = groups().pop().unwrap();
    let relaxation = WidthSampling { widths: vec![0.5, 1.0], ..WidthSampling::default() };
    let alpha = Tensor::new(&[0.4_f32, -0.3], &Device::Cpu).unwrap();
    let Gate::Mix(mix) = relaxation.sample(&alpha, &group, 0.0, &mut rng()).unwrap() else { panic!("a matrix") };
    let rows: Vec<Vec<f32>> = mix.to_vec2().unwrap();
    // Both candidates are drawn, so that the wider, 6, is filled: row i has p̂₀ at ⌊i/2⌋ and p̂₁ at i.
    let wide = rows[5][5];
    for (i, row) in rows.iter().enumerate() {
        assert_relative_eq!(row.iter().sum::<f32>(), 1.0, epsilon = 1e-6);
        if i / 2 != i {
            assert_relative_eq!(row[i], wide, epsilon = 1e-6);
            assert_relative_eq!(row[i / 2], 1.0 - wide, epsilon = 1e-6);
        }
    }
    let p = sigmoid_of(-0.7);
    for (score, expected) in relaxation.score(&[0.4, -0.3], &group).into_iter().zip([1.0, 1.0, 1.0, p, p, p]) {
        assert_relative_eq!(score, expected, epsilon = 1e-6);
    }
    assert_eq!(relaxation.kept(&[0.4, -0.3], &group, 0.5), [true, true, true, false, false, false]);
}

#[test]
fn settings_out_of_range_are_refused() {
    for (kind, field) in [
        (RelaxationKind::Sigmoid(Sigmoid { threshold: 1.0, ..Sigmoid::default() }), "sigmoid.threshold"),
        (RelaxationKind::Sigmoid(Sigmoid { bound: Some(4.9), ..Sigmoid::default() }), "sigmoid.bound"),
        (RelaxationKind::Sigmoid(Sigmoid { start: f64::NAN, ..Sigmoid::default() }), "sigmoid.start"),
        (
            RelaxationKind::WeightedSoftmax(WeightedSoftmax { variance: 0.0, ..WeightedSoftmax::default() }),
            "weighted_softmax.variance",
        ),
        (
            RelaxationKind::GumbelSoftmax(GumbelSoftmax { last_temperature: 0.0, ..GumbelSoftmax::default() }),
            "gumbel_softmax.last_temperature",
        ),
        (RelaxationKind::HardConcrete(HardConcrete { low: 0.0, ..HardConcrete::default() }), "hard_concrete.low"),
        (RelaxationKind::HardConcrete(HardConcrete { high: 1.0, ..HardConcrete::default() }), "hard_concrete.high"),
        (
            RelaxationKind::WidthSampling(WidthSampling { widths: vec![1.0], ..WidthSampling::default() }),
            "width_sampling.widths",
        ),
    ] {
        let error = kind.build().unwrap_err();
        assert!(matches!(&error, Error::Argument { name: rejected, .. } if *rejected == field), "{error}");
    }
}
