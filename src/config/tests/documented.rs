//! `config/tidecast.toml` and what is served do not drift apart.

use std::collections::BTreeSet;

use super::Given;
use crate::config::{DEFAULTS, keys, load};

#[test]
fn documented_keys_are_the_keys_that_are_served() {
    let documented: BTreeSet<String> = keys::documented().into_iter().collect();
    let served: BTreeSet<String> = load::served().into_iter().collect();
    assert_eq!(
        documented.difference(&served).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "documented, not served"
    );
    assert_eq!(
        served.difference(&documented).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "served, not documented"
    );
}

#[test]
fn documented_keys_each_have_a_reload_class() {
    let mut comment = String::new();
    for line in DEFAULTS.lines() {
        let is_key = line.contains(" = ") && !line.starts_with("# ") && !line.starts_with("#   ");
        if line.starts_with("# ") || line == "#" || line.starts_with("#  ") {
            comment.push_str(line);
        } else if is_key {
            let class = ["live", "pipeline", "rebuild", "process"]
                .iter()
                .any(|class| comment.contains(&format!("reload: {class}")));
            assert!(class, "`{line}` has no reload class in its comment: {comment}");
            comment.clear();
        } else {
            comment.clear();
        }
    }
}

#[test]
fn documented_lines_fit_a_screen() {
    let wide: Vec<_> = DEFAULTS
        .lines()
        .filter(|line| line.chars().count() > 130)
        .collect();
    assert!(wide.is_empty(), "{wide:#?}");
}

#[test]
fn documented_example_is_valid() {
    let example = include_str!("../../../config/examples/plant.toml");
    let resolved = Given::default().file("plant.toml", example).load().unwrap();
    assert_eq!(
        resolved.config.pipelines[0].worker.input.values,
        ["temperature", "pressure"]
    );
    assert_eq!(
        resolved.config.pipelines[0].worker.engine.horizons,
        [1, 2, 3, 6, 12]
    );
}
