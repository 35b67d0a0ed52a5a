/** Policies that a scenario takes from where they are in a repository, and what meshproof changes of them, as data. */

import type { Difference } from "./ticket.ts";
import type { ObjectRef } from "./finding.ts";
import type { Position } from "./scenario.ts";

/** Where a namespace of the repository is in a scenario; `absent`: nothing that a scenario asks or sends from is there. */
export const NAMESPACE_TARGETS = ["${ns}", "${outside.ns}", "istio-system", "absent"] as const;
export type NamespaceTarget = (typeof NAMESPACE_TARGETS)[number];

/** The repository's namespaces, with what each is in a scenario. */
export type NamespaceMap = Readonly<Record<string, NamespaceTarget>>;

/** Fields that are applied unchanged although they mean something else in the mesh of a test. */
export const KEPT_FIELDS = ["addresses", "namespaces", "trust-domains"] as const;
export type KeptField = (typeof KEPT_FIELDS)[number];

type Keys = Extract<Difference, { kind: "keys" }>;

/** One change of an object. `field` is a path such as `spec.rules[0].from[0].source.namespaces[0]`. */
export type PolicyChange =
  /** `from` is empty where the object names no namespace. */
  | { readonly kind: "namespace"; readonly field: string; readonly from: string; readonly to: string }
  /** An issuer's tokens are signed by keys that meshproof makes. */
  | ({ readonly kind: "keys"; readonly field: string } & Pick<Keys, "iss" | "keys" | "served" | "uri">)
  /** Labels, annotations and the like. */
  | { readonly kind: "metadata-left-out"; readonly fields: readonly string[] }
  /** Applied as it is, because the scenario demands it. */
  | { readonly kind: "kept"; readonly field: string; readonly value: string; readonly as: KeptField };

/** An object of a file that is not applied. */
export interface NotApplied {
  readonly object: ObjectRef;
  readonly position: Position;
  /**
   * `workload`: the scenario's own workloads are in its place; `irrelevant`: no proxy uses it to judge a request; `chosen`: by `only` or
   * `leaveOut` of the scenario.
   */
  readonly because: "workload" | "irrelevant" | "chosen";
}
