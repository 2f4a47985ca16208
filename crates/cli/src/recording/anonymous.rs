//! Takes every name and id out of a recording, each replaced by the same everywhere, so that it
//! plans as before: `web` is `service-1`, its instance `i-00000000000000001`.
//!
//! What no person chose stays, as plans depend on it: the Region, zones, instance types, AWS's own
//! attributes but for ids, amounts and times.

use std::collections::BTreeMap;

use ebb_core::ids::{Cluster, ContainerInstanceArn, GroupName, InstanceId};
use ebb_core::mark::DRAINED_BY;
use ebb_core::reaper::replace::claim::REPLACING_ATTRIBUTE;
use ebb_core::reaper::sustained::{LOW_SINCE, TAKEN_BACK};
use ebb_planner::{CAPACITY_PROVIDER, EMPTIED_ATTRIBUTE, FOREVER, HOLD_ATTRIBUTE, KEEP_ATTRIBUTE};
use jiff::Timestamp;

use super::format::{
    RecordedCluster, RecordedInstance, RecordedService, RecordedStrategy, RecordedTaskKind,
    Recording,
};
use super::replaceable::{RecordedReplace, RecordedTemplates};

/// What stands for why a group cannot be changed: that may name another group, which need not be in the
/// recording.
const REASON_LEFT_OUT: &str = "a reason that is left out of the recording";

/// AWS's own attributes that hold an id of the account.
/// Sources: ECS Developer Guide, task-placement-constraints; `getOutpostAttribute` of the ECS agent.
const IDS: [&str; 5] =
    ["ecs.ami-id", "ecs.awsvpc-trunk-id", "ecs.outpost-arn", "ecs.subnet-id", "ecs.vpc-id"];

/// What is said of a service whose placement cannot be told without its names.
const UNCLEAR: &str = "its placement depends on names that were taken out";

/// Replaces every name and id.
pub fn anonymize(recording: &mut Recording) {
    let mut names = Names::default();
    for cluster in &mut recording.clusters {
        names.replace_in_cluster(cluster);
    }
}

