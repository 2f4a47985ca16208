//! The program itself: its exit codes, and where it writes what.

use std::process::{Command, Output};

use insta::assert_snapshot;

use crate::support::recording;

/// Runs the program where there is neither Region nor credentials.
fn ebb(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(arguments)
        .env_clear()
        // No instance metadata is asked for, which would take its time.
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_plan_of_a_recording_needs_nothing_and_has_colour_only_if_asked() {
    let file = recording("held.json");
    let file = file.to_str().unwrap();
    let plain = ebb(&["plan", "--from", file]);
    assert_eq!((plain.status.code(), text(&plain.stderr).as_str()), (Some(0), ""));
    assert!(!text(&plain.stdout).contains('\x1b'), "no terminal is there");
    let colored = ebb(&["plan", "--from", file, "--color", "always"]);
    assert!(text(&colored.stdout).contains("\x1b[1mCluster shop: "), "{colored:?}");
}

#[test]
fn what_is_wrong_stands_on_the_standard_error_output_with_exit_code_2() {
    let mut said = Vec::new();
    for arguments in [
        &["plan"][..],
        &["plan", "--region", "eu-west-1"],
        &["plan", "--region", "eu-west-1", "--profile", "nobody"],
        &["why", "i-12"],
        &["plan", "--from", "nowhere.json"],
    ] {
        let output = ebb(arguments);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
        said.push(text(&output.stderr));
    }
    assert_snapshot!(said.join("\n"));
}

#[test]
fn help_and_completions_name_every_command() {
    assert_snapshot!(text(&ebb(&["plan", "--help"]).stdout));
    let completions = text(&ebb(&["completions", "bash"]).stdout);
    for command in ["plan", "why", "drains", "record", "replay", "completions"] {
        assert!(completions.contains(&format!("ebb,{command})")), "{command}");
    }
}
