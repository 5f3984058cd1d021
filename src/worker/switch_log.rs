//! Base and switch log: from which offset on which version of the weights served. Travels in the
//! [metadata](super::metadata) of the committed offset, so it is exactly as old as the offset is.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::engine::ModelVersion;
use crate::series::observation::{NextOffset, Offset};

/// Limit of a committed offset's metadata, bytes (`offset.metadata.max.bytes` of the broker).
pub const METADATA_BYTES_MAX: usize = 4096;

/// Entries at most. 64 of the longest (two numbers of 19 and 20 digits) take 2.7 KB; more would come near the broker's
/// limit, fewer would stop learning sooner.
pub const SWITCHES_MAX: usize = 64;

/// Entries that only a rollback may take: bad weights must go even where the log has no room for better ones. The gate
/// makes rollbacks rare; each entry more would be one less for learning.
const SWITCHES_RESERVED: usize = 8;

/// Entries from which on only rollbacks are adopted.
pub const SWITCHES_LEARNT_MAX: usize = SWITCHES_MAX - SWITCHES_RESERVED;

/// Switches that cost no waiting: a young network learns fastest.
const SWITCHES_FREE: usize = 16;

/// After how many further switches the spacing doubles: the log then lasts three weeks without a restart. A restart
/// folds what is older than `rebuild`, a week by default, so that the log must last longer than that. More would fill it
/// within days, fewer would serve versions that are much older than the newest.
const SWITCHES_PER_DOUBLING: usize = 3;

const FORMAT: &str = "1";
const FORM: &str = "it is not of the form `1;base;offset:version,…`";

/// Which version served from which offset on. It reaches back to the base, or, once there are snapshots, to the oldest one
/// kept: no restore begins before it.
///
/// Invariant: empty (nothing was ever served), or the first entry lies at the base or later; offsets ascend strictly; at
/// most [`SWITCHES_MAX`] entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchLog {
    base: NextOffset,
    entries: Vec<(NextOffset, ModelVersion)>,
}

/// Why a metadata text is not ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata `{text}` is no switch log: {reason}")]
pub struct ParseError {
    text: String,
    reason: &'static str,
}

impl ParseError {
    pub(super) fn new(text: &str, reason: &'static str) -> Self {
        let text = text.chars().take(80).collect();
        Self { text, reason }
    }
}

