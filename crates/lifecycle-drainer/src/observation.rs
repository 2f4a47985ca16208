//! How a hop looks at the world: where the action stands, where the container instance is, and which tasks are left.

use std::collections::BTreeSet;

use ebb_aws::Problem;
use ebb_core::ecs::{ContainerInstance, Task};
use ebb_core::ids::{Cluster, ContainerInstanceArn};
use ebb_core::lifecycle::{ActionState, DrainProgress, TasksLeft};

use crate::hop::Hop;
use crate::search::find_container_instance;

/// How many tasks a cheap look describes: one call. As long as one of them holds the instance, the rest may wait.
const CHEAP_LOOK_MAX: usize = 100;

impl Hop<'_> {
    /// Where the group of the message says that the instance stands. A message that names another group than the
    /// instance's own is forged or stale.
    pub(crate) async fn action_state(&self) -> Result<ActionState, Problem> {
        let found = self.clients.auto_scaling.lifecycle_state(&self.action.instance_id).await;
        Ok(match found.map_err(|error| Problem::from(&error))? {
            Some((group, state)) if group == self.action.group => ActionState::of(&state),
            Some((group, _)) => ActionState::NotWaiting(format!("in group {group}")),
            None => ActionState::NotWaiting("in no group".to_owned()),
        })
    }

    /// Finds the container instance: where an earlier hop found it, where the hook's metadata says, or in any of the
    /// clusters.
    pub(crate) async fn find(&mut self) -> Result<DrainProgress, Problem> {
        let found = find_container_instance(self.drain()).await?;
        Ok(match found {
            None => DrainProgress::NotInCluster,
            Some(ContainerInstance { cluster, arn, status, .. }) => {
                self.state.found = Some((cluster, arn));
                DrainProgress::Status(status)
            }
        })
    }

    /// Counts all tasks that have not stopped.
    pub(crate) async fn count_tasks(&mut self) -> Result<DrainProgress, Problem> {
        let (cluster, arn) = self.found()?;
        self.tasks = self
            .clients
            .ecs
            .tasks_on(&cluster, &arn)
            .await
            .map_err(|error| Problem::from(&error))?;
        let services: BTreeSet<_> =
            self.tasks.iter().filter_map(|task| task.service.clone()).collect();
        if !services.is_subset(&self.described) {
            let services_now =
                self.clients.ecs.services(&cluster, &services, self.state.first_seen).await;
            self.services = services_now.map_err(|error| Problem::from(&error))?;
            self.described = services;
        }
        // Only told to people, so a drain goes on without it.
        let of_services =
            self.tasks.iter().filter(|task| task.service.is_some()).map(|task| task.arn.clone());
        let of_services: Vec<_> = of_services.collect();
        self.protected =
            self.clients.ecs.protected_until(&cluster, &of_services).await.unwrap_or_default();
        Ok(self.counted())
    }

    /// Looks again at the tasks that held the instance when they were last counted, with one call. Only when none of
    /// them does any more are all tasks counted.
    pub(crate) async fn look_again(&mut self) -> Result<DrainProgress, Problem> {
        let holding: Vec<_> = self
            .tasks
            .iter()
            .filter(|task| self.holds(task))
            .take(CHEAP_LOOK_MAX)
            .cloned()
            .collect();
        if holding.is_empty() {
            return self.count_tasks().await;
        }
        let (cluster, _) = self.found()?;
        let arns: Vec<_> = holding.into_iter().map(|task| task.arn).collect();
        let described = self.clients.ecs.describe_tasks(&cluster, &arns).await;
        let described = described.map_err(|error| Problem::from(&error))?;
        self.tasks.retain(|task| !arns.contains(&task.arn));
        self.tasks.extend(described.into_iter().filter(|task| !task.stopped));
        if self.tasks.iter().any(|task| self.holds(task)) {
            Ok(self.counted())
        } else {
            self.count_tasks().await
        }
    }

    /// The daemon services among those of the tasks. One that ECS does not know is none: its tasks are waited for.
    fn daemons(&self) -> BTreeSet<String> {
        self.services
            .iter()
            .filter(|service| service.daemon)
            .map(|service| service.name.clone())
            .collect()
    }

    pub(crate) fn holds(&self, task: &Task) -> bool {
        let alone = TasksLeft::count(std::slice::from_ref(task), &self.daemons(), &self.protected);
        alone.holding(self.settings.standalone_tasks) > 0
    }

    /// What the tasks that were last looked at come to.
    pub(crate) fn counted(&mut self) -> DrainProgress {
        let left = TasksLeft::count(&self.tasks, &self.daemons(), &self.protected);
        self.left = Some(left);
        DrainProgress::Draining(left)
    }

    /// The container instance, for steps that follow upon its having been found.
    pub(crate) fn found(&self) -> Result<(Cluster, ContainerInstanceArn), Problem> {
        self.state
            .found
            .clone()
            .ok_or_else(|| Problem::other("its container instance was not looked for"))
    }
}
