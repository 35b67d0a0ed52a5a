/** The data about a cluster in runs and results. The interface of a cluster is in clusters/cluster.ts. */

import * as z from "zod";
import { distinct, form, text, type Immutable } from "./schema.ts";

/** Where Istio's default installation has istiod and the gateway. It is the root namespace too: policies there hold for the whole mesh. */
export const ROOT_NAMESPACE = "istio-system";

/** Selects istiod: its Deployments and pods, of each revision. */
export const ISTIOD = "app=istiod";

/** Labels of the pods of the ingress gateway in Istio's default installation. */
export const GATEWAY_LABELS: Readonly<Record<string, string>> = {
  app: "istio-ingressgateway",
  istio: "ingressgateway",
};

const jwksFetcher = z.enum(["istiod", "hybrid", "envoy"]);
/** Which program fetches the keys of a `jwksUri` (istiod's `PILOT_JWT_ENABLE_REMOTE_JWKS`: unset, `hybrid`, `envoy`). */
export type JwksFetcher = z.infer<typeof jwksFetcher>;

const pathNormalization = z.enum(["NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]);
/** `meshConfig.pathNormalization.normalization`; Istio's default is BASE. */
export type PathNormalization = z.infer<typeof pathNormalization>;

export const meshSetting = z
  .strictObject({
    jwksFetch: jwksFetcher
      .describe("Who fetches the keys of a jwksUri: istiod's PILOT_JWT_ENABLE_REMOTE_JWKS.")
      .optional(),
    jwksRefresh: form(
      "a duration such as 1s",
      /^[1-9]\d*[smh]$/u,
      "How often istiod fetches the keys of a jwksUri anew: istiod's PILOT_JWT_PUB_KEY_REFRESH_INTERVAL, 20m by default.",
    ).optional(),
    pathNormalization: pathNormalization.describe("meshConfig.pathNormalization.normalization.").optional(),
    extAuthz: z
      .boolean()
      .describe(
        "Names the extension providers sample-ext-authz-http and sample-ext-authz-grpc (the workload ext-authz), and unreachable-ext-authz-http.",
      )
      .optional(),
    multipleExtAuthz: z
      .boolean()
      .describe(
        "Several CUSTOM providers at one workload: istiod's PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS (since Istio 1.30).",
      )
      .optional(),
    gatewaySelectors: z
      .boolean()
      .describe(
        "Whether selectors, and policies of a whole namespace, reach gateways of the Gateway API: istiod's ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY, true by default.",
      )
      .optional(),
    blockedJwksCidrs: distinct(z.array(form("a CIDR range such as 10.96.0.0/12", /^[0-9a-fA-F.:]+\/\d{1,3}$/u)).min(1))
      .describe("Addresses from which istiod fetches no keys: istiod's BLOCKED_CIDRS_IN_JWKS_URIS, none by default.")
      .optional(),
    trustDomainAliases: distinct(z.array(text()).min(1))
      .describe("meshConfig.trustDomainAliases: the mesh's former trust domains.")
      .optional(),
  })
  .describe("A setting of the whole mesh; without it Istio's default.");
/** A mesh-wide setting that a scenario may need. A missing key means Istio's default. */
export type MeshSetting = Immutable<z.infer<typeof meshSetting>>;

export const clusterInfo = z
  .strictObject({
    kind: z.enum(["embedded", "kind", "existing"]),
    name: z.string(),
    versions: z
      .strictObject({ kubernetes: z.string(), istio: z.string(), envoy: z.string() })
      .describe("As the running programs print them, for example `v1.36.3`, `1.31.0`, `1.40.0`."),
    gatewayApi: z
      .string()
      .describe("The version of the Gateway API's CRDs, such as `v1.6.0`; left out where they cannot be used.")
      .optional(),
    waypoints: z.boolean().describe("Whether istiod makes waypoints; left out without the Gateway API.").optional(),
    digests: z.record(z.string(), z.string()).describe("Component or image name to content digest (`sha256:…`)."),
    verified: z
      .record(z.string(), z.iso.datetime())
      .describe(
        "When all bytes of a component were last compared with its digest (ISO 8601): when it was made, or by `meshproof components --verify`. Before a run, owners, sizes and times of its files are compared.",
      )
      .optional(),
    rootless: z
      .boolean()
      .describe("Whether it runs in a user namespace of an ordinary user; left out where that has no meaning.")
      .optional(),
  })
  .describe("What a cluster is. Nothing here is a secret.");
/** Description of a cluster for reports. It contains no secrets. */
export type ClusterInfo = Immutable<z.infer<typeof clusterInfo>>;
