import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { limitsOf, refusalOf } from "./existing.ts";
import { pinContext } from "./kubeconfig.ts";
import { writesJson, type Revision, type Survey } from "./survey.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-existing-test-"));
after(() => rmSync(folder, { recursive: true }));

describe("a kubeconfig", () => {
  const file = path.join(folder, "config");
  const write = (user: object): void =>
    writeFileSync(
      file,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        "current-context": "production",
        clusters: [
          { name: "a", cluster: { server: "https://a.example", "certificate-authority": "ca.crt" } },
          { name: "b", cluster: { server: "https://b.example" } },
        ],
        users: [
          { name: "u", user },
          { name: "other", user: { token: "secret-of-production" } },
        ],
        contexts: [
          { name: "test", context: { cluster: "a", user: "u" } },
          { name: "production", context: { cluster: "b", user: "other" } },
        ],
      }),
    );
  beforeEach(() => write({ token: "t" }));

  test("returns only the named context, with absolute paths", () => {
    const pinned = pinContext({ kubeconfig: file, context: "test", allowExec: [] });
    assert.equal(pinned.server, "https://a.example");
    assert.equal(pinned.config.getCurrentContext(), "test");
    assert.ok(!pinned.text.includes("production"));
    assert.equal(pinned.config.getCurrentCluster()?.caFile, path.join(folder, "ca.crt"));
  });

  test("never uses the current context by default", () => {
    assert.throws(
      () => pinContext({ kubeconfig: file, allowExec: [] }),
      /no context is named, .*: it has test, production/,
    );
    assert.throws(() => pinContext({ kubeconfig: file, context: "tset", allowExec: [] }), /no usable context "tset"/);
  });

  test("that cannot be read is an error", () => {
    const missing = path.join(folder, "missing");
    assert.throws(() => pinContext({ kubeconfig: missing, context: "test", allowExec: [] }), /missing cannot be read/);
  });
});

describe("a survey", () => {
  const revision = (name: string, more: Partial<Revision> = {}): Revision => ({
    name,
    namespace: "istio-system",
    version: "1.31.0",
    jwksFetch: "istiod",
    accessLog: true,
    ready: true,
    injection: { "istio.io/rev": name },
    injects: true,
    ...more,
  });
  const found = (more: Partial<Survey> = {}): Survey => ({
    kubernetes: "v1.36.3",
    revisions: [revision("default")],
    gateways: [],
    permissions: [{ what: "create namespaces", allowed: true }],
    others: [],
    ...more,
  });
  const refused = (survey: Survey, wanted?: string): string => refusalOf(survey, wanted)?.message ?? "";

  test("of a good mesh allows a run", () => assert.equal(refusalOf(found()), undefined));
  test("names the obstacles", () => {
    const two = found({ revisions: [revision("a"), revision("b", { ready: false })] });
    assert.match(refused(found({ revisions: [] })), /no Istio/);
    assert.match(refused(two), /2 revisions: a, b/);
    assert.match(refused(two, "c"), /no revision "c"/);
    assert.match(refused(two, "b"), /no available pod/);
    assert.equal(refused(two, "a"), "");
    assert.match(refused(found({ revisions: [revision("a", { injects: false })] })), /injection is off/);
    assert.equal(
      refused(found({ permissions: [{ what: "create pods/exec", allowed: false }] })),
      "this user may not create pods/exec",
    );
  });
  test("finds the gateway of the documentation", () => {
    const gateway = { namespace: "istio-system", name: "istio-ingressgateway" };
    const has = (gateways: Survey["gateways"], where = "istio-system"): boolean =>
      limitsOf(found({ gateways }), revision("a", { namespace: where }), false).gateway;
    assert.equal(has([gateway]), true);
    assert.equal(has([{ ...gateway, namespace: "ingress" }]), false);
    assert.equal(has([gateway], "mesh"), false);
  });
});

test("details are available only if the mesh config sets an access log file and JSON", () => {
  assert.equal(writesJson("accessLogFile: /dev/stdout\naccessLogEncoding: JSON\n"), true);
  for (const mesh of [
    undefined,
    "",
    "accessLogFile: /dev/stdout\n",
    "accessLogEncoding: JSON\n",
    "accessLogFile: ''\naccessLogEncoding: JSON\n",
  ])
    assert.equal(writesJson(mesh), false, mesh);
});
