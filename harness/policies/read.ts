/** Reads the objects of a file of a user's repository, with the place of each field. It may be any YAML that kubectl reads. */

import { type Document, isMap, isSeq, LineCounter, type Node, parseAllDocuments } from "yaml";
import type { Position } from "../model/scenario.ts";
import type { TicketObject } from "../repro/ticket.ts";
import type { Problem } from "../scenario/problem.ts";
import { notYaml } from "../scenario/source.ts";
import { fieldsOf, listOf, type Path } from "./names.ts";

/** An object of the file: the plain data, and where its fields are. */
export interface Found {
  readonly object: TicketObject;
  position(path: Path): Position;
}

export function start(file: string): Position {
  return { file, line: 1, column: 1 };
}

/** The objects of a file; a List is replaced by its items. Anchors are expanded. */
export function readObjects(text: string, file: string): { readonly found: Found[]; readonly problems: Problem[] } {
  const lines = new LineCounter();
  const problems: Problem[] = [];
  const found: Found[] = [];
  const positionAt = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const template = text.includes("{{") && {
    hint: "a template is applied as the output of a command (command: [helm, template, …])",
  };
  try {
    const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, logLevel: "error" });
    for (const document of Array.isArray(documents) ? (documents as Document.Parsed[]) : []) {
      const [error] = document.errors;
      if (error !== undefined) {
        problems.push({
          position: positionAt(error.pos[0]),
          message: notYaml(error),
          ...template,
        });
        continue;
      }
      const value: unknown = document.toJS();
      if (value === null || value === undefined) continue;
      const isList = String(fieldsOf(value)["kind"]).endsWith("List") && Array.isArray(fieldsOf(value)["items"]);
      const parts = isList
        ? listOf(value, "items").map((item, index) => [item, ["items", index]] as const)
        : [[value, []] as const];
      for (const [part, path] of parts) {
        const position = (inner: Path): Position => positionAt(offsetOf(document, [...path, ...inner]));
        const { apiVersion, kind, metadata } = fieldsOf(part);
        const isObject = [apiVersion, kind, fieldsOf(metadata)["name"]].every((each) => typeof each === "string");
        if (isObject) found.push({ object: part as TicketObject, position });
        else
          problems.push({
            position: position([]),
            message: "this is not a Kubernetes object: it needs apiVersion, kind and metadata.name",
            ...template,
          });
      }
    }
  } catch (error) {
    const reason = error instanceof RangeError ? "it is nested too deeply" : (error as Error).message.split("\n")[0];
    problems.push({ position: start(file), message: `this cannot be read: ${reason}` });
  }
  return { found, problems };
}

/** Where a field begins, or the nearest one around it that has a place in the text. */
function offsetOf(document: Document.Parsed, path: Path): number {
  let node: Node | null = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const key of path) {
    node = isMap(node) || isSeq(node) ? ((node.get(key, true) as Node | undefined) ?? null) : null;
    if (node === null) break;
    offset = node.range?.[0] ?? offset;
  }
  return offset;
}
