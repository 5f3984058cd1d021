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

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize, seed: usize) -> Vec<f64> {
        (0..len)
            .map(|i| ((i * 7 + seed) as f64 * 12.9898).sin())
            .collect()
    }

    /// What ndarray asks before it calls BLAS: one axis of stride 1, the other at least as long as a line.
    fn goes_to_blas(view: &ArrayView2<'_, f64>) -> bool {
        let ((rows, columns), strides) = (view.dim(), view.strides());
        (strides[1] == 1 && strides[0] as usize >= columns)
            || (strides[0] == 1 && strides[1] as usize >= rows)
    }

    #[test]
    fn every_view_is_one_that_blas_takes() {
        let data = noise(40 * 31, 1);
        let whole = matrix(&data, 40, 31);
        for view in [
            whole,
            whole.reversed_axes(),
            columns(whole, 5, 9),
            columns(whole, 5, 9).reversed_axes(),
        ] {
            assert!(goes_to_blas(&view), "{:?} {:?}", view.dim(), view.strides());
        }
        assert!(
            !goes_to_blas(&whole.slice(s![..;2, ..;2])),
            "the check finds nothing"
        );
    }

    #[test]
    fn products_equal_their_naive_twin() {
        for (rows, inner, outputs) in [(1, 1, 1), (3, 7, 5), (40, 9, 17), (64, 48, 144)] {
            let (a, b) = (noise(rows * (inner + 4), 2), noise(outputs * inner, 3));
            let a = columns(matrix(&a, rows, inner + 4), 2, inner);
            let b = matrix(&b, outputs, inner);
            let start = noise(rows * (outputs + 3), 4);
            let mut c = start.clone();
            multiply_add(
                a,
                b.t(),
                columns_mut(matrix_mut(&mut c, rows, outputs + 3), 1, outputs),
            );
            for (row, column) in (0..rows).flat_map(|row| (0..outputs + 3).map(move |column| (row, column))) {
                let place = row * (outputs + 3) + column;
                let inside = (1..=outputs).contains(&column);
                let sum: f64 = (0..inner)
                    .filter(|_| inside)
                    .map(|k| a[[row, k]] * b[[column - 1, k]])
                    .sum();
                assert!((c[place] - start[place] - sum).abs() < 1e-12);
            }
            multiply(
                a,
                b.t(),
                columns_mut(matrix_mut(&mut c, rows, outputs + 3), 1, outputs),
            );
            assert!((c[1] - (0..inner).map(|k| a[[0, k]] * b[[0, k]]).sum::<f64>()).abs() < 1e-12);
        }
    }

    #[test]
    fn column_sums_accumulate() {
        let mut sums = [1., 2.];
        add_column_sums(&[1., 10., 100., 1000.], &mut sums);
        assert_eq!(sums, [102., 1012.]);
    }
}
