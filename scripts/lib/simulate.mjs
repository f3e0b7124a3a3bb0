// Decides requests to AWS with @cloud-copilot/iam-simulate: reads {"policies": {name: document}, "requests": [...]} from
// stdin, and writes one answer a request: "Allowed", "ImplicitlyDenied", "ExplicitlyDenied", or what is wrong with it.
// scripts/lib/iam.py calls it in the folder of the pinned packages.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { readFileSync } from 'node:fs'

const here = createRequire(pathToFileURL(process.cwd() + '/'))
const { runSimulation, runUnsafeSimulation, anonymousPrincipal, isWildcardOnlyAction } = await import(pathToFileURL(here.resolve('@cloud-copilot/iam-simulate')))
const { policies, requests } = JSON.parse(readFileSync(0, 'utf8'))
const named = (names) => names.map((name) => ({ name, policy: policies[name] }))

// What the simulator says where it does not know of which type a resource is, or thinks that an action has no such type.
const UNSURE = ['no.resource.types', 'multiple.resource.types']

const answers = []
for (const { principal, action, resource, account, context, identity, boundary, policy, isLoose } of requests) {
  // A request for an action that knows no resource is for "*".
  const isUnnamed = await isWildcardOnlyAction(...action.split(':'))
  const simulation = {
    request: {
      principal: principal ?? anonymousPrincipal, action,
      resource: { resource: isUnnamed ? '*' : resource, accountId: account }, contextVariables: context,
    },
    identityPolicies: named(identity),
    ...(boundary ? { permissionBoundaryPolicies: named([boundary]) } : {}),
    ...(policy ? { resourcePolicy: policies[policy] } : {}),
    serviceControlPolicies: [], resourceControlPolicies: [],
  }
  const answer = await runSimulation(simulation, {})
  if (answer.resultType !== 'error') answers.push(answer.overallResult)
  // Patterns and keys are compared all the same.
  else if (isLoose && UNSURE.includes(answer.errors.message)) answers.push(runUnsafeSimulation(simulation, {}))
  else answers.push(JSON.stringify(answer.errors))
}
process.stdout.write(JSON.stringify(answers))
