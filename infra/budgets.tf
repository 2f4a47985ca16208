# What is wrong with budgets as a whole: functions.tf refuses it at plan time, as the scale-in reaper would at its start.
# What is wrong with a budget by itself is refused by the variable.

locals {
  # The names in the time zone database that comes with the functions, which take them in either case.
  time_zones         = [for name in split("\n", trimspace(file("${path.module}/time_zones.txt"))) : lower(name)]
  unknown_time_zones = [for budget in var.budgets : budget.time_zone if budget.time_zone != null && !contains(local.time_zones, lower(coalesce(budget.time_zone, "UTC")))]

  # Each budget with its defaults, its duration in minutes, and its amount by what it counts.
  compared_budgets = [for budget in var.budgets : {
    counts   = budget.share == 0 || budget.count == 0 ? "nothing" : budget.share == null ? "instances" : "percent"
    amount   = coalesce(budget.share, budget.count, 0)
    reasons  = coalesce(budget.reasons, ["empty", "consolidate", "replace", "fallback"])
    schedule = budget.schedule == null ? null : "${join(" ", compact(split(" ", budget.schedule)))} ${lower(coalesce(budget.time_zone, "UTC"))}"
    minutes  = try(tonumber(regex("^([0-9]+)h", budget.duration)[0]), 0) * 60 + try(tonumber(regex("([0-9]+)m$", budget.duration)[0]), 0)
  }]

  # By number, each budget beside which another holds whenever it does, for all of its reasons, and lets no more go.
  budgets_in_vain = [for number, budget in local.compared_budgets : number + 1 if anytrue([
    for other_number, other in local.compared_budgets :
    other_number != number
    && (other.schedule == null || other.schedule == budget.schedule && other.minutes >= budget.minutes)
    && length(setsubtract(budget.reasons, other.reasons)) == 0
    && (other.counts == "nothing" || other.counts == budget.counts && other.amount <= budget.amount)
  ])]
}
