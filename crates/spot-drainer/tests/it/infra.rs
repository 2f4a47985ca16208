//! The Terraform module and the code say the same: settings and their defaults, metrics, and what
//! is called.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_core::settings::SettingsError;
use ebb_core::spot::settings::SpotSettings;
use ebb_core::{lifecycle, spot};
use jiff::tz::TimeZoneDatabase;
use serde_json::Value;

const FUNCTIONS: [&str; 3] = ["spot-drainer", "lifecycle-drainer", "scale-in-reaper"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn module(file: &str) -> String {
    fs::read_to_string(repository().join("infra").join(file)).unwrap()
}

/// The code of a crate without its tests.
fn code(crate_name: &str) -> String {
    fn read(directory: &Path) -> String {
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        paths
            .map(|path| {
                if path.is_dir() {
                    return read(&path);
                }
                fs::read_to_string(&path).unwrap().split("#[cfg(test)]").next().unwrap().to_owned()
            })
            .collect()
    }
    read(&repository().join("crates").join(crate_name).join("src"))
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let after_begin = text.split_once(begin).unwrap_or_else(|| panic!("there is no {begin}")).1;
    after_begin.split_once(end).unwrap_or_else(|| panic!("there is no {end} after {begin}")).0
}

/// The texts in quotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('"').skip(1).step_by(2)
}

/// The default of the variable that is called like the setting, as a function would read it.
fn default_of(setting: &str) -> Option<String> {
    // Lambda's own, and no setting.
    if setting == "AWS_REGION" {
        return None;
    }
    let variables = module("variables.tf");
    let variable =
        between(&variables, &format!("variable \"{}\" {{\n", setting.to_lowercase()), "\n}\n");
    let value = variable.lines().find_map(|line| line.trim().strip_prefix("default")).unwrap();
    let value = value.trim_start_matches([' ', '=']).trim_matches('"');
    (value != "null").then(|| value.to_owned())
}

fn same_settings<S: PartialEq + Debug>(
    function: &str,
    variables: &[&'static str],
    from_lookup: impl Fn(fn(&str) -> Option<String>) -> Result<S, SettingsError>,
    default: &S,
) {
    let functions = module("functions.tf");
    let given = between(&functions, &format!("\"{function}\" = {{\n"), "]");
    let given = given.split_once("settings").unwrap().1;
    assert_eq!(quoted(given).collect::<Vec<_>>(), variables, "{function}");
    assert_eq!(&from_lookup(default_of).unwrap(), default, "{function}");
}

#[test]
fn the_module_gives_every_setting_and_the_same_default() {
    same_settings(
        "spot-drainer",
        &SpotSettings::VARIABLES,
        SpotSettings::from_lookup,
        &SpotSettings::default(),
    );
    same_settings(
        "lifecycle-drainer",
        &LifecycleSettings::VARIABLES,
        LifecycleSettings::from_lookup,
        &LifecycleSettings::default(),
    );
    same_settings(
        "scale-in-reaper",
        &ReaperSettings::VARIABLES,
        ReaperSettings::from_lookup,
        &ReaperSettings::default(),
    );
}

/// At plan time the module refuses the time zones that the reaper would refuse at its start.
#[test]
fn the_module_knows_the_time_zones_that_come_with_the_functions() {
    let database = TimeZoneDatabase::bundled();
    let known: BTreeSet<_> = database.available().map(|name| name.to_string()).collect();
    let listed: BTreeSet<_> = module("time_zones.txt").lines().map(str::to_owned).collect();
    let missing: Vec<_> = known.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&known).collect();
    assert!(missing.is_empty() && gone.is_empty(), "missing: {missing:?}, gone: {gone:?}");
}

/// The metrics of the functions on the dashboard and in alarms, with the function.
fn shown_metrics() -> Vec<(String, String)> {
    let alarms = module("alarms.tf");
    let charts: Vec<Value> = serde_json::from_str(&module("charts.json")).unwrap();
    let charts = charts.iter().flat_map(|chart| {
        let function = chart["function"].as_str().unwrap();
        let metrics = chart["metrics"].as_array().unwrap().iter();
        metrics.map(move |metric| (function.to_owned(), metric.as_str().unwrap().to_owned()))
    });
    let alarms = alarms.split("var.metrics_namespace").skip(1).map(|alarm| {
        let function = between(alarm, "function = \"", "\"");
        (function.to_owned(), quoted(alarm).next().unwrap().to_owned())
    });
    charts.chain(alarms).collect()
}

/// The metrics that count a function's outcomes.
fn outcome_metrics(function: &str) -> Vec<&'static str> {
    match function {
        "spot-drainer" => spot::OutcomeKind::ALL.map(spot::OutcomeKind::metric).to_vec(),
        "lifecycle-drainer" => {
            lifecycle::OutcomeKind::ALL.map(lifecycle::OutcomeKind::metric).to_vec()
        }
        _ => Vec::new(),
    }
}

#[test]
fn what_the_dashboard_and_the_alarms_show_is_emitted() {
    let shown = shown_metrics();
    for function in FUNCTIONS {
        let code = code(function);
        let metrics: Vec<_> =
            shown.iter().filter(|(name, _)| name == function).map(|(_, metric)| metric).collect();
        assert!(!metrics.is_empty(), "nothing of {function} is shown");
        let outcomes = outcome_metrics(function);
        for metric in metrics {
            let emitted =
                outcomes.contains(&metric.as_str()) || code.contains(&format!("\"{metric}\""));
            assert!(emitted, "{function} does not emit {metric}");
        }
    }
}

#[test]
fn the_rule_for_retirements_names_what_the_spot_drainer_reads() {
    let rules = module("events.tf");
    let named: BTreeSet<_> = quoted(&rules).filter(|text| text.starts_with("AWS_EC2_")).collect();
    assert_eq!(named, BTreeSet::from(spot::notice::RETIREMENTS));
}

/// `ListTasks` for `list_tasks`.
fn operation(method: &str) -> String {
    let capitalized = |word: &str| word[..1].to_uppercase() + &word[1..];
    method.split('_').map(capitalized).collect()
}

#[test]
fn what_is_called_is_allowed_and_nothing_else() {
    let aws: String = code("aws").split_whitespace().collect();
    let called: BTreeSet<_> = aws
        .split(".client.")
        .skip(1)
        .filter_map(|call| call.split_once("()"))
        .map(|(method, _)| operation(method))
        .collect();
    let iam = module("iam.tf");
    let allowed: BTreeSet<_> = quoted(&iam)
        .filter_map(|text| text.split_once(':'))
        .filter(|(service, _)| ["ecs", "autoscaling", "sns"].contains(service))
        .map(|(_, operation)| operation.to_owned())
        .filter(|operation| operation != "cluster")
        .collect();
    let not_in = |a: &BTreeSet<String>, b| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(not_in(&called, &allowed), [""; 0], "is not allowed");
    assert_eq!(not_in(&allowed, &called), [""; 0], "is not called");
}
