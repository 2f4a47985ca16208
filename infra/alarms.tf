# What goes wrong and wants a person. No data is no event, which is the usual case, and no alarm, but for the sweeps.

locals {
  function_alarms = {
    errors = {
      metric = { namespace = "AWS/Lambda", name = "Errors", statistic = "Sum" }
      text   = "fails. Its log says why; what it could not handle is in its dead-letter queue."
    }
    throttles = {
      metric = { namespace = "AWS/Lambda", name = "Throttles", statistic = "Sum" }
      text   = "is not run for want of concurrency. Raise the account's limit, or reserve some for it."
    }
    dead-letters = {
      metric = { namespace = "AWS/SQS", name = "ApproximateNumberOfMessagesVisible", statistic = "Maximum" }
      text   = "has dead letters: events that were given up. Look at them, then empty the queue."
    }
  }

  alarms = merge(
    merge([for function in keys(local.functions) : {
      for name, alarm in local.function_alarms : "${function}-${name}" => {
        metric = alarm.metric
        dimensions = name == "dead-letters" ? { QueueName = aws_sqs_queue.dead_letters[function].name } : {
          FunctionName = aws_lambda_function.this[function].function_name
        }
        text = "${function} ${alarm.text}"
      }
    }]...),
    local.lifecycle_drainer ? {
      lifecycle-drainer-timed-out = {
        metric     = { namespace = var.metrics_namespace, name = "TimedOut", statistic = "Sum" }
        dimensions = { function = "lifecycle-drainer" }
        text       = "A drain reached its deadline with tasks left. The log of the lifecycle drainer says what held it."
      }
      lifecycle-drainer-hook-timed-out = {
        metric     = { namespace = var.metrics_namespace, name = "HookTimedOut", statistic = "Sum" }
        dimensions = { function = "lifecycle-drainer" }
        text       = "A hook's own time-out cut tasks off: no heartbeat came in time. See the lifecycle drainer's errors and throttles."
      }
      # None is dropped while the function's recursive_loop is Allow: somebody has reset it.
      lifecycle-drainer-recursion-dropped = {
        metric     = { namespace = "AWS/Lambda", name = "RecursiveInvocationsDropped", statistic = "Sum" }
        dimensions = { FunctionName = aws_lambda_function.this["lifecycle-drainer"].function_name }
        text       = "Lambda cut a drain short as a loop. Set the function's recursive loop detection to Allow, as Terraform did."
      }
    } : {},
    # Before it is short: each drain that waits holds an execution for up to 14 minutes.
    local.lifecycle_drainer && contains(keys(var.reserved_concurrency), "lifecycle-drainer") ? {
      lifecycle-drainer-concurrency = {
        metric     = { namespace = "AWS/Lambda", name = "ConcurrentExecutions", statistic = "Maximum" }
        dimensions = { FunctionName = aws_lambda_function.this["lifecycle-drainer"].function_name }
        threshold  = max(1, floor(0.8 * var.reserved_concurrency["lifecycle-drainer"]))
        text       = "Four fifths of the lifecycle drainer's reserved concurrency are in use. Reserve as many executions as instances may be terminated at once."
      }
    } : {},
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name_prefix}-${each.key}"
  alarm_description   = each.value.text
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

resource "aws_cloudwatch_metric_alarm" "sweep_missing" {
  count = local.scale_in_reaper ? 1 : 0

  alarm_name          = "${var.name_prefix}-scale-in-reaper-sweep-missing"
  alarm_description   = "The scale-in reaper has finished no sweep for ${var.sweep_missing_hours} hours."
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
}
