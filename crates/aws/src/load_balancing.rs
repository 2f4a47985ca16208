//! Elastic Load Balancing, of which one read is needed: which load balancers use which target groups.
//!
//! The SDK's client of it is not linked for one call: see decision 010. What that is needed for is
//! left to `ebb_core::reaper::zonal_shift`.

use std::collections::BTreeMap;

use aws_config::{Region, SdkConfig};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use form_urlencoded::Serializer;

use crate::error::AwsError;
use crate::unmodeled::{Input, UnmodeledService, items, texts};

/// How deep the target groups of an answer stand.
const ITEM_DEPTH: usize = 4;
/// How many pages of 400 there may be: a Region has 3,000 target groups by AWS's quota, which may be
/// raised.
const PAGES_MAX: usize = 40;

/// Elastic Load Balancing.
#[derive(Debug, Clone)]
pub struct LoadBalancing {
    service: UnmodeledService,
}

impl LoadBalancing {
    /// Makes calls by the SDK's configuration.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let region = config.region().cloned().unwrap_or_else(|| Region::from_static("us-east-1"));
        let endpoint = endpoint(region.as_ref(), config.use_fips().unwrap_or_default());
        let name = "elasticloadbalancing";
        Self { service: UnmodeledService::new(config, name, region, endpoint) }
    }

    /// By target group, the load balancers that use it, of all the Region and by their ARNs.
    ///
    /// # Errors
    /// If a call fails, or there are more than 40 pages.
    pub async fn load_balancers(&self) -> Result<BTreeMap<String, Vec<String>>, AwsError> {
        let operation = "describe the target groups";
        let mut marker = None;
        let mut load_balancers = BTreeMap::new();
        for _ in 0..PAGES_MAX {
            let call = Operation::builder().operation_name("DescribeTargetGroups");
            let input = Input::Form(form(marker.as_deref()));
            let document = self.service.invoke(call, operation, input).await?;
            let target_groups = items(&document, ITEM_DEPTH);
            load_balancers.extend(target_groups.iter().filter_map(|item| target_group(item)));
            match texts(&document, "NextMarker").into_iter().next() {
                Some(next) => marker = Some(next),
                None => return Ok(load_balancers),
            }
        }
        Err(AwsError::unusable_answer(operation, format!("more than {PAGES_MAX} pages")))
    }
}

/// Source: AWS General Reference, elb. China has a domain of its own, and the partition `aws-us-gov`
/// no other endpoint than that of FIPS 140.
fn endpoint(region: &str, use_fips: bool) -> String {
    let is_gov = region.starts_with("us-gov-");
    let host =
        if use_fips && !is_gov { "elasticloadbalancing-fips" } else { "elasticloadbalancing" };
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{host}.{region}.{domain}")
}

fn form(marker: Option<&str>) -> String {
    let form = "Action=DescribeTargetGroups&Version=2015-12-01&PageSize=400".to_owned();
    match marker {
        Some(marker) => Serializer::new(form).append_pair("Marker", marker).finish(),
        None => form,
    }
}

/// The ARN of a target group, and those of its load balancers: the only items in it that have no
/// name of their own are theirs (API model, `TargetGroup`).
fn target_group(item: &[(&str, &str)]) -> Option<(String, Vec<String>)> {
    let named = |wanted: &'static str| {
        item.iter().filter(move |(name, _)| *name == wanted).map(|(_, text)| (*text).to_owned())
    };
    Some((named("TargetGroupArn").next()?, named("member").collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_group_is_read_with_all_of_its_load_balancers() {
        let document = "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups>\
            <member><LoadBalancerArns><member>lb-1</member><member>lb-2</member></LoadBalancerArns>\
            <Matcher><HttpCode>200</HttpCode></Matcher><TargetGroupArn>tg-1</TargetGroupArn></member>\
            <member><TargetGroupArn>tg-2</TargetGroupArn><LoadBalancerArns/></member>\
            </TargetGroups></DescribeTargetGroupsResult></DescribeTargetGroupsResponse>";
        let read: Vec<_> =
            items(document, ITEM_DEPTH).iter().filter_map(|item| target_group(item)).collect();
        let load_balancers = ["lb-1", "lb-2"].map(str::to_owned).to_vec();
        assert_eq!(read, [("tg-1".to_owned(), load_balancers), ("tg-2".to_owned(), Vec::new())]);
    }

    #[test]
    fn every_partition_has_its_endpoint() {
        for (region, use_fips, host) in [
            ("eu-west-1", false, "elasticloadbalancing.eu-west-1.amazonaws.com"),
            ("us-east-1", true, "elasticloadbalancing-fips.us-east-1.amazonaws.com"),
            ("us-gov-west-1", true, "elasticloadbalancing.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", false, "elasticloadbalancing.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(endpoint(region, use_fips), format!("https://{host}"));
        }
    }
}
