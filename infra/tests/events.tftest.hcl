# What is delivered to whom, checked against the sample events.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  package_path        = "tests/packages/%s.zip"
  ecs_clusters        = ["shop"]
  auto_scaling_groups = ["shop-spot", "shop-on-demand"]
  drain_on_rebalance  = true
}

run "sample" {
  module {
    source = "./tests/events"
  }

  assert {
    condition     = length(output.events) > 100
    error_message = "There are only ${length(output.events)} sample events."
  }
}

run "rules_match_the_sample_events" {
  assert {
    condition = alltrue([
      for pattern in [for rule in aws_cloudwatch_event_rule.interruption : jsondecode(rule.event_pattern)] :
      length(setsubtract(keys(pattern), ["source", "detail-type", "detail"])) == 0 && length(setsubtract(keys(try(pattern.detail, {})), ["state", "service", "eventTypeCode"])) == 0
    ])
    error_message = "These tests read patterns of source, detail-type, detail.state and detail.eventTypeCode only."
  }

  # Malformed ones too: they claim to be ours, and must reach the dead-letter queue.
  assert {
    condition = alltrue([
      for file, events in run.sample.events : anytrue([
        for pair in setproduct(events, [
          for pattern in [for rule in aws_cloudwatch_event_rule.interruption : jsondecode(rule.event_pattern)] :
          {
            source = pattern.source[0], detail_type = pattern["detail-type"][0], state = try(pattern.detail.state[0], "")
            codes  = join(",", try(pattern.detail.eventTypeCode, []))
          }
        ]) :
        pair[1].source == pair[0].source && pair[1].detail_type == pair[0].detail_type && contains(["", pair[0].state], pair[1].state) &&
        (pair[1].codes == "" || contains(split(",", pair[1].codes), pair[0].code))
      ]) if startswith(file, "spot-drainer/") && !strcontains(file, "/foreign-")
    ])
    error_message = "A sample event of the Spot drainer matches no rule."
  }

  assert {
    condition = !anytrue(flatten([
      for file, events in run.sample.events : [
        for pair in setproduct(events, [
          for pattern in [for rule in aws_cloudwatch_event_rule.interruption : jsondecode(rule.event_pattern)] :
          {
            source = pattern.source[0], detail_type = pattern["detail-type"][0], state = try(pattern.detail.state[0], "")
            codes  = join(",", try(pattern.detail.eventTypeCode, []))
          }
        ]) :
        pair[1].source == pair[0].source && pair[1].detail_type == pair[0].detail_type && contains(["", pair[0].state], pair[1].state) &&
        (pair[1].codes == "" || contains(split(",", pair[1].codes), pair[0].code))
      ] if startswith(file, "spot-drainer/foreign-")
    ]))
    error_message = "A foreign sample event matches a rule."
  }
}

run "notices_come_over_a_queue_within_their_two_minutes" {
  assert {
    condition     = toset([for target in aws_cloudwatch_event_target.interruption : target.arn]) == toset([aws_sqs_queue.notices[0].arn])
    error_message = "A rule does not send to the queue."
  }
  assert {
    condition     = aws_sqs_queue.notices[0].visibility_timeout_seconds == aws_lambda_function.this["spot-drainer"].timeout
    error_message = "The queue's visibility time-out is not the function's time-out."
  }
  assert {
    condition     = aws_sqs_queue.notices[0].visibility_timeout_seconds * jsondecode(aws_sqs_queue.notices[0].redrive_policy).maxReceiveCount <= 120
    error_message = "A notice is received for longer than its two minutes."
  }
  assert {
    condition     = aws_lambda_event_source_mapping.notices[0].function_response_types == toset(["ReportBatchItemFailures"])
    error_message = "One failed message would bring back its batch."
  }
  assert {
    condition     = alltrue([for target in aws_cloudwatch_event_target.interruption : target.dead_letter_config[0].arn == aws_sqs_queue.dead_letters["spot-drainer"].arn])
    error_message = "A rule has no dead-letter queue."
  }
  assert {
    condition     = length(aws_lambda_permission.interruption) == 0
    error_message = "EventBridge may invoke the function, although it sends to the queue."
  }
}

