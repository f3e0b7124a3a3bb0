# What is to be deployed, of the files that say it already: the environment's parameters, the images that were pushed, the
# templates. It has no provider, so that scripts/check/terraform can run it and compare it with scripts/operate/deploy.

variable "root" {
  type        = string
  description = "The folder of the repository."
}

variable "suffix" {
  type        = string
  description = "Which environment: the end of every name."

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$", var.suffix))
    error_message = "1 to 20 of a-z, 0-9 and '-', beginning and ending with a letter or digit."
  }
}

variable "params" {
  type        = string
  description = "The environment's file, as infra/params/dev.json."
}

variable "overrides" {
  type        = map(string)
  default     = {}
  description = "Parameters over those of the file."
}

locals {
  templates = {
    platform   = "${var.root}/infra/tollgate.yaml"
    monitoring = "${var.root}/infra/monitoring.yaml"
    protection = "${var.root}/infra/protection.yaml"
  }
  # Our templates indent by two. Terraform reads no YAML with CloudFormation's short forms.
  declared = {
    for name, file in local.templates :
    name => [for found in regexall("(?m)^  (\\w+):", regex("(?s)\\nParameters:\\n(.*?\\n)\\S", file(file))[0]) : found[0]]
  }
  file = jsondecode(file(var.params))
  # By digest, never by tag. `make push` writes it.
  pushed = jsondecode(file("${var.root}/.local/images/pushed-${var.suffix}.json"))
  given = merge(
    { for image in values(local.pushed) : image.parameter => image.uri },
    try(local.file.Parameters, {}),
    var.overrides,
    { EnvironmentSuffix = var.suffix },
  )
  unknown = setsubtract(keys(local.given), flatten(values(local.declared)))
}

output "templates" {
  description = "Of each stack the template's file."
  value       = local.templates
}

output "declared" {
  description = "Of each template the names of its parameters."
  value       = local.declared
}

output "parameters" {
  description = "All that are given; a stack takes those that its template declares."
  value       = local.given

  precondition {
    condition     = length(local.unknown) == 0
    error_message = "No template has a parameter ${join(", ", local.unknown)}."
  }
}

output "tags" {
  description = "Of every stack."
  value       = merge({ Environment = var.suffix }, try(local.file.Tags, {}))
}

output "stack_policy" {
  description = "What holds data is neither removed nor replaced by an update, as `make deploy` refuses it."
  value = jsonencode({
    Statement = [
      { Effect = "Allow", Action = "Update:*", Principal = "*", Resource = "*" },
      {
        Effect    = "Deny", Action = ["Update:Replace", "Update:Delete"], Principal = "*", Resource = "*",
        Condition = { StringEquals = { ResourceType = jsondecode(file("${var.root}/infra/policies/holders.json")) } }
      },
    ]
  })
}
