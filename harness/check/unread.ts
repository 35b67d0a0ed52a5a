/** Objects that may decide about a request and whose effect is not evaluated. */

import type { CheckMissing } from "../model/check.ts";
import type { ManifestObject } from "../model/manifest.ts";
import type { RequestSpec } from "../model/scenario.ts";
import { isGateway } from "../model/target.ts";
import type { Place } from "../run/places.ts";

/** Kinds that change what a client's own sidecar sends, and where. */
const CLIENTS: ReadonlySet<string> = new Set([
  "VirtualService",
  "DestinationRule",
  "Sidecar",
  "EnvoyFilter",
  "ServiceEntry",
]);

/** Kinds that decide in other ways than by a proxy's filters. */
const EVERYWHERE: ReadonlySet<string> = new Set(["NetworkPolicy", "WasmPlugin"]);

export function findUnread(
  objects: readonly ManifestObject[],
  { to }: Pick<RequestSpec, "to">,
  { proxy }: Pick<Place, "proxy">,
): CheckMissing | undefined {
  const found = objects.find(
    (object) =>
      EVERYWHERE.has(object.kind) || changesTls(object) || (proxy !== undefined && changesClients(object, to)),
  );
  // A gateway sends what is for such a Service through its waypoint, if that is there.
  if (found === undefined) return isGateway(to) && objects.some(usesWaypoint) ? { kind: "waypoint" } : undefined;
  const { kind, metadata } = found;
  return { kind: "object-not-evaluated", object: { kind, namespace: metadata.namespace ?? "", name: metadata.name } };
}

function changesClients({ kind, ...fields }: ManifestObject, to: string): boolean {
  if (!CLIENTS.has(kind)) return false;
  const {
    gateways = [],
    host,
    hosts,
  } = (fields["spec"] ?? {}) as {
    readonly gateways?: readonly string[];
    readonly host?: string;
    readonly hosts?: readonly string[];
  };
  // A VirtualService for gateways alone concerns no sidecar.
  if (kind === "VirtualService" && gateways.length > 0 && !gateways.includes("mesh")) return false;
  const named = hosts ?? (host === undefined ? undefined : [host]);
  return named?.some((one) => one === to || one.startsWith(`${to}.`) || one.includes("*")) ?? true;
}

function changesTls({ kind, ...fields }: ManifestObject): boolean {
  return kind === "DestinationRule" && JSON.stringify(fields["spec"] ?? {}).includes('"tls"');
}

function usesWaypoint({ metadata: { labels = {} } }: ManifestObject): boolean {
  return (labels["istio.io/use-waypoint"] ?? "none") !== "none";
}
