use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::control::*;
use super::risk::Risk;
use crate::error::Error;
use crate::evaluation::Stages;
use crate::log_probabilities::LogProbabilities;
use crate::number_levels::NumberLevels;
use crate::outputs::Outputs;
use crate::router::LeavingRule;

/// Simulated model with two stages and two classes. The first stage predicts class 0 with a probability p, uniform
/// between .5 and 1, and is correct with probability p. The second stage, the full model, is correct for nine texts in
/// ten. Texts that stop at the first stage at threshold t have p > 1 − t.
struct World {
    stages: Stages,
    full: Vec<u32>,
    labels: Vec<u32>,
}

impl World {
    fn draw(rows: usize, rng: &mut ChaCha8Rng) -> Self {
        let (mut first, mut second, mut labels) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rows {
            let p: f64 = rng.random_range(0.5..1.0);
            let label = u32::from(rng.random::<f64>() > p);
            let right = rng.random::<f64>() < 0.9;
            let answer = if right { label } else { 1 - label };
            first.extend([p.ln(), (1.0 - p).ln()]);
            second.extend(if answer == 0 { [0.99f64.ln(), 0.01f64.ln()] } else { [0.01f64.ln(), 0.99f64.ln()] });
            labels.push(label);
        }
        let table = |values| LogProbabilities::new(2, values).unwrap();
        let (first, second) = (table(first), table(second));
        let full = second.labels();
        let flops = vec![vec![1; rows], vec![100; rows]];
        Self { stages: Stages::new(&[first, second], flops, LeavingRule::Confidence).unwrap(), full, labels }
    }

    fn calibration(&self) -> Calibration<'_> {
        Calibration { stages: &self.stages, full: &self.full, labels: Some(&self.labels) }
    }

    /// True loss of accuracy at the exit threshold t: 2·∫ (.9 − p) dp, with p from 1 − t to 1.
    fn accuracy_loss(threshold: f64) -> f64 {
        let t = threshold.min(0.5);
        2.0 * (0.9 * t - (t - t * t / 2.0))
    }
}

fn thresholds() -> Vec<f64> {
    (0..=100).map(|step| f64::from(step) / 200.0).collect()
}

fn promise(risk: Risk, most: f64, confidence: f64) -> Promise {
    Promise { risk, most, guarantee: Guarantee::Confidence(confidence) }
}

#[test]
fn a_risk_promise_holds_at_its_confidence_near_the_least_cost() {
    // t² − t/5 is negative at first, 0 again at t = .2, and two points at t = .2732.
    assert!(World::accuracy_loss(0.1) < 0.0 && (World::accuracy_loss(0.2732) - 0.02).abs() < 1e-4);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for (risk, most) in [(Risk::AccuracyLoss, 0.02), (Risk::Disagreement, 0.1)] {
        let (mut broken, mut flops) = (0, 0.0);
        for _ in 0..300 {
            let world = World::draw(2_000, &mut rng);
            let promised = promise(risk, most, 0.9).control(world.calibration(), &thresholds()).unwrap();
            assert!(promised.bound <= most && promised.observed <= promised.bound && promised.rows == 2_000);
            let truth = match risk {
                Risk::AccuracyLoss | Risk::Regret => World::accuracy_loss(promised.threshold),
                // A text that stops early differs if exactly one of both models is right: p·.1 + (1 − p)·.9.
                Risk::Disagreement => {
                    let t = promised.threshold;
                    2.0 * (0.1 * (t - t * t / 2.0) + 0.9 * t * t / 2.0)
                }
            };
            broken += u32::from(truth > most);
            flops += promised.flops as f64 / (300.0 * 2_000.0 * 100.0);
        }
        // A tenth may be; with 300 draws three standard errors are .05.
        assert!(f64::from(broken) / 300.0 < 0.15, "{risk:?}: {broken} of 300");
        // At the limit itself t is .2732 or .25, and a share of 1 − 2t continues to the second stage.
        let least = if risk == Risk::AccuracyLoss { 1.0 - 2.0 * 0.2732 } else { 0.5 };
        assert!(flops > least - 0.02 && flops < least + 0.15, "{risk:?}: {flops}, at least {least}");
    }
}

#[test]
fn in_expectation_the_limit_holds_on_the_mean() {
    let (mut rng, most) = (ChaCha8Rng::seed_from_u64(3), 0.1);
    let mut mean = 0.0;
    for _ in 0..300 {
        let world = World::draw(200, &mut rng);
        let expected = Promise { risk: Risk::Disagreement, most, guarantee: Guarantee::Expectation };
        let promised = expected.control(world.calibration(), &thresholds()).unwrap();
        let t = promised.threshold;
        mean += 2.0 * (0.1 * (t - t * t / 2.0) + 0.9 * t * t / 2.0) / 300.0;
    }
    assert!(mean <= most && mean > 0.07, "{mean}");
}

