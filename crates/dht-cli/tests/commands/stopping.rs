//! Tests of training runs that are stopped by signals or a full disk, and resumed.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use super::{dht, place, printed, refused, trained};

/// Arguments of a training run that is long enough to be stopped.
const LONG: [&str; 12] =
    ["train", "--data", "data", "--model", "3x2x16", "--epochs", "20", "--batch", "8", "--max-length", "24", "--out"];

fn spawn(place: &Path, arguments: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dht"))
        .current_dir(place)
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("dht runs");
    let said = BufReader::new(child.stderr.take().expect("a pipe"));
    (child, said)
}

/// Reads lines up to one with this beginning.
fn read_until(said: &mut impl BufRead, beginning: &str) {
    let mut line = String::new();
    while !line.starts_with(beginning) {
        line.clear();
        assert!(said.read_line(&mut line).expect("a line") > 0, "no line begins with {beginning:?}");
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().expect("kill");
    assert!(sent.success());
}

/// Returns the remaining output of a process and its exit code.
fn end(mut child: Child, mut said: impl Read) -> (String, Option<i32>) {
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("text");
    (rest, child.wait().expect("an end").code())
}

pub(super) fn weights(place: &Path, name: &str) -> [Vec<u8>; 3] {
    ["encoder/model.safetensors", "dynamic.checkpoint", "ngram.json"]
        .map(|file| std::fs::read(place.join(name).join("model").join(file)).expect("a file"))
}

#[test]
fn signals_save_the_state_and_resuming_gives_the_same_bits() {
    let place = place();
    printed(&dht(place.path(), &[&LONG[..], &["whole"]].concat()));
    let stopped = [&LONG[..], &["stopped"]].concat();
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let (child, mut said) = spawn(place.path(), &stopped);
        read_until(&mut said, "training: ");
        signal(&child, name);
        let (rest, ended) = end(child, said);
        assert_eq!(ended, Some(code), "{rest}");
        assert!(rest.contains(&format!("SIG{name}: saving the state; a second signal ends at once")), "{rest}");
        let resumes = format!("stopped by SIG{name}: the state is saved in stopped.training; the same command resumes");
        assert!(rest.contains(&resumes), "{rest}");
        assert!(place.path().join("stopped.training/full.checkpoint").exists());
    }
    // Signals while the state is being saved.
    let (child, mut said) = spawn(place.path(), &stopped);
    read_until(&mut said, "resuming the stopped training");
    read_until(&mut said, "training: ");
    ["INT", "INT", "TERM"].into_iter().for_each(|name| {
        let _ =
            Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).stderr(Stdio::null()).status();
    });
    let (rest, ended) = end(child, said);
    assert!(matches!(ended, Some(130 | 143)), "{ended:?}: {rest}");
    printed(&dht(place.path(), &stopped));
    assert_eq!(weights(place.path(), "stopped"), weights(place.path(), "whole"));
    assert!(!place.path().join("stopped.training").exists());
}

#[test]
fn a_stopped_training_is_finished_as_a_model() {
    let place = place();
    let stopped = [&LONG[..], &["stopped"]].concat();
    let nothing = dht(place.path(), &[&stopped[..], &["--finish"]].concat());
    let said = refused(&nothing, 1);
    assert!(said.contains("stopped.training has no state of a stopped training run: leave out --finish"), "{said}");
    assert!(!place.path().join("stopped.training").exists());
    let (child, mut said) = spawn(place.path(), &stopped);
    read_until(&mut said, "training: 2");
    signal(&child, "INT");
    let (rest, _) = end(child, said);
    assert!(rest.contains("with --finish makes a model of the state"), "{rest}");
    // Without its description, the state is kept.
    let description = place.path().join("stopped.training/training.json");
    let content = std::fs::read(&description).expect("a description");
    for damage in [Some(&b"{"[..]), None] {
        match damage {
            Some(bytes) => std::fs::write(&description, bytes).expect("a file"),
            None => std::fs::remove_file(&description).expect("removed"),
        }
        let said = refused(&dht(place.path(), &[&stopped[..], &["--finish"]].concat()), 1);
        assert!(said.contains("training.json does not say what was trained") && said.contains("--restart"), "{said}");
    }
    std::fs::write(&description, content).expect("a file");
    let finished = dht(place.path(), &[&stopped[..], &["--finish"]].concat());
    printed(&finished);
    let said = String::from_utf8_lossy(&finished.stderr).into_owned();
    assert!(
        said.contains("the model is the best of ") && said.contains("after which the training run was stopped"),
        "{said}"
    );
    let card = std::fs::read_to_string(place.path().join("stopped/README.md")).expect("a card");
    assert!(card.contains("trained from scratch") && !card.contains("in 20 passes"), "{card}");
    assert!(!place.path().join("stopped.training").exists());
}

