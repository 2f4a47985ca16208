# What to look after. A variable that a function reads as a setting is called like the setting, in lower case, and has
# its default; a test compares the two.

variable "ecs_clusters" {
  description = "ECS clusters to look after, by name or ARN. Null: every cluster of the Region."
  type        = list(string)
  default     = null

  validation {
    condition     = var.ecs_clusters == null ? true : length(var.ecs_clusters) > 0
    error_message = "ecs_clusters is an empty list, which would look after nothing. Name at least one cluster, or leave it out for every cluster of the Region."
  }
  validation {
    condition = var.ecs_clusters == null ? true : alltrue([
      for cluster in var.ecs_clusters : can(regex("^(arn:[a-z0-9-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/)?[A-Za-z0-9_-]{1,255}$", cluster))
    ])
    error_message = "Each of ecs_clusters must be a cluster's name (1 to 255 letters, digits, hyphens and underscores) or its ARN."
  }
  validation {
    condition = var.ecs_clusters == null ? true : (
      length(distinct([for cluster in var.ecs_clusters : reverse(split("/", cluster))[0]])) == length(var.ecs_clusters)
    )
    error_message = "ecs_clusters names a cluster twice. Name each once, by its name or its ARN."
  }
}

variable "auto_scaling_groups" {
  description = <<-EOT
    Auto Scaling groups to look after, by name: each gets a termination hook (see `termination_hook_groups`), and the
    scale-in reaper may shrink these only. Null: no hooks, and the reaper may shrink every group that it finds behind
    the clusters, unless there are `auto_scaling_groups_by_key`. The names must be known at plan time.
  EOT
  type        = list(string)
  default     = null

  validation {
    condition     = var.auto_scaling_groups == null ? true : length(var.auto_scaling_groups) > 0
    error_message = "auto_scaling_groups is an empty list. Name at least one group, or leave it out."
  }
  validation {
    condition = var.auto_scaling_groups == null ? true : alltrue([
      for group in var.auto_scaling_groups : length(group) >= 1 && length(group) <= 255 && trimspace(group) == group && length(regexall("[[:cntrl:]:,*?$]", group)) == 0
    ])
    error_message = "Each of auto_scaling_groups must be a group's name: 1 to 255 characters, without spaces around it and without colon, comma, asterisk, question mark or dollar sign."
  }
  validation {
    condition     = var.auto_scaling_groups == null ? true : length(distinct(var.auto_scaling_groups)) == length(var.auto_scaling_groups)
    error_message = "auto_scaling_groups names a group twice. Name each once."
  }
}

variable "auto_scaling_groups_by_key" {
  description = <<-EOT
    More such groups, by keys of your choice: `{ web = aws_autoscaling_group.web.name }`. Only the keys must be known at
    plan time, so that these may be groups that the same configuration makes, with a `name_prefix` too.
  EOT
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "termination_hook_groups" {
  description = "Auto Scaling groups that get a termination hook, by name, if not all of the groups above and only those. An empty list: no hooks."
  type        = list(string)
  default     = null

  validation {
    condition = var.termination_hook_groups == null ? true : alltrue([
      for group in var.termination_hook_groups : length(group) >= 1 && length(group) <= 255 && trimspace(group) == group && length(regexall("[[:cntrl:]:,*?$]", group)) == 0
    ])
    error_message = "Each of termination_hook_groups must be a group's name: 1 to 255 characters, without spaces around it and without colon, comma, asterisk, question mark or dollar sign."
  }
  validation {
    condition     = var.termination_hook_groups == null ? true : length(distinct(var.termination_hook_groups)) == length(var.termination_hook_groups)
    error_message = "termination_hook_groups names a group twice. Name each once."
  }
}

variable "functions" {
  description = "The functions to deploy."
  type        = set(string)
  default     = ["spot-drainer", "lifecycle-drainer", "scale-in-reaper"]
  nullable    = false

  validation {
    condition     = length(var.functions) > 0 && length(setsubtract(var.functions, ["spot-drainer", "lifecycle-drainer", "scale-in-reaper"])) == 0
    error_message = "functions must name at least one of spot-drainer, lifecycle-drainer and scale-in-reaper, and nothing else."
  }
}

# Settings of several functions.

variable "dry_run" {
  description = "Both drainers log what they would do and change nothing; their roles then allow no change. A termination hook runs into its own time-out. The scale-in reaper must not act then: `reaper_mode` must be `plan`."
  type        = bool
  default     = false
  nullable    = false
}

variable "notification_topic_arn" {
  description = "SNS topic for notices to people: what is drained, and what holds a drain. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.notification_topic_arn == null ? true : can(regex("^arn:[a-z0-9-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}$", var.notification_topic_arn))
    error_message = "notification_topic_arn must be the ARN of a standard SNS topic, such as arn:aws:sns:eu-west-1:123456789012:on-call. A FIFO topic takes no message without a group."
  }
}

