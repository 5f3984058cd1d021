//! Weights at rest: there and back, and every kind of damage refused.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::support::{CELLS, params, small};
use crate::nn::safetensors::{Error, decode, encode};
use crate::nn::{Cell, Params};

fn metadata() -> BTreeMap<String, String> {
    BTreeMap::from([
        ("version".to_owned(), "7".to_owned()),
        ("note".to_owned(), "a \"b\" ü".to_owned()),
    ])
}

fn file() -> Vec<u8> {
    encode(&params(&small(Cell::Gru, 2), 1), &metadata())
}

/// The file with its header changed by `edit`.
fn edited(edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let file = file();
    let len = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&file[8..8 + len]).unwrap();
    edit(&mut header);
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(&file[8 + len..]);
    bytes
}

fn rename(header: &mut Value, from: &str, to: &str) {
    let tensor = header.as_object_mut().unwrap().remove(from).unwrap();
    header[to] = tensor;
}

#[test]
fn safetensors_round_trip_is_exact_and_byte_stable() {
    for cell in CELLS {
        for layers in 1..=3 {
            let weights: Params = params(&small(cell, layers), 1);
            let bytes = encode(&weights, &metadata());
            assert_eq!(bytes, encode(&weights, &metadata()));
            let (read, texts) = decode(&bytes).unwrap();
            assert_eq!(read, weights);
            assert_eq!(texts, metadata());
        }
    }
}

#[test]
fn safetensors_carry_pytorch_names_and_shapes() {
    let bytes = file();
    let read = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let dimensions = |name: &str| read.tensor(name).unwrap().shape().to_vec();
    assert_eq!(dimensions("weight_ih_l0"), [18, 3]);
    assert_eq!(dimensions("weight_hh_l1"), [18, 6]);
    assert_eq!(dimensions("bias_hh_l1"), [18]);
    assert_eq!(dimensions("head.1.hidden.weight"), [9, 11]);
    assert_eq!(dimensions("head.1.skip.weight"), [5, 5]);
    assert_eq!(read.len(), 8 + 10);
}

#[test]
fn safetensors_truncated_anywhere_is_refused() {
    let bytes = file();
    for len in (0..bytes.len()).step_by(37).chain([bytes.len() - 1]) {
        assert!(
            matches!(decode(&bytes[..len]), Err(Error::Format(_))),
            "{len} of {}",
            bytes.len()
        );
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert!(matches!(decode(&longer), Err(Error::Format(_))));
}

#[test]
fn safetensors_refusals_name_what_is_wrong() {
    let said = |bytes: &[u8]| decode(bytes).unwrap_err().to_string();
    let missing = edited(|header| {
        header.as_object_mut().unwrap().remove("head.1.skip.weight");
    });
    assert!(matches!(decode(&missing), Err(Error::Format(_)))); // a hole in the data
    let renamed = edited(|header| rename(header, "bias_ih_l1", "bias_ih_l2"));
    assert_eq!(
        said(&renamed),
        "the tensor `bias_ih_l2` belongs to no network of this shape; leave it out"
    );
    let fewer = edited(|header| rename(header, "weight_ih_l0", "other"));
    assert!(said(&fewer).starts_with("the tensor `weight_ih_l0` is missing"));
    let turned = edited(|header| header["weight_ih_l1"]["shape"] = json!([6, 18]));
    assert!(
        said(&turned).starts_with("the tensor `weight_ih_l1` has the shape [6, 18], the others want [18, 6]")
    );
    let flat = edited(|header| header["weight_ih_l0"]["shape"] = json!([54]));
    assert!(said(&flat).starts_with("the tensor `weight_ih_l0` has the shape [54]"));
    let integers = edited(|header| header["bias_ih_l0"]["dtype"] = json!("I32"));
    assert!(said(&integers).starts_with("the tensor `bias_ih_l0` is of type `I32`"));
    let cell = edited(|header| header["__metadata__"]["nn.cell"] = json!("transformer"));
    assert!(said(&cell).starts_with("the metadata key `nn.cell` is `transformer`, must be `elman`"));
    let other_cell = edited(|header| header["__metadata__"]["nn.cell"] = json!("lstm"));
    assert!(matches!(decode(&other_cell), Err(Error::Dimensions { .. })));
    let bare = edited(|header| {
        header.as_object_mut().unwrap().remove("__metadata__");
    });
    assert!(said(&bare).starts_with("the metadata key `nn.cell` is missing"));
    for levels in [
        "0.1,0.5",
        "0.1,x,0.9",
        "",
        "0.1,0.6,0.9",
        "0.9,0.5,0.1",
        "0.1,0.5,NaN",
    ] {
        let bytes = edited(|header| header["__metadata__"]["nn.quantiles"] = json!(levels));
        assert!(
            matches!(decode(&bytes), Err(Error::Shape(_) | Error::Metadata { .. })),
            "{levels}"
        );
    }
    let fewer_levels = edited(|header| header["__metadata__"]["nn.quantiles"] = json!("0.1,0.5,0.9"));
    assert!(matches!(decode(&fewer_levels), Err(Error::Dimensions { .. })));
}

#[test]
fn safetensors_not_finite_weights_are_refused() {
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let shape = small(Cell::Lstm, 1);
        let mut weights: Params = params(&shape, 1);
        weights.as_mut_slice()[shape.head_ranges(1).output_bias.start] = broken;
        let refusal = decode(&encode(&weights, &metadata())).unwrap_err();
        assert!(
            refusal
                .to_string()
                .starts_with("the tensor `head.1.output.bias` holds a weight that is not finite")
        );
    }
}

/// No byte of the header, flipped, makes decode panic or accept a network of another shape.
#[test]
fn safetensors_flipped_header_bytes_never_panic() {
    let bytes = file();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for place in 0..8 + len {
        for bit in [0, 2, 7] {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            if let Ok((read, _)) = decode(&damaged) {
                assert_eq!(read.shape().param_count(), small(Cell::Gru, 2).param_count());
            }
        }
    }
}

#[test]
fn safetensors_empty_dimensions_are_refused() {
    let bytes = edited(|header| {
        header["weight_hh_l0"]["shape"] = json!([18, 0]);
    });
    assert!(decode(&bytes).is_err());
    let absurd = edited(|header| header["weight_ih_l0"]["shape"] = json!([u64::MAX, 2]));
    assert!(decode(&absurd).is_err());
}
