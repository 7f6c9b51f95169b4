//! States with former field names can be loaded, and are saved with the current names.

use dht_bandits::{
    LinUcb, Normalizer, Ridge, Thompson, Ucb,
    exploration::EpsilonGreedy,
    policy::{Disjoint, Hybrid, TopK},
    posterior::{DiagonalLaplace, FullLaplace},
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Saved state with the former field names replaced by current ones.
fn renamed<T: Serialize + DeserializeOwned>(saved: &str, names: &[(&str, &str)]) {
    let loaded: T = serde_json::from_str(saved).unwrap();
    let mut today = names.iter().fold(saved.to_owned(), |text, (former, name)| {
        let former = format!("\"{former}\":");
        assert!(text.contains(&former), "{former}");
        text.replace(&former, &format!("\"{name}\":"))
    });
    today = today.replace(r#""format":3"#, r#""format":4"#);
    if saved.contains("top-k/") {
        // Fields that were added later.
        let later = r#","interactions":null,"shared_propensity":{"estimated":{"lines":2048}}"#;
        today.insert_str(today.len() - 1, later);
    }
    if saved.contains("running-norm") {
        today = today.replace(r#""decay":0.5"#, r#""decay":0.5,"relative_floor":0.0"#);
    }
    if today.contains("epsilon-greedy") {
        today = today.replace(r#""epsilon":0.25"#, r#""epsilon":0.25,"power":0.0,"first":0"#);
    }
    if today.contains("diagonal-laplace") {
        today = with_prior_weight(&today);
    }
    assert_eq!(serde_json::to_string(&loaded).unwrap(), today);
    let again: T = serde_json::from_str(&today).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), today);
}

/// Options of a diagonal posterior with the prior weight, which former states do not have.
fn with_prior_weight(state: &str) -> String {
    let decay = state.find(r#""decay":"#).expect("a decay");
    let end = decay + state[decay..].find('}').expect("its end");
    format!(r#"{},"prior_weight":1.0{}"#, &state[..end], &state[end..])
}

#[test]
fn a_ridge_of_lambda_and_discount_loads() {
    renamed::<LinUcb>(
        r#"{"header":{"kind":"disjoint/ridge/ucb","format":3},"dimension":2,"options":{"lambda":0.5,"discount":0.75,"keep_information":true},"index":{"alpha":0.5},"arms":{"ids":[0,1],"next":2,"removed":[]},"version":1,"epoch":0,"learned":[{"mean":[0.0,0.0],"diagonal":[2.0,2.0],"upper":[0.0],"updates":0,"information":{"gram":[0.5,0.0,0.5],"moment":[0.0,0.0]}},{"mean":[0.5026178010471203,0.39790575916230353],"diagonal":[0.6274509803921569,2.136125654450262],"upper":[-0.3137254901960784],"updates":1,"information":{"gram":[1.59375,0.5,0.625],"moment":[1.0,0.5]}}]}"#,
        &[("lambda", "prior_precision"), ("discount", "decay"), ("index", "exploration")],
    );
    renamed::<Disjoint<Ridge, EpsilonGreedy>>(
        r#"{"header":{"kind":"disjoint/ridge/epsilon-greedy","format":3},"dimension":2,"options":{"lambda":1.0,"discount":1.0,"keep_information":false},"index":{"epsilon":0.25},"arms":{"ids":[0],"next":1,"removed":[]},"version":1,"epoch":0,"learned":[{"mean":[0.4444444444444444,0.2222222222222222],"diagonal":[0.5,0.8888888888888888],"upper":[-0.25],"updates":1,"information":null}]}"#,
        &[("lambda", "prior_precision"), ("discount", "decay"), ("index", "exploration")],
    );
}

#[test]
fn a_hybrid_of_two_lambdas_loads() {
    renamed::<Hybrid<Ucb>>(
        r#"{"header":{"kind":"hybrid/ucb","format":3},"dimension":2,"shared_dimension":1,"options":{"lambda":0.5,"shared_lambda":2.0},"index":{"alpha":0.5},"arms":{"ids":[0],"next":1,"removed":[]},"version":1,"epoch":0,"shared":{"mean":[0.125],"diagonal":[0.4375],"upper":[],"updates":0,"information":null},"own":[{"mean":[0.5714285714285714,0.2857142857142857],"diagonal":[0.6666666666666666,1.7142857142857142],"upper":[-0.3333333333333333],"updates":0,"information":null}],"cross":[0.5714285714285714,0.2857142857142857]}"#,
        &[("lambda", "prior_precision"), ("shared_lambda", "shared_prior_precision"), ("index", "exploration")],
    );
}

#[test]
fn logistic_posteriors_of_precision_and_strength_load() {
    renamed::<Disjoint<FullLaplace, Thompson>>(
        r#"{"header":{"kind":"disjoint/full-laplace/thompson","format":3},"dimension":2,"options":{"precision":2.0},"index":{"alpha":0.5},"arms":{"ids":[0],"next":1,"removed":[]},"version":1,"epoch":0,"learned":[{"mean":[0.2163932158147867,0.10819660790739336],"diagonal":[0.4453386178402547,0.48669820179754186],"upper":[-0.05466138215974529]}]}"#,
        &[("precision", "prior_precision"), ("index", "exploration")],
    );
    renamed::<Disjoint<DiagonalLaplace, Thompson>>(
        r#"{"header":{"kind":"disjoint/diagonal-laplace/thompson","format":3},"dimension":2,"options":{"prior_mean":0.0,"prior_precision":2.0,"strength":0.5},"index":{"alpha":0.5},"arms":{"ids":[0],"next":1,"removed":[]},"version":1,"epoch":0,"learned":[{"mean":[0.2163932158147867,0.10819660790739336],"precision":[2.245482336226914,2.0613705840567285]}]}"#,
        &[("strength", "decay"), ("index", "exploration")],
    );
    renamed::<TopK<DiagonalLaplace, Thompson>>(
        r#"{"header":{"kind":"top-k/diagonal-laplace/thompson","format":3},"dimension":2,"options":{"prior_mean":1.0,"prior_precision":0.5,"strength":1.0},"index":{"alpha":0.5},"sharing":"PerArm","draw":"PerSlate","arms":{"ids":[0,1],"next":2,"removed":[]},"pinned":[1],"version":0,"epoch":0,"learned":[{"mean":[1.0,1.0],"precision":[0.5,0.5]},{"mean":[1.0,1.0],"precision":[0.5,0.5]}]}"#,
        &[("strength", "decay"), ("index", "exploration")],
    );
}

#[test]
fn a_normalizer_of_forget_loads() {
    renamed::<Normalizer>(
        r#"{"header":{"kind":"running-norm","format":3},"options":{"floor":1e-9,"clip":5.0,"forget":0.5},"weight":1.5,"mean":[2.333333333333333,0.5],"squares":[1.3333333333333333,0.0],"frozen":false}"#,
        &[("forget", "decay")],
    );
}

#[test]
fn a_saved_decay_outside_of_its_range_is_refused() {
    for decay in ["0.0", "1.5", "-0.5"] {
        let saved = format!(r#"{{"lambda":1.0,"discount":{decay},"keep_information":false}}"#);
        let refused = serde_json::from_str::<dht_bandits::Ridge>(&saved).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("decay = {}", decay.trim_end_matches(".0"))), "{refused}");
    }
}
