import assert from "node:assert/strict";
import { test } from "node:test";
import { CLUSTER_VARIABLE, lanesFor, readCluster, readSettings, SETTINGS_VARIABLE } from "./settings.ts";

test("MESHPROOF_CLUSTER names a kept cluster, a kind cluster or a context", () => {
  assert.deepEqual(readCluster(undefined), { kind: "embedded" });
  assert.deepEqual(readCluster("embedded"), { kind: "embedded" });
  assert.deepEqual(readCluster("mine"), { kind: "embedded", name: "mine", keep: true });
  assert.deepEqual(readCluster("embedded/mine"), { kind: "embedded", name: "mine", keep: true });
  assert.deepEqual(readCluster("kind"), { kind: "kind" });
  assert.deepEqual(readCluster("kind/mine"), { kind: "kind", name: "mine", keep: true });
  assert.deepEqual(readCluster("existing/arn:aws:eks/prod"), { kind: "existing", context: "arn:aws:eks/prod" });
  assert.throws(() => readCluster("Some Cluster"), /MESHPROOF_CLUSTER is "Some Cluster"/);
});

test("two lanes by default, where that is measured to be faster", () => {
  const settings = readSettings({});
  const ids = Array.from({ length: 30 }, (_, n) => `g/${n}`);
  assert.equal(lanesFor(settings, 2), 2);
  assert.equal(lanesFor({ ...settings, ids }, 16), 2);
  assert.equal(lanesFor(settings, 1), 1);
  assert.equal(lanesFor({ ...settings, ids: ids.slice(0, 5) }, 2), 1);
  assert.equal(lanesFor({ ...settings, cluster: { kind: "kind" } }, 2), 1);
  assert.equal(lanesFor({ ...settings, cluster: { kind: "kind" }, lanes: 3 }, 2), 3);
  assert.equal(lanesFor({ ...settings, cluster: { kind: "existing" }, lanes: 3 }, 2), 1);
});

test("the settings of meshproof run win over the defaults", () => {
  const settings = { ...readSettings({}), profile: "asm" };
  const env = { [SETTINGS_VARIABLE]: JSON.stringify(settings), [CLUSTER_VARIABLE]: "other" };
  assert.deepEqual(readSettings(env), settings);
  assert.equal(readSettings({}).ids, undefined);
});
