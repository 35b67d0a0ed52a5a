/**
 * What the verbs print with --json: one document per command. Those of run, check, merge, diff, trend, matrix, upgrade and repro are the files
 * that they write, with schemas in reports/. Text from a mesh, a cluster or a file is hostile: escape it before showing.
 */

import * as z from "zod";
import { clusterInfo, meshSetting } from "./cluster.ts";
import { anything, count, texts, type Immutable } from "./schema.ts";

const problem = z.strictObject({
  file: z.string(),
  line: count,
  column: count,
  severity: z.enum(["error", "warning"]).describe("`error`: the scenario cannot run."),
  message: z.string(),
  hint: z.string().describe("How to fix it.").optional(),
});

const digest = z.string().describe("`sha256:…`.");
const finding = z.strictObject({
  name: z.string(),
  ok: z.boolean(),
  found: z.string(),
  needed: z.string(),
  fix: z.string().describe("A command, or a sentence where no command helps.").optional(),
  packages: texts.describe("Debian packages that are missing.").optional(),
});

const machine = z.strictObject({ ok: z.boolean(), findings: z.array(finding) });

const cluster = z.strictObject({
  context: z.string(),
  server: z.string(),
  kubernetes: z.string(),
  revisions: z.array(
    z.strictObject({
      name: z.string(),
      namespace: z.string(),
      version: z.string(),
      jwksFetch: z.string(),
      injects: z.boolean(),
    }),
  ),
  gatewayApi: z.string().optional(),
  waypoints: z.boolean(),
  gateways: z.array(z.strictObject({ namespace: z.string(), name: z.string() })),
  lacking: texts.describe("Permissions that a run needs and this user does not have."),
  others: texts.describe("Other namespaces that get sidecars."),
  left: texts.describe("What meshproof's runs left there, in words."),
  refusal: z
    .strictObject({ message: z.string(), hint: z.string().optional() })
    .describe("Why a run would be refused.")
    .optional(),
  scenarios: z
    .strictObject({
      all: count,
      run: count,
      skipped: z.array(z.strictObject({ because: z.string(), scenarios: count })),
    })
    .describe("What a run would do; left out where it would be refused.")
    .optional(),
});

export const failure = z
  .strictObject({
    error: z.strictObject({
      code: z.string().describe("Such as ERR_USAGE; ERR_INTERNAL for a bug of meshproof."),
      message: z.string(),
      hint: z.string().optional(),
    }),
  })
  .meta({ title: "meshproof error", description: "Printed by every verb with --json that ends with an error." });

/** By the name of the verb. */
export const OUTPUTS = {
  up: z.strictObject({ cluster: clusterInfo, kubeconfig: z.string() }),
  down: z.strictObject({
    cluster: z.string(),
    name: z.string(),
    stopped: z.boolean().describe("False if no cluster with this name was running."),
  }),
  list: z.array(
    z.strictObject({
      id: z.string(),
      title: z.string(),
      source: z.string(),
      level: z.string(),
      features: texts,
      tags: texts,
      mesh: meshSetting,
      checks: count,
      verified: z.boolean().describe("False for `level: provisional`: written from documentation and never seen."),
      file: z.string(),
    }),
  ),
  lint: z.strictObject({
    scenarios: count.describe("Number of scenarios that can run."),
    problems: z.array(problem),
  }),
  render: z.strictObject({
    scenario: z.string(),
    steps: z.array(
      z.strictObject({
        name: z.string(),
        deletes: texts.describe("Files whose objects the step deletes."),
        applies: z.array(z.strictObject({ file: z.string(), objects: z.array(anything("As it is applied.")) })),
      }),
    ),
  }),
  new: z.strictObject({ files: texts }),
  init: z.strictObject({
    files: z.array(z.strictObject({ file: z.string(), written: z.boolean().describe("False: it was there already.") })),
    policies: z
      .array(z.strictObject({ kind: z.string(), name: z.string(), file: z.string() }))
      .describe("What the first scenario tests."),
    open: z
      .boolean()
      .describe("What the AuthorizationPolicies demand is not clear, and must be written into the last matrix."),
    templates: texts.describe("Files whose policies need a command, such as helm template."),
  }),
  cleanup: z.strictObject({ removed: texts.describe("In words; empty if there was nothing.") }),
  doctor: z.union([z.strictObject({ machine }), z.strictObject({ cluster })]),
  components: z.array(
    z.strictObject({
      name: z.string(),
      version: z.string(),
      source: z.string(),
      state: z.enum(["present", "missing", "corrupt"]),
      dir: z.string(),
      digest: digest.optional(),
      bytes: count.optional(),
      builtAt: z.string().optional(),
      verifiedAt: z.string().optional(),
      details: z.record(z.string(), z.string()).optional(),
      programs: texts.optional(),
      damage: z.string().optional(),
    }),
  ),
  images: z.array(
    z.strictObject({
      role: z.enum(["node", "mesh", "workload"]),
      name: z.string(),
      reference: z.string().describe("What is pulled."),
      digest: digest.optional(),
    }),
  ),
  explain: z
    .looseObject({ decision: z.unknown(), text: z.string().describe("The same in words.") })
    .describe("Explanation in harness/model/explanation.ts."),
} as const satisfies Record<string, z.ZodType>;

/** What a verb prints. */
export type Output<Verb extends keyof typeof OUTPUTS> = Immutable<z.input<(typeof OUTPUTS)[Verb]>>;
