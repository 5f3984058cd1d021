use super::{Bench, config};
use crate::engine::index::stable_hash;
use crate::engine::row::{Layout, ROW_FORMAT};
use crate::engine::{FieldSize, row_table};

fn bytes(fields: &[FieldSize]) -> usize {
    fields.iter().map(|field| field.bytes).sum()
}

#[test]
fn row_table_adds_up_to_the_row() {
    let mut config = config();
    config.model.hidden = 48;
    let fields = row_table(&config);
    assert_eq!(bytes(&fields), 4 * Layout::new(&config).words());
    assert!(bytes(&fields).is_multiple_of(64));
    assert!(fields.iter().all(|field| !field.what.is_empty()));
}

#[test]
fn row_stays_within_its_budget() {
    let mut config = config();
    config.model.hidden = 48;
    config.horizons = (1..=12).collect();
    let default = bytes(&row_table(&config));
    assert!(default <= 21 * 1024, "12 horizons: {default}");
    config.horizons = vec![1, 12, 24, 96];
    let day = bytes(&row_table(&config));
    assert!(day <= 30 * 1024, "1, 12, 24, 96: {day}");
}

#[test]
fn experts_that_take_no_part_cost_no_bytes() {
    let mut config = config();
    let all = bytes(&row_table(&config));
    config.experts = vec!["last".to_owned(), "day".to_owned()];
    assert!(bytes(&row_table(&config)) < all);
    let mut bench = Bench::new(config);
    let values: Vec<f64> = (0..120).map(|t| f64::from(t % 24)).collect();
    let seen = bench.series("s", &values);
    let names: Vec<&str> = seen[119]
        .forecast()
        .unwrap()
        .experts
        .iter()
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(names, ["last", "day"]);
}

#[test]
fn row_format_changes_with_the_row() {
    let fields = row_table(&config());
    let text: Vec<String> = fields
        .iter()
        .map(|field| format!("{} {}", field.name, field.bytes))
        .collect();
    assert_eq!(
        (ROW_FORMAT, stable_hash(0, text.join("\n").as_bytes())),
        (2, 14_620_300_148_685_092_745),
        "rows of earlier snapshots would be misread: raise `ROW_FORMAT`, then set this number"
    );
}
