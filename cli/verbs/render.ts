import path from "node:path";
import { substitute, substitutionsIn } from "../../harness/scenario/index.ts";
import type { SubstitutionValues } from "../../harness/scenario/index.ts";
import type { ManifestFile, Scenario } from "../../harness/model/scenario.ts";
import { createTokenFactory } from "../../harness/tokens/factory.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { readScenarios } from "../context.ts";
import { printYaml } from "../streams.ts";

/** What only a run knows. TEST-NET-1 (RFC 5737) stands for the pod outside the mesh. */
const UNKNOWN = {
  ns: "foo",
  outsideIp: "192.0.2.1",
  outsideNs: "meshproof-outside",
  outsideHost: "192-0-2-1.meshproof-outside.pod.cluster.local",
  fresh: "fresh",
};

export async function render(name: string, options: { readonly scenarios: string }): Promise<number> {
  const [scenario, ...others] = await readScenarios(options.scenarios, [name], []);
  if (scenario === undefined || others.length > 0)
    throw new MeshproofError("ERR_USAGE", `render takes one scenario, "${name}" means ${1 + others.length}`, {
      hint: `name one of ${[scenario, ...others].map((each) => each?.id).join(", ")}`,
    });
  printYaml(await renderScenario(scenario, path.join(path.resolve(options.scenarios), "issuers")));
  return 0;
}

async function renderScenario(scenario: Scenario, issuersDir: string): Promise<string> {
  const files = scenario.steps.flatMap(({ apply }) => apply);
  const values = await substitutionValues(files, issuersDir);
  const steps = scenario.steps.map((step, index) =>
    [
      `# Step ${index + 1}: ${step.name}`,
      ...step.delete.map(({ file }) => `# deletes what ${file} applied`),
      ...step.apply.map(({ file, text }) => `---\n# ${file}\n${substitute(text, file, values)}`),
    ].join("\n"),
  );
  const used = new Set(files.flatMap(({ text, file }) => substitutionsIn(text, file).map(({ name }) => name)));
  const notes = [
    ...(used.has("outside.ip") || used.has("outside.host")
      ? [`# ${UNKNOWN.outsideIp} stands for the pod outside-host, whose address a run looks up.`]
      : []),
    ...(used.has("jwksUri")
      ? [`# /${UNKNOWN.fresh} at the end of a jwksUri is new in each run and step: istiod keeps keys by URI.`]
      : []),
  ];
  return [...notes, ...steps].join("\n");
}

async function substitutionValues(files: readonly ManifestFile[], issuersDir: string): Promise<SubstitutionValues> {
  const tokens = await createTokenFactory({ issuersDir });
  const issuers = new Set(
    files.flatMap(({ text, file }) => substitutionsIn(text, file).flatMap(({ issuer }) => issuer ?? [])),
  );
  const keySets = new Map(
    await Promise.all([...issuers].map(async (issuer) => [issuer, await tokens.jwks(issuer)] as const)),
  );
  const { ns, outsideNs, outsideIp, outsideHost, fresh } = UNKNOWN;
  return {
    ns,
    outsideIp,
    outsideNs,
    outsideHost,
    jwks: (issuer) => keySets.get(issuer) ?? "",
    jwksUri: (issuer, via) => {
      const host = via === undefined ? `nginx-proxy.${ns}.svc.cluster.local:80` : outsideHost;
      return `${via === "outside-https" ? "https" : "http"}://${host}/jwks/${issuer}/${fresh}`;
    },
  };
}