run "notices_come_directly_on_demand" {
  variables {
    spot_delivery = "direct"
  }

  assert {
    condition     = toset([for target in aws_cloudwatch_event_target.interruption : target.arn]) == toset([aws_lambda_function.this["spot-drainer"].arn])
    error_message = "A rule does not send to the function."
  }
  assert {
    condition     = length(aws_sqs_queue.notices) + length(aws_lambda_event_source_mapping.notices) == 0
    error_message = "There is a queue that nobody sends to."
  }
  assert {
    condition     = toset([for permission in aws_lambda_permission.interruption : permission.principal]) == toset(["events.amazonaws.com"]) && length(aws_lambda_permission.interruption) == 7
    error_message = "EventBridge may not invoke the function."
  }
}

run "rebalance_recommendations_come_only_if_wanted" {
  variables {
    drain_on_rebalance = false
  }

  assert {
    condition     = toset(keys(aws_cloudwatch_event_rule.interruption)) == toset(["spot-interruption", "capacity-reservation-interruption", "interruptible-reservation", "capacity-block-expiration", "retirement", "instance-running"])
    error_message = "Other rules than for interruptions."
  }
}

run "terminations_reach_the_lifecycle_drainer" {
  assert {
    condition = alltrue([
      for file, events in run.sample.events : anytrue([
        for event in events : contains([for hook in aws_autoscaling_lifecycle_hook.termination : hook.lifecycle_transition], event.transition)
      ]) if startswith(file, "lifecycle-drainer/sns-")
    ])
    error_message = "A sample message of a termination is about another transition than the hooks."
  }
  assert {
    condition     = toset([for hook in aws_autoscaling_lifecycle_hook.termination : hook.autoscaling_group_name]) == toset(["shop-spot", "shop-on-demand"])
    error_message = "The hooks are on other groups than those named."
  }
  assert {
    condition     = alltrue([for hook in aws_autoscaling_lifecycle_hook.termination : hook.notification_target_arn == aws_sns_topic.lifecycle[0].arn && hook.default_result == "CONTINUE"])
    error_message = "A hook does not tell the topic, or abandons when nobody answers."
  }
  assert {
    condition = (
      aws_sns_topic_subscription.lifecycle[0].topic_arn == aws_sns_topic.lifecycle[0].arn &&
      aws_sns_topic_subscription.lifecycle[0].endpoint == aws_lambda_function.this["lifecycle-drainer"].arn &&
      aws_sns_topic_subscription.lifecycle[0].filter_policy == null &&
      aws_lambda_permission.lifecycle[0].source_arn == aws_sns_topic.lifecycle[0].arn
    )
    error_message = "What the topic is told does not reach the function."
  }
  assert {
    condition     = aws_lambda_function.this["lifecycle-drainer"].environment[0].variables.HOP_SECONDS + 60 <= aws_lambda_function.this["lifecycle-drainer"].timeout
    error_message = "The function ends before its hop."
  }
  assert {
    condition     = aws_lambda_function_recursion_config.lifecycle_drainer[0].recursive_loop == "Allow"
    error_message = "Lambda would cut long drains as a loop."
  }
}

run "hooks_made_elsewhere_are_taken_beside_those_of_the_module" {
  variables {
    lifecycle_hooks = ["team-drain"]
  }

  assert {
    condition     = aws_lambda_function.this["lifecycle-drainer"].environment[0].variables.LIFECYCLE_HOOKS == "ebb-drain,team-drain"
    error_message = "LIFECYCLE_HOOKS: ${aws_lambda_function.this["lifecycle-drainer"].environment[0].variables.LIFECYCLE_HOOKS}"
  }
}

run "only_the_hooks_and_the_function_publish_to_the_topic" {
  assert {
    condition = alltrue([
      for publishers in [
        toset(jsondecode(aws_sns_topic_policy.lifecycle[0].policy).Statement[0].Principal.AWS),
        toset(jsondecode(aws_sns_topic_policy.lifecycle[0].policy).Statement[1].Condition.ArnNotEquals["aws:PrincipalArn"]),
      ] : publishers == toset([aws_iam_role.hooks[0].arn, aws_iam_role.function["lifecycle-drainer"].arn])
    ])
    error_message = "Others may publish: ${aws_sns_topic_policy.lifecycle[0].policy}"
  }
  assert {
    condition = [for statement in jsondecode(aws_sns_topic_policy.lifecycle[0].policy).Statement : [statement.Effect, statement.Action]] == [
      ["Allow", "sns:Publish"], ["Deny", "sns:Publish"],
    ]
    error_message = "The policy does not deny publishing to all others."
  }
  assert {
    condition     = aws_sns_topic_policy.lifecycle[0].arn == aws_sns_topic.lifecycle[0].arn
    error_message = "It is another topic's policy."
  }
}

