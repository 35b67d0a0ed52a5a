import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { it } from "node:test";
import { findStalePictures, hash, pictures, RECORD } from "./pictures.ts";

it("a picture is stale where it is missing, was changed by itself, or shows what the page no longer is", async () => {
  const project = await mkdtemp(path.join(tmpdir(), "meshproof-pictures-"));
  try {
    const all = pictures();
    assert.deepEqual(
      await findStalePictures(project),
      all.map(({ file }) => file),
    );
    await mkdir(path.join(project, path.dirname(RECORD)), { recursive: true });
    for (const { file } of all) await writeFile(path.join(project, file), file);
    const record = all.map(
      ({ file, html }) => [path.basename(file), { page: hash(html), picture: hash(file) }] as const,
    );
    const keep = (entries: readonly (readonly [string, object])[]) =>
      writeFile(path.join(project, RECORD), JSON.stringify(Object.fromEntries(entries)));
    await keep(record);
    assert.deepEqual(await findStalePictures(project), []);
    const [first, second, third] = record;
    await keep([[first![0], { ...first![1], page: hash("an older page") }], ...record.slice(1)]);
    await writeFile(path.join(project, all[1]!.file), "another picture");
    await rm(path.join(project, all[2]!.file));
    assert.deepEqual(
      (await findStalePictures(project)).map((file) => path.basename(file)),
      [first![0], second![0], third![0]],
    );
  } finally {
    await rm(project, { recursive: true });
  }
});

it("a page is the same whenever it is made", () => {
  assert.deepEqual(pictures(), pictures());
});
