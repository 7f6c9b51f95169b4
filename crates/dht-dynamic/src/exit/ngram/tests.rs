use std::collections::BTreeSet;

use candle_core::{Device, Tensor, Var};
use dht_transformer::data::{UnknownWord, UnreadTokens};
use dht_transformer::flops::{BlockShape, ClassifierShape};
use dht_transformer::{BertConfig, DatasetReader, EncodedDataset, Encoder, Encoding, Sample, TextTokenizer};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::embedding_table::EmbeddingTable;
use super::features::{Corpus, Tokens};
use super::{NgramClassifier, NgramFit, NgramSettings};
use crate::error::{Error, Result};
use crate::full_model::FullModel;
use crate::log_probabilities::LogProbabilities;
use crate::logistic::MULTIPLY_ADDS;

fn full_model(classes: usize) -> FullModel {
    let block = BlockShape { hidden: 24, heads: 6, head_dim: 4, ffn: 96 };
    let classifier = ClassifierShape { hidden: 24, pooler: false, classes };
    FullModel { block, widths: vec![block.full(); 4], classifier }
}

fn sample(id: u64, label: u32, ids: &[u32]) -> Sample {
    let encoding =
        Encoding { ids: ids.to_vec(), type_ids: vec![0; ids.len()], truncated: false, rest: UnreadTokens::default() };
    Sample { id, label, targets: Vec::new(), encoding }
}

fn data(samples: Vec<Sample>, classes: usize) -> EncodedDataset {
    EncodedDataset { samples, labels: (0..classes).map(|class| class.to_string()).collect(), truncated_rows: 0 }
}

/// Random texts of up to eight tokens between the special tokens 0 and 1. Each text contains one marker that determines
/// its class: the bigram 10 11, the bigram 11 10, or the token 12.
fn texts(rows: u64, seed: u64) -> EncodedDataset {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let text = |id| {
        let label = rng.random_range(0..3_u32);
        let mut ids: Vec<u32> = (0..rng.random_range(2..7)).map(|_| rng.random_range(20..60)).collect();
        let at = rng.random_range(0..ids.len());
        ids.splice(at..at, [vec![10, 11], vec![11, 10], vec![12]][label as usize].clone());
        ids.insert(0, 0);
        ids.push(1);
        sample(id, label, &ids)
    };
    data((0..rows).map(text).collect(), 3)
}

fn settings() -> NgramSettings {
    NgramSettings { left_out: BTreeSet::from([0, 1]), ..NgramSettings::default() }
}

fn fit(training: &EncodedDataset) -> Result<NgramFit> {
    let classes = training.labels.len();
    NgramClassifier::fit(training, &settings(), full_model(classes), None, &mut ChaCha8Rng::seed_from_u64(1))
}

fn labels(data: &EncodedDataset) -> Vec<u32> {
    data.samples.iter().map(|sample| sample.label).collect()
}

#[test]
fn features_are_those_of_scikit_learns_vectorizer() {
    // Expected values: TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, 2), token_pattern=r"\S+") on the
    // texts "5 6 5 6", "5 6 7" and "7 8". Known: 5, 6, 7 and "5 6", each in two of three texts, so that all have one
    // idf.
    let texts = [&[0, 5, 6, 5, 6, 1][..], &[0, 5, 6, 7, 1], &[0, 7, 8, 1]];
    let texts = texts.map(|ids| sample(0, 0, ids).encoding);
    let tokens: Vec<Tokens<'_>> =
        texts.iter().map(|text| Tokens { ids: &text.ids, type_ids: &text.type_ids, rest: None }).collect();
    let left_out = BTreeSet::from([0, 1]);
    let corpus = Corpus::new(&tokens, &left_out);
    let columns = corpus.columns(&[0, 1, 2], 2);
    assert_eq!(columns.len(), 4);
    let weights = |row| corpus.features(row, &columns).into_iter().map(|(_, weight)| weight).collect::<Vec<f32>>();
    let close = |got: Vec<f32>, expected: &[f32]| {
        assert_eq!(got.len(), expected.len());
        got.iter().zip(expected).for_each(|(got, expected)| assert!((got - expected).abs() < 1e-6, "{got} {expected}"));
    };
    close(weights(0), &[3.0_f32.sqrt().recip(); 3]);
    close(weights(1), &[0.5; 4]);
    close(weights(2), &[1.0]);
    // Other frequencies: the first text has 5 twice and 6 once, idf ln(4/4) + 1 and ln(4/3) + 1.
    let more = [&[5, 5, 6][..], &[5, 6], &[5]].map(|ids| sample(0, 0, ids).encoding);
    let tokens: Vec<Tokens<'_>> =
        more.iter().map(|text| Tokens { ids: &text.ids, type_ids: &text.type_ids, rest: None }).collect();
    let corpus = Corpus::new(&tokens, &left_out);
    let columns = corpus.columns(&[0, 1, 2], 2);
    let (five, six) = (1.0 + 2.0_f32.ln(), (4.0_f32 / 3.0).ln() + 1.0);
    let length = (five * five + 2.0 * six * six).sqrt();
    let mut sorted = corpus.features(0, &columns).into_iter().map(|(_, weight)| weight).collect::<Vec<f32>>();
    sorted.sort_by(f32::total_cmp);
    close(sorted, &[six / length, six / length, five / length]);
    // A text by itself has the features that it has in its corpus.
    let expected = corpus.features(1, &columns);
    assert_eq!(corpus.vocabulary(columns).features(tokens[1], &left_out), expected);
}

