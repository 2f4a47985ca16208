# Who may do what: one role a function, one for the groups' hooks, one for the schedule.

locals {
  # What a cluster holds has the cluster in its ARN, so most actions are scoped by the resource. "*" is every cluster, or
  # every group, where none is named.
  clusters      = var.ecs_clusters == null ? ["*"] : [for cluster in var.ecs_clusters : reverse(split("/", cluster))[0]]
  ecs           = "arn:${local.partition}:ecs:${local.region}:${local.account}"
  cluster_arns  = [for cluster in local.clusters : "${local.ecs}:cluster/${cluster}"]
  instance_arns = [for cluster in local.clusters : "${local.ecs}:container-instance/${cluster}/*"]
  task_arns     = [for cluster in local.clusters : "${local.ecs}:task/${cluster}/*"]
  service_arns  = [for cluster in local.clusters : "${local.ecs}:service/${cluster}/*"]
  in_clusters   = { ArnLike = { "ecs:cluster" = local.cluster_arns } }

  group_arn     = "arn:${local.partition}:autoscaling:${local.region}:${local.account}:autoScalingGroup:*:autoScalingGroupName"
  groups        = var.auto_scaling_groups == null ? [] : var.auto_scaling_groups
  every_group   = ["${local.group_arn}/*"]
  fallback_arns = [for group in compact([var.fallback_asg]) : "${local.group_arn}/${group}"]
  # Groups whose hooks somebody else made count too, as long as they are named.
  hooked_groups   = distinct(concat(local.groups, tolist(local.hook_groups)))
  hooked_arns     = length(local.hooked_groups) == 0 ? local.every_group : [for group in local.hooked_groups : "${local.group_arn}/${group}"]
  shrinkable_arns = length(local.groups) == 0 ? local.every_group : [for group in local.groups : "${local.group_arn}/${group}"]

  # What only looks needs no permission to change.
  drainers_act    = !var.dry_run
  raises_fallback = local.drainers_act && var.fallback_asg != null
  stops_tasks     = local.drainers_act && var.standalone_tasks == "stop"
  reaper_acts     = var.reaper_mode == "act"

  key_arns    = distinct(compact([var.kms_key_arn, var.notification_topic_kms_key_arn]))
  key_actions = ["kms:Decrypt", "kms:GenerateDataKey"]

  # Which AWS service may act as a role. Auto Scaling and the Scheduler act for every account, so
  # the account must be this one: somebody else's hook or schedule could use the role otherwise
  # (a "confused deputy").
  this_account = { Condition = { StringEquals = { "aws:SourceAccount" = local.account } } }
  trust_policies = {
    for service, condition in { lambda = {}, autoscaling = local.this_account, scheduler = local.this_account } :
    service => jsonencode({
      Version = "2012-10-17"
      Statement = [merge(condition, {
        Effect    = "Allow"
        Principal = { Service = "${service}.amazonaws.com" }
        Action    = "sts:AssumeRole"
      })]
    })
  }

  # SNS and SQS use the key as whoever sends, so the hooks' and the schedule's role need it as well.
  use_key_to_send = [for key in compact([var.kms_key_arn]) : {
    Sid      = "UseKey"
    Effect   = "Allow"
    Action   = local.key_actions
    Resource = [key]
  }]

  # What more than one function may do. A statement is in the policy `when` it is needed.
  common = [
    # AWS knows no resource for ecs:ListClusters.
    { sid = "ListClusters", when = var.ecs_clusters == null, actions = ["ecs:ListClusters"], resources = ["*"] },
    { sid = "FindContainerInstances", when = true, actions = ["ecs:ListContainerInstances"], resources = local.cluster_arns },
    { sid = "DescribeContainerInstances", when = true, actions = ["ecs:DescribeContainerInstances"], resources = local.instance_arns },
    { sid = "Notify", when = var.notification_topic_arn != null, actions = ["sns:Publish"], resources = [var.notification_topic_arn] },
    # To send dead letters, to receive notices, and to publish to an encrypted topic.
    { sid = "UseKeys", when = length(local.key_arns) > 0, actions = local.key_actions, resources = local.key_arns },
  ]
  read_tasks = [
    # AWS ties ecs:ListTasks to a container instance, if one is asked for, and to "*" if not; the condition holds for both.
    { sid = "ListTasks", when = true, actions = ["ecs:ListTasks"], resources = ["*"], condition = local.in_clusters },
    { sid = "DescribeTasks", when = true, actions = ["ecs:DescribeTasks", "ecs:GetTaskProtection"], resources = local.task_arns },
    { sid = "DescribeServices", when = true, actions = ["ecs:DescribeServices"], resources = local.service_arns },
  ]

  statements = {
    "spot-drainer" = concat(local.common, [
      # Where there are many clusters, the largest are searched first.
      { sid = "DescribeClusters", when = var.ecs_clusters == null, actions = ["ecs:DescribeClusters"], resources = local.cluster_arns },
      {
        sid       = "ReceiveNotices"
        when      = local.queue
        actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        resources = aws_sqs_queue.notices[*].arn
      },
      # AWS knows no resource for ec2:Describe*. What a Capacity Block's end means.
      { sid = "FindBlockInstances", when = true, actions = ["ec2:DescribeInstances"], resources = ["*"] },
      # Attributes are the mark of what may come back, and the claim of what is counted into the fallback group.
      {
        sid       = "Drain"
        when      = local.drainers_act
        actions   = ["ecs:UpdateContainerInstancesState", "ecs:PutAttributes", "ecs:DeleteAttributes"]
        resources = local.instance_arns
      },
      # AWS knows no resource for autoscaling:Describe*.
      { sid = "DescribeFallback", when = var.fallback_asg != null, actions = ["autoscaling:DescribeAutoScalingGroups"], resources = ["*"] },
      {
        sid       = "RaiseFallback"
        when      = local.raises_fallback
        actions   = ["autoscaling:LaunchInstances", "autoscaling:SetDesiredCapacity"]
        resources = local.fallback_arns
      },
      # Auto Scaling launches as whoever asks for it (Auto Scaling User Guide, launching-instances-synchronous-provisioning).
      # AWS documents no resource for it; the condition keeps the function from launching by itself. Where it is denied all
      # the same, the group is raised by its desired capacity.
      {
        sid       = "LaunchFallback"
        when      = local.raises_fallback
        actions   = ["ec2:CreateFleet", "ec2:DescribeLaunchTemplateVersions"]
        resources = ["*"]
        condition = { Bool = { "aws:ViaAWSService" = "true" } }
      },
    ])

    "lifecycle-drainer" = concat(local.common, local.read_tasks, [
      # AWS knows no resource for autoscaling:Describe*.
      {
        sid  = "DescribeActions"
        when = true
        actions = [
          "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
          "autoscaling:DescribeLifecycleHooks",
        ]
        resources = ["*"]
      },
      {
        sid       = "CompleteActions"
        when      = local.drainers_act
        actions   = ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"]
        resources = local.hooked_arns
      },
      {
        sid       = "Drain"
        when      = local.drainers_act
        actions   = ["ecs:UpdateContainerInstancesState", "ecs:PutAttributes"]
        resources = local.instance_arns
      },
      { sid = "StopStandaloneTasks", when = local.stops_tasks, actions = ["ecs:StopTask"], resources = local.task_arns },
      { sid = "HandOver", when = true, actions = ["sns:Publish"], resources = aws_sns_topic.lifecycle[*].arn },
    ])

    "scale-in-reaper" = concat(local.common, local.read_tasks, [
      # AWS knows no resource for autoscaling:Describe*.
      {
        sid  = "DescribeGroups"
        when = true
        actions = [
          "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances",
          "autoscaling:DescribeInstanceRefreshes", "autoscaling:DescribeLifecycleHooks",
        ]
        resources = ["*"]
      },
      # All of them are asked for, and AWS does not say which resource that is.
      { sid = "DescribeCapacityProviders", when = true, actions = ["ecs:DescribeCapacityProviders"], resources = ["*"] },
      # AWS knows no resource for ecs:ListServices, but a condition.
      {
        sid       = "ListServices"
        when      = true
        actions   = ["ecs:ListServices"]
        resources = ["*"]
        condition = local.in_clusters
      },
      # AWS knows neither for ecs:DescribeTaskDefinition.
      { sid = "DescribeTaskDefinitions", when = true, actions = ["ecs:DescribeTaskDefinition"], resources = ["*"] },
      # Nor for ec2:Describe*. Tasks in network mode awsvpc are placed in the zones of their subnets.
      { sid = "DescribeSubnets", when = true, actions = ["ec2:DescribeSubnets"], resources = ["*"] },
      # Nor for prices. Which instances have Spot prices, only EC2 says.
      {
        sid       = "ReadPrices"
        when      = true
        actions   = ["pricing:GetProducts", "ec2:DescribeInstances", "ec2:DescribeSpotPriceHistory"]
        resources = ["*"]
      },
      {
        sid       = "Drain"
        when      = local.reaper_acts
        actions   = ["ecs:UpdateContainerInstancesState", "ecs:PutAttributes", "ecs:DeleteAttributes"]
        resources = local.instance_arns
      },
      {
        sid       = "Terminate"
        when      = local.reaper_acts
        actions   = ["autoscaling:TerminateInstanceInAutoScalingGroup"]
        resources = local.shrinkable_arns
      },
    ])
  }
}

