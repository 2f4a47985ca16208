//! `ebb verify`: whether functions run the zips of a release. What the sums of a release's zips are,
//! its file SHA256SUMS says; what a function runs, Lambda.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ebb_aws::{AwsErrorKind, DeployedPackage};
use serde_json::{Value, json};

use crate::account::Account;
use crate::failure::Failure;
use crate::progress::Progress;

/// What stands after the function in the name of a zip: what it was built for.
const SUFFIXES: [&str; 2] = ["-arm64.zip", "-x86_64.zip"];

/// The zips of a release, by their SHA-256.
#[derive(Debug)]
pub(crate) struct Checksums {
    file: String,
    zips: BTreeMap<String, String>,
}

/// A function that was looked at.
#[derive(Debug)]
pub(crate) struct Verified {
    package: DeployedPackage,
    /// The release's zip that it runs, if it is one.
    zip: Option<String>,
}

impl Checksums {
    /// Reads a file of `sha256sum`.
    ///
    /// # Errors
    /// If it cannot be read, or names no function's zip.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let file = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| {
            Failure::input(format!("{file}: {error}; name the SHA256SUMS of a release"))
        })?;
        let zips: BTreeMap<_, _> = text.lines().filter_map(zip_of).collect();
        if zips.is_empty() {
            return Err(Failure::input(format!(
                "{file} names no function's zip: name the SHA256SUMS of a release"
            )));
        }
        Ok(Self { file, zips })
    }

    /// The functions that the release has zips of.
    fn functions(&self) -> impl Iterator<Item = &str> {
        self.zips.values().filter_map(|zip| function_of(zip))
    }

    /// The zip that a function runs.
    ///
    /// # Errors
    /// If it runs none of the release's, or the zip of another function of the release.
    fn zip_of(&self, package: &DeployedPackage) -> Result<&str, Failure> {
        let DeployedPackage { function, sha256 } = package;
        let Some(zip) = self.zips.get(sha256) else {
            return Err(Failure::input(format!(
                "{function} runs none of the zips in {}: the SHA-256 of its package is {sha256}; \
                 name the SHA256SUMS of the release that was deployed, or deploy that release again",
                self.file
            )));
        };
        let meant = self.functions().find(|meant| function.ends_with(*meant));
        match (meant, function_of(zip)) {
            (Some(meant), Some(runs)) if meant != runs => Err(Failure::input(format!(
                "{function} runs {zip}, which is another function's: deploy the zip of {meant}"
            ))),
            _ => Ok(zip),
        }
    }
}

/// The sum and the name in a line that is a function's zip: the sum, a space, a space or an
/// asterisk, and the name (GNU coreutils, `sha256sum`).
fn zip_of(line: &str) -> Option<(String, String)> {
    let (sum, name) = line.split_once(' ')?;
    let name = name.strip_prefix([' ', '*'])?;
    let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
    function_of(name)?;
    is_sum.then(|| (sum.to_ascii_lowercase(), name.to_owned()))
}

fn function_of(zip: &str) -> Option<&str> {
    SUFFIXES.iter().find_map(|suffix| zip.strip_suffix(suffix))
}

/// Looks at functions, each by itself: one that cannot be read hides no other.
pub(crate) async fn verify(
    account: &Account,
    functions: &[String],
    checksums: &Checksums,
    progress: &Progress,
) -> (Vec<Verified>, Vec<Failure>) {
    let (mut verified, mut failures) = (Vec::new(), Vec::new());
    for function in functions {
        let read = Box::pin(account.clients.functions.deployed_package(function));
        match progress.during(&format!("Looking at {function}"), read).await {
            Ok(package) => {
                let zip = match checksums.zip_of(&package) {
                    Ok(zip) => Some(zip.to_owned()),
                    Err(failure) => {
                        failures.push(failure);
                        None
                    }
                };
                verified.push(Verified { package, zip });
            }
            Err(error) if error.kind == AwsErrorKind::NotFound => {
                failures.push(Failure::input(format!(
                    "there is no function {function} in {}: `aws lambda list-functions` shows those \
                     that there are, and --region and --profile choose where",
                    account.region
                )));
            }
            Err(error) => failures.push(Failure::of_call(error, None, &account.region)),
        }
    }
    (verified, failures)
}

/// A line for each function that runs what it should.
pub(crate) fn text(verified: &[Verified], checksums: &Checksums) -> String {
    let line = |verified: &Verified| {
        let zip = verified.zip.as_ref()?;
        Some(format!("{} runs {zip} of {}.\n", verified.package.function, checksums.file))
    };
    verified.iter().filter_map(line).collect()
}

/// Every function that could be read.
pub(crate) fn json(verified: &[Verified]) -> Value {
    let function = |verified: &Verified| {
        let Verified { package, zip } = verified;
        json!({"function": package.function, "sha256": package.sha256, "zip": zip})
    };
    json!({"functions": verified.iter().map(function).collect::<Vec<_>>()})
}
