import { fileURLToPath } from "node:url";
import path from "node:path";
import type { Position } from "../model/scenario.ts";

/** The folder of this program: the line of a test is the first one outside of it. */
const PROGRAM = path.join(import.meta.dirname, "../..");

/** `at name (/a/file.ts:1:2)`, `at /a/file.ts:1:2`, `at async file:///a/file.ts:1:2`; not `node:internal/…`. */
const FRAME = /(?:\(|^at (?:async )?)((?:file:\/\/)?\/[^()]*):(\d+):(\d+)\)?$/;

/** The line of the test that has called. Relative to the working directory. */
export function placeOf(): Position {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 100;
  const { stack = "" } = new Error();
  Error.stackTraceLimit = limit;
  for (const line of stack.split("\n").slice(1)) {
    const [, place = "", row, column] = FRAME.exec(line.trim()) ?? [];
    if (place === "") continue;
    const file = place.startsWith("file:") ? fileURLToPath(place) : place;
    if (file.startsWith(PROGRAM) || file.includes("/node_modules/")) continue;
    return { file: path.relative("", file), line: Number(row), column: Number(column) };
  }
  return { file: "", line: 0, column: 0 };
}