resource "aws_iam_role" "function" {
  for_each = local.functions

  # All Regions share the names of roles.
  name                 = "${var.name_prefix}-${each.key}-${local.region}"
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
  assume_role_policy   = local.trust_policies["lambda"]
}

resource "aws_iam_role_policy" "function" {
  for_each = local.functions

  name = "ebb"
  role = aws_iam_role.function[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "WriteLogs"
          Effect   = "Allow"
          Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
          Resource = ["${aws_cloudwatch_log_group.function[each.key].arn}:*"]
        },
        {
          Sid      = "SendDeadLetters"
          Effect   = "Allow"
          Action   = ["sqs:SendMessage"]
          Resource = [aws_sqs_queue.dead_letters[each.key].arn]
        },
      ],
      [for statement in local.statements[each.key] : merge(
        { Sid = statement.sid, Effect = "Allow", Action = statement.actions, Resource = statement.resources },
        can(statement.condition) ? { Condition = statement.condition } : {},
      ) if statement.when],
    )
  })
}

# Auto Scaling publishes the groups' lifecycle actions as this role.
resource "aws_iam_role" "hooks" {
  count = local.lifecycle_drainer ? 1 : 0

  name                 = "${var.name_prefix}-hooks-${local.region}"
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
  assume_role_policy   = local.trust_policies["autoscaling"]
}

