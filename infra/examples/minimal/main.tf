# The least that works: one cluster, one group.
#
#   make build
#   terraform -chdir=infra/examples/minimal init
#   terraform -chdir=infra/examples/minimal apply -var cluster=shop -var auto_scaling_group=shop-instances

terraform {
  required_version = ">= 1.6.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }
}

variable "cluster" {
  description = "Name of the ECS cluster."
  type        = string
}

variable "auto_scaling_group" {
  description = "Name of its Auto Scaling group."
  type        = string
}

variable "reaper_mode" {
  description = "`plan`: the scale-in reaper says what it would remove. `act`: it removes."
  type        = string
  default     = "plan"
}

variable "alarm_actions" {
  description = "ARNs of what the alarms tell, such as an SNS topic. None: nobody is told."
  type        = list(string)
  default     = []
}

variable "notification_topic_arn" {
  description = "SNS topic for notices to people: what is drained, and what holds a drain. Null: nobody is told."
  type        = string
  default     = null
}

variable "package_path" {
  description = "Path of the functions' zips, with %s for the function's name. Null: where `make build` leaves them."
  type        = string
  default     = null
}

# A name with a slip in it fails the plan, and not at night.
data "aws_ecs_cluster" "this" {
  cluster_name = var.cluster
}

data "aws_autoscaling_group" "this" {
  name = var.auto_scaling_group
}

module "ebb" {
  source = "../.."

  ecs_clusters           = [data.aws_ecs_cluster.this.cluster_name]
  auto_scaling_groups    = [data.aws_autoscaling_group.this.name]
  reaper_mode            = var.reaper_mode
  alarm_actions          = var.alarm_actions
  notification_topic_arn = var.notification_topic_arn
  package_path           = var.package_path
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = module.ebb.dashboard_name
}

output "who_is_told" {
  description = "Who hears of alarms and notices."
  value = length(var.alarm_actions) > 0 ? "Alarms go to ${join(", ", var.alarm_actions)}." : (
    "NOBODY IS TOLD when an alarm goes off: set alarm_actions to the ARN of an SNS topic."
  )
}
