//! Truncated back-propagation through time with carried state: the loss of a batch of segments and its gradient.
//!
//! ```text
//! h (T,B,H)  = encoder(inputs, state)                    the state is a constant: gradients stop at the first step
//! q          = heads(mask_h h, mask_x skips)             masks (B,H), (B,S): one per segment, 1/(1-rate) or 0
//! loss       = sum w l / max(sum w, 1)                   over targets that are revealed
//! ```
//! Dropout with one mask per segment follows Gal and Ghahramani 2016.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng, SeedableRng};

use super::element::Element;
use super::encoder::{Backward, Encoder, Extent, Recurrent};
use super::head::{HeadGradients, HeadInputs, Heads};
use super::{Batch, Loss, Params, Shape};

/// Buffers of one trainer for batches of up to `steps_max` x `rows_max`; allocates nothing after `new`.
#[derive(Debug)]
pub struct Bptt<F: Element = f32> {
    shape: Shape,
    largest: Extent,
    encoder: Recurrent<F>,
    heads: Heads<F>,
    /// (B,H) mask of h towards the heads.
    feature_mask: Vec<F>,
    /// (B,S) mask of the skips, the same for every horizon.
    skip_mask: Vec<F>,
    /// (T,B,H) h after dropout.
    features: Vec<F>,
    /// (T,B,K,S) skips after dropout.
    skips: Vec<F>,
    /// (T,B,H)
    d_features: Vec<F>,
    /// (B) sums of the weights per segment.
    row_weights: Vec<f64>,
    /// (`B,state_len`) after the newest batch; its first `rows_after` rows are valid.
    state_after: Vec<F>,
    rows_after: usize,
}

impl<F: Element> Bptt<F> {
    /// Buffers for that shape and size.
    ///
    /// # Panics
    /// If a size is 0.
    #[must_use]
    pub fn new(shape: &Shape, steps_max: usize, rows_max: usize) -> Self {
        assert!(
            steps_max > 0 && rows_max > 0,
            "a batch has at least one step and one row"
        );
        let largest = Extent {
            steps: steps_max,
            rows: rows_max,
        };
        let cells = largest.cells();
        let zeros = |len: usize| vec![F::ZERO; len];
        Self {
            shape: shape.clone(),
            largest,
            encoder: Recurrent::new(shape, largest),
            heads: Heads::new(shape, cells),
            feature_mask: zeros(rows_max * shape.hidden),
            skip_mask: zeros(rows_max * shape.skips),
            features: zeros(cells * shape.hidden),
            skips: zeros(cells * shape.horizons * shape.skips),
            d_features: zeros(cells * shape.hidden),
            row_weights: vec![0.; rows_max],
            state_after: zeros(rows_max * shape.state_len()),
            rows_after: 0,
        }
    }

    /// Loss of the batch; its gradient is written to `gradient` (the arena's layout; what was there is overwritten).
    /// `dropout` is (rate, seed): one mask per segment on h towards the head and one on the skips. If every target is
    /// masked the gradient is 0.
    ///
    /// # Panics
    /// If a buffer of the batch or `gradient` has the wrong length, the batch is larger than the buffers, or the
    /// dropout rate is not in [0,1).
    pub fn gradient(
        &mut self,
        params: &Params<F>,
        batch: &Batch<F>,
        dropout: Option<(f32, u64)>,
        gradient: &mut [F],
    ) -> Loss {
        self.differentiate(
            params,
            batch,
            dropout,
            Scope {
                gradient,
                first_step: 0,
                norms: None,
            },
        )
    }

    /// Loss only, without dropout. `row_losses` (B): weighted mean of each segment, NaN where all its targets are masked
    /// or their weights sum to 0.
    ///
    /// # Panics
    /// As [`Bptt::gradient`], and if `row_losses` is not (B).
    pub fn loss(&mut self, params: &Params<F>, batch: &Batch<F>, row_losses: &mut [f64]) -> Loss {
        assert_eq!(row_losses.len(), batch.rows, "row_losses (B)");
        let extent = self.encode(params, batch);
        let inputs = HeadInputs {
            weights: params.as_slice(),
            features: self.encoder.outputs(extent),
            skips: &batch.skips,
            targets: &batch.targets,
            target_weights: &batch.weights,
            first_row: 0,
        };
        let row_weights = &mut self.row_weights[..extent.rows];
        row_weights.fill(0.);
        row_losses.fill(0.);
        self.heads.run(&inputs, F::ONE, None, |cell, weight, loss| {
            row_weights[cell % extent.rows] += weight.to_f64();
            row_losses[cell % extent.rows] += weight.to_f64() * loss.to_f64();
        });
        let weight: f64 = row_weights.iter().sum();
        let mean = row_losses.iter().sum::<f64>() / weight.max(1.);
        for (loss, weight) in row_losses.iter_mut().zip(row_weights) {
            *loss /= *weight; // 0/0 is the NaN that is promised
        }
        Loss { mean, weight }
    }

    /// (`B,state_len`) state after the last step of the newest batch.
    #[must_use]
    pub fn state_after(&self) -> &[F] {
        &self.state_after[..self.rows_after * self.shape.state_len()]
    }

