# Every variable refuses what cannot work, at plan time. A run gives each variable one wrong value: all must be refused.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  package_path        = "tests/packages/%s.zip"
  ecs_clusters        = ["shop"]
  auto_scaling_groups = ["shop-spot"]
}

run "wrong_values_first_of_each" {
  command = plan
  variables {
    ecs_clusters                   = []
    auto_scaling_groups            = []
    termination_hook_groups        = ["shop-spot", "shop-spot"]
    functions                      = ["spot-drainer", "spot-drianer"]
    notification_topic_arn         = "arn:aws-cn:sns:cn-north-1:111122223333:people.fifo"
    notification_format            = "slack"
    metrics_namespace              = "AWS/ECS"
    fallback_asg                   = " shop"
    fallback_auto_scaling_groups   = { shop-spot = "shop", shop = "shop-on-demand" }
    fallback_whole_sweeps          = 0
    lifecycle_hooks                = []
    drain_timeout_seconds          = 172801
    poll_interval_seconds          = 61
    hop_seconds                    = 841
    on_timeout                     = "retry"
    standalone_tasks               = "kill"
    reaper_mode                    = "on"
    headroom_cpu_percent           = 91
    headroom_memory_percent        = -1
    headroom_largest_tasks         = 1001
    headroom_tasks                 = { "back office" = 1 }
    max_removals_percent           = 101
    max_empty_removals_percent     = 101
    budgets                        = [{ share = 101, count = 5001, reasons = [], schedule = "cron(0 9 * * ? *)", time_zone = "UTC+1!", duration = "8" }, { time_zone = "UTC" }]
    min_instances                  = -1
    low_for_sweeps                 = 0
    hold_after_take_back_seconds   = 604801
    halt_at_disconnected_percent   = 101
    min_instance_age_seconds       = -1
    managed_scaling                = "true"
    replace_after_days             = 0
    replace_schedule               = "1 hour"
    summary_schedule               = "0 8 * * MON"
    instance_prices                = { "m7g.large" = -1 }
    lifecycle_topic_arn            = "arn:aws-cn:sqs:cn-north-1:111122223333:ebb-lifecycle"
    name_prefix                    = "abcdefghijklmnopqrstuvwxyz123"
    package_path                   = "bootstrap.zip"
    architecture                   = "arm"
    memory_size                    = { spot-drainer = 64 }
    reserved_concurrency           = { reaper = 1 }
    spot_delivery                  = "sns"
    hook_heartbeat_timeout_seconds = 7201
    schedule_expression            = "30 minutes"
    sweep_missing_hours            = 169
    alarm_actions                  = ["people"]
    account_concurrency            = 0
    runbook_url                    = "our runbook"
    package_s3                     = { bucket = "releases", key = "bootstrap.zip" }
    vpc                            = { subnet_ids = [], security_group_ids = ["sg-1"] }
    logs_kms_key_arn               = "alias/logs"
    environment_kms_key_arn        = "alias/environment"
    log_retention_days             = 31
    log_level                      = "verbose"
    kms_key_arn                    = "alias/aws/sns"
    notification_topic_kms_key_arn = "arn:aws-cn:kms:cn-north-1:111122223333:alias/people"
    permissions_boundary_arn       = "arn:aws-cn:iam::111122223333:role/boundary"
    iam_path                       = "ebb"
    role_arns                      = { spot = "arn:aws-cn:iam::111122223333:role/spot" }
  }
  expect_failures = [
    var.ecs_clusters,
    var.auto_scaling_groups,
    var.termination_hook_groups,
    var.functions,
    var.notification_topic_arn,
    var.notification_format,
    var.metrics_namespace,
    var.fallback_asg,
    var.fallback_auto_scaling_groups,
    var.fallback_whole_sweeps,
    var.lifecycle_hooks,
    var.drain_timeout_seconds,
    var.poll_interval_seconds,
    var.hop_seconds,
    var.on_timeout,
    var.standalone_tasks,
    var.reaper_mode,
    var.headroom_cpu_percent,
    var.headroom_memory_percent,
    var.headroom_largest_tasks,
    var.headroom_tasks,
    var.max_removals_percent,
    var.max_empty_removals_percent,
    var.budgets,
    var.low_for_sweeps,
    var.hold_after_take_back_seconds,
    var.halt_at_disconnected_percent,
    var.min_instances,
    var.min_instance_age_seconds,
    var.replace_after_days,
    var.replace_schedule,
    var.summary_schedule,
    var.instance_prices,
    var.lifecycle_topic_arn,
    var.name_prefix,
    var.package_path,
    var.managed_scaling,
    var.architecture,
    var.memory_size,
    var.reserved_concurrency,
    var.spot_delivery,
    var.hook_heartbeat_timeout_seconds,
    var.schedule_expression,
    var.sweep_missing_hours,
    var.alarm_actions,
    var.account_concurrency,
    var.runbook_url,
    var.package_s3,
    var.vpc,
    var.logs_kms_key_arn,
    var.environment_kms_key_arn,
    var.log_retention_days,
    var.log_level,
    var.kms_key_arn,
    var.notification_topic_kms_key_arn,
    var.permissions_boundary_arn,
    var.iam_path,
    var.role_arns,
  ]
}

