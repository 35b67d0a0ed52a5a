import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { hasIstioFilters } from "./istio-filters.ts";

const MARKS = [
  "istio.envoy.config.filter.http.alpn.v2alpha1",
  "envoy.tcp.metadataexchange.config",
  "io.istio.http.peer_metadata",
  "envoy.filters.http.istio_stats",
];

test("an Envoy has Istio's filters if it has all of them, wherever they lie", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "meshproof-filters-"));
  t.after(() => rm(folder, { recursive: true }));
  const has = async (...parts: (string | number)[]): Promise<boolean> => {
    const file = join(folder, "envoy");
    await writeFile(
      file,
      Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.alloc(part)))),
    );
    return hasIstioFilters(file);
  };
  assert.ok(await has(...MARKS));
  assert.ok(await has(3 << 20, ...MARKS.flatMap((mark) => [mark, 1 << 20])));
  // Across the border of a chunk, at every place.
  for (let before = 1; before < 44; before++)
    assert.ok(await has((1 << 20) - before, MARKS[0] ?? "", ...MARKS.slice(1)), `${before}`);
  for (const mark of MARKS) assert.ok(!(await has(...MARKS.filter((other) => other !== mark))), mark);
  assert.ok(!(await has()));
});
