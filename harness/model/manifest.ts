/** A manifest file as a person would `kubectl apply` it, as plain data: what is loaded once can be handed to another process. */

import type { NotApplied, PolicyChange } from "./own-policy.ts";
import type { Position } from "./scenario.ts";

/** How a proxy or istiod reaches keys outside the mesh. */
export type OutsideScheme = "outside-http" | "outside-https";

/** One `${…}` as written. */
export interface Substitution {
  readonly position: Position;
  /** With its braces. */
  readonly written: string;
  readonly name:
    "ns" | "fresh" | "outside.ns" | "outside.ip" | "outside.host" | "tls.crt" | "tls.key" | "jwks" | "jwksUri";
  readonly issuer?: string;
  readonly via?: OutsideScheme;
}

/** A Kubernetes object. */
export interface ManifestObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  [field: string]: unknown;
}

export interface ManifestFile {
  readonly file: string;
  /** Where a step names the file; the beginning of the file where no step does. */
  readonly position: Position;
  readonly text: string;
  /** The objects as the file writes them, substitutions not made; those of a List each for itself. */
  readonly objects: readonly {
    readonly object: ManifestObject;
    readonly position: Position;
    /** What meshproof changed of it, where it is from elsewhere in the repository. */
    readonly changes?: readonly PolicyChange[];
  }[];
  readonly uses: readonly Substitution[];
  /** What is in the file and is not applied, where it is from elsewhere in the repository. */
  readonly notApplied?: readonly NotApplied[];
}
