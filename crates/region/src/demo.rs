//! Plays the demonstration: three acts on the shop's cluster, told while they happen, and what came
//! of them.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ebb_page::run::{Act, Text};
use ebb_page::run_page;
use ebb_region::Region;
use ebb_region::demonstration::recording::Recording;
use ebb_region::demonstration::shortage::shortages;
use ebb_region::demonstration::story::Story;
use ebb_region::demonstration::{scenario, script};
use ebb_region::invoke_api::InvokeApi;
use ebb_region::lambda::Lambda;
use ebb_region::world::World;
use ebb_region::world::autoscaling::CompletedBy;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use crate::arguments::Arguments;
use crate::terminal::Terminal;
use crate::{PRINT_INTERVAL, start_functions};

/// By then the reaper finds nothing more to remove.
const SWEEPS_MAX: usize = 8;
/// For AWS's own price examples (AWS Pricing Calculator).
const HOURS_PER_MONTH: f64 = 730.0;
/// A notice of more lines is shown by its subject alone; the page has it in full.
const NOTICE_LINES_MAX: usize = 6;

/// Plays the story with Ebb. Fails if a task was cut off, or anything was not done that must be.
///
/// # Errors
/// What ended the story.
pub(crate) async fn with_ebb(
    region: &Region,
    lambda: &InvokeApi,
    arguments: &Arguments,
) -> Result<ExitCode, String> {
    start_functions(region, lambda).await?;
    let mut stage = Stage::set(region, lambda);
    let cut_off_without_ebb = script::cut_off_without_ebb(&region.world())?;
    let whose = "Ebb's functions run by yours.";
    stage.terminal.paragraph(&opening(&region.world(), arguments.speed, whose));

    stage.play_losses().await?;

    stage.act("Nobody needs all that is left");
    let removed = stage.sweep().await?;

    let world = region.world();
    let problems = problems(&world, removed.instances);
    let cut_off = world.tasks_cut_off().len();
    let short: Vec<_> =
        shortages(&world, stage.start).iter().map(|shortage| format!("{shortage}.")).collect();
    let short = match short.as_slice() {
        [] => "No service ran a task short.".to_owned(),
        short => short.join("\n"),
    };
    let result = format!(
        "{cut_off} of {} tasks that had to move were cut off (without Ebb: {cut_off_without_ebb}). \
         {short}\n{}",
        stage.story.displaced(),
        removed.sentence(),
    );
    let is_bad = !problems.is_empty();
    let result = problems.iter().fold(result, |result, problem| format!("{result}\n{problem}"));
    let mut next =
        stage.write_page(arguments.page.as_deref(), &world, "with Ebb", &result, is_bad)?;
    next.push_str(
        "make demo WITHOUT_EBB=1      the same story without Ebb\n\
         make serve                   the cluster, to try things on\n\
         docs/deploy.md               on a cluster of your own",
    );
    stage.end(&result, is_bad, &next);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Plays the same story in a Region without Ebb.
///
/// # Errors
/// What ended the story.
pub(crate) async fn without_ebb(
    region: &Region,
    lambda: &InvokeApi,
    arguments: &Arguments,
) -> Result<ExitCode, String> {
    script::remove_ebb(&mut region.world());
    let mut stage = Stage::set(region, lambda);
    stage.terminal.paragraph(&opening(&region.world(), arguments.speed, "No Ebb is there."));

    stage.play_losses().await?;

    stage.act("Nobody needs all that is left");
    let world = region.world();
    stage.terminal.paragraph(&format!("   {}", idle(&world)));

    let cut_off = world.tasks_cut_off().len();
    let short = shortages(&world, stage.start);
    let mut result = format!("{cut_off} tasks were cut off.");
    for shortage in &short {
        result.push_str(&format!("\n{shortage}."));
    }
    let next = stage.write_page(arguments.page.as_deref(), &world, "without Ebb", &result, true)?;
    stage.end(
        &result,
        true,
        &format!("{next}make demo                    the same story with Ebb"),
    );
    Ok(ExitCode::SUCCESS)
}

/// The cluster, and whose clock is shown. `ebb` says where Ebb is.
fn opening(world: &World, speed: f64, ebb: &str) -> String {
    let cluster = &world.clusters[scenario::CLUSTER];
    let daemons = cluster.tasks.values().filter(|task| cluster.is_daemon(task)).count();
    format!(
        "Cluster {}: {} container instances, {} service tasks. The clock is the simulated Region's, \
         {speed} times as fast as yours: minutes and seconds. {ebb}",
        scenario::CLUSTER,
        cluster.instances.len(),
        cluster.tasks.len() - daemons,
    )
}

/// What nobody looks at without Ebb.
#[expect(clippy::cast_precision_loss, reason = "to be read")]
fn idle(world: &World) -> String {
    let cluster = &world.clusters[scenario::CLUSTER];
    let held = cluster.resources_held();
    let (mut used, mut all, mut instances) = (0, 0, 0);
    for instance in cluster.instances.values() {
        if cluster.registered_instance(&instance.instance_id).is_some() {
            instances += 1;
            all += instance.machine.cpu;
            used += held.get(instance.id.as_str()).map_or(0, |held| held.cpu);
        }
    }
    let free = 100.0 * (1.0 - used as f64 / all as f64);
    format!("{instances} instances stay, and {free:.0} % of their CPU is free. Nothing looks.")
}

/// What is wrong at the end of a story with Ebb, in sentences.
fn problems(world: &World, removed: usize) -> Vec<String> {
    let mut problems: Vec<String> = world
        .delivery
        .ended
        .iter()
        .filter_map(|ended| ended.result.as_ref().err())
        .map(|failure| format!("An invocation failed: {failure}"))
        .collect();
    let mut instance_ids = script::scaled_in().to_vec();
    instance_ids.push(script::interrupted());
    for instance_id in &instance_ids {
        if world.container_instance(instance_id).is_some() {
            problems.push(format!("{instance_id} is still in the cluster."));
        }
    }
    // Every removal must have ended its action by now, that of the interrupted instance too: one
    // that still waits is missing in this count.
    let completed = &world.completed_actions;
    let expected = instance_ids.len() + removed;
    if completed.len() != expected
        || completed.iter().any(|action| action.cause != CompletedBy::Caller)
    {
        problems.push(format!("Not each of {expected} lifecycle actions was completed by Ebb."));
    }
    for (service, missing) in world.missing_tasks() {
        problems.push(format!("Service {service} is {missing} tasks short at the end."));
    }
    if !world.tasks_cut_off().is_empty() {
        problems.push("Tasks were cut off.".to_owned());
    }
    if removed == 0 {
        problems.push("The reaper removed nothing.".to_owned());
    }
    problems
}

/// What the reaper removed, and what that saves.
#[derive(Debug, Default)]
struct Removed {
    instances: usize,
    of: usize,
    usd_per_hour: f64,
}

impl Removed {
    fn sentence(&self) -> String {
        let Self { instances, of, usd_per_hour } = self;
        let month = usd_per_hour * HOURS_PER_MONTH;
        format!("{instances} of {of} instances went that nobody needed: ${month:.0} a month.")
    }
}

/// What the acts have in common.
struct Stage<'a> {
    region: &'a Region,
    lambda: &'a InvokeApi,
    terminal: Terminal,
    start: Timestamp,
    story: Story,
    recording: Recording,
    /// How many messages to people have been shown, of all that were published.
    published: usize,
}

