variable "base_url" {
  description = "Where the releases are: `https://github.com/OWNER/REPOSITORY/releases/download`, or a mirror of yours with a folder for each release."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^(https|file)://[^?#]+[^/?#]$", var.base_url))
    error_message = "base_url must begin with https:// (or file:// for a folder) and not end with a slash."
  }
}

variable "release" {
  description = "The release's tag, such as `v0.2.0`."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^v[0-9]+\\.[0-9]+\\.[0-9]+[0-9A-Za-z.-]*$", var.release))
    error_message = "release must be a tag, such as v0.2.0. There is no `latest`: a release is named."
  }
}

variable "checksums" {
  description = "The text of the release's SHA256SUMS, kept beside your configuration: `file(\"SHA256SUMS\")`. Read it from where you trust it, and check the release's attestation once."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("(?m)^[0-9A-Fa-f]{64} [ *].", var.checksums))
    error_message = "checksums must be the text of the release's SHA256SUMS: lines of a SHA-256, two spaces and a name."
  }
}

variable "bucket" {
  description = "Name of a bucket in the functions' Region, for the zips. It must be there, with versioning or without."
  type        = string
  nullable    = false
}

variable "key_prefix" {
  description = "Begins the zips' keys in the bucket."
  type        = string
  default     = "ebb/"
  nullable    = false
}

variable "functions" {
  description = "The functions whose zips are fetched."
  type        = set(string)
  default     = ["spot-drainer", "lifecycle-drainer", "scale-in-reaper"]
  nullable    = false
}

variable "architecture" {
  description = "`arm64` or `x86_64`, as in the module that deploys them."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "tags" {
  description = "Tags of the objects in the bucket, ten at most."
  type        = map(string)
  default     = {}
  nullable    = false
}
