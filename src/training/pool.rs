//! What streams have learnt, averaged over them: the priors of the versions that are offered.

use crate::engine::{Priors, TapeChunk};

/// The newest so many states count: those of long ago were learnt under another network.
const STATES: f64 = 512.0;
/// Fewer say more about their streams than about the next one.
const STATES_MIN: f64 = 8.0;

/// Running mean of learnt states.
#[derive(Debug)]
pub(crate) struct Pool {
    form: u64,
    mean: Vec<f64>,
    /// States behind the mean, at most [`STATES`].
    count: f64,
}

impl Pool {
    /// Goes on from the priors of a version, if it has any.
    pub(crate) fn new(priors: Option<&Priors>) -> Self {
        Self {
            form: priors.map_or(0, |priors| priors.form),
            mean: priors.map_or_else(Vec::new, |priors| {
                priors.values.iter().map(|&x| f64::from(x)).collect()
            }),
            count: if priors.is_some() { STATES_MIN } else { 0.0 },
        }
    }

    /// Takes the states of a chunk; values of another form begin anew, and a state that is not finite is left out.
    pub(crate) fn absorb(&mut self, chunk: &TapeChunk) {
        let Some(width) = chunk.learnt.len().checked_div(chunk.learnt_count) else {
            return;
        };
        if self.form != chunk.learnt_form || self.mean.len() != width {
            *self = Self {
                form: chunk.learnt_form,
                mean: vec![0.0; width],
                count: 0.0,
            };
        }
        for state in chunk.learnt.chunks_exact(width.max(1)) {
            if state.iter().all(|value| value.is_finite()) {
                self.count = (self.count + 1.0).min(STATES);
                for (mean, &value) in self.mean.iter_mut().zip(state) {
                    *mean += (f64::from(value) - *mean) / self.count;
                }
            }
        }
    }

    /// Where a new stream begins, once enough was seen.
    pub(crate) fn priors(&self) -> Option<Priors> {
        (self.count >= STATES_MIN).then(|| Priors {
            form: self.form,
            values: self.mean.iter().map(|&mean| mean as f32).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::TapeDims;

    fn chunk(states: &[[f32; 2]], form: u64) -> TapeChunk {
        let dims = TapeDims {
            inputs: 1,
            horizons: 1,
            skips: 1,
            state: 1,
        };
        let mut chunk = TapeChunk::new(dims, 1);
        chunk.learnt = states.concat();
        chunk.learnt_count = states.len();
        chunk.learnt_form = form;
        chunk
    }

    #[test]
    fn pool_is_the_mean_of_finite_states_once_there_are_enough() {
        let mut pool = Pool::new(None);
        pool.absorb(&chunk(&[[1.0, 2.0]; 7], 5));
        assert_eq!(pool.priors(), None);
        pool.absorb(&chunk(&[[f32::NAN, 0.0], [9.0, 2.0]], 5));
        let priors = pool.priors().unwrap();
        assert_eq!((priors.form, priors.values), (5, vec![2.0, 2.0]));
    }

    #[test]
    fn pool_goes_on_from_a_version_and_begins_anew_with_another_form() {
        let priors = Priors {
            form: 5,
            values: vec![1.0, 1.0],
        };
        let mut pool = Pool::new(Some(&priors));
        assert_eq!(pool.priors(), Some(priors));
        pool.absorb(&chunk(&[[10.0, 1.0]], 5));
        assert_eq!(pool.priors().unwrap().values, vec![2.0, 1.0]);
        pool.absorb(&chunk(&[[3.0, 3.0]], 6));
        assert_eq!(pool.priors(), None);
        pool.absorb(&chunk(&[], 5));
        assert_eq!(pool.form, 6, "a chunk without states says nothing");
    }
}
