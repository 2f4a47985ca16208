//! The stage: a Region with the three functions in this process, swept whenever the story says so.
//! Tells what happens meanwhile, and records it for the page. Which story it is, and what came of it,
//! is left to the chapters.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ebb_aws::Clients;
use ebb_aws::clients::config_loader;
use ebb_core::event::Origin;
use ebb_core::lifecycle::settings::LifecycleSettings;
use ebb_core::reaper::settings::ReaperSettings;
use ebb_core::reaper::{ClusterReport, OutcomeKind, RemovalOutcome};
use ebb_core::spot::settings::SpotSettings;
use ebb_page::Run;
use ebb_page::run::{Act, Text};
use ebb_region::Region;
use ebb_region::demonstration::recording::Recording;
use ebb_region::demonstration::scenario::{self, CLUSTER};
use ebb_region::demonstration::story::{Actor, Line, Story};
use ebb_region::demonstration::terminal::Terminal;
use ebb_region::in_process::InProcess;
use ebb_region::world::autoscaling::Hook;
use ebb_region::world::delivery::{Function, Queue};
use ebb_region::world::{Published, REGION, World};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifecycle_drainer::LifecycleDrainer;
use scale_in_reaper::ScaleInReaper;
use serde_json::{Value, json};
use spot_drainer::SpotDrainer;
use tokio::time::sleep;

/// From one sweep to the next, as the module's schedule has it.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1_800);
/// As long as Lambda lets a function run.
const TIMEOUT: Duration = Duration::from_secs(900);
/// The Spot drainer's, as the module has it.
const SPOT_TIMEOUT: Duration = Duration::from_secs(30);
/// How many reasons to stay are shown of a plan; the page has them all.
const REASONS_MAX: usize = 4;

/// What the title of a notice begins with.
const NOTICE: &str = "Notice: ";

/// What every function is told beside its chapter's settings.
const COMMON: [(&str, &str); 4] = [
    ("ECS_CLUSTERS", CLUSTER),
    ("REAPER_MODE", "act"),
    ("LIFECYCLE_TOPIC_ARN", scenario::TERMINATION_TOPIC),
    ("NOTIFICATION_TOPIC_ARN", scenario::PEOPLE_TOPIC),
];

/// A Region in which a chapter is played.
pub(crate) struct Stage {
    region: Region,
    functions: InProcess,
    reaper: Arc<ScaleInReaper>,
    zone: TimeZone,
    terminal: Terminal,
    story: Story,
    recording: Recording,
    /// How many messages have been shown, of all that were published.
    published: usize,
    /// The reasons to stay of the plan before: they are not shown again.
    reasons: BTreeSet<String>,
}

/// A moment of the story.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|error| format!("{text}: {error}"))
}

/// The time zone whose clock is shown.
pub(crate) fn berlin() -> Result<TimeZone, String> {
    TimeZone::get("Europe/Berlin").map_err(|error| error.to_string())
}

