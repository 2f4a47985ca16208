//! Amazon EC2, of which few reads are needed: which instances run in a Capacity Reservation and
//! which are Spot Instances, what Spot Instances cost, in which Availability Zones subnets are, what
//! instance types have, which versions launch templates have, and what is scheduled for instances.
//!
//! The SDK's client of EC2 is larger than all of Ebb, so it is called without one: see decision 010.

use std::collections::{BTreeMap, BTreeSet};

use aws_config::{Region, SdkConfig};
use aws_smithy_runtime::client::orchestrator::operation::{Operation, OperationBuilder};
use ebb_core::ids::{CapacityReservationId, InstanceId};
use ebb_core::prices::microusd;
use ebb_core::reaper::instance_types::InstanceType;
use ebb_core::reaper::replace::outdated::{EVENT_CODES, ScheduledEvent, TemplateVersions};
use form_urlencoded::Serializer;
use jiff::Timestamp;

use crate::error::AwsError;
use crate::unmodeled::{self, Input, UnmodeledService, texts};

/// How many values a filter may have. Source: EC2 User Guide, `Using_Filtering`.
const FILTER_VALUES_MAX: usize = 200;
/// How many instance types an answer describes at most. Source: EC2 API, `DescribeInstanceTypes`.
const INSTANCE_TYPES_MAX: usize = 100;
/// How many launch templates a request names at most. Source: EC2 API, `DescribeLaunchTemplates`.
const LAUNCH_TEMPLATES_MAX: usize = 200;
/// What the description of an event begins with that is over. Source: EC2 API,
/// `InstanceStatusEvent`.
const EVENT_OVER: [&str; 2] = ["[Completed]", "[Canceled]"];
/// How deep the items of an answer's list stand: in the list, in the document's own element.
const ITEM_DEPTH: usize = 3;
/// How many pages a list may have. With 500 Spot Instances each, that is more than the 5,000
/// container instances of a cluster four times over.
const PAGES_MAX: usize = 40;
/// What Linux is called in Spot prices: which of the two depends on the account (EC2 API,
/// `DescribeSpotPriceHistory`).
const LINUX: [&str; 2] = ["Linux/UNIX", "Linux/UNIX (Amazon VPC)"];

/// Amazon EC2.
#[derive(Debug, Clone)]
pub struct Ec2 {
    service: UnmodeledService,
}

