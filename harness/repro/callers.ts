/** The client of a ticket's request, other possible clients, and the fields of a client that rules compare. */

import type { Caller, Difference } from "../model/ticket.ts";
import type { Labels, ObjectRef } from "../model/finding.ts";
import type { TicketRequest } from "./curl-line.ts";
import { sorted, type Workload } from "./services.ts";
import type { Topology, TopologyOptions, Way } from "./topology.ts";
import { refOf } from "./understood.ts";
import type { TicketObject } from "./ticket.ts";

/** A client pod of meshproof, for a ticket that does not name its client. */
export const OTHER_IDENTITY: Caller = {
  kind: "pod",
  namespace: "meshproof-outside",
  serviceAccount: "neighbour",
  sidecar: true,
};

export const WITHOUT_SIDECAR: Caller = {
  kind: "pod",
  namespace: "meshproof-outside",
  serviceAccount: "outside",
  sidecar: false,
};

export const THROUGH_GATEWAY: Caller = { kind: "gateway", namespace: "", serviceAccount: "", sidecar: false };

export interface Known {
  readonly policies: readonly TicketObject[];
  readonly workloads: readonly Workload[];
  readonly nsOf: (object: TicketObject) => string;
  readonly namespaces: ReadonlyMap<string, { sidecars: boolean }>;
  readonly fallback: string;
  readonly differences: Difference[];
  /** A pod with its mode, where the ticket has anything of ambient mode. */
  readonly withMode: (caller: Caller, labels?: Labels) => Caller;
  /** Whether the ticket does not show if a namespace is in ambient mode, which then counts. */
  readonly isOpen: (namespace: string) => boolean;
}

export function callersOf(
  { sender }: TicketRequest,
  { from }: TopologyOptions,
  way: Way,
  known: Known,
): Pick<Topology, "caller" | "others"> {
  const { policies, workloads, namespaces, fallback, differences, withMode, isOpen } = known;
  const told = (
    given: Caller,
    because: Extract<Difference, { kind: "caller" }>["because"],
    labels?: Labels,
  ): Caller => {
    const caller = given.kind === "gateway" || given === WITHOUT_SIDECAR ? given : withMode(given, labels);
    differences.push({ kind: "caller", caller, because, decides: "no" });
    return caller;
  };
  if (way.kind === "gateway") {
    const { api } = way;
    const through = api && { kind: "Gateway", namespace: api.namespace, name: api.name };
    const caller = { ...THROUGH_GATEWAY, ...(through && { through }) };
    return { caller: told(caller, from === undefined ? "default" : "asked"), others: [] };
  }
  if (from === "outside") return { caller: told(WITHOUT_SIDECAR, "asked"), others: [] };
  const [, askedNs, askedSa] = /^([^/]+)\/([^/]+)$/.exec(from ?? "") ?? [];
  const sidecarsIn = (namespace: string): boolean | undefined => namespaces.get(namespace)?.sidecars;
  if (askedNs !== undefined && askedSa !== undefined)
    return {
      caller: told(
        { kind: "pod", namespace: askedNs, serviceAccount: askedSa, sidecar: sidecarsIn(askedNs) ?? true },
        "asked",
      ),
      others: isOpen(askedNs) ? [{ caller: WITHOUT_SIDECAR, open: "ambient" }] : [],
    };
  const identities = policies.flatMap((one) => identitiesOf(one));
  const matters = policies.some((one) => looksAtIdentity(one));
  const pod = workloads.find(
    (one) =>
      sender?.workload !== undefined &&
      (one.name === sender.workload || sender.workload.startsWith(`${one.name}-`)) &&
      (sender.namespace === undefined || sender.namespace === one.namespace),
  );
  const namespace = sender?.namespace ?? pod?.namespace ?? (sender === undefined ? undefined : "default");
  const proxyItself = sender?.container === "istio-proxy";
  if (pod !== undefined || namespace !== undefined) {
    const space = pod?.namespace ?? namespace!;
    const like = identities.find((one) => one.namespace === space && one.serviceAccount !== undefined);
    const sidecar = !proxyItself && (pod?.sidecar ?? sidecarsIn(space) ?? true);
    const caller = told(
      {
        kind: "pod",
        namespace: space,
        serviceAccount: pod?.serviceAccount ?? like?.serviceAccount ?? "default",
        sidecar,
      },
      "command",
      pod?.labels,
    );
    const known = pod !== undefined || sidecarsIn(space) !== undefined || proxyItself;
    const sameSpace = withMode({ kind: "pod", namespace: space, serviceAccount: "other", sidecar: true });
    return {
      caller,
      others: [
        ...(known && !isOpen(space) ? [] : [{ caller: { ...WITHOUT_SIDECAR }, open: "sidecar" as const }]),
        ...(pod === undefined && policies.some((one) => looksAtIdentity(one, true))
          ? [{ caller: sameSpace, open: "identity" as const }]
          : []),
      ],
    };
  }
  const [named] = identities;
  const caller =
    named === undefined
      ? told(
          { kind: "pod", namespace: fallback, serviceAccount: "default", sidecar: sidecarsIn(fallback) ?? true },
          "default",
        )
      : told(
          {
            kind: "pod",
            namespace: named.namespace ?? fallback,
            serviceAccount: named.serviceAccount ?? "default",
            sidecar: true,
          },
          "policy",
        );
  return {
    caller,
    others:
      way.kind === "egress"
        ? []
        : [
            ...(matters ? [{ caller: OTHER_IDENTITY, open: "identity" as const }] : []),
            { caller: WITHOUT_SIDECAR, open: "sidecar" as const },
          ],
  };
}

