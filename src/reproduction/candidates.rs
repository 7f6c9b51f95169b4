//! Predictions of the accelerated model and its competitors at each stage, read from files. From them follow the cost
//! and the answers at any confidence threshold.

use std::collections::BTreeMap;

use dht_dynamic::{
    LogProbabilities,
    exit::{NgramClassifier, Stacker},
};
use dht_dynamic::{evaluation::Stages, router::LeavingRule};
use dht_transformer::EncodedDataset;

use super::files::{DataSplit, NGRAM, load_log_probabilities};
use super::units::Unit;
use super::worker::{Worker, layers};
use crate::error::Result;
use crate::record::Encoders;

/// Kinds of models whose accuracies at fixed costs are compared, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ModelKind {
    Truncation,
    DistilBert,
    FastBert,
    Pabee,
    Ngram,
    Stacked,
    Cascade,
    TwoEncoders,
    Accelerated,
}

impl ModelKind {
    pub(super) const ALL: [Self; 9] = [
        Self::Truncation,
        Self::DistilBert,
        Self::FastBert,
        Self::Pabee,
        Self::Ngram,
        Self::Stacked,
        Self::Cascade,
        Self::TwoEncoders,
        Self::Accelerated,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Truncation => "truncation",
            Self::DistilBert => "DistilBERT",
            Self::FastBert => "FastBERT",
            Self::Pabee => "PABEE",
            Self::Ngram => "n-gram",
            Self::Stacked => "n-gram stacked",
            Self::Cascade => "n-gram cascade",
            Self::TwoEncoders => "n-gram, two encoders",
            Self::Accelerated => "accelerated",
        }
    }

    pub(super) fn encoders(self) -> Encoders {
        match self {
            Self::Ngram => Encoders::None,
            Self::TwoEncoders => Encoders::Two,
            Self::Accelerated => Encoders::Accelerated,
            _ => Encoders::One,
        }
    }
}

/// Model of one seed, represented by the predictions of its stages on validation and test rows.
pub(super) struct Candidate {
    pub(super) kind: ModelKind,
    /// Setting that distinguishes the model from others of its kind.
    pub(super) setting: String,
    pub(super) validation: Stages,
    pub(super) test: Stages,
    /// Units that trained the encoders, in the order in which they run, with the weights that stack the n-gram model on
    /// each.
    pub(super) encoders: Vec<(Unit, Stacker)>,
}

/// Models of one seed whose training runs have finished.
pub(super) fn candidates(worker: &Worker<'_>) -> Result<Vec<Candidate>> {
    let (mut candidates, whole) = (Vec::new(), worker.encoder.layers());
    let encoders = Unit::all(whole).into_iter().filter_map(|unit| Some((unit, unit.depth(whole)?)));
    let mut finished = Vec::new();
    for (unit, depth) in encoders.filter(|(unit, _)| worker.result_of(*unit).is_ok()) {
        finished.push(Encoder::load(worker, unit, depth)?);
    }
    for encoder in finished.iter().filter(|encoder| encoder.unit != Unit::Full) {
        let kind =
            if matches!(encoder.unit, Unit::DistilBert(_)) { ModelKind::DistilBert } else { ModelKind::Truncation };
        candidates.push(Candidate {
            kind,
            setting: encoder.name(),
            validation: confident(&[&encoder.validation], vec![encoder.flops(worker, DataSplit::Validation)])?,
            test: confident(&[&encoder.test], vec![encoder.flops(worker, DataSplit::Test)])?,
            encoders: Vec::new(),
        });
    }
    for (unit, kind, rule) in [
        (Unit::FastBert, ModelKind::FastBert, LeavingRule::Entropy),
        (Unit::Pabee, ModelKind::Pabee, LeavingRule::Patience),
        (Unit::Accelerated, ModelKind::Accelerated, LeavingRule::Confidence),
    ] {
        if worker.result_of(unit).is_ok() {
            let tables = load_log_probabilities(&worker.plan.place(unit, worker.seed))?;
            let [validation, test] = [DataSplit::Validation, DataSplit::Test].map(|part| stages(&tables, part, rule));
            let (validation, test) = (validation?, test?);
            candidates.push(Candidate { kind, setting: String::new(), validation, test, encoders: Vec::new() });
        }
    }
    if worker.result_of(Unit::Ngram).is_ok() {
        // DistilBERT's students have other layers than truncations, but cost the same.
        candidates.extend(WithNgrams::load(worker)?.candidates(&finished)?);
    }
    Ok(candidates)
}

/// Fine-tuned encoder, represented by its predictions.
struct Encoder {
    unit: Unit,
    depth: usize,
    validation: LogProbabilities,
    test: LogProbabilities,
}

impl Encoder {
    fn load(worker: &Worker<'_>, unit: Unit, depth: usize) -> Result<Self> {
        let tables = load_log_probabilities(&worker.plan.place(unit, worker.seed))?;
        let of = |part: DataSplit| table(&tables, &part.of_depth(depth));
        Ok(Self { unit, depth, validation: of(DataSplit::Validation)?, test: of(DataSplit::Test)? })
    }

    fn name(&self) -> String {
        match self.unit {
            Unit::Distilled(depth) => format!("{}, distilled", layers(depth)),
            _ => layers(self.depth),
        }
    }