impl SwitchLog {
    /// From `base;<offset>:<version>,…`.
    pub(super) fn of_fields(text: &str) -> Result<Self, &'static str> {
        of_fields(text)
    }

    /// A log of a partition that nothing has served yet.
    #[must_use]
    pub const fn new(base: NextOffset) -> Self {
        Self {
            base,
            entries: Vec::new(),
        }
    }

    /// A log of these switches; the first may lie after the base, where what served before it was forgotten.
    ///
    /// # Panics
    /// Where they do not ascend from the base, or are too many.
    #[must_use]
    pub(crate) fn serving(base: NextOffset, entries: Vec<(NextOffset, ModelVersion)>) -> Self {
        let ascend = entries.is_sorted_by(|one, other| one.0 < other.0);
        assert!(
            ascend && entries.len() <= SWITCHES_MAX,
            "switches of a log ascend"
        );
        assert!(
            entries.first().is_none_or(|first| first.0 >= base),
            "no switch lies before the base"
        );
        Self { base, entries }
    }

    /// Before it, nothing ever entered the state.
    #[must_use]
    pub const fn base(&self) -> NextOffset {
        self.base
    }

    /// Switches, ascending.
    #[must_use]
    pub fn entries(&self) -> &[(NextOffset, ModelVersion)] {
        &self.entries
    }

    /// Whether another version may be adopted.
    #[must_use]
    pub const fn has_room(&self, is_rollback: bool) -> bool {
        let max = if is_rollback {
            SWITCHES_MAX
        } else {
            SWITCHES_LEARNT_MAX
        };
        self.entries.len() < max
    }

    const fn is_full(&self) -> bool {
        self.entries.len() >= SWITCHES_MAX
    }

    /// Whether a text is a log of a newer release: it names versions, and which cannot be told.
    #[must_use]
    pub fn is_newer(text: &str) -> bool {
        let format = text.split_once(';').and_then(|(format, _)| number(format).ok());
        format.is_some_and(|format| format > 1)
    }

    /// Least time until the next switch that is no rollback: none at first, then doubling.
    #[must_use]
    pub fn spacing(&self) -> Duration {
        let Some(beyond) = self.entries.len().checked_sub(SWITCHES_FREE) else {
            return Duration::ZERO;
        };
        let doublings = u32::try_from(beyond / SWITCHES_PER_DOUBLING).unwrap_or(u32::MAX);
        Duration::from_secs(60).saturating_mul(2_u32.saturating_pow(doublings))
    }

    /// Notes that `version` serves from `from` on. A switch at the last one's offset replaces it: nothing was served in
    /// between.
    ///
    /// # Panics
    /// Where the log is full, or `from` lies before the last switch or before the base.
    pub fn switch(&mut self, from: NextOffset, version: ModelVersion) {
        let newest = self.entries.last().map_or(self.base, |entry| entry.0);
        assert!(from >= newest, "a switch at {from} after one at {newest}");
        let from = if self.entries.is_empty() { self.base } else { from };
        if self.entries.last().is_some_and(|entry| entry.0 == from) {
            self.entries.pop();
        }
        assert!(!self.is_full(), "a switch log holds {SWITCHES_MAX} entries");
        self.entries.push((from, version));
    }

    /// Raises the base: what served there becomes the first entry. A lower `base` changes nothing.
    pub fn fold(&mut self, base: NextOffset) {
        if base <= self.base {
            return;
        }
        self.base = base;
        let folded = self.entries.partition_point(|entry| entry.0 <= base);
        if folded > 0 {
            self.entries.drain(..folded - 1);
            self.entries[0].0 = base;
        }
    }

    /// Forgets what served only before `oldest`, the offset of the oldest snapshot that is kept.
    pub fn forget_before(&mut self, oldest: NextOffset) {
        let over = self.entries.partition_point(|entry| entry.0 <= oldest);
        self.entries.drain(..over.saturating_sub(1));
    }

    /// For a replay from the base although what served there was forgotten: the oldest version known stands in. Whether
    /// one has to.
    pub fn reach_back(&mut self) -> bool {
        match self.entries.first_mut() {
            Some(first) if first.0 > self.base => {
                first.0 = self.base;
                true
            }
            _ => false,
        }
    }

    /// Whether `past`, as of offset `at`, is what this log says of the time until then. It has to reach back as far: a log
    /// only forgets, so that an older one of the same past knows more.
    #[must_use]
    pub fn continues(&self, past: &Self, at: NextOffset) -> bool {
        let (Some(first), Some(other)) = (self.entries.first(), past.entries.first()) else {
            return self.base == past.base && past.entries.is_empty();
        };
        let from = first.0.max(other.0);
        self.base == past.base && other.0 <= first.0 && self.between(from, at).eq(past.between(from, at))
    }

    /// What serves at `from`, and the switches after it and before `until`.
    fn between(
        &self,
        from: NextOffset,
        until: NextOffset,
    ) -> impl Iterator<Item = (NextOffset, ModelVersion)> {
        let serving = self
            .entries
            .partition_point(|entry| entry.0 <= from)
            .saturating_sub(1);
        self.entries[serving..]
            .iter()
            .map(move |&(offset, version)| (offset.max(from), version))
            .take_while(move |entry| entry.0 < until)
    }

    /// The switches that a record at `offset` is behind of and one at `seen` was not: the last of them counts.
    #[must_use]
    pub fn due(&self, seen: usize, offset: Offset) -> usize {
        self.entries[seen..].partition_point(|entry| !entry.0.is_past(offset))
    }
}

impl fmt::Display for SwitchLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORMAT};{};", self.base)?;
        for (index, (offset, version)) in self.entries.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{offset}:{}", version.0)?;
        }
        Ok(())
    }
}

