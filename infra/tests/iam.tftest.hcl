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
    drain_on_rebalance             = true
    fallback_asg                   = "shop-fallback"
    fallback_auto_scaling_groups   = { till-spot = "till-fallback" }
    standalone_tasks               = "stop"
    reaper_mode                    = "act"
    replace_schedule               = "rate(1 hour)"
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
      "arc-zonal-shift:ListManagedResources",
      "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeAutoScalingInstances", "autoscaling:DescribeInstanceRefreshes",
      "autoscaling:DescribeLifecycleHooks",
      "cloudwatch:GetMetricData",
      "ec2:CreateFleet", "ec2:DescribeInstanceTypes", "ec2:DescribeInstances", "ec2:DescribeInstanceStatus", "ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions",
      "ec2:DescribeSpotPriceHistory", "ec2:DescribeSubnets",
      "ecs:DescribeCapacityProviders", "ecs:DescribeTaskDefinition",
      "elasticloadbalancing:DescribeTargetGroups",
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
              "autoscaling:SetDesiredCapacity"                  = "^arn:aws-cn:autoscaling:cn-north-1:111122223333:autoScalingGroup:[*]:autoScalingGroupName/(shop-spot|shop-on-demand)$"
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

run "the_spot_drainer_reads_clusters_only_to_drain_on_recommendations" {
  assert {
    condition = !anytrue([
      for action in ["ecs:ListServices", "ecs:DescribeServices", "ecs:ListTasks", "ecs:DescribeTasks", "ecs:DescribeTaskDefinition", "ecs:DescribeClusters", "autoscaling:DescribeAutoScalingGroups", "ec2:DescribeSubnets"] :
      strcontains(aws_iam_role_policy.function["spot-drainer"].policy, "\"${action}\"")
    ])
    error_message = "The Spot drainer may read what it does not."
  }
  assert {
    condition     = aws_lambda_function.this["spot-drainer"].memory_size == 128
    error_message = "The Spot drainer has more memory than it needs."
  }
}

run "the_spot_drainer_reads_what_a_plan_takes" {
  variables {
    drain_on_rebalance = true
  }

  assert {
    condition = alltrue([
      for action in [
        "ecs:ListServices", "ecs:DescribeServices", "ecs:ListTasks", "ecs:DescribeTasks", "ecs:GetTaskProtection", "ecs:DescribeTaskDefinition", "ecs:DescribeClusters",
        "autoscaling:DescribeAutoScalingGroups", "ec2:DescribeSubnets", "ec2:DescribeInstanceTypes",
      ] :
      strcontains(aws_iam_role_policy.function["spot-drainer"].policy, "\"${action}\"")
    ])
    error_message = "The Spot drainer may not read what a plan takes."
  }
  assert {
    condition     = aws_lambda_function.this["spot-drainer"].memory_size == 256
    error_message = "The Spot drainer has no memory for a plan."
  }
}

run "everything_on_with_roles_that_are_there_already" {
  # What the owner of the roles needs is known before anything is there.
  command = plan
  variables {
    fallback_asg           = "shop-fallback"
    standalone_tasks       = "stop"
    reaper_mode            = "act"
    replace_schedule       = "rate(1 hour)"
    notification_topic_arn = "arn:aws-cn:sns:cn-north-1:111122223333:people"
    role_arns = {
      for role in ["spot-drainer", "lifecycle-drainer", "scale-in-reaper", "hooks", "schedule"] : role => "arn:aws-cn:iam::111122223333:role/theirs/${role}"
    }
  }

  assert {
    condition = (
      length(aws_iam_role.function) + length(aws_iam_role.hooks) + length(aws_iam_role.schedule) + length(aws_iam_role_policy.function) +
      length(aws_iam_role_policy.hooks) + length(aws_iam_role_policy.schedule) + length(aws_iam_policy.further_clusters) == 0
    )
    error_message = "The module makes a role or a policy although every role is given."
  }
  assert {
    condition = (
      alltrue([for function, resource in aws_lambda_function.this : resource.role == "arn:aws-cn:iam::111122223333:role/theirs/${function}"]) &&
      aws_scheduler_schedule.sweep[0].target[0].role_arn == "arn:aws-cn:iam::111122223333:role/theirs/schedule" &&
      aws_scheduler_schedule.replace[0].target[0].role_arn == "arn:aws-cn:iam::111122223333:role/theirs/schedule" &&
      aws_scheduler_schedule.summary[0].target[0].role_arn == "arn:aws-cn:iam::111122223333:role/theirs/schedule" &&
      alltrue([for hook in aws_autoscaling_lifecycle_hook.termination : hook.role_arn == "arn:aws-cn:iam::111122223333:role/theirs/hooks"]) &&
      output.lifecycle_publisher_role_arn == "arn:aws-cn:iam::111122223333:role/theirs/hooks" &&
      output.role_arns["spot-drainer"] == "arn:aws-cn:iam::111122223333:role/theirs/spot-drainer"
    )
    error_message = "Something does not act as the role that was given for it."
  }
  assert {
    condition = alltrue([
      for role, action in {
        spot-drainer      = "autoscaling:LaunchInstances"
        lifecycle-drainer = "autoscaling:CompleteLifecycleAction"
        scale-in-reaper   = "autoscaling:TerminateInstanceInAutoScalingGroup"
        hooks             = "sns:Publish"
        schedule          = "lambda:InvokeFunction"
      } : contains(flatten([for policy in output.policy_documents[role] : [for statement in jsondecode(policy).Statement : statement.Action]]), action)
    ])
    error_message = "The policy documents do not say what a role must be allowed."
  }
  assert {
    condition = { for role, policy in output.trust_policies : role => jsondecode(policy).Statement[0].Principal.Service } == {
      spot-drainer      = "lambda.amazonaws.com"
      lifecycle-drainer = "lambda.amazonaws.com"
      scale-in-reaper   = "lambda.amazonaws.com"
      hooks             = "autoscaling.amazonaws.com"
      schedule          = "scheduler.amazonaws.com"
    }
    error_message = "The trust policies let the wrong services in."
  }
}

