//! Settings in TOML and JSON, and policies in files (cargo feature `settings`).

use std::sync::atomic::{AtomicUsize, Ordering};

use dht_bandits::{
    Error, Policy, Request,
    policy::{AnyPolicy, PolicyKind, PolicySettings, RewardType},
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const TOML: &str = r#"
kind = "linear"
dimension = 2
arms = 3
exploration = { rule = "thompson", alpha = 0.5 }
decay = 0.999
normaliser = { warm_up = 4, bias = true }
seed = 7
"#;

fn problem(outcome: Result<impl std::fmt::Debug, Error>) -> String {
    match outcome {
        Err(Error::Settings { problem }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn toml_and_json_say_the_same_and_errors_name_key_and_line() {
    let settings = PolicySettings::from_toml(TOML).unwrap();
    let json = r#"{"kind":"linear","dimension":2,"arms":3,"exploration":{"rule":"thompson","alpha":0.5},
        "decay":0.999,"normaliser":{"warm_up":4,"bias":true},"seed":7}"#;
    assert_eq!(PolicySettings::from_json(json).unwrap(), settings);
    let text = problem(PolicySettings::from_toml(&TOML.replace("seed", "sede")));
    assert!(text.contains("sede") && text.contains("line 8"), "{text}");
    let text = problem(PolicySettings::from_toml(&TOML.replace("0.999", "1.5")));
    assert!(text.contains("decay") && text.contains("from 1e-100 to 1"), "{text}");
    let text = problem(PolicySettings::from_json(&json.replace("arms", "amrs")));
    assert!(text.contains("amrs"), "{text}");
}

#[test]
fn a_policy_goes_through_a_file() {
    let folder = std::env::temp_dir().join(format!("dht-bandits-settings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("policy.json");
    let mut policy = AnyPolicy::new(PolicySettings::from_toml(TOML).unwrap()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(policy.settings().seed);
    for round in 0..9 {
        let decision = policy.decide(&Request::new(&[f64::from(round), 1.0]), &mut rng).unwrap();
        policy.learn(&decision, f64::from(round % 2)).unwrap();
    }
    policy.save(&path).unwrap();
    let loaded = AnyPolicy::load(&path).unwrap();
    assert_eq!(loaded.to_json().unwrap(), policy.to_json().unwrap());
    // No other file remains.
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::write(&path, &policy.to_json().unwrap()[..100]).unwrap();
    let text = problem(AnyPolicy::load(&path));
    assert!(text.contains("policy.json"), "{text}");
    // A file that is not text is damaged as well.
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    let text = problem(AnyPolicy::load(&path));
    assert!(text.contains("policy.json"), "{text}");
    // A file that does not exist, or cannot be read, is a different error.
    let (nothing, nowhere) = (folder.join("nothing.json"), folder.join("no/such/folder.json"));
    for (refused, file) in [(AnyPolicy::load(&nothing).map(drop), &nothing), (policy.save(&nowhere), &nowhere)] {
        let Err(Error::File { path, kind, problem }) = &refused else { panic!("{refused:?}") };
        assert_eq!((path, *kind), (file, std::io::ErrorKind::NotFound), "{problem}");
        assert!(refused.unwrap_err().to_string().starts_with(&format!("{}: ", file.display())));
    }
    let Err(Error::File { kind, .. }) = AnyPolicy::load(&folder) else { panic!("a folder is no file") };
    assert_ne!(kind, std::io::ErrorKind::NotFound);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn sizes_beyond_all_memory_are_refused_by_name() {
    let most = usize::MAX;
    for (kind, more) in [
        ("linear", ""),
        ("shared-linear", r#","features":1,"interactions":[["context","features"]]"#),
        ("hybrid", r#","features":1"#),
    ] {
        for bias in ["false", "true"] {
            let json = format!(
                r#"{{"kind":"{kind}","dimension":{most}{more},"exploration":{{"rule":"ucb","alpha":0.5}},
                "normaliser":{{"warm_up":4,"bias":{bias}}}}}"#
            );
            let text = AnyPolicy::new(PolicySettings::from_json(&json).unwrap()).unwrap_err().to_string();
            assert!(text.contains("dimension = 1.8446744073709552e19 is not allowed"), "{text}");
        }
    }
}

#[test]
fn thompson_propensities_sum_to_one_for_any_alpha() {
    for alpha in ["1e-300", "1e-100", "1e-17", "1e-15", "1e-13", "1e-9", "1e-5", "1e300"] {
        let toml = TOML.replace("alpha = 0.5", &format!("alpha = {alpha}")).replace("normaliser", "# normaliser");
        let mut policy = AnyPolicy::new(PolicySettings::from_toml(&toml).unwrap()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for round in 0..20 {
            let context = [1.0, 0.1 * f64::from(round % 4)];
            let propensities = policy.propensities(&Request::new(&context)).unwrap();
            let sum: f64 = propensities.iter().map(|entry| entry.probability).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{alpha}, round {round}: {propensities:?}");
            let decision = policy.decide(&Request::new(&context), &mut rng).unwrap();
            policy.learn(&decision, f64::from(round % 3)).unwrap();
        }
    }
}

#[test]
fn damaged_lengths_are_refused_before_memory_is_made_for_them() {
    let text = "kind = \"shared-linear\"\ndimension = 3\nfeatures = 2\ninteractions = [[\"context\", \"features\"]]\nexploration = { rule = \"ucb\", alpha = 1.0 }";
    let saved = AnyPolicy::new(PolicySettings::from_toml(text).unwrap()).unwrap().to_json().unwrap();
    // A covariance of this length would take 80 GB.
    let damaged = saved.replacen("\"dimension\":3", "\"dimension\":100000", 1);
    assert_ne!(saved, damaged);
    assert!(problem(AnyPolicy::from_json(&damaged)).contains("disagree"));
}

#[test]
fn a_reward_that_waits_for_a_scaling_is_of_an_arm_that_was() {
    let mut policy = AnyPolicy::new(PolicySettings::from_toml(TOML).unwrap()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let decision = policy.decide(&Request::new(&[0.5, 1.0]), &mut rng).unwrap();
    policy.learn(&decision, 1.0).unwrap();
    let arm = format!("\"arm\":{}", decision.arm().number());
    let saved = policy.to_json().unwrap();
    assert!(saved.contains(&arm), "{saved}");
    let text = problem(AnyPolicy::from_json(&saved.replace(&arm, "\"arm\":77")));
    assert!(text.contains("77 is unknown"), "{text}");
    policy.remove_arm(decision.arm()).unwrap();
    AnyPolicy::from_json(&policy.to_json().unwrap()).unwrap();
}

#[cfg(unix)]
#[test]
fn a_save_keeps_links_and_replaces_no_device() {
    use std::io::ErrorKind;
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let policy = AnyPolicy::new(PolicySettings::from_toml(TOML).unwrap()).unwrap();
    let is_link = |name: &str| std::fs::symlink_metadata(at(name)).unwrap().is_symlink();
    // A link to a link to a file in another folder, and a link to a missing file, as before the first save. A file that
    // an interrupted save left is neither written nor removed, since its writer may still be running.
    std::fs::create_dir(at("data")).unwrap();
    symlink("data/inner.json", at("outer.json")).unwrap();
    symlink("policy.json", at("data/inner.json")).unwrap();
    std::fs::write(at("bystander"), "kept").unwrap();
    let left = format!("data/policy.json.{}-0.partial", std::process::id());
    symlink(at("bystander"), at(&left)).unwrap();
    for _ in 0..2 {
        policy.save(at("outer.json")).unwrap();
        assert!(is_link("outer.json") && is_link("data/inner.json") && !is_link("data/policy.json"));
        assert_eq!(AnyPolicy::load(at("data/policy.json")).unwrap().to_json(), policy.to_json());
    }
    assert_eq!(std::fs::read_to_string(at("bystander")).unwrap(), "kept");
    assert!(is_link(&left));
    assert_eq!(std::fs::read_dir(at("data")).unwrap().count(), 3);
    // Not regular files: a socket, as an example of devices and pipes; a folder; and links in a circle.
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    symlink("socket", at("to-socket")).unwrap();
    symlink("circle", at("circle")).unwrap();
    for (name, expected) in [
        ("socket", ErrorKind::InvalidInput),
        ("to-socket", ErrorKind::InvalidInput),
        ("data", ErrorKind::IsADirectory),
        ("circle", ErrorKind::Other),
    ] {
        let Err(Error::File { path, kind, problem }) = policy.save(at(name)) else { panic!("{name}") };
        assert_eq!((path, kind), (at(name), expected), "{problem}");
    }
    assert!(is_link("to-socket") && !std::fs::symlink_metadata(at("socket")).unwrap().is_file());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{left:?}");
}

#[test]
fn overlapping_saves_to_one_path_never_publish_half_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    // The file is large enough for a write to be interrupted: two arms of 80 values, 90 kB.
    let settings = |arms| PolicySettings::from_toml(&TOML.replace("dimension = 2\narms = 3", arms)).unwrap();
    let policies: Vec<_> = ["dimension = 80\narms = 2", "dimension = 60\narms = 3", "dimension = 9\narms = 4"]
        .map(|arms| AnyPolicy::new(settings(arms)).unwrap())
        .into();
    let texts: Vec<_> = policies.iter().map(|policy| policy.to_json().unwrap()).collect();
    policies[0].save(&path).unwrap();
    let saving = AtomicUsize::new(policies.len());
    std::thread::scope(|scope| {
        for policy in &policies {
            let (path, saving) = (&path, &saving);
            scope.spawn(move || {
                let saved = (0..60).try_for_each(|_| policy.save(path));
                saving.fetch_sub(1, Ordering::SeqCst);
                saved.unwrap();
            });
        }
        while saving.load(Ordering::SeqCst) > 0 {
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(texts.contains(&text), "{} bytes", text.len());
            AnyPolicy::load(&path).unwrap();
        }
    });
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "no partial file");
}

#[test]
fn auto_stands_for_the_recommended_settings() {
    let read =
        |text: &str| AnyPolicy::new(PolicySettings::from_toml(text).unwrap()).map(|policy| policy.settings().clone());
    let arms = read("kind = \"auto\"\nreward = \"binary\"\ndimension = 8\narms = 4\nseed = 3").unwrap();
    assert_eq!(arms, PolicySettings::recommended(8, 4, RewardType::Binary).with_seed(3));
    assert_eq!((arms.kind, arms.prior_precision), (PolicyKind::Logistic, 0.5));
    let real = read("kind = \"auto\"\nreward = \"real\"\ndimension = 8\narms = 4").unwrap();
    assert_eq!((real.kind, real.prior_precision, real.normaliser.unwrap().rewards), (PolicyKind::Linear, 2.0, true));
    let items = read("kind = \"auto\"\nreward = \"real\"\ndimension = 2\nfeatures = 3").unwrap();
    assert_eq!(items, PolicySettings::recommended_for_items(2, 3, RewardType::Real));
    let groups = "\ngroups = { user = [0, 1] }\ninteractions = [[\"user\", \"features\"]]";
    let grouped = read(&format!("kind = \"auto\"\nreward = \"binary\"\ndimension = 2\nfeatures = 3{groups}")).unwrap();
    assert_eq!(grouped.kind, PolicyKind::SharedLogistic);
    assert_eq!(grouped.groups["user"], (0, 1));
    let items = read("kind = \"auto\"\nreward = \"binary\"\nfeatures = 3").unwrap();
    assert_eq!((items.kind, items.interactions), (PolicyKind::SharedLogistic, None));
    let free = read("kind = \"auto\"\nreward = \"binary\"\narms = 3").unwrap();
    assert_eq!(free.kind, PolicyKind::ContextFree);
    // A saved policy stores the settings that `auto` selected, so that later recommendations do not change it.
    let policy = AnyPolicy::recommended(8, 4, RewardType::Binary).unwrap();
    let loaded = AnyPolicy::from_json(&policy.to_json().unwrap()).unwrap();
    assert_eq!(loaded.settings().kind, PolicyKind::Logistic);
}

#[test]
fn auto_refuses_what_it_sets_itself() {
    let base = "kind = \"auto\"\nreward = \"binary\"\ndimension = 2\narms = 3\n";
    for key in [
        "prior_precision = 2.0",
        "exploration = { rule = \"ucb\", alpha = 0.5 }",
        "normaliser = { warm_up = 5 }",
        "shared_prior_precision = 2.0",
    ] {
        let settings = PolicySettings::from_toml(&format!("{base}{key}")).unwrap();
        assert!(problem(AnyPolicy::new(settings)).contains("name a kind"), "{key}");
    }
    let without = PolicySettings::from_toml(&base.replace("reward = \"binary\"\n", "")).unwrap();
    assert!(problem(AnyPolicy::new(without)).contains("\"binary\" (from 0 to 1) or \"real\""));
    let elsewhere = PolicySettings::from_toml(&format!("{TOML}reward = \"real\"")).unwrap();
    assert!(problem(AnyPolicy::new(elsewhere)).contains("reward"));
    let unknown = problem(PolicySettings::from_toml(&base.replace("binary", "clicks")));
    assert!(unknown.contains("clicks") && unknown.contains("line 2"), "{unknown}");
    let items = PolicySettings::from_toml(&format!("{base}features = 2")).unwrap();
    assert!(problem(AnyPolicy::new(items)).contains("arms"));
    let nothing = PolicySettings::from_toml("kind = \"auto\"\nreward = \"real\"\narms = 3").unwrap();
    assert!(problem(AnyPolicy::new(nothing)).contains("there is no context"));
}

#[test]
fn auto_takes_forgetting() {
    let base = "kind = \"auto\"\nreward = \"binary\"\ndimension = 2\n";
    let adwin = "reset = { test = \"adwin\", delta = 0.002, range = 1.0 }";
    for arms in ["arms = 3", "features = 2"] {
        for key in ["decay = 0.99", "decay = 0.99\nclock = \"time\"", "window = 9", adwin] {
            for reward in ["binary", "real"] {
                let text = format!("{base}{arms}\n{key}").replace("binary", reward);
                let policy = AnyPolicy::new(PolicySettings::from_toml(&text).unwrap()).unwrap();
                let settings = policy.settings().clone();
                assert_ne!(settings.kind, PolicyKind::Auto);
                assert_eq!(settings.clock.is_some(), key.contains("decay"), "a decay has a clock: {text}");
                assert_eq!(policy.resets(), settings.reset.map(|_| 0), "{text}");
                let loaded = AnyPolicy::from_json(&policy.to_json().unwrap()).unwrap();
                assert_eq!(loaded.settings(), &settings);
            }
        }
    }
    let both = PolicySettings::from_toml(&format!("{base}arms = 3\ndecay = 0.9\n{adwin}")).unwrap();
    assert!(problem(AnyPolicy::new(both)).contains("reset"));
}

#[test]
fn only_linear_kinds_scale_rewards() {
    let with = |kind: &str| {
        let rewards = "normaliser = { rewards = true }";
        let text = TOML.replace("linear", kind).replace("normaliser = { warm_up = 4, bias = true }", rewards);
        AnyPolicy::new(PolicySettings::from_toml(&text.replace("decay = 0.999\n", "")).unwrap())
    };
    assert_eq!(with("linear").unwrap().settings().normaliser.unwrap().warm_up, 200);
    assert!(with("linear-noise").is_ok());
    assert!(problem(with("logistic")).contains("normaliser.rewards"));
}
