//! Uses the encoder in a program on `candle_nn`: variables are in a `VarMap`, the head is a `candle_nn::linear`, and
//! candle's own optimiser runs in a custom loop. Only the line that computes the gradients is specific to this crate.
//!
//! ```sh
//! cargo run --release --example in_a_candle_program
//! ```

use candle_core::{DType, Device, Tensor};
use candle_nn::{Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, loss, ops};
use dht_transformer::{
    BertConfig, Encoder, Encoding, ForwardContext, HeadPlan, Hidden, PackedBatch, Sample, TextTokenizer,
};

/// Reviews with their classes; 1 if the guest would come again.
const REVIEWS: [(&str, u32); 12] = [
    ("the soup was warm and good", 1),
    ("a good and friendly place", 1),
    ("warm bread, good wine", 1),
    ("we loved the friendly waiter", 1),
    ("good fish and a warm room", 1),
    ("we loved the wine", 1),
    ("the soup was cold and bad", 0),
    ("a bad and noisy place", 0),
    ("cold bread, bad wine", 0),
    ("we hated the rude waiter", 0),
    ("bad fish and a cold room", 0),
    ("we hated the noise", 0),
];
const UNSEEN: [(&str, u32); 4] = [
    ("good bread and a friendly room", 1),
    ("we loved the soup", 1),
    ("a bad waiter, cold fish", 0),
    ("we hated the room", 0),
];

fn states(encoder: &Encoder, batch: &PackedBatch, ctx: &ForwardContext) -> dht_transformer::Result<Hidden> {
    encoder.run(0..encoder.layers(), &encoder.embed(batch, ctx)?, &HeadPlan::Full, ctx)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::Cpu;
    let tokenizer = TextTokenizer::train(REVIEWS.iter().map(|(text, _)| *text), 120)?;
    let pack = |reviews: &[(&str, u32)]| {
        let samples = reviews.iter().zip(0..).map(|(&(text, label), id)| {
            let encoding: Encoding = tokenizer.encode(text, None, 16)?;
            Ok(Sample { id, label, targets: Vec::new(), encoding })
        });
        PackedBatch::from_samples(&samples.collect::<dht_transformer::Result<Vec<_>>>()?)
    };

    let vars = VarMap::new();
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &device);
    let config = BertConfig::small(2, 2, 32, tokenizer.vocabulary_size())?;
    let encoder = Encoder::from_var_builder(&config, vb.pp("bert"))?;
    let head = candle_nn::linear(config.hidden_size, 2, vb.pp("head"))?;
    let settings = ParamsAdamW { lr: 3e-3, ..ParamsAdamW::default() };
    let mut optimizer = candle_nn::AdamW::new(vars.all_vars(), settings)?;

    let (batch, mut losses) = (pack(&REVIEWS)?, Vec::new());
    let labels = Tensor::from_slice(&batch.labels, batch.len(), &device)?;
    for step in 0..60 {
        let ctx = ForwardContext::training(encoder.parameters(), 7, step);
        let logits = head.forward(&states(&encoder, &batch, &ctx)?.mean_rows()?)?;
        let loss = loss::cross_entropy(&logits, &labels)?;
        // Replaces `loss.backward()`, which would lose the gradients of the encoder's weights and returns an error.
        optimizer.step(&ctx.grad_store(&loss, encoder.parameters())?)?;
        losses.push(loss.to_scalar::<f32>()?);
        if step % 10 == 0 {
            println!("step {step:2}: loss {:.3}", losses[losses.len() - 1]);
        }
    }

    let batch = pack(&UNSEEN)?;
    let logits = head.forward(&states(&encoder, &batch, &ForwardContext::inference())?.mean_rows()?)?;
    let good = ops::softmax(&logits, 1)?.to_vec2::<f32>()?;
    for ((text, _), good) in UNSEEN.iter().zip(&good) {
        println!("{:.2}  {text}", good[1]);
    }
    let right = good.iter().zip(&UNSEEN).filter(|(good, (_, label))| (good[1] > 0.5) == (*label == 1)).count();
    assert!(losses[losses.len() - 1] < 0.1 * losses[0], "it does not learn: {losses:?}");
    assert!(right >= 3, "{right} of {} unseen reviews", UNSEEN.len());
    Ok(())
}
