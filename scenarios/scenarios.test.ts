import { countItems } from "../harness/model/items.ts";
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { isVerified } from "../harness/model/scenario.ts";
import { whyNot } from "../harness/run/eligible.ts";
import { ISTIO } from "../harness/run/profile.ts";
import { formatProblem, loadScenarios, parseManifest, substitute } from "../harness/scenario/index.ts";

const root = import.meta.dirname;
const { scenarios, problems } = await loadScenarios(root);

const values = {
  ns: "foo",
  outsideIp: "10.1.2.3",
  outsideNs: "meshproof-outside",
  outsideHost: "outside.example",
  fresh: "1",
  jwks: () => '{"keys":[]}',
  jwksUri: (issuer: string, via?: string) => `${via === "outside-https" ? "https" : "http"}://host/jwks/${issuer}/1`,
};

test("every scenario loads", () => {
  assert.deepEqual(problems.map(formatProblem), []);
});

test("a documented scenario names the source of its promise", () => {
  for (const { id, source, tags } of scenarios)
    if (tags.includes("documented")) assert.match(source, /^ASM, JWT authentication FAQ, ".+"/, id);
});

test("the README counts right", async () => {
  const text = await readFile(join(root, "../README.md"), "utf8");
  const count = (those: typeof scenarios): string =>
    `${those.length} scenarios with ${countItems(those.flatMap(({ steps }) => steps))} checks`;
  const told = [count(scenarios.filter(isVerified)), count(scenarios.filter((one) => !isVerified(one)))];
  assert.ok(text.includes(`There are ${told[0]}`), told[0]);
  assert.ok(text.includes(`${told[1]} are not verified`), told[1]);
});

test("what no mesh here can show is provisional, never runs, and names the source of its promise", () => {
  for (const scenario of scenarios) {
    const isAmbient = scenario.features.includes("ambient");
    assert.equal(isVerified(scenario), !isAmbient, scenario.id);
    if (!isAmbient) continue;
    assert.match(scenario.source, /https:\/\/|istio\/istio [a-z]/, scenario.id);
    assert.deepEqual(
      whyNot(scenario, [], ISTIO, undefined, { istio: "1.31.0", gatewayApi: "v1.6.0", waypoints: true }),
      { kind: "no-ztunnel" },
    );
  }
});

/** What the steps of a scenario expect of a valid token. */
function validOf(id: string): (number | undefined)[] {
  const scenario = scenarios.find((candidate) => candidate.id === id);
  assert.ok(scenario, id);
  return scenario.steps
    .filter(({ apply }) => apply.length > 0)
    .map(({ checks }) => checks.find(({ token }) => token === "valid")?.expect.status);
}

const MODES = { istiod: "", hybrid: "-hybrid", envoy: "-envoy" } as const;

/** The tables of the documentation with fresh URIs, per fetch mode: one status per step. */
const TABLES = {
  "jwks-uri-full-name": { istiod: [200, 200], hybrid: [200, 200], envoy: [200, 200] },
  "jwks-uri-namespace-name": { istiod: [200], hybrid: [200], envoy: [401] },
  "jwks-uri-short-name": { istiod: [401], hybrid: [401], envoy: [401] },
  "jwks-outside-http": { istiod: [200, 200], hybrid: [200, 200], envoy: [401, 200] },
  "jwks-outside-https": { istiod: [200, 200, 200], hybrid: [200, 401, 200], envoy: [401, 401, 200] },
};

for (const [name, table] of Object.entries(TABLES))
  test(`${name} expects what the documented table says, in the mode of its name`, () => {
    for (const [mode, suffix] of Object.entries(MODES)) {
      const id = `jwt/${name}${suffix}`;
      assert.deepEqual(validOf(id), table[mode as keyof typeof MODES], id);
      assert.equal(scenarios.find((scenario) => scenario.id === id)?.mesh.jwksFetch, mode, id);
    }
  });

test("every workload is objects of the run's namespace or of meshproof-outside", async () => {
  for (const app of await readdir(join(root, "workloads"))) {
    const folder = join(root, "workloads", app);
    for (const name of (await readdir(folder)).filter((file) => file.endsWith(".yaml"))) {
      const { objects } = substitute(parseManifest(await readFile(join(folder, name), "utf8"), name), values);
      for (const object of objects) {
        const namespace = object.kind === "Namespace" ? object.metadata.name : object.metadata.namespace;
        assert.ok(
          namespace === "foo" || namespace === "meshproof-outside",
          `${name}: ${object.kind} ${object.metadata.name}`,
        );
      }
    }
  }
});
