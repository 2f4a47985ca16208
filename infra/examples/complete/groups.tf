# The container instances: a mixed group of on-demand and Spot, and an on-demand group to fall back on.

data "aws_subnet" "first" {
  id = var.subnet_ids[0]
}

resource "aws_security_group" "instances" {
  #checkov:skip=CKV_AWS_382:Nobody knows beforehand where tasks must get to.
  name_prefix = "${var.name}-"
  description = "Container instances: out only"
  vpc_id      = data.aws_subnet.first.vpc_id
  tags        = local.tags

  egress {
    description = "ECS, image registries and what the tasks need"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_iam_role" "instances" {
  name                 = "${var.name}-instances-${local.region}"
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "instances" {
  role       = aws_iam_role.instances.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "instances" {
  name = aws_iam_role.instances.name
  role = aws_iam_role.instances.name
  tags = local.tags
}

resource "aws_launch_template" "instances" {
  name_prefix            = "${var.name}-"
  image_id               = "resolve:ssm:/aws/service/ecs/optimized-ami/amazon-linux-2023/arm64/recommended/image_id"
  instance_type          = keys(var.instance_types)[0]
  vpc_security_group_ids = [aws_security_group.instances.id]
  user_data              = base64encode(templatefile("${path.module}/user_data.sh", { cluster = aws_ecs_cluster.this.name }))
  update_default_version = true
  tags                   = local.tags

  iam_instance_profile {
    arn = aws_iam_instance_profile.instances.arn
  }

  metadata_options {
    http_tokens = "required"
    # Two would let containers on a bridge ask for the instance's credentials.
    http_put_response_hop_limit = 1
    # instance-life-cycle needs nothing here; tags stay private.
    instance_metadata_tags = "disabled"
  }

  tag_specifications {
    resource_type = "instance"
    tags          = merge(local.tags, { Name = var.name })
  }
}

resource "aws_autoscaling_group" "mixed" {
  name                = "${var.name}-mixed"
  min_size            = var.min_size
  max_size            = 20
  vpc_zone_identifier = var.subnet_ids
  # A replacement comes before an instance at risk is terminated, which the lifecycle drainer then empties.
  capacity_rebalance = true

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = 1
      on_demand_percentage_above_base_capacity = 25
      # The pools that are least likely to be interrupted, the cheaper ones of them first.
      spot_allocation_strategy = "price-capacity-optimized"
    }

    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.instances.id
        version            = aws_launch_template.instances.latest_version
      }

      dynamic "override" {
        for_each = keys(var.instance_types)
        content {
          instance_type = override.value
        }
      }
    }
  }

  tag {
    key                 = "example"
    value               = var.name
    propagate_at_launch = true
  }

  lifecycle {
    # The scaling policies and the scale-in reaper set it.
    ignore_changes = [desired_capacity]
  }
}

resource "aws_autoscaling_group" "fallback" {
  name                = "${var.name}-fallback"
  min_size            = 0
  max_size            = 10
  vpc_zone_identifier = var.subnet_ids

  launch_template {
    id      = aws_launch_template.instances.id
    version = aws_launch_template.instances.latest_version
  }

  tag {
    key                 = "example"
    value               = var.name
    propagate_at_launch = true
  }

  lifecycle {
    # The Spot drainer raises it, the scale-in reaper shrinks it.
    ignore_changes = [desired_capacity]
  }
}

# Out by the higher of the two, in by nobody but the scale-in reaper. Simple scaling would stop while a hook waits;
# target tracking does not.
resource "aws_autoscaling_policy" "scale_out" {
  for_each = toset(["CPUReservation", "MemoryReservation"])

  name                      = "${var.name}-${each.key}"
  autoscaling_group_name    = aws_autoscaling_group.mixed.name
  policy_type               = "TargetTrackingScaling"
  estimated_instance_warmup = 120

  target_tracking_configuration {
    target_value     = 75
    disable_scale_in = true

    customized_metric_specification {
      namespace   = "AWS/ECS"
      metric_name = each.key
      statistic   = "Average"

      metric_dimension {
        name  = "ClusterName"
        value = aws_ecs_cluster.this.name
      }
    }
  }
}