impl Ec2 {
    /// Makes calls by the SDK's configuration.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let region = config.region().cloned().unwrap_or_else(|| Region::from_static("us-east-1"));
        let endpoint = endpoint(region.as_ref(), config.use_fips().unwrap_or_default());
        Self { service: UnmodeledService::new(config, "ec2", region, endpoint) }
    }

    /// The instances that run in a Capacity Reservation, or begin to. All in one answer: a Capacity
    /// Block has 64 at most (EC2 User Guide, capacity-blocks).
    ///
    /// # Errors
    /// If the call fails.
    pub async fn instances_in(
        &self,
        reservation: &CapacityReservationId,
    ) -> Result<Vec<InstanceId>, AwsError> {
        let operation = format!("describe the instances in Capacity Reservation {reservation}");
        let call = Operation::builder().operation_name("DescribeInstances");
        // An id has no character that a form would have to escape.
        let form = format!(
            "Action=DescribeInstances&Version=2016-11-15\
             &Filter.1.Name=capacity-reservation-id&Filter.1.Value.1={reservation}\
             &Filter.2.Name=instance-state-name&Filter.2.Value.1=pending&Filter.2.Value.2=running"
        );
        let document = self.invoke(call, &operation, form).await?;
        instance_ids(&document, &operation)
    }

    /// The Spot Instances of the Region that run, or begin to.
    ///
    /// # Errors
    /// If a call fails, or there are more than 40 pages.
    pub async fn spot_instances(&self) -> Result<BTreeSet<InstanceId>, AwsError> {
        let operation = "describe the Spot Instances";
        let call = || Operation::builder().operation_name("DescribeInstances");
        // An instance takes some 7 kB of an answer, which may have 16 MiB.
        let form = "Action=DescribeInstances&Version=2016-11-15&MaxResults=500\
                    &Filter.1.Name=instance-lifecycle&Filter.1.Value.1=spot\
                    &Filter.2.Name=instance-state-name&Filter.2.Value.1=pending\
                    &Filter.2.Value.2=running";
        let mut instances = BTreeSet::new();
        self.each_page(call, operation, form, |document| {
            instances.extend(instance_ids(document, operation)?);
            Ok(())
        })
        .await?;
        Ok(instances)
    }

    /// When instances were launched, or started since. What EC2 does not know, or not any more, is
    /// left out.
    ///
    /// # Errors
    /// If a call fails, or an answer does not say of each when.
    pub async fn launch_times(
        &self,
        instances: &[InstanceId],
    ) -> Result<BTreeMap<InstanceId, Timestamp>, AwsError> {
        let mut times = BTreeMap::new();
        for batch in instances.chunks(FILTER_VALUES_MAX) {
            let operation = format!("describe when {} instances were launched", batch.len());
            let call = Operation::builder().operation_name("DescribeInstances");
            let ids: Vec<_> = batch.iter().map(ToString::to_string).collect();
            // By a filter: asked for by its id, one that is gone would fail the call.
            let form =
                filtered("DescribeInstances", "instance-id", &ids.iter().collect::<Vec<_>>());
            let document = self.invoke(call, &operation, form).await?;
            let ids = instance_ids(&document, &operation)?;
            let launched = texts(&document, "launchTime");
            let launched: Vec<_> = launched.iter().map_while(|time| time.parse().ok()).collect();
            if launched.len() != ids.len() {
                return Err(AwsError::unusable_answer(&operation, "an instance has no time"));
            }
            times.extend(ids.into_iter().zip(launched));
        }
        Ok(times)
    }

    /// What an hour of a Linux Spot Instance costs at a time, by instance type and Availability
    /// Zone, in millionths of a dollar. What is not sold as Spot is left out. For 200 types at most.
    ///
    /// # Errors
    /// If a call fails, as for more types, or there are more than 40 pages.
    pub async fn spot_prices(
        &self,
        instance_types: &[String],
        at: Timestamp,
    ) -> Result<BTreeMap<(String, String), u64>, AwsError> {
        let operation =
            format!("describe the Spot prices of {} instance types", instance_types.len());
        let call = || Operation::builder().operation_name("DescribeSpotPriceHistory");
        let form = spot_price_form(instance_types, at);
        let mut changes = Vec::new();
        self.each_page(call, &operation, &form, |document| {
            // The contract of the answer is that every change of a price has all four.
            let texts = |element| texts(document, element).into_iter();
            let places = texts("instanceType").zip(texts("availabilityZone"));
            changes.extend(texts("timestamp").zip(places).zip(texts("spotPrice")));
            Ok(())
        })
        .await?;
        // In the order of their times, so that the newest of a place is the one that stays.
        changes.sort();
        let price = |usd: String| usd.parse().ok().and_then(microusd);
        Ok(changes.into_iter().filter_map(|((_, place), usd)| Some((place, price(usd)?))).collect())
    }

    /// The Availability Zones of subnets. One that EC2 does not know, or leaves to a further page, is
    /// left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn subnet_zones(
        &self,
        subnets: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, String>, AwsError> {
        let mut zones = BTreeMap::new();
        let subnets: Vec<_> = subnets.iter().collect();
        for batch in subnets.chunks(FILTER_VALUES_MAX) {
            let operation = format!("describe {} subnets", batch.len());
            let call = Operation::builder().operation_name("DescribeSubnets");
            // By a filter: asked for by its id, one that is gone would fail the call.
            let form = filtered("DescribeSubnets", "subnet-id", batch);
            let document = self.invoke(call, &operation, form).await?;
            // The contract of the answer is that every subnet has both.
            zones.extend(
                texts(&document, "subnetId").into_iter().zip(texts(&document, "availabilityZone")),
            );
        }
        Ok(zones)
    }

    /// How many network interfaces an instance of each type has, the primary one included. Of a type
    /// with several network cards it is what one card takes: nothing says that ECS uses the others.
    /// A type that EC2 does not know, or of which it does not say that, is left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn network_interfaces(
        &self,
        instance_types: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, i64>, AwsError> {
        let documents = self.describe_instance_types(instance_types).await?;
        let items = documents.iter().flat_map(|document| items(document));
        Ok(items.filter_map(|item| interfaces_of(&item)).collect())
    }

    /// The vCPUs, memory, architectures and network interfaces of instance types, without prices. A
    /// type that EC2 does not know, or of which it does not say the first two, is left out.
    ///
    /// # Errors
    /// If a call fails.
    pub async fn instance_types(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, InstanceType>, AwsError> {
        let documents = self.describe_instance_types(names).await?;
        let items = documents.iter().flat_map(|document| items(document));
        Ok(items.filter_map(|item| instance_type_of(&item)).collect())
    }

    /// The documents that describe instance types, of up to 100 of them each.
    async fn describe_instance_types(
        &self,
        instance_types: &BTreeSet<String>,
    ) -> Result<Vec<String>, AwsError> {
        let mut documents = Vec::new();
        // Nothing that a form would have to escape, and no `*`, which a filter takes for any text.
        let is_plain = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '.' | '-');
        let instance_types: Vec<_> =
            instance_types.iter().filter(|name| name.chars().all(is_plain)).collect();
        for batch in instance_types.chunks(INSTANCE_TYPES_MAX) {
            let operation = format!("describe {} instance types", batch.len());
            let call = Operation::builder().operation_name("DescribeInstanceTypes");
            // By a filter: asked for by its name, one that is not known would fail the call.
            let form = filtered("DescribeInstanceTypes", "instance-type", batch);
            documents.push(self.invoke(call, &operation, form).await?);
        }
        Ok(documents)
    }

    /// What the aliases of launch templates stand for, by `LaunchTemplateId`.
    ///
    /// # Errors
    /// If a call fails, as for a launch template that does not exist.
    pub async fn template_versions(
        &self,
        ids: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, TemplateVersions>, AwsError> {
        let mut versions = BTreeMap::new();
        let ids: Vec<_> = ids.iter().collect();
        for batch in ids.chunks(LAUNCH_TEMPLATES_MAX) {
            let operation = format!("describe {} launch templates", batch.len());
            let call = Operation::builder().operation_name("DescribeLaunchTemplates");
            let document = self.invoke(call, &operation, launch_template_form(batch)).await?;
            versions.extend(items(&document).iter().filter_map(|item| versions_of(item)));
        }
        Ok(versions)
    }

    /// What EC2 has scheduled for the instances of the Region that ends or interrupts them, the
    /// first of each. What is completed or cancelled is left out.
    ///
    /// # Errors
    /// If a call fails, or there are more than 40 pages.
    pub async fn scheduled_events(&self) -> Result<BTreeMap<InstanceId, ScheduledEvent>, AwsError> {
        let operation = "describe the scheduled events of instances";
        let call = || Operation::builder().operation_name("DescribeInstanceStatus");
        let codes = EVENT_CODES.map(str::to_owned);
        let form = filtered("DescribeInstanceStatus", "event.code", &codes.each_ref());
        let form = format!("{form}&MaxResults=1000");
        let mut events = BTreeMap::new();
        self.each_page(call, operation, &form, |document| {
            events.extend(items(document).iter().filter_map(|item| event_of(item)));
            Ok(())
        })
        .await?;
        Ok(events)
    }

    /// Reads a list document by document. None is kept: each may have 16 MiB, of the function's 256.
    async fn each_page(
        &self,
        call: fn() -> OperationBuilder,
        operation: &str,
        form: &str,
        mut read: impl FnMut(&str) -> Result<(), AwsError>,
    ) -> Result<(), AwsError> {
        let mut form_of_page = form.to_owned();
        for _ in 0..PAGES_MAX {
            let document = self.invoke(call(), operation, form_of_page).await?;
            read(&document)?;
            match texts(&document, "nextToken").into_iter().next() {
                Some(token) => form_of_page = next_page(form, &token),
                None => return Ok(()),
            }
        }
        Err(AwsError::unusable_answer(operation, format!("more than {PAGES_MAX} pages")))
    }

    /// The document that is answered.
    async fn invoke(
        &self,
        call: OperationBuilder,
        operation: &str,
        form: String,
    ) -> Result<String, AwsError> {
        self.service.invoke(call, operation, Input::Form(form)).await
    }
}

