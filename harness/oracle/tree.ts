/** Reads a JSON tree of unknown shape. */

export type Tree = Readonly<Record<string, unknown>>;

export function record(node: unknown): Tree {
  return typeof node === "object" && node !== null && !Array.isArray(node) ? (node as Tree) : {};
}

export function list(node: unknown): readonly unknown[] {
  return Array.isArray(node) ? node : [];
}

/** The value at a path of field names; undefined if a field is missing. */
export function at(node: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, name) => record(inner)[name], node);
}

/** Text of a string or number; empty for anything else. */
export function text(node: unknown): string {
  return typeof node === "string" || typeof node === "number" ? String(node) : "";
}

/** The strings of a list. */
export function texts(node: unknown): string[] {
  return list(node).filter((one) => typeof one === "string");
}
