//! How reads are answered from what there was a while ago, and what is kept for that. How far they
//! lag behind, and why, is in [`super::lag`].

use std::mem::swap;
use std::time::Duration;

use jiff::Timestamp;

use super::lag::Snapshot;
use super::state::World;

/// How far apart snapshots are at least. Of changes that follow each other faster an answer may show
/// more than it would by what was drawn, never less.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);

impl World {
    /// Keeps a snapshot of what there is before that may change at `time`.
    pub(super) fn keep_snapshot(&mut self, time: Timestamp) {
        if !self.lag.is_on() {
            return;
        }
        let last = self.lag.snapshots.back().map(|snapshot| snapshot.until);
        if last.is_some_and(|last| time < last + SNAPSHOT_INTERVAL) {
            return;
        }
        let oldest = self.lag.oldest(time);
        self.lag.snapshots.retain(|snapshot| snapshot.until > oldest);
        self.lag.snapshots.push_back(Snapshot {
            until: time,
            clusters: self.clusters.clone(),
            capacity_providers: self.capacity_providers.clone(),
            groups: self.groups.clone(),
        });
    }

    /// Lets a question be answered from what there was a while ago, as far as reads lag behind.
    /// `next_page` says that it asks for the rest of its last answer. `read` must not change
    /// anything.
    pub(crate) fn read_lagged<T>(
        &mut self,
        question: &str,
        next_page: bool,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        if !self.lag.is_on() {
            return read(self);
        }
        let moment = self.lag.moment_of(question, next_page, self.now);
        // A snapshot is of what there was until its moment, so the first that reaches past `moment`.
        let Some(index) = self.lag.snapshots.iter().position(|snapshot| snapshot.until > moment)
        else {
            return read(self);
        };
        self.swap_with_snapshot(index);
        let answer = read(self);
        self.swap_with_snapshot(index);
        answer
    }

    fn swap_with_snapshot(&mut self, index: usize) {
        let snapshot = &mut self.lag.snapshots[index];
        swap(&mut snapshot.clusters, &mut self.clusters);
        swap(&mut snapshot.capacity_providers, &mut self.capacity_providers);
        swap(&mut snapshot.groups, &mut self.groups);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::autoscaling::{Group, LifecycleState};
    use crate::world::ecs::{NewInstance, Status};
    use crate::world::lag::Lag;

    const LAG: Duration = Duration::from_secs(5);

    /// A container instance in a group, which has been as it is for longer than reads lag.
    fn world(seed: u64) -> World {
        let mut world = World::new("2025-03-04T05:00:00Z".parse().unwrap(), 1);
        world.lag = Lag::up_to(LAG, seed);
        world.add_instance("shop", NewInstance::new("i-1"));
        world.add_group("group", Group::with_instances("shop", ["i-1".to_owned()]));
        pass(&mut world, 20_000);
        world
    }

    fn pass(world: &mut World, milliseconds: u64) {
        world.advance(world.now() + Duration::from_millis(milliseconds));
    }

    fn drain(world: &mut World) {
        let id = world.clusters["shop"].instances.keys().next().unwrap().clone();
        world.set_status("shop", &id, Status::Draining);
    }

    fn status(world: &mut World, question: &str) -> Status {
        world.read_lagged(question, false, |world| world.status_of("i-1").unwrap())
    }

    /// Of 100 seeds, how many see an instance ACTIVE so long after it was set to DRAINING.
    fn stale_after(milliseconds: u64) -> usize {
        let stale = (0..100).filter(|&seed| {
            let mut world = world(seed);
            drain(&mut world);
            pass(&mut world, milliseconds);
            status(&mut world, "which status?") == Status::Active
        });
        stale.count()
    }

    #[test]
    fn a_read_may_see_what_was_some_seconds_ago_but_nothing_older() {
        assert!((95..=100).contains(&stale_after(20)), "{}", stale_after(20));
        assert!((30..=70).contains(&stale_after(2_500)), "{}", stale_after(2_500));
        assert_eq!(stale_after(5_000), 0);
    }

    #[test]
    fn the_same_question_is_never_answered_by_something_older_and_another_may_be() {
        let mut contradicted = 0;
        for seed in 0..100 {
            let mut world = world(seed);
            drain(&mut world);
            let mut seen = false;
            for _ in 0..50 {
                pass(&mut world, 100);
                let is_draining = status(&mut world, "which status?") == Status::Draining;
                assert!(is_draining || !seen, "seed {seed}");
                seen = is_draining;
                contradicted +=
                    usize::from(seen && status(&mut world, "and now?") == Status::Active);
            }
        }
        assert!(contradicted > 0);
    }

    #[test]
    fn what_happens_by_itself_may_be_seen_late_too() {
        let stale = (0..100).filter(|&seed| {
            let mut world = world(seed);
            world.terminate("i-1", Duration::from_secs(10));
            pass(&mut world, 11_000);
            world.read_lagged("is it there?", false, |world| world.status_of("i-1").is_some())
        });
        assert!((65..=95).contains(&stale.count()));
    }

    #[test]
    fn groups_lag_and_what_changes_something_acts_on_the_present() {
        let mut world = world(1);
        world.set_lifecycle_state("i-1", LifecycleState::TerminatingWait);
        pass(&mut world, 20);

        let read = |world: &mut World| world.lifecycle_state("i-1");
        assert_eq!(world.read_lagged("where?", false, read), Some(LifecycleState::InService));
        assert_eq!(world.lifecycle_state("i-1"), Some(LifecycleState::TerminatingWait));
    }

    #[test]
    fn of_many_changes_a_second_none_is_hidden_for_longer_than_reads_lag() {
        for seed in 0..20 {
            let mut world = world(seed);
            let id = world.clusters["shop"].instances.keys().next().unwrap().clone();
            for number in 1..200_i64 {
                world.put_attribute("shop", &id, "number", &number.to_string());
                pass(&mut world, 100);
                let seen = world.read_lagged("which number?", false, |world| {
                    let (_, instance) = world.container_instance("i-1").unwrap();
                    instance.attributes.get("number").map_or(0, |text| text.parse().unwrap())
                });
                assert!((number - 50..=number).contains(&seen), "{seen} at {number}");
            }
        }
    }

    #[test]
    fn no_more_is_kept_than_can_be_asked_for() {
        let mut world = world(1);
        world.lag = Lag::up_to(Duration::from_secs(7_200), 1);
        for number in 0..10_000 {
            pass(&mut world, 100);
            status(&mut world, &number.to_string());
        }
        assert!((70..=71).contains(&world.lag.snapshots.len()), "{}", world.lag.snapshots.len());
        assert!(world.lag.answered.len() <= 700, "{}", world.lag.answered.len());
    }

    #[test]
    fn without_lag_nothing_is_kept_and_everything_is_seen() {
        let mut world = world(1);
        world.lag = Lag::default();
        drain(&mut world);
        pass(&mut world, 2_000);

        assert_eq!(status(&mut world, "which status?"), Status::Draining);
        assert!(world.lag.snapshots.is_empty());
        assert!(world.lag.answered.is_empty());
    }
}
