import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { TOKEN_VARIANTS } from "../model/token.ts";
import { createTokenFactory } from "../tokens/factory.ts";
import { formatProblem, lintScenarios, loadScenarios, substitute } from "./index.ts";

const project = join(import.meta.dirname, "../..");
const page = await readFile(join(project, "docs/writing-a-scenario.md"), "utf8");

test("the example of docs/writing-a-scenario.md loads without problems, and its tokens can be made", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "meshproof-test-"));
  t.after(() => rm(root, { recursive: true }));
  for (const shared of ["issuers", "workloads"]) await symlink(join(project, "scenarios", shared), join(root, shared));
  const folder = join(root, "jwt/audience-must-match");
  await mkdir(folder, { recursive: true });
  for (const [, name, text] of page.matchAll(/^```yaml (\S+)\n([^]*?)^```$/gm))
    await writeFile(join(folder, name!), text!);

  const { scenarios, problems } = await loadScenarios(root);
  assert.deepEqual([...problems, ...(await lintScenarios(scenarios, root))].map(formatProblem), []);
  const [scenario] = scenarios;
  assert.equal(scenario!.id, "jwt/audience-must-match");
  assert.deepEqual(
    scenario!.steps.map(({ checks }) => checks.length),
    [4, 7],
  );

  const tokens = await createTokenFactory({ issuersDirs: [join(root, "issuers")] });
  for (const token of Object.values(scenario!.tokens)) await tokens.mint(token);
  const [manifest] = scenario!.steps[1]!.apply;
  assert.deepEqual(
    manifest!.uses.map(({ written }) => written),
    ["${ns}", "${jwks.corp}"],
  );
  const jwks = await tokens.jwks("corp");
  const values = {
    ns: "foo",
    outsideNs: "outside",
    outsideIp: "",
    outsideHost: "",
    fresh: "",
    jwks: () => jwks,
    jwksUri: () => "",
  };
  const policy = parse(substitute(manifest!, values).yaml) as {
    spec: { jwtRules: { jwks: string }[] };
  };
  assert.equal(policy.spec.jwtRules[0]!.jwks, jwks);
});

test("docs/writing-a-scenario.md names every variant", () => {
  for (const variant of TOKEN_VARIANTS) assert.match(page, new RegExp(`^\\| \`${variant}\` +\\|`, "m"));
});
