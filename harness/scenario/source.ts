/** Parsed YAML with the line and column of every node. */

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  type ParsedNode,
  visit,
} from "yaml";
import type { Problem } from "./problem.ts";
import type { ManifestObject } from "../model/manifest.ts";
import type { Position } from "../model/scenario.ts";

/** A parsed YAML file. `problems` has syntax errors, anchors and aliases. */
export interface Source {
  readonly file: string;
  readonly text: string;
  readonly documents: readonly Document.Parsed[];
  readonly problems: readonly Problem[];
  /** The line and column of an offset in the text. */
  positionAt(offset: number): Position;
}

/** Parses every document of a YAML file (core schema of YAML 1.2); never throws. */
export function parseSource(text: string, file: string): Source {
  try {
    return parseText(text, file);
  } catch (error) {
    // Mostly nesting that overflows the stack.
    const position: Position = { file, line: 1, column: 1 };
    const reason = error instanceof RangeError ? "it is nested too deeply" : (error as Error).message.split("\n")[0];
    return {
      file,
      text,
      documents: [],
      problems: [{ position, message: `this cannot be read: ${reason}` }],
      positionAt: () => position,
    };
  }
}

/** What the parser says of a text, without its full stop. */
export function notYaml({ message }: Error): string {
  return `this is not valid YAML: ${message.replace(/\.$/, "")}`;
}

function parseText(text: string, file: string): Source {
  const lineCounter = new LineCounter();
  const parsed = parseAllDocuments(text, { lineCounter, prettyErrors: false });
  const documents = Array.isArray(parsed) ? (parsed as Document.Parsed[]) : [];
  const positionAt = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const problems: Problem[] = [];
  for (const document of documents) {
    for (const error of [...document.errors, ...document.warnings]) {
      const position = positionAt(error.pos[0]);
      // Further errors on the same line follow from the first one.
      if (problems.some((earlier) => earlier.position.line === position.line)) continue;
      // `{ namespace: ${ns} }`: in flow style YAML reads the braces of a substitution as a mapping.
      const line = text.split("\n")[position.line - 1] ?? "";
      const flow = line.search(/[{[]/);
      const unquoted = document.errors.length > 0 && flow >= 0 && line.includes("${", flow + 1);
      problems.push({
        position,
        message: notYaml(error),
        ...(unquoted && { hint: "inside { } or [ ] put quotes around ${…}" }),
      });
    }
    visit(document, {
      Alias: (_, alias) => void problems.push(aliasProblem(positionAt(startOf(alias)), `*${alias.source}`)),
      Value: (_, node) => {
        if (node.anchor !== undefined) problems.push(aliasProblem(positionAt(startOf(node)), `&${node.anchor}`));
      },
    });
  }
  return { file, text, documents, problems, positionAt };
}

function aliasProblem(position: Position, found: string): Problem {
  return { position, message: `anchors and aliases are not allowed, found ${found}`, hint: "write the value out" };
}

/** The offset of the start of a node's text. */
export function startOf(node: Node | null | undefined): number {
  return node?.range?.[0] ?? 0;
}

/** The entries of a mapping, with the key as the file writes it. */
export function entriesOf(
  node: Node | null | undefined,
): { readonly key: string; readonly keyNode: Node; readonly value: ParsedNode }[] {
  if (!isMap(node)) return [];
  return node.items.map((pair: Pair) => {
    const keyNode = pair.key as Node;
    return { key: textOf(keyNode), keyNode, value: pair.value as ParsedNode };
  });
}

/** The items of a sequence. */
export function itemsOf(node: Node | null | undefined): ParsedNode[] {
  return isSeq(node) ? (node.items as ParsedNode[]) : [];
}

/** A value of a mapping, or undefined. */
export function valueOf(node: Node | null | undefined, key: string): ParsedNode | undefined {
  return entriesOf(node).find((entry) => entry.key === key)?.value;
}

/** The kind of a value in words, for `expected …, found …`. */
export function kindOf(
  node: Node | null | undefined,
): "mapping" | "list" | "alias" | "nothing" | "text" | "number" | "boolean" {
  if (isMap(node)) return "mapping";
  if (isSeq(node)) return "list";
  if (isAlias(node)) return "alias";
  const value = isScalar(node) ? node.value : null;
  if (value === null || value === undefined) return "nothing";
  return typeof value === "boolean"
    ? "boolean"
    : typeof value === "number" || typeof value === "bigint"
      ? "number"
      : "text";
}

/** A scalar's text, without quotes and escapes, before YAML turns it into a number or boolean. */
export function textOf(node: Node | null | undefined): string {
  return isScalar(node) ? (node.source ?? String(node.value)) : "";
}

/** The objects of a document; a List is replaced by its items. */
export function objectsIn({ contents }: Document): { readonly node: Node; readonly object: ManifestObject }[] {
  const node = contents;
  if (node === null || kindOf(node) === "nothing") return [];
  const nodes = textOf(valueOf(node, "kind")) === "List" ? itemsOf(valueOf(node, "items")) : [node];
  return nodes.map((each) => ({ node: each, object: each.toJSON() as ManifestObject }));
}
