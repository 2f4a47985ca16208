# Many clusters of one Region, with one deployment of Ebb: `clusters` names them, each with its groups. For every cluster
# of the Region, and those to come, leave `ecs_clusters` of the module out; hooks need the groups' names all the same.
#
#   make build
#   terraform -chdir=infra/examples/many-clusters init
#   terraform -chdir=infra/examples/many-clusters apply \
#     -var 'clusters={ shop = ["shop-spot", "shop-on-demand"], till = ["till"] }' -var account_concurrency=1000

terraform {
  required_version = ">= 1.6.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }
}

variable "clusters" {
  description = "Names of the Auto Scaling groups, by the name of their ECS cluster."
  type        = map(list(string))
}

variable "account_concurrency" {
  description = "The account's quota of concurrent Lambda executions in the Region."
  type        = number
}

variable "terminations_at_once" {
  description = "As many instances as may be terminated at once, in all clusters together: each holds an execution while it drains."
  type        = number
  default     = 100
}

variable "alarm_actions" {
  description = "ARNs of what the alarms tell, such as an SNS topic."
  type        = list(string)
  default     = []
}

variable "reaper_mode" {
  description = "`plan`: the scale-in reaper says what it would remove. `act`: it removes."
  type        = string
  default     = "plan"
}

variable "package_path" {
  description = "Path of the functions' zips, with %s for the function's name. Null: where `make build` leaves them."
  type        = string
  default     = null
}

data "aws_ecs_cluster" "this" {
  for_each     = var.clusters
  cluster_name = each.key
}

data "aws_autoscaling_group" "this" {
  for_each = toset(flatten(values(var.clusters)))
  name     = each.value
}

module "ebb" {
  source = "../.."

  ecs_clusters        = [for cluster in data.aws_ecs_cluster.this : cluster.cluster_name]
  auto_scaling_groups = [for group in data.aws_autoscaling_group.this : group.name]
  reaper_mode         = var.reaper_mode
  package_path        = var.package_path
  alarm_actions       = var.alarm_actions

  # Elsewhere in the account nobody takes away what a wave of terminations needs, and the reverse.
  account_concurrency = var.account_concurrency
  reserved_concurrency = {
    spot-drainer      = 5
    lifecycle-drainer = var.terminations_at_once
    scale-in-reaper   = 1
  }
  # A sweep of many clusters plans the largest of them in this.
  memory_size = { scale-in-reaper = 512 }
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = module.ebb.dashboard_name
}
