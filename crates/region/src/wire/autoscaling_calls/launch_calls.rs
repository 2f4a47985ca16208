//! `LaunchInstances`, and what a group says that it launches its instances from.

use crate::wire::answer::Refusal;
use crate::wire::query_protocol::{Form, element, invalid, member};
use crate::world::World;
use crate::world::autoscaling::{Group, LaunchRequest, LaunchSource, Override, launch_template_id};

const TOKEN_MAX: usize = 64;

/// Only with an Availability Zone by its name.
pub(super) fn launch_instances(world: &mut World, form: &Form) -> Result<String, Refusal> {
    let group = form.required("AutoScalingGroupName")?;
    form.required("RequestedCapacity")?;
    let capacity = form.number("RequestedCapacity", 1, i32::MAX)?.unwrap_or_default();
    let token = form.required("ClientToken")?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/');
    if token.is_empty() || token.len() > TOKEN_MAX || !token.chars().all(is_allowed) {
        return Err(invalid("ClientToken must satisfy [A-Za-z0-9\\-_\\/]+, 64 characters at most"));
    }
    let zone = match form.list("AvailabilityZones")[..] {
        [] => None,
        [zone] => Some(zone.to_owned()),
        _ => return Err(invalid("AvailabilityZones must have length less than or equal to 1")),
    };
    let retries = match form.text("RetryStrategy") {
        None | Some("none") => false,
        Some("retry-with-group-configuration") => true,
        Some(_) => return Err(invalid("RetryStrategy must be a known strategy")),
    };
    let request = LaunchRequest { group: group.to_owned(), capacity, zone, retries };
    let launched = world.launch_instances(token, &request)?;
    let pool = [
        element("InstanceType", &launched.instance_type),
        element("MarketType", "OnDemand"),
        element("AvailabilityZone", &launched.zone),
    ]
    .concat();
    let ids: String = launched.instance_ids.iter().map(|id| element("member", id)).collect();
    let (instances, errors) = if ids.is_empty() {
        let code = element("ErrorCode", "InsufficientInstanceCapacity");
        let message = element("ErrorMessage", "There is no capacity in this Availability Zone.");
        (String::new(), member(&[pool, code, message].concat()))
    } else {
        (member(&format!("{pool}<InstanceIds>{ids}</InstanceIds>")), String::new())
    };
    Ok([
        element("AutoScalingGroupName", group),
        element("ClientToken", token),
        format!("<Instances>{instances}</Instances><Errors>{errors}</Errors>"),
    ]
    .concat())
}

/// A launch template as a group or an instance names it.
fn template_xml(name: &str, version: &str) -> String {
    [
        element("LaunchTemplateId", &launch_template_id(name)),
        element("LaunchTemplateName", name),
        element("Version", version),
    ]
    .concat()
}

/// What an instance of a group was launched from. Auto Scaling names the number of the version.
pub(super) fn instance_source_xml(name: &str, version: Option<u64>) -> String {
    match version {
        None => element("LaunchConfigurationName", name),
        Some(version) => {
            let template = template_xml(name, &version.to_string());
            format!("<LaunchTemplate>{template}</LaunchTemplate>")
        }
    }
}

/// The member of a group's description that names what it launches from.
pub(super) fn source_xml(name: &str, group: &Group) -> String {
    let template = template_xml(name, &group.launch_template.version);
    match group.source {
        LaunchSource::Configuration => element("LaunchConfigurationName", name),
        LaunchSource::Template => format!("<LaunchTemplate>{template}</LaunchTemplate>"),
        LaunchSource::Mixed { on_demand_percentage } => {
            let percentage = on_demand_percentage.to_string();
            let percentage = element("OnDemandPercentageAboveBaseCapacity", &percentage);
            let base = element("OnDemandBaseCapacity", "0");
            let overrides: String = group.overrides.iter().map(override_xml).collect();
            format!(
                "<MixedInstancesPolicy><LaunchTemplate><LaunchTemplateSpecification>{template}\
                 </LaunchTemplateSpecification><Overrides>{overrides}</Overrides></LaunchTemplate>\
                 <InstancesDistribution>{base}{percentage}</InstancesDistribution>\
                 </MixedInstancesPolicy>"
            )
        }
    }
}

fn override_xml(item: &Override) -> String {
    member(&match item {
        Override::InstanceType(name) => element("InstanceType", name),
        Override::Requirements => {
            let minimum = |name: &str| format!("<{name}>{}</{name}>", element("Min", "1"));
            let requirements = [minimum("VCpuCount"), minimum("MemoryMiB")].concat();
            format!("<InstanceRequirements>{requirements}</InstanceRequirements>")
        }
    })
}
