# One page for people: what is drained, what is removed, and what went wrong. `metrics` are the functions' own; a test
# compares them with what the functions emit.

locals {
  charts = [
    {
      title    = "Interruptions: container instances"
      function = "spot-drainer"
      metrics  = ["Draining", "AlreadyDraining", "NotInCluster", "Gone", "WouldDrain", "Reactivated", "NotReactivated", "NotReplaced", "Failed"]
      stat     = "Sum"
    },
    {
      title    = "Interruptions: seconds from notice to DRAINING"
      function = "spot-drainer"
      metrics  = ["DrainLatency"]
      stat     = "Maximum"
    },
    {
      title    = "Terminations: drains"
      function = "lifecycle-drainer"
      metrics  = ["Started", "Completed", "TimedOut", "HookTimedOut", "WouldDrain", "Stuck", "HeartbeatsFailed", "Failed"]
      stat     = "Sum"
    },
    {
      title    = "Terminations: seconds per drain"
      function = "lifecycle-drainer"
      metrics  = ["DrainSeconds"]
      stat     = "Maximum"
    },
    {
      title    = "Terminations: tasks cut off at a deadline"
      function = "lifecycle-drainer"
      metrics  = ["TasksCutOff"]
      stat     = "Sum"
    },
    {
      title    = "Terminations: hops"
      function = "lifecycle-drainer"
      metrics  = ["Republished", "Ignored"]
      stat     = "Sum"
    },
    {
      title    = "Sweeps: container instances"
      function = "scale-in-reaper"
      metrics  = ["InstancesRemovable", "InstancesRemoved", "InstancesLeftToEcs", "InstancesReactivated"]
      stat     = "Sum"
    },
    {
      title    = "Sweeps: headroom left, in percent"
      function = "scale-in-reaper"
      metrics  = ["HeadroomCpuPercent", "HeadroomMemoryPercent"]
      stat     = "Minimum"
    },
    {
      title    = "Sweeps: saving, in percent"
      function = "scale-in-reaper"
      metrics  = ["SavingPercent", "SavingBoundPercent"]
      stat     = "Average"
    },
    {
      title    = "Sweeps: finished and failed"
      function = "scale-in-reaper"
      metrics  = ["Sweeps", "SweepsFailed"]
      stat     = "Sum"
    },
    {
      title    = "Sweeps: seconds"
      function = "scale-in-reaper"
      metrics  = ["SweepSeconds"]
      stat     = "Maximum"
    },
  ]

  function_charts = [for name in ["Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"] : {
    title   = "Functions: ${name}"
    stat    = contains(["Duration", "ConcurrentExecutions"], name) ? "Maximum" : "Sum"
    metrics = [for function in aws_lambda_function.this : ["AWS/Lambda", name, "FunctionName", function.function_name]]
  }]
  queue_chart = {
    title   = "Dead letters"
    stat    = "Maximum"
    metrics = [for queue in aws_sqs_queue.dead_letters : ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue.name]]
  }

  widgets = concat(
    [for chart in local.charts : {
      title   = chart.title
      stat    = chart.stat
      metrics = [for metric in chart.metrics : [var.metrics_namespace, metric, "function", chart.function]]
    } if contains(var.functions, chart.function)],
    local.function_charts,
    [local.queue_chart],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  # The name is shared by all Regions.
  dashboard_name = "${var.name_prefix}-${local.region}"

  dashboard_body = jsonencode({
    widgets = concat(
      [{
        type   = "alarm"
        x      = 0
        y      = 0
        width  = 24
        height = 3
        properties = {
          title  = "Alarms"
          alarms = local.alarm_arns
        }
      }],
      # Three in a row.
      [for number, widget in local.widgets : {
        type   = "metric"
        x      = 8 * (number % 3)
        y      = 3 + 6 * floor(number / 3)
        width  = 8
        height = 6
        properties = {
          title   = widget.title
          region  = local.region
          view    = "timeSeries"
          stat    = widget.stat
          period  = 300
          metrics = widget.metrics
        }
      }],
    )
  })
}
