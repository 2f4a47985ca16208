//! From a command to what it prints: where the clusters come from, and in which form the result
//! goes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::CommandFactory;
use ebb_core::ids::{Cluster, InstanceId};
use ebb_core::mark::DRAINED_BY;
use ebb_core::reaper::managed_scaling::ManagedScalingMode;
use ebb_core::reaper::settings::ReaperSettings;
use serde_json::Value;

use crate::account::{Account, Choice};
use crate::drains::Drains;
use crate::failure::Failure;
use crate::options::{
    Command, DrainsOptions, Options, PlanMode, PlanOptions, PolicyOptions, RecordOptions,
    ReplayOptions, SourceOptions, VerifyOptions, WhyOptions, differing,
};
use crate::plan::Planned;
use crate::progress::Progress;
use crate::recording::{Recording, anonymize};
use crate::replay::{self, NamedPolicy, Row};
use crate::snapshot::{Purposes, Snapshot};
use crate::verify::{self, Checksums};
use crate::why::Why;
use crate::words::printable;

/// Who calls the program: what it may look at besides its options.
pub struct Caller<'a> {
    /// The value of an environment variable.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The account, where it need not be connected to first.
    pub account: Option<Account>,
    /// Says what is waited for.
    pub progress: Progress,
}

/// What a command prints, and what it could not do beside that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Printed {
    /// For the standard output.
    pub text: String,
    /// For the standard error output.
    pub failures: Vec<Failure>,
}

/// Carries a command out.
///
/// # Errors
/// If nothing of it could be done.
pub async fn run(options: &Options, caller: &Caller<'_>) -> Result<Printed, Failure> {
    match &options.command {
        Command::Plan(plan) => run_plan(options, plan, caller).await,
        Command::Why(why) => run_why(options, why, caller).await,
        Command::Drains(drains) => run_drains(options, drains, caller).await,
        Command::Record(record) => run_record(options, record, caller).await,
        Command::Replay(replay) => run_replay(options, replay, caller),
        Command::Verify(verify) => run_verify(options, verify, caller).await,
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Options::command(), "ebb", &mut text);
            let text = String::from_utf8_lossy(&text).into_owned();
            Ok(Printed { text, failures: Vec::new() })
        }
    }
}

async fn run_plan(
    options: &Options,
    plan: &PlanOptions,
    caller: &Caller<'_>,
) -> Result<Printed, Failure> {
    let settings = settings(options, &plan.policy, &plan.source.clusters, caller)?;
    let purposes = match plan.mode {
        PlanMode::Remove => Purposes::Remove,
        PlanMode::Replace => Purposes::All,
    };
    let (snapshot, mut failures) =
        clusters(options, &plan.source, &settings, purposes, caller).await?;
    let planned = match plan.mode {
        PlanMode::Remove => Planned::removals(&snapshot, &settings.policy()),
        PlanMode::Replace => Planned::replacements(&snapshot, &settings)?,
    };
    // What took a minute to read is shown in any case.
    if let Some(file) = &plan.html
        && let Err(why) = write_page(file, &planned)
    {
        failures.push(Failure::input(format!("--html {}: {why}", file.display())));
    }
    let text = if options.json { json_text(&planned.json()) } else { planned.text() };
    Ok(Printed { text, failures })
}

fn write_page(file: &Path, planned: &Planned<'_>) -> Result<(), String> {
    let page = planned.html()?;
    fs::write(file, page).map_err(|error| format!("{error}; name a file to write"))
}

async fn run_why(
    options: &Options,
    why: &WhyOptions,
    caller: &Caller<'_>,
) -> Result<Printed, Failure> {
    let mut settings = settings(options, &why.policy, &why.source.clusters, caller)?;
    if why.source.from.is_none() && settings.clusters.is_none() {
        let account = account(options, caller).await?;
        settings.clusters = Some(vec![cluster_of(&account, &why.instance, caller).await?]);
    }
    let (snapshot, failures) =
        clusters(options, &why.source, &settings, Purposes::Remove, caller).await?;
    let Some(known) = Why::new(&snapshot, &settings.policy(), &why.instance) else {
        // What could not be read may have it.
        return Err(failures.into_iter().next().unwrap_or_else(|| unknown(&why.instance)));
    };
    let text = if options.json { json_text(&known.json()) } else { printable(&known.text()) };
    Ok(Printed { text, failures })
}

/// The cluster that has an instance: asked for first, so that no other is read. One that cannot be
/// asked hides no other, and may have it.
async fn cluster_of(
    account: &Account,
    instance: &InstanceId,
    caller: &Caller<'_>,
) -> Result<Cluster, Failure> {
    let ids = std::slice::from_ref(instance);
    let region = account.region.as_str();
    let search = async {
        let ecs = account.clients.ecs.paced();
        let clusters =
            ecs.list_clusters().await.map_err(|error| Failure::of_call(error, None, region))?;
        let mut failure = None;
        for cluster in clusters {
            match ecs.observe_on(&cluster, ids, DRAINED_BY).await {
                Ok(observed) if observed.is_empty() => {}
                Ok(_) => return Ok(cluster),
                Err(error) => failure = Some(Failure::of_call(error, Some(&cluster), region)),
            }
        }
        Err(failure.unwrap_or_else(|| unknown(instance)))
    };
    let label = format!("Looking for {instance}");
    caller.progress.during(&label, Box::pin(search)).await
}

