/** Turns a translated ticket into a scenario for any cluster, with `${ns}` and `${outside.ns}` instead of its namespaces. */

import { STAND_IN, toYaml } from "./stand-in.ts";
import type { Topology } from "./topology.ts";
import { issuerFileOf, type MadeIssuer } from "./issuers.ts";
import type { Ticket, TicketObject, Translation } from "./ticket.ts";
import { withNamespaces } from "../policies/names.ts";
import { isPolicy } from "./understood.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";
import { INGRESS_USES, USES, USES_NAMESPACE } from "../model/waypoint.ts";
import type { Passage } from "./waypoints.ts";

interface Parts {
  readonly ticket: Ticket;
  readonly topology: Topology;
  readonly applied: readonly { readonly file: string; readonly object: TicketObject }[];
  /** The objects of the stand-ins and clients. */
  readonly made: readonly object[];
  readonly issuers: readonly MadeIssuer[];
  readonly folder: string;
  readonly secured: boolean;
}

/** Fields of labels, which may have the same text as a namespace. */
const LABELS: ReadonlySet<string> = new Set(["labels", "matchLabels", "selector"]);

/** A scenario's gateways send through waypoints, by the labels of a Service; it has no client in ambient mode. */
function whyNotThrough(passage: Passage, home: string | undefined): string | undefined {
  if (passage.kind === "past") return "its policies hold at no proxy, and a scenario is judged where policies hold";
  if (passage.tunnel) return "a scenario has no client in ambient mode";
  const { waypoint, service, labels } = passage;
  if (waypoint.namespace !== home || service.namespace !== home)
    return "the waypoint of a scenario is in the namespace of its gateway and its Services";
  const own = labels[USES] !== undefined && labels[INGRESS_USES] !== undefined && labels[USES_NAMESPACE] === undefined;
  return own
    ? undefined
    : "the namespaces of a scenario have no labels, and the Service has not both that a waypoint needs";
}

/** A scenario has two namespaces, its own clients, and no TLS. */
export function portable({
  ticket,
  topology,
  applied,
  made,
  issuers,
  folder,
  secured,
}: Parts): Translation["exported"] {
  const { way, caller } = topology;
  if (secured) return { why: "a scenario sends no HTTPS" };
  if (way.kind === "egress") return { why: "a scenario does not send to hosts outside of the cluster" };
  const gateway = way.kind === "gateway" ? way.api : undefined;
  const home = way.kind === "service" ? way.service.namespace : (gateway ?? topology.workloads[0])?.namespace;
  const unfit = topology.passage && whyNotThrough(topology.passage, home);
  if (unfit !== undefined) return { why: unfit };
  const spaces = new Set([
    ...applied.map(({ object }) => object.metadata.namespace),
    ...topology.workloads.map(({ namespace }) => namespace),
  ]);
  spaces.delete(undefined);
  spaces.delete(ROOT_NAMESPACE);
  if (home !== undefined) spaces.delete(home);
  if (spaces.size > 1) return { why: "a scenario has two namespaces, and the ticket has more" };
  const [other] = spaces;
  const accounts = /"(?:not)?(?:principals|serviceAccounts|namespaces)"|source\.(?:principal|namespace)/i;
  const identity = ticket.objects.some(
    (object) => isPolicy(object) && accounts.test(JSON.stringify(object.spec ?? {})),
  );
  if (way.kind === "service" && (identity || !caller.sidecar))
    return { why: "a scenario sends from a client of its own, and the ticket's caller is another" };
  const rename = (text: string): string => {
    let named = text;
    for (const [from, to] of [
      [home, "${ns}"],
      [other, "${outside.ns}"],
    ] as const) {
      if (from === undefined) continue;
      named =
        named === from
          ? to
          : named.replaceAll(
              new RegExp(`^${from}/|(?<=/ns/)${from}(?=/)|(?<=^[a-z0-9-]+\\.)${from}(?=$|[.:])`, "g"),
              (found) => found.replace(from, to),
            );
    }
    return named;
  };
  const mapped = (value: unknown, key = ""): unknown => {
    if (typeof value === "string") return key === "name" || key === "nginx.conf" ? value : rename(value);
    if (Array.isArray(value)) return value.map((inner) => mapped(inner));
    if (typeof value !== "object" || value === null || LABELS.has(key)) return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, mapped(inner, name)]));
  };
  const renamed = (namespace: string): string | undefined =>
    namespace === home ? "${ns}" : namespace === other ? "${outside.ns}" : undefined;
  // Elsewhere in a policy, such as in a claim or a label, the same text is not the namespace.
  const policy = ({ metadata, spec, ...object }: TicketObject): object => ({
    ...object,
    metadata: {
      ...metadata,
      ...(metadata.namespace && { namespace: renamed(metadata.namespace) ?? metadata.namespace }),
    },
    ...(spec && { spec: withNamespaces(spec, renamed) }),
  });
  const files = new Map<string, string>();
  for (const one of issuers) files.set(`issuers/${one.name}.yaml`, toYaml(issuerFileOf(one)));
  for (const { file, object } of applied)
    files.set(`${folder}/${file}`, toYaml(isPolicy(object) ? policy(object) : mapped(object)));
  const kept = made.filter((object) => {
    const { kind, metadata } = object as TicketObject;
    return kind !== "Namespace" && !metadata.name.startsWith("ticket-caller");
  });
  files.set(`workloads/${STAND_IN}/${STAND_IN}.yaml`, kept.map((object) => toYaml(mapped(object))).join("---\n"));
  return { files, rename };
}
