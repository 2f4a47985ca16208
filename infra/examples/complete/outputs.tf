output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "dashboard_name" {
  description = "Name of the CloudWatch dashboard."
  value       = module.ebb.dashboard_name
}

output "experiment_template_id" {
  description = "The experiment that interrupts a Spot Instance."
  value       = aws_fis_experiment_template.interruption.id
}
