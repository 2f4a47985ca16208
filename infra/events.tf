# What wakes the Spot drainer and the scale-in reaper.

locals {
  spot_drainer    = contains(var.functions, "spot-drainer")
  scale_in_reaper = contains(var.functions, "scale-in-reaper")
  queue           = local.spot_drainer && var.spot_delivery == "queue"

  interruptions = {
    spot-interruption                 = { detail_type = "EC2 Spot Instance Interruption Warning", wanted = true }
    capacity-reservation-interruption = { detail_type = "EC2 Capacity Reservation Instance Interruption Warning", wanted = true }
    interruptible-reservation         = { detail_type = "EC2 Interruptible Capacity Reservation Instance Interruption Warning", wanted = true }
    capacity-block-expiration         = { detail_type = "Capacity Block Reservation Expiration Warning", wanted = true }
    rebalance-recommendation          = { detail_type = "EC2 Instance Rebalance Recommendation", wanted = var.drain_on_rebalance }
    # The events of AWS Health that end an instance on a day to come. Spot drainer and rule name the same.
    retirement = {
      source      = "aws.health"
      detail_type = "AWS Health Event"
      detail = {
        service = ["EC2"]
        eventTypeCode = [
          "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED", "AWS_EC2_INSTANCE_RETIREMENT_EXPEDITED",
          "AWS_EC2_PERSISTENT_INSTANCE_RETIREMENT_SCHEDULED", "AWS_EC2_PERSISTENT_INSTANCE_RETIREMENT_EXPEDITED",
          "AWS_EC2_INSTANCE_STOP_SCHEDULED", "AWS_EC2_INSTANCE_TERMINATION_SCHEDULED",
        ]
      }
      wanted = true
    }
    # An instance that was stopped or hibernated is set to ACTIVE again when it is back. Launches come as well, and cost a
    # look-up for each cluster.
    instance-running = { detail_type = "EC2 Instance State-change Notification", detail = { state = ["running"] }, wanted = true }
  }

  dead_letter_senders = {
    "spot-drainer"      = { service = "events.amazonaws.com", arns = [for rule in aws_cloudwatch_event_rule.interruption : rule.arn] }
    "lifecycle-drainer" = { service = "sns.amazonaws.com", arns = aws_sns_topic.lifecycle[*].arn }
  }
}

resource "aws_cloudwatch_event_rule" "interruption" {
  for_each = { for name, event in local.interruptions : name => event if event.wanted && local.spot_drainer }

  name        = "${var.name_prefix}-${each.key}"
  description = "${each.value.detail_type}, for the Spot drainer"
  event_pattern = jsonencode(merge(
    { source = [try(each.value.source, "aws.ec2")], detail-type = [each.value.detail_type] },
    can(each.value.detail) ? { detail = each.value.detail } : {},
  ))
  tags = var.tags
}

resource "aws_cloudwatch_event_target" "interruption" {
  for_each = aws_cloudwatch_event_rule.interruption

  rule = each.value.name
  arn  = local.queue ? aws_sqs_queue.notices[0].arn : aws_lambda_function.this["spot-drainer"].arn

  # The default is 24 hours. After two minutes the instance is gone.
  retry_policy {
    maximum_event_age_in_seconds = 120
    maximum_retry_attempts       = 185
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters["spot-drainer"].arn
  }
}

# Notices go over a queue, as Lambda's own retries of an asynchronous event come after one and two minutes, too late for
# a notice of two. A queue delivers again within seconds, one message at a time, and lets notices be handled together.
resource "aws_sqs_queue" "notices" {
  count = local.queue ? 1 : 0

  name = "${var.name_prefix}-notices"
  # As long as the function may run, the least that Lambda accepts. AWS recommends six times as much, which would be
  # longer than the notice.
  visibility_timeout_seconds = local.functions["spot-drainer"].timeout
  # The default is four days. A notice that nobody took for an hour is about an instance that is gone.
  message_retention_seconds = 3600
  kms_master_key_id         = var.kms_key_arn
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  tags                      = var.tags

  # Four receives of 30 seconds are the two minutes of a notice.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters["spot-drainer"].arn
    maxReceiveCount     = 4
  })
}

