# What every function is given.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  package_path        = "tests/packages/%s.zip"
  ecs_clusters        = ["shop", "arn:aws-cn:ecs:cn-north-1:111122223333:cluster/till"]
  auto_scaling_groups = ["shop-spot"]
  name_prefix         = "one"
}

run "every_function_has_what_it_needs" {
  assert {
    condition     = toset(keys(aws_lambda_function.this)) == toset(["spot-drainer", "lifecycle-drainer", "scale-in-reaper"])
    error_message = "Not the three functions."
  }
  assert {
    condition = alltrue([
      for function in aws_lambda_function.this : function.runtime == "provided.al2023" && function.architectures == tolist(["arm64"])
    ])
    error_message = "Not arm64 on provided.al2023."
  }
  assert {
    condition     = { for name, function in aws_lambda_function.this : name => function.memory_size } == { spot-drainer = 128, lifecycle-drainer = 128, scale-in-reaper = 256 }
    error_message = "Other memory than measured."
  }
  assert {
    condition     = alltrue([for function in aws_lambda_function.this : function.logging_config[0].log_format == "JSON"])
    error_message = "A function's logs are not JSON."
  }
  assert {
    condition     = alltrue([for name in keys(aws_lambda_function.this) : aws_cloudwatch_log_group.function[name].retention_in_days > 0])
    error_message = "A function's logs are kept for ever."
  }
  assert {
    condition = alltrue([
      for name in keys(aws_lambda_function.this) : endswith(aws_lambda_function_event_invoke_config.this[name].destination_config[0].on_failure[0].destination, ":dead-letters-of-${name}")
    ])
    error_message = "A function has no dead-letter queue."
  }
  assert {
    condition = alltrue([
      for pair in setproduct(keys(aws_lambda_function.this), ["errors", "throttles", "dead-letters"]) : contains(keys(aws_cloudwatch_metric_alarm.this), join("-", pair))
    ])
    error_message = "A function lacks an alarm."
  }
  assert {
    condition = length(aws_cloudwatch_metric_alarm.sweep_missing) == 1 && length(setsubtract(
      [
        "spot-drainer-latency", "spot-drainer-undelivered", "spot-drainer-notices-age", "lifecycle-drainer-timed-out",
        "lifecycle-drainer-hook-timed-out", "lifecycle-drainer-stuck", "lifecycle-drainer-recursion-dropped", "lifecycle-drainer-undelivered",
        "lifecycle-drainer-heartbeats-failed", "scale-in-reaper-sweeps-failed",
      ],
      keys(aws_cloudwatch_metric_alarm.this),
    )) == 0
    error_message = "An alarm is missing."
  }
}

