import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { rememberDigests, rememberedDigests } from "./remembered.ts";

test("digests that are remembered at once are all remembered", async (t) => {
  const cache = await mkdtemp(join(tmpdir(), "meshproof-remembered-"));
  t.after(() => rm(cache, { recursive: true }));
  const digests = Object.fromEntries(
    ["a", "b", "c", "d", "e"].map((name) => [`registry.example/${name}:1`, `sha256:${name.repeat(64)}`]),
  );
  await Promise.all(Object.entries(digests).map(([name, digest]) => rememberDigests(cache, { [name]: digest })));
  assert.deepEqual(await rememberedDigests(cache), digests);
});
