//! The README and the code say the same.

use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_core::spot::settings::SpotSettings;
use ebb_core::{lifecycle, reaper, spot};

const README: &str = include_str!("../../../../README.md");

/// The rows of the table below a heading, as their cells without backticks.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = README.split_once(&format!("## {heading}\n")).expect("the heading is there").1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let cells =
        |line: &str| line.split('|').skip(1).map(|cell| cell.trim().replace('`', "")).collect();
    rows.take_while(|line| line.starts_with('|')).map(cells).collect()
}

fn settings_of(function: &str) -> Vec<String> {
    let both = if function == "reaper" { "all" } else { "drainers" };
    let of_function = |row: &Vec<String>| ["all", both, function].contains(&row[1].as_str());
    rows("Settings").into_iter().filter(of_function).map(|row| row[0].clone()).collect()
}

fn outcomes_of(function: &str) -> Vec<String> {
    rows(&format!("What the {function} answers")).into_iter().map(|row| row[0].clone()).collect()
}

#[test]
fn the_readme_lists_every_setting() {
    assert_eq!(settings_of("spot"), SpotSettings::VARIABLES);
    assert_eq!(settings_of("lifecycle"), LifecycleSettings::VARIABLES);
    assert_eq!(settings_of("reaper"), ReaperSettings::VARIABLES);
}

#[test]
fn the_readme_lists_every_outcome() {
    assert_eq!(outcomes_of("Spot drainer"), spot::OutcomeKind::ALL.map(spot::OutcomeKind::as_str));
    assert_eq!(
        outcomes_of("lifecycle drainer"),
        lifecycle::OutcomeKind::ALL.map(lifecycle::OutcomeKind::as_str)
    );
    assert_eq!(
        outcomes_of("scale-in reaper"),
        reaper::OutcomeKind::ALL.map(reaper::OutcomeKind::as_str)
    );
}