impl Stage {
    /// Begins a chapter, with hooks on every group and EC2's notices on their way to the Spot drainer.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub(crate) async fn set(
        mut world: World,
        number: usize,
        title: &str,
        settings: &[(&'static str, &str)],
    ) -> Result<Self, String> {
        world.create_topic(scenario::PEOPLE_TOPIC);
        let hook = Hook::new(scenario::HOOK);
        scenario::route_terminations(&mut world, &hook, Function::new(TIMEOUT));
        let queue = Queue::for_function(scenario::SPOT_DRAINER);
        scenario::route_notices(&mut world, queue, Function::new(SPOT_TIMEOUT));
        // The SDK draws the jitter of its pauses from this source.
        fastrand::seed(7);
        let (story, recording) = (Story::begin(&world), Recording::begin(&world));
        let region = Region::start(world, 1.0);
        let clients = Clients::new(&region.connect(config_loader()).await);
        let lookup = |variable: &str| {
            let mut pairs = COMMON.iter().chain(settings);
            pairs.find(|(name, _)| *name == variable).map(|(_, value)| (*value).to_owned())
        };
        let wrong = |error: &dyn std::fmt::Display| error.to_string();
        let reaper = ReaperSettings::from_lookup(lookup).map_err(|error| wrong(&error))?;
        let reaper = Arc::new(ScaleInReaper::new(clients.clone(), reaper));
        let lifecycle = LifecycleSettings::from_lookup(lookup).map_err(|error| wrong(&error))?;
        let lifecycle = Arc::new(LifecycleDrainer::new(clients.clone(), lifecycle));
        let spot = SpotSettings::from_lookup(lookup).map_err(|error| wrong(&error))?;
        let spot = Arc::new(SpotDrainer::new(clients, spot));
        let functions = InProcess::default()
            .handling(
                scenario::LIFECYCLE_DRAINER,
                &region,
                &lifecycle,
                |drainer, payload, now, deadline| async move {
                    drainer.handle(&payload, now, deadline).await
                },
            )
            .handling(
                scenario::SPOT_DRAINER,
                &region,
                &spot,
                |drainer, payload, now, deadline| async move {
                    drainer.handle(&payload, &home(), now, deadline).await
                },
            );
        let terminal = Terminal::of_output();
        terminal.act(number, title);
        let mut stage = Self {
            region,
            functions,
            reaper,
            zone: berlin()?,
            terminal,
            story,
            recording,
            published: 0,
            reasons: BTreeSet::new(),
        };
        let settings = settings.iter().map(|(name, value)| format!("{name}={value}"));
        stage.show("set", "Settings", &settings.collect::<Vec<_>>().join("\n"));
        Ok(stage)
    }

    pub(crate) fn act(&mut self, title: &str) {
        let time = self.region.now();
        self.recording.acts.push(Act { time, title: title.to_owned() });
        self.terminal.paragraph("");
        self.terminal.paragraph(title);
    }

    /// Somebody changes the Region, and says what.
    pub(crate) fn change(&mut self, actor: Actor, what: &str, change: impl FnOnce(&mut World)) {
        self.tell();
        let time = self.region.now();
        let line = Line { time, actor, text: what.to_owned(), is_bad: false };
        self.terminal.line(&self.clock(line.time), &line);
        self.recording.story.push(line.into());
        change(&mut self.region.world());
        self.region.notify();
    }

    /// Lets the Region run for so long, and tells what happens.
    pub(crate) async fn play(&mut self, time: Duration) {
        let end = self.region.now() + time;
        let region = self.region.clone();
        region.run(&self.functions, time).await;
        // It comes back as soon as nothing more is to happen.
        sleep(Duration::try_from(end.duration_since(region.now())).unwrap_or_default()).await;
        self.tell();
    }

    /// Lets the reaper sweep now, shows what it says, and lets half an hour pass.
    ///
    /// # Errors
    /// Why the sweep failed.
    pub(crate) async fn sweep(&mut self) -> Result<ClusterReport, String> {
        self.sweep_for(&json!({})).await
    }

    /// The same, of a sweep that replaces what is old.
    ///
    /// # Errors
    /// Why the sweep failed.
    pub(crate) async fn replace(&mut self) -> Result<ClusterReport, String> {
        self.sweep_for(&json!({"mode": "replace"})).await
    }

    async fn sweep_for(&mut self, payload: &Value) -> Result<ClusterReport, String> {
        self.tell();
        let now = self.region.now();
        let answer = self.reaper.handle(payload, now, now + TIMEOUT).await;
        let mut answer = answer.map_err(|error| format!("the sweep failed: {error}"))?;
        let text = answer.to_json()["clusters"][0]["text"].as_str().unwrap_or_default().to_owned();
        let report = answer.clusters.pop().ok_or("the sweep says nothing of the cluster")?;
        let (begun, reasons) = (begun(&report), reasons(&report));
        let new = reasons.iter().filter(|(sentence, _)| !self.reasons.contains(sentence));
        let new = new.take(REASONS_MAX).map(|(sentence, stay)| format!("{stay} stay: {sentence}"));
        let shown: Vec<_> = begun.into_iter().chain(new).collect();
        let shown = self.story.shorten(&self.region.world(), &shown.join("\n"));
        self.terminal.text(&self.clock(now), "plan", &shown);
        self.reasons = reasons.into_iter().map(|(sentence, _)| sentence).collect();
        let title = text.lines().next().unwrap_or_default().to_owned();
        self.recording.texts.push(Text { time: now, title, body: text });
        self.play(INTERVAL).await;
        Ok(report)
    }

    /// Tells what happened since.
    fn tell(&mut self) {
        let world = self.region.world();
        let lines = self.story.lines(&world);
        let new = &world.published[self.published..];
        self.published = world.published.len();
        let mut notices = new.iter().filter(|it| it.topic_arn == scenario::PEOPLE_TOPIC).peekable();
        for line in lines {
            while let Some(notice) = notices.next_if(|notice| notice.time < line.time) {
                self.recording.texts.push(self.notice(&world, notice));
            }
            // Of tasks and hooks the page tells.
            let is_detail = line.actor == Actor::Task || line.text.contains("hook");
            if line.is_bad || !is_detail {
                self.terminal.line(&self.clock(line.time), &line);
            }
            self.recording.story.push(line.into());
        }
        for notice in notices {
            self.recording.texts.push(self.notice(&world, notice));
        }
    }

    /// Shows a notice: the first in full, of others the subject, as the page has all.
    fn notice(&self, world: &World, notice: &Published) -> Text {
        let subject = notice.subject.clone().unwrap_or_default();
        let is_first = self.recording.texts.iter().all(|text| !text.title.starts_with(NOTICE));
        let shown = if is_first { &notice.message } else { &subject };
        let shown = self.story.shorten(world, shown);
        self.terminal.text(&self.clock(notice.time), "mail", &shown);
        let title = format!("{NOTICE}{subject}");
        Text { time: notice.time, title, body: notice.message.clone() }
    }

    /// Shows a text that is no plan and no notice.
    pub(crate) fn show(&mut self, label: &str, title: &str, text: &str) {
        let time = self.region.now();
        self.terminal.text(&self.clock(time), label, text);
        let (title, body) = (title.to_owned(), text.to_owned());
        self.recording.texts.push(Text { time, title, body });
    }

    fn clock(&self, time: Timestamp) -> String {
        time.to_zoned(self.zone.clone()).strftime("%a %H:%M").to_string()
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// How many tasks had to move so far.
    pub(crate) fn displaced(&self) -> usize {
        self.story.displaced()
    }

    /// What has happened, for the page, with what came of it and what is wrong with that.
    pub(crate) fn run(&self, title: &str, result: &str, problems: &[String]) -> Run {
        let lines: Vec<_> =
            [result].into_iter().chain(problems.iter().map(String::as_str)).collect();
        let world = self.region.world();
        self.recording.run(&world, title.to_owned(), lines.join("\n"), !problems.is_empty())
    }
}

/// Where the functions are.
fn home() -> Origin {
    let arn = "arn:aws:lambda:eu-west-1:111122223333:function:spot-drainer";
    Origin::of_function(arn, Some(REGION.to_owned()))
}

/// What a sweep begins, in lines.
fn begun(report: &ClusterReport) -> Vec<String> {
    let going = report.plan.remove.iter();
    let going = going.map(|removal| format!("{} goes: {}", removal.instance_id, removal.reason));
    let replaced = report.replacements.iter().map(|replacement| &replacement.outcome);
    let replaced = replaced.filter(|outcome| outcome.outcome != OutcomeKind::NotReplaced);
    let replaced = replaced.map(|RemovalOutcome { instance_id, outcome, detail, .. }| {
        let detail = detail.as_deref().unwrap_or("no more is known");
        format!("{instance_id} {}: {detail}", outcome.as_str())
    });
    going.chain(replaced).collect()
}

/// Why instances stay and how many, the most frequent reason first.
fn reasons(report: &ClusterReport) -> Vec<(String, usize)> {
    let mut numbers = BTreeMap::<String, usize>::new();
    for kept in &report.plan.keep {
        *numbers.entry(kept.reason.to_string()).or_default() += 1;
    }
    let mut reasons: Vec<_> = numbers.into_iter().collect();
    reasons.sort_by_key(|(_, number)| Reverse(*number));
    reasons
}
