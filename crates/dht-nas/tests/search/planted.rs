//! Tasks whose useless units are known.
//!
//! The planted model is a random classifier. A random half of the units of a space is multiplied by nearly 0. The task
//! is to reproduce its answers. Those units are therefore useless, and all others are useful.

use candle_core::{Device, Tensor};
use dht_nas::Result;
use dht_nas::transformer::model::{Gate, LayerGates};
use dht_nas::transformer::{
    AdamWSettings, BertConfig, EncodedDataset, Encoder, Pooling, TextClassifier, TrainSettings, Trainer,
};
use dht_nas::{Architecture, ArchitectureSearch, Control, NasSettings, NasSpace, Part, SoftLabelLoss};
use dht_toys::{adamw, config, rng, sample};
use rand::RngExt;
use rand::seq::SliceRandom;

pub(crate) const LAYERS: usize = 2;
pub(crate) const HEADS: usize = 8;
pub(crate) const HIDDEN: usize = 32;
pub(crate) const NEURONS: usize = 32;
pub(crate) const CLASSES: usize = 4;
pub(crate) const VOCABULARY: usize = 60;

pub(crate) fn classifier(seed: u64) -> Result<TextClassifier> {
    let rng = &mut rng(seed);
    let config = BertConfig {
        intermediate_size: NEURONS,
        hidden_dropout_prob: 0.0,
        attention_probs_dropout_prob: 0.0,
        ..config([LAYERS, HEADS, HIDDEN, VOCABULARY], 0.4)
    };
    let mut tensors = dht_toys::encoder(&config, rng).to_tensors()?;
    // Random residual branches are small compared with the residual stream. They are enlarged so that every unit
    // matters.
    for layer in 0..LAYERS {
        for (part, factor) in [("attention.output.dense", 2.0), ("output.dense", 6.0)] {
            let name = format!("encoder.layer.{layer}.{part}.weight");
            if let Some(tensor) = tensors.get_mut(&name) {
                *tensor = (&*tensor * factor)?;
            }
        }
    }
    let encoder = Encoder::from_tensors(&config, &tensors, &Device::Cpu)?;
    Ok(TextClassifier::new(encoder, CLASSES, Pooling::Mean, rng)?)
}

pub(crate) fn data(rows: usize, seed: u64) -> EncodedDataset {
    let mut rng = rng(seed);
    let mut ids = || [0; 6].map(|_| rng.random_range(0..VOCABULARY as u32));
    dht_toys::data([""; CLASSES], (0..rows as u64).map(|id| sample(id, id as u32 % CLASSES as u32, ids())))
}

/// Flags of the useful units, for each layer and searched part, in the order of the groups.
pub(crate) type Truth = Vec<(usize, Part, Vec<bool>)>;

/// Model in which half of each group of units is useless, with the flags of the useful units.
pub(crate) fn planted(space: NasSpace, seed: u64) -> Result<(TextClassifier, Truth)> {
    let model = classifier(seed)?;
    let mut rng = rng(100 + seed);
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

/// Precision and recall of the selected units.
pub(crate) fn precision_and_recall(search: &ArchitectureSearch, truth: &Truth) -> Result<(f64, f64)> {
    Ok(precision_and_recall_of(&search.found()?.architecture, truth))
}

pub(crate) fn precision_and_recall_of(architecture: &Architecture, truth: &Truth) -> (f64, f64) {
    let (mut both, mut selected, mut useful) = (0.0, 0.0, 0.0);
    for (layer, part, units) in truth {
        for (kept_unit, useful_unit) in architecture.units(*layer, *part).iter().zip(units) {
            both += f64::from(u8::from(*kept_unit && *useful_unit));
            selected += f64::from(u8::from(*kept_unit));
            useful += f64::from(u8::from(*useful_unit));
        }
    }
    (both / selected, both / useful)
}

/// Copy of all weights.
pub(crate) fn copy(model: &TextClassifier) -> Result<TextClassifier> {
    let (config, tensors) = (model.encoder().config(), model.encoder().to_tensors()?);
    Ok(model.with_encoder(Encoder::from_tensors(config, &tensors, &Device::Cpu)?)?)
}

/// Search in a model that must reproduce its own answers before the search.
pub(crate) fn search(
    model: &TextClassifier,
    settings: NasSettings,
    rows: usize,
    epochs: usize,
    seed: u64,
) -> Result<ArchitectureSearch> {
    search_for(model, model, settings, rows, epochs, seed)
}

/// Search in a model that must reproduce the answers of a teacher.
pub(crate) fn search_for(
    teacher: &TextClassifier,
    student: &TextClassifier,
    settings: NasSettings,
    rows: usize,
    epochs: usize,
    seed: u64,
) -> Result<ArchitectureSearch> {
    let (teacher, student) = (copy(teacher)?, copy(student)?);
    let loss = Box::new(SoftLabelLoss::new(&teacher, 1.0)?);
    let mut search = ArchitectureSearch::with_loss(student, settings, loss, &mut rng(seed))?;
    let optimizer = AdamWSettings { clip_norm: None, ..adamw(1e-4) };
    let training = TrainSettings { epochs, batch_size: 16, optimizer, keep_best: false, ..TrainSettings::default() };
    let rate = training.optimizer.learning_rate;
    let trainer = Trainer { groups: Some(search.parameter_groups(rate)?), ..Trainer::new(training) };
    trainer.fit(&mut search, &data(rows, 7 + seed), &data(0, 0), &mut ())?;
    Ok(search)
}

pub(crate) fn spaces() -> [(&'static str, NasSpace); 4] {
    [
        ("inputs", NasSpace::inputs()),
        ("outputs", NasSpace::outputs()),
        ("neurons", NasSpace::neurons()),
        ("heads", NasSpace::heads()),
    ]
}

pub(crate) fn strong() -> NasSettings {
    NasSettings {
        control: Control::Lagrangian { rate: 0.2, penalty: 4.0, warm_up: 0.5 },
        gate_rate: 0.1,
        ..NasSettings::default()
    }
}