    fn log_probabilities(&self, part: DataSplit) -> &LogProbabilities {
        match part {
            DataSplit::Validation => &self.validation,
            _ => &self.test,
        }
    }

    fn flops(&self, worker: &Worker<'_>, part: DataSplit) -> Vec<u64> {
        let lengths = worker.rows(part).lengths();
        lengths.into_iter().map(|tokens| worker.text_flops(self.depth, tokens)).collect()
    }
}

/// Builder of candidates that begin with the n-gram model, alone or followed by encoders.
struct WithNgrams<'a> {
    worker: &'a Worker<'a>,
    model: NgramClassifier,
    validation: LogProbabilities,
    test: LogProbabilities,
    labels: Vec<u32>,
}

impl<'a> WithNgrams<'a> {
    fn load(worker: &'a Worker<'a>) -> Result<Self> {
        let place = worker.plan.place(Unit::Ngram, worker.seed);
        let tables = load_log_probabilities(&place)?;
        Ok(Self {
            worker,
            model: NgramClassifier::load(place.join(NGRAM))?,
            validation: table(&tables, &DataSplit::Validation.of_depth(0))?,
            test: table(&tables, &DataSplit::Test.of_depth(0))?,
            labels: labels(&worker.data.validation),
        })
    }

    fn candidates(&self, encoders: &[Encoder]) -> Result<Vec<Candidate>> {
        let mut candidates = vec![self.candidate(ModelKind::Ngram, String::new(), &[], false)?];
        for encoder in encoders {
            candidates.push(self.candidate(ModelKind::Stacked, format!("on {}", encoder.name()), &[encoder], true)?);
            candidates.push(self.candidate(ModelKind::Cascade, format!("to {}", encoder.name()), &[encoder], false)?);
            for deeper in encoders.iter().filter(|deeper| deeper.depth > encoder.depth) {
                let setting = format!("to {}, then {}", encoder.name(), deeper.name());
                candidates.push(self.candidate(ModelKind::TwoEncoders, setting, &[encoder, deeper], false)?);
            }
        }
        Ok(candidates)
    }

    /// Creates a cascade of the n-gram model and `encoders`, on each of which the n-gram model is stacked. With
    /// `always`, every text runs at least one encoder.
    fn candidate(&self, kind: ModelKind, setting: String, encoders: &[&Encoder], always: bool) -> Result<Candidate> {
        let mut stackers = Vec::new();
        for encoder in encoders {
            stackers.push((encoder.unit, Stacker::fit(&self.validation, &encoder.validation, &self.labels)?));
        }
        let of = |part: DataSplit| {
            let ngram = if part == DataSplit::Validation { &self.validation } else { &self.test };
            let mut cost = self.model.flops_of_all(self.worker.rows(part));
            let (mut tables, mut flops) = (vec![ngram.clone()], vec![cost.clone()]);
            for (encoder, (_, stacker)) in encoders.iter().zip(&stackers) {
                let stacking = Stacker::flops(ngram.classes());
                cost.iter_mut().zip(encoder.flops(self.worker, part)).for_each(|(all, own)| *all += own + stacking);
                tables.push(stacker.stack(ngram, encoder.log_probabilities(part))?);
                flops.push(cost.clone());
            }
            let first = usize::from(always);
            confident(&tables[first..].iter().collect::<Vec<_>>(), flops.split_off(first))
        };
        let (validation, test) = (of(DataSplit::Validation)?, of(DataSplit::Test)?);
        Ok(Candidate { kind, setting, validation, test, encoders: stackers })
    }
}

pub(super) fn labels(data: &EncodedDataset) -> Vec<u32> {
    data.samples.iter().map(|sample| sample.label).collect()
}

fn confident(tables: &[&LogProbabilities], flops: Vec<Vec<u64>>) -> Result<Stages> {
    let tables: Vec<LogProbabilities> = tables.iter().map(|table| (*table).clone()).collect();
    Ok(Stages::new(&tables, flops, LeavingRule::Confidence)?)
}

type Tables = BTreeMap<String, Vec<Vec<f32>>>;

/// Reads log-probabilities from a file by the name of their table.
fn table(tables: &Tables, name: &str) -> Result<LogProbabilities> {
    let rows = tables.get(name).map(Vec::as_slice).unwrap_or_default();
    let classes = rows.first().map_or(0, Vec::len);
    Ok(LogProbabilities::new(classes, rows.iter().flatten().copied().map(f64::from).collect())?)
}

/// Reads the predictions of a multi-exit model at each of its stages.
fn stages(tables: &Tables, part: DataSplit, rule: LeavingRule) -> Result<Stages> {
    let names = (0..).map(|stage| part.of_stage(stage)).take_while(|name| tables.contains_key(name));
    let stages = names.map(|name| table(tables, &name)).collect::<Result<Vec<_>>>()?;
    let flops = tables.get(&part.flops()).map(Vec::as_slice).unwrap_or_default();
    let of_stage = |stage: usize| flops.iter().map(|row| row[stage] as u64).collect();
    Ok(Stages::new(&stages, (0..stages.len()).map(of_stage).collect(), rule)?)
}
