/** The scenarios of the red run, and how their files are broken for it, so that every status occurs. */

export interface Break {
  /** Below the folder of the scenarios. */
  readonly file: string;
  /** Empty for a new file. */
  readonly replace: string;
  readonly by: string;
}

/** Scenarios of the red run: those that {@link BREAKS} names fail in one way each, the others pass. */
export const RED = [
  "authn/http-versions",
  "authn/several-issuers",
  "authz/claim-number",
  "authz/header-deny-repeated",
  "jwt/algorithms",
  "jwt/authorization-policy-alone",
  "jwt/jwks-outside-http-hybrid",
  "jwt/jwks-uri-full-name",
  "jwt/jwks-uri-namespace-name",
  "jwt/pair-makes-tokens-mandatory",
  "paths/skip-jwt-for-paths",
] as const;

/** Answers 503 in its first seconds: the proxies have the config and still answer otherwise for a while. */
const SLOW_START = `apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata:
  name: slow-start
  namespace: \${ns}
spec:
  workloadSelector:
    labels:
      app: httpbin
  configPatches:
    - applyTo: HTTP_FILTER
      match:
        context: SIDECAR_INBOUND
        listener: { filterChain: { filter: { name: envoy.filters.network.http_connection_manager } } }
      patch:
        operation: INSERT_BEFORE
        value:
          name: slow-start
          typed_config:
            "@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
            default_source_code:
              inline_string: |
                local started = os.time()
                function envoy_on_request(handle)
                  if os.time() - started < 4 then handle:respond({ [":status"] = "503" }, "starting") end
                end
`;

export const BREAKS: readonly Break[] = [
  // One path too many is excluded: requests without a token get 200 instead of 403.
  {
    file: "paths/skip-jwt-for-paths/authorization-policy.yaml",
    replace: "notPaths: [/productpage]",
    by: "notPaths: [/productpage, /api/v1/products/*]",
  },
  // A second rule allows the path to everyone.
  {
    file: "jwt/pair-makes-tokens-mandatory/authorization-policy.yaml",
    replace: 'requestPrincipals: ["*"]\n',
    by: 'requestPrincipals: ["*"]\n    - to:\n        - operation:\n            paths: [/headers]\n',
  },
  // The server of the keys answers 500.
  {
    file: "jwt/jwks-uri-full-name/request-authentication.yaml",
    replace: ":80/get_jwks",
    by: ":80/fault/500",
  },
  // A slash too many in an issuer. A known failure, see known-failures.yaml.
  {
    file: "authn/several-issuers/ra.yaml",
    replace: "issuer: https://issuer.partner.example",
    by: "issuer: https://issuer.partner.example/",
  },
  // A typing error in a label: the policy selects no pod.
  {
    file: "jwt/authorization-policy-alone/authorization-policy.yaml",
    replace: "app: httpbin",
    by: "app: httpbim",
  },
  // An action that does not exist: the API server rejects it.
  { file: "authz/claim-number/ap.yaml", replace: "  rules:", by: "  action: PERMIT\n  rules:" },
  // Another host in the ServiceEntry: istiod fetches the keys, not the proxy.
  {
    file: "jwt/jwks-outside-http-hybrid/service-entry.yaml",
    replace: 'hosts: ["${outside.host}"]',
    by: "hosts: [keys.example]",
  },
  { file: "jwt/jwks-uri-namespace-name/slow-start.yaml", replace: "", by: SLOW_START },
  {
    file: "jwt/jwks-uri-namespace-name/scenario.yaml",
    replace: "apply: request-authentication.yaml",
    by: "apply: [request-authentication.yaml, slow-start.yaml]",
  },
  // A version that the mesh does not have: skipped.
  { file: "authn/http-versions/scenario.yaml", replace: "  level: core\n", by: "  level: core\n  istio: '>=1.40'\n" },
];

/** Scenarios of the recorded upgrade: the first changes between Envoy 1.36 and 1.40, others fail in the red run. */
export const UPGRADED = [
  "authz/header-deny-repeated",
  "jwt/pair-makes-tokens-mandatory",
  "jwt/request-authentication-alone",
  "paths/skip-jwt-for-paths",
] as const;