export type Source = Readonly<Record<string, readonly string[] | undefined>>;

export function sourcesOf({ spec }: TicketObject): Source[] {
  const rules = (spec?.["rules"] ?? []) as ({
    from?: { source?: Source }[];
    when?: { key?: string; values?: string[]; notValues?: string[] }[];
  } | null)[];
  return rules.flatMap((rule) => [
    ...(rule?.from ?? []).map(({ source = {} }) => source),
    ...(rule?.when ?? []).flatMap(({ key = "", values = [], notValues = [] }): Source[] =>
      key === "source.principal"
        ? [{ principals: [...values, ...notValues] }]
        : key === "source.namespace"
          ? [{ namespaces: [...values, ...notValues] }]
          : [],
    ),
  ]);
}

/** @param account whether it compares the service account, and not only the namespace */
export function looksAtIdentity(policy: TicketObject, account = false): boolean {
  const fields = /^(not)?(principals|serviceAccounts)$/i;
  return sourcesOf(policy).some((source) =>
    Object.keys(source).some((field) => fields.test(field) || (!account && /namespaces$/i.test(field))),
  );
}

/** Clients that an ALLOW policy names without wildcards; a service account comes before a namespace. */
export function identitiesOf(policy: TicketObject): { namespace?: string; serviceAccount?: string }[] {
  if (!/^(ALLOW)?$/.test(String(policy.spec?.["action"] ?? ""))) return [];
  const found = sourcesOf(policy).flatMap(({ principals = [], serviceAccounts = [], namespaces = [] }) => [
    ...principals.flatMap((text) => {
      const [, namespace, serviceAccount] = /\/ns\/([a-z0-9-]+)\/sa\/([a-z0-9.-]+)$/.exec(text) ?? [];
      return namespace === undefined || serviceAccount === undefined ? [] : [{ namespace, serviceAccount }];
    }),
    ...serviceAccounts.flatMap((text) => {
      const [, namespace, serviceAccount] = /^(?:([a-z0-9-]+)\/)?([a-z0-9.-]+)$/.exec(text) ?? [];
      return serviceAccount === undefined
        ? []
        : [{ ...(namespace === undefined ? {} : { namespace }), serviceAccount }];
    }),
    ...namespaces.flatMap((namespace) => (/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(namespace) ? [{ namespace }] : [])),
  ]);
  const rank = (one: { serviceAccount?: string; namespace?: string }): string =>
    `${one.serviceAccount === undefined ? 1 : 0} ${one.namespace} ${one.serviceAccount}`;
  return found.sort((a, b) => (rank(a) < rank(b) ? -1 : 1));
}

/** Finds rules that compare the client's address. @returns policies with the fields */
export function addressesIn(
  policies: readonly TicketObject[],
): { readonly object: ObjectRef; readonly fields: readonly string[]; readonly values: readonly string[] }[] {
  return sorted(policies).flatMap((policy) => {
    const sources = sourcesOf(policy);
    const whens = (
      (policy.spec?.["rules"] ?? []) as ({
        when?: { key?: string; values?: string[]; notValues?: string[] }[];
      } | null)[]
    )
      .flatMap((rule) => rule?.when ?? [])
      .filter(({ key }) => key === "source.ip" || key === "remote.ip");
    const fields = [
      ...new Set([
        ...sources.flatMap((source) => Object.keys(source).filter((field) => /ipBlocks$/i.test(field))),
        ...whens.map(({ key }) => key!),
      ]),
    ];
    const values = [
      ...sources.flatMap((source) =>
        Object.entries(source).flatMap(([field, list]) => (/ipBlocks$/i.test(field) ? (list ?? []) : [])),
      ),
      ...whens.flatMap(({ values: a = [], notValues: b = [] }) => [...a, ...b]),
    ];
    return fields.length === 0 ? [] : [{ object: refOf(policy), fields, values }];
  });
}
