//! The program itself: its exit codes, and where it writes what.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use ebb_region::event_log::EventLog;
use ebb_region::server::serve;
use ebb_region::world::REGION;
use ebb_region::{Region, scenario};
use insta::assert_snapshot;
use tokio::net::TcpListener;

use crate::support::{recording, start_time};

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
    let mut sentences = Vec::new();
    for arguments in [
        &["plan"][..],
        &["plan", "--region", "eu-west-1"],
        &["plan", "--region", "eu-west-1", "--profile", "nobody"],
        &["why", "i-12"],
        &["plan", "--from", "nowhere.json"],
    ] {
        let output = ebb(arguments);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
        sentences.push(text(&output.stderr));
    }
    assert_snapshot!(sentences.join("\n"));
}

#[test]
fn help_and_completions_name_every_command() {
    assert_snapshot!(text(&ebb(&["plan", "--help"]).stdout));
    let completions = text(&ebb(&["completions", "bash"]).stdout);
    for command in ["plan", "why", "drains", "record", "replay", "verify", "completions"] {
        assert!(completions.contains(&format!("ebb,{command})")), "{command}");
    }
}

/// How long the program may take to look at a small cluster: far longer than it does.
const END_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_watch_that_nobody_reads_any_more_ends() {
    let region = Region::start(scenario::shop(start_time(), 1), 1.0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(region.clone(), EventLog::begin(&region), listener));
    let mut program = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["drains", "--watch", "3600"])
        .env_clear()
        .envs([("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_REGION", REGION)])
        .envs([("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "example")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(program.stdout.take());

    let begun = Instant::now();
    while program.try_wait().unwrap().is_none() && begun.elapsed() < END_LIMIT {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // One that has ended is not killed by that.
    program.kill().unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(0), "it does not watch for ever");
}