variable "notification_format" {
  description = "Form of the notices to people: `text` for e-mail, `json` for programs, or `chat` for Amazon Q Developer in chat applications, which shows nothing else."
  type        = string
  default     = "text"
  nullable    = false

  validation {
    condition     = contains(["text", "json", "chat"], var.notification_format)
    error_message = "notification_format must be text, json or chat."
  }
}

variable "notify_plans" {
  description = "While `reaper_mode` is `plan`: also tell people once a day, for each cluster, which instances could go. Needs `notification_topic_arn`."
  type        = bool
  default     = false
  nullable    = false
}

variable "metrics_namespace" {
  description = "CloudWatch namespace of the functions' metrics. Give each instance of this module in a Region its own."
  type        = string
  default     = "Ebb"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9._/#:-]([A-Za-z0-9._/#: -]{0,253}[A-Za-z0-9._/#:-])?$", var.metrics_namespace)) && !startswith(var.metrics_namespace, "AWS/")
    error_message = "metrics_namespace must be 1 to 255 of letters, digits and . - _ / # : and space, not begin with AWS/ (reserved by AWS), and not begin or end with a space."
  }
}

variable "metrics_by_cluster" {
  description = "Whether the functions' metrics have the cluster as a dimension as well. CloudWatch bills for each such metric and hour."
  type        = bool
  default     = true
  nullable    = false
}

# Settings of the spot-drainer.

variable "drain_on_rebalance" {
  description = "Also drain what EC2 recommends to rebalance, where the rest of its cluster has room for its tasks. The rule for recommendations, and the permission to read what a plan takes, exist only then."
  type        = bool
  default     = false
  nullable    = false
}

variable "fallback_asg" {
  description = "On-demand Auto Scaling group that the Spot drainer raises for each interrupted container instance, by as much as one instance of it counts (1, its weight, vCPUs or MiB), never above its maximum. Null: none."
  type        = string
  default     = null

  validation {
    condition = var.fallback_asg == null ? true : (
      length(var.fallback_asg) >= 1 && length(var.fallback_asg) <= 255 && trimspace(var.fallback_asg) == var.fallback_asg && length(regexall("[[:cntrl:]:,*?$]", var.fallback_asg)) == 0
    )
    error_message = "fallback_asg must be a group's name: 1 to 255 characters, without spaces around it and without colon, comma, asterisk, question mark or dollar sign."
  }
}

variable "fallback_auto_scaling_groups" {
  description = <<-EOT
    Fallback groups, by the Spot group that each stands in for: `{ shop-spot = "shop-on-demand" }`. The Spot drainer raises
    one by what its Spot group has not replaced itself, and the scale-in reaper brings it back once the Spot group is whole
    again. `fallback_asg` is then that of all other groups. Each group is named once in all. Null: none.
  EOT
  type        = map(string)
  default     = null

  validation {
    condition = var.fallback_auto_scaling_groups == null ? true : alltrue([
      for group in concat(keys(var.fallback_auto_scaling_groups), values(var.fallback_auto_scaling_groups)) :
      length(group) >= 1 && length(group) <= 255 && trimspace(group) == group && length(regexall("[[:cntrl:]:,*?$]", group)) == 0
    ])
    error_message = "Each key and value of fallback_auto_scaling_groups must be a group's name: 1 to 255 characters, without spaces around it and without colon, comma, asterisk, question mark or dollar sign."
  }
  validation {
    condition = var.fallback_auto_scaling_groups == null ? true : (
      length(distinct(concat(keys(var.fallback_auto_scaling_groups), values(var.fallback_auto_scaling_groups)))) == 2 * length(var.fallback_auto_scaling_groups)
    )
    error_message = "fallback_auto_scaling_groups names a group twice. No group is its own fallback, none the fallback of two, and no fallback group has one itself."
  }
}

variable "fallback_whole_sweeps" {
  description = "In how many sweeps in a row, at least five minutes apart, a Spot group must be whole before the scale-in reaper brings its fallback group back."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.fallback_whole_sweeps >= 1 && var.fallback_whole_sweeps <= 100 && floor(var.fallback_whole_sweeps) == var.fallback_whole_sweeps
    error_message = "fallback_whole_sweeps must be a whole number from 1 to 100."
  }
}

# Settings of the lifecycle-drainer.

