//! Benchmark of this crate for `scripts/compare-serving`: reads one JSON request per line, and writes one JSON answer
//! per line.
//!
//! | request | effect |
//! |---|---|
//! | `{"work": "full", "model": DIR}` | loads a Hugging Face directory of a classifier; with `"precision": "int8"` in eight-bit integers |
//! | `{"work": "dynamic", "model": DIR, "speed": X}` | loads a model of `dht`; also with `"precision": "int8"` |
//! | `{"work": "texts", "file": F, "batch": N}` | answers the texts of a JSON file in one call |
//! | `{"work": "single", "file": F}` | answers the texts of a JSON file one by one |
//!
//! Without requests the program ends at once: `cargo bench` has nothing to measure here.

use std::io::{BufRead, Write};
use std::time::Instant;

use dht_dynamic::transformer::{Precision, TextClassifier, TextTokenizer};
use dht_dynamic::{Engine, serving::TextModel};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Maximum length in tokens, which is the same for all compared programs.
const MAX_LENGTH: usize = 64;

fn main() -> Result<(), Failure> {
    let mut engine = None;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let word = |name: &str| request[name].as_str().map(String::from).ok_or(format!("no {name}"));
        let precision: Precision = request["precision"].as_str().map_or(Ok(Precision::F32), str::parse)?;
        let answer = match &*word("work")? {
            "full" => {
                let folder = word("model")?;
                let tokenizer = TextTokenizer::from_dir(&folder)?;
                let model = TextClassifier::load(&folder, &candle_core::Device::Cpu)?;
                let labels = model.encoder().config().labels().unwrap_or_default();
                let model = TextModel::new(model, tokenizer, &labels, MAX_LENGTH)?;
                engine = Some(Engine::from_model(model).with_precision(precision));
                json!({})
            }
            "dynamic" => {
                let loaded = Engine::load(word("model")?)?.with_precision(precision);
                engine = Some(match request["speed"].as_f64() {
                    Some(speed) => loaded.with_speed(speed)?,
                    None => loaded,
                });
                json!({})
            }
            work => {
                let texts: Vec<String> = serde_json::from_reader(std::fs::File::open(word("file")?)?)?;
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let engine = engine.clone().ok_or("no model")?;
                let batch = request["batch"].as_u64().unwrap_or(64) as usize;
                answer(&engine.with_batch_size(batch)?, &texts, work == "single")?
            }
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

fn answer(engine: &Engine, texts: &[&str], single: bool) -> Result<Value, Failure> {
    let (start, mut labels, mut seconds) = (Instant::now(), Vec::new(), Vec::new());
    for part in texts.chunks(if single { 1 } else { texts.len().max(1) }) {
        let one = Instant::now();
        labels.extend(engine.predict(part)?.into_iter().map(|answer| answer.label.to_string()));
        seconds.push(one.elapsed().as_secs_f64());
    }
    Ok(json!({ "seconds": start.elapsed().as_secs_f64(), "labels": labels, "each": seconds }))
}
