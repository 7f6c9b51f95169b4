//! Damaged state files: refused, or a policy that works; never a panic, never more memory than the file can justify.
//!
//! A few thousand of them at each run; `DHT_FUZZ_CASES=1000000 cargo test -p dht-bandits --release --test fuzz` for more.
#![expect(clippy::unwrap_used, reason = "a test that panics is a test that fails")]

use dht_bandits::{
    ArmId, Available, Candidates, Decision, Delta, DiagonalLaplaceOptions, DiagonalLogisticTs, Disjoint, Epsilon,
    EpsilonGreedy, Feedback, Fixed, FullLaplaceOptions, Header, HybridLinUcb, HybridOptions, Index, LinTs, LinUcb,
    LogisticTs, NormOptions, Policy, Posterior, PyramidPool, RidgeOptions, RunningNorm, SharedLinUcb, Slate, Thompson,
    TopK, TopKThompson, Ucb, Uniform,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::LazyLock;

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// All that reading a damaged file of a few kilobytes and trying out what it holds may allocate, one after the other.
const BYTES: usize = 4 << 20;

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

fn context(dimension: usize) -> Vec<f64> {
    (0..dimension).map(|place| (place as f64 + 1.0).sin()).collect()
}

fn taught<P: Posterior, I: Index>(mut policy: Disjoint<P, I>) -> Disjoint<P, I> {
    let context = context(policy.dimension());
    for round in 0..6 {
        policy.update(ArmId::new(round % 3), &context, (round % 2) as f64, 1.0).unwrap();
    }
    policy.remove_arm(ArmId::new(1)).unwrap();
    policy.add_arm().unwrap();
    policy
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

/// Each kind of thing that is saved, in full health.
fn corpus() -> Vec<String> {
    let kept = RidgeOptions { lambda: 0.5, discount: 1.0, keep_information: true };
    let fading = RidgeOptions { discount: 0.9, ..RidgeOptions::default() };
    let diagonal = DiagonalLaplaceOptions::default();
    let (ucb, thompson) = (Ucb { alpha: 0.5 }, Thompson { alpha: 0.5 });
    let lin_ucb = taught(LinUcb::new(3, 3, kept, ucb).unwrap());
    let decision = lin_ucb.decide(&context(3), Available::All, &mut rng()).unwrap();
    let delta = lin_ucb.diff(&LinUcb::new(3, 3, kept, ucb).unwrap()).unwrap();
    let per_arm = TopKThompson::per_arm(2, 4, diagonal, thompson).unwrap();
    let per_arm = per_arm.with_pinned(&[ArmId::new(2)]).unwrap();
    let mut hybrid = HybridLinUcb::new(2, 3, 2, HybridOptions::default(), ucb).unwrap();
    hybrid.update(ArmId::new(1), &context(2), &context(3), 1.0, 1.0).unwrap();
    let mut shared = SharedLinUcb::shared(2, RidgeOptions::default(), ucb).unwrap();
    let slate = shared.select(2, Candidates::new(&[5, 6].map(ArmId::new), &context(4)), &mut rng()).unwrap();
    shared.learn(&slate, &[Feedback::from(true), Feedback::Unobserved]).unwrap();
    let mut norm = RunningNorm::new(2, NormOptions { clip: Some(4.0), ..NormOptions::default() }).unwrap();
    norm.observe(&context(2)).unwrap();
    vec![
        text(&lin_ucb),
        text(&taught(LinTs::new(10, 3, fading, thompson).unwrap())),
        text(&taught(EpsilonGreedy::new(2, 3, RidgeOptions::default(), Epsilon { epsilon: 0.1 }).unwrap())),
        text(&taught(LogisticTs::new(3, 3, FullLaplaceOptions::default(), thompson).unwrap())),
        text(&taught(DiagonalLogisticTs::new(3, 3, diagonal, thompson).unwrap())),
        text(&per_arm),
        text(&shared),
        text(&hybrid),
        text(&norm),
        text(&PyramidPool::grid(0..=1, 1..=2).unwrap()),
        text(&Uniform::new(2, 3).unwrap()),
        text(&Fixed::new(2, 3, ArmId::new(1)).unwrap()),
        text(&delta),
        text(&decision),
        text(&slate),
        text(&lin_ucb.state().header),
    ]
}

/// What a file can hold in a place where a number or a word belongs.
const WILD: [&str; 16] = [
    "0",
    "-1",
    "1e308",
    "-1e308",
    "1e-308",
    "1e999",
    "NaN",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "99999999",
    "9223372036854775808",
    "18446744073709551615",
    "1e18",
];

#[derive(Debug, Clone, Copy)]
enum Edit {
    Byte(usize, u8),
    Cut(usize),
    Drop(usize, usize),
    Repeat(usize, usize),
    Wild(usize, usize),
    Splice(usize, usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let place = any::<usize>;
    prop_oneof![
        (place(), any::<u8>()).prop_map(|(place, byte)| Edit::Byte(place, byte)),
        place().prop_map(Edit::Cut),
        (place(), 1usize..40).prop_map(|(place, length)| Edit::Drop(place, length)),
        (place(), 1usize..40).prop_map(|(place, length)| Edit::Repeat(place, length)),
        (place(), 0..WILD.len()).prop_map(|(place, word)| Edit::Wild(place, word)),
        (place(), place(), place()).prop_map(|(place, other, from)| Edit::Splice(place, other, from)),
    ]
}

fn damage(text: &mut Vec<u8>, edit: Edit, corpus: &[String]) {
    let length = text.len().max(1);
    let span = |place: usize, size: usize| place % length..(place % length + size).min(length);
    if text.is_empty() {
        return;
    }
    match edit {
        Edit::Byte(place, byte) => text[place % length] = byte,
        // Whole files, cut rarely: what is left of one seldom reads.
        Edit::Cut(place) => text.truncate(place % (8 * length)),
        Edit::Drop(place, size) => drop(text.drain(span(place, size))),
        Edit::Repeat(place, size) => {
            let piece = text[span(place, size)].to_vec();
            text.splice(place % length..place % length, piece);
        }
        Edit::Wild(place, word) => {
            // A whole number gives way, where one is near.
            let number = |byte: &u8| byte.is_ascii_digit() || b".-+e".contains(byte);
            let start = place % length + text[place % length..].iter().position(u8::is_ascii_digit).unwrap_or(0);
            let end = start + text[start..].iter().position(|byte| !number(byte)).unwrap_or(0);
            text.splice(start..end, WILD[word].bytes());
        }
        Edit::Splice(place, other, from) => {
            let other = corpus[other % corpus.len()].as_bytes();
            let from = from % other.len();
            text.splice(span(place, 20), other[from..(from + 20).min(other.len())].iter().copied());
        }
    }
}

/// Whether what was read survives being used and saved again.
fn works(text: &[u8]) -> bool {
    single::<LinUcb>(text)
        && single::<LinTs>(text)
        && single::<EpsilonGreedy>(text)
        && single::<LogisticTs>(text)
        && single::<DiagonalLogisticTs>(text)
        && single::<Uniform>(text)
        && single::<Fixed>(text)
        && slates::<TopKThompson>(text)
        && slates::<SharedLinUcb>(text)
        && hybrid(text)
        && contexts(text)
        && parts(text)
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}

fn again<T: Serialize + DeserializeOwned>(value: &T) -> bool {
    serde_json::from_str::<T>(&text(value)).is_ok_and(|same| text(&same) == text(value))
}

fn single<T: Policy + Serialize + DeserializeOwned>(text: &[u8]) -> bool {
    let Some(mut policy) = read::<T>(text) else { return true };
    let context = context(policy.dimension().min(1 << 12));
    if let Ok(choice) = policy.select(&context, Available::All, &mut rng()) {
        let _ = policy.update(choice.arm, &context, 1.0, 1.0);
        if !(choice.mean.is_finite() && choice.width >= 0.0) {
            return false;
        }
    }
    again(&policy)
}

trait Slates: Serialize + DeserializeOwned {
    fn try_out(&mut self);
}

impl<P: Posterior, I: Index> Slates for TopK<P, I> {
    fn try_out(&mut self) {
        let arms: Vec<_> = self.arms().iter().chain([ArmId::new(99)]).take(3).collect();
        let context = context(self.dimension().min(1 << 12));
        if let Ok(slate) = self.select(1, Candidates::in_context(&arms, &context), &mut rng()) {
            let _ = self.learn(&slate, &[Feedback::from(true)]);
        }
    }
}

fn slates<T: Slates>(text: &[u8]) -> bool {
    let Some(mut policy) = read::<T>(text) else { return true };
    policy.try_out();
    again(&policy)
}

fn hybrid(text: &[u8]) -> bool {
    let Some(mut policy) = read::<HybridLinUcb>(text) else { return true };
    let arms: Vec<_> = policy.arms().iter().take(2).collect();
    let (x, z) = (context(policy.dimension()), context(policy.shared_dimension()));
    if let Ok(decision) = policy.decide(&x, Candidates::in_context(&arms, &z), &mut rng()) {
        let _ = policy.learn(&decision, 1.0);
    }
    again(&policy)
}

fn contexts(text: &[u8]) -> bool {
    if let Some(mut norm) = read::<RunningNorm>(text) {
        let mut context = context(norm.dimension());
        let _ = norm.observe(&context);
        if norm.normalise_in_place(&mut context).is_ok() && !context.iter().all(|value| value.is_finite()) {
            return false;
        }
        if !again(&norm) {
            return false;
        }
    }
    if let Some(pool) = read::<PyramidPool>(text) {
        let _ = pool.dimension();
    }
    true
}

/// Things that policies take: handed to a healthy one, they are refused or learned.
fn parts(text: &[u8]) -> bool {
    let mut policy = taught(LinUcb::new(3, 3, RidgeOptions::default(), Ucb { alpha: 0.5 }).unwrap());
    if let Some(delta) = read::<Delta>(text) {
        let _ = policy.clone().apply(&delta);
        let mut more = delta.clone();
        let _ = more.combine(&delta);
        let _ = policy.apply(&more);
    }
    if let Some(decision) = read::<Decision>(text) {
        let _ = policy.learn(&decision, 1.0);
    }
    if let Some(slate) = read::<Slate>(text) {
        let mut policy = SharedLinUcb::shared(2, RidgeOptions::default(), Ucb { alpha: 0.5 }).unwrap();
        let feedback = vec![Feedback::from(true); slate.choices().len()];
        let _ = policy.learn(&slate, &feedback);
    }
    let _ = read::<Header>(text);
    again(&policy)
}

fn cases() -> u32 {
    std::env::var("DHT_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(5000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// One test, because the count of bytes is the process's.
    #[test]
    fn a_damaged_state_is_refused_or_works(which in any::<usize>(), edits in prop::collection::vec(edit(), 0..5)) {
        static CORPUS: LazyLock<Vec<String>> = LazyLock::new(corpus);
        let corpus = &*CORPUS;
        let mut text = corpus[which % corpus.len()].clone().into_bytes();
        for edit in edits {
            damage(&mut text, edit, corpus);
        }
        let region = Region::new(COUNTED);
        prop_assert!(works(&text), "{}", String::from_utf8_lossy(&text));
        let bytes = region.change().bytes_allocated;
        prop_assert!(bytes < BYTES, "{bytes} bytes for {}", String::from_utf8_lossy(&text));
    }
}
