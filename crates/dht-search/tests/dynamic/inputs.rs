//! Impossible inputs are refused by the name of the setting, and change nothing.

use dht_dynamic::Error as Dynamic;
use dht_search::transformer::{Objective, Trainer};
use dht_search::{
    Error, Preset, Result, SearchModel, SearchObjective, SearchSettings, SearchSpace,
    evaluation::FixedArms,
    reward::RewardShape,
    settings::{ContextDesign, ExitLosses},
};
use dht_toys::refused;

use crate::toy::{
    CLASSES, evaluate, kinds, model, nothing, task, train_settings, trained, untrained, weights_and_state,
};

fn build(space: SearchSpace, settings: SearchSettings, classes: usize) -> Result<SearchModel> {
    untrained(space, settings, classes, 1)
}

#[test]
fn spaces_that_the_model_cannot_run_are_refused() -> Result<()> {
    let defaults = SearchSettings::default;
    assert_eq!(refused(build(Preset::TDht.space(12, 12)?, defaults(), CLASSES)), "space");
    assert_eq!(refused(build(Preset::TDht.space(6, 6)?, defaults(), CLASSES)), "space");
    // Without a classifier after the base layers there are no signals.
    assert_eq!(refused(build(Preset::PDht.space(6, 12)?, defaults(), CLASSES)), "context");
    assert_eq!(refused(build(Preset::TDht.space(6, 12)?, defaults(), 1)), "classes");
    Ok(())
}

#[test]
fn settings_that_contradict_each_other_are_refused() -> Result<()> {
    let space = || Preset::TDht.space(6, 12);
    let chosen = |reward_shape, nested_feedback, context| SearchSettings {
        exit_losses: ExitLosses::Chosen,
        reward_shape,
        nested_feedback,
        context,
        ..SearchSettings::default()
    };
    let ratio = RewardShape::Ratio;
    let gain = chosen(RewardShape::Gain { lambda: 0.1 }, false, ContextDesign::Paper);
    assert_eq!(refused(build(space()?, gain, 3)), "reward_shape");
    assert_eq!(refused(build(space()?, chosen(ratio, true, ContextDesign::Paper), 3)), "nested_feedback");
    assert_eq!(refused(build(space()?, chosen(ratio, false, ContextDesign::Signals), 3)), "context");
    for shape in [RewardShape::Gain { lambda: f64::NAN }, RewardShape::Utility { lambda: f64::NAN }] {
        let settings = SearchSettings { reward_shape: shape, ..SearchSettings::default() };
        assert_eq!(refused(build(space()?, settings, 3)), "reward_shape.lambda");
    }
    Ok(())
}

#[test]
fn an_invalid_speed_is_rejected_and_keeps_the_old_one() -> Result<()> {
    let mut default_model = model(SearchSettings::default(), 1)?.into_model();
    let before = default_model.lambda();
    for wrong in [f64::NAN, f64::INFINITY, -0.5] {
        assert_eq!(refused(default_model.set_speed(wrong)), "reward_shape.lambda");
    }
    assert_eq!(default_model.lambda(), before);
    default_model.set_speed(0.5)?;
    assert_eq!(default_model.lambda(), Some(0.5));
    assert_eq!(refused(model(SearchSettings::paper(), 1)?.into_model().set_speed(0.5)), "reward_shape");
    Ok(())
}