run "each_alarm_names_its_section_of_the_runbook" {
  variables {
    fallback_asg         = "shop-fallback"
    account_concurrency  = 1000
    reserved_concurrency = { lifecycle-drainer = 10 }
  }

  assert {
    condition = alltrue([
      for alarm in concat(values(aws_cloudwatch_metric_alarm.this), aws_cloudwatch_metric_alarm.sweep_missing) :
      can(regex("[.)] Runbook: docs/runbook.md#[a-z-]+$", alarm.alarm_description)) &&
      strcontains(file("../docs/runbook.md"), "\n### ${reverse(split("#", alarm.alarm_description))[0]}\n")
    ])
    error_message = "An alarm's section is not in the runbook: ${jsonencode([for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_description])}"
  }
  assert {
    condition     = alltrue([for name in ["spot-drainer-not-replaced", "lifecycle-drainer-concurrency", "account-concurrency"] : contains(keys(aws_cloudwatch_metric_alarm.this), name)])
    error_message = "An alarm that was asked for is missing."
  }
  # CloudWatch keeps no more.
  assert {
    condition     = alltrue([for alarm in aws_cloudwatch_metric_alarm.this : length(alarm.alarm_description) <= 1024])
    error_message = "An alarm's description is too long."
  }
}

run "the_saved_queries_are_those_of_the_runbook" {
  assert {
    condition     = alltrue([for query in aws_cloudwatch_query_definition.this : strcontains(file("../docs/runbook.md"), query.query_string)])
    error_message = "The runbook has another query than the module saves."
  }
  assert {
    condition     = alltrue([for name in keys(aws_cloudwatch_query_definition.this) : strcontains(file("../docs/runbook.md"), "`${name}`: ")])
    error_message = "The runbook does not name a saved query."
  }
}

run "settings_are_texts_that_the_functions_read" {
  variables {
    fallback_auto_scaling_groups = { shop-spot = "shop-on-demand" }
    instance_prices              = { "m7g.large" = 0.0898 }
    headroom_tasks               = { web = 3 }
    budgets = [
      { share = 0, schedule = "0 9 * * MON-FRI", time_zone = "Europe/Berlin", duration = "8h" },
      { count = 3, reasons = ["consolidate"] },
    ]
    managed_scaling       = "assist"
    hop_seconds           = 120
    drain_timeout_seconds = 3600
  }

  assert {
    condition = aws_lambda_function.this["scale-in-reaper"].environment[0].variables == tomap({
      ECS_CLUSTERS               = "shop,arn:aws-cn:ecs:cn-north-1:111122223333:cluster/till"
      DRY_RUN                    = "false"
      REAPER_MODE                = "plan"
      HEADROOM_CPU_PERCENT       = "20"
      HEADROOM_MEMORY_PERCENT    = "20"
      HEADROOM_LARGEST_TASKS     = "0"
      HEADROOM_TASKS             = "{\"web\":3}"
      MAX_REMOVALS_PERCENT       = "10"
      MAX_EMPTY_REMOVALS_PERCENT = "50"
      BUDGETS                    = "[{\"duration\":\"8h\",\"schedule\":\"0 9 * * MON-FRI\",\"share\":0,\"time_zone\":\"Europe/Berlin\"},{\"count\":3,\"reasons\":[\"consolidate\"]}]"
      MIN_INSTANCES              = "1"
      MIN_INSTANCE_AGE_SECONDS   = "900"
      AUTO_SCALING_GROUPS        = "shop-spot"
      MANAGED_SCALING            = "assist"
      ALLOW_STANDALONE_TASKS     = "false"
      INSTANCE_PRICES            = "{\"m7g.large\":0.0898}"
      LIFECYCLE_TOPIC_ARN        = "arn:aws-cn:sns:cn-north-1:111122223333:one-lifecycle"
      NOTIFICATION_FORMAT        = "text"
      NOTIFY_PLANS               = "false"
      METRICS_NAMESPACE          = "Ebb"
      METRICS_BY_CLUSTER         = "true"

      LOW_FOR_SWEEPS               = "2"
      HOLD_AFTER_TAKE_BACK_SECONDS = "10800"
      HALT_AT_DISCONNECTED_PERCENT = "25"
      HALT_ON_ZONAL_SHIFT          = "true"

      FALLBACK_AUTO_SCALING_GROUPS = "{\"shop-spot\":\"shop-on-demand\"}"
      FALLBACK_WHOLE_SWEEPS        = "2"
    })
    error_message = "The scale-in reaper's settings: ${jsonencode(aws_lambda_function.this["scale-in-reaper"].environment[0].variables)}"
  }
  assert {
    condition = aws_lambda_function.this["lifecycle-drainer"].environment[0].variables == tomap({
      ECS_CLUSTERS          = "shop,arn:aws-cn:ecs:cn-north-1:111122223333:cluster/till"
      LIFECYCLE_HOOKS       = "one-drain"
      DRY_RUN               = "false"
      DRAIN_TIMEOUT_SECONDS = "3600"
      POLL_INTERVAL_SECONDS = "15"
      HOP_SECONDS           = "120"
      ON_TIMEOUT            = "continue"
      STANDALONE_TASKS      = "wait"
      NOTIFICATION_FORMAT   = "text"
      METRICS_NAMESPACE     = "Ebb"
      METRICS_BY_CLUSTER    = "true"
    })
    error_message = "The lifecycle drainer's settings: ${jsonencode(aws_lambda_function.this["lifecycle-drainer"].environment[0].variables)}"
  }
  assert {
    condition     = aws_lambda_function.this["lifecycle-drainer"].timeout == 180
    error_message = "The lifecycle drainer's time-out does not follow from its hop."
  }
}

run "the_reaper_counts_on_no_hook_where_no_drainer_acts" {
  variables {
    dry_run = true
  }

  assert {
    condition     = !contains(keys(aws_lambda_function.this["scale-in-reaper"].environment[0].variables), "LIFECYCLE_TOPIC_ARN")
    error_message = "A drainer that only logs is taken to hold instances."
  }
}

run "the_reaper_counts_on_the_hooks_of_a_drainer_elsewhere" {
  variables {
    functions           = ["scale-in-reaper"]
    lifecycle_topic_arn = "arn:aws-cn:sns:cn-north-1:111122223333:another-lifecycle"
  }

  assert {
    condition     = aws_lambda_function.this["scale-in-reaper"].environment[0].variables["LIFECYCLE_TOPIC_ARN"] == "arn:aws-cn:sns:cn-north-1:111122223333:another-lifecycle"
    error_message = "The topic that was named is not passed."
  }
}

run "what_is_not_named_stays_unset" {
  variables {
    ecs_clusters        = null
    auto_scaling_groups = null
  }

  assert {
    condition = alltrue([
      for function in aws_lambda_function.this : length(setintersection(keys(function.environment[0].variables), ["ECS_CLUSTERS", "AUTO_SCALING_GROUPS", "FALLBACK_ASG", "FALLBACK_AUTO_SCALING_GROUPS", "NOTIFICATION_TOPIC_ARN", "INSTANCE_PRICES", "LIFECYCLE_HOOKS"])) == 0
    ])
    error_message = "A setting that nobody gave is set."
  }
  assert {
    condition     = length(aws_autoscaling_lifecycle_hook.termination) == 0
    error_message = "There are hooks, although no group is named."
  }
}

# All names of two instances differ if all names begin with the prefix. IAM and dashboards are shared by all Regions.
run "every_name_begins_with_the_prefix" {
  variables {
    drain_on_rebalance = true
  }

  assert {
    condition = alltrue([
      for name in concat(
        [for resource in aws_lambda_function.this : resource.function_name],
        [for resource in aws_cloudwatch_log_group.function : trimprefix(resource.name, "/aws/lambda/")],
        [for resource in aws_sqs_queue.dead_letters : resource.name],
        [for resource in aws_sqs_queue.notices : resource.name],
        [for resource in aws_sns_topic.lifecycle : resource.name],
        [for resource in aws_cloudwatch_event_rule.interruption : resource.name],
        [for resource in aws_autoscaling_lifecycle_hook.termination : resource.name],
        [for resource in aws_scheduler_schedule.sweep : resource.name],
        [for resource in aws_cloudwatch_metric_alarm.this : resource.alarm_name],
        [for resource in aws_cloudwatch_metric_alarm.sweep_missing : resource.alarm_name],
        [for resource in aws_cloudwatch_query_definition.this : replace(resource.name, "/", "-")],
        [for resource in aws_iam_role.function : resource.name],
        [for resource in aws_iam_role.hooks : resource.name],
        [for resource in aws_iam_role.schedule : resource.name],
        [aws_cloudwatch_dashboard.this.dashboard_name],
      ) : startswith(name, "one-")
    ])
    error_message = "A name does not begin with name_prefix."
  }
  assert {
    condition = alltrue([
      for name in concat([for role in aws_iam_role.function : role.name], aws_iam_role.hooks[*].name, aws_iam_role.schedule[*].name, [aws_cloudwatch_dashboard.this.dashboard_name]) : endswith(name, "-cn-north-1")
    ])
    error_message = "The same name in two Regions would clash."
  }
}

run "the_longest_names_fit" {
  variables {
    name_prefix        = "abcdefghijklmnopqrstuvwxyz12"
    drain_on_rebalance = true
  }

  assert {
    condition     = alltrue([for role in aws_iam_role.function : length(role.name) + length("ap-southeast-1") - length("cn-north-1") <= 64])
    error_message = "A role's name is too long."
  }
  assert {
    condition     = alltrue([for rule in aws_cloudwatch_event_rule.interruption : length(rule.name) <= 64])
    error_message = "A rule's name is too long."
  }
}

run "one_function_alone" {
  variables {
    functions = ["spot-drainer"]
  }

  assert {
    condition = (
      keys(aws_lambda_function.this) == ["spot-drainer"] &&
      length(aws_sns_topic.lifecycle) + length(aws_autoscaling_lifecycle_hook.termination) + length(aws_scheduler_schedule.sweep) + length(aws_cloudwatch_metric_alarm.sweep_missing) == 0
    )
    error_message = "More than the Spot drainer is deployed."
  }
}

run "each_of_the_others_alone" {
  variables {
    functions = ["lifecycle-drainer"]
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.interruption) + length(aws_sqs_queue.notices) + length(aws_scheduler_schedule.sweep) == 0 && length(aws_autoscaling_lifecycle_hook.termination) == 1
    error_message = "More or less than the lifecycle drainer is deployed."
  }
}

