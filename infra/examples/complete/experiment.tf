# The real thing: AWS Fault Injection Service interrupts one Spot Instance of the mixed group, as EC2 would.
#
#   aws fis start-experiment --experiment-template-id "$(terraform output -raw experiment_template_id)"
#
# The instance gets a rebalance recommendation and, two minutes before it goes, the interruption notice.

resource "aws_fis_experiment_template" "interruption" {
  description = "Interrupts one Spot Instance of ${var.name}"
  role_arn    = aws_iam_role.experiment.arn
  tags        = merge(local.tags, { Name = "${var.name}-interruption" })

  action {
    name      = "interrupt"
    action_id = "aws:ec2:send-spot-instance-interruptions"

    parameter {
      key   = "durationBeforeInterruption"
      value = "PT2M"
    }

    target {
      key   = "SpotInstances"
      value = "one"
    }
  }

  target {
    name           = "one"
    resource_type  = "aws:ec2:spot-instance"
    selection_mode = "COUNT(1)"

    resource_tag {
      key   = "example"
      value = var.name
    }

    filter {
      path   = "State.Name"
      values = ["running"]
    }
  }

  # One interruption is what a Spot Instance must stand at any time.
  stop_condition {
    source = "none"
  }
}

resource "aws_iam_role" "experiment" {
  name                 = "${var.name}-experiment-${local.region}"
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "fis.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy" "experiment" {
  name = "interrupt"
  role = aws_iam_role.experiment.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "Interrupt"
        Effect    = "Allow"
        Action    = ["ec2:SendSpotInstanceInterruptions"]
        Resource  = ["arn:${local.partition}:ec2:${local.region}:${local.account}:instance/*"]
        Condition = { StringEquals = { "aws:ResourceTag/example" = var.name } }
      },
      {
        # AWS knows no resource for ec2:DescribeInstances.
        Sid      = "FindInstances"
        Effect   = "Allow"
        Action   = ["ec2:DescribeInstances"]
        Resource = ["*"]
      },
    ]
  })
}