variable "lifecycle_hooks" {
  description = <<-EOT
    Termination hooks that are made elsewhere and whose actions the lifecycle drainer takes, by name, beside those that
    this module makes. Null: those that it makes, and every hook if it makes none.
  EOT
  type        = list(string)
  default     = null

  validation {
    condition     = var.lifecycle_hooks == null ? true : length(var.lifecycle_hooks) > 0
    error_message = "lifecycle_hooks is an empty list. Name at least one hook, or leave it out."
  }
  validation {
    condition     = var.lifecycle_hooks == null ? true : alltrue([for hook in var.lifecycle_hooks : can(regex("^[A-Za-z0-9_/-]{1,255}$", hook))])
    error_message = "Each of lifecycle_hooks must be a hook's name: 1 to 255 letters, digits, hyphens, underscores and slashes."
  }
}

variable "drain_timeout_seconds" {
  description = "Deadline of a drain in seconds, from the moment at which Auto Scaling wanted the instance terminated."
  type        = number
  default     = 900
  nullable    = false

  validation {
    condition     = var.drain_timeout_seconds >= 60 && var.drain_timeout_seconds <= 172800 && floor(var.drain_timeout_seconds) == var.drain_timeout_seconds
    error_message = "drain_timeout_seconds must be a whole number from 60 to 172800: Auto Scaling holds no instance for longer than 48 hours."
  }
}

variable "poll_interval_seconds" {
  description = "The longest pause in seconds between two looks at a draining container instance."
  type        = number
  default     = 15
  nullable    = false

  validation {
    condition     = var.poll_interval_seconds >= 1 && var.poll_interval_seconds <= 60 && floor(var.poll_interval_seconds) == var.poll_interval_seconds
    error_message = "poll_interval_seconds must be a whole number from 1 to 60."
  }
}

variable "hop_seconds" {
  description = "How many seconds one invocation of the lifecycle drainer waits before it hands over to the next. The function's time-out follows from it."
  type        = number
  default     = 840
  nullable    = false

  validation {
    condition     = var.hop_seconds >= 10 && var.hop_seconds <= 840 && floor(var.hop_seconds) == var.hop_seconds
    error_message = "hop_seconds must be a whole number from 10 to 840: an invocation ends after 900 seconds, and needs some to hand over."
  }
}

variable "on_timeout" {
  description = "What happens at the deadline of a drain: `continue` lets the instance go, `abandon` does too and cancels the group's other hooks, `retain` has a group keep it that does so by its instance lifecycle policy, `reactivate` sets it ACTIVE and leaves the action to its own time-out."
  type        = string
  default     = "continue"
  nullable    = false

  validation {
    condition     = contains(["continue", "abandon", "retain", "reactivate"], var.on_timeout)
    error_message = "on_timeout must be continue, abandon, retain or reactivate."
  }
}

variable "standalone_tasks" {
  description = "What happens to tasks that no service runs: `wait` for them, `stop` them, `ignore` them."
  type        = string
  default     = "wait"
  nullable    = false

  validation {
    condition     = contains(["wait", "stop", "ignore"], var.standalone_tasks)
    error_message = "standalone_tasks must be wait, stop or ignore."
  }
}

# Settings of the scale-in-reaper.

variable "reaper_mode" {
  description = "`plan`: the scale-in reaper says what it would remove, and its role allows no change. `act`: it removes."
  type        = string
  default     = "plan"
  nullable    = false

  validation {
    condition     = contains(["plan", "act"], var.reaper_mode)
    error_message = "reaper_mode must be plan or act."
  }
}

variable "headroom_cpu_percent" {
  description = "Share of a cluster's CPU that must be left unreserved after a removal, in percent."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.headroom_cpu_percent >= 0 && var.headroom_cpu_percent <= 90 && floor(var.headroom_cpu_percent) == var.headroom_cpu_percent
    error_message = "headroom_cpu_percent must be a whole number from 0 to 90."
  }
}

variable "headroom_memory_percent" {
  description = "Share of a cluster's memory that must be left unreserved after a removal, in percent."
  type        = number
  default     = 20
  nullable    = false

  validation {
    condition     = var.headroom_memory_percent >= 0 && var.headroom_memory_percent <= 90 && floor(var.headroom_memory_percent) == var.headroom_memory_percent
    error_message = "headroom_memory_percent must be a whole number from 0 to 90."
  }
}

variable "headroom_largest_tasks" {
  description = "For how many more of a cluster's largest task there must be room after a removal, each as a whole on one instance, beside the shares."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.headroom_largest_tasks >= 0 && var.headroom_largest_tasks <= 1000 && floor(var.headroom_largest_tasks) == var.headroom_largest_tasks
    error_message = "headroom_largest_tasks must be a whole number from 0 to 1000."
  }
}

