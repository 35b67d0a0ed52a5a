import type { ClusterHandle } from "../../clusters/cluster.ts";
import type { SubstitutionValues } from "../scenario/index.ts";
import type { ManifestFile } from "../model/manifest.ts";
import type { Scenario } from "../model/scenario.ts";
import type { TokenFactory } from "../tokens/factory.ts";
import type { SessionPlan } from "./plan.ts";

/** The key sets of every issuer that manifests name. */
export async function readKeySets(
  tokens: Pick<TokenFactory, "jwks">,
  files: readonly Pick<ManifestFile, "uses">[],
): Promise<ReadonlyMap<string, string>> {
  const issuers = new Set(files.flatMap(({ uses }) => uses.flatMap(({ issuer }) => issuer ?? [])));
  return new Map(await Promise.all([...issuers].map(async (issuer) => [issuer, await tokens.jwks(issuer)] as const)));
}

/** What substitutions stand for in a place. */
export interface SubstitutionPlace {
  readonly ns: string;
  readonly outsideNs: string;
  /** The address of the pod outside-host. */
  readonly outsideIp: string;
  /** `${fresh}`, and the end of each `${jwksUri.…}`: istiod keeps the keys of a URI for 20 minutes. */
  readonly fresh: string;
}

/** The values of all substitutions in these files: the same for what is applied and for what `meshproof render` prints. */
export async function substitutionValues(
  tokens: Pick<TokenFactory, "jwks">,
  files: readonly Pick<ManifestFile, "uses">[],
  { ns, outsideNs, outsideIp, fresh }: SubstitutionPlace,
): Promise<SubstitutionValues> {
  const keySets = await readKeySets(tokens, files);
  const outsideHost = outsideHostOf(outsideIp, outsideNs);
  const tls = files.some(({ uses }) => uses.some(({ name }) => name.startsWith("tls."))) ? await makeTls() : undefined;
  return {
    ...(tls && { tls }),
    ...{ ns, fresh, outsideIp, outsideNs, outsideHost },
    jwks: (issuer) => keySets.get(issuer) ?? "",
    jwksUri: (issuer, via) => {
      const host = via === undefined ? `nginx-proxy.${ns}.svc.cluster.local:80` : outsideHost;
      return `${via === "outside-https" ? "https" : "http"}://${host}/jwks/${issuer}/${fresh}`;
    },
  };
}

async function makeTls(): Promise<NonNullable<SubstitutionValues["tls"]>> {
  const { issueLeaf } = await import("./certificate.ts"); // its library takes time to load
  const { certificate, privateKey } = await issueLeaf(undefined, ["*.example"]);
  return { crt: certificate, key: privateKey };
}

/** What the values of a run's step come from. */
export interface ValueSources {
  readonly plan: Pick<SessionPlan, "runId">;
  readonly handle: Pick<ClusterHandle, "namespace" | "outsideNamespace">;
  readonly tokens: Pick<TokenFactory, "jwks">;
  server(name: string): Promise<{ readonly ip: string }>;
}

/** The values for one step of a run: a fresh URI per run, scenario and step. */
export async function stepValues(
  { plan, handle, tokens, ...sources }: ValueSources,
  scenario: Scenario,
  index: number,
): Promise<SubstitutionValues> {
  const files = scenario.steps.flatMap(({ apply, delete: removed, admission = [] }) => [
    ...[...apply, ...removed],
    ...admission.map(({ manifest }) => manifest),
  ]);
  return await substitutionValues(tokens, files, {
    ns: handle.namespace,
    outsideNs: handle.outsideNamespace,
    outsideIp: scenario.features.includes("outside-host") ? (await sources.server("outside-host")).ip : "",
    fresh: `${plan.runId}-${scenario.id.replaceAll("/", "-")}-${index + 1}`,
  });
}

/**
 * The name of the pod with this address, which CoreDNS answers from the name itself (`pods insecure`, as kubeadm sets it up).
 * A ServiceEntry needs a name: Istio's validation refuses an address as `hosts`.
 */
export function outsideHostOf(ip: string, outsideNamespace: string): string {
  return `${ip.replaceAll(/[.:]/g, "-")}.${outsideNamespace}.pod.cluster.local`;
}
