use std::fs;

use crate::fixture;
use crate::output_dir::*;

fn run_on(texts: &str) -> RunManifest {
    let models = ["full", "truncated.1", "dynamic"].map(String::from).to_vec();
    RunManifest::new(vec!["t_dht".into(), "--seed".into(), "3".into()], texts.into(), models)
}

fn open(out: &Path, start: Start) -> Result<OutputDir> {
    OutputDir::open(out, start, run_on("some"))
}

#[test]
fn a_directory_has_one_run_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (here, elsewhere) = (folder.path().join("a/b"), folder.path().join("c"));
    let dir = open(&here, Start::New).unwrap();
    for start in [Start::New, Start::Resume, Start::Restart] {
        let error = open(&here, start).unwrap_err();
        assert!(matches!(&error, Error::InUse { out } if *out == here));
        assert!(error.to_string().contains("another run writes into"), "{error}");
    }
    open(&elsewhere, Start::New).unwrap();
    drop(dir);
    open(&here, Start::Resume).unwrap();
}

#[test]
fn a_stopped_run_is_resumed_or_restarted_on_request_and_never_deleted_silently() {
    let folder = tempfile::tempdir().unwrap();
    let file = open(folder.path(), Start::New).unwrap().checkpoint("full");
    assert_eq!(message_if_stopped(folder.path()), "stopped before the first checkpoint; the same command starts again");
    let elsewhere = message_if_stopped(Path::new("no such run"));
    assert_eq!(elsewhere, "stopped before the first checkpoint; the same command starts again");
    // Nothing is lost before the first checkpoint.
    open(folder.path(), Start::New).unwrap();
    fs::write(&file, "weights").unwrap();
    let error = open(folder.path(), Start::New).unwrap_err();
    assert!(
        matches!(&error, Error::Unfinished { out, command } if out == folder.path() && command == "t_dht --seed 3")
    );
    let message = error.to_string();
    assert!(message.contains("--resume") && message.contains("--restart"), "{message}");
    assert!(
        message_if_stopped(folder.path())
            .contains("with --resume (and without --restart) continues from the last checkpoint in ")
    );
    open(folder.path(), Start::Resume).unwrap();
    let error = OutputDir::open(folder.path(), Start::Resume, run_on("others")).unwrap_err();
    assert!(matches!(&error, Error::OtherTexts { path, stored, asked }
        if path.ends_with("checkpoints/run.json") && stored == "some" && asked == "others"));
    assert!(file.is_file());
    OutputDir::open(folder.path(), Start::Restart, run_on("others")).unwrap();
    assert!(!file.exists());
}

#[test]
fn foreign_files_stay_whatever_their_suffix() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    fs::create_dir_all(checkpoints.join("old")).unwrap();
    let theirs = ["mine.checkpoint", "weights.bin", "texts", ".x.checkpoint.partial", "old/full.checkpoint"];
    theirs.iter().for_each(|name| fs::write(checkpoints.join(name), "theirs").unwrap());
    for start in [Start::New, Start::Restart] {
        let dir = open(folder.path(), start).unwrap();
        let partial = checkpoints.join(".full.checkpoint.partial");
        fs::write(dir.checkpoint("full"), "weights").unwrap();
        fs::write(&partial, "weights").unwrap();
        dir.remove_checkpoints().unwrap();
        assert!(theirs.iter().all(|name| fs::read_to_string(checkpoints.join(name)).unwrap() == "theirs"));
        assert!(!dir.checkpoint("full").exists() && !checkpoints.join("run.json").exists() && !partial.exists());
    }
}

#[test]
fn a_resume_with_other_flags_is_refused_and_leaves_the_stopped_run_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let of = |command: &[&str], models: &[&str]| {
        let [command, models] = [command, models].map(|words| words.iter().map(|word| (*word).into()).collect());
        RunManifest::new(command, "some".into(), models)
    };
    let command = ["t_dht", "--data", "texts", "--epochs", "2"];
    let run = || of(&command, &["full", "truncated.1", "dynamic"]);
    let file = OutputDir::open(folder.path(), Start::New, run()).unwrap().checkpoint("truncated.1");
    fs::write(&file, "weights").unwrap();
    let manifest = folder.path().join("checkpoints/run.json");
    let before = fs::read_to_string(&manifest).unwrap();
    let models = ["full", "truncated.1", "dynamic"];
    for other in [
        of(&["s_dht", "--data", "texts", "--epochs", "2"], &models),
        of(&["t_dht", "--data", "texts", "--epochs", "3"], &models),
        of(&["t_dht", "--data", "others", "--epochs", "2"], &models),
        of(&command, &["full", "truncated.2", "dynamic"]),
    ] {
        let error = OutputDir::open(folder.path(), Start::Resume, other).unwrap_err();
        assert!(matches!(&error, Error::OtherRun { .. }), "{error}");
        assert_eq!(fs::read_to_string(&manifest).unwrap(), before);
    }
    let by_another_path = of(&["t_dht", "--data", "down/texts", "--epochs", "2"], &models);
    OutputDir::open(folder.path(), Start::Resume, by_another_path).unwrap();
    OutputDir::open(folder.path(), Start::Restart, run()).unwrap();
    assert!(!file.exists());
}

