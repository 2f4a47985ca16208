variable "name" {
  description = "Begins the name of everything: two examples can live side by side."
  type        = string
  default     = "ebb-example"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,20}$", var.name))
    error_message = "name must be 1 to 21 lower-case letters, digits and hyphens, beginning with a letter."
  }
}

variable "subnet_ids" {
  description = "Subnets of the container instances, in one VPC, with a way out to ECS. Several Availability Zones give Spot more pools."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids must name at least one subnet."
  }
}

variable "instance_types" {
  description = "Instance types of the mixed group, arm64, of like size: the more, the fewer interruptions. Their prices in USD an hour let the scale-in reaper tell what it saves; they are of eu-west-1."
  type        = map(number)
  default = {
    "m7g.large" = 0.0911
    "m6g.large" = 0.0860
    "c7g.large" = 0.0778
    "r7g.large" = 0.1193
  }
}

variable "min_size" {
  description = "The least number of instances in the mixed group."
  type        = number
  default     = 2
}

variable "email" {
  description = "Address for notices and alarms. Null: nobody is told."
  type        = string
  default     = null
}

variable "reaper_mode" {
  description = "`plan` or `act`, as in the module."
  type        = string
  default     = "plan"
}

variable "package_path" {
  description = "As in the module."
  type        = string
  default     = null
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of every role. Null: none."
  type        = string
  default     = null
}
