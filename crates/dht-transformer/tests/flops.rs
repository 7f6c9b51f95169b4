//! Comparison of predicted FLOPs with the count of executed products.
//!
//! The count belongs to the process, so this file holds one test.

use dht_toys::{config, encoder, head_set, rng, sample};
use dht_transformer::{
    ForwardContext, HeadPlan, PackedBatch, Pooling, SampleGroup,
    flops::{BackwardNeeds, Breakdown, FlopCount, Load, Width},
    tensors::cross_entropy,
};

#[test]
fn predicted_flops_equal_the_products_that_ran() {
    let mut rng = rng(3);
    let mut encoder = encoder(&config([6, 4, 16, 30], None), &mut rng);
    let text = |(id, tokens, label)| sample(id, label, 0..tokens);
    let batch = PackedBatch::from_samples(&[(0, 4, 0), (1, 9, 1), (2, 1, 2), (3, 6, 1)].map(text)).unwrap();
    let spans = batch.spans.clone();
    let set = |heads: &[usize]| head_set(heads, 4);
    let per_sample = HeadPlan::PerSample(vec![set(&[0]), set(&[1, 2]), set(&[0]), set(&[0, 1, 2, 3])]);
    let plans = [HeadPlan::Full, HeadPlan::Same(set(&[1, 3])), per_sample, HeadPlan::Full];
    let group = |samples, heads: &[usize], neurons| SampleGroup { samples, heads: set(heads), neurons };
    let groups = [group(2, &[0, 2, 3], 40), group(1, &[1], 64), group(1, &[0, 1, 2, 3], 7)];
    let shape = encoder.block_shape();
    for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Pooler] {
        let classifier = encoder.add_classifier(&format!("{pooling:?}"), 3, pooling, &mut rng).unwrap();
        for (frozen, embeddings_frozen) in
            [(None, false), (Some(0), true), (Some(2), false), (Some(4), false), (None, true)]
        {
            encoder.freeze_embeddings(embeddings_frozen);
            (0..6).for_each(|layer| encoder.freeze_layer(layer, frozen == Some(layer)));

            // The fourth layer runs with a narrower feed-forward, the last two in groups.
            let narrow = Width { heads: 4, ffn: 24 };
            let fourth = |cost: &dyn Fn(Load, Width) -> Breakdown| cost((&spans).into(), narrow);
            let mut forward: Breakdown =
                plans[..3].iter().map(|plan| shape.forward_of_plan(&spans, plan).unwrap()).sum();
            forward += fourth(&|load, width| shape.forward(load, width));
            (4..6).for_each(|_| forward += shape.forward_of_groups(&spans, &groups).unwrap());
            forward += classifier.shape().forward(4);
            let mut backward = classifier.shape().backward(4, BackwardNeeds::ALL);
            for layer in 0..6 {
                let trained_below = !embeddings_frozen || (0..layer).any(|below| frozen != Some(below));
                let needs = BackwardNeeds { weight_gradients: frozen != Some(layer), input_gradient: trained_below };
                backward += match (layer, plans.get(layer)) {
                    (3, _) => fourth(&|load, width| shape.backward(load, width, needs)),
                    (_, Some(plan)) => shape.backward_of_plan(&spans, plan, needs).unwrap(),
                    (_, None) => shape.backward_of_groups(&spans, &groups, needs).unwrap(),
                };
            }

            let ctx = ForwardContext::training(encoder.parameters(), 1, 1);
            let start = FlopCount::executed().0;
            let mut hidden = encoder.embed(&batch, &ctx).unwrap();
            for (layer, plan) in plans.iter().enumerate() {
                hidden = encoder.layer(layer, &hidden, plan, (layer == 3).then_some(24), &ctx).unwrap();
            }
            hidden = encoder.run_groups(4..6, &hidden, &groups, &ctx).unwrap();
            let logits = classifier.forward(&hidden, &ctx).unwrap();
            let middle = FlopCount::executed().0;
            let loss = cross_entropy(&logits, &batch.labels).unwrap().mean_all().unwrap();
            ctx.backward(&loss, encoder.parameters()).unwrap();
            assert_eq!(middle - start, forward.total().0, "forward, {pooling:?}, {frozen:?} frozen");
            assert_eq!(
                FlopCount::executed().0 - middle,
                backward.total().0,
                "backward, {pooling:?}, {frozen:?} frozen"
            );
        }
    }
}
