//! Who holds a worker's name in its group: another process, or this one.
//!
//! A broker that hung answers a join that the client has given up and repeated; it then takes the repeated one for another
//! process of the same name and fences this one for good. The group's listing tells: each process joins under a client id
//! with a mark of its own.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;

use rdkafka::consumer::Consumer as _;

use crate::kafka::Config;
use crate::kafka::client::{ASK_TIMEOUT, group_id, worker_id};
use crate::kafka::errors::classify;
use crate::kafka::lookup::Lookup;
use crate::worker;
use crate::worker::ports::Error;

/// Client id of the member that a worker of this process is.
pub(crate) fn member_client_id(worker_id: &str) -> String {
    static MARK: OnceLock<u64> = OnceLock::new();
    // Two processes may have the same number, on two hosts or in two containers.
    let mark = MARK.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    format!("{worker_id}.{mark:016x}")
}

/// Whether another process holds the name of one of the pipeline's workers.
///
/// # Errors
/// Transient: the group cannot be asked.
pub fn held_elsewhere(config: &Config, worker: &worker::Config) -> Result<bool, Error> {
    let doing = "asking who is in the group";
    let lookup = Lookup::glance(config, &worker.pipeline)?;
    let group = group_id(config, &worker.pipeline);
    let listing = lookup
        .consumer()
        .fetch_group_list(Some(&group), ASK_TIMEOUT)
        .map_err(|error| classify(config, doing, &error))?;
    let members: Vec<_> = listing
        .groups()
        .iter()
        .flat_map(|group| group.members())
        .map(|member| (member.id(), member.client_id()))
        .collect();
    let ids = (0..worker.workers).map(|index| worker_id(config, &worker.pipeline, index));
    Ok(ids.into_iter().any(|id| is_held_elsewhere(&members, &id)))
}

/// A static member's id is its `group.instance.id`, a dash, and a number that the broker makes.
fn is_held_elsewhere(members: &[(&str, &str)], id: &str) -> bool {
    let holds = |member: &str| member.strip_prefix(id).is_some_and(|rest| rest.starts_with('-'));
    members
        .iter()
        .any(|(member, client)| holds(member) && *client != member_client_id(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_held_elsewhere_by_a_member_of_another_mark_only() {
        let (id, number) = ("g.plant.a.0", "0b8a6c1e-92a7-4b5e-9d0e-6f1c2d3e4f50");
        let ours = member_client_id(id);
        let theirs = format!("{id}.0123456789abcdef");
        let member = format!("{id}-{number}");
        assert!(!is_held_elsewhere(&[], id));
        assert!(!is_held_elsewhere(&[(&member, &ours)], id));
        assert!(is_held_elsewhere(&[(&member, &theirs)], id));
        let other = format!("g.plant.a.01-{number}");
        assert!(!is_held_elsewhere(&[(&other, &theirs), (&member, &ours)], id));
    }
}
