use candle_core::Device;
use dht_dynamic::router::Mode;
use dht_transformer::{
    BertConfig, EncodedDataset, Encoder, Encoding, ForwardContext, Objective, PackedBatch, Pooling, Progress, Sample,
    TextClassifier, tensors::log_softmax,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::model::SearchModel;
use crate::settings::SearchSettings;
use crate::space::Preset;
use crate::training::exit_losses::*;

fn encoder(seed: u64) -> Encoder {
    let config = BertConfig { initializer_range: 0.3, ..BertConfig::small(6, 12, 24, 50).unwrap() };
    let config = BertConfig { hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, ..config };
    Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap()
}

fn search(settings: SearchSettings) -> SearchObjective {
    let space = Preset::TDht.space(6, 12).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    SearchObjective::new(SearchModel::new(encoder(1), space, settings, 3, &mut rng).unwrap()).unwrap()
}

fn texts() -> EncodedDataset {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let samples = (0..40)
        .map(|id| {
            let ids: Vec<u32> = (0..rng.random_range(2..9)).map(|_| rng.random_range(0..50)).collect();
            let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
            Sample { id, label: rng.random_range(0..3), targets: Vec::new(), encoding }
        })
        .collect();
    EncodedDataset { samples, labels: ["a", "b", "c"].map(String::from).into(), truncated_rows: 0 }
}

/// Log-probability of each class, computed in f64, by sample and then by the exits that were evaluated for the sample.
fn logarithms(model: &SearchModel, trace: &Trace, samples: usize, temperature: f64) -> Vec<Vec<Vec<f64>>> {
    let mut all = vec![vec![Vec::new(); model.space().exits().len()]; samples];
    for output in &trace.outputs {
        let rows: Vec<Vec<f32>> = log_softmax(&(&output.logits / temperature).unwrap()).unwrap().to_vec2().unwrap();
        for (sample, row) in output.samples.iter().zip(rows) {
            all[*sample][output.exit] = row.into_iter().map(f64::from).collect();
        }
    }
    all
}

fn divergence(teacher: &[f64], student: &[f64], temperature: f64) -> f64 {
    let sum: f64 = teacher.iter().zip(student).map(|(q, p)| q.exp() * (q - p)).sum();
    sum * temperature * temperature
}

#[test]
fn the_loss_of_a_batch_is_the_formula_of_its_plan() {
    const DEPTHS: [f64; 4] = [1.0, 2.0, 4.0, 6.0];
    let (texts, temperature) = (texts(), 1.5);
    let batch = PackedBatch::from_samples(&texts.samples).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let teacher = TextClassifier::new(encoder(9), 3, Pooling::Mean, &mut rng).unwrap();
    let teacher_rows = (teacher.logits(&batch, &ForwardContext::inference()).unwrap() / temperature).unwrap();
    let teacher_rows: Vec<Vec<f32>> = log_softmax(&teacher_rows).unwrap().to_vec2().unwrap();
    let on_the_way = |weight, power| ExitLosses::Weighted { weight, power };
    let soft = |teacher, weight| Some(SoftLabels { teacher, weight, temperature });
    let (deepest, full) = (soft(Teacher::Deepest, 0.7), soft(Teacher::Full, 0.4));
    let plans = [
        (ExitLosses::Chosen, None),
        (ExitLosses::Chosen, full),
        (ExitLosses::Detached, None),
        (ExitLosses::Detached, deepest),
        (on_the_way(0.3, 0.0), None),
        (on_the_way(1.0, 1.0), None),
        (on_the_way(0.5, 2.0), deepest),
        (on_the_way(0.5, 0.0), full),
    ];
    for (exit_losses, soft_labels) in plans {
        let settings = match exit_losses {
            ExitLosses::Chosen => SearchSettings { pooling: Pooling::Mean, ..SearchSettings::paper() },
            _ => SearchSettings::default(),
        };
        let mut search = search(SearchSettings { exit_losses, soft_labels, ..settings });
        if soft_labels == full {
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            let teacher = TextClassifier::new(encoder(9), 3, Pooling::Mean, &mut rng).unwrap();
            search = search.with_teacher(teacher).unwrap();
        }
        search.prepare(&texts, Progress { seed: 3, step: 0, epoch: 0, share: 0.0 }).unwrap();
        let ctx = ForwardContext::training(search.parameters(), 1, 1);
        let (model, mut rng) = (search.model(), ChaCha8Rng::seed_from_u64(3));
        let trace = model.walk(&ctx, search.passed_exits()).run(&batch, &mut Mode::Random(&mut rng)).unwrap();
        let plain = logarithms(model, &trace, batch.len(), 1.0);
        let warm = logarithms(model, &trace, batch.len(), temperature);

        let mut expected = 0.0;
        for (sample, &own) in trace.decisions.exits.iter().enumerate() {
            let label = batch.labels[sample] as usize;
            let loss = |exit: usize| {
                let hard = -plain[sample][exit][label];
                let Some(soft) = soft_labels else { return hard };
                let teacher = match soft.teacher {
                    Teacher::Full => teacher_rows[sample].iter().map(|log| f64::from(*log)).collect(),
                    Teacher::Deepest if exit == own => return hard,
                    Teacher::Deepest => warm[sample][own].clone(),
                };
                (1.0 - soft.weight) * hard + soft.weight * divergence(&teacher, &warm[sample][exit], temperature)
            };
            expected += match exit_losses {
                ExitLosses::Chosen => loss(own),
                ExitLosses::Detached => (0..=own).map(loss).sum(),
                ExitLosses::Weighted { weight, power } => {
                    let of =
                        |exit: usize| if exit == own { 1.0 } else { weight * (DEPTHS[exit] / DEPTHS[own]).powf(power) };
                    let sum: f64 = (0..=own).map(|exit| of(exit) * loss(exit)).sum();
                    sum / (0..=own).map(of).sum::<f64>()
                }
            };
        }
        let (total, losses) = search.losses(&batch, &trace).unwrap();
        let total = f64::from(total.to_scalar::<f32>().unwrap());
        approx::assert_relative_eq!(total, expected / batch.len() as f64, max_relative = 1e-5);
        // The bandits get the losses on the labels, with any teacher.
        for (sample, &own) in trace.decisions.exits.iter().enumerate() {
            let hard = -plain[sample][own][batch.labels[sample] as usize];
            approx::assert_relative_eq!(losses.by_exit[own][sample], hard, max_relative = 1e-5);
        }
    }
}
