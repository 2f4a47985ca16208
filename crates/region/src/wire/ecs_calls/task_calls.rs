//! ECS's operations on tasks.

use serde_json::{Value, json};

use super::task_json::describe;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{DESCRIBE_MAX, Input, arn_of, id_of, invalid, page};
use crate::world::World;
use crate::world::ecs::task::Task;

/// Filters of `ListTasks` that Ebb does not use.
const LIST_FILTERS_MISSING: [&str; 3] = ["family", "startedBy", "daemonName"];

pub(super) fn list_tasks(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    for filter in LIST_FILTERS_MISSING {
        if input.text(filter)?.is_some() {
            return Err(invalid(format!(
                "The simulated Region does not filter tasks by {filter}."
            )));
        }
    }
    let container_instance = input.text("containerInstance")?.map(id_of);
    // What ECS says to an unknown one is not documented.
    if container_instance.is_some_and(|id| !cluster.instances.contains_key(id)) {
        return Err(invalid("The container instance was not found."));
    }
    let service = input.text("serviceName")?.map(id_of);
    if service.is_some_and(|service| !cluster.services.contains_key(service)) {
        return Err(Refusal::new("ServiceNotFoundException", "Service not found."));
    }
    // PENDING is a valid status that no task is ever desired to have (ECS API, `ListTasks`).
    let stopped = match input.text("desiredStatus")? {
        None | Some("RUNNING") => Some(false),
        Some("STOPPED") => Some(true),
        Some("PENDING") => None,
        Some(other) => return Err(invalid(format!("Desired status {other} is not valid."))),
    };
    let on_ec2 = match input.text("launchType")? {
        None | Some("EC2") => true,
        Some("FARGATE" | "EXTERNAL" | "MANAGED_INSTANCES") => false,
        Some(other) => return Err(invalid(format!("Launch type {other} is not valid."))),
    };
    let listed = |task: &&Task| {
        on_ec2
            && stopped == Some(!task.is_desired_running())
            && task.is_visible(world.now())
            && container_instance.is_none_or(|id| task.container_instance == id)
            && service.is_none_or(|service| task.service.as_deref() == Some(service))
    };
    let arns =
        cluster.tasks.values().filter(listed).map(|task| arn_of("task", name, &task.id)).collect();
    page(input, "taskArns", arns)
}

pub(super) fn describe_tasks(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let (name, cluster) = input.cluster(world)?;
    let (mut described, mut failures) = (Vec::new(), Vec::new());
    for wanted in input.texts("tasks", DESCRIBE_MAX)? {
        match visible(world, name, wanted) {
            Some(task) => described.push(describe(name, cluster, task)),
            None => {
                failures.push(json!({"arn": arn_of("task", name, wanted), "reason": "MISSING"}))
            }
        }
    }
    Ok(json!({"tasks": described, "failures": failures}))
}

pub(super) fn stop_task(world: &mut World, input: Input<'_>) -> Result<Value, Refusal> {
    let name = input.cluster(world)?.0.to_owned();
    let wanted = input.text("task")?.ok_or_else(|| invalid("Task can not be blank."))?;
    let not_found = || invalid("The referenced task was not found.");
    let id = visible(world, &name, wanted).ok_or_else(not_found)?.id.clone();
    world.stop_task(&name, &id);
    let task = visible(world, &name, &id).ok_or_else(not_found)?;
    Ok(json!({"task": describe(&name, &world.clusters[&name], task)}))
}

