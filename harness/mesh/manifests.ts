import { createHash } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { execa } from "execa";
import { MeshproofError } from "../model/errors.ts";
import { replaceFile } from "../replace-file.ts";
import { parseManifests } from "./apply.ts";
import type { Manifest } from "./client.ts";
import { PROVIDERS } from "./extension-providers.ts";
import { OWN_DEBOUNCE_MS } from "./istiod-environment.ts";
import { upstreamEnvoyFilters, waypointSettings } from "./waypoints.ts";

/** Placeholder in the generated manifests for the CA of each cluster, so that all clusters can share the cached manifests. */
const CA_PLACEHOLDER = "JWKS-CA-OF-THIS-CLUSTER";

/** Install settings (`istioctl manifest generate --set`). */
const SETTINGS: readonly string[] = [
  "profile=default",
  "components.ingressGateways[0].enabled=true",
  "components.ingressGateways[0].name=istio-ingressgateway",
  "values.pilot.autoscaleEnabled=false",
  "values.gateways.istio-ingressgateway.autoscaleEnabled=false",
  // Without it only objects with a revision label are validated; `istioctl install` creates the same webhook later.
  "values.defaultRevision=default",
  // Istio's default JSON format has the fields that verdicts need: response code details, user agent, upstream, request id.
  "meshConfig.accessLogFile=/dev/stdout",
  "meshConfig.accessLogEncoding=JSON",
  `values.pilot.env.PILOT_DEBOUNCE_AFTER=${OWN_DEBOUNCE_MS}ms`,
  ...PROVIDERS.flatMap(({ name, ...kinds }, index) => {
    const provider = `meshConfig.extensionProviders[${index}]`;
    const fields = Object.entries(kinds).flatMap(([kind, options]) =>
      Object.entries(options).map(([field, value]) =>
        Array.isArray(value) ? `${kind}.${field}[0]=${value.join()}` : `${kind}.${field}=${String(value)}`,
      ),
    );
    return [`${provider}.name=${name}`, ...fields.map((field) => `${provider}.${field}`)];
  }),
  `values.pilot.jwksResolverExtraRootCA=${CA_PLACEHOLDER}`,
];

/** Upstream Envoy does not have the filters `istio.metadata_exchange`, `istio.alpn` and `istio.stats`, and rejects a cluster that names one. */
const UPSTREAM_ENVOY_SETTINGS: readonly string[] = [
  "values.pilot.env.PILOT_ENABLE_METADATA_EXCHANGE=false",
  "values.pilot.env.PILOT_ENABLE_ALPN_FILTER=false",
  "values.pilot.env.PILOT_DISABLE_MX_ALPN=true",
  "values.telemetry.enabled=false",
];

/** Resource requests with which the control plane, the mesh and all workloads fit on a node with two CPUs. */
const SMALL_REQUESTS: readonly string[] = [
  "values.pilot.resources.requests.cpu=50m",
  "values.pilot.resources.requests.memory=256Mi",
  "values.global.proxy.resources.requests.cpu=10m",
  "values.global.proxy.resources.requests.memory=40Mi",
  "values.gateways.istio-ingressgateway.resources.requests.cpu=10m",
  "values.gateways.istio-ingressgateway.resources.requests.memory=40Mi",
];

/** The charts use an image name with a slash unchanged. */
function proxySettings(image: string): string[] {
  return [`values.global.proxy.image=${image}`, `values.global.proxy_init.image=${image}`];
}

/**
 * Like `istioctl tag set default --revision`: namespaces with `istio-injection: enabled` belong to this revision. The
 * last setting of a name wins.
 */
function revisionSettings(revision: string): string[] {
  return [`revision=${revision}`, `values.defaultRevision=${revision}`, "values.revisionTags[0]=default"];
}

export interface ManifestOptions {
  /** The program that carries the charts, with its first arguments; it gets `--set` for each setting. */
  readonly generator: readonly [string, ...string[]];
  /** What identifies its content: a digest or a version. */
  readonly identity: string;
  /** Folder for generated manifests. */
  readonly cache: string;
  /** Whether the proxies are upstream Envoy, without Istio's filters. */
  readonly upstreamEnvoy: boolean;
  /** Whether istiod makes waypoints. */
  readonly waypoints: boolean;
  /** Whether to lower resource requests, for a cluster whose scheduler checks the node's capacity. */
  readonly smallRequests?: boolean;
  /** The proxies' image, if it is not Istio's image of this version. */
  readonly proxyImage?: string;
  /** Revision of a second control plane. */
  readonly revision?: string;
  /** PEM of the CA that istiod trusts for JWKS endpoints besides the public CAs; without it the placeholder stays, see {@link withAuthority}. */
  readonly jwksAuthority?: string;
  readonly signal?: AbortSignal;
}

/** Generates Istio's manifests: CRDs, istiod and an ingress gateway in namespace istio-system. */
export async function istioManifests(options: ManifestOptions): Promise<Manifest[]> {
  const settings = [
    ...SETTINGS,
    ...(options.upstreamEnvoy ? UPSTREAM_ENVOY_SETTINGS : []),
    ...(options.waypoints ? waypointSettings(options.upstreamEnvoy) : []),
    ...(options.smallRequests ? SMALL_REQUESTS : []),
    ...(options.proxyImage === undefined ? [] : proxySettings(options.proxyImage)),
    ...(options.revision === undefined ? [] : revisionSettings(options.revision)),
  ];
  const key = createHash("sha256")
    .update(JSON.stringify([options.identity, settings]))
    .digest("hex")
    .slice(0, 16);
  const file = join(options.cache, `${key}.json`);
  // JSON, because 700 KB of YAML takes a second to parse.
  const kept = await readFile(file, "utf8").catch(() => undefined);
  const text = kept ?? (await generate(options, settings));
  // Another user's cache cannot be written: then the next start takes as long as this one.
  if (kept === undefined) await keep(file, text).catch(() => undefined);
  const manifests = withAuthority(JSON.parse(text) as Manifest[], options.jwksAuthority ?? CA_PLACEHOLDER);
  return options.waypoints && options.upstreamEnvoy ? [...manifests, ...upstreamEnvoyFilters()] : manifests;
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

/** Puts the CA into the ConfigMap from which istiod reads it (the chart's `pilot-jwks-extra-cacerts`). */
export function withAuthority(manifests: readonly Manifest[], certificate: string): Manifest[] {
  return manifests.map((manifest) =>
    needsAuthority(manifest)
      ? { ...manifest, data: { ...(manifest["data"] as object), "extra.pem": certificate } }
      : manifest,
  );
}

/** Whether {@link withAuthority} changes it. */
export function needsAuthority(manifest: Manifest): boolean {
  return (manifest["data"] as Record<string, unknown> | undefined)?.["extra.pem"] === CA_PLACEHOLDER;
}
