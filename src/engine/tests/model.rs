use std::sync::Arc;

use super::{Bench, Seen, config, lively};
use crate::engine::{Error, Model, ModelVersion, Origin, shape};

#[test]
fn model_comes_back_from_its_bytes() {
    let config = config();
    let lively = lively(&config, 0xfedc_ba98_7654_3210);
    let origin = Origin {
        version: ModelVersion(12),
        parent: Some(ModelVersion(11)),
        made: "online".into(),
        ..lively.origin()
    };
    let model = Model::from_params(origin.clone(), lively.params.clone());
    let bytes = model.to_bytes();
    assert_eq!(bytes, model.to_bytes(), "the same model gives the same bytes");
    let back = Model::from_bytes(&bytes).unwrap();
    assert_eq!(back.origin(), origin);
    assert_eq!(back.params, model.params);
    let first = Model::first(&config, 7);
    assert_eq!(
        Model::from_bytes(&first.to_bytes()).unwrap().origin(),
        first.origin()
    );
}

#[test]
fn model_that_does_not_fit_is_refused_with_both_shapes() {
    let config = config();
    let mut other = config.clone();
    other.model.hidden = 16;
    let error = Model::first(&other, 1).fits(&shape(&config)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("hidden 16") && text.contains("hidden 8"), "{text}");
    Model::first(&config, 1).fits(&shape(&config)).unwrap();
}

#[test]
fn model_with_a_weight_that_is_not_finite_is_refused() {
    let config = config();
    let first = Model::first(&config, 1);
    let mut params = first.params.clone();
    params.as_mut_slice()[3] = f32::NAN;
    let bytes = Model::from_params(first.origin(), params).to_bytes();
    assert!(matches!(
        Model::from_bytes(&bytes),
        Err(Error::NotFinite | Error::Weights(_))
    ));
    assert!(matches!(Model::from_bytes(b"no weights"), Err(Error::Weights(_))));
}

/// An untrained network repeats the experts' mix: a reader is shown the experts' weights, none of its own, and every
/// weight is still there.
#[test]
fn model_that_is_untrained_lends_its_weight_to_the_experts() {
    let config = config();
    let values: Vec<f64> = (0..200).map(|hour| (f64::from(hour) * 0.26).sin()).collect();
    for (model, silent) in [
        (Arc::new(Model::first(&config, 1)), true),
        (lively(&config, 1), false),
    ] {
        let seen = Bench::with_model(config.clone(), model).series("s", &values);
        let experts = &seen.last().and_then(Seen::forecast).unwrap().experts;
        let sum: f64 = experts.iter().map(|&(_, weight)| weight).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{experts:?}");
        let network = experts.iter().find(|&&(name, _)| name == "network").unwrap().1;
        assert_eq!(network == 0.0, silent, "{experts:?}");
    }
}

#[test]
fn priors_go_with_the_file_and_damaged_ones_are_refused() {
    use crate::engine::Priors;
    let priors = Priors {
        form: 7,
        values: vec![0.25, -1.5e-30, 3.0],
    };
    let model = Model::first(&config(), 1).with_priors(Some(priors.clone()));
    assert_eq!(Model::from_bytes(&model.to_bytes()).unwrap().priors, Some(priors));
    for bad in [
        "",
        "7",
        "7:0",
        "x:00000000",
        "7:7f800000",
        "7:zzzzzzzz",
        "7:\u{e9}\u{e9}\u{e9}\u{e9}",
    ] {
        assert_eq!(Priors::from_text(bad), None, "{bad}");
    }
}
