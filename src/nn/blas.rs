//! Matrix products of training, by OpenBLAS through ndarray.
//!
//! ndarray leaves BLAS silently where a matrix is contiguous in neither axis. All views are made here, from a row-major
//! buffer or from a range of its columns, so each is (tested).

use ndarray::{ArrayView2, ArrayViewMut2, linalg::general_mat_mul, s};

use super::element::Element;

/// Tells OpenBLAS to compute on the calling thread only. To be called once before any thread trains: at the sizes of a
/// recurrent network two BLAS threads are slower than one, and parallelism comes from workers.
#[allow(unsafe_code, reason = "OpenBLAS has no safe binding for its thread count")]
pub fn single_thread() {
    unsafe extern "C" {
        fn openblas_set_num_threads(threads: std::ffi::c_int);
    }
    // SAFETY: a function of the OpenBLAS that blas-src links, `void openblas_set_num_threads(int)`; it takes OpenBLAS's
    // own lock and is defined for every positive count.
    unsafe { openblas_set_num_threads(1) }
}

/// The first `rows` x `columns` of a row-major buffer.
pub(super) fn matrix<F: Element>(data: &[F], rows: usize, columns: usize) -> ArrayView2<'_, F> {
    ArrayView2::from_shape((rows, columns), &data[..rows * columns]).expect("the slice has that length")
}

/// The same, to be written.
pub(super) fn matrix_mut<F: Element>(data: &mut [F], rows: usize, columns: usize) -> ArrayViewMut2<'_, F> {
    ArrayViewMut2::from_shape((rows, columns), &mut data[..rows * columns])
        .expect("the slice has that length")
}

/// `columns` columns from `first` on of a matrix.
pub(super) fn columns<F: Element>(
    matrix: ArrayView2<'_, F>,
    first: usize,
    columns: usize,
) -> ArrayView2<'_, F> {
    matrix.slice_move(s![.., first..first + columns])
}

/// The same, to be written.
pub(super) fn columns_mut<F: Element>(
    matrix: ArrayViewMut2<'_, F>,
    first: usize,
    columns: usize,
) -> ArrayViewMut2<'_, F> {
    matrix.slice_move(s![.., first..first + columns])
}

/// c = a b
pub(super) fn multiply<F: Element>(a: ArrayView2<'_, F>, b: ArrayView2<'_, F>, mut c: ArrayViewMut2<'_, F>) {
    general_mat_mul(F::ONE, &a, &b, F::ZERO, &mut c);
}

/// c += a b
pub(super) fn multiply_add<F: Element>(
    a: ArrayView2<'_, F>,
    b: ArrayView2<'_, F>,
    mut c: ArrayViewMut2<'_, F>,
) {
    general_mat_mul(F::ONE, &a, &b, F::ONE, &mut c);
}

/// Each row of `out` (R,N) = `row` (N).
pub(super) fn fill_rows<F: Element>(out: &mut [F], row: &[F]) {
    for target in out.chunks_exact_mut(row.len()) {
        target.copy_from_slice(row);
    }
}

/// sums (N) += the column sums of `rows` (R,N).
pub(super) fn add_column_sums<F: Element>(rows: &[F], sums: &mut [F]) {
    for row in rows.chunks_exact(sums.len()) {
        add(sums, row);
    }
}

/// to += from
pub(super) fn add<F: Element>(to: &mut [F], from: &[F]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
