//! ECS's operations on capacity providers.

use serde_json::{Value, json};

use crate::wire::answer::Refusal;
use crate::wire::aws_json::{DESCRIBE_MAX, Input, name_of, page_of};
use crate::world::World;
use crate::world::autoscaling::group_arn;
use crate::world::ecs::{CapacityProvider, Cluster, arn};

/// Source: ECS API, `DescribeCapacityProviders`.
const PROVIDERS_PAGE: u64 = 10;

/// The capacity providers of AWS itself.
const FARGATE: [&str; 2] = ["FARGATE", "FARGATE_SPOT"];

/// Without names, describes those of the cluster that is given, or all, AWS's own included.
pub(super) fn describe_capacity_providers(
    world: &World,
    input: Input<'_>,
) -> Result<Value, Refusal> {
    // None has tags.
    input.included(&["TAGS"])?;
    let cluster = match input.text("cluster")? {
        Some(_) => Some(input.cluster(world)?.1),
        None => None,
    };
    let (mut names, mut failures) = (Vec::new(), Vec::new());
    if input.value["capacityProviders"].as_array().is_some_and(|names| !names.is_empty()) {
        for name_or_arn in input.texts("capacityProviders", DESCRIBE_MAX)? {
            let name = name_of("capacity-provider", name_or_arn)?;
            let exists = world.capacity_providers.contains_key(name) || FARGATE.contains(&name);
            if exists && is_attached(cluster, name) {
                names.push(name);
            } else {
                failures.push(json!({"arn": provider_arn(name), "reason": "MISSING"}));
            }
        }
    } else {
        let own = world.capacity_providers.keys().map(String::as_str);
        names.extend(FARGATE.into_iter().chain(own).filter(|name| is_attached(cluster, name)));
    }
    let described = names
        .into_iter()
        .map(|name| describe_provider(name, world.capacity_providers.get(name)))
        .collect();
    let mut output =
        page_of(input, "capacityProviders", described, PROVIDERS_PAGE, PROVIDERS_PAGE)?;
    output["failures"] = json!(failures);
    Ok(output)
}

/// Whether a cluster has a capacity provider; without a cluster, every provider counts.
fn is_attached(cluster: Option<&Cluster>, name: &str) -> bool {
    cluster.is_none_or(|cluster| cluster.capacity_providers.iter().any(|own| own == name))
}

fn provider_arn(name: &str) -> String {
    arn(&format!("capacity-provider/{name}"))
}

fn describe_provider(name: &str, provider: Option<&CapacityProvider>) -> Value {
    let mut described = json!({
        "capacityProviderArn": provider_arn(name),
        "name": name,
        "status": "ACTIVE",
        "tags": [],
    });
    if let Some(provider) = provider {
        // A provider whose managed scaling is off has its settings all the same.
        let scaling = provider.managed_scaling.unwrap_or_default();
        described["autoScalingGroupProvider"] = json!({
            "autoScalingGroupArn": group_arn(&provider.group),
            "managedScaling": {
                "status": enabled_word(provider.managed_scaling.is_some()),
                "targetCapacity": scaling.target_capacity,
                "minimumScalingStepSize": scaling.minimum_step,
                "maximumScalingStepSize": scaling.maximum_step,
                "instanceWarmupPeriod": scaling.instance_warmup.as_secs(),
            },
            "managedTerminationProtection": enabled_word(provider.managed_termination_protection),
            "managedDraining": enabled_word(provider.managed_draining),
        });
    }
    described
}

fn enabled_word(enabled: bool) -> &'static str {
    if enabled { "ENABLED" } else { "DISABLED" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::*;
    use crate::wire::ecs_calls::run;
    use crate::world::autoscaling::Group;
    use crate::world::ecs::ManagedScaling;

    #[test]
    fn a_provider_tells_what_ecs_manages_and_how() {
        let mut world = World::new(Timestamp::UNIX_EPOCH, 1);
        world.add_group("group", Group::with_instances("shop", []));
        let scaling = ManagedScaling {
            target_capacity: 80,
            minimum_step: 2,
            maximum_step: 5,
            instance_warmup: Duration::from_secs(90),
        };
        let provider = CapacityProvider {
            managed_scaling: Some(scaling),
            ..CapacityProvider::protecting("group", 80)
        };
        world.attach_capacity_provider("shop", "provider", provider);
        let output = run(&mut world, "DescribeCapacityProviders", b"{}", None).unwrap();
        let output: Value = serde_json::from_str(&output).unwrap();

        let expected = json!({
            "autoScalingGroupArn": group_arn("group"),
            "managedScaling": {
                "status": "ENABLED",
                "targetCapacity": 80,
                "minimumScalingStepSize": 2,
                "maximumScalingStepSize": 5,
                "instanceWarmupPeriod": 90,
            },
            "managedTerminationProtection": "ENABLED",
            "managedDraining": "DISABLED",
        });
        assert_eq!(output["capacityProviders"][2]["autoScalingGroupProvider"], expected);
        assert!(world.groups["group"].tags.contains_key("AmazonECSManaged"));
        assert!(world.groups["group"].protects_new_instances);
    }
}
