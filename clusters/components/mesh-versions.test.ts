import assert from "node:assert/strict";
import { test } from "node:test";

import { DEFAULT_MESH, ENVOY_VERSIONS, ISTIO_VERSIONS, allRecipes } from "./list.ts";
import { chooseMesh } from "./mesh-versions.ts";

/** What is chosen without --envoy. */
const USUAL = { ...DEFAULT_MESH, anyEnvoy: true };

test("a mesh is chosen by minor version, with or without .x, or by the whole version", () => {
  assert.deepEqual(chooseMesh({}), USUAL);
  for (const istio of ["1.30", "1.30.x", "v1.30", "1.30-20260826"])
    assert.deepEqual(chooseMesh({ istio }), { ...USUAL, istio: "1.30-20260826" });
  assert.deepEqual(chooseMesh({ envoy: "1.36" }, { istio: "x", envoy: "y" }), { istio: "x", envoy: "1.36.4" });
});

test("a whole version that is not built here is a release, with its own Envoy unless another is asked for", () => {
  for (const istio of ["1.29.2", "1.30.99", "1.30.0-rc.1", "1.30.0-alpha.0", "1.9.9-patch"]) {
    assert.deepEqual(chooseMesh({ istio }), { istio, envoy: undefined });
    assert.deepEqual(chooseMesh({ istio: `v${istio}` }), { istio, envoy: undefined });
    assert.deepEqual(chooseMesh({ istio, envoy: "1.36" }), { istio, envoy: "1.36.4" });
  }
  assert.deepEqual(chooseMesh({ istio: "1.31.0" }), USUAL);
  assert.deepEqual(chooseMesh({ istio: "1.31.0", envoy: "1.40" }), DEFAULT_MESH);
  const running = { istio: "1.29.2", envoy: "1.37.3-dev" };
  for (const wanted of [{}, { istio: "1.29.2" }]) assert.deepEqual(chooseMesh(wanted, running), running);
  assert.deepEqual(chooseMesh({ envoy: "1.36" }, running), { ...running, envoy: "1.36.4" });
});

test("an unknown version is refused with the list", () => {
  for (const istio of ["1.29", "1.29.x", "1.3", "", "x", "1.29.2-", "1.29.2/x", "1.29.2@x", "1.29.2 ", "1.29.2.3"])
    assert.throws(() => chooseMesh({ istio }), {
      code: "ERR_USAGE",
      hint: /1\.31 \(1\.31\.0\), 1\.30 \(.*by its whole version, such as 1\.29\.2$/,
    });
  assert.throws(() => chooseMesh({ envoy: "1.35" }), { code: "ERR_USAGE", hint: /1\.36 \(1\.36\.4\)/ });
});

test("the defaults come first, and every version is a component of its own", async () => {
  assert.deepEqual({ istio: ISTIO_VERSIONS[0], envoy: ENVOY_VERSIONS[0] }, DEFAULT_MESH);
  const meshes = ISTIO_VERSIONS.flatMap((istio) => ENVOY_VERSIONS.map((envoy) => ({ istio, envoy })));
  const recipes = await allRecipes(meshes);
  const versions = (name: string) => recipes.filter((recipe) => recipe.name === name).map(({ version }) => version);
  assert.deepEqual(versions("istio"), ISTIO_VERSIONS);
  assert.deepEqual(versions("envoy"), ENVOY_VERSIONS);
  assert.equal(versions("etcd").length, 1);
  const inputs = await Promise.all(recipes.map(async ({ name, inputs }) => `${name} ${(await inputs()).join(" ")}`));
  assert.equal(new Set(inputs).size, recipes.length);
});
