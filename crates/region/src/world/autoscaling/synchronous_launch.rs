//! `LaunchInstances`: instances launched in one Availability Zone at once, once for each client
//! token.
//!
//! Sources: Auto Scaling User Guide, launch-instances-synchronously; Auto Scaling API,
//! `LaunchInstances`. What comes first, the look at the token or that at the request, is not
//! documented; nor is what is said beyond the maximum, and for how long a token is remembered (here:
//! for ever).

use std::time::Duration;

use jiff::Timestamp;

use super::group::LaunchSource;
use super::launch_request::{CarriedOut, LaunchRequest, Launched};
use super::scaling_activity::Refused;
use crate::world::state::World;

/// How long EC2 takes to launch. Assumed: AWS documents no figure. A second request with the token
/// is turned away for as long.
const LAUNCH: Duration = Duration::from_secs(1);

impl World {
    /// Launches instances of a group, unless a request with this token did so before.
    ///
    /// # Errors
    /// If the group does not allow it or has no room, the zone is not one of its own, or the token
    /// stands for another request or one that is under way.
    pub fn launch_instances(
        &mut self,
        token: &str,
        request: &LaunchRequest,
    ) -> Result<Launched, Refused> {
        if let Some(earlier) = self.launch_requests.get(token) {
            return repeated(earlier, request, self.now);
        }
        let group = self.group(&request.group)?;
        let zone = match (&request.zone, &group.zones[..]) {
            (Some(zone), zones) if zones.contains(zone) => zone.clone(),
            (None, [zone]) => zone.clone(),
            (zone, _) => {
                return Err(Refused::validation(format!(
                    "An Availability Zone of the group must be specified, and not {zone:?}."
                )));
            }
        };
        let mixture = matches!(group.source, LaunchSource::Mixed { on_demand_percentage: 1..=99 });
        if mixture || group.source == LaunchSource::Configuration || group.is_suspended("Launch") {
            return Err(Refused::validation("The group does not support this operation."));
        }
        let desired_capacity = group.desired_capacity.saturating_add(request.capacity);
        if desired_capacity > group.max_size {
            return Err(Refused::validation(format!(
                "The requested capacity exceeds the group's maximum of {}.",
                group.max_size
            )));
        }
        let (has_capacity, protected) = (group.ec2_has_capacity, group.protects_new_instances);
        let instance_type = group.template.instance_type.clone();
        let instances = match request.capacity.saturating_sub(1) / group.weight() {
            further if has_capacity => further + 1,
            _ => 0,
        };
        if has_capacity || request.retries {
            self.change_desired_capacity(&request.group, desired_capacity);
        }
        let instance_ids = (0..instances)
            .map(|_| self.launch(&request.group, Some(zone.clone()), protected))
            .collect();
        let launched = Launched { zone, instance_type, instance_ids };
        let carried_out =
            CarriedOut { request: request.clone(), launched: launched.clone(), since: self.now };
        self.launch_requests.insert(token.to_owned(), carried_out);
        Ok(launched)
    }
}

fn repeated(
    earlier: &CarriedOut,
    request: &LaunchRequest,
    now: Timestamp,
) -> Result<Launched, Refused> {
    let (code, message) = if earlier.request != *request {
        ("IdempotentParameterMismatch", "The parameters do not match those of an earlier request.")
    } else if now < earlier.since + LAUNCH {
        ("IdempotentCallInProgress", "A request with the same client token is being processed.")
    } else {
        return Ok(earlier.launched.clone());
    };
    Err(Refused { code, message: message.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::autoscaling::Group;

    const ZONE: &str = "eu-west-1b";

    fn world(change: impl FnOnce(&mut Group)) -> World {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        let mut group = Group::with_instances("shop", ["i-1".to_owned(), "i-2".to_owned()]);
        change(&mut group);
        world.add_group("group", group);
        world
    }

    fn request(capacity: i32) -> LaunchRequest {
        let zone = Some(ZONE.to_owned());
        LaunchRequest { group: "group".to_owned(), capacity, zone, retries: true }
    }

    fn sizes(world: &World) -> (i32, usize) {
        let group = &world.groups["group"];
        (group.desired_capacity, group.instances.len())
    }

    #[test]
    fn a_token_launches_once_and_its_answer_stays_the_same() {
        let mut world = world(|_| {});
        let launched = world.launch_instances("t", &request(1)).unwrap();
        assert_eq!((launched.zone.as_str(), launched.instance_ids.len()), (ZONE, 1));
        let again = world.launch_instances("t", &request(1)).unwrap_err();
        assert_eq!(again.code, "IdempotentCallInProgress");
        world.advance(world.now() + LAUNCH);
        assert_eq!(world.launch_instances("t", &request(1)), Ok(launched));
        let other = world.launch_instances("t", &request(2)).unwrap_err();
        assert_eq!(other.code, "IdempotentParameterMismatch");
        assert_eq!(sizes(&world), (3, 3));
    }

    #[test]
    fn with_weights_as_few_instances_are_launched_as_make_up_the_capacity() {
        let mut world = world(|group| {
            (group.weight, group.desired_capacity, group.max_size) = (Some(4), 8, 20);
        });
        world.launch_instances("t", &request(5)).unwrap();
        assert_eq!(sizes(&world), (13, 4));
    }

    #[test]
    fn without_capacity_only_the_desired_one_is_raised_and_only_if_that_is_asked_for() {
        for (retries, desired_capacity) in [(false, 2), (true, 3)] {
            let mut world = world(|group| group.ec2_has_capacity = false);
            let request = LaunchRequest { retries, ..request(1) };
            assert!(world.launch_instances("t", &request).unwrap().instance_ids.is_empty());
            assert_eq!(sizes(&world), (desired_capacity, 2));
        }
    }

    type Change<'a> = &'a dyn Fn(&mut Group);

    #[test]
    fn what_the_group_does_not_allow_is_refused_and_changes_nothing() {
        let mixed = |percentage| LaunchSource::Mixed { on_demand_percentage: percentage };
        let cases: [(Change, LaunchRequest); 6] = [
            (&|group| group.source = LaunchSource::Configuration, request(1)),
            (&|group| group.source = mixed(50), request(1)),
            (&|group| *group = group.clone().suspending(&["Launch"]), request(1)),
            (&|_| {}, request(3)),
            (&|_| {}, LaunchRequest { zone: None, ..request(1) }),
            (&|_| {}, LaunchRequest { zone: Some("eu-west-1d".to_owned()), ..request(1) }),
        ];
        for (change, request) in cases {
            let mut world = world(change);
            let refused = world.launch_instances("t", &request).unwrap_err();
            assert_eq!((refused.code, sizes(&world)), ("ValidationError", (2, 2)), "{request:?}");
        }
        assert!(
            world(|group| group.source = mixed(100)).launch_instances("t", &request(1)).is_ok()
        );
    }
}
