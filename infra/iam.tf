# Who may do what: one role a function, one for the groups' hooks, one for the schedule; or roles that are there already
# (role_arns), whose policies are for their owner to keep: the output policy_documents has them.

locals {
  # "*" is every cluster, or every group, where none is named.
  clusters     = var.ecs_clusters == null ? ["*"] : [for cluster in var.ecs_clusters : reverse(split("/", cluster))[0]]
  cluster_arns = [for cluster in local.clusters : "arn:${local.partition}:ecs:${local.region}:${local.account}:cluster/${cluster}"]
  # A policy names each of its clusters twice. IAM takes 6144 characters a policy, and a role's inline policies together
  # 10240 (IAM User Guide, reference_iam-quotas): the first part is inline, the others are policies of their own.
  clusters_per_policy = floor(5400 / (2 * (max([for arn in local.cluster_arns : length(arn)]...) + 3)))
  cluster_parts       = chunklist(local.cluster_arns, local.clusters_per_policy)

  group_arn     = "arn:${local.partition}:autoscaling:${local.region}:${local.account}:autoScalingGroup:*:autoScalingGroupName"
  groups_by_key = merge({ for group in coalesce(var.auto_scaling_groups, []) : group => group }, var.auto_scaling_groups_by_key)
  groups        = concat(coalesce(var.auto_scaling_groups, []), values(var.auto_scaling_groups_by_key))
  every_group   = ["${local.group_arn}/*"]
  # Those that come back bear the tag that says what they were.
  fallback_of      = coalesce(var.fallback_auto_scaling_groups, {})
  returning_groups = values(local.fallback_of)
  returning_arns   = [for group in local.returning_groups : "${local.group_arn}/${group}"]
  fallback_groups  = concat(compact([var.fallback_asg]), local.returning_groups)
  fallback_arns    = [for group in local.fallback_groups : "${local.group_arn}/${group}"]
  fallback_tag     = { "ForAllValues:StringEquals" = { "aws:TagKeys" = "ebb:fallback" } }
  # Groups whose hooks somebody else made count too, as long as they are named.
  hooked_groups   = distinct(concat(local.groups, values(local.hook_groups)))
  hooked_arns     = length(local.hooked_groups) == 0 ? local.every_group : [for group in local.hooked_groups : "${local.group_arn}/${group}"]
  shrinkable_arns = length(local.groups) == 0 ? local.every_group : [for group in local.groups : "${local.group_arn}/${group}"]

  # What only looks needs no permission to change.
  drainers_act    = !var.dry_run
  raises_fallback = local.drainers_act && length(local.fallback_groups) > 0
  stops_tasks     = local.drainers_act && var.standalone_tasks == "stop"
  reaper_acts     = var.reaper_mode == "act"
  reaper_replaces = var.replace_schedule != null
  # A week is summed up for people.
  summarizes = local.scale_in_reaper && var.notification_topic_arn != null && var.summary_schedule != null

  # By names, so that policies are known at plan time. Functions, queues and log groups that are not there yet are named
  # all the same.
  dead_letter_arns = { for function in keys(local.all_functions) : function => "arn:${local.partition}:sqs:${local.region}:${local.account}:${var.name_prefix}-${function}-dead-letters" }
  log_arns         = { for function in keys(local.all_functions) : function => "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:/aws/lambda/${var.name_prefix}-${function}:*" }
  notices_arn      = "arn:${local.partition}:sqs:${local.region}:${local.account}:${var.name_prefix}-notices"
  own_topic_arn    = "arn:${local.partition}:sns:${local.region}:${local.account}:${var.name_prefix}-lifecycle"
  reaper_arn       = "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${var.name_prefix}-scale-in-reaper"

  # A key that is used in another Region than its own is refused in functions.tf.
  regional_keys = compact([var.kms_key_arn, var.notification_topic_kms_key_arn, var.environment_kms_key_arn, var.logs_kms_key_arn])

  key_arns    = distinct(compact([var.kms_key_arn, var.notification_topic_kms_key_arn, var.environment_kms_key_arn]))
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

  # What more than one function may do. A statement is in the policy `when` it is needed. It is about its `resources`, the
  # `clusters`, or what is `in_clusters`: container instances, tasks, services. Every ECS action on these knows the
  # condition ecs:cluster (Service Authorization Reference, list_amazonelasticcontainerservice).
  common = [
    # AWS knows no resource for ecs:ListClusters.
    { sid = "ListClusters", when = var.ecs_clusters == null, actions = ["ecs:ListClusters"], resources = ["*"] },
    { sid = "FindContainerInstances", when = true, actions = ["ecs:ListContainerInstances"], scope = "clusters" },
    { sid = "DescribeContainerInstances", when = true, actions = ["ecs:DescribeContainerInstances"], scope = "in_clusters" },
    { sid = "Notify", when = var.notification_topic_arn != null, actions = ["sns:Publish"], resources = [var.notification_topic_arn] },
    # To send dead letters, to receive notices, to publish to an encrypted topic, and to read the environment.
    # What Lambda needs of a function's role in a VPC (Lambda Developer Guide, configuration-vpc).
    {
      sid  = "UseVpc"
      when = var.vpc != null
      actions = [
        "ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets", "ec2:UnassignPrivateIpAddresses",
      ]
      resources = ["*"]
    },
    { sid = "UseKeys", when = length(local.key_arns) > 0, actions = local.key_actions, resources = local.key_arns },
  ]
  read_tasks = [
    { sid = "ListTasks", when = true, actions = ["ecs:ListTasks"], scope = "in_clusters" },
    { sid = "DescribeTasks", when = true, actions = ["ecs:DescribeTasks", "ecs:GetTaskProtection"], scope = "in_clusters" },
    { sid = "DescribeServices", when = true, actions = ["ecs:DescribeServices"], scope = "in_clusters" },
  ]

  statements = {
    "spot-drainer" = concat(local.common, [
      # To drain on a recommendation, it plans as the reaper does.
      {
        sid     = "ReadClusters"
        when    = var.drain_on_rebalance
        actions = ["ecs:ListServices", "ecs:DescribeServices", "ecs:ListTasks", "ecs:DescribeTasks", "ecs:GetTaskProtection"]
        scope   = "in_clusters"
      },
      # AWS knows no resource for these.
      {
        sid       = "PlanEarlyDrains"
        when      = var.drain_on_rebalance
        actions   = ["ecs:DescribeTaskDefinition", "ec2:DescribeSubnets", "ec2:DescribeInstanceTypes"]
        resources = ["*"]
      },
      # Where there are many clusters, the largest are searched first.
      { sid = "DescribeClusters", when = var.ecs_clusters == null || var.drain_on_rebalance, actions = ["ecs:DescribeClusters"], scope = "clusters" },
      {
        sid       = "ReceiveNotices"
        when      = local.queue
        actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
        resources = [local.notices_arn]
      },
      # AWS knows no resource for ec2:Describe*. What a Capacity Block's end means.
      { sid = "FindBlockInstances", when = true, actions = ["ec2:DescribeInstances"], resources = ["*"] },
      # Attributes are the mark of what may come back, and the claim of what is counted into the fallback group.
      {
        sid     = "Drain"
        when    = local.drainers_act
        actions = ["ecs:UpdateContainerInstancesState", "ecs:PutAttributes", "ecs:DeleteAttributes"]
        scope   = "in_clusters"
      },
      # AWS knows no resource for autoscaling:Describe*.
      { sid = "DescribeGroups", when = length(local.fallback_groups) > 0 || var.drain_on_rebalance, actions = ["autoscaling:DescribeAutoScalingGroups"], resources = ["*"] },
      # Which group an interrupted instance is in.
      { sid = "DescribeInstances", when = length(local.returning_groups) > 0, actions = ["autoscaling:DescribeAutoScalingInstances"], resources = ["*"] },
      {
        sid       = "RaiseFallback"
        when      = local.raises_fallback
        actions   = ["autoscaling:LaunchInstances", "autoscaling:SetDesiredCapacity"]
        resources = local.fallback_arns
      },
      {
        sid       = "TagFallback"
        when      = local.drainers_act && length(local.returning_groups) > 0
        actions   = ["autoscaling:CreateOrUpdateTags"]
        resources = local.returning_arns
        condition = local.fallback_tag
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
        sid     = "Drain"
        when    = local.drainers_act
        actions = ["ecs:UpdateContainerInstancesState", "ecs:PutAttributes"]
        scope   = "in_clusters"
      },
      { sid = "StopStandaloneTasks", when = local.stops_tasks, actions = ["ecs:StopTask"], scope = "in_clusters" },
      { sid = "HandOver", when = true, actions = ["sns:Publish"], resources = [local.own_topic_arn] },
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
      # Its tags, which may hold it, and its default strategy.
      { sid = "DescribeClusters", when = true, actions = ["ecs:DescribeClusters"], scope = "clusters" },
      # All of them are asked for, and AWS does not say which resource that is.
      { sid = "DescribeCapacityProviders", when = true, actions = ["ecs:DescribeCapacityProviders"], resources = ["*"] },
      { sid = "ListServices", when = true, actions = ["ecs:ListServices"], scope = "in_clusters" },
      # AWS knows neither for ecs:DescribeTaskDefinition.
      { sid = "DescribeTaskDefinitions", when = true, actions = ["ecs:DescribeTaskDefinition"], resources = ["*"] },
      # Nor for ec2:Describe*. Tasks in network mode awsvpc are placed in the zones of their subnets.
      { sid = "DescribeSubnets", when = true, actions = ["ec2:DescribeSubnets"], resources = ["*"] },
      # Each holds a network interface, of which an instance type has few.
      { sid = "DescribeInstanceTypes", when = true, actions = ["ec2:DescribeInstanceTypes"], resources = ["*"] },
      # Nor for zonal shifts, or for which load balancers use a target group.
      {
        sid       = "FindZonalShifts"
        when      = var.halt_on_zonal_shift
        actions   = ["arc-zonal-shift:ListManagedResources", "elasticloadbalancing:DescribeTargetGroups"]
        resources = ["*"]
      },
      # Nor for prices. Which instances have Spot prices, only EC2 says.
      {
        sid       = "ReadPrices"
        when      = true
        actions   = ["pricing:GetProducts", "ec2:DescribeInstances", "ec2:DescribeSpotPriceHistory"]
        resources = ["*"]
      },
      # Nor for metrics. A week is summed up from those of all three functions.
      { sid = "ReadMetrics", when = local.summarizes, actions = ["cloudwatch:GetMetricData"], resources = ["*"] },
      # An attribute notes what people were told, so that they are not told twice: all that a sweep writes that only plans.
      {
        sid     = "NoteNotices"
        when    = var.notification_topic_arn != null && !local.reaper_acts
        actions = ["ecs:PutAttributes"]
        scope   = "in_clusters"
      },
      {
        sid     = "Drain"
        when    = local.reaper_acts
        actions = ["ecs:UpdateContainerInstancesState", "ecs:PutAttributes", "ecs:DeleteAttributes"]
        scope   = "in_clusters"
      },
      {
        sid       = "Terminate"
        when      = local.reaper_acts
        actions   = ["autoscaling:TerminateInstanceInAutoScalingGroup"]
        resources = local.shrinkable_arns
      },
      # AWS knows no resource for ec2:Describe*. What is outdated, and what EC2 is to end.
      {
        sid       = "FindOutdated"
        when      = local.reaper_replaces
        actions   = ["ec2:DescribeInstanceStatus", "ec2:DescribeLaunchTemplates"]
        resources = ["*"]
      },
      # A replacement is launched before what it replaces goes.
      {
        sid       = "RaiseGroups"
        when      = local.reaper_acts && local.reaper_replaces
        actions   = ["autoscaling:SetDesiredCapacity"]
        resources = local.shrinkable_arns
      },
      {
        sid       = "TagFallback"
        when      = local.reaper_acts && length(local.returning_groups) > 0
        actions   = ["autoscaling:CreateOrUpdateTags", "autoscaling:DeleteTags"]
        resources = local.returning_arns
        condition = local.fallback_tag
      },
    ])
  }
}

