/** Finds the fields of objects in the files that they are written in. */

import { readFileSync } from "node:fs";
import path from "node:path";
import type { Node } from "yaml";
import type { Position } from "../model/scenario.ts";
import { parseSource, startOf, type Source } from "../scenario/source.ts";
import type { FieldPath } from "./rule-parts.ts";

/**
 * The position of a field; the object's own where its file cannot be read, such as that of what a command prints.
 * @param folders where the names of files begin
 */
export function fieldFinder(folders: readonly string[]): (object: Position, field: FieldPath) => Position {
  const sources = new Map<string, Source | undefined>();
  const read = (file: string): Source | undefined => {
    if (!sources.has(file)) sources.set(file, parse(file, folders));
    return sources.get(file);
  };
  return (object, field) => {
    const source = read(object.file);
    if (source === undefined) return object;
    const document = source.documents.findLast(
      ({ contents }) => contents !== null && source.positionAt(startOf(contents)).line <= object.line,
    );
    for (let length = field.length; length > 0; length--) {
      const node = document?.getIn(field.slice(0, length), true) as Node | undefined;
      if (node?.range) return source.positionAt(startOf(node));
    }
    return object;
  };
}

function parse(file: string, folders: readonly string[]): Source | undefined {
  for (const folder of folders)
    try {
      return parseSource(readFileSync(path.resolve(folder, file), "utf8"), file);
    } catch {
      continue;
    }
  return undefined;
}
