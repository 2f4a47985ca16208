//! The command line, as it is given. What its options mean for plans is read in the words of the
//! `scale-in-reaper`'s settings, so that both know the same limits.

#![expect(clippy::doc_markdown, reason = "what is said of options is the program's help")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ebb_core::ids::InstanceId;
use ebb_core::reaper::settings::{self, ReaperSettings};

use crate::failure::Failure;

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 AWS or this machine failed, try again; 2 what was given is wrong: options, a \
file, a cluster, credentials or permissions.";

/// What Ebb would do to your ECS clusters, and what drains in them. It changes nothing.
#[derive(Debug, Clone, Parser)]
#[command(name = "ebb", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Options {
    /// What is asked for.
    #[command(subcommand)]
    pub command: Command,
    /// The AWS Region; by default AWS_REGION or the profile's
    #[arg(long, global = true, value_name = "REGION")]
    pub region: Option<String>,
    /// The profile with the credentials; by default AWS_PROFILE or `default`
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
    /// Write JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour; NO_COLOR is honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

/// The commands.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Say which container instances nobody needs, and why each other one stays
    Plan(PlanOptions),
    /// Say all about one container instance, and what would have to change for it to go
    Why(WhyOptions),
    /// Show what drains: its tasks, since when, and who drains it
    Drains(DrainsOptions),
    /// Write clusters to the standard output, to plan on without AWS
    Record(RecordOptions),
    /// Try policies on a folder of recordings
    Replay(ReplayOptions),
    /// Say whether deployed functions run the zips of a release
    Verify(VerifyOptions),
    /// Write completions for a shell to the standard output
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// The options of `ebb plan`.
#[derive(Debug, Clone, Args)]
pub struct PlanOptions {
    /// Where the clusters are read from.
    #[command(flatten)]
    pub source: SourceOptions,
    /// What kind of sweep: `remove`, of what nobody needs, or `replace`, of what is old
    // With a line for each value, every option would take three.
    #[arg(long, value_name = "MODE", default_value = "remove", hide_possible_values = true)]
    pub mode: PlanMode,
    /// Write the plan of one cluster as a page to look at, too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// What a sweep may do.
    #[command(flatten)]
    pub policy: PolicyOptions,
}

/// What kind of sweep is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanMode {
    /// One that removes what nobody needs.
    Remove,
    /// One that replaces what is old.
    Replace,
}

/// The options of `ebb why`.
#[derive(Debug, Clone, Args)]
pub struct WhyOptions {
    /// The EC2 instance, such as i-0a1b2c3d4e5f60001
    #[arg(value_parser = instance_id)]
    pub instance: InstanceId,
    /// Where the clusters are read from.
    #[command(flatten)]
    pub source: SourceOptions,
    /// What a sweep may do.
    #[command(flatten)]
    pub policy: PolicyOptions,
}

fn instance_id(text: &str) -> Result<InstanceId, String> {
    InstanceId::parse(text).ok_or_else(|| format!("it is not {}", InstanceId::EXPECTED))
}

/// The options of `ebb drains`.
#[derive(Debug, Clone, Args)]
pub struct DrainsOptions {
    /// Only these clusters, by name or ARN; by default every cluster of the Region
    #[arg(long = "cluster", value_name = "CLUSTER")]
    pub clusters: Vec<String>,
    /// Look again every so many seconds, until Ctrl-C
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10",
        value_parser = clap::value_parser!(u64).range(2..=3600), conflicts_with = "json")]
    pub watch: Option<u64>,
}

/// The options of `ebb record`.
#[derive(Debug, Clone, Args)]
pub struct RecordOptions {
    /// Only these clusters, by name or ARN; by default every cluster of the Region
    #[arg(long = "cluster", value_name = "CLUSTER")]
    pub clusters: Vec<String>,
    /// Replace every name and id: for bug reports
    #[arg(long, alias = "anonymise")]
    pub anonymize: bool,
}

