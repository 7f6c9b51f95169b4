//! Models that a search trains and extracts: saved, resumed, and refused.

use std::error::Error as StdError;

use candle_core::{Device, Tensor};
use dht_nas::transformer::{
    BertConfig, EncodedDataset, ForwardContext, Objective, PackedBatch, Pooling, TextClassifier,
};
use dht_nas::{
    Architecture, ArchitectureSearch, CostMeasure, Count, HardConcrete, Latency, Minimum, NasSettings, NasSpace,
    RelaxationKind, Selection, Sigmoid, Update, WidthSampling, extract,
};
use dht_nas::{Error, Result};
use dht_toys::{Outcome, config, numbers, rng, whole_batch};

use crate::planted::{classifier, data, search, strong};

fn assert_close(what: &str, a: &Tensor, b: &Tensor, tolerance: f32) {
    for (a, b) in numbers(a).iter().zip(numbers(b)) {
        assert!((a - b).abs() <= tolerance, "{what}: {a} and {b}");
    }
}

fn batch(rows: usize) -> PackedBatch {
    whole_batch(&data(rows, 50))
}

#[test]
fn the_extracted_model_equals_its_masks_and_survives_a_save() -> Outcome {
    let (model, batch) = (classifier(2)?, batch(9));
    for relaxation in [
        RelaxationKind::Sigmoid(Sigmoid { start: 0.3, ..Sigmoid::default() }),
        RelaxationKind::HardConcrete(HardConcrete::default()),
        RelaxationKind::WidthSampling(WidthSampling::default()),
    ] {
        let (head_relaxation, measure) = (relaxation.clone(), CostMeasure::Flops { tokens: 16 });
        let settings = NasSettings { relaxation, head_relaxation, measure, ..strong() };
        let search = search(&model, settings, 48, 2, 3)?;
        let ctx = ForwardContext::inference();
        let masked = search.masked_logits(&batch, &ctx)?;
        let small = search.extracted()?;
        assert_close("extracted", &masked, &small.logits(&batch, &ForwardContext::inference())?, 1e-4);
        assert!(small.encoder().parameters().elements() < model.encoder().parameters().elements());
        let folder = tempfile::tempdir()?;
        small.save(folder.path().join("small"), None, &["a", "b", "c", "d"].map(String::from))?;
        let again = TextClassifier::load(folder.path().join("small"), &Device::Cpu)?;
        assert_close("loaded", &masked, &again.logits(&batch, &ForwardContext::inference())?, 1e-4);
        // Another student extracts the architecture with its own weights.
        let other = extract(&classifier(4)?, &search.found()?.architecture)?;
        assert_eq!(other.encoder().layer_sizes(1), small.encoder().layer_sizes(1));
    }
    Ok(())
}

#[test]
fn the_report_s_settings_run_and_cut_at_their_threshold() -> Outcome {
    let model = classifier(2)?;
    let settings = NasSettings::report(NasSpace::inputs(), 0.5);
    assert_eq!((settings.selection, settings.count), (Selection::Threshold, Count::Expected));
    let search = search(&model, settings, 64, 6, 3)?;
    let (result, scores) = (search.found()?, search.scores()?);
    for (group, scores) in search.cost().groups().iter().zip(scores) {
        let selected = result.architecture.units(group.layers.start, group.part);
        // σ(α) > .01 means α > −4.595. At least one unit remains.
        let above = scores.iter().filter(|alpha| **alpha > -4.595_12).count();
        assert_eq!(selected.iter().filter(|unit| **unit).count(), above.max(1));
    }
    Ok(())
}

#[test]
fn weights_and_gates_are_trained_in_turns_on_two_halves() -> Outcome {
    for update in [Update::Alternating, Update::Unrolled { rate: 0.01 }] {
        in_turns(update)?;
    }
    Ok(())
}