run "hooks_on_other_groups_than_the_reaper_shrinks" {
  variables {
    termination_hook_groups = ["shop-spot", "legacy"]
  }

  assert {
    condition     = toset(keys(aws_autoscaling_lifecycle_hook.termination)) == toset(["shop-spot", "legacy"])
    error_message = "The hooks are on other groups than those named."
  }
  assert {
    condition     = aws_lambda_function.this["scale-in-reaper"].environment[0].variables.AUTO_SCALING_GROUPS == "shop-spot,shop-on-demand"
    error_message = "The reaper shrinks other groups than those named."
  }
}

run "old_instances_are_replaced_by_a_schedule_of_its_own" {
  variables {
    reaper_mode        = "act"
    replace_schedule   = "rate(1 hour)"
    replace_after_days = 30
  }

  assert {
    condition     = aws_scheduler_schedule.replace[0].schedule_expression == "rate(1 hour)"
    error_message = "Not every hour."
  }
  assert {
    condition     = jsondecode(aws_scheduler_schedule.replace[0].target[0].input).mode == "replace"
    error_message = "The schedule asks for another sweep."
  }
  assert {
    condition     = aws_lambda_function.this["scale-in-reaper"].environment[0].variables.REPLACE_AFTER_DAYS == "30"
    error_message = "The function does not know the age."
  }
  assert {
    condition = anytrue([
      for statement in jsondecode(aws_iam_role_policy.function["scale-in-reaper"].policy).Statement : statement.Sid == "RaiseGroups"
    ])
    error_message = "The function may not raise the groups."
  }
}

run "a_week_is_told_by_a_schedule_of_its_own" {
  variables {
    notification_topic_arn = "arn:aws-cn:sns:cn-north-1:111122223333:people"
  }

  assert {
    condition     = aws_scheduler_schedule.summary[0].schedule_expression == "cron(0 8 ? * MON *)" && aws_scheduler_schedule.summary[0].state == "ENABLED"
    error_message = "Not once a week."
  }
  assert {
    condition     = jsondecode(aws_scheduler_schedule.summary[0].target[0].input).mode == "summary"
    error_message = "The schedule asks for a sweep."
  }
  assert {
    condition     = aws_scheduler_schedule.summary[0].target[0].dead_letter_config[0].arn == aws_sqs_queue.dead_letters["scale-in-reaper"].arn
    error_message = "A summary that could not be started leaves no trace."
  }
  assert {
    condition = anytrue([
      for statement in jsondecode(aws_iam_role_policy.function["scale-in-reaper"].policy).Statement : statement.Sid == "ReadMetrics"
    ])
    error_message = "The function may not read the metrics."
  }
}

run "who_wants_no_week_has_neither_its_schedule_nor_its_permission" {
  variables {
    notification_topic_arn = "arn:aws-cn:sns:cn-north-1:111122223333:people"
    summary_schedule       = null
  }

  assert {
    condition     = length(aws_scheduler_schedule.summary) == 0
    error_message = "A week is told all the same."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.function["scale-in-reaper"].policy).Statement : statement.Sid != "ReadMetrics"
    ])
    error_message = "The function may read metrics for nothing."
  }
}

run "sweeps_are_scheduled" {
  assert {
    condition     = aws_scheduler_schedule.summary[0].state == "DISABLED"
    error_message = "There is nobody to tell of a week."
  }
  assert {
    condition     = length(aws_scheduler_schedule.replace) == 0
    error_message = "Nobody asked for a sweep that replaces."
  }
  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.function["scale-in-reaper"].policy).Statement : statement.Sid != "RaiseGroups"
    ])
    error_message = "The function may raise groups although it replaces nothing."
  }
  assert {
    condition     = aws_scheduler_schedule.sweep[0].schedule_expression == "rate(30 minutes)"
    error_message = "Not every half hour."
  }
  assert {
    condition     = can(keys(jsondecode(aws_scheduler_schedule.sweep[0].target[0].input)))
    error_message = "The input is no JSON object."
  }
  assert {
    condition     = aws_scheduler_schedule.sweep[0].target[0].dead_letter_config[0].arn == aws_sqs_queue.dead_letters["scale-in-reaper"].arn
    error_message = "A sweep that could not be started leaves no trace."
  }
  assert {
    condition     = aws_lambda_function.this["scale-in-reaper"].reserved_concurrent_executions == 1
    error_message = "Two sweeps may run at once."
  }
}