/// A form with one filter. The values must need no escape.
fn filtered(action: &str, filter: &str, values: &[&String]) -> String {
    let mut form = format!("Action={action}&Version=2016-11-15&Filter.1.Name={filter}");
    for (number, value) in (1..).zip(values) {
        form += &format!("&Filter.1.Value.{number}={value}");
    }
    form
}

/// Source: AWS General Reference, ec2-service. China has a domain of its own, and the partition
/// `aws-us-gov` no other endpoint than that of FIPS 140.
fn endpoint(region: &str, use_fips: bool) -> String {
    let host = if use_fips && !region.starts_with("us-gov-") { "ec2-fips" } else { "ec2" };
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{host}.{region}.{domain}")
}

fn spot_price_form(instance_types: &[String], at: Timestamp) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("Action", "DescribeSpotPriceHistory")
        .append_pair("Version", "2016-11-15")
        .append_pair("MaxResults", "1000")
        // The price that held then comes along (EC2 API, `DescribeSpotPriceHistory`).
        .append_pair("StartTime", &at.strftime("%FT%TZ").to_string())
        .append_pair("Filter.1.Name", "product-description")
        .append_pair("Filter.1.Value.1", LINUX[0])
        .append_pair("Filter.1.Value.2", LINUX[1])
        // By a filter: a type that EC2 does not know would fail the call.
        .append_pair("Filter.2.Name", "instance-type");
    for (number, instance_type) in (1..).zip(instance_types) {
        form.append_pair(&format!("Filter.2.Value.{number}"), instance_type);
    }
    form.finish()
}

