output "package_s3" {
  description = "Where the zips are, for the module's `package_s3`. Known once they are there."
  value = {
    bucket = var.bucket
    key    = "${var.key_prefix}${var.release}/%s-${var.architecture}.zip"
  }
  depends_on = [aws_s3_object.package]
}