#[test]
fn a_cut_text_with_its_rest_has_the_ngrams_of_the_whole_one() {
    let left_out = BTreeSet::from([0, 1]);
    let ngrams =
        |ids: &[u32], type_ids: &[u32], rest: Option<&UnreadTokens>| Tokens { ids, type_ids, rest }.ngrams(&left_out);
    let whole = ngrams(&[0, 5, 6, 7, 8, 1, 9, 6, 1], &[0, 0, 0, 0, 0, 0, 1, 1, 1], None);
    let rest = UnreadTokens { first: vec![7, 8], second: vec![6], words: Vec::new() };
    assert_eq!(ngrams(&[0, 5, 6, 1, 9, 1], &[0, 0, 0, 0, 1, 1], Some(&rest)), whole);
    assert_ne!(ngrams(&[0, 5, 6, 1, 9, 1], &[0, 0, 0, 0, 1, 1], None), whole);
    // 6 of the first and 6 of the second text are two features.
    assert_eq!(whole.len(), 4 + 3 + 2 + 1);
}

/// Adds unknown words to a text. Each word is a pair of the index of its token and the word's id.
fn with_words(mut sample: Sample, words: &[(u32, u32)]) -> Sample {
    sample.encoding.rest.words = words.iter().map(|(token, id)| UnknownWord { token: *token, id: *id }).collect();
    sample
}