/// Digits only, without leading zeros: exactly what is written here, so that nothing foreign passes by chance.
pub(super) fn number(text: &str) -> Result<i64, &'static str> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (text.len() > 1 && text.starts_with('0')) {
        return Err("a number is not written plainly");
    }
    text.parse().map_err(|_| "a number is too large")
}

fn parse(text: &str) -> Result<SwitchLog, &'static str> {
    match text.split_once(';') {
        Some((FORMAT, fields)) => SwitchLog::of_fields(fields),
        _ => Err(FORM),
    }
}

fn of_fields(text: &str) -> Result<SwitchLog, &'static str> {
    if text.len() > METADATA_BYTES_MAX {
        return Err("it is too long");
    }
    let (base, entries) = text.split_once(';').ok_or(FORM)?;
    let mut log = SwitchLog::new(NextOffset(number(base)?));
    if entries.is_empty() {
        return Ok(log);
    }
    for entry in entries.split(',') {
        let (offset, version) = entry
            .split_once(':')
            .ok_or("an entry is not of the form `offset:version`")?;
        let offset = NextOffset(number(offset)?);
        let version = number(version)?;
        let follows = match log.entries.last() {
            None => offset >= log.base,
            Some(last) => offset > last.0,
        };
        if !follows || version == 0 || log.is_full() {
            return Err("its entries do not ascend from the base, or are too many");
        }
        log.entries.push((offset, ModelVersion(version.unsigned_abs())));
    }
    Ok(log)
}

