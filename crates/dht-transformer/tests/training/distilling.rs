//! Fine-tuning with FLOP counts, and distillation: the loss equals its formula, and a teacher that does not fit is
//! refused.

use dht_toys::{assert_resumes, config, rng};
use dht_transformer::{
    BertConfig, Error, ForwardContext, Objective, Pooling, Result, Task, TextClassifier, TrainSettings, Trainer,
    tasks::{Distillation, DistillationSettings, FineTuning},
    train::{History, Predict},
};

use crate::toy::{CLASSES, bits, checkpointed, model, settings, task, without_seconds};

/// Classifier with the given sizes and random weights.
fn classifier([layers, classes, tokens, hidden]: [usize; 4], seed: u64) -> TextClassifier {
    let config = BertConfig { max_position_embeddings: 9, ..config([layers, 2, hidden, tokens], 0.3) };
    dht_toys::classifier(&config, classes, Pooling::Mean, &mut rng(seed))
}

fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let powers: Vec<f64> = logits.iter().map(|logit| (f64::from(*logit) / temperature).exp()).collect();
    powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
}

#[test]
fn the_loss_is_the_weighted_mean_of_its_terms_number_by_number() -> Result<()> {
    let (student, teacher) = (classifier([1, 3, 16, 16], 1), classifier([2, 3, 16, 16], 2));
    let data = task(5, 1);
    let batch = data.batch(&[0, 1, 2, 3, 4])?;
    let ctx = ForwardContext::inference();
    let answers = |model: &TextClassifier| -> Result<[Vec<Vec<f32>>; 2]> {
        Ok([model.logits(&batch, &ctx)?.to_vec2()?, model.hidden(&batch, &ctx)?.tensor().to_vec2()?])
    };
    let ([z, own], [t, target]) = (answers(&student)?, answers(&teacher)?);
    let mut terms = [0.0; 3];
    for sample in 0..5 {
        let (p, q) = (softmax(&z[sample], 3.0), softmax(&t[sample], 3.0));
        terms[0] += 9.0 * q.iter().zip(&p).map(|(q, p)| q * (q / p).ln()).sum::<f64>() / 5.0;
        let rows = batch.spans.range(sample);
        let tokens = rows.len() as f64;
        for row in rows {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let norms = (dot(&own[row], &own[row]) * dot(&target[row], &target[row])).sqrt();
            terms[1] += (1.0 - dot(&own[row], &target[row]) / norms) / tokens / 5.0;
        }
        terms[2] -= softmax(&z[sample], 1.0)[batch.labels[sample] as usize].ln() / 5.0;
    }
    assert!(terms.iter().all(|term| *term > 0.01), "{terms:?}");
    for weights in [[5.0, 1.0, 2.0], [0.5, 0.0, 0.5], [1.0, 3.0, 0.0]] {
        let [soft_label_weight, cosine_weight, label_weight] = weights;
        let settings = DistillationSettings { temperature: 3.0, soft_label_weight, cosine_weight, label_weight };
        let loss = Distillation::new(student.clone(), &teacher, settings)?.loss(&batch, &ctx)?.to_scalar::<f32>()?;
        let weighted = terms.iter().zip(weights).map(|(term, weight)| term * weight).sum::<f64>();
        approx::assert_relative_eq!(f64::from(loss), weighted / weights.iter().sum::<f64>(), epsilon = 1e-5);
    }
    // A student with its teacher's weights has a loss of 0.
    let settings = DistillationSettings { label_weight: 0.0, ..DistillationSettings::default() };
    let loss = Distillation::new(teacher.clone(), &teacher, settings)?.loss(&batch, &ctx)?.to_scalar::<f32>()?;
    assert!(loss.abs() < 1e-6, "{loss}");
    Ok(())
}

