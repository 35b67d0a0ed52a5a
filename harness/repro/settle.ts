/** Adapts objects of a ticket to meshproof's gateway and certificates. */

import type { Labels } from "../model/finding.ts";
import type { Difference } from "../model/ticket.ts";
import { STAND_IN } from "./stand-in.ts";
import { inCluster, isOurGateway, selectorOf, type Service } from "./services.ts";
import type { TicketObject } from "./ticket.ts";
import { isKind, isPolicy, refOf } from "./understood.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/** Moves a policy for an ingress gateway to meshproof's gateway. */
export function settleAtGateway(
  policy: TicketObject,
  namespace: string,
  objects: readonly TicketObject[],
): { readonly namespace: string; readonly selector?: Labels; readonly difference?: Difference } {
  const selector = selectorOf(policy);
  const object = refOf(policy);
  const known = isOurGateway(selector);
  // Beside the usual label of a gateway, another one is a second gateway's, or a typing error.
  const twofold = objects.some((one) => (isPolicy(one) || isKind(one, "Gateway")) && isOurGateway(gatewayLabels(one)));
  if (namespace === ROOT_NAMESPACE)
    return known
      ? { namespace }
      : {
          namespace,
          selector: { istio: "ingressgateway" },
          difference: { kind: "gateway", object, selector, elsewhere: false, decides: twofold ? "unknown" : "no" },
        };
  // If the ticket has the gateway's pods or Service beside the policy, both are moved together.
  const shown = objects.some(
    (one) =>
      (isKind(one, "Deployment") || isKind(one, "Service") || isKind(one, "Pod")) &&
      one.metadata.namespace === namespace &&
      Object.entries(selector).every(([key, value]) => JSON.stringify(one).includes(`"${key}":"${value}"`)),
  );
  if (shown)
    return {
      namespace: ROOT_NAMESPACE,
      selector: { istio: "ingressgateway" },
      difference: { kind: "gateway", object, selector, elsewhere: true, decides: "no" },
    };
  return { namespace, difference: { kind: "gateway", object, selector, elsewhere: true, decides: "unknown" } };
}

function gatewayLabels(object: TicketObject): Labels {
  return isKind(object, "Gateway") ? ((object.spec?.["selector"] ?? {}) as Labels) : selectorOf(object);
}

/** Gives a Gateway's servers meshproof's certificates. @returns names of the Secrets */
export function settleServers(
  object: TicketObject,
  spec: Record<string, unknown>,
  named: boolean,
  differences: Difference[],
): string[] {
  const servers = (spec["servers"] ?? []) as {
    tls?: Record<string, unknown>;
    port?: { protocol?: string; number?: number };
  }[];
  return servers.flatMap(({ tls, port }) => {
    // The Service of meshproof's gateway has the ports 80 and 443.
    const here = /^(HTTPS|TLS)$/.test(port?.protocol ?? "") ? 443 : 80;
    if (port?.number !== undefined && port.number !== here) {
      const taken = servers.some((one) => one.port !== port && one.port?.number === here);
      differences.push({
        kind: "server-port",
        object: refOf(object),
        port: port.number,
        here,
        decides: taken || named ? "unknown" : "no",
      });
      port.number = here;
    }
    if (tls === undefined || tls["httpsRedirect"] === true) return [];
    const mode = String(tls["mode"] ?? "SIMPLE");
    if (mode === "PASSTHROUGH") return [];
    if (mode !== "SIMPLE" || !/^(HTTPS|TLS)$/.test(port?.protocol ?? "")) {
      differences.push({
        kind: "field-left-out",
        object: refOf(object),
        field: `tls.mode ${mode}`,
        decides: "unknown",
      });
      return [];
    }
    for (const field of ["serverCertificate", "privateKey", "caCertificates"]) delete tls[field];
    tls["credentialName"] = typeof tls["credentialName"] === "string" ? tls["credentialName"] : "ticket-gateway";
    differences.push({ kind: "certificate", object: refOf(object), decides: "no" });
    return [tls["credentialName"] as string];
  });
}

/** Replaces a host outside the cluster, which cannot be reached, by meshproof's own server. */
export function settleEntry(spec: Record<string, unknown>): void {
  if (spec["location"] === "MESH_INTERNAL" || spec["workloadSelector"] !== undefined) return;
  spec["resolution"] = "DNS";
  spec["endpoints"] = [{ address: "ticket-elsewhere.${outside.ns}.svc.cluster.local" }];
  const hosts = (spec["hosts"] ?? []) as string[];
  // Istio does not allow a wildcard host with DNS resolution.
  if (hosts.some((host) => host.startsWith("*"))) {
    delete spec["endpoints"];
    spec["resolution"] = "NONE";
  }
}

export function originatesTls(
  objects: readonly TicketObject[],
  service: Service,
  nsOf: (object: TicketObject) => string,
): boolean {
  return objects.some((one) => {
    if (!isKind(one, "DestinationRule")) return false;
    const { host, trafficPolicy } = (one.spec ?? {}) as { host?: string; trafficPolicy?: { tls?: { mode?: string } } };
    const [name, namespace = nsOf(one)] = inCluster(host ?? "", new Set([service.namespace])) ?? [];
    return name === service.name && namespace === service.namespace && trafficPolicy?.tls?.mode === "SIMPLE";
  });
}

export function defaultRoute(
  service: { readonly name: string; readonly namespace: string; readonly ports: readonly { readonly port: number }[] },
  gateway: { readonly namespace: string; readonly name: string } | undefined,
): TicketObject[] {
  const apiVersion = "networking.istio.io/v1";
  const open: TicketObject = {
    ...{ apiVersion, kind: "Gateway", metadata: { name: STAND_IN, namespace: service.namespace } },
    spec: {
      selector: { istio: "ingressgateway" },
      servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
    },
  };
  const to = gateway ?? { namespace: service.namespace, name: STAND_IN };
  const route: TicketObject = {
    ...{ apiVersion, kind: "VirtualService", metadata: { name: STAND_IN, namespace: to.namespace } },
    spec: {
      hosts: ["*"],
      gateways: [`${to.namespace}/${to.name}`],
      http: [
        {
          route: [
            {
              destination: {
                host: `${service.name}.${service.namespace}.svc.cluster.local`,
                port: { number: service.ports[0]?.port ?? 80 },
              },
            },
          ],
        },
      ],
    },
  };
  return gateway === undefined ? [open, route] : [route];
}
