//! Damaged weight files are refused with a typed error, or give the right weights.

use std::path::Path;

use dht_toys::{mutate, rng};
use dht_transformer::{Error, pretrained::PretrainedWeights};
use rand::RngExt;

use crate::archive::{Pickle, members, zip};
use crate::tiny::{bits, folder, parts, tensors, write_shards};

fn read(folder: &Path) -> Option<PretrainedWeights> {
    match PretrainedWeights::read(folder) {
        Ok(weights) => Some(weights),
        Err(Error::Weights { .. } | Error::Unsupported { .. } | Error::Json { .. }) => None,
        Err(other) => panic!("{other:?}"),
    }
}

/// Mutates files of three kinds in turn. Returns the number of files that were read.
fn mutations(count: u64) -> u64 {
    let plain = tensors();
    let right = bits(&plain);
    let (views, storages) = parts(&plain);
    let pickle = Pickle::state_dict(&views);
    let archive = zip(&members(&pickle, &storages));
    let archives = folder(&[]);
    let sharded = folder(&[]);
    write_shards(sharded.path(), &plain, 2, "model", "safetensors");
    let names = ["model.safetensors.index.json", "model-00001-of-00002.safetensors"];
    let whole = names.map(|name| std::fs::read(sharded.path().join(name)).expect("a file"));
    let (mut read_files, rng) = (0, &mut rng(20));
    for number in 0..count {
        match number % 3 {
            // A whole archive is damaged, so that checksums no longer match.
            0 => {
                let mut bytes = archive.clone();
                // Most of the damage is at the beginning and end, where the archive describes its files.
                if rng.random() {
                    let tail = bytes.split_off(bytes.len() - 3000);
                    let mut changed = tail;
                    mutate(&mut changed, rng);
                    bytes.extend(changed);
                } else {
                    mutate(&mut bytes, rng);
                }
                std::fs::write(archives.path().join("pytorch_model.bin"), &bytes).expect("a file");
                if let Some(weights) = read(archives.path()) {
                    assert!(bits(&weights.tensors) == right, "mutation {number} gave other weights");
                    read_files += 1;
                }
            }
            // Only the pickle is damaged; the archive has matching checksums.
            1 => {
                let mut bytes = pickle.clone();
                mutate(&mut bytes, rng);
                let archive = zip(&members(&bytes, &storages));
                std::fs::write(archives.path().join("pytorch_model.bin"), archive).expect("a file");
                if let Some(weights) = read(archives.path()) {
                    assert!(weights.tensors.keys().eq(plain.keys()), "mutation {number}");
                    read_files += 1;
                }
            }
            _ => {
                let file = rng.random_range(0..2);
                let mut bytes = whole[file].clone();
                mutate(&mut bytes, rng);
                std::fs::write(sharded.path().join(names[file]), bytes).expect("a file");
                read_files += u64::from(read(sharded.path()).is_some());
                std::fs::write(sharded.path().join(names[file]), &whole[file]).expect("a file");
            }
        }
    }
    read_files
}

#[test]
fn a_thousand_changed_files_are_refused_or_right() {
    assert!(mutations(1_000) < 500);
}

/// Runs a hundred thousand mutations, or the number in the variable `DHT_MUTATIONS`.
#[test]
#[ignore = "takes minutes"]
fn many_changed_files_are_refused_or_right() {
    let count = std::env::var("DHT_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000);
    println!("{} of {count} changed files were read", mutations(count));
}
