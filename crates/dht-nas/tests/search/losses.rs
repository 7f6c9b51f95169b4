//! Which loss trains the weights, and which trains the gates.

use std::collections::BTreeMap;

use dht_nas::Result;
use dht_nas::transformer::tasks::{IntermediateLoss, LayerMap};
use dht_nas::transformer::train::optim::{Schedule, WarmUp};
use dht_nas::transformer::{AdamWSettings, EncodedDataset, Objective, Progress, TrainSettings, Trainer};
use dht_nas::{
    ArchitectureSearch, Control, Count, GateLoss, LabelLoss, NasSettings, NasSpace, RelaxationKind, Sigmoid,
    SoftLabelLoss, TaskLoss, Update,
};
use dht_toys::{Outcome, rng, whole_batch};

use crate::planted::{CLASSES, classifier, data};

const PROGRESS: Progress = Progress { seed: 5, step: 0, epoch: 0, share: 0.1 };

/// Gradients by name, of the weights and of the gates.
type Split = [BTreeMap<String, Vec<f32>>; 2];

fn other_labels() -> EncodedDataset {
    let mut data = data(12, 3);
    data.samples.iter_mut().for_each(|sample| sample.label = (sample.label + 1) % CLASSES as u32);
    data
}

fn search(gate_loss: GateLoss, update: Update, loss: Box<dyn TaskLoss>) -> Result<ArchitectureSearch> {
    let space = NasSpace { inputs: true, neurons: true, ..NasSpace::NONE };
    // Gates are in the middle of σ, where the gradient is large, and the cost is above its target.
    let relaxation = RelaxationKind::Sigmoid(Sigmoid { start: 0.5, ..Sigmoid::default() });
    let settings = NasSettings { relaxation, gate_loss, update, ..NasSettings::report(space, 0.5) };
    ArchitectureSearch::with_loss(classifier(2)?, settings, loss, &mut rng(1))
}

fn soft(teacher: u64) -> Result<Box<dyn TaskLoss>> {
    Ok(Box::new(SoftLabelLoss::new(&classifier(teacher)?, 1.0)?))
}

/// Gradients of one batch, over the steps that it gives.
fn gradients(mut search: ArchitectureSearch, data: &EncodedDataset) -> Result<Split> {
    search.prepare(data, PROGRESS)?;
    search.offer(whole_batch(data), PROGRESS)?;
    let mut split: Split = Default::default();
    for step in 0.. {
        let Some(loss) = search.next_loss(Progress { step, ..PROGRESS }, false)? else { break };
        let gradients = loss.ctx.backward(&loss.loss, search.parameters())?;
        for (id, name, var) in search.parameters().iter() {
            if let Some(gradient) = gradients.get(id) {
                let part = &mut split[usize::from(name.starts_with("nas."))];
                part.insert(name.into(), gradient.to_tensor(var)?.flatten_all()?.to_vec1()?);
            }
        }
    }
    Ok(split)
}

#[test]
fn labels_train_the_gates_and_the_teacher_trains_the_weights() -> Outcome {
    for update in [Update::Joint, Update::Alternating] {
        let of =
            |gate_loss, teacher, data: &EncodedDataset| gradients(search(gate_loss, update, soft(teacher)?)?, data);
        let [weights, gates] = of(GateLoss::Labels, 4, &data(12, 3))?;
        assert!(!weights.is_empty() && gates.len() == 2 * 4, "{} and {}", weights.len(), gates.len());
        let [same, others] = of(GateLoss::Labels, 4, &other_labels())?;
        assert!(same == weights && others != gates, "{update:?}: other labels");
        let [others, same] = of(GateLoss::Labels, 6, &data(12, 3))?;
        assert!(others != weights && same == gates, "{update:?}: another teacher");

        // If the task loss distils, labels reach neither weights nor gates, and a teacher reaches both.
        let [weights, gates] = of(GateLoss::Task, 4, &data(12, 3))?;
        assert!(of(GateLoss::Task, 4, &other_labels())? == [weights.clone(), gates.clone()], "{update:?}");
        let [other_weights, other_gates] = of(GateLoss::Task, 6, &data(12, 3))?;
        assert!(other_weights != weights && other_gates != gates, "{update:?}");
    }
    // If the task loss uses labels, other labels change both.
    let of = |data: &EncodedDataset| gradients(search(GateLoss::Task, Update::Joint, Box::new(LabelLoss))?, data);
    let ([weights, gates], [other_weights, other_gates]) = (of(&data(12, 3))?, of(&other_labels())?);
    assert!(weights != other_weights && gates != other_gates);
    Ok(())
}

