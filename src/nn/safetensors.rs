//! Weights at rest: the safetensors format under `PyTorch`'s names and gate order.
//!
//! ```text
//! weight_ih_l{l} (G·H,D or H)  weight_hh_l{l} (G·H,H)  bias_ih_l{l} (G·H)  bias_hh_l{l} (G·H)      l = 0..L-1
//! head.{k}.hidden.weight (M,H+S)  head.{k}.hidden.bias (M)
//! head.{k}.output.weight (Q,M)    head.{k}.output.bias (Q)    head.{k}.skip.weight (Q,S)          k = 0..K-1
//! ```
//! All of type F32. Two metadata keys say what no tensor shape can: `nn.cell` (`elman`, `lstm`, `gru`) and `nn.quantiles`
//! (the levels, separated by commas). All other dimensions are read from the tensors.

use std::collections::{BTreeMap, BTreeSet};

use ::safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde_json::{Map, Value, json};

use super::{Cell, Params, Shape};

const CELL_KEY: &str = "nn.cell";
const QUANTILES_KEY: &str = "nn.quantiles";

/// Why bytes are no network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not safetensors at all, truncated, or a header that contradicts the data.
    #[error("this is no complete safetensors file; copy or export it again")]
    Format(#[source] SafeTensorError),
    /// A metadata key is missing or has no meaning.
    #[error("the metadata key `{key}` is {found}, must be {wanted}; add it when exporting")]
    Metadata {
        /// The key.
        key: &'static str,
        /// Its value, or that it is missing.
        found: String,
        /// What it may be.
        wanted: &'static str,
    },
    /// A tensor that every network has is not there.
    #[error("the tensor `{name}` is missing; export the whole network under PyTorch's names")]
    Missing {
        /// The tensor.
        name: String,
    },
    /// A tensor that no network of this shape has.
    #[error("the tensor `{name}` belongs to no network of this shape; leave it out")]
    Extra {
        /// The tensor.
        name: String,
    },
    /// A tensor of another number type.
    #[error("the tensor `{name}` is of type `{found}`, must be `F32`; convert it")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
    },
    /// A tensor whose dimensions do not fit the others.
    #[error(
        "the tensor `{name}` has the shape {found:?}, the others want {wanted:?}; export one whole network"
    )]
    Dimensions {
        /// The tensor.
        name: String,
        /// Its dimensions.
        found: Vec<usize>,
        /// The dimensions that would fit; empty where two dimensions are wanted and any will do.
        wanted: Vec<usize>,
    },
    /// Dimensions or levels that are not served.
    #[error("the network cannot be used: {0}")]
    Shape(String),
    /// A weight that is infinite or NaN.
    #[error("the tensor `{name}` holds a weight that is not finite; take an earlier checkpoint")]
    NotFinite {
        /// The tensor.
        name: String,
    },
}

/// The file's bytes: the same for the same weights and metadata. `nn.cell` and `nn.quantiles` are added to the metadata.
#[must_use]
pub fn encode(params: &Params, metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let shape = params.shape();
    let levels: Vec<String> = shape.quantiles.iter().map(f32::to_string).collect();
    let mut texts: Map<String, Value> = metadata
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    texts.insert(CELL_KEY.to_owned(), json!(shape.cell.as_str()));
    texts.insert(QUANTILES_KEY.to_owned(), json!(levels.join(",")));
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), Value::Object(texts));
    for tensor in shape.tensors() {
        let offsets = [tensor.range.start * 4, tensor.range.end * 4];
        let entry = json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": offsets });
        header.insert(tensor.name, entry);
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' '); // the data begins aligned
    let mut bytes = Vec::with_capacity(8 + header.len() + params.as_slice().len() * 4);
    bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&header);
    for weight in params.as_slice() {
        bytes.extend_from_slice(&weight.to_le_bytes());
    }
    bytes
}

