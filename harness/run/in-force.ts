import type { AppliedObject } from "../result.ts";
import type { Manifest } from "../kube/client.ts";
import { nameOf } from "../kube/apply.ts";
import { isInForce, placeholderIssuers, selects, type ProxyConfig } from "../verdict/proxy-config.ts";
import { ROOT_NAMESPACE, type Proxy, type Session } from "./session.ts";

/** An object that a step applied or deleted. */
export interface Change {
  readonly verb: "apply" | "delete";
  readonly manifest: Manifest;
  readonly file: string;
  readonly yaml: string;
  /** It replaces an earlier version of itself: its proxies must show another config than before. */
  readonly replaces: boolean;
}

/** The proxies that judge a step's requests. */
export interface Judges {
  readonly proxies: readonly Proxy[];
  /** Those of the workloads that may be behind the gateway, where requests go to it. */
  readonly behind: readonly Proxy[];
}

/** How long a proxy may take to show a change. istiod retries a failing jwksUri for up to 5 s and holds other pushes meanwhile. */
const LIMIT_MS = 10_000;
const POLL_MS = 40;

/** istiod waits so long for further changes before it pushes any (PILOT_DEBOUNCE_AFTER): no proxy has one earlier. */
const DEBOUNCE_MS = 100;

/**
 * A replaced object may leave the proxy's config as it was (the same keys under another jwksUri): after so long an unchanged
 * config is taken for that, without a claim when it was in force, and the answers decide.
 */
const UNCHANGED_MS = 1_000;

/** What the proxies enforced before a step; only needed where an object is replaced. */
export async function fingerprints(session: Session, proxies: readonly Proxy[]): Promise<ReadonlyMap<string, string>> {
  const configs = await readAll(session, proxies);
  return new Map([...configs].map(([pod, config]) => [pod, config.fingerprint]));
}

/**
 * Waits until every involved proxy that a change concerns shows it in its own config, or the limit has passed: then the
 * object says so in its note, and the answers decide.
 * @param judges the proxies that the step's requests are sent to, and those that may be behind the gateway
 * @param before {@link fingerprints} taken before the step
 */
