//! Recordings: what is written, and what is read of this and of earlier versions.
//!
//! `UPDATE_RECORDINGS=1` writes the files of `tests/recordings` anew, but for those of earlier
//! versions: nothing writes those any more.

use std::fs;
use std::path::{Path, PathBuf};

use ebb::recording::{Recording, VERSION, anonymize};
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::shapes::shape;
use crate::support::{Terminal, recording, run, run_colored};

/// The shapes, and how each is recorded.
const RECORDED: [(&str, &str); 4] = [
    ("idle", "record"),
    ("spread", "record --anonymize"),
    ("held", "record"),
    ("packed", "record --cluster shop"),
];

#[tokio::test(start_paused = true)]
async fn a_recording_plans_as_the_cluster_does() {
    for (name, command) in RECORDED {
        let terminal = Terminal::start(shape(name)).await;
        let written = terminal.output(command).await;
        let file = recording(&format!("{name}.json"));
        if std::env::var_os("UPDATE_RECORDINGS").is_some() {
            fs::write(&file, &written).unwrap();
        }
        assert_eq!(written, fs::read_to_string(&file).unwrap(), "{name}: what `record` writes");

        let policy = "--headroom-cpu 10 --max-removals 50 --managed-scaling assist";
        let planned = terminal.output(&format!("plan {policy}")).await;
        let file = file.display();
        let from = run(&format!("plan --from {file} {policy}"), None).await.unwrap().text;
        let counts = |text: &str| {
            let first = text.lines().next().unwrap().to_owned();
            first.replace("cluster-1", "shop").replace("Cluster shop: ", "")
        };
        if command.contains("anonymize") {
            assert_eq!(counts(&from), counts(&planned), "{name}");
        } else {
            assert_eq!(from, planned, "{name}");
        }
        assert_snapshot!(format!("recording_{name}"), from);
    }
}

#[tokio::test(start_paused = true)]
async fn an_anonymous_recording_has_no_name_of_the_cluster() {
    for name in ["idle", "spread", "held", "packed"] {
        let terminal = Terminal::start(shape(name)).await;
        let written = terminal.output("record --anonymize").await;
        for word in ["shop", "web", "search", "worker", "i-0a1b2c3d4e5f6", "arn:", "111122223333"] {
            assert!(!written.contains(word), "{name}: {word} in {written}");
        }
        // Nor does reading it fail.
        Recording::read(&written).unwrap();
    }
}

#[test]
fn the_arn_of_an_outpost_has_the_account_and_is_taken_out() {
    let text = fs::read_to_string(recording("held.json")).unwrap();
    let arn = "arn:aws:outposts:eu-west-1:111122223333:outpost/op-0a1b2c3d4e5f60001";
    let on_outpost = text.replace(
        "\"attributes\": {",
        &format!("\"attributes\": {{\"ecs.outpost-arn\": \"{arn}\","),
    );
    let mut recording = Recording::read(&on_outpost).unwrap();
    assert!(recording.to_json().unwrap().contains(arn));
    anonymize(&mut recording);
    let written = recording.to_json().unwrap();
    assert!(written.contains("ecs.outpost-arn") && !written.contains("outpost/"), "{written}");
}

/// A fallback group says for which Spot group it stands in.
#[test]
fn why_a_group_is_not_to_be_changed_may_name_another_and_is_taken_out() {
    let text = fs::read_to_string(recording("idle.json")).unwrap();
    let mut changed: Value = serde_json::from_str(&text).unwrap();
    let cluster = &mut changed["clusters"][0];
    let name = cluster["groups"].as_object().unwrap().keys().next().unwrap().clone();
    let why = json!("it stands in for group secret-spot, which does not exist");
    cluster["groups"][&name]["unavailable"] = why.clone();
    cluster["replace"]["unavailable"][&name] = why;
    let mut recording = Recording::read(&changed.to_string()).unwrap();
    anonymize(&mut recording);
    let written = recording.to_json().unwrap();
    assert!(!written.contains("secret"), "{written}");
    assert_eq!(written.matches("left out of the recording").count(), 2);
}

#[tokio::test]
async fn a_recording_of_version_1_reads_as_it_did() {
    let file = recording("version-1.json");
    let text = run(&format!("plan --from {}", file.display()), None).await.unwrap().text;
    assert_snapshot!(text);
}

