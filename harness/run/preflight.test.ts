import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiException } from "@kubernetes/client-node";
import { UnknownKindError } from "../mesh/api-error.ts";
import type { Manifest } from "../mesh/client.ts";
import type { Scenario, StepSpec } from "../model/scenario.ts";
import { parseManifest } from "../scenario/index.ts";
import { sentences } from "../../reports/words.ts";
import { preflight, type CheckingMesh } from "./preflight.ts";

const position = { file: "scenario.yaml", line: 1, column: 1 };

const policy = (name: string): string =>
  `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: { name: ${name}, namespace: "\${ns}" }\n`;

function scenario(id: string, ...texts: string[]): Scenario {
  const steps = texts.map((text, index): StepSpec => {
    const apply = [parseManifest(text, `${id}/policy.yaml`)];
    return { name: `step ${index}`, position, apply, delete: [], checks: [], matrices: [], asked: [] };
  });
  const more = { features: [], tags: [], workloads: [], mesh: {}, tokens: {} };
  return { id, title: "t", source: "s", level: "core", position, steps, ...more };
}

/** An API server that refuses what is named so; a moment without a webhook comes before the first answer. */
function mesh(refuses: (manifest: Manifest) => number | Error | undefined): CheckingMesh {
  let busy = true;
  const apply = (manifest: Manifest, { dryRun }: { dryRun: boolean }): Promise<Manifest> => {
    assert.equal(dryRun, true);
    const answer = (code: number, message: string): Promise<never> =>
      Promise.reject(new ApiException(code, message, JSON.stringify({ message }), {}));
    if (busy) {
      busy = false;
      return answer(500, "failed calling webhook: connection refused");
    }
    const found = refuses(manifest);
    if (found instanceof Error) return Promise.reject(found);
    return found === undefined ? Promise.resolve(manifest) : answer(found, `no ${manifest.metadata.name}`);
  };
  return {
    kube: { objects: { apply } },
    handle: { namespace: "foo", outsideNamespace: "bar" },
    plan: { runId: "r" },
    tokens: { jwks: () => Promise.resolve("{}") },
    server: () => Promise.reject(new Error("no server is needed")),
  };
}

const BAD = `${policy("good")}---\n${policy("bad")}---\n`;

test("a rejected manifest affects only its scenario, and is reported once, with file, line and the server's message", async () => {
  const [good, bad] = [scenario("a/good", policy("good")), scenario("a/bad", BAD, BAD)];
  const refused = await preflight(
    mesh(({ metadata }) => (metadata.name === "bad" ? 422 : undefined)),
    [good, bad],
  );
  assert.deepEqual(
    [...refused].map(([{ id }, refusals]) => [id, refusals]),
    [
      [
        "a/bad",
        [
          {
            position: { file: "a/bad/policy.yaml", line: 5, column: 1 },
            object: "AuthorizationPolicy foo/bad",
            message: "no bad",
          },
        ],
      ],
    ],
  );
  assert.equal(
    sentences((refused.get(bad) ?? []).map((refusal) => ({ kind: "refused", refusal }))),
    "a/bad/policy.yaml:5:1 the API server rejected AuthorizationPolicy foo/bad: no bad",
  );
});

test("a kind that the API server does not have is refused at once", async () => {
  const unknown = scenario("a/kind", policy("x"));
  const refused = await preflight(
    mesh(() => new UnknownKindError("security.istio.io/v1", "AuthorizationPolicy")),
    [unknown],
  );
  assert.match(refused.get(unknown)?.[0]?.message ?? "", /^Unrecognized API version and kind/);
});

test("an API server that cannot be reached is not a refusal", async () => {
  await assert.rejects(
    preflight(
      mesh(() => new Error("connect ECONNREFUSED")),
      [scenario("a/good", policy("good"))],
    ),
    { code: "ERR_CLUSTER_UNREACHABLE" },
  );
});
