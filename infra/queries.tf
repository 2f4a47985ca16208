# Questions to the logs that an operator has at night, as saved queries of CloudWatch Logs Insights. The runbook has the
# same queries; a test compares the two.

locals {
  queries = {
    # One line for each invocation.
    answers           = <<-EOT
      filter fields.event.name = "answer"
      | fields @timestamp, @log, fields.message, fields.failed, fields.duration_ms, @message
      | sort @timestamp desc
      | limit 200
    EOT
    errors            = <<-EOT
      filter level in ["ERROR", "WARN"] or type = "platform.report" and record.status != "success"
      | fields @timestamp, @log, level, fields.message, fields.error, record.status
      | sort @timestamp desc
      | limit 200
    EOT
    what-holds-drains = <<-EOT
      filter level = "WARN" and ispresent(fields.drain.deadline)
      | fields @timestamp, span.asg.name, span.host.id, fields.drain.deadline, fields.message
      | sort @timestamp desc
      | limit 200
    EOT
    # Put the instance's id in the place of this one.
    instance = <<-EOT
      filter @message like "i-0123456789abcdef0"
      | fields @timestamp, @log, level, fields.message, @message
      | sort @timestamp asc
      | limit 1000
    EOT
    plans    = <<-EOT
      filter fields.event.name = "plan"
      | fields @timestamp, span.ecs.cluster, fields.message
      | sort @timestamp desc
      | limit 50
    EOT
  }
}

resource "aws_cloudwatch_query_definition" "this" {
  for_each = local.queries

  name            = "${var.name_prefix}/${each.key}"
  log_group_names = [for group in aws_cloudwatch_log_group.function : group.name]
  query_string    = each.value
}