#[test]
fn a_training_in_rungs_is_finished_or_goes_on_with_other_limits() {
    let place = place();
    let at = place.path();
    let plain = ["train", "--data", "data", "--model", "3x2x16", "--epochs", "1", "--kind", "full", "--out", "plain"];
    printed(&dht(at, &plain));
    let long =
        ["train", "--data", "data", "--model", "plain/model", "--rungs", "2..2", "--epochs", "40", "--batch", "4"];
    let train = |out: &'static str, more: &[&'static str]| [&long[..], &["--out", out], more].concat();
    let stop = |out| {
        let (child, mut said) = spawn(at, &train(out, &[]));
        read_until(&mut said, "fine-tuning: 1");
        signal(&child, "INT");
        let (rest, ended) = end(child, said);
        assert_eq!(ended, Some(130), "{rest}");
        at.join(format!("{out}.training"))
    };
    let said = |arguments: &[&str]| {
        let output = dht(at, arguments);
        printed(&output);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let folder = stop("finished");
    assert!(folder.join("fine-tuning.checkpoint").exists() && folder.join("fine-tuning.json").exists());
    let finished = said(&train("finished", &["--finish"]));
    assert!(
        finished.contains("rung 2 is kept") && finished.contains("the stopped training was finished"),
        "{finished}"
    );
    assert!(!folder.exists());
    // A resumed run may have another limit of time, and then of rungs.
    let folder = stop("limited");
    let limited = said(&train("limited", &["--minutes", "0.01"]));
    assert!(limited.contains("resuming the stopped training") && limited.contains("--minutes allows no"), "{limited}");
    assert!(!folder.exists());
    // The error of a damaged state says how to continue.
    let folder = stop("torn");
    let state = folder.join("fine-tuning.checkpoint");
    let half = std::fs::read(&state).expect("a state");
    std::fs::write(&state, &half[..half.len() / 2]).expect("half a state");
    let torn = refused(&dht(at, &train("torn", &[])), 1);
    assert!(torn.contains("--restart deletes its state and starts again"), "{torn}");
    printed(&dht(at, &train("torn", &["--restart", "--minutes", "0.02"])));
    // With another encoder at the same path, it is a different training run.
    let folder = stop("replaced");
    let other = refused(&dht(at, &train("replaced", &["--class-weight", "praised=2"])), 1);
    assert!(other.contains("with other texts or settings (class_weights is "), "{other}");
    printed(&dht(at, &[&plain[..], &["--seed", "9"]].concat()));
    let other = refused(&dht(at, &train("replaced", &[])), 1);
    assert!(other.contains("with other texts or settings (model is "), "{other}");
    assert!(folder.exists());
    let folder = stop("lower");
    let lower = dht(
        at,
        &[
            "train",
            "--data",
            "data",
            "--model",
            "plain/model",
            "--rungs",
            "1",
            "--epochs",
            "40",
            "--batch",
            "4",
            "--out",
            "lower",
        ],
    );
    printed(&lower);
    assert!(!folder.exists());
}

#[test]
fn a_signal_before_the_first_state_says_that_nothing_is_saved() {
    let place = place();
    let (child, mut said) = spawn(place.path(), &[&LONG[..], &["found", "--lr", "find"]].concat());
    read_until(&mut said, "learning rate ");
    signal(&child, "INT");
    let (rest, ended) = end(child, said);
    assert_eq!(ended, Some(130), "{rest}");
    assert!(rest.contains("no state is saved yet; the same command starts again"), "{rest}");
}

#[test]
fn a_full_disk_keeps_the_last_state_and_names_the_way_on() {
    let place = place();
    let command = [&LONG[..], &["full"]].concat();
    printed(&dht(place.path(), &[&LONG[..], &["whole"]].concat()));
    let (child, mut said) = spawn(place.path(), &command);
    read_until(&mut said, "training: ");
    signal(&child, "INT");
    end(child, said);
    let state = place.path().join("full.training/full.checkpoint");
    let before = std::fs::read(&state).expect("a state");
    // A limit on the size of files stands for a full disk: a write beyond it fails.
    let limited = Command::new("sh")
        .current_dir(place.path())
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_dht")])
        .args(&command)
        .output()
        .expect("sh runs");
    let said = String::from_utf8_lossy(&limited.stderr);
    assert_eq!(limited.status.code(), Some(1), "{said}");
    assert!(said.contains("the state is saved in full.training; the same command resumes"), "{said}");
    assert!(said.contains("error: ") && said.contains("full.checkpoint"), "{said}");
    assert_eq!(std::fs::read(&state).expect("a state"), before);
    let files = std::fs::read_dir(place.path().join("full.training")).expect("a folder");
    let names: Vec<_> = files.map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(names.len(), 3, "no half-written state is left: {names:?}");
    printed(&dht(place.path(), &command));
    assert_eq!(weights(place.path(), "full"), weights(place.path(), "whole"));
}

