use dht_bandits::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
pub fn run() {
    let d: usize = 16; let k: usize = std::env::args().nth(2).map_or(10, |s| s.parse().unwrap());
    let mut p = LinUcb::new(d, k, RidgeOptions::default(), Ucb { alpha: 1.0 }).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    use rand_distr::{Distribution, StandardNormal};
    let ctx: Vec<Vec<f64>> = (0..128).map(|_| (0..d).map(|_| { let z: f64 = StandardNormal.sample(&mut rng); z }).collect()).collect();
    for i in 0..3*k { p.update(ArmId::new((i%k) as u64), &ctx[i%128], (i%2) as f64, 1.0).unwrap(); }
    let t = std::time::Instant::now();
    let n = 3_000_000;
    for i in 0..n { std::hint::black_box(p.select(&ctx[i % 128], Available::All, &mut rng).unwrap()); }
    println!("{k} arms: {:.1} ns", t.elapsed().as_secs_f64()*1e9/n as f64);
}
