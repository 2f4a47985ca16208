//! ECS's operations on the protection of tasks from scale-in.

use std::time::Duration;

use serde_json::{Value, json};

use super::task_calls::visible;
use super::task_json::seconds;
use crate::wire::answer::Refusal;
use crate::wire::aws_json::{DESCRIBE_MAX, Input, arn_of, id_in, invalid};
use crate::world::World;
use crate::world::ecs::task::Task;

/// Source: ECS API, `UpdateTaskProtection`.
const PROTECT_MAX: usize = 10;

/// See `PROTECT_MAX`.
const PROTECTION_DEFAULT_MINUTES: u64 = 120;

/// See `PROTECT_MAX`.
const PROTECTION_MAX_MINUTES: u64 = 2_880;

pub(super) fn get_task_protection(world: &World, input: Input<'_>) -> Result<Value, Refusal> {
    let name = cluster(world, input)?;
    let tasks = input.texts("tasks", DESCRIBE_MAX)?;
    protections(world, name, &tasks, |task| task.service.is_some())
}

pub(super) fn update_task_protection(
    world: &mut World,
    input: Input<'_>,
) -> Result<Value, Refusal> {
    let name = cluster(world, input)?.to_owned();
    let tasks = input.texts("tasks", PROTECT_MAX)?;
    let Some(enabled) = input.value["protectionEnabled"].as_bool() else {
        return Err(invalid("protectionEnabled must be true or false."));
    };
    let minutes = match &input.value["expiresInMinutes"] {
        Value::Null => PROTECTION_DEFAULT_MINUTES,
        minutes => minutes
            .as_u64()
            .filter(|minutes| (1..=PROTECTION_MAX_MINUTES).contains(minutes))
            .ok_or_else(|| invalid("expiresInMinutes must be from 1 to 2880."))?,
    };
    for task in &tasks {
        // A protection that lasts no time is over at once, which is how it is taken away.
        let period = Duration::from_secs(if enabled { minutes * 60 } else { 0 });
        world.protect_task(&name, id_in("task", &name, task)?, period);
    }
    // What ECS says to a task that is told to stop is not documented; there is nothing to protect.
    let is_valid = |task: &Task| task.service.is_some() && task.is_desired_running();
    protections(world, &name, &tasks, is_valid)
}

/// Unlike elsewhere the cluster must be named (ECS API, `GetTaskProtection`, `cluster`).
fn cluster<'w>(world: &'w World, input: Input<'w>) -> Result<&'w str, Refusal> {
    match input.text("cluster")? {
        Some(_) => Ok(input.cluster(world)?.0),
        None => Err(invalid("Cluster can not be blank.")),
    }
}

/// A standalone task cannot be protected: a failure of its own (ECS Developer Guide,
/// `api_failures_messages`).
fn protections(
    world: &World,
    cluster_name: &str,
    tasks: &[&str],
    is_valid: fn(&Task) -> bool,
) -> Result<Value, Refusal> {
    let (mut protected, mut failures) = (Vec::new(), Vec::new());
    for id_or_arn in tasks {
        let arn = arn_of("task", cluster_name, id_or_arn);
        match visible(world, cluster_name, id_or_arn)? {
            None => failures.push(json!({"arn": arn, "reason": "MISSING"})),
            Some(task) if !is_valid(task) => {
                failures.push(json!({"arn": arn, "reason": "TASK_NOT_VALID"}));
            }
            Some(task) => protected.push(match task.protection(world.now()) {
                Some(until) => {
                    json!({
                        "taskArn": arn,
                        "protectionEnabled": true,
                        "expirationDate": seconds(until),
                    })
                }
                None => json!({"taskArn": arn, "protectionEnabled": false}),
            }),
        }
    }
    Ok(json!({"protectedTasks": protected, "failures": failures}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ecs_calls::task_testing::{call, list, world};

    #[test]
    fn the_protection_of_service_tasks_is_told_and_standalone_tasks_have_none() {
        let (mut world, _, standalone) = world();
        let web = list(&mut world, json!({"serviceName": "web"}));
        world.protect_task(
            "shop",
            id_in("task", "shop", &web[0]).unwrap(),
            Duration::from_secs(600),
        );
        let until = seconds(world.now()) + 600.0;
        let input = json!({"tasks": [web[0], web[1], standalone, "x"]});
        let output = call(&mut world, "GetTaskProtection", input).unwrap();

        let protected = json!([
            {"taskArn": web[0], "protectionEnabled": true, "expirationDate": until},
            {"taskArn": web[1], "protectionEnabled": false},
        ]);
        assert_eq!(output["protectedTasks"], protected);
        let reasons: Vec<_> = output["failures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|failure| failure["reason"].as_str().unwrap())
            .collect();
        assert_eq!(reasons, ["TASK_NOT_VALID", "MISSING"]);
    }

    #[test]
    fn a_task_that_is_told_to_stop_cannot_be_protected() {
        let (mut world, ..) = world();
        let web = list(&mut world, json!({"serviceName": "web"}));
        world.stop_task("shop", id_in("task", "shop", &web[0]).unwrap());
        let input = json!({"tasks": web, "protectionEnabled": true});
        let output = call(&mut world, "UpdateTaskProtection", input).unwrap();

        assert_eq!(output["failures"], json!([{"arn": web[0], "reason": "TASK_NOT_VALID"}]));
        assert_eq!(output["protectedTasks"][0]["taskArn"], json!(web[1]));
    }
}