/// Trains in steps over all rows, with a constant learning rate.
fn fit(search: &mut ArchitectureSearch, data: &EncodedDataset, optimizer: AdamWSettings, epochs: usize) -> Result<()> {
    let groups = Some(search.parameter_groups(optimizer.learning_rate)?);
    let schedule = Schedule::Constant { warm_up: WarmUp::Steps(0) };
    let settings = TrainSettings { epochs, batch_size: data.len(), optimizer, schedule, ..TrainSettings::default() };
    Trainer { groups, ..Trainer::new(settings) }.fit(search, data, None, &mut ())?;
    Ok(())
}

/// All parameters after one step of the trainer, by name.
fn stepped(gate_loss: GateLoss, data: &EncodedDataset) -> Result<Split> {
    let mut search = search(gate_loss, Update::Joint, soft(4)?)?;
    let optimizer = AdamWSettings { learning_rate: 1e-3, clip_norm: Some(1e-3), ..AdamWSettings::default() };
    fit(&mut search, data, optimizer, 1)?;
    let mut split: Split = Default::default();
    for (_, name, var) in search.parameters().iter() {
        split[usize::from(name.starts_with("nas."))].insert(name.into(), var.flatten_all()?.to_vec1()?);
    }
    Ok(split)
}

#[test]
fn labels_move_no_weight_although_gradients_are_clipped() -> Outcome {
    let [weights, gates] = stepped(GateLoss::Labels, &data(12, 3))?;
    let [same, others] = stepped(GateLoss::Labels, &other_labels())?;
    assert!(weights == same && gates != others);
    Ok(())
}

#[test]
fn one_step_of_the_reports_rate_crosses_from_five_to_minus_five() -> Outcome {
    // From 5, where the search begins, each unit whose gate the labels or the cost push down is removed after one step.
    let mut search =
        ArchitectureSearch::new(classifier(2)?, NasSettings::report(NasSpace::inputs(), 0.5), &mut rng(1))?;
    assert!(search.scores()?.iter().flatten().all(|alpha| *alpha == 5.0));
    fit(&mut search, &data(12, 3), AdamWSettings::default(), 1)?;
    let alphas: Vec<f64> = search.scores()?.into_iter().flatten().collect();
    let (low, high): (Vec<f64>, Vec<f64>) = alphas.iter().partition(|alpha| **alpha < 5.0);
    assert!(!low.is_empty() && low.len() + high.len() == 2 * 3 * 32, "{} and {}", low.len(), high.len());
    assert!(low.iter().all(|alpha| *alpha < -4.6), "{low:?}");
    Ok(())
}

#[test]
fn a_step_begins_with_masks_that_can_come_back() -> Outcome {
    let settings = NasSettings { gate_rate: 100.0, ..NasSettings::report(NasSpace::inputs(), 0.5) };
    let mut search = ArchitectureSearch::new(classifier(2)?, settings, &mut rng(1))?;
    fit(&mut search, &data(12, 3), AdamWSettings::default(), 2)?;
    // The second of at most 100 steps begins at ±5. Without a bound it begins at −95, and momentum alone moves α to
    // −162.
    let farthest = search.scores()?.into_iter().flatten().fold(0.0, |most: f64, alpha| most.max(alpha.abs()));
    assert!((5.1..=106.0).contains(&farthest), "{farthest}");
    Ok(())
}

