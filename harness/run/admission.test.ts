import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ApiException } from "@kubernetes/client-node";
import { MeshproofError } from "../model/errors.ts";
import type { AdmissionExpected } from "../model/admission.ts";
import { parseManifest } from "../scenario/index.ts";
import { judgeAdmission, type AdmittingMesh } from "./admission.ts";

const MANIFEST = parseManifest(
  `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: first, namespace: "\${ns}" }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: second, namespace: "\${ns}" }
`,
  "policies.yaml",
);
const values = {
  ...{ ns: "foo", outsideIp: "", outsideNs: "", outsideHost: "", fresh: "1" },
  jwks: () => "",
  jwksUri: () => "",
};
const position = { file: "scenario.yaml", line: 3, column: 1 };

/** What is judged of the second object. */
async function judge(
  expected: AdmissionExpected,
  apply: AdmittingMesh["kube"]["objects"]["apply"],
  warnings: readonly string[] = [],
) {
  const kind = "AuthorizationPolicy";
  const list = () => [
    ...warnings.map((text) => ({ object: { kind, namespace: "foo", name: "second" }, text })),
    { object: { kind, namespace: "foo", name: "first" }, text: "about another one" },
  ];
  const admission = [{ position, name: "AuthorizationPolicy second", manifest: MANIFEST, at: 1, expected }];
  const [result] = await judgeAdmission({ kube: { objects: { apply, warnings: { list } } } }, { admission }, values);
  assert.ok(result);
  return result;
}

const accept: AdmittingMesh["kube"]["objects"]["apply"] = (manifest, { dryRun }) => {
  assert.deepEqual([manifest.metadata.name, manifest.metadata.namespace, dryRun], ["second", "foo", true]);
  return Promise.resolve(manifest);
};
const refuse: typeof accept = () => {
  const details = { causes: [{ field: "spec.action" }, { field: "spec.action" }, {}] };
  return Promise.reject(new ApiException(422, "", { message: "spec.action: Unsupported value", details }, {}));
};

describe("what the API server says of an object", () => {
  const CASES: [AdmissionExpected, typeof accept, readonly string[], reason: string | undefined][] = [
    [{ verdict: "refused", text: "Unsupported value" }, refuse, [], undefined],
    [{ verdict: "refused", text: "Unsupported", field: "spec.action" }, refuse, [], undefined],
    [
      { verdict: "refused", text: "Unsupported", field: "spec" },
      refuse,
      [],
      'expected the API server to refuse AuthorizationPolicy second with "Unsupported" at spec, got refused with "spec.action: Unsupported value" at spec.action',
    ],
    [
      { verdict: "refused", text: "wildcard" },
      refuse,
      [],
      'expected the API server to refuse AuthorizationPolicy second with "wildcard", got refused with "spec.action: Unsupported value" at spec.action',
    ],
    [
      { verdict: "refused", text: "wildcard" },
      accept,
      [],
      'expected the API server to refuse AuthorizationPolicy second with "wildcard", got accepted',
    ],
    [{ verdict: "warned", text: "TCP" }, accept, ["all TCP ports"], undefined],
    [
      { verdict: "warned", text: "UDP" },
      accept,
      ["all TCP ports"],
      'expected the API server to warn about AuthorizationPolicy second with "UDP", got warned with "all TCP ports"',
    ],
    [
      { verdict: "warned", text: "TCP" },
      accept,
      [],
      'expected the API server to warn about AuthorizationPolicy second with "TCP", got accepted',
    ],
    [{ verdict: "accepted" }, accept, [], undefined],
    [
      { verdict: "accepted" },
      accept,
      ["all TCP ports"],
      'expected the API server to accept AuthorizationPolicy second, got warned with "all TCP ports"',
    ],
    [
      { verdict: "accepted" },
      refuse,
      [],
      'expected the API server to accept AuthorizationPolicy second, got refused with "spec.action: Unsupported value" at spec.action',
    ],
  ];
  for (const [expected, apply, warnings, reason] of CASES)
    it(`${JSON.stringify(expected)}: ${reason ?? "agrees"}`, async () => {
      const result = await judge(expected, apply, warnings);
      assert.deepEqual([result.status, result.reason], [reason === undefined ? "passed" : "failed", reason]);
    });

  it("is unknown where the API server cannot be asked: that is an error, not a refusal", async () => {
    const gone: typeof accept = () => Promise.reject(new MeshproofError("ERR_CLUSTER_UNREACHABLE", "gone"));
    await assert.rejects(judge({ verdict: "refused", text: "" }, gone), { code: "ERR_CLUSTER_UNREACHABLE" });
  });
});
