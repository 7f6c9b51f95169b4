//! Reported FLOPs of `accelerate` and of each rung, against the matrix products that the process has executed. There is
//! one test, since the process has one counter.

use dht_dynamic::accelerate::{AccelerateSettings, SideSettings, Texts, accelerate};
use dht_dynamic::ladder::{LadderSettings, LadderTexts, Measurement, NextStep, Rung, climb};
use dht_dynamic::transformer::flops::FlopCount;
use dht_dynamic::transformer::{Pooling, TextClassifier, TrainSettings};
use dht_toys::{adamw, planted, rng};

/// Stopping rule that always continues to the next rung.
#[derive(Debug)]
struct Up;

impl NextStep for Up {
    fn goes_on(&mut self, _: &[Measurement], _: Rung) -> bool {
        true
    }
}

#[test]
fn flops_of_accelerate_and_of_rungs_are_those_executed() {
    let classifier =
        TextClassifier::new(planted::encoder(planted::LAYERS, 1), planted::CLASSES, Pooling::Mean, &mut rng(2))
            .expect("a classifier");
    let (training, validation) = (planted::task(300, 1), planted::task(100, 2));
    let exits =
        |side, least_held_out| AccelerateSettings { least_held_out, batch_size: 32, side, ..Default::default() };
    let sides = [None, Some(SideSettings::default())];
    for (side, least_held_out) in sides.iter().flat_map(|side| [(side, 20), (side, 1000)]) {
        for held_out in [None, Some(&validation)] {
            let start = FlopCount::executed().0;
            let texts = Texts { held_out, ..Texts::new(&training) };
            let settings = exits(side.clone(), least_held_out);
            let report = accelerate(&classifier, texts, &settings, &mut rng(3)).expect("a model").report;
            let executed = FlopCount::executed().0 - start;
            // The convex fits are not products of the encoder's kernels.
            let case = format!("{side:?}, {least_held_out}, held out: {}", held_out.is_some());
            assert_eq!(report.flops - report.flops_of_fits, executed, "{case}");
        }
    }
    let fine_tuning = TrainSettings { epochs: 2, batch_size: 16, optimizer: adamw(3e-3), ..TrainSettings::default() };
    for most in [Rung::Ngrams, Rung::Frozen, Rung::FineTuned] {
        for (side, least_held_out) in [(None, 20), (None, 1000), (Some(SideSettings::default()), 20)] {
            for rates in [Vec::new(), vec![1e-3, 3e-3]] {
                let case = format!("{most:?}, {side:?}, {least_held_out}, {rates:?}");
                let exits = exits(side.clone(), least_held_out);
                let fine_tuning = fine_tuning.clone();
                let settings = LadderSettings { least: most, most, fine_tuning, exits, rates, ..Default::default() };
                let start = FlopCount::executed().0;
                let texts = LadderTexts { training: &training, validation: &validation, joins: true };
                let climbed = climb(&classifier, texts, &settings, &mut Up, &mut |_| {}, &mut rng(3)).expect("a model");
                let (ladder, executed) = (climbed.ladder, FlopCount::executed().0 - start);
                assert_eq!(ladder.flops - ladder.flops_of_fits, executed, "{case}");
            }
        }
    }
}
