//! EC2's operations `DescribeInstances`, by id, by the Capacity Reservation of the instances or
//! of Spot Instances alone, `DescribeInstanceStatus`, by scheduled events, `DescribeInstanceTypes`, by name,
//! `DescribeLaunchTemplates`, by id, `DescribeSpotPriceHistory`, and `DescribeSubnets`, by id.
//!
//! Source: EC2 API Reference, of each operation.

use std::collections::BTreeMap;

use super::answer::Refusal;
use super::query_protocol::{Form, element};
use crate::world::autoscaling::{LaunchSource, launch_template_id};
use crate::world::ec2::{InstanceType, instance_type};
use crate::world::ecs::architecture;
use crate::world::{PRICES, REGION, World};

/// Source: EC2 User Guide, `Using_Filtering`.
const FILTER_VALUES_MAX: usize = 200;

/// The values of each filter of a form, if it has no filters but these.
fn filters<'f>(form: &'f Form, known: &[&str]) -> Result<BTreeMap<&'f str, Vec<&'f str>>, Refusal> {
    if form.text("Version") != Some("2016-11-15") {
        return Err(Refusal::new("InvalidAction", "The action is not valid for this version"));
    }
    let mut filters = BTreeMap::new();
    for number in 1.. {
        let Some(name) = form.text(&format!("Filter.{number}.Name")) else { break };
        let key = |value| format!("Filter.{number}.Value.{value}");
        let values: Vec<_> = (1..).map_while(|value| form.text(&key(value))).collect();
        if !known.contains(&name) {
            let message = format!("The filter '{name}' is invalid");
            return Err(Refusal::new("InvalidParameterValue", message));
        }
        if values.len() > FILTER_VALUES_MAX {
            let message = "The maximum number of filter values specified on a single call is 200";
            return Err(Refusal::new("FilterLimitExceeded", message));
        }
        if values.is_empty() || values.iter().any(|value| value.contains(['*', '?', '\\'])) {
            let message = format!("The simulated Region takes values without wildcards for {name}");
            return Err(Refusal::new("InvalidParameterValue", message));
        }
        if filters.insert(name, values).is_some() {
            let message = format!("The filter '{name}' is given twice");
            return Err(Refusal::new("InvalidParameterValue", message));
        }
    }
    Ok(filters)
}

/// The subnets of the services in network mode `awsvpc`. Only with the filter by id.
pub(super) fn describe_subnets(world: &World, form: &Form) -> Result<String, Refusal> {
    let filters = filters(form, &["subnet-id"])?;
    let Some(ids) = filters.get("subnet-id") else {
        return Err(Refusal::new("InvalidParameterValue", "Only by id here"));
    };
    let services = world.clusters.values().flat_map(|cluster| cluster.services.values());
    let subnets: BTreeMap<_, _> = services
        .flat_map(|service| &service.placement.subnets)
        .filter_map(|(id, zone)| Some((id, zone.as_ref()?)))
        .filter(|(id, _)| ids.contains(&id.as_str()))
        .collect();
    let items: String = subnets
        .into_iter()
        .map(|(id, zone)| [element("subnetId", id), element("availabilityZone", zone)].concat())
        .map(|subnet| format!("<item>{subnet}</item>"))
        .collect();
    Ok(format!("<subnetSet>{items}</subnetSet>"))
}

/// Of one network card each. Only with the filter by name, and what is not simulated is left out.
pub(super) fn describe_instance_types(form: &Form) -> Result<String, Refusal> {
    let filters = filters(form, &["instance-type"])?;
    let Some(names) = filters.get("instance-type") else {
        return Err(Refusal::new("InvalidParameterValue", "Only by name here"));
    };
    let items: String =
        names.iter().filter_map(|name| instance_type(name)).map(instance_type_xml).collect();
    Ok(format!("<instanceTypeSet>{items}</instanceTypeSet>"))
}

fn instance_type_xml(of_type: InstanceType) -> String {
    let InstanceType { name, network_interfaces, vcpus, memory_gib } = of_type;
    let number = element("maximumNetworkInterfaces", &network_interfaces.to_string());
    let card = format!("<item>{}{number}</item>", element("networkCardIndex", "0"));
    let network = [number, format!("<networkCards>{card}</networkCards>")].concat();
    let architecture = element("item", architecture(name));
    let memory = element("sizeInMiB", &(memory_gib * 1_024).to_string());
    let vcpus = element("defaultVCpus", &vcpus.to_string());
    [
        "<item>".to_owned(),
        element("instanceType", name),
        format!("<memoryInfo>{memory}</memoryInfo>"),
        format!("<networkInfo>{network}</networkInfo>"),
        format!(
            "<processorInfo><supportedArchitectures>{architecture}</supportedArchitectures>\
             </processorInfo>"
        ),
        "<supportedUsageClasses><item>on-demand</item><item>spot</item></supportedUsageClasses>"
            .to_owned(),
        format!("<vCpuInfo>{vcpus}</vCpuInfo></item>"),
    ]
    .concat()
}

