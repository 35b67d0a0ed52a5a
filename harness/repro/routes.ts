/** VirtualService, Gateway, ServiceEntry and DestinationRule of a ticket, pointed at the stand-in. */

import type { StandIn } from "./stand-in.ts";

interface Settled {
  readonly spec: Record<string, unknown>;
  readonly changes: readonly string[];
}

interface Destination {
  host?: string;
  subset?: string;
  port?: { number?: number };
}

/** The spec as it works here, and what was changed in it. */
export function settleRoutes(what: string, kind: string, spec: Record<string, unknown>, workload: StandIn): Settled {
  const changes: string[] = [];
  const note = (text: string): void => void (changes.includes(`${what}: ${text}`) || changes.push(`${what}: ${text}`));
  if (kind === "VirtualService") {
    for (const destination of destinationsOf(spec["http"])) {
      if (destination.host !== workload.host) note(`destination ${destination.host} became the stand-in`);
      if (destination.subset !== undefined)
        note(`subset ${destination.subset} was left out: the stand-in is one version`);
      delete destination.subset;
      destination.host = workload.host;
      if (destination.port !== undefined) destination.port = { number: workload.port };
    }
    const gateways = ((spec["gateways"] ?? []) as string[]).map((name) => name.replace(/^.*\//, ""));
    if (gateways.length > 0) spec["gateways"] = gateways;
    if (gateways.filter((name) => name !== "mesh").length === 0) {
      note(`hosts [${((spec["hosts"] ?? []) as string[]).join(", ")}] became the stand-in`);
      spec["hosts"] = [workload.host];
    }
    for (const other of ["tls", "tcp"]) {
      if (spec[other] === undefined) continue;
      note(`${other} routes were left out`);
      delete spec[other];
    }
  } else if (kind === "Gateway") {
    if ((spec["selector"] as { istio?: string } | undefined)?.istio !== "ingressgateway")
      note("it is served by our ingress gateway");
    spec["selector"] = { istio: "ingressgateway" };
    const servers = (spec["servers"] ?? []) as { hosts?: string[]; port?: { protocol?: string }; tls?: unknown }[];
    if (servers.some(({ port, tls }) => tls !== undefined || !/^HTTP2?$/.test(port?.protocol ?? "HTTP")))
      note("TLS was left out: it listens for HTTP on port 80");
    const hosts = [
      ...new Set(servers.flatMap((server) => server.hosts ?? []).map((host) => host.replace(/^.*\//, ""))),
    ];
    spec["servers"] = [
      { port: { number: 80, name: "http", protocol: "HTTP" }, hosts: hosts.length > 0 ? hosts : ["*"] },
    ];
  } else if (kind === "DestinationRule") {
    note(`host ${String(spec["host"])} became the stand-in`);
    spec["host"] = workload.host;
  }
  return { spec, changes };
}

/** Every `destination` of HTTP routes and mirrors, to be changed in place. */
function destinationsOf(routes: unknown): Destination[] {
  return ((routes ?? []) as { route?: { destination?: Destination }[]; mirror?: Destination }[]).flatMap((one) => [
    ...(one.route ?? []).flatMap(({ destination }) => destination ?? []),
    ...(one.mirror === undefined ? [] : [one.mirror]),
  ]);
}