resource "aws_iam_role_policy" "hooks" {
  count = local.lifecycle_drainer ? 1 : 0

  name = "ebb"
  role = aws_iam_role.hooks[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid      = "Publish"
        Effect   = "Allow"
        Action   = ["sns:Publish"]
        Resource = [aws_sns_topic.lifecycle[0].arn]
      }],
      local.use_key_to_send,
    )
  })
}

# EventBridge Scheduler invokes the scale-in reaper as this role.
resource "aws_iam_role" "schedule" {
  count = local.scale_in_reaper ? 1 : 0

  name                 = "${var.name_prefix}-schedule-${local.region}"
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
  assume_role_policy   = local.trust_policies["scheduler"]
}

resource "aws_iam_role_policy" "schedule" {
  count = local.scale_in_reaper ? 1 : 0

  name = "ebb"
  role = aws_iam_role.schedule[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "Invoke"
          Effect   = "Allow"
          Action   = ["lambda:InvokeFunction"]
          Resource = [aws_lambda_function.this["scale-in-reaper"].arn]
        },
        {
          Sid      = "SendDeadLetters"
          Effect   = "Allow"
          Action   = ["sqs:SendMessage"]
          Resource = [aws_sqs_queue.dead_letters["scale-in-reaper"].arn]
        },
      ],
      local.use_key_to_send,
    )
  })
}