/// The names so far: by kind, and then the number of each among those of its kind.
#[derive(Default)]
struct Names(BTreeMap<&'static str, BTreeMap<String, usize>>);

impl Names {
    fn number(&mut self, kind: &'static str, name: &str) -> usize {
        let numbers = self.0.entry(kind).or_default();
        let next = numbers.len() + 1;
        *numbers.entry(name.to_owned()).or_insert(next)
    }

    fn name(&mut self, kind: &'static str, name: &str) -> String {
        format!("{kind}-{}", self.number(kind, name))
    }

    fn replace(&mut self, kind: &'static str, name: &mut String) {
        *name = self.name(kind, name);
    }

    fn group(&mut self, group: &GroupName) -> GroupName {
        GroupName::new(self.name("group", group.as_str()))
    }

    fn instance_id(&mut self, id: &InstanceId) -> InstanceId {
        let number = self.number("instance", id.as_str());
        // Of the form that it is checked for.
        InstanceId::parse(&format!("i-{number:017x}")).unwrap_or_else(|| id.clone())
    }

    fn replace_in_cluster(&mut self, cluster: &mut RecordedCluster) {
        cluster.cluster = Cluster::new(self.name("cluster", cluster.cluster.name()));
        let groups = std::mem::take(&mut cluster.groups).into_iter();
        cluster.groups = groups.map(|(name, group)| (self.group(&name), group)).collect();
        let group_holds = cluster.groups.values_mut().map(|group| &mut group.hold_until);
        for text in group_holds.chain([&mut cluster.hold_until]).flatten() {
            *text = hold(text);
        }
        for why in cluster.groups.values_mut().filter_map(|group| group.unavailable.as_mut()) {
            REASON_LEFT_OUT.clone_into(why);
        }
        for instance in &mut cluster.instances {
            self.replace_in_instance(instance);
        }
        for service in &mut cluster.services {
            self.replace_in_service(service);
        }
        for failure in &mut cluster.unplaced {
            self.replace("service", &mut failure.service);
        }
        for member in &mut cluster.never_joined {
            member.instance_id = self.instance_id(&member.instance_id);
            member.group = self.group(&member.group);
        }
        if let Some(facts) = &mut cluster.replace {
            self.replace_in_facts(facts);
        }
    }

    fn replace_in_facts(&mut self, facts: &mut RecordedReplace) {
        let groups = std::mem::take(&mut facts.groups).into_iter();
        facts.groups = groups.map(|(name, group)| (self.group(&name), group)).collect();
        for member in facts.groups.values_mut().flat_map(|group| &mut group.members) {
            member.instance_id = self.instance_id(&member.instance_id);
        }
        let unavailable = std::mem::take(&mut facts.unavailable).into_iter();
        facts.unavailable =
            unavailable.map(|(name, _)| (self.group(&name), REASON_LEFT_OUT.to_owned())).collect();
        let templates = std::mem::take(&mut facts.launch_templates).into_iter();
        facts.launch_templates =
            templates.map(|(id, templates)| (self.instance_id(&id), templates)).collect();
        for RecordedTemplates { own, group } in facts.launch_templates.values_mut() {
            for template in own.iter_mut().chain([group]) {
                self.replace("launch-template", &mut template.id);
            }
        }
        let versions = std::mem::take(&mut facts.template_versions).into_iter();
        facts.template_versions =
            versions.map(|(id, versions)| (self.name("launch-template", &id), versions)).collect();
        let events = std::mem::take(&mut facts.scheduled_events).into_iter();
        facts.scheduled_events = events.map(|(id, event)| (self.instance_id(&id), event)).collect();
    }

    fn replace_in_instance(&mut self, instance: &mut RecordedInstance) {
        instance.instance_id = self.instance_id(&instance.instance_id);
        let arn = self.name("container-instance", instance.arn.as_str());
        instance.arn = ContainerInstanceArn::new(arn);
        instance.group = instance.group.as_ref().map(|group| self.group(group));
        let attributes = std::mem::take(&mut instance.attributes).into_iter();
        instance.attributes = attributes.map(|(name, value)| self.attribute(name, value)).collect();
        for task in instance.tasks.iter_mut().flatten() {
            self.replace("task", &mut task.id);
            if let RecordedTaskKind::Service { service } = &mut task.kind {
                self.replace("service", service);
            }
        }
        let distinct = std::mem::take(&mut instance.distinct_services).into_iter();
        instance.distinct_services = distinct.map(|name| self.name("service", &name)).collect();
        if let Some(resource) = &mut instance.unknown_resource {
            self.replace("resource", resource);
        }
    }

    fn attribute(&mut self, name: String, value: String) -> (String, String) {
        match name.as_str() {
            DRAINED_BY | EMPTIED_ATTRIBUTE | LOW_SINCE | REPLACING_ATTRIBUTE | TAKEN_BACK => {
                (name, value)
            }
            CAPACITY_PROVIDER => (name, self.name("capacity-provider", &value)),
            KEEP_ATTRIBUTE => (name, String::new()),
            HOLD_ATTRIBUTE => (name, hold(&value)),
            _ if IDS.contains(&name.as_str()) => (name, self.value(&value)),
            _ if is_of_aws(&name) => (name, value),
            _ => (self.name("attribute", &name), self.value(&value)),
        }
    }

    /// An attribute without a value stays one.
    fn value(&mut self, value: &str) -> String {
        if value.is_empty() { String::new() } else { self.name("value", value) }
    }

    fn replace_in_service(&mut self, service: &mut RecordedService) {
        self.replace("service", &mut service.name);
        let constraints: Option<Vec<_>> =
            service.constraints.iter().map(|constraint| self.constraint(constraint)).collect();
        if constraints.is_none() || service.unclear.is_some() {
            service.unclear = Some(UNCLEAR.to_owned());
        }
        service.constraints = constraints.unwrap_or_default();
        let providers = std::mem::take(&mut service.capacity_providers).into_iter();
        service.capacity_providers =
            providers.map(|name| self.name("capacity-provider", &name)).collect();
        for step in &mut service.strategy {
            if let RecordedStrategy::Spread(field) = step {
                *field = self.field(field);
            }
        }
    }

    /// `instanceId`, `host`, or an attribute with or without `attribute:` before it.
    fn field(&mut self, field: &str) -> String {
        match field.strip_prefix("attribute:").unwrap_or(field) {
            "instanceId" | "host" => field.to_owned(),
            name if is_of_aws(name) => field.to_owned(),
            name => format!("attribute:{}", self.name("attribute", name)),
        }
    }

    /// An expression of the cluster query language. One about AWS's own attributes alone stays as it
    /// is; in any other the names and values are replaced. `None` if it has a pattern, which would
    /// match other names otherwise, a quotation, or names an instance or a task.
    fn constraint(&mut self, expression: &str) -> Option<String> {
        let mut subjects = expression.split("attribute:").skip(1);
        let knows_attributes_alone =
            !["ec2InstanceId", "task:group"].iter().any(|subject| expression.contains(subject));
        if knows_attributes_alone && subjects.all(is_of_aws) {
            let ids = IDS.iter().any(|id| expression.contains(id));
            return (!ids).then(|| expression.to_owned());
        }
        let has_pattern = ["~", "matches", "'", "\""].iter().any(|it| expression.contains(it));
        if has_pattern || !knows_attributes_alone || expression.contains("attribute:ecs.") {
            return None;
        }
        let mut replaced = String::new();
        for word in expression.split_inclusive(|c: char| " ()[],=!".contains(c)) {
            let name = word.trim_end_matches(|c: char| " ()[],=!".contains(c));
            replaced.push_str(&match name {
                "" | "and" | "or" | "not" | "exists" | "in" | "not_in" | "equals"
                | "not_equals" | "&&" | "||" => name.to_owned(),
                "agentConnected" | "true" | "false" => name.to_owned(),
                _ => match name.strip_prefix("attribute:") {
                    Some(attribute) => {
                        format!("attribute:{}", self.name("attribute", attribute))
                    }
                    None => self.value(name),
                },
            });
            replaced.push_str(&word[name.len()..]);
        }
        Some(replaced)
    }
}

/// What somebody wrote in the place of a time may be a name. It holds, whatever it is.
fn hold(text: &str) -> String {
    let is_plain = text == FOREVER || text.trim().parse::<Timestamp>().is_ok();
    if is_plain { text.to_owned() } else { String::new() }
}

/// Whether an attribute is one that ECS sets itself. Source: ECS Developer Guide,
/// task-placement-constraints.
fn is_of_aws(name: &str) -> bool {
    name.starts_with("ecs.")
}
