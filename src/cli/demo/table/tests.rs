//! Tables good and bad.

use std::fs::File;
use std::io::Write as _;

use super::*;

fn read(text: &str) -> Result<Table, BadTable> {
    Table::read(
        Path::new("plant/file-1.csv"),
        std::io::Cursor::new(text.to_owned()),
    )
}

fn all(mut table: Table) -> Vec<(String, i64, Option<f64>)> {
    let mut out = Vec::new();
    let mut found = Vec::new();
    while table.next(&mut out) {
        assert!(out.windows(2).all(|pair| pair[0].time_ms == pair[1].time_ms));
        found.extend(out.iter().map(|reading| {
            (
                table.names[reading.stream].clone(),
                reading.time_ms,
                reading.value,
            )
        }));
    }
    found
}

#[test]
fn table_reads_wide_with_and_without_index_and_blank_cells() {
    let expected = vec![
        ("a".to_owned(), 0, Some(1.5)),
        ("b".to_owned(), 0, None),
        ("a".to_owned(), 60_000, Some(-2.0)),
        ("b".to_owned(), 60_000, Some(3.0)),
    ];
    let plain = "date,a,b\n1970-01-01 00:00:00,1.5,\n1970-01-01 00:01:00,-2,3e0\n";
    assert_eq!(all(read(plain).unwrap()), expected);
    let indexed = "index,time,a,b\n0,0,1.5,\n1,60,-2,3\n";
    assert_eq!(all(read(indexed).unwrap()), expected);
}

#[test]
fn table_reads_long_in_any_column_order_and_sorts_by_time() {
    let table = read("time,stream,value\n60,b,2\n0,a,1\n60,a,\n").unwrap();
    assert_eq!(table.range_ms(), (0, 60_000));
    let expected = vec![
        ("a".to_owned(), 0, Some(1.0)),
        ("b".to_owned(), 60_000, Some(2.0)),
        ("a".to_owned(), 60_000, None),
    ];
    assert_eq!(all(table), expected);
}

#[test]
fn table_asks_whether_semicolons_separate() {
    let bad = read("time;a;b\n2026-01-01 00:00:00;1,5;2\n").unwrap_err();
    assert!(
        bad.to_string()
            .contains("is `;` the separator? tidecast reads commas"),
        "{bad}"
    );
}

#[test]
fn table_names_a_lone_value_column_after_its_file() {
    let table = read("timestamp,value\n2013-12-02 21:15:00,73.9\n2013-12-02 21:20:00,74.1\n").unwrap();
    assert_eq!(table.names(), ["file-1"]);
    assert_eq!(table.interval_ms(), 300_000);
    assert_eq!(table.len(), 2);
}

#[test]
fn table_reads_gzip_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv.gz");
    let mut zipped = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    zipped.write_all(b"time,a\n0,1\n").unwrap();
    zipped.finish().unwrap();
    assert_eq!(all(Table::open(&path).unwrap()), [("a".to_owned(), 0, Some(1.0))]);
}

#[test]
fn table_names_line_column_and_reason_of_every_bad_cell() {
    let text = "time,a,b\n0,1,2\nnever,1,2\n60,x,inf\n120,1\n180,1,2\n";
    let bad = read(text).unwrap_err();
    let told: Vec<_> = bad
        .problems
        .iter()
        .map(|problem| (problem.line, problem.column.as_deref()))
        .collect();
    assert_eq!(
        told,
        [(3, Some("time")), (4, Some("a")), (4, Some("b")), (5, None)]
    );
    let shown = bad.to_string();
    assert!(
        shown.contains("line 4, column `a`: `x` is no finite number"),
        "{shown}"
    );
    assert!(
        shown.contains("line 5: 2 cells where the header has 3"),
        "{shown}"
    );
}

#[test]
fn table_refuses_headers_that_it_cannot_use() {
    for (text, why) in [
        ("a,b\n1,2\n", "no column is called time"),
        ("time\n1\n", "no stream follows the time"),
        ("a,b,time,c\n1,2,3,4\n", "first column"),
        ("time,a,a\n1,2,3\n", "two columns have this name"),
        ("time,a,\n1,2,3\n", "has no name"),
        ("time,a\n", "holds no value"),
        ("", "the file is empty"),
        ("\u{1}\u{2},b\n1,2\n", "found: \\u{1}\\u{2}, b"),
        ("stream,time,value\n,0,1\n", "every row names its stream"),
    ] {
        let shown = read(text).unwrap_err().to_string();
        assert!(shown.contains(why), "{text:?}: {shown}");
    }
}

#[test]
fn table_counts_problems_beyond_the_first_ten() {
    let text = format!("time,a\n{}", "0,x\n".repeat(25));
    let bad = read(&text).unwrap_err();
    assert_eq!((bad.problems.len(), bad.more), (10, 15));
}
