# The same stacks that `make deploy` makes, for those who deploy with Terraform or OpenTofu. `make push` comes first: it makes the
# repositories, pushes the images and writes their digests. See README.md.

terraform {
  required_version = ">= 1.5"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0, < 7.0"
    }
  }
}

variable "suffix" {
  type        = string
  description = "Which environment: the end of every name."
}

variable "params" {
  type        = string
  description = "The environment's file, as infra/params/dev.json."
}

variable "bucket" {
  type        = string
  description = "Through which the templates travel, which are larger than a request may be. `make push` makes tollgate-deploy-ACCOUNT-REGION."
}

variable "overrides" {
  type        = map(string)
  default     = {}
  description = "Parameters over those of the file."
}

locals {
  root = abspath("${path.module}/../..")
}

module "stacks" {
  source = "./stacks"

  root      = local.root
  suffix    = var.suffix
  params    = var.params
  overrides = var.overrides
}

data "aws_partition" "current" {}

data "aws_region" "current" {}

# Images that nobody signed are refused before anything is changed, where the environment has a SignatureKey; the others are marked, so
# that the repositories keep them.
resource "terraform_data" "verified" {
  triggers_replace = [module.stacks.parameters, filesha256(var.params)]

  provisioner "local-exec" {
    command = join(" ", concat(
      ["${local.root}/scripts/operate/deploy", "--images-only", "--suffix", var.suffix, "--params", "'${abspath(var.params)}'"],
      [for name, value in var.overrides : "'${name}=${replace(value, "'", "'\\''")}'"],
    ))
  }
}

# What all environments of the account share is in no state of Terraform's, where one environment would remove it from the others.
resource "terraform_data" "account" {
  triggers_replace = [filesha256("${local.root}/infra/account.yaml")]

  provisioner "local-exec" {
    command = "${local.root}/scripts/operate/deploy --account-only --suffix ${var.suffix} --params '${abspath(var.params)}'"
  }
}

resource "aws_s3_object" "template" {
  for_each = module.stacks.templates

  bucket                 = var.bucket
  key                    = "tollgate-${var.suffix}/terraform/${each.key}-${filesha256(each.value)}.yaml"
  source                 = each.value
  source_hash            = filesha256(each.value)
  server_side_encryption = "AES256"
}

locals {
  urls = {
    for name, object in aws_s3_object.template :
    name => "https://${var.bucket}.s3.${data.aws_region.current.name}.${data.aws_partition.current.dns_suffix}/${object.key}"
  }
}

resource "aws_cloudformation_stack" "platform" {
  name         = "tollgate-${var.suffix}"
  template_url = local.urls.platform
  capabilities = ["CAPABILITY_IAM"]
  policy_body  = module.stacks.stack_policy
  tags         = module.stacks.tags
  parameters = {
    for name, value in module.stacks.parameters : name => value if contains(module.stacks.declared.platform, name)
  }

  depends_on = [terraform_data.account, terraform_data.verified]
}

# What the platform's stack puts out, the others may have as a parameter.
resource "aws_cloudformation_stack" "monitoring" {
  name         = "tollgate-${var.suffix}-monitoring"
  template_url = local.urls.monitoring
  tags         = module.stacks.tags
  parameters = {
    for name, value in merge(aws_cloudformation_stack.platform.outputs, module.stacks.parameters) : name => value
    if contains(module.stacks.declared.monitoring, name)
  }
}

resource "aws_cloudformation_stack" "protection" {
  name         = "tollgate-${var.suffix}-protection"
  template_url = local.urls.protection
  tags         = module.stacks.tags
  # For the role of the backups.
  capabilities = ["CAPABILITY_IAM"]
  parameters = {
    for name, value in merge(aws_cloudformation_stack.platform.outputs, module.stacks.parameters) : name => value
    if contains(module.stacks.declared.protection, name)
  }
}

output "platform" {
  description = "URLs and names, as `make outputs` prints them."
  value       = aws_cloudformation_stack.platform.outputs
}
