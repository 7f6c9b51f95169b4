//! Tests of the examples `distil`, `nas` and `heads` on few generated texts: complete runs, runs resumed after each
//! step, and refused flags.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::Device;
use clap::Parser;
use dht_lab::record::{
    ArchitectureSearchRecord, DistillationRecord, HeadAblationRecord, JudgedModel, SearchedArchitecture,
};
use dht_lab::{DistilArguments, Error, HeadsArguments, NasArguments, distil, heads, nas};
use dht_search::transformer::TextClassifier;

const FEW: [&str; 15] = [
    "--quiet",
    "--model",
    "4x2x16",
    "--train-rows",
    "200",
    "--test-rows",
    "60",
    "--epochs",
    "2",
    "--distillation-epochs",
    "2",
    "--student-lr",
    "0.002",
    "--max-length",
    "32",
];

/// Default flags of all tests, which ask for few rows. Flags of a test replace its defaults.
fn few<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    let (quiet, pairs) = FEW.split_at(1);
    let defaults = pairs.chunks_exact(2).filter(|pair| !flags.contains(&pair[0])).flatten();
    quiet.iter().chain(defaults).chain(flags).copied().collect()
}

fn searched(flags: &[&str], out: &Path) -> Result<ArchitectureSearchRecord, Error> {
    let out = out.to_string_lossy();
    nas(&NasArguments::parse_from([&["nas", "--out", &out, "--search-epochs", "2"], &few(flags)[..]].concat()))
}

fn distilled(flags: &[&str], work: &Path) -> Result<DistillationRecord, Error> {
    let work = work.to_string_lossy();
    distil(&DistilArguments::parse_from([&["distil", "--work", &work], &few(flags)[..]].concat()))
}

/// Sets measured seconds and clock ratios to 0.
fn timeless(model: &mut JudgedModel) {
    (model.wall_ratio, model.train_seconds) = (0.0, 0.0);
}

fn without_clock(record: &ArchitectureSearchRecord) -> ArchitectureSearchRecord {
    let mut record = record.clone();
    timeless(&mut record.teacher);
    timeless(&mut record.unpruned);
    for row in record.results.searches.iter_mut().chain(&mut record.results.beside) {
        (row.wall_ratio, row.search_seconds, row.train_seconds) = (0.0, 0.0, 0.0);
    }
    record
}

/// Stored result of the unpruned student's step, without predictions for the test rows.
fn without_labels(out: &Path) -> String {
    let text = fs::read_to_string(out.join("steps/unpruned.seed-0/result.json")).expect("a result");
    let mut result: serde_json::Value = serde_json::from_str(&text).expect("a result");
    result["labels"] = serde_json::json!([]);
    result.to_string()
}

/// Finished steps, in the order in which they finished.
fn done(out: &Path) -> Vec<PathBuf> {
    let steps = fs::read_dir(out.join("steps")).expect("steps").map(|entry| entry.expect("a step").path());
    let mut steps: Vec<PathBuf> = steps.filter(|step| step.join("result.json").is_file()).collect();
    steps.sort_by_key(|step| fs::metadata(step.join("result.json")).and_then(|it| it.modified()).expect("a time"));
    steps
}

