# The functions: what each is given to run with. What wakes them is in events.tf and hooks.tf, what they may do in iam.tf.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  # The id is the Region's name in every version of the provider.
  region = data.aws_region.current.id

  package_path = coalesce(var.package_path, "${path.module}/../target/lambda/%s/bootstrap.zip")

  # Without the members that are not given: null is no value of theirs.
  budgets = [for budget in var.budgets : { for member, value in budget : member => value if value != null }]

  # Every setting as the functions read it, whichever of them do. Null leaves it unset.
  settings = {
    ECS_CLUSTERS               = var.ecs_clusters == null ? null : join(",", var.ecs_clusters)
    DRY_RUN                    = tostring(var.dry_run)
    LIFECYCLE_HOOKS            = length(local.own_hooks) == 0 ? null : join(",", local.own_hooks)
    DRAIN_ON_REBALANCE         = tostring(var.drain_on_rebalance)
    FALLBACK_ASG               = var.fallback_asg
    DRAIN_TIMEOUT_SECONDS      = tostring(var.drain_timeout_seconds)
    POLL_INTERVAL_SECONDS      = tostring(var.poll_interval_seconds)
    HOP_SECONDS                = tostring(var.hop_seconds)
    ON_TIMEOUT                 = var.on_timeout
    STANDALONE_TASKS           = var.standalone_tasks
    REAPER_MODE                = var.reaper_mode
    HEADROOM_CPU_PERCENT       = tostring(var.headroom_cpu_percent)
    HEADROOM_MEMORY_PERCENT    = tostring(var.headroom_memory_percent)
    HEADROOM_LARGEST_TASKS     = tostring(var.headroom_largest_tasks)
    HEADROOM_TASKS             = var.headroom_tasks == null ? null : jsonencode(var.headroom_tasks)
    MAX_REMOVALS_PERCENT       = tostring(var.max_removals_percent)
    MAX_EMPTY_REMOVALS_PERCENT = tostring(var.max_empty_removals_percent)
    BUDGETS                    = length(var.budgets) == 0 ? null : jsonencode(local.budgets)
    MIN_INSTANCES              = tostring(var.min_instances)
    MIN_INSTANCE_AGE_SECONDS   = tostring(var.min_instance_age_seconds)
    AUTO_SCALING_GROUPS        = length(local.groups) == 0 ? null : join(",", local.groups)
    MANAGED_SCALING            = var.managed_scaling
    ALLOW_MANAGED_SCALING      = var.allow_managed_scaling == null ? null : tostring(var.allow_managed_scaling)
    ALLOW_STANDALONE_TASKS     = tostring(var.allow_standalone_tasks)
    REPLACE_AFTER_DAYS         = var.replace_after_days == null ? null : tostring(var.replace_after_days)
    LIFECYCLE_TOPIC_ARN        = local.lifecycle_topic_arn
    INSTANCE_PRICES            = var.instance_prices == null ? null : jsonencode(var.instance_prices)
    NOTIFICATION_TOPIC_ARN     = var.notification_topic_arn
    NOTIFICATION_FORMAT        = var.notification_format
    NOTIFY_PLANS               = tostring(var.notify_plans)
    METRICS_NAMESPACE          = var.metrics_namespace
    METRICS_BY_CLUSTER         = tostring(var.metrics_by_cluster)

    LOW_FOR_SWEEPS               = tostring(var.low_for_sweeps)
    HOLD_AFTER_TAKE_BACK_SECONDS = tostring(var.hold_after_take_back_seconds)
    HALT_AT_DISCONNECTED_PERCENT = tostring(var.halt_at_disconnected_percent)
    HALT_ON_ZONAL_SHIFT          = tostring(var.halt_on_zonal_shift)

    FALLBACK_AUTO_SCALING_GROUPS = var.fallback_auto_scaling_groups == null ? null : jsonencode(var.fallback_auto_scaling_groups)
    FALLBACK_WHOLE_SWEEPS        = tostring(var.fallback_whole_sweeps)
  }

  all_functions = {
    "spot-drainer" = {
      description = "Drains ECS container instances on interruption notices"
      # A notice gives two minutes, and the queue delivers again after as much as this.
      timeout = 30
      # To plan for a recommendation takes as much as the reaper's.
      memory = var.drain_on_rebalance ? 256 : 128
      settings = [
        "ECS_CLUSTERS", "DRY_RUN", "DRAIN_ON_REBALANCE", "FALLBACK_ASG", "FALLBACK_AUTO_SCALING_GROUPS",
        "NOTIFICATION_TOPIC_ARN", "NOTIFICATION_FORMAT", "METRICS_NAMESPACE", "METRICS_BY_CLUSTER",
      ]
      # These two count with direct delivery; the queue has its own. A notice is worth two minutes.
      retries           = 2
      event_age_seconds = 120
    }
    "lifecycle-drainer" = {
      description = "Holds terminating instances until their ECS tasks have stopped"
      # A hop, and a minute to look for the last time and to hand over.
      timeout = min(900, var.hop_seconds + 60)
      memory  = 128
      settings = [
        "ECS_CLUSTERS", "LIFECYCLE_HOOKS", "DRY_RUN", "DRAIN_TIMEOUT_SECONDS", "POLL_INTERVAL_SECONDS", "HOP_SECONDS",
        "ON_TIMEOUT", "STANDALONE_TASKS", "NOTIFICATION_TOPIC_ARN", "NOTIFICATION_FORMAT", "METRICS_NAMESPACE",
        "METRICS_BY_CLUSTER",
      ]
      # Lambda's defaults. A message that waits for a free slot is still worth handling: the hook holds the instance.
      retries           = 2
      event_age_seconds = 21600
    }
    "scale-in-reaper" = {
      description = "Removes ECS container instances that nobody needs"
      timeout     = 900
      # A cluster of thousands is planned at once.
      memory = 256
      settings = [
        "ECS_CLUSTERS", "DRY_RUN", "FALLBACK_AUTO_SCALING_GROUPS", "FALLBACK_WHOLE_SWEEPS", "REAPER_MODE",
        "HEADROOM_CPU_PERCENT", "HEADROOM_MEMORY_PERCENT", "HEADROOM_LARGEST_TASKS", "HEADROOM_TASKS",
        "MAX_REMOVALS_PERCENT", "MAX_EMPTY_REMOVALS_PERCENT", "BUDGETS", "LOW_FOR_SWEEPS",
        "HOLD_AFTER_TAKE_BACK_SECONDS", "HALT_AT_DISCONNECTED_PERCENT", "HALT_ON_ZONAL_SHIFT", "MIN_INSTANCES", "MIN_INSTANCE_AGE_SECONDS",
        "AUTO_SCALING_GROUPS", "MANAGED_SCALING", "ALLOW_MANAGED_SCALING", "ALLOW_STANDALONE_TASKS",
        "REPLACE_AFTER_DAYS", "INSTANCE_PRICES", "LIFECYCLE_TOPIC_ARN", "NOTIFICATION_TOPIC_ARN",
        "NOTIFICATION_FORMAT", "NOTIFY_PLANS", "METRICS_NAMESPACE", "METRICS_BY_CLUSTER",
      ]
      # Lambda's default is two. The next sweep is the better retry, as it looks at the world afresh.
      retries           = 0
      event_age_seconds = 1800
    }
  }

  reserved = sum(concat([0], [for function, executions in var.reserved_concurrency : executions if contains(var.functions, function)]))

  functions = { for function, configuration in local.all_functions : function => configuration if contains(var.functions, function) }
}

