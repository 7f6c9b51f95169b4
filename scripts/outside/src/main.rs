//! Process CPU time of what the crates spend their time on, one line for each: name and seconds.

use candle_core::Device;
use cpu_time::ProcessTime;
use dht_bandits::{LinUcb, Policy, Request, Ridge, Ucb};
use dht_transformer::{
    AdamWSettings, BertConfig, EncodedDataset, Encoder, Encoding, ForwardContext, Pooling, Precision, Sample,
    TextClassifier, TrainSettings, Trainer,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const WORDS: u32 = 2_000;

fn texts(count: u64, tokens: usize) -> EncodedDataset {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let sample = |id| {
        let ids = (0..tokens).map(|_| rng.random_range(0..WORDS)).collect();
        let encoding = Encoding { ids, type_ids: Vec::new(), truncated: false, rest: Default::default() };
        Sample { id, label: id as u32 % 2, targets: Vec::new(), encoding }
    };
    let labels = ["a", "b"].map(String::from).to_vec();
    EncodedDataset { samples: (0..count).map(sample).collect(), labels, truncated_rows: 0 }
}

fn timed(name: &str, repetitions: usize, mut run: impl FnMut() -> Outcome) -> Outcome {
    // The first run takes memory from the system.
    run()?;
    let start = ProcessTime::now();
    for _ in 0..repetitions {
        run()?;
    }
    println!("{name} {:.6}", start.elapsed().as_secs_f64());
    Ok(())
}

fn main() -> Outcome {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let config = BertConfig::small(6, 12, 384, WORDS as usize)?;
    let encoder = Encoder::random(&config, &Device::Cpu, &mut rng)?;
    let mut model = TextClassifier::new(encoder, 2, Pooling::Mean, &mut rng)?;
    let (many, one) = (texts(16, 64), texts(1, 24));
    let all: Vec<usize> = (0..16).collect();
    for (name, ctx) in [
        ("predict 16 texts", ForwardContext::inference()),
        ("predict 16 texts in int8", ForwardContext::inference_in(Precision::Int8)),
    ] {
        let batch = many.batch(&all)?;
        timed(name, 4, || Ok(model.logits(&batch, &ctx).map(drop)?))?;
    }
    let (batch, ctx) = (one.batch(&[0])?, ForwardContext::inference());
    timed("predict one text", 40, || Ok(model.logits(&batch, &ctx).map(drop)?))?;
    let none = EncodedDataset { samples: Vec::new(), ..many.clone() };
    let optimizer = AdamWSettings { learning_rate: 1e-5, ..AdamWSettings::default() };
    let settings = TrainSettings { epochs: 1, batch_size: 16, optimizer, ..TrainSettings::default() };
    timed("training step of 16 texts", 2, || {
        Ok(Trainer::new(settings.clone()).fit(&mut model, &many, &none, &mut ()).map(drop)?)
    })?;

    let (dimension, arms) = (64, 10);
    let mut policy = LinUcb::new(dimension, arms, Ridge::default(), Ucb { alpha: 0.5 })?;
    let contexts: Vec<Vec<f64>> =
        (0..200).map(|_| (0..dimension).map(|_| rng.random_range(-1.0..1.0)).collect()).collect();
    timed("bandit, 200 decisions and rewards", 20, || {
        for context in &contexts {
            let decision = policy.decide(&Request::new(context), &mut rng)?;
            policy.learn(&decision, context[0])?;
        }
        Ok(())
    })
}