fn names(out: &Path) -> Vec<String> {
    done(out).iter().map(|step| step.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn a_search_reaches_its_target_and_goes_on_after_each_step() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--space", "inputs+neurons", "--targets", "0.5"];
    let first = searched(&flags, folder.path()).unwrap();
    let steps = names(folder.path());
    let search = "search.inputs+neurons.0.5";
    let row = "inputs+neurons.0.5.search.seed-0";
    assert_eq!(steps, ["teacher", "general", "unpruned.seed-0", "clock", search, row]);
    let [search] = &first.searches[..] else { panic!("{}", first.searches.len()) };
    assert!((search.reached_ratio - 0.5).abs() <= 0.03, "{}", search.reached_ratio);
    assert!(search.flops_ratio < 0.9 && search.parameters_ratio < 1.0 && search.wall_ratio > 0.0);
    assert_eq!(search.unpruned_score, first.unpruned.score);
    assert_eq!((search.seeds.len(), search.best_steps.len(), search.kept.len()), (1, 1, 2));
    // 180 rows in batches of 32 are 6 steps a pass, and there are two passes; the best step is the last of one of them.
    assert!([6, 12].contains(&search.best_steps[0]), "{:?}", search.best_steps);
    assert!((0.0..=1.0).contains(&search.validation_scores[0]) && search.validation_scores[0] > 0.0);
    let size = (first.teacher.size.layers, first.unpruned.size.layers, first.unpruned.size.hidden);
    assert_eq!(size, (4, 2, 16));
    assert_eq!((first.metric.as_str(), first.majority_score), ("accuracy", share_of_the_most_frequent(&first)));
    assert!(folder.path().join("kept.inputs+neurons.0.5.svg").is_file());
    let stored = ArchitectureSearchRecord::load(folder.path().join("record.json")).unwrap();
    assert_eq!(stored, first);
    assert!(!fs::read_to_string(folder.path().join("record.json")).unwrap().contains("null"));

    // A run that was stopped before any step resumes to the same results.
    for (at, step) in done(folder.path()).into_iter().enumerate().filter(|(at, _)| *at != 3) {
        let written = fs::metadata(folder.path().join("steps/teacher/result.json")).unwrap().modified().unwrap();
        for later in done(folder.path()).iter().skip(at) {
            fs::remove_file(later.join("result.json")).unwrap();
        }
        assert!(!step.join("result.json").exists());
        let again = searched(&flags, folder.path()).unwrap();
        assert_eq!(without_clock(&again), without_clock(&first), "{}", step.display());
        let teacher = fs::metadata(folder.path().join("steps/teacher/result.json")).unwrap().modified().unwrap();
        assert_eq!(teacher == written, at > 0, "a finished step ran again");
    }
    // Stored results that are not valid are computed again.
    for (name, damage) in [("clock", "[1.0]"), (row, "{}"), ("unpruned.seed-0", &*without_labels(folder.path()))] {
        fs::write(folder.path().join("steps").join(name).join("result.json"), damage).unwrap();
        let again = searched(&flags, folder.path()).unwrap();
        assert_eq!(without_clock(&again), without_clock(&first), "{name}");
    }
    let found_model = TextClassifier::load(folder.path().join("steps").join(row).join("model"), &Device::Cpu).unwrap();
    assert!(found_model.encoder().parameters().elements() < first.unpruned.size.parameters);
    let left: Vec<_> = done(folder.path()).iter().flat_map(|step| fs::read_dir(step).unwrap()).collect();
    assert!(left.iter().all(|entry| !entry.as_ref().unwrap().path().to_string_lossy().ends_with("checkpoint")));

    // Other spaces and targets are further steps of the same run; another relaxation is another run.
    let before = names(folder.path());
    let further = searched(&["--space", "inputs+neurons,heads", "--targets", "0.5"], folder.path()).unwrap();
    assert_eq!(
        names(folder.path()),
        [before, vec!["search.heads.0.5".into(), "heads.0.5.search.seed-0".into()]].concat()
    );
    assert_eq!(without_clock(&further).searches[0], without_clock(&first).searches[0]);
    let error = searched(&[&flags[..], &["--relaxation", "gumbel"]].concat(), folder.path()).unwrap_err();
    assert!(matches!(&error, Error::OtherSteps { what, .. } if *what == "command"), "{error}");
}

/// Share of the most frequent class; all classes of the generated texts are about equally frequent.
fn share_of_the_most_frequent(record: &ArchitectureSearchRecord) -> f64 {
    let classes = record.data.classes.len() as f64;
    assert!(
        record.majority_score > 0.5 / classes && record.majority_score < 2.0 / classes,
        "{}",
        record.majority_score
    );
    record.majority_score
}

/// Flags of the report's search over inputs and heads.
fn published<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    [&["--settings", "report", "--space", "inputs+heads", "--targets", "1.0"], flags].concat()
}