resource "aws_cloudwatch_log_group" "function" {
  #checkov:skip=CKV_AWS_158:The logs name instances, services and tasks, and hold no secret; CloudWatch Logs encrypts them with its own key unless logs_kms_key_arn names another.
  #checkov:skip=CKV_AWS_338:How long logs are kept is for log_retention_days to say.
  for_each = local.functions

  name              = "/aws/lambda/${var.name_prefix}-${each.key}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.logs_kms_key_arn
  tags              = var.tags
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_50:Logs and metrics say what was done and why. Tracing would add a permission on every resource.
  #checkov:skip=CKV_AWS_116:Its failed events go to an on-failure destination instead, which is told the error too.
  #checkov:skip=CKV_AWS_117:It calls AWS only, and listens to nobody.
  #checkov:skip=CKV_AWS_173:Its environment holds settings and no secret; Lambda encrypts it with its own key.
  #checkov:skip=CKV_AWS_272:The package comes from the user's own build, or from a release with checksums.
  for_each = local.functions

  function_name    = "${var.name_prefix}-${each.key}"
  description      = each.value.description
  role             = local.role_arns[each.key]
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  architectures    = [var.architecture]
  filename         = var.package_s3 == null ? format(local.package_path, each.key) : null
  source_code_hash = var.package_s3 == null ? filebase64sha256(format(local.package_path, each.key)) : null
  s3_bucket        = try(var.package_s3.bucket, null)
  s3_key           = try(format(var.package_s3.key, each.key), null)
  kms_key_arn      = var.environment_kms_key_arn
  memory_size      = lookup(var.memory_size, each.key, each.value.memory)
  timeout          = each.value.timeout
  # -1 reserves nothing.
  reserved_concurrent_executions = lookup(var.reserved_concurrency, each.key, -1)
  tags                           = var.tags

  environment {
    variables = merge(
      { for setting in each.value.settings : setting => local.settings[setting] if local.settings[setting] != null },
      # The SDK's own.
      { for setting in ["AWS_USE_FIPS_ENDPOINT"] : setting => "true" if var.use_fips_endpoints },
    )
  }

  dynamic "vpc_config" {
    for_each = var.vpc[*]
    content {
      subnet_ids         = vpc_config.value.subnet_ids
      security_group_ids = vpc_config.value.security_group_ids
    }
  }

  logging_config {
    log_format            = "JSON"
    log_group             = aws_cloudwatch_log_group.function[each.key].name
    application_log_level = var.log_level
    system_log_level      = "INFO"
  }

  # Without its policy a first event would find a function that may do nothing.
  depends_on = [aws_iam_role_policy.function, aws_iam_role_policy_attachment.further_clusters]

  lifecycle {
    precondition {
      condition     = each.key != "scale-in-reaper" || !var.dry_run || var.reaper_mode == "plan"
      error_message = "reaper_mode is act, but dry_run is true: who asks for a dry run does not mean instances to go. Set reaper_mode = \"plan\", or dry_run = false."
    }
    precondition {
      condition     = local.spot_drainer || var.fallback_asg == null
      error_message = "fallback_asg is raised by the Spot drainer, which functions leaves out. Add spot-drainer, or leave out fallback_asg."
    }
    precondition {
      condition     = local.lifecycle_drainer || length(coalesce(var.termination_hook_groups, [])) + length(coalesce(var.lifecycle_hooks, [])) == 0
      error_message = "termination_hook_groups and lifecycle_hooks are for the lifecycle drainer, which functions leaves out: nobody would answer the hooks. Add lifecycle-drainer, or leave them out."
    }
    precondition {
      condition     = var.managed_scaling == null || var.allow_managed_scaling == null ? true : (var.managed_scaling == "assist") == var.allow_managed_scaling
      error_message = "managed_scaling and the deprecated allow_managed_scaling contradict each other. Leave out allow_managed_scaling."
    }
    precondition {
      condition     = var.replace_after_days == null || var.replace_schedule != null
      error_message = "replace_after_days is set, but no sweep replaces anything. Set replace_schedule, such as rate(1 hour)."
    }
    precondition {
      condition     = each.key != "scale-in-reaper" || length(local.unknown_time_zones) == 0
      error_message = "budgets name a time zone that the IANA database does not have: ${join(", ", local.unknown_time_zones)}. Name one such as Europe/Berlin or UTC."
    }
    precondition {
      condition     = each.key != "scale-in-reaper" || length(local.budgets_in_vain) == 0
      error_message = "Of budgets, number ${join(" and ", local.budgets_in_vain)} can never decide: another holds whenever it does, for the same reasons, and lets no more go. Leave one of them out."
    }
    precondition {
      condition     = var.package_s3 != null || fileexists(format(local.package_path, each.key))
      error_message = "There is no ${format(local.package_path, each.key)}. Build it with `make build`, or take it from a release and say in package_path where it is."
    }
    precondition {
      condition     = var.package_s3 == null || var.package_path == null
      error_message = "package_s3 and package_path both say where the zips are. Leave one of them out."
    }
    precondition {
      # Lambda keeps 100 executions that cannot be reserved (Lambda Developer Guide, configuration-concurrency).
      condition     = var.account_concurrency == null ? true : local.reserved <= max(0, var.account_concurrency - 100)
      error_message = "reserved_concurrency reserves ${local.reserved} executions, but of the account's ${coalesce(var.account_concurrency, 0)} Lambda keeps 100 unreserved. Reserve fewer, or have the quota raised."
    }
    precondition {
      condition     = length(distinct(local.groups)) == length(local.groups)
      error_message = "auto_scaling_groups and auto_scaling_groups_by_key name a group twice. Name each once."
    }
    precondition {
      condition     = !contains(keys(local.fallback_of), coalesce(var.fallback_asg, "-")) && !contains(local.returning_groups, coalesce(var.fallback_asg, "-"))
      error_message = "fallback_asg is a group that fallback_auto_scaling_groups names. It is the fallback group of all others: name another one, or leave it out."
    }
    precondition {
      # Lambda Developer Guide, gettingstarted-limits. A variable costs its name and value.
      condition     = sum([for setting in each.value.settings : local.settings[setting] == null ? 0 : length(setting) + length(local.settings[setting])]) <= 4096
      error_message = "The settings of the ${each.key} are longer than the 4096 characters that Lambda allows. Name fewer clusters in ecs_clusters, or none for every cluster of the Region; fewer groups; or fewer prices."
    }
    precondition {
      condition = alltrue([
        for cluster in coalesce(var.ecs_clusters, []) : !startswith(cluster, "arn:") || startswith(cluster, "arn:${local.partition}:ecs:${local.region}:${local.account}:")
      ])
      error_message = "ecs_clusters names a cluster of another Region or account. The functions reach those of ${local.region} in account ${local.account}: deploy the module where the cluster is."
    }
    precondition {
      condition     = alltrue([for role in values(var.role_arns) : startswith(role, "arn:${local.partition}:iam::${local.account}:role/")])
      error_message = "role_arns names a role of another account. AWS lets no service act as one: name roles of account ${local.account}."
    }
    precondition {
      condition     = alltrue([for key in local.regional_keys : startswith(key, "arn:${local.partition}:kms:${local.region}:")])
      error_message = "A KMS key is in another Region. Functions, queues, topics and logs of ${local.region} use keys, or replicas of keys, of that Region only."
    }
    precondition {
      condition     = var.notification_topic_arn == null ? true : startswith(var.notification_topic_arn, "arn:${local.partition}:sns:${local.region}:")
      error_message = "notification_topic_arn is in another Region. SNS takes messages for topics of ${local.region} there only."
    }
  }
}