#[test]
fn a_teacher_or_settings_that_do_not_fit_are_refused_by_name() -> Result<()> {
    let refused = |student: TextClassifier, teacher: &TextClassifier, settings| match Distillation::new(
        student, teacher, settings,
    ) {
        Err(Error::Argument { name: field, expected, .. }) => (field, expected),
        other => panic!("{other:?}"),
    };
    let student = || classifier([2, 3, 16, 16], 1);
    let defaults = DistillationSettings::default();
    for (sizes, part) in [
        ([1, 3, 16, 16], "2 layers"),
        ([2, 4, 16, 16], "3 classes"),
        ([2, 3, 17, 16], "16 tokens"),
        ([2, 3, 16, 32], "hidden size 16"),
    ] {
        let (field, expected) = refused(student(), &classifier(sizes, 2), defaults);
        assert!(field == "teacher" && expected.contains(part), "{field}: {expected}");
    }
    let wide = classifier([2, 3, 16, 32], 2);
    Distillation::new(student(), &wide, DistillationSettings::soft_labels())?;
    let encoder = student().encoder().truncated(2)?;
    let labels = TextClassifier::for_task(Task::Labels, encoder, 3, Pooling::Cls, &mut rng(1))?;
    assert_eq!(refused(labels, &student(), defaults).0, "student");
    for (name, wrong) in [
        ("temperature", DistillationSettings { temperature: 0.0, ..defaults }),
        ("soft_label_weight", DistillationSettings { soft_label_weight: 0.0, ..defaults }),
        ("cosine_weight", DistillationSettings { cosine_weight: -1.0, ..defaults }),
        ("label_weight", DistillationSettings { label_weight: f64::NAN, ..defaults }),
    ] {
        assert_eq!(refused(student(), &student(), wrong).0, name);
    }
    Ok(())
}

fn trained(seed: u64) -> Result<(FineTuning, History)> {
    let mut training = FineTuning::new(model(seed));
    let settings = TrainSettings { epochs: 12, keep_best: false, ..settings() };
    let history = Trainer::new(settings).fit(&mut training, &task(300, 1), &task(40, 2), &mut ())?;
    Ok((training, history))
}

#[test]
fn counted_fine_tuning_equals_the_classifier_alone_to_the_bit() -> Result<()> {
    let (counted, history) = trained(1)?;
    let mut alone = model(1);
    let settings = TrainSettings { epochs: 12, keep_best: false, ..settings() };
    let expected = Trainer::new(settings).fit(&mut alone, &task(300, 1), &task(40, 2), &mut ())?;
    assert!(bits(counted.parameters()) == bits(alone.parameters()));
    assert_eq!(without_seconds(history), without_seconds(expected));
    Ok(())
}

#[test]
fn a_student_learns_from_its_teacher_despite_wrong_labels() -> Result<()> {
    let teacher = trained(1)?.0.into_model();
    let before = bits(teacher.parameters());
    let test = task(200, 5);
    assert!(teacher.macro_f1(&test, 16)? > 0.95, "the teacher knows the task");
    let mut training = task(300, 1);
    training.samples.iter_mut().for_each(|sample| sample.label = 0);
    let of_teacher = DistillationSettings { label_weight: 0.0, ..DistillationSettings::default() };
    let mut student = Distillation::new(model(7), &teacher, of_teacher)?;
    let settings = TrainSettings { epochs: 12, ..settings() };
    Trainer::new(settings).fit(&mut student, &training, None, &mut ())?;
    assert!(student.teacher_flops() > 0 && student.flops() > student.teacher_flops());
    let f1 = student.into_model().macro_f1(&test, 16)?;
    assert!(f1 > 0.9, "{f1}");
    assert!(bits(teacher.parameters()) == before, "the teacher has changed");
    Ok(())
}

#[test]
fn resumed_distillation_and_fine_tuning_keep_bits_and_counts() -> Result<()> {
    let teacher = model(5);
    let defaults = DistillationSettings::default();
    let data = [&task(37, 1), &task(11, 2)];
    let distillation = |seed| Distillation::new(model(seed), &teacher, defaults).expect("a teacher that fits");
    assert_resumes(distillation, data, |own| (own.flops(), own.state().expect("a state")));
    assert_resumes(|seed| FineTuning::new(model(seed)), data, |own| (own.flops(), own.state().expect("a state")));
    Ok(())
}

#[test]
fn a_distillation_resumed_with_changes_names_the_difference() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let trainer = checkpointed(settings(), &folder.path().join("training"), 1);
    let (data, teacher) = (task(16, 1), model(5));
    let defaults = DistillationSettings::default();
    trainer.fit(&mut Distillation::new(model(1), &teacher, defaults)?, &data, &data, &mut ())?;
    let other = DistillationSettings { temperature: 4.0, ..defaults };
    let deeper = classifier([3, CLASSES, 16, 16], 1);
    for (mut wrong, names) in [
        (Distillation::new(model(1), &teacher, other)?, "distillation.temperature is 2.0 there and 4.0 here"),
        (Distillation::new(model(1), &deeper, defaults)?, "teacher.encoder.num_hidden_layers is 2 there and 3 here"),
    ] {
        let error = trainer.fit(&mut wrong, &data, &data, &mut ()).expect_err("of another training").to_string();
        assert!(error.contains(names), "{error}");
    }
    Ok(())
}