impl FromStr for SwitchLog {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text).map_err(|reason| ParseError::new(text, reason))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_log_reads_back_as_written() {
        let mut log = SwitchLog::new(NextOffset(100));
        assert_eq!(log.to_string(), "1;100;");
        log.switch(NextOffset(150), ModelVersion(1)); // the first one counts from the base
        log.switch(NextOffset(200), ModelVersion(2));
        log.switch(NextOffset(200), ModelVersion(3));
        assert_eq!(log.to_string(), "1;100;100:1,200:3");
        assert_eq!(log.to_string().parse(), Ok(log.clone()));
        log.forget_before(NextOffset(200));
        log.switch(NextOffset(200), ModelVersion(4)); // what served before 200 stays forgotten
        assert_eq!(log.to_string(), "1;100;200:4");
    }

    #[test]
    fn what_is_not_written_here_is_refused() {
        for text in [
            "",
            "1",
            "1;",
            "1;5",
            "2;5;",
            "1;5;;",
            "1;-5;",
            "1; 5;",
            "1;05;",
            "1;5;5:1,",
            "1;5;4:1",
            "1;5;5:0",
            "1;5;5:1,5:2",
            "1;5;5:1,4:2",
            "1;5;5",
            "1;5;5:1:2",
            "1;9223372036854775808;",
            "1;5;5:+1",
            "x",
        ] {
            assert!(text.parse::<SwitchLog>().is_err(), "`{text}` passed");
        }
    }

    #[test]
    fn a_full_log_of_the_longest_numbers_fits_the_brokers_limit() {
        let base = i64::MAX - 100;
        let mut log = SwitchLog::new(NextOffset(base));
        for step in 0..64 {
            assert!(!log.is_full());
            log.switch(NextOffset(base + step), ModelVersion(i64::MAX as u64));
        }
        assert!(log.is_full());
        assert!(
            log.to_string().len() <= METADATA_BYTES_MAX,
            "{}",
            log.to_string().len()
        );
        assert_eq!(log.to_string().parse(), Ok(log));
    }

    #[test]
    fn folding_keeps_what_serves_from_the_new_base_on() {
        let log: SwitchLog = "1;0;0:1,10:2,20:3".parse().unwrap();
        for (base, expected) in [
            (0, "1;0;0:1,10:2,20:3"),
            (5, "1;5;5:1,10:2,20:3"),
            (10, "1;10;10:2,20:3"),
            (15, "1;15;15:2,20:3"),
            (99, "1;99;99:3"),
        ] {
            let mut folded = log.clone();
            folded.fold(NextOffset(base));
            assert_eq!(folded.to_string(), expected);
        }
    }

    #[test]
    fn what_no_restore_needs_is_forgotten_and_a_stand_in_is_told() {
        let log: SwitchLog = "1;0;0:1,10:2,20:3".parse().unwrap();
        for (oldest, expected, reached) in [
            (0, "1;0;0:1,10:2,20:3", "1;0;0:1,10:2,20:3"),
            (9, "1;0;0:1,10:2,20:3", "1;0;0:1,10:2,20:3"),
            (10, "1;0;10:2,20:3", "1;0;0:2,20:3"),
            (15, "1;0;10:2,20:3", "1;0;0:2,20:3"),
            (99, "1;0;20:3", "1;0;0:3"),
        ] {
            let mut kept = log.clone();
            kept.forget_before(NextOffset(oldest));
            assert_eq!(kept.to_string(), expected);
            assert_eq!(kept.to_string().parse(), Ok(kept.clone()));
            assert_eq!(kept.reach_back(), expected != reached);
            assert_eq!(kept.to_string(), reached);
        }
    }

    #[test]
    fn a_log_continues_its_own_past_only() {
        for (past, at, continues) in [
            ("1;0;0:1,10:2,20:3", 30, true),
            ("1;0;0:1,10:2", 15, true),
            ("1;0;0:1,10:2", 20, true),
            ("1;0;0:1,10:2", 21, false), // 3 served from 20 on
            ("1;0;0:1,10:4", 15, false),
            ("1;0;0:1,10:4", 10, true), // it served nothing yet
            ("1;0;0:1,11:2", 15, false),
            ("1;5;5:1,10:2", 15, false), // another base
            ("1;0;", 0, true),
        ] {
            let log: SwitchLog = "1;0;0:1,10:2,20:3".parse().unwrap();
            assert_eq!(
                log.continues(&past.parse().unwrap(), NextOffset(at)),
                continues,
                "{past} at {at}"
            );
        }
        let kept: SwitchLog = "1;0;10:2,20:3".parse().unwrap();
        assert!(kept.continues(&"1;0;0:1,10:2".parse().unwrap(), NextOffset(15)));
        assert!(
            kept.continues(&"1;0;0:7,5:2".parse().unwrap(), NextOffset(15)),
            "2 served from 10 on"
        );
        assert!(!kept.continues(&"1;0;0:7,5:1".parse().unwrap(), NextOffset(15)));
        // Made anew from the base by version 2, where another had served before 10.
        let anew: SwitchLog = "1;0;0:2,20:3".parse().unwrap();
        assert!(!anew.continues(&kept, NextOffset(15)));
    }

    #[test]
    fn switches_are_due_at_their_offset() {
        let log: SwitchLog = "1;0;0:1,10:2,20:3".parse().unwrap();
        assert_eq!(log.due(1, Offset(9)), 0);
        assert_eq!(log.due(1, Offset(10)), 1);
        assert_eq!(log.due(1, Offset(25)), 2);
        assert_eq!(log.due(3, Offset(25)), 0);
    }

    #[test]
    fn spacing_spreads_the_log_over_three_weeks_and_keeps_room_for_rollbacks() {
        let mut log = SwitchLog::new(NextOffset(0));
        let mut total = Duration::ZERO;
        for step in 0.. {
            total += log.spacing();
            if !log.has_room(false) {
                break;
            }
            log.switch(NextOffset(step), ModelVersion(1));
        }
        let days = total.as_secs() / 86400;
        assert!((20..30).contains(&days), "{days}");
        assert_eq!(log.entries().len(), 56);
        for step in 0..8 {
            assert!(log.has_room(true));
            log.switch(NextOffset(100 + step), ModelVersion(1));
        }
        assert!(!log.has_room(true) && log.is_full());
    }

    proptest! {
        #[test]
        fn parsing_anything_never_panics_and_what_passes_reads_back(text in "[0-9;:,1]{0,40}|.{0,40}") {
            if let Ok(log) = text.parse::<SwitchLog>() {
                prop_assert_eq!(log.to_string(), text);
            }
        }
    }
}