#[test]
fn the_reports_search_evaluates_steps_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let flags = published(&["--lambda", "0", "--evaluate-every", "4"]);
    let first = searched(&flags, folder.path()).unwrap();
    let [search] = &first.searches[..] else { panic!("{}", first.searches.len()) };
    // 180 rows in batches of 32 are 6 steps a pass. Evaluations are after steps 4, 8 and 12, and at the ends of both
    // passes.
    assert!([4, 6, 8, 12].contains(&search.best_steps[0]), "{:?}", search.best_steps);
    assert!(first.command.join(" ").contains("--evaluate-every 4"), "{:?}", first.command);
    let (search, steps) = (&first.settings["search"], &first.settings["evaluate_every"]);
    assert_eq!((&search["gate_loss"], steps), (&"labels".into(), &4.into()));
    assert_eq!(search["control"]["tas"]["weight"], 0.0);

    for name in ["search.inputs+heads.1", "inputs+heads.1.search.seed-0"] {
        fs::remove_file(folder.path().join("steps").join(name).join("result.json")).unwrap();
        let again = searched(&flags, folder.path()).unwrap();
        assert_eq!(without_clock(&again), without_clock(&first), "{name}");
    }
    for other in [&["--lambda", "0"][..], &["--lambda", "1", "--evaluate-every", "4"]] {
        let error = searched(&published(other), folder.path()).unwrap_err();
        assert!(matches!(&error, Error::OtherSteps { what, .. } if *what == "command"), "{other:?}: {error}");
    }
}

#[test]
fn searched_weights_are_carried_and_others_stand_beside() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--space",
        "heads,all",
        "--targets",
        "0.5",
        "--carry",
        "--beside",
        "--seeds",
        "2",
        "--alternating",
        "--second-order",
    ];
    let record = searched(&flags, folder.path()).unwrap();
    let methods: Vec<String> = record.beside.iter().map(|row| format!("{} {}", row.space, row.method)).collect();
    let others = ["random", "random by layer", "magnitude", "gradient"];
    let expected: Vec<String> =
        ["heads", "all"].iter().flat_map(|space| others.map(|method| format!("{space} {method}"))).collect();
    assert_eq!(methods, expected);
    for row in record.searches.iter().chain(&record.beside) {
        // Each seed has the same number of random draws.
        let draws = if row.method == "random" { 6 } else { 2 };
        assert_eq!((row.seeds.len(), row.best_steps.len()), (draws, draws), "{} {}", row.space, row.method);
        assert!((row.reached_ratio - 0.5).abs() <= 0.03, "{} {}: {}", row.space, row.method, row.reached_ratio);
        assert!(row.flops_ratio < 1.0 && row.unpruned_score > 0.0);
        // Both differences have the expected direction relative to the row's own score.
        let change = row.change.as_ref().expect("two seeds").mean;
        assert!((change - (row.score - record.unpruned.score)).abs() < 1e-9, "{} {}: {change}", row.space, row.method);
        let search = record.searches.iter().find(|search| search.space == row.space).expect("its search");
        let difference = row.difference.as_ref().map(|difference| difference.mean);
        let expected = (row.method != "search").then_some(search.score - row.score);
        assert_eq!(difference.is_some(), expected.is_some());
        assert!((difference.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-9, "{} {}", row.space, row.method);
    }
    let heads: Vec<&SearchedArchitecture> = record.searches.iter().filter(|row| row.space == "heads").collect();
    assert!(heads[0].kept.iter().map(|layer| layer.heads.len()).sum::<usize>() == 2, "{:?}", heads[0].kept);
    // The searched model is stored, and its distillation started from it.
    let carried = folder.path().join("steps/search.all.0.5/model");
    let carried = TextClassifier::load(carried, &Device::Cpu).unwrap();
    assert!(carried.encoder().parameters().elements() < record.unpruned.size.parameters);
}

