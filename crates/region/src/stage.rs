//! The stage of the demonstration: plays parts of its story, tells what happens meanwhile, and
//! records it for the page. Which parts, and what came of them, is left to `demo`.

use std::time::Duration;

use ebb_page::Run;
use ebb_page::run::{Act, Text};
use ebb_region::Region;
use ebb_region::demonstration::recording::Recording;
use ebb_region::demonstration::story::Story;
use ebb_region::demonstration::terminal::Terminal;
use ebb_region::demonstration::{scenario, script};
use ebb_region::invoke_api::InvokeApi;
use ebb_region::lambda::Lambda;
use ebb_region::world::World;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::sleep;

use crate::PRINT_INTERVAL;

/// By then the reaper finds nothing more to remove.
const SWEEPS_MAX: usize = 8;
/// For AWS's own price examples (AWS Pricing Calculator).
const HOURS_PER_MONTH: f64 = 730.0;
/// A notice of more lines is shown by its subject alone; the page has it in full.
const NOTICE_LINES_MAX: usize = 6;

/// Which cluster a stage is set for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) cluster: &'static str,
    /// How many acts were played on other clusters before.
    pub(crate) acts_before: usize,
    /// How much of the world's time what a sweep drains gets.
    pub(crate) drain_limit: Duration,
    /// How many times as fast again the world's time runs while no function has to keep up.
    pub(crate) lapse: f64,
}

/// What the reaper removed, and what that saves.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) instances: usize,
    of: usize,
    usd_per_hour: f64,
}

impl Removed {
    pub(crate) fn sentence(&self) -> String {
        let Self { instances, of, usd_per_hour } = self;
        let month = usd_per_hour * HOURS_PER_MONTH;
        format!("{instances} of {of} instances went that nobody needed: ${month:.0} a month.")
    }
}

/// What the acts have in common.
pub(crate) struct Stage<'a> {
    region: &'a Region,
    lambda: &'a InvokeApi,
    scene: Scene,
    speed: f64,
    pub(crate) terminal: Terminal,
    pub(crate) start: Timestamp,
    pub(crate) story: Story,
    recording: Recording,
    /// How many messages to people have been shown, of all that were published.
    published: usize,
}

impl<'a> Stage<'a> {
    /// Begins now, at `speed` times the speed of the clock.
    pub(crate) fn set(region: &'a Region, lambda: &'a InvokeApi, scene: Scene, speed: f64) -> Self {
        let world = region.world();
        Self {
            region,
            lambda,
            scene,
            speed,
            terminal: Terminal::of_output(),
            start: world.now(),
            story: Story::begin(&world),
            recording: Recording::of_cluster(&world, scene.cluster),
            published: world.published.len(),
        }
    }

    pub(crate) fn act(&mut self, title: &str) {
        let time = self.region.now();
        self.recording.acts.push(Act { time, title: title.to_owned() });
        self.terminal.act(self.scene.acts_before + self.recording.acts.len(), title);
    }

    /// The two acts in which AWS takes instances, with Ebb and without.
    pub(crate) async fn play_losses(&mut self) -> Result<(), String> {
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
    pub(crate) async fn play(&mut self, limit: Duration) {
        let region = self.region;
        region.set_speed(self.speed * self.scene.lapse);
        let mut run = std::pin::pin!(region.run(self.lambda, limit));
        loop {
            let over = tokio::select! {
                _ = &mut run => true,
                // The lines should appear while things happen, not when the story is over.
                () = sleep(PRINT_INTERVAL) => false,
            };
            self.tell();
            if over {
                region.set_speed(self.speed);
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
    pub(crate) async fn sweep(&mut self) -> Result<Removed, String> {
        let mut removed = Removed::default();
        for number in 0..SWEEPS_MAX {
            let time = self.region.now();
            let answer = self.lambda.invoke(scenario::SCALE_IN_REAPER, json!({}), time).await;
            let answer = answer.map_err(|error| format!("The sweep failed: {error}"))?;
            let clusters = answer["clusters"].as_array().map_or(&[][..], Vec::as_slice);
            let cluster = clusters.iter().find(|cluster| cluster["cluster"] == self.scene.cluster);
            let cluster = cluster.ok_or("The sweep says nothing of the cluster")?;
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
            self.play(self.scene.drain_limit).await;
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

    /// What has happened since, for the page, with what came of it and what is wrong with that.
    pub(crate) fn run(&self, world: &World, how: &str, result: &str, problems: &[String]) -> Run {
        let title = format!("Cluster {} {how}", self.scene.cluster);
        let lines: Vec<_> =
            [result].into_iter().chain(problems.iter().map(String::as_str)).collect();
        self.recording.run(world, title, lines.join("\n"), !problems.is_empty())
    }

    /// Says what came of each run, and what to look at next.
    pub(crate) fn end(&self, runs: &[Run], next: &str) {
        println!();
        let is_bad = runs.iter().any(|run| run.is_bad);
        let results: Vec<_> = runs.iter().map(|run| run.result.as_str()).collect();
        self.terminal.result("Result", &results.join("\n"), is_bad);
        self.terminal.result("Next", next, false);
    }
}

/// What a cluster consists of, in a sentence.
pub(crate) fn size(world: &World, cluster: &str) -> String {
    let Some(contents) = world.clusters.get(cluster) else { return String::new() };
    let daemons = contents.tasks.values().filter(|task| contents.is_daemon(task)).count();
    format!(
        "Cluster {cluster}: {} container instances, {} service tasks.",
        contents.instances.len(),
        contents.tasks.len() - daemons,
    )
}

/// Whether a line of a plan begins the part about what stays: "  3 stay".
fn is_about_what_stays(line: &str) -> bool {
    line.ends_with(" stay") || line.ends_with(" stays")
}
