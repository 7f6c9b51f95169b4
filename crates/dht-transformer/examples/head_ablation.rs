//! Measures which heads a classifier needs: each head is removed, and each is left alone in its layer.
//!
//! ```text
//! cargo run --release -p dht-transformer --example head_ablation [-- MODEL DATA PICTURE.svg]
//! ```
//!
//! The example runs the two ablations of Michel, Levy and Neubig 2019 (sections 3.2 and 3.3): accuracy without one
//! head, and accuracy with only one head in a layer. It also shows each head's importance by gradient.
//!
//! MODEL is a classifier's directory with a tokenizer, and DATA a file of labelled texts. Without them, a small model
//! is trained on generated sentences first. The picture has a row for each layer and a column for each head. Its left
//! half shows the loss without the head, its right half the loss with the head alone.

use std::io::Write;

use candle_core::{D, Device};
use dht_transformer::{
    AdamWSettings, BertConfig, Dataset, DatasetReader, EncodedDataset, Encoder, Example, Pooling, Result,
    TextClassifier, TextTokenizer, TrainSettings, Trainer,
    pruning::{HeadAblation, Importance},
    storage::write_atomically,
    train::metrics::Confusion,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Trains a model to detect whether the first word is repeated, and returns it with unseen texts.
fn made_up() -> Result<(TextClassifier, EncodedDataset)> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let examples = (0..3000).map(|_| {
        let words: Vec<u32> = (0..8).map(|_| rng.random_range(0..11)).collect();
        let label = usize::from(words[1..].contains(&words[0]));
        let text: String = words.iter().map(|word| format!("w{word} ")).collect();
        Example::new(text, label)
    });
    let data = Dataset::from_examples("repeats", vec!["new".into(), "again".into()], examples.collect())?;
    let tokenizer = TextTokenizer::from_vocabulary(&(0..11).map(|word| format!("w{word}")).collect::<Vec<_>>())?;
    let (training, test) = data.split_validation(0.2, &mut rng)?;
    let (training, test) = (tokenizer.encode_all(&training, 16)?, tokenizer.encode_all(&test, 16)?);
    let encoder = Encoder::random(&BertConfig::small(2, 6, 48, 16)?, &Device::Cpu, &mut rng)?;
    let mut model = TextClassifier::new(encoder, 2, Pooling::Cls, &mut rng)?;
    let optimizer = AdamWSettings { learning_rate: 2e-3, ..AdamWSettings::default() };
    let trainer = Trainer::new(TrainSettings { epochs: 20, optimizer, ..TrainSettings::default() });
    trainer.fit(&mut model, &training, &test, &mut ())?;
    Ok((model, test))
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (model, data) = match &*arguments {
        [model, data, ..] => {
            let (classifier, tokenizer) = (TextClassifier::load(model, &Device::Cpu)?, TextTokenizer::from_dir(model)?);
            let labels = classifier.encoder().config().labels().unwrap_or_default();
            let data = DatasetReader::new().with_labels(labels).read(data)?.take(1000);
            (classifier, tokenizer.encode_all(&data, 128)?)
        }
        _ => made_up()?,
    };
    let rows: Vec<usize> = (0..data.len().min(200)).collect();
    let importance = Importance::by_gradient(model.encoder(), &data, &rows, |batch, ctx| model.loss(batch, ctx))?;
    let (whole, ablated) =
        HeadAblation::measure(model.encoder(), &data, &HeadAblation::all_heads(model.encoder()), 64, |hidden, ctx| {
            Ok(model.classifier().forward(hidden, ctx)?.argmax(D::Minus1)?.to_vec1()?)
        })?;
    let accuracy = |predicted: &[u32]| -> Result<f64> { Ok(Confusion::from_predictions(&data, predicted)?.accuracy()) };
    let (heads, layers) = (model.encoder().config().num_attention_heads, model.encoder().layers());
    // A closed pipe is not an error.
    let (whole, mut out) = (accuracy(&whole)?, std::io::stdout());
    let _ = writeln!(out, "accuracy with all heads {whole:.3}\nlayer head  without  alone  importance");
    let (mut squares, side) = (String::new(), 24);
    for HeadAblation { layer, head, without, alone } in ablated {
        // The only head of a layer cannot be removed.
        let (without, alone) = (without.map_or(Ok(whole), |without| accuracy(&without))?, accuracy(&alone)?);
        let _ = writeln!(out, "{layer:5} {head:4}  {without:7.3}  {alone:5.3}  {:.5}", importance.heads[layer][head]);
        for (column, lost) in [(head, whole - without), (heads + 1 + head, whole - alone)] {
            let (x, y, shade) = (side * column, side * layer, (lost.abs() / 0.2).min(1.0));
            let color = if lost > 0.0 { "crimson" } else { "steelblue" };
            let shape = format!("x='{x}' y='{y}' width='22' height='22' fill='{color}' fill-opacity='{shade:.2}'");
            squares += &format!("<rect {shape}/>\n");
        }
    }
    let size = format!("width='{}' height='{}'", side * (2 * heads + 1), side * layers);
    let target = arguments.get(2).map_or_else(|| std::env::temp_dir().join("head_ablation.svg"), Into::into);
    write_atomically(&target, |file| {
        writeln!(file, "<svg xmlns='http://www.w3.org/2000/svg' {size}>\n{squares}</svg>")
    })?;
    let _ = writeln!(out, "accuracy lost (red) or won (blue): {}", target.display());
    Ok(())
}
