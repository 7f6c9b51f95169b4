//! Importance of heads and neurons, and models after pruning: in memory, on disk, and loaded again.

use candle_core::{Device, Tensor};
use dht_toys::{Outcome, config, numbers, refused, rng, run, sample};
use dht_transformer::{
    BertConfig, EncodedDataset, Encoder, Error, ForwardContext, HeadPlan, HeadSet, Hidden, PackedBatch, Pooling,
    Result, TextClassifier,
    pretrained::PretrainedWeights,
    pruning::{HeadAblation, Importance, PrunePlan},
};
use rand::RngExt;

const HEADS: usize = 4;
const NEURONS: usize = 96;

fn model() -> TextClassifier {
    dht_toys::classifier(&config([3, HEADS, 24, 50], 0.3), 3, Pooling::Pooler, &mut rng(5))
}

fn data() -> EncodedDataset {
    let mut rng = rng(6);
    let text = |id| sample(id, id as u32 % 3, (0..3 + id).map(|_| rng.random_range(0..50)).collect::<Vec<_>>());
    dht_toys::data([""; 3], (0..6).map(text))
}

fn assert_close(what: &str, a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 2e-5 * (1.0 + a.abs()), "{what}: {a} and {b}");
    }
}

/// Encoder with one tensor multiplied column by column, which is equivalent to a gate on the inputs of the columns.
fn gated(model: &TextClassifier, name: &str, gate: impl Fn(usize) -> f32) -> Result<Encoder> {
    let mut tensors = model.encoder().to_tensors()?;
    let columns = tensors[name].dims()[1];
    let gates = Tensor::from_vec((0..columns).map(gate).collect::<Vec<_>>(), (1, columns), &Device::Cpu)?;
    tensors.insert(name.into(), tensors[name].broadcast_mul(&gates)?);
    Encoder::from_tensors(model.encoder().config(), &tensors, &Device::Cpu)
}

fn loss(encoder: &Encoder, model: &TextClassifier, batch: &PackedBatch) -> Result<f64> {
    let ctx = ForwardContext::inference();
    let logits = model.classifier().forward(&run(encoder, batch, &ctx)?, &ctx)?;
    Ok(f64::from(dht_transformer::tensors::cross_entropy(&logits, &batch.labels)?.mean_all()?.to_scalar::<f32>()?))
}

#[test]
fn gradient_importance_equals_the_slope_along_a_gate() -> Outcome {
    let (model, data) = (model(), data());
    let rows = [0, 3, 5];
    let importance = Importance::by_gradient(model.encoder(), &data, &rows, |batch, ctx| model.loss(batch, ctx))?;
    let step = 1e-2;
    let slope = |name: &str, inside: &dyn Fn(usize) -> bool| -> Result<f64> {
        let mut sum = 0.0;
        for row in rows {
            let batch = data.batch(&[row])?;
            let at = |gate: f32| -> Result<f64> {
                loss(&gated(&model, name, |column| if inside(column) { gate } else { 1.0 })?, &model, &batch)
            };
            sum += ((at(1.0 + step)? - at(1.0 - step)?) / (2.0 * f64::from(step))).abs() / rows.len() as f64;
        }
        Ok(sum)
    };
    let mut greatest: f64 = 0.0;
    for layer in 0..3 {
        for head in 0..HEADS {
            let name = format!("encoder.layer.{layer}.attention.output.dense.weight");
            let expected = slope(&name, &|column| column / 6 == head)?;
            let got = importance.heads[layer][head];
            assert!(
                (got - expected).abs() < 2e-4 + 0.02 * expected,
                "layer {layer} head {head}: {got}, slope {expected}"
            );
            greatest = greatest.max(got);
        }
        for neuron in [0, 17, 95] {
            let expected = slope(&format!("encoder.layer.{layer}.output.dense.weight"), &|column| column == neuron)?;
            let got = importance.neurons[layer][neuron];
            assert!((got - expected).abs() < 2e-4 + 0.02 * expected, "neuron {neuron}: {got}, slope {expected}");
        }
    }
    assert!(greatest > 0.05, "all slopes are next to nothing: {greatest}");
    Ok(())
}