run "wrong_values_second_of_each" {
  command = plan
  variables {
    ecs_clusters                   = ["shop", "two words"]
    auto_scaling_groups            = ["shop-spot", "shop-spot"]
    termination_hook_groups        = ["arn:aws-cn:autoscaling:cn-north-1:111122223333:autoScalingGroup:1:autoScalingGroupName/shop"]
    functions                      = []
    metrics_namespace              = ""
    lifecycle_hooks                = ["ebb-drain,team-drain"]
    drain_timeout_seconds          = 59
    poll_interval_seconds          = 1.5
    headroom_tasks                 = { web = 0 }
    instance_prices                = { large = 1 }
    reserved_concurrency           = { spot-drainer = 0 }
    role_arns                      = { hooks = "arn:aws-cn:iam::111122223333:user/hooks" }
    hook_heartbeat_timeout_seconds = 60
  }
  expect_failures = [
    var.ecs_clusters,
    var.auto_scaling_groups,
    var.termination_hook_groups,
    var.functions,
    var.metrics_namespace,
    var.lifecycle_hooks,
    var.drain_timeout_seconds,
    var.poll_interval_seconds,
    var.headroom_tasks,
    var.instance_prices,
    var.reserved_concurrency,
    var.hook_heartbeat_timeout_seconds,
    var.role_arns,
  ]
}

run "wrong_values_third_of_each" {
  command = plan
  variables {
    ecs_clusters        = ["shop", "arn:aws-cn:ecs:cn-north-1:111122223333:cluster/shop"]
    auto_scaling_groups = ["shop-*"]
    instance_prices     = { for number in range(200) : "m7g.type${number}" => 0.0898 }
  }
  expect_failures = [
    var.ecs_clusters,
    var.auto_scaling_groups,
    var.instance_prices,
  ]
}

run "wrong_values_fourth_of_each" {
  command = plan
  variables {
    auto_scaling_groups = ["shop-spot,shop-on-demand"]
  }
  expect_failures = [
    var.auto_scaling_groups,
  ]
}

run "a_deadline_beyond_the_hooks_heartbeats" {
  command = plan
  variables {
    drain_timeout_seconds          = 12001
    hook_heartbeat_timeout_seconds = 120
  }
  expect_failures = [aws_autoscaling_lifecycle_hook.termination]
}

run "a_reaper_that_acts_in_a_dry_run" {
  command = plan
  variables {
    dry_run     = true
    reaper_mode = "act"
  }
  expect_failures = [aws_lambda_function.this]
}

run "a_role_of_another_account" {
  command = plan
  variables {
    role_arns = { spot-drainer = "arn:aws-cn:iam::444455556666:role/spot" }
  }
  expect_failures = [aws_lambda_function.this]
}

run "a_key_of_another_region" {
  command = plan
  variables {
    logs_kms_key_arn = "arn:aws-cn:kms:cn-northwest-1:111122223333:key/logs"
  }
  expect_failures = [aws_lambda_function.this]
}

# What is not deployed reserves nothing.
run "as_much_reserved_as_the_account_has" {
  command = plan
  variables {
    functions            = ["spot-drainer"]
    account_concurrency  = 106
    reserved_concurrency = { spot-drainer = 6, lifecycle-drainer = 5 }
  }
}

run "null_is_the_default" {
  command = plan
  variables {
    functions = null
    role_arns = null
  }
  assert {
    condition     = length(aws_lambda_function.this) == 3
    error_message = "Null is not the default."
  }
}

run "an_alarm_that_would_go_off_between_two_sweeps" {
  command = plan
  variables {
    schedule_expression = "rate(2 hours)"
    sweep_missing_hours = 2
  }
  expect_failures = [aws_cloudwatch_metric_alarm.sweep_missing]
}

run "an_alarm_after_a_sweep_is_missing" {
  command = plan
  variables {
    schedule_expression = "rate(1 day)"
    sweep_missing_hours = 25
  }
}

run "a_fallback_group_that_nobody_raises" {
  command = plan
  variables {
    functions    = ["scale-in-reaper"]
    fallback_asg = "shop-fallback"
  }
  expect_failures = [aws_lambda_function.this]
}

run "hooks_that_nobody_answers" {
  command = plan
  variables {
    functions               = ["scale-in-reaper"]
    termination_hook_groups = ["shop-spot"]
  }
  expect_failures = [aws_lambda_function.this]
}

run "two_names_of_one_setting_that_contradict_each_other" {
  command = plan
  variables {
    managed_scaling       = "leave"
    allow_managed_scaling = true
  }
  expect_failures = [aws_lambda_function.this]
}

run "the_fallback_group_of_all_others_is_in_the_map" {
  command = plan
  variables {
    fallback_asg                 = "shop-on-demand"
    fallback_auto_scaling_groups = { shop-spot = "shop-on-demand" }
  }
  expect_failures = [aws_lambda_function.this]
}

