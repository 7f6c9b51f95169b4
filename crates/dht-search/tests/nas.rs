//! Searches for architectures on tasks whose useless parts are known.
//!
//! The planted model: a random classifier in which half of the units of a space, drawn, is multiplied by nearly 0. The task is to
//! answer as it does. So those units are useless, and all others are not.

use std::error::Error as StdError;

use candle_core::{Device, Tensor};
use dht_search::nas::{
    ArchitectureSearch, Control, CostMeasure, Count, GumbelSoftmax, HardConcrete, Minimum, NasSettings, NasSpace, Part,
    RelaxationKind, Selection, Sigmoid, SoftLabelLoss, Update, WeightedSoftmax, WidthSampling, extract,
};
use dht_search::transformer::flops::Load;
use dht_search::transformer::model::{Gate, LayerGates};
use dht_search::transformer::{
    AdamWSettings, BertConfig, EncodedDataset, Encoder, Encoding, ForwardContext, Objective, PackedBatch, Pooling,
    Sample, TextClassifier, TrainSettings, Trainer,
};
use dht_search::{Error, Result};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Outcome = Result<(), Box<dyn StdError>>;

const LAYERS: usize = 2;
const HEADS: usize = 8;
const HIDDEN: usize = 32;
const NEURONS: usize = 32;
const CLASSES: usize = 4;
const VOCABULARY: usize = 60;

fn classifier(seed: u64) -> Result<TextClassifier> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let config = BertConfig {
        intermediate_size: NEURONS,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        initializer_range: 0.4,
        ..BertConfig::small(LAYERS, HEADS, HIDDEN, VOCABULARY)?
    };
    let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    let mut tensors = encoder.to_tensors()?;
    // Random residual branches are small beside the residual stream: larger ones, so that every unit matters.
    for layer in 0..LAYERS {
        for (part, factor) in [("attention.output.dense", 2.0), ("output.dense", 6.0)] {
            let name = format!("encoder.layer.{layer}.{part}.weight");
            if let Some(tensor) = tensors.get_mut(&name) {
                *tensor = (&*tensor * factor)?;
            }
        }
    }
    let encoder = Encoder::from_tensors(&config, &tensors, &Device::Cpu)?;
    Ok(TextClassifier::new(encoder, CLASSES, Pooling::Mean, &mut rng)?)
}

fn data(rows: usize, seed: u64) -> EncodedDataset {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let samples = (0..rows as u64).map(|id| {
        let ids: Vec<u32> = (0..6).map(|_| rng.random_range(0..VOCABULARY as u32)).collect();
        let encoding = Encoding { type_ids: vec![0; ids.len()], ids, truncated: false, rest: Default::default() };
        Sample { id, label: id as u32 % CLASSES as u32, targets: Vec::new(), encoding }
    });
    EncodedDataset { samples: samples.collect(), labels: vec![String::new(); CLASSES], truncated_rows: 0 }
}

/// Which units are useful: for each layer and searched part, in the order of the groups.
type Truth = Vec<(usize, Part, Vec<bool>)>;

/// A model with useless units, half of each group, and which are useful.
fn planted(space: NasSpace, seed: u64) -> Result<(TextClassifier, Truth)> {
    let model = classifier(seed)?;
    let mut rng = ChaCha8Rng::seed_from_u64(100 + seed);
    let (mut gates, mut truth) = (vec![LayerGates::default(); LAYERS], Vec::new());
    for group in space.groups(model.encoder().block_shape(), LAYERS)? {
        let mut useful = Vec::new();
        for _ in 0..group.blocks {
            let mut block: Vec<bool> = (0..group.width).map(|unit| unit % 2 == 0).collect();
            block.shuffle(&mut rng);
            useful.extend(block);
        }
        let numbers: Vec<f32> = useful.iter().map(|useful| if *useful { 1.0 } else { 0.02 }).collect();
        let by_head = matches!(group.part, Part::QueryKeyOutputs | Part::ValueOutputs);
        let shape = if by_head { vec![group.blocks, group.width] } else { vec![group.width] };
        let gate = Some(Gate::Scale(Tensor::from_vec(numbers, shape, &Device::Cpu)?));
        let layer = &mut gates[group.layers.start];
        match group.part {
            Part::QueryInputs => layer.query_inputs = gate,
            Part::KeyInputs => layer.key_inputs = gate,
            Part::ValueInputs => layer.value_inputs = gate,
            Part::QueryKeyOutputs => layer.query_key_outputs = gate,
            Part::ValueOutputs => layer.value_outputs = gate,
            Part::Heads => layer.heads = gate,
            Part::Neurons => layer.neurons = gate,
        }
        truth.push((group.layers.start, group.part, useful));
    }
    Ok((model.with_encoder(model.encoder().fold_gates(&gates)?)?, truth))
}

