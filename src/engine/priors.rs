//! Where a new stream begins: the mean of what streams of the pipeline have learnt (DESIGN, cold start).
//!
//! A row on the tape now and then brings what its stream has learnt along (`is_due`); the trainer averages it and puts
//! it into the versions that it offers. A stream that begins takes it from the version that serves: its state stays a
//! function of its own records and the switch log. Per scored horizon, in this order, all free of units:
//! ```text
//! weights of both mixtures (E without the network, E) · shares β (3) · θ of both chains (7, 7) · a_τ (Q)
//! ```

use crate::engine::dims::RowDims;
use crate::engine::index::stable_hash;
use crate::engine::row::{Layout, Row};
use crate::experts::base::SHARES;
use crate::experts::scale::{FEATURES, Scale};
use crate::experts::share::Share;
use crate::experts::{mixture, quantiles};

/// Steps after which a stream's state is its own and no longer where it began.
const MATURE_STEPS: u64 = 300;
/// A mature stream brings its state along once in so many steps: it changes slowly.
const EVERY_STEPS: u64 = 64;
/// Digits of a value in the model's file.
const DIGITS: usize = 8;

/// The mean of what streams have learnt.
#[derive(Clone, Debug, PartialEq)]
pub struct Priors {
    /// What the values are of: another pipeline's are not taken (`form_of`).
    pub form: u64,
    /// See the module's text; finite.
    pub values: Vec<f32>,
}

/// Whether a stream's state goes onto the tape at this step; `key` spreads the streams over the steps.
pub(crate) const fn is_due(key: u64, step: u64) -> bool {
    step >= MATURE_STEPS && step % EVERY_STEPS == key % EVERY_STEPS
}

/// A hash of all that gives the values their meaning.
pub(crate) fn form_of(dims: &RowDims) -> u64 {
    let names: Vec<&str> = dims.experts.iter().map(|expert| expert.name()).collect();
    let text = format!("1;{:?};{:?};{names:?}", dims.scored, dims.levels);
    stable_hash(0, text.as_bytes())
}

/// Values per scored horizon.
fn width(layout: &Layout) -> usize {
    let dims = &layout.dims;
    dims.experts.classical().len() + dims.experts.len() + SHARES + 2 * FEATURES + dims.levels.len()
}

/// Appends what a stream has learnt.
pub(crate) fn gather(layout: &Layout, row: &Row<'_>, out: &mut Vec<f32>) {
    let dims = &layout.dims;
    let (few, all) = (
        mixture::len(dims.experts.classical().len()),
        mixture::len(dims.experts.len()),
    );
    for k in 0..dims.scored.len() {
        out.extend_from_slice(mixture::weights(&row.classical_mix[k * few..(k + 1) * few]));
        out.extend_from_slice(mixture::weights(&row.served_mix[k * all..(k + 1) * all]));
        out.extend(row.shares[k * SHARES..(k + 1) * SHARES].iter().map(Share::beta));
        out.extend_from_slice(row.classical_scale[k].theta());
        out.extend_from_slice(row.served_scale[k].theta());
        let levels = dims.levels.len();
        out.extend_from_slice(&row.tracked[k * levels..(k + 1) * levels]);
    }
}

impl Priors {
    /// Makes the row of a stream that saw nothing begin here, where the values are of this layout.
    pub(crate) fn begin(&self, layout: &Layout, row: &mut Row<'_>) {
        let dims = &layout.dims;
        if self.form != layout.prior_form || self.values.len() != dims.scored.len() * width(layout) {
            return;
        }
        let (few, all) = (dims.experts.classical().len(), dims.experts.len());
        for (k, mut values) in self.values.chunks_exact(width(layout)).enumerate() {
            let mut next = |count| values.split_off(..count).expect("the width was asked for");
            let (few_len, all_len) = (mixture::len(few), mixture::len(all));
            mixture::begin(&mut row.classical_mix[k * few_len..(k + 1) * few_len], next(few));
            mixture::begin(&mut row.served_mix[k * all_len..(k + 1) * all_len], next(all));
            for (share, &beta) in row.shares[k * SHARES..].iter_mut().zip(next(SHARES)) {
                *share = Share::begin(beta);
            }
            row.classical_scale[k] = Scale::begin(next(FEATURES));
            row.served_scale[k] = Scale::begin(next(FEATURES));
            let levels = &dims.levels;
            let tracked = &mut row.tracked[k * levels.len()..(k + 1) * levels.len()];
            quantiles::begin(levels, next(levels.len()), tracked);
        }
    }

    /// As text for the model's file: the form, then the values' bits, hexadecimal.
    pub(crate) fn to_text(&self) -> String {
        let values = self.values.iter().map(|value| format!("{:08x}", value.to_bits()));
        format!("{:016x}:{}", self.form, values.collect::<String>())
    }

    /// What [`Priors::to_text`] wrote; `None` for anything else.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let (form, hex) = text.split_once(':')?;
        if !hex.is_ascii() || !hex.len().is_multiple_of(DIGITS) {
            return None;
        }
        let digits = hex.as_bytes().chunks_exact(DIGITS);
        let value = |digits: &[u8]| {
            let bits = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            Some(f32::from_bits(bits)).filter(|value| value.is_finite())
        };
        Some(Self {
            form: u64::from_str_radix(form, 16).ok()?,
            values: digits.map(value).collect::<Option<_>>()?,
        })
    }
}