#[test]
fn unknown_words_add_their_ngrams_to_those_of_the_tokens() {
    const WORD: u32 = 1 << 31;
    let left_out = BTreeSet::from([0, 1]);
    // Two words in the place of the second token, one in the truncated first text, one in the second text.
    let (ids, type_ids) = ([0, 5, 2, 6, 1, 2, 1], [0, 0, 0, 0, 0, 1, 1]);
    let words = [(2, WORD + 1), (2, WORD + 2), (5, WORD + 1), (8, WORD + 3)];
    let with = with_words(sample(0, 0, &ids), &words).encoding.rest;
    let rest = UnreadTokens { first: vec![7, 2], second: Vec::new(), ..with };
    let ngrams = |rest: &UnreadTokens| -> BTreeSet<String> {
        let tokens = Tokens { ids: &ids, type_ids: &type_ids, rest: Some(rest) };
        tokens.ngrams(&left_out).into_iter().map(|ngram| format!("{ngram:?}")).collect()
    };
    let without = ngrams(&UnreadTokens { words: Vec::new(), ..rest.clone() });
    let all = ngrams(&rest);
    assert!(without.is_subset(&all));
    let name = |side: u8, first: u32, second: Option<u32>| format!("(Ngram({side}, {first}, {second:?}), 1)");
    let expected = [
        name(0, WORD + 1, None),
        name(0, WORD + 2, None),
        name(0, WORD + 3, None),
        name(0, 5, Some(WORD + 1)),
        name(0, WORD + 1, Some(WORD + 2)),
        name(0, WORD + 2, Some(6)),
        name(0, 7, Some(WORD + 3)),
        name(1, WORD + 1, None),
    ];
    assert_eq!(all.difference(&without).cloned().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
}

#[test]
fn unknown_words_that_decide_the_class_are_learned() -> Result<()> {
    const WORD: u32 = 1 << 31;
    let texts = |rows: u64, seed: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let text = |id| {
            let label = rng.random_range(0..2_u32);
            let mut ids: Vec<u32> = (0..rng.random_range(3..9)).map(|_| rng.random_range(20..60)).collect();
            let at = rng.random_range(0..ids.len());
            ids[at] = 2;
            with_words(sample(id, label, &ids), &[(at as u32, WORD + 7 + label)])
        };
        data((0..rows).map(text).collect(), 2)
    };
    let (training, test) = (texts(300, 1), texts(200, 2));
    let correct = |answers: &LogProbabilities, test: &EncodedDataset| {
        let rows = answers.rows().zip(&test.samples);
        rows.filter(|(row, sample)| (row[1] > row[0]) == (sample.label == 1)).count()
    };
    let fitted = fit(&training)?.classifier;
    assert_eq!(correct(&fitted.log_probabilities_of_all(&test)?, &test), 200);
    let folder = tempfile::tempdir().expect("a folder");
    fitted.save(folder.path().join("ngram.json"))?;
    assert_eq!(NgramClassifier::load(folder.path().join("ngram.json"))?, fitted);
    let batch = test.batch(&(0..200).collect::<Vec<_>>())?;
    assert_eq!(fitted.log_probabilities(&batch)?, fitted.log_probabilities_of_all(&test)?);

    let blind = |texts: &EncodedDataset| {
        let samples = texts.samples.iter().cloned().map(|sample| with_words(sample, &[])).collect();
        data(samples, 2)
    };
    let of_tokens = fit(&blind(&training))?.classifier;
    let answers = of_tokens.log_probabilities_of_all(&blind(&test))?;
    assert!(correct(&answers, &test) < 140, "{}", correct(&answers, &test));
    // A classifier that was fitted without words answers as if there were none.
    assert_eq!(of_tokens.log_probabilities_of_all(&test)?, answers);
    Ok(())
}

#[test]
fn classes_that_depend_on_the_order_of_tokens_are_learned() {
    let (training, test) = (texts(300, 1), texts(200, 2));
    let fitted = fit(&training).unwrap();
    let logs = fitted.classifier.log_probabilities_of_all(&test).unwrap();
    assert!(logs.accuracy(&labels(&test)) > 0.99, "{}", logs.accuracy(&labels(&test)));
    assert!(fitted.out_of_fold.accuracy(&labels(&training)) > 0.97);
    // Each row sums to one.
    for row in logs.rows().chain(fitted.out_of_fold.rows()) {
        assert!((row.iter().map(|log| log.exp()).sum::<f64>() - 1.0).abs() < 1e-9);
    }
    let best = fitted.losses.iter().map(|(_, loss)| *loss).fold(f64::INFINITY, f64::min);
    assert!(fitted.losses.contains(&(fitted.c, best)));
}

#[test]
fn out_of_fold_rows_do_not_see_their_own_labels() {
    // Random labels cannot be predicted out of fold. The fit on all rows memorises them.
    let mut training = texts(200, 3);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    for (index, sample) in training.samples.iter_mut().enumerate() {
        let own = 100 + index as u32;
        sample.label = rng.random_range(0..3);
        sample.encoding = self::sample(0, 0, &[own, own, 7]).encoding;
    }
    let settings = NgramSettings { min_rows: 1, c: vec![100.0], ..settings() };
    let fitted = NgramClassifier::fit(&training, &settings, full_model(3), None, &mut rng).unwrap();
    let known = fitted.classifier.log_probabilities_of_all(&training).unwrap().accuracy(&labels(&training));
    assert!(known > 0.99 && fitted.out_of_fold.accuracy(&labels(&training)) < 0.5, "{known}");
}

#[test]
fn one_seed_gives_one_classifier_and_batches_do_not_matter() {
    let (training, test) = (texts(120, 5), texts(50, 6));
    let fitted = fit(&training).unwrap();
    assert_eq!(fitted, fit(&training).unwrap());
    let all = fitted.classifier.log_probabilities_of_all(&test).unwrap();
    let batch = test.batch(&[30, 4, 17]).unwrap();
    assert_eq!(fitted.classifier.log_probabilities(&batch).unwrap(), all.select(&[30, 4, 17]));
}

