//! Amazon CloudWatch, of which one read is needed: what metrics came to in each hour.
//!
//! The SDK's client of it is not linked for one call: see decision 010. Which metrics are asked for,
//! and what they come to, is left to the callers.

use std::collections::BTreeMap;

use aws_config::{Region, SdkConfig};
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::error::AwsError;
use crate::invocation::metrics::Dimensions;
use crate::unmodeled::{Input, UnmodeledService};

const TARGET: &str = "GraniteServiceVersion20100801.GetMetricData";

/// How many metrics a call asks for. Source: CloudWatch API, `GetMetricData`.
const QUERIES_MAX: usize = 500;

/// How many pages a call's answer may have. CloudWatch puts 100,800 sums on one, and a week of 500
/// metrics has 84,000: more than a few would be pages without end.
const PAGES_MAX: usize = 10;

/// How long the time of one sum is, in seconds.
const PERIOD_SECONDS: u32 = 3_600;

/// Amazon CloudWatch.
#[derive(Debug, Clone)]
pub struct CloudWatch {
    service: UnmodeledService,
}

/// A metric that a function of Ebb prints, by what it is kept by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricName<'a> {
    /// The CloudWatch namespace.
    pub namespace: &'a str,
    /// The function.
    pub function: &'a str,
    /// The cluster, of a metric that is kept by cluster.
    pub cluster: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

/// The sums of a metric by the first moment of their hour. An hour in which no data came in is not
/// there.
type Sums = Vec<(Timestamp, f64)>;

impl CloudWatch {
    /// Makes calls by the SDK's configuration.
    pub(crate) fn new(config: &SdkConfig) -> Self {
        let region = config.region().cloned().unwrap_or_else(|| Region::from_static("us-east-1"));
        let endpoint = endpoint(region.as_ref(), config.use_fips().unwrap_or_default());
        Self { service: UnmodeledService::new(config, "monitoring", region, endpoint) }
    }