#[test]
fn what_does_nothing_is_the_least_important_by_either_measure() -> Outcome {
    let model = model();
    let output = "encoder.layer.1.attention.output.dense.weight";
    let mut tensors = gated(&model, output, |column| if column / 6 == 2 { 0.0 } else { 1.0 })?.to_tensors()?;
    let down = "encoder.layer.2.output.dense.weight";
    let gates =
        Tensor::from_vec((0..NEURONS).map(|n| f32::from(n != 7)).collect::<Vec<_>>(), (1, NEURONS), &Device::Cpu)?;
    tensors.insert(down.into(), tensors[down].broadcast_mul(&gates)?);
    let encoder = Encoder::from_tensors(model.encoder().config(), &tensors, &Device::Cpu)?;
    let model = TextClassifier::new(encoder, 3, Pooling::Mean, &mut rng(5))?;
    let by_gradient = Importance::by_gradient(model.encoder(), &data(), &[0, 1], |batch, ctx| model.loss(batch, ctx))?;
    for importance in [by_gradient, Importance::by_magnitude(model.encoder())?] {
        assert_eq!((importance.heads[1][2], importance.neurons[2][7]), (0.0, 0.0));
        assert_eq!(importance.head_order(1).last(), Some(&2));
        assert_eq!(importance.neuron_order(2).last(), Some(&7));
        assert_eq!(importance.ordered_heads().last(), Some(&(1, 2)));
        assert_eq!(importance.ordered_heads().len(), 3 * HEADS);
    }
    Ok(())
}

#[test]
fn ties_keep_their_order_and_layers_are_scaled_to_compare() {
    let heads = vec![vec![3.0, 4.0, 4.0], vec![0.0, 0.03, 0.0]];
    let importance = Importance { heads, neurons: vec![vec![], vec![]] };
    assert_eq!(importance.head_order(0), [1, 2, 0]);
    assert_eq!(importance.ordered_heads()[..3], [(1, 1), (0, 1), (0, 2)]);
}

#[test]
fn importance_cannot_be_had_of_frozen_weights_or_no_texts() -> Outcome {
    let (model, data) = (model(), data());
    let none = Importance::by_gradient(model.encoder(), &data, &[], |batch, ctx| model.loss(batch, ctx));
    assert_eq!(refused(none), "rows");
    model.encoder().freeze_layer(1, true);
    let frozen = Importance::by_gradient(model.encoder(), &data, &[0], |batch, ctx| model.loss(batch, ctx));
    assert!(matches!(frozen, Err(Error::Parameter { name, .. }) if name.starts_with("encoder.layer.1.")));
    Ok(())
}

fn set(heads: &[usize]) -> HeadSet {
    dht_toys::head_set(heads, HEADS)
}

/// Pruning plan that keeps the layers 0 and 2, some of their heads, and neurons in different numbers and orders.
fn pruning_plan() -> PrunePlan {
    let scattered = (0..40).map(|i| i * 7 % NEURONS).collect();
    let heads = vec![set(&[1, 3]), set(&[0, 1, 2])];
    PrunePlan { layers: vec![0, 2], heads, neurons: vec![scattered, (50..80).collect()] }
}

/// Logits of the whole model without the pruned parts. Head plans skip heads, and zeros replace neurons.
fn left_out(model: &TextClassifier, plan: &PrunePlan, batch: &PackedBatch) -> Result<Vec<f32>> {
    let mut encoder = gated(model, "encoder.layer.0.output.dense.weight", |_| 1.0)?;
    for (layer, neurons) in plan.layers.iter().zip(&plan.neurons) {
        let name = format!("encoder.layer.{layer}.output.dense.weight");
        let mut tensors = encoder.to_tensors()?;
        let gates: Vec<f32> = (0..NEURONS).map(|neuron| f32::from(neurons.contains(&neuron))).collect();
        let gates = Tensor::from_vec(gates, (1, NEURONS), &Device::Cpu)?;
        tensors.insert(name.clone(), tensors[&name].broadcast_mul(&gates)?);
        encoder = Encoder::from_tensors(encoder.config(), &tensors, &Device::Cpu)?;
    }
    let ctx = ForwardContext::inference();
    let mut hidden: Hidden = encoder.embed(batch, &ctx)?;
    for (layer, heads) in plan.layers.iter().zip(&plan.heads) {
        hidden = encoder.layer(*layer, &hidden, &HeadPlan::Same(*heads), None, &ctx)?;
    }
    Ok(numbers(&model.classifier().forward(&hidden, &ctx)?))
}

