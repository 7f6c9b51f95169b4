//! Use of the crate in programs on `candle_nn`: builders, variable maps, optimisers and modules.

use approx::assert_relative_eq;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{ModuleT, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use dht_toys::{adamw, numbers, rng};
use dht_transformer::candle::{GraphModule, VarAdamW};
use dht_transformer::config::Family;
use dht_transformer::pretrained::PretrainedWeights;
use dht_transformer::tensors::{Parameters, cross_entropy};
use dht_transformer::train::optim::{AdamW, Multipliers, ParameterGroups};
use dht_transformer::{
    AdamWSettings, BertConfig, Encoder, Error, ForwardContext, HeadPlan, PackedBatch, Pooling, Result, Task,
    TextClassifier,
};

const FAMILIES: [Family; 6] =
    [Family::Bert, Family::DistilBert, Family::Roberta, Family::XlmRoberta, Family::Camembert, Family::MpNet];

fn config(family: Family) -> BertConfig {
    let mut config = BertConfig { family, ..dht_toys::config([2, 2, 16, 40], None) };
    if ![Family::Bert, Family::DistilBert].contains(&family) {
        (config.pad_token_id, config.type_vocab_size) = (1, 1);
    }
    config
}

fn encoder(family: Family) -> Encoder {
    dht_toys::encoder(&config(family), &mut rng(3))
}

/// Tensor of (2, 5) token ids.
fn ids() -> Result<Tensor> {
    Ok(Tensor::from_vec(vec![4u32, 9, 2, 30, 7, 8, 3, 5, 39, 6], (2, 5), &Device::Cpu)?)
}

fn batch() -> Result<PackedBatch> {
    let mut batch = PackedBatch::from_padded(&ids()?, None, None)?;
    batch.labels = vec![0, 1];
    Ok(batch)
}

fn states(encoder: &Encoder) -> Result<Vec<u32>> {
    Ok(bits(dht_toys::run(encoder, &batch()?, &ForwardContext::inference())?.tensor()))
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    numbers(tensor).into_iter().map(f32::to_bits).collect()
}

fn loss(model: &TextClassifier, ctx: &ForwardContext) -> Result<Tensor> {
    let batch = batch()?;
    Ok(cross_entropy(&model.logits(&batch, ctx)?, &batch.labels)?.mean_all()?)
}

/// Classifier without dropout, with the same weights in each call.
fn classifier() -> TextClassifier {
    let config = BertConfig { hidden_dropout_prob: 0.0, attention_probs_dropout_prob: 0.0, ..config(Family::Bert) };
    dht_toys::classifier(&config, 2, Pooling::Pooler, &mut rng(3))
}

fn values(parameters: &Parameters) -> Result<Vec<f32>> {
    Ok(parameters.values()?.into_values().flat_map(|tensor| tensor.values).collect())
}

fn from_file(file: &std::path::Path) -> Result<VarBuilder<'static>> {
    let bytes = std::fs::read(file).map_err(|source| Error::Io { path: file.into(), source })?;
    Ok(VarBuilder::from_buffered_safetensors(bytes, DType::F32, &Device::Cpu)?)
}

#[test]
fn an_encoder_by_a_var_builder_is_that_of_the_reader_to_the_bit() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    for family in FAMILIES {
        let (written, path) = (encoder(family), folder.path().join(family.model_type()));
        PretrainedWeights::write(&path, written.config(), &written.to_tensors()?, None)?;
        let read = Encoder::from_pretrained(&path, &Device::Cpu)?;
        let built = Encoder::from_var_builder(&config(family), from_file(&path.join("model.safetensors"))?)?;
        assert_eq!(states(&built)?, states(&read)?, "{family:?}");
        assert_eq!(values(built.parameters())?, values(read.parameters())?, "{family:?}");
    }
    Ok(())
}