impl<'a> Stage<'a> {
    fn set(region: &'a Region, lambda: &'a InvokeApi) -> Self {
        let world = region.world();
        Self {
            region,
            lambda,
            terminal: Terminal::new(),
            start: world.now(),
            story: Story::begin(&world),
            recording: Recording::begin(&world),
            published: world.published.len(),
        }
    }

    fn act(&mut self, title: &str) {
        let time = self.region.now();
        self.recording.acts.push(Act { time, title: title.to_owned() });
        self.terminal.act(self.recording.acts.len(), title);
    }

    /// The two acts in which AWS takes instances, with Ebb and without.
    async fn play_losses(&mut self) -> Result<(), String> {
        let region = self.region;
        self.act("EC2 takes a Spot Instance in two minutes");
        script::interrupt(&mut region.world());
        self.play(script::SPOT_STORY).await;

        self.act("Auto Scaling takes two on-demand instances");
        script::scale_in(&mut region.world())?;
        self.play(script::DRAIN_LIMIT).await;
        Ok(())
    }

    /// Lets the Region run for a while, or until nothing more happens, and tells what does.
    async fn play(&mut self, limit: Duration) {
        let region = self.region;
        let mut run = std::pin::pin!(region.run(self.lambda, limit));
        loop {
            let over = tokio::select! {
                _ = &mut run => true,
                // The lines should appear while things happen, not when the story is over.
                () = sleep(PRINT_INTERVAL) => false,
            };
            self.tell();
            if over {
                return;
            }
        }
    }