#[test]
fn unknown_ngrams_give_the_bias_and_empty_classes_their_share() {
    let mut training = texts(60, 7);
    training.labels.push("never".into());
    let classifier = fit(&training).unwrap().classifier;
    let logs = classifier.log_probabilities_of_all(&data(vec![sample(0, 0, &[0, 900, 901, 1])], 4)).unwrap();
    let row: Vec<f64> = logs.rows().next().unwrap().iter().map(|log| log.exp()).collect();
    assert!((row[3] - 1.0 / 64.0).abs() < 1e-12, "{row:?}");
    assert!(row[..3].iter().all(|probability| *probability > 0.15), "{row:?}");
    // All rows of one class.
    let same = data((0..5).map(|id| sample(id, 1, &[0, 5, 6, 1])).collect(), 2);
    let logs = fit(&same).unwrap().classifier.log_probabilities_of_all(&same).unwrap();
    assert!(
        logs.rows().all(|row| (row[0].exp() - 1.0 / 7.0).abs() < 1e-12 && (row[1].exp() - 6.0 / 7.0).abs() < 1e-12)
    );
}

#[test]
fn the_cost_is_two_products_for_each_known_ngram_and_class() {
    let training = texts(60, 8);
    let classifier = fit(&training).unwrap().classifier;
    // 10, 11 and "10 11" are known; 900 and its pairs are not.
    let text = data(vec![sample(0, 0, &[0, 10, 11, 900, 1])], 3);
    let (_, flops) = classifier.answers(&text.batch(&[0]).unwrap()).unwrap();
    assert_eq!(flops, [2 * 3 * 3]);
}

#[test]
fn a_saved_ngram_loads_to_the_bit_and_a_forged_one_is_rejected() {
    let (training, test) = (texts(60, 9), texts(20, 10));
    let classifier = fit(&training).unwrap().classifier;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ngram.json");
    classifier.save(&file).unwrap();
    let loaded = NgramClassifier::load(&file).unwrap();
    assert_eq!(loaded, classifier);
    assert_eq!(loaded.log_probabilities_of_all(&test).unwrap(), classifier.log_probabilities_of_all(&test).unwrap());
    let value = serde_json::to_value(&classifier).unwrap();
    let forged = |path: &[&str], change: &dyn Fn(&mut serde_json::Value)| {
        let mut value = value.clone();
        change(path.iter().fold(&mut value, |value, key| &mut value[*key]));
        std::fs::write(&file, value.to_string()).unwrap();
        NgramClassifier::load(&file).unwrap_err()
    };
    let shorter = |value: &mut serde_json::Value| {
        value.as_array_mut().unwrap().pop();
    };
    for path in [
        &["vocabulary", "idf"][..],
        &["vocabulary", "ngrams"],
        &["scores", "regression", "bias"],
        &["scores", "present"],
    ] {
        assert!(matches!(forged(path, &shorter), Error::State { .. }), "{path:?}");
    }
    assert!(matches!(forged(&["scores", "classes"], &|value| *value = 2.into()), Error::Shape { .. }));
    assert!(matches!(forged(&["scores"], &|value| *value = 2.into()), Error::Json { .. }));
    assert!(matches!(NgramClassifier::load(folder.path().join("none")), Err(Error::Transformer(_))));
}

#[test]
fn what_cannot_be_fitted_is_refused_with_what_would_be_right() {
    let refused = |training: &EncodedDataset| fit(training).unwrap_err().to_string();
    let two = texts(2, 11);
    assert!(fit(&two).is_ok());
    assert_eq!(refused(&data(Vec::new(), 3)), "training rows is 0, expected at least 2");
    assert_eq!(refused(&data(two.samples.clone(), 1)), "classes is 1, expected at least 2");
    let mut numbers = two.clone();
    numbers.samples[1].targets = vec![0.5];
    assert_eq!(refused(&numbers), "targets is 0 in row 0, expected a number from 0 to 1 for each label");
    let mut beyond = two.clone();
    beyond.samples[1].label = 3;
    assert!(refused(&beyond).contains("below 3"));
    let bad = |settings: NgramSettings| settings.check().unwrap_err().to_string();
    assert_eq!(bad(NgramSettings { folds: 1, ..settings() }), "folds is 1, expected at least 2");
    assert_eq!(bad(NgramSettings { min_rows: 0, ..settings() }), "min_rows is 0, expected at least 1");
    for c in [vec![], vec![0.0], vec![f64::NAN], vec![3.0, 1.0]] {
        assert!(bad(NgramSettings { c, ..settings() }).contains("positive numbers, ascending"));
    }
    let other = NgramClassifier::fit(&two, &settings(), full_model(2), None, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!(other.unwrap_err().to_string(), "classes of the full model is 2, expected 3");
}

/// Counts the FLOPs of a fit in two ways: by the formulas, and as twice the number of multiply-adds that ran. The fit
/// uses one thread, which counts the multiply-adds.
fn flops_of_fit(training: &EncodedDataset, settings: &NgramSettings) -> (u64, u64) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    pool.install(|| {
        MULTIPLY_ADDS.set(0);
        let full = full_model(training.labels.len());
        let fit =
            NgramClassifier::fit(training, settings, full, None, &mut ChaCha8Rng::seed_from_u64(1)).expect("a fit");
        (fit.flops, 2 * MULTIPLY_ADDS.get())
    })
}

