locals {
  alarm_arns = concat([for alarm in aws_cloudwatch_metric_alarm.this : alarm.arn], aws_cloudwatch_metric_alarm.sweep_missing[*].arn)
}

output "function_arns" {
  description = "ARNs of the functions, by function."
  value       = { for function, resource in aws_lambda_function.this : function => resource.arn }
}

output "role_arns" {
  description = "ARNs of the functions' roles, by function."
  value       = { for function in keys(local.functions) : function => local.role_arns[function] }
}

output "log_group_names" {
  description = "Names of the functions' log groups, by function."
  value       = { for function, resource in aws_cloudwatch_log_group.function : function => resource.name }
}

output "dead_letter_queue_urls" {
  description = "URLs of the functions' dead-letter queues, by function."
  value       = { for function, resource in aws_sqs_queue.dead_letters : function => resource.url }
}

output "lifecycle_topic_arn" {
  description = "ARN of the topic that termination hooks publish to, for hooks that are made elsewhere. Null without the lifecycle drainer."
  value       = one(aws_sns_topic.lifecycle[*].arn)
}

output "lifecycle_publisher_role_arn" {
  description = "ARN of the role as which Auto Scaling publishes to that topic. Null without the lifecycle drainer."
  value       = lookup(local.role_arns, "hooks", null)
}

output "alarm_arns" {
  description = "ARNs of the alarms."
  value       = local.alarm_arns
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = aws_cloudwatch_dashboard.this.dashboard_name
}

output "queue_arns" {
  description = "ARNs of the queues: `notices`, if there is that queue, and the functions' dead-letter queues, by function."
  value = merge(
    { for function, resource in aws_sqs_queue.dead_letters : function => resource.arn },
    { for queue in aws_sqs_queue.notices : "notices" => queue.arn },
  )
}

output "event_rule_arns" {
  description = "ARNs of the rules for the Spot drainer, by name without the prefix."
  value       = { for rule, resource in aws_cloudwatch_event_rule.interruption : rule => resource.arn }
}

output "schedule_arn" {
  description = "ARN of the schedule that wakes the scale-in reaper. Null without it."
  value       = one(aws_scheduler_schedule.sweep[*].arn)
}

output "log_group_arns" {
  description = "ARNs of the functions' log groups, by function."
  value       = { for function, resource in aws_cloudwatch_log_group.function : function => resource.arn }
}

output "policy_documents" {
  description = "What each role must be allowed, as IAM policy documents: by function, `hooks` and `schedule`, with or without `role_arns`. A function has several if its clusters do not fit into one. Known at plan time, if what the module is given is."
  value       = local.policies
}

output "trust_policies" {
  description = "Who must be allowed to act as each role, as an IAM policy document."
  value       = { for role in keys(local.policies) : role => local.trust_policies[local.services[role]] }
}
