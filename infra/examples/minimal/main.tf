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

module "ebb" {
  source = "../.."

  ecs_clusters        = [var.cluster]
  auto_scaling_groups = [var.auto_scaling_group]
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = module.ebb.dashboard_name
}