fn unknown(instance: &InstanceId) -> Failure {
    Failure::input(format!(
        "no cluster has a container instance on {instance}: check the id, --region and --profile"
    ))
}

async fn run_drains(
    options: &Options,
    drains: &DrainsOptions,
    caller: &Caller<'_>,
) -> Result<Printed, Failure> {
    let settings = settings(options, &PolicyOptions::default(), &drains.clusters, caller)?;
    let account = account(options, caller).await?;
    let clusters = settings.clusters.as_deref();
    let (found, failures) = Drains::read(&account, clusters, &caller.progress).await?;
    let text = if options.json { json_text(&found.json()) } else { found.text() };
    Ok(Printed { text, failures })
}

async fn run_record(
    options: &Options,
    record: &RecordOptions,
    caller: &Caller<'_>,
) -> Result<Printed, Failure> {
    let settings = settings(options, &PolicyOptions::default(), &record.clusters, caller)?;
    // Whatever policy is tried on the recording: nothing that one would ask about is left out.
    let settings = ReaperSettings {
        groups: None,
        managed_scaling: ManagedScalingMode::Assist,
        allow_managed_scaling: None,
        ..settings
    };
    let account = account(options, caller).await?;
    let (snapshot, failures) =
        Snapshot::read(&account, &settings, Purposes::All, &caller.progress).await?;
    let mut recording = Recording::from(&snapshot);
    if record.anonymize {
        anonymize(&mut recording);
    }
    Ok(Printed { text: recording.to_json()? + "\n", failures })
}

fn settings(
    options: &Options,
    policy: &PolicyOptions,
    clusters: &[String],
    caller: &Caller<'_>,
) -> Result<ReaperSettings, Failure> {
    policy.settings(clusters, options.region.as_deref(), &BTreeMap::new(), caller.environment)
}

/// The clusters, from the recording or the account, with the prices that are given.
async fn clusters(
    options: &Options,
    source: &SourceOptions,
    settings: &ReaperSettings,
    purposes: Purposes,
    caller: &Caller<'_>,
) -> Result<(Snapshot, Vec<Failure>), Failure> {
    let (mut snapshot, failures) = match &source.from {
        Some(path) => (recorded(path, settings)?, Vec::new()),
        None => {
            let account = account(options, caller).await?;
            Snapshot::read(&account, settings, purposes, &caller.progress).await?
        }
    };
    snapshot.price(settings);
    Ok((snapshot, failures))
}

fn recorded(path: &Path, settings: &ReaperSettings) -> Result<Snapshot, Failure> {
    let mut snapshot = replay::read(path)?;
    snapshot.retain(settings.clusters.as_deref())?;
    Ok(snapshot)
}

fn run_replay(
    options: &Options,
    replay: &ReplayOptions,
    caller: &Caller<'_>,
) -> Result<Printed, Failure> {
    let given = settings(options, &replay.policy, &[], caller)?;
    let mut policies = vec![NamedPolicy { name: "as given".to_owned(), policy: given.policy() }];
    for against in &replay.against {
        let differ = differing(against)?;
        let region = options.region.as_deref();
        let settings = replay.policy.settings(&[], region, &differ, caller.environment)?;
        policies.push(NamedPolicy { name: against.clone(), policy: settings.policy() });
    }
    let files = replay::recordings_in(&replay.folder)?;
    let mut rows: Vec<_> = policies.iter().map(|named| Row::new(&named.name)).collect();
    for file in &files {
        let mut snapshot = replay::read(file)?;
        snapshot.price(&given);
        for (row, NamedPolicy { policy, .. }) in rows.iter_mut().zip(&policies) {
            row.play(&snapshot, policy);
        }
    }
    let text = if options.json {
        json_text(&replay::json(&rows, files.len()))
    } else {
        replay::text(&rows, files.len())
    };
    Ok(Printed { text, failures: Vec::new() })
}

async fn run_verify(
    options: &Options,
    verify: &VerifyOptions,
    caller: &Caller<'_>,
) -> Result<Printed, Failure> {
    let checksums = Checksums::read(&verify.checksums)?;
    let account = account(options, caller).await?;
    let (verified, failures) =
        verify::verify(&account, &verify.functions, &checksums, &caller.progress).await;
    let text = if options.json {
        json_text(&verify::json(&verified))
    } else {
        verify::text(&verified, &checksums)
    };
    Ok(Printed { text, failures })
}

async fn account(options: &Options, caller: &Caller<'_>) -> Result<Account, Failure> {
    if let Some(account) = &caller.account {
        return Ok(account.clone());
    }
    let choice = Choice { profile: options.profile.clone(), region: options.region.clone() };
    Account::connect(&choice).await
}

fn json_text(json: &Value) -> String {
    format!("{json:#}\n")
}