#[test]
fn a_var_builder_gives_the_same_classifier_bits_as_the_reader() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    for (family, pooling) in FAMILIES.into_iter().zip([Pooling::Pooler; 6]) {
        let path = folder.path().join(family.model_type());
        let model = TextClassifier::new(encoder(family), 3, pooling, &mut rng(4))?;
        model.save(&path, None, &["a", "b", "c"].map(String::from))?;
        let read = TextClassifier::load(&path, &Device::Cpu)?;
        let vb = from_file(&path.join("model.safetensors"))?;
        let built = TextClassifier::from_var_builder(Task::Class, &config(family), 3, pooling, vb)?;
        let ctx = ForwardContext::inference();
        assert_eq!(bits(&built.logits(&batch()?, &ctx)?), bits(&read.logits(&batch()?, &ctx)?), "{family:?}");
    }
    Ok(())
}

#[test]
fn a_prefix_and_old_names_of_norms_are_found() -> Result<()> {
    let model = encoder(Family::Bert);
    let rename = |name: String| match name.rsplit_once("LayerNorm.") {
        Some((before, "weight")) => format!("model.bert.{before}LayerNorm.gamma"),
        Some((before, _)) => format!("model.bert.{before}LayerNorm.beta"),
        None => format!("model.bert.{name}"),
    };
    let tensors = model.to_tensors()?.into_iter().map(|(name, tensor)| (rename(name), tensor)).collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let built = Encoder::from_var_builder(model.config(), vb.pp("model").pp("bert"))?;
    assert_eq!(states(&built)?, states(&model)?);
    Ok(())
}

#[test]
fn a_tensor_that_is_missing_or_ill_shaped_is_named() -> Result<()> {
    let model = encoder(Family::Bert);
    let build = |change: &dyn Fn(&mut std::collections::HashMap<String, Tensor>)| {
        let mut tensors: std::collections::HashMap<String, Tensor> =
            model.to_tensors()?.into_iter().map(|(name, tensor)| (format!("bert.{name}"), tensor)).collect();
        change(&mut tensors);
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        Encoder::from_var_builder(model.config(), vb.pp("bert")).map(|_| ())
    };
    let small = Tensor::zeros((3, 4), DType::F32, &Device::Cpu)?;
    for name in ["encoder.layer.1.attention.self.query.weight", "embeddings.LayerNorm.bias"] {
        let full = format!("bert.{name}");
        let missing = build(&|tensors| drop(tensors.remove(&full)));
        assert!(
            matches!(&missing, Err(Error::Parameter { name, problem: "is missing" }) if *name == full),
            "{missing:?}"
        );
        let shape = build(&|tensors| drop(tensors.insert(full.clone(), small.clone())));
        assert!(matches!(&shape, Err(Error::Shape { what, got, .. }) if *what == full && *got == [3, 4]), "{shape:?}");
    }
    Ok(())
}

#[test]
fn variables_of_wrong_shape_type_or_split_are_rejected() -> Result<()> {
    let config = config(Family::Bert);
    for (name, shape, dtype, said) in [
        ("embeddings.word_embeddings.weight", (3, 4), DType::F32, "is a variable of another shape"),
        ("embeddings.word_embeddings.weight", (40, 16), DType::F64, "is a variable that is not in f32"),
        ("encoder.layer.0.attention.self.query.weight", (16, 16), DType::F32, "joined of three variables"),
    ] {
        let vars = VarMap::new();
        let vb = VarBuilder::from_varmap(&vars, dtype, &Device::Cpu);
        vb.get(shape, name)?;
        let refused = Encoder::from_var_builder(&config, vb).map(|_| ());
        assert!(matches!(&refused, Err(Error::Parameter { problem, .. }) if problem.contains(said)), "{refused:?}");
    }
    Ok(())
}

