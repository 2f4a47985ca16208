//! Whether services ran fewer tasks than they want, for how long: what their users notice.
//!
//! Measured by the history alone. Which task took another's place is nobody's to know, so nothing
//! here depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::world::ecs::ServiceKind;
use crate::world::ecs::task::TaskStatus;
use crate::world::{Happening, World};

/// A replica service that ran fewer tasks than it wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// The service.
    pub service: String,
    /// How many tasks it wants.
    pub desired: usize,
    /// How many of them were missing at the worst moment.
    pub missing: usize,
    /// How long some were missing, in all.
    pub lasted: SignedDuration,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, desired, missing, lasted } = self;
        write!(f, "{service} was {missing} of {desired} tasks short, {} s in all", lasted.as_secs())
    }
}

/// The shortages of a world since a moment, by the name of the service.
pub fn shortages(world: &World, since: Timestamp) -> Vec<Shortage> {
    let mut counts = Counts::default();
    let mut shortages = BTreeMap::<&str, Shortage>::new();
    let mut before = since;
    let ends = world.history.iter().map(|entry| entry.time.max(since)).chain([world.now()]);
    for (position, time) in ends.enumerate() {
        for (service, desired) in desired(world) {
            let missing = desired.saturating_sub(counts.running(service));
            if missing > 0 && time > before {
                let shortage = shortages.entry(service).or_insert_with(|| Shortage {
                    service: service.to_owned(),
                    desired,
                    missing: 0,
                    lasted: SignedDuration::ZERO,
                });
                shortage.missing = shortage.missing.max(missing);
                shortage.lasted += time.duration_since(before);
            }
        }
        before = time;
        if let Some(entry) = world.history.get(position) {
            counts.take(world, &entry.happening);
        }
    }
    shortages.into_values().collect()
}

/// How many tasks each replica service wants.
fn desired(world: &World) -> impl Iterator<Item = (&str, usize)> {
    let services = world.clusters.values().flat_map(|cluster| &cluster.services);
    services.filter_map(|(name, service)| match service.kind {
        ServiceKind::Replica { desired, .. } => Some((name.as_str(), desired)),
        ServiceKind::Daemon => None,
    })
}

/// The tasks of each service that run.
#[derive(Default)]
struct Counts<'a>(BTreeMap<&'a str, BTreeSet<&'a str>>);

impl<'a> Counts<'a> {
    fn running(&self, service: &str) -> usize {
        self.0.get(service).map_or(0, BTreeSet::len)
    }

    fn take(&mut self, world: &'a World, happening: &'a Happening) {
        let (task, runs) = match happening {
            Happening::Task { task, status, .. } => (task, *status == TaskStatus::Running),
            Happening::TaskCutOff { task, .. } => (task, false),
            _ => return,
        };
        let service = world
            .clusters
            .values()
            .find_map(|cluster| cluster.tasks.get(task).and_then(|task| task.service.as_deref()));
        let Some(service) = service else { return };
        let running = self.0.entry(service).or_default();
        if runs {
            running.insert(task);
        } else {
            running.remove(task.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demonstration::{scenario, script};
    use crate::world::ecs::Status;

    #[test]
    fn what_is_cut_off_is_missed_until_its_replacement_runs() {
        let mut world = scenario::shop("2025-03-04T05:00:00Z".parse().unwrap(), 1);
        let start = world.now();
        world.advance(start + Duration::from_secs(30));
        assert_eq!(shortages(&world, start), [], "all run from the start");
        script::interrupt(&mut world);
        world.advance(start + Duration::from_secs(600));

        let told: Vec<_> = shortages(&world, start).iter().map(ToString::to_string).collect();

        // Cut off two minutes after the notice; EC2's end is noticed by ECS later.
        assert_eq!(
            told,
            [
                "web was 1 of 12 tasks short, 98 s in all",
                "worker was 1 of 8 tasks short, 97 s in all",
            ]
        );
    }

    #[test]
    fn no_seed_is_said_to_be_short_for_longer_than_tasks_were_missing() {
        for seed in 1..=20 {
            let mut world = scenario::shop("2025-03-04T05:00:00Z".parse().unwrap(), seed);
            let start = world.now();
            script::interrupt(&mut world);
            world.advance(start + script::SPOT_STORY);
            script::scale_in(&mut world).unwrap();
            world.advance(world.now() + script::DRAIN_LIMIT);

            let shortages = shortages(&world, start);

            assert_eq!(world.missing_tasks(), [], "seed {seed}: all run again");
            let longest = shortages.iter().map(|shortage| shortage.lasted.as_secs()).max();
            assert!((60..420).contains(&longest.unwrap()), "seed {seed}: {shortages:?}");
        }
    }

    #[test]
    fn what_drains_in_time_runs_no_service_short_whatever_the_seed() {
        for seed in 1..=20 {
            let mut world = scenario::shop("2025-03-04T05:00:00Z".parse().unwrap(), seed);
            let start = world.now();
            script::interrupt(&mut world);
            let drained = world.container_instance(&script::interrupted()).unwrap().1.id.clone();
            world.set_status(scenario::CLUSTER, &drained, Status::Draining);
            world.advance(start + script::SPOT_STORY);

            assert_eq!(
                (shortages(&world, start), world.tasks_cut_off().len()),
                (vec![], 0),
                "{seed}"
            );
        }
    }
}