#[test]
fn each_gradient_is_that_of_its_own_loss_alone() -> Outcome {
    let data = data(12, 3);
    let of = |gate_loss, loss| gradients(search(gate_loss, Update::Joint, loss)?, &data);
    let [weights, gates] = of(GateLoss::Labels, soft(4)?)?;
    let [expected_weights, _] = of(GateLoss::Task, soft(4)?)?;
    let [_, expected_gates] = of(GateLoss::Task, Box::new(LabelLoss))?;
    for (got, expected) in [(&weights, &expected_weights), (&gates, &expected_gates)] {
        assert!(got.keys().eq(expected.keys()));
        for (got, expected) in got.values().flatten().zip(expected.values().flatten()) {
            assert!((got - expected).abs() <= 1e-6 + 1e-4 * expected.abs(), "{got} and {expected}");
        }
    }
    Ok(())
}

#[test]
fn labels_reach_the_gates_during_intermediate_distillation() -> Outcome {
    let intermediate = |data: &EncodedDataset| -> Result<Split> {
        let (teacher, mut student) = (classifier(4)?, classifier(2)?);
        let mut rng = rng(1);
        let loss = IntermediateLoss::new(&mut student, &teacher, LayerMap::Uniform, &mut rng)?;
        let settings = NasSettings::report(NasSpace::inputs(), 0.5);
        gradients(ArchitectureSearch::with_loss(student, settings, Box::new(loss), &mut rng)?, data)
    };
    let ([weights, gates], [same, others]) = (intermediate(&data(12, 3))?, intermediate(&other_labels())?);
    assert!(weights == same && gates != others);
    // The classifier, through which the labels reach the gates, does not learn in this step.
    assert!(!weights.keys().any(|name| name.starts_with("classifier")), "{:?}", weights.keys());
    Ok(())
}

#[test]
fn the_cost_is_expected_and_its_case_is_thresholded() -> Outcome {
    // σ(0) = .5 is expected of every unit, and every unit is above the threshold of .01. The case is F = 1 > (1 + t)·R.
    let of = |count, start, target| -> Result<f64> {
        let relaxation = RelaxationKind::Sigmoid(Sigmoid { start, ..Sigmoid::default() });
        let control = Control::Tas { weight: 2.0, tolerance: 0.1 };
        let settings = NasSettings { relaxation, control, count, ..NasSettings::report(NasSpace::inputs(), target) };
        let without = NasSettings { control: Control::Tas { weight: 0.0, tolerance: 0.1 }, ..settings.clone() };
        let loss = |settings: NasSettings| -> Result<f64> {
            let mut search = ArchitectureSearch::with_loss(classifier(2)?, settings, soft(4)?, &mut rng(1))?;
            let data = data(12, 3);
            search.offer(whole_batch(&data), PROGRESS)?;
            let loss =
                search.next_loss(PROGRESS, false)?.ok_or_else(|| dht_nas::Error::TooFewRows { rows: 0, least: 1 })?;
            Ok(f64::from(loss.loss.to_scalar::<f32>()?))
        };
        Ok(loss(settings)? - loss(without)?)
    };
    let close = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-4, "{got} and {expected}");
    close(of(Count::Expected, 0.0, 0.6)?, 2.0 * 0.5_f64.ln());
    close(of(Count::Thresholded, 0.0, 0.6)?, 0.0);
    // With F = 1 and R = 1, the cost is within the tolerance.
    close(of(Count::Expected, 0.0, 1.0)?, 0.0);
    // σ(−5) = .0067 is below the threshold, so that each block keeps one of 32 units: the cost is below the tolerance.
    close(of(Count::Expected, -5.0, 0.6)?, -2.0 * (1.0 / (1.0 + 5.0_f64.exp())).ln());
    Ok(())
}
