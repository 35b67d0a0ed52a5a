import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ApiException } from "@kubernetes/client-node";
import { UnknownKindError } from "./api-error.ts";
import { applyManifest } from "./apply.ts";
import type { Manifest } from "./client.ts";

const OBJECT: Manifest = {
  apiVersion: "networking.istio.io/v1alpha3",
  kind: "EnvoyFilter",
  metadata: { name: "one", namespace: "foo" },
};

const answered = (code: number, body: string | object): ApiException<unknown> =>
  new ApiException(code, "", typeof body === "string" ? body : JSON.stringify(body), {});

/** Applies to an API server that gives these errors first. */
async function apply(errors: readonly Error[], limitMs = 2_000): Promise<number> {
  let calls = 0;
  const objects = {
    apply: (manifest: Manifest) => {
      const error = errors[calls++];
      return error === undefined ? Promise.resolve(manifest) : Promise.reject(error);
    },
  };
  await applyManifest({ objects }, OBJECT, { limitMs });
  return calls;
}

describe("an object is applied again", () => {
  const TRANSIENT: readonly (readonly [what: string, error: Error])[] = [
    ["where its CRD is established and not served yet", answered(404, "404 page not found\n")],
    ["where its kind is not known yet", new UnknownKindError("a/v1", "B")],
    ["where a webhook cannot be called", answered(500, { message: "failed calling webhook x" })],
    ["where the server is busy", answered(429, { message: "slow down" })],
    ["where an object of its name is being deleted", answered(409, { reason: "AlreadyExists", message: "x" })],
  ];
  for (const [what, error] of TRANSIENT) it(what, async () => assert.equal(await apply([error, error]), 3));
});

describe("an object is rejected at once", () => {
  const FINAL: readonly (readonly [what: string, error: Error])[] = [
    ["where its namespace does not exist", answered(404, { reason: "NotFound", message: "namespaces foo not found" })],
    ["where a webhook denies it", answered(400, { message: "admission webhook denied the request" })],
    ["where the server has another error", answered(500, { message: "no" })],
  ];
  for (const [what, error] of FINAL)
    it(what, async () => {
      await assert.rejects(apply([error]), { code: "ERR_MANIFEST_REJECTED" });
    });
});