/// A task that the API still knows, by its id or ARN.
pub(super) fn visible<'a>(world: &'a World, cluster: &str, wanted: &str) -> Option<&'a Task> {
    world.clusters[cluster].tasks.get(id_of(wanted)).filter(|task| task.is_visible(world.now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ecs_calls::task_testing::{call, list, pass, world};
    use crate::world::ecs::task::TaskStatus;

    #[test]
    fn tasks_are_listed_by_container_instance_service_and_desired_status() {
        let (mut world, first, standalone) = world();

        assert_eq!(list(&mut world, json!({})).len(), 5);
        assert_eq!(list(&mut world, json!({"containerInstance": first})).len(), 3);
        assert_eq!(list(&mut world, json!({"serviceName": "web"})).len(), 2);
        for nothing in [
            json!({"desiredStatus": "PENDING"}),
            json!({"desiredStatus": "STOPPED"}),
            json!({"launchType": "FARGATE"}),
        ] {
            assert_eq!(list(&mut world, nothing), [""; 0]);
        }
        world.stop_task("shop", &standalone);
        assert_eq!(list(&mut world, json!({"containerInstance": first})).len(), 2);
        let arn = format!("arn:aws:ecs:eu-west-1:111122223333:task/shop/{standalone}");
        assert_eq!(
            list(&mut world, json!({"containerInstance": first, "desiredStatus": "STOPPED"})),
            [arn]
        );
    }

    #[test]
    fn a_stopped_task_is_listed_and_described_for_an_hour() {
        let (mut world, _, standalone) = world();
        world.stop_task("shop", &standalone);
        pass(&mut world, 3600);
        assert_eq!(list(&mut world, json!({"desiredStatus": "STOPPED"})).len(), 1);
        pass(&mut world, 60);

        assert_eq!(list(&mut world, json!({"desiredStatus": "STOPPED"})).len(), 0);
        let described = call(&mut world, "DescribeTasks", json!({"tasks": [standalone]})).unwrap();
        assert_eq!(described["failures"][0]["reason"], "MISSING");
    }

    #[test]
    fn tasks_are_listed_page_by_page() {
        let (mut world, ..) = world();
        let first = call(&mut world, "ListTasks", json!({"maxResults": 3})).unwrap();
        let rest = call(&mut world, "ListTasks", json!({"nextToken": first["nextToken"]})).unwrap();

        let len = |page: &Value| page["taskArns"].as_array().unwrap().len();
        assert_eq!((len(&first), len(&rest), rest.get("nextToken")), (3, 2, None));
    }

    #[test]
    fn what_is_listed_must_exist() {
        let (mut world, ..) = world();
        for (input, code) in [
            (json!({"serviceName": "x"}), "ServiceNotFoundException"),
            (json!({"containerInstance": "x"}), "InvalidParameterException"),
            (json!({"desiredStatus": "x"}), "InvalidParameterException"),
        ] {
            assert_eq!(call(&mut world, "ListTasks", input).unwrap_err().code, code);
        }
    }

    #[test]
    fn a_task_says_whom_it_belongs_to_and_where_it_stands() {
        let (mut world, first, standalone) = world();
        let web = list(&mut world, json!({"serviceName": "web"})).remove(0);
        let output =
            call(&mut world, "DescribeTasks", json!({"tasks": [standalone, web, "x"]})).unwrap();

        let (alone, of_service) = (&output["tasks"][0], &output["tasks"][1]);
        assert_eq!((&alone["group"], alone.get("startedBy")), (&json!("family:report"), None));
        assert_eq!(of_service["group"], "service:web");
        assert!(of_service["startedBy"].as_str().unwrap().starts_with("ecs-svc/"));
        let instance =
            format!("arn:aws:ecs:eu-west-1:111122223333:container-instance/shop/{first}");
        assert_eq!(alone["containerInstanceArn"], json!(instance));
        assert_eq!((&alone["cpu"], &alone["memory"]), (&json!("256"), &json!("512")));
        assert_eq!(
            (&alone["lastStatus"], &alone["desiredStatus"]),
            (&json!("RUNNING"), &json!("RUNNING"))
        );
        let missing =
            json!([{"arn": "arn:aws:ecs:eu-west-1:111122223333:task/shop/x", "reason": "MISSING"}]);
        assert_eq!(output["failures"], missing);
    }

    #[test]
    fn a_task_that_is_told_to_stop_is_desired_stopped_long_before_it_has_stopped() {
        let (mut world, _, standalone) = world();
        let output = call(&mut world, "StopTask", json!({"task": standalone})).unwrap();
        assert_eq!(
            (&output["task"]["desiredStatus"], &output["task"]["lastStatus"]),
            (&json!("STOPPED"), &json!("RUNNING"))
        );

        pass(&mut world, 10);
        assert_eq!(world.clusters["shop"].tasks[&standalone].status, TaskStatus::Stopped);
        let refused = call(&mut world, "StopTask", json!({"task": "x"})).unwrap_err();
        assert_eq!(refused.message, "The referenced task was not found.");
    }
}
