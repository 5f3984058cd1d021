//! What can go wrong with a model file.

use crate::nn;

/// A model that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another network than the pipeline's.
    #[error(
        "the weights are `{found}`, this pipeline needs `{needed}`; change `model` or `horizons`, or use other weights"
    )]
    Shape {
        /// Of the weights.
        found: String,
        /// Of the configuration.
        needed: String,
    },
    /// The file does not say where it comes from.
    #[error("metadata `{key}` is {}; `tidecast models import` writes it", match found { Some(text) => format!("`{text}`, not a number"), None => "not there".to_owned() })]
    Metadata {
        /// Name of the entry.
        key: &'static str,
        /// What stands there.
        found: Option<String>,
    },
    /// A weight is NaN or infinite.
    #[error("a weight is not finite; such a version is never served")]
    NotFinite,
    /// The file itself.
    #[error("no weights of a network")]
    Weights(#[from] nn::safetensors::Error),
}
