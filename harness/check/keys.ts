/**
 * Keys of a `jwksUri`: without a cluster nobody serves them. Those that meshproof's own servers serve in a run are given to istiod inline,
 * which makes the same config of them; of any other it is not known whether they can be fetched.
 */

import type { Assumption } from "../model/check.ts";
import type { ManifestObject } from "../model/manifest.ts";
import { type MeshSetting, ROOT_NAMESPACE } from "../model/cluster.ts";
import type { SubstitutionValues } from "../scenario/index.ts";

/** Values that remember which issuer a `jwksUri` of theirs stands for. */
export interface RememberedUris {
  readonly values: SubstitutionValues;
  readonly issuers: ReadonlyMap<string, { readonly issuer: string; readonly inMesh: boolean }>;
}

export function rememberUris(values: SubstitutionValues): RememberedUris {
  const issuers = new Map<string, { issuer: string; inMesh: boolean }>();
  return {
    issuers,
    values: {
      ...values,
      jwksUri: (issuer, via) => {
        const uri = values.jwksUri(issuer, via);
        issuers.set(uri, { issuer, inMesh: via === undefined });
        return uri;
      },
    },
  };
}

/** What a `jwks` holds whose keys are not known; it never gets to a proxy. */
const UNKNOWN = "meshproof-keys-not-known";

interface JwtRule {
  readonly issuer?: string;
  readonly jwks?: string;
  readonly jwksUri?: string;
}

/** The objects as istiod is given them, and what that takes for granted. */
export function withKeys(
  objects: readonly ManifestObject[],
  { values, issuers }: RememberedUris,
  { jwksFetch = "istiod", blockedJwksCidrs = [] }: MeshSetting,
): { readonly objects: readonly ManifestObject[]; readonly assumed: readonly Assumption[] } {
  const assumed = new Map<string, Assumption>();
  const guarded = objects.some((object) => mayGuardKeys(object, values.ns));
  const filled = (rule: JwtRule): JwtRule => {
    const { jwks, jwksUri, ...rest } = rule;
    if (jwks !== undefined && jwks !== "") return rule;
    const served = issuers.get(jwksUri ?? "");
    // Whether an address is blocked depends on what the name of the server resolves to.
    const fetches = jwksFetch === "istiod" && blockedJwksCidrs.length === 0;
    if (served === undefined || !fetches || (served.inMesh && guarded))
      return { ...rest, jwks: JSON.stringify({ [UNKNOWN]: jwksUri ?? "" }) };
    assumed.set(served.issuer, { kind: "keys-fetched", issuer: rule.issuer ?? served.issuer });
    return { ...rest, jwks: values.jwks(served.issuer) };
  };
  return {
    objects: objects.map((object) => {
      if (object.kind !== "RequestAuthentication") return object;
      const spec = (object["spec"] ?? {}) as { readonly jwtRules?: readonly JwtRule[] };
      return spec.jwtRules === undefined
        ? object
        : { ...object, spec: { ...spec, jwtRules: spec.jwtRules.map(filled) } };
    }),
    assumed: [...assumed.values()],
  };
}

/** Whether an object may keep istiod from the key server in the mesh. */
function mayGuardKeys({ kind, metadata, ...fields }: ManifestObject, ns: string): boolean {
  if (!["AuthorizationPolicy", "RequestAuthentication", "PeerAuthentication"].includes(kind)) return false;
  const { selector } = (fields["spec"] ?? {}) as { selector?: { matchLabels?: Readonly<Record<string, string>> } };
  const app = selector?.matchLabels?.["app"];
  return (app === undefined || app === "nginx-proxy") && [ns, ROOT_NAMESPACE].includes(metadata.namespace ?? ns);
}

/** A dump in which the keys that are not known are to be fetched by the proxy, which the oracle does not decide. */
export function withoutUnknownKeys(dump: unknown): unknown {
  if (Array.isArray(dump)) return dump.map(withoutUnknownKeys);
  if (typeof dump !== "object" || dump === null) return dump;
  return Object.fromEntries(
    Object.entries(dump).map(([name, value]): [string, unknown] => {
      const uri = name === "local_jwks" ? unknownUri(value) : undefined;
      return uri === undefined ? [name, withoutUnknownKeys(value)] : ["remote_jwks", { http_uri: { uri } }];
    }),
  );
}

function unknownUri(value: unknown): string | undefined {
  const { inline_string: text = "" } = (value ?? {}) as { readonly inline_string?: string };
  return text.startsWith(`{"${UNKNOWN}"`) ? (JSON.parse(text) as Record<string, string>)[UNKNOWN] : undefined;
}
