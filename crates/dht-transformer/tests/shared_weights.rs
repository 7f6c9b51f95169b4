//! Two handles of the same weights: one thread trains, another predicts.

use std::error::Error;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::Device;
use dht_transformer::{
    BertConfig, EncodedDataset, Encoder, Encoding, ForwardContext, Pooling, Sample, TextClassifier, TrainSettings,
    Trainer,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Outcome = Result<(), Box<dyn Error>>;

/// Set in the process that may hang.
const CHILD: &str = "DHT_TEST_SHARED_WEIGHTS";
const TRIALS: u64 = 60;
/// A trial takes some tens of milliseconds.
const LONGEST: Duration = Duration::from_secs(120);

fn texts(count: u64, rng: &mut ChaCha8Rng) -> EncodedDataset {
    let samples = (0..count).map(|id| {
        let ids: Vec<u32> = (0..rng.random_range(2..9)).map(|_| rng.random_range(0..30)).collect();
        let (type_ids, label) = (vec![0; ids.len()], ids[0] % 2);
        let encoding = Encoding { ids, type_ids, truncated: false, rest: Default::default() };
        Sample { id, label, targets: Vec::new(), encoding }
    });
    EncodedDataset { samples: samples.collect(), labels: ["even", "odd"].map(String::from).into(), truncated_rows: 0 }
}

/// Trains one handle while another predicts; then both give the same numbers.
fn trial(seed: u64) -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (training, test) = (texts(100, &mut rng), texts(20, &mut rng));
    let encoder = Encoder::random(&BertConfig::small(2, 2, 32, 30)?, &Device::Cpu, &mut rng)?;
    let mut trained = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
    let reader = trained.clone();
    let batch = test.batch(&(0..20).collect::<Vec<_>>())?;
    let (ctx, done) = (ForwardContext::inference(), AtomicBool::new(false));
    std::thread::scope(|scope| -> Outcome {
        let predicting = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                reader.logits(&batch, &ctx)?;
            }
            Ok::<_, dht_transformer::Error>(())
        });
        let settings = TrainSettings { epochs: 1, batch_size: 8, seed, ..TrainSettings::default() };
        let empty = EncodedDataset { samples: Vec::new(), ..training.clone() };
        let fitted = Trainer::new(settings).fit(&mut trained, &training, &empty, &mut ());
        done.store(true, Ordering::Relaxed);
        predicting.join().map_err(|_| "the predicting thread panicked")??;
        fitted.map(|_| ()).map_err(Into::into)
    })?;
    let numbers = |model: &TextClassifier, ctx: &ForwardContext| -> dht_transformer::Result<Vec<Vec<f32>>> {
        Ok(model.logits(&batch, ctx)?.to_vec2()?)
    };
    let expected = numbers(&trained, &ForwardContext::inference())?;
    // A context that was kept through the training has the weights of its end, too.
    assert_eq!(numbers(&reader, &ctx)?, expected);
    Ok(())
}

#[test]
fn one_handle_predicts_while_another_trains() -> Outcome {
    if std::env::var_os(CHILD).is_some() {
        return (0..TRIALS).try_for_each(trial);
    }
    // A hanging process can be ended, a hanging thread cannot.
    let arguments = ["one_handle_predicts_while_another_trains", "--exact"];
    let mut child =
        Command::new(std::env::current_exe()?).args(arguments).env(CHILD, "1").stdout(Stdio::null()).spawn()?;
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            assert!(status.success(), "{status}");
            return Ok(());
        }
        if start.elapsed() > LONGEST {
            child.kill()?;
            child.wait()?;
            panic!("training and predicting waited for each other for {LONGEST:?}");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
