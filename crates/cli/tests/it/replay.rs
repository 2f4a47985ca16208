//! `ebb replay`.

use std::path::PathBuf;

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::{recording, run};

fn folder() -> PathBuf {
    recording("idle.json").parent().unwrap().to_owned()
}

#[tokio::test]
async fn policies_are_compared_over_every_recording_of_a_folder() {
    let prices = r#"{"m7g.large":0.0816,"m7g.xlarge":0.1632,"g4dn.xlarge":0.526}"#;
    let command = format!(
        "replay {} --prices {prices} --against HEADROOM_CPU_PERCENT=50,MIN_INSTANCES=8 \
         --against AUTO_SCALING_GROUPS=shop-spot,group-2,MANAGED_SCALING=assist",
        folder().display()
    );
    assert_snapshot!(run(&command, None).await.unwrap().text);

    let json = run(&format!("replay {} --json", folder().display()), None).await.unwrap().text;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["recordings"], 5);
    assert_snapshot!(format!("{:#}", json["policies"]));
}

#[tokio::test]
async fn what_is_no_policy_and_no_folder_of_recordings_say_what_to_do() {
    let folder = folder();
    let mut failures = Vec::new();
    for command in [
        format!("replay {} --against HEADROOM=5", folder.display()),
        format!("replay {} --against HEADROOM_CPU_PERCENT=95", folder.display()),
        format!("replay {}", folder.parent().unwrap().join("it").display()),
        "replay nowhere".to_owned(),
    ] {
        let failure = run(&command, None).await.unwrap_err();
        failures.push(format!("{failure:?}"));
    }
    let root = env!("CARGO_MANIFEST_DIR");
    assert_snapshot!(failures.join("\n").replace(root, "."));
}