    /// Euclidean norm of d loss(targets of the last step) / d state after step T-1-lag, for lag 0..T-1, over all rows
    /// and layers (h, and c of the LSTM). How fast it falls with the lag is how fast gradients vanish (Pascanu et al.
    /// 2013); all 0 if the last step's targets are masked. Allocates.
    ///
    /// # Panics
    /// As [`Bptt::gradient`].
    pub fn gradient_norm_by_lag(&mut self, params: &Params<F>, batch: &Batch<F>) -> Vec<f32> {
        let mut gradient = vec![F::ZERO; self.shape.param_count()];
        let mut norms = vec![0.; batch.steps];
        let first_step = batch.steps - 1;
        let scope = Scope {
            gradient: &mut gradient,
            first_step,
            norms: Some(&mut norms),
        };
        self.differentiate(params, batch, None, scope);
        norms.iter().rev().map(|square| square.sqrt() as f32).collect()
    }

    fn differentiate(
        &mut self,
        params: &Params<F>,
        batch: &Batch<F>,
        dropout: Option<(f32, u64)>,
        scope: Scope<'_, F>,
    ) -> Loss {
        assert_eq!(scope.gradient.len(), self.shape.param_count(), "gradient (arena)");
        let extent = self.encode(params, batch);
        if let Some((rate, seed)) = dropout {
            self.mask(extent, &batch.skips, rate, seed);
        }
        let dropped = dropout.is_some();
        let features_len = extent.cells() * self.shape.hidden;
        let inputs = HeadInputs {
            weights: params.as_slice(),
            features: if dropped {
                &self.features[..features_len]
            } else {
                self.encoder.outputs(extent)
            },
            skips: if dropped {
                &self.skips[..batch.skips.len()]
            } else {
                &batch.skips
            },
            targets: &batch.targets,
            target_weights: &batch.weights,
            first_row: scope.first_step * extent.rows,
        };
        let weight = inputs.weight_sum(self.shape.horizons);
        let d_features = &mut self.d_features[..features_len];
        d_features.fill(F::ZERO);
        scope.gradient.fill(F::ZERO);
        let gradients = HeadGradients {
            weights: &mut *scope.gradient,
            features: &mut *d_features,
        };
        let mut sum = 0.;
        self.heads.run(
            &inputs,
            F::of(1. / weight.max(1.)),
            Some(gradients),
            |_, weight, loss| {
                sum += weight.to_f64() * loss.to_f64();
            },
        );
        if dropped {
            scale_rows(
                d_features,
                &self.feature_mask[..extent.rows * self.shape.hidden],
                self.shape.hidden,
                1,
            );
        }
        let pass = Backward {
            extent,
            weights: params.as_slice(),
            inputs: &batch.inputs,
        };
        self.encoder
            .backward(pass, d_features, scope.gradient, scope.norms);
        Loss {
            mean: sum / weight.max(1.),
            weight,
        }
    }

    /// Checks the batch, runs the encoder, keeps the state after.
    fn encode(&mut self, params: &Params<F>, batch: &Batch<F>) -> Extent {
        assert!(*params.shape() == self.shape, "parameters of another shape");
        batch.assert_shape(&self.shape);
        let extent = Extent {
            steps: batch.steps,
            rows: batch.rows,
        };
        assert!(
            extent.steps <= self.largest.steps && extent.rows <= self.largest.rows,
            "a batch of {extent:?} in buffers for {:?}",
            self.largest
        );
        self.encoder
            .forward(extent, params.as_slice(), &batch.inputs, &batch.state);
        self.rows_after = extent.rows;
        self.encoder
            .write_state(extent, &mut self.state_after[..batch.state.len()]);
        extent
    }

    /// Draws the masks and writes h and the skips under them.
    fn mask(&mut self, extent: Extent, skips: &[F], rate: f32, seed: u64) {
        assert!((0. ..1.).contains(&rate), "dropout rate `{rate}` is not in [0,1)");
        let (hidden, width) = (self.shape.hidden, self.shape.skips);
        let feature_mask = &mut self.feature_mask[..extent.rows * hidden];
        let skip_mask = &mut self.skip_mask[..extent.rows * width];
        let mut generator = Pcg64Mcg::seed_from_u64(seed);
        let kept = F::of(1. / (1. - f64::from(rate)));
        for mask in feature_mask.iter_mut().chain(skip_mask.iter_mut()) {
            let uniform = (generator.next_u32() >> 8) as f32 / (1 << 24) as f32;
            *mask = if uniform < rate { F::ZERO } else { kept };
        }
        let features = &mut self.features[..extent.cells() * hidden];
        features.copy_from_slice(self.encoder.outputs(extent));
        scale_rows(features, feature_mask, hidden, 1);
        let masked = &mut self.skips[..skips.len()];
        masked.copy_from_slice(skips);
        scale_rows(masked, skip_mask, width, self.shape.horizons);
    }
}

/// What to differentiate and where the results go.
struct Scope<'a, F> {
    /// The arena; overwritten.
    gradient: &'a mut [F],
    /// Targets before this step do not count.
    first_step: usize,
    /// (T) square norms of the gradient at each state.
    norms: Option<&'a mut [f64]>,
}

/// `values` (T,B,repeats,width) *= `mask` (B,width)
fn scale_rows<F: Element>(values: &mut [F], mask: &[F], width: usize, repeats: usize) {
    for step in values.chunks_exact_mut(mask.len() * repeats) {
        for (rows, mask) in step
            .chunks_exact_mut(width * repeats)
            .zip(mask.chunks_exact(width))
        {
            for row in rows.chunks_exact_mut(width) {
                row.iter_mut().zip(mask).for_each(|(value, &mask)| *value *= mask);
            }
        }
    }
}