#[test]
fn a_pruned_model_equals_the_masked_one_and_survives_a_save() -> Outcome {
    let (model, batch) = (model(), data().batch(&[0, 1, 2, 3, 4, 5])?);
    let logits =
        |model: &TextClassifier| -> Result<_> { Ok(numbers(&model.logits(&batch, &ForwardContext::inference())?)) };
    let cut = model.prune(&pruning_plan())?;
    let expected = left_out(&model, &pruning_plan(), &batch)?;
    assert_close("cut", &logits(&cut)?, &expected);
    assert!(logits(&model)?.iter().zip(&expected).any(|(a, b)| (a - b).abs() > 1e-2), "nothing was cut out");
    let config = cut.encoder().config();
    assert_eq!((config.num_hidden_layers, config.intermediate_size), (2, 40));
    assert_eq!([0, 1].map(|layer| cut.encoder().kept_heads(layer)), [set(&[1, 3]), set(&[0, 1, 2])]);

    let folder = tempfile::tempdir()?;
    let target = folder.path().join("cut");
    cut.save(&target, None, &["a".into(), "b".into(), "c".into()])?;
    let again = TextClassifier::load(&target, &Device::Cpu)?;
    assert_eq!(logits(&again)?, logits(&cut)?);
    assert_eq!(again.encoder().kept_heads(0), set(&[1, 3]));
    // `transformers` reads full shapes, with zeros in place of removed heads. Without this crate's two fields it is the
    // same model.
    let weights = PretrainedWeights::read(&target)?;
    let query: Vec<Vec<f32>> = weights.tensors["encoder.layer.0.attention.self.query.weight"].to_vec2()?;
    assert_eq!(query.len(), 24);
    assert!((0..24).all(|row| query[row].iter().all(|value| *value == 0.0) == [0, 2].contains(&(row / 6))));
    let mut plain = weights.config.clone();
    assert!(plain.other.remove("kept_heads").is_some() && plain.other.remove("kept_neurons").is_some());
    plain.save(target.join("config.json"))?;
    let plain = TextClassifier::load(&target, &Device::Cpu)?;
    assert_eq!(plain.encoder().kept_heads(0), HeadSet::full(HEADS)?);
    assert_close("without the fields", &logits(&plain)?, &expected);

    // Pruning again does not restore removed parts.
    let shorter = cut.encoder().truncated(1)?;
    assert_eq!((shorter.layers(), shorter.kept_heads(0)), (1, set(&[1, 3])));
    Ok(())
}

#[test]
fn a_uniform_cut_leaves_no_trace_of_ours_in_the_configuration() -> Outcome {
    let model = model();
    let importance = Importance::by_magnitude(model.encoder())?;
    let plan = PrunePlan::most_important(model.encoder(), &importance, HEADS, 32)?;
    let cut = model.prune(&plan)?;
    assert_eq!(cut.encoder().config().intermediate_size, 32);
    assert!(!cut.encoder().config().other.keys().any(|field| field.starts_with("kept")));
    let batch = data().batch(&[0, 1])?;
    assert_close(
        "cut",
        &numbers(&cut.logits(&batch, &ForwardContext::inference())?),
        &left_out(&model, &plan, &batch)?,
    );
    Ok(())
}

#[test]
fn a_cut_model_is_trained_on_and_what_was_cut_out_stays_zero() -> Outcome {
    let mut cut = model().prune(&pruning_plan())?;
    let settings = dht_transformer::TrainSettings { epochs: 2, batch_size: 2, ..Default::default() };
    dht_transformer::Trainer::new(settings).fit(&mut cut, &data(), &data(), &mut ())?;
    let tensors = cut.encoder().to_tensors()?;
    let output: Vec<Vec<f32>> = tensors["encoder.layer.0.attention.output.dense.weight"].to_vec2()?;
    assert!(output.iter().all(|row| row[..6].iter().chain(&row[12..18]).all(|value| *value == 0.0)));
    let down: Vec<Vec<f32>> = tensors["encoder.layer.1.output.dense.weight"].to_vec2()?;
    assert!(down.iter().all(|row| row[30..].iter().all(|value| *value == 0.0)));
    Ok(())
}

