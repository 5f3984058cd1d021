use std::collections::BTreeMap;
use std::sync::Arc;

use super::trainer::House;
use super::{HORIZONS, config};
use crate::engine::ModelVersion;
use crate::training::{State, StateError, Trainer};

const ROUNDS: usize = 70;

/// A house after some rounds, and every version that served in it.
fn lived(rounds: usize) -> (House, BTreeMap<u64, Arc<crate::engine::Model>>) {
    let mut house = House::new(config(), 3);
    let mut versions = BTreeMap::from([(1, Arc::clone(&house.served))]);
    for _ in 0..rounds {
        house.rounds(1);
        versions.insert(house.served.version.0, Arc::clone(&house.served));
    }
    (house, versions)
}

#[test]
fn a_trainer_that_was_stopped_goes_on_bitwise() {
    let (mut whole, _) = lived(ROUNDS);
    let (mut stopped, versions) = lived(ROUNDS);
    let bytes = stopped.trainer.state().to_bytes();
    let mut again = Trainer::new(config(), &HORIZONS, Arc::clone(&stopped.served), 99);
    assert_ne!(
        again.state().to_bytes(),
        bytes,
        "the negative control: a new one is not there yet"
    );
    again.swap_tape(&mut stopped.trainer); // the same batches
    let state = State::from_bytes(&bytes).unwrap();
    let ancestor = state.ancestor().map(|version| Arc::clone(&versions[&version.0]));
    assert!(ancestor.is_some(), "the test wants one");
    again.resume(state, ancestor).unwrap();
    assert_eq!(again.state().to_bytes(), bytes);
    stopped.trainer = again;
    let version = stopped.served.version;
    whole.rounds(80);
    stopped.rounds(80);
    assert!(
        whole.served.version > version,
        "versions were published meanwhile"
    );
    assert_eq!(stopped.served.origin(), whole.served.origin());
    assert_eq!(stopped.served.params, whole.served.params);
    assert_eq!(
        stopped.trainer.state().to_bytes(),
        whole.trainer.state().to_bytes()
    );
}

#[test]
fn a_state_without_its_ancestor_goes_on_without_a_way_back() {
    let (house, _) = lived(ROUNDS);
    let state = house.trainer.state();
    assert!(state.ancestor().is_some());
    let mut again = Trainer::new(config(), &HORIZONS, Arc::clone(&house.served), 3);
    again.resume(state.clone(), None).unwrap();
    assert_eq!(again.state().ancestor(), None);
    // Another model than the one that is named is none.
    again.resume(state, Some(Arc::clone(&house.served))).unwrap();
    assert_eq!(again.state().ancestor(), None);
}

#[test]
fn a_state_of_other_weights_is_refused_and_changes_nothing() {
    let (house, _) = lived(10);
    let mut again = Trainer::new(config(), &HORIZONS, Arc::clone(&house.served), 3);
    let before = again.state().to_bytes();
    let state = house.trainer.state();
    for (other, what) in [
        (
            State {
                served: ModelVersion(9),
                ..state.clone()
            },
            "version",
        ),
        (
            State {
                lineage: 1,
                ..state.clone()
            },
            "lineage",
        ),
        (
            State {
                weights: state.weights ^ 1,
                ..state.clone()
            },
            "weights with the checksum",
        ),
    ] {
        let error = again.resume(other, None).unwrap_err();
        assert!(
            matches!(error, StateError::Another { what: found, .. } if found == what),
            "{error}"
        );
    }
    assert_eq!(again.state().to_bytes(), before);
}

#[test]
fn a_state_that_is_damaged_anywhere_is_refused() {
    let (house, _) = lived(10);
    let state = house.trainer.state();
    let bytes = state.to_bytes();
    assert_eq!(State::from_bytes(&bytes).unwrap(), state);
    for length in [0, 5, 12, 15, 40, bytes.len() / 2, bytes.len() - 1] {
        assert!(State::from_bytes(&bytes[..length]).is_err(), "{length}");
    }
    for place in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x40;
        assert!(State::from_bytes(&damaged).is_err(), "{place}");
    }
    let mut longer = bytes;
    longer.push(0);
    let error = State::from_bytes(&longer).unwrap_err();
    assert!(matches!(error, StateError::Length { .. }), "{error}");
    let mut wild = state;
    wild.learner.second[0] = -1.0;
    let error = State::from_bytes(&wild.to_bytes()).unwrap_err();
    assert!(matches!(error, StateError::Numbers), "{error}");
}
