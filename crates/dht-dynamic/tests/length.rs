//! Selection of the length of texts by trials on the frozen encoder.

use std::time::Duration;

use dht_dynamic::accelerate::AccelerateSettings;
use dht_dynamic::ladder::{
    LadderSettings, LadderTexts, LengthChoice, LengthTrial, Rung, UnlessStill, choose_length, climb,
};
use dht_dynamic::transformer::{EncodedDataset, Pooling, TextClassifier};
use dht_toys::{bits, planted, rng, sample};
use rand::RngExt;

const LENGTHS: [usize; 3] = [3, 6, 9];

fn classifier() -> TextClassifier {
    TextClassifier::new(planted::encoder(2, 1), planted::CLASSES, Pooling::Mean, &mut rng(2)).expect("a classifier")
}

/// Texts of nine tokens whose class depends on one of the first `within` tokens.
fn texts(rows: u64, within: usize) -> EncodedDataset {
    let mut rng = rng(7);
    let text = |id| {
        let label = rng.random_range(0..planted::CLASSES as u32);
        let mut ids: Vec<u32> = (0..9).map(|_| rng.random_range(4..20)).collect();
        ids[0] = 0;
        ids[rng.random_range(1..within)] = 1 + label;
        sample(id, label, ids)
    };
    dht_toys::data(0..planted::CLASSES, (0..rows).map(text))
}

fn cut(texts: &EncodedDataset, length: usize) -> EncodedDataset {
    let mut texts = texts.clone();
    for sample in &mut texts.samples {
        sample.encoding.ids.truncate(length);
        sample.encoding.type_ids.truncate(length);
    }
    texts
}

fn settings() -> LadderSettings {
    let exits = AccelerateSettings { side: None, batch_size: 32, ..AccelerateSettings::default() };
    LadderSettings { exits, most: Rung::Frozen, ..LadderSettings::default() }
}

/// Selected length, and the trials as they were reported.
fn choose(texts: &EncodedDataset, settings: &LadderSettings) -> (LengthChoice, Vec<LengthTrial>) {
    let lengths = LENGTHS.map(|length| (length, cut(texts, length)));
    let mut seen = Vec::new();
    let mut watch = |trial: &LengthTrial| seen.push(*trial);
    let choice = choose_length(&classifier(), &lengths[0].1, &lengths, settings, 5, &mut watch).expect("a choice");
    (choice, seen)
}

#[test]
fn the_shortest_length_that_loses_nothing_is_selected() {
    for (within, selected, tried) in [(3, 3, &[3, 9][..]), (6, 6, &[3, 9, 6]), (9, 9, &[3, 9, 6])] {
        let (choice, seen) = choose(&texts(400, within), &settings());
        assert_eq!(choice.max_length, selected, "{choice:#?}");
        assert_eq!(choice.trials, seen);
        assert_eq!(seen.iter().map(|trial| trial.max_length).collect::<Vec<_>>(), tried);
        assert!(seen[0].flops > 0 && seen[1].flops > 2 * seen[0].flops, "{seen:#?}");
        let again = choose(&texts(400, within), &settings()).0;
        let losses = |choice: &LengthChoice| choice.trials.iter().map(|trial| trial.loss.to_bits()).collect::<Vec<_>>();
        assert_eq!(losses(&again), losses(&choice), "the same seed, the same bits");
    }
}

#[test]
fn limits_leave_no_room_for_trials() {
    let all = texts(400, 9);
    let without = [
        (&all, LadderSettings { most: Rung::Ngrams, ..settings() }),
        (&all, LadderSettings { budget: Some(0.2), ..settings() }),
        (&all, LadderSettings { time: Some(Duration::from_nanos(1)), ..settings() }),
        (&texts(99, 9), settings()),
    ];
    for (texts, settings) in without {
        let (choice, seen) = choose(texts, &settings);
        assert_eq!((choice.max_length, choice.trials.len(), seen.len()), (3, 0, 0), "{settings:?}");
    }
    // As many texts again are not in the trials: a budget of many passes has room.
    let generous = LadderSettings { budget: Some(20.0), time: Some(Duration::from_secs(1_000)), ..settings() };
    assert_eq!(choose(&all, &generous).0.max_length, 9);
}

#[test]
fn a_training_counts_the_flops_of_trials_alone() {
    let (training, validation) = (texts(300, 9), texts(80, 9));
    let (choice, _) = choose(&training, &settings());
    let climbs = |length: Option<LengthChoice>| {
        let texts = LadderTexts { training: &training, validation: &validation, joins: true };
        let settings = LadderSettings { length, ..settings() };
        climb(&classifier(), texts, &settings, &mut UnlessStill::default(), &mut |_| {}, &mut rng(3)).expect("a model")
    };
    let (with, without) = (climbs(Some(choice.clone())), climbs(None));
    assert_eq!(with.ladder.flops, without.ladder.flops + choice.flops());
    assert_eq!(with.ladder.length, Some(choice));
    let parameters = |climbed: &dht_dynamic::ladder::Climbed| bits(climbed.model.encoder().parameters());
    assert_eq!(parameters(&with), parameters(&without));
}
