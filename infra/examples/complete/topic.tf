# The topic for people, and the key of the topics and queues.

resource "aws_sns_topic" "people" {
  name              = "${var.name}-people"
  kms_master_key_id = aws_kms_key.this.arn
  tags              = local.tags
}

resource "aws_sns_topic_subscription" "people" {
  count = var.email == null ? 0 : 1

  topic_arn = aws_sns_topic.people.arn
  protocol  = "email"
  endpoint  = var.email
}

resource "aws_kms_key" "this" {
  description         = "Topics and queues of ${var.name}"
  enable_key_rotation = true
  # The least that KMS allows; the default is 30.
  deletion_window_in_days = 7
  tags                    = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Leaves it to IAM who else may use the key: so do the roles of the functions, the hooks and the schedule.
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        # Rules send notices and dead letters to queues, SNS sends dead letters, alarms tell people. There is no condition
        # on whose: EventBridge does not always say. The queues' and topics' own policies do.
        Sid       = "Services"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "events.amazonaws.com", "sns.amazonaws.com"] }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey*"]
        Resource  = "*"
      },
    ]
  })
}
