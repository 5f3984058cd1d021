//! What the linear experts keep of an origin in flight: x_s and P_s x_s in f16 (RECIPE §7), once for all horizons that it
//! is an origin of.
//!
//! Scored horizons up to 24 mature every step: their origins share one ring, as long as the largest of them. Each horizon
//! beyond has its own few. An origin is 128 bytes, two cache lines; f16 was tried and costs nothing.

use bytemuck::{Pod, Zeroable};

use crate::experts::linear::{Lesson, REGRESSORS, Vector};
use crate::experts::pending::{EVERY_STEP, IN_FLIGHT, Sampling, mark};
use crate::nn::halves::{from_halves, to_halves};
use crate::series::Rebase;

/// P_s x_s is kept this many times larger: in the directions a stream knows best it would be below f16's normal range.
const MAGNIFIED: f32 = 64.0;

/// One origin. Zeroed = none.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Origin {
    /// Which origin it is ([`mark`]); 0 = none (free).
    open: f32,
    /// σ_s (scale-like).
    sigma: f32,
    /// x_s as bits of f16 (free).
    x: [u16; REGRESSORS],
    /// 64 P_s x_s, likewise.
    u: [u16; REGRESSORS],
}

/// f32 words of one origin.
const WORDS: usize = size_of::<Origin>() / size_of::<f32>();

/// Origins of the ring shared by the scored horizons up to 24.
#[must_use]
pub fn shared_entries(scored: &[u32]) -> usize {
    let near = scored.iter().filter(|&&b| b <= EVERY_STEP);
    near.max().map_or(0, |&b| b as usize)
}

/// Where each scored horizon's origins lie in the field (K), and its length in f32 words; those up to 24 lie in one place.
#[must_use]
pub fn places(scored: &[u32]) -> (Vec<std::ops::Range<usize>>, usize) {
    let shared = 0..WORDS * shared_entries(scored);
    let mut end = shared.end;
    let place = |&b: &u32| {
        if b <= EVERY_STEP {
            return shared.clone();
        }
        let start = end;
        end += WORDS * IN_FLIGHT as usize;
        start..end
    };
    let places = scored.iter().map(place).collect();
    (places, end)
}

fn slot<'a>(origins: &'a mut [f32], sampling: &Sampling, step: u64) -> &'a mut Origin {
    let entries = (origins.len() / WORDS) as u64;
    let slot = (sampling.turn(step) % entries) as usize;
    &mut bytemuck::cast_slice_mut(origins)[slot]
}

/// Keeps x and u = P x of `step` where that is an origin of `sampling`. For horizons that share a place it is enough to
/// call it for one of them.
pub fn open(origins: &mut [f32], sampling: &Sampling, step: u64, (x, u): (&Vector, &Vector), sigma: f32) {
    if !sampling.is_origin(step) {
        return;
    }
    let origin = slot(origins, sampling, step);
    origin.open = mark(step);
    origin.sigma = sigma;
    to_halves(&x[..REGRESSORS], bytemuck::bytes_of_mut(&mut origin.x));
    let mut magnified = *u;
    for u in &mut magnified {
        *u *= MAGNIFIED;
    }
    to_halves(&magnified[..REGRESSORS], bytemuck::bytes_of_mut(&mut origin.u));
}

/// The origin at `step`, and its σ, where it is kept.
#[must_use]
pub fn find(origins: &mut [f32], sampling: &Sampling, step: u64) -> Option<(Lesson, f32)> {
    let origin = slot(origins, sampling, step);
    if origin.open != mark(step) {
        return None;
    }
    let mut lesson = Lesson {
        x: Vector::default(),
        u: Vector::default(),
        stride: sampling.stride as f32,
    };
    for (to, from) in [(&mut lesson.x, &origin.x), (&mut lesson.u, &origin.u)] {
        from_halves(bytemuck::bytes_of(from), &mut to[..REGRESSORS]);
    }
    for u in &mut lesson.u {
        *u /= MAGNIFIED;
    }
    Some((lesson, origin.sigma))
}

/// Re-bases all origins.
pub fn rebase(origins: &mut [f32], by: Rebase) {
    for origin in bytemuck::cast_slice_mut::<f32, Origin>(origins) {
        origin.sigma = by.scale(origin.sigma);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experts::pending::Flights;

    fn vectors(step: u64) -> (Vector, Vector) {
        let mut x = [0.0; 32];
        for (i, x) in x.iter_mut().enumerate().take(REGRESSORS) {
            *x = (step as f32 + i as f32).sin();
        }
        (x, x.map(|x| 1e-4 * x))
    }

    #[test]
    fn every_origin_is_found_at_its_target_with_what_it_knew() {
        let scored = [1, 12, 24, 36, 96];
        let (places, len) = places(&scored);
        assert_eq!(len, WORDS * (24 + 16 + 16));
        assert_eq!(places[0], places[2]);
        let mut field = vec![0.0; len];
        let samplings = scored.map(|b| Flights::ACCURATE.sampling(b, 24, 5));
        let mut found = [0; 5];
        for step in 0..1_000u64 {
            for (k, sampling) in samplings.iter().enumerate() {
                let Some(origin) = step.checked_sub(u64::from(sampling.horizon)) else {
                    continue;
                };
                let lesson = find(&mut field[places[k].clone()], sampling, origin);
                assert_eq!(lesson.is_some(), sampling.is_origin(origin), "{k} {step}");
                let Some((lesson, sigma)) = lesson else { continue };
                found[k] += 1;
                assert_eq!(sigma, origin as f32);
                let (x, u) = vectors(origin);
                for i in 0..32 {
                    assert!((lesson.x[i] - x[i]).abs() <= 5e-4, "{}", x[i]);
                    assert!((lesson.u[i] - u[i]).abs() <= 1e-7, "{}", u[i]);
                }
            }
            let (x, u) = vectors(step);
            for k in [0, 3, 4] {
                let origins = &mut field[places[k].clone()];
                open(origins, &samplings[k], step, (&x, &u), step as f32);
            }
        }
        assert!(found.iter().all(|&count| count > 120), "{found:?}");
    }

    #[test]
    fn what_was_not_kept_is_not_found_and_what_is_huge_stays_finite() {
        let mut field = vec![0.0; places(&[1]).1];
        let sampling = Flights::ACCURATE.sampling(1, 24, 0);
        assert!(find(&mut field, &sampling, 3).is_none());
        open(&mut field, &sampling, 3, (&[1e30; 32], &[-1e30; 32]), 1.0);
        let (lesson, _) = find(&mut field, &sampling, 3).unwrap();
        assert!(lesson.x.iter().chain(&lesson.u).all(|x| x.is_finite()));
        assert_eq!(lesson.x[30..], [0.0, 0.0]);
        assert!(find(&mut field, &sampling, 4).is_none());
    }
}