    fn tell(&mut self) {
        let world = self.region.world();
        for line in self.story.lines(&world) {
            self.terminal.line(&self.clock(line.time), &line);
            self.recording.story.push(line.into());
        }
        let new = &world.published[self.published..];
        self.published = world.published.len();
        for notice in new.iter().filter(|notice| notice.topic_arn == scenario::PEOPLE_TOPIC) {
            let subject = notice.subject.clone().unwrap_or_default();
            // What happened, without the title that it begins with, where, and what to do.
            let details = notice.message.lines().skip(2).take_while(|line| !line.is_empty());
            let details: Vec<_> = details.collect();
            let text = if details.len() > NOTICE_LINES_MAX {
                subject.clone()
            } else {
                format!("{subject}\n{}", details.join("\n"))
            };
            let text = self.story.shorten(&world, &text);
            self.terminal.text(&self.clock(world.now()), "mail", &text);
            let body = notice.message.clone();
            let title = format!("Notice: {subject}");
            self.recording.texts.push(Text { time: world.now(), title, body });
        }
    }

    /// Lets the reaper sweep until it finds nothing more to remove, and shows its plans.
    async fn sweep(&mut self) -> Result<Removed, String> {
        let mut removed = Removed::default();
        for number in 0..SWEEPS_MAX {
            let time = self.region.now();
            let answer = self.lambda.invoke(scenario::SCALE_IN_REAPER, json!({}), time).await;
            let answer = answer.map_err(|error| format!("The sweep failed: {error}"))?;
            let cluster = &answer["clusters"][0];
            self.show_plan(time, cluster["text"].as_str().unwrap_or_default(), number == 0);
            let going = cluster["remove"].as_array().map_or(&[][..], Vec::as_slice);
            if number == 0 {
                let kept = cluster["kept"].as_u64().and_then(|kept| usize::try_from(kept).ok());
                removed.of = going.len() + kept.unwrap_or_default();
            }
            if going.is_empty() {
                return Ok(removed);
            }
            removed.instances += going.len();
            removed.usd_per_hour +=
                going.iter().filter_map(|removal| removal["usd_per_hour"].as_f64()).sum::<f64>();
            self.play(script::DRAIN_LIMIT).await;
        }
        Err(format!("The reaper still removes instances in its sweep number {SWEEPS_MAX}"))
    }

    /// Shows what goes, and of the first plan the rest as well: later ones differ little.
    fn show_plan(&mut self, time: Timestamp, plan: &str, in_full: bool) {
        let world = self.region.world();
        let shown: Vec<_> =
            plan.lines().take_while(|line| in_full || !is_about_what_stays(line)).collect();
        let shown = self.story.shorten(&world, &shown.join("\n"));
        self.terminal.text(&self.clock(time), "plan", &shown);
        self.recording.texts.push(Text {
            time,
            title: plan.lines().next().unwrap_or_default().to_owned(),
            body: plan.to_owned(),
        });
    }

    fn clock(&self, time: Timestamp) -> String {
        let seconds = time.duration_since(self.start).as_secs();
        format!("{:02}:{:02}", seconds / 60, seconds % 60)
    }

    /// Writes the page, if one is asked for. Returns the line that says where it is.
    fn write_page(
        &self,
        file: Option<&Path>,
        world: &World,
        how: &str,
        result: &str,
        is_bad: bool,
    ) -> Result<String, String> {
        let Some(file) = file else { return Ok(String::new()) };
        let title = format!("Cluster {} {how}", scenario::CLUSTER);
        let run = self.recording.run(world, title, result.to_owned(), is_bad);
        let shown = file.display().to_string();
        std::fs::write(file, run_page(&run)).map_err(|error| format!("{shown}: {error}"))?;
        Ok(format!("{shown:27}  what happened, to look at in a browser\n"))
    }

    fn end(&self, result: &str, is_bad: bool, next: &str) {
        println!();
        self.terminal.result("Result", result, is_bad);
        self.terminal.result("Next", next, false);
    }
}

/// Whether a line of a plan begins the part about what stays: "  3 stay".
fn is_about_what_stays(line: &str) -> bool {
    line.ends_with(" stay") || line.ends_with(" stays")
}
