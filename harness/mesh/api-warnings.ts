/** The API server's warnings about objects that were sent. */

import type { KubernetesObject } from "@kubernetes/client-node";

/** A warning about an object, in the API server's words. */
export interface ApiWarning {
  readonly object: { readonly kind: string; readonly namespace: string; readonly name: string };
  readonly text: string;
}

/** Each warning once. */
export class ApiWarnings {
  readonly #found = new Map<string, ApiWarning>();

  /** @param header the header `Warning` of the answer that returned the object */
  add({ kind = "", metadata }: KubernetesObject, header = ""): void {
    const object = { kind, namespace: metadata?.namespace ?? "", name: metadata?.name ?? "" };
    for (const text of readWarnings(header)) this.#found.set(JSON.stringify([object, text]), { object, text });
  }

  list(): readonly ApiWarning[] {
    return [...this.#found.values()];
  }
}

/** The texts of a header `Warning` (RFC 7234 section 5.5). */
function readWarnings(header: string): string[] {
  return [...header.matchAll(/\b299 \S+ "((?:[^"\\]|\\.)*)"/g)].map(([, text = ""]) => text.replaceAll(/\\(.)/g, "$1"));
}