    /// What each metric came to in each hour from `begin` to `end`, the first moment that does not
    /// count any more; in the order in which they are asked for. Both are full hours.
    ///
    /// # Errors
    /// If a call fails, or CloudWatch does not have all of it.
    pub async fn hourly_sums(
        &self,
        metrics: &[MetricName<'_>],
        begin: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<Sums>, AwsError> {
        let mut sums = Vec::new();
        for metrics in metrics.chunks(QUERIES_MAX) {
            sums.extend(self.sums_of_call(metrics, begin, end).await?);
        }
        Ok(sums)
    }

    /// The same for no more than a call may ask for, whatever the number of its pages.
    async fn sums_of_call(
        &self,
        metrics: &[MetricName<'_>],
        begin: Timestamp,
        end: Timestamp,
    ) -> Result<Vec<Sums>, AwsError> {
        let operation = "read what metrics came to";
        let queries: Vec<_> =
            metrics.iter().enumerate().map(|(number, metric)| query(number, metric)).collect();
        let mut input = json!({
            "MetricDataQueries": queries,
            "StartTime": begin.as_second(),
            "EndTime": end.as_second(),
        });
        let mut found = BTreeMap::new();
        for _ in 0..PAGES_MAX {
            let call = Operation::builder().operation_name("GetMetricData");
            let input_of_page = Input::Json10(TARGET, input.clone());
            let document = self.service.invoke(call, operation, input_of_page).await?;
            let page: Value = serde_json::from_str(&document).unwrap_or_default();
            let unusable = |why: String| AwsError::unusable_answer(operation, why);
            add_page(&mut found, &page).map_err(unusable)?;
            match page["NextToken"].as_str() {
                Some(token) => input["NextToken"] = json!(token),
                None => {
                    return (0..metrics.len())
                        .map(|number| complete(found.remove(&id(number)), metrics[number].name))
                        .collect::<Result<_, _>>()
                        .map_err(unusable);
                }
            }
        }
        Err(AwsError::unusable_answer(operation, format!("it has more than {PAGES_MAX} pages")))
    }
}

/// Source: the endpoint rules of the SDK's client of it. China has a domain of its own.
fn endpoint(region: &str, use_fips: bool) -> String {
    let host = if use_fips { "monitoring-fips" } else { "monitoring" };
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{host}.{region}.{domain}")
}

/// An id begins with a small letter (CloudWatch API, `MetricDataQuery`).
fn id(number: usize) -> String {
    format!("m{number}")
}

fn query(number: usize, metric: &MetricName<'_>) -> Value {
    let MetricName { namespace, function, cluster, name } = *metric;
    let function = (Dimensions::FUNCTION, function);
    let cluster = cluster.map(|cluster| (Dimensions::CLUSTER, cluster));
    let dimensions = std::iter::once(function).chain(cluster);
    let dimensions = dimensions.map(|(name, value)| json!({"Name": name, "Value": value}));
    json!({
        "Id": id(number),
        "MetricStat": {
            "Metric": {
                "Namespace": namespace,
                "MetricName": name,
                "Dimensions": dimensions.collect::<Vec<_>>(),
            },
            "Period": PERIOD_SECONDS,
            "Stat": "Sum",
        },
    })
}

/// What came in of a metric so far, and whether that is all.
#[derive(Debug, Default)]
struct Found {
    sums: Sums,
    status: String,
}

/// Adds a page. A metric may stand on several, with some of its sums on each.
fn add_page(found: &mut BTreeMap<String, Found>, page: &Value) -> Result<(), String> {
    for result in page["MetricDataResults"].as_array().into_iter().flatten() {
        let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
        let metric = found.entry(text("Id")).or_default();
        metric.status = text("StatusCode");
        let list = |key: &str| result[key].as_array().map_or(&[] as &[Value], Vec::as_slice);
        let (times, values) = (list("Timestamps"), list("Values"));
        if times.len() != values.len() {
            return Err("it has more timestamps than values, or fewer".to_owned());
        }
        for sum in times.iter().zip(values) {
            metric.sums.push(sum_of(sum).ok_or("a sum is no number, or its time is none")?);
        }
    }
    Ok(())
}

/// Times are in seconds (Smithy, AWS JSON 1.0 protocol, `timestamp`).
fn sum_of((time, value): (&Value, &Value)) -> Option<(Timestamp, f64)> {
    #[expect(clippy::cast_possible_truncation, reason = "hours are whole seconds")]
    let seconds = time.as_f64()? as i64;
    Some((Timestamp::from_second(seconds).ok()?, value.as_f64()?))
}

/// The sums of a metric, if they are all that there are: one that is missing is not the same as one
/// that no data came in of.
fn complete(found: Option<Found>, name: &str) -> Result<Sums, String> {
    match found {
        Some(Found { sums, status }) if status == "Complete" => Ok(sums),
        Some(Found { status, .. }) => Err(format!("the data of {name} is {status}")),
        None => Err(format!("it does not have {name}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(results: &Value) -> Value {
        json!({"MetricDataResults": results})
    }

    fn result(id: &str, status: &str, times: &[f64], values: &Value) -> Value {
        json!({"Id": id, "StatusCode": status, "Timestamps": times, "Values": values})
    }

    #[test]
    fn the_sums_of_a_metric_may_stand_on_several_pages() {
        let mut found = BTreeMap::new();
        let pages = [
            json!([
                result("m0", "PartialData", &[7_200.0], &json!([2.0])),
                result("m1", "Complete", &[], &json!([])),
            ]),
            json!([result("m0", "Complete", &[3_600.0], &json!([1]))]),
        ];
        for results in &pages {
            add_page(&mut found, &page(results)).unwrap();
        }
        let at = |second| Timestamp::from_second(second).unwrap();
        let sums = complete(found.remove("m0"), "Draining").unwrap();
        assert_eq!(sums, [(at(7_200), 2.0), (at(3_600), 1.0)]);
        assert_eq!(complete(found.remove("m1"), "Stuck").unwrap(), []);
    }

    #[test]
    fn what_is_not_all_there_is_is_an_error() {
        let mut found = BTreeMap::new();
        for status in ["PartialData", "InternalError", "Forbidden"] {
            let results = json!([result("m0", status, &[3_600.0], &json!([1.0]))]);
            add_page(&mut found, &page(&results)).unwrap();
            let error = complete(found.remove("m0"), "Draining").unwrap_err();
            assert_eq!(error, format!("the data of Draining is {status}"));
        }
        assert_eq!(complete(None, "Draining").unwrap_err(), "it does not have Draining");
        for (times, values) in
            [(&[3_600.0][..], json!([])), (&[3_600.0], json!(["1"])), (&[1e300], json!([1]))]
        {
            let results = json!([result("m0", "Complete", times, &values)]);
            assert!(add_page(&mut found, &page(&results)).is_err(), "{results}");
        }
    }

    #[test]
    fn a_metric_is_asked_for_by_what_it_is_kept_by() {
        let whole = MetricName {
            namespace: "Ebb",
            function: "spot-drainer",
            cluster: None,
            name: "Draining",
        };
        let dimensions = |metric: &MetricName<'_>| {
            query(3, metric)["MetricStat"]["Metric"]["Dimensions"].to_string()
        };
        let function = r#"{"Name":"function","Value":"spot-drainer"}"#;
        assert_eq!(dimensions(&whole), format!("[{function}]"));
        assert_eq!(
            dimensions(&MetricName { cluster: Some("shop"), ..whole }),
            format!(r#"[{function},{{"Name":"cluster","Value":"shop"}}]"#)
        );
    }

    #[test]
    fn every_partition_has_its_endpoint() {
        assert_eq!(endpoint("cn-north-1", false), "https://monitoring.cn-north-1.amazonaws.com.cn");
        assert_eq!(endpoint("us-east-1", true), "https://monitoring-fips.us-east-1.amazonaws.com");
    }
}
