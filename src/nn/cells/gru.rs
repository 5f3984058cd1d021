//! Gated recurrent unit (Cho et al. 2014), in `PyTorch`'s form: the reset gate acts after the product, with its bias.
//!
//! ```text
//! r  = sigmoid(W_r x + b_ir + U_r h + b_hr)              (H)
//! z  = sigmoid(W_z x + b_iz + U_z h + b_hz)              (H)
//! n  = tanh   (W_n x + b_in + r (U_n h + b_hn))          (H)
//! h' = (1 - z) n + z h = n + z (h - n)                   (H)
//! ```
//! Blocks in the order r z n.

use crate::nn::element::Element;

/// The three blocks of H.
#[inline(always)]
fn blocks<F>(gates: &[F]) -> (&[F], &[F], &[F]) {
    let hidden = gates.len() / 3;
    let (r, rest) = gates.split_at(hidden);
    let (z, n) = rest.split_at(hidden);
    (r, z, n)
}

#[inline(always)]
fn blocks_mut<F>(gates: &mut [F]) -> (&mut [F], &mut [F], &mut [F]) {
    let hidden = gates.len() / 3;
    let (r, rest) = gates.split_at_mut(hidden);
    let (z, n) = rest.split_at_mut(hidden);
    (r, z, n)
}

/// `gates` (3H): W x + `b_ih` in, r z n out. `recurrent` (3H): U h + `b_hh`. `hidden` (H): h in, h' out.
#[inline(always)]
pub(in crate::nn) fn forward<F: Element>(gates: &mut [F], recurrent: &[F], hidden: &mut [F]) {
    let len = hidden.len();
    let (r, z, n) = blocks_mut(gates);
    let (ur, uz, un) = blocks(recurrent);
    let (r, z, n) = (&mut r[..len], &mut z[..len], &mut n[..len]);
    let (ur, uz, un) = (&ur[..len], &uz[..len], &un[..len]);
    for i in 0..len {
        r[i] = (r[i] + ur[i]).sigmoid();
    }
    for i in 0..len {
        z[i] = (z[i] + uz[i]).sigmoid();
    }
    for i in 0..len {
        n[i] = (n[i] + r[i] * un[i]).tanh();
        hidden[i] = n[i] + z[i] * (hidden[i] - n[i]);
    }
}

/// `gates` (3H): r z n in, d(W x + `b_ih`) out. `recurrent` (3H): U h + `b_hh` in, d of it out. `before` (H): h.
/// `d_hidden` (H): dh' in, the direct part of dh out.
///
/// ```text
/// dz = dh' (h - n)            da_z = dz z (1 - z)
/// dn = dh' (1 - z)            da_n = dn (1 - n^2)        d(U_n h + b_hn) = da_n r
/// dr = da_n (U_n h + b_hn)    da_r = dr r (1 - r)        dh = dh' z + (through U)
/// ```
#[inline(always)]
pub(in crate::nn) fn backward<F: Element>(
    gates: &mut [F],
    recurrent: &mut [F],
    before: &[F],
    d_hidden: &mut [F],
) {
    let len = d_hidden.len();
    let (r, z, n) = blocks_mut(gates);
    let (ur, uz, un) = blocks_mut(recurrent);
    let (r, z, n) = (&mut r[..len], &mut z[..len], &mut n[..len]);
    let (ur, uz, un) = (&mut ur[..len], &mut uz[..len], &mut un[..len]);
    let before = &before[..len];
    for i in 0..len {
        let (reset, update, new, d_after) = (r[i], z[i], n[i], d_hidden[i]);
        let d_update = d_after * (before[i] - new) * update * (F::ONE - update);
        let d_new = d_after * (F::ONE - update) * (F::ONE - new * new);
        let d_reset = d_new * un[i] * reset * (F::ONE - reset);
        r[i] = d_reset;
        z[i] = d_update;
        n[i] = d_new;
        ur[i] = d_reset;
        uz[i] = d_update;
        un[i] = d_new * reset;
        d_hidden[i] = d_after * update;
    }
}
