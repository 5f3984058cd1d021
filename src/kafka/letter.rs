//! What a dead letter loses where its topic has no room for it whole.

use crate::codec::headers;
use crate::worker::ports::Outgoing;

/// Bytes around key, value and headers: the record's own lengths, and its share of a batch of one.
const RECORD_BYTES: usize = 128;
/// Bytes around a header's name and value: their lengths.
const HEADER_BYTES: usize = 10;

/// How much is left out; each step leaves out what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// As the worker made it.
    Nothing,
    /// Its value: what is left still says who sent it, and why it was refused.
    Value,
    /// The headers as received, too: no reader of ours needs them.
    Headers,
    /// The key, too. Left are the headers that name source and reason, whose size is bounded: every topic that takes
    /// records of a few kilobytes takes that.
    Key,
}

impl Cut {
    /// The first with which `record` takes at most `max` bytes; the last one where none does.
    pub(super) fn to_fit(record: &Outgoing<'_>, max: usize) -> Self {
        let mut cut = Self::Nothing;
        while cut.apply(record, bytes) > max {
            let Some(further) = cut.further() else { break };
            cut = further;
        }
        cut
    }

    /// The next one that leaves out more.
    pub(super) const fn further(self) -> Option<Self> {
        match self {
            Self::Nothing => Some(Self::Value),
            Self::Value => Some(Self::Headers),
            Self::Headers => Some(Self::Key),
            Self::Key => None,
        }
    }

    /// Hands out the letter with this cut, and headers that say what was left out. A part that is not there, or that the
    /// worker left out already, is not spoken of.
    pub(super) fn apply<T>(self, record: &Outgoing<'_>, take: impl FnOnce(&Outgoing<'_>) -> T) -> T {
        let received_count = record.headers.len() - own_count(record);
        let value = record.value.filter(|_| self != Self::Nothing);
        let received = matches!(self, Self::Headers | Self::Key) && received_count > 0;
        let key = record.key.filter(|_| self == Self::Key);
        let notes = [
            (headers::TRUNCATED, value.map(<[u8]>::len)),
            (headers::TRUNCATED_HEADERS, received.then_some(received_count)),
            (headers::TRUNCATED_KEY, key.map(<[u8]>::len)),
        ]
        .map(|(name, count)| (name, count.map(|count| count.to_string())));
        let kept = if received { received_count } else { 0 };
        let mut headers = record.headers[kept..].to_vec();
        headers.extend(
            notes
                .iter()
                .filter_map(|(name, count)| Some((*name, Some(count.as_ref()?.as_bytes())))),
        );
        take(&Outgoing {
            value: record.value.filter(|_| value.is_none()),
            key: record.key.filter(|_| key.is_none()),
            headers: &headers,
            ..*record
        })
    }
}

/// How many of a letter's headers are ours. They come last; the note about the value is there only where it was left out.
fn own_count(record: &Outgoing<'_>) -> usize {
    let noted = record
        .headers
        .last()
        .is_some_and(|(name, _)| *name == headers::TRUNCATED);
    let count = if noted { 4 } else { 3 };
    count.min(record.headers.len())
}

/// What a record takes in its topic, at most.
fn bytes(record: &Outgoing<'_>) -> usize {
    let length = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    let headers: usize = record
        .headers
        .iter()
        .map(|(name, value)| name.len() + length(*value) + HEADER_BYTES)
        .sum();
    RECORD_BYTES + length(record.key) + length(record.value) + headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::observation::Partition;
    use crate::worker::ports::PartitionId;

    type Header<'a> = (&'a str, Option<&'a [u8]>);

    const WHY: [Header<'static>; 3] = [
        (headers::SOURCE, Some(b"sensors/0/5/0")),
        (headers::REASON, Some(b"malformed")),
        (headers::MESSAGE, Some(b"no JSON")),
    ];

    fn letter<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, headers: &'a [Header<'a>]) -> Outgoing<'a> {
        Outgoing {
            origin: PartitionId {
                topic: 0,
                partition: Partition(0),
            },
            timestamp_ms: 0,
            key,
            value,
            headers,
        }
    }

    /// Key and value that are left, and all headers but the three that say why.
    fn left(cut: Cut, record: &Outgoing<'_>) -> (Option<usize>, Option<usize>, Vec<(String, String)>) {
        cut.apply(record, |left| {
            let others = left.headers.iter().filter(|header| !WHY.contains(header));
            let others = others.map(|(name, value)| {
                let value = String::from_utf8(value.unwrap_or_default().to_vec()).unwrap();
                ((*name).to_owned(), value)
            });
            let length = |part: Option<&[u8]>| part.map(<[u8]>::len);
            for own in &WHY {
                assert!(left.headers.contains(own), "{own:?} is never left out");
            }
            (length(left.key), length(left.value), others.collect())
        })
    }

    fn named(names: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        names.iter().map(owned).collect()
    }

    #[test]
    fn letter_loses_value_then_headers_then_key_and_says_so() {
        let headers = [&[("a", Some(&b"1"[..])), ("a", None)][..], &WHY].concat();
        let record = letter(Some(b"key"), Some(b"value"), &headers);
        let received = [("a", "1"), ("a", "")];
        let value = ("tidecast.truncated", "5");
        let names = ("tidecast.truncated_headers", "2");
        assert_eq!(left(Cut::Nothing, &record), (Some(3), Some(5), named(&received)));
        assert_eq!(
            left(Cut::Value, &record),
            (Some(3), None, named(&[received[0], received[1], value]))
        );
        assert_eq!(
            left(Cut::Headers, &record),
            (Some(3), None, named(&[value, names]))
        );
        let key = ("tidecast.truncated_key", "3");
        assert_eq!(left(Cut::Key, &record), (None, None, named(&[value, names, key])));
    }

    #[test]
    fn letter_keeps_the_note_about_a_value_that_the_worker_left_out() {
        let noted: Header<'_> = (headers::TRUNCATED, Some(b"2000000"));
        // A dead letter that is read as input: its own note is one of the headers received.
        let stale: Header<'_> = (headers::TRUNCATED, Some(b"7"));
        let headers = [&[stale][..], &WHY, &[noted]].concat();
        let record = letter(None, None, &headers);
        let note = ("tidecast.truncated", "2000000");
        assert_eq!(
            left(Cut::Key, &record),
            (None, None, named(&[note, ("tidecast.truncated_headers", "1")]))
        );
    }

    #[test]
    fn letter_does_not_speak_of_what_was_never_there() {
        assert_eq!(
            left(Cut::Key, &letter(None, None, &WHY)),
            (None, None, Vec::new())
        );
    }

    #[test]
    fn letter_is_cut_no_more_than_it_must_be() {
        let big = vec![b'x'; 1_000_000];
        let fit = |key, value, header| {
            let headers = [&[("h", header)][..], &WHY].concat();
            Cut::to_fit(&letter(key, value, &headers), 1_000_000)
        };
        let some = Some(&b"x"[..]);
        let large = Some(&big[..]);
        assert_eq!(fit(some, some, some), Cut::Nothing);
        assert_eq!(fit(some, large, some), Cut::Value);
        assert_eq!(fit(some, some, large), Cut::Headers);
        assert_eq!(fit(large, some, some), Cut::Key);
        assert_eq!(fit(large, large, large), Cut::Key);
    }

    #[test]
    fn letter_without_room_for_anything_keeps_what_says_why() {
        let headers = WHY;
        assert_eq!(Cut::to_fit(&letter(Some(b"k"), None, &headers), 0), Cut::Key);
    }
}
