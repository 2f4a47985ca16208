# A cluster whose size a capacity provider's managed scaling decides. ECS adds instances and takes away what is empty; Ebb
# empties what nobody needs, and drains what Spot interrupts (docs/behaviour.md, beside cluster auto scaling).
#
#   make build
#   terraform -chdir=infra/examples/capacity-provider init
#   terraform -chdir=infra/examples/capacity-provider apply -var 'subnet_ids=["subnet-…", "subnet-…"]' \
#     -var launch_template_id=lt-…

terraform {
  required_version = ">= 1.6.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }
}

variable "name" {
  description = "Begins the name of everything."
  type        = string
  default     = "ebb-provider"
}

variable "subnet_ids" {
  description = "Subnets of the container instances."
  type        = list(string)
}

variable "launch_template_id" {
  description = "Launch template of container instances: an ECS-optimized image, an instance profile, and user data that sets ECS_CLUSTER to `name`."
  type        = string
}

variable "max_size" {
  description = "The most instances in the group."
  type        = number
  default     = 10
}

variable "reaper_mode" {
  description = "`plan`: the scale-in reaper says what it would empty. `act`: it empties."
  type        = string
  default     = "plan"
}

variable "package_path" {
  description = "Path of the functions' zips, with %s for the function's name. Null: where `make build` leaves them."
  type        = string
  default     = null
}

resource "aws_ecs_cluster" "this" {
  #checkov:skip=CKV_AWS_65:Container Insights cost money, and nothing here needs them.
  name = var.name
}

resource "aws_autoscaling_group" "this" {
  # Its name is known only once it is there, so Ebb gets it by a key.
  name_prefix         = "${var.name}-"
  min_size            = 0
  max_size            = var.max_size
  vpc_zone_identifier = var.subnet_ids
  # What managed termination protection asks for.
  protect_from_scale_in = true

  launch_template {
    id      = var.launch_template_id
    version = "$Latest"
  }

  tag {
    key                 = "AmazonECSManaged"
    value               = "true"
    propagate_at_launch = true
  }

  lifecycle {
    # ECS sets it.
    ignore_changes = [desired_capacity]
  }
}

resource "aws_ecs_capacity_provider" "this" {
  name = var.name

  auto_scaling_group_provider {
    auto_scaling_group_arn         = aws_autoscaling_group.this.arn
    managed_termination_protection = "ENABLED"
    # The lifecycle drainer's hook holds what goes. With both, an instance waits for the slower.
    managed_draining = "DISABLED"

    managed_scaling {
      status          = "ENABLED"
      target_capacity = 100
    }
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = [aws_ecs_capacity_provider.this.name]

  default_capacity_provider_strategy {
    capacity_provider = aws_ecs_capacity_provider.this.name
    weight            = 1
  }
}

module "ebb" {
  source = "../.."

  name_prefix                = var.name
  metrics_namespace          = "Ebb/${var.name}"
  ecs_clusters               = [aws_ecs_cluster.this.name]
  auto_scaling_groups_by_key = { this = aws_autoscaling_group.this.name }
  managed_scaling            = "assist"
  reaper_mode                = var.reaper_mode
  package_path               = var.package_path
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = module.ebb.dashboard_name
}
