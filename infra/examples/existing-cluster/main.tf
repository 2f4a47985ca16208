# A cluster that is there, with its groups, for people who are on call: the zips of a release, alarms and notices by mail.
#
#   gh release download v0.2.0 --repo OWNER/REPOSITORY --pattern SHA256SUMS
#   terraform init
#   terraform apply -var cluster=shop -var 'auto_scaling_groups=["shop-spot", "shop-on-demand"]' \
#     -var base_url=https://github.com/OWNER/REPOSITORY/releases/download -var release=v0.2.0 \
#     -var bucket=our-packages -var email=on-call@example.com

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

variable "auto_scaling_groups" {
  description = "Names of its Auto Scaling groups."
  type        = set(string)
}

variable "base_url" {
  description = "Where the releases are, as in modules/release."
  type        = string
}

variable "release" {
  description = "The release's tag."
  type        = string
}

variable "checksums_path" {
  description = "Path of the release's SHA256SUMS."
  type        = string
  default     = "SHA256SUMS"
}

variable "bucket" {
  description = "Name of a bucket for the zips, in the functions' Region."
  type        = string
}

variable "email" {
  description = "Who is told: alarms, what is drained, and what holds a drain."
  type        = string
}

variable "reaper_mode" {
  description = "`plan`: the scale-in reaper says what it would remove. `act`: it removes."
  type        = string
  default     = "plan"
}

# A name with a slip in it fails the plan, and not at night.
data "aws_ecs_cluster" "this" {
  cluster_name = var.cluster
}

data "aws_autoscaling_group" "this" {
  for_each = var.auto_scaling_groups
  name     = each.value
}

resource "aws_sns_topic" "people" {
  #checkov:skip=CKV_AWS_26:Notices name instances and services, and go out by mail.
  name = "ebb-people"
}

resource "aws_sns_topic_policy" "people" {
  arn = aws_sns_topic.people.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Alarms"
      Effect    = "Allow"
      Principal = { Service = "cloudwatch.amazonaws.com" }
      Action    = "sns:Publish"
      Resource  = aws_sns_topic.people.arn
    }]
  })
}

resource "aws_sns_topic_subscription" "people" {
  topic_arn = aws_sns_topic.people.arn
  protocol  = "email"
  endpoint  = var.email
}

module "release" {
  source = "../../modules/release"

  base_url  = var.base_url
  release   = var.release
  checksums = file(var.checksums_path)
  bucket    = var.bucket
}

module "ebb" {
  source = "../.."

  ecs_clusters           = [data.aws_ecs_cluster.this.cluster_name]
  auto_scaling_groups    = [for group in data.aws_autoscaling_group.this : group.name]
  package_s3             = module.release.package_s3
  reaper_mode            = var.reaper_mode
  notification_topic_arn = aws_sns_topic.people.arn
  alarm_actions          = [aws_sns_topic.people.arn]
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = module.ebb.dashboard_name
}
