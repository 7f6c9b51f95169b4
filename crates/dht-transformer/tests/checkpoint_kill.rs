//! A process that saves checkpoints is killed again and again; what it leaves is always a whole checkpoint.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dht_transformer::{Checkpoint, StoredTensor};

/// Set in the process that is killed: where it saves.
const SAVE_TO: &str = "DHT_TEST_SAVE_TO";
const KILLS: u64 = 25;

/// Every number of it is `step`, so that a mixture of two would show.
fn checkpoint(step: u16) -> Checkpoint {
    let mut checkpoint = Checkpoint { state: serde_json::json!({ "step": step }), ..Checkpoint::default() };
    let values = vec![f32::from(step); 100_000];
    checkpoint.tensors.insert("weight".into(), StoredTensor { shape: vec![values.len()], values });
    checkpoint
}

fn step(path: &Path) -> Result<u16, Box<dyn Error>> {
    let found = Checkpoint::load(path)?;
    let step = serde_json::from_value(found.state["step"].clone())?;
    assert_eq!(found, checkpoint(step));
    Ok(step)
}

#[test]
fn a_kill_at_any_moment_leaves_a_whole_checkpoint() -> Result<(), Box<dyn Error>> {
    if let Some(path) = std::env::var_os(SAVE_TO) {
        let path = Path::new(&path);
        for step in step(path)?..u16::MAX {
            checkpoint(step + 1).save(path)?;
        }
        return Ok(());
    }
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("last.checkpoint");
    checkpoint(0).save(&path)?;
    let mut last = 0;
    for kill in 0..KILLS {
        let mut saver = Command::new(std::env::current_exe()?)
            .args(["--exact", "a_kill_at_any_moment_leaves_a_whole_checkpoint"])
            .env(SAVE_TO, &path)
            .stdout(Stdio::null())
            .spawn()?;
        // A reader beside the saver sees whole checkpoints too.
        while step(&path)? == last {
            assert!(saver.try_wait()?.is_none(), "the saver stopped by itself");
            std::thread::sleep(Duration::from_millis(1));
        }
        // From here on moments are spread over writing, syncing and renaming.
        std::thread::sleep(Duration::from_micros(kill * 400));
        saver.kill()?;
        saver.wait()?;
        let now = step(&path)?;
        assert!(now > last, "step {now} after {last}");
        last = now;
    }
    assert!(std::fs::read_dir(&directory)?.count() <= 2, "at most one partial file is left");
    Ok(())
}
