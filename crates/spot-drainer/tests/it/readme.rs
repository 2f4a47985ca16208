//! The README and the code say the same.

use ebb_core::settings::SpotSettings;
use ebb_core::spot::OutcomeKind;

const README: &str = include_str!("../../../../README.md");

/// The first column of the table below a heading, without its backticks.
fn first_column(heading: &str) -> Vec<&'static str> {
    let section = README.split_once(&format!("## {heading}\n")).expect("the heading is there").1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    rows.filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

#[test]
fn the_readme_lists_every_setting() {
    assert_eq!(first_column("Settings"), SpotSettings::VARIABLES);
}

#[test]
fn the_readme_lists_every_outcome() {
    assert_eq!(first_column("What it answers"), OutcomeKind::ALL.map(OutcomeKind::as_str));
}