variable "headroom_tasks" {
  description = "For how many more tasks of a service there must be room after a removal, each as a whole on one instance: `{ web = 3 }`. Null: for none by name."
  type        = map(number)
  default     = null

  validation {
    condition     = var.headroom_tasks == null ? true : alltrue([for service, tasks in var.headroom_tasks : can(regex("^[A-Za-z0-9_-]{1,255}$", service)) && tasks >= 1 && tasks <= 1000 && floor(tasks) == tasks])
    error_message = "headroom_tasks must give names of services a whole number of tasks from 1 to 1000."
  }
  validation {
    # Lambda allows 4 KB for all of a function's environment.
    condition     = var.headroom_tasks == null ? true : length(jsonencode(var.headroom_tasks)) <= 1000
    error_message = "headroom_tasks is too long for a function's environment (1000 characters as JSON). Name the services that matter."
  }
}

variable "max_removals_percent" {
  description = "Share of a cluster's usable container instances that one sweep may remove, in percent, rounded up to whole instances."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.max_removals_percent >= 0 && var.max_removals_percent <= 100 && floor(var.max_removals_percent) == var.max_removals_percent
    error_message = "max_removals_percent must be a whole number from 0 to 100."
  }
}

variable "max_empty_removals_percent" {
  description = "Share of a cluster's usable container instances that one sweep may remove beyond `max_removals_percent`, in percent, rounded up, if nothing but daemon tasks is on them. 0: they count like the others."
  type        = number
  default     = 50
  nullable    = false

  validation {
    condition     = var.max_empty_removals_percent >= 0 && var.max_empty_removals_percent <= 100 && floor(var.max_empty_removals_percent) == var.max_empty_removals_percent
    error_message = "max_empty_removals_percent must be a whole number from 0 to 100."
  }
}

variable "budgets" {
  description = "How many instances may go at some times or for some reasons, in place of `max_removals_percent` and `max_empty_removals_percent`: of those that hold, the tightest counts. See docs/configuration.md. `[{ share = 0, schedule = \"0 9 * * MON-FRI\", time_zone = \"Europe/Berlin\", duration = \"8h\" }]`: nothing in business hours."
  type        = list(object({ share = optional(number), count = optional(number), reasons = optional(list(string)), schedule = optional(string), time_zone = optional(string), duration = optional(string) }))
  default     = []
  nullable    = false

  validation {
    condition     = length(var.budgets) <= 20
    error_message = "budgets may be at most 20."
  }
  validation {
    condition     = alltrue([for budget in var.budgets : (budget.share == null) != (budget.count == null)])
    error_message = "Each of budgets must have either share or count."
  }
  validation {
    condition     = alltrue([for budget in var.budgets : budget.share == null ? true : budget.share >= 0 && budget.share <= 100 && floor(budget.share) == budget.share])
    error_message = "The share of each of budgets must be a whole number of percent from 0 to 100."
  }
  validation {
    condition     = alltrue([for budget in var.budgets : budget.count == null ? true : budget.count >= 0 && budget.count <= 5000 && floor(budget.count) == budget.count])
    error_message = "The count of each of budgets must be a whole number of instances from 0 to 5000."
  }
  validation {
    condition     = alltrue([for budget in var.budgets : budget.reasons == null ? true : length(budget.reasons) > 0 && length(distinct(budget.reasons)) == length(budget.reasons) && alltrue([for reason in budget.reasons : contains(["empty", "consolidate", "replace", "fallback"], reason)])])
    error_message = "The reasons of each of budgets must be empty, consolidate, replace or fallback, at least one, each once."
  }
  validation {
    condition     = alltrue([for budget in var.budgets : (budget.schedule == null) == (budget.duration == null) && (budget.time_zone == null || budget.schedule != null)])
    error_message = "Each of budgets must have schedule and duration together, and time_zone only beside them."
  }
  validation {
    # Each field is "*", a number or a name, or a range, with a step if wanted; or a list of these.
    condition = alltrue([for budget in var.budgets : budget.schedule == null ? true : can(regex(format("(?i)^ *%s +%s +%s +%s +%s *$", [
      for value in [
        "[0-5]?[0-9]", "(?:[01]?[0-9]|2[0-3])", "(?:0?[1-9]|[12][0-9]|3[01])",
        "(?:0?[1-9]|1[0-2]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)", "(?:[0-7]|sun|mon|tue|wed|thu|fri|sat)",
      ] : format("(?:\\*|%[1]s(?:-%[1]s)?)(?:/0*[1-9][0-9]*)?(?:,(?:\\*|%[1]s(?:-%[1]s)?)(?:/0*[1-9][0-9]*)?)*", value)
    ]...), budget.schedule))])
    error_message = "The schedule of each of budgets must be the five fields of crontab(5), such as \"0 9 * * MON-FRI\": not EventBridge's cron(...), which has six."
  }
  validation {
    # Days that no month of it has. If days of the week are given as well, these are enough.
    condition     = alltrue([for budget in var.budgets : budget.schedule == null ? true : !can(regex("(?i)^ *\\S+ +\\S+ +(?:(?:3[01][,-]?)+ +(?:0?2|feb)|(?:31,?)+ +(?:(?:0?[2469]|11|feb|apr|jun|sep|nov),?)+) +\\* *$", budget.schedule))])
    error_message = "The schedule of each of budgets must occur: there is no such day in the months that it names."
  }
  validation {
    condition     = alltrue([for budget in var.budgets : budget.time_zone == null ? true : can(regex("^[A-Za-z][A-Za-z0-9_+/-]*$", budget.time_zone))])
    error_message = "The time_zone of each of budgets must be a name of the IANA time zone database, such as Europe/Berlin."
  }
  validation {
    condition     = alltrue([for budget in var.budgets : budget.duration == null ? true : can(regex("^([0-9]+h( ?[0-9]+m)?|[0-9]+m)$", budget.duration))])
    error_message = "The duration of each of budgets must be hours and minutes, such as 8h or 1h 30m."
  }
  validation {
    condition = alltrue([for budget in var.budgets : !can(regex("^[0-9hm ]+$", budget.duration)) ? true : (
      try(tonumber(regex("^([0-9]+)h", budget.duration)[0]), 0) * 60 + try(tonumber(regex("([0-9]+)m$", budget.duration)[0]), 0) >= 1 &&
      try(tonumber(regex("^([0-9]+)h", budget.duration)[0]), 0) * 60 + try(tonumber(regex("([0-9]+)m$", budget.duration)[0]), 0) <= 744 * 60
    )])
    error_message = "The duration of each of budgets must be from 1m to 744h."
  }
  validation {
    # Lambda allows 4 KB for all of a function's environment.
    condition     = length(jsonencode(var.budgets)) <= 2500
    error_message = "budgets are too long for a function's environment (2500 characters as JSON)."
  }
}

