# A cluster on a mixed group, with everything of Ebb's switched on.
#
#   make build
#   terraform -chdir=infra/examples/complete init
#   terraform -chdir=infra/examples/complete apply -var 'subnet_ids=["subnet-…", "subnet-…"]'
#
# The instances cost money while they run. experiment.tf says how to interrupt one.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  region    = data.aws_region.current.id
  tags      = { example = var.name }
}

module "ebb" {
  source = "../.."

  name_prefix         = var.name
  ecs_clusters        = [aws_ecs_cluster.this.name]
  auto_scaling_groups = [aws_autoscaling_group.mixed.name, aws_autoscaling_group.fallback.name]
  package_path        = var.package_path

  # An interruption takes at most one instance more of on-demand, until a sweep finds that it is not needed.
  fallback_asg       = aws_autoscaling_group.fallback.name
  drain_on_rebalance = true

  # The tasks stop within 90 seconds, and the load balancer lets go within 30: a drain that takes five times as long is
  # stuck. What no service runs would hold it until then.
  drain_timeout_seconds = 600
  standalone_tasks      = "stop"

  reaper_mode          = var.reaper_mode
  headroom_cpu_percent = 25
  min_instances        = var.min_size
  instance_prices      = var.instance_types

  metrics_namespace              = "Ebb/${var.name}"
  notification_topic_arn         = aws_sns_topic.people.arn
  notification_topic_kms_key_arn = aws_kms_key.this.arn
  alarm_actions                  = [aws_sns_topic.people.arn]

  kms_key_arn              = aws_kms_key.this.arn
  permissions_boundary_arn = var.permissions_boundary_arn
  iam_path                 = "/${var.name}/"
  log_retention_days       = 90
  tags                     = local.tags
}
