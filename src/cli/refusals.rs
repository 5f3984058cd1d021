//! Why sampled records are refused, and what they hold instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use crate::cli::output::counted;
use crate::codec::Reason;

/// Names of fields that are kept at most, and shown.
const FIELDS_MAX: usize = 12;
/// Refused records whose fields are looked at: producers of one topic write few forms.
const PARSED_MAX: usize = 50;
/// Tables within tables that are looked into.
const DEPTH_MAX: usize = 3;
/// Letters of a name that are shown.
const NAME_LETTERS_MAX: usize = 64;

/// Counts observations of a sample. Displays as `3735 of 3735 refused: no_stream; fields seen: …: way out`.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals {
    good: usize,
    /// By code.
    reasons: BTreeMap<Reason, usize>,
    fields: BTreeSet<String>,
    parsed: usize,
}

impl Refusals {
    pub(super) fn good(&mut self) {
        self.good += 1;
    }

    /// Counts a refused observation of a record with this value.
    pub(super) fn refused(&mut self, reason: Reason, value: Option<&[u8]>) {
        *self.reasons.entry(reason).or_default() += 1;
        if self.parsed >= PARSED_MAX {
            return;
        }
        self.parsed += 1;
        match value.map(serde_json::from_slice) {
            Some(Ok(Value::Object(fields))) => self.see("", &fields, DEPTH_MAX),
            Some(Ok(Value::Array(items))) => {
                if let Some(Value::Object(fields)) = items.first() {
                    self.see("", fields, DEPTH_MAX);
                }
            }
            _ => {}
        }
    }

    fn see(&mut self, path: &str, fields: &Map<String, Value>, depth: usize) {
        for (name, value) in fields {
            let name: String = format!("{path}{name}").chars().take(NAME_LETTERS_MAX).collect();
            match value {
                Value::Object(inner) if depth > 1 => self.see(&format!("{name}."), inner, depth - 1),
                _ if self.fields.len() < FIELDS_MAX => {
                    self.fields.insert(name.escape_debug().to_string());
                }
                _ => {}
            }
        }
    }

    fn count(&self) -> usize {
        self.reasons.values().sum()
    }

    /// Whether any was refused.
    pub(super) fn some(&self) -> bool {
        self.count() > 0
    }

    /// Whether as many were refused as were read, or more.
    pub(super) fn most(&self) -> bool {
        self.some() && self.count() >= self.good
    }
}

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = self.count();
        write!(
            f,
            "{refused} of {} refused: ",
            counted(refused + self.good, "observation")
        )?;
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count)); // stable: by code where equal
        for (index, (reason, count)) in reasons.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if reasons.len() == 1 {
                f.write_str(reason.as_str())?;
            } else {
                write!(f, "{comma}{} {count}", reason.as_str())?;
            }
        }
        if !self.fields.is_empty() {
            let fields: Vec<&str> = self.fields.iter().map(String::as_str).collect();
            write!(f, "; fields seen: {}", fields.join(", "))?;
        }
        reasons
            .first()
            .map_or(Ok(()), |(reason, _)| write!(f, "; {}", way_out(**reason)))
    }
}

const fn way_out(reason: Reason) -> &'static str {
    match reason {
        Reason::NoStream | Reason::StreamTooLong => "check input.id",
        Reason::NoTime | Reason::BadTime | Reason::TimeInFuture => "check input.time and input.time_unit",
        Reason::NoValue | Reason::NotANumber | Reason::NotFinite => "check input.values",
        Reason::TooLarge => "check input.value_max_bytes",
        _ => "JSON objects, or lists of them, are read: check input.topics",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_reason_fields_and_key() {
        let mut refusals = Refusals::default();
        for _ in 0..3735 {
            let value = br#"{"ts": 1, "sensor": "a", "temperature": 1.5, "place": {"hall": 3}}"#;
            refusals.refused(Reason::NoStream, Some(value));
        }
        assert!(refusals.most());
        assert_eq!(
            refusals.to_string(),
            "3735 of 3735 observations refused: no_stream; fields seen: place.hall, sensor, temperature, ts; check input.id"
        );
    }

    #[test]
    fn refusals_that_are_few_are_counted_by_reason() {
        let mut refusals = Refusals::default();
        assert!(!refusals.some() && !refusals.most());
        for _ in 0..5 {
            refusals.good();
        }
        refusals.refused(Reason::NoTime, Some(b"[{\"a\": 1}]"));
        refusals.refused(Reason::Malformed, Some(b"{\xff"));
        refusals.refused(Reason::Malformed, None);
        assert!(refusals.some() && !refusals.most());
        let text = refusals.to_string();
        assert!(
            text.starts_with(
                "3 of 8 observations refused: malformed 2, no_time 1; fields seen: a; JSON objects"
            ),
            "{text}"
        );
    }

    #[test]
    fn refusals_keep_few_names_whatever_is_sampled() {
        let mut refusals = Refusals::default();
        for index in 0..100 {
            let value = format!("{{\"{}{index}\": 1}}", "\u{1b}x".repeat(200).escape_debug());
            refusals.refused(Reason::NoValue, Some(value.as_bytes()));
            refusals.refused(Reason::NoValue, Some(format!("{{\"f{index}\": 1}}").as_bytes()));
        }
        assert!(refusals.fields.len() <= FIELDS_MAX);
        assert!(!refusals.to_string().contains('\u{1b}'));
    }
}
