/** What a policy names in its `targetRefs`. */
export interface PolicyTarget {
  /** Empty for the core group. */
  readonly group: string;
  readonly kind: string;
  readonly name: string;
}

/** Why a policy does not hold at a proxy. */
export type NotAttached =
  | { readonly kind: "other-namespace" | "other-labels" | "selector-at-waypoint" | "selector-at-gateway" }
  /** The proxy is not of a Gateway of the Gateway API: a sidecar, or a gateway that istiod did not make. */
  | { readonly kind: "target-refs-ignored" }
  | {
      readonly kind:
        | "other-gateway"
        | "target-in-other-namespace"
        | "class-of-no-waypoint"
        | "class-outside-root-namespace"
        | "service-without-waypoint"
        | "service-of-no-waypoint";
      readonly target: PolicyTarget;
    };