#[test]
fn flops_of_a_fit_are_the_multiply_adds_that_run() {
    let settings = NgramSettings { folds: 3, ..settings() };
    let (flops, counted) = flops_of_fit(&texts(200, 1), &settings);
    assert!(flops > 0 && flops == counted, "{flops}, and {counted} ran");
}

/// Run with `cargo test --release -p dht-dynamic --lib banking77 -- --ignored --nocapture` and DHT_DATA set.
#[test]
#[ignore = "takes minutes, and real texts"]
fn flops_of_fits_on_banking77_are_those_that_run() {
    let folder = std::env::var("DHT_DATA").expect("DHT_DATA, the folder of the data sets");
    let read = DatasetReader::new().read(std::path::Path::new(&folder).join("banking77/train.tsv")).expect("texts");
    let rows = read.sample(3080, &mut ChaCha8Rng::seed_from_u64(1));
    let tokenizer = TextTokenizer::train(rows.examples.iter().map(|row| row.text.as_str()), 4000).expect("words");
    let encoded = tokenizer.encode_all(&rows, 64).expect("tokens");
    let (flops, counted) = flops_of_fit(&encoded, &NgramSettings { folds: 2, ..settings() });
    println!("{} rows of {} classes: {flops} FLOPs by formula, {counted} counted", encoded.len(), encoded.labels.len());
    assert_eq!(flops, counted);
}

/// Encoder with random embeddings of 1,100 tokens. The first column is positive for even token ids only.
fn encoder(seed: u64) -> Encoder {
    let config = BertConfig::small(1, 2, 12, 1100).unwrap();
    let encoder = Encoder::random(&config, &Device::Cpu, &mut ChaCha8Rng::seed_from_u64(seed)).unwrap();
    let mut table = table_of(&encoder);
    for (token, row) in table.iter_mut().enumerate() {
        row[0] = if token % 2 == 0 { 0.5 } else { -0.5 };
    }
    set_table(&encoder, table);
    encoder
}

fn variable(encoder: &Encoder) -> &Var {
    let parameters = encoder.parameters();
    parameters.var(parameters.id("embeddings.word_embeddings.weight").unwrap())
}

fn table_of(encoder: &Encoder) -> Vec<Vec<f32>> {
    variable(encoder).to_vec2().unwrap()
}

fn set_table(encoder: &Encoder, table: Vec<Vec<f32>>) {
    variable(encoder).set(&Tensor::new(table, &Device::Cpu).unwrap()).unwrap();
}

/// Texts of four tokens that are all even or all odd. Each token occurs in one text only, so that n-grams carry no
/// information about the class.
fn even_or_odd(rows: u32, first: u32) -> EncodedDataset {
    let text = |row: u32| sample(u64::from(row), row % 2, &[0, 2, 4, 6].map(|at| first + 8 * (row / 2) + row % 2 + at));
    data((0..rows).map(text).collect(), 2)
}

fn with_embeddings(training: &EncodedDataset, encoder: &Encoder) -> NgramFit {
    let full = full_model(training.labels.len());
    NgramClassifier::fit(training, &settings(), full, Some(encoder), &mut ChaCha8Rng::seed_from_u64(1)).unwrap()
}

