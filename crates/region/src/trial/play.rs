//! Plays a trial until nothing more can come of it.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::sleep;

use super::outcome::Outcome;
use super::situations::Trial;
use crate::Region;
use crate::lambda::Lambda;

/// How long a trial lasts at most: no drain of it needs longer.
const LIMIT: Duration = Duration::from_secs(1_260);

/// How long it goes on when no action is open any more: Lambda tries a failed invocation again
/// after one minute and after two more.
const REST: Duration = Duration::from_secs(200);

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

impl Trial {
    /// Plays it on a Region that was started with its world, and says what came of it.
    pub async fn play(&self, region: &Region, lambda: &dyn Lambda) -> Outcome {
        let begun = region.now();
        tokio::select! {
            never = region.run_forever(lambda) => match never {},
            never = self.happen_later(region) => match never {},
            () = until_over(region) => {}
        }
        Outcome::of(&region.world(), self.signal, begun)
    }

    /// Lets happen what is to happen later, and never ends.
    async fn happen_later(&self, region: &Region) -> Infallible {
        if let Some((after, happen)) = self.later {
            sleep(region.clock().scaled(after)).await;
            happen(&mut region.world());
            region.notify();
        }
        std::future::pending().await
    }
}

async fn until_over(region: &Region) {
    let begun = region.now();
    let mut at_rest_since = begun;
    loop {
        sleep(region.clock().scaled(LOOK_INTERVAL)).await;
        let now = region.now();
        if !region.world().lifecycle_actions.is_empty() {
            at_rest_since = now;
        }
        if now >= begun + LIMIT || now >= at_rest_since + REST {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use crate::in_process::InProcess;
    use crate::trial::{Deployment, FUNCTION, Source, TRIALS};
    use crate::world::World;
    use crate::world::autoscaling::{ActionKey, ActionResult};

    /// What comes of a trial if the function does this to the world.
    async fn outcome(trial: &str, handle: fn(&mut World)) -> Outcome {
        let trial = TRIALS.iter().find(|known| known.name == trial).unwrap();
        let deployment = Deployment {
            source: Source::EventBridge,
            timeout: Duration::from_secs(900),
            heartbeat_timeout: Duration::from_secs(3600),
            recursive_loop_allowed: false,
        };
        let world = trial.world(&deployment, Timestamp::UNIX_EPOCH).unwrap();
        let region = Region::start(world, 1.0);
        let own = region.clone();
        let lambda = InProcess::default().with(FUNCTION, move |_, _| {
            handle(&mut own.world());
            own.notify();
            ready(Ok(Value::Null))
        });
        trial.play(&region, &lambda).await
    }

    fn complete_all(world: &mut World) {
        for action in world.lifecycle_actions.clone() {
            let key = ActionKey {
                group: &action.group,
                hook: &action.hook.name,
                token: Some(&action.token),
                instance_id: None,
            };
            world.complete_action(key, ActionResult::Continue).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_completes_at_once_is_early_and_has_tasks_cut_off() {
        let outcome = outcome("scale-in-of-2", complete_all).await;
        let expected = Outcome { cut_off: 4, early: 2, left: 0, failed: 0, gap: None, calls: 0 };
        assert_eq!(outcome, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_nothing_leaves_hooks_and_interrupted_instances() {
        let nothing = |_: &mut World| {};
        let expected = Outcome { cut_off: 0, early: 0, left: 2, failed: 0, gap: None, calls: 0 };
        assert_eq!(outcome("scale-in-of-2", nothing).await, expected);

        let expected = Outcome { cut_off: 20, left: 10, ..expected };
        assert_eq!(outcome("spot-terminate", nothing).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn an_instance_that_never_had_a_task_is_measured_from_the_start() {
        let outcome = outcome("never-joined", complete_all).await;
        assert_eq!((outcome.early, outcome.left), (0, 0));
        assert!(outcome.gap.unwrap() < Duration::from_secs(3), "{outcome}");
    }
}
