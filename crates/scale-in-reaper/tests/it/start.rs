//! The binary itself: how it starts.

use std::process::Command;

#[test]
fn acting_in_a_dry_run_is_refused() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scale-in-reaper"));
    let variables = [("REAPER_MODE", "act"), ("DRY_RUN", "true")];
    let output = command.env_clear().envs(variables).output().expect("the binary starts");

    assert!(!output.status.success());
    let output = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(output.contains("REAPER_MODE is \"act\", expected `plan`, as DRY_RUN is"), "{output}");
}

#[test]
fn wrong_settings_end_the_start_and_are_all_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scale-in-reaper"));
    let variables = [
        ("REAPER_MODE", "ACT"),
        ("HEADROOM_CPU_PERCENT", "95"),
        ("INSTANCE_PRICES", "{\"m7g.large\": -1}"),
    ];
    let output = command.env_clear().envs(variables).output().expect("the binary starts");

    assert!(!output.status.success());
    let output = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    for expected in [
        "REAPER_MODE is \"ACT\", expected `plan` or `act`",
        "HEADROOM_CPU_PERCENT is \"95\"",
        "INSTANCE_PRICES is \"m7g.large: -1\"",
    ] {
        assert!(output.contains(expected), "{expected} is not in: {output}");
    }
}