locals {
  # By function: what it may do with clusters, with what is in them, and the rest.
  scopes = {
    for function, statements in local.statements : function => {
      clusters    = flatten([for statement in statements : statement.actions if statement.when && try(statement.scope, "") == "clusters"])
      in_clusters = flatten([for statement in statements : statement.actions if statement.when && try(statement.scope, "") == "in_clusters"])
      rest        = [for statement in statements : statement if statement.when && can(statement.resources)]
    }
  }
  cluster_statements = {
    for function, scope in local.scopes : function => [
      for arns in local.cluster_parts : [
        { Sid = "Clusters", Effect = "Allow", Action = scope.clusters, Resource = arns },
        { Sid = "InClusters", Effect = "Allow", Action = scope.in_clusters, Resource = ["*"], Condition = { ArnLike = { "ecs:cluster" = arns } } },
      ]
    ]
  }
  other_statements = {
    for function, scope in local.scopes : function => concat(
      [
        { Sid = "WriteLogs", Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = [local.log_arns[function]] },
        { Sid = "SendDeadLetters", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [local.dead_letter_arns[function]] },
      ],
      [for statement in scope.rest : merge(
        { Sid = statement.sid, Effect = "Allow", Action = statement.actions, Resource = statement.resources },
        can(statement.condition) ? { Condition = statement.condition } : {},
      )],
    )
  }

  # By role: the documents of its policies. The first of a function is its inline policy.
  function_policies = {
    for function in keys(local.functions) : function => [
      for part, clusters in local.cluster_statements[function] : jsonencode({
        Version   = "2012-10-17"
        Statement = concat(clusters, [for statement in local.other_statements[function] : statement if part == 0])
      })
    ]
  }
  hooks_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{ Sid = "Publish", Effect = "Allow", Action = ["sns:Publish"], Resource = [local.own_topic_arn] }],
      local.use_key_to_send,
    )
  })
  schedule_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        { Sid = "Invoke", Effect = "Allow", Action = ["lambda:InvokeFunction"], Resource = [local.reaper_arn] },
        { Sid = "SendDeadLetters", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = [local.dead_letter_arns["scale-in-reaper"]] },
      ],
      local.use_key_to_send,
    )
  })
  policies = merge(
    local.function_policies,
    { for role, policy in { hooks = local.hooks_policy } : role => [policy] if local.lifecycle_drainer },
    { for role, policy in { schedule = local.schedule_policy } : role => [policy] if local.scale_in_reaper },
  )
  # The service that acts as a role.
  services = merge({ for function in keys(local.functions) : function => "lambda" }, { hooks = "autoscaling", schedule = "scheduler" })

  # Those that the module makes, and all.
  made_roles = setsubtract(keys(local.policies), keys(var.role_arns))
  role_arns = merge(
    { for role in keys(local.policies) : role => var.role_arns[role] if contains(keys(var.role_arns), role) },
    { for function, role in aws_iam_role.function : function => role.arn },
    { for role in aws_iam_role.hooks : "hooks" => role.arn },
    { for role in aws_iam_role.schedule : "schedule" => role.arn },
  )

  further_parts = merge([for function in keys(local.functions) : {
    for part in range(1, length(local.cluster_parts)) : "${function}-${part + 1}" => { function = function, part = part }
  } if contains(local.made_roles, function)]...)
}

