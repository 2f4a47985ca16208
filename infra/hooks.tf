# What wakes the lifecycle drainer: termination hooks, over a topic that it also publishes to.

locals {
  lifecycle_drainer = contains(var.functions, "lifecycle-drainer")
  hook_name         = "${var.name_prefix}-drain"
  # By keys that are known at plan time, whether or not the names are.
  hooks_by_key = var.termination_hook_groups == null ? local.groups_by_key : { for group in var.termination_hook_groups : group => group }
  hook_groups  = { for key, group in local.hooks_by_key : key => group if local.lifecycle_drainer }

  lifecycle_publishers = !local.lifecycle_drainer ? [] : [local.role_arns["hooks"], local.role_arns["lifecycle-drainer"]]

  # The hooks of other tools stay theirs. Where nobody names a hook and none is made here, every hook is taken.
  own_hooks = distinct(concat(length(local.hook_groups) == 0 ? [] : [local.hook_name], coalesce(var.lifecycle_hooks, [])))

  # The topic whose hooks hold an instance until it is empty, for the reaper. Drainers that only log hold nothing. By its
  # name, so that it is known at plan time.
  lifecycle_topic_arn = var.dry_run ? null : var.lifecycle_topic_arn != null ? var.lifecycle_topic_arn : (
    local.lifecycle_drainer ? local.own_topic_arn : null
  )
}

resource "aws_autoscaling_lifecycle_hook" "termination" {
  for_each = local.hook_groups

  name                   = local.hook_name
  autoscaling_group_name = each.value
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_TERMINATING"
  heartbeat_timeout      = var.hook_heartbeat_timeout_seconds
  # The default, ABANDON, would cancel the group's other hooks when nobody answers. Both let the instance go.
  default_result          = "CONTINUE"
  notification_target_arn = aws_sns_topic.lifecycle[0].arn
  role_arn                = local.role_arns["hooks"]

  # Whoever is told of a termination must be there and able to loop first; Auto Scaling sends a test message at once.
  depends_on = [
    aws_iam_role_policy.hooks,
    aws_lambda_function_recursion_config.lifecycle_drainer,
    aws_lambda_permission.lifecycle,
    aws_sns_topic_policy.lifecycle,
    aws_sns_topic_subscription.lifecycle,
  ]

  lifecycle {
    precondition {
      condition = var.drain_timeout_seconds <= 100 * var.hook_heartbeat_timeout_seconds
      error_message = join(" ", [
        "drain_timeout_seconds is ${var.drain_timeout_seconds}, but Auto Scaling holds an instance for 100 heartbeats",
        "at most, ${100 * var.hook_heartbeat_timeout_seconds} seconds here. Shorten it, or raise",
        "hook_heartbeat_timeout_seconds to at least ${ceil(var.drain_timeout_seconds / 100)}.",
      ])
    }
  }
}

resource "aws_sns_topic" "lifecycle" {
  count = local.lifecycle_drainer ? 1 : 0

  name              = "${var.name_prefix}-lifecycle"
  kms_master_key_id = var.kms_key_arn
  tags              = var.tags
}

# Whoever publishes to the topic could have an instance drained, if they know its action's token. Only the hooks and the
# function have a reason to; within the account a policy without the second statement would leave it to everybody's own.
resource "aws_sns_topic_policy" "lifecycle" {
  count = local.lifecycle_drainer ? 1 : 0

  arn = aws_sns_topic.lifecycle[0].arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Publish"
        Effect    = "Allow"
        Principal = { AWS = local.lifecycle_publishers }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.lifecycle[0].arn
      },
      {
        Sid       = "PublishOnlyAsThese"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.lifecycle[0].arn
        Condition = { ArnNotEquals = { "aws:PrincipalArn" = local.lifecycle_publishers } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "lifecycle" {
  count = local.lifecycle_drainer ? 1 : 0

  topic_arn = aws_sns_topic.lifecycle[0].arn
  protocol  = "lambda"
  endpoint  = aws_lambda_function.this["lifecycle-drainer"].arn
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters["lifecycle-drainer"].arn
  })
}

resource "aws_lambda_permission" "lifecycle" {
  count = local.lifecycle_drainer ? 1 : 0

  statement_id  = "lifecycle"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.this["lifecycle-drainer"].function_name
  principal     = "sns.amazonaws.com"
  source_arn    = aws_sns_topic.lifecycle[0].arn
}

# The function hands a drain over to its next invocation through the topic. Lambda takes that for a runaway loop and
# drops the message after about 16 turns. This loop is bounded by the function itself: every message carries the
# drain's deadline (drain_timeout_seconds, 48 hours at most, and never past the hook's own end), and a turn waits
# hop_seconds, so that even the default deadline takes two. The deployer needs lambda:PutFunctionRecursionConfig.
resource "aws_lambda_function_recursion_config" "lifecycle_drainer" {
  count = local.lifecycle_drainer ? 1 : 0

  function_name  = aws_lambda_function.this["lifecycle-drainer"].function_name
  recursive_loop = "Allow"
}