/// The options of `ebb replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayOptions {
    /// The folder: its files that end in .json, such as a week's, one every 30 minutes
    pub folder: PathBuf,
    /// Another policy to compare with, as settings of the function that differ from those given:
    /// HEADROOM_CPU_PERCENT=10,MIN_INSTANCES=3
    #[arg(long = "against", value_name = "SETTING=VALUE,…")]
    pub against: Vec<String>,
    /// What a sweep may do.
    #[command(flatten)]
    pub policy: PolicyOptions,
}

/// The options of `ebb verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyOptions {
    /// Functions by name or ARN, such as ebb-spot-drainer
    #[arg(required = true, value_parser = function_name, value_name = "FUNCTION")]
    pub functions: Vec<String>,
    /// The file SHA256SUMS of the release
    #[arg(long, value_name = "FILE")]
    pub checksums: PathBuf,
}

/// What Lambda takes as a function's name or ARN (Lambda API, `GetFunctionConfiguration`).
fn function_name(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_:$".contains(c);
    if (1..=256).contains(&text.len()) && text.chars().all(is_part) {
        return Ok(text.to_owned());
    }
    Err("it is not a function's name or ARN".to_owned())
}

/// Where clusters are read from.
#[derive(Debug, Clone, Args)]
pub struct SourceOptions {
    /// Only these clusters, by name or ARN; by default every cluster of the Region
    #[arg(long = "cluster", value_name = "CLUSTER")]
    pub clusters: Vec<String>,
    /// Read them from a file that `ebb record` wrote, not from AWS
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
}

/// What a sweep may do. Each is a setting of the scale-in-reaper, and is taken from its environment
/// variable where the option is not given.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Policy (by default the function's variables, or its defaults)")]
pub struct PolicyOptions {
    /// CPU to leave free, in percent (HEADROOM_CPU_PERCENT)
    #[arg(long, value_name = "PERCENT")]
    pub headroom_cpu: Option<String>,
    /// Memory to leave free, in percent (HEADROOM_MEMORY_PERCENT)
    #[arg(long, value_name = "PERCENT")]
    pub headroom_memory: Option<String>,
    /// More of the largest task to leave room for (HEADROOM_LARGEST_TASKS)
    #[arg(long, value_name = "NUMBER")]
    pub headroom_largest_tasks: Option<String>,
    /// More tasks of services to leave room for, as JSON (HEADROOM_TASKS)
    #[arg(long, value_name = "JSON")]
    pub headroom_tasks: Option<String>,
    /// Share of a cluster that one sweep may remove, in percent (MAX_REMOVALS_PERCENT)
    #[arg(long, value_name = "PERCENT")]
    pub max_removals: Option<String>,
    /// Share that it may remove beyond that, of empty ones (MAX_EMPTY_REMOVALS_PERCENT)
    #[arg(long, value_name = "PERCENT")]
    pub max_empty_removals: Option<String>,
    /// How many may go at some times or for some reasons, as JSON (BUDGETS)
    #[arg(long, value_name = "JSON")]
    pub budgets: Option<String>,
    /// Instances always left in a cluster (MIN_INSTANCES)
    #[arg(long, value_name = "NUMBER")]
    pub min_instances: Option<String>,
    /// Age below which an instance stays (MIN_INSTANCE_AGE_SECONDS)
    #[arg(long, value_name = "SECONDS")]
    pub min_instance_age: Option<String>,
    /// Only these Auto Scaling groups may shrink (AUTO_SCALING_GROUPS)
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// What is done with groups under managed scaling: assist or leave (MANAGED_SCALING)
    #[arg(long, value_name = "WAY")]
    pub managed_scaling: Option<String>,
    /// Instances with standalone tasks may go, once those have ended (ALLOW_STANDALONE_TASKS)
    #[arg(long)]
    pub allow_standalone_tasks: bool,
    /// Age in days at which an instance is replaced (REPLACE_AFTER_DAYS)
    #[arg(long, value_name = "DAYS")]
    pub replace_after_days: Option<String>,
    /// What an hour of each instance type costs in US dollars, as JSON (INSTANCE_PRICES)
    #[arg(long, value_name = "JSON")]
    pub prices: Option<String>,
}

