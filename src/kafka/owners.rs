//! Whether every partition has an owner, from what the group coordinator says of the members.
//!
//! A static member that is killed after it was told to give partitions back, and before it has joined again, gets its
//! assignment of the unfinished round when it restarts, without a rebalance. It owns nothing then, so it gives nothing
//! back and never asks for the second round: what was to move belongs to nobody until somebody joins or leaves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::groups::GroupInfo;

/// Looks in a row that must show the same for the member that acts: in between a round may be half done.
const LOOKS: u32 = 2;
/// How many more of them the others wait, so that one acts for all of them.
const LOOKS_OF_OTHERS: u32 = 3;
/// Least time between two rebalances that are asked for.
const PAUSE: Duration = Duration::from_secs(30);
/// Time between two questions for partition counts. Longer than members take to find new partitions.
const COUNTS_INTERVAL: Duration = Duration::from_secs(60);

/// A partition by name.
pub(super) type Named = (String, i32);

/// A member as the coordinator lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member {
    /// The coordinator makes it of the `group.instance.id` and of something that is new with each start of a process.
    pub(super) id: String,
    pub(super) assigned: BTreeSet<Named>,
}

/// The group in one look: all that must not change between two looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Member id of who looks.
    pub(super) me: String,
    /// Of who looks.
    pub(super) generation: i32,
    /// Ascending.
    pub(super) members: Vec<Member>,
}

impl View {
    /// `None` where the group is between two assignments, or says something that is not understood.
    pub(super) fn of(group: &GroupInfo, (me, generation): (String, i32)) -> Option<Self> {
        if group.state() != "Stable" || group.protocol_type() != "consumer" {
            return None;
        }
        let member = |member: &rdkafka::groups::GroupMemberInfo| {
            Some(Member {
                id: member.id().to_owned(),
                assigned: assigned(member.assignment().unwrap_or_default())?,
            })
        };
        let mut members: Vec<_> = group.members().iter().map(member).collect::<Option<_>>()?;
        members.sort_unstable();
        Some(Self {
            me,
            generation,
            members,
        })
    }

    /// Partitions of topics, each with its count, that no member has.
    fn without_owner(&self, topics: &[(String, i32)]) -> Vec<Named> {
        let owned = |named: &Named| self.members.iter().any(|member| member.assigned.contains(named));
        topics
            .iter()
            .flat_map(|(topic, count)| (0..*count).map(|partition| (topic.clone(), partition)))
            .filter(|named| !owned(named))
            .collect()
    }
}

/// Reads a member's assignment of the consumer protocol: version, topics each with its partitions, and user data that
/// nobody here needs. No bytes: none is assigned yet. `None` where the bytes are something else.
fn assigned(mut bytes: &[u8]) -> Option<BTreeSet<Named>> {
    let mut assigned = BTreeSet::new();
    if bytes.is_empty() {
        return Some(assigned);
    }
    let version = i16::from_be_bytes(take(&mut bytes)?);
    if version < 0 {
        return None;
    }
    // A count that lies runs out of bytes: each turn takes some.
    for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
        let length = usize::try_from(i16::from_be_bytes(take(&mut bytes)?)).ok()?;
        let (name, rest) = bytes.split_at_checked(length)?;
        let topic = std::str::from_utf8(name).ok()?;
        bytes = rest;
        for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
            assigned.insert((topic.to_owned(), i32::from_be_bytes(take(&mut bytes)?)));
        }
    }
    Some(assigned)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

/// Partition counts of the input topics.
#[derive(Default)]
pub(super) struct Counts {
    asked: Option<Instant>,
    last: Vec<(String, i32)>,
    settled: Vec<(String, i32)>,
}

impl Counts {
    /// Whether they are to be asked again.
    pub(super) fn are_due(&self, now: Instant) -> bool {
        self.asked
            .is_none_or(|asked| now.saturating_duration_since(asked) >= COUNTS_INTERVAL)
    }

    /// Takes what was asked for, always of the same topics.
    pub(super) fn take(&mut self, counts: Vec<(String, i32)>, now: Instant) {
        let before = if self.asked.is_some() { &self.last } else { &counts };
        let smaller =
            |((topic, one), (_, other)): (&(String, i32), &(String, i32))| (topic.clone(), *one.min(other));
        self.settled = counts.iter().zip(before).map(smaller).collect();
        self.last = counts;
        self.asked = Some(now);
    }