/// Precision and recall of the kept units.
fn precision_and_recall(search: &ArchitectureSearch, truth: &Truth) -> Result<(f64, f64)> {
    let found = search.found()?;
    let (mut both, mut kept, mut useful) = (0.0, 0.0, 0.0);
    for (layer, part, units) in truth {
        for (kept_unit, useful_unit) in found.architecture.units(*layer, *part).iter().zip(units) {
            both += f64::from(u8::from(*kept_unit && *useful_unit));
            kept += f64::from(u8::from(*kept_unit));
            useful += f64::from(u8::from(*useful_unit));
        }
    }
    Ok((both / kept, both / useful))
}

/// The same weights once more.
fn copy(model: &TextClassifier) -> Result<TextClassifier> {
    let (config, tensors) = (model.encoder().config(), model.encoder().to_tensors()?);
    Ok(model.with_encoder(Encoder::from_tensors(config, &tensors, &Device::Cpu)?)?)
}

/// The search in a model that is to answer as it does before the search.
fn search(
    model: &TextClassifier,
    settings: NasSettings,
    rows: usize,
    epochs: usize,
    seed: u64,
) -> Result<ArchitectureSearch> {
    search_for(model, model, settings, rows, epochs, seed)
}

/// The search in a model that is to answer as a teacher does.
fn search_for(
    teacher: &TextClassifier,
    student: &TextClassifier,
    settings: NasSettings,
    rows: usize,
    epochs: usize,
    seed: u64,
) -> Result<ArchitectureSearch> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (teacher, student) = (copy(teacher)?, copy(student)?);
    let loss = Box::new(SoftLabelLoss::new(&teacher, 1.0)?);
    let mut search = ArchitectureSearch::with_loss(student, settings, loss, &mut rng)?;
    let optimizer = AdamWSettings { learning_rate: 1e-4, clip_norm: None, ..AdamWSettings::default() };
    let training = TrainSettings { epochs, batch_size: 16, optimizer, keep_best: false, ..TrainSettings::default() };
    let rate = training.optimizer.learning_rate;
    let trainer = Trainer { groups: Some(search.parameter_groups(rate)?), ..Trainer::new(training) };
    let none = EncodedDataset { samples: Vec::new(), ..data(0, 0) };
    trainer.fit(&mut search, &data(rows, 7 + seed), &none, &mut ())?;
    Ok(search)
}

