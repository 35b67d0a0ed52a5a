import { OWN_NAMESPACES } from "../../clusters/cluster.ts";
import { substitute } from "../../harness/scenario/index.ts";
import type { ManifestObject } from "../../harness/model/manifest.ts";
import type { Scenario } from "../../harness/model/scenario.ts";
import { substitutionValues } from "../../harness/run/substitution.ts";
import { createTokenFactory } from "../../harness/tokens/factory.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { issuersDirsOf } from "../../harness/scenario/brought.ts";
import { readScenarios } from "../context.ts";
import { printOutput, printYaml } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("render", ["render jwt/algorithms", "render jwt/algorithms | kubectl apply -f -"])
  .argument("<scenario>", "its id or name")
  .addOption(option.scenarios())
  .addOption(option.json())
  .action(async (scenario: string, options) => finish(render(scenario, options)));

/** Placeholders for values that only a run has. An address of TEST-NET-1 (RFC 5737) replaces that of the pod outside the mesh. */
const UNKNOWN = {
  ns: OWN_NAMESPACES.namespace,
  outsideIp: "192.0.2.1",
  outsideNs: OWN_NAMESPACES.outsideNamespace,
  fresh: "fresh",
};

interface RenderOptions {
  readonly scenarios: string;
  readonly json?: boolean;
}

export async function render(name: string, options: RenderOptions): Promise<number> {
  const [scenario, ...others] = await readScenarios(options.scenarios, [name], []);
  if (scenario === undefined || others.length > 0)
    throw new MeshproofError("ERR_USAGE", `render takes one scenario, "${name}" means ${1 + others.length}`, {
      hint: `name one of ${[scenario, ...others].map((each) => each?.id).join(", ")}`,
    });
  const rendered = await renderSteps(scenario, issuersDirsOf(options.scenarios));
  if (options.json === true)
    printOutput("render", {
      scenario: scenario.id,
      steps: rendered.map(({ applies, ...step }) => ({
        ...step,
        applies: applies.map(({ file, objects }) => ({ file, objects })),
      })),
    });
  else printYaml(formatSteps(scenario, rendered));
  return 0;
}

interface RenderedStep {
  readonly name: string;
  /** Files whose objects it deletes. */
  readonly deletes: string[];
  readonly applies: readonly {
    readonly file: string;
    readonly yaml: string;
    readonly objects: readonly ManifestObject[];
  }[];
}

async function renderSteps({ steps }: Scenario, issuersDirs: readonly string[]): Promise<RenderedStep[]> {
  const files = steps.flatMap(({ apply }) => apply);
  const values = await substitutionValues(await createTokenFactory({ issuersDirs }), files, UNKNOWN);
  return steps.map((step) => ({
    name: step.name,
    deletes: step.delete.map(({ file }) => file),
    applies: step.apply.map((manifest) => {
      const { yaml, objects } = substitute(manifest, values);
      return { file: manifest.file, yaml, objects };
    }),
  }));
}

function formatSteps(scenario: Scenario, rendered: readonly RenderedStep[]): string {
  const files = scenario.steps.flatMap(({ apply }) => apply);
  const steps = rendered.map(({ name, deletes, applies }, index) =>
    [
      `# Step ${index + 1}: ${name}`,
      ...deletes.map((file) => `# deletes what ${file} applied`),
      ...applies.map(({ file, yaml }) => `---\n# ${file}\n${yaml}`),
    ].join("\n"),
  );
  const used = new Set(files.flatMap(({ uses }) => uses.map(({ name }) => name)));
  const notes = [
    ...(used.has("outside.ip") || used.has("outside.host")
      ? [`# ${UNKNOWN.outsideIp} is in the place of the address of the pod outside-host, which a run looks up.`]
      : []),
    ...(used.has("jwksUri") || used.has("fresh")
      ? [`# "${UNKNOWN.fresh}" at the end of a jwksUri is new in each run and step: istiod keeps keys by URI.`]
      : []),
  ];
  return [...notes, ...steps].join("\n");
}