#[test]
fn parts_that_are_not_there_cannot_be_kept() -> Outcome {
    let model = model();
    let prune = |change: &dyn Fn(&mut PrunePlan)| {
        let mut plan = pruning_plan();
        change(&mut plan);
        model.prune(&plan)
    };
    assert_eq!(refused(prune(&|plan| plan.layers = vec![2, 0])), "layers");
    assert_eq!(refused(prune(&|plan| plan.layers = vec![0, 3])), "layers");
    let nothing = |plan: &mut PrunePlan| *plan = PrunePlan { layers: vec![], heads: vec![], neurons: vec![] };
    assert_eq!(refused(prune(&nothing)), "layers");
    assert_eq!(refused(prune(&|plan| plan.neurons[0] = vec![])), "neurons");
    assert_eq!(refused(prune(&|plan| plan.neurons[0] = vec![3, 3])), "neurons");
    assert_eq!(refused(prune(&|plan| plan.neurons[1] = vec![NEURONS])), "neurons");
    assert!(matches!(prune(&|plan| plan.neurons.truncate(1)), Err(Error::Shape { .. })));
    let five = HeadSet::from_indices([4], 5)?;
    assert!(matches!(prune(&|plan| plan.heads[0] = five), Err(Error::Range { what: "head", got: 4, below: HEADS })));
    let importance = Importance::by_magnitude(model.encoder())?;
    for (heads, neurons, field) in [(0, 1, "heads"), (5, 1, "heads"), (1, 0, "neurons"), (1, 97, "neurons")] {
        assert_eq!(refused(PrunePlan::most_important(model.encoder(), &importance, heads, neurons)), field);
    }
    Ok(())
}

#[test]
fn fields_that_do_not_fit_the_model_are_refused() -> Outcome {
    let folder = tempfile::tempdir()?;
    let target = folder.path().join("cut");
    model().prune(&pruning_plan())?.save(&target, None, &["a".into(), "b".into(), "c".into()])?;
    let good = BertConfig::from_file(target.join("config.json"))?;
    for (field, value) in [
        ("kept_heads", "[[0]]"),
        ("kept_heads", "[[0], [4]]"),
        ("kept_heads", "[[0], []]"),
        ("kept_heads", "[[0], [1, 1]]"),
        ("kept_heads", "\"all\""),
        ("kept_neurons", "[40]"),
        ("kept_neurons", "[40, 0]"),
        ("kept_neurons", "[40, 41]"),
        ("kept_neurons", "{}"),
    ] {
        let mut config = good.clone();
        config.other.insert(field.into(), serde_json::from_str(value)?);
        config.save(target.join("config.json"))?;
        let refused = TextClassifier::load(&target, &Device::Cpu);
        assert!(matches!(refused, Err(Error::Config { field: got, .. }) if got == field), "{field} {value}");
    }
    Ok(())
}

/// Logits as bits, instead of predicted classes, so that the arithmetic of the ablation can be compared exactly.
fn logits_of_rows(
    model: &TextClassifier,
    data: &EncodedDataset,
    heads: &[(usize, usize)],
) -> Result<(Vec<u32>, Vec<HeadAblation>)> {
    HeadAblation::measure(model.encoder(), data, heads, 4, |hidden, ctx| {
        let logits: Vec<Vec<f32>> = model.classifier().forward(hidden, ctx)?.to_vec2()?;
        Ok(logits.into_iter().map(|row| row[1].to_bits()).collect())
    })
}

fn from_bits(bits: &[u32]) -> Vec<f32> {
    bits.iter().map(|bits| f32::from_bits(*bits)).collect()
}

