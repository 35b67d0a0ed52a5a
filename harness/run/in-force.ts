import { isDeepStrictEqual } from "node:util";
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { ObjectFinding, StepFinding } from "../model/finding.ts";
import type { AppliedObject } from "../model/result.ts";
import type { Manifest } from "../mesh/client.ts";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { DEFAULT_DEBOUNCE_MS, OWN_DEBOUNCE_MS } from "../mesh/istiod-environment.ts";
import { inLanes } from "../lanes.ts";
import type { StepSpec } from "../model/scenario.ts";
import { applyManifest, type Applying } from "../mesh/apply.ts";
import {
  isInForce,
  markerOf,
  placeholderIssuers,
  unexplained,
  type JwtProvider,
  type ProxyConfig,
} from "../verdict/proxy-config.ts";
import { GATEWAY_NAME, isAttached, targetsOf, whyNotAttached } from "../verdict/attachment.ts";
import type { TokenFactory } from "../tokens/factory.ts";
import type { Change } from "./changes.ts";
import { refOf } from "./foreign.ts";
import { findProblems, podOf, type Left, type Missing } from "./not-in-force.ts";
import type { Proxy, Target } from "./places.ts";
import type { SessionPlan } from "./plan.ts";
import type { Session } from "./session.ts";
import { runLabels } from "./workloads.ts";
import { ROOT_NAMESPACE, type MeshSetting } from "../model/cluster.ts";

/** The proxies that judge a step's requests. */
export interface Judges {
  readonly proxies: readonly Proxy[];
  /** Those of the workloads that may be behind the gateway, where requests go to it. */
  readonly behind: readonly Proxy[];
}

/** What a step has done, and the proxies that must have it. */
export interface Awaited {
  readonly changes: readonly Change[];
  /** Everything that the scenario has in the cluster now. */
  readonly applied: readonly Manifest[];
  readonly judges: Judges;
  /** The sidecars of the clients, which have routes and mTLS settings for the called services. */
  readonly clients: readonly Proxy[];
  /** Whether to wait for the clients after any kind of change. */
  readonly everywhere?: boolean;
  /** An issuer whose keys (a JWKS) the judging proxies must have: istiod fetches them by itself. */
  readonly keys?: { readonly issuer: string; readonly jwks: string };
  /** The step's `inForce`, if not all changes are expected to become active. */
  readonly expects?: StepSpec["inForce"];
}

/** The parts of a session that the wait needs. */
export interface PushingMesh extends Pick<Session, "proxyConfig" | "failedFetches"> {
  readonly plan: Pick<SessionPlan, "runId" | "inForceLimitMs" | "unchosenIsNote">;
  readonly handle: Pick<ClusterHandle, "ours">;
  readonly kube: {
    readonly objects: Applying["objects"] & {
      list(apiVersion: string, kind: string, namespace: string): Promise<{ readonly items: Manifest[] }>;
    };
  };
  readonly tokens: Pick<TokenFactory, "redact">;
}

/** The result of the wait. */
export interface InForce {
  readonly objects: readonly AppliedObject[];
  /** Why the step cannot be judged; empty if it can. */
  readonly problems: readonly StepFinding[];
}

const POLL_MS = 25;

/** What istiod and a proxy take at least to build a config, send it and take it, in milliseconds. */
const PUSH_MS = 10;

/**
 * Waits until each proxy that judges a step has everything that was applied before: a marker with a nonce is applied last, and the
 * proxy's own config dump must show it, with all policies of the scenario and no others. Anything missing after the limit is a
 * problem, even if the answers would be right. A policy that selects none of the judging proxies is a problem at once.
 */