#[test]
fn a_distilled_student_is_saved_and_its_run_resumes_at_any_step() {
    let folder = tempfile::tempdir().unwrap();
    let (work, out) = (folder.path().join("work"), folder.path().join("student"));
    let texts = folder.path().join("plain.txt");
    fs::write(
        &texts,
        "the food was good and the service was quick\n\na bad film with no end to it at all\n".repeat(40),
    )
    .unwrap();
    let (file, saved) = (texts.to_string_lossy(), out.to_string_lossy());
    let flags = ["--layers", "2", "--hidden", "8", "--layer-map", "1,3", "--texts", &file, "--out", &saved];
    let first = distilled(&flags, &work).unwrap();
    let [_, fine_tuned, student] = first.models().map(|(_, model)| *model);
    assert_eq!((student.size.layers, student.size.hidden, student.size.ffn), (2, 8, 32));
    assert_eq!(fine_tuned.size, student.size);
    assert!(student.flops * 3 < first.teacher.flops && student.size.parameters < first.teacher.size.parameters);
    assert_eq!(first.command[..1], ["distil"]);
    let command = first.command.join(" ");
    assert!(
        command.ends_with("--layers 2 --hidden 8 --layer-map 1,3 --distillation-epochs 2 --texts plain.txt"),
        "{command}"
    );
    let model = TextClassifier::load(&out, &Device::Cpu).unwrap();
    assert_eq!(model.encoder().config().hidden_size, 8);

    assert_eq!(names(&work), ["teacher", "general", "fine-tuned", "distilled", "clock"]);
    for (at, step) in done(&work).into_iter().enumerate().take(4) {
        done(&work).iter().skip(at).for_each(|later| fs::remove_file(later.join("result.json")).unwrap());
        let mut again = distilled(&flags, &work).unwrap();
        let mut before = first.clone();
        for record in [&mut again, &mut before] {
            let results = &mut record.results;
            for model in [&mut results.teacher, &mut results.fine_tuned_student, &mut results.distilled_student] {
                timeless(model);
            }
        }
        assert_eq!(again, before, "{}", step.display());
    }
    let error = distilled(&["--layers", "1"], &work).unwrap_err();
    assert!(matches!(&error, Error::OtherSteps { what, .. } if *what == "command"), "{error}");
    let directory = out.to_string_lossy();
    let other = folder.path().join("other");
    let taught = distilled(&["--model", &directory, "--fine-tuned", "--layers", "1"], &other).unwrap();
    assert_eq!((taught.teacher.score, taught.teacher.train_seconds), (student.score, 0.0));

    // A classifier with the same classes in another order is the same teacher.
    let reordered = folder.path().join("reordered");
    fs::create_dir(&reordered).unwrap();
    for file in ["config.json", "tokenizer.json"] {
        fs::copy(out.join(file), reordered.join(file)).unwrap();
    }
    let labels = model.encoder().config().labels().unwrap();
    let order: Vec<usize> = (0..labels.len()).rev().collect();
    let mut tensors = candle_core::safetensors::load(out.join("model.safetensors"), &Device::Cpu).unwrap();
    for name in ["classifier.weight", "classifier.bias"] {
        let rows: Vec<u32> = order.iter().map(|class| *class as u32).collect();
        let rows = candle_core::Tensor::new(rows, &Device::Cpu).unwrap();
        tensors.insert(name.into(), tensors[name].index_select(&rows, 0).unwrap());
    }
    candle_core::safetensors::save(&tensors, reordered.join("model.safetensors")).unwrap();
    let mut config = model.encoder().config().clone();
    config.set_labels(&order.iter().map(|class| labels[*class].clone()).collect::<Vec<_>>());
    fs::write(reordered.join("config.json"), serde_json::to_string(&config).unwrap()).unwrap();
    let directory = reordered.to_string_lossy();
    let work = folder.path().join("from reordered");
    let other = distilled(&["--model", &directory, "--fine-tuned", "--layers", "1"], &work).unwrap();
    assert_eq!((other.teacher.score, other.teacher.macro_f1), (taught.teacher.score, taught.teacher.macro_f1));
    assert_eq!(other.data.classes, order.iter().map(|class| labels[*class].clone()).collect::<Vec<_>>());
    // A classifier with other classes is refused as a teacher before the first step.
    config.set_labels(&[labels.clone(), vec!["neither".into()]].concat());
    fs::write(reordered.join("config.json"), serde_json::to_string(&config).unwrap()).unwrap();
    let work = folder.path().join("from others");
    let error = distilled(&["--model", &directory, "--fine-tuned", "--layers", "1"], &work).unwrap_err().to_string();
    let (actual, needed) = (labels.len() + 1, labels.len());
    let expected = format!("a classifier of {actual} classes, expected one of {needed}");
    assert!(error.contains(&expected), "{error}");
    assert!(!work.exists(), "something was begun");
}