/// The instances that run and for which something is scheduled. Only with the filter by the code of
/// the event.
pub(super) fn describe_instance_status(world: &World, form: &Form) -> Result<String, Refusal> {
    let filters = filters(form, &["event.code"])?;
    let Some(codes) = filters.get("event.code") else {
        return Err(Refusal::new("InvalidParameterValue", "Only by scheduled events here"));
    };
    let scheduled = world.scheduled_events.iter();
    let items = scheduled
        .filter(|(instance_id, event)| {
            codes.contains(&event.code.as_str()) && !world.ended(instance_id)
        })
        .map(|(instance_id, event)| {
            let event = [
                element("instanceEventId", "instance-event-0a1b2c3d4e5f60001"),
                element("code", &event.code),
                element("description", &event.description),
                element("notBefore", &event.not_before),
            ]
            .concat();
            let state = [element("code", "16"), element("name", "running")].concat();
            let status = [
                element("instanceId", instance_id),
                format!("<eventsSet><item>{event}</item></eventsSet>"),
                format!("<instanceState>{state}</instanceState>"),
            ];
            format!("<item>{}</item>", status.concat())
        })
        .collect();
    page(form, "instanceStatusSet", items)
}

/// Only by id: one that does not exist fails the call.
pub(super) fn describe_launch_templates(world: &World, form: &Form) -> Result<String, Refusal> {
    filters(form, &[])?;
    let asked: Vec<_> =
        (1..).map_while(|number| form.text(&format!("LaunchTemplateId.{number}"))).collect();
    if asked.is_empty() {
        return Err(Refusal::new("InvalidParameterValue", "Only by id here"));
    }
    let templates: BTreeMap<_, _> = world
        .groups
        .iter()
        .filter(|(_, group)| group.source != LaunchSource::Configuration)
        .map(|(name, group)| (launch_template_id(name), (name, &group.launch_template)))
        .collect();
    let mut items = String::new();
    for id in asked {
        let Some((name, template)) = templates.get(id) else {
            let message =
                format!("The specified launch template, with template ID {id}, does not exist.");
            return Err(Refusal::new("InvalidLaunchTemplateId.NotFound", message));
        };
        let template = [
            element("launchTemplateId", id),
            element("launchTemplateName", name),
            element("defaultVersionNumber", &template.default.to_string()),
            element("latestVersionNumber", &template.latest.to_string()),
        ];
        items += &format!("<item>{}</item>", template.concat());
    }
    Ok(format!("<launchTemplates>{items}</launchTemplates>"))
}

/// Only with the filter by id, that by reservation or that by lifecycle, and with that by state.
pub(super) fn describe_instances(world: &World, form: &Form) -> Result<String, Refusal> {
    let known =
        ["capacity-reservation-id", "instance-id", "instance-lifecycle", "instance-state-name"];
    let filters = filters(form, &known)?;
    if let Some(ids) = filters.get("instance-id") {
        if filters.len() > 1 {
            let message = "By id alone, here";
            return Err(Refusal::new("InvalidParameterValue", message));
        }
        return page(form, "reservationSet", by_id(world, ids));
    }
    let states = filters.get("instance-state-name");
    let instances =
        match (filters.get("capacity-reservation-id"), filters.get("instance-lifecycle")) {
            (Some(reservations), None) => reserved(world, reservations),
            (None, Some(lifecycles)) if lifecycles == &["spot"] => spot(world),
            _ => {
                let message = "Only by Capacity Reservation, or Spot Instances alone, here";
                return Err(Refusal::new("InvalidParameterValue", message));
            }
        };
    let is_asked_for = |state: &str| states.is_none_or(|states| states.contains(&state));
    let items = instances
        .into_iter()
        .map(|(instance, more)| (instance, more, state(world, instance)))
        .filter(|(.., state)| is_asked_for(state))
        .map(|(instance, more, state)| {
            let state = format!("<instanceState>{}</instanceState>", element("name", state));
            let instance = [element("instanceId", instance), state, more].concat();
            let instances = format!("<instancesSet><item>{instance}</item></instancesSet>");
            format!("<item>{}{instances}</item>", element("reservationId", "r-0a1b2c3d4e5f60001"))
        })
        .collect();
    page(form, "reservationSet", items)
}