#[test]
fn progress_names_the_score_that_it_shows() {
    let place = place();
    let rows: String =
        (0..300).map(|row| format!("{}.5,the soup number {} was {}\n", row % 7, row % 7, row % 5)).collect();
    std::fs::write(place.path().join("numbers.csv"), format!("score,text\n{rows}")).expect("a file");
    let rows: String =
        (0..300).map(|row| format!("{},the soup number {}\n", ["a", "b", "a;b"][row % 3], row % 3)).collect();
    std::fs::write(place.path().join("several.csv"), format!("label,text\n{rows}")).expect("a file");
    let full =
        ["--kind", "full", "--model", "2x2x16", "--epochs", "5", "--max-length", "16", "--replace", "--out", "model"];
    for (data, metric) in [
        (&["numbers.csv", "--task", "number", "--label-column", "score"][..], "validation Pearson's correlation 0."),
        (&["several.csv", "--task", "labels", "--label-separator", ";"], "validation macro F1 "),
        (&["data"], "validation macro F1 "),
    ] {
        let output = dht(place.path(), &[&["train", "--data"], data, &full].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains(metric), "{data:?}: {said}");
    }
}

/// Opens the other end of a named pipe, as soon as a command reads it.
#[cfg(target_os = "linux")]
fn written_pipe(path: &Path, child: &mut Child) -> std::fs::File {
    use std::os::unix::fs::OpenOptionsExt;

    /// `O_NONBLOCK`: opening fails while nobody reads.
    const NONBLOCK: i32 = 0o4000;
    loop {
        if let Ok(pipe) = std::fs::File::options().write(true).custom_flags(NONBLOCK).open(path) {
            return pipe;
        }
        assert_eq!(child.try_wait().expect("a state"), None, "the command ended without reading {}", path.display());
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn signals_have_their_exit_codes_before_any_work() {
    let place = trained();
    let pipe = |path: &Path| {
        let _ = std::fs::remove_file(path);
        assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
    };
    pipe(&place.path().join("token"));
    pipe(&place.path().join("texts.csv"));
    for (waits_for, arguments) in [
        ("texts.csv", &["predict", "model", "texts.csv"][..]),
        ("token", &["serve", "model", "--port", "0", "--token-file", "token"]),
        ("texts.csv", &["evaluate", "model", "--data", "texts.csv"]),
        ("texts.csv", &["inspect-data", "texts.csv"]),
        ("texts.csv", &["train", "--data", "texts.csv", "--model", "2x2x16", "--out", "other"]),
    ] {
        for (name, code) in [("INT", 130), ("TERM", 143)] {
            let (mut child, said) = spawn(place.path(), arguments);
            let pipe = written_pipe(&place.path().join(waits_for), &mut child);
            if arguments[0] == "serve" {
                // A request to reload waits until the model is loaded.
                signal(&child, "HUP");
            }
            signal(&child, name);
            let (rest, ended) = end(child, said);
            assert_eq!(ended, Some(code), "{arguments:?}: {rest}");
            assert!(rest.contains(&format!("stopped by SIG{name}")), "{arguments:?}: {rest}");
            drop(pipe);
        }
    }
}

/// Lists the files of a directory and its subdirectories, by their paths in it.
fn files_in(folder: &Path, inside: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join(inside)).expect("a folder").map(|entry| entry.expect("an entry"));
    let path = |name: std::ffi::OsString| format!("{inside}{}", name.to_string_lossy());
    entries
        .flat_map(|entry| match entry.path().is_dir() {
            true => files_in(folder, &format!("{}/", path(entry.file_name()))),
            false => vec![path(entry.file_name())],
        })
        .collect()
}

#[test]
fn a_pipe_or_a_device_in_a_model_is_refused_at_once() {
    let place = trained();
    let model = place.path().join("model");
    let read = files_in(&model, "")
        .into_iter()
        .filter(|name| !["md", "svg", "py"].contains(&name.rsplit('.').next().unwrap_or_default()));
    let read: Vec<String> = read.collect();
    assert!(read.len() > 6 && read.contains(&"model/encoder/config.json".into()), "{read:?}");
    for name in read.iter().filter(|name| *name != "training.json") {
        let path = model.join(name);
        let content = std::fs::read(&path).expect("a file");
        for is_pipe in [true, false] {
            std::fs::remove_file(&path).expect("removed");
            if is_pipe {
                assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
            } else {
                std::os::unix::fs::symlink("/dev/zero", &path).expect("a link");
            }
            for arguments in
                [&["predict", "model", "a text"][..], &["inspect", "model"], &["evaluate", "model", "--data", "data"]]
            {
                let (mut child, said) = spawn(place.path(), arguments);
                for _ in 0..400 {
                    if child.try_wait().expect("a state").is_some() {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                let _ = child.kill();
                let (rest, ended) = end(child, said);
                assert!(matches!(ended, Some(0 | 1)), "{name} {arguments:?}: {ended:?} {rest}");
                assert!(ended == Some(0) || rest.contains("a device, expected a file"), "{name} {arguments:?}: {rest}");
            }
        }
        std::fs::remove_file(&path).expect("removed");
        std::fs::write(&path, content).expect("a file");
    }
    printed(&dht(place.path(), &["predict", "model", "a text"]));
}
