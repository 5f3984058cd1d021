use std::sync::Arc;

use super::{HORIZONS, Plant, config, dims, first_model};
use crate::engine::{Model, ModelVersion, Origin};
use crate::nn::{Batch, Params};
use crate::training::learner::Learner;
use crate::training::tape::{Layout, Tape};
use crate::training::{Config, Offer, Reason, Step, Trainer};

const STREAMS: usize = 16;
const INTERVAL_MS: i64 = 30_000;

/// A plant, its trainer and what serves; 30 s pass with every round of 4 steps.
pub(super) struct House {
    plant: Plant,
    pub(super) trainer: Trainer,
    pub(super) served: Arc<Model>,
    now_ms: i64,
    steps: Vec<Step>,
}

impl House {
    pub(super) fn new(config: Config, seed: u64) -> Self {
        let served = first_model();
        let mut plant = Plant::new(STREAMS, 1);
        plant.serve(Arc::clone(&served));
        let trainer = Trainer::new(config, &HORIZONS, Arc::clone(&served), seed);
        Self {
            plant,
            trainer,
            served,
            now_ms: 0,
            steps: Vec::new(),
        }
    }

    /// 4 steps of every stream and all the work that is due; what is offered is not yet published.
    fn round(&mut self) -> Option<Offer> {
        let chunk = self.plant.steps(4);
        self.trainer.absorb(chunk);
        loop {
            let step = self.trainer.work();
            if step == Step::Idle {
                break;
            }
            self.steps.push(step);
        }
        self.now_ms += INTERVAL_MS;
        self.trainer.offer(self.now_ms)
    }

    fn publish(&mut self, model: Arc<Model>) {
        self.served = Arc::clone(&model);
        self.plant.serve(Arc::clone(&model));
        self.trainer.published(model);
    }

    pub(super) fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            if let Some(offer) = self.round() {
                self.publish(offer.model);
            }
        }
    }

    /// Rounds until something is offered.
    fn until_offer(&mut self, rounds_max: usize) -> Offer {
        (0..rounds_max)
            .find_map(|_| self.round())
            .expect("something is offered in time")
    }

    fn trained(&self) -> usize {
        self.steps
            .iter()
            .filter(|step| matches!(step, Step::Trained { .. }))
            .count()
    }
}

/// Loss on rows of a plant that the trainer never saw, once its states have settled: the first 100 steps are not scored.
fn held_out(params: &Params) -> f64 {
    let mut tape = Tape::new(Layout::new(dims(), 16, &HORIZONS), 8 << 20);
    let mut plant = Plant::new(STREAMS, 99);
    let origin = Origin {
        version: ModelVersion(1),
        parent: None,
        lineage: 7,
        made: "test".into(),
    };
    plant.serve(Arc::new(Model::from_params(origin, params.clone())));
    tape.absorb(&plant.steps(100));
    tape.pass_fresh();
    tape.absorb(&plant.steps(100));
    let (mut segments, mut batch, mut losses) = (Vec::new(), Batch::default(), Vec::new());
    tape.take_fresh(64, &mut segments);
    tape.fill(&segments, &mut batch);
    Learner::new(params, 16, 64).score(params, &batch, &mut losses);
    losses.iter().filter(|loss| !loss.is_nan()).sum::<f64>() / losses.len() as f64
}

fn damaged(model: &Model) -> Params {
    let mut params = model.params.clone();
    for (i, weight) in params.as_mut_slice().iter_mut().enumerate() {
        *weight += if i % 2 == 0 { 0.7 } else { -0.7 };
    }
    params
}

#[test]
fn learning_lowers_the_held_out_loss() {
    let mut house = House::new(
        Config {
            learning_rate: 6e-3,
            ..config()
        },
        3,
    );
    let before = held_out(&house.served.params);
    house.rounds(250);
    let after = held_out(&house.served.params);
    let stats = house.trainer.stats();
    assert!(after < 0.75 * before, "{before} -> {after}, {stats:?}");
    assert!(
        stats.versions > 3 && house.served.version.0 == 1 + stats.versions,
        "{stats:?}"
    );
    assert_eq!(stats.served_version, house.served.version.0);
    assert!(
        stats.fresh_loss < 0.8 * before,
        "fresh rows say so too: {stats:?}"
    );
}