run "the_reaper_alone" {
  variables {
    functions = ["scale-in-reaper"]
  }

  assert {
    condition     = length(aws_cloudwatch_event_rule.interruption) + length(aws_sns_topic.lifecycle) == 0 && length(aws_scheduler_schedule.sweep) == 1
    error_message = "More or less than the scale-in reaper is deployed."
  }
}

run "a_cluster_of_another_account_is_refused" {
  command = plan
  variables {
    ecs_clusters = ["arn:aws-cn:ecs:cn-north-1:444455556666:cluster/till"]
  }
  expect_failures = [aws_lambda_function.this]
}

run "a_cluster_of_another_region_is_refused" {
  command = plan
  variables {
    ecs_clusters = ["arn:aws-cn:ecs:cn-northwest-1:111122223333:cluster/till"]
  }
  expect_failures = [aws_lambda_function.this]
}

run "a_topic_of_another_region_is_refused" {
  command = plan
  variables {
    notification_topic_arn = "arn:aws-cn:sns:cn-northwest-1:111122223333:people"
  }
  expect_failures = [aws_lambda_function.this]
}

run "groups_whose_names_are_known_only_later_get_hooks_by_their_keys" {
  variables {
    auto_scaling_groups        = null
    auto_scaling_groups_by_key = { web = "web-20261127", workers = "workers-20261127" }
  }

  assert {
    condition     = { for key, hook in aws_autoscaling_lifecycle_hook.termination : key => hook.autoscaling_group_name } == { web = "web-20261127", workers = "workers-20261127" }
    error_message = "Not a hook for each group."
  }
  assert {
    condition     = aws_lambda_function.this["scale-in-reaper"].environment[0].variables["AUTO_SCALING_GROUPS"] == "web-20261127,workers-20261127"
    error_message = "The reaper may shrink other groups."
  }
}