#[test]
fn contributions_add_up_to_the_log_odds() -> Result<()> {
    let (mut training, test) = (texts(90, 21), texts(20, 22));
    training.labels.push("never".into());
    for classifier in [fit(&training)?.classifier, with_embeddings(&training, &encoder(3)).classifier] {
        let logs =
            classifier.log_probabilities_of_all(&EncodedDataset { labels: training.labels.clone(), ..test.clone() })?;
        for (sample, row) in test.samples.iter().zip(logs.rows()) {
            for (class, against) in [(0, 1), (2, 0)] {
                let (constant, weights) = classifier.contributions(sample, class, against)?.expect("both have rows");
                let sum = constant + weights.iter().map(|(_, weight)| weight).sum::<f64>();
                let odds = row[class as usize] - row[against as usize];
                assert!((sum - odds).abs() < 1e-5, "{sum} is not {odds}");
            }
        }
        // The marker of the class has the largest weight.
        let marker = sample(0, 2, &[0, 30, 12, 40, 1]);
        let (_, mut weights) = classifier.contributions(&marker, 2, 0)?.expect("both have rows");
        weights.sort_by(|a, b| b.1.total_cmp(&a.1));
        assert_eq!(weights[0].0, [12], "{weights:?}");
        assert_eq!(classifier.contributions(&marker, 2, 3)?, None);
    }
    Ok(())
}

#[test]
fn mean_embeddings_separate_texts_where_ngrams_cannot() {
    let (training, test) = (even_or_odd(120, 20), even_or_odd(100, 600));
    let alone = fit(&training).unwrap().classifier.log_probabilities_of_all(&test).unwrap();
    let fit = with_embeddings(&training, &encoder(1));
    let both = fit.classifier.log_probabilities_of_all(&test).unwrap();
    assert!(alone.accuracy(&labels(&test)) < 0.6, "{}", alone.accuracy(&labels(&test)));
    assert!(both.accuracy(&labels(&test)) > 0.97, "{}", both.accuracy(&labels(&test)));
    assert!(fit.out_of_fold.accuracy(&labels(&training)) > 0.97);
}

#[test]
fn answers_are_the_naive_stack_of_ngrams_and_mean() {
    let (training, mut test) = (texts(90, 21), texts(30, 22));
    // Truncated tokens count. Tokens beyond the table do not.
    test.samples[0].encoding.rest = UnreadTokens { first: vec![30, 31], second: vec![5000], words: Vec::new() };
    test.samples[1].encoding.ids = vec![0, 1];
    let encoder = encoder(2);
    let both = with_embeddings(&training, &encoder).classifier;
    let alone = fit(&training).unwrap().classifier.log_probabilities_of_all(&test).unwrap();
    let stored = serde_json::to_value(&both).unwrap();
    let head = &stored["embedding"];
    let numbers = |value: &serde_json::Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
    let [weights, bias, mean] =
        [&head["scores"]["regression"]["weights"], &head["scores"]["regression"]["bias"], &head["mean"]].map(numbers);
    let table = table_of(&encoder);
    let logs = both.log_probabilities_of_all(&test).unwrap();
    let costs = both.flops_of_all(&test);
    let costs_alone = fit(&training).unwrap().classifier.flops_of_all(&test);
    for (row, sample) in test.samples.iter().enumerate() {
        let tokens = sample.encoding.ids.iter().chain(&sample.encoding.rest.first).chain(&sample.encoding.rest.second);
        let tokens: Vec<usize> = tokens.map(|id| *id as usize).filter(|id| *id > 1 && *id < table.len()).collect();
        let mean: Vec<f64> = (0..12)
            .map(|column| match tokens.len() {
                0 => mean[column],
                count => tokens.iter().map(|id| f64::from(table[*id][column])).sum::<f64>() / count as f64,
            })
            .collect();
        let mut scores: Vec<f64> = (0..3)
            .map(|class| bias[class] + (0..12).map(|at| mean[at] * weights[3 * at + class]).sum::<f64>())
            .collect();
        crate::outputs::log_softmax(&mut scores);
        let [a, b] = ["ngram", "exit"].map(|name| head["stacker"][name].as_f64().unwrap());
        let ngrams = alone.rows().nth(row).unwrap();
        let mut stacked: Vec<f64> = scores.iter().zip(ngrams).map(|(score, ngram)| a * ngram + b * score).collect();
        crate::outputs::log_softmax(&mut stacked);
        for (got, expected) in logs.rows().nth(row).unwrap().iter().zip(&stacked) {
            assert!((got - expected).abs() < 1e-5, "row {row}: {got} and {expected}");
        }
        assert_eq!(costs[row], costs_alone[row] + (12 * tokens.len() + 2 * 12 * 3 + 4 * 3) as u64);
    }
}