export async function waitInForce(mesh: PushingMesh, awaited: Awaited, signal?: AbortSignal): Promise<InForce> {
  const { changes, judges, clients, everywhere = false, expects } = awaited;
  const started = performance.now();
  const since = new Date();
  let fetches: Promise<readonly string[]> | undefined;
  const failedFetches = (): Promise<readonly string[]> => (fetches ??= mesh.failedFetches(since));
  const judging = unique([...judges.proxies, ...judges.behind]);
  const wide = changes.some(({ manifest }) => !isPolicy(manifest));
  const waiting = wide || everywhere ? unique([...judging, ...clients]) : judging;
  const reached = new Map<Proxy, { readonly ms: number; readonly config: ProxyConfig }>();
  const unchosen = new Map(
    changes.flatMap((change) => {
      const why = findUnchosen(change, judges);
      return why === undefined ? [] : [[change, why] as const];
    }),
  );
  const end = (problems: readonly StepFinding[] = []): InForce => ({
    objects: changes.map((change) => {
      const object = toObject(mesh, change, isPolicy(change.manifest) ? judging : waiting, reached);
      const unchosenBy = unchosen.get(change);
      return unchosenBy === undefined ? object : { ...object, findings: [unchosenBy] };
    }),
    problems,
  });
  if (unchosen.size > 0 && expects !== "nowhere" && mesh.plan.unchosenIsNote !== true)
    return end([...unchosen.values()]);
  if (unchosen.size === 0 && expects === "nowhere") return end([{ kind: "selects-a-pod" }]);
  // istiod sends a proxy its clusters and listeners first and its routes last (pilot/pkg/xds, PushOrder): a second mark in the
  // listeners proves that the routes which came after the first one have arrived.
  // Where istiod could not fetch keys, the first push may have an empty key set in some filter chains and istiod's placeholder in
  // others (jwks_resolver.go, errEmptyPubKeyFoundInCache); from the second on it is the same everywhere.
  const isSecondNeeded = (): boolean =>
    wide || reached.values().some(({ config }) => config.jwt.some(({ keys }) => keys === "placeholder"));
  for (let marks = 0; waiting.length > 0 && (marks === 0 || (marks === 1 && isSecondNeeded())); marks++) {
    const nonce = randomBytes(8).toString("hex");
    await mark(mesh, waiting, nonce, signal);
    const until = performance.now() + mesh.plan.inForceLimitMs;
    // To ask earlier seldom helps.
    await delay(PUSH_MS + (mesh.handle.ours ? OWN_DEBOUNCE_MS : DEFAULT_DEBOUNCE_MS));
    for (let pending = waiting; ;) {
      signal?.throwIfAborted();
      const left: Left[] = [];
      await Promise.all(
        pending.map(async (proxy) => {
          const config = await mesh.proxyConfig(proxy, nonce);
          const mustReject = expects === "rejected" && judging.includes(proxy);
          const missing =
            whatIsMissing(awaited, proxy, config, nonce, mustReject) ??
            (judging.includes(proxy) ? whatKeysAreMissing(awaited, config) : undefined);
          if (missing !== undefined) left.push({ ...missing, proxy });
          else if (!mustReject)
            reached.set(proxy, { ms: Math.round(performance.now() - started), config: config ?? EMPTY });
        }),
      );
      if (left.length === 0) break;
      if (performance.now() > until) {
        for (const { proxy } of left) reached.delete(proxy);
        return end((await Promise.all(left.map((one) => findProblems(mesh, awaited, one, failedFetches)))).flat());
      }
      pending = left.map(({ proxy }) => proxy);
      await delay(POLL_MS);
    }
  }
  return end();
}

/** Only these two kinds can be recognised in a proxy's listeners, and concern only the proxies that they choose. */
function isPolicy(manifest: Manifest): boolean {
  return manifest.kind === "RequestAuthentication" || manifest.kind === "AuthorizationPolicy";
}

function concerns(manifest: Manifest, proxy: Proxy): boolean {
  return isAttached(manifest, proxy, ROOT_NAMESPACE);
}

/** Puts a new nonce where each of these proxies gets it. */
async function mark(mesh: PushingMesh, proxies: readonly Proxy[], nonce: string, signal?: AbortSignal): Promise<void> {
  const markers = [...Map.groupBy(proxies, ({ namespace }) => namespace)].flatMap(([namespace, there]) => {
    const selectors = [...new Map(there.map(selectorOf).map((one) => [JSON.stringify(one), one])).values()];
    // A policy without selector in the root namespace would concern the whole mesh.
    const one = selectors.length > MOST_MARKERS && namespace !== ROOT_NAMESPACE;
    // Whether a policy without selector reaches a gateway of the Gateway API is an option of istiod.
    const apart = selectors.filter((selector) => GATEWAY_NAME in selector);
    if (one) return [markerOf(namespace, nonce), ...apart.map((selector) => markerOf(namespace, nonce, selector))];
    return selectors.map((selector) => markerOf(namespace, nonce, selector));
  });
  await inLanes(markers, (marker) =>
    applyManifest(mesh.kube, marker, { labels: runLabels(mesh.plan.runId), ...(signal && { signal }) }),
  );
}

/** So many markers in a namespace cost less than what all its other proxies do to take a config that is new to them. */
const MOST_MARKERS = 3;

/** Labels that this proxy's pod has and, as far as can be, no other workload's. */
function selectorOf({ kind, labels }: Proxy): Readonly<Record<string, string>> {
  const gateway = labels[GATEWAY_NAME];
  if (gateway !== undefined) return { [GATEWAY_NAME]: gateway };
  if (kind === "gateway") return { istio: "ingressgateway" };
  return labels["app"] === undefined ? labels : { app: labels["app"] };
}

