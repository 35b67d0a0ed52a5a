/** Reading a JSON tree of which nothing is certain. */

export type Tree = Readonly<Record<string, unknown>>;

export function record(node: unknown): Tree {
  return typeof node === "object" && node !== null && !Array.isArray(node) ? (node as Tree) : {};
}

export function list(node: unknown): readonly unknown[] {
  return Array.isArray(node) ? node : [];
}

/** The value at the end of a path of field names; undefined where it breaks off. */
export function at(node: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, name) => record(inner)[name], node);
}

/** Text of a string or number; empty for anything else. */
export function text(node: unknown): string {
  return typeof node === "string" || typeof node === "number" ? String(node) : "";
}

/** The texts of a list. */
export function texts(node: unknown): string[] {
  return list(node).filter((one) => typeof one === "string");
}
