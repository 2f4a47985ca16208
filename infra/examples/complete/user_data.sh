#!/bin/bash
# What the ECS agent of a new instance is told.
set -euo pipefail

metadata=http://169.254.169.254/latest
token=$(curl --silent --fail --request PUT --header "X-aws-ec2-metadata-token-ttl-seconds: 60" $metadata/api/token)
purchase_option=$(curl --silent --fail --header "X-aws-ec2-metadata-token: $token" $metadata/meta-data/instance-life-cycle)

# The attribute lets placement constraints tell Spot from on-demand. Containers have 90 seconds to stop, which fits into
# a notice of two minutes. The agent does not drain on interruptions: the Spot drainer does.
cat >> /etc/ecs/ecs.config <<CONFIG
ECS_CLUSTER=${cluster}
ECS_INSTANCE_ATTRIBUTES={"purchase-option":"$purchase_option"}
ECS_CONTAINER_STOP_TIMEOUT=90s
ECS_ENABLE_SPOT_INSTANCE_DRAINING=false
CONFIG