#[test]
fn a_record_of_a_later_release_and_a_foreign_lock_file_stay_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("record.json", "{\"schema\": 99, \"mine\": 1}"), (".lock", "precious")] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let error = open(folder.path(), Start::New).unwrap_err();
        assert!(matches!(&error, Error::ForeignFile { path: named } if *named == path), "{name}: {error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        fs::remove_file(&path).unwrap();
    }
    open(folder.path(), Start::New).unwrap();
}

#[test]
fn a_path_with_a_foreign_file_is_refused_and_the_file_stays() {
    let names = ["checkpoints/full.checkpoint", "checkpoints/run.json", "record.json", FIGURES[0].0];
    for name in names {
        for start in [Start::New, Start::Restart] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "{\"theirs\": 1}").unwrap();
            let error = open(folder.path(), start).unwrap_err();
            assert!(matches!(&error, Error::ForeignFile { path: named } if *named == path), "{name}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), "{\"theirs\": 1}");
        }
    }
}

#[test]
fn the_record_of_an_earlier_run_is_accepted_and_a_manifest_with_paths_is_not() {
    let folder = tempfile::tempdir().unwrap();
    fixture::record().save(folder.path().join("record.json")).unwrap();
    fs::write(folder.path().join(FIGURES[0].0), "<svg/>").unwrap();
    open(folder.path(), Start::New).unwrap();
    let victim = folder.path().join("victim.checkpoint");
    fs::write(&victim, "theirs").unwrap();
    let forged = RunManifest::new(Vec::new(), "some".into(), vec!["../victim".into()]);
    fs::write(folder.path().join("checkpoints/run.json"), serde_json::to_string(&forged).unwrap()).unwrap();
    assert!(matches!(open(folder.path(), Start::Restart), Err(Error::ForeignFile { .. })));
    assert!(victim.is_file());
}

#[cfg(unix)]
#[test]
fn links_and_their_targets_stay() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let (out, elsewhere) = (folder.path().join("out"), folder.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    fs::create_dir(&out).unwrap();
    fs::write(elsewhere.join("mine.checkpoint"), "theirs").unwrap();
    symlink(&elsewhere, out.join("checkpoints")).unwrap();
    // Checkpoints may lie on another disk.
    let dir = open(&out, Start::New).unwrap();
    fs::write(dir.checkpoint("full"), "weights").unwrap();
    dir.remove_checkpoints().unwrap();
    assert!(out.join("checkpoints").is_symlink());
    let left: Vec<_> = fs::read_dir(&elsewhere).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["mine.checkpoint"]);
    drop(dir);

    // A link instead of a checkpoint, even of a stopped run.
    let dir = open(&out, Start::New).unwrap();
    symlink(elsewhere.join("mine.checkpoint"), dir.checkpoint("full")).unwrap();
    let link = dir.checkpoint("full");
    dir.remove_checkpoints().unwrap();
    assert!(link.is_symlink());
    drop(dir);
    for start in [Start::New, Start::Restart] {
        assert!(matches!(open(&out, start), Err(Error::ForeignFile { path }) if path == link));
    }
    assert_eq!(fs::read_to_string(elsewhere.join("mine.checkpoint")).unwrap(), "theirs");
    // A link instead of the lock file or of a figure, even beside a record and with a missing target.
    fs::remove_file(&link).unwrap();
    for (name, target) in [(".lock", "mine.checkpoint"), (FIGURES[0].0, "nowhere.svg")] {
        let link = out.join(name);
        let _ = fs::remove_file(&link);
        fixture::record().save(out.join("record.json")).unwrap();
        symlink(elsewhere.join(target), &link).unwrap();
        assert!(matches!(open(&out, Start::New), Err(Error::ForeignFile { path }) if path == link), "{name}");
        fs::remove_file(&link).unwrap();
    }
    assert_eq!(fs::read_to_string(elsewhere.join("mine.checkpoint")).unwrap(), "theirs");
}
