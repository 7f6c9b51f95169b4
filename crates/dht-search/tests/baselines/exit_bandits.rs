//! Bandits at the exits of an accelerated classifier.

use candle_core::Device;
use dht_search::dynamic::accelerate::{AccelerateSettings, Accelerated, Texts, accelerate};
use dht_search::dynamic::{DynamicModel, OwnParts, evaluate};
use dht_search::routing::{Decided, ExitBandits};
use dht_search::transformer::Pooling;
use dht_search::{Result, Route};
use dht_toys::planted::{full_model, task};
use dht_toys::rng;
use rand::seq::SliceRandom;

/// Toy classifier, accelerated on 300 texts, and 120 other texts from which bandits learn.
fn accelerated(decided: Decided) -> Result<Accelerated> {
    let (train, held_out) = (task(300, 1), task(120, 7));
    let texts = Texts::new(&train).with_held_out(&held_out);
    // With input embeddings exit 0 would solve the task, and there would be nothing to decide.
    let settings = AccelerateSettings { embeddings: false, ..AccelerateSettings::default() };
    let made = accelerate(full_model(Pooling::Mean), texts, &settings, &mut rng(5))?;
    let (bandits, flops) = ExitBandits::fit(&made.model, decided, &held_out, 16)?;
    assert!(flops > made.model.full_inference_flops(&held_out), "learning costs too");
    let speeds: Vec<f64> = std::iter::once(0.0).chain((0..32).map(|step| 0.003 * 1.3_f64.powi(step))).collect();
    Ok(made.with_router(Box::new(bandits), &held_out, &speeds, 16)?)
}

#[test]
fn exit_bandits_beat_shuffled_routes_and_survive_a_save() -> Result<()> {
    let test = task(200, 9);
    for decided in [Decided::Once, Decided::AtEveryExit] {
        let Accelerated { model, report, .. } = accelerated(decided)?;
        // λ is the price of cost: at 0 every gain is worth it, at 10 none is.
        let (dearest, cheapest) = (&report.curve[0], &report.curve[report.curve.len() - 1]);
        assert!(dearest.flops_ratio > cheapest.flops_ratio, "{decided:?}: {dearest:?} {cheapest:?}");
        let front_alone = evaluate(&model.with_speed(10.0)?, &test, 16)?;
        assert!(front_alone.routes.iter().all(|route| route.exit() == 0), "{decided:?}");
        assert!(front_alone.routing_flops > 0, "the decision in front is counted");
        let decided_twice = model.router().flops(1) - model.router().flops(0);
        assert!(decided_twice > 0, "{decided:?}: the decision after the first layer is counted too");
        // If only some texts continue, the bandits select the right ones: the same routes are worse when shuffled.
        let between =
            report.curve.iter().find(|point| (0.05..0.35).contains(&point.flops_ratio)).expect("a speed between");
        let chosen = evaluate(&model.with_speed(between.speed)?, &test, 16)?;
        let stages = model.stage_log_probabilities(&test, 16)?;
        let mut depths: Vec<usize> = chosen.routes.iter().map(Route::exit).collect();
        let mut shuffled = 0.0;
        for seed in 0..5 {
            depths.shuffle(&mut rng(seed));
            let rows = depths.iter().zip(&test.samples).enumerate();
            let losses = rows.map(|(row, (depth, sample))| -stages[*depth].row(row)[sample.label as usize]);
            shuffled += losses.sum::<f64>() / 5.0;
        }
        let own: f64 = chosen.losses.iter().sum();
        assert!(own < shuffled, "{decided:?}: {own} and {shuffled} shuffled");

        let folder = tempfile::tempdir().expect("a folder");
        model.save(folder.path(), None, &test.labels)?;
        assert!(DynamicModel::load(folder.path(), &Device::Cpu).is_err(), "its router is not the library's");
        let own = OwnParts::new().with_router(|state| Ok(Box::new(ExitBandits::of_state(state)?)));
        let (loaded, _, _) = DynamicModel::load_with(folder.path(), &Device::Cpu, own)?;
        let again = evaluate(&loaded.with_speed(between.speed)?, &test, 16)?;
        assert_eq!((again.labels, again.flops), (chosen.labels, chosen.flops), "{decided:?}");
    }
    Ok(())
}
