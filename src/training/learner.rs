//! One set of weights in training: the step, its guards, and the way back.

use crate::nn::{Adam, Batch, Bptt, Ema, Params, Shape, clip_global_norm};

/// On h towards the head and on the skips: it helps the width, not the centre (RECIPE §8).
const DROPOUT: f32 = 0.2;
/// Global norm that gradients are clipped to.
const NORM_MAX: f32 = 1.0;
/// Rate of the running mean of the loss that spikes are measured against: some 50 mini-batches.
const MEAN_RATE: f64 = 0.02;
/// A loss this many times its running mean is a spike; honest mini-batches vary by less than half.
const SPIKE: f64 = 4.0;
/// Bad mini-batches in a row before the weights are set back: one may be bad data.
const BAD_IN_A_ROW: u32 = 3;
/// Losses before the running mean means something.
const LOSSES_MIN: u64 = 20;

/// Where a [`Learner`] stands; the arena's layout throughout.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Standing {
    pub(crate) params: Vec<f32>,
    pub(crate) average: Vec<f32>,
    /// Adam's moments.
    pub(crate) first: Vec<f32>,
    pub(crate) second: Vec<f32>,
    /// Adam's powers.
    pub(crate) powers: [f64; 2],
    /// Updates that the average has seen.
    pub(crate) updates: u64,
    /// NaN before the first loss.
    pub(crate) loss_mean: f64,
    pub(crate) losses: u64,
    pub(crate) bad_in_a_row: u32,
}

/// What a training step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Learned {
    /// The weights moved.
    Moved { loss: f64, gradient_norm: f32 },
    /// Loss or gradient was not finite; nothing was changed.
    NonFinite,
    /// Every target of the mini-batch was masked; nothing was changed.
    Nothing,
}

/// Weights in training, their average, and the optimizer.
#[derive(Debug)]
pub(crate) struct Learner {
    params: Params,
    ema: Ema,
    adam: Adam,
    bptt: Bptt,
    /// The arena's layout.
    gradient: Vec<f32>,
    loss_mean: f64,
    losses: u64,
    bad_in_a_row: u32,
}

impl Learner {
    /// For mini-batches of at most `steps` x `rows`.
    pub(crate) fn new(start: &Params, steps: usize, rows: usize) -> Self {
        let shape: &Shape = start.shape();
        Self {
            ema: Ema::new(start.as_slice()),
            adam: Adam::new(start.as_slice().len()),
            bptt: Bptt::new(shape, steps, rows),
            gradient: vec![0.0; start.as_slice().len()],
            params: start.clone(),
            loss_mean: f64::NAN,
            losses: 0,
            bad_in_a_row: 0,
        }
    }

    /// Sets weights and average to `start` and forgets moments and losses.
    pub(crate) fn reset(&mut self, start: &Params) {
        self.params = start.clone();
        self.ema = Ema::new(start.as_slice());
        self.adam = Adam::new(start.as_slice().len());
        self.loss_mean = f64::NAN;
        self.losses = 0;
        self.bad_in_a_row = 0;
    }

    /// Where it stands.
    pub(crate) fn standing(&self) -> Standing {
        let (first, second, powers) = self.adam.parts();
        Standing {
            params: self.params.as_slice().to_vec(),
            average: self.ema.as_slice().to_vec(),
            first: first.to_vec(),
            second: second.to_vec(),
            powers,
            updates: self.ema.updates(),
            loss_mean: self.loss_mean,
            losses: self.losses,
            bad_in_a_row: self.bad_in_a_row,
        }
    }

    /// Goes on from there; the layout must be this learner's.
    pub(crate) fn resume(&mut self, standing: Standing) {
        assert_eq!(standing.params.len(), self.params.as_slice().len(), "weights");
        self.params.as_mut_slice().copy_from_slice(&standing.params);
        self.ema = Ema::from_parts(standing.average, standing.updates);
        self.adam = Adam::from_parts(standing.first, standing.second, standing.powers);
        self.loss_mean = standing.loss_mean;
        self.losses = standing.losses;
        self.bad_in_a_row = standing.bad_in_a_row;
    }

    /// One mini-batch. `seed` draws the dropout masks.
    pub(crate) fn step(&mut self, batch: &Batch, learning_rate: f64, seed: u64) -> Learned {
        let loss = self
            .bptt
            .gradient(&self.params, batch, Some((DROPOUT, seed)), &mut self.gradient);
        if loss.weight == 0.0 {
            return Learned::Nothing;
        }
        let gradient_norm = clip_global_norm(&mut self.gradient, NORM_MAX);
        let is_finite = loss.mean.is_finite() && gradient_norm.is_finite();
        if !is_finite
            || self
                .adam
                .step(self.params.as_mut_slice(), &self.gradient, learning_rate as f32)
                .is_err()
        {
            self.bad_in_a_row += 1;
            return Learned::NonFinite;
        }
        self.ema.update(self.params.as_slice());
        self.watch(loss.mean);
        Learned::Moved {
            loss: loss.mean,
            gradient_norm,
        }
    }

    fn watch(&mut self, loss: f64) {
        let is_spike = self.losses >= LOSSES_MIN && loss > SPIKE * self.loss_mean;
        self.bad_in_a_row = if is_spike { self.bad_in_a_row + 1 } else { 0 };
        self.losses += 1;
        if self.loss_mean.is_nan() {
            self.loss_mean = loss;
        }
        // A spike counts as far as it is none: a lasting change of the data becomes the new normal.
        let counted = if is_spike { SPIKE * self.loss_mean } else { loss };
        let rate = MEAN_RATE.max(1.0 / self.losses as f64);
        self.loss_mean += rate * (counted - self.loss_mean);
    }

    /// Whether the weights should be set back to sound ones.
    pub(crate) fn is_lost(&self) -> bool {
        self.bad_in_a_row >= BAD_IN_A_ROW || !self.params.is_finite()
    }

    /// Running mean of the loss; NaN before the first.
    pub(crate) fn loss_mean(&self) -> f64 {
        self.loss_mean
    }

    /// Copies the averaged weights, what would be served, to `to` of the same shape.
    pub(crate) fn copy_average(&self, to: &mut Params) {
        to.as_mut_slice().copy_from_slice(self.ema.as_slice());
    }

    /// Forward only: losses per segment (B) under `params`. Returns the weight of all targets.
    pub(crate) fn score(&mut self, params: &Params, batch: &Batch, losses: &mut Vec<f64>) -> f64 {
        losses.clear();
        losses.resize(batch.rows, f64::NAN);
        self.bptt.loss(params, batch, losses).weight
    }

    /// Norm of the loss's gradient by the state `lag` steps back, lag 0 first.
    pub(crate) fn gradient_norm_by_lag(&mut self, batch: &Batch) -> Vec<f32> {
        self.bptt.gradient_norm_by_lag(&self.params, batch)
    }

    #[cfg(test)]
    pub(crate) fn damage(&mut self, to: &Params) {
        self.params = to.clone();
        self.ema = Ema::new(to.as_slice());
    }
}
