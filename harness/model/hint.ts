/** Well-known pitfalls that a ticket may show. */

import type { ObjectRef } from "./finding.ts";

/** A well-known pitfall, with the object that has it. */
export type Hint =
  | { readonly kind: "principal-last-slash"; readonly value: string; readonly iss: string }
  | { readonly kind: "grpc-method"; readonly method: string }
  | { readonly kind: "grpc-answer"; readonly status: number }
  | { readonly kind: "star-inside"; readonly value: string; readonly field: string }
  | {
      readonly kind: "service-port";
      readonly object: ObjectRef;
      readonly port: number;
      readonly container: readonly number[];
    }
  | { readonly kind: "other-namespace"; readonly object: ObjectRef; readonly needed: string }
  | { readonly kind: "egress-not-checked"; readonly host: string }
  | { readonly kind: "token-before-policy" }
  /** A RequestAuthentication or AuthorizationPolicy with a selector, or with neither selector nor targetRefs: no waypoint enforces it. */
  | { readonly kind: "not-at-waypoint"; readonly object: ObjectRef; readonly waypoint: string }
  /** ztunnel would enforce this policy, and does not read these fields of it. */
  | { readonly kind: "ztunnel-drops-http"; readonly object: ObjectRef; readonly fields: readonly string[] }
  | { readonly kind: "no-url-issuer"; readonly iss: string }
  | { readonly kind: "jwks-behind-mtls"; readonly iss: string; readonly service: string; readonly object: ObjectRef }
  | { readonly kind: "forwarded-for-at-sidecar"; readonly trusted: string }
  | { readonly kind: "custom-before-token"; readonly object: ObjectRef }
  | { readonly kind: "cookie-not-looked-at"; readonly cookie: string }
  | { readonly kind: "tcp-drops-http"; readonly object: ObjectRef; readonly fields: readonly string[] }
  /** The condition names one claim with a dot in its name, and the token has it as a claim inside of another one. */
  | { readonly kind: "claim-is-nested"; readonly claim: string }
  | { readonly kind: "path-without-query"; readonly path: string }
  | { readonly kind: "method-case"; readonly method: string }
  | { readonly kind: "scope-is-split"; readonly claim: string }
  | { readonly kind: "claim-not-text"; readonly claim: string; readonly type: string }
  | { readonly kind: "preflight" }
  | { readonly kind: "allow-refuses-the-rest" }
  | { readonly kind: "hyphen-makes-or"; readonly object: ObjectRef }
  /** A DestinationRule sets another TLS than Istio's own for a workload that requires mTLS. */
  | { readonly kind: "tls-against-mtls"; readonly object: ObjectRef; readonly mode: string; readonly strict: ObjectRef }
  | { readonly kind: "token-not-forwarded"; readonly object: ObjectRef; readonly iss: string };