#[test]
fn a_var_map_saved_and_loaded_is_the_same_encoder() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, written) = (folder.path().join("vars.safetensors"), encoder(Family::Bert));
    let vars = VarMap::new();
    written.parameters().put_into(&vars, "bert")?;
    assert_eq!(vars.all_vars().len(), written.parameters().len());
    vars.save(&file)?;

    let mut fresh = VarMap::new();
    let vb = VarBuilder::from_varmap(&fresh, DType::F32, &Device::Cpu);
    let read = Encoder::from_var_builder(written.config(), vb.pp("bert"))?;
    assert_eq!(fresh.all_vars().len(), written.parameters().len());
    assert_ne!(states(&read)?, states(&written)?);
    fresh.load(&file)?;
    assert_eq!(states(&read)?, states(&written)?);
    // The encoder is built again, from the names that exist now.
    let again = Encoder::from_var_builder(written.config(), from_file(&file)?.pp("bert"))?;
    assert_eq!(states(&again)?, states(&written)?);

    let other = encoder(Family::Bert).parameters().put_into(&fresh, "bert");
    assert!(matches!(other, Err(Error::Parameter { problem: "is another variable of the VarMap", .. })));
    Ok(())
}

#[test]
fn a_classifier_in_a_var_map_shares_every_variable_with_it() -> Result<()> {
    let (vars, model) = (VarMap::new(), classifier());
    model.encoder().parameters().put_into(&vars, "")?;
    let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
    let config = model.encoder().config();
    let shared = TextClassifier::from_var_builder(Task::Class, config, 2, Pooling::Pooler, vb)?;
    assert_eq!(vars.all_vars().len(), model.encoder().parameters().len());
    for (id, name, var) in shared.encoder().parameters().iter() {
        assert_eq!(var.id(), model.encoder().parameters().var(id).id(), "{name}");
    }
    Ok(())
}

#[test]
fn our_adamw_as_candles_optimiser_takes_the_steps_of_candles() -> Result<()> {
    let make = || -> Result<Vec<Var>> {
        let matrix: Vec<f32> = (0..24).map(|i| (i as f32 * 0.7).sin()).collect();
        Ok(vec![
            Var::from_vec(matrix, (4, 6), &Device::Cpu)?,
            Var::from_vec(vec![0.5f32, -1.0, 2.0, 0.1], 4, &Device::Cpu)?,
        ])
    };
    let loss = |vars: &[Var], step: usize| -> Result<Tensor> {
        let x = Tensor::from_vec((0..18).map(|i| ((i + step) as f32).cos()).collect(), (3, 6), &Device::Cpu)?;
        Ok(x.matmul(&vars[0].t()?)?.broadcast_add(&vars[1])?.sqr()?.mean_all()?)
    };
    let (ours, theirs) = (make()?, make()?);
    let settings = AdamWSettings { weight_decay: 0.1, clip_norm: None, ..AdamWSettings::default() };
    let params = ParamsAdamW {
        lr: 0.01,
        beta1: settings.beta1,
        beta2: settings.beta2,
        eps: settings.epsilon,
        weight_decay: 0.1,
    };
    let mut our_optimizer = VarAdamW::new(ours.clone(), settings)?;
    our_optimizer.set_learning_rate(0.01);
    assert_eq!(our_optimizer.learning_rate(), 0.01);
    let mut their_optimizer = candle_nn::AdamW::new(theirs.clone(), params)?;
    for step in 0..20 {
        our_optimizer.backward_step(&loss(&ours, step)?)?;
        their_optimizer.backward_step(&loss(&theirs, step)?)?;
        for (ours, theirs) in ours.iter().zip(&theirs) {
            for (ours, theirs) in numbers(ours).iter().zip(&numbers(theirs)) {
                assert_relative_eq!(ours, theirs, epsilon = 1e-5, max_relative = 1e-5);
            }
        }
    }
    Ok(())
}