#[test]
fn odd_texts_and_rare_classes_have_finite_embedding_answers() {
    let encoder = encoder(3);
    // Empty texts, texts of one unknown token, a class of one row, a class without rows.
    let mut training = texts(60, 23);
    training.labels.extend(["once".to_owned(), "never".to_owned()]);
    training.samples[0].label = 3;
    training.samples[1].encoding.ids = vec![0, 1];
    training.samples[2].encoding.ids = vec![0, 99, 1];
    let probabilities_are_sound = |fit: &NgramFit, data: &EncodedDataset| {
        let logs = fit.classifier.log_probabilities_of_all(data).unwrap();
        for row in logs.rows().chain(fit.out_of_fold.rows()) {
            assert!((row.iter().map(|log| log.exp()).sum::<f64>() - 1.0).abs() < 1e-9, "{row:?}");
        }
    };
    probabilities_are_sound(&with_embeddings(&training, &encoder), &training);
    let same = data((0..12).map(|id| sample(id, (id % 2) as u32, &[0, 5, 6, 1])).collect(), 2);
    probabilities_are_sound(&with_embeddings(&same, &encoder), &same);
    let none = data((0..12).map(|id| sample(id, (id % 2) as u32, &[0, 1])).collect(), 2);
    probabilities_are_sound(&with_embeddings(&none, &encoder), &none);
}

#[test]
fn a_saved_embedding_part_needs_its_own_encoder() {
    let (training, test, encoder) = (texts(60, 24), texts(20, 25), encoder(4));
    let classifier = with_embeddings(&training, &encoder).classifier;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ngram.json");
    classifier.save(&file).unwrap();
    // The file does not contain the table of embeddings.
    assert!(std::fs::metadata(&file).unwrap().len() < 100_000);
    let load = || NgramClassifier::load(&file).unwrap();
    let missing = load().log_probabilities_of_all(&test).unwrap_err().to_string();
    assert!(missing.contains("embeddings is none") && missing.contains("with_encoder"), "{missing}");
    let loaded = load().with_encoder(&encoder).unwrap();
    assert_eq!(loaded, classifier);
    let answers = |of: &NgramClassifier| of.log_probabilities_of_all(&test).unwrap();
    assert_eq!(answers(&loaded), answers(&classifier));
    assert_eq!(loaded.flops_of_all(&test), load().flops_of_all(&test));
    let other = load().with_encoder(&self::encoder(5)).unwrap_err();
    assert!(matches!(other, Error::State { .. }), "{other}");
    // Without an embedding part, the file is equal to the file of a release that does not have this part.
    assert!(serde_json::to_value(fit(&training).unwrap().classifier).unwrap().get("embedding").is_none());
}

#[test]
fn a_table_that_is_not_finite_is_refused_with_its_row() {
    let encoder = encoder(6);
    let mut table = table_of(&encoder);
    table[7][3] = f32::NAN;
    set_table(&encoder, table);
    let refused = EmbeddingTable::new(&encoder).unwrap_err().to_string();
    assert_eq!(refused, "embedding table is NaN or infinity in row 7, expected finite numbers");
}

#[test]
fn flops_of_an_embedding_fit_are_those_that_run() {
    let training = texts(90, 26);
    let encoder = encoder(7);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let fit = |encoder| {
            MULTIPLY_ADDS.set(0);
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let fit = NgramClassifier::fit(&training, &settings(), full_model(3), encoder, &mut rng).unwrap();
            (fit.flops, 2 * MULTIPLY_ADDS.get())
        };
        let ((alone, counted_alone), (both, counted)) = (fit(None), fit(Some(&encoder)));
        assert_eq!(alone, counted_alone);
        let tokens: usize = training.samples.iter().map(|sample| sample.encoding.ids.len() - 2).sum();
        // The other FLOPs are whole evaluations of the objective of the two stacking weights.
        let stacking = both - counted - 12 * tokens as u64;
        assert!(stacking > 0 && stacking.is_multiple_of(8 * 3 * 90), "{stacking}");
    });
}