export async function waitInForce(
  session: Session,
  changes: readonly Change[],
  { proxies, behind }: Judges,
  before: ReadonlyMap<string, string>,
  signal?: AbortSignal,
): Promise<AppliedObject[]> {
  const started = performance.now();
  const inForceMs = new Map<Change, number>();
  let seen = new Map<Change, string[]>();
  let configs: ReadonlyMap<string, ProxyConfig> = new Map();
  const all = [...proxies, ...behind];
  const concerned = new Map(changes.map((change) => [change, all.filter((p) => concerns(change.manifest, p))]));
  const tracked = changes.filter((c) => leavesTrace(c.manifest) && (concerned.get(c)?.length ?? 0) > 0);
  const involved = [...new Set(tracked.flatMap((c) => concerned.get(c) ?? []))];
  const unchanged = new Set<Change>();
  if (tracked.length > 0) await new Promise((resolve) => setTimeout(resolve, DEBOUNCE_MS));
  while (inForceMs.size + unchanged.size < tracked.length && performance.now() - started < LIMIT_MS) {
    signal?.throwIfAborted();
    configs = await readAll(session, involved);
    const now = Math.round(performance.now() - started);
    seen = new Map(
      tracked.map((change) => [
        change,
        (concerned.get(change) ?? []).filter((p) => shows(change, p, configs, before)).map(keyOf),
      ]),
    );
    for (const change of tracked) {
      if (inForceMs.has(change)) continue;
      const here = concerned.get(change) ?? [];
      if (seen.get(change)?.length === here.length) inForceMs.set(change, now);
      else if (change.replaces && now >= UNCHANGED_MS && here.every((p) => holds(change, p, configs)))
        unchanged.add(change);
    }
    if (inForceMs.size + unchanged.size < tracked.length) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  return changes.map((change) => {
    const note = noteFor(
      change,
      proxies,
      concerned.get(change) ?? [],
      inForceMs.has(change) || unchanged.has(change),
      configs,
    );
    const ms = inForceMs.get(change);
    return {
      verb: change.verb,
      kind: change.manifest.kind,
      name: change.manifest.metadata.name,
      namespace: change.manifest.metadata.namespace ?? "",
      file: change.file,
      // An inline JWKS may hold symmetric keys.
      yaml: session.tokens.redact(change.yaml),
      proxies: seen.get(change) ?? [],
      ...(ms === undefined ? {} : { inForceMs: ms }),
      ...(note ? { note } : {}),
    };
  });
}

function concerns(manifest: Manifest, proxy: Proxy): boolean {
  return selects(manifest, proxy, ROOT_NAMESPACE) !== false;
}

/** Only these two kinds can be recognised in a proxy's listeners. */
function leavesTrace(manifest: Manifest): boolean {
  return manifest.kind === "RequestAuthentication" || manifest.kind === "AuthorizationPolicy";
}

function shows(
  change: Change,
  proxy: Proxy,
  configs: ReadonlyMap<string, ProxyConfig>,
  before: ReadonlyMap<string, string>,
): boolean {
  const config = configs.get(keyOf(proxy));
  if (!config) return false;
  if (change.verb === "delete") return !holds(change, proxy, configs);
  return holds(change, proxy, configs) && (!change.replaces || before.get(keyOf(proxy)) !== config.fingerprint);
}

function holds(change: Change, proxy: Proxy, configs: ReadonlyMap<string, ProxyConfig>): boolean {
  return isInForce(change.manifest, configs.get(keyOf(proxy)) ?? EMPTY) === true;
}

function noteFor(
  change: Change,
  involved: readonly Proxy[],
  concerned: readonly Proxy[],
  done: boolean,
  configs: ReadonlyMap<string, ProxyConfig>,
): string | undefined {
  const { manifest, verb } = change;
  if (!leavesTrace(manifest)) return undefined;
  if (verb === "apply" && concerned.length === 0 && involved.length > 0) {
    const labels = (manifest as { spec?: { selector?: { matchLabels?: Record<string, string> } } }).spec?.selector
      ?.matchLabels;
    const selector = labels
      ? `selector ${Object.entries(labels)
          .map(([k, v]) => `${k}=${v}`)
          .join(",")}`
      : "no selector";
    const pods = involved.map((p) => `${keyOf(p)} (app=${p.labels["app"] ?? "?"})`);
    return `${nameOf(manifest)} chooses none of the pods that judge these requests: it has ${selector} in namespace ${manifest.metadata.namespace ?? "default"}, they are ${pods.join(", ")}`;
  }
  if (!done && concerned.length > 0) {
    const seconds = LIMIT_MS / 1000;
    if (verb === "delete") return `${nameOf(manifest)} is still in a proxy's config ${seconds} s after its deletion`;
    return `${nameOf(manifest)} is not in the config of ${concerned.map(keyOf).join(", ")} ${seconds} s after it was applied`;
  }
  if (verb === "delete") return undefined;
  const issuers = new Set(concerned.flatMap((p) => placeholderIssuers(manifest, configs.get(keyOf(p)) ?? EMPTY)));
  return issuers.size === 0
    ? undefined
    : `istiod could not fetch the keys of ${[...issuers].join(", ")}: the proxies hold its placeholder key, which rejects every token`;
}

const EMPTY: ProxyConfig = { jwt: [], rules: [], fingerprint: "" };

async function readAll(session: Session, proxies: readonly Proxy[]): Promise<ReadonlyMap<string, ProxyConfig>> {
  return new Map(await Promise.all(proxies.map(async (p) => [keyOf(p), await session.proxyConfig(p)] as const)));
}

function keyOf(proxy: Proxy): string {
  return `${proxy.namespace}/${proxy.pod}`;
}
