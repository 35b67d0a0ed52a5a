/** Names that a scenario may use for algorithms and ways to change a token. */

import type { TokenVariant } from "../scenario/types.ts";

/** The algorithms that Envoy's jwt_authn verifies: RFC 7518 section 3.1 and RFC 8037 (EdDSA). */
export const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "HS256",
  "HS384",
  "HS512",
  "EdDSA",
] as const;

export type Algorithm = (typeof ALGORITHMS)[number];

export const TOKEN_VARIANTS = [
  "intact",
  "broken-signature",
  "other-key",
  "other-algorithm",
  "other-issuer",
  "expired",
  "not-a-jwt",
] as const satisfies readonly TokenVariant[];
