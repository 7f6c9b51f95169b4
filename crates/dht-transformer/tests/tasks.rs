//! Multi-label tasks and regression: data are read from files, and models are trained, scored, saved and loaded.

use candle_core::Device;
use dht_toys::{Outcome, adamw, config, encoder, refused, rng};
use dht_transformer::{
    Dataset, DatasetReader, EncodedDataset, Error, Example, PackedBatch, Pooling, Result, Task, TextClassifier,
    TextTokenizer, TrainSettings, Trainer,
    data::{Column, LabelKind},
    error::DataProblem,
    train::metrics::{Correlation, LabelCounts},
};
use rand::RngExt;

const SEVERAL: LabelKind = LabelKind::Several { separator: '|' };

fn read(kind: LabelKind, name: &str, text: &str) -> Result<Dataset> {
    DatasetReader::new().with_label_kind(kind).read_from(name, text.as_bytes())
}

fn problem(result: Result<Dataset>) -> (Option<u64>, DataProblem) {
    match result {
        Err(Error::Data { line, problem, .. }) => (line, problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cells_of_several_labels_and_of_numbers_are_read() -> Outcome {
    let train = read(SEVERAL, "train.tsv", "text\tlabel\na b\tnews | sport\nc d\t\ne f\tart|news|art\n")?;
    assert_eq!(train.labels, ["art", "news", "sport"]);
    let targets: Vec<&[f32]> = train.examples.iter().map(|example| &*example.targets).collect();
    assert_eq!(targets, [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 0.0]]);
    // The test set is read like the training set, with the same labels and separator.
    let test = DatasetReader::new().like(&train).read_from("test.tsv", "text\tlabel\ng h\tsport\n".as_bytes())?;
    assert_eq!((test.labels.len(), &*test.examples[0].targets), (3, &[0.0, 0.0, 1.0][..]));
    let unknown = DatasetReader::new().like(&train).read_from("test.tsv", "text\tlabel\ng h\tart|food\n".as_bytes());
    assert!(matches!(problem(unknown), (Some(2), DataProblem::OtherLabels { labels, .. }) if labels.contains("food")));
    let none = problem(read(SEVERAL, "train.tsv", "text\tlabel\na b\t\n"));
    assert_eq!(none, (None, DataProblem::EmptyLabel));

    let scores =
        DatasetReader::new().with_label_kind(LabelKind::Number).with_label_column(Column::Name("score".into()));
    let train = scores.read_from("train.csv", "a,b,score\nx y,7,2.5\nu v,8,-1e-3\n".as_bytes())?;
    assert_eq!(train.labels, ["score"]);
    assert_eq!(train.examples.iter().map(|example| example.targets[0]).collect::<Vec<_>>(), [2.5, -1e-3]);
    for bad in ["much", "NaN", "inf", "1e999"] {
        let got = problem(scores.read_from("train.csv", format!("a,score\nx y,1\nu v,{bad}\n").as_bytes()));
        assert_eq!(got, (Some(3), DataProblem::NotANumber { label: bad.into() }));
    }
    let empty = problem(scores.read_from("train.csv", "a,score\nx y,\n".as_bytes()));
    assert_eq!(empty, (Some(2), DataProblem::EmptyLabel));
    let lines = read(LabelKind::Number, "train.jsonl", "{\"text\": \"a b\", \"label\": 0.25}\n")?;
    assert_eq!(lines.examples[0].targets, [0.25]);
    Ok(())
}

#[test]
fn targets_that_do_not_fit_are_refused() -> Outcome {
    let example = |targets: &[f32]| Example { text: "a".into(), pair: None, label: 0, targets: targets.to_vec() };
    let labels = || vec!["x".to_owned(), "y".to_owned()];
    for targets in [&[1.0][..], &[1.0, f32::NAN]] {
        assert_eq!(refused(Dataset::from_examples("made", labels(), vec![example(targets)])), "targets");
    }
    let data = Dataset::from_examples("made", labels(), vec![example(&[1.0, 0.0]), example(&[])])?;
    let tokenizer = TextTokenizer::from_vocabulary(&["a".to_owned()])?;
    let encoded = tokenizer.encode_all(&data, 8)?;
    assert!(matches!(encoded.batch(&[0, 1, 1]), Err(Error::Shape { .. })));
    let model = model(Task::Labels, 2, tokenizer.vocabulary_size())?;
    let trained = train(model, &EncodedDataset { samples: encoded.samples[1..].to_vec(), ..encoded }, 1);
    assert_eq!(refused(trained), "targets");
    Ok(())
}

fn model(task: Task, outputs: usize, vocabulary: usize) -> Result<TextClassifier> {
    let rng = &mut rng(3);
    TextClassifier::for_task(task, encoder(&config([1, 2, 16, vocabulary], None), rng), outputs, Pooling::Mean, rng)
}

fn train(mut model: TextClassifier, data: &EncodedDataset, epochs: usize) -> Result<TextClassifier> {
    let settings = TrainSettings { epochs, batch_size: 16, optimizer: adamw(5e-3), ..TrainSettings::default() };
    Trainer::new(settings).fit(&mut model, data, data, &mut ())?;
    Ok(model)
}

/// Texts of six words from nine; `targets` computes the targets from the token ids.
fn planted(labels: &[&str], targets: fn(&[u32]) -> Vec<f32>) -> Result<(TextTokenizer, EncodedDataset)> {
    let mut rng = rng(5);
    let words: Vec<String> = (0..9).map(|word| format!("w{word}")).collect();
    let examples = (0..240).map(|_| {
        let picked: Vec<u32> = (0..6).map(|_| rng.random_range(0..9)).collect();
        let text = picked.iter().map(|word| format!("w{word}")).collect::<Vec<_>>().join(" ");
        Example { text, pair: None, label: 0, targets: targets(&picked) }
    });
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    let data = Dataset::from_examples("planted", labels, examples.collect())?;
    let tokenizer = TextTokenizer::from_vocabulary(&words)?;
    let encoded = tokenizer.encode_all(&data, 12)?;
    Ok((tokenizer, encoded))
}

fn targets_of(data: &EncodedDataset) -> Vec<Vec<f32>> {
    data.samples.iter().map(|sample| sample.targets.clone()).collect()
}

#[test]
fn planted_labels_are_learnt_each_for_itself_and_survive_a_save() -> Outcome {
    let present = |picked: &[u32]| (0..3).map(|word| f32::from(u8::from(picked.contains(&word)))).collect();
    let (tokenizer, data) = planted(&["a", "b", "c"], present)?;
    let model = train(model(Task::Labels, 3, tokenizer.vocabulary_size())?, &data, 25)?;
    let answers = model.probabilities_of_all(&data, 50)?;
    let counts = LabelCounts::from_probabilities(&targets_of(&data), &answers, 0.5)?;
    assert!(counts.micro_f1() > 0.97 && counts.macro_f1() > 0.97 && counts.exact() > 0.9, "{counts:?}");
    // Unlike classes, labels do not exclude each other.
    assert!(answers.iter().any(|answer| answer.iter().all(|probability| *probability > 0.8)));
    assert!(answers.iter().any(|answer| answer.iter().all(|probability| *probability < 0.2)));

    let folder = tempfile::tempdir()?;
    let labels = data.labels.clone();
    model.save(folder.path().join("model"), Some(&tokenizer), &labels)?;
    let again = TextClassifier::load(folder.path().join("model"), &Device::Cpu)?;
    assert_eq!(again.task(), Task::Labels);
    assert_eq!(again.probabilities_of_all(&data, 50)?, answers);
    Ok(())
}

#[test]
fn a_planted_number_is_learnt_and_survives_a_save() -> Outcome {
    let (tokenizer, data) = planted(&["sum"], |picked| vec![picked.iter().sum::<u32>() as f32 / 12.0 - 2.0])?;
    let model = train(model(Task::Number, 1, tokenizer.vocabulary_size())?, &data, 40)?;
    let answers = model.probabilities_of_all(&data, 50)?;
    let numbers = |rows: &[Vec<f32>]| rows.iter().map(|row| f64::from(row[0])).collect::<Vec<f64>>();
    let (truth, predicted) = (numbers(&targets_of(&data)), numbers(&answers));
    let correlation = Correlation::from_values(&truth, &predicted)?;
    assert!(correlation.pearson > 0.97 && correlation.spearman > 0.97, "{correlation:?}");

    let folder = tempfile::tempdir()?;
    model.save(folder.path().join("model"), None, &data.labels)?;
    let again = TextClassifier::load(folder.path().join("model"), &Device::Cpu)?;
    assert_eq!((again.task(), again.probabilities_of_all(&data, 50)?), (Task::Number, answers));
    Ok(())
}

#[test]
fn a_task_has_as_many_outputs_as_it_can() -> Outcome {
    for (task, outputs) in [(Task::Class, 1), (Task::Labels, 0), (Task::Number, 0), (Task::Number, 2)] {
        assert_eq!(refused(model(task, outputs, 9)), "classes", "{task:?} {outputs}");
    }
    let folder = tempfile::tempdir()?;
    let target = folder.path().join("model");
    model(Task::Labels, 2, 9)?.save(&target, None, &["a".into(), "b".into()])?;
    let text = std::fs::read_to_string(target.join("config.json"))?;
    for task in ["ranking", "regression"] {
        std::fs::write(target.join("config.json"), text.replace("multi_label_classification", task))?;
        let refused = TextClassifier::load(&target, &Device::Cpu);
        assert!(matches!(refused, Err(Error::Config { field: "problem_type", .. })), "{task}");
    }
    Ok(())
}

#[test]
fn targets_stay_with_their_samples_when_a_batch_is_cut() -> Outcome {
    let (_, data) = planted(&["a", "b"], |picked| vec![picked[0] as f32, picked[1] as f32])?;
    let batch = data.batch(&[4, 9, 2])?;
    let cut: PackedBatch = batch.select(&[2, 0]);
    assert_eq!(cut, data.batch(&[2, 4])?);
    assert_eq!(cut.targets, [&*data.samples[2].targets, &data.samples[4].targets].concat());
    Ok(())
}