function whatIsMissing(
  { changes, applied }: Awaited,
  proxy: Proxy,
  config: ProxyConfig | undefined,
  nonce: string,
  mustReject: boolean,
): Missing | undefined {
  if (config === undefined) return { why: "unread" };
  const rejection = config.listeners.find(({ rejected }) => rejected?.marks.includes(nonce))?.rejected;
  const policies = applied.filter((manifest) => isPolicy(manifest) && concerns(manifest, proxy));
  const beside = unexplained(policies, config);
  const explained = beside.rules.length === 0 && beside.providers.length === 0;
  if (mustReject) {
    if (rejection === undefined) return { why: "not-rejected" };
    // It goes on with the config before, which must be the scenario's own.
    return explained ? undefined : { why: "content", unexplained: beside };
  }
  if (rejection !== undefined) return { why: "rejected", details: rejection.details };
  const { listeners } = config;
  if (listeners.length === 0 || !listeners.every(({ marks }) => marks.includes(nonce)))
    return listeners.some(({ warming }) => warming) ? { why: "warming" } : { why: "unread" };
  // What istiod sent with the mark must also be what the scenario has: its watches of different kinds may run apart.
  const lacking = policies.filter((policy) => isInForce(policy, config) === false);
  if (lacking.length === 0 && explained) return undefined;
  const deleted = changes.filter(
    ({ verb, manifest }) => verb === "delete" && isPolicy(manifest) && isInForce(manifest, config) === true,
  );
  return {
    why: "content",
    objects: [...lacking, ...deleted.map(({ manifest }) => manifest)].map(refOf),
    unexplained: beside,
  };
}

function whatKeysAreMissing({ keys }: Awaited, config: ProxyConfig | undefined): Missing | undefined {
  if (keys === undefined) return undefined;
  const wanted = JSON.parse(keys.jwks) as unknown;
  // istiod copies what the server has sent, whatever that was.
  const has = ({ jwks = "" }: JwtProvider): boolean => {
    try {
      return isDeepStrictEqual(JSON.parse(jwks), wanted);
    } catch {
      return false;
    }
  };
  return config?.jwt.some(has) === true ? undefined : { why: "keys" };
}

/** A policy that a step applies and that chooses none of the proxies that judge the step. */
function findUnchosen({ verb, manifest }: Change, { proxies, behind }: Judges): ObjectFinding | undefined {
  if (verb !== "apply" || !isPolicy(manifest) || [...proxies, ...behind].some((proxy) => concerns(manifest, proxy)))
    return undefined;
  const because = proxies.map((one) => ({ ...podOf(one), because: whyNotAttached(manifest, one, ROOT_NAMESPACE) }));
  const isIgnored = because.some((one) =>
    one.because.some(({ kind }) => kind === "selector-at-waypoint" || kind === "selector-at-gateway"),
  );
  if (targetsOf(manifest).length > 0 || isIgnored)
    return { kind: "attached-to-no-proxy", object: refOf(manifest), proxies: because };
  const { selector } = (manifest as { spec?: { selector?: { matchLabels?: Record<string, string> } } }).spec ?? {};
  return {
    kind: "selects-no-pod",
    object: refOf(manifest),
    selector: selector?.matchLabels ?? {},
    pods: proxies.map((proxy) => ({ ...podOf(proxy), labels: proxy.labels })),
  };
}

function toObject(
  mesh: PushingMesh,
  { verb, manifest, file, line, yaml, changes }: Change,
  proxies: readonly Proxy[],
  reached: ReadonlyMap<Proxy, { readonly ms: number; readonly config: ProxyConfig }>,
): AppliedObject {
  const concerned = isPolicy(manifest) ? proxies.filter((proxy) => concerns(manifest, proxy)) : proxies;
  const there = concerned.filter((proxy) => reached.has(proxy));
  const issuers = new Set(
    verb === "apply" ? there.flatMap((proxy) => placeholderIssuers(manifest, reached.get(proxy)?.config ?? EMPTY)) : [],
  );
  return {
    verb,
    kind: manifest.kind,
    name: manifest.metadata.name,
    namespace: manifest.metadata.namespace ?? "",
    file,
    line,
    // An inline JWKS may hold symmetric keys.
    yaml: mesh.tokens.redact(yaml),
    ...(changes && changes.length > 0 && { changes }),
    proxies: verb === "apply" ? there.map(keyOf) : [],
    ...(concerned.length > 0 &&
      there.length === concerned.length && {
        inForceMs: Math.max(...there.map((proxy) => reached.get(proxy)?.ms ?? 0)),
      }),
    ...(issuers.size > 0 && { findings: [{ kind: "keys-not-fetched", issuers: [...issuers] }] }),
  };
}

const EMPTY: ProxyConfig = { jwt: [], rules: [], listeners: [] };

/** Every proxy that judges requests to these targets, once. */
export function judgesOf(targets: readonly Target[], { gatewaySelectors = true }: MeshSetting = {}): Judges {
  const found = unique(targets.flatMap((target) => target.proxies));
  const proxies = gatewaySelectors ? found : found.map((proxy) => ({ ...proxy, targetRefsOnly: true }));
  const known = new Set(proxies.map(({ pod }) => pod));
  return { proxies, behind: unique(targets.flatMap((target) => target.behind)).filter(({ pod }) => !known.has(pod)) };
}

/** Each proxy once: the same pod may be looked up more than once. */
function unique(proxies: readonly Proxy[]): Proxy[] {
  return [...new Map(proxies.map((proxy) => [keyOf(proxy), proxy])).values()];
}

function keyOf(proxy: Proxy): string {
  return `${proxy.namespace}/${proxy.pod}`;
}