run "a_group_that_is_named_twice_is_refused" {
  command = plan
  variables {
    auto_scaling_groups_by_key = { web = "shop-spot" }
  }
  expect_failures = [aws_lambda_function.this]
}

run "packages_from_a_bucket_in_a_vpc_with_keys" {
  variables {
    package_path            = null
    package_s3              = { bucket = "releases", key = "ebb/v1/%s-arm64.zip" }
    vpc                     = { subnet_ids = ["subnet-1"], security_group_ids = ["sg-1"] }
    use_fips_endpoints      = true
    logs_kms_key_arn        = "arn:aws-cn:kms:cn-north-1:111122223333:key/logs"
    environment_kms_key_arn = "arn:aws-cn:kms:cn-north-1:111122223333:key/environment"
  }

  assert {
    condition     = alltrue([for name, function in aws_lambda_function.this : function.s3_bucket == "releases" && function.s3_key == "ebb/v1/${name}-arm64.zip" && function.filename == null])
    error_message = "A function's package is not that of the bucket."
  }
  assert {
    condition = alltrue([
      for name, function in aws_lambda_function.this : function.vpc_config[0].subnet_ids == toset(["subnet-1"]) && function.environment[0].variables["AWS_USE_FIPS_ENDPOINT"] == "true" &&
      function.kms_key_arn == "arn:aws-cn:kms:cn-north-1:111122223333:key/environment" && aws_cloudwatch_log_group.function[name].kms_key_id == "arn:aws-cn:kms:cn-north-1:111122223333:key/logs"
    ])
    error_message = "A function lacks its VPC, its endpoints or a key."
  }
  assert {
    condition = alltrue([
      for policy in aws_iam_role_policy.function : contains(flatten([for statement in jsondecode(policy.policy).Statement : statement.Action]), "ec2:CreateNetworkInterface") &&
      contains(flatten([for statement in jsondecode(policy.policy).Statement : statement.Resource if statement.Sid == "UseKeys"]), "arn:aws-cn:kms:cn-north-1:111122223333:key/environment")
    ])
    error_message = "A role may not use its VPC or the key of its environment."
  }
}

run "two_places_of_the_packages_are_refused" {
  command = plan
  variables {
    package_s3 = { bucket = "releases", key = "%s.zip" }
  }
  expect_failures = [aws_lambda_function.this]
}

run "more_reserved_than_the_account_has_is_refused" {
  command = plan
  variables {
    account_concurrency  = 110
    reserved_concurrency = { lifecycle-drainer = 10, scale-in-reaper = 1 }
  }
  expect_failures = [aws_lambda_function.this]
}

run "settings_beyond_the_environment_are_refused" {
  command = plan
  variables {
    ecs_clusters = [for number in range(300) : format("a-cluster-with-a-long-name-%03d", number)]
  }
  expect_failures = [aws_lambda_function.this]
}
