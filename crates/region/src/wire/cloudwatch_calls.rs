//! The operation `GetMetricData` of CloudWatch, for sums of single metrics.
//!
//! Source: CloudWatch API Reference (2010-08-01), `GetMetricData`, whose service speaks awsJson1.0
//! among others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::answer::{Answer, Refusal};
use super::aws_json::{self, Input};
use crate::world::World;
use crate::world::metrics::Metric;

/// What stands before the operation in the target of a call.
pub(super) const SERVICE: &str = "GraniteServiceVersion20100801";
pub(super) const GET_METRIC_DATA: &str = "GetMetricData";

const QUERIES_MAX: usize = 500;

pub(super) fn answer(request_id: String, result: Result<String, Refusal>) -> Answer {
    let content_type = "application/x-amz-json-1.0";
    Answer { content_type, ..aws_json::answer(request_id, result) }
}

/// The sums of the metrics that are asked for, the latest first, page by page.
pub(super) fn get_metric_data(world: &World, body: &[u8]) -> Result<String, Refusal> {
    let input = aws_json::read_input_or(GET_METRIC_DATA, body, "InvalidParameterValue")?;
    let whole = Input { value: &input, fault: None };
    let [begin, end] = [time(whole, "StartTime")?, time(whole, "EndTime")?];
    if begin >= end {
        return Err(invalid("The parameter StartTime must be less than the parameter EndTime."));
    }
    let mut ids = BTreeSet::new();
    let mut sums = Vec::new();
    for value in whole.list("MetricDataQueries", QUERIES_MAX)? {
        let (id, metric, period) = query(Input { value, fault: None })?;
        if !ids.insert(id) {
            return Err(invalid(
                "The values for parameter id in MetricDataQueries must be unique.",
            ));
        }
        let of_metric = world.metrics.sums(&metric, [begin, end, period]);
        sums.extend(of_metric.into_iter().map(|sum| (id, sum)));
    }
    let first = match whole.text("NextToken")? {
        None => 0,
        Some(token) => token
            .parse::<usize>()
            .map_err(|_| Refusal::new("InvalidNextToken", "The next token is not valid."))?,
    };
    let next = (first + world.metrics.page_max).min(sums.len());
    let on_page = sums.get(first..next).unwrap_or_default();
    let mut results: BTreeMap<&str, Vec<(i64, f64)>> = BTreeMap::new();
    if first == 0 {
        results.extend(ids.into_iter().map(|id| (id, Vec::new())));
    }
    for (id, sum) in on_page {
        results.entry(id).or_default().push(*sum);
    }
    let is_whole = |id: &str| !sums[next..].iter().any(|(later, _)| *later == id);
    let results = results.into_iter().map(|(id, sums)| {
        json!({
            "Id": id,
            "Label": id,
            "StatusCode": if is_whole(id) { "Complete" } else { "PartialData" },
            "Timestamps": sums.iter().map(|(time, _)| time).collect::<Vec<_>>(),
            "Values": sums.iter().map(|(_, sum)| sum).collect::<Vec<_>>(),
        })
    });
    let mut answer = json!({"MetricDataResults": results.collect::<Vec<_>>(), "Messages": []});
    if next < sums.len() {
        answer["NextToken"] = json!(next.to_string());
    }
    Ok(answer.to_string())
}

/// The id of a query, its metric and its period in seconds.
fn query(query: Input<'_>) -> Result<(&str, Metric, i64), Refusal> {
    let id = query.text("Id")?.unwrap_or_default();
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !id.starts_with(|c: char| c.is_ascii_lowercase()) || !id.chars().all(is_allowed) {
        return Err(invalid(format!(
            "The value {id} for parameter id is not matching the pattern."
        )));
    }
    let stat = Input { value: &query.value["MetricStat"], fault: None };
    if stat.text("Stat")? != Some("Sum") {
        return Err(invalid("The simulated Region knows no Stat but Sum."));
    }
    let period = match stat.number("Period")? {
        Some(seconds) if seconds > 0 && seconds % 60 == 0 => i64::try_from(seconds).unwrap_or(60),
        _ => return Err(invalid("Period must be a multiple of 60 seconds.")),
    };
    let metric = Input { value: &stat.value["Metric"], fault: None };
    let required = |key| metric.text(key)?.ok_or_else(|| invalid(format!("{key} is required.")));
    let mut dimensions = BTreeMap::new();
    for dimension in metric.value["Dimensions"].as_array().into_iter().flatten() {
        let text = |key: &str| dimension[key].as_str().unwrap_or_default();
        // The model's lengths.
        if text("Name").is_empty() || text("Value").is_empty() {
            return Err(invalid("A dimension must have a name and a value."));
        }
        dimensions.insert(text("Name").to_owned(), text("Value").to_owned());
    }
    let (namespace, name) = (required("Namespace")?.to_owned(), required("MetricName")?.to_owned());
    Ok((id, Metric { namespace, name, dimensions }, period))
}

