//! The operation `DescribeTargetGroups` of Elastic Load Balancing: all of them, page by page.
//!
//! Source: API model of Elastic Load Balancing v2 (2015-12-01).

use super::answer::Refusal;
use super::query_protocol::{Form, element, invalid, member};
use crate::world::World;

const PAGE_MAX: i32 = 400;

/// The target groups with the load balancers that use them.
pub(super) fn describe_target_groups(world: &World, form: &Form) -> Result<String, Refusal> {
    if form.text("Version") != Some("2015-12-01") {
        return Err(Refusal::new("InvalidAction", "The action is not valid for this version"));
    }
    let size = form.number("PageSize", 1, PAGE_MAX)?.unwrap_or(PAGE_MAX);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let start: usize = match form.text("Marker") {
        Some(marker) => marker.parse().map_err(|_| invalid("The marker is not valid"))?,
        None => 0,
    };
    let page = world.target_groups.iter().skip(start).take(size);
    let target_groups: String = page
        .map(|(arn, load_balancers)| {
            let load_balancers: String =
                load_balancers.iter().map(|arn| element("member", arn)).collect();
            let load_balancers = format!("<LoadBalancerArns>{load_balancers}</LoadBalancerArns>");
            member(&[load_balancers, element("TargetGroupArn", arn)].concat())
        })
        .collect();
    let end = start.saturating_add(size);
    let has_next_page = end < world.target_groups.len();
    let marker = has_next_page.then(|| element("NextMarker", &end.to_string()));
    Ok(format!(
        "<DescribeTargetGroupsResult><TargetGroups>{target_groups}</TargetGroups>{}\
         </DescribeTargetGroupsResult>",
        marker.unwrap_or_default()
    ))
}
