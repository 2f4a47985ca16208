//! The documents and the code say the same: settings, outcomes, reasons, permissions.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use ebb_core::auto_scaling::LifecycleState;
use ebb_core::ecs::ContainerInstanceStatus;
use ebb_core::ids::GroupName;
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_core::settings::SettingsError;
use ebb_core::spot::settings::SpotSettings;
use ebb_core::{lifecycle, reaper, spot};
use ebb_planner::{FOREVER, HeadroomResource, Hold, HoldScope, KeepReason, RemoveReason};
use jiff::{SignedDuration, Timestamp};

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn read(document: &str) -> String {
    fs::read_to_string(repository().join(document)).expect("the document is there")
}

/// The rows of the first table below a heading, as their cells without backticks.
pub(crate) fn rows(document: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(document);
    let (_, section) = text.split_once(&format!("# {heading}\n")).expect("the heading is there");
    let table = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    table.take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn cells(row: &str) -> Vec<String> {
    row.split('|').skip(1).map(|cell| cell.trim().replace('`', "")).collect()
}

fn first_cells(document: &str, heading: &str) -> Vec<String> {
    rows(document, heading).into_iter().map(|row| row[0].clone()).collect()
}

/// A row of the settings table.
#[derive(Debug)]
struct Setting {
    variable: String,
    functions: String,
    default: String,
    limits: String,
    terraform: String,
}

fn documented_settings() -> Vec<Setting> {
    let setting = |row: Vec<String>| {
        let [variable, functions, default, limits, _, terraform, ..] =
            <[String; 7]>::try_from(row).expect("six cells, and what follows the last bar");
        Setting { variable, functions, default, limits, terraform }
    };
    rows("docs/configuration.md", "Configuration").into_iter().map(setting).collect()
}

/// Checks the rows of one function: its variables in their order, their defaults and their limits.
fn check_settings<S: PartialEq + Debug>(
    readers: &[&str],
    variables: &[&'static str],
    from_lookup: impl Fn(&dyn Fn(&str) -> Option<String>) -> Result<S, SettingsError>,
    defaults: &S,
) {
    let mut settings = documented_settings();
    settings.retain(|setting| readers.contains(&setting.functions.as_str()));
    let documented: Vec<_> = settings.iter().map(|setting| setting.variable.as_str()).collect();
    assert_eq!(documented, variables);

    let read_one = |variable: &str, value: &str| {
        from_lookup(&|name| (name == variable).then(|| value.to_owned()))
    };
    for Setting { variable, default, limits, .. } in &settings {
        if !default.starts_with("unset") {
            assert_eq!(read_one(variable, default).as_ref(), Ok(defaults), "{variable}");
        }
        for accepted in accepted_values(limits) {
            assert!(read_one(variable, &accepted).is_ok(), "{variable} = {accepted}");
        }
        for refused in refused_values(limits) {
            assert!(read_one(variable, &refused).is_err(), "{variable} = {refused}");
        }
    }
}

/// `60 to 172800`, as numbers.
fn range(limits: &str) -> Option<(i64, i64)> {
    let (minimum, maximum) = limits.split_once(" to ")?;
    Some((minimum.parse().ok()?, maximum.parse().ok()?))
}

/// The values that limits such as `plan, act` list, if they are such.
fn listed(limits: &str) -> Vec<String> {
    let words: Vec<_> = limits.split(", ").map(str::to_owned).collect();
    let are_words = words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
    if are_words { words } else { Vec::new() }
}

fn accepted_values(limits: &str) -> Vec<String> {
    let ends = range(limits).map(|(minimum, maximum)| [minimum.to_string(), maximum.to_string()]);
    ends.map_or_else(|| listed(limits), Vec::from)
}

fn refused_values(limits: &str) -> Vec<String> {
    let outside = range(limits)
        .map(|(minimum, maximum)| [(minimum - 1), (maximum + 1)].map(|n| n.to_string()));
    let unlisted = if listed(limits).is_empty() { vec![] } else { vec!["unlisted".to_owned()] };
    outside.map_or(unlisted, Vec::from)
}

#[test]
fn every_setting_is_documented_with_its_default_and_its_limits() {
    check_settings(
        &["all", "drainers", "spot", "spot, reaper"],
        &SpotSettings::VARIABLES,
        |lookup| SpotSettings::from_lookup(lookup),
        &SpotSettings::default(),
    );
    check_settings(
        &["all", "drainers", "lifecycle"],
        &LifecycleSettings::VARIABLES,
        |lookup| LifecycleSettings::from_lookup(lookup),
        &LifecycleSettings::default(),
    );
    check_settings(
        &["all", "reaper", "spot, reaper"],
        &ReaperSettings::VARIABLES,
        |lookup| ReaperSettings::from_lookup(lookup),
        &ReaperSettings::default(),
    );
}

#[test]
fn every_setting_names_the_terraform_variable_of_its_own_name() {
    let module = read("infra/variables.tf");
    for Setting { variable, terraform, .. } in documented_settings() {
        assert_eq!(terraform, variable.to_lowercase());
        assert!(module.contains(&format!("variable \"{terraform}\" {{")), "{terraform}");
    }
}

#[test]
fn every_outcome_is_documented() {
    let documented = |heading| first_cells("docs/answers.md", heading);
    assert_eq!(documented("Spot drainer"), spot::OutcomeKind::ALL.map(spot::OutcomeKind::as_str));
    assert_eq!(
        documented("Lifecycle drainer"),
        lifecycle::OutcomeKind::ALL.map(lifecycle::OutcomeKind::as_str)
    );
    assert_eq!(documented("Outcomes"), reaper::OutcomeKind::ALL.map(reaper::OutcomeKind::as_str));
}

/// Each reason to keep an instance, in the order of the documentation.
fn reasons_to_stay() -> Vec<KeepReason> {
    let (group, text) = (GroupName::new("shop"), String::new());
    let scope = HoldScope::Cluster(text.clone());
    let hold = Hold::read(scope, FOREVER, Timestamp::UNIX_EPOCH).unwrap();
    vec![
        KeepReason::Contradiction(text.clone()),
        KeepReason::Draining,
        KeepReason::NotActive(ContainerInstanceStatus::Inactive),
        KeepReason::AgentDisconnected,
        KeepReason::EcsManaged,
        KeepReason::NoGroup,
        KeepReason::NotInService(LifecycleState::Standby),
        KeepReason::Unhealthy,
        KeepReason::ProtectedFromScaleIn,
        KeepReason::Held(hold),
        KeepReason::Keep,
        KeepReason::GroupOwned(group.clone(), text.clone()),
        KeepReason::GroupUnavailable(group.clone(), text.clone()),
        KeepReason::GroupNotAllowed(group.clone()),
        KeepReason::ManagedScaling(group.clone()),
        KeepReason::NotTaken { emptied_at: Timestamp::UNIX_EPOCH },
        KeepReason::TooYoung { min_instance_age: SignedDuration::ZERO },
        KeepReason::GroupAtMinimum { group: group.clone(), min_size: 0 },
        KeepReason::NotRead,
        KeepReason::Pinned(text.clone()),
        KeepReason::TargetCapacity { group, target_capacity: 100 },
        KeepReason::MinInstances { min_instances: 1, service: None },
        KeepReason::MaxRemovals { decided_by: text.clone(), more_from: None },
        KeepReason::Headroom { resource: HeadroomResource::Cpu, percent: 20, service: None },
        KeepReason::TaskHeadroom { service: text.clone(), tasks: 1, largest: true },
        KeepReason::ZoneBalance,
        KeepReason::NotLowForLong {
            since: Timestamp::UNIX_EPOCH,
            goes_from: Timestamp::UNIX_EPOCH,
        },
        KeepReason::TakenBack { group: GroupName::new("shop"), until: Timestamp::UNIX_EPOCH },
        KeepReason::Halted(text.clone()),
        KeepReason::NoRoom(text),
    ]
}

/// A reason that is added does not compile here until it is among [`reasons_to_stay`].
fn is_listed(reason: &KeepReason) -> bool {
    match reason {
        KeepReason::Contradiction(_)
        | KeepReason::Draining
        | KeepReason::NotActive(_)
        | KeepReason::AgentDisconnected
        | KeepReason::EcsManaged
        | KeepReason::NoGroup
        | KeepReason::NotInService(_)
        | KeepReason::Unhealthy
        | KeepReason::ProtectedFromScaleIn
        | KeepReason::Held(_)
        | KeepReason::Keep
        | KeepReason::GroupOwned(..)
        | KeepReason::GroupUnavailable(..)
        | KeepReason::GroupNotAllowed(_)
        | KeepReason::ManagedScaling(_)
        | KeepReason::NotTaken { .. }
        | KeepReason::TooYoung { .. }
        | KeepReason::GroupAtMinimum { .. }
        | KeepReason::NotRead
        | KeepReason::Pinned(_)
        | KeepReason::TargetCapacity { .. }
        | KeepReason::MinInstances { .. }
        | KeepReason::MaxRemovals { .. }
        | KeepReason::Headroom { .. }
        | KeepReason::TaskHeadroom { .. }
        | KeepReason::ZoneBalance
        | KeepReason::NotLowForLong { .. }
        | KeepReason::TakenBack { .. }
        | KeepReason::Halted(_)
        | KeepReason::NoRoom(_) => true,
    }
}

#[test]
fn every_reason_is_documented() {
    let to_go = [
        RemoveReason::Empty,
        RemoveReason::Certified { tasks: 1 },
        RemoveReason::Replayed { tasks: 1 },
    ];
    assert_eq!(first_cells("docs/answers.md", "Reasons to go"), to_go.map(|reason| reason.code()));
    let to_stay = reasons_to_stay();
    assert!(to_stay.iter().all(is_listed));
    let words: Vec<_> = to_stay.iter().map(KeepReason::code).collect();
    assert_eq!(first_cells("docs/answers.md", "Reasons to stay"), words);
}

/// What the pages and the policies name of these services, such as `ecs:ListTasks`. Logs, keys and
/// queues are in a table for every function.
fn actions<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let is_action = |text: &&str| {
        let (service, _) = text.split_once(':').unwrap_or_default();
        ["ecs", "autoscaling", "sns"].contains(&service) && *text != "ecs:cluster"
    };
    texts.filter(is_action).map(str::to_owned).collect()
}

fn documented_actions(role: &str) -> BTreeSet<String> {
    let allowed = first_cells("docs/permissions.md", role);
    actions(allowed.iter().flat_map(|cell| cell.split([' ', ','])))
}

/// The actions in the list of statements that begins with this text in `infra/iam.tf`.
fn allowed_actions(begin: &str) -> BTreeSet<String> {
    let iam = read("infra/iam.tf");
    let (_, statements) = iam.split_once(begin).expect("the list begins");
    let list = statements.lines().take_while(|line| !["  ]", "    ])"].contains(line));
    actions(list.flat_map(|line| line.split('"').skip(1).step_by(2)))
}

#[test]
fn every_permission_is_documented_and_no_other() {
    let common = allowed_actions("  common = [");
    let read_tasks = allowed_actions("  read_tasks = [");
    let spot = allowed_actions("\"spot-drainer\" = concat(local.common, [");
    assert_eq!(documented_actions("Spot drainer"), &spot | &common);

    for (role, function) in
        [("Lifecycle drainer", "lifecycle-drainer"), ("Scale-in reaper", "scale-in-reaper")]
    {
        let own = format!("\"{function}\" = concat(local.common, local.read_tasks, [");
        let allowed = &(&allowed_actions(&own) | &common) | &read_tasks;
        assert_eq!(documented_actions(role), allowed, "{role}");
    }
}