/// A moment in seconds.
fn time(input: Input<'_>, key: &str) -> Result<i64, Refusal> {
    let time = &input.value[key];
    #[expect(clippy::cast_possible_truncation, reason = "rounded down, as AWS does")]
    let seconds = time.as_i64().or_else(|| time.as_f64().map(|seconds| seconds as i64));
    seconds.ok_or_else(|| invalid(format!("{key} is required.")))
}

fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new("InvalidParameterValue", message)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn world() -> World {
        let mut world = World::new(jiff::Timestamp::UNIX_EPOCH, 1);
        for hour in 0..5 {
            let line = json!({
                "_aws": {
                    "Timestamp": hour * 3_600_000,
                    "CloudWatchMetrics": [
                        {"Namespace": "Ebb", "Dimensions": [["f"]], "Metrics": [{"Name": "Stuck"}]},
                    ],
                },
                "f": "x",
                "Stuck": hour,
            });
            world.metrics.read(&line.to_string());
        }
        world
    }

    fn input(token: Option<&Value>) -> Value {
        let query = |id: &str, name: &str| {
            let metric = json!({"Namespace": "Ebb", "MetricName": name,
                                "Dimensions": [{"Name": "f", "Value": "x"}]});
            json!({"Id": id, "MetricStat": {"Metric": metric, "Period": 3_600, "Stat": "Sum"}})
        };
        let queries = [query("a", "Stuck"), query("b", "Other")];
        json!({"MetricDataQueries": queries, "StartTime": 3_600, "EndTime": 18_000, "NextToken": token})
    }

    fn ask(world: &World, input: &Value) -> Result<Value, String> {
        match get_metric_data(world, input.to_string().as_bytes()) {
            Ok(answer) => Ok(serde_json::from_str(&answer).unwrap()),
            Err(refusal) => Err(refusal.code),
        }
    }

    #[test]
    fn what_came_in_is_summed_up_by_period_page_by_page() {
        let mut world = world();
        let [all, nothing] = [0, 1].map(|nth| {
            let answer = ask(&world, &input(None)).unwrap();
            assert!(answer.get("NextToken").is_none());
            answer["MetricDataResults"][nth].clone()
        });
        assert_eq!(all["Timestamps"], json!([14_400, 10_800, 7_200, 3_600]));
        assert_eq!(all["Values"], json!([4.0, 3.0, 2.0, 1.0]));
        assert_eq!((&nothing["Values"], &nothing["StatusCode"]), (&json!([]), &json!("Complete")));

        world.metrics.page_max = 3;
        let page = ask(&world, &input(None)).unwrap();
        assert_eq!(page["MetricDataResults"][0]["StatusCode"], "PartialData");
        let last = ask(&world, &input(page.get("NextToken"))).unwrap();
        assert_eq!(last["MetricDataResults"][0]["Values"], json!([1.0]));
        assert_eq!(last["MetricDataResults"][0]["StatusCode"], "Complete");
        assert!(last.get("NextToken").is_none());
    }

    #[test]
    fn what_aws_refuses_or_is_not_simulated_is_refused() {
        let world = world();
        for (pointer, value) in [
            ("/MetricDataQueries", json!([])),
            ("/EndTime", json!(3_600)),
            ("/StartTime", Value::Null),
            ("/MetricDataQueries/0/Id", json!("b")),
            ("/MetricDataQueries/0/Id", json!("1")),
            ("/MetricDataQueries/0/MetricStat/Stat", json!("Average")),
            ("/MetricDataQueries/0/MetricStat/Period", json!(90)),
            ("/MetricDataQueries/0/MetricStat/Metric/MetricName", Value::Null),
            ("/MetricDataQueries/0/MetricStat/Metric/Dimensions/0/Value", json!("")),
        ] {
            let mut input = input(None);
            *input.pointer_mut(pointer).unwrap() = value;
            assert!(ask(&world, &input).is_err(), "{input}");
        }
        assert_eq!(ask(&world, &input(Some(&json!("x")))), Err("InvalidNextToken".to_owned()));
    }
}