run "one_role_that_is_there_already" {
  variables {
    role_arns    = { lifecycle-drainer = "arn:aws-cn:iam::111122223333:role/theirs" }
    ecs_clusters = [for number in range(300) : format("team-%03d", number)]
  }

  assert {
    condition     = toset(keys(aws_iam_role.function)) == toset(["spot-drainer", "scale-in-reaper"]) && length(aws_iam_role.hooks) == 1 && length(aws_iam_role.schedule) == 1
    error_message = "The module does not make just the roles that were not given."
  }
  assert {
    condition     = length(aws_iam_policy.further_clusters) > 0 && !anytrue([for name in keys(aws_iam_policy.further_clusters) : startswith(name, "lifecycle-drainer")])
    error_message = "The module makes policies for a role that is not its own."
  }
  assert {
    condition = toset(jsondecode(aws_sns_topic_policy.lifecycle[0].policy).Statement[0].Principal.AWS) == toset([
      "arn:aws-cn:iam::111122223333:role/theirs", aws_iam_role.hooks[0].arn,
    ])
    error_message = "The topic does not let the given role publish."
  }
  # What is made and what is said for others is the same.
  assert {
    condition = alltrue(concat(
      [for function, policy in aws_iam_role_policy.function : policy.policy == output.policy_documents[function][0]],
      [for policy in aws_iam_role_policy.hooks : policy.policy == output.policy_documents["hooks"][0]],
      [for policy in aws_iam_role_policy.schedule : policy.policy == output.policy_documents["schedule"][0]],
    ))
    error_message = "The policy documents differ from the policies."
  }
}

# Policies name what the module makes before it is there.
run "policies_name_what_is_made" {
  assert {
    condition = (
      strcontains(output.policy_documents["spot-drainer"][0], ":sqs:cn-north-1:111122223333:${aws_sqs_queue.notices[0].name}\"") &&
      strcontains(output.policy_documents["hooks"][0], ":sns:cn-north-1:111122223333:${aws_sns_topic.lifecycle[0].name}\"") &&
      strcontains(output.policy_documents["lifecycle-drainer"][0], ":sns:cn-north-1:111122223333:${aws_sns_topic.lifecycle[0].name}\"") &&
      strcontains(output.policy_documents["schedule"][0], ":function:${aws_lambda_function.this["scale-in-reaper"].function_name}\"") &&
      strcontains(output.policy_documents["schedule"][0], ":${aws_sqs_queue.dead_letters["scale-in-reaper"].name}\"") &&
      alltrue([for function, queue in aws_sqs_queue.dead_letters : strcontains(output.policy_documents[function][0], ":${queue.name}\"")]) &&
      alltrue([for function, group in aws_cloudwatch_log_group.function : strcontains(output.policy_documents[function][0], ":log-group:${group.name}:*\"")])
    )
    error_message = "A policy names something that the module does not make."
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

run "a_plan_notes_what_people_were_told_and_changes_nothing" {
  variables {
    reaper_mode            = "plan"
    notification_topic_arn = "arn:aws-cn:sns:cn-north-1:111122223333:people"
  }

  assert {
    condition = setintersection(
      flatten([for statement in jsondecode(aws_iam_role_policy.function["scale-in-reaper"].policy).Statement : statement.Action]),
      [
        "ecs:UpdateContainerInstancesState", "ecs:PutAttributes", "ecs:DeleteAttributes",
        "autoscaling:TerminateInstanceInAutoScalingGroup",
      ]
    ) == toset(["ecs:PutAttributes"])
    error_message = "A sweep that only plans may change something, or note nothing."
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