variable "low_for_sweeps" {
  description = "In how many sweeps in a row, of half an hour each, a container instance with tasks must have been able to go before the scale-in reaper removes it. An empty one goes at once. 1: so does any other."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.low_for_sweeps >= 1 && var.low_for_sweeps <= 48 && floor(var.low_for_sweeps) == var.low_for_sweeps
    error_message = "low_for_sweeps must be a whole number from 1 to 48."
  }
}

variable "hold_after_take_back_seconds" {
  description = "For how many seconds nothing of a group goes once the scale-in reaper took a drain back there."
  type        = number
  default     = 10800
  nullable    = false

  validation {
    condition     = var.hold_after_take_back_seconds >= 0 && var.hold_after_take_back_seconds <= 604800 && floor(var.hold_after_take_back_seconds) == var.hold_after_take_back_seconds
    error_message = "hold_after_take_back_seconds must be a whole number from 0 to 604800."
  }
}

variable "halt_at_disconnected_percent" {
  description = "With more than this share of a cluster's ACTIVE container instances whose agents are disconnected, in percent, the scale-in reaper removes nothing there. 100: never so."
  type        = number
  default     = 25
  nullable    = false

  validation {
    condition     = var.halt_at_disconnected_percent >= 0 && var.halt_at_disconnected_percent <= 100 && floor(var.halt_at_disconnected_percent) == var.halt_at_disconnected_percent
    error_message = "halt_at_disconnected_percent must be a whole number from 0 to 100."
  }
}

variable "halt_on_zonal_shift" {
  description = "Whether the scale-in reaper removes nothing in a cluster while a zonal shift of ARC is active for an Auto Scaling group of it, or for a load balancer of its services."
  type        = bool
  default     = true
  nullable    = false
}

variable "min_instances" {
  description = "Usable container instances that are always left in a cluster."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.min_instances >= 0 && var.min_instances <= 5000 && floor(var.min_instances) == var.min_instances
    error_message = "min_instances must be a whole number from 0 to 5000: a cluster holds no more."
  }
}

variable "min_instance_age_seconds" {
  description = "Container instances that registered less than this many seconds ago are kept."
  type        = number
  default     = 900
  nullable    = false

  validation {
    condition     = var.min_instance_age_seconds >= 0 && var.min_instance_age_seconds <= 31536000 && floor(var.min_instance_age_seconds) == var.min_instance_age_seconds
    error_message = "min_instance_age_seconds must be a whole number from 0 to 31536000, a year."
  }
}

variable "managed_scaling" {
  description = "What the scale-in reaper does with groups that a capacity provider's managed scaling looks after: `assist` drains what nobody needs, `leave` leaves them alone. Null: what the deprecated allow_managed_scaling says, or else `assist`."
  type        = string
  default     = null

  validation {
    condition     = var.managed_scaling == null ? true : contains(["assist", "leave"], var.managed_scaling)
    error_message = "managed_scaling must be `assist` or `leave`."
  }
}

variable "allow_managed_scaling" {
  description = "Deprecated, and read for one release: use managed_scaling. True is `assist`, false is `leave`. The function refuses to start if the two contradict each other."
  type        = bool
  default     = null
}