run "a_group_that_is_its_own_fallback" {
  command = plan
  variables {
    fallback_auto_scaling_groups = { shop-spot = "shop-spot" }
  }
  expect_failures = [var.fallback_auto_scaling_groups]
}

run "a_fallback_group_of_two_spot_groups" {
  command = plan
  variables {
    fallback_auto_scaling_groups = { shop-spot = "od", till-spot = "od" }
  }
  expect_failures = [var.fallback_auto_scaling_groups]
}

run "the_former_name_of_a_setting_alone" {
  command = plan
  variables {
    allow_managed_scaling = false
  }
}

run "a_package_that_is_not_there" {
  command = plan
  variables {
    package_path = "tests/nothing/%s.zip"
  }
  expect_failures = [aws_lambda_function.this]
}

run "an_age_at_which_nothing_replaces" {
  command = plan
  variables {
    replace_after_days = 30
  }
  expect_failures = [aws_lambda_function.this]
}

# One mistake of a variable hides its others, so that each has a run of its own.
run "a_budget_of_no_time" {
  command = plan
  variables {
    budgets = [{ count = 0, schedule = "0 9 * * *", duration = "0h 0m" }]
  }
  expect_failures = [var.budgets]
}

run "a_budget_of_more_than_a_month" {
  command = plan
  variables {
    budgets = [{ count = 0, schedule = "0 9 * * *", duration = "744h 1m" }]
  }
  expect_failures = [var.budgets]
}

run "a_budget_on_a_day_that_never_comes" {
  command = plan
  variables {
    budgets = [{ count = 0, schedule = "0 9 30,31 feb *", duration = "8h" }]
  }
  expect_failures = [var.budgets]
}

run "a_budget_on_the_last_day_of_shorter_months" {
  command = plan
  variables {
    budgets = [{ count = 0, schedule = "0 9 31 4,JUN,11 *", duration = "8h" }]
  }
  expect_failures = [var.budgets]
}

run "a_budget_at_an_hour_that_no_day_has" {
  command = plan
  variables {
    budgets = [{ count = 0, schedule = "0 24 * * *", duration = "8h" }]
  }
  expect_failures = [var.budgets]
}

run "a_budget_at_every_no_minutes" {
  command = plan
  variables {
    budgets = [{ count = 0, schedule = "*/0 * * * *", duration = "8h" }]
  }
  expect_failures = [var.budgets]
}

run "a_budget_in_a_time_zone_that_nobody_knows" {
  command = plan
  variables {
    budgets = [{ count = 0, schedule = "0 9 * * *", duration = "8h", time_zone = "Europe/Berlyn" }]
  }
  expect_failures = [aws_lambda_function.this]
}

run "the_same_budget_twice" {
  command = plan
  variables {
    budgets = [{ share = 5, reasons = ["replace", "empty"] }, { share = 5, reasons = ["empty", "replace"] }]
  }
  expect_failures = [aws_lambda_function.this]
}

run "a_budget_beside_which_a_tighter_one_holds_always" {
  command = plan
  variables {
    budgets = [{ count = 3, schedule = "0 9 * * *", duration = "8h", reasons = ["replace"] }, { count = 0 }]
  }
  expect_failures = [aws_lambda_function.this]
}

run "a_budget_within_the_window_of_a_tighter_one" {
  command = plan
  variables {
    budgets = [
      { share = 10, schedule = "0 9 * * *", duration = "1h 30m", time_zone = "europe/berlin" },
      { share = 5, schedule = "0  9 * * *", duration = "90m", time_zone = "Europe/Berlin" },
    ]
  }
  expect_failures = [aws_lambda_function.this]
}

run "budgets_of_which_each_decides_at_some_time" {
  command = plan
  variables {
    budgets = [
      { share = 10 },
      { count = 3 },
      { share = 5, schedule = "*/15 0-6,22,23 1 jan,JUL *", duration = "744h" },
      { share = 5, schedule = "0 9 29 2 sat,sun", duration = "8h" },
      { share = 5, schedule = "0 9 29 2 sat,sun", duration = "8h", time_zone = "Asia/Tokyo" },
      { share = 4, schedule = "0 9 31 2 MON-FRI", duration = "90m" },
      { count = 2, reasons = ["replace"] },
    ]
  }
}

run "the_edges_are_accepted" {
  command = plan
  variables {
    replace_after_days             = 3650
    replace_schedule               = "rate(1 hour)"
    drain_timeout_seconds          = 172800
    hook_heartbeat_timeout_seconds = 7200
    poll_interval_seconds          = 60
    hop_seconds                    = 10
    headroom_cpu_percent           = 0
    headroom_memory_percent        = 90
    max_removals_percent           = 100
    max_empty_removals_percent     = 0
    min_instances                  = 0
    min_instance_age_seconds       = 0
    metrics_namespace              = "Shop/Ebb #1"
    name_prefix                    = "e"
    schedule_expression            = "cron(0 3 * * ? *)"
    reserved_concurrency           = {}
    iam_path                       = "/platform/ebb/"
    log_retention_days             = 3653
  }
}
