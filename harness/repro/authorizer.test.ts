import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { parseManifests } from "../mesh/apply.ts";
import { authorizerOf, withAuthorizer } from "./authorizer.ts";
import { readObjects } from "./read-objects.ts";
import { notUnderstood } from "./understood.ts";

const BROUGHT = readFileSync(
  path.join(import.meta.dirname, "../../scenarios/workloads/ext-authz/ext-authz.yaml"),
  "utf8",
);
const POLICY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: ask, namespace: front }
spec: { action: CUSTOM, provider: { name: sample-ext-authz-http }, rules: [{}] }
`;

describe("the external authorizer of a ticket", () => {
  it("gives the named answer, by a pod of its own for each", () => {
    for (const [status, answer] of [
      [200, "return 200;\n"],
      [302, "return 302 https://login.example/;\n"],
      [401, "return 401;\n"],
    ] as const) {
      const manifests = parseManifests(authorizerOf(status, BROUGHT).workload);
      const data = manifests.find(({ kind }) => kind === "ConfigMap")?.["data"] as Record<string, string>;
      assert.equal(data["answer.conf"], answer);
      assert.match(data["nginx.conf"] ?? "", /include \/etc\/meshproof\/answer\.conf;/);
      const { spec } = manifests.find(({ kind }) => kind === "Deployment") as unknown as {
        spec: { template: { metadata: { annotations: object; labels: object } } };
      };
      assert.deepEqual(spec.template.metadata.annotations, { "meshproof.dev/answer": String(status) });
      assert.deepEqual(spec.template.metadata.labels, { app: "ext-authz" });
    }
  });

  it("is asked by the ticket's CUSTOM policies; without it they are left out, with any name of their provider", () => {
    const objects = readObjects(POLICY, "policies.yaml");
    assert.deepEqual(
      notUnderstood(objects).map((one) => [one.kind, one.decides, "provider" in one && one.provider]),
      [["object-left-out", "unknown", "sample-ext-authz-http"]],
    );
    const scripted = withAuthorizer(objects, authorizerOf(302, BROUGHT));
    assert.deepEqual(notUnderstood(scripted.objects), []);
    assert.deepEqual(
      scripted.differences.map(({ kind, decides }) => [kind, decides]),
      [["authorizer", "no"]],
    );
  });
});
