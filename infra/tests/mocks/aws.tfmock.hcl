# A provider that makes nothing. The partition is not the usual one on purpose.

mock_data "aws_partition" {
  defaults = { partition = "aws-cn" }
}

mock_data "aws_region" {
  defaults = { id = "cn-north-1" }
}

mock_data "aws_caller_identity" {
  defaults = { account_id = "111122223333" }
}

mock_resource "aws_lambda_function" {
  defaults = { arn = "arn:aws-cn:lambda:cn-north-1:111122223333:function:mocked" }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws-cn:iam::111122223333:role/mocked" }
}

mock_resource "aws_iam_policy" {
  defaults = { arn = "arn:aws-cn:iam::111122223333:policy/mocked" }
}

mock_resource "aws_sqs_queue" {
  defaults = { arn = "arn:aws-cn:sqs:cn-north-1:111122223333:mocked" }
}

mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws-cn:sns:cn-north-1:111122223333:mocked" }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws-cn:logs:cn-north-1:111122223333:log-group:mocked" }
}

mock_resource "aws_cloudwatch_event_rule" {
  defaults = { arn = "arn:aws-cn:events:cn-north-1:111122223333:rule/mocked" }
}

mock_resource "aws_cloudwatch_metric_alarm" {
  defaults = { arn = "arn:aws-cn:cloudwatch:cn-north-1:111122223333:alarm:mocked" }
}

# Instances of one resource would share the ARN of their kind, and a mix-up would go unseen.

override_resource {
  target = aws_sqs_queue.dead_letters["spot-drainer"]
  values = { arn = "arn:aws-cn:sqs:cn-north-1:111122223333:dead-letters-of-spot-drainer" }
}

override_resource {
  target = aws_sqs_queue.dead_letters["lifecycle-drainer"]
  values = { arn = "arn:aws-cn:sqs:cn-north-1:111122223333:dead-letters-of-lifecycle-drainer" }
}

override_resource {
  target = aws_sqs_queue.dead_letters["scale-in-reaper"]
  values = { arn = "arn:aws-cn:sqs:cn-north-1:111122223333:dead-letters-of-scale-in-reaper" }
}

override_resource {
  target = aws_lambda_function.this["spot-drainer"]
  values = { arn = "arn:aws-cn:lambda:cn-north-1:111122223333:function:spot-drainer" }
}

override_resource {
  target = aws_lambda_function.this["lifecycle-drainer"]
  values = { arn = "arn:aws-cn:lambda:cn-north-1:111122223333:function:lifecycle-drainer" }
}

override_resource {
  target = aws_lambda_function.this["scale-in-reaper"]
  values = { arn = "arn:aws-cn:lambda:cn-north-1:111122223333:function:scale-in-reaper" }
}


override_resource {
  target = aws_iam_role.function["lifecycle-drainer"]
  values = { arn = "arn:aws-cn:iam::111122223333:role/lifecycle-drainer" }
}

override_resource {
  target = aws_iam_role.hooks[0]
  values = { arn = "arn:aws-cn:iam::111122223333:role/hooks" }
}
