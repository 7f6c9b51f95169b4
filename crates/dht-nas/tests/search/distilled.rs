//! Searches during distillation, and selections without a search.

use std::sync::Arc;

use candle_core::Tensor;
use dht_nas::Result;
use dht_nas::transformer::tasks::{IntermediateLoss, LayerMap, TeacherLogits};
use dht_nas::transformer::{ForwardContext, Pooling, TextClassifier, TrainSettings, Trainer};
use dht_nas::{
    Architecture, ArchitectureSearch, Control, CostMeasure, NasCost, NasSettings, NasSpace, SoftLabelLoss,
    gradient_scores, magnitude_scores, random_scores,
};
use dht_toys::{Outcome, adamw, config, rng};

use crate::planted::{CLASSES, VOCABULARY, classifier, data, planted, precision_and_recall_of, spaces, strong};

#[test]
fn magnitude_and_gradient_find_weak_units_and_chance_does_not() -> Outcome {
    for (name, space) in spaces() {
        let (model, truth) = planted(space, 1)?;
        let cost = NasCost::of_model(&model, CostMeasure::Dimensions, &space)?;
        let rows: Vec<usize> = (0..24).collect();
        let mut rng = rng(3);
        let quality = |scores: &[Vec<f64>]| -> Result<(f64, f64)> {
            let (architecture, reached) = Architecture::chosen(&cost, scores, 0.5)?;
            assert!((reached - 0.5).abs() < 0.03, "{name}: {reached}");
            Ok(precision_and_recall_of(&architecture, &truth))
        };
        for scores in [magnitude_scores(&model, &cost)?, gradient_scores(&model, &cost, &data(24, 8), &rows)?] {
            let (precision, recall) = quality(&scores)?;
            assert!(precision.min(recall) >= 0.9, "{name}: precision {precision}, recall {recall}");
            // The mean of each group is 1, so that one threshold applies to all groups.
            assert!(scores.iter().all(|group| (group.iter().sum::<f64>() / group.len() as f64 - 1.0).abs() < 1e-9));
        }
        let (precision, _) = quality(&random_scores(&cost, &mut rng))?;
        assert!(precision < 0.85, "{name}: {precision} by chance");
    }
    let (model, _) = planted(NasSpace::heads(), 1)?;
    let cost = NasCost::of_model(&model, CostMeasure::Dimensions, &NasSpace::heads())?;
    let refused = |model: &TextClassifier, rows: &[usize]| match gradient_scores(model, &cost, &data(4, 8), rows) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    assert_eq!(refused(&model, &[]), "rows is none, expected at least one");
    assert_eq!(refused(&model, &[0, 4]), "rows is 4, expected numbers below 4, that of the rows");
    assert_eq!(refused(&model, &[1_000_000]), "rows is 1000000, expected numbers below 4, that of the rows");
    assert_eq!(refused(&model, &[0, 3]), "");
    let other = dht_toys::classifier(&config([1, 2, 8, VOCABULARY], None), CLASSES, Pooling::Cls, &mut rng(3));
    assert_eq!(
        refused(&other, &[0]),
        "model is one of 1 layers of 8 hidden dimensions, 2 heads of 4 and 32 neurons, expected one of 2 layers of 32 hidden dimensions, \
         8 heads of 4 and 32 neurons"
    );
    Ok(())
}

#[test]
fn a_search_runs_through_both_stages_of_distillation() -> Outcome {
    let (teacher, mut student) = (classifier(4)?, classifier(5)?);
    let mut rng = rng(1);
    let (texts, none) = (data(64, 9), data(0, 0));
    let inside = IntermediateLoss::new(&mut student, &teacher, LayerMap::Uniform, &mut rng)?;
    let batch = texts.batch(&(0..16).collect::<Vec<_>>())?;
    let distance = |search: &ArchitectureSearch| -> Result<f32> {
        let ctx = ForwardContext::inference();
        let (_, own) = search.model().encoder().run_recorded(&batch, &ctx)?;
        let (_, others) = teacher.encoder().run_recorded(&batch, &ctx)?;
        let of_layer = |layer: usize| -> Result<f32> {
            Ok(own[layer].attention_distance(&others[layer].scores, &batch.spans)?.to_scalar()?)
        };
        Ok(of_layer(0)? + of_layer(1)?)
    };
    let settings = NasSettings { space: NasSpace::neurons(), ..strong() };
    let mut search = ArchitectureSearch::with_loss(student, settings, Box::new(inside), &mut rng)?;
    let before = distance(&search)?;
    let optimizer = adamw(3e-3);
    let settings =
        TrainSettings { epochs: 24, batch_size: 16, optimizer, keep_best: false, ..TrainSettings::default() };
    let fit = |search: &mut ArchitectureSearch| -> Result<()> {
        let trainer = Trainer { groups: Some(search.parameter_groups(3e-3)?), ..Trainer::new(settings.clone()) };
        trainer.fit(search, &texts, &none, &mut ())?;
        Ok(())
    };
    fit(&mut search)?;
    let after = distance(&search)?;
    assert!(after < 0.9 * before, "{before} and {after} between attention scores");
    let (gates, multiplier) = (search.scores()?, search.multiplier());
    let control = Control::Lagrangian { rate: 0.2, penalty: 4.0, warm_up: 0.0 };
    let logits = Arc::new(TeacherLogits::of_teacher(&teacher, &texts, 16)?);
    let soft = SoftLabelLoss::new(&teacher, 1.0)?.with_logits(logits);
    let mut search = search.next_stage(Box::new(soft), control)?;
    assert_eq!((search.scores()?, search.multiplier()), (gates.clone(), multiplier), "gates and multiplier stay");
    let agrees = |search: &ArchitectureSearch| -> Result<f64> {
        let ctx = ForwardContext::inference();
        let [own, others] = [search.masked_logits(&batch, &ctx)?, teacher.logits(&batch, &ctx)?];
        let classes = |logits: Tensor| -> Result<Vec<u32>> { Ok(logits.argmax(1)?.to_vec1()?) };
        let pairs = classes(own)?.into_iter().zip(classes(others)?);
        Ok(pairs.filter(|(one, other)| one == other).count() as f64 / batch.len() as f64)
    };
    fit(&mut search)?;
    assert!(search.scores()? != gates);
    assert!(agrees(&search)? >= 0.75, "{}", agrees(&search)?);
    let result = search.found()?;
    assert!((result.reached - 0.5).abs() <= 0.03, "{}", result.reached);
    let refused =
        search.next_stage(Box::new(SoftLabelLoss::new(&teacher, 1.0)?), Control::Tas { weight: -1.0, tolerance: 0.1 });
    assert!(refused.is_err());
    Ok(())
}