#[test]
fn heads_are_scored_one_at_a_time_and_missing_ones_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (work, out) = (folder.path().join("work"), folder.path().join("heads"));
    let trained = distilled(&["--epochs", "1", "--distillation-epochs", "1"], &work).unwrap();
    let teacher = work.join("steps/teacher/model");
    let (model, target) = (teacher.to_string_lossy(), out.to_string_lossy());
    let common = ["heads", "--model", &model, "--out", &target, "--train-rows", "200", "--test-rows", "60"];
    let run =
        |words: &[&str]| heads(&HeadsArguments::parse_from([&common[..], &["--max-length", "32"], words].concat()));
    for (named, missing) in [("4:0", "layer is 4"), ("0:2", "head is 2"), ("18446744073709551615:0", "layer")] {
        let error = run(&["--heads", named]).unwrap_err().to_string();
        assert!(error.contains(missing), "{named}: {error}");
        assert!(!out.exists(), "{named} left something behind");
    }
    let record = run(&[]).unwrap();
    assert_eq!(record.score, trained.teacher.score);
    let heads: Vec<(usize, usize)> = record.heads.iter().map(|head| (head.layer, head.head)).collect();
    assert_eq!(heads, (0..4).flat_map(|layer| [(layer, 0), (layer, 1)]).collect::<Vec<_>>());
    // In a layer of two heads, the score without one head equals the score with the other alone.
    for pair in record.heads.chunks(2) {
        assert_eq!([pair[0].without, pair[1].without], [Some(pair[1].alone), Some(pair[0].alone)]);
    }
    assert_eq!(HeadAblationRecord::load(out.join("record.json")).unwrap(), record);
    assert!(fs::read_to_string(out.join("heads.svg")).unwrap().contains("this head alone in its layer"));
    let one = run(&["--heads", "3:1"]).unwrap();
    assert_eq!(one.heads, [record.heads[7]]);
    // A figure without a record beside it does not belong to a run.
    fs::remove_file(out.join("record.json")).unwrap();
    assert!(matches!(run(&[]).unwrap_err(), Error::ForeignFile { .. }));
}

#[test]
fn a_student_never_overwrites_its_teacher_steps_or_other_files() {
    let folder = tempfile::tempdir().unwrap();
    let (work, notes) = (folder.path().join("work"), folder.path().join("notes"));
    fs::create_dir(&notes).unwrap();
    fs::write(notes.join("notes.txt"), "mine").unwrap();
    fs::write(notes.join("config.json"), "{}").unwrap();
    for (out, named) in [(&work, "--work"), (&folder.path().to_path_buf(), "--work"), (&notes, "notes")] {
        let error = distilled(&["--out", &out.to_string_lossy()], &work).unwrap_err().to_string();
        assert!(error.contains(named), "{}: {error}", out.display());
        assert!(!work.exists(), "something was begun");
    }
    let teacher = folder.path().join("teacher");
    let directory = teacher.to_string_lossy();
    distilled(&["--out", &directory, "--epochs", "1", "--distillation-epochs", "1"], &work).unwrap();
    let before = fs::read(teacher.join("model.safetensors")).unwrap();
    let again = folder.path().join("again");
    let error =
        distilled(&["--model", &directory, "--fine-tuned", "--layers", "1", "--out", &directory], &again).unwrap_err();
    assert!(matches!(&error, Error::Argument { flag: "out", .. }), "{error}");
    assert_eq!(fs::read(teacher.join("model.safetensors")).unwrap(), before);
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    for (flags, named) in [
        (&["--targets", "0"][..], "above 0 and at most 1"),
        (&["--targets", "1.2"], "above 0 and at most 1"),
        (&["--space", "heads", "--targets", "0.3"], "0.5000 to 1.0000"),
        (&["--evaluate-every", "0"], "evaluate-every"),
        (&["--settings", "report", "--lambda", "-1"], "lambda"),
        (&["--settings", "report", "--tolerance", "0"], "tolerance"),
        (&["--layers", "5"], "no more of them than its teacher"),
        (&["--alternating", "--train-rows", "2"], "can be held out"),
        (&["--alternating", "--augment", "1", "--word-vectors", "README.md"], "both halves"),
        (&["--hidden", "18446744073709551615"], "hidden"),
    ] {
        let error = searched(flags, &out).unwrap_err().to_string();
        assert!(error.contains(named), "{flags:?}: {error}");
        assert!(!out.exists(), "{flags:?} left something behind");
    }
}

