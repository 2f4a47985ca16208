# What goes wrong and wants a person. Each alarm says what happened, what to look at and what to do, and names its section
# of the runbook. No data is no event, which is the usual case, and no alarm, but for the sweeps.

locals {
  function_alarms = {
    errors = {
      metric = { namespace = "AWS/Lambda", name = "Errors", statistic = "Sum" }
      text   = "fails. Its log says why (saved query \"errors\"); what it could not handle is in its dead-letter queue. Mend the cause, then replay the dead letters."
    }
    throttles = {
      metric = { namespace = "AWS/Lambda", name = "Throttles", statistic = "Sum" }
      text   = "is not run for want of concurrency. See who uses the account's executions. Raise the account's limit, or reserve some for it (reserved_concurrency)."
    }
    dead-letters = {
      metric = { namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesVisible", statistic = "Maximum" }
      text   = "has dead letters: events that were given up. Its log says why (saved query \"errors\"). Mend the cause, replay them, then empty the queue."
    }
    dropped-events = {
      metric = { namespace = "AWS/Lambda", name = "AsyncEventsDropped", statistic = "Sum" }
      text   = "has lost events: Lambda dropped them before they ran. They are in its dead-letter queue unless that failed too. Look at its errors and throttles, then replay the dead letters."
    }
    lost-dead-letters = {
      metric = { namespace = "AWS/Lambda", name = "DestinationDeliveryFailures", statistic = "Sum" }
      text   = "could not send a dead letter, so that an event is lost. See whether its role may send to its queue and use the queue's key."
    }
  }

  # By function, and by what the alarm is called after it. With `wanted`, only where that holds.
  own_alarms = {
    spot-drainer = {
      latency = {
        metric     = { namespace = var.metrics_namespace, name = "DrainLatency", statistic = "Maximum" }
        dimensions = { function = "spot-drainer" }
        threshold  = 120
        text       = "An interrupted instance was DRAINING after its two minutes: its tasks were cut off. Look at throttles of the function, of ECS, and at the age of the notices (saved query \"answers\")."
      }
      undelivered = {
        metric     = { namespace = "AWS/Events", name = "FailedInvocations", statistic = "Sum" }
        dimensions = { RuleName = "${var.name_prefix}-spot-interruption" }
        text       = "EventBridge could not deliver Spot interruption notices. See whether the queue or the function still lets the rule in, and apply the module again."
      }
      notices-age = {
        wanted     = local.queue
        metric     = { namespace = "AWS/SQS", name = "ApproximateAgeOfOldestMessage", statistic = "Maximum" }
        dimensions = { QueueName = "${var.name_prefix}-notices" }
        threshold  = 60
        text       = "A notice has waited in the queue for a minute of its two. See the errors and throttles of the Spot drainer."
      }
      not-replaced = {
        wanted     = length(local.fallback_groups) > 0
        metric     = { namespace = var.metrics_namespace, name = "NotReplaced", statistic = "Sum" }
        dimensions = { function = "spot-drainer" }
        text       = "The fallback group does not replace interrupted instances: it is at its maximum, or EC2 has no capacity. The log says which. Raise its maximum, or allow it other instance types and zones."
      }
    }
    lifecycle-drainer = {
      timed-out = {
        metric     = { namespace = var.metrics_namespace, name = "TimedOut", statistic = "Sum" }
        dimensions = { function = "lifecycle-drainer" }
        text       = "A drain reached its deadline with tasks left. See what held it (saved query \"what-holds-drains\"). Free what holds it, or raise drain_timeout_seconds."
      }
      hook-timed-out = {
        metric     = { namespace = var.metrics_namespace, name = "HookTimedOut", statistic = "Sum" }
        dimensions = { function = "lifecycle-drainer" }
        text       = "A hook's own time-out cut tasks off: no heartbeat came in time. See the lifecycle drainer's errors and throttles. Raise hook_heartbeat_timeout_seconds, or reserve executions for it."
      }
      heartbeats-failed = {
        metric     = { namespace = var.metrics_namespace, name = "HeartbeatsFailed", statistic = "Sum" }
        dimensions = { function = "lifecycle-drainer" }
        text       = "A heartbeat failed, all attempts included. The next one makes up for it; if that fails too, the hook's own time-out cuts tasks off. The log says why (saved query \"errors\"). Allow what the role lacks, or find who uses up the account's calls to Auto Scaling."
      }
      stuck = {
        metric     = { namespace = var.metrics_namespace, name = "Stuck", statistic = "Sum" }
        dimensions = { function = "lifecycle-drainer" }
        text       = "A drain is past half of its time. See what holds it (saved query \"what-holds-drains\"), and free it before the deadline."
      }
      # None is dropped while the function's recursive_loop is Allow: somebody has reset it.
      recursion-dropped = {
        metric     = { namespace = "AWS/Lambda", name = "RecursiveInvocationsDropped", statistic = "Sum" }
        dimensions = { FunctionName = "${var.name_prefix}-lifecycle-drainer" }
        text       = "Lambda cut a drain short as a loop. Set the function's recursive loop detection to Allow, as Terraform did: apply the module again."
      }
      undelivered = {
        metric     = { namespace = "AWS/SNS", name = "NumberOfNotificationsFailed", statistic = "Sum" }
        dimensions = { TopicName = "${var.name_prefix}-lifecycle" }
        text       = "SNS could not deliver termination messages. They are in the dead-letter queue. See whether the function still lets the topic in, and apply the module again; then replay them."
      }
      # Before it is short: each drain that waits holds an execution for up to 14 minutes.
      concurrency = {
        wanted     = contains(keys(var.reserved_concurrency), "lifecycle-drainer")
        metric     = { namespace = "AWS/Lambda", name = "ConcurrentExecutions", statistic = "Maximum" }
        dimensions = { FunctionName = "${var.name_prefix}-lifecycle-drainer" }
        threshold  = max(1, floor(0.8 * lookup(var.reserved_concurrency, "lifecycle-drainer", 0)))
        text       = "Four fifths of the lifecycle drainer's reserved concurrency are in use. Reserve as many executions as instances may be terminated at once."
      }
    }
    scale-in-reaper = {
      sweeps-failed = {
        metric     = { namespace = var.metrics_namespace, name = "SweepsFailed", statistic = "Sum" }
        dimensions = { function = "scale-in-reaper" }
        text       = "A sweep failed for at least one cluster, and nothing is removed there. The log says which and why (saved query \"errors\"). Mend the cause: the next sweep looks afresh."
      }
    }
  }

  account_alarms = {
    account-concurrency = {
      metric = { namespace = "AWS/Lambda", name = "ClaimedAccountConcurrency", statistic = "Maximum" }
      # None: all of the account in this Region.
      dimensions = {}
      threshold  = max(1, floor(0.8 * coalesce(var.account_concurrency, 0)))
      text       = "Four fifths of the account's Lambda concurrency in this Region are in use: soon nothing wakes the functions. See which function uses them. Raise the quota \"Concurrent executions\", or reserve some for each function of Ebb (reserved_concurrency)."
      section    = "account-concurrency"
    }
  }

  alarms = merge(
    merge([for function in keys(local.functions) : {
      for name, alarm in local.function_alarms : "${function}-${name}" => {
        metric = alarm.metric
        dimensions = name == "dead-letters" ? { QueueName = aws_sqs_queue.dead_letters[function].name } : {
          FunctionName = aws_lambda_function.this[function].function_name
        }
        text    = "The ${replace(function, "-", " ")} ${alarm.text}"
        section = name
      }
    }]...),
    merge([for function, alarms in local.own_alarms : {
      for name, alarm in alarms : "${function}-${name}" => merge(alarm, { section = "${function}-${name}" }) if try(alarm.wanted, true)
    } if contains(var.functions, function)]...),
    { for name, alarm in local.account_alarms : name => alarm if var.account_concurrency != null },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name_prefix}-${each.key}"
  alarm_description   = "${each.value.text} Runbook: ${var.runbook_url}#${each.value.section}"
  namespace           = each.value.metric.namespace
  metric_name         = each.value.metric.name
  statistic           = each.value.metric.statistic
  dimensions          = each.value.dimensions
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = try(each.value.threshold, 1)
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags
}

locals {
  # Between two sweeps of a rate; a cron expression is not read.
  schedule_rate    = try(regex("^rate\\((\\d+) (minute|hour|day)s?\\)$", var.schedule_expression), ["0", "day"])
  schedule_seconds = tonumber(local.schedule_rate[0]) * { minute = 60, hour = 3600, day = 86400 }[local.schedule_rate[1]]
}

resource "aws_cloudwatch_metric_alarm" "sweep_missing" {
  count = local.scale_in_reaper ? 1 : 0

  alarm_name          = "${var.name_prefix}-scale-in-reaper-sweep-missing"
  alarm_description   = "The scale-in reaper has finished no sweep of its schedule for ${var.sweep_missing_hours} hours without a cluster that failed. See its errors (saved query \"errors\") and whether its schedule is enabled. Runbook: ${var.runbook_url}#scale-in-reaper-sweep-missing"
  namespace           = var.metrics_namespace
  metric_name         = "Sweeps"
  statistic           = "Sum"
  dimensions          = { function = "scale-in-reaper" }
  period              = 3600
  evaluation_periods  = var.sweep_missing_hours
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions
  tags                = var.tags

  lifecycle {
    precondition {
      condition     = local.schedule_seconds < 3600 * var.sweep_missing_hours
      error_message = "schedule_expression is ${var.schedule_expression}, but sweep_missing_hours is ${var.sweep_missing_hours}: the alarm would go off between two sweeps. Raise sweep_missing_hours above ${floor(local.schedule_seconds / 3600)}."
    }
  }
}
