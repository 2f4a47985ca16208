//! Auto Scaling's operations on lifecycle hooks and lifecycle actions.

use std::time::Duration;

use crate::wire::answer::Refusal;
use crate::wire::query_protocol::{Form, element, invalid, member};
use crate::world::World;
use crate::world::autoscaling::{ActionKey, ActionResult, Hook, TERMINATING};

const HOOKS_MAX: usize = 50;

/// Source: Auto Scaling API, `PutLifecycleHook`, as are the bounds of the other members.
const NAME_LENGTH_MAX: usize = 255;

const TOKEN_LENGTH: usize = 36;

const METADATA_LENGTH_MAX: usize = 4_000;

pub(super) fn describe_lifecycle_hooks(world: &World, form: &Form) -> Result<String, Refusal> {
    let name = form.required("AutoScalingGroupName")?;
    let requested = form.list("LifecycleHookNames");
    let hooks = world.groups.get(name).map(|group| group.hooks.as_slice()).unwrap_or_default();
    let hooks: String = hooks
        .iter()
        .filter(|hook| requested.is_empty() || requested.contains(&hook.name.as_str()))
        .map(|hook| member(&hook_xml(name, hook)))
        .collect();
    Ok(format!("<LifecycleHooks>{hooks}</LifecycleHooks>"))
}

fn hook_xml(group: &str, hook: &Hook) -> String {
    [
        element("LifecycleHookName", &hook.name),
        element("AutoScalingGroupName", group),
        element("LifecycleTransition", TERMINATING),
        optional_element("NotificationTargetARN", &hook.topic_arn),
        optional_element("RoleARN", &hook.role_arn),
        optional_element("NotificationMetadata", &hook.metadata),
        element("HeartbeatTimeout", &hook.heartbeat_timeout.as_secs().to_string()),
        element("GlobalTimeout", &hook.global_timeout().as_secs().to_string()),
        element("DefaultResult", hook.default_result.as_str()),
    ]
    .concat()
}

fn optional_element(name: &str, text: &Option<String>) -> String {
    text.as_deref().map(|text| element(name, text)).unwrap_or_default()
}

/// Changes the hook of that name, or adds one. Only hooks for the termination of instances are
/// simulated.
pub(super) fn put_lifecycle_hook(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let (group, name) =
        (form.required("AutoScalingGroupName")?, form.required("LifecycleHookName")?);
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'/');
    if !(1..=NAME_LENGTH_MAX).contains(&name.len()) || !name.bytes().all(is_allowed) {
        return Err(invalid(
            "LifecycleHookName must satisfy [A-Za-z0-9\\-_\\/]+, at most 255 of them",
        ));
    }
    let hooks = world.groups.get(group).map(|group| group.hooks.as_slice()).unwrap_or_default();
    let existing = hooks.iter().find(|hook| hook.name == name);
    if existing.is_none() && hooks.len() >= HOOKS_MAX {
        return Err(Refusal::new("LimitExceeded", "A group has 50 lifecycle hooks at most."));
    }
    match form.text("LifecycleTransition") {
        Some(TERMINATING) => {}
        None if existing.is_some() => {}
        None => return Err(invalid("LifecycleTransition must be given for a new hook")),
        Some(transition) => {
            return Err(invalid(format!("The simulated Region has no hooks for {transition}")));
        }
    }
    // What the call leaves out stays as it was: `PutLifecycleHook` changes a hook as well as it
    // creates one.
    let mut hook = existing.cloned().unwrap_or_else(|| Hook::new(name));
    if let Some(seconds) = form.number("HeartbeatTimeout", 30, 7_200)? {
        hook.heartbeat_timeout = Duration::from_secs(u64::from(seconds.unsigned_abs()));
    }
    if let Some(word) = form.text("DefaultResult") {
        hook.default_result = result(word)?;
    }
    for (key, value) in [
        ("NotificationTargetARN", &mut hook.topic_arn),
        ("RoleARN", &mut hook.role_arn),
        ("NotificationMetadata", &mut hook.metadata),
    ] {
        if let Some(text) = form.text(key) {
            // An empty text takes a value away.
            *value = Some(text.to_owned()).filter(|text| !text.is_empty());
        }
    }
    if hook.metadata.as_ref().is_some_and(|metadata| metadata.len() > METADATA_LENGTH_MAX) {
        return Err(invalid("NotificationMetadata has more than 4,000 characters"));
    }
    if hook.topic_arn.is_some() && hook.role_arn.is_none() {
        return Err(invalid("A hook with a notification target needs a role."));
    }
    world.put_hook(group, hook)?;
    Ok(String::new())
}

pub(super) fn complete_lifecycle_action(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let result = result(form.required("LifecycleActionResult")?)?;
    world.complete_action(action_key(form)?, result)?;
    Ok(String::new())
}

pub(super) fn record_heartbeat(world: &mut World, form: &Form) -> Result<String, Refusal> {
    world.record_heartbeat(action_key(form)?)?;
    Ok(String::new())
}

fn action_key(form: &Form) -> Result<ActionKey<'_>, Refusal> {
    let token = form.text("LifecycleActionToken");
    if token.is_some_and(|token| token.len() != TOKEN_LENGTH) {
        return Err(invalid(format!(
            "1 validation error detected: the length of LifecycleActionToken must be {TOKEN_LENGTH}"
        )));
    }
    Ok(ActionKey {
        group: form.required("AutoScalingGroupName")?,
        hook: form.required("LifecycleHookName")?,
        token,
        instance_id: form.text("InstanceId"),
    })
}

fn result(word: &str) -> Result<ActionResult, Refusal> {
    ActionResult::parse(word).ok_or_else(|| invalid("The result must be CONTINUE or ABANDON"))
}
