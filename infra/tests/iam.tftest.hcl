# Least privilege.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  package_path        = "tests/packages/%s.zip"
  ecs_clusters        = ["shop", "arn:aws-cn:ecs:cn-north-1:111122223333:cluster/till"]
  auto_scaling_groups = ["shop-spot", "shop-on-demand"]
}

run "everything_on" {
  variables {
    fallback_asg                   = "shop-fallback"
    fallback_auto_scaling_groups   = { till-spot = "till-fallback" }
    standalone_tasks               = "stop"
    reaper_mode                    = "act"
    notification_topic_arn         = "arn:aws-cn:sns:cn-north-1:111122223333:people"
    kms_key_arn                    = "arn:aws-cn:kms:cn-north-1:111122223333:key/topics"
    notification_topic_kms_key_arn = "arn:aws-cn:kms:cn-north-1:111122223333:key/people"
    permissions_boundary_arn       = "arn:aws-cn:iam::111122223333:policy/boundary"
    iam_path                       = "/ebb/"
    tags                           = { team = "shop" }
  }

  assert {
    condition = !anytrue(flatten([
      for policy in concat(values(aws_iam_role_policy.function), aws_iam_role_policy.hooks, aws_iam_role_policy.schedule) : [
        for statement in jsondecode(policy.policy).Statement : [for action in statement.Action : strcontains(action, "*")]
      ]
    ]))
    error_message = "An action has a wildcard."
  }
  # These alone AWS ties to no resource, or not always.
  assert {
    condition = toset(flatten([
      for policy in concat(values(aws_iam_role_policy.function), aws_iam_role_policy.hooks, aws_iam_role_policy.schedule) : [
        for statement in jsondecode(policy.policy).Statement : statement.Action if contains(statement.Resource, "*") && !can(statement.Condition.ArnLike["ecs:cluster"])
      ]
      ])) == toset([
      "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeInstanceRefreshes",
      "autoscaling:DescribeLifecycleHooks",
      "ec2:CreateFleet", "ec2:DescribeInstanceTypes", "ec2:DescribeInstances", "ec2:DescribeLaunchTemplateVersions",
      "ec2:DescribeSpotPriceHistory", "ec2:DescribeSubnets",
      "ecs:DescribeCapacityProviders", "ecs:DescribeTaskDefinition",
      "pricing:GetProducts",
    ])
    error_message = "An action is allowed on every resource, although AWS knows one."
  }
  assert {
    condition = alltrue([
      for policy in values(aws_iam_role_policy.function) : alltrue([
        for statement in jsondecode(policy.policy).Statement :
        (statement.Sid != "InClusters" || try(join(" ", statement.Condition.ArnLike["ecs:cluster"]), "") == join(" ", ["arn:aws-cn:ecs:cn-north-1:111122223333:cluster/shop", "arn:aws-cn:ecs:cn-north-1:111122223333:cluster/till"])) &&
        (statement.Sid != "Clusters" || join(" ", statement.Resource) == join(" ", ["arn:aws-cn:ecs:cn-north-1:111122223333:cluster/shop", "arn:aws-cn:ecs:cn-north-1:111122223333:cluster/till"]))
      ])
    ])
    error_message = "A function reaches other clusters than it was given."
  }
  assert {
    condition = alltrue(flatten([
      for policy in values(aws_iam_role_policy.function) : [
        for statement in jsondecode(policy.policy).Statement : [
          for action in statement.Action : contains(
            ["ecs:ListContainerInstances", "ecs:DescribeClusters"], action) ? statement.Sid == "Clusters" : statement.Sid == "InClusters" || contains(
          ["ecs:DescribeCapacityProviders", "ecs:DescribeTaskDefinition"], action)
          if startswith(action, "ecs:")
        ]
      ]
    ]))
    error_message = "An action on clusters, or on what is in them, is not tied to the named clusters."
  }
  # The wrong kind of resource denies silently.
  assert {
    condition = alltrue(flatten([
      for policy in values(aws_iam_role_policy.function) : [
        for statement in jsondecode(policy.policy).Statement : [
          for resource in statement.Resource : can(regex(
            {
              "autoscaling:LaunchInstances"                     = "^arn:aws-cn:autoscaling:cn-north-1:111122223333:autoScalingGroup:[*]:autoScalingGroupName/(shop|till)-fallback$"
              "autoscaling:CreateOrUpdateTags"                  = "^arn:aws-cn:autoscaling:cn-north-1:111122223333:autoScalingGroup:[*]:autoScalingGroupName/till-fallback$"
              "autoscaling:CompleteLifecycleAction"             = "^arn:aws-cn:autoscaling:cn-north-1:111122223333:autoScalingGroup:[*]:autoScalingGroupName/(shop-spot|shop-on-demand)$"
              "autoscaling:TerminateInstanceInAutoScalingGroup" = "^arn:aws-cn:autoscaling:cn-north-1:111122223333:autoScalingGroup:[*]:autoScalingGroupName/(shop-spot|shop-on-demand)$"
            }[statement.Action[0]], resource
          ))
        ] if startswith(statement.Action[0], "autoscaling:") && statement.Resource != ["*"]
      ]
    ]))
    error_message = "An action has a resource of the wrong kind, or outside the named clusters and groups."
  }
  assert {
    condition = alltrue([
      for role in concat(values(aws_iam_role.function), aws_iam_role.hooks, aws_iam_role.schedule) :
      role.permissions_boundary == "arn:aws-cn:iam::111122223333:policy/boundary" && role.path == "/ebb/" && role.tags.team == "shop"
    ])
    error_message = "A role lacks its boundary, path or tags."
  }
  assert {
    condition = alltrue([
      for role in concat(aws_iam_role.hooks, aws_iam_role.schedule) :
      jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["aws:SourceAccount"] == "111122223333"
    ])
    error_message = "A service may use a role for somebody else's account."
  }
  assert {
    condition = alltrue([
      for policy in concat(values(aws_iam_role_policy.function), aws_iam_role_policy.hooks, aws_iam_role_policy.schedule) :
      anytrue([for statement in jsondecode(policy.policy).Statement : contains(statement.Resource, "arn:aws-cn:kms:cn-north-1:111122223333:key/topics")])
    ])
    error_message = "A role that sends to an encrypted topic or queue may not use its key."
  }
  assert {
    condition     = alltrue([for queue in concat(values(aws_sqs_queue.dead_letters), aws_sqs_queue.notices) : queue.kms_master_key_id == "arn:aws-cn:kms:cn-north-1:111122223333:key/topics"]) && aws_sns_topic.lifecycle[0].kms_master_key_id == "arn:aws-cn:kms:cn-north-1:111122223333:key/topics"
    error_message = "A queue or the topic is not encrypted with the key."
  }
}

