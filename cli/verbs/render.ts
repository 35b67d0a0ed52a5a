import { OWN_NAMESPACES } from "../../clusters/cluster.ts";
import { substitute } from "../../harness/scenario/index.ts";
import type { Scenario } from "../../harness/model/scenario.ts";
import { substitutionValues } from "../../harness/run/substitution.ts";
import { createTokenFactory } from "../../harness/tokens/factory.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { issuersDirsOf } from "../../harness/scenario/brought.ts";
import { readScenarios } from "../context.ts";
import { printYaml } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("render", ["render jwt/algorithms", "render jwt/algorithms | kubectl apply -f -"])
  .argument("<scenario>", "its id or name")
  .addOption(option.scenarios())
  .action(async (scenario: string, options) => finish(render(scenario, options)));

/** Placeholders for values that only a run has. An address of TEST-NET-1 (RFC 5737) replaces that of the pod outside the mesh. */
const UNKNOWN = {
  ns: OWN_NAMESPACES.namespace,
  outsideIp: "192.0.2.1",
  outsideNs: OWN_NAMESPACES.outsideNamespace,
  fresh: "fresh",
};

export async function render(name: string, options: { readonly scenarios: string }): Promise<number> {
  const [scenario, ...others] = await readScenarios(options.scenarios, [name], []);
  if (scenario === undefined || others.length > 0)
    throw new MeshproofError("ERR_USAGE", `render takes one scenario, "${name}" means ${1 + others.length}`, {
      hint: `name one of ${[scenario, ...others].map((each) => each?.id).join(", ")}`,
    });
  printYaml(await renderScenario(scenario, issuersDirsOf(options.scenarios)));
  return 0;
}

async function renderScenario(scenario: Scenario, issuersDirs: readonly string[]): Promise<string> {
  const files = scenario.steps.flatMap(({ apply }) => apply);
  const values = await substitutionValues(await createTokenFactory({ issuersDirs }), files, UNKNOWN);
  const steps = scenario.steps.map((step, index) =>
    [
      `# Step ${index + 1}: ${step.name}`,
      ...step.delete.map(({ file }) => `# deletes what ${file} applied`),
      ...step.apply.map((file) => `---\n# ${file.file}\n${substitute(file, values).yaml}`),
    ].join("\n"),
  );
  const used = new Set(files.flatMap(({ uses }) => uses.map(({ name }) => name)));
  const notes = [
    ...(used.has("outside.ip") || used.has("outside.host")
      ? [`# ${UNKNOWN.outsideIp} stands for the pod outside-host, whose address a run looks up.`]
      : []),
    ...(used.has("jwksUri") || used.has("fresh")
      ? [`# "${UNKNOWN.fresh}" at the end of a jwksUri is new in each run and step: istiod keeps keys by URI.`]
      : []),
  ];
  return [...notes, ...steps].join("\n");
}