    /// Those that were there when asked twice: members find new partitions by themselves.
    pub(super) fn settled(&self) -> &[(String, i32)] {
        &self.settled
    }
}

/// What one member has seen of its group.
#[derive(Default)]
pub(super) struct Watch {
    last: Option<View>,
    /// How many looks in a row showed [`Self::last`].
    looks: u32,
    acted: Option<Instant>,
}

impl Watch {
    /// Takes a look. Partitions without an owner where it is this member's turn to make the group rebalance; `None` as
    /// long as all is well, or it is not known, or too early, or another member's turn.
    pub(super) fn look(
        &mut self,
        view: Option<View>,
        topics: &[(String, i32)],
        now: Instant,
    ) -> Option<Vec<Named>> {
        let same = view.is_some() && view == self.last;
        self.looks = if same { self.looks.saturating_add(1) } else { 1 };
        self.last = view;
        let view = self.last.as_ref()?;
        let first = view.members.iter().map(|member| &member.id).min()?;
        if !view.members.iter().any(|member| member.id == view.me) {
            return None;
        }
        let needed = if *first == view.me {
            LOOKS
        } else {
            LOOKS + LOOKS_OF_OTHERS
        };
        let early = |acted: Instant| now.saturating_duration_since(acted) < PAUSE;
        if self.looks < needed || self.acted.is_some_and(early) {
            return None;
        }
        let without_owner = view.without_owner(topics);
        if without_owner.is_empty() {
            return None;
        }
        self.acted = Some(now);
        Some(without_owner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kafka::lookup;

    /// As a leader writes it.
    fn bytes(version: i16, topics: &[(&str, &[i32])]) -> Vec<u8> {
        let mut bytes = version.to_be_bytes().to_vec();
        bytes.extend(i32::try_from(topics.len()).unwrap().to_be_bytes());
        for (topic, partitions) in topics {
            bytes.extend(i16::try_from(topic.len()).unwrap().to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend(i32::try_from(partitions.len()).unwrap().to_be_bytes());
            bytes.extend(partitions.iter().flat_map(|partition| partition.to_be_bytes()));
        }
        bytes.extend((-1_i32).to_be_bytes()); // user data
        bytes
    }

    fn named(partitions: &[i32]) -> BTreeSet<Named> {
        partitions
            .iter()
            .map(|&partition| ("in".to_owned(), partition))
            .collect()
    }

    fn view(generation: i32, members: &[(&str, &[i32])]) -> Option<View> {
        let members = members.iter().map(|(id, partitions)| Member {
            id: (*id).to_owned(),
            assigned: named(partitions),
        });
        Some(View {
            me: String::new(),
            generation,
            members: members.collect(),
        })
    }

    fn topics() -> Vec<(String, i32)> {
        vec![("in".to_owned(), 3)]
    }

    /// What each look of `me` brought, five seconds apart.
    fn looks(me: &str, views: &[Option<View>]) -> Vec<Option<Vec<Named>>> {
        let start = lookup::now();
        let mut watch = Watch::default();
        let look = |(index, view): (u64, &Option<View>)| {
            let mine = |view: View| View {
                me: me.to_owned(),
                ..view
            };
            watch.look(
                view.clone().map(mine),
                &topics(),
                start + Duration::from_secs(5 * index),
            )
        };
        (0..).zip(views).map(look).collect()
    }

    fn acts(me: &str, views: &[Option<View>]) -> Vec<usize> {
        let looks = looks(me, views).into_iter().enumerate();
        looks.filter_map(|(index, found)| found.map(|_| index)).collect()
    }

    #[test]
    fn assignment_is_read_as_leaders_write_it() {
        let two = bytes(1, &[("in", &[2, 0]), ("other", &[1])]);
        let mut expected = named(&[0, 2]);
        expected.insert(("other".to_owned(), 1));
        assert_eq!(assigned(&two), Some(expected));
        assert_eq!(assigned(&bytes(0, &[])), Some(BTreeSet::new()));
        assert_eq!(assigned(&[]), Some(BTreeSet::new()), "nothing is assigned yet");
    }

    #[test]
    fn assignment_whose_lengths_lie_is_none() {
        let whole = bytes(1, &[("in", &[2, 0])]);
        let needed = whole.len() - 4; // without the user data
        for length in 1..needed {
            assert_eq!(assigned(&whole[..length]), None, "{length} bytes");
        }
        for (at, lie) in [(2, i32::MAX), (10, i32::MAX)] {
            let mut lying = whole.clone();
            lying[at..at + 4].copy_from_slice(&lie.to_be_bytes());
            assert_eq!(assigned(&lying), None, "a count at {at}");
        }
        let mut lying = whole.clone();
        lying[6..8].copy_from_slice(&(-1_i16).to_be_bytes());
        assert_eq!(assigned(&lying), None, "a name of length -1");
        assert_eq!(assigned(&bytes(-1, &[("in", &[0])])), None);
    }

    proptest! {
        #[test]
        fn assignment_of_any_bytes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let found = assigned(&bytes);
            prop_assert!(found.is_none_or(|found| found.len() <= bytes.len() / 4));
        }
    }

    #[test]
    fn partition_without_an_owner_is_acted_on_in_the_second_look_by_the_first_member() {
        let hole = view(4, &[("a", &[1, 2]), ("b", &[])]);
        let views = vec![hole; 4];
        let found = looks("a", &views);
        assert_eq!(found[0], None);
        assert_eq!(found[1], Some(vec![("in".to_owned(), 0)]));
        assert_eq!(found[2..], [None, None], "not again so soon");
    }

    #[test]
    fn others_wait_three_looks_more() {
        let hole = view(4, &[("a", &[1, 2]), ("b", &[])]);
        assert_eq!(acts("b", &vec![hole; 7]), [4]);
    }

    #[test]
    fn group_is_asked_to_rebalance_once_in_half_a_minute() {
        let hole = view(4, &[("a", &[1, 2]), ("b", &[])]);
        assert_eq!(acts("a", &vec![hole; 14]), [1, 7, 13]);
    }

    #[test]
    fn group_in_motion_is_left_alone() {
        let hole = |generation| view(generation, &[("a", &[1, 2]), ("b", &[])]);
        assert_eq!(
            acts("a", &[hole(4), hole(5), hole(6)]),
            [0; 0],
            "a round between two looks"
        );
        assert_eq!(
            acts("a", &[hole(4), None, hole(4)]),
            [0; 0],
            "not stable in between"
        );
        let another = view(4, &[("a", &[1, 2]), ("c", &[])]);
        assert_eq!(acts("a", &[hole(4), another, hole(4)]), [0; 0], "other members");
        let healed = view(4, &[("a", &[1, 2]), ("b", &[0])]);
        assert_eq!(acts("a", &[hole(4), healed.clone(), healed]), [0; 0]);
    }

    #[test]
    fn members_without_a_partition_are_no_lack_of_owners() {
        let spare = view(
            4,
            &[("a", &[0]), ("b", &[1]), ("c", &[2]), ("d", &[]), ("e", &[])],
        );
        for me in ["a", "d"] {
            assert_eq!(acts(me, &vec![spare.clone(); 9]), [0; 0]);
        }
    }

    #[test]
    fn partitions_that_were_added_count_when_they_are_seen_again() {
        let start = lookup::now();
        let counted = |count| vec![("in".to_owned(), count)];
        let mut counts = Counts::default();
        assert!(counts.are_due(start) && counts.settled().is_empty());
        counts.take(counted(3), start);
        assert_eq!(counts.settled(), counted(3));
        assert!(!counts.are_due(start + COUNTS_INTERVAL / 2) && counts.are_due(start + COUNTS_INTERVAL));
        for (count, settled) in [(5, 3), (5, 5), (2, 2)] {
            counts.take(counted(count), start);
            assert_eq!(counts.settled(), counted(settled));
        }
    }

    #[test]
    fn who_is_no_member_does_nothing() {
        let hole = view(4, &[("b", &[1, 2])]);
        assert_eq!(acts("a", &vec![hole; 9]), [0; 0]);
        assert_eq!(acts("a", &vec![view(4, &[]); 9]), [0; 0]);
    }
}
