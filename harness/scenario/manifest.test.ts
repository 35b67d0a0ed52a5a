import assert from "node:assert/strict";
import { test } from "node:test";
import { parseManifest } from "./manifest.ts";

test("each object of a file has its own position, those of a List too; empty documents are skipped", () => {
  const text =
    "---\n# nothing\n---\nkind: A\n---\napiVersion: v1\nkind: List\nitems:\n  - kind: B\n    spec: { jwksUri: x }\n  - kind: C\n";
  assert.deepEqual(
    parseManifest(text, "f").objects.map(({ object, position }) => [object.kind, position.line, position.column]),
    [
      ["A", 4, 1],
      ["B", 9, 5],
      ["C", 11, 5],
    ],
  );
});