run "what_only_looks_may_change_nothing" {
  variables {
    dry_run                      = true
    fallback_asg                 = "shop-fallback"
    fallback_auto_scaling_groups = { till-spot = "till-fallback" }
    standalone_tasks             = "stop"
  }

  assert {
    condition = length(setintersection(
      flatten([for policy in values(aws_iam_role_policy.function) : [for statement in jsondecode(policy.policy).Statement : statement.Action]]),
      [
        "ecs:UpdateContainerInstancesState", "ecs:PutAttributes", "ecs:DeleteAttributes", "ecs:StopTask",
        "autoscaling:LaunchInstances", "autoscaling:SetDesiredCapacity", "autoscaling:CompleteLifecycleAction",
        "autoscaling:CreateOrUpdateTags", "autoscaling:DeleteTags", "ec2:CreateFleet",
        "autoscaling:RecordLifecycleActionHeartbeat", "autoscaling:TerminateInstanceInAutoScalingGroup",
      ]
    )) == 0
    error_message = "A role may change something in dry run and plan."
  }
}

run "every_cluster_and_every_group" {
  variables {
    ecs_clusters        = null
    auto_scaling_groups = null
    reaper_mode         = "act"
  }

  assert {
    condition = alltrue([
      for policy in values(aws_iam_role_policy.function) :
      anytrue([for statement in jsondecode(policy.policy).Statement : statement.Action == ["ecs:ListClusters"] && statement.Resource == ["*"]])
    ])
    error_message = "A function that looks through every cluster may not list them."
  }
  assert {
    condition = anytrue([
      for statement in jsondecode(aws_iam_role_policy.function["scale-in-reaper"].policy).Statement :
      statement.Sid == "Terminate" && statement.Resource == ["arn:aws-cn:autoscaling:cn-north-1:111122223333:autoScalingGroup:*:autoScalingGroupName/*"]
    ])
    error_message = "The reaper may not shrink the groups that it finds."
  }
}

run "three_hundred_clusters_fit" {
  variables {
    ecs_clusters           = [for number in range(300) : format("team-%03d", number)]
    fallback_asg           = "shop-fallback"
    standalone_tasks       = "stop"
    reaper_mode            = "act"
    notification_topic_arn = "arn:aws-cn:sns:cn-north-1:111122223333:people"
    kms_key_arn            = "arn:aws-cn:kms:cn-north-1:111122223333:key/topics"
  }

  assert {
    condition     = alltrue([for policy in values(aws_iam_role_policy.function) : length(policy.policy) <= 10240]) && alltrue([for policy in values(aws_iam_policy.further_clusters) : length(policy.policy) <= 6144])
    error_message = "A policy is longer than IAM allows: ${jsonencode([for policy in concat(values(aws_iam_role_policy.function), values(aws_iam_policy.further_clusters)) : length(policy.policy)])}"
  }
  # Ten policies a role is IAM's default quota.
  assert {
    condition     = length(aws_iam_policy.further_clusters) <= 3 * 10 && length(aws_iam_role_policy_attachment.further_clusters) == length(aws_iam_policy.further_clusters)
    error_message = "A role has more policies than IAM allows."
  }
  assert {
    condition = toset(flatten([
      for policy in concat([aws_iam_role_policy.function["scale-in-reaper"].policy], [for name, policy in aws_iam_policy.further_clusters : policy.policy if startswith(name, "scale-in-reaper-")]) :
      [for statement in jsondecode(policy).Statement : statement.Condition.ArnLike["ecs:cluster"] if statement.Sid == "InClusters"]
    ])) == toset([for number in range(300) : format("arn:aws-cn:ecs:cn-north-1:111122223333:cluster/team-%03d", number)])
    error_message = "The reaper may not reach every cluster."
  }
}
