//! The settings of the functions, as environment variables.

use std::collections::BTreeMap;

use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_core::settings::SettingsError;
use ebb_core::spot::settings::SpotSettings;
use ebb_planner::plan;

use crate::inventories::{NOW, check, small};

/// Lines of `NAME=VALUE`, for each function.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let variables: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.split_once('=')).collect();
    let lookup = |name: &str| variables.get(name).map(|&value| value.to_owned());

    check_problems(SpotSettings::from_lookup(lookup));
    check_problems(LifecycleSettings::from_lookup(lookup));
    if let Some(settings) = check_problems(ReaperSettings::from_lookup(lookup)) {
        let inventory = small();
        check(&inventory, &plan(&inventory, &settings.policy(), NOW));
    }
}

/// The settings, if nothing is wrong with them.
fn check_problems<T>(settings: Result<T, SettingsError>) -> Option<T> {
    let error = match settings {
        Ok(settings) => return Some(settings),
        Err(error) => error,
    };
    assert!(!error.problems.is_empty(), "an error that says nothing");
    let text = error.to_string();
    for problem in &error.problems {
        assert!(text.contains(problem.variable) && !problem.expected.is_empty(), "{text}");
    }
    None
}
