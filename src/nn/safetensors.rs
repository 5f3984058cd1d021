//! Weights at rest: the safetensors format under `PyTorch`'s names.

use std::collections::BTreeMap;

use super::Params;

/// Why bytes are no network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not safetensors at all, truncated, or a header that contradicts the data.
    #[error("the file is no valid safetensors file: {0}; export it again")]
    Format(String),
}

/// The file's bytes: the same for the same weights and metadata. The cell and the levels are added to the metadata
/// under `nn.cell` and `nn.quantiles`.
#[must_use]
pub fn encode(_params: &Params, _metadata: &BTreeMap<String, String>) -> Vec<u8> {
    unimplemented!()
}

/// Weights and the caller's metadata.
///
/// # Errors
/// Whatever is not exactly a network that [`encode`] could have written.
pub fn decode(_bytes: &[u8]) -> Result<(Params, BTreeMap<String, String>), Error> {
    unimplemented!()
}
