import assert from "node:assert/strict";
import { test } from "node:test";

import { cachePlace, goCaches } from "./cache.ts";
import { compareVersions, requiredVersion } from "./go.ts";
import { checkHost, countSubordinateIds, firstFreeId, forbiddenBy, tellShortages } from "./host.ts";
import { allRecipes } from "./list.ts";

test("the cache is MESHPROOF_CACHE, else in the XDG cache, else in ~/.cache", () => {
  assert.equal(cachePlace({ MESHPROOF_CACHE: "/c", XDG_CACHE_HOME: "/x", HOME: "/h" }), "/c");
  assert.equal(cachePlace({ XDG_CACHE_HOME: "/x", HOME: "/h" }), "/x/meshproof");
  assert.equal(cachePlace({ XDG_CACHE_HOME: "relative", HOME: "/h" }), "/h/.cache/meshproof");
});

test("Go's caches are the user's where the environment names them", () => {
  assert.deepEqual(goCaches("/c", { GOCACHE: "/g" }), { GOMODCACHE: "/c/go/mod", GOCACHE: "/g" });
});

test("a module's version is read from go.mod", () => {
  const goMod = "module x\n\nrequire one.example/a v1.2.3\n\nrequire (\n\ttwo.example/b/v2 v2.0.0 // indirect\n)\n";
  assert.equal(requiredVersion(goMod, "one.example/a"), "v1.2.3");
  assert.equal(requiredVersion(goMod, "two.example/b/v2"), "v2.0.0");
  assert.throws(() => requiredVersion(goMod, "two.example/b"), { code: "ERR_COMPONENT" });
});

test("versions compare by their numbers", () => {
  assert.ok(compareVersions("1.26.8", "1.26.10") < 0);
  assert.ok(compareVersions("1.27", "1.26.8") > 0);
  assert.equal(compareVersions("1.26", "1.26.0"), 0);
});

test("every component has a version, a source and inputs of its own", async () => {
  const recipes = await allRecipes();
  const names = ["debian", "node", "envoy", "go-httpbin", "etcd", "coredns", "kubernetes", "istio"];
  assert.deepEqual(
    recipes.map(({ name }) => name),
    names,
  );
  for (const recipe of recipes) {
    assert.match(recipe.version, /\d/, recipe.name);
    assert.ok(recipe.source && recipe.effort && (await recipe.inputs()).length > 0, recipe.name);
  }
});

test("subordinate ids count by name and by number", () => {
  const text = "other:100000:65536\nme:165536:65536\n1000:300000:1000\n\n";
  assert.equal(countSubordinateIds(text, "me", 1000), 66536);
  assert.equal(countSubordinateIds("", "me", 1000), 0);
  assert.equal(firstFreeId(text), 301000);
  assert.equal(firstFreeId(""), 100000);
});

test("the setting that forbids user namespaces is named with the value that allows them", () => {
  assert.equal(forbiddenBy({ "user.max_user_namespaces": "100" }), undefined);
  assert.deepEqual(forbiddenBy({ "kernel.apparmor_restrict_unprivileged_userns": "1" }), {
    key: "kernel.apparmor_restrict_unprivileged_userns",
    value: "1",
    wanted: "0",
  });
});

test("on another system only Linux is missing, and the hint names what works there", async () => {
  for (const platform of ["darwin", "win32"] as const) {
    const [system, docker, ...others] = await checkHost(platform);
    assert.equal(system?.ok, false);
    assert.match(system?.found ?? "", new RegExp(`^${platform} on`));
    assert.match(system?.fix ?? "", /--cluster kind \(with Docker\), --cluster existing/);
    assert.equal(docker?.name, "Docker");
    assert.deepEqual(others, []);
  }
});

test("what may run short is told with what to do, and nothing else is", async () => {
  const told: string[] = [];
  const finding = { name: "inotify instances", found: "100 of 128 in use", needed: "64 left" };
  await tellShortages(
    (line) => told.push(line),
    Promise.resolve([
      { ...finding, ok: false, fix: "sysctl -w fs.inotify.max_user_instances=256" },
      { ...finding, ok: true },
    ]),
  );
  assert.deepEqual(told, [
    "inotify instances may run short: 100 of 128 in use, needed: 64 left; sysctl -w fs.inotify.max_user_instances=256",
  ]);
});
