//! Pure numerics of the network.
//!
//! Letters, everywhere: T time, B batch, D inputs, H hidden, L layers, G gates (elman 1, gru 3, lstm 4), K horizons,
//! S skip inputs, M head units, Q quantiles. Row-major, sequences time-major (T,B,·).

/// Kind of recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// h' = tanh(W x + U h + b) (Elman 1990).
    Elman,
    /// Long short-term memory (Hochreiter and Schmidhuber 1997, with forget gate).
    Lstm,
    /// Gated recurrent unit (Cho et al. 2014, PyTorch's form).
    Gru,
}