/// The members of groups with these ids, each in a reservation of its own. Only those whose group
/// launched them: of the others nobody knows since when they run.
fn by_id(world: &World, ids: &[&str]) -> Vec<String> {
    let members = world.groups.values().flat_map(|group| &group.instances);
    let asked_for = members.filter(|member| ids.contains(&member.instance_id.as_str()));
    let items = asked_for.filter_map(|member| {
        let launched_at = element("launchTime", &member.launched_at?.to_string());
        let instance = [element("instanceId", &member.instance_id), launched_at].concat();
        Some(format!("<item><instancesSet><item>{instance}</item></instancesSet></item>"))
    });
    items.collect()
}

/// The instances in these Capacity Reservations, each with the element that says so.
fn reserved<'w>(world: &'w World, reservations: &[&str]) -> Vec<(&'w str, String)> {
    world
        .capacity_reservations
        .iter()
        .filter(|(id, _)| reservations.contains(&id.as_str()))
        .flat_map(|(id, instances)| instances.iter().map(move |instance| (id, instance)))
        .map(|(id, instance)| (instance.as_str(), element("capacityReservationId", id)))
        .collect()
}

/// The instances of the groups that launch nothing but Spot Instances: no others are simulated.
fn spot(world: &World) -> Vec<(&str, String)> {
    world
        .groups
        .values()
        .filter(|group| group.source == LaunchSource::Mixed { on_demand_percentage: 0 })
        .flat_map(|group| &group.instances)
        .map(|instance| (instance.instance_id.as_str(), element("instanceLifecycle", "spot")))
        .collect()
}

/// The newest Spot prices. Only with the filters by product and by instance type; a type that is
/// unknown or not sold as Spot has none.
pub(super) fn describe_spot_prices(world: &World, form: &Form) -> Result<String, Refusal> {
    let filters = filters(form, &["instance-type", "product-description"])?;
    let (Some(types), Some(_)) = (filters.get("instance-type"), form.text("StartTime")) else {
        return Err(Refusal::new("InvalidParameterValue", "Only by instance type from a time on"));
    };
    let products = filters.get("product-description");
    let product = "Linux/UNIX";
    if products.is_some_and(|products| !products.contains(&product)) {
        return page(form, "spotPriceHistorySet", Vec::new());
    }
    // The last change before the time that is asked about.
    let changed = element("timestamp", &world.now().strftime("%FT00:00:00.000Z").to_string());
    let prices = PRICES.iter().filter(|price| types.contains(&price.instance_type));
    let by_zone = prices.flat_map(|price| {
        ["a", "b", "c"].into_iter().zip(price.spot).map(move |spot| (price, spot))
    });
    let items = by_zone
        .map(|(price, (zone, usd))| {
            let change = [
                element("instanceType", price.instance_type),
                element("productDescription", product),
                element("spotPrice", usd),
                changed.clone(),
                element("availabilityZone", &format!("{REGION}{zone}")),
            ];
            format!("<item>{}</item>", change.concat())
        })
        .collect();
    page(form, "spotPriceHistorySet", items)
}

/// A list cut into pages by `MaxResults` and `NextToken`.
fn page(form: &Form, list: &str, items: Vec<String>) -> Result<String, Refusal> {
    let size = form
        .number("MaxResults", 5, 1_000)?
        .map_or(items.len(), |size| size.unsigned_abs() as usize);
    let start = match form.text("NextToken") {
        None => 0,
        Some(token) => token
            .strip_prefix("next=")
            .and_then(|start| start.parse().ok())
            .filter(|start| *start < items.len())
            .ok_or_else(|| Refusal::new("InvalidParameterValue", "The token is invalid"))?,
    };
    let end = items.len().min(start + size);
    let token = if end < items.len() {
        element("nextToken", &format!("next={end}"))
    } else {
        // EC2 lays its documents out in lines, and the token of a last page is empty (boto3#130).
        "\n    <nextToken/>\n".to_owned()
    };
    Ok(format!("<{list}>{}</{list}>{token}", items[start..end].concat()))
}

/// EC2 still describes an instance for an hour after its end.
fn state(world: &World, instance_id: &str) -> &'static str {
    if world.ended(instance_id) { "terminated" } else { "running" }
}
