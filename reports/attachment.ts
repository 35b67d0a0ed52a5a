import type { Cause } from "../harness/model/cause.ts";
import type { Bypass } from "../harness/model/waypoint.ts";
import type { NotAttached } from "../harness/model/attachment.ts";
import type { ObjectFinding } from "../harness/model/finding.ts";

/** Why a policy with `targetRefs` holds at none of the judging proxies: each reason once, after the proxies that it is about. */
export function describeAttachment({ proxies }: Extract<ObjectFinding, { kind: "attached-to-no-proxy" }>): string {
  if (proxies.length === 0) return "these requests pass no proxy";
  const reasons = proxies.flatMap(({ because, namespace, pod }) =>
    because.map((reason) => ({ text: describeReason(reason), pod: `${namespace}/${pod}` })),
  );
  return [...Map.groupBy(reasons, ({ text }) => text)]
    .map(([text, those]) => `${those.map(({ pod }) => pod).join(", ")}: ${text}`)
    .join("; ");
}

function describeReason(reason: NotAttached): string {
  switch (reason.kind) {
    case "other-namespace":
      return "it is in another namespace than the policy";
    case "other-labels":
      return "it does not have the labels of the selector";
    case "selector-at-waypoint":
      return "it is a waypoint, and a selector does not choose waypoints";
    case "selector-at-gateway":
      return "it is a gateway of the Gateway API, and by ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY=false only targetRefs choose those";
    case "target-refs-ignored":
      return "targetRefs are ignored at a proxy without the label gateway.networking.k8s.io/gateway-name, such as a sidecar or a classic gateway";
    case "other-gateway":
      return `it belongs to another Gateway than ${nameTarget(reason)}`;
    case "target-in-other-namespace":
      return `${nameTarget(reason)} is looked for in the policy's own namespace, and this proxy is in another one`;
    case "class-of-no-waypoint":
      return `${nameTarget(reason)} in targetRefs means waypoints (the class istio-waypoint), and it is not a waypoint`;
    case "class-outside-root-namespace":
      return `${nameTarget(reason)} in targetRefs works in the root namespace only`;
    case "service-of-no-waypoint":
      return `${nameTarget(reason)} of the policy's own namespace does not use this waypoint (istio.io/use-waypoint)`;
    case "service-without-waypoint":
      return `a policy for ${nameTarget(reason)} holds at a waypoint, and it is not a waypoint`;
  }
}

function nameTarget({ target: { kind, name } }: Extract<NotAttached, { target: unknown }>): string {
  return `${kind} ${name}`;
}

/** Why no policy of a waypoint holds for a request: a sentence. */
export function describeBypass({
  service,
  waypoint = "its waypoint",
  because,
  policies,
}: Extract<Cause, { kind: "bypasses-waypoint" }>): string {
  const named = policies.map(({ kind, namespace, name }) => `${kind} ${namespace}/${name}`).join(" and ");
  const held =
    policies.length === 0
      ? "no policy of a waypoint holds for it"
      : `${named} ${policies.length > 1 ? "do" : "does"} not hold for it`;
  return `The request goes to the workload without passing a waypoint, so ${held}: ${BYPASSES[because](service, waypoint)}.`;
}

const BYPASSES: Readonly<Record<Bypass, (service: string, waypoint: string) => string>> = {
  "no-label": (service) => `neither Service ${service} nor its namespace has the label istio.io/use-waypoint`,
  "opted-out": (service) => `the label istio.io/use-waypoint of Service ${service} or of its namespace is none`,
  "no-such-waypoint": (service, waypoint) =>
    `the labels of Service ${service} or of its namespace name the waypoint ${waypoint}, and there is no such Gateway`,
  "not-for-services": (service, waypoint) =>
    `the label istio.io/waypoint-for of ${waypoint} is neither service nor all, and the request is for Service ${service}`,
  "not-allowed": (service, waypoint) =>
    `the listener of ${waypoint} allows only its own namespace (allowedRoutes), and Service ${service} is in another one`,
  sidecar: (service, waypoint) =>
    `a client with a sidecar sends directly to the pods of Service ${service}, and not through ${waypoint}`,
  outside: (service, waypoint) =>
    `a client outside of the mesh sends directly to Service ${service}, and not through ${waypoint}`,
  gateway: (service, waypoint) =>
    `a gateway sends through ${waypoint} only with the label istio.io/ingress-use-waypoint: "true" on Service ${service} or on its namespace`,
};
