// Decides requests to AWS with @cloud-copilot/iam-simulate: reads {"policies": {name: document}, "requests": [...]} from
// stdin, and writes one answer a request: "Allowed", "ImplicitlyDenied", "ExplicitlyDenied", or what is wrong with it.
// scripts/lib/iam.py calls it in the folder of the pinned packages.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { readFileSync } from 'node:fs'

const here = createRequire(pathToFileURL(process.cwd() + '/'))
const { runSimulation, anonymousPrincipal, isWildcardOnlyAction } = await import(pathToFileURL(here.resolve('@cloud-copilot/iam-simulate')))
const { policies, requests } = JSON.parse(readFileSync(0, 'utf8'))
const named = (names) => names.map((name) => ({ name, policy: policies[name] }))

const answers = []
for (const { principal, action, resource, account, context, identity, boundary, policy } of requests) {
  // A request for an action that knows no resource is for "*".
  const isUnnamed = await isWildcardOnlyAction(...action.split(':'))
  const answer = await runSimulation({
    request: {
      principal: principal ?? anonymousPrincipal, action,
      resource: { resource: isUnnamed ? '*' : resource, accountId: account }, contextVariables: context,
    },
    identityPolicies: named(identity),
    ...(boundary ? { permissionBoundaryPolicies: named([boundary]) } : {}),
    ...(policy ? { resourcePolicy: policies[policy] } : {}),
    serviceControlPolicies: [], resourceControlPolicies: [],
  }, {})
  answers.push(answer.resultType === 'error' ? JSON.stringify(answer.errors) : answer.overallResult)
}
process.stdout.write(JSON.stringify(answers))