fn spaces() -> [(&'static str, NasSpace); 4] {
    [
        ("inputs", NasSpace::inputs()),
        ("outputs", NasSpace::outputs()),
        ("neurons", NasSpace::neurons()),
        ("heads", NasSpace::heads()),
    ]
}

fn strong() -> NasSettings {
    NasSettings {
        control: Control::Lagrangian { rate: 0.2, penalty: 4.0, warm_up: 0.5 },
        gate_rate: 0.1,
        ..NasSettings::default()
    }
}

/// Mean precision and recall over three models of half useless units are at least .9, and the target is reached.
fn finds_the_useful(space: NasSpace, gate_rate: f64, epochs: usize) -> Outcome {
    let (mut lines, mut sums) = (Vec::new(), [0.0, 0.0]);
    for seed in 0..3 {
        let (model, truth) = planted(space, seed)?;
        let search = search(&model, NasSettings { space, gate_rate, ..strong() }, 160, epochs, seed)?;
        let (precision, recall) = precision_and_recall(&search, &truth)?;
        let reached = search.found()?.reached;
        lines.push(format!("{seed}: precision {precision:.3}, recall {recall:.3}, reached {reached:.3}"));
        sums = [sums[0] + precision / 3.0, sums[1] + recall / 3.0];
        assert!((reached - 0.5).abs() <= 0.03, "{lines:#?}");
    }
    println!("{space:?}: {lines:#?}");
    assert!(sums[0].min(sums[1]) >= 0.9, "{lines:#?}");
    Ok(())
}

#[test]
fn the_useful_inputs_are_found() -> Outcome {
    finds_the_useful(NasSpace::inputs(), 0.1, 16)
}

#[test]
fn the_useful_outputs_are_found() -> Outcome {
    finds_the_useful(NasSpace::outputs(), 0.1, 16)
}

#[test]
fn the_useful_neurons_are_found() -> Outcome {
    finds_the_useful(NasSpace::neurons(), 0.05, 32)
}

#[test]
fn the_useful_heads_are_found() -> Outcome {
    finds_the_useful(NasSpace::heads(), 0.1, 16)
}

#[test]
fn every_relaxation_finds_useless_heads() -> Outcome {
    let (model, truth) = planted(NasSpace::heads(), 3)?;
    let mut lines = Vec::new();
    let mut worst: f64 = 1.0;
    for relaxation in [
        RelaxationKind::Sigmoid(Sigmoid { start: 2.0, ..Sigmoid::default() }),
        RelaxationKind::GumbelSoftmax(GumbelSoftmax::default()),
        RelaxationKind::HardConcrete(HardConcrete::default()),
    ] {
        let settings = NasSettings { space: NasSpace::heads(), head_relaxation: relaxation.clone(), ..strong() };
        let search = search(&model, settings, 160, 16, 1)?;
        let (precision, recall) = precision_and_recall(&search, &truth)?;
        lines.push(format!("{relaxation:?}: precision {precision:.3}, recall {recall:.3}"));
        worst = worst.min(precision).min(recall);
    }
    println!("{lines:#?}");
    assert!(worst >= 0.9, "{lines:#?}");
    Ok(())
}

#[test]
fn softmax_weights_find_heads_that_disturb() -> Outcome {
    // Weights of a softmax compete: heads that do nothing are as good at any weight. Here the teacher lacks half of the heads,
    // and its student has them at full strength.
    let (seed, space) = (3, NasSpace::heads());
    let (teacher, truth) = planted(space, seed)?;
    let head_relaxation = RelaxationKind::WeightedSoftmax(WeightedSoftmax::default());
    let settings = NasSettings { space, head_relaxation, ..strong() };
    let search = search_for(&teacher, &classifier(seed)?, settings, 160, 16, 1)?;
    let (precision, recall) = precision_and_recall(&search, &truth)?;
    assert!(precision.min(recall) >= 0.9, "precision {precision}, recall {recall}");
    Ok(())
}

#[test]
fn every_target_of_every_space_is_reached_after_a_short_search() -> Outcome {
    let model = classifier(1)?;
    let all = NasSpace::default();
    let tied = NasSpace { tied: true, ..NasSpace::neurons() };
    for (space, measure, targets) in
        spaces().map(|(_, space)| (space, CostMeasure::Dimensions, [0.25, 0.5, 0.75])).into_iter().chain([
            (all, CostMeasure::Flops { tokens: 64 }, [0.3, 0.5, 0.75]),
            (tied, CostMeasure::Parameters, [0.75, 0.8, 0.9]),
        ])
    {
        for target in targets {
            let settings = NasSettings { space, measure, target, ..strong() };
            let search = search(&model, settings, 48, 1, 2)?;
            let found = search.found()?;
            assert!((found.reached - target).abs() <= 0.03, "{space:?}: {} for {target}", found.reached);
            let small = search.extracted()?;
            if let CostMeasure::Flops { tokens } = measure {
                // What is reached is the share of the whole model's FLOPs, as the models themselves count them.
                let flops = |model: &TextClassifier| model.forward_flops(Load::of_text(tokens)).as_f64();
                assert!((flops(&small) / flops(&model) - found.reached).abs() < 1e-9);
            }
        }
    }
    Ok(())
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

fn assert_close(what: &str, a: &Tensor, b: &Tensor, tolerance: f32) -> Result<()> {
    for (a, b) in numbers(a)?.iter().zip(numbers(b)?) {
        assert!((a - b).abs() <= tolerance, "{what}: {a} and {b}");
    }
    Ok(())
}

fn batch(rows: usize) -> Result<PackedBatch> {
    Ok(data(rows, 50).batch(&(0..rows).collect::<Vec<_>>())?)
}

#[test]
fn the_extracted_model_equals_the_thresholded_masks_and_survives_a_save() -> Outcome {
    let (model, batch) = (classifier(2)?, batch(9)?);
    for relaxation in [
        RelaxationKind::Sigmoid(Sigmoid { start: 0.3, ..Sigmoid::default() }),
        RelaxationKind::HardConcrete(HardConcrete::default()),
        RelaxationKind::WidthSampling(WidthSampling::default()),
    ] {
        let settings = NasSettings { relaxation, measure: CostMeasure::Flops { tokens: 16 }, ..strong() };
        let search = search(&model, settings, 48, 2, 3)?;
        let ctx = ForwardContext::inference();
        let masked = search.masked_logits(&batch, &ctx)?;
        let small = search.extracted()?;
        assert_close("extracted", &masked, &small.logits(&batch, &ForwardContext::inference())?, 1e-4)?;
        assert!(small.encoder().parameters().elements() < model.encoder().parameters().elements());
        let folder = tempfile::tempdir()?;
        small.save(folder.path().join("small"), None, &["a", "b", "c", "d"].map(String::from))?;
        let again = TextClassifier::load(folder.path().join("small"), &Device::Cpu)?;
        assert_close("loaded", &masked, &again.logits(&batch, &ForwardContext::inference())?, 1e-4)?;
        // Another student takes the architecture with its own weights.
        let other = extract(&classifier(4)?, &search.found()?.architecture)?;
        assert_eq!(other.encoder().layer_sizes(1), small.encoder().layer_sizes(1));
    }
    Ok(())
}

#[test]
fn the_report_s_settings_run_and_cut_at_their_threshold() -> Outcome {
    let model = classifier(2)?;
    let settings = NasSettings::report(NasSpace::inputs(), 0.5);
    assert_eq!((settings.selection, settings.count), (Selection::Threshold, Count::Thresholded));
    let search = search(&model, settings, 64, 6, 3)?;
    let (found, scores) = (search.found()?, search.scores()?);
    for (group, scores) in search.cost().groups().iter().zip(scores) {
        let kept = found.architecture.units(group.layers.start, group.part);
        // σ(α) > .01 is α > −4.595; one unit stays in any case.
        let above = scores.iter().filter(|alpha| **alpha > -4.595_12).count();
        assert_eq!(kept.iter().filter(|kept| **kept).count(), above.max(1));
    }
    Ok(())
}

#[test]
fn weights_and_gates_are_trained_in_turns_on_two_halves() -> Outcome {
    let model = classifier(2)?;
    let settings = NasSettings { update: Update::Alternating, space: NasSpace::neurons(), ..strong() };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut search = ArchitectureSearch::new(model, settings, &mut rng)?;
    let data = data(12, 3);
    let progress = |step| dht_search::transformer::Progress { seed: 5, step, epoch: 0, share: 0.1 };
    search.prepare(&data, progress(0))?;
    search.offer(data.batch(&(0..12).collect::<Vec<_>>())?, progress(0))?;
    let trained = |search: &mut ArchitectureSearch, step| -> Result<Option<(usize, bool, bool)>> {
        let Some(loss) = search.next_loss(progress(step), false)? else { return Ok(None) };
        let gradients = loss.ctx.backward(&loss.loss, search.parameters())?;
        let has = |gates: bool| {
            let named = search.parameters().iter().filter(|(_, name, _)| name.starts_with("nas.") == gates);
            named.into_iter().any(|(id, ..)| gradients.get(id).is_some())
        };
        Ok(Some((loss.samples, has(false), has(true))))
    };
    assert_eq!(trained(&mut search, 0)?, Some((6, true, false)));
    assert_eq!(trained(&mut search, 1)?, Some((6, false, true)));
    assert_eq!(trained(&mut search, 2)?, None);
    assert!(search.parameters().iter().all(|(id, ..)| !search.parameters().is_frozen(id)));
    // Two losses for one step would be accumulated.
    search.offer(data.batch(&(0..12).collect::<Vec<_>>())?, progress(2))?;
    trained(&mut search, 3)?;
    let error = trained(&mut search, 3).err().ok_or("is refused")?;
    assert!(matches!(error, Error::Setting { field: "accumulate", .. }), "{error}");
    let error = search
        .prepare(&EncodedDataset { samples: data.samples[..1].to_vec(), ..data.clone() }, progress(0))
        .err()
        .ok_or("is refused")?;
    assert!(matches!(error, Error::TooFewRows { rows: 1, least: 2 }), "{error}");
    Ok(())
}

#[test]
fn what_cannot_be_searched_is_refused() -> Outcome {
    let refused = |settings: NasSettings| -> Result<String> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        Ok(ArchitectureSearch::new(classifier(2)?, settings, &mut rng)
            .err()
            .map_or(String::new(), |error| error.to_string()))
    };
    let space = NasSpace { minimum: Minimum { heads: 6, ..Minimum::default() }, ..NasSpace::heads() };
    assert!(refused(NasSettings { space, ..strong() })?.contains("0.7500 to 1.0000"));
    assert!(refused(NasSettings { target: 1.5, ..strong() })?.contains("target"));
    assert!(refused(NasSettings { gate_rate: 0.0, ..strong() })?.contains("gate_rate"));
    assert!(refused(NasSettings { measure: CostMeasure::Flops { tokens: 0 }, ..strong() })?.contains("tokens"));
    let model = classifier(2)?;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let small = search(&model, NasSettings { space: NasSpace::heads(), ..strong() }, 32, 1, 1)?;
    let error = ArchitectureSearch::new(small.extracted()?, strong(), &mut rng).err().ok_or("is refused")?;
    assert!(error.to_string().contains("whole layers"), "{error}");
    let other = BertConfig::small(1, 2, 8, 9)?;
    let other = TextClassifier::new(Encoder::random(&other, &Device::Cpu, &mut rng)?, 2, Pooling::Cls, &mut rng)?;
    assert!(
        extract(&other, &small.found()?.architecture).is_err_and(|error| error.to_string().contains("architecture"))
    );
    Ok(())
}

#[test]
fn a_search_resumes_from_its_state() -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let settings = NasSettings { update: Update::Alternating, ..strong() };
    let mut one = ArchitectureSearch::new(classifier(2)?, settings.clone(), &mut rng)?;
    let data = data(12, 3);
    let progress = |step| dht_search::transformer::Progress { seed: 5, step, epoch: 0, share: 0.9 };
    one.prepare(&data, progress(0))?;
    one.offer(data.batch(&(0..12).collect::<Vec<_>>())?, progress(0))?;
    for step in 0..3 {
        one.next_loss(progress(step), false)?;
    }
    assert!(one.multiplier() > 0.0);
    let state = one.state()?;
    let mut other = ArchitectureSearch::new(classifier(2)?, settings, &mut rng)?;
    assert!(other.differences(&state)?.is_empty());
    other.restore(state.clone(), &data)?;
    assert_eq!(other.state()?, state);
    let changed = ArchitectureSearch::new(classifier(2)?, NasSettings { target: 0.7, ..strong() }, &mut rng)?;
    assert!(!changed.differences(&state)?.is_empty());
    Ok(())
}