#[test]
fn an_ablated_head_equals_a_pruned_model_and_a_mask_by_hand() -> Outcome {
    let (whole, data) = (model(), data());
    let batch = data.batch(&[0, 1, 2, 3, 4, 5])?;
    let logits = |model: &TextClassifier| -> Result<Vec<f32>> {
        let rows: Vec<Vec<f32>> = model.logits(&batch, &ForwardContext::inference())?.to_vec2()?;
        Ok(rows.into_iter().map(|row| row[1]).collect())
    };
    // The whole model, and a model with previously pruned heads.
    for model in [model(), whole.prune(&pruning_plan())?] {
        let encoder = model.encoder();
        let heads = HeadAblation::all_heads(encoder);
        let (all_heads, ablated) = logits_of_rows(&model, &data, &heads)?;
        assert_close("whole", &from_bits(&all_heads), &logits(&model)?);
        let neurons = (0..encoder.layers()).map(|layer| (0..encoder.layer_sizes(layer).ffn).collect());
        let plan = PrunePlan {
            layers: (0..encoder.layers()).collect(),
            heads: (0..encoder.layers()).map(|layer| encoder.kept_heads(layer)).collect(),
            neurons: neurons.collect(),
        };
        for (at, (layer, head)) in heads.into_iter().enumerate() {
            let scores = &ablated[at];
            assert_eq!((scores.layer, scores.head), (layer, head));
            let others = plan.heads[layer].difference(set(&[head])).ok_or("other heads")?;
            for (name, heads, got) in
                [("alone", set(&[head]), Some(&scores.alone)), ("without", others, scores.without.as_ref())]
            {
                let mut cut = plan.clone();
                cut.heads[layer] = heads;
                let got = from_bits(got.ok_or(name)?);
                assert_close(name, &got, &logits(&model.prune(&cut)?)?);
                let output = format!("encoder.layer.{layer}.attention.output.dense.weight");
                let by_hand = gated(&model, &output, |column| f32::from(heads.contains(column / 6)))?;
                assert_close(name, &got, &logits(&model.with_encoder(by_hand)?)?);
                assert!(got != from_bits(&all_heads), "{name}: head {head} of layer {layer} changes nothing");
            }
        }
    }
    Ok(())
}

#[test]
fn the_only_head_of_a_layer_stays() -> Outcome {
    let plan = PrunePlan { heads: vec![set(&[2]), set(&[0, 1, 2])], ..pruning_plan() };
    let (whole, ablated) = logits_of_rows(&model().prune(&plan)?, &data(), &[(0, 2)])?;
    assert_eq!((&ablated[0].without, &ablated[0].alone), (&None, &whole));
    Ok(())
}

#[test]
fn heads_that_are_not_there_cannot_be_ablated() -> Outcome {
    let (model, data) = (model(), data());
    let ablate = |model: &TextClassifier, data: &EncodedDataset, head| {
        let never = |_: &Hidden, _: &ForwardContext| -> Result<Vec<u32>> { panic!("something was computed") };
        HeadAblation::measure(model.encoder(), data, &[(0, 1), head], 4, never)
    };
    assert_eq!(refused(ablate(&model, &data, (3, 0))), "layer");
    assert_eq!(refused(ablate(&model, &data, (usize::MAX, 0))), "layer");
    let missing = ablate(&model, &data, (2, 4));
    assert!(matches!(missing, Err(Error::Range { what: "head", got: 4, below: HEADS })));
    let cut = model.prune(&pruning_plan())?;
    let error = ablate(&cut, &data, (0, 0)).expect_err("a head that was cut out");
    assert_eq!(error.to_string(), "head is 0, expected one that layer 0 has: {1,3}");
    assert_eq!(refused(ablate(&model, &data.without_rows(), (0, 1))), "rows");
    let short = HeadAblation::measure(model.encoder(), &data, &[], 4, |_, _| Ok(vec![0]));
    assert!(matches!(short, Err(Error::Shape { .. })), "{short:?}");
    Ok(())
}

#[test]
fn the_most_important_heads_of_all_layers_are_kept() -> Result<()> {
    let model = model();
    let encoder = model.encoder();
    let scores = |first: f64| (0..HEADS).map(|head| first / (1.0 + head as f64)).collect::<Vec<_>>();
    let importance =
        Importance { heads: vec![scores(1.0), scores(1.0), scores(5.0)], neurons: vec![vec![1.0; NEURONS]; 3] };
    for heads in [3, 4, 7, 3 * HEADS] {
        let plan = PrunePlan::most_important_heads(encoder, &importance, heads)?;
        let remaining: Vec<(usize, usize)> =
            plan.heads.iter().enumerate().flat_map(|(layer, set)| set.iter().map(move |head| (layer, head))).collect();
        assert_eq!(remaining.len(), heads);
        // After scaling by layer, all layers have the same scores, so the first heads of each layer remain.
        assert!((0..3).all(|layer| remaining.contains(&(layer, 0))), "{remaining:?}");
        assert!(remaining.iter().all(|(_, head)| *head <= heads.div_ceil(3)), "{remaining:?}");
        encoder.prune(&plan)?;
    }
    for wrong in [0, 2, 3 * HEADS + 1] {
        assert_eq!(refused(PrunePlan::most_important_heads(encoder, &importance, wrong)), "heads");
    }
    Ok(())
}
