//! Smaller models: truncations, and students that start as their teacher's layers.

use std::sync::Arc;

use dht_dynamic::evaluate;
use dht_search::Result;
use dht_search::baselines::distilbert::{distilbert, teacher_layers};
use dht_search::baselines::{Baseline, truncation};
use dht_search::{
    transformer::tasks::{Distillation, DistillationSettings, TeacherLogits},
    transformer::tensors::{Parameters, cross_entropy},
    transformer::{EncodedDataset, ForwardContext, Objective, Pooling, Trainer},
};
use dht_toys::planted::{CLASSES, LAYERS, encoder, full_model, nothing, task};
use dht_toys::{bits, refused, rng, train_settings};

use crate::toy::assert_resumes;

fn value(parameters: &Parameters, name: &str) -> Result<Vec<f32>> {
    Ok(parameters.var(parameters.id(name)?).flatten_all()?.to_vec1()?)
}

#[test]
fn the_student_starts_as_a_copy_of_the_teachers_layers() -> Result<()> {
    let teacher = full_model(Pooling::Pooler);
    let before = bits(teacher.parameters());
    let mut distillation = distilbert(teacher, 2, DistillationSettings::default())?;
    let student = distillation.model();
    let chosen = teacher_layers(LAYERS, 2)?;
    assert_eq!((student.encoder().layers(), &*chosen), (2, &[0, LAYERS - 1][..]));
    let mut compared = 0;
    for (_, name, _) in student.parameters().iter() {
        let of_teacher = match name.strip_prefix("encoder.layer.").and_then(|rest| rest.split_once('.')) {
            Some((layer, part)) => {
                let layer: usize = layer.parse().expect("a layer");
                format!("encoder.layer.{}.{part}", chosen[layer])
            }
            None => name.to_owned(),
        };
        assert_eq!(value(student.parameters(), name)?, value(teacher.parameters(), &of_teacher)?, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 5 + 2 * 12 + 4, "embeddings, two layers, pooler and classifier");
    // The two layers are not the same.
    let up = |layer| format!("encoder.layer.{layer}.intermediate.dense.weight");
    assert_ne!(value(student.parameters(), &up(0))?, value(student.parameters(), &up(1))?);

    let start = bits(distillation.parameters());
    Trainer::new(train_settings(1)).fit(&mut distillation, &task(40, 1), &nothing(), &mut ())?;
    assert!(bits(distillation.parameters()) != start, "the student learns");
    assert!(bits(teacher.parameters()) == before, "the teacher does not");
    Ok(())
}

#[test]
fn truncations_differ_from_their_distillation_in_the_loss_alone() -> Result<()> {
    let pretrained = encoder(LAYERS, 1);
    let (teacher, soft) = (full_model(Pooling::Mean), DistillationSettings::soft_labels());
    let mut plain = truncation::fine_tuned(&pretrained, 2, CLASSES, Pooling::Mean, &mut rng(5))?;
    let mut distilled = truncation::distilled(&pretrained, 2, teacher, soft, &mut rng(5))?;
    let start = bits(plain.parameters());
    assert!(start == bits(distilled.parameters()));
    for (_, name, _) in plain.parameters().iter().filter(|(_, name, _)| !name.starts_with("classifier")) {
        assert_eq!(value(plain.parameters(), name)?, value(pretrained.parameters(), name)?, "{name}");
    }
    let before = bits(pretrained.parameters());
    let trainer = Trainer::new(train_settings(1));
    trainer.fit(&mut plain, &task(40, 1), &nothing(), &mut ())?;
    trainer.fit(&mut distilled, &task(40, 1), &nothing(), &mut ())?;
    assert!(bits(plain.parameters()) != bits(distilled.parameters()));
    assert!(bits(pretrained.parameters()) == before, "a truncation has weights of its own");

    // Both are predictors, of the same FLOPs: half of the layers.
    let test = task(20, 2);
    let (plain, distilled) = (evaluate(&plain.into_model(), &test, 8)?, evaluate(&distilled.into_model(), &test, 8)?);
    let full = evaluate(teacher, &test, 8)?;
    assert_eq!(plain.flops, distilled.flops);
    assert!(2 * plain.flops > full.flops && 2 * plain.flops < full.flops + full.flops / 10);
    assert!(plain.routes.iter().all(|route| route.depth() == 2));
    Ok(())
}

#[test]
fn a_student_follows_its_teacher_and_a_truncation_the_labels() -> Result<()> {
    // The labels of all texts are wrong, so that only a teacher has the right answers.
    let mut wrong = task(300, 1);
    wrong.samples.iter_mut().for_each(|sample| sample.label = (sample.label + 1) % CLASSES as u32);
    let (teacher, test) = (full_model(Pooling::Mean), task(100, 7));
    let settings = DistillationSettings { label_weight: 0.0, ..DistillationSettings::default() };
    let mut student = distilbert(teacher, 2, settings)?;
    let mut plain = truncation::fine_tuned(teacher.encoder(), 2, CLASSES, Pooling::Mean, &mut rng(5))?;
    let trainer = Trainer::new(train_settings(4));
    trainer.fit(&mut student, &wrong, &nothing(), &mut ())?;
    trainer.fit(&mut plain, &wrong, &nothing(), &mut ())?;
    let f1 = |evaluation: dht_dynamic::Evaluation| evaluation.confusion.macro_f1();
    let (teacher, student) = (f1(evaluate(teacher, &test, 8)?), f1(evaluate(&student.into_model(), &test, 8)?));
    let plain = f1(evaluate(&plain.into_model(), &test, 8)?);
    assert!(teacher > 0.8 && student > teacher - 0.1 && plain < 0.3, "{teacher}, {student}, {plain}");
    Ok(())
}

#[test]
fn kept_logits_are_the_teachers_and_cost_no_flops_again() -> Result<()> {
    let (teacher, texts) = (full_model(Pooling::Mean), task(20, 1));
    let soft = DistillationSettings::soft_labels();
    let some = EncodedDataset { samples: texts.samples[..8].to_vec(), ..texts.clone() };
    let logits = Arc::new(TeacherLogits::of_teacher(teacher, &some, 3)?);
    let plain = distilbert(teacher, 2, soft)?;
    let kept = distilbert(teacher, 2, soft)?.with_logits(logits.clone())?;
    let ctx = ForwardContext::inference();
    // Kept texts, and two of which one is not.
    for rows in [&[0_usize, 5, 2][..], &[1, 12]] {
        let batch = texts.batch(rows)?;
        let loss = |it: &Distillation| -> Result<f32> { Ok(it.loss(&batch, &ctx)?.to_scalar()?) };
        let (expected, got) = (loss(&plain)?, loss(&kept)?);
        assert!((expected - got).abs() < 1e-6, "{rows:?}: {got}, {expected} by running the teacher");
    }
    let cost = |mut training: Distillation| -> Result<(u64, u64)> {
        Trainer::new(train_settings(1)).fit(&mut training, &some, &nothing(), &mut ())?;
        Ok((training.flops(), training.teacher_flops()))
    };
    let ((all, of_teacher), (less, none)) = (cost(plain)?, cost(kept)?);
    assert_eq!((none, less), (0, all - of_teacher));
    let with_states = distilbert(teacher, 2, DistillationSettings::default())?;
    assert!(with_states.with_logits(logits).is_err_and(|error| error.to_string().contains("cosine_weight")));
    Ok(())
}

#[test]
fn students_that_their_teacher_cannot_have_are_refused() -> Result<()> {
    let (teacher, defaults) = (full_model(Pooling::Cls), DistillationSettings::default());
    for layers in [0, LAYERS + 1] {
        assert_eq!(refused(distilbert(teacher, layers, defaults)), "layers");
        let truncated = truncation::fine_tuned(teacher.encoder(), layers, CLASSES, Pooling::Cls, &mut rng(1));
        assert_eq!(refused(truncated), "layers");
    }
    let deeper = encoder(LAYERS + 1, 1);
    assert_eq!(refused(truncation::distilled(&deeper, LAYERS + 1, teacher, defaults, &mut rng(1))), "teacher");
    let cold = DistillationSettings { temperature: -1.0, ..defaults };
    assert_eq!(refused(distilbert(teacher, 2, cold)), "temperature");
    assert_eq!(refused(truncation::fine_tuned(teacher.encoder(), 2, 1, Pooling::Cls, &mut rng(1))), "classes");
    Ok(())
}

#[test]
fn a_resumed_distillation_or_truncation_ends_with_the_same_bits() {
    let teacher = full_model(Pooling::Pooler);
    assert_resumes(|seed| {
        let soft = DistillationSettings::soft_labels();
        truncation::distilled(&encoder(LAYERS, seed), 2, teacher, soft, &mut rng(seed))
    });
    assert_resumes(|_| distilbert(teacher, 3, DistillationSettings::default()));
    assert_resumes(|seed| truncation::fine_tuned(&encoder(LAYERS, seed), 1, CLASSES, Pooling::Mean, &mut rng(seed)));
}

#[test]
fn every_baseline_says_what_it_has_cost() -> Result<()> {
    fn cost<B: Baseline>(mut baseline: B) -> Result<u64> {
        assert_eq!(baseline.flops(), 0);
        Trainer::new(train_settings(1)).fit(&mut baseline, &task(8, 1), &nothing(), &mut ()).map_err(Into::into)?;
        let flops = baseline.flops();
        evaluate(&baseline.into_model(), &task(4, 2), 4)?;
        Ok(flops)
    }
    let teacher = full_model(Pooling::Mean);
    let plain = cost(truncation::fine_tuned(teacher.encoder(), 2, CLASSES, Pooling::Mean, &mut rng(1))?)?;
    let student = cost(distilbert(teacher, 2, DistillationSettings::default())?)?;
    assert!(student > plain, "a teacher costs: {student} and {plain}");
    Ok(())
}

#[test]
fn a_teachers_label_loss_is_that_of_its_student_of_all_layers() -> Result<()> {
    // All layers are the teacher itself, so that without dropout nothing but the labels is left to learn.
    let teacher = full_model(Pooling::Pooler);
    let whole = distilbert(teacher, LAYERS, DistillationSettings { label_weight: 8.0, ..Default::default() })?;
    let batch = task(6, 9).batch(&[0, 1, 2, 3, 4, 5])?;
    let ctx = ForwardContext::inference();
    let labels = cross_entropy(&teacher.logits(&batch, &ctx)?, &batch.labels)?.mean_all()?.to_scalar::<f32>()?;
    let loss = whole.loss(&batch, &ctx)?.to_scalar::<f32>()?;
    assert!((loss - labels * 8.0 / 14.0).abs() < 1e-6, "{loss} and {labels}");
    Ok(())
}
