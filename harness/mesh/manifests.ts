import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { MeshproofError } from "../model/errors.ts";
import { replaceFile } from "../replace-file.ts";
import { parseManifests } from "./apply.ts";
import type { Manifest } from "./client.ts";

/** Stands in the generated manifests for the CA of each cluster, so that they can be kept. */
const CA_PLACEHOLDER = "JWKS-CA-OF-THIS-CLUSTER";

/** Official install settings (`istioctl manifest generate --set`). */
const SETTINGS: readonly string[] = [
  "profile=default",
  "components.ingressGateways[0].enabled=true",
  "components.ingressGateways[0].name=istio-ingressgateway",
  "values.pilot.autoscaleEnabled=false",
  "values.gateways.istio-ingressgateway.autoscaleEnabled=false",
  // Without it only objects labelled with a revision are validated; `istioctl install` makes the same webhook later.
  "values.defaultRevision=default",
  // Istio's default JSON format has what the verdicts need: response code details, user agent, upstream, request id.
  "meshConfig.accessLogFile=/dev/stdout",
  "meshConfig.accessLogEncoding=JSON",
  `values.pilot.jwksResolverExtraRootCA=${CA_PLACEHOLDER}`,
];

/** Upstream Envoy has no `istio.metadata_exchange`, `istio.alpn` and `istio.stats` filters: a cluster that names one is refused. */
const UPSTREAM_ENVOY_SETTINGS: readonly string[] = [
  "values.pilot.env.PILOT_ENABLE_METADATA_EXCHANGE=false",
  "values.pilot.env.PILOT_ENABLE_ALPN_FILTER=false",
  "values.pilot.env.PILOT_DISABLE_MX_ALPN=true",
  "values.telemetry.enabled=false",
];

/** Requests that let the control plane, the mesh and all workloads fit on a node with two processors. */
const SMALL_REQUESTS: readonly string[] = [
  "values.pilot.resources.requests.cpu=50m",
  "values.pilot.resources.requests.memory=256Mi",
  "values.global.proxy.resources.requests.cpu=10m",
  "values.global.proxy.resources.requests.memory=40Mi",
  "values.gateways.istio-ingressgateway.resources.requests.cpu=10m",
  "values.gateways.istio-ingressgateway.resources.requests.memory=40Mi",
];

/** The charts take a name with a slash as it is. */
function proxySettings(image: string): string[] {
  return [`values.global.proxy.image=${image}`, `values.global.proxy_init.image=${image}`];
}

/**
 * As `istioctl tag set default --revision` would: what says `istio-injection: enabled` belongs to this revision. The
 * last setting of a name counts.
 */
function revisionSettings(revision: string): string[] {
  return [`revision=${revision}`, `values.defaultRevision=${revision}`, "values.revisionTags[0]=default"];
}

export interface ManifestOptions {
  /** The program that carries the charts, with its first arguments; it gets `--set` for each setting. */
  readonly generator: readonly [string, ...string[]];
  /** What identifies its content: a digest or a version. */
  readonly identity: string;
  /** Folder in which generated manifests are kept. */
  readonly cache: string;
  /** Whether the proxies are upstream Envoy, without Istio's own filters. */
  readonly upstreamEnvoy: boolean;
  /** Whether the scheduler counts what the node has. */
  readonly smallRequests?: boolean;
  /** The proxies' image, where it is not Istio's own of this version. */
  readonly proxyImage?: string;
  /** For a control plane beside another one. */
  readonly revision?: string;
  /** PEM: what istiod trusts for JWKS endpoints besides the public authorities. */
  readonly jwksAuthority: string;
  readonly signal?: AbortSignal;
}

/** Istio's own manifests: CRDs, istiod and an ingress gateway in namespace istio-system. */
export async function istioManifests(options: ManifestOptions): Promise<Manifest[]> {
  const settings = [
    ...SETTINGS,
    ...(options.upstreamEnvoy ? UPSTREAM_ENVOY_SETTINGS : []),
    ...(options.smallRequests ? SMALL_REQUESTS : []),
    ...(options.proxyImage === undefined ? [] : proxySettings(options.proxyImage)),
    ...(options.revision === undefined ? [] : revisionSettings(options.revision)),
  ];
  const key = createHash("sha256")
    .update(JSON.stringify([options.identity, settings]))
    .digest("hex")
    .slice(0, 16);
  const file = join(options.cache, `${key}.json`);
  // JSON, because 700 KB of YAML take a second to parse.
  const kept = await readFile(file, "utf8").catch(() => undefined);
  const text = kept ?? (await generate(options, settings));
  // A cache of somebody else cannot be written: then the next start takes as long as this one.
  if (kept === undefined) await keep(file, text).catch(() => undefined);
  return withAuthority(JSON.parse(text) as Manifest[], options.jwksAuthority);
}

async function generate(options: ManifestOptions, settings: readonly string[]): Promise<string> {
  const [program, ...first] = options.generator;
  try {
    const { stdout } = await execa(program, [...first, ...settings.flatMap((setting) => ["--set", setting])], {
      ...(options.signal ? { cancelSignal: options.signal } : {}),
    });
    return JSON.stringify(parseManifests(stdout));
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw new MeshproofError("ERR_CLUSTER_START", "Istio's manifests could not be generated", { cause });
  }
}

async function keep(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await replaceFile(file, text);
}

/** Puts the CA where istiod reads it (the chart's ConfigMap `pilot-jwks-extra-cacerts`). */
export function withAuthority(manifests: readonly Manifest[], certificate: string): Manifest[] {
  return manifests.map((manifest) => {
    const data = manifest["data"] as Record<string, string> | undefined;
    return data?.["extra.pem"] === CA_PLACEHOLDER
      ? { ...manifest, data: { ...data, "extra.pem": certificate } }
      : manifest;
  });
}