/// Weights and the metadata, without the two keys that [`encode`] adds.
///
/// # Errors
/// Whatever is not exactly one finite network of a shape that is served.
pub fn decode(bytes: &[u8]) -> Result<(Params, BTreeMap<String, String>), Error> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(Error::Format)?;
    let file = SafeTensors::deserialize(bytes).map_err(Error::Format)?;
    let mut metadata: BTreeMap<String, String> = header
        .metadata()
        .clone()
        .unwrap_or_default()
        .into_iter()
        .collect();
    let shape = shape(&file, &mut metadata)?;
    let tensors = shape.tensors();
    let known: BTreeSet<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    let mut names = file.names();
    names.sort_unstable();
    if let Some(name) = names.into_iter().find(|name| !known.contains(name)) {
        return Err(Error::Extra {
            name: name.to_owned(),
        });
    }
    // The arena is allocated only once every tensor is known to be there, so a header cannot ask for more memory than
    // the file has bytes.
    for tensor in &tensors {
        let found = dimensions(&file, &tensor.name)?;
        if found != tensor.shape {
            return Err(Error::Dimensions {
                name: tensor.name.clone(),
                found,
                wanted: tensor.shape.clone(),
            });
        }
    }
    let mut arena = Vec::with_capacity(shape.param_count());
    for tensor in &tensors {
        let view = file.tensor(&tensor.name).map_err(Error::Format)?;
        let weights = view
            .data()
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        let first = arena.len();
        arena.extend(weights);
        if !arena[first..].iter().all(|weight| weight.is_finite()) {
            return Err(Error::NotFinite {
                name: tensor.name.clone(),
            });
        }
    }
    Ok((Params::from_arena(&shape, arena), metadata))
}

/// Dimensions of an F32 tensor.
fn dimensions(file: &SafeTensors<'_>, name: &str) -> Result<Vec<usize>, Error> {
    let Ok(view) = file.tensor(name) else {
        return Err(Error::Missing {
            name: name.to_owned(),
        });
    };
    if view.dtype() != Dtype::F32 {
        return Err(Error::Type {
            name: name.to_owned(),
            found: format!("{:?}", view.dtype()),
        });
    }
    Ok(view.shape().to_vec())
}

fn two_dimensions(file: &SafeTensors<'_>, name: &str) -> Result<[usize; 2], Error> {
    let found = dimensions(file, name)?;
    <[usize; 2]>::try_from(found.as_slice()).map_err(|_| Error::Dimensions {
        name: name.to_owned(),
        found,
        wanted: Vec::new(),
    })
}

/// The shape that the leading tensors and the metadata imply; takes its keys out of the metadata.
fn shape(file: &SafeTensors<'_>, metadata: &mut BTreeMap<String, String>) -> Result<Shape, Error> {
    let mut take = |key: &'static str| metadata.remove(key);
    let cell = take(CELL_KEY);
    let Some(cell) = cell.as_deref().and_then(Cell::parse) else {
        return Err(refused(CELL_KEY, cell, "`elman`, `lstm` or `gru`"));
    };
    let text = take(QUANTILES_KEY);
    let levels: Option<Vec<f32>> = text
        .as_deref()
        .and_then(|text| text.split(',').map(|level| level.trim().parse().ok()).collect());
    let Some(quantiles) = levels else {
        return Err(refused(QUANTILES_KEY, text, "levels like `0.1,0.5,0.9`"));
    };
    let counted =
        |name: &dyn Fn(usize) -> String| (0..).take_while(|&i| file.tensor(&name(i)).is_ok()).count();
    let [_, inputs] = two_dimensions(file, "weight_ih_l0")?;
    let [_, hidden] = two_dimensions(file, "weight_hh_l0")?;
    let [head_hidden, width] = two_dimensions(file, "head.0.hidden.weight")?;
    let Some(skips) = width.checked_sub(hidden) else {
        let (found, wanted) = (vec![head_hidden, width], vec![head_hidden, hidden + 1]);
        return Err(Error::Dimensions {
            name: "head.0.hidden.weight".to_owned(),
            found,
            wanted,
        });
    };
    let shape = Shape {
        cell,
        inputs,
        hidden,
        layers: counted(&|layer| format!("weight_hh_l{layer}")),
        horizons: counted(&|k| format!("head.{k}.hidden.weight")),
        skips,
        head_hidden,
        quantiles,
    };
    shape.check().map_err(Error::Shape)?;
    Ok(shape)
}

fn refused(key: &'static str, value: Option<String>, wanted: &'static str) -> Error {
    let found = value.map_or_else(|| "missing".to_owned(), |value| format!("`{value}`"));
    Error::Metadata { key, found, wanted }
}
