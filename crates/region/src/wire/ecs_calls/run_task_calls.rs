//! ECS's operation `RunTask`, for a person who tries Ebb: standalone tasks of the task definitions
//! that there are, on container instances.

use serde_json::{Value, json};

use super::task_definition_calls::find;
use super::task_json::describe;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{Input, arn_of, invalid};
use crate::world::World;
use crate::world::ecs::cluster_query::Expression;
use crate::world::ecs::{Constraint, Network, Placement, Status};

/// The most tasks of a call. Source: ECS API, `RunTask`, `count`.
const TASKS_MAX: usize = 10;

/// Starts as many of the tasks as find a place. Why the others do not is said for each container
/// instance, in an answer that is no error.
pub(super) fn run_task(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
    let (cluster_name, cluster) = input.cluster(world)?;
    let cluster_name = cluster_name.to_owned();
    if !input.includes_ec2()? {
        return Err(invalid("The simulated Region runs tasks on EC2 only."));
    }
    let count = input.number("count")?.unwrap_or(1);
    if !(1..=TASKS_MAX).contains(&count) {
        return Err(invalid(format!("count must be from 1 to {TASKS_MAX}.")));
    }
    let requested = input
        .text("taskDefinition")?
        .ok_or_else(|| invalid("Task definition can not be blank."))?;
    let not_found = || Refusal::new("ClientException", "TaskDefinition not found.");
    let (definition, spec) = find(world, requested).ok_or_else(not_found)?;
    let (family, spec) = (definition.family, spec.clone());
    if spec.network == Network::Awsvpc {
        let words =
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.";
        return Err(invalid(words));
    }
    let placement = placement(input)?;
    if !cluster.instances.values().any(|instance| instance.status == Status::Active) {
        return Err(invalid("No Container Instances were found in your cluster."));
    }
    let (mut ids, mut failures) = (Vec::new(), Vec::new());
    for _ in 0..count {
        match world.run_task_anywhere(&cluster_name, &family, spec.clone(), &placement) {
            Ok(id) => ids.push(id),
            // All tasks need the same, so the next would not find a place either.
            Err(_) => {
                failures = world.run_task_failures(&cluster_name, &spec, &placement);
                break;
            }
        }
    }
    let cluster = &world.clusters[&cluster_name];
    let tasks: Vec<_> =
        ids.iter().map(|id| describe(&cluster_name, cluster, &cluster.tasks[id])).collect();
    let failures: Vec<_> = failures
        .into_iter()
        .map(|(id, reason)| {
            json!({"arn": arn_of("container-instance", &cluster_name, &id), "reason": reason})
        })
        .collect();
    Ok(json!({"tasks": tasks, "failures": failures}))
}

/// Only `memberOf` constraints: what keeps standalone tasks apart is not simulated.
fn placement(input: Input<'_>) -> Result<Placement, Refusal> {
    let constraints = input.value["placementConstraints"].as_array();
    let mut placement = Placement::default();
    for constraint in constraints.into_iter().flatten() {
        let constraint = Input { value: constraint, fault: None };
        let expression = match constraint.text("type")? {
            Some("memberOf") => constraint.text("expression")?.unwrap_or_default(),
            _ => return Err(invalid("The simulated Region knows memberOf constraints only.")),
        };
        if Expression::parse(expression).is_none() {
            return Err(invalid(format!("Invalid constraint expression: {expression}")));
        }
        placement = placement.with_constraint(Constraint::MemberOf(expression.to_owned()));
    }
    Ok(placement)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ecs_calls::task_testing::{call, pass, world};
    use crate::world::ecs::task::TaskStatus;

    fn run(world: &mut World, input: Value) -> Result<Value, Refusal> {
        call(world, "RunTask", input)
    }

    #[test]
    fn as_many_tasks_as_asked_for_run_on_their_own_where_a_constraint_lets_them() {
        let (mut world, first, _) = world();
        let constraint = json!([{"type": "memberOf", "expression": "ec2InstanceId == i-1"}]);
        let input =
            json!({"taskDefinition": "web", "count": 5, "placementConstraints": constraint});
        let output = run(&mut world, input).unwrap();

        let tasks = output["tasks"].as_array().unwrap();
        assert_eq!((tasks.len(), &output["failures"]), (5, &json!([])));
        for task in tasks {
            assert_eq!(task["group"], "family:web");
            assert_eq!(
                task["containerInstanceArn"],
                json!(arn_of("container-instance", "shop", &first))
            );
            assert_eq!(task["lastStatus"], "PROVISIONING");
        }
        pass(&mut world, 60);
        let standalone =
            world.clusters["shop"].tasks.values().filter(|task| task.service.is_none());
        assert!(standalone.into_iter().all(|task| task.status == TaskStatus::Running));
    }

    #[test]
    fn what_finds_no_place_is_said_for_each_container_instance_and_the_rest_runs() {
        let (mut world, ..) = world();
        // Of 2,048 CPU units each the first has 1,280 left and the second 1,536: 11 times 256.
        run(&mut world, json!({"taskDefinition": "web", "count": 10})).unwrap();
        let output = run(&mut world, json!({"taskDefinition": "web", "count": 3})).unwrap();

        assert_eq!(output["tasks"].as_array().unwrap().len(), 1);
        let failures = output["failures"].as_array().unwrap();
        let reasons: Vec<_> = failures.iter().map(|failure| &failure["reason"]).collect();
        assert_eq!(reasons, ["RESOURCE:CPU", "RESOURCE:CPU"]);
    }

    #[test]
    fn what_is_not_simulated_or_not_there_is_refused_by_name_and_runs_nothing() {
        let (mut world, ..) = world();
        let tasks = world.clusters["shop"].tasks.len();
        for (input, code, words) in [
            (json!({}), "InvalidParameterException", "Task definition can not be blank."),
            (json!({"taskDefinition": "x"}), "ClientException", "TaskDefinition not found."),
            (
                json!({"taskDefinition": "web", "startedBy": "me"}),
                "InvalidParameterException",
                "The simulated Region knows no startedBy here.",
            ),
            (
                json!({"taskDefinition": "web", "count": 11}),
                "InvalidParameterException",
                "count must be from 1 to 10.",
            ),
            (
                json!({"taskDefinition": "web", "launchType": "FARGATE"}),
                "InvalidParameterException",
                "The simulated Region runs tasks on EC2 only.",
            ),
            (
                json!({"taskDefinition": "web", "placementConstraints": [{"type": "distinctInstance"}]}),
                "InvalidParameterException",
                "The simulated Region knows memberOf constraints only.",
            ),
        ] {
            let refusal = run(&mut world, input).unwrap_err();
            assert_eq!((refusal.code.as_str(), refusal.message.as_str()), (code, words));
        }
        for id in ["i-1", "i-2"] {
            let id = world.container_instance(id).unwrap().1.id.clone();
            world.set_status("shop", &id, Status::Draining);
        }
        let refusal = run(&mut world, json!({"taskDefinition": "web"})).unwrap_err();
        assert_eq!(refusal.message, "No Container Instances were found in your cluster.");
        assert_eq!(world.clusters["shop"].tasks.len(), tasks);
    }
}