#[test]
fn in_expectation_a_gain_of_one_text_offsets_no_loss_of_another() {
    // The first stage predicts class 0 for all texts. It is right for half of them, the full model for the others.
    let table = |p: f64, rows| LogProbabilities::new(2, [p.ln(), (1.0 - p).ln()].repeat(rows)).unwrap();
    let (tables, labels) = ([table(0.7, 100), table(0.1, 100)], [0, 1].repeat(50));
    let stages = Stages::new(&tables, vec![vec![1; 100], vec![9; 100]], LeavingRule::Confidence).unwrap();
    let calibration = Calibration { stages: &stages, full: &[1; 100], labels: Some(&labels) };
    let expected = Promise { risk: Risk::AccuracyLoss, most: 0.1, guarantee: Guarantee::Expectation };
    assert_eq!(expected.control(calibration, &[0.0, 0.5]).unwrap().threshold, 0.0);
}

/// Draws texts with two features x and y, whose labels are 1 with probability sigmoid(3x + 3y). The last of two stages
/// predicts from x + y, the first from x alone. The first stage's log-odds are scaled by `sharpness`; at 1, they are
/// calibrated.
fn draw(rng: &mut ChaCha8Rng, count: usize, sharpness: f64) -> (Stages, Vec<u32>) {
    let (mut first, mut last, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    let pair = |p: f64| [(1.0 - p).ln(), p.ln()];
    for _ in 0..count {
        // Twelve uniform numbers have the variance 1 together.
        let [x, y] = [(); 2].map(|()| (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        // The mean of sigmoid(a + b·y) over y (MacKay 1992).
        first.extend(pair(sigmoid(sharpness * 3.0 * x / (1.0 + std::f64::consts::PI * 9.0 / 8.0).sqrt())));
        let p = sigmoid(3.0 * (x + y));
        last.extend(pair(p));
        labels.push(u32::from(rng.random::<f64>() < p));
    }
    let flops = vec![vec![1; count], vec![10; count]];
    let tables = [first, last].map(|values| LogProbabilities::new(2, values).unwrap());
    (Stages::new(&tables, flops, LeavingRule::Confidence).unwrap(), labels)
}

fn accuracy(stages: &Stages, labels: &[u32], threshold: f64) -> f64 {
    let at = stages.at(threshold).labels;
    at.iter().zip(labels).filter(|(answer, label)| answer == label).count() as f64 / labels.len() as f64
}

#[test]
fn regret_is_the_lost_accuracy_with_less_variance() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let draws = (0..400).map(|_| {
        let (stages, labels) = draw(&mut rng, 200, 3.0);
        let regret = stages.regrets(&stages.at(0.1).stages).iter().sum::<f64>() / 200.0;
        (regret, accuracy(&stages, &labels, 0.0) - accuracy(&stages, &labels, 0.1))
    });
    let (expected, counted): (Vec<f64>, Vec<f64>) = draws.unzip();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let variance = |values: &[f64]| values.iter().map(|value| (value - mean(values)).powi(2)).sum::<f64>() / 400.0;
    // The standard error of the mean difference is .001.
    assert!((mean(&expected) - mean(&counted)).abs() < 0.004, "{} {}", mean(&expected), mean(&counted));
    assert!(variance(&expected) < 0.7 * variance(&counted), "{} {}", variance(&expected), variance(&counted));
}

#[test]
fn a_default_speed_of_few_rows_loses_little_on_others() {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let risk = Promise { risk: Risk::Regret, most: 0.003, guarantee: Guarantee::StandardErrors(1.0) };
    for sharpness in [1.0, 3.0] {
        let (all, all_labels) = draw(&mut rng, 20_000, sharpness);
        let lost = |threshold: f64| accuracy(&all, &all_labels, 0.0) - accuracy(&all, &all_labels, threshold);
        let (mut losses, mut lucky, mut flops) = (Vec::new(), Vec::new(), 0);
        for _ in 0..100 {
            let (stages, labels) = draw(&mut rng, 300, sharpness);
            let thresholds = stages.thresholds(100);
            let full = stages.at(0.0).labels;
            let calibration = Calibration { stages: &stages, full: &full, labels: None };
            let promised = risk.control(calibration, &thresholds).unwrap();
            losses.push(lost(promised.threshold));
            flops += promised.flops;
            let own = accuracy(&stages, &labels, 0.0);
            let highest = thresholds.iter().rev().find(|threshold| accuracy(&stages, &labels, **threshold) >= own);
            lucky.push(lost(*highest.unwrap()));
        }
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / 100.0;
        let above = |losses: &[f64]| losses.iter().filter(|lost| **lost > 0.01).count();
        assert!(mean(&losses) < 0.004 && above(&losses) <= 5, "{} {}", mean(&losses), above(&losses));
        assert!(above(&lucky) > 3 * above(&losses) && flops < 100 * 300 * 9, "{} {flops}", above(&lucky));
    }
}

#[test]
fn squared_error_keeps_layers_where_f1_sees_no_loss() {
    // Numbers 1 and 5. For every second text the first stage is as sure as the last. For the others it is less sure,
    // but decides each label in the same way.
    let levels = NumberLevels::fit(&[1.0, 2.0, 3.0, 4.0, 5.0], false).unwrap();
    let (mut first, mut last, mut truth) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..400 {
        let is_high = row % 4 < 2;
        let logs = |sure: f64| {
            let p = if is_high { sure } else { 1.0 - sure };
            [(1.0 - p).ln(), p.ln()].repeat(4)
        };
        first.extend(logs(if row % 2 == 0 { 0.999 } else { 0.6 }));
        last.extend(logs(0.999));
        truth.extend([u32::from(is_high); 4]);
    }
    let tables = [first, last].map(|values| LogProbabilities::of(Outputs::Labels(4), values).unwrap());
    let variance = levels.variance(&truth);
    assert!((variance - 4.0).abs() < 1e-12, "{variance}");
    let labels = Stages::new(&tables, vec![vec![1; 400], vec![10; 400]], LeavingRule::Confidence).unwrap();
    let (thresholds, full) = (labels.thresholds(100), labels.at(0.0).labels);
    let default = Promise { risk: Risk::Regret, most: 0.003, guarantee: Guarantee::StandardErrors(1.0) };
    let flops = |stages: &Stages| {
        let calibration = Calibration { stages, full: &full, labels: None };
        default.control(calibration, &thresholds).map(|promised| promised.flops)
    };
    assert_eq!(flops(&labels).unwrap(), 400);
    let numbers = labels.clone().with_number_regrets(&tables, &levels, variance);
    assert_eq!(flops(&numbers).unwrap(), 200 + 10 * 200);
    // Without variance no loss of R² can be measured, not even at threshold 0.
    let equal = labels.with_number_regrets(&tables, &levels, 0.0);
    assert!(matches!(flops(&equal), Err(Error::Promise { needed: None, .. })));
}

#[test]
fn too_few_texts_for_a_promise_report_how_many_it_needs() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let world = World::draw(100, &mut rng);
    let disagreement = promise(Risk::Disagreement, 0.01, 0.95);
    let refused = disagreement.control(world.calibration(), &thresholds());
    let Err(Error::Promise { most, rows, needed: Some(needed), least }) = refused else { panic!("{refused:?}") };
    assert_eq!((most, rows), (0.01, 100));
    // Without any loss ln .05 / ln .99 = 298.07 texts show it; 1 − .05^(1/100) = .0295 is what a hundred show.
    assert!((298..303).contains(&needed) && (least - 0.0295).abs() < 1e-3, "{needed} {least}");
    let message = disagreement.control(world.calibration(), &thresholds()).unwrap_err().to_string();
    assert!(message.contains("100 texts") && message.contains("texts, or a limit of at least 0.0295"), "{message}");
    let enough = World::draw(needed, &mut rng);
    disagreement.control(enough.calibration(), &thresholds()).unwrap();
    promise(Risk::Disagreement, least + 1e-6, 0.95).control(world.calibration(), &thresholds()).unwrap();
    // A first threshold that loses more than allowed needs other thresholds, not more texts.
    let refused = disagreement.control(world.calibration(), &[0.5]);
    assert!(matches!(refused, Err(Error::Promise { needed: None, .. })), "{refused:?}");
}

#[test]
fn what_cannot_be_calibrated_is_refused() {
    let world = World::draw(50, &mut ChaCha8Rng::seed_from_u64(5));
    let field = |promise: Promise, calibration: Calibration<'_>, thresholds: &[f64]| match promise
        .control(calibration, thresholds)
    {
        Err(Error::Argument { name: field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let good = promise(Risk::AccuracyLoss, 0.1, 0.9);
    let all = world.calibration();
    assert_eq!(field(Promise { most: 0.0, ..good }, all, &[0.1]), "most");
    assert_eq!(field(Promise { most: f64::NAN, ..good }, all, &[0.1]), "most");
    assert_eq!(field(promise(Risk::AccuracyLoss, 0.1, 1.0), all, &[0.1]), "confidence");
    let errors = |errors| Promise { guarantee: Guarantee::StandardErrors(errors), ..good };
    assert_eq!(field(errors(-1.0), all, &[0.1]), "standard errors");
    assert_eq!(field(errors(f64::INFINITY), all, &[0.1]), "standard errors");
    assert_eq!(field(good, all, &[]), "thresholds");
    assert_eq!(field(good, all, &[0.2, 0.1]), "thresholds");
    assert_eq!(field(good, Calibration { labels: None, ..all }, &[0.1]), "labels");
    assert_eq!(field(good, Calibration { full: &world.full[1..], ..all }, &[0.1]), "full");
    let unlabelled = Calibration { labels: None, ..all };
    promise(Risk::Disagreement, 0.5, 0.9).control(unlabelled, &[0.0]).unwrap();
}
