//! `ebb verify`: whether what is deployed is what was released.

use std::fs;
use std::path::PathBuf;

use ebb_region::fault::Fault;
use ebb_region::world::{Package, World};

use crate::support::{Terminal, start_time};

/// The SHA-256 of nothing at all and of the letter a, as Lambda and as `sha256sum` have them.
const NOTHING: (&str, &str) = (
    "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
);
const LETTER: (&str, &str) = (
    "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=",
    "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
);

/// A Region in which the Spot drainer runs the release's zip of this sum.
async fn terminal(code_sha256: &str) -> Terminal {
    let mut world = World::new(start_time(), 1);
    let package = Package { code_sha256: code_sha256.to_owned(), architecture: "arm64" };
    world.packages.insert("ebb-spot-drainer".to_owned(), package);
    Terminal::start(world).await
}

/// A release's file: its Spot drainer is nothing, its reaper a letter.
pub(crate) fn checksums(test: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-SHA256SUMS"));
    let lines = [
        format!("{}  spot-drainer-arm64.zip", NOTHING.1),
        format!("{} *scale-in-reaper-arm64.zip", LETTER.1),
        format!("{}  ebb-linux-arm64", "0".repeat(64)),
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

#[tokio::test(start_paused = true)]
async fn a_function_that_runs_the_release_is_said_to_by_name_or_arn() {
    let terminal = terminal(NOTHING.0).await;
    let file = checksums("release").display().to_string();
    let arn = "arn:aws:lambda:eu-west-1:111122223333:function:ebb-spot-drainer:live";
    for function in ["ebb-spot-drainer", arn] {
        let output = terminal.output(&format!("verify {function} --checksums {file}")).await;
        assert_eq!(output, format!("ebb-spot-drainer runs spot-drainer-arm64.zip of {file}.\n"));
    }
    let json = terminal.output(&format!("verify ebb-spot-drainer --json --checksums {file}")).await;
    assert!(json.contains(NOTHING.1) && json.contains("\"spot-drainer-arm64.zip\""), "{json}");
}

#[tokio::test(start_paused = true)]
async fn what_runs_something_else_or_is_not_there_fails_and_hides_no_other() {
    let file = checksums("else").display().to_string();
    let command = format!("verify ebb-spot-drainer ebb-spot-drianer --checksums {file}");
    for (code_sha256, problem) in [
        (LETTER.0, "runs scale-in-reaper-arm64.zip, which is another function's"),
        ("LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=", "runs none of the zips in"),
    ] {
        let printed = terminal(code_sha256).await.run(&command).await.unwrap();
        assert_eq!(printed.text, "");
        let failures: Vec<_> = printed.failures.iter().map(|failure| &failure.text).collect();
        assert!(failures[0].contains(problem), "{failures:?}");
        assert!(failures[1].contains("there is no function ebb-spot-drianer"), "{failures:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_names_the_policy_that_allows_it() {
    let terminal = terminal(NOTHING.0).await;
    terminal.region.world().faults.plan("GetFunctionConfiguration", Fault::Denied, 1);
    let file = checksums("denied").display().to_string();
    let command = format!("verify ebb-spot-drainer --checksums {file}");
    let printed = terminal.run(&command).await.unwrap();
    assert!(printed.failures[0].text.contains("docs/ebb-read-only-policy.json"), "{printed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_file_without_zips_is_refused() {
    let terminal = terminal(NOTHING.0).await;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-SHA256SUMS");
    fs::write(&path, "e3b0c442  spot-drainer-arm64.zip\n").unwrap();
    let command = format!("verify ebb-spot-drainer --checksums {}", path.display());
    let failure = terminal.run(&command).await.unwrap_err();
    assert!(failure.text.contains("names no function's zip"), "{}", failure.text);
}