#[test]
fn a_foreign_state_is_rejected_and_changes_nothing() -> Result<()> {
    let training = task(37, 1);
    for (name, settings) in kinds() {
        let mut trained = trained(model(settings.clone(), 1)?, &training)?;
        let before = weights_and_state(&trained)?;
        let mut refused = |state: serde_json::Value| -> Result<Error> {
            let error = trained.restore(state, &training).expect_err(name);
            assert!(weights_and_state(&trained)? == before, "{name}");
            Ok(error)
        };
        let mut config = Preset::TDht.space(6, 12)?.config().clone();
        config.pinned = 2;
        let elsewhere = build(SearchSpace::new(config)?, settings.clone(), 3)?;
        let error = refused(SearchObjective::new(elsewhere)?.state()?)?;
        assert!(matches!(error, Error::Dynamic(Dynamic::State { what: "training state", .. })), "{name}: {error}");
        let other = model(SearchSettings { prior_precision: 2.0, ..settings.clone() }, 1)?;
        let error = refused(other.state()?)?;
        assert!(matches!(error, Error::Dynamic(Dynamic::State { what: "training state", .. })), "{name}: {error}");
        for (part, wrong) in [("space", serde_json::json!(3)), ("router", serde_json::Value::Null)] {
            let mut state = before.1.clone();
            state[part] = wrong;
            assert!(matches!(refused(state)?, Error::Dynamic(Dynamic::Json { .. })), "{name}: {part}");
        }
        // A queued sample that is not in the training set.
        if before.1["queues"].is_object() {
            let mut state = before.1.clone();
            let ghost = serde_json::json!({ "row": 1_000, "routed_at": 0 });
            state["queues"]["queues"][0] = serde_json::json!([ghost]);
            let error = refused(state)?;
            assert!(matches!(error, Error::Dynamic(Dynamic::State { what: "queued sample", .. })), "{name}: {error}");
        }
    }
    Ok(())
}

#[test]
fn texts_and_labels_that_the_model_does_not_know_are_refused() -> Result<()> {
    let trained = model(SearchSettings::default(), 1)?;
    let mut strange = task(3, 1);
    strange.samples[1].encoding.ids[0] = 50;
    assert!(matches!(evaluate(trained.model(), &strange, 2), Err(Error::Dynamic(Dynamic::Transformer(_)))));
    let mut strange = task(3, 1);
    strange.samples[1].label = CLASSES as u32;
    assert!(matches!(evaluate(trained.model(), &strange, 2), Err(Error::Dynamic(Dynamic::Transformer(_)))));
    assert!(matches!(evaluate(trained.model(), &task(3, 1), 0), Err(Error::Dynamic(Dynamic::Transformer(_)))));
    Ok(())
}

#[test]
fn other_class_counts_are_rejected_before_scoring() -> Result<()> {
    let trained = model(SearchSettings::default(), 1)?;
    let mut more = task(3, 1);
    more.labels.push("one more".into());
    let mut fewer = task(3, 1);
    fewer.labels.pop();
    for data in [more, fewer] {
        assert_eq!(refused(evaluate(trained.model(), &data, 2)), "labels");
        assert_eq!(refused(FixedArms::new(trained.model(), &data, 2)), "labels");
        assert_eq!(refused(trained.score(&data, 2)), "labels");
    }
    Ok(())
}

#[test]
fn multi_label_and_numeric_targets_are_rejected_by_a_search() -> Result<()> {
    let mut numeric = task(37, 1);
    numeric.samples.iter_mut().for_each(|sample| (sample.label, sample.targets) = (0, vec![0.5]));
    let mut untrained = model(SearchSettings::default(), 1)?;
    let before = weights_and_state(&untrained)?;
    let error = Trainer::new(train_settings()).fit(&mut untrained, &numeric, &nothing(), &mut ()).unwrap_err();
    assert!(error.to_string().starts_with("targets is 1 in row 0, expected none, for a model of classes"));
    assert!(weights_and_state(&untrained)? == before);
    assert_eq!(refused(evaluate(untrained.model(), &numeric, 2)), "targets");
    // Validation rows alone, and a resumed training run.
    assert_eq!(refused(Trainer::new(train_settings()).fit(&mut untrained, &task(37, 1), &numeric, &mut ())), "targets");
    let state = untrained.state()?;
    assert_eq!(refused(untrained.restore(state, &numeric)), "targets");
    Ok(())
}
