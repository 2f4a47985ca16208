//! How many tasks in network mode `awsvpc` an instance takes: each holds a network interface.
//!
//! Asking EC2 about instance types is left to the `scale-in-reaper`.

use std::collections::BTreeMap;

use ebb_planner::Instance;

/// The network interfaces of each instance type that was asked about, the primary one included;
/// `None` if EC2 did not say.
pub type InstanceTypeInterfaces = BTreeMap<String, Option<i64>>;

/// The attribute by which an operator says how many network interfaces an instance has for tasks.
const ATTRIBUTE: &str = "ebb.network-interfaces";
/// The attribute of an instance with a trunk network interface. Source: ECS Developer Guide,
/// container-instance-eni.
const TRUNK: &str = "ecs.awsvpc-trunk-id";
/// The fewest that any instance type leaves for tasks, without trunking and with it. Source: ECS
/// Developer Guide, container-instance-eni.
const FEWEST: i64 = 1;
const FEWEST_WITH_TRUNK: i64 = 4;
/// More than any instance type has: a greater number in the attribute is a slip of the pen.
const INTERFACES_MAX: i64 = 1_000;

/// Gives an instance, of which only those network interfaces are counted that its tasks may hold,
/// all that it has for tasks. If its tasks may hold more than that, none is free.
pub fn add_network_interfaces(instance: &mut Instance, types: &InstanceTypeInterfaces) {
    let for_tasks = network_interfaces(instance, types);
    let (Some(registered), Some(remaining)) = (&mut instance.registered, &mut instance.remaining)
    else {
        return;
    };
    let held = registered.network_interfaces;
    registered.network_interfaces = for_tasks;
    remaining.network_interfaces = (for_tasks - held).max(0);
}

/// How many network interfaces an instance has for tasks: as its attribute says, or else all of its
/// type but the primary one, or else the fewest that any type leaves. With trunking a type leaves
/// more than it has without; AWS says how many in its documentation only.
fn network_interfaces(instance: &Instance, types: &InstanceTypeInterfaces) -> i64 {
    let attribute = instance.attributes.get(ATTRIBUTE).and_then(|text| text.parse().ok());
    if let Some(number) = attribute.filter(|number| (0..=INTERFACES_MAX).contains(number)) {
        return number;
    }
    let of_type = types.get(&instance.instance_type).copied().flatten();
    let for_tasks = of_type.map_or(FEWEST, |all| (all - 1).clamp(0, INTERFACES_MAX));
    if instance.attributes.contains_key(TRUNK) {
        for_tasks.max(FEWEST_WITH_TRUNK)
    } else {
        for_tasks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reaper::testing;

    /// What an instance of a type has in all and has free, with a task on it.
    fn interfaces(instance_type: &str, attributes: &[(&str, &str)]) -> (i64, i64) {
        let mut instance = testing::instance(1);
        instance.instance_type = instance_type.to_owned();
        instance.attributes =
            attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        instance.registered.as_mut().unwrap().network_interfaces = 1;
        let types = [("large", Some(3)), ("huge", Some(15)), ("primary", Some(1)), ("new", None)];
        let types = types.map(|(name, number)| (name.to_owned(), number)).into();
        add_network_interfaces(&mut instance, &types);
        let [registered, remaining] = [instance.registered, instance.remaining];
        (registered.unwrap().network_interfaces, remaining.unwrap().network_interfaces)
    }

    #[test]
    fn a_type_leaves_all_but_the_primary_one_for_tasks() {
        assert_eq!(interfaces("large", &[]), (2, 1));
        assert_eq!(interfaces("primary", &[]), (0, 0), "never less than none");
    }

    #[test]
    fn a_type_that_is_not_known_leaves_the_fewest_and_not_none() {
        for instance_type in ["new", "never-asked-about"] {
            assert_eq!(interfaces(instance_type, &[]), (1, 0));
            assert_eq!(interfaces(instance_type, &[(TRUNK, "eni-1")]), (4, 3));
        }
    }

    #[test]
    fn a_trunk_leaves_no_fewer_than_its_type_does_without() {
        assert_eq!(interfaces("large", &[(TRUNK, "eni-1")]), (4, 3));
        assert_eq!(interfaces("huge", &[(TRUNK, "eni-1")]), (14, 13));
    }

    #[test]
    fn an_attribute_of_the_operator_comes_first_if_it_is_a_number() {
        assert_eq!(interfaces("large", &[(ATTRIBUTE, "8")]), (8, 7));
        assert_eq!(interfaces("large", &[(ATTRIBUTE, "0"), (TRUNK, "eni-1")]), (0, 0));
        for slip in ["", "eight", "-1", "1001"] {
            assert_eq!(interfaces("large", &[(ATTRIBUTE, slip)]), (2, 1), "{slip:?}");
        }
    }
}