#[test]
fn candles_own_loop_trains_as_ours_does() -> Result<()> {
    let settings = AdamWSettings { clip_norm: None, ..adamw(1e-2) };
    let rate = settings.learning_rate;

    let ours = classifier();
    let parameters = ours.encoder().parameters();
    let groups = ParameterGroups::by_name(parameters, |_| Multipliers::ONE);
    let mut adamw = AdamW::new(settings.clone(), &groups, parameters)?;

    let fused = classifier();
    let vars = VarMap::new();
    fused.encoder().parameters().put_into(&vars, "")?;
    let mut by_store = VarAdamW::new(vars.all_vars(), settings.clone())?;

    let in_graph = classifier();
    let graph_vars = VarMap::new();
    in_graph.encoder().parameters().put_into(&graph_vars, "")?;
    let params = ParamsAdamW {
        lr: rate,
        beta1: settings.beta1,
        beta2: settings.beta2,
        eps: settings.epsilon,
        weight_decay: settings.weight_decay,
    };
    let mut theirs = candle_nn::AdamW::new(graph_vars.all_vars(), params)?;

    for step in 0..5 {
        let ctx = ForwardContext::training(parameters, 0, step);
        let gradients = ctx.backward(&loss(&ours, &ctx)?, parameters)?;
        adamw.step(parameters, &gradients, rate)?;

        let ctx = ForwardContext::training(fused.encoder().parameters(), 0, step);
        by_store.step(&ctx.grad_store(&loss(&fused, &ctx)?, fused.encoder().parameters())?)?;

        let ctx = ForwardContext::in_candle_graph(in_graph.encoder().parameters(), 0, step);
        theirs.backward_step(&loss(&in_graph, &ctx)?)?;
    }
    let (ours, fused, in_graph) =
        (values(parameters)?, values(fused.encoder().parameters())?, values(in_graph.encoder().parameters())?);
    assert_ne!(ours, values(classifier().encoder().parameters())?);
    assert_eq!(ours, fused);
    let far = ours.iter().zip(&in_graph).filter(|(ours, theirs)| (*ours - *theirs).abs() > 2e-4).count();
    // If a gradient is almost zero, Adam's first steps have the sign of its rounding error.
    assert!(far * 50 < ours.len(), "{far} of {} values differ", ours.len());
    Ok(())
}

#[test]
fn a_kept_context_sees_steps_of_an_optimiser_of_its_variables() -> Result<()> {
    let model = classifier();
    let parameters = model.encoder().parameters();
    let vars = VarMap::new();
    parameters.put_into(&vars, "")?;
    let settings = adamw(1e-2);
    let mut optimizer = VarAdamW::of_var_map(&vars, settings)?;
    let (cached, batch) = (ForwardContext::inference(), batch()?);
    let mut before = model.logits(&batch, &cached)?.to_vec2::<f32>()?;
    for step in 0..3 {
        let ctx = ForwardContext::training(parameters, 0, step);
        optimizer.step(&ctx.grad_store(&loss(&model, &ctx)?, parameters)?)?;
        let expected = model.logits(&batch, &ForwardContext::inference())?.to_vec2::<f32>()?;
        let actual = model.logits(&batch, &cached)?.to_vec2::<f32>()?;
        assert_ne!(before, expected);
        assert_eq!(actual, expected);
        before = actual;
    }
    Ok(())
}

#[test]
fn candle_graph_gradients_equal_those_of_the_fused_operations() -> Result<()> {
    let model = classifier();
    let parameters = model.encoder().parameters();
    let ctx = ForwardContext::training(parameters, 7, 2);
    let fused = ctx.grad_store(&loss(&model, &ctx)?, parameters)?;
    let ctx = ForwardContext::in_candle_graph(parameters, 7, 2);
    let graph = loss(&model, &ctx)?.backward()?;
    for (_, name, var) in parameters.iter() {
        let (fused, graph) = (fused.get(var), graph.get(var));
        let (Some(fused), Some(graph)) = (fused, graph) else { panic!("no gradient of {name}") };
        assert_eq!(fused.dims(), var.dims(), "{name}");
        let difference = (fused - graph)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
        assert!(difference < 1e-5, "{name}: {difference}");
    }
    Ok(())
}

#[test]
fn a_backward_that_would_lose_gradients_is_refused() -> Result<()> {
    let model = classifier();
    let parameters = model.encoder().parameters();
    let loss = loss(&model, &ForwardContext::training(parameters, 0, 0))?;
    let refused = loss.backward().map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("would lose the gradients"), "{refused}");

    // Frozen weights have no gradients to lose, so a custom head on a frozen model may use candle's backward pass.
    for (id, ..) in parameters.iter() {
        parameters.set_frozen(id, true);
    }
    let head = Var::ones((2, 2), DType::F32, &Device::Cpu)?;
    let logits = model.logits(&batch()?, &ForwardContext::training(parameters, 0, 0))?;
    assert!(logits.matmul(&head)?.sqr()?.mean_all()?.backward()?.get(&head).is_some());
    Ok(())
}