variable "allow_standalone_tasks" {
  description = "Let the scale-in reaper also remove container instances with tasks that no service runs, once those have ended."
  type        = bool
  default     = false
  nullable    = false
}

variable "replace_after_days" {
  description = "After how many days in its cluster a container instance is replaced by a sweep of `replace_schedule`. Null: never for its age alone."
  type        = number
  default     = null

  validation {
    condition     = var.replace_after_days == null ? true : var.replace_after_days >= 1 && var.replace_after_days <= 3650 && floor(var.replace_after_days) == var.replace_after_days
    error_message = "replace_after_days must be a whole number from 1 to 3650."
  }
}

variable "replace_schedule" {
  description = "When the scale-in reaper replaces old container instances, as an expression of EventBridge Scheduler: an hour apart suits, as the sweeps of `schedule_expression` go on with what it began. Its role may then raise the groups. Null: never."
  type        = string
  default     = null

  validation {
    condition     = var.replace_schedule == null ? true : can(regex("^(rate|cron)\\([^()]+\\)$", var.replace_schedule))
    error_message = "replace_schedule must be rate(...) or cron(...), such as rate(1 hour)."
  }
}

variable "instance_prices" {
  description = "What an instance of a type costs, in USD an hour, for the scale-in reaper to prefer the dearer ones, instead of AWS's own prices: `{ \"m7g.large\" = 0.0898 }`. Null: AWS's prices, see docs/configuration.md."
  type        = map(number)
  default     = null

  validation {
    condition     = var.instance_prices == null ? true : alltrue([for type, price in var.instance_prices : can(regex("^[a-z0-9-]+\\.[a-z0-9-]+$", type)) && price > 0 && price <= 10000])
    error_message = "instance_prices must give instance types, such as m7g.large, a price in USD an hour, above 0 and at most 10000."
  }
  validation {
    # Lambda allows 4 KB for all of a function's environment.
    condition     = var.instance_prices == null ? true : length(jsonencode(var.instance_prices)) <= 2500
    error_message = "instance_prices is too long for a function's environment (2500 characters as JSON, about 110 types). Name the types that your groups use."
  }
}

variable "lifecycle_topic_arn" {
  description = "SNS topic of the termination hooks that hold an instance until it is empty, if the lifecycle drainer is deployed elsewhere. Null: that of this module. The scale-in reaper terminates an instance with tasks on it only where such a hook, or ECS's managed draining, holds it."
  type        = string
  default     = null

  validation {
    condition     = var.lifecycle_topic_arn == null ? true : can(regex("^arn:[a-z0-9-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]{1,256}$", var.lifecycle_topic_arn))
    error_message = "lifecycle_topic_arn must be the ARN of an SNS topic, such as arn:aws:sns:eu-west-1:123456789012:ebb-lifecycle."
  }
}

# How it is deployed.

variable "name_prefix" {
  description = "Begins the name of everything that is created. Give each instance of this module in a Region its own."
  type        = string
  default     = "ebb"
  nullable    = false

  validation {
    # The longest name of a role is the prefix, a function, a Region and hyphens, and IAM allows 64 characters.
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,27}$", var.name_prefix))
    error_message = "name_prefix must be 1 to 28 letters, digits and hyphens, beginning with a letter."
  }
}

variable "package_path" {
  description = "Path of the functions' zips, with %s for the function's name. Null: where `make build` leaves them, `target/lambda/%s/bootstrap.zip` of the repository."
  type        = string
  default     = null

  validation {
    condition     = var.package_path == null ? true : length(split("%s", var.package_path)) == 2 && length(split("%", var.package_path)) == 2
    error_message = "package_path must hold %s once, for the function's name, such as packages/%s-arm64.zip, and no other percent sign."
  }
}

variable "package_s3" {
  description = <<-EOT
    Where the functions' zips are in S3, instead of `package_path`: the key with %s for the function's name. Put the
    release into the key, as a zip that changes under its key is not deployed.
  EOT
  type        = object({ bucket = string, key = string })
  default     = null

  validation {
    condition     = var.package_s3 == null ? true : length(split("%s", var.package_s3.key)) == 2 && length(split("%", var.package_s3.key)) == 2
    error_message = "The key in package_s3 must hold %s once, for the function's name, such as ebb/v0.2.0/%s-arm64.zip, and no other percent sign."
  }
}

variable "vpc" {
  description = "Subnets and security groups of the functions, if they are to run in a VPC. It must have a way to the APIs of ECS, Auto Scaling, EC2, SNS and CloudWatch Logs: a NAT gateway or endpoints. Null: none."
  type        = object({ subnet_ids = list(string), security_group_ids = list(string) })
  default     = null

  validation {
    condition     = var.vpc == null ? true : length(var.vpc.subnet_ids) > 0 && length(var.vpc.security_group_ids) > 0
    error_message = "vpc must name at least one subnet and one security group."
  }
}

