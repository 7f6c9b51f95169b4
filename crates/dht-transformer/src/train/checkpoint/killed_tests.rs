//! Tests that kill a process at every moment of a save: a complete checkpoint always remains.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::process::{Command, Stdio};

use super::checkpoint::Checkpoint;
use super::format::BLOCK;
use super::write::Moment;
use crate::storage::StoredTensor;

/// Environment variables of the killed process: the save path, and the moment of its abort.
const SAVE_TO: &str = "DHT_TEST_SAVE_TO";
const DIE_AT: &str = "DHT_TEST_DIE_AT";

/// Checkpoint in which every number is `step`, so that a mixture of two is detectable.
fn checkpoint(step: u16) -> Checkpoint {
    let mut checkpoint = Checkpoint { state: serde_json::json!({ "step": step }), ..Checkpoint::default() };
    let values = vec![f32::from(step); 5 * BLOCK + 7];
    checkpoint.tensors.insert("weight".into(), StoredTensor { shape: vec![values.len()], values });
    checkpoint
}

fn step(path: &Path) -> u16 {
    let found = Checkpoint::load(path).unwrap();
    let step = serde_json::from_value(found.state["step"].clone()).unwrap();
    assert_eq!(found, checkpoint(step));
    step
}

#[test]
fn a_death_at_any_moment_of_a_save_leaves_a_whole_checkpoint() {
    if let (Some(path), Ok(moment)) = (std::env::var_os(SAVE_TO), std::env::var(DIE_AT)) {
        let (path, die_at) = (Path::new(&path), moment.parse::<usize>().unwrap());
        let passed = Cell::new(0_usize);
        let watch = |_| {
            if passed.replace(passed.get() + 1) == die_at {
                // Nothing is dropped, flushed or removed, as after a kill.
                std::process::abort();
            }
        };
        checkpoint(step(path) + 1).save_watched(path, &watch).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("last.checkpoint");
    checkpoint(0).save(&path).unwrap();

    // A concurrent reader finds the old checkpoint complete until the new one exists.
    let moments = RefCell::new(Vec::new());
    let watch = |moment| {
        moments.borrow_mut().push(moment);
        assert_eq!(step(&path), u16::from(moment == Moment::Renamed), "{moment:?}");
    };
    checkpoint(1).save_watched(&path, &watch).unwrap();
    let moments = moments.into_inner();
    // Length, header, six blocks, state and sum.
    let writes = moments.iter().filter(|moment| matches!(moment, Moment::Written(_))).count();
    assert!(writes >= 10 && moments.len() == writes + 3, "{moments:?}");

    for (index, moment) in moments.iter().enumerate() {
        let before = step(&path);
        let died = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "train::checkpoint::killed_tests::a_death_at_any_moment_of_a_save_leaves_a_whole_checkpoint",
            ])
            .env(SAVE_TO, &path)
            .env(DIE_AT, index.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(!died.success(), "the saver lived on at {moment:?}");
        assert_eq!(step(&path), before + u16::from(*moment == Moment::Renamed), "{moment:?}");
        let left = std::fs::read_dir(&directory).unwrap().count();
        assert_eq!(left, 1 + usize::from(*moment != Moment::Renamed), "{moment:?}");
    }
    // The partial file of the killed process is overwritten.
    let last = step(&path) + 1;
    checkpoint(last).save(&path).unwrap();
    assert_eq!((step(&path), std::fs::read_dir(&directory).unwrap().count()), (last, 1));
}
