//! What the cluster query language can ask about a container instance, and the answers.
//!
//! Source: ECS Developer Guide, cluster-query-language.

use crate::inventory::Instance;

/// What is asked about an instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    InstanceId,
    AgentConnected,
    Attribute(String),
    /// Which tasks run on it: nobody can tell what that will be by the time a task is placed.
    RunningTasks,
}

impl Subject {
    /// Its value for an instance; `None` if it has no such attribute.
    pub(crate) fn value<'a>(&self, instance: &'a Instance) -> Option<&'a str> {
        match self {
            Self::InstanceId => Some(instance.instance_id.as_str()),
            Self::AgentConnected => Some(if instance.agent_connected { "true" } else { "false" }),
            Self::RunningTasks => None,
            Self::Attribute(name) => {
                instance.attributes.get(name).map(String::as_str).or(match name.as_str() {
                    // The built-in attributes that the inventory knows anyhow.
                    "ecs.availability-zone" => Some(&instance.zone),
                    "ecs.instance-type" => Some(&instance.instance_type),
                    _ => None,
                })
            }
        }
    }
}
