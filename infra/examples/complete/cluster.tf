# The cluster, and a service that must not run on Spot.

resource "aws_ecs_cluster" "this" {
  name = var.name
  tags = local.tags

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

# It takes longer to stop than a notice leaves, so it keeps away from Spot by the attribute that user_data.sh sets.
resource "aws_ecs_task_definition" "slow" {
  family                   = "${var.name}-slow"
  requires_compatibilities = ["EC2"]
  network_mode             = "bridge"
  tags                     = local.tags

  container_definitions = jsonencode([{
    name                   = "slow"
    image                  = "public.ecr.aws/docker/library/busybox:stable"
    command                = ["sh", "-c", "trap 'sleep 300; exit' TERM; while true; do sleep 1; done"]
    cpu                    = 256
    memory                 = 128
    stopTimeout            = 600
    readonlyRootFilesystem = true
  }])

  placement_constraints {
    type       = "memberOf"
    expression = "attribute:purchase-option == on-demand"
  }
}

resource "aws_ecs_service" "slow" {
  name            = "${var.name}-slow"
  cluster         = aws_ecs_cluster.this.arn
  task_definition = aws_ecs_task_definition.slow.arn
  launch_type     = "EC2"
  desired_count   = 1
  # Its replacement may start first. With both at 100 % it could never leave an instance.
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  tags                               = local.tags
}