fn in_turns(update: Update) -> Outcome {
    let settings = NasSettings { update, space: NasSpace::neurons(), ..strong() };
    let mut rng = rng(1);
    let mut search = ArchitectureSearch::new(classifier(2)?, settings, &mut rng)?;
    let data = data(12, 3);
    let progress = |step| dht_nas::transformer::Progress { seed: 5, step, epoch: 0, share: 0.1 };
    search.prepare(&data, progress(0))?;
    search.offer(whole_batch(&data), progress(0))?;
    let trained = |search: &mut ArchitectureSearch, step| -> Result<Option<(usize, bool, bool)>> {
        let Some(loss) = search.next_loss(progress(step), false)? else { return Ok(None) };
        let gradients = loss.ctx.backward(&loss.loss, search.parameters())?;
        let has = |gates: bool| {
            let named = search.parameters().iter().filter(|(_, name, _)| name.starts_with("nas.") == gates);
            named.into_iter().any(|(id, ..)| gradients.get(id).is_some())
        };
        Ok(Some((loss.samples, has(false), has(true))))
    };
    assert_eq!(trained(&mut search, 0)?, Some((6, true, false)));
    assert_eq!(trained(&mut search, 1)?, Some((6, false, true)));
    assert_eq!(trained(&mut search, 2)?, None);
    assert!(search.parameters().iter().all(|(id, ..)| !search.parameters().is_frozen(id)));
    // Two losses per step would have to be accumulated.
    search.offer(whole_batch(&data), progress(2))?;
    trained(&mut search, 3)?;
    let error = trained(&mut search, 3).err().ok_or("is refused")?;
    assert!(matches!(error, Error::Argument { name: "accumulate", .. }), "{error}");
    let error = search
        .prepare(&EncodedDataset { samples: data.samples[..1].to_vec(), ..data.clone() }, progress(0))
        .err()
        .ok_or("is refused")?;
    assert!(matches!(error, Error::TooFewRows { rows: 1, least: 2 }), "{error}");
    Ok(())
}