# For asynchronous events: those of SNS, EventBridge and EventBridge Scheduler. A queue has rules of its own.
resource "aws_lambda_function_event_invoke_config" "this" {
  for_each = local.functions

  function_name                = aws_lambda_function.this[each.key].function_name
  maximum_retry_attempts       = each.value.retries
  maximum_event_age_in_seconds = each.value.event_age_seconds

  destination_config {
    on_failure {
      destination = aws_sqs_queue.dead_letters[each.key].arn
    }
  }
}

# What could not be delivered or handled, for a person to look at.
resource "aws_sqs_queue" "dead_letters" {
  for_each = local.functions

  name                      = "${var.name_prefix}-${each.key}-dead-letters"
  message_retention_seconds = 1209600 # 14 days, the longest there is.
  kms_master_key_id         = var.kms_key_arn
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  tags                      = var.tags
}

# Lambda and EventBridge Scheduler send theirs by their roles. EventBridge's rules and SNS have none.
resource "aws_sqs_queue_policy" "dead_letters" {
  for_each = { for function, sender in local.dead_letter_senders : function => sender if contains(var.functions, function) }

  queue_url = aws_sqs_queue.dead_letters[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "TakeDeadLetters"
      Effect    = "Allow"
      Principal = { Service = each.value.service }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.dead_letters[each.key].arn
      Condition = { ArnEquals = { "aws:SourceArn" = each.value.arns } }
    }]
  })
}
