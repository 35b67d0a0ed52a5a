import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { FILTER_MARKS, hasIstioFilters } from "./istio-filters.ts";

test("an Envoy has Istio's filters if it has all of them, at any place", async (t) => {
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
  assert.ok(await has(...FILTER_MARKS));
  assert.ok(await has(3 << 20, ...FILTER_MARKS.flatMap((mark) => [mark, 1 << 20])));
  // Across the border of a chunk, at every place.
  for (let before = 1; before < 44; before++)
    assert.ok(await has((1 << 20) - before, FILTER_MARKS[0] ?? "", ...FILTER_MARKS.slice(1)), `${before}`);
  for (const mark of FILTER_MARKS) assert.ok(!(await has(...FILTER_MARKS.filter((other) => other !== mark))), mark);
  assert.ok(!(await has()));
});
