import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { loadScenarios } from "../scenario/index.ts";
import type { Kube } from "../mesh/client.ts";
import { collectDiagnostics, collectSetUp, type DiagnosableMesh } from "./collect.ts";

const root = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
after(() => rmSync(root, { recursive: true }));
const { scenarios } = await loadScenarios(path.join(import.meta.dirname, "../../scenarios"));
const scenario = scenarios.find(({ id }) => id === "jwt/request-authentication-alone");

/** A cluster whose methods all fail, each in another way. */
function brokenMesh(diagnosticsDir: string): DiagnosableMesh {
  const refuse = (): Promise<never> => Promise.reject(new Error("the API server is gone"));
  const explode = (): never => {
    throw new Error("it broke at once");
  };
  return {
    plan: { runId: "run", diagnosticsDir },
    handle: { namespace: "foo", outsideNamespace: "outside" },
    tokens: { redact: (text: string) => text },
    kube: { core: { listNamespacedPod: refuse, listNamespacedEvent: explode } } as unknown as Kube,
    log: refuse,
    target: refuse,
    place: explode,
  };
}

describe("collecting from a cluster that answers nothing", () => {
  const failure = { index: 0, since: new Date(), error: "it broke" };
  const manifest = { apiVersion: "v1", kind: "Secret", metadata: { name: "tls" }, data: { key: "c2VjcmV0" } };

  it("keeps what it can read, lists what is missing, and continues", async () => {
    assert.ok(scenario);
    const folder = await collectDiagnostics(brokenMesh(root), { ...failure, scenario, manifests: [manifest] });
    assert.equal(folder, "diagnostics/jwt__request-authentication-alone/1");
    const read = (name: string) =>
      readFileSync(path.join(root, "jwt__request-authentication-alone", "1", name), "utf8");
    assert.match(read("applied.yaml"), /name: tls\ndata: "\[secret\]"/);
    const collected = read("collected.txt");
    assert.match(collected, /^jwt\/request-authentication-alone, step 1: /);
    assert.match(collected, /^it broke$/m);
    assert.match(collected, /^istiod\.log: not there, the API server is gone$/m);
    assert.match(collected, /^events-foo\.txt: not there, it broke at once$/m);
  });

  it("does the same for a failed set-up", async () => {
    await collectSetUp(brokenMesh(root), new Date(), new Error("httpbin is not ready"));
    const collected = readFileSync(path.join(root, "set-up", "collected.txt"), "utf8");
    assert.match(collected, /^httpbin is not ready$/m);
    assert.match(collected, /^pods-foo\.yaml: not there, the API server is gone$/m);
  });

  it("gives up silently if it cannot write", async () => {
    assert.ok(scenario);
    const file = path.join(root, "file");
    writeFileSync(file, "");
    const folder = await collectDiagnostics(brokenMesh(file), { ...failure, scenario, manifests: [] });
    assert.equal(folder, undefined);
  });
});
