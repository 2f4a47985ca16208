# One page for people: what is drained, what is removed, and what went wrong. charts.json has what is shown of the
# functions' own metrics, for this page and for Grafana; a test compares it with what the functions emit.

locals {
  charts = jsondecode(file("${path.module}/charts.json"))

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
      title = chart.title
      stat  = chart.stat
      # A search has a line for each cluster that there is. As text, or both would have to be of one type.
      metrics = [for metric in chart.metrics : jsondecode(
        try(chart.by_cluster, false) && var.metrics_by_cluster
        ? jsonencode([{ expression = "SEARCH('{\"${var.metrics_namespace}\",function,cluster} function=\"${chart.function}\" MetricName=\"${metric}\"', '${chart.stat}', 300)" }])
        : jsonencode([var.metrics_namespace, metric, "function", chart.function])
      )]
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
