# Brings the zips of a release into a bucket of yours, each under its version, once its SHA-256 is the expected one.
# The machine that applies needs a shell, curl, and sha256sum or shasum.

terraform {
  required_version = ">= 1.6.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.100.0, < 7.0.0"
    }
  }
}

locals {
  packages = { for function in var.functions : function => "${function}-${var.architecture}.zip" }
  # A line of sha256sum is the sum, a space, a space or an asterisk, and the name.
  checksums = {
    for line in split("\n", var.checksums) : substr(line, 66, -1) => lower(substr(line, 0, 64))
    if can(regex("^[0-9A-Fa-f]{64} [ *].", line))
  }
  folder = "${path.root}/.ebb/${var.release}"
}

# A zip is fetched at apply time and read by nothing at plan time, so that a first plan needs no file. A file that is not
# the expected one is removed and fails the apply before anything is uploaded.
resource "terraform_data" "package" {
  for_each = local.packages

  # Whatever has the object below uploaded anew: the file may be gone by then, or on another machine.
  triggers_replace = [var.base_url, local.folder, local.checksums[each.value], var.bucket, var.key_prefix]

  provisioner "local-exec" {
    interpreter = ["/bin/sh", "-euc"]
    command     = <<-EOT
      mkdir -p "$FOLDER"
      cd "$FOLDER"
      curl --fail --silent --show-error --location --retry 3 --max-time 300 --output "$PACKAGE" "$URL"
      if ! echo "$SHA256  $PACKAGE" | if command -v sha256sum >/dev/null; then sha256sum -c -; else shasum -a 256 -c -; fi; then
        rm -f "$PACKAGE"
        echo "$URL is not what the checksums say: expected SHA-256 $SHA256" >&2
        exit 1
      fi
    EOT
    environment = {
      FOLDER  = local.folder
      PACKAGE = each.value
      URL     = "${var.base_url}/${var.release}/${each.value}"
      SHA256  = local.checksums[each.value]
    }
  }

  lifecycle {
    precondition {
      condition     = contains(keys(local.checksums), each.value)
      error_message = "checksums has no line for ${each.value}. Pass the text of the release's SHA256SUMS: file(\"SHA256SUMS\")."
    }
  }
}

resource "aws_s3_object" "package" {
  #checkov:skip=CKV_AWS_186:It is public, and encrypted as the bucket encrypts.
  for_each = local.packages

  bucket = var.bucket
  key    = "${var.key_prefix}${var.release}/${each.value}"
  source = "${local.folder}/${each.value}"
  # Not read from the file, which may be gone after the upload.
  source_hash  = local.checksums[each.value]
  content_type = "application/zip"
  tags         = var.tags

  depends_on = [terraform_data.package]
}