impl PolicyOptions {
    /// The value that an option gives a variable.
    fn value(&self, variable: &str) -> Option<String> {
        match variable {
            settings::HEADROOM_CPU_PERCENT => self.headroom_cpu.clone(),
            settings::HEADROOM_MEMORY_PERCENT => self.headroom_memory.clone(),
            settings::HEADROOM_LARGEST_TASKS => self.headroom_largest_tasks.clone(),
            settings::HEADROOM_TASKS => self.headroom_tasks.clone(),
            settings::MAX_REMOVALS_PERCENT => self.max_removals.clone(),
            settings::MAX_EMPTY_REMOVALS_PERCENT => self.max_empty_removals.clone(),
            settings::BUDGETS => self.budgets.clone(),
            settings::MIN_INSTANCES => self.min_instances.clone(),
            settings::MIN_INSTANCE_AGE_SECONDS => self.min_instance_age.clone(),
            settings::AUTO_SCALING_GROUPS => joined(&self.groups),
            settings::MANAGED_SCALING => self.managed_scaling.clone(),
            settings::ALLOW_STANDALONE_TASKS => {
                self.allow_standalone_tasks.then(|| "true".to_owned())
            }
            settings::REPLACE_AFTER_DAYS => self.replace_after_days.clone(),
            settings::INSTANCE_PRICES => self.prices.clone(),
            _ => None,
        }
    }

    /// The settings of a sweep of these clusters: those that `differ`, or else by the options, or
    /// else by the variables of `environment`.
    ///
    /// # Errors
    /// Every wrong value, with what was expected.
    pub fn settings(
        &self,
        clusters: &[String],
        region: Option<&str>,
        differ: &BTreeMap<String, String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<ReaperSettings, Failure> {
        ReaperSettings::from_lookup(|variable| match variable {
            settings::ECS_CLUSTERS => joined(clusters).or_else(|| environment(variable)),
            // Whether the function acts means nothing here.
            settings::REAPER_MODE | settings::DRY_RUN => None,
            "AWS_REGION" => region.map(str::to_owned).or_else(|| environment(variable)),
            _ => differ
                .get(variable)
                .cloned()
                .or_else(|| self.value(variable))
                .or_else(|| environment(variable)),
        })
        .map_err(|error| {
            let problems = error.problems.iter().map(|problem| {
                let (variable, value, expected) =
                    (problem.variable, &problem.value, problem.expected);
                format!("{variable} is {value:?}, expected {expected}")
            });
            Failure::input(problems.collect::<Vec<_>>().join("; "))
        })
    }
}

/// What a policy may differ by.
const POLICY_SETTINGS: [&str; 12] = [
    settings::HEADROOM_CPU_PERCENT,
    settings::HEADROOM_MEMORY_PERCENT,
    settings::HEADROOM_LARGEST_TASKS,
    settings::HEADROOM_TASKS,
    settings::MAX_REMOVALS_PERCENT,
    settings::MAX_EMPTY_REMOVALS_PERCENT,
    settings::BUDGETS,
    settings::MIN_INSTANCES,
    settings::MIN_INSTANCE_AGE_SECONDS,
    settings::AUTO_SCALING_GROUPS,
    settings::MANAGED_SCALING,
    settings::ALLOW_STANDALONE_TASKS,
];

/// Reads `SETTING=VALUE,SETTING=VALUE`. A part without a setting belongs to the value before it.
///
/// # Errors
/// If a setting is none of a policy's.
pub fn differing(text: &str) -> Result<BTreeMap<String, String>, Failure> {
    let mut settings = Vec::<(String, String)>::new();
    for part in text.split(',') {
        match (part.split_once('='), settings.last_mut()) {
            (Some((setting, value)), _) if POLICY_SETTINGS.contains(&setting.trim()) => {
                settings.push((setting.trim().to_owned(), value.to_owned()));
            }
            (None, Some((_, value))) => *value = format!("{value},{part}"),
            _ => {
                let known = POLICY_SETTINGS.join(", ");
                return Err(Failure::input(format!(
                    "--against {text:?} is not of the form SETTING=VALUE,SETTING=VALUE, where a \
                     setting is one of {known}"
                )));
            }
        }
    }
    Ok(settings.into_iter().collect())
}

fn joined(values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| values.join(","))
}
