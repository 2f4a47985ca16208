# The sample events, for tests: what each file holds, out of the envelopes in which it may have come.

terraform {
  required_version = ">= 1.6.0"
}

locals {
  directory = "${path.module}/../../../events"
  # Without what no rule or hook of the module delivers: other wrappings, what is no event, and events of an account or
  # Region that no rule here sees.
  files = {
    for file in setunion(fileset(local.directory, "spot-drainer/*.json"), fileset(local.directory, "lifecycle-drainer/*.json")) :
    file => jsondecode(file("${local.directory}/${file}"))
    if length(regexall("/(dead-letter|detail-|list-|pipes-|unknown-|sns-text-in-text|sns-notification-bare|sqs-one-unknown|sqs-sns-event|foreign-spot-interruption-)", file)) == 0
  }
  # An SQS record carries a text under `body`, an SNS record one under `Sns.Message`, and SNS in SQS one in the other.
  texts = {
    for file, event in local.files : file => [
      for record in try(event.Records, []) : try(jsondecode(record.body).Message, record.body, record.Sns.Message, "null")
    ]
  }
}

output "events" {
  description = "The events in each file, by file."
  value = {
    for file, event in local.files : file => [
      for inner in concat([event], [for text in local.texts[file] : try(jsondecode(text), null)]) : {
        source      = try(inner.source, "")
        detail_type = try(inner["detail-type"], "")
        code        = try(inner.detail.eventTypeCode, "")
        state       = try(inner.detail.state, "")
        transition  = try(inner.LifecycleTransition, "")
      }
    ]
  }
}
