//! probe
use dht_transformer::*;
use rand::SeedableRng;
use std::time::Instant;
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;
fn main() {
    let a: Vec<usize> = std::env::args().skip(1).map(|x| x.parse().unwrap()).collect();
    let (l, h, d, b, t) = (a[0], a[1], a[2], a[3], a[4]);
    let mut config = BertConfig::small(l, h, d, 1000).unwrap();
    if a.len() > 5 {
        config.hidden_dropout_prob = 0.0;
        config.attention_probs_dropout_prob = 0.0;
    }
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    let mut e = Encoder::random(&config, &candle_core::Device::Cpu, &mut rng).unwrap();
    let c = e.add_classifier("c", 4, Pooling::Mean, &mut rng).unwrap();
    let batch = PackedBatch {
        ids: (0..(b * t) as u32).map(|i| i * 7 % 1000).collect(),
        type_ids: vec![0; b * t],
        spans: Spans::from_lengths(vec![t; b]).unwrap(),
        labels: (0..b as u32).map(|i| i % 4).collect(),
        sample_ids: (0..b as u64).collect(),
    };
    for _ in 0..6 {
        let t0 = Instant::now();
        let p = Pass::inference();
        let x = e.run(0..l, e.embed(&batch, &p).unwrap(), &HeadPlan::Full, &p).unwrap();
        let t1 = t0.elapsed();
        std::hint::black_box(x);
        let t0 = Instant::now();
        let p = Pass::training(e.parameters(), 1, 2);
        let x = e.run(0..l, e.embed(&batch, &p).unwrap(), &HeadPlan::Full, &p).unwrap();
        let loss = cross_entropy(&c.forward(&x, &p).unwrap(), &batch.labels).unwrap().mean_all().unwrap();
        let t2 = t0.elapsed();
        let g = p.backward(&loss, e.parameters()).unwrap();
        println!("inference {t1:?} train fwd {t2:?} fwd+bwd {:?}", t0.elapsed());
        std::hint::black_box(g);
    }
}