#[test]
fn files_that_no_run_wrote_stay() {
    let folder = tempfile::tempdir().unwrap();
    let (out, notes) = (folder.path().join("out"), folder.path().join("notes.csv"));
    fs::create_dir(&out).unwrap();
    fs::write(&notes, "mine").unwrap();
    let to_notes = ["--record", &*notes.to_string_lossy()];
    let foreign = |error: Error, path: &Path| matches!(&error, Error::ForeignFile { path: named } if named == path);
    assert!(foreign(searched(&to_notes, &out).unwrap_err(), &notes));
    assert!(foreign(distilled(&to_notes, &out).unwrap_err(), &notes));
    for name in ["record.json", "kept.inputs.0.5.svg"] {
        let file = out.join(name);
        fs::write(&file, "mine").unwrap();
        assert!(foreign(searched(&[], &out).unwrap_err(), &file), "{name}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        fs::remove_file(&file).unwrap();
    }
    assert_eq!((fs::read_dir(&out).unwrap().count(), &*fs::read_to_string(&notes).unwrap()), (0, "mine"));
    // Steps without a file that names their run are not resumed.
    let few = ["--epochs", "1", "--distillation-epochs", "1"];
    distilled(&few, &out).unwrap();
    fs::remove_file(out.join("run.json")).unwrap();
    let error = distilled(&[&few[..], &["--seed", "1"]].concat(), &out).unwrap_err();
    assert!(matches!(error, Error::UnknownSteps { .. }), "{error}");
    let inside = out.join("steps/distilled/model");
    let flags = ["--out", &*inside.to_string_lossy()];
    let error = distilled(&[&few[..], &flags].concat(), &out).unwrap_err();
    assert!(matches!(error, Error::Argument { flag: "out", .. }), "{error}");
}

#[test]
fn a_teacher_of_one_layer_and_one_head_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--model", "1x1x16", "--hidden", "8", "--epochs", "1", "--distillation-epochs", "1"];
    let record = distilled(&flags, folder.path()).unwrap();
    assert_eq!((record.distilled_student.size.layers, record.distilled_student.size.hidden), (1, 8));
}

#[test]
fn students_learn_from_copies_of_the_texts_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let vectors = folder.path().join("vectors.txt");
    fs::write(&vectors, "was 1 0\nwere 0.9 0.1\nplot 0 1\nand 0.1 1\n").expect("a file");
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name).to_string_lossy().into_owned());
    let plain = distilled(&["--out", &first], &folder.path().join("plain")).expect("a distillation");
    let vectors = vectors.to_string_lossy();
    let flags = ["--augment", "2", "--word-vectors", &vectors, "--out", &second];
    let augmented = distilled(&flags, &folder.path().join("augmented")).expect("a distillation");
    let weights = |student: &str| fs::read(Path::new(student).join("model.safetensors")).expect("weights");
    assert_eq!(weights(&first).len(), weights(&second).len());
    assert_ne!(weights(&first), weights(&second), "the student learns from the copies too");
    assert_eq!(plain.teacher.score, augmented.teacher.score, "the teacher learns from the texts alone");
    assert!(augmented.command.join(" ").contains("--augment 2 --word-vectors"), "{:?}", augmented.command);
    let missing = distilled(&["--augment", "2", "--word-vectors", "missing.txt"], &folder.path().join("missing"));
    assert!(matches!(missing, Err(Error::Transformer(_))), "{missing:?}");
    assert!(!folder.path().join("missing").exists(), "nothing was begun");
}