#[test]
fn nothing_is_trained_before_there_is_a_mini_batch_of_rows() {
    let mut house = House::new(config(), 3);
    // 16 rows of 16 streams are material only once all matured, 3 steps later: at the fifth round.
    for _ in 0..4 {
        assert!(house.round().is_none());
        assert_eq!(house.trained(), 0);
    }
    house.round();
    assert!(house.trained() > 0);
}

#[test]
fn visits_follow_the_schedule() {
    let mut house = House::new(config(), 3);
    house.rounds(150);
    let stats = house.trainer.stats();
    // 9600 rows; the first 600 mini-batches cost a third of their rows.
    let (start, per_row) = (600.0, 14.0 / 256.0);
    let expected = start + (9600.0 - start / (3.0 * per_row)) * per_row;
    let owed = stats.batches_owed; // the start ends with a chunk: 21 mini-batches more or less
    assert!(
        (stats.batches as f64 + owed - expected).abs() < 22.0,
        "{} of {expected}",
        stats.batches
    );
    assert!(owed < 1.0, "{owed}");
    assert_eq!(stats.rows_absorbed, 9600);
}

#[test]
fn the_gate_refuses_damaged_weights_and_without_it_they_would_pass() {
    for is_gate_open in [false, true] {
        let mut house = House::new(config(), 3);
        house.rounds(60);
        let good = held_out(&house.served.params);
        // An update's worth of mini-batches since the newest version, then damage, then no training that could heal it.
        let offer = house.until_offer(60);
        house.publish(offer.model);
        let before = house.trainer.stats().batches;
        while house.trainer.stats().batches < before + 12 {
            house.round();
        }
        let bad = damaged(&house.served);
        let (learner, schedule) = house.trainer.parts();
        learner.damage(&bad);
        schedule.stop();
        if is_gate_open {
            house.trainer.open_gate();
        }
        let refused = house.trainer.stats().refused;
        // What was scored last before the damage may still be offered.
        let offers: Vec<Offer> = (0..40).filter_map(|_| house.round()).collect();
        let worst = offers.iter().map(|offer| held_out(&offer.model.params));
        let worst = worst.fold(0.0, f64::max);
        if is_gate_open {
            assert!(
                worst > 1.5 * good,
                "the open gate lets it pass: {good} -> {worst}"
            );
        } else {
            assert!(worst < 1.1 * good, "{good} -> {worst}");
            assert!(house.trainer.stats().refused > refused + 20);
        }
    }
}

#[test]
fn a_damaged_version_is_rolled_back_to_its_ancestor() {
    let mut house = House::new(config(), 3);
    house.rounds(200); // the ancestor is some versions old: by then they are alike
    let good = Arc::clone(&house.served);
    let offer = house.until_offer(60);
    assert_eq!(offer.reason, Reason::Update);
    let bad = Model::from_params(offer.model.origin(), damaged(&offer.model));
    house.publish(Arc::new(bad));
    // Updates that would heal it meanwhile are not taken.
    let is_rollback = |offer: &Offer| matches!(offer.reason, Reason::Rollback { .. });
    let offer = (0..60).find_map(|_| house.round().filter(is_rollback));
    let offer = offer.expect("a rollback in time");
    let Reason::Rollback { to } = offer.reason else {
        panic!("{offer:?}")
    };
    assert!(to <= good.version, "an ancestor of the damaged one");
    assert_eq!(
        offer.model.version.0,
        good.version.0 + 2,
        "the newest version, not the old number"
    );
    assert_eq!(
        (offer.model.parent, offer.model.made.as_str()),
        (Some(to), "rollback")
    );
    assert_eq!(offer.model.lineage, good.lineage);
    assert!(held_out(&offer.model.params) < 1.1 * held_out(&good.params));
    house.publish(offer.model);
    assert_eq!(house.trainer.stats().rollbacks, 1);
    // And it goes on.
    let offer = house.until_offer(60);
    assert_eq!(offer.reason, Reason::Update);
}