resource "aws_sqs_queue_policy" "notices" {
  count = local.queue ? 1 : 0

  queue_url = aws_sqs_queue.notices[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TakeNotices"
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.notices[0].arn
      Condition = { ArnEquals = { "aws:SourceArn" = [for rule in aws_cloudwatch_event_rule.interruption : rule.arn] } }
    }]
  })
}

resource "aws_lambda_event_source_mapping" "notices" {
  count = local.queue ? 1 : 0

  event_source_arn = aws_sqs_queue.notices[0].arn
  function_name    = aws_lambda_function.this["spot-drainer"].arn
  # What one look-up can ask for; the default is ten. A batch is handed over as soon as it is full, or after a second.
  batch_size                         = 80
  maximum_batching_window_in_seconds = 1
  # Only the messages that failed come again.
  function_response_types = ["ReportBatchItemFailures"]
  tags                    = var.tags
}

resource "aws_lambda_permission" "interruption" {
  for_each = var.spot_delivery == "direct" ? aws_cloudwatch_event_rule.interruption : {}

  statement_id  = each.key
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this["spot-drainer"].function_name
  principal     = "events.amazonaws.com"
  source_arn    = each.value.arn
}

resource "aws_scheduler_schedule" "sweep" {
  #checkov:skip=CKV_AWS_297:All that could be encrypted is an input that is the same for everybody.
  count = local.scale_in_reaper ? 1 : 0

  name                = "${var.name_prefix}-sweep"
  description         = "Wakes the scale-in reaper"
  schedule_expression = var.schedule_expression

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this["scale-in-reaper"].arn
    role_arn = local.role_arns["schedule"]
    # The whole event: EventBridge Scheduler puts no envelope around it. The mode is a setting of the function.
    input = jsonencode({ source = "schedule" })

    # The default is 185 times in 24 hours. After half an hour the next sweep is due.
    retry_policy {
      maximum_event_age_in_seconds = 1800
      maximum_retry_attempts       = 10
    }

    dead_letter_config {
      arn = aws_sqs_queue.dead_letters["scale-in-reaper"].arn
    }
  }

  # Without its policy a first sweep would find a role that may do nothing.
  depends_on = [aws_iam_role_policy.schedule]
}

resource "aws_scheduler_schedule" "replace" {
  #checkov:skip=CKV_AWS_297:All that could be encrypted is an input that is the same for everybody.
  count = local.scale_in_reaper && var.replace_schedule != null ? 1 : 0

  name                = "${var.name_prefix}-replace"
  description         = "Has the scale-in reaper replace old container instances"
  schedule_expression = var.replace_schedule

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this["scale-in-reaper"].arn
    role_arn = local.role_arns["schedule"]
    # Whether anything is changed is a setting of the function.
    input = jsonencode({ source = "schedule", mode = "replace" })

    # The default is 185 times in 24 hours. After half an hour the next sweep is due.
    retry_policy {
      maximum_event_age_in_seconds = 1800
      maximum_retry_attempts       = 10
    }

    dead_letter_config {
      arn = aws_sqs_queue.dead_letters["scale-in-reaper"].arn
    }
  }

  # Without its policy a first sweep would find a role that may do nothing.
  depends_on = [aws_iam_role_policy.schedule]
}

resource "aws_scheduler_schedule" "summary" {
  #checkov:skip=CKV_AWS_297:All that could be encrypted is an input that is the same for everybody.
  # Not by the topic, which may be unknown until it is made.
  count = local.scale_in_reaper && var.summary_schedule != null ? 1 : 0

  name                = "${var.name_prefix}-summary"
  description         = "Has the scale-in reaper tell people what a week came to"
  schedule_expression = var.summary_schedule
  state               = local.summarizes ? "ENABLED" : "DISABLED"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this["scale-in-reaper"].arn
    role_arn = local.role_arns["schedule"]
    input    = jsonencode({ source = "schedule", mode = "summary" })

    # As for a sweep: what a throttled Scheduler sends later than that is old.
    retry_policy {
      maximum_event_age_in_seconds = 1800
      maximum_retry_attempts       = 10
    }

    dead_letter_config {
      arn = aws_sqs_queue.dead_letters["scale-in-reaper"].arn
    }
  }

  # Without its policy a first summary would find a role that may do nothing.
  depends_on = [aws_iam_role_policy.schedule]
}