variable "use_fips_endpoints" {
  description = "Call AWS's FIPS endpoints, where the Region has them."
  type        = bool
  default     = false
  nullable    = false
}

variable "architecture" {
  description = "What the zips are built for: `arm64` (`make build`) or `x86_64` (`make build ARCH=x86-64`)."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64, as the zips were built."
  }
}

variable "memory_size" {
  description = "Memory by function in MB, if not 128, and 256 for the scale-in reaper and, with drain_on_rebalance, for the Spot drainer. CPU grows with it; the drainers wait most of the time."
  type        = map(number)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.memory_size), ["spot-drainer", "lifecycle-drainer", "scale-in-reaper"])) == 0
    error_message = "memory_size must name only spot-drainer, lifecycle-drainer and scale-in-reaper."
  }
  validation {
    condition     = alltrue([for size in values(var.memory_size) : size >= 128 && size <= 10240 && floor(size) == size])
    error_message = "memory_size must be whole numbers from 128 to 10240, as Lambda offers."
  }
}

variable "reserved_concurrency" {
  description = <<-EOT
    Reserved concurrency by function; a function that is not named has none. The scale-in reaper needs 1, so that two
    sweeps never run at once; leave it out only where the account's limit is too low to reserve any.
  EOT
  type        = map(number)
  default     = { scale-in-reaper = 1 }
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.reserved_concurrency), ["spot-drainer", "lifecycle-drainer", "scale-in-reaper"])) == 0
    error_message = "reserved_concurrency must name only spot-drainer, lifecycle-drainer and scale-in-reaper."
  }
  validation {
    condition     = alltrue([for executions in values(var.reserved_concurrency) : executions >= 1 && floor(executions) == executions])
    error_message = "reserved_concurrency must be whole numbers from 1: with 0 a function would never run. Leave a function out to reserve nothing for it."
  }
}

variable "spot_delivery" {
  description = "How notices reach the Spot drainer: over a `queue`, which delivers again within seconds and in batches, or `direct` from EventBridge, whose retries come after one and two minutes."
  type        = string
  default     = "queue"
  nullable    = false

  validation {
    condition     = contains(["queue", "direct"], var.spot_delivery)
    error_message = "spot_delivery must be queue or direct."
  }
}

variable "hook_heartbeat_timeout_seconds" {
  description = "Heartbeat time-out of the termination hooks in seconds: how long an instance is held if the lifecycle drainer does not answer. Auto Scaling holds it for 100 heartbeats and for 48 hours at most."
  type        = number
  default     = 600
  nullable    = false

  validation {
    condition     = var.hook_heartbeat_timeout_seconds >= 120 && var.hook_heartbeat_timeout_seconds <= 7200 && floor(var.hook_heartbeat_timeout_seconds) == var.hook_heartbeat_timeout_seconds
    error_message = "hook_heartbeat_timeout_seconds must be a whole number from 120 to 7200: Auto Scaling allows no more, and a drain must get through a retry of its function within it."
  }
}

variable "schedule_expression" {
  description = "When the scale-in reaper sweeps, as an expression of EventBridge Scheduler."
  type        = string
  default     = "rate(30 minutes)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate|cron)\\([^()]+\\)$", var.schedule_expression))
    error_message = "schedule_expression must be rate(...) or cron(...), such as rate(30 minutes)."
  }
}

variable "summary_schedule" {
  description = "When people are told what the last seven days came to in each cluster: saved, drained, cut off, and what is stuck and why; an expression of EventBridge Scheduler, in UTC. Needs `notification_topic_arn`, and does nothing without it. Null: never."
  type        = string
  default     = "cron(0 8 ? * MON *)"

  validation {
    condition     = var.summary_schedule == null ? true : can(regex("^(rate|cron)\\([^()]+\\)$", var.summary_schedule))
    error_message = "summary_schedule must be rate(...) or cron(...), such as cron(0 8 ? * MON *): Mondays at 08:00 UTC."
  }
}

variable "sweep_missing_hours" {
  description = "Alarm if the scale-in reaper has finished no sweep of its schedule for this many hours without a cluster that failed. More than the time between two sweeps."
  type        = number
  default     = 2
  nullable    = false

  validation {
    condition     = var.sweep_missing_hours >= 1 && var.sweep_missing_hours <= 168 && floor(var.sweep_missing_hours) == var.sweep_missing_hours
    error_message = "sweep_missing_hours must be a whole number from 1 to 168: CloudWatch looks back a week at most."
  }
}

