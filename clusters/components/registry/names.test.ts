import assert from "node:assert/strict";
import { test } from "node:test";
import { fullName, mirrored, placeOf } from "./names.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;

test("an image's name gets the parts that Docker implies", () => {
  assert.equal(fullName("nginx"), "docker.io/library/nginx:latest");
  assert.equal(fullName("istio/pilot:1"), "docker.io/istio/pilot:1");
  assert.equal(fullName("localhost/a"), "localhost/a:latest");
  assert.equal(fullName("r.example:5000/a/b:1"), "r.example:5000/a/b:1");
  assert.equal(fullName("registry.k8s.io/pause@sha256:0"), "registry.k8s.io/pause@sha256:0");
});

test("a mirror takes the registry's place", () => {
  assert.equal(mirrored("docker.io/istio/pilot:1", undefined), "docker.io/istio/pilot:1");
  assert.equal(mirrored("docker.io/istio/pilot:1", "m.example:5000/hub"), "m.example:5000/hub/istio/pilot:1");
  for (const mirror of ["https://m.example", "m.example/", "", "m.example/hub?x"])
    assert.throws(() => mirrored("docker.io/a:1", mirror), { code: "ERR_USAGE" }, mirror);
});

test("a digest pins, however its image is named, and wins over the usual one", () => {
  const name = "docker.io/istio/pilot:1";
  assert.deepEqual(placeOf(name, {}), { reference: name });
  assert.deepEqual(placeOf(name, { digests: { "istio/pilot:1": DIGEST }, mirror: "m.example" }, "sha256:1"), {
    reference: `m.example/istio/pilot:1@${DIGEST}`,
    digest: DIGEST,
  });
  assert.deepEqual(placeOf(name, { digests: { "istio/pilot:2": DIGEST } }, "sha256:1"), {
    reference: `${name}@sha256:1`,
    digest: "sha256:1",
  });
});
