import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, it } from "node:test";
import { readIssuers } from "../tokens/issuer.ts";
import { BROUGHT, issuersDirsOf, workloadDirOf } from "./brought.ts";
import { loadScenarios } from "./load.ts";

const SCENARIO = `apiVersion: meshproof.dev/v1alpha1
kind: Scenario
metadata: { name: orders, title: T, source: S, level: core }
spec:
  workloads: [orders, sleep]
  tokens: { valid: { issuer: shop }, other: { issuer: corp } }
  steps:
    - name: a step
      checks: { from: sleep, to: orders, columns: [none, valid, other], rows: { /ip: [200, 200, 200] } }
`;
const ISSUER = "iss: https://login.shop.example\nkeys: [{ kid: k, alg: RS256 }]\n";

describe("a folder of scenarios elsewhere", () => {
  it("has the issuers and workloads that meshproof brings, and its own replace those of the same name", async (t) => {
    const root = await mkdtemp(path.join(tmpdir(), "meshproof-brought-"));
    t.after(() => rm(root, { recursive: true }));
    const write = async (file: string, text: string): Promise<void> => {
      await mkdir(path.dirname(path.join(root, file)), { recursive: true });
      await writeFile(path.join(root, file), text);
    };
    await write("team/orders/scenario.yaml", SCENARIO);
    await write("issuers/shop.yaml", ISSUER);
    await write("issuers/partner.yaml", ISSUER);
    await write("workloads/orders/orders.yaml", "apiVersion: v1\nkind: Service\nmetadata: { name: orders }\n");
    await write("workloads/httpbin/httpbin.yaml", "apiVersion: v1\nkind: Service\nmetadata: { name: httpbin }\n");

    const { scenarios, problems } = await loadScenarios(root);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      scenarios.map(({ id }) => id),
      ["team/orders"],
    );
    const { issuers } = await readIssuers(issuersDirsOf(root));
    const own = path.join(root, "issuers");
    for (const [name, iss, folder] of [
      ["shop", "https://login.shop.example", own],
      ["partner", "https://login.shop.example", own],
      ["corp", "https://issuer.corp.example", path.join(BROUGHT, "issuers")],
    ] as const)
      assert.deepEqual({ ...issuers.get(name), iss, folder }, issuers.get(name), name);
    assert.equal(workloadDirOf(root, "httpbin"), path.join(root, "workloads/httpbin"));
    assert.equal(workloadDirOf(root, "sleep"), path.join(BROUGHT, "workloads/sleep"));
  });

  it("is not read twice where it is meshproof's own", () => {
    assert.deepEqual(issuersDirsOf(BROUGHT), [path.join(BROUGHT, "issuers")]);
  });
});
