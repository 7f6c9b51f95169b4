//! Two handles on the same weights: one thread trains while another predicts.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dht_toys::{Outcome, classifier, config, parities, rng, whole_batch};
use dht_transformer::{ForwardContext, Pooling, TextClassifier, TrainSettings, Trainer};

/// Environment variable that is set in the child process, which may hang.
const CHILD: &str = "DHT_TEST_SHARED_WEIGHTS";
const TRIALS: u64 = 60;
/// Time limit of the child process; a trial takes some tens of milliseconds.
const LONGEST: Duration = Duration::from_secs(120);

/// Trains one handle while another predicts. Afterwards, both must give the same numbers.
fn trial(seed: u64) -> Outcome {
    let rng = &mut rng(seed);
    let (training, test) = (parities(100, rng), parities(20, rng));
    let mut trained = classifier(&config([2, 2, 32, 30], None), 2, Pooling::Mean, rng);
    let reader = trained.clone();
    let batch = whole_batch(&test);
    let (ctx, done) = (ForwardContext::inference(), AtomicBool::new(false));
    std::thread::scope(|scope| -> Outcome {
        let predicting = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                reader.logits(&batch, &ctx)?;
            }
            Ok::<_, dht_transformer::Error>(())
        });
        let settings = TrainSettings { epochs: 1, batch_size: 8, seed, ..TrainSettings::default() };
        let fitted = Trainer::new(settings).fit(&mut trained, &training, None, &mut ());
        done.store(true, Ordering::Relaxed);
        predicting.join().map_err(|_| "the predicting thread panicked")??;
        fitted.map(|_| ()).map_err(Into::into)
    })?;
    let numbers = |model: &TextClassifier, ctx: &ForwardContext| -> dht_transformer::Result<Vec<Vec<f32>>> {
        Ok(model.logits(&batch, ctx)?.to_vec2()?)
    };
    let expected = numbers(&trained, &ForwardContext::inference())?;
    // A context that existed before the training run also has the final weights.
    assert_eq!(numbers(&reader, &ctx)?, expected);
    Ok(())
}

#[test]
fn one_handle_predicts_while_another_trains() -> Outcome {
    if std::env::var_os(CHILD).is_some() {
        return (0..TRIALS).try_for_each(trial);
    }
    // The trial runs in a separate process, since a hanging thread cannot be ended.
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