variable "alarm_actions" {
  description = "ARNs of what the alarms tell when they go off and when they are over, such as an SNS topic."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = length(var.alarm_actions) <= 5 && alltrue([for action in var.alarm_actions : startswith(action, "arn:")])
    error_message = "alarm_actions must be at most five ARNs, such as that of an SNS topic."
  }
}

variable "account_concurrency" {
  description = "The account's quota of concurrent Lambda executions in the Region (1000; 10 in a new account). At four fifths of it an alarm goes off. Null: no such alarm."
  type        = number
  default     = null

  validation {
    condition     = var.account_concurrency == null ? true : var.account_concurrency >= 1 && floor(var.account_concurrency) == var.account_concurrency
    error_message = "account_concurrency must be a whole number from 1: what `aws lambda get-account-settings` says of ConcurrentExecutions."
  }
}

variable "runbook_url" {
  description = "Where the alarms say that the runbook is: the address of docs/runbook.md, or of your own copy of it."
  type        = string
  default     = "docs/runbook.md"
  nullable    = false

  validation {
    condition     = can(regex("^[!-\"$-~]{1,300}$", var.runbook_url))
    error_message = "runbook_url must be 1 to 300 characters without spaces and without a number sign: the alarms add the section."
  }
}

variable "log_retention_days" {
  description = "How many days the functions' logs are kept."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be a number that CloudWatch Logs offers: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }
}

variable "log_level" {
  description = "The least level of the functions' own log lines that is kept."
  type        = string
  default     = "INFO"
  nullable    = false

  validation {
    condition     = contains(["TRACE", "DEBUG", "INFO", "WARN", "ERROR"], var.log_level)
    error_message = "log_level must be TRACE, DEBUG, INFO, WARN or ERROR."
  }
}

variable "kms_key_arn" {
  description = "Customer managed KMS key for the hooks' topic and for the queues. Its policy must let the services in: see infra/README.md. Null: the queues use SQS's own encryption, the topic none."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn must be the ARN of a key, such as arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab. An alias does not do in a policy."
  }
}

variable "notification_topic_kms_key_arn" {
  description = "KMS key of the notification topic, if it has one."
  type        = string
  default     = null

  validation {
    condition     = var.notification_topic_kms_key_arn == null ? true : can(regex("^arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.notification_topic_kms_key_arn))
    error_message = "notification_topic_kms_key_arn must be the ARN of a key, such as arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab. An alias does not do in a policy."
  }
}

variable "logs_kms_key_arn" {
  description = "Customer managed KMS key for the functions' logs. Its policy must let logs.REGION.amazonaws.com in. Null: CloudWatch Logs' own key."
  type        = string
  default     = null

  validation {
    condition     = var.logs_kms_key_arn == null ? true : can(regex("^arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.logs_kms_key_arn))
    error_message = "logs_kms_key_arn must be the ARN of a key, such as arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab."
  }
}

variable "environment_kms_key_arn" {
  description = "Customer managed KMS key for the functions' environment variables, which hold settings and no secret. Null: Lambda's own key."
  type        = string
  default     = null

  validation {
    condition     = var.environment_kms_key_arn == null ? true : can(regex("^arn:[a-z0-9-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.environment_kms_key_arn))
    error_message = "environment_kms_key_arn must be the ARN of a key, such as arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab."
  }
}

variable "role_arns" {
  description = <<-EOT
    Roles that are there already, by what they are for: a function, `hooks` (as which Auto Scaling publishes) or
    `schedule` (as which EventBridge Scheduler invokes). For these the module makes no role and no policy; the outputs
    `policy_documents` and `trust_policies` have what they need. Only the keys must be known at plan time.
  EOT
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setsubtract(keys(var.role_arns), ["spot-drainer", "lifecycle-drainer", "scale-in-reaper", "hooks", "schedule"])) == 0
    error_message = "role_arns must name only spot-drainer, lifecycle-drainer, scale-in-reaper, hooks and schedule."
  }
  validation {
    condition     = alltrue([for role in values(var.role_arns) : can(regex("^arn:[a-z0-9-]+:iam::[0-9]{12}:role/.+$", role))])
    error_message = "role_arns must be ARNs of IAM roles, such as arn:aws:iam::123456789012:role/ebb-spot-drainer."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of every role that the module makes. Null: none."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null ? true : can(regex("^arn:[a-z0-9-]+:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn must be the ARN of an IAM policy, such as arn:aws:iam::123456789012:policy/boundary."
  }
}

variable "iam_path" {
  description = "Path of every role that the module makes."
  type        = string
  default     = "/"
  nullable    = false

  validation {
    condition     = can(regex("^/([!-.0-~]+/)*$", var.iam_path))
    error_message = "iam_path must begin and end with a slash, such as /ebb/."
  }
}

variable "tags" {
  description = "Tags of everything that can carry them."
  type        = map(string)
  default     = {}
  nullable    = false
}