fn launch_template_form(ids: &[&String]) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("Action", "DescribeLaunchTemplates").append_pair("Version", "2016-11-15");
    for (number, id) in (1..).zip(ids) {
        form.append_pair(&format!("LaunchTemplateId.{number}"), id);
    }
    form.finish()
}

/// The form for the page after, by its token.
fn next_page(form: &str, token: &str) -> String {
    Serializer::new(form.to_owned()).append_pair("NextToken", token).finish()
}

fn instance_ids(document: &str, operation: &str) -> Result<Vec<InstanceId>, AwsError> {
    let ids = texts(document, "instanceId");
    let ids: Option<_> = ids.iter().map(|id| InstanceId::parse(id)).collect();
    ids.ok_or_else(|| AwsError::unusable_answer(operation, "it has an id that is none"))
}

fn items(document: &str) -> Vec<Vec<(&str, &str)>> {
    unmodeled::items(document, ITEM_DEPTH)
}

/// An instance type, and the fewest network interfaces that its description names: for all of it,
/// and for each network card.
fn interfaces_of(item: &[(&str, &str)]) -> Option<(String, i64)> {
    let texts = |element| item.iter().filter(move |(name, _)| *name == element);
    let (_, instance_type) = texts("instanceType").next()?;
    let numbers = texts("maximumNetworkInterfaces").map(|(_, text)| text.parse::<i64>().ok());
    let fewest = numbers.collect::<Option<Vec<_>>>()?.into_iter().min()?;
    Some(((*instance_type).to_owned(), fewest))
}

