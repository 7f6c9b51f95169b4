//! The record of an invented run, for tests of figures and tables.

use std::collections::BTreeMap;

use dht_search::{
    Preset, Regret,
    training::{CurveRecorder, LossCurve},
};
use dht_transformer::HeadSet;

use crate::record::{
    DataRecord, DifficultyResult, DynamicResult, Machine, ModelRecord, ModelResult, OperatingPoint, OracleResult,
    RouteCounts, RunRecord,
};

const SAMPLES: usize = 4_000;

/// A run of T-DHT on six layers of twelve heads.
pub(crate) fn record() -> RunRecord {
    let full = result(0.935, 1.0);
    let losses = |from: f64, to: f64| {
        let points = (0..200).map(|step| step as f64 / 199.0).map(|at| (at, to + (from - to) * (-5.0 * at).exp()));
        LossCurve::binned(&points.collect::<Vec<_>>(), 40).unwrap()
    };
    let mut curves = recorder().curves(10);
    for (name, last) in [("full", 0.16), ("truncated.1", 0.52), ("truncated.2", 0.33), ("truncated.4", 0.22)] {
        curves.loss.insert(name.into(), losses(1.38, last));
    }
    let dynamic = DynamicResult {
        train_layer_head_ratio: 0.46,
        inference_layer_head_ratio: 0.37,
        bandit_seconds: 0.31,
        random_macro_f1: 0.894,
        regret: Regret {
            lambda: 0.2,
            chosen: 0.31,
            best_arm: "4L12H".into(),
            regret: -0.04,
            fixed: [("1L12H", 0.61), ("2L12H", 0.46), ("4L12H", 0.35), ("6L12H", 0.38)]
                .map(|(route, mean)| (route.to_owned(), mean))
                .into(),
            oracle: 0.21,
        },
        oracle: OracleResult { macro_f1: 0.962, inference_flops_ratio: 0.27 },
        ..DynamicResult::beside(&full, result(0.928, 0.42))
    };
    let points = [(0.8, 0.882, 0.21), (0.4, 0.911, 0.3), (0.2, 0.928, 0.42), (0.05, 0.934, 0.64)];
    let counts = [("1L12H".to_owned(), 900), ("4L8H".to_owned(), 400), ("6L12H".to_owned(), 700)];
    RunRecord {
        schema: RunRecord::SCHEMA,
        preset: "T-DHT".into(),
        seed: 0,
        command: vec!["t_dht".into()],
        data: DataRecord {
            name: "made up".into(),
            train_rows: SAMPLES,
            validation_rows: 400,
            test_rows: 2_000,
            ..DataRecord::default()
        },
        model: ModelRecord { layers: 6, heads: 12, hidden: 96, ffn: 384, parameters: 812_345 },
        full,
        truncated: [(1, 0.801, 0.17), (2, 0.874, 0.34), (4, 0.919, 0.67)]
            .map(|(layers, score, cost)| (layers, result(score, cost)))
            .into(),
        dynamic,
        operating_points: points
            .map(|(lambda, macro_f1, inference_flops_ratio)| OperatingPoint {
                lambda,
                macro_f1,
                inference_flops_ratio,
                random_macro_f1: macro_f1 - 0.02,
                truncated_macro_f1: macro_f1 - 0.01,
            })
            .to_vec(),
        routes: RouteCounts { train: BTreeMap::new(), test: counts.into() },
        curves,
        difficulties: [("easy", 1.3, 0.99), ("hard", 4.6, 0.87)]
            .map(|(name, mean_depth, dynamic_macro_f1)| DifficultyResult {
                name: name.into(),
                rows: 1_000,
                mean_depth,
                dynamic_macro_f1,
                full_macro_f1: 0.88,
                truncated_macro_f1: BTreeMap::new(),
            })
            .to_vec(),
        settings: BTreeMap::from([("epochs".into(), 3.into())]),
        machine: Machine { cpu: "Made-up CPU".into(), cores: 2, ..Machine::default() },
    }
}

fn result(macro_f1: f64, cost: f64) -> ModelResult {
    ModelResult {
        macro_f1,
        accuracy: macro_f1 + 0.001,
        train_seconds: 40.0 * cost,
        inference_seconds: 2.0 * cost,
        optimizer_seconds: 3.0,
        train_flops: (4e12 * cost) as u64,
        inference_flops: (3e11 * cost) as u64,
    }
}

/// At first all depths equally, later mostly shallow ones; several head sets in turn.
fn recorder() -> CurveRecorder {
    let space = Preset::TDht.space(6, 12).unwrap();
    let routes =
        ["1L12H", "2L10H", "4L8H", "6L10H", "6L12H"].map(|text| space.resolve(&text.parse().unwrap()).unwrap());
    let mut recorder = CurveRecorder::new(40, 12).unwrap();
    for sample in 0..SAMPLES {
        let progress = sample as f64 / SAMPLES as f64;
        let turn = (sample * 7) % 20;
        let shallow = (progress * 16.0) as usize;
        let route = &routes[if turn < shallow { 0 } else { turn % routes.len() }];
        recorder.outcome(progress, route, 0.3 + 1.1 * (-6.0 * progress).exp()).unwrap();
        for group in route.dynamic_groups() {
            let spread = [0, 0, 0, 1, 1, 2, 0, 3, 4, 5][sample % 10];
            let chosen = (0..group.heads - 4).map(|index| 4 + (index + spread) % 8);
            let set = HeadSet::from_indices((0..4).chain(chosen), 12).unwrap();
            recorder.head_set(group.layers, set, 1).unwrap();
        }
    }
    recorder
}
