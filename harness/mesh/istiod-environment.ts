import type { MeshSetting } from "../model/cluster.ts";

/** istiod's setting for who fetches a `jwksUri` (pilot/pkg/features/pilot.go): `istiod` (default), `hybrid` or `envoy`. */
export const JWKS_FETCH_ENV = "PILOT_JWT_ENABLE_REMOTE_JWKS";

/** How long istiod waits for further changes before it pushes, in milliseconds: Istio's default of PILOT_DEBOUNCE_AFTER. */
export const DEFAULT_DEBOUNCE_MS = 100;

/**
 * The same on meshproof's own clusters: long enough that a step's objects come in one push (docs/decisions.md has the measurements). What
 * proxies enforce does not depend on it.
 */
export const OWN_DEBOUNCE_MS = 20;

/** The environment variables of istiod that a mesh setting decides, with Istio's defaults where it says nothing. */
export function istiodEnvironment({
  jwksFetch = "istiod",
  jwksRefresh = "20m",
  multipleExtAuthz = false,
  gatewaySelectors = true,
  blockedJwksCidrs = [],
}: MeshSetting): Readonly<Record<string, string>> {
  return {
    [JWKS_FETCH_ENV]: jwksFetch,
    // How often it fetches keys anew (pilot/pkg/features/security.go).
    PILOT_JWT_PUB_KEY_REFRESH_INTERVAL: jwksRefresh,
    // Several CUSTOM providers at one workload (since Istio 1.30).
    PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS: String(multipleExtAuthz),
    // Policies without targetRefs at gateways of the Gateway API (pilot/pkg/model/policyattachment.go).
    ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY: String(gatewaySelectors),
    // From where it fetches no keys (since Istio 1.28.6 and 1.29.2).
    BLOCKED_CIDRS_IN_JWKS_URIS: blockedJwksCidrs.join(),
  };
}