#[test]
fn a_sound_version_is_not_rolled_back() {
    let mut house = House::new(config(), 3);
    house.rounds(200);
    let stats = house.trainer.stats();
    assert!(stats.versions > 5, "{stats:?}");
    assert!(
        stats.rollbacks * 5 <= stats.versions,
        "rollbacks are rare: {stats:?}"
    );
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let run = |seed| {
        let mut house = House::new(config(), seed);
        house.rounds(40);
        assert!(house.served.version.0 > 1);
        house
            .served
            .params
            .as_slice()
            .iter()
            .map(|w| w.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn weights_that_are_not_finite_are_survived() {
    let mut house = House::new(config(), 3);
    house.rounds(30);
    let mut broken = house.served.params.clone();
    broken.as_mut_slice().fill(f32::NAN);
    house.trainer.parts().0.damage(&broken);
    let resets = house.trainer.stats().resets;
    house.rounds(30);
    let stats = house.trainer.stats();
    assert!(house.steps.contains(&Step::NonFinite));
    assert_eq!((stats.non_finite, stats.resets), (1, resets + 1));
    assert!(stats.loss.is_finite() && house.served.params.is_finite());
    assert!(matches!(
        house.steps.last(),
        Some(Step::Trained { .. } | Step::Scored { .. })
    ));
}

#[test]
fn a_loss_spike_sets_the_weights_back() {
    let mut house = House::new(config(), 3);
    house.rounds(60);
    let (mut wild, usual) = (house.served.params.clone(), house.trainer.stats().loss_mean);
    wild.as_mut_slice().iter_mut().for_each(|weight| *weight *= 30.0);
    house.trainer.parts().0.damage(&wild);
    let resets = house.trainer.stats().resets;
    house.rounds(10);
    let stats = house.trainer.stats();
    assert_eq!(stats.resets, resets + 1, "{stats:?}");
    assert!(stats.loss < 2.0 * usual, "{stats:?}");
}

#[test]
fn offers_keep_their_interval_and_wait_for_evidence() {
    let mut house = House::new(config(), 3);
    let mut offers = 0;
    for _ in 0..80 {
        if let Some(offer) = house.round() {
            offers += 1;
            let stats = house.trainer.stats();
            assert!(stats.fresh_batches > 0, "{stats:?}");
            assert!(
                house.trainer.offer(house.now_ms + INTERVAL_MS - 1).is_none(),
                "within the interval"
            );
            house.publish(offer.model);
            assert_eq!(
                house.trainer.stats().fresh_batches,
                0,
                "new evidence for a new version"
            );
        }
    }
    assert!(offers > 0);
}

#[test]
fn an_unanswered_offer_comes_again() {
    let mut house = House::new(config(), 3);
    let first = house.until_offer(100);
    let second = house.until_offer(10);
    assert_eq!(first.model.version, second.model.version);
    assert_eq!(house.trainer.stats().versions, 0);
}

#[test]
fn anothers_version_is_adopted() {
    let mut house = House::new(config(), 3);
    house.until_offer(100);
    let origin = Origin {
        version: ModelVersion(9),
        parent: None,
        lineage: 77,
        made: "import".into(),
    };
    let imported = Arc::new(Model::from_params(origin, damaged(&first_model())));
    house.trainer.adopt(Arc::clone(&imported));
    house.plant.serve(imported);
    assert_eq!(house.trainer.stats().served_version, 9);
    let offer = house.until_offer(100);
    assert_eq!((offer.model.version.0, offer.model.lineage), (10, 77));
    assert_eq!(offer.model.parent, Some(ModelVersion(9)));
}

#[test]
fn the_gradient_by_lag_is_measured() {
    let mut house = House::new(config(), 3);
    house.rounds(20);
    let lags = house.trainer.stats().gradient_norm_by_lag;
    assert_eq!(
        lags.iter().map(|(lag, _)| *lag).collect::<Vec<_>>(),
        [0, 1, 2, 4, 8, 15]
    );
    assert!(
        lags.iter().all(|(_, norm)| norm.is_finite()) && lags[0].1 > 0.0,
        "{lags:?}"
    );
}

#[test]
fn an_offer_says_how_it_fits_once_enough_was_compared() {
    let mut house = House::new(config(), 3);
    house.rounds(400);
    let fit = house.served.fit.expect("400 rounds are enough to compare");
    assert!(
        fit.fresh > 0.0 && fit.trained > 0.0,
        "the plant can be learnt: {fit}"
    );
    let read = Model::from_bytes(&house.served.to_bytes()).unwrap().fit.unwrap();
    assert!((read.fresh - fit.fresh).abs() < 1e-4, "{read:?} {fit:?}");
}