/// The words for architectures. Source: EC2 API, `ProcessorInfo.supportedArchitectures`; the lists of
/// other members have none of these words.
const ARCHITECTURES: [&str; 3] = ["x86_64", "arm64", "i386"];

/// An instance type with what its description says of it.
fn instance_type_of(item: &[(&str, &str)]) -> Option<(String, InstanceType)> {
    let texts = |element| item.iter().filter(move |(name, _)| *name == element).map(|(_, it)| *it);
    let name = texts("instanceType").next()?;
    let of_type = InstanceType {
        vcpus: texts("defaultVCpus").next()?.parse().ok()?,
        // GPUs and other devices have less of their own, under the same name.
        memory_mib: texts("sizeInMiB").filter_map(|text| text.parse().ok()).max()?,
        architectures: texts("item")
            .filter(|text| ARCHITECTURES.contains(text))
            .map(str::to_owned)
            .collect(),
        network_interfaces: interfaces_of(item).map(|(_, interfaces)| interfaces),
        prices_microusd: BTreeMap::new(),
    };
    Some((name.to_owned(), of_type))
}

/// A launch template, and what its aliases stand for.
fn versions_of(item: &[(&str, &str)]) -> Option<(String, TemplateVersions)> {
    let text = |element| item.iter().find(|(name, _)| *name == element).map(|(_, text)| *text);
    let versions = TemplateVersions {
        default: text("defaultVersionNumber")?.parse().ok()?,
        latest: text("latestVersionNumber")?.parse().ok()?,
    };
    Some((text("launchTemplateId")?.to_owned(), versions))
}