#[test]
fn a_grad_store_lacks_frozen_parameters_and_has_a_users_head() -> Result<()> {
    let model = classifier();
    let parameters = model.encoder().parameters();
    model.encoder().freeze_layer(0, true);
    let head = Var::ones((2, 2), DType::F32, &Device::Cpu)?;
    let ctx = ForwardContext::training(parameters, 0, 0);
    let loss = model.logits(&batch()?, &ctx)?.matmul(&head)?.sqr()?.mean_all()?;
    let store = ctx.grad_store(&loss, parameters)?;
    assert!(store.get(&head).is_some());
    for (id, name, var) in parameters.iter() {
        assert_eq!(store.get(var).is_none(), parameters.is_frozen(id), "{name}");
    }
    Ok(())
}

#[test]
fn modules_give_states_and_logits_and_their_gradients() -> Result<()> {
    let module = GraphModule::new(encoder(Family::Bert), 1);
    let inferred = module.forward_t(&ids()?, false)?;
    assert_eq!(inferred.dims(), [2, 5, 16]);
    assert_eq!(bits(&inferred), states(module.model())?);

    let module = GraphModule::new(classifier(), 1);
    let (trained, inferred) = (module.forward_t(&ids()?, true)?, module.forward_t(&ids()?, false)?);
    let difference = (&trained - &inferred)?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
    assert!(difference < 1e-5, "{difference}");
    let store = candle_nn::loss::cross_entropy(&trained, &Tensor::new(&[0u32, 1], &Device::Cpu)?)?.backward()?;
    for (_, name, var) in module.model().encoder().parameters().iter() {
        assert!(store.get(var).is_some(), "{name}");
    }
    Ok(())
}

#[test]
fn modules_vary_dropout_by_call_and_repeat_it_by_seed() -> Result<()> {
    let two = |seed| -> Result<[Vec<u32>; 2]> {
        let module = GraphModule::new(encoder(Family::Bert), seed);
        Ok([bits(&module.forward_t(&ids()?, true)?), bits(&module.forward_t(&ids()?, true)?)])
    };
    let [first, second] = two(5)?;
    assert_ne!(first, second);
    assert_eq!([first, second], two(5)?);
    Ok(())
}

#[test]
fn padded_samples_have_the_states_of_the_samples_alone() -> Result<()> {
    let (encoder, ctx) = (encoder(Family::Bert), ForwardContext::inference());
    let mask = Tensor::from_vec(vec![1u32, 1, 1, 0, 0, 1, 1, 1, 1, 1], (2, 5), &Device::Cpu)?;
    let packed = PackedBatch::from_padded(&ids()?, None, Some(&mask))?;
    assert_eq!(packed.ids, [4, 9, 2, 8, 3, 5, 39, 6]);
    let run = |batch: &PackedBatch| encoder.run(0..2, &encoder.embed(batch, &ctx)?, &HeadPlan::Full, &ctx);
    let padded = run(&packed)?.to_padded()?;
    assert_eq!(padded.dims(), [2, 5, 16]);
    let alone = run(&PackedBatch::from_padded(&ids()?.narrow(0, 0, 1)?.narrow(1, 0, 3)?, None, None)?)?;
    let first = padded.get(0)?;
    let difference = (first.narrow(0, 0, 3)? - alone.tensor())?.abs()?.flatten_all()?.max(0)?.to_scalar::<f32>()?;
    assert!(difference < 1e-5, "{difference}");
    assert_eq!(first.narrow(0, 3, 2)?.abs()?.sum_all()?.to_scalar::<f32>()?, 0.0);

    let short = Tensor::zeros((2, 4), DType::U32, &Device::Cpu)?;
    assert!(matches!(PackedBatch::from_padded(&ids()?, None, Some(&short)), Err(Error::Shape { .. })));
    assert!(matches!(PackedBatch::from_padded(&short, None, Some(&short)), Err(Error::Argument { .. })));
    Ok(())
}
