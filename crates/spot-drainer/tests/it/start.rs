//! How the binary starts.

use std::process::Command;

#[test]
fn wrong_settings_end_the_start_and_are_all_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_spot-drainer"))
        .env_clear()
        .env("DRY_RUN", "maybe")
        .env("ECS_CLUSTERS", "shop,,back")
        .env("FALLBACK_ASG", "")
        .output()
        .expect("the binary starts");

    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    for expected in [
        "ECS_CLUSTERS is \"shop,,back\"",
        "DRY_RUN is \"maybe\", expected `true` or `false`",
        "FALLBACK_ASG is \"\"",
    ] {
        assert!(said.contains(expected), "{expected} is not in: {said}");
    }
}