/// An instance, and the first event that is scheduled for it and not over.
fn event_of(item: &[(&str, &str)]) -> Option<(InstanceId, ScheduledEvent)> {
    let texts =
        |element| item.iter().filter(move |(name, _)| *name == element).map(|(_, text)| *text);
    // The state of an instance has a code as well, a number.
    let codes = texts("code").filter(|code| EVENT_CODES.contains(code));
    let mut events = codes.zip(texts("description")).zip(texts("notBefore"));
    let ((code, _), not_before) = events.find(|((_, description), _)| {
        !EVENT_OVER.iter().any(|over| description.starts_with(over))
    })?;
    let event = ScheduledEvent { code: code.to_owned(), not_before: not_before.to_owned() };
    Some((InstanceId::parse(texts("instanceId").next()?)?, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_type_has_its_own_memory_and_not_that_of_its_gpus() {
        let document = "<DescribeInstanceTypesResponse><instanceTypeSet><item>\
            <gpuInfo><gpus><item><memoryInfo><sizeInMiB>16384</sizeInMiB></memoryInfo></item></gpus>\
            </gpuInfo><instanceType>g5.xlarge</instanceType><memoryInfo><sizeInMiB>65536</sizeInMiB>\
            </memoryInfo><networkInfo><maximumNetworkInterfaces>4</maximumNetworkInterfaces>\
            </networkInfo><processorInfo><supportedArchitectures><item>x86_64</item>\
            </supportedArchitectures></processorInfo><supportedUsageClasses><item>spot</item>\
            </supportedUsageClasses><vCpuInfo><defaultVCpus>4</defaultVCpus></vCpuInfo></item>\
            <item><instanceType>of-no-memory</instanceType><vCpuInfo><defaultVCpus>4</defaultVCpus>\
            </vCpuInfo></item></instanceTypeSet></DescribeInstanceTypesResponse>";
        let types: BTreeMap<_, _> =
            items(document).iter().filter_map(|item| instance_type_of(item)).collect();
        let expected = InstanceType {
            vcpus: 4,
            memory_mib: 65_536,
            architectures: ["x86_64".to_owned()].into(),
            network_interfaces: Some(4),
            prices_microusd: BTreeMap::new(),
        };
        assert_eq!(types, BTreeMap::from([("g5.xlarge".to_owned(), expected)]));
    }

    #[test]
    fn an_instance_type_has_the_interfaces_of_one_network_card() {
        let document = "<DescribeInstanceTypesResponse><requestId>r</requestId><instanceTypeSet>\
            <item><networkInfo><networkCards><item><maximumNetworkInterfaces>3\
            </maximumNetworkInterfaces></item></networkCards><maximumNetworkInterfaces>3\
            </maximumNetworkInterfaces></networkInfo><instanceType>m7g.large</instanceType></item>\
            <item><instanceType>p5.48xlarge</instanceType><networkInfo><maximumNetworkInterfaces>64\
            </maximumNetworkInterfaces><networkCards><item><maximumNetworkInterfaces>2\
            </maximumNetworkInterfaces></item><item><maximumNetworkInterfaces>2\
            </maximumNetworkInterfaces></item></networkCards></networkInfo></item>\
            <item><instanceType>of-no-network</instanceType><networkInfo/></item>\
            </instanceTypeSet></DescribeInstanceTypesResponse>";
        let interfaces: BTreeMap<_, _> =
            items(document).iter().filter_map(|item| interfaces_of(item)).collect();
        let expected = [("m7g.large".to_owned(), 3), ("p5.48xlarge".to_owned(), 2)];
        assert_eq!(interfaces, BTreeMap::from(expected));
    }

    #[test]
    fn the_first_event_that_is_not_over_is_the_one_of_an_instance() {
        let event = |code: &str, description: &str, not_before: &str| {
            format!(
                "<item><instanceEventId>e</instanceEventId><code>{code}</code><description>\
                 {description}</description><notBefore>{not_before}</notBefore></item>"
            )
        };
        let status = |id: &str, events: &str| {
            format!(
                "<item><eventsSet>{events}</eventsSet><instanceId>{id}</instanceId><instanceState>\
                 <code>16</code><name>running</name></instanceState></item>"
            )
        };
        let (first, second) = ("2025-04-01T00:00:00.000Z", "2025-04-02T00:00:00.000Z");
        let over = event("instance-reboot", "[Completed] The instance", first);
        let off = event("system-reboot", "[Canceled] The host", first);
        let open = event("instance-retirement", "The hardware", second);
        let document = format!(
            "<DescribeInstanceStatusResponse><instanceStatusSet>{}{}{}</instanceStatusSet>\
             </DescribeInstanceStatusResponse>",
            status("i-0a1b2c3d4e5f60001", &format!("{over}{off}{open}")),
            status("i-0a1b2c3d4e5f60002", &over),
            status("i-0a1b2c3d4e5f60003", ""),
        );
        let events: BTreeMap<_, _> =
            items(&document).iter().filter_map(|item| event_of(item)).collect();
        let event = ScheduledEvent {
            code: "instance-retirement".to_owned(),
            not_before: second.to_owned(),
        };
        let id = InstanceId::parse("i-0a1b2c3d4e5f60001").unwrap();
        assert_eq!(events, BTreeMap::from([(id, event)]));
    }

    #[test]
    fn the_endpoint_is_that_of_the_partition_and_of_fips_if_it_has_another() {
        for (region, use_fips, host) in [
            ("eu-west-1", false, "ec2.eu-west-1.amazonaws.com"),
            ("us-east-1", true, "ec2-fips.us-east-1.amazonaws.com"),
            ("us-gov-west-1", true, "ec2.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", false, "ec2.cn-north-1.amazonaws.com.cn"),
        ] {
            assert_eq!(endpoint(region, use_fips), format!("https://{host}"));
        }
    }
}
