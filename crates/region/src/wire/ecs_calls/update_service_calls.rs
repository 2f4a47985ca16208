//! ECS's operation `UpdateService`, for a person who tries Ebb: how many tasks a service wants, and
//! within which percentages they are replaced. There are no deployments.

use serde_json::{Value, json};

use super::service_calls::describe;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{Input, id_in, invalid};
use crate::world::World;
use crate::world::ecs::ServiceKind;

/// What the call leaves out stays as it was.
pub(super) fn update_service(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let cluster_name = cluster_name.to_owned();
    let name_or_arn = input.text("service")?.ok_or_else(|| invalid("Service can not be blank."))?;
    let name = id_in("service", &cluster_name, name_or_arn)?.to_owned();
    let service = cluster
        .services
        .get(&name)
        .ok_or_else(|| Refusal::new("ServiceNotFoundException", "Service not found."))?;
    let kind = updated(service.kind, input)?;
    world.set_service_kind(&cluster_name, &name, kind);
    let cluster = &world.clusters[&cluster_name];
    Ok(json!({"service": describe(&cluster_name, cluster, &name, &cluster.services[&name])}))
}

fn updated(kind: ServiceKind, input: Input<'_>) -> Result<ServiceKind, Refusal> {
    let deployment = Input { value: &input.value["deploymentConfiguration"], fault: None };
    let count = input.number("desiredCount")?;
    let min = deployment.number("minimumHealthyPercent")?;
    let max = deployment.number("maximumPercent")?;
    match kind {
        ServiceKind::Daemon if count.is_some() => Err(invalid(
            "The daemon scheduling strategy does not support a desired count for services. Remove \
             the desired count value and try again",
        )),
        ServiceKind::Daemon if min.or(max).is_some() => {
            Err(invalid("The simulated Region deploys no daemon services."))
        }
        ServiceKind::Daemon => Ok(kind),
        ServiceKind::Replica { desired, min_percent, max_percent } => {
            let (min_percent, max_percent) =
                (min.unwrap_or(min_percent), max.unwrap_or(max_percent));
            if (min_percent, max_percent) == (100, 100) {
                return Err(invalid(
                    "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will \
                     block deployments",
                ));
            }
            // The bounds are those of the ECS Developer Guide, service_definition_parameters.
            if min_percent > 100 || !(100..=200).contains(&max_percent) {
                return Err(invalid(
                    "minimumHealthyPercent must be from 0 to 100, maximumPercent from 100 to 200.",
                ));
            }
            Ok(ServiceKind::Replica { desired: count.unwrap_or(desired), min_percent, max_percent })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ecs_calls::task_testing::{call, list, pass, world};

    fn update(world: &mut World, input: Value) -> Result<Value, Refusal> {
        call(world, "UpdateService", input)
    }

    #[test]
    fn a_service_wants_as_many_tasks_as_it_is_told_and_keeps_what_is_not_named() {
        let (mut world, ..) = world();
        let percentages = json!({"minimumHealthyPercent": 50, "maximumPercent": 150});
        update(&mut world, json!({"service": "web", "deploymentConfiguration": percentages}))
            .unwrap();
        let output = update(&mut world, json!({"service": "web", "desiredCount": 4})).unwrap();

        let service = &output["service"];
        assert_eq!((&service["desiredCount"], &service["runningCount"]), (&json!(4), &json!(2)));
        assert_eq!(service["deploymentConfiguration"]["minimumHealthyPercent"], 50);
        assert_eq!(service["deploymentConfiguration"]["maximumPercent"], 150);
        pass(&mut world, 120);
        assert_eq!(list(&mut world, json!({"serviceName": "web"})).len(), 4);
    }

    #[test]
    fn what_ecs_refuses_and_what_is_not_simulated_changes_nothing() {
        let (mut world, ..) = world();
        let before = world.clusters["shop"].services.clone();
        for (input, words) in [
            (json!({"service": "x"}), "Service not found."),
            (json!({}), "Service can not be blank."),
            (json!({"service": "logs", "desiredCount": 1}), "The daemon scheduling strategy does"),
            (json!({"service": "web", "desiredCount": -1}), "desiredCount must be a whole number"),
            (
                json!({"service": "web", "desiredCount": u64::MAX}),
                "desiredCount must be a whole number",
            ),
            (
                json!({"service": "web", "forceNewDeployment": true}),
                "The simulated Region knows no forceNewDeployment here.",
            ),
            (
                json!({"service": "web", "deploymentConfiguration": {"maximumPercent": 100}}),
                "Both maximumPercent and minimumHealthyPercent cannot be 100",
            ),
            (
                json!({"service": "web", "deploymentConfiguration": {"maximumPercent": 99}}),
                "minimumHealthyPercent must be from 0",
            ),
            (
                json!({"service": "web", "deploymentConfiguration": {"alarms": 1}}),
                "The simulated Region knows no deploymentConfiguration.alarms here.",
            ),
        ] {
            let refusal = update(&mut world, input).unwrap_err();
            assert!(refusal.message.starts_with(words), "{}", refusal.message);
        }
        assert_eq!(world.clusters["shop"].services, before);
    }
}