#[test]
fn seconds_are_measured_on_narrower_copies() -> Outcome {
    let (model, mut rng) = (classifier(2)?, rng(1));
    let latency = Latency::measure(&model, 4, 8, &mut rng)?;
    let Latency { product, query_key, value, neuron, layer, fixed, error } = latency;
    assert!([product, query_key, value, neuron, layer, fixed].iter().all(|of| of.is_finite() && *of >= 0.0));
    assert!(error.is_finite() && latency.seconds(&[model.encoder().layer_sizes(0)]) > 0.0, "{latency:?}");
    let longest = model.encoder().config().longest_text();
    for (texts, tokens) in [(0, 8), (4, 0), (4, longest + 1)] {
        let error = Latency::measure(&model, texts, tokens, &mut rng).err().ok_or("is refused")?;
        assert!(error.to_string().contains("texts and tokens"), "{error}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_searched_is_refused() -> Outcome {
    let refused = |settings: NasSettings| -> Result<String> {
        let mut rng = rng(1);
        Ok(ArchitectureSearch::new(classifier(2)?, settings, &mut rng)
            .err()
            .map_or(String::new(), |error| error.to_string()))
    };
    let space = NasSpace { minimum: Minimum { heads: 6, ..Minimum::default() }, ..NasSpace::heads() };
    assert!(refused(NasSettings { space, ..strong() })?.contains("0.7500 to 1.0000"));
    assert!(refused(NasSettings { target: 1.5, ..strong() })?.contains("target"));
    assert!(refused(NasSettings { gate_rate: 0.0, ..strong() })?.contains("gate_rate"));
    for rate in [0.0, f64::NAN] {
        assert!(refused(NasSettings { update: Update::Unrolled { rate }, ..strong() })?.contains("unrolled.rate"));
    }
    assert!(refused(NasSettings { measure: CostMeasure::Flops { tokens: 0 }, ..strong() })?.contains("tokens"));
    let model = classifier(2)?;
    let mut rng = rng(1);
    let small = search(&model, NasSettings { space: NasSpace::heads(), ..strong() }, 32, 1, 1)?;
    let error = ArchitectureSearch::new(small.extracted()?, strong(), &mut rng).err().ok_or("is refused")?;
    assert!(error.to_string().contains("whole layers"), "{error}");
    let seconds = |neuron: f64, rest: f64| {
        let [product, query_key, value, layer, fixed] = [rest; 5];
        let measure = CostMeasure::Latency(Latency { product, query_key, value, neuron, layer, fixed, error: 0.0 });
        refused(NasSettings { measure, ..strong() })
    };
    assert!(seconds(0.0, 0.0)?.contains("latency is 0 in each"));
    assert!(seconds(-1.0, 1.0)?.contains("latency.neuron is -1"));
    assert!(seconds(f64::NAN, 1.0)?.contains("latency.neuron is NaN"));
    assert_eq!(seconds(1.0, 1e-9)?, "");
    Ok(())
}

#[test]
fn an_architecture_of_other_sizes_is_refused_by_what_differs() -> Outcome {
    let model = |layers: usize, heads: usize, hidden: usize, intermediate_size: usize| {
        let config = BertConfig { intermediate_size, ..config([layers, heads, hidden, 9], None) };
        dht_toys::classifier(&config, 2, Pooling::Cls, &mut rng(1))
    };
    let architecture = {
        let model = model(2, 4, 16, 24);
        Architecture::whole(model.encoder().block_shape(), model.encoder().layers())
    };
    for (encoder, message) in [
        (model(1, 4, 16, 24), "architecture is one of 2 layers, expected 1, the encoder's"),
        (model(2, 4, 8, 24), "architecture is one of 16 query_inputs in layer 0, expected 8, the encoder's"),
        (model(2, 2, 16, 24), "architecture is one of 4 heads in layer 0, expected 2, the encoder's"),
        (model(2, 4, 16, 32), "architecture is one of 24 neurons in layer 0, expected 32, the encoder's"),
    ] {
        let error = extract(&encoder, &architecture).err().ok_or("is refused")?;
        assert_eq!(error.to_string(), message);
    }
    // A file has other lists in one layer, or heads that do not match its lists.
    let written = serde_json::to_value(&architecture)?;
    let read = |change: &dyn Fn(&mut serde_json::Value)| -> Result<String, Box<dyn StdError>> {
        let mut written = written.clone();
        change(&mut written);
        let architecture: Architecture = serde_json::from_value(written)?;
        Ok(extract(&model(2, 4, 16, 24), &architecture).err().map_or(String::new(), |error| error.to_string()))
    };
    assert_eq!(read(&|_| ())?, "");
    assert_eq!(
        read(&|it| it["layers"][1]["neurons"] = serde_json::json!([true, false]))?,
        "architecture is one of 2 neurons in layer 1, expected 24, the encoder's"
    );
    assert_eq!(
        read(&|it| it["shape"]["head_dim"] = 2.into())?,
        "architecture is one for 16 hidden dimensions, 4 heads of 2 and 24 neurons, expected one for 16 hidden dimensions, 4 heads of 4 \
         and 24 neurons, the encoder's"
    );
    Ok(())
}

#[test]
fn a_search_resumes_from_its_state() -> Outcome {
    let mut rng = rng(1);
    let settings = NasSettings { update: Update::Alternating, ..strong() };
    let mut one = ArchitectureSearch::new(classifier(2)?, settings.clone(), &mut rng)?;
    let data = data(12, 3);
    let progress = |step| dht_nas::transformer::Progress { seed: 5, step, epoch: 0, share: 0.9 };
    one.prepare(&data, progress(0))?;
    one.offer(whole_batch(&data), progress(0))?;
    for step in 0..3 {
        one.next_loss(progress(step), false)?;
    }
    assert!(one.multiplier() > 0.0);
    let state = one.state()?;
    let mut other = ArchitectureSearch::new(classifier(2)?, settings, &mut rng)?;
    assert!(other.differences(&state)?.is_empty());
    other.restore(state.clone(), &data)?;
    assert_eq!(other.state()?, state);
    let changed = ArchitectureSearch::new(classifier(2)?, NasSettings { target: 0.7, ..strong() }, &mut rng)?;
    assert!(!changed.differences(&state)?.is_empty());
    Ok(())
}