resource "aws_iam_role" "function" {
  for_each = setintersection(local.made_roles, keys(local.functions))

  # All Regions share the names of roles.
  name                 = "${var.name_prefix}-${each.key}-${local.region}"
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
  assume_role_policy   = local.trust_policies["lambda"]
}

resource "aws_iam_role_policy" "function" {
  for_each = aws_iam_role.function

  name   = "ebb"
  role   = each.value.id
  policy = local.policies[each.key][0]
}

# The clusters beyond those that an inline policy has room for.
resource "aws_iam_policy" "further_clusters" {
  for_each = local.further_parts

  name   = "${var.name_prefix}-${each.key}-${local.region}"
  path   = var.iam_path
  tags   = var.tags
  policy = local.policies[each.value.function][each.value.part]
}

resource "aws_iam_role_policy_attachment" "further_clusters" {
  for_each = local.further_parts

  role       = aws_iam_role.function[each.value.function].name
  policy_arn = aws_iam_policy.further_clusters[each.key].arn
}

# Auto Scaling publishes the groups' lifecycle actions as this role.
resource "aws_iam_role" "hooks" {
  count = contains(local.made_roles, "hooks") ? 1 : 0

  name                 = "${var.name_prefix}-hooks-${local.region}"
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
  assume_role_policy   = local.trust_policies["autoscaling"]
}

resource "aws_iam_role_policy" "hooks" {
  count = length(aws_iam_role.hooks)

  name   = "ebb"
  role   = aws_iam_role.hooks[0].id
  policy = local.hooks_policy
}

# EventBridge Scheduler invokes the scale-in reaper as this role.
resource "aws_iam_role" "schedule" {
  count = contains(local.made_roles, "schedule") ? 1 : 0

  name                 = "${var.name_prefix}-schedule-${local.region}"
  path                 = var.iam_path
  permissions_boundary = var.permissions_boundary_arn
  tags                 = var.tags
  assume_role_policy   = local.trust_policies["scheduler"]
}

resource "aws_iam_role_policy" "schedule" {
  count = length(aws_iam_role.schedule)

  name   = "ebb"
  role   = aws_iam_role.schedule[0].id
  policy = local.schedule_policy
}