#[test]
fn a_newer_version_and_what_is_no_recording_say_what_to_do() {
    let newer = format!("{{\"version\": {}, \"anything\": []}}", VERSION + 1);
    let texts = [newer.as_str(), "[]", "{\"version\": 2}", "no JSON"];
    let failures = texts.map(|text| format!("{:?}", Recording::read(text).unwrap_err()));
    assert_snapshot!(failures.join("\n"));
}

#[test]
fn members_of_a_later_release_are_passed_over() {
    let text = fs::read_to_string(recording("held.json")).unwrap();
    let later = text.replace("\"zone\":", "\"colour\": \"red\", \"zone\":");
    assert_ne!(later, text);
    assert_eq!(Recording::read(&later).unwrap(), Recording::read(&text).unwrap());
}

#[tokio::test]
async fn a_cluster_that_is_not_in_it_is_wrong_input() {
    let file = recording("held.json");
    let command = format!("plan --cluster shopp --from {}", file.display());
    assert_snapshot!(format!("{:?}", run(&command, None).await.unwrap_err()));
}

/// The recording of a shape in the tests' own folder, with changes made by hand.
fn by_hand(name: &str, change: impl Fn(&mut Value)) -> PathBuf {
    let text = fs::read_to_string(recording("idle.json")).unwrap();
    let mut changed: Value = serde_json::from_str(&text).unwrap();
    change(&mut changed);
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("by-hand.json"), changed.to_string()).unwrap();
    folder
}

/// Sets members of every instance or service of a recording.
fn set(recording: &mut Value, list: &str, members: &Value) {
    for item in recording["clusters"][0][list].as_array_mut().unwrap() {
        for (member, value) in members.as_object().unwrap() {
            item[member] = value.clone();
        }
    }
}

#[tokio::test]
async fn no_number_that_is_written_by_hand_stops_a_command() {
    let least = json!({"cpu": i64::MIN, "memory_mib": i64::MIN});
    let most = json!({"cpu": i64::MAX, "memory_mib": i64::MAX, "gpus": i64::MAX});
    for (list, members) in [
        ("instances", json!({"price_microusd": u64::MAX})),
        ("instances", json!({"registered": least, "remaining": most})),
        ("instances", json!({"registered": most, "remaining": least})),
        ("instances", json!({"weight": i64::MIN, "registered_at": "9999-12-30T21:30:00Z"})),
        ("services", json!({"demand": least})),
        ("services", json!({"demand": most})),
        ("services", json!({"in_flight": u64::MAX, "tasks_to_rebalance": u64::MAX})),
        ("services", json!({"minimum_healthy_percent": u32::MAX, "maximum_percent": 0})),
    ] {
        every_command_answers(&by_hand("numbers", |it| set(it, list, &members))).await;
    }
    for time in ["9999-12-30T21:30:00Z", "-009999-01-02T02:00:00Z"] {
        every_command_answers(&by_hand("times", |it| it["recorded_at"] = json!(time))).await;
    }
}

async fn every_command_answers(folder: &Path) {
    let (folder, file) = (folder.display(), folder.join("by-hand.json"));
    let file = file.display();
    for command in [
        format!("plan --max-removals 100 --managed-scaling assist --from {file}"),
        format!("plan --json --from {file} --html {file}.html"),
        format!("why i-0a1b2c3d4e5f60001 --from {file}"),
        format!("replay {folder} --managed-scaling assist"),
    ] {
        assert_eq!(run(&command, None).await.unwrap().failures, [], "{command}");
    }
}

#[tokio::test]
async fn no_name_of_a_recording_steers_the_terminal() {
    let folder = by_hand("names", |recording| {
        recording["clusters"][0]["cluster"] = json!("shop\u{1b}]0;title\u{7}\u{9b}2J");
        set(recording, "services", &json!({"name": "web\u{1b}[2J"}));
        set(recording, "instances", &json!({"zone": "eu-west-1a\u{1b}[2J"}));
    });
    let from = format!("--from {}", folder.join("by-hand.json").display());
    for command in [format!("plan {from}"), format!("why i-0a1b2c3d4e5f60001 {from}")] {
        let text = run_colored(&command, None).await.unwrap().text;
        assert!(text.contains("shop]0;title2J"), "{text}");
        for steering in ["\u{1b}]", "\u{7}", "\u{9b}", "\u{1b}[2J"] {
            assert!(!text.contains(steering), "{text:?}");
        }
    }
    let unknown = run(&format!("plan --cluster depot {from}"), None).await.unwrap_err();
    assert!(unknown.text.ends_with("which has: shop]0;title2J"), "{unknown:?}");
}
